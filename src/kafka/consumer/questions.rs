//! What a consumer asks brokers about its partitions, and what their answers mean.

use crate::kafka::error::Error;
use crate::kafka::metadata::BrokerId;
use crate::wire::error_code::ErrorCode;

/// The number of a partition while it is read; never given out twice.
pub(super) type Index = u64;

/// What to ask a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ask {
    /// Records from an offset on, a partition each.
    Fetch(Vec<FetchFrom>),
    /// An offset by what is known of it, a partition each.
    Offsets(Vec<OffsetOf>),
    /// Where a leader epoch ends, a partition each.
    Epochs(Vec<EndOfEpoch>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FetchFrom {
    pub(super) index: Index,
    pub(super) offset: i64,
    pub(super) leader_epoch: i32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OffsetOf {
    pub(super) index: Index,
    pub(super) which: Which,
    pub(super) leader_epoch: i32,
}

/// An offset that only a broker knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    Earliest,
    Latest,
    /// So many before the latest.
    BeforeEnd(u32),
    Timestamp(i64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EndOfEpoch {
    pub(super) index: Index,
    pub(super) epoch: i32,
    pub(super) leader_epoch: i32,
}

/// A broker's answer to a fetch, for one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fetched {
    pub(super) asked: FetchFrom,
    pub(super) code: ErrorCode,
    /// The end of what may be read: the last stable offset, or the high watermark.
    pub(super) end: i64,
    /// The offset after the last batch that came, if any came.
    pub(super) next: Option<i64>,
    /// Whether all that came was the beginning of a batch.
    pub(super) cut: bool,
    /// The leader epoch of that batch; -1 where it is not known.
    pub(super) epoch: i32,
    /// A replica that is nearer than the leader.
    pub(super) preferred: Option<BrokerId>,
}

/// What an answer means for the consumer.
#[derive(Debug)]
pub(super) enum Verdict {
    /// The records are wanted.
    Deliver,
    /// There is nothing to hand over.
    Nothing,
    /// Reading begins here, which only this answer says.
    Begins(i64),
    /// Everything that there was has been read.
    AtEnd(i64),
    /// The log was cut below what was read: the next record is at `diverges_at`.
    Truncated { read_up_to: i64, diverges_at: i64 },
    /// The metadata is out of date.
    Refresh,
    /// The partition cannot be read.
    Fail(Error),
}

impl Ask {
    pub(super) fn indices(&self) -> Vec<Index> {
        match self {
            Self::Fetch(asked) => asked.iter().map(|from| from.index).collect(),
            Self::Offsets(asked) => asked.iter().map(|of| of.index).collect(),
            Self::Epochs(asked) => asked.iter().map(|of| of.index).collect(),
        }
    }
}
