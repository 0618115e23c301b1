import java.util.Base64;
import org.apache.kafka.tools.api.Decoder;

/** Lets Kafka's log dump print keys and values whatever their bytes. */
public class Base64Decoder implements Decoder<String> {
  @Override
  public String fromBytes(byte[] bytes) {
    return Base64.getEncoder().encodeToString(bytes);
  }
}
