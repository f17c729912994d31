import countersign.Answer;
import countersign.Countersign;
import countersign.CountersignException;
import countersign.RefreshOptions;
import countersign.Revocation;
import countersign.Session;
import java.time.Duration;
import java.time.Instant;
import java.util.Map;

/** What users write: compiled, not run. With a number in place of "42" it must not compile. */
final class Types {
    private static final Countersign CLIENT =
        Countersign.builder("https://auth.example.com", "key").timeout(Duration.ofSeconds(3)).build();

    private Types() {}

    static Revocation use() {
        try {
            Session session = CLIENT.generate("web", "42");
            RefreshOptions options = RefreshOptions.NONE.userId("u-1").failure(Map.of("errorCode", 22));
            Session next = CLIENT.refresh(session.refreshToken().orElseThrow(), options);
            CLIENT.reportFailure(next.refreshToken().orElseThrow(), Map.of("errorCode", 25));
            boolean due = next.isDueForRefresh(Instant.now()) || !next.isRefreshable();
            Answer answer = CLIENT.answer("web", "u-1", Duration.ofMinutes(1));
            return CLIENT.revoke(due && answer.status() == 200 ? "a" : "b");
        } catch (CountersignException error) {
            Duration wait = error.retryAfter().orElse(Duration.ZERO);
            throw wait.isZero() && error.status() == 403 ? error : new IllegalStateException(error.code());
        }
    }
}
