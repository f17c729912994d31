package countersign;

import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Locale;
import java.util.Map;

/** Reads what is no success: a problem document, or something else's page. */
final class Refusal {
    private static final long LONGEST_WAIT = 86_400_000;

    private Refusal() {}

    static CountersignException of(HttpResponse<byte[]> response, String requestId) {
        Map<String, Object> problem = problem(response);
        Object code = problem.get("code");
        boolean known = code instanceof String && ((String) code).matches("[a-z][a-z_]{0,39}");
        long wait = -1;
        Object retry = problem.get("retry");
        if (known && retry instanceof Number) {
            wait = (long) Math.min(((Number) retry).doubleValue(), LONGEST_WAIT);
        }
        String header = response.headers().firstValue("Retry-After").orElse("");
        if (header.matches("[0-9]{1,9}")) {
            wait = Math.max(wait, Math.min(Long.parseLong(header) * 1000, LONGEST_WAIT));
        }
        Duration retryAfter = wait < 0 ? null : Duration.ofMillis(wait);
        String name = known ? (String) code : "not_understood";
        return new CountersignException(name, response.statusCode(), retryAfter, requestId);
    }

    private static Map<String, Object> problem(HttpResponse<byte[]> response) {
        String type = response.headers().firstValue("Content-Type").orElse("").toLowerCase(Locale.ROOT);
        if (!type.matches("application/problem\\+json\\b.*")) {
            return Map.of();
        }
        try {
            return Json.parseObject(new String(response.body(), StandardCharsets.UTF_8));
        } catch (IllegalArgumentException error) {
            return Map.of();
        }
    }
}
