package countersign;

import java.time.Instant;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;

/** The end of a session. No method returns null. */
public final class Revocation {
    private final boolean pending;
    private final Long pendingNodes;
    private final Long pendingUntil;

    private Revocation(Map<String, Object> body) {
        Object status = body.get("status");
        pending = "pending".equals(status);
        if (!pending && !"success".equals(status)) {
            throw new IllegalArgumentException("this is no answer to a revocation");
        }
        pendingNodes = count(body.get("pending_nodes"));
        pendingUntil = count(body.get("pending_until"));
    }

    static Revocation parse(String json) {
        return new Revocation(Json.parseObject(json));
    }

    private static Long count(Object value) {
        return value instanceof Long && (Long) value >= 0 ? (Long) value : null;
    }

    /**
     * Returns {@code success}, or {@code pending}: the end is on record and is not undone, but some nodes may not know
     * it yet.
     */
    public String status() {
        return pending ? "pending" : "success";
    }

    public OptionalLong pendingNodes() {
        return pendingNodes == null ? OptionalLong.empty() : OptionalLong.of(pendingNodes);
    }

    public Optional<Instant> pendingUntil() {
        return Optional.ofNullable(pendingUntil).map(Instant::ofEpochMilli);
    }

    @Override
    public String toString() {
        return "Revocation(" + status() + ")";
    }
}
