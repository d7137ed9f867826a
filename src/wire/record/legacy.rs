//! Messages of versions 0 and 1, as brokers before 0.11 wrote them and old log segments still hold them.
//!
//! There are no batches here: each message stands alone, or is a wrapper whose value is a compressed set of others.
//! A message, or a wrapper with what is in it, is read as a batch. Inside a wrapper of version 0 offsets are absolute;
//! of version 1 (KIP-31) they are relative, and the wrapper's own offset is that of the last. A wrapper whose time is
//! that of appending (KIP-32) gives it to all that it holds.

use bytes::Bytes;

use super::batch::BatchHeader;
use super::reader::Reader;
use super::records::Rest;
use super::{Compression, DecodeLimits, Record, RecordError};
use crate::wire::buffers::Buffers;
use crate::wire::compression::{decompress_legacy, likely_bytes};

const COMPRESSION_BITS: i8 = 0b111;
const APPEND_TIME_BIT: i8 = 1 << 3;
const NO_TIMESTAMP: i64 = -1;

/// One message, or a compressed set of them.
#[derive(Debug, Clone)]
pub(super) struct LegacyBatch {
    messages: Bytes,
    /// To be added to each offset in `messages`.
    shift: i64,
    append_time: Option<i64>,
}

/// Iterates over the messages of a [`LegacyBatch`].
#[derive(Debug, Clone)]
pub(super) struct LegacyRecords<'a> {
    pub(super) reader: Reader<'a>,
    /// How many are to come.
    pub(super) left: i32,
    shift: i64,
    append_time: Option<i64>,
}

/// Reads a message that is whole.
pub(super) fn decode(
    bytes: Bytes,
    limits: DecodeLimits,
    buffers: &Buffers,
) -> Result<(BatchHeader, LegacyBatch), RecordError> {
    let outer = Message::read(&mut Reader::new(&bytes))?;
    let codec = i16::from(outer.attributes & COMPRESSION_BITS);
    let compression = Compression::from_id(codec)
        .ok_or(RecordError::Unknown { field: "compression", value: codec.into() })?;
    // zstd came after these versions.
    if compression == Compression::Zstd {
        return Err(RecordError::Unknown { field: "compression", value: codec.into() });
    }
    let append_time =
        (outer.version == 1 && outer.attributes & APPEND_TIME_BIT != 0).then_some(outer.timestamp);
    let (offset, version, timestamp) = (outer.offset, outer.version, outer.timestamp);
    if offset < 0 || offset == i64::MAX {
        return Err(RecordError::Impossible { field: "a message's offset", value: offset });
    }
    let messages = match compression {
        Compression::None => bytes,
        codec => {
            let value =
                outer.value.ok_or(RecordError::Truncated { field: "a compressed message's value" })?;
            let mut out = buffers.take(likely_bytes(value.len()));
            decompress_legacy(codec, value, &mut out, limits.decompressed_bytes)?;
            out.freeze()
        }
    };

    let (mut count, mut first, mut last) = (0_i32, None, i64::MIN);
    let mut reader = Reader::new(&messages);
    while !reader.is_empty() {
        let message = Message::read(&mut reader)?;
        if compression != Compression::None && message.attributes & COMPRESSION_BITS != 0 {
            return Err(RecordError::Impossible {
                field: "a nested message's compression",
                value: message.attributes.into(),
            });
        }
        if message.offset <= last {
            return Err(RecordError::Impossible { field: "a message's offset", value: message.offset });
        }
        first.get_or_insert(message.offset);
        last = message.offset;
        count = count.saturating_add(1);
    }
    let first = first.ok_or(RecordError::Truncated { field: "a compressed set of messages" })?;
    let shift =
        if compression != Compression::None && version == 1 { offset.checked_sub(last) } else { Some(0) };
    let shift = shift.ok_or(RecordError::Impossible { field: "a message's offset", value: last })?;
    let last_in_range = last.checked_add(shift).is_some_and(|last| last <= offset);
    let base_offset = first.checked_add(shift).filter(|&base| base >= 0 && last_in_range);
    let base_offset =
        base_offset.ok_or(RecordError::Impossible { field: "a message's offset", value: first })?;
    let header = BatchHeader {
        base_offset,
        last_offset: offset,
        leader_epoch: -1,
        attributes: codec | if append_time.is_some() { i16::from(APPEND_TIME_BIT) } else { 0 },
        base_timestamp: timestamp,
        max_timestamp: timestamp,
        producer_id: -1,
        producer_epoch: -1,
        base_sequence: -1,
        count,
        compression,
    };
    Ok((header, LegacyBatch { messages, shift, append_time }))
}

impl LegacyBatch {
    pub(super) fn records_of(&self, rest: Rest) -> LegacyRecords<'_> {
        LegacyRecords {
            reader: Reader::of_last(&self.messages, rest.bytes),
            left: rest.records,
            shift: self.shift,
            append_time: self.append_time,
        }
    }

    pub(super) fn bytes(&self) -> &Bytes {
        &self.messages
    }
}

impl<'a> Iterator for LegacyRecords<'a> {
    type Item = Result<Record<'a>, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.reader.is_empty() {
            return None;
        }
        self.left = self.left.saturating_sub(1);
        let record = Message::read(&mut self.reader).and_then(|message| {
            let offset = message.offset.checked_add(self.shift).filter(|&offset| offset >= 0);
            let offset = offset
                .ok_or(RecordError::Impossible { field: "a message's offset", value: message.offset })?;
            let timestamp = self.append_time.unwrap_or(message.timestamp);
            Ok(Record::without_headers(offset, timestamp, message.key, message.value))
        });
        if record.is_err() {
            self.left = 0;
            self.reader = Reader::new(&[]);
        }
        Some(record)
    }
}

struct Message<'a> {
    offset: i64,
    version: i8,
    attributes: i8,
    timestamp: i64,
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
}

impl<'a> Message<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, RecordError> {
        let offset = reader.i64("a message's offset")?;
        let field = "a message's length";
        let length = reader.i32(field)?;
        let length =
            usize::try_from(length).map_err(|_| RecordError::Impossible { field, value: length.into() })?;
        let mut message = Reader::new(reader.take(length, field)?);
        let stated = message.u32("a message's checksum")?;
        let computed = crc32fast::hash(message.rest());
        if stated != computed {
            return Err(RecordError::Checksum { stated, computed });
        }
        let version = message.i8("a message's version")?;
        let attributes = message.i8("a message's attributes")?;
        let timestamp = match version {
            0 => NO_TIMESTAMP,
            1 => message.i64("a message's timestamp")?,
            version => return Err(RecordError::Unknown { field: "format version", value: version.into() }),
        };
        let key = nullable(&mut message, "a message's key")?;
        let value = nullable(&mut message, "a message's value")?;
        Ok(Self { offset, version, attributes, timestamp, key, value })
    }
}

fn nullable<'a>(reader: &mut Reader<'a>, field: &'static str) -> Result<Option<&'a [u8]>, RecordError> {
    match reader.i32(field)? {
        -1 => Ok(None),
        length => {
            let length = usize::try_from(length)
                .map_err(|_| RecordError::Impossible { field, value: length.into() })?;
            reader.take(length, field).map(Some)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Batches;
    use super::super::records::tests::comes_one_by_one;
    use super::*;
    use crate::wire::compression::Compressor;

    fn message(
        offset: i64,
        version: i8,
        attributes: i8,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) -> Vec<u8> {
        let mut body = vec![version.cast_unsigned(), attributes.cast_unsigned()];
        if version == 1 {
            body.extend(timestamp.to_be_bytes());
        }
        for part in [key, value] {
            let length = part.map_or(-1, |part| i32::try_from(part.len()).unwrap());
            body.extend(length.to_be_bytes());
            body.extend(part.unwrap_or_default());
        }
        let mut out = offset.to_be_bytes().to_vec();
        out.extend(i32::try_from(body.len() + 4).unwrap().to_be_bytes());
        out.extend(crc32fast::hash(&body).to_be_bytes());
        out.extend(body);
        out
    }

    fn read(bytes: &[u8]) -> Vec<(i64, i64, Option<Vec<u8>>)> {
        let batches = Batches::new(Bytes::copy_from_slice(bytes), DecodeLimits::default());
        let mut found = Vec::new();
        for batch in batches {
            let batch = batch.unwrap();
            comes_one_by_one(&batch);
            assert_eq!(batch.records().count(), usize::try_from(batch.record_count()).unwrap());
            for record in batch.records() {
                let record = record.unwrap();
                assert!((batch.base_offset()..=batch.last_offset()).contains(&record.offset));
                found.push((record.offset, record.timestamp, record.value.map(<[u8]>::to_vec)));
            }
        }
        found
    }

    #[test]
    fn plain_messages_and_a_partial_one() {
        let mut bytes = message(5, 0, 0, 0, None, Some(b"a"));
        bytes.extend(message(6, 1, 0, 1234, Some(b"k"), None));
        bytes.extend(&message(7, 1, 0, 1234, None, Some(b"cut"))[..20]);
        assert_eq!(read(&bytes), [(5, -1, Some(b"a".to_vec())), (6, 1234, None)]);
        assert_eq!(super::super::next_offset(&bytes.into()), Some(7));
    }

    #[test]
    fn wrappers_of_version_1_hold_relative_offsets_and_of_0_absolute_ones() {
        for codec in [Compression::Gzip, Compression::Snappy, Compression::Lz4] {
            let attributes = i8::try_from(codec.id()).unwrap();
            let inner = |version, offsets: [i64; 2]| {
                let [a, b] = offsets;
                [message(a, version, 0, 10, None, Some(b"a")), message(b, version, 0, 11, None, Some(b"b"))]
                    .concat()
            };
            let relative = Compressor::from(codec).compressed(&inner(1, [0, 2]));
            let wrapped = message(42, 1, attributes, 11, None, Some(&relative));
            assert_eq!(
                read(&wrapped),
                [(40, 10, Some(b"a".to_vec())), (42, 11, Some(b"b".to_vec()))],
                "{codec}"
            );

            let absolute = Compressor::from(codec).compressed(&inner(0, [41, 42]));
            let wrapped = message(42, 0, attributes, 0, None, Some(&absolute));
            assert_eq!(
                read(&wrapped),
                [(41, -1, Some(b"a".to_vec())), (42, -1, Some(b"b".to_vec()))],
                "{codec}"
            );

            let appended = message(42, 1, attributes | APPEND_TIME_BIT, 99, None, Some(&relative));
            assert_eq!(read(&appended).iter().map(|found| found.1).collect::<Vec<_>>(), [99, 99], "{codec}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let error =
            |bytes: Vec<u8>| Batches::new(bytes.into(), DecodeLimits::default()).next().unwrap().unwrap_err();
        let mut flipped = message(5, 1, 0, 0, None, Some(b"value"));
        *flipped.last_mut().unwrap() ^= 1;
        assert!(matches!(error(flipped), RecordError::Checksum { .. }));
        assert!(matches!(error(message(5, 1, 4, 0, None, Some(b""))), RecordError::Unknown { .. }));
        assert!(matches!(error(message(5, 1, 1, 0, None, None)), RecordError::Truncated { .. }));
        assert!(matches!(error(message(-1, 1, 0, 0, None, None)), RecordError::Impossible { .. }));
        let nested = Compressor::from(Compression::Gzip).compressed(&message(0, 1, 1, 0, None, Some(b"x")));
        assert!(matches!(error(message(5, 1, 1, 0, None, Some(&nested))), RecordError::Impossible { .. }));
    }

    proptest! {
        #[test]
        fn damage_never_panics(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>()) {
            let inner = message(0, 1, 0, 1, Some(b"k"), Some(b"v"));
            let wrapped = Compressor::from(Compression::Gzip).compressed(&inner);
            let mut bytes = [message(5, 0, 0, 0, None, Some(b"a")), message(6, 1, 1, 0, None, Some(&wrapped))].concat();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            bytes.truncate(cut.index(bytes.len()) + 1);
            for batch in Batches::new(bytes.into(), DecodeLimits::default()).flatten() {
                comes_one_by_one(&batch);
            }
        }
    }
}
