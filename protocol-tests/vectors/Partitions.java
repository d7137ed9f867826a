import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.TreeSet;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Writes each key of standard input (a line each, in hexadecimal, or none, or empty) to topics with the Java client, and
 * prints where it went: ADDRESS PREFIX COUNT..., of topics PREFIX-COUNT that have so many partitions.
 */
public final class Partitions {
    /** A key that does not decide shows as one by going to several. */
    private static final int ATTEMPTS = 16;

    public static void main(String[] arguments) throws Exception {
        // Another partition for each record without a key.
        Properties settings = new Properties();
        settings.putAll(Map.of("bootstrap.servers", arguments[0], "batch.size", "1", "linger.ms", "0"));
        List<String> keys = new BufferedReader(new InputStreamReader(System.in)).lines().toList();
        try (var producer = new KafkaProducer<>(settings, new ByteArraySerializer(), new ByteArraySerializer())) {
            System.out.print("key");
            List<List<Set<Integer>>> columns = new ArrayList<>();
            for (int i = 2; i < arguments.length; i++) {
                System.out.print(" " + arguments[i]);
                columns.add(places(producer, arguments[1] + "-" + arguments[i], keys));
            }
            System.out.println();
            for (int row = 0; row < keys.size(); row++) {
                System.out.print(keys.get(row));
                for (List<Set<Integer>> column : columns) {
                    Set<Integer> places = column.get(row);
                    System.out.print(" " + (places.size() == 1 ? places.iterator().next() : "any"));
                }
                System.out.println();
            }
        }
    }

    private static List<Set<Integer>> places(KafkaProducer<byte[], byte[]> producer, String topic, List<String> keys)
            throws Exception {
        List<Set<Integer>> places = new ArrayList<>();
        for (String key : keys) {
            byte[] bytes = switch (key) {
                case "none" -> null;
                case "empty" -> new byte[0];
                default -> HexFormat.of().parseHex(key);
            };
            Set<Integer> seen = new TreeSet<>();
            for (int i = 0; i < (key.equals("none") || key.equals("empty") ? ATTEMPTS : 1); i++) {
                seen.add(producer.send(new ProducerRecord<>(topic, bytes, null)).get().partition());
            }
            places.add(seen);
        }
        return places;
    }
}
