//! What a broker does to a batch: gives it its place in a log, and marks where transactions end.

use bytes::{BufMut, Bytes, BytesMut};

use super::builder::{
    CHECKED_FROM, HEADER_BYTES, HeaderWriter, LENGTH_END, MAX_TIMESTAMP_AT, TRANSACTIONAL_BIT,
};
use super::{BatchBuilder, ControlType, ProducerStamp, RecordError};
use crate::wire::compression::Compression;

const APPEND_TIME_BIT: i16 = 1 << 3;
const CONTROL_BIT: i16 = 1 << 5;

/// How many bytes at the front of a batch say where in a log it stands.
pub const PLACE_BYTES: usize = 16;

/// The front of a batch at its place in a log, of [`PLACE_BYTES`]; what is behind it stays as it is, checksum and all.
/// `None` for bytes that are no batch.
pub fn place_front(batch: &[u8], base_offset: i64, leader_epoch: i32) -> Option<[u8; PLACE_BYTES]> {
    let mut front = *batch.first_chunk()?;
    let (offset, rest) = front.split_first_chunk_mut()?;
    *offset = base_offset.to_be_bytes();
    *rest.last_chunk_mut()? = leader_epoch.to_be_bytes();
    Some(front)
}

/// The same batch at its place in a log: with this offset for its first record, and the epoch of the leader that took
/// it. With `append_time`, in milliseconds since 1970 UTC, its records have that time instead of their producer's.
///
/// Bytes that are no batch come back as they are.
pub fn place(batch: &[u8], base_offset: i64, leader_epoch: i32, append_time: Option<i64>) -> Bytes {
    let mut buffer = BytesMut::from(batch);
    if batch.len() < HEADER_BYTES {
        return buffer.freeze();
    }
    let attributes =
        batch.get(CHECKED_FROM..).and_then(|rest| rest.first_chunk()).copied().unwrap_or_default();
    let mut header = HeaderWriter(&mut buffer);
    header.put(0, base_offset.to_be_bytes());
    header.put(LENGTH_END, leader_epoch.to_be_bytes());
    if let Some(time) = append_time {
        header.put(CHECKED_FROM, (i16::from_be_bytes(attributes) | APPEND_TIME_BIT).to_be_bytes());
        header.put(MAX_TIMESTAMP_AT, time.to_be_bytes());
        header.sum();
    }
    buffer.freeze()
}

/// The batch that marks the end of a producer's transaction (KIP-98): one control record.
///
/// # Errors
///
/// None that is known: the batch is small.
pub fn end_of_transaction(
    outcome: ControlType,
    producer: ProducerStamp,
    coordinator_epoch: i32,
    timestamp: i64,
) -> Result<Bytes, RecordError> {
    let kind: i16 = match outcome {
        ControlType::Abort => 0,
        ControlType::Commit => 1,
    };
    let mut key = [0; 4];
    (&mut key[2..]).put_i16(kind);
    let mut value = [0; 6];
    (&mut value[2..]).put_i32(coordinator_epoch);
    let mut builder = BatchBuilder::new(Compression::None);
    builder.append(timestamp, Some(&key), Some(&value), &[])?;
    let stamp = ProducerStamp { base_sequence: -1, transactional: true, ..producer };
    let mut buffer = BytesMut::from(&builder.finish(stamp)?[..]);
    let mut header = HeaderWriter(&mut buffer);
    header.put(CHECKED_FROM, (TRANSACTIONAL_BIT | CONTROL_BIT).to_be_bytes());
    header.sum();
    Ok(buffer.freeze())
}

#[cfg(test)]
mod tests {
    use super::super::{Batches, DecodeLimits, TimestampType};
    use super::*;

    fn read(bytes: Bytes) -> super::super::Batch {
        Batches::new(bytes, DecodeLimits::default()).next().unwrap().unwrap()
    }

    #[test]
    fn a_batch_takes_its_place_and_its_time() {
        let mut builder = BatchBuilder::new(Compression::None);
        builder.append(5, None, Some(b"a"), &[]).unwrap();
        builder.append(7, None, Some(b"b"), &[]).unwrap();
        let batch = builder.finish(ProducerStamp::NONE).unwrap();

        let placed = read(place(&batch, 40, 3, None));
        assert_eq!((placed.base_offset(), placed.last_offset()), (40, 41));
        assert_eq!(placed.partition_leader_epoch(), 3);
        assert_eq!(placed.max_timestamp(), 7);

        let front = place_front(&batch, 40, 3).unwrap();
        assert_eq!([&front[..], &batch[PLACE_BYTES..]].concat(), place(&batch, 40, 3, None));

        let stamped = read(place(&batch, 40, 3, Some(1000)));
        assert_eq!(stamped.timestamp_type(), TimestampType::LogAppendTime);
        assert!(stamped.records().all(|record| record.unwrap().timestamp == 1000));
        assert_eq!(place(b"short", 1, 1, None), &b"short"[..]);
    }

    #[test]
    fn marks_say_how_a_transaction_ended() {
        let producer =
            ProducerStamp { producer_id: 9, producer_epoch: 2, base_sequence: 5, transactional: false };
        for outcome in [ControlType::Abort, ControlType::Commit] {
            let mark = read(end_of_transaction(outcome, producer, 0, 1).unwrap());
            assert!(mark.is_control() && mark.is_transactional());
            assert_eq!(mark.control_type(), Some(outcome));
            assert_eq!((mark.producer_id(), mark.producer_epoch(), mark.base_sequence()), (9, 2, -1));
        }
    }
}
