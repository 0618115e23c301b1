import com.fasterxml.jackson.databind.ObjectMapper;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Future;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Writes to a broker what a segment can hold, and prints a line of JSON for every record that the
 * broker acknowledged. Arguments: the broker's address, and how often to repeat the common records.
 */
public class Workload {
  private static final ObjectMapper json = new ObjectMapper();
  private static final String[] codecs = {"none", "gzip", "snappy", "lz4", "zstd"};
  private static String server;
  private static int rounds;

  public static void main(String[] args) throws Exception {
    server = args[0];
    rounds = Integer.parseInt(args[1]);
    try (Admin admin = Admin.create(Map.of("bootstrap.servers", server))) {
      List<NewTopic> topics = new ArrayList<>();
      for (String codec : codecs) topics.add(topic("codec-" + codec, Map.of()));
      topics.add(topic("append-time", Map.of("message.timestamp.type", "LogAppendTime")));
      topics.add(topic("recompressed", Map.of("compression.type", "gzip")));
      topics.add(topic("idempotent", Map.of()));
      topics.add(topic("transactions", Map.of()));
      topics.add(
          topic(
              "compacted",
              Map.of(
                  "cleanup.policy", "compact",
                  "min.cleanable.dirty.ratio", "0.01",
                  "segment.ms", "20")));
      admin.createTopics(topics).all().get();
    }
    // Without a producer id these batches are what a client of ours might hand to an engine.
    for (String codec : codecs) {
      try (KafkaProducer<byte[], byte[]> producer =
          producer(codec, Map.of("enable.idempotence", "false"))) {
        common(producer, "codec-" + codec);
      }
    }
    try (KafkaProducer<byte[], byte[]> producer = producer("zstd", Map.of())) {
      common(producer, "append-time");
    }
    try (KafkaProducer<byte[], byte[]> producer = producer("none", Map.of())) {
      common(producer, "recompressed");
      common(producer, "idempotent");
    }
    transactions();
    compacted();
  }

  private static NewTopic topic(String name, Map<String, String> config) {
    return new NewTopic(name, 1, (short) 1).configs(config);
  }

  private static KafkaProducer<byte[], byte[]> producer(String codec, Map<String, String> more) {
    Map<String, Object> config = new HashMap<>();
    config.put("bootstrap.servers", server);
    config.put("compression.type", codec);
    config.put("linger.ms", "1000");
    config.put("acks", "all");
    config.putAll(more);
    return new KafkaProducer<>(config, new ByteArraySerializer(), new ByteArraySerializer());
  }

  /** Null and empty fields, every byte, headers without a value, times out of order. */
  private static void common(KafkaProducer<byte[], byte[]> producer, String topic)
      throws Exception {
    byte[] every = new byte[256];
    for (int i = 0; i < every.length; i++) every[i] = (byte) i;
    for (int round = 0; round < rounds; round++) {
      long time = 1_700_000_000_000L + 60_000L * round;
      List<ProducerRecord<byte[], byte[]>> first = new ArrayList<>();
      first.add(record(topic, time + 5, bytes("key"), bytes("value " + round)));
      first.add(record(topic, time + 2, null, bytes("no key")));
      first.add(record(topic, time + 9, bytes("gone"), null));
      first.add(record(topic, time + 9, null, null));
      first.add(record(topic, time, new byte[0], new byte[0]));
      send(producer, first);
      List<ProducerRecord<byte[], byte[]>> second = new ArrayList<>();
      second.add(record(topic, time + 20, every, bytes("{\"price\":1.00,\"n\":" + round + "}")));
      second.add(record(topic, time + 21, bytes("clé/键"), bytes("ab".repeat(150))));
      ProducerRecord<byte[], byte[]> headed = record(topic, time + 22, bytes("h"), every);
      headed.headers().add("plain", bytes("1")).add("plain", bytes("2"));
      headed.headers().add("null", null).add("empty", new byte[0]).add("", bytes("no name"));
      headed.headers().add("naïve, \"odd\"\n键", every);
      second.add(headed);
      send(producer, second);
    }
  }

  private static void transactions() throws Exception {
    String topic = "transactions";
    try (KafkaProducer<byte[], byte[]> one = producer("none", Map.of("transactional.id", "one"));
        KafkaProducer<byte[], byte[]> two = producer("gzip", Map.of("transactional.id", "two"));
        KafkaProducer<byte[], byte[]> none = producer("none", Map.of())) {
      one.initTransactions();
      two.initTransactions();
      one.beginTransaction();
      two.beginTransaction();
      send(one, List.of(record(topic, 1_700_000_000_001L, bytes("one"), bytes("committed"))));
      send(two, List.of(record(topic, 1_700_000_000_002L, bytes("two"), bytes("aborted"))));
      send(none, List.of(record(topic, 1_700_000_000_003L, bytes("none"), bytes("between"))));
      one.commitTransaction();
      send(two, List.of(record(topic, 1_700_000_000_004L, bytes("two"), bytes("aborted too"))));
      two.abortTransaction();
      two.beginTransaction();
      send(two, List.of(record(topic, 1_700_000_000_005L, bytes("two"), bytes("committed"))));
      two.commitTransaction();
      send(none, List.of(record(topic, 1_700_000_000_006L, bytes("none"), bytes("last"))));
    }
  }

  /** Keys written over and over, tombstones, keys written once, a batch that nothing is left of. */
  private static void compacted() throws Exception {
    String topic = "compacted";
    for (int round = 0; round < 4; round++) {
      // A new producer each time: of its last batch Kafka keeps the empty shell.
      String codec = round == 2 ? "gzip" : "none";
      try (KafkaProducer<byte[], byte[]> producer = producer(codec, Map.of())) {
        List<ProducerRecord<byte[], byte[]>> batch = new ArrayList<>();
        for (int i = 0; i < 4; i++) {
          byte[] value = i == round ? null : bytes("round " + round);
          batch.add(record(topic, System.currentTimeMillis(), bytes("key " + i), value));
        }
        if (round % 2 == 0) {
          long time = System.currentTimeMillis();
          batch.add(1, record(topic, time, bytes("once " + round), bytes("stays")));
        }
        send(producer, batch);
      }
      // The next batch begins a new segment, so that this one can be cleaned.
      Thread.sleep(50);
    }
    try (KafkaProducer<byte[], byte[]> producer = producer("none", Map.of())) {
      send(
          producer,
          List.of(record(topic, System.currentTimeMillis(), bytes("active"), bytes("segment"))));
    }
  }

  /** One batch; waits until it is acknowledged. */
  private static void send(
      KafkaProducer<byte[], byte[]> producer, List<ProducerRecord<byte[], byte[]>> records)
      throws Exception {
    List<Future<RecordMetadata>> acks = new ArrayList<>();
    for (ProducerRecord<byte[], byte[]> record : records) acks.add(producer.send(record));
    producer.flush();
    for (int i = 0; i < records.size(); i++) {
      System.out.println(json.writeValueAsString(line(records.get(i), acks.get(i).get())));
    }
  }

  private static Map<String, Object> line(
      ProducerRecord<byte[], byte[]> record, RecordMetadata ack) {
    Map<String, Object> line = new LinkedHashMap<>();
    line.put("topic", ack.topic());
    line.put("offset", ack.offset());
    line.put("timestamp", ack.timestamp());
    line.put("key", text(record.key()));
    line.put("value", text(record.value()));
    List<Object> headers = new ArrayList<>();
    for (Header header : record.headers()) {
      headers.add(Arrays.asList(header.key(), text(header.value())));
    }
    line.put("headers", headers);
    return line;
  }

  private static ProducerRecord<byte[], byte[]> record(
      String topic, long time, byte[] key, byte[] value) {
    return new ProducerRecord<>(topic, 0, time, key, value);
  }

  private static byte[] bytes(String text) {
    return text.getBytes(StandardCharsets.UTF_8);
  }

  private static String text(byte[] bytes) {
    return bytes == null ? null : Base64.getEncoder().encodeToString(bytes);
  }
}
