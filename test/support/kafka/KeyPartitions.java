import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.Base64;
import org.apache.kafka.clients.producer.internals.BuiltInPartitioner;
import org.apache.kafka.common.utils.Utils;

/**
 * For each key in base64, a line on standard input, prints its hash and where the Java producer puts
 * it in topics of so many partitions as the arguments say.
 */
public class KeyPartitions {
  public static void main(String[] partitionCounts) throws Exception {
    StringBuilder out = new StringBuilder();
    BufferedReader in =
        new BufferedReader(new InputStreamReader(System.in, StandardCharsets.US_ASCII));
    for (String line = in.readLine(); line != null; line = in.readLine()) {
      byte[] key = Base64.getDecoder().decode(line);
      out.append(Utils.murmur2(key));
      for (String count : partitionCounts) {
        out.append(' ').append(BuiltInPartitioner.partitionForKey(key, Integer.parseInt(count)));
      }
      out.append('\n');
    }
    System.out.print(out);
  }
}
