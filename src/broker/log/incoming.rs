//! A batch as a producer sent it, checked before it may be appended.

use bytes::Bytes;

use super::producers::{Stamp, after};
use crate::broker::topic_settings::TopicSettings;
use crate::wire::error_code::ErrorCode;
use crate::wire::record::{Batch, Batches, DecodeLimits, RecordError};

/// Offset and length, which a batch's length does not count.
const LENGTH_END: usize = 12;
/// The only format that is taken: KIP-98's, of Kafka 0.11 and later.
const FORMAT: u8 = 2;

/// What the largest batch may become when it is decompressed to be checked.
const LIMITS: DecodeLimits = DecodeLimits { decompressed_bytes: 64 * 1024 * 1024 };

/// A batch that is whole and makes sense.
#[derive(Debug)]
pub(in crate::broker) struct Incoming {
    pub(in crate::broker) bytes: Bytes,
    pub(in crate::broker) count: i32,
    pub(in crate::broker) max_timestamp: i64,
    /// Of a producer with a number.
    pub(in crate::broker) stamp: Option<Stamp>,
}

/// Why a batch is not taken: a code, and words for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::broker) struct Refusal {
    pub(in crate::broker) code: ErrorCode,
    pub(in crate::broker) reason: String,
    /// The records at fault, by their place in the batch (KIP-467).
    pub(in crate::broker) records: Vec<(i32, String)>,
}

impl Refusal {
    pub(in crate::broker) fn new(code: ErrorCode, reason: impl Into<String>) -> Self {
        Self { code, reason: reason.into(), records: Vec::new() }
    }
}

impl From<ErrorCode> for Refusal {
    fn from(code: ErrorCode) -> Self {
        Self::new(code, code.description())
    }
}

impl Incoming {
    /// Checks what was sent for one partition; `now` in milliseconds since 1970 UTC.
    pub(in crate::broker) fn check(
        bytes: Bytes,
        settings: &TopicSettings,
        now: i64,
    ) -> Result<Self, Refusal> {
        if bytes.len() > settings.max_message_bytes {
            return Err(Refusal::new(
                ErrorCode::MESSAGE_TOO_LARGE,
                format!(
                    "The batch has {} bytes, and the topic takes {} (max.message.bytes).",
                    bytes.len(),
                    settings.max_message_bytes
                ),
            ));
        }
        if bytes.get(16).is_some_and(|&format| format != FORMAT) {
            return Err(Refusal::new(ErrorCode::INVALID_RECORD, "Only batches of format 2 are taken."));
        }
        let stated =
            bytes.get(8..).and_then(|rest| rest.first_chunk()).map(|length| i32::from_be_bytes(*length));
        let whole = stated
            .and_then(|length| usize::try_from(length).ok())
            .map(|length| length.saturating_add(LENGTH_END));
        if whole.is_some_and(|whole| whole < bytes.len()) {
            return Err(Refusal::new(
                ErrorCode::INVALID_RECORD,
                "A request holds exactly one batch for each partition.",
            ));
        }
        let batch = Batches::new(bytes.clone(), LIMITS).next();
        let batch =
            batch.ok_or_else(|| Refusal::new(ErrorCode::CORRUPT_MESSAGE, "The batch is not whole."))?;
        let batch = batch.map_err(|error| corrupt(&error))?;
        if batch.is_control() {
            return Err(Refusal::new(ErrorCode::INVALID_RECORD, "Clients may not write control batches."));
        }
        let count = batch.record_count();
        if count == 0 || batch.last_offset().checked_sub(batch.base_offset()) != Some(i64::from(count) - 1) {
            return Err(Refusal::new(
                ErrorCode::INVALID_RECORD,
                "The number of records does not agree with their offsets.",
            ));
        }
        let max_timestamp = check_records(&batch, settings, now)?;
        let stamp = (batch.producer_id() >= 0).then(|| Stamp {
            producer_id: batch.producer_id(),
            epoch: batch.producer_epoch(),
            first_sequence: batch.base_sequence(),
            last_sequence: after(batch.base_sequence(), count - 1),
            transactional: batch.is_transactional(),
        });
        if let Some(stamp) = &stamp
            && (stamp.first_sequence < 0 || stamp.epoch < 0)
        {
            return Err(Refusal::new(
                ErrorCode::INVALID_RECORD,
                "A producer with a number numbers its batches.",
            ));
        }
        if stamp.is_none() && batch.is_transactional() {
            return Err(Refusal::new(
                ErrorCode::INVALID_RECORD,
                "A transaction needs a producer with a number.",
            ));
        }
        Ok(Self { bytes, count, max_timestamp, stamp })
    }
}

/// Reads every record; gives back the highest timestamp.
fn check_records(batch: &Batch, settings: &TopicSettings, now: i64) -> Result<i64, Refusal> {
    let mut max_timestamp = -1;
    let mut keyless = Vec::new();
    let mut untimely = Vec::new();
    for (place, record) in (0..).zip(batch.records()) {
        let record = record.map_err(|error| Refusal::new(ErrorCode::INVALID_RECORD, error.to_string()))?;
        if record.offset != batch.base_offset().saturating_add(place) {
            return Err(Refusal::new(ErrorCode::INVALID_RECORD, "The records' offsets are not consecutive."));
        }
        for header in record.headers() {
            header.map_err(|error| Refusal::new(ErrorCode::INVALID_RECORD, error.to_string()))?;
        }
        let place = i32::try_from(place).unwrap_or(i32::MAX);
        if settings.compacted && record.key.is_none() {
            keyless.push((place, "A compacted topic takes no record without a key.".to_owned()));
        }
        if !settings.append_time && !settings.takes_timestamp(record.timestamp, now) {
            untimely.push((place, format!("The timestamp {} is too far from now.", record.timestamp)));
        }
        max_timestamp = max_timestamp.max(record.timestamp);
    }
    let refuse = |code, reason: &str, records| Err(Refusal { code, reason: reason.to_owned(), records });
    if !keyless.is_empty() {
        return refuse(ErrorCode::INVALID_RECORD, "One or more records have been rejected", keyless);
    }
    if !untimely.is_empty() {
        return refuse(
            ErrorCode::INVALID_TIMESTAMP,
            "One or more records have been rejected due to invalid timestamp",
            untimely,
        );
    }
    Ok(max_timestamp)
}

fn corrupt(error: &RecordError) -> Refusal {
    let code = match error {
        RecordError::Unknown { field: "compression", .. } => ErrorCode::UNSUPPORTED_COMPRESSION_TYPE,
        RecordError::Unknown { .. } | RecordError::Impossible { .. } => ErrorCode::INVALID_RECORD,
        _ => ErrorCode::CORRUPT_MESSAGE,
    };
    Refusal::new(code, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Compression;
    use crate::wire::record::{BatchBuilder, ControlType, ProducerStamp, end_of_transaction};

    fn batch(keys: &[Option<&[u8]>], timestamp: i64) -> Bytes {
        let mut builder = BatchBuilder::new(Compression::Zstd);
        for key in keys {
            builder.append(timestamp, *key, Some(&[7; 100]), &[]).unwrap();
        }
        builder.finish(ProducerStamp::NONE).unwrap()
    }

    fn code(bytes: Bytes, settings: &TopicSettings) -> ErrorCode {
        Incoming::check(bytes, settings, 1_000_000).unwrap_err().code
    }

    #[test]
    fn a_batch_that_makes_sense_is_taken() {
        let taken = Incoming::check(batch(&[None, Some(b"k")], 9), &TopicSettings::default(), 10).unwrap();
        assert_eq!((taken.count, taken.max_timestamp, taken.stamp), (2, 9, None));
    }

    #[test]
    fn one_that_does_not_is_refused_with_the_code_that_kafka_gives() {
        let settings = TopicSettings::default();
        let good = batch(&[None], 9);
        assert_eq!(code(Bytes::new(), &settings), ErrorCode::CORRUPT_MESSAGE);
        assert_eq!(code(good.slice(..good.len() - 1), &settings), ErrorCode::CORRUPT_MESSAGE);
        let twice = Bytes::from([&good[..], &good[..]].concat());
        assert_eq!(code(twice, &settings), ErrorCode::INVALID_RECORD);
        let mut changed = good.to_vec();
        *changed.last_mut().unwrap() ^= 1;
        assert_eq!(code(changed.into(), &settings), ErrorCode::CORRUPT_MESSAGE);
        let mut old = good.to_vec();
        old[16] = 1;
        assert_eq!(code(old.into(), &settings), ErrorCode::INVALID_RECORD);
        let mark = end_of_transaction(ControlType::Commit, ProducerStamp::NONE, 0, 0).unwrap();
        assert_eq!(code(mark, &settings), ErrorCode::INVALID_RECORD);
        let mut small = TopicSettings::default();
        small.max_message_bytes = 80;
        assert_eq!(code(good, &small), ErrorCode::MESSAGE_TOO_LARGE);
    }

    #[test]
    fn records_at_fault_are_named() {
        let mut compacted = TopicSettings::default();
        compacted.compacted = true;
        let refused = Incoming::check(batch(&[Some(b"k"), None], 9), &compacted, 10).unwrap_err();
        assert_eq!(refused.code, ErrorCode::INVALID_RECORD);
        assert_eq!(refused.records.iter().map(|(place, _)| *place).collect::<Vec<_>>(), [1]);
        let future = batch(&[None], 10 + 2 * 3_600_000);
        assert_eq!(
            Incoming::check(future, &TopicSettings::default(), 10).unwrap_err().code,
            ErrorCode::INVALID_TIMESTAMP
        );
    }
}
