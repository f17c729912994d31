package countersign;

import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** JSON as this library needs it: the JDK has none. Strict, and limited in depth. Its exceptions quote nothing. */
final class Json {
    private static final int DEEPEST = 32;

    private final String text;
    private int at;

    private Json(String text) {
        this.text = text;
    }

    /** Returns the object that the text is. Numbers become {@code Long} or {@code Double}. Never null. */
    static Map<String, Object> parseObject(String text) {
        Json json = new Json(text);
        Object value = json.value(0);
        json.blanks();
        if (json.at != text.length() || !(value instanceof Map)) {
            throw new IllegalArgumentException("this is no JSON object");
        }
        @SuppressWarnings("unchecked")
        Map<String, Object> object = (Map<String, Object>) value;
        return object;
    }

    private Object value(int depth) {
        blanks();
        if (depth > DEEPEST) {
            throw wrong();
        }
        switch (peek()) {
            case '{':
                return object(depth);
            case '[':
                return array(depth);
            case '"':
                return string();
            case 't':
                return word("true", Boolean.TRUE);
            case 'f':
                return word("false", Boolean.FALSE);
            case 'n':
                return word("null", null);
            default:
                return number();
        }
    }

    private Map<String, Object> object(int depth) {
        Map<String, Object> members = new LinkedHashMap<>();
        at++;
        for (boolean more = !ends('}'); more; more = continues('}')) {
            blanks();
            String name = string();
            blanks();
            expect(':');
            members.put(name, value(depth + 1));
        }
        return members;
    }

    private List<Object> array(int depth) {
        List<Object> items = new ArrayList<>();
        at++;
        for (boolean more = !ends(']'); more; more = continues(']')) {
            items.add(value(depth + 1));
        }
        return items;
    }

    private boolean ends(char end) {
        blanks();
        if (peek() != end) {
            return false;
        }
        at++;
        return true;
    }

    private boolean continues(char end) {
        if (ends(end)) {
            return false;
        }
        expect(',');
        return true;
    }

    private String string() {
        expect('"');
        StringBuilder result = new StringBuilder();
        while (true) {
            char next = peek();
            at++;
            if (next == '"') {
                return result.toString();
            }
            if (next < ' ') {
                throw wrong();
            }
            result.append(next == '\\' ? escaped() : next);
        }
    }

    private char escaped() {
        char kind = peek();
        at++;
        if (kind == 'u') {
            if (at + 4 > text.length() || !text.substring(at, at + 4).matches("[0-9a-fA-F]{4}")) {
                throw wrong();
            }
            at += 4;
            return (char) Integer.parseInt(text.substring(at - 4, at), 16);
        }
        int index = "\"\\/bfnrt".indexOf(kind);
        if (index < 0) {
            throw wrong();
        }
        return "\"\\/\b\f\n\r\t".charAt(index);
    }

    private Number number() {
        int begin = at;
        while (at < text.length() && "+-.eE0123456789".indexOf(text.charAt(at)) >= 0) {
            at++;
        }
        String digits = text.substring(begin, at);
        if (digits.length() > 40 || !digits.matches("-?(0|[1-9][0-9]*)(\\.[0-9]+)?([eE][+-]?[0-9]+)?")) {
            throw wrong();
        }
        return digits.matches("-?[0-9]{1,18}") ? (Number) Long.valueOf(digits) : (Number) Double.valueOf(digits);
    }

    private Object word(String word, Object value) {
        if (!text.startsWith(word, at)) {
            throw wrong();
        }
        at += word.length();
        return value;
    }

    private void expect(char expected) {
        if (peek() != expected) {
            throw wrong();
        }
        at++;
    }

    private char peek() {
        if (at >= text.length()) {
            throw wrong();
        }
        return text.charAt(at);
    }

    private void blanks() {
        while (at < text.length() && " \t\r\n".indexOf(text.charAt(at)) >= 0) {
            at++;
        }
    }

    private static IllegalArgumentException wrong() {
        return new IllegalArgumentException("this is no JSON");
    }

    /** Returns the JSON, in ASCII, of a map, a collection, a string, a number, a boolean or null. */
    static String write(Object value) {
        StringBuilder result = new StringBuilder();
        write(value, result, 0);
        return result.toString();
    }

    private static void write(Object value, StringBuilder result, int depth) {
        if (depth > DEEPEST) {
            throw new IllegalArgumentException("this is nested too deeply for JSON");
        }
        if (value instanceof Map) {
            char before = '{';
            for (Map.Entry<?, ?> member : ((Map<?, ?>) value).entrySet()) {
                result.append(before);
                quote(String.valueOf(member.getKey()), result);
                result.append(':');
                write(member.getValue(), result, depth + 1);
                before = ',';
            }
            result.append(before == '{' ? "{}" : "}");
        } else if (value instanceof Collection) {
            char before = '[';
            for (Object item : (Collection<?>) value) {
                result.append(before);
                write(item, result, depth + 1);
                before = ',';
            }
            result.append(before == '[' ? "[]" : "]");
        } else {
            scalar(value, result);
        }
    }

    private static void scalar(Object value, StringBuilder result) {
        boolean finite = value instanceof Number && Double.isFinite(((Number) value).doubleValue());
        if (value == null || value instanceof Boolean || finite) {
            result.append(value);
        } else if (value instanceof CharSequence) {
            quote(value.toString(), result);
        } else {
            throw new IllegalArgumentException("this is no value of JSON: " + value.getClass().getName());
        }
    }

    private static void quote(String value, StringBuilder result) {
        result.append('"');
        for (char c : value.toCharArray()) {
            if (c == '"' || c == '\\') {
                result.append('\\').append(c);
            } else if (c < ' ' || c > '~') {
                result.append(String.format("\\u%04x", (int) c));
            } else {
                result.append(c);
            }
        }
        result.append('"');
    }
}
