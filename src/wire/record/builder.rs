//! Writing a batch: each record is encoded into the buffer that is sent, once.

use bytes::{BufMut, Bytes, BytesMut};

use super::RecordError;
use crate::wire::compression::{Compression, Compressor};

pub(super) const HEADER_BYTES: usize = 61;
const LENGTH_AT: usize = 8;
pub(super) const LENGTH_END: usize = 12;
const CHECKSUM_AT: usize = 17;
pub(super) const CHECKED_FROM: usize = 21;
const LAST_OFFSET_DELTA_AT: usize = 23;
const BASE_TIMESTAMP_AT: usize = 27;
pub(super) const MAX_TIMESTAMP_AT: usize = 35;
const STAMP_AT: usize = 43;
const COUNT_AT: usize = 57;
const VERSION: i8 = 2;
pub(super) const TRANSACTIONAL_BIT: i16 = 1 << 4;
/// A length's varint takes five bytes at most, a timestamp's ten.
const MOST_FRAMING_BYTES: usize = 40;

/// A header to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeaderRef<'a> {
    /// Its name.
    pub key: &'a [u8],
    /// Its value, which may be null.
    pub value: Option<&'a [u8]>,
}

/// Headers as their owner has them: to write them, no list of [`HeaderRef`]s need be made.
pub(crate) trait HeaderParts {
    fn parts(&self) -> HeaderRef<'_>;
}

impl HeaderParts for HeaderRef<'_> {
    fn parts(&self) -> HeaderRef<'_> {
        *self
    }
}

impl HeaderParts for (Bytes, Option<Bytes>) {
    fn parts(&self) -> HeaderRef<'_> {
        HeaderRef { key: &self.0, value: self.1.as_deref() }
    }
}

/// Who wrote a batch, and the place that it has among what they wrote to its partition (KIP-98).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerStamp {
    /// The producer's number.
    pub producer_id: i64,
    /// The producer's epoch.
    pub producer_epoch: i16,
    /// The sequence number of the batch's first record.
    pub base_sequence: i32,
    /// Whether the batch belongs to a transaction.
    pub transactional: bool,
}

impl ProducerStamp {
    /// A producer without a number: its batches cannot be told from their repetitions.
    pub const NONE: Self =
        Self { producer_id: -1, producer_epoch: -1, base_sequence: -1, transactional: false };
}

/// A batch that is being written.
///
/// ```
/// use hop::wire::Compression;
/// use hop::wire::record::{BatchBuilder, Batches, DecodeLimits, ProducerStamp};
///
/// let mut builder = BatchBuilder::new(Compression::Zstd);
/// builder.append(1_700_000_000_000, Some(b"key"), Some(b"value"), &[])?;
/// let bytes = builder.finish(ProducerStamp::NONE)?;
///
/// let batch = Batches::new(bytes, DecodeLimits::default()).next().expect("a batch")?;
/// let record = batch.records().next().expect("a record")?;
/// assert_eq!((record.offset, record.value), (0, Some(&b"value"[..])));
/// # Ok::<(), hop::wire::record::RecordError>(())
/// ```
#[derive(Debug)]
pub struct BatchBuilder {
    compressor: Compressor,
    /// Room for the header, then the records.
    buffer: BytesMut,
    count: i32,
    base_timestamp: i64,
    max_timestamp: i64,
}

impl BatchBuilder {
    /// An empty batch, to be compressed when it is finished.
    pub fn new(compressor: impl Into<Compressor>) -> Self {
        let compressor = compressor.into();
        Self { compressor, buffer: BytesMut::new(), count: 0, base_timestamp: 0, max_timestamp: 0 }
    }

    /// Appends a record; `timestamp` is in milliseconds since 1970 UTC.
    ///
    /// # Errors
    ///
    /// [`RecordError::TooLarge`] beyond 2 GiB, and [`RecordError::Impossible`] for a timestamp too far from the
    /// first. The batch is as it was, then.
    pub fn append(
        &mut self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[HeaderRef<'_>],
    ) -> Result<(), RecordError> {
        self.append_parts(timestamp, key, value, headers)
    }

    /// The same.
    pub(crate) fn append_parts(
        &mut self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[impl HeaderParts],
    ) -> Result<(), RecordError> {
        let layout = self.layout(timestamp, key, value, headers)?;
        if self.buffer.is_empty() {
            self.buffer.reserve(HEADER_BYTES.saturating_add(layout.whole));
            self.buffer.put_bytes(0, HEADER_BYTES);
            self.base_timestamp = timestamp;
            self.max_timestamp = timestamp;
        }
        let buffer = &mut self.buffer;
        buffer.reserve(layout.whole);
        put_varint(buffer, length(layout.body));
        buffer.put_i8(0);
        put_varint(buffer, layout.timestamp_delta);
        put_varint(buffer, self.count.into());
        put_nullable(buffer, key);
        put_nullable(buffer, value);
        put_varint(buffer, length(headers.len()));
        for header in headers.iter().map(HeaderParts::parts) {
            put_nullable(buffer, Some(header.key));
            put_nullable(buffer, header.value);
        }
        self.count = self.count.saturating_add(1);
        self.max_timestamp = self.max_timestamp.max(timestamp);
        Ok(())
    }

    /// The finished batch: compressed, if that makes it smaller, stamped and with its checksum.
    ///
    /// # Errors
    ///
    /// [`RecordError::Compression`] if the codec fails.
    pub fn finish(mut self, stamp: ProducerStamp) -> Result<Bytes, RecordError> {
        if self.buffer.is_empty() {
            self.buffer.put_bytes(0, HEADER_BYTES);
        }
        let mut written = Compression::None;
        let mut batch = self.buffer;
        if self.compressor.codec() != Compression::None {
            let records = batch.get(HEADER_BYTES..).unwrap_or_default();
            // What is not smaller is not kept; codecs want a little more room than they fill.
            let room = records.len().saturating_add(records.len() / 8);
            let mut compressed = Vec::with_capacity(HEADER_BYTES.saturating_add(room));
            compressed.resize(HEADER_BYTES, 0);
            self.compressor.compress(records, &mut compressed)?;
            if compressed.len() < batch.len() {
                batch = BytesMut::from(Bytes::from(compressed));
                written = self.compressor.codec();
            }
        }
        let transactional = if stamp.transactional { TRANSACTIONAL_BIT } else { 0 };
        let length = batch.len().saturating_sub(LENGTH_END);
        let length = i32::try_from(length).map_err(|_| RecordError::TooLarge)?;

        // Every place is inside of the header, which is there. The base offset is 0, the leader epoch unknown.
        let mut header = HeaderWriter(&mut batch);
        header.put(LENGTH_AT, length.to_be_bytes());
        header.put(LENGTH_END, (-1_i32).to_be_bytes());
        header.put(LENGTH_END.saturating_add(4), VERSION.to_be_bytes());
        header.put(CHECKED_FROM, (written.id() | transactional).to_be_bytes());
        header.put(LAST_OFFSET_DELTA_AT, self.count.saturating_sub(1).max(0).to_be_bytes());
        header.put(BASE_TIMESTAMP_AT, self.base_timestamp.to_be_bytes());
        header.put(MAX_TIMESTAMP_AT, self.max_timestamp.to_be_bytes());
        header.put(COUNT_AT, self.count.to_be_bytes());
        header.stamp(stamp);
        Ok(batch.freeze())
    }

    /// How many records it holds.
    pub fn record_count(&self) -> i32 {
        self.count
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Its size in bytes, uncompressed and with its header.
    pub fn size(&self) -> usize {
        self.buffer.len().max(HEADER_BYTES)
    }

    /// The size that it would have with one more record; `usize::MAX` for one that cannot be appended.
    pub fn size_with(
        &self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[HeaderRef<'_>],
    ) -> usize {
        self.size_with_parts(timestamp, key, value, headers)
    }

    /// The same.
    pub(crate) fn size_with_parts(
        &self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[impl HeaderParts],
    ) -> usize {
        self.layout(timestamp, key, value, headers)
            .map_or(usize::MAX, |layout| self.size().saturating_add(layout.whole))
    }

    fn layout(
        &self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[impl HeaderParts],
    ) -> Result<Layout, RecordError> {
        let base = if self.buffer.is_empty() { timestamp } else { self.base_timestamp };
        let timestamp_delta = timestamp
            .checked_sub(base)
            .ok_or(RecordError::Impossible { field: "a record's timestamp", value: timestamp })?;
        let content =
            nullable_size(key).saturating_add(nullable_size(value)).saturating_add(headers_size(headers));
        let body = content
            .saturating_add(1)
            .saturating_add(varint_size(timestamp_delta))
            .saturating_add(varint_size(self.count.into()));
        let whole = varint_size(length(body)).saturating_add(body);
        let total = i32::try_from(self.size().saturating_add(whole));
        if total.is_err() || self.count == i32::MAX {
            return Err(RecordError::TooLarge);
        }
        Ok(Layout { body, whole, timestamp_delta })
    }
}

/// The same records under another stamp, with a new checksum. Bytes that are no batch come back as they are.
pub fn restamp(batch: &Bytes, stamp: ProducerStamp) -> Bytes {
    if batch.len() < HEADER_BYTES {
        return batch.clone();
    }
    let mut buffer = BytesMut::from(&batch[..]);
    HeaderWriter(&mut buffer).stamp(stamp);
    buffer.freeze()
}

/// The size in bytes of a batch that holds one record, uncompressed, or a little more.
pub fn record_size(key: Option<&[u8]>, value: Option<&[u8]>, headers: &[HeaderRef<'_>]) -> usize {
    size_of_parts(key, value, headers)
}

/// The same.
pub(crate) fn size_of_parts(key: Option<&[u8]>, value: Option<&[u8]>, headers: &[impl HeaderParts]) -> usize {
    let content =
        nullable_size(key).saturating_add(nullable_size(value)).saturating_add(headers_size(headers));
    content.saturating_add(HEADER_BYTES).saturating_add(MOST_FRAMING_BYTES)
}

/// The sizes of a record's parts.
struct Layout {
    body: usize,
    whole: usize,
    timestamp_delta: i64,
}

/// Writes into the header at the front of a batch.
pub(super) struct HeaderWriter<'a>(pub(super) &'a mut BytesMut);

impl HeaderWriter<'_> {
    pub(super) fn put<const N: usize>(&mut self, at: usize, bytes: [u8; N]) {
        if let Some(field) = self.0.get_mut(at..at.saturating_add(N)) {
            field.copy_from_slice(&bytes);
        }
    }

    fn stamp(&mut self, stamp: ProducerStamp) {
        self.put(STAMP_AT, stamp.producer_id.to_be_bytes());
        self.put(STAMP_AT.saturating_add(8), stamp.producer_epoch.to_be_bytes());
        self.put(STAMP_AT.saturating_add(10), stamp.base_sequence.to_be_bytes());
        self.sum();
    }

    /// Puts the checksum, once all else is there.
    pub(super) fn sum(&mut self) {
        let checksum = crc32c::crc32c(self.0.get(CHECKED_FROM..).unwrap_or_default());
        self.put(CHECKSUM_AT, checksum.to_be_bytes());
    }
}

/// A length as the format counts. Those that do not fit are refused before anything is written.
fn length(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

fn varint_size(value: i64) -> usize {
    let bits = 64_u32.saturating_sub((zigzag(value) | 1).leading_zeros());
    usize::try_from(bits.div_ceil(7)).unwrap_or(usize::MAX)
}

fn put_varint(buffer: &mut BytesMut, value: i64) {
    let mut rest = zigzag(value);
    loop {
        let [low, ..] = rest.to_le_bytes();
        rest >>= 7;
        if rest == 0 {
            buffer.put_u8(low & 0x7f);
            return;
        }
        buffer.put_u8(low | 0x80);
    }
}

fn nullable_size(part: Option<&[u8]>) -> usize {
    part.map_or(1, |part| varint_size(length(part.len())).saturating_add(part.len()))
}

fn put_nullable(buffer: &mut BytesMut, part: Option<&[u8]>) {
    match part {
        Some(part) => {
            put_varint(buffer, length(part.len()));
            buffer.put_slice(part);
        }
        None => put_varint(buffer, -1),
    }
}

fn headers_size(headers: &[impl HeaderParts]) -> usize {
    let each = headers
        .iter()
        .map(HeaderParts::parts)
        .map(|header| nullable_size(Some(header.key)).saturating_add(nullable_size(header.value)));
    each.fold(varint_size(length(headers.len())), usize::saturating_add)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::records::tests::comes_one_by_one;
    use super::super::{Batch, Batches, DecodeLimits, TimestampType, next_offset};
    use super::*;

    const ALL: [Compression; 5] =
        [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];

    #[derive(Debug, Clone, PartialEq)]
    struct Owned {
        timestamp: i64,
        key: Option<Vec<u8>>,
        value: Option<Vec<u8>>,
        headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    }

    fn build(codec: Compression, records: &[Owned], stamp: ProducerStamp) -> Bytes {
        let mut builder = BatchBuilder::new(codec);
        for record in records {
            let headers: Vec<_> = record
                .headers
                .iter()
                .map(|(key, value)| HeaderRef { key, value: value.as_deref() })
                .collect();
            let (key, value) = (record.key.as_deref(), record.value.as_deref());
            let expected = builder.size_with(record.timestamp, key, value, &headers);
            builder.append(record.timestamp, key, value, &headers).unwrap();
            assert_eq!(builder.size(), expected);
            assert!(record_size(key, value, &headers) >= builder.size_with(0, None, None, &[]).min(61));
        }
        let size = builder.size();
        let bytes = builder.finish(stamp).unwrap();
        assert!(bytes.len() <= size);
        if codec == Compression::None {
            assert_eq!(bytes.len(), size);
        }
        bytes
    }

    fn only(bytes: &Bytes) -> Batch {
        let mut batches = Batches::new(bytes.clone(), DecodeLimits::default());
        let batch = batches.next().unwrap().unwrap();
        assert!(batches.next().is_none());
        comes_one_by_one(&batch);
        batch
    }

    fn owned(batch: &Batch) -> Vec<Owned> {
        let records = batch.records().enumerate().map(|(number, record)| {
            let record = record.unwrap();
            assert_eq!(record.offset, batch.base_offset() + i64::try_from(number).unwrap());
            let headers = record.headers().map(|header| {
                let header = header.unwrap();
                (header.key.to_vec(), header.value.map(<[u8]>::to_vec))
            });
            let headers: Vec<_> = headers.collect();
            assert_eq!(headers.len(), record.header_count());
            Owned {
                timestamp: record.timestamp,
                key: record.key.map(<[u8]>::to_vec),
                value: record.value.map(<[u8]>::to_vec),
                headers,
            }
        });
        records.collect()
    }

    fn record(value: &str) -> Owned {
        Owned { timestamp: 1000, key: None, value: Some(value.as_bytes().to_vec()), headers: Vec::new() }
    }

    /// The same fields as other clients write them, byte by byte.
    #[test]
    fn the_bytes_of_a_batch() {
        let mut builder = BatchBuilder::new(Compression::None);
        builder.append(0x0102, Some(b"k"), Some(b"v"), &[HeaderRef { key: b"h", value: None }]).unwrap();
        builder.append(0x0103, None, Some(b""), &[]).unwrap();
        let stamp =
            ProducerStamp { producer_id: 7, producer_epoch: 3, base_sequence: 9, transactional: true };
        let bytes = builder.finish(stamp).unwrap();
        let head: &[u8] = &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 68, 0xff, 0xff, 0xff, 0xff, 2];
        assert_eq!(&bytes[..17], head);
        assert_eq!(&bytes[21..27], &[0, 0x10, 0, 0, 0, 1]);
        assert_eq!(&bytes[27..43], &[0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 1, 3]);
        assert_eq!(&bytes[43..61], &[0, 0, 0, 0, 0, 0, 0, 7, 0, 3, 0, 0, 0, 9, 0, 0, 0, 2]);
        let records: &[u8] = &[22, 0, 0, 0, 2, b'k', 2, b'v', 2, 2, b'h', 1, 12, 0, 2, 2, 1, 0, 0];
        assert_eq!(bytes[61..].to_vec(), records.to_vec());
    }

    #[test]
    fn null_and_empty_and_repeated_headers_stay_apart() {
        let header = |key: &[u8], value: Option<&[u8]>| (key.to_vec(), value.map(<[u8]>::to_vec));
        let all = [
            Owned { timestamp: -5, key: Some(Vec::new()), value: None, headers: Vec::new() },
            Owned {
                timestamp: 7,
                key: None,
                value: Some(Vec::new()),
                headers: vec![
                    header(b"h", None),
                    header(b"h", Some(b"")),
                    header(b"\xff", Some(b"x")),
                    header(b"", Some(b"x")),
                ],
            },
        ];
        for codec in ALL {
            let batch = only(&build(codec, &all, ProducerStamp::NONE));
            assert_eq!(owned(&batch), all);
            assert_eq!(batch.max_timestamp(), 7);
            assert_eq!(batch.timestamp_type(), TimestampType::CreateTime);
        }
    }

    #[test]
    fn compression_that_does_not_pay_is_left_out() {
        let small = build(Compression::Gzip, &[record("x")], ProducerStamp::NONE);
        assert_eq!(only(&small).compression(), Compression::None);
        let large = build(Compression::Gzip, &[record(&"x".repeat(1000))], ProducerStamp::NONE);
        assert_eq!(only(&large).compression(), Compression::Gzip);
    }

    #[test]
    fn a_new_stamp_keeps_the_records() {
        let bytes = build(Compression::Lz4, &[record(&"a".repeat(500))], ProducerStamp::NONE);
        let stamp = ProducerStamp {
            producer_id: 5,
            producer_epoch: 1,
            base_sequence: i32::MAX,
            transactional: false,
        };
        let batch = only(&restamp(&bytes, stamp));
        assert_eq!((batch.producer_id(), batch.producer_epoch(), batch.base_sequence()), (5, 1, i32::MAX));
        assert_eq!(owned(&batch), [record(&"a".repeat(500))]);
    }

    #[test]
    fn batches_follow_each_other_and_a_partial_one_ends_them() {
        let one = build(Compression::None, &[record("a"), record("b")], ProducerStamp::NONE);
        let joined = Bytes::from([&one[..], &one[..], &one[..40]].concat());
        let counts: Vec<_> = Batches::new(joined.clone(), DecodeLimits::default())
            .map(|batch| batch.unwrap().record_count())
            .collect();
        assert_eq!(counts, [2, 2]);
        assert_eq!(next_offset(&joined), Some(2));
        assert_eq!(next_offset(&joined.slice(..40)), None);
    }

    #[test]
    fn behind_a_damaged_batch_the_next_is_read_unless_its_length_makes_no_sense() {
        let one = build(Compression::None, &[record("a"), record("b")], ProducerStamp::NONE);
        let damaged = |at: usize| {
            let mut bytes = [&one[..], &one[..], &one[..]].concat();
            bytes[one.len() + at] ^= 0x80;
            Batches::new(bytes.into(), DecodeLimits::default())
        };
        let sound = |batches: Batches| batches.map(|batch| batch.is_ok()).collect::<Vec<_>>();
        assert_eq!(sound(damaged(one.len() - 1)), [true, false, true]);
        let mut without_length = damaged(8);
        assert_eq!(sound(without_length.clone()), [true, false]);
        without_length.next();
        assert!(without_length.has_next());
        without_length.next();
        assert!(!without_length.has_next());
    }

    #[test]
    fn owned_views_share_the_batch_and_others_are_copied() {
        let batch = only(&build(Compression::Zstd, &[record(&"abc".repeat(300))], ProducerStamp::NONE));
        let value = batch.records().next().unwrap().unwrap().value.unwrap();
        let view = batch.slice(value);
        assert_eq!(view.as_ptr(), value.as_ptr());
        assert_eq!(batch.slice(b"elsewhere"), Bytes::from_static(b"elsewhere"));
    }

    #[test]
    fn one_flipped_bit_is_found() {
        let bytes = build(Compression::None, &[record("alert")], ProducerStamp::NONE);
        for at in CHECKSUM_AT..bytes.len() {
            let mut damaged = bytes.to_vec();
            damaged[at] ^= 1;
            let read = Batches::new(damaged.into(), DecodeLimits::default()).next().unwrap();
            assert!(matches!(read, Err(RecordError::Checksum { .. })), "byte {at}");
        }
    }

    /// With the checksum made right again, so that the checks behind it are reached.
    fn with_field(bytes: &Bytes, at: usize, field: &[u8]) -> Result<Vec<i64>, RecordError> {
        let mut changed = BytesMut::from(&bytes[..]);
        changed[at..at + field.len()].copy_from_slice(field);
        let checksum = crc32c::crc32c(&changed[CHECKED_FROM..]);
        HeaderWriter(&mut changed).put(CHECKSUM_AT, checksum.to_be_bytes());
        let mut offsets = Vec::new();
        for batch in Batches::new(changed.freeze(), DecodeLimits::default()) {
            for record in batch?.records() {
                offsets.push(record?.offset);
            }
        }
        Ok(offsets)
    }

    #[test]
    fn fields_that_cannot_be_are_refused() {
        let bytes = build(Compression::None, &[record("a"), record("b")], ProducerStamp::NONE);
        let most = i32::MAX.to_be_bytes();
        assert!(with_field(&bytes, COUNT_AT, &most).is_err(), "a count that the bytes cannot hold");
        assert!(with_field(&bytes, COUNT_AT, &(-1_i32).to_be_bytes()).is_err());
        assert!(with_field(&bytes, COUNT_AT, &1_i32.to_be_bytes()).is_err(), "records beyond the count");
        assert!(with_field(&bytes, LAST_OFFSET_DELTA_AT, &(-1_i32).to_be_bytes()).is_err());
        assert!(
            with_field(&bytes, LAST_OFFSET_DELTA_AT, &0_i32.to_be_bytes()).is_err(),
            "an offset beyond the last"
        );
        assert!(with_field(&bytes, 0, &i64::MAX.to_be_bytes()).is_err());
        assert!(with_field(&bytes, 0, &(-1_i64).to_be_bytes()).is_err());
        assert!(with_field(&bytes, CHECKED_FROM, &[0, 5]).is_err(), "a codec that there is not");
        assert!(with_field(&bytes, CHECKED_FROM, &[0, 1]).is_err(), "gzip that is none");
        assert!(with_field(&bytes, BASE_TIMESTAMP_AT, &i64::MAX.to_be_bytes()).is_ok());
        assert!(with_field(&bytes, LENGTH_AT, &(-1_i32).to_be_bytes()).is_err());
        assert!(with_field(&bytes, 16, &[3]).is_err(), "a version of a later day");
        // A batch that was compacted: its offsets reach further than its records.
        assert_eq!(with_field(&bytes, LAST_OFFSET_DELTA_AT, &9_i32.to_be_bytes()), Ok(vec![0, 1]));
    }

    #[test]
    fn log_append_time_is_that_of_every_record() {
        let bytes = build(Compression::None, &[record("a"), record("b")], ProducerStamp::NONE);
        let mut changed = BytesMut::from(&bytes[..]);
        changed[22] |= 8;
        HeaderWriter(&mut changed).put(MAX_TIMESTAMP_AT, 77_i64.to_be_bytes());
        HeaderWriter(&mut changed).stamp(ProducerStamp::NONE);
        let batch = only(&changed.freeze());
        assert_eq!(batch.timestamp_type(), TimestampType::LogAppendTime);
        assert!(batch.records().all(|record| record.unwrap().timestamp == 77));
    }

    fn owned_record() -> impl Strategy<Value = Owned> {
        let bytes = || prop::collection::vec(any::<u8>(), 0..80);
        let headers = prop::collection::vec((bytes(), prop::option::of(bytes())), 0..4);
        (-1_i64 << 40..1_i64 << 40, prop::option::of(bytes()), prop::option::of(bytes()), headers)
            .prop_map(|(timestamp, key, value, headers)| Owned { timestamp, key, value, headers })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn what_is_written_is_read(records in prop::collection::vec(owned_record(), 1..20), codec in 0..5_i16) {
            let codec = Compression::from_id(codec).unwrap();
            prop_assert_eq!(owned(&only(&build(codec, &records, ProducerStamp::NONE))), records);
        }

        #[test]
        fn damage_behind_a_right_checksum_never_panics(
            records in prop::collection::vec(owned_record(), 1..5),
            codec in 0..5_i16,
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        ) {
            let codec = Compression::from_id(codec).unwrap();
            let mut bytes = BytesMut::from(&build(codec, &records, ProducerStamp::NONE)[..]);
            for (at, byte) in damage {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            let checksum = crc32c::crc32c(&bytes[CHECKED_FROM..]);
            HeaderWriter(&mut bytes).put(CHECKSUM_AT, checksum.to_be_bytes());
            next_offset(&bytes.clone().freeze());
            for batch in Batches::new(bytes.freeze(), DecodeLimits { decompressed_bytes: 1 << 20 }).flatten() {
                batch.control_type();
                comes_one_by_one(&batch);
                for record in batch.records().flatten() {
                    record.headers().for_each(drop);
                }
            }
        }

        #[test]
        fn sizes_of_varints_are_exact(value in any::<i64>()) {
            let mut buffer = BytesMut::new();
            put_varint(&mut buffer, value);
            prop_assert_eq!(buffer.len(), varint_size(value));
            let mut reader = super::super::reader::Reader::new(&buffer);
            prop_assert_eq!(reader.varint("v"), Ok(value));
        }
    }
}
