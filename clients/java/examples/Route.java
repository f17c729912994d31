import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import countersign.Answer;
import countersign.Countersign;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.function.Function;

/** A route that gives the logged-in user's app its token, on the JDK's own server. */
final class Route {
    private static final Countersign COUNTERSIGN =
        new Countersign(System.getenv("COUNTERSIGN"), System.getenv("COUNTERSIGN_API_KEY"));

    private Route() {}

    /** {@code userId} is yours: it takes the user from your session, and is null where nobody is logged in. */
    static void add(HttpServer server, Function<HttpExchange, String> userId) {
        server.createContext("/session/braze", exchange -> {
            try {
                String user = userId.apply(exchange);
                if (user == null) {
                    exchange.sendResponseHeaders(401, -1);
                } else {
                    respond(exchange, user);
                }
            } finally {
                exchange.close();
            }
        });
    }

    private static void respond(HttpExchange exchange, String userId) throws IOException {
        Answer answer = COUNTERSIGN.answer("web", userId);
        answer.error().ifPresent(error -> System.err.println(error.getMessage()));
        answer.headers().forEach(exchange.getResponseHeaders()::set);
        byte[] body = answer.body().getBytes(StandardCharsets.UTF_8);
        exchange.sendResponseHeaders(answer.status(), body.length);
        exchange.getResponseBody().write(body);
    }
}
