import java.util.Map;
import java.util.Set;
import org.apache.kafka.common.protocol.ApiKeys;
import org.apache.kafka.common.protocol.types.BoundField;
import org.apache.kafka.common.protocol.types.Field;
import org.apache.kafka.common.protocol.types.Schema;
import org.apache.kafka.common.protocol.types.TaggedFields;
import org.apache.kafka.common.protocol.types.Type;

/** Prints how Apache Kafka lays out the messages that are named, as src/wire/layout/table.rs; scripts/layouts runs it. */
public final class Layouts {
    public static void main(String[] arguments) {
        String release = arguments[0];
        System.out.println("//! Written by `scripts/layouts` from Apache Kafka " + release + "; not edited by hand.");
        System.out.println();
        System.out.println("use super::{Row, Side};");
        System.out.println();
        System.out.println("#[rustfmt::skip]");
        System.out.println("pub(super) const ROWS: &[Row] = &[");
        Set<String> wanted = Set.of(arguments);
        for (ApiKeys api : ApiKeys.values()) {
            if (wanted.contains(api.name)) {
                rows(api, "Request", api.messageType.requestSchemas());
                rows(api, "Response", api.messageType.responseSchemas());
            }
        }
        System.out.println("];");
    }

    /** One row for each run of versions that look the same. */
    private static void rows(ApiKeys api, String side, Schema[] schemas) {
        int first = 0;
        String open = null;
        for (int version = 0; version <= schemas.length; version++) {
            Schema schema = version < schemas.length ? schemas[version] : null;
            String layout = schema == null ? null : fields(schema);
            if (open != null && !open.equals(layout)) {
                System.out.printf(
                        "    Row { key: %d, side: Side::%s, first: %d, last: %d, fields: \"%s\" }, // %s%n",
                        api.id, side, first, version - 1, open, api.name);
            }
            if (layout != null && !layout.equals(open)) {
                first = version;
            }
            open = layout;
        }
    }

    private static String fields(Schema schema) {
        StringBuilder out = new StringBuilder();
        for (BoundField field : schema.fields()) {
            out.append(type(field.def.type));
        }
        return out.toString();
    }

    private static String type(Type type) {
        if (type.isArray()) {
            boolean compact = type.getClass().getSimpleName().startsWith("Compact");
            String element = type(type.arrayElementType().get());
            return optional(type) + (compact ? "{" + element + "}" : "[" + element + "]");
        }
        if (type instanceof TaggedFields tagged) {
            StringBuilder out = new StringBuilder("<");
            for (Map.Entry<Integer, Field> field : tagged.fields().entrySet()) {
                out.append((char) ('a' + field.getKey())).append('(').append(type(field.getValue().type)).append(')');
            }
            return out.append('>').toString();
        }
        if (type instanceof Schema schema) {
            return type.isNullable() ? "?(" + fields(schema) + ")" : fields(schema);
        }
        String name = type.toString();
        String bare = name.replace("COMPACT_", "").replace("NULLABLE_", "");
        boolean compact = name.startsWith("COMPACT_");
        switch (bare) {
            case "BOOLEAN": return "f";
            case "INT8": return "1";
            case "INT16": case "UINT16": return "2";
            case "INT32": case "UINT32": return "4";
            case "INT64": case "FLOAT64": return "8";
            case "UUID": return "u";
            case "STRING": return optional(type) + (compact ? "S" : "s");
            case "BYTES": case "RECORDS": return optional(type) + (compact ? "B" : "b");
            default: throw new IllegalStateException("no letter for " + name + " " + type.getClass());
        }
    }

    private static String optional(Type type) {
        return type.isNullable() ? "?" : "";
    }
}
