//! Batches as a log holds them, for tests.

use bytes::{Bytes, BytesMut};

use crate::wire::Compression;
use crate::wire::record::{BatchBuilder, ControlType, ProducerStamp, end_of_transaction, place};

/// Records with these offsets, which follow each other, as one batch. It claims offsets up to `last`, as one does whose
/// last records were compacted away.
pub(super) fn batch(first: i64, count: i64, last: i64) -> Bytes {
    let mut builder = BatchBuilder::new(Compression::None);
    for offset in first..first + count {
        builder.append(0, None, Some(offset.to_string().as_bytes()), &[]).unwrap();
    }
    let built = builder.finish(ProducerStamp::NONE).unwrap();
    let mut placed = BytesMut::from(&place(&built, first, 3, None)[..]);
    placed[23..27].copy_from_slice(&i32::try_from(last - first).unwrap().to_be_bytes());
    let checksum = crc32c::crc32c(&placed[21..]);
    placed[17..21].copy_from_slice(&checksum.to_be_bytes());
    placed.freeze()
}

/// The mark of a transaction.
pub(super) fn mark(offset: i64) -> Bytes {
    let mark = end_of_transaction(ControlType::Commit, ProducerStamp::NONE, 0, 0).unwrap();
    place(&mark, offset, 3, None)
}

/// A batch whose checksum is wrong.
pub(super) fn damaged(first: i64, count: i64) -> Bytes {
    let mut batch = BytesMut::from(&batch(first, count, first + count - 1)[..]);
    *batch.last_mut().unwrap() ^= 1;
    batch.freeze()
}
