package countersign;

import java.time.Duration;
import java.util.Optional;

/**
 * The reason why there is no answer with a token. No member has a token, an API key or a user id.
 *
 * <p>The code is the server's, or one of this library: {@code not_reached}, no connection came about and nothing was
 * sent; {@code no_answer}, the request was sent and no whole answer came, so that the session may exist;
 * {@code not_understood}, the answer is not Countersign's (a proxy's page).
 */
public final class CountersignException extends RuntimeException {
    private static final long serialVersionUID = 1;

    private final String code;
    private final int status;
    private final Duration retryAfter;
    private final String requestId;

    /** {@code status} is 0 where no answer came; {@code retryAfter} may be null, nothing else may. */
    CountersignException(String code, int status, Duration retryAfter, String requestId) {
        super("countersign: " + (status == 0 ? "no answer" : status) + " " + code + " request_id=" + requestId);
        this.code = code;
        this.status = status;
        this.retryAfter = retryAfter;
        this.requestId = requestId;
    }

    /** Returns the code to branch on, never null. */
    public String code() {
        return code;
    }

    /** Returns the HTTP status, or 0 where no answer came. */
    public int status() {
        return status;
    }

    /** Returns the time to wait before it is worth another request; empty where the server does not say. Never null. */
    public Optional<Duration> retryAfter() {
        return Optional.ofNullable(retryAfter);
    }

    /** Returns the {@code X-Request-Id} of the request, which is in the server's log. Never null. */
    public String requestId() {
        return requestId;
    }
}
