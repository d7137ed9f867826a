//! Where reading begins, and where it goes on when it cannot go on where it was.

use std::time::Duration;

/// Where to begin in a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum StartOffset {
    /// At the oldest record that the log still holds.
    Earliest,
    /// After the newest record: only what comes from now on.
    #[default]
    Latest,
    /// At the first record of this time or later, in milliseconds since 1970 UTC; after the newest record where there
    /// is none.
    Timestamp(i64),
    /// So many offsets before the end, or at the oldest record where the log holds fewer.
    BeforeEnd(u32),
    /// At this offset, or where [`OutOfRange`] says if the log does not hold it.
    Offset(i64),
}

/// What to do when the log no longer holds the offset to be read next: it was deleted, or the log was cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum OutOfRange {
    /// Go on at the nearest offset that there is: the oldest where records were deleted, the end where the log was
    /// cut. Nothing that exists is passed over, and nothing comes twice.
    #[default]
    Nearest,
    /// Go on at the oldest record. Kafka's `auto.offset.reset=earliest`.
    Earliest,
    /// Go on after the newest record. Kafka's `auto.offset.reset=latest`.
    Latest,
    /// Say so: [`Error::OffsetOutOfRange`](crate::kafka::Error::OffsetOutOfRange) or
    /// [`Error::Truncated`](crate::kafka::Error::Truncated).
    Fail,
}

/// How positions are found and left, the same for all partitions.
#[derive(Debug, Clone, Copy)]
pub(super) struct Policy {
    pub(super) start: StartOffset,
    pub(super) out_of_range: OutOfRange,
    pub(super) stop_at_end: bool,
    /// For how long a nearer replica is read from before the leader is asked again.
    pub(super) replica_for: Duration,
}
