//! Containers that others wrote are in `protocol-tests/interop/test_avro.py`; here is what nobody writes but on purpose.

use std::io::Write as _;

use proptest::prelude::*;
use serde_json::json;

use super::*;

const SYNC: &[u8; 16] = b"0123456789abcdef";

/// A container of one block.
fn container(schema: &Value, codec: &str, count: i64, block: &[u8]) -> Vec<u8> {
    let mut out = b"Obj\x01\x04".to_vec();
    let schema = schema.to_string();
    for part in ["avro.codec", codec, "avro.schema", &schema] {
        encode::put_long(&mut out, i64::try_from(part.len()).unwrap());
        out.extend_from_slice(part.as_bytes());
    }
    out.push(0);
    out.extend_from_slice(SYNC);
    encode::put_long(&mut out, count);
    encode::put_long(&mut out, i64::try_from(block.len()).unwrap());
    out.extend_from_slice(block);
    out.extend_from_slice(SYNC);
    out
}

fn read(schema: &Value, block: &[u8]) -> Result<String, String> {
    AvroBlob::load(&container(schema, "null", 1, block))
        .map(|blob| blob.json_line())
        .map_err(|error| error.to_string())
}

fn long(number: i64) -> Vec<u8> {
    let mut out = Vec::new();
    encode::put_long(&mut out, number);
    out
}

fn value(json: Value) -> AvroValue {
    json.try_into().unwrap()
}

/// What arrives of a content that is sent in a schema.
fn sent(content: Value, schema: Value) -> Result<String, String> {
    let blob = AvroBlob::new(value(content)).with_schema(Json::from(schema));
    let payload = blob.serialize(WireForm::Json).map_err(|error| error.to_string())?;
    Ok(AvroBlob::decode(&payload).unwrap().json_line())
}

#[test]
fn every_type_is_read() {
    for (schema, block, expected) in [
        (json!("null"), &b""[..], "null"),
        (json!("boolean"), b"\x01", "true"),
        (json!({ "type": "int" }), b"\x01", "-1"),
        (json!("long"), b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "-9223372036854775808"),
        (json!("float"), b"\xcd\xcc\xcc\x3d", "0.10000000149011612"),
        (json!("double"), b"\0\0\0\0\0\0\xf8\x7f", "NaN"),
        (json!("bytes"), b"\x04\xff\0", r#"{"$binary": "/wA="}"#),
        (json!("string"), b"\x04\xc3\xa9", r#""\u00e9""#),
        (json!({ "type": "fixed", "name": "F", "size": 2 }), b"ab", r#""ab""#),
        (json!({ "type": "enum", "name": "E", "symbols": ["A", "B"] }), b"\x02", r#""B""#),
        // Two blocks, the first with its length in bytes.
        (json!({ "type": "array", "items": "int" }), b"\x03\x04\x02\x04\x02\x06\0", "[1, 2, 3]"),
        (
            json!({ "type": "map", "values": ["null", "int"] }),
            b"\x04\x02a\0\x02b\x02\x02\0",
            r#"{"a": null, "b": 1}"#,
        ),
        (
            json!({ "type": { "type": "long", "logicalType": "timestamp-millis" } }),
            b"\0",
            r#""1970-01-01T00:00:00+00:00""#,
        ),
    ] {
        assert_eq!(read(&schema, block).as_deref(), Ok(expected), "{schema}");
    }
}

#[test]
fn names_are_found_in_their_namespace() {
    let schema = json!({ "type": "record", "name": "R", "namespace": "a.b", "fields": [
        { "name": "one", "type": { "type": "enum", "name": "E", "symbols": ["A"] } },
        { "name": "two", "type": "E" },
        { "name": "three", "type": "a.b.E" },
        { "name": "next", "type": ["null", "R"] },
    ] });
    assert_eq!(
        read(&schema, b"\0\0\0\x02\0\0\0\0").as_deref(),
        Ok(
            r#"{"one": "A", "two": "A", "three": "A", "next": {"one": "A", "two": "A", "three": "A", "next": null}}"#
        )
    );
    for (schema, said) in [
        (json!("E"), "not defined"),
        (json!({ "type": "array" }), "null is no schema"),
        (json!({ "type": "fixed", "name": "F" }), "has no size"),
        (json!({ "type": "record", "fields": [] }), "has no name"),
        (json!({ "type": "record", "name": "R" }), "no list of fields"),
        (
            json!([{ "type": "fixed", "name": "F", "size": 1 }, { "type": "fixed", "name": "F", "size": 1 }]),
            "twice",
        ),
        (json!({}), "no type"),
    ] {
        let error = read(&schema, b"").unwrap_err();
        assert!(error.contains(said), "{schema}: {error}");
    }
}

#[test]
fn several_records_are_an_array_and_none_is_an_empty_one() {
    let two = AvroBlob::load(&container(&json!("long"), "null", 2, b"\x02\x04")).unwrap();
    assert_eq!((two.json_line().as_str(), two.is_single_record(), two.records().len()), ("[1, 2]", false, 2));
    let none = AvroBlob::load(&container(&json!("long"), "null", 0, b"")).unwrap();
    assert_eq!((none.json_line().as_str(), none.is_single_record()), ("[]", false));
    let one = AvroBlob::load(&container(&json!("long"), "null", 1, b"\x02")).unwrap();
    assert_eq!((one.json_line().as_str(), one.is_single_record(), one.records().len()), ("1", true, 1));
}

#[test]
fn what_was_read_is_sent_as_it_was_but_uncompressed() {
    let schema = json!({ "type": "string", "doc": "kept" });
    let plain = container(&schema, "null", 1, b"\x0aalert");
    assert_eq!(AvroBlob::load(&plain).unwrap().serialize(WireForm::Original).unwrap(), plain);
    let mut deflate = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
    deflate.write_all(b"\x0aalert").unwrap();
    let mut snappy = snap::raw::Encoder::new().compress_vec(b"\x0aalert").unwrap();
    snappy.extend_from_slice(&crc32fast::hash(b"\x0aalert").to_be_bytes());
    // A frame with one segment, of one block that is stored as it is.
    let zstandard = b"\x28\xb5\x2f\xfd\x20\x06\x31\0\0\x0aalert";
    for (codec, block) in
        [("deflate", &deflate.finish().unwrap()[..]), ("snappy", &snappy), ("zstandard", zstandard)]
    {
        let blob = AvroBlob::load(&container(&schema, codec, 1, block)).unwrap();
        assert_eq!(blob.to_text().as_ref(), b"alert", "{codec}");
        assert_eq!(blob.schema().unwrap().to_value(), schema);
        assert_eq!(blob.serialize(WireForm::Json).unwrap(), plain, "{codec}");
    }
    let error = AvroBlob::load(&container(&schema, "bzip2", 1, b"")).unwrap_err().to_string();
    assert!(error.contains("\"bzip2\", which is not read here; null, deflate"), "{error}");
}

#[test]
fn damage_is_named() {
    let schema = json!({ "type": "enum", "name": "E", "symbols": ["A"] });
    let good = container(&json!("string"), "null", 1, b"\x04ab");
    let mut other_mark = good.clone();
    *other_mark.last_mut().unwrap() ^= 1;
    for (bytes, said) in [
        (b"no Avro".to_vec(), "does not begin with"),
        (b"Obj\x01".to_vec(), "in the header it is cut off"),
        (b"Obj\x01\0aaaaaaaaaaaaaaaa".to_vec(), "the header has no schema"),
        (other_mark, "not marked"),
        (good.get(..good.len() - 1).unwrap().to_vec(), "record 1 it is cut off"),
        (container(&json!("string"), "null", 1, b"\x06ab"), "at record 1 it is cut off"),
        (container(&json!("string"), "null", 1, b"\x02\xff"), "not UTF-8"),
        (container(&json!("string"), "null", 1, b"\x01"), "-1 is no length"),
        (container(&json!("string"), "null", 1, b"\x02abc"), "more than its schema says"),
        (container(&json!("long"), "null", 1, &[0xff; 11]), "more than 64 bits"),
        (container(&json!("long"), "null", -1, b""), "-1 is no length"),
        (container(&json!(["null"]), "null", 1, b"\x02"), "no branch 1"),
        (container(&schema, "null", 1, b"\x02"), "no symbol 1"),
        (container(&json!("long"), "deflate", 1, b"\xff"), "cannot be decompressed"),
        (container(&json!("long"), "snappy", 1, b"abcdefgh"), "damaged"),
        (container(&json!("long"), "zstandard", 1, b"abc"), "cannot be decompressed"),
    ] {
        let error = AvroBlob::load(&bytes).unwrap_err().to_string();
        assert!(error.contains(said), "{said}: {error}");
    }
}

#[test]
fn what_would_never_end_is_refused() {
    let node = json!({ "type": "record", "name": "R", "fields": [{ "name": "r", "type": "R" }] });
    let wide = (1..40).fold(json!("null"), |inner, level| {
        let name = format!("L{level}");
        let again = if level == 1 { json!("null") } else { json!(format!("L{}", level - 1)) };
        json!({ "type": "record", "name": name, "fields": [{ "name": "a", "type": inner }, { "name": "b", "type": again }] })
    });
    let listed =
        json!({ "type": "record", "name": "R", "fields": [{ "name": "r", "type": ["null", [["R"]]] }] });
    let symbols = vec![""; 100_000];
    let again = vec![json!({ "type": "E", "logicalType": "" }); 2_000];
    let copies = [vec![json!({ "type": "enum", "name": "E", "symbols": symbols })], again].concat();
    // Copies of it would be gigabytes.
    read(&json!(copies), &[long(1_000), long(7)].concat()).unwrap();
    let far = json!({ "type": "fixed", "name": "F", "namespace": "n".repeat(2_000), "size": 1 });
    let nulls = json!({ "type": "array", "items": "null" });
    let empty = json!({ "type": "map", "values": { "type": "record", "name": "E", "fields": [] } });
    for (schema, block, said) in [
        (&node, vec![], "256 levels"),
        (&listed, [2, 0, 0].repeat(1000), "256 levels"),
        (&wide, vec![], "128 MiB"),
        (&far, vec![0], "longer than 1024 bytes"),
        (&nulls, [long(i64::MAX), vec![0]].concat(), "128 MiB"),
        (&nulls, [long(i64::MIN), long(0)].concat(), "128 MiB"),
        (&empty, [long(1 << 40), vec![0; 100]].concat(), "cut off"),
        (&json!("bytes"), long(i64::MAX), "cut off"),
        (&json!({ "type": "fixed", "name": "F", "size": u64::MAX }), vec![], "cut off"),
    ] {
        let error = read(schema, &block).unwrap_err();
        assert!(error.contains(said), "{said}: {error}");
    }
    let many = AvroBlob::load(&container(&json!("null"), "null", i64::MAX, b"")).unwrap_err().to_string();
    assert!(many.contains("128 MiB"), "{many}");
}

#[test]
fn a_bomb_is_refused() {
    let zeros = vec![0; 70 << 20];
    let mut deflate = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
    deflate.write_all(&zeros).unwrap();
    let snappy = [snap::raw::Encoder::new().compress_vec(&zeros).unwrap(), vec![0; 4]].concat();
    for (codec, block) in [("deflate", deflate.finish().unwrap()), ("snappy", snappy)] {
        let error = AvroBlob::load(&container(&json!("long"), codec, 1, &block)).unwrap_err().to_string();
        assert!(error.contains("64 MiB"), "{codec}: {error}");
    }
    let lie = [long(0), b"\xff\xff\xff\xff\x07abcd".to_vec()].concat();
    let error = AvroBlob::load(&container(&json!("long"), "snappy", 1, &lie[1..])).unwrap_err().to_string();
    assert!(error.contains("damaged"), "{error}");
}

#[test]
fn a_schema_is_made_up_as_hop_client_makes_it() {
    let record = |name: &str, fields: Value| json!({ "type": "record", "name": name, "fields": fields });
    for (content, schema) in [
        (json!({ "a": 1, "b": 2 }), json!({ "type": "map", "values": "long" })),
        (json!({}), json!({ "type": "map", "values": [] })),
        (json!([1, "a"]), json!({ "type": "array", "items": ["long", "string"] })),
        (json!("s"), json!("string")),
        (json!({ "a": null }), json!({ "type": "map", "values": "null" })),
        (
            json!({ "name": "Bob", "age": 40, "height": 2.05 }),
            record(
                "auto_record0",
                json!([
                    { "name": "name", "type": "string" },
                    { "name": "age", "type": "long" },
                    { "name": "height", "type": "double" },
                ]),
            ),
        ),
        (
            json!([[1], []]),
            json!({ "type": "array", "items": [{ "type": "array", "items": "long" }, { "type": "array", "items": [] }] }),
        ),
        (
            json!({ "x": { "p": 1, "q": "r" }, "y": { "p": 2, "q": "s" } }),
            record(
                "auto_record2",
                json!([
                    { "name": "x", "type": record("auto_record0", json!([
                        { "name": "p", "type": "long" }, { "name": "q", "type": "string" },
                    ])) },
                    { "name": "y", "type": record("auto_record1", json!([
                        { "name": "p", "type": "long" }, { "name": "q", "type": "string" },
                    ])) },
                ]),
            ),
        ),
    ] {
        let blob = AvroBlob::new(value(content.clone()));
        assert_eq!(blob.schema(), None);
        let received = AvroBlob::decode(&blob.serialize(WireForm::Json).unwrap()).unwrap();
        assert_eq!(received.schema().unwrap().to_value(), schema);
        assert_eq!(received.to_json(), content);
        assert!(received.is_single_record());
    }
    let bytes = AvroBlob::new(vec![0xff]);
    assert_eq!(AvroBlob::decode(&bytes.serialize(WireForm::Json).unwrap()).unwrap(), bytes);
}

#[test]
fn a_given_schema_is_followed() {
    let record = json!({ "type": "record", "name": "R", "fields": [
        { "name": "a", "type": "float" },
        { "name": "b", "type": "bytes", "default": "\u{ff}" },
        { "name": "c", "type": ["null", { "type": "enum", "name": "E", "symbols": ["X"] }, "string"] },
        { "name": "d", "type": ["double", "long"], "default": 1.5 },
    ] });
    for (content, schema, expected) in [
        (json!({ "a": 1 }), &record, r#"{"a": 1.0, "b": {"$binary": "/w=="}, "c": null, "d": 1.5}"#),
        (
            json!({ "a": 0.5, "c": "X", "d": 2 }),
            &record,
            r#"{"a": 0.5, "b": {"$binary": "/w=="}, "c": "X", "d": 2}"#,
        ),
        // The branch that keeps the value as it is, also inside of another.
        (
            json!([[1.5], [2]]),
            &json!({ "type": "array", "items": [
            { "type": "array", "items": "double" }, { "type": "array", "items": "long" },
        ] }),
            "[[1.5], [2]]",
        ),
        // The record that has most of the fields.
        (
            json!({ "p": 1, "q": 2 }),
            &json!([
                { "type": "record", "name": "A", "fields": [{ "name": "p", "type": "int" }] },
                { "type": "record", "name": "B", "fields": [{ "name": "p", "type": "int" }, { "name": "q", "type": "int" }] },
            ]),
            r#"{"p": 1, "q": 2}"#,
        ),
        (json!(3), &json!("double"), "3.0"),
    ] {
        assert_eq!(sent(content, schema.clone()).as_deref(), Ok(expected));
    }
    for (content, schema, said) in [
        (json!("s"), json!("long"), "asks for long, not for a string"),
        (json!(1_i64 << 31), json!("int"), "asks for int"),
        (json!({}), record, "\"a\": the schema asks for float, not for null"),
        (json!("s"), json!(["long", "null"]), "no branch of a union takes a string"),
        (json!(1), json!("unknown"), "not defined"),
        (json!("Y"), json!({ "type": "enum", "name": "E", "symbols": ["X"] }), "no symbol \"Y\""),
    ] {
        let error = sent(content, schema).unwrap_err();
        assert!(error.contains(said), "{said}: {error}");
    }
    assert!(AvroValue::try_from(json!(u64::MAX)).is_err());
}

#[test]
fn a_schema_that_has_everything_tried_is_given_up() {
    // Each level is one of two records of the same field, and what is at the end fits neither.
    let schema = json!([
        { "type": "record", "name": "A", "fields": [{ "name": "x", "type": ["null", "A", { "type": "record", "name": "B", "fields": [
            { "name": "x", "type": ["null", "A", "B"] }
        ] }] }] },
    ]);
    let content = (0..60).fold(json!("end"), |inner, _| json!({ "x": inner }));
    let error = sent(content, schema).unwrap_err();
    assert!(error.contains("takes a map"), "{error}");
    // A default that is made of defaults.
    let schema = json!({ "type": "record", "name": "R", "fields": [
        { "name": "x", "type": [[["R"]], "null"], "default": {} },
    ] });
    let error = sent(json!({}), schema).unwrap_err();
    assert!(error.contains("takes a map"), "{error}");
}

#[test]
fn an_envelope_is_read_and_not_written() {
    let registry = crate::models::Registry::standard();
    let decode = |content: &str| {
        let payload = format!(r#"{{"format": "avro", "content": {content}}}"#);
        registry.decode(None, payload.as_bytes()).map(|decoded| decoded.model.json_line())
    };
    assert_eq!(decode(r#"{"content": [1], "single_record": false}"#).unwrap(), "[1]");
    assert_eq!(decode(r#"{"content": {"a": 1}, "schema": null}"#).unwrap(), r#"{"a": 1}"#);
    for content in
        ["5", "{}", r#"{"content": 1, "single_record": false}"#, r#"{"content": 18446744073709551615}"#]
    {
        assert!(decode(content).is_err(), "{content}");
    }
    let error = AvroBlob::new(1_i64).serialize(WireForm::Envelope).unwrap_err().to_string();
    assert!(error.contains("without the envelope"), "{error}");
}

fn values() -> impl Strategy<Value = AvroValue> {
    let leaf = prop_oneof![
        Just(AvroValue::Null),
        any::<bool>().prop_map(AvroValue::from),
        any::<i64>().prop_map(AvroValue::from),
        prop::num::f64::NORMAL.prop_map(AvroValue::from),
        prop::collection::vec(any::<u8>(), 0..4).prop_map(AvroValue::from),
        "\\PC{0,5}".prop_map(AvroValue::from),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(AvroValue::Array),
            prop::collection::vec(("[a-d]", inner), 0..5)
                .prop_map(|all| AvroValue::Map(all.into_iter().collect())),
        ]
    })
}

#[test]
fn of_records_that_take_a_value_that_without_other_fields_is_chosen() {
    let record = |json| AvroValue::try_from(json).unwrap();
    for records in [
        [record(json!({ "c": {}, "a": null })), record(json!({ "c": {} }))],
        [record(json!({ "c": {} })), record(json!({ "c": {}, "a": null }))],
    ] {
        let payload = AvroBlob::of_records(records.to_vec()).serialize(WireForm::Json).unwrap();
        assert_eq!(AvroBlob::decode(&payload).unwrap().records(), &records[..]);
    }
}

proptest! {
    #[test]
    fn what_is_sent_arrives(records in prop::collection::vec(values(), 0..4)) {
        for record in &records {
            let sent = AvroBlob::new(record.clone());
            let payload = sent.serialize(WireForm::Json).unwrap();
            let received = AvroBlob::decode(&payload).unwrap();
            prop_assert_eq!(&received, &sent);
            prop_assert_eq!(received.serialize(WireForm::Json).unwrap(), payload);
            Json::parse(received.json_line().as_bytes()).unwrap();
            // In the schema that it came with it can be written again.
            let again = sent.with_schema(received.schema().unwrap().clone());
            let again = AvroBlob::decode(&again.serialize(WireForm::Json).unwrap()).unwrap();
            prop_assert_eq!(&again, &received);
        }
        let payload = AvroBlob::of_records(records.clone()).serialize(WireForm::Json).unwrap();
        let received = AvroBlob::decode(&payload).unwrap();
        prop_assert_eq!(received.records(), &records[..]);
    }

    #[test]
    fn damage_never_panics(record in values(), at in any::<prop::sample::Index>(), bit in 0..8_u32, cut in any::<prop::sample::Index>()) {
        let mut payload = AvroBlob::new(record).serialize(WireForm::Json).unwrap();
        let at = at.index(payload.len());
        payload[at] ^= 1 << bit;
        let _ = AvroBlob::decode(&payload).map(|blob| blob.json_line());
        payload.truncate(cut.index(payload.len()));
        let _ = AvroBlob::decode(&payload).map(|blob| blob.json_line());
    }
}
