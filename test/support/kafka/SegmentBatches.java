import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedWriter;
import java.io.File;
import java.io.OutputStreamWriter;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.record.internal.ControlRecordType;
import org.apache.kafka.common.record.internal.FileRecords;
import org.apache.kafka.common.record.internal.Record;
import org.apache.kafka.common.record.internal.RecordBatch;
import org.apache.kafka.common.utils.Utils;

/**
 * Prints every batch of the given segment files as Kafka's own classes read it: a line of JSON with
 * the file's path, then one per batch. The dump tool of Kafka does not show the values of headers.
 */
public class SegmentBatches {
  public static void main(String[] paths) throws Exception {
    ObjectMapper json = new ObjectMapper();
    try (BufferedWriter out =
        new BufferedWriter(new OutputStreamWriter(System.out, StandardCharsets.UTF_8))) {
      for (String path : paths) {
        out.write(json.writeValueAsString(Map.of("file", path)));
        out.newLine();
        try (FileRecords segment = FileRecords.open(new File(path), false)) {
          for (RecordBatch batch : segment.batches()) {
            batch.ensureValid();
            out.write(json.writeValueAsString(line(batch)));
            out.newLine();
          }
        }
      }
    }
  }

  private static Map<String, Object> line(RecordBatch batch) {
    Map<String, Object> line = new LinkedHashMap<>();
    line.put("baseOffset", batch.baseOffset());
    line.put("lastOffset", batch.lastOffset());
    line.put("count", batch.countOrNull());
    line.put("bytes", batch.sizeInBytes());
    line.put("codec", batch.compressionType().name);
    line.put("logAppendTime", batch.timestampType() == TimestampType.LOG_APPEND_TIME);
    line.put("maxTimestamp", batch.maxTimestamp());
    line.put("producerId", batch.producerId());
    line.put("transactional", batch.isTransactional());
    line.put("control", batch.isControlBatch());
    line.put("deleteHorizon", batch.deleteHorizonMs().isPresent());
    List<Object> records = new ArrayList<>();
    for (Record record : batch) {
      if (batch.isControlBatch()) line.put("marker", ControlRecordType.parse(record.key()).name());
      else records.add(line(record));
    }
    line.put("records", records);
    return line;
  }

  private static Map<String, Object> line(Record record) {
    Map<String, Object> line = new LinkedHashMap<>();
    line.put("offset", record.offset());
    line.put("timestamp", record.timestamp());
    line.put("key", text(record.key()));
    line.put("value", text(record.value()));
    List<Object> headers = new ArrayList<>();
    for (Header header : record.headers()) {
      byte[] value = header.value();
      headers.add(Arrays.asList(header.key(), text(value == null ? null : ByteBuffer.wrap(value))));
    }
    line.put("headers", headers);
    return line;
  }

  private static String text(ByteBuffer bytes) {
    return bytes == null ? null : Base64.getEncoder().encodeToString(Utils.toArray(bytes));
  }
}
