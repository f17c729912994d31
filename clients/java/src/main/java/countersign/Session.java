package countersign;

import java.time.Instant;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;

/**
 * A token and what it takes to get the next one. {@code toString} shows none of the tokens: {@link #forApp} is what to
 * send to the app. Times are by the server's clock. No method returns null, and none takes it.
 */
public final class Session {
    private final String json;
    private final String token;
    private final Instant tokenExpires;
    private final Instant serverTime;
    private final boolean degraded;
    /** These three are null where the app's policy has no refreshing. */
    private final String refreshToken;
    private final Instant refreshFrom;
    private final Instant refreshExpires;

    private Session(String json, Map<String, Object> body) {
        this.json = json;
        token = text(body, "token");
        tokenExpires = time(body, "token_expires");
        serverTime = time(body, "server_time");
        degraded = Boolean.TRUE.equals(body.get("degraded"));
        boolean refreshing = body.containsKey("refresh_token");
        refreshToken = refreshing ? text(body, "refresh_token") : null;
        refreshFrom = refreshing ? time(body, "refresh_from") : null;
        refreshExpires = refreshing ? time(body, "refresh_expires") : null;
    }

    /**
     * Reads an answer of the server, e.g. one that was stored.
     *
     * @throws IllegalArgumentException without a quotation, if it is no answer with a token
     */
    public static Session parse(String json) {
        return new Session(json, Json.parseObject(json));
    }

    private static String text(Map<String, Object> body, String name) {
        Object value = body.get(name);
        if (!(value instanceof String) || ((String) value).isEmpty()) {
            throw new IllegalArgumentException("this is no answer with a token");
        }
        return (String) value;
    }

    private static Instant time(Map<String, Object> body, String name) {
        Object value = body.get(name);
        if (!(value instanceof Long) || (Long) value < 0 || (Long) value > 1L << 53) {
            throw new IllegalArgumentException("this is no answer with a token");
        }
        return Instant.ofEpochMilli((Long) value);
    }

    /** Returns the JWT for Braze's SDK. */
    public String token() {
        return token;
    }

    public Instant tokenExpires() {
        return tokenExpires;
    }

    /** Returns the refresh token; empty where the app's policy has no refreshing. */
    public Optional<String> refreshToken() {
        return Optional.ofNullable(refreshToken);
    }

    public Optional<Instant> refreshFrom() {
        return Optional.ofNullable(refreshFrom);
    }

    public Optional<Instant> refreshExpires() {
        return Optional.ofNullable(refreshExpires);
    }

    /** Returns the time of the answer. */
    public Instant serverTime() {
        return serverTime;
    }

    /** Tells whether the server answered without its store: the token lives at most 15 minutes. */
    public boolean degraded() {
        return degraded;
    }

    /** Tells whether there is a refresh token that is not past its life. */
    public boolean isRefreshable(Instant now) {
        Objects.requireNonNull(now, "now");
        return refreshExpires != null && !now.isAfter(refreshExpires);
    }

    public boolean isRefreshable() {
        return isRefreshable(Instant.now());
    }

    /** Tells whether it is time to refresh, or the token has expired. */
    public boolean isDueForRefresh(Instant now) {
        return now.isAfter(tokenExpires) || (refreshFrom != null && now.isAfter(refreshFrom));
    }

    public boolean isDueForRefresh() {
        return isDueForRefresh(Instant.now());
    }

    /** Returns the server's answer, tokens included: the JSON to send to the app. */
    public String forApp() {
        return json;
    }

    @Override
    public String toString() {
        String refreshable = refreshToken == null ? "not refreshable" : "refreshable";
        return "Session(token expires " + tokenExpires + ", " + refreshable + ")";
    }
}
