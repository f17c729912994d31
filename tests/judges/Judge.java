import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyFactory;
import java.security.PublicKey;
import java.security.Signature;
import java.security.spec.X509EncodedKeySpec;
import java.util.Base64;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Independent judge: Java's own Signature verifies every sampled token, and refuses it with one bit flipped. */
public final class Judge {
    private static final Pattern TOKEN = Pattern.compile("\"token\": ?\"([^\"]+)\"");

    public static void main(String[] arguments) throws Exception {
        PublicKey key = key(Files.readString(Path.of(arguments[1])));
        int judged = 0;
        for (String line : Files.readAllLines(Path.of(arguments[0]))) {
            Matcher found = TOKEN.matcher(line);
            if (!found.find()) throw new AssertionError("no token in a line");
            String token = found.group(1);
            int dot = token.lastIndexOf('.');
            byte[] signature = Base64.getUrlDecoder().decode(token.substring(dot + 1));
            byte[] input = token.substring(0, dot).getBytes(StandardCharsets.US_ASCII);
            if (!verifies(key, input, signature)) throw new AssertionError("a token does not verify");
            signature[signature.length / 2] ^= 1;
            if (verifies(key, input, signature)) throw new AssertionError("a flipped bit verifies");
            judged++;
        }
        if (judged == 0) throw new AssertionError("nothing to judge");
        System.out.println("java.security.Signature: " + judged + " tokens verified, " + judged + " flipped ones refused");
    }

    private static PublicKey key(String pem) throws Exception {
        String base64 = pem.replaceAll("-----[A-Z ]+-----", "").replaceAll("\\s", "");
        return KeyFactory.getInstance("RSA").generatePublic(new X509EncodedKeySpec(Base64.getDecoder().decode(base64)));
    }

    private static boolean verifies(PublicKey key, byte[] input, byte[] signature) throws Exception {
        Signature verifier = Signature.getInstance("SHA256withRSA");
        verifier.initVerify(key);
        verifier.update(input);
        return verifier.verify(signature);
    }
}
