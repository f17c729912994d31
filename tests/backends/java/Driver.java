package countersign;

import java.io.BufferedReader;
import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

/** Makes the calls that it is told on stdin, one JSON object a line, all at the same time. Prints one line for each result. */
public final class Driver {
    private static final Map<Object, Countersign> CLIENTS = new HashMap<>();
    private static final ExecutorService THREADS = Executors.newCachedThreadPool();

    private Driver() {}

    public static void main(String[] arguments) throws IOException {
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            Map<String, Object> step = Json.parseObject(line);
            THREADS.submit(() -> run(step));
        }
        THREADS.shutdown();
    }

    private static void run(Map<String, Object> step) {
        long parallel = step.get("parallel") == null ? 1 : (Long) step.get("parallel");
        List<CompletableFuture<Object>> running = new ArrayList<>();
        for (long at = 0; at < parallel; at++) {
            running.add(CompletableFuture.supplyAsync(() -> result(step), THREADS));
        }
        List<Object> results = new ArrayList<>();
        running.forEach(one -> results.add(one.join()));
        Map<String, Object> all = object("id", step.get("id"), "results", results);
        synchronized (CLIENTS) {
            System.out.println(Json.write(all));
            System.out.flush();
        }
    }

    private static Object result(Map<String, Object> step) {
        List<Object> shown = new ArrayList<>();
        try {
            Countersign client = step.get("client") == null ? null : clientOf(members(step, "client"));
            shown.add(String.valueOf(client));
            Object value = call((String) step.get("call"), client, members(step, "args"));
            shown.add(String.valueOf(value));
            if (value instanceof Answer) {
                ((Answer) value).error().ifPresent(error -> shown.add(trace(error)));
            }
            return object("ok", plain(value), "shown", shown);
        } catch (CountersignException error) {
            shown.add(trace(error));
            Long wait = error.retryAfter().map(Duration::toMillis).orElse(null);
            Integer status = error.status() == 0 ? null : error.status();
            Map<String, Object> known =
                object("code", error.code(), "status", status, "retry_after", wait, "request_id", error.requestId());
            return object("error", known, "shown", shown);
        } catch (RuntimeException error) {
            shown.add(trace(error));
            return object("refused", error.getClass().getSimpleName(), "shown", shown);
        }
    }

    private static Object call(String call, Countersign client, Map<String, Object> args) {
        String app = (String) args.get("app");
        String userId = (String) args.get("user_id");
        String refreshToken = (String) args.get("refresh_token");
        Duration ttl = args.get("ttl") == null ? null : Duration.ofSeconds((Long) args.get("ttl"));
        switch (call) {
            case "generate":
                return ttl == null ? client.generate(app, userId) : client.generate(app, userId, ttl);
            case "answer":
                return ttl == null ? client.answer(app, userId) : client.answer(app, userId, ttl);
            case "refresh":
                RefreshOptions options = RefreshOptions.NONE;
                options = userId == null ? options : options.userId(userId);
                options = args.get("failure") == null ? options : options.failure(members(args, "failure"));
                return client.refresh(refreshToken, options);
            case "revoke":
                return client.revoke(refreshToken);
            case "report_failure":
                client.reportFailure(refreshToken, members(args, "failure"));
                return null;
            case "times":
                return times(Session.parse((String) args.get("json")), Instant.ofEpochMilli((Long) args.get("now")));
            default:
                return object(
                    "connect_timeout", client.connectTimeout().toMillis(), "timeout", client.timeout().toMillis());
        }
    }

    private static Object times(Session session, Instant now) {
        return object(
            "refreshable", session.isRefreshable(now),
            "due", session.isDueForRefresh(now),
            "token_expires", session.tokenExpires().toEpochMilli(),
            "refresh_expires", session.refreshExpires().map(Instant::toEpochMilli).orElse(null));
    }

    private static Object plain(Object value) {
        if (value instanceof Session) {
            return Json.parseObject(((Session) value).forApp());
        }
        if (value instanceof Answer) {
            Answer answer = (Answer) value;
            String error = answer.error().map(Throwable::getMessage).orElse(null);
            return object(
                "status", answer.status(), "headers", answer.headers(), "body", Json.parseObject(answer.body()), "error", error);
        }
        if (value instanceof Revocation) {
            Revocation end = (Revocation) value;
            Long nodes = end.pendingNodes().isPresent() ? end.pendingNodes().getAsLong() : null;
            Long until = end.pendingUntil().map(Instant::toEpochMilli).orElse(null);
            return object("status", end.status(), "pending_nodes", nodes, "pending_until", until);
        }
        return value;
    }

    private static Countersign clientOf(Map<String, Object> options) {
        synchronized (CLIENTS) {
            return CLIENTS.computeIfAbsent(options, none -> {
                Countersign.Builder builder = Countersign.builder((String) options.get("url"), (String) options.get("api_key"));
                if (options.get("connect_timeout") != null) {
                    builder.connectTimeout(Duration.ofMillis((Long) options.get("connect_timeout")));
                }
                if (options.get("timeout") != null) {
                    builder.timeout(Duration.ofMillis((Long) options.get("timeout")));
                }
                if (options.get("ca") != null) {
                    builder.tls(trusting((String) options.get("ca")));
                }
                return builder.build();
            });
        }
    }

    private static SSLContext trusting(String file) {
        try (InputStream certificate = new FileInputStream(file)) {
            KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
            store.load(null, null);
            store.setCertificateEntry("ca", CertificateFactory.getInstance("X.509").generateCertificate(certificate));
            TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
            trust.init(store);
            SSLContext context = SSLContext.getInstance("TLS");
            context.init(null, trust.getTrustManagers(), null);
            return context;
        } catch (IOException | GeneralSecurityException error) {
            throw new IllegalStateException(error);
        }
    }

    private static String trace(Throwable error) {
        StringWriter text = new StringWriter();
        error.printStackTrace(new PrintWriter(text));
        return text.toString();
    }

    private static Map<String, Object> members(Map<String, Object> object, String name) {
        @SuppressWarnings("unchecked")
        Map<String, Object> members = (Map<String, Object>) object.getOrDefault(name, Map.of());
        return members;
    }

    private static Map<String, Object> object(Object... namesAndValues) {
        Map<String, Object> object = new HashMap<>();
        for (int at = 0; at < namesAndValues.length; at += 2) {
            object.put((String) namesAndValues[at], namesAndValues[at + 1]);
        }
        return object;
    }
}
