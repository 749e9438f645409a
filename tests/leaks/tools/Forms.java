import java.beans.XMLEncoder;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Properties;

/** Writes every file of args[0] by classes of Java into args[1]/java/FORM. */
public class Forms {
    interface Form {
        byte[] write(String value) throws Exception;
    }

    static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    static Properties properties(String value) {
        Properties properties = new Properties();
        properties.setProperty("token", value);
        return properties;
    }

    /** Without the comment with the time. */
    static byte[] stored(String value) throws IOException {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        properties(value).store(out, null);
        String text = out.toString(StandardCharsets.ISO_8859_1);
        return bytes(text.substring(text.indexOf('\n') + 1));
    }

    static byte[] storedAsXml(String value) throws IOException {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        properties(value).storeToXML(out, null);
        return out.toByteArray();
    }

    static byte[] beans(String value) {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        try (XMLEncoder encoder = new XMLEncoder(out)) {
            encoder.writeObject(value);
        }
        return out.toByteArray();
    }

    public static void main(String[] args) throws Exception {
        Map<String, Form> forms = new LinkedHashMap<>();
        forms.put("Properties.store", Forms::stored);
        forms.put("Properties.storeToXML", Forms::storedAsXml);
        forms.put("XMLEncoder", Forms::beans);
        forms.put("URLEncoder", value -> bytes(URLEncoder.encode(value, StandardCharsets.UTF_8)));
        forms.put("Base64", value -> Base64.getEncoder().encode(bytes(value)));
        forms.put("Base64, URL", value -> Base64.getUrlEncoder().withoutPadding().encode(bytes(value)));
        forms.put("Base64, MIME", value -> Base64.getMimeEncoder().encode(bytes(value)));
        forms.put("UTF-16", value -> value.getBytes(StandardCharsets.UTF_16));
        forms.put("Throwable", value -> bytes(new IllegalStateException("cannot log in with " + value).toString()));
        Path out = Path.of(args[1], "java");
        for (String form : forms.keySet()) {
            Files.createDirectories(out.resolve(form));
        }
        try (var inputs = Files.list(Path.of(args[0]))) {
            for (Path input : (Iterable<Path>) inputs::iterator) {
                String value = Files.readString(input);
                for (var form : forms.entrySet()) {
                    Files.write(out.resolve(form.getKey()).resolve(input.getFileName()), form.getValue().write(value));
                }
            }
        }
    }
}
