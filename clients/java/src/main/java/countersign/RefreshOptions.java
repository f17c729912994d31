package countersign;

import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;

/** What a refresh may have beside its token. Each method returns a copy with one thing more, and takes no null. */
public final class RefreshOptions {
    public static final RefreshOptions NONE = new RefreshOptions(Map.of());

    private final Map<String, Object> members;

    private RefreshOptions(Map<String, Object> members) {
        this.members = members;
    }

    /** Adds a guard: if the session is another user's, the error is {@code user_mismatch}, and nothing changes. */
    public RefreshOptions userId(String userId) {
        return with("user_id", userId);
    }

    /** Adds what the SDK reported, as it came: maps, collections, strings, numbers, booleans and nulls. */
    public RefreshOptions failure(Map<String, ?> failure) {
        return with("failure", failure);
    }

    private RefreshOptions with(String name, Object value) {
        Map<String, Object> more = new LinkedHashMap<>(members);
        more.put(name, Objects.requireNonNull(value, name));
        return new RefreshOptions(more);
    }

    Map<String, Object> members() {
        return members;
    }
}
