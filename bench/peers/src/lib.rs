//! The same batches, written and read by hop and by its peers.
//!
//! Records are alerts as hop writes them: a key, a value, and three headers. Whoever reads a batch looks at every
//! record's offset, key, value and format. All three check the batch's checksum, and none copies keys or values. The
//! peers make an object of every record and its headers; hop hands records out one by one.

#[path = "../../../benches/alerts/mod.rs"]
mod alerts;

use bytes::{Bytes, BytesMut};
use hop::wire::Compression;
use hop::wire::record::{BatchBuilder, Batches, DecodeLimits, HeaderRef, ProducerStamp};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::{self as theirs, RecordBatchDecoder, RecordBatchEncoder, RecordEncodeOptions};
use krafka::__private::protocol as krafka_protocol;

/// Of a record's value.
pub const SIZES: [usize; 3] = [100, 1024, 100 * 1024];
pub const CODECS: [Compression; 5] =
    [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];
const TIMESTAMP: i64 = 1_700_000_000_000;

/// As many records of this size as fill a batch, with their keys.
pub fn records(size: usize) -> Vec<(Bytes, Bytes)> {
    (0..)
        .zip(alerts::alerts(size))
        .map(|(number, alert)| (format!("alert-{number}").into(), alert.into()))
        .collect()
}

/// The headers of every message of hop's: its format first, then its id and its sender.
const HEADERS: [(&str, &[u8]); 3] =
    [("_format", b"json"), ("_id", b"0123456789abcdef"), ("_sender", b"observer-1234")];

/// A sum over what was seen, so that nothing of it can be left out.
fn look(sum: usize, offset: i64, key: Option<&[u8]>, value: Option<&[u8]>, format: Option<&[u8]>) -> usize {
    sum.wrapping_add(offset as usize)
        .wrapping_add(key.map_or(0, <[u8]>::len))
        .wrapping_add(format.map_or(0, <[u8]>::len))
        .wrapping_add(value.map_or(0, |value| value.len() + usize::from(value[0])))
}

pub mod hop_client {
    use super::*;

    pub fn write(codec: Compression, records: &[(Bytes, Bytes)]) -> Bytes {
        let headers = HEADERS.map(|(key, value)| HeaderRef { key: key.as_bytes(), value: Some(value) });
        let mut builder = BatchBuilder::new(codec);
        for (key, value) in records {
            builder.append(TIMESTAMP, Some(key), Some(value), &headers).expect("it fits");
        }
        builder.finish(ProducerStamp::NONE).expect("it can be compressed")
    }

    pub fn read(batch: &Bytes) -> usize {
        let mut sum = 0;
        for batch in Batches::new(batch.clone(), DecodeLimits::default()) {
            for record in batch.expect("a sound batch").records() {
                let record = record.expect("a sound record");
                let format = record.headers().flatten().find(|header| header.key == b"_format");
                let format = format.and_then(|header| header.value);
                sum = look(sum, record.offset, record.key, record.value, format);
            }
        }
        sum
    }
}

pub mod kafka_protocol_records {
    use super::*;

    fn codec(codec: Compression) -> theirs::Compression {
        match codec {
            Compression::Gzip => theirs::Compression::Gzip,
            Compression::Snappy => theirs::Compression::Snappy,
            Compression::Lz4 => theirs::Compression::Lz4,
            Compression::Zstd => theirs::Compression::Zstd,
            _ => theirs::Compression::None,
        }
    }

    pub fn write(compression: Compression, records: &[(Bytes, Bytes)]) -> Bytes {
        // Its records are made for each batch, as a producer must: they hold the offset and the sequence in it, and
        // where those have a gap another batch begins.
        let records: Vec<theirs::Record> = (0_i32..)
            .zip(records)
            .map(|(offset, (key, value))| theirs::Record {
                transactional: false,
                control: false,
                delete_horizon: false,
                partition_leader_epoch: -1,
                producer_id: -1,
                producer_epoch: -1,
                timestamp_type: theirs::TimestampType::Creation,
                offset: offset.into(),
                sequence: offset,
                timestamp: TIMESTAMP,
                key: Some(key.clone()),
                value: Some(value.clone()),
                headers: HEADERS
                    .iter()
                    .map(|&(key, value)| (StrBytes::from_static_str(key), Some(Bytes::from_static(value))))
                    .collect(),
            })
            .collect();
        let mut batch = BytesMut::new();
        let options = RecordEncodeOptions { version: 2, compression: codec(compression) };
        RecordBatchEncoder::encode(&mut batch, &records, &options).expect("it can be written");
        batch.freeze()
    }

    pub fn read(batch: &Bytes) -> usize {
        let set = RecordBatchDecoder::decode(&mut batch.clone()).expect("a sound batch");
        set.records.iter().fold(0, |sum, record| {
            let format = record.headers.get(&b"_format"[..]).and_then(Option::as_deref);
            look(sum, record.offset, record.key.as_deref(), record.value.as_deref(), format)
        })
    }
}

pub mod krafka_records {
    use super::*;

    fn codec(codec: Compression) -> krafka_protocol::Compression {
        match codec {
            Compression::Gzip => krafka_protocol::Compression::Gzip,
            Compression::Snappy => krafka_protocol::Compression::Snappy,
            Compression::Lz4 => krafka_protocol::Compression::Lz4,
            Compression::Zstd => krafka_protocol::Compression::Zstd,
            _ => krafka_protocol::Compression::None,
        }
    }

    pub fn write(compression: Compression, records: &[(Bytes, Bytes)]) -> Bytes {
        let mut batch = krafka_protocol::RecordBatchBuilder::new()
            .compression(codec(compression))
            .base_timestamp(TIMESTAMP);
        for (key, value) in records {
            let headers = HEADERS
                .iter()
                .map(|&(key, value)| (Bytes::from_static(key.as_bytes()), Some(Bytes::from_static(value))));
            batch = batch.add_record_with_headers(Some(key.clone()), Some(value.clone()), headers.collect());
        }
        let batch = batch.build();
        batch.encode().expect("it can be written")
    }

    pub fn read(batch: &Bytes) -> usize {
        let batch = krafka_protocol::RecordBatch::decode(&mut batch.clone()).expect("a sound batch");
        batch.records.iter().fold(0, |sum, record| {
            let offset = batch.base_offset + i64::from(record.offset_delta);
            let format = record.headers.iter().find(|header| header.key == "_format");
            let format = format.and_then(|header| header.value.as_deref());
            look(sum, offset, record.key.as_deref(), record.value.as_deref(), format)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_read_what_each_wrote() {
        for size in SIZES {
            let records = records(size);
            for codec in CODECS {
                let written = [
                    hop_client::write(codec, &records),
                    kafka_protocol_records::write(codec, &records),
                    krafka_records::write(codec, &records),
                ];
                let expected = hop_client::read(&written[0]);
                for batch in &written {
                    let sums = [
                        hop_client::read(batch),
                        kafka_protocol_records::read(batch),
                        krafka_records::read(batch),
                    ];
                    assert_eq!(sums, [expected; 3], "{codec:?} {size}");
                }
            }
        }
    }
}
