package countersign;

import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;

/** The answer of a route to its app. {@code toString} does not show the body. No method returns null. */
public final class Answer {
    private static final Duration DEFAULT_WAIT = Duration.ofSeconds(5);

    private final int status;
    private final String body;
    private final Map<String, String> headers;
    private final RuntimeException error;

    /** {@code retry} and {@code error} may be null. */
    private Answer(int status, String body, Duration retry, RuntimeException error) {
        Map<String, String> all = new LinkedHashMap<>();
        all.put("Cache-Control", "no-store");
        all.put("Content-Type", "application/json");
        if (retry != null) {
            all.put("Retry-After", Long.toString((retry.toMillis() + 999) / 1000));
        }
        this.status = status;
        this.body = body;
        this.headers = Map.copyOf(all);
        this.error = error;
    }

    static Answer success(Session session) {
        return new Answer(200, session.forApp(), null, null);
    }

    /** Maps our own 401 and 403 to 502: an app would take them for its user's, and log the user out. */
    static Answer failure(RuntimeException error) {
        if (!(error instanceof CountersignException)) {
            return problem(502, "bad_gateway", null, error);
        }
        CountersignException known = (CountersignException) error;
        if (known.code().equals("opted_out")) {
            return problem(409, "opted_out", null, error);
        }
        if (known.retryAfter().isEmpty() && known.status() != 0 && known.status() < 500) {
            return problem(502, "bad_gateway", null, error);
        }
        return problem(503, "unavailable", known.retryAfter().orElse(DEFAULT_WAIT), error);
    }

    private static Answer problem(int status, String code, Duration retry, RuntimeException error) {
        String wait = retry == null ? "\"never\"" : Long.toString(retry.toMillis());
        String body = "{\"status\":" + status + ",\"code\":\"" + code + "\",\"retry\":" + wait + "}";
        return new Answer(status, body, retry, error);
    }

    /** Returns 200, 409, 502 or 503. */
    public int status() {
        return status;
    }

    public Map<String, String> headers() {
        return headers;
    }

    /** Returns JSON for the app alone: with the status 200 it has the tokens. */
    public String body() {
        return body;
    }

    /** Returns what your log is to have; empty where all is well. */
    public Optional<RuntimeException> error() {
        return Optional.ofNullable(error);
    }

    @Override
    public String toString() {
        return "Answer(" + status + ")";
    }
}
