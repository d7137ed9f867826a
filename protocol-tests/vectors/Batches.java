import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** Writes the records of every shape to a topic with the Java client: ADDRESS TOPIC CODEC TRANSACTION(yes|no|abort). */
public final class Batches {
    public static void main(String[] arguments) throws Exception {
        Properties settings = new Properties();
        settings.putAll(Map.of("bootstrap.servers", arguments[0], "compression.type", arguments[2],
                "linger.ms", "200", "batch.size", "100000"));
        if (!arguments[3].equals("no")) {
            settings.put("transactional.id", arguments[1]);
        }
        try (var producer = new KafkaProducer<>(settings, new ByteArraySerializer(), new ByteArraySerializer())) {
            if (!arguments[3].equals("no")) {
                producer.initTransactions();
                producer.beginTransaction();
            }
            String t = arguments[1];
            send(producer, t, 0, "key", "value", List.of());
            send(producer, t, 1, null, "null key", List.of());
            send(producer, t, 2, "null value", null, List.of());
            send(producer, t, 3, "", "", List.of());
            send(producer, t, 4, "headers", "twice the same, one null, one that is no text", List.of(
                    header("same", "1"), header("same", "2"), new RecordHeader("null", null), header("empty", ""),
                    new RecordHeader("bytes", new byte[] {(byte) 0xff, (byte) 0xfe, 0})));
            send(producer, t, -1000, "earlier", "x".repeat(3000), List.of());
            if (arguments[3].equals("yes")) {
                producer.commitTransaction();
            } else if (arguments[3].equals("abort")) {
                producer.flush();
                producer.abortTransaction();
            }
        }
    }

    private static void send(
            KafkaProducer<byte[], byte[]> producer, String topic, long later, String key, String value, List<Header> headers) {
        producer.send(new ProducerRecord<>(topic, 0, 1_700_000_000_000L + later, bytes(key), bytes(value), headers));
    }

    private static Header header(String key, String value) {
        return new RecordHeader(key, bytes(value));
    }

    private static byte[] bytes(String text) {
        return text == null ? null : text.getBytes(StandardCharsets.UTF_8);
    }
}
