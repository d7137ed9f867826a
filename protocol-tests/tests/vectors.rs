//! Bytes that other implementations wrote, read by ours and, where there is one way to write them, written again.
//!
//! They are in `vectors/`, with the script that recorded them: messages and old message sets of Apache Kafka's Java
//! client, batches of that, of librdkafka and of franz-go; and where keys went that they wrote.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests say what is wrong by panicking"
)]

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use hop::kafka::partitioner::{Partitioner, Place, Placement, Unplaced};
use hop::wire::Compression;
use hop::wire::api::APIS;
use hop::wire::layout::Side;
use hop::wire::record::{Batch, BatchBuilder, Batches, DecodeLimits, HeaderRef, ProducerStamp};
use protocol_tests::round_trip::again;

const CLIENTS: [&str; 3] = ["java", "librdkafka", "franz-go"];
const CODECS: [Compression; 5] =
    [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];
const FIRST_TIMESTAMP: i64 = 1_700_000_000_000;

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors")
}

/// The lines of a file that are no comments, in words.
fn lines(path: &Path) -> Vec<Vec<String>> {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.split(' ').map(str::to_owned).collect()).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

// ---- Messages ---------------------------------------------------------------------------------------------------

#[test]
fn every_message_of_the_java_client_is_read_and_written_to_the_byte() {
    let mut wrong = Vec::new();
    for api in APIS {
        let recorded = lines(&vectors().join("messages").join(api.name).with_extension("txt"));
        for (side, name) in [(Side::Request, "request"), (Side::Response, "response")] {
            for version in api.versions.iter() {
                let line = recorded.iter().find(|line| line[0] == name && line[1] == version.to_string());
                let line = line.unwrap_or_else(|| panic!("no {name} {version} of {}", api.name));
                let body = bytes(&line[2]);
                if again(api.key, side, version, &body).as_ref() != Some(&body) {
                    wrong.push(format!("{} {version} {name}", api.name));
                }
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

// ---- Batches ----------------------------------------------------------------------------------------------------

/// A record as it was handed to the other client.
struct Written {
    later: i64,
    key: Option<&'static str>,
    value: Option<String>,
    headers: &'static [(&'static str, Option<&'static [u8]>)],
}

fn written() -> Vec<Written> {
    let record = |later, key, value: Option<&str>| Written {
        later,
        key,
        value: value.map(str::to_owned),
        headers: &[],
    };
    vec![
        record(0, Some("key"), Some("value")),
        record(1, None, Some("null key")),
        record(2, Some("null value"), None),
        record(3, Some(""), Some("")),
        Written {
            headers: &[
                ("same", Some(b"1")),
                ("same", Some(b"2")),
                ("null", None),
                ("empty", Some(b"")),
                ("bytes", Some(b"\xff\xfe\0")),
            ],
            ..record(4, Some("headers"), Some("twice the same, one null, one that is no text"))
        },
        record(-1000, Some("earlier"), Some(&"x".repeat(3000))),
    ]
}

fn read(bytes: &[u8]) -> Batch {
    let mut batches = Batches::new(Bytes::copy_from_slice(bytes), DecodeLimits::default());
    let batch = batches.next().expect("a batch").expect("a sound batch");
    assert!(batches.next().is_none());
    batch
}

/// Compares the records of a batch with those that were written, from the `nth` on; and says how many there are.
fn compare(batch: &Batch, written: &[Written], nth: usize, name: &str) -> usize {
    let mut count = 0;
    for record in batch.records() {
        let (record, expected) = (record.unwrap(), &written[nth + count]);
        assert_eq!(record.offset, i64::try_from(nth + count).unwrap(), "{name}");
        assert_eq!(record.timestamp, FIRST_TIMESTAMP + expected.later, "{name}");
        assert_eq!(record.key, expected.key.map(str::as_bytes), "{name}");
        assert_eq!(record.value, expected.value.as_deref().map(str::as_bytes), "{name}");
        let headers: Vec<_> = record.headers().map(Result::unwrap).collect();
        let headers: Vec<_> = headers.iter().map(|header| (header.key, header.value)).collect();
        let expected: Vec<_> = expected.headers.iter().map(|(key, value)| (key.as_bytes(), *value)).collect();
        assert_eq!(headers, expected, "{name}");
        count += 1;
    }
    assert_eq!(count, usize::try_from(batch.record_count()).unwrap(), "{name}");
    count
}

/// The same records in a batch of ours.
fn write(batch: &Batch) -> Bytes {
    let mut builder = BatchBuilder::new(Compression::None);
    for record in batch.records() {
        let record = record.unwrap();
        let headers: Vec<_> = record.headers().map(Result::unwrap).collect();
        let headers: Vec<_> =
            headers.iter().map(|header| HeaderRef { key: header.key, value: header.value }).collect();
        builder.append(record.timestamp, record.key, record.value, &headers).unwrap();
    }
    let stamp = ProducerStamp {
        producer_id: batch.producer_id(),
        producer_epoch: batch.producer_epoch(),
        base_sequence: batch.base_sequence(),
        transactional: batch.is_transactional(),
    };
    builder.finish(stamp).unwrap()
}

fn batches_of(name: &str) -> Vec<Vec<u8>> {
    let path = vectors().join("batches").join(format!("{name}.txt"));
    lines(&path).iter().map(|line| bytes(&line[0])).collect()
}

#[test]
fn batches_of_every_client_codec_and_shape_of_record_mean_what_was_written() {
    let written = written();
    for client in CLIENTS {
        for codec in CODECS {
            let name = format!("{client}-{}", codec.name());
            let mut nth = 0;
            for bytes in batches_of(&name) {
                let batch = read(&bytes);
                assert_eq!(batch.base_offset(), i64::try_from(nth).unwrap(), "{name}");
                nth += compare(&batch, &written, nth, &name);
            }
            assert_eq!(nth, written.len(), "{name}");
            // One of them at least is worth compressing.
            let compressed = batches_of(&name).iter().any(|batch| i16::from(batch[22] & 7) == codec.id());
            assert!(compressed, "{name}");
        }
    }
}

#[test]
fn uncompressed_batches_of_every_client_are_written_to_the_byte() {
    for client in CLIENTS {
        for bytes in batches_of(&format!("{client}-none")) {
            let ours = write(&read(&bytes));
            // A broker gives a batch its offset and the leader's epoch; no checksum covers them.
            assert_eq!(ours[8..12], bytes[8..12], "{client}");
            assert_eq!(ours[16..], bytes[16..], "{client}");
        }
    }
}

#[test]
fn transactions_are_marked_and_end_in_a_mark() {
    let written = written();
    for client in CLIENTS {
        for (end, committed) in [("committed", true), ("aborted", false)] {
            let name = format!("{client}-{end}");
            let batches: Vec<_> = batches_of(&name).iter().map(|bytes| read(bytes)).collect();
            let (mark, batches) = batches.split_last().unwrap();
            let mut nth = 0;
            for batch in batches {
                assert!(batch.is_transactional() && !batch.is_control(), "{name}");
                assert_eq!(batch.producer_id(), mark.producer_id(), "{name}");
                nth += compare(batch, &written, nth, &name);
            }
            assert_eq!(nth, written.len(), "{name}");
            assert!(mark.is_control() && mark.is_transactional(), "{name}");
            let key = mark.records().next().unwrap().unwrap().key.unwrap().to_vec();
            assert_eq!(key, [0, 0, 0, u8::from(committed)], "{name}");
        }
    }
}

#[test]
fn old_message_sets_of_every_codec_mean_what_was_written() {
    const FIRST_OFFSET: i64 = 40;
    let sets = lines(&vectors().join("message-sets.txt"));
    assert_eq!(sets.len(), 2 * 4);
    for line in sets {
        let (version, name) = (&line[0], format!("{} {}", line[0], line[1]));
        // Those of these versions have no headers.
        let mut expected = written().into_iter().filter(|record| record.headers.is_empty());
        let mut offset = FIRST_OFFSET;
        for batch in Batches::new(bytes(&line[2]).into(), DecodeLimits::default()) {
            let batch = batch.unwrap();
            for record in batch.records() {
                let (record, expected) = (record.unwrap(), expected.next().unwrap());
                assert_eq!(record.offset, offset, "{name}");
                let timestamp = if version == "0" { -1 } else { FIRST_TIMESTAMP + expected.later };
                assert_eq!(record.timestamp, timestamp, "{name}");
                assert_eq!(record.key, expected.key.map(str::as_bytes), "{name}");
                assert_eq!(record.value, expected.value.as_deref().map(str::as_bytes), "{name}");
                offset += 1;
            }
        }
        assert!(expected.next().is_none(), "{name}");
    }
}

// ---- Partitions -------------------------------------------------------------------------------------------------

/// A line a key, a column a topic; the first line has how many partitions each has.
fn assert_places(partitioner: &Partitioner, file: &str) {
    let recorded = lines(&vectors().join("partitions").join(file).with_extension("txt"));
    let (head, keys) = recorded.split_first().unwrap();
    assert!(keys.len() > 200 && head.len() > 4, "{file}: {} keys, {} topics", keys.len(), head.len() - 1);
    for line in keys {
        let key = match line[0].as_str() {
            "none" => None,
            "empty" => Some(Vec::new()),
            hex => Some(bytes(hex)),
        };
        for (partitions, place) in head[1..].iter().zip(&line[1..]) {
            // Of a single partition nobody can tell why a record went there.
            if partitions == "1" && key.as_ref().is_none_or(Vec::is_empty) {
                continue;
            }
            let placed =
                partitioner.place(&Unplaced::new("topic", key.as_deref(), None), partitions.parse().unwrap());
            let theirs = if place == "any" { Placement::Any } else { Placement::At(place.parse().unwrap()) };
            assert_eq!(placed, theirs, "{file}: {} of {partitions}", line[0]);
        }
    }
}

#[test]
fn keys_go_where_librdkafka_sends_them() {
    assert_places(&Partitioner::ConsistentRandom, "librdkafka-consistent_random");
}

#[test]
fn keys_go_where_java_sends_them_and_librdkafka_in_its_place() {
    assert_places(&Partitioner::Murmur2, "java-murmur2");
    assert_places(&Partitioner::Murmur2, "librdkafka-murmur2_random");
}
