//! What a broker sends for a partition, cut into batches.

use bytes::{Buf, Bytes};

use super::legacy::{self, LegacyBatch};
use super::reader::Reader;
use super::records::{Rest, V2Records};
use super::{Compression, DecodeLimits, RecordError, Records};
use crate::wire::buffers::Buffers;
use crate::wire::compression::{decompress, likely_bytes};

/// Offset, length, and up to the format version: what is the same in every format.
const COMMON_BYTES: usize = 17;
/// Offset and length, which the length does not count.
const LENGTH_END: usize = 12;
/// Where the checksum of version 2 begins to count: behind itself.
const CHECKED_FROM: usize = 21;
const HEADER_BYTES: usize = 61;
/// A record of version 2 takes seven bytes at least.
const LEAST_RECORD_BYTES: usize = 7;

const COMPRESSION_BITS: i16 = 0b111;
const APPEND_TIME_BIT: i16 = 1 << 3;
const TRANSACTIONAL_BIT: i16 = 1 << 4;
const CONTROL_BIT: i16 = 1 << 5;

/// Iterates over the batches in what a broker sent. Behind a batch that cannot be read it goes on, unless it is the
/// batch's length that makes no sense.
///
/// Brokers cut what they send at a number of bytes: a last batch that is not whole is passed over.
#[derive(Debug, Clone)]
pub struct Batches {
    rest: Bytes,
    limits: DecodeLimits,
    buffers: Buffers,
}

impl Batches {
    /// The batches in `records`, as they stand in a fetch answer or a log segment.
    pub fn new(records: Bytes, limits: DecodeLimits) -> Self {
        Self::in_buffers(records, limits, Buffers::NONE)
    }

    /// The same, decompressed into buffers that are used again.
    pub(crate) fn in_buffers(records: Bytes, limits: DecodeLimits, buffers: Buffers) -> Self {
        Self { rest: records, limits, buffers }
    }

    /// Whether there is a batch to come, which may be one that cannot be read.
    pub fn has_next(&self) -> bool {
        !matches!(whole_batch(&self.rest), Ok(None))
    }
}

impl Iterator for Batches {
    type Item = Result<Batch, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        match whole_batch(&self.rest) {
            Ok(None) => {
                self.rest.clear();
                None
            }
            Ok(Some(length)) => Some(Batch::decode(self.rest.split_to(length), self.limits, &self.buffers)),
            Err(error) => {
                self.rest.clear();
                Some(Err(error))
            }
        }
    }
}

/// The offset behind the last whole batch in `records`, read from the headers alone: nothing is checked or
/// decompressed. `None` where no batch is whole.
pub fn next_offset(records: &Bytes) -> Option<i64> {
    let mut rest = &records[..];
    let mut next = None;
    while let Ok(Some(length)) = whole_batch(rest) {
        let (batch, behind) = rest.split_at_checked(length)?;
        next = offset_behind(batch);
        rest = behind;
    }
    next
}

fn offset_behind(batch: &[u8]) -> Option<i64> {
    let offset = i64::from_be_bytes(*batch.first_chunk()?);
    let delta = match batch.get(16) {
        Some(2) => i64::from(i32::from_be_bytes(*batch.get(23..)?.first_chunk()?)),
        _ => 0,
    };
    offset.checked_add(delta).and_then(|last| last.checked_add(1))
}

/// The leader epoch of the last whole batch in `records`, read from the headers alone; -1 where it is not known.
pub fn last_leader_epoch(records: &Bytes) -> i32 {
    let mut rest = &records[..];
    let mut epoch = -1;
    while let Ok(Some(length)) = whole_batch(rest) {
        let Some((batch, behind)) = rest.split_at_checked(length) else { break };
        if let (Some(2), Some(bytes)) = (batch.get(16), batch.get(12..).and_then(<[u8]>::first_chunk)) {
            epoch = i32::from_be_bytes(*bytes);
        }
        rest = behind;
    }
    epoch
}

/// The length of the batch at the front of `bytes`, if it is whole.
fn whole_batch(bytes: &[u8]) -> Result<Option<usize>, RecordError> {
    if bytes.len() < COMMON_BYTES {
        return Ok(None);
    }
    let field = "a batch's length";
    let stated = Reader::new(bytes.get(8..).unwrap_or_default()).i32(field)?;
    let length = usize::try_from(stated).ok().filter(|&length| length >= COMMON_BYTES - LENGTH_END);
    let length = length.ok_or(RecordError::Impossible { field, value: stated.into() })?;
    let whole = length.saturating_add(LENGTH_END);
    Ok((whole <= bytes.len()).then_some(whole))
}

/// A batch: its header, and its records uncompressed.
#[derive(Debug, Clone)]
pub struct Batch {
    header: BatchHeader,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    V2 { records: Bytes },
    Legacy(LegacyBatch),
}

/// What a batch's header says.
#[derive(Debug, Clone, Copy)]
pub(super) struct BatchHeader {
    pub(super) base_offset: i64,
    pub(super) last_offset: i64,
    pub(super) leader_epoch: i32,
    pub(super) attributes: i16,
    pub(super) base_timestamp: i64,
    pub(super) max_timestamp: i64,
    pub(super) producer_id: i64,
    pub(super) producer_epoch: i16,
    pub(super) base_sequence: i32,
    pub(super) count: i32,
    pub(super) compression: Compression,
}

impl Batch {
    /// Reads a batch that is whole, checks its checksum and decompresses it.
    fn decode(bytes: Bytes, limits: DecodeLimits, buffers: &Buffers) -> Result<Self, RecordError> {
        match bytes.get(16) {
            Some(2) => Self::decode_v2(bytes, limits, buffers),
            Some(0 | 1) => {
                let (header, batch) = legacy::decode(bytes, limits, buffers)?;
                Ok(Self { header, kind: Kind::Legacy(batch) })
            }
            version => Err(RecordError::Unknown {
                field: "format version",
                value: version.copied().unwrap_or_default().into(),
            }),
        }
    }

    fn decode_v2(mut bytes: Bytes, limits: DecodeLimits, buffers: &Buffers) -> Result<Self, RecordError> {
        let mut reader = Reader::new(&bytes);
        let base_offset = reader.i64("a batch's offset")?;
        let _length = reader.i32("a batch's length")?;
        let leader_epoch = reader.i32("a batch's leader epoch")?;
        let _version = reader.i8("a batch's version")?;
        let stated = reader.u32("a batch's checksum")?;
        let computed = crc32c::crc32c(reader.rest());
        if stated != computed {
            return Err(RecordError::Checksum { stated, computed });
        }
        debug_assert_eq!(bytes.len() - reader.rest().len(), CHECKED_FROM);
        let attributes = reader.i16("a batch's attributes")?;
        let last_offset_delta = reader.i32("a batch's last offset")?;
        let base_timestamp = reader.i64("a batch's first timestamp")?;
        let max_timestamp = reader.i64("a batch's last timestamp")?;
        let producer_id = reader.i64("a batch's producer")?;
        let producer_epoch = reader.i16("a batch's producer epoch")?;
        let base_sequence = reader.i32("a batch's sequence number")?;
        let count = reader.i32("a batch's number of records")?;

        let impossible = |field, value: i64| RecordError::Impossible { field, value };
        let last_offset = base_offset
            .checked_add(i64::from(last_offset_delta))
            // The offset behind it must exist too.
            .filter(|&last| base_offset >= 0 && last_offset_delta >= 0 && last < i64::MAX)
            .ok_or_else(|| impossible("a batch's last offset", last_offset_delta.into()))?;
        let codec = attributes & COMPRESSION_BITS;
        let compression = Compression::from_id(codec)
            .ok_or(RecordError::Unknown { field: "compression", value: codec.into() })?;
        bytes.advance(HEADER_BYTES);
        let records = match compression {
            Compression::None => bytes,
            codec => {
                let mut out = buffers.take(likely_bytes(bytes.len()));
                decompress(codec, &bytes, &mut out, limits.decompressed_bytes)?;
                out.freeze()
            }
        };
        let most = records.len() / LEAST_RECORD_BYTES;
        if usize::try_from(count).map_or(true, |count| count > most) {
            return Err(impossible("a batch's number of records", count.into()));
        }
        let header = BatchHeader {
            base_offset,
            last_offset,
            leader_epoch,
            attributes,
            base_timestamp,
            max_timestamp,
            producer_id,
            producer_epoch,
            base_sequence,
            count,
            compression,
        };
        Ok(Self { header, kind: Kind::V2 { records } })
    }

    /// The records. A batch that was compacted may have fewer than its offsets span, or none.
    #[inline]
    pub fn records(&self) -> Records<'_> {
        self.records_of(self.whole())
    }

    /// All of it, where none of its records has been taken yet.
    #[inline]
    pub(crate) fn whole(&self) -> Rest {
        Rest { bytes: self.bytes().len(), records: self.header.count }
    }

    /// What its records are in.
    #[inline]
    fn bytes(&self) -> &Bytes {
        match &self.kind {
            Kind::V2 { records } => records,
            Kind::Legacy(batch) => batch.bytes(),
        }
    }

    /// The records that are still to come, as [`Records::rest`] says.
    #[inline]
    pub(crate) fn records_of(&self, rest: Rest) -> Records<'_> {
        let header = &self.header;
        match &self.kind {
            Kind::V2 { records } => Records::v2(V2Records {
                reader: Reader::of_last(records, rest.bytes),
                left: rest.records,
                base_offset: header.base_offset,
                last_offset: header.last_offset,
                base_timestamp: header.base_timestamp,
                append_time: (self.timestamp_type() == TimestampType::LogAppendTime)
                    .then_some(header.max_timestamp),
            }),
            Kind::Legacy(batch) => Records::legacy(batch.records_of(rest)),
        }
    }

    /// An owned view of a part of one of this batch's records, which is not copied: it keeps the batch in memory.
    /// Bytes from elsewhere are copied.
    pub fn slice(&self, part: &[u8]) -> Bytes {
        let records = self.bytes();
        let (whole, part_range) = (records.as_ptr_range(), part.as_ptr_range());
        if part.is_empty() {
            Bytes::new()
        } else if whole.start <= part_range.start && part_range.end <= whole.end {
            records.slice_ref(part)
        } else {
            Bytes::copy_from_slice(part)
        }
    }

    /// What a control batch marks (KIP-98); `None` for other batches, and for marks of a later day.
    pub fn control_type(&self) -> Option<ControlType> {
        if !self.is_control() {
            return None;
        }
        // The first record's key is a version and a type; the others are not looked at.
        let key = self.records().next()?.ok()?.key?;
        let mut reader = Reader::new(key);
        let _version = reader.i16("a mark's version").ok()?;
        match reader.i16("a mark's type").ok()? {
            0 => Some(ControlType::Abort),
            1 => Some(ControlType::Commit),
            _ => None,
        }
    }

    /// The offset of its first record, or of the first that there was before it was compacted.
    pub fn base_offset(&self) -> i64 {
        self.header.base_offset
    }

    /// The offset of its last record, or of the last that there was.
    pub fn last_offset(&self) -> i64 {
        self.header.last_offset
    }

    /// The offset behind its last.
    pub fn next_offset(&self) -> i64 {
        self.header.last_offset.saturating_add(1)
    }

    /// The epoch of the leader that appended it; -1 where it is not known.
    pub fn partition_leader_epoch(&self) -> i32 {
        self.header.leader_epoch
    }

    /// The highest timestamp of its records, in milliseconds since 1970 UTC.
    pub fn max_timestamp(&self) -> i64 {
        self.header.max_timestamp
    }

    /// Whose the timestamps are.
    pub fn timestamp_type(&self) -> TimestampType {
        if self.header.attributes & APPEND_TIME_BIT == 0 {
            TimestampType::CreateTime
        } else {
            TimestampType::LogAppendTime
        }
    }

    /// The number of the producer that wrote it; -1 for one without.
    pub fn producer_id(&self) -> i64 {
        self.header.producer_id
    }

    /// The producer's epoch; -1 for one without.
    pub fn producer_epoch(&self) -> i16 {
        self.header.producer_epoch
    }

    /// The sequence number of its first record; -1 for a producer without.
    pub fn base_sequence(&self) -> i32 {
        self.header.base_sequence
    }

    /// How many records it holds.
    pub fn record_count(&self) -> i32 {
        self.header.count
    }

    /// Whether it belongs to a transaction.
    pub fn is_transactional(&self) -> bool {
        self.header.attributes & TRANSACTIONAL_BIT != 0
    }

    /// Whether it marks the end of a transaction, and holds nothing for readers.
    pub fn is_control(&self) -> bool {
        self.header.attributes & CONTROL_BIT != 0
    }

    /// How it was compressed.
    pub fn compression(&self) -> Compression {
        self.header.compression
    }
}

/// Whose the timestamps of a batch are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TimestampType {
    /// The producer's.
    CreateTime,
    /// The broker's, of when it appended the batch.
    LogAppendTime,
}

/// How a transaction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ControlType {
    /// Its records are not to be read.
    Abort,
    /// Its records count.
    Commit,
}
