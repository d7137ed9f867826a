import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Random;
import java.util.TreeMap;
import java.util.function.Supplier;
import java.util.stream.Stream;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.protocol.ApiKeys;
import org.apache.kafka.common.protocol.ApiMessage;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.MessageUtil;
import org.apache.kafka.common.protocol.types.BoundField;
import org.apache.kafka.common.protocol.types.Schema;
import org.apache.kafka.common.protocol.types.Struct;
import org.apache.kafka.common.protocol.types.TaggedFields;
import org.apache.kafka.common.protocol.types.Type;
import org.apache.kafka.common.record.internal.MemoryRecords;

/**
 * Prints requests and answers as the Java client writes them: those of the API named, in every version, with a value in
 * every field. Each line is `request` or `response`, the version, and the message without its header in hex.
 */
public final class Messages {
    private static final Random RANDOM = new Random(7);

    public static void main(String[] arguments) {
        ApiKeys api = Stream.of(ApiKeys.values()).filter(known -> known.name.equals(arguments[0])).findFirst().get();
        print("request", api.messageType.requestSchemas(), api.messageType::newRequest);
        print("response", api.messageType.responseSchemas(), api.messageType::newResponse);
    }

    private static void print(String side, Schema[] schemas, Supplier<ApiMessage> empty) {
        for (short version = 0; version < schemas.length; version++) {
            if (schemas[version] == null) {
                continue;
            }
            Struct struct = (Struct) value(schemas[version]);
            ByteBuffer filled = ByteBuffer.allocate(schemas[version].sizeOf(struct));
            schemas[version].write(filled, struct);
            filled.flip();
            // Read by the class that the client uses, and written by it: what it would not write so is not here.
            ApiMessage message = empty.get();
            message.read(new ByteBufferAccessor(filled), version);
            ByteBuffer bytes = MessageUtil.toByteBufferAccessor(message, version).buffer();
            StringBuilder hex = new StringBuilder();
            while (bytes.hasRemaining()) {
                hex.append(String.format("%02x", bytes.get()));
            }
            System.out.println(side + " " + version + " " + hex);
        }
    }

    private static Object value(Type type) {
        if (type.isArray()) {
            Object[] elements = new Object[1 + RANDOM.nextInt(2)];
            for (int i = 0; i < elements.length; i++) {
                elements[i] = value(type.arrayElementType().get());
            }
            return elements;
        }
        if (type instanceof TaggedFields tagged) {
            TreeMap<Integer, Object> values = new TreeMap<>();
            for (var field : tagged.fields().entrySet()) {
                values.put(field.getKey(), value(field.getValue().type));
            }
            return values;
        }
        if (type instanceof Schema schema) {
            Struct struct = new Struct(schema);
            for (BoundField field : schema.fields()) {
                struct.set(field, value(field.def.type));
            }
            return struct;
        }
        String text = "text-" + RANDOM.nextInt(1000);
        switch (type.toString().replace("COMPACT_", "").replace("NULLABLE_", "")) {
            case "BOOLEAN": return true;
            case "INT8": return (byte) (1 + RANDOM.nextInt(100));
            case "INT16": return (short) (1 + RANDOM.nextInt(30000));
            case "UINT16": return 1 + RANDOM.nextInt(60000);
            case "INT32": return 1 + RANDOM.nextInt(Integer.MAX_VALUE - 1);
            case "UINT32": return 1L + RANDOM.nextInt(Integer.MAX_VALUE - 1);
            case "INT64": return 1 + (RANDOM.nextLong() >>> 1);
            case "FLOAT64": return RANDOM.nextDouble();
            case "UUID": return new Uuid(RANDOM.nextLong(), RANDOM.nextLong());
            case "STRING": return text;
            case "BYTES": return ByteBuffer.wrap(text.getBytes(StandardCharsets.UTF_8));
            case "RECORDS": return MemoryRecords.readableRecords(
                    ByteBuffer.wrap(text.getBytes(StandardCharsets.UTF_8)));
            default: throw new IllegalStateException("no value for " + type);
        }
    }
}
