import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.record.CompressionType;
import org.apache.kafka.common.record.MemoryRecords;
import org.apache.kafka.common.record.SimpleRecord;

/** Prints message sets of versions 0 and 1 as the Java client wrote them: version, codec, and the set in hex. */
public final class MessageSets {
    public static void main(String[] arguments) {
        for (byte version = 0; version <= 1; version++) {
            for (CompressionType codec : CompressionType.values()) {
                if (codec == CompressionType.ZSTD) {
                    continue;
                }
                ByteBuffer set = MemoryRecords.withRecords(version, 40L, Compression.of(codec).build(),
                        record(0, "key", "value"), record(1, null, "null key"), record(2, "null value", null),
                        record(3, "", ""), record(-1000, "earlier", "x".repeat(3000))).buffer();
                StringBuilder hex = new StringBuilder();
                while (set.hasRemaining()) {
                    hex.append(String.format("%02x", set.get()));
                }
                System.out.println(version + " " + codec.name + " " + hex);
            }
        }
    }

    private static SimpleRecord record(long later, String key, String value) {
        return new SimpleRecord(1_700_000_000_000L + later, bytes(key), bytes(value));
    }

    private static byte[] bytes(String text) {
        return text == null ? null : text.getBytes(StandardCharsets.UTF_8);
    }
}
