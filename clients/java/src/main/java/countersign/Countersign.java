package countersign;

import java.net.ConnectException;
import java.net.URI;
import java.net.URISyntaxException;
import java.net.http.HttpClient;
import java.net.http.HttpConnectTimeoutException;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.channels.UnresolvedAddressException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.Function;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLHandshakeException;

/**
 * A Countersign server, for any number of threads; make one for the process. No method returns null, and none takes it.
 */
public final class Countersign {
    /** Time that a repetition is worth. */
    private static final Duration LEAST_TIME_LEFT = Duration.ofMillis(500);

    private final String url;
    private final String apiKey;
    private final Duration connectTimeout;
    private final Duration timeout;
    private final HttpClient http;

    /** With the default time-outs: 2 s to connect, 5 s for a call. */
    public Countersign(String url, String apiKey) {
        this(new Builder(url, apiKey));
    }

    private Countersign(Builder builder) {
        url = address(builder.url);
        apiKey = printable("apiKey", builder.apiKey);
        connectTimeout = builder.connectTimeout;
        timeout = builder.timeout;
        HttpClient.Builder client = HttpClient.newBuilder()
            .version(HttpClient.Version.HTTP_1_1)
            .followRedirects(HttpClient.Redirect.NEVER)
            .proxy(HttpClient.Builder.NO_PROXY)
            .connectTimeout(connectTimeout);
        if (builder.tls != null) {
            client.sslContext(builder.tls);
        }
        http = client.build();
    }

    public static Builder builder(String url, String apiKey) {
        return new Builder(url, apiKey);
    }

    /** Options of a {@link Countersign}. */
    public static final class Builder {
        private final String url;
        private final String apiKey;
        private Duration connectTimeout = Duration.ofSeconds(2);
        private Duration timeout = Duration.ofSeconds(5);
        /** Null: what Java trusts. */
        private SSLContext tls;

        private Builder(String url, String apiKey) {
            this.url = Objects.requireNonNull(url, "url");
            this.apiKey = Objects.requireNonNull(apiKey, "apiKey");
        }

        /** Sets the longest time until a connection stands, TLS included. */
        public Builder connectTimeout(Duration value) {
            connectTimeout = positive("connectTimeout", value);
            return this;
        }

        /** Sets the longest time of a call, a repetition included. */
        public Builder timeout(Duration value) {
            timeout = positive("timeout", value);
            return this;
        }

        /** Sets whom to trust, for a private authority. */
        public Builder tls(SSLContext value) {
            tls = Objects.requireNonNull(value, "tls");
            return this;
        }

        public Countersign build() {
            return new Countersign(this);
        }
    }

    public Duration connectTimeout() {
        return connectTimeout;
    }

    public Duration timeout() {
        return timeout;
    }

    /**
     * Mints the first token of a user whom you have just logged in.
     *
     * @param userId the string that the app gives to {@code changeUser}
     * @throws CountersignException if there is no token
     */
    public Session generate(String app, String userId) {
        return generate(members("app", app, "user_id", userId));
    }

    /** The same, with a lifetime shorter than the app's, in whole seconds. */
    public Session generate(String app, String userId, Duration ttl) {
        if (ttl.getNano() != 0) {
            throw new IllegalArgumentException("ttl must have whole seconds");
        }
        return generate(members("app", app, "user_id", userId, "ttl", ttl.getSeconds()));
    }

    private Session generate(Map<String, Object> body) {
        return call("/v1/token/generate", body, true, Session::parse);
    }

    /** Exchanges a refresh token for the next token. */
    public Session refresh(String refreshToken) {
        return refresh(refreshToken, RefreshOptions.NONE);
    }

    public Session refresh(String refreshToken, RefreshOptions options) {
        Map<String, Object> body = members("refresh_token", refreshToken);
        body.putAll(options.members());
        return call("/v1/token/refresh", body, false, Session::parse);
    }

    /** Ends a session, whether or not it is known. */
    public Revocation revoke(String refreshToken) {
        return call("/v1/token/revoke", members("refresh_token", refreshToken), false, Revocation::parse);
    }

    /**
     * Reports a failure for which no refresh is sent.
     *
     * @param failure what the SDK reported, as it came: maps, collections, strings, numbers, booleans and nulls
     */
    public void reportFailure(String refreshToken, Map<String, ?> failure) {
        call("/v1/failures", members("refresh_token", refreshToken, "failure", failure), false, text -> text);
    }

    /** {@code generate}, as the answer that a route gives to its app. Throws no exception. */
    public Answer answer(String app, String userId) {
        try {
            return Answer.success(generate(app, userId));
        } catch (RuntimeException error) {
            return Answer.failure(error);
        }
    }

    /** The same, with a lifetime shorter than the app's, in whole seconds. */
    public Answer answer(String app, String userId, Duration ttl) {
        try {
            return Answer.success(generate(app, userId, ttl));
        } catch (RuntimeException error) {
            return Answer.failure(error);
        }
    }

    /** Sends, once again after a 503 if the wait fits, and returns a success. */
    private <T> T call(String path, Map<String, Object> body, boolean credential, Function<String, T> parse) {
        long deadline = System.nanoTime() + timeout.toNanos();
        String requestId = UUID.randomUUID().toString();
        HttpRequest.Builder request = HttpRequest.newBuilder(URI.create(url + path))
            .header("Content-Type", "application/json")
            .header("User-Agent", "countersign-java/0.1.0")
            .header("X-Request-Id", requestId)
            .POST(HttpRequest.BodyPublishers.ofString(Json.write(body)));
        if (credential) {
            request.header("Authorization", "Bearer " + apiKey);
        }
        for (boolean repeated = false;; repeated = true) {
            HttpResponse<byte[]> response = attempt(request, deadline, requestId);
            int status = response.statusCode();
            if (status >= 200 && status < 300) {
                return understood(response, parse, requestId);
            }
            CountersignException error = Refusal.of(response, requestId);
            Duration left = Duration.ofNanos(deadline - System.nanoTime()).minus(LEAST_TIME_LEFT);
            boolean fits = error.retryAfter().isPresent() && error.retryAfter().get().compareTo(left) <= 0;
            if (repeated || status != 503 || !fits) {
                throw error;
            }
            sleep(error.retryAfter().get(), error);
        }
    }

    private static <T> T understood(HttpResponse<byte[]> response, Function<String, T> parse, String requestId) {
        try {
            return parse.apply(new String(response.body(), StandardCharsets.UTF_8));
        } catch (IllegalArgumentException error) {
            throw new CountersignException("not_understood", response.statusCode(), null, requestId);
        }
    }

    /** Sends once. Only an answer is repeated: after a time-out the session may exist. */
    private HttpResponse<byte[]> attempt(HttpRequest.Builder request, long deadline, String requestId) {
        Duration left = Duration.ofNanos(Math.max(1_000_000, deadline - System.nanoTime()));
        // The client's own time-out ends with the head of the answer; ours is for the whole.
        HttpRequest timed = request.copy().timeout(left.plusMillis(100)).build();
        CompletableFuture<HttpResponse<byte[]>> sent = http.sendAsync(timed, Response.handler());
        try {
            return sent.get(left.toNanos(), TimeUnit.NANOSECONDS);
        } catch (ExecutionException error) {
            String code = sentNothing(error.getCause()) ? "not_reached" : "no_answer";
            throw new CountersignException(code, 0, null, requestId);
        } catch (TimeoutException error) {
            throw new CountersignException("no_answer", 0, null, requestId);
        } catch (InterruptedException error) {
            Thread.currentThread().interrupt();
            throw new CountersignException("no_answer", 0, null, requestId);
        } finally {
            sent.cancel(true);
        }
    }

    private static boolean sentNothing(Throwable error) {
        return error instanceof ConnectException
            || error instanceof HttpConnectTimeoutException
            || error instanceof UnresolvedAddressException
            || error instanceof SSLHandshakeException;
    }

    private static void sleep(Duration wait, CountersignException instead) {
        try {
            Thread.sleep(wait.toMillis());
        } catch (InterruptedException error) {
            Thread.currentThread().interrupt();
            throw instead;
        }
    }

    private static Map<String, Object> members(Object... namesAndValues) {
        Map<String, Object> members = new LinkedHashMap<>();
        for (int at = 0; at < namesAndValues.length; at += 2) {
            String name = (String) namesAndValues[at];
            members.put(name, Objects.requireNonNull(namesAndValues[at + 1], name));
        }
        return members;
    }

    private static Duration positive(String name, Duration value) {
        if (value.isNegative() || value.isZero()) {
            throw new IllegalArgumentException(name + " must be above 0");
        }
        return value;
    }

    private static String printable(String name, String value) {
        if (!value.matches("[\\x21-\\x7e]+")) {
            throw new IllegalArgumentException(
                name + " is empty, or has a blank, a line break or a character outside of ASCII");
        }
        return value;
    }

    private static String address(String url) {
        try {
            URI parsed = new URI(url);
            boolean scheme = "https".equals(parsed.getScheme()) || "http".equals(parsed.getScheme());
            boolean credentials = parsed.getRawUserInfo() != null;
            boolean more = parsed.getRawQuery() != null || parsed.getRawFragment() != null;
            if (scheme && parsed.getHost() != null && !credentials && !more) {
                return url.replaceAll("/+$", "");
            }
        } catch (URISyntaxException error) {
            // Its message quotes the address, which may have a password.
        }
        throw new IllegalArgumentException(
            "url must be https://host[:port][/path], without credentials, query or fragment");
    }

    @Override
    public String toString() {
        return "Countersign(" + url + ")";
    }
}
