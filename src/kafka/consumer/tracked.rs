//! What a consumer knows of one partition that it reads.

use std::time::Duration;

use tokio::time::Instant;

use super::policy::StartOffset;
use super::questions::{Verdict, Which};
use crate::kafka::backoff::Backoff;
use crate::kafka::error::Error;
use crate::kafka::metadata::{BrokerId, Snapshot};
use crate::kafka::topic_partition::TopicPartition;
use crate::wire::error_code::{ErrorCode, Reaction};

/// A topic that keeps being unknown after this many answers in a row, with waits between, is gone.
const MOST_UNKNOWN_ANSWERS: u32 = 8;

/// Answers in a row that seem to go beyond their own high watermark; what comes in another is damaged. On one leader the
/// second is in order already.
const MOST_DOUBTS: u32 = 3;

#[derive(Debug)]
pub(super) struct Tracked {
    pub(super) name: TopicPartition,
    pub(super) position: Position,
    /// The leader epoch of the last record read (KIP-320); -1 where it is not known.
    pub(super) epoch: i32,
    /// The newest leader epoch under which the position is known to be in the leader's log.
    pub(super) checked_under: i32,
    /// The offset behind what the user has got; `None` until the first is known.
    pub(super) handed_over: Option<i64>,
    /// Whether its group had read nothing of it, and it has not been found yet where to begin.
    pub(super) is_new_to_group: bool,
    pub(super) paused: bool,
    /// The end of the log when it was first seen: where to stop, for a consumer that stops at ends.
    pub(super) end: Option<i64>,
    /// Where the user wants to stop.
    pub(super) stop: Option<i64>,
    /// The end of the log when it was last seen.
    pub(super) log_end: Option<i64>,
    pub(super) in_flight: bool,
    pub(super) not_before: Option<Instant>,
    /// Whether its broker could not be asked the last time.
    pub(super) unreachable: bool,
    /// Failures in a row, for back-off.
    failures: u32,
    /// Where records seemed to be beyond the high watermark, and how often in a row.
    doubted: (i64, u32),
    /// The end that the user was told of last.
    told_end: Option<i64>,
    /// A replica to read from instead of the leader, and until when.
    replica: Option<(BrokerId, Instant)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Position {
    /// Ask the group's coordinator.
    Committed,
    /// Ask for this offset first. `instead_of` is the position that was found to be out of range.
    Resolve { which: Which, instead_of: Option<i64> },
    /// `certain` unless it is a guess that has not been tried yet.
    At { offset: i64, certain: bool },
}

impl Position {
    pub(super) fn start(start: StartOffset) -> Self {
        let which = match start {
            // Most logs begin at 0: to try saves asking.
            StartOffset::Earliest => return Self::At { offset: 0, certain: false },
            StartOffset::Offset(offset) => return Self::At { offset, certain: true },
            StartOffset::Latest => Which::Latest,
            StartOffset::BeforeEnd(offsets) => Which::BeforeEnd(offsets),
            StartOffset::Timestamp(timestamp) => Which::Timestamp(timestamp),
        };
        Self::Resolve { which, instead_of: None }
    }
}

impl Tracked {
    pub(super) fn new(name: TopicPartition, position: Position) -> Self {
        let handed_over = match position {
            Position::At { offset, certain: true } => Some(offset),
            _ => None,
        };
        Self {
            name,
            position,
            epoch: -1,
            checked_under: -1,
            handed_over,
            is_new_to_group: false,
            paused: false,
            end: None,
            stop: None,
            log_end: None,
            in_flight: false,
            not_before: None,
            unreachable: false,
            failures: 0,
            doubted: (-1, 0),
            told_end: None,
            replica: None,
        }
    }

    pub(super) fn go_to(&mut self, offset: i64) {
        self.position = Position::At { offset, certain: true };
        self.handed_over = Some(offset);
    }

    pub(super) fn resolve(&mut self, which: Which, instead_of: Option<i64>) {
        self.position = Position::Resolve { which, instead_of };
        self.epoch = -1;
    }

    pub(super) fn waits(&self, now: Instant) -> bool {
        self.not_before.is_some_and(|at| at > now)
    }

    /// Whether the log may have been cut below the position: somebody else leads than when it was read.
    pub(super) fn is_unchecked(&self, leader_epoch: i32) -> bool {
        self.epoch >= 0 && leader_epoch > self.checked_under
    }

    /// Where reading stops, as far as is known.
    pub(super) fn stops_before(&self, stop_at_end: bool) -> Option<i64> {
        let end = self.end.filter(|_| stop_at_end);
        self.stop.into_iter().chain(end).min()
    }

    pub(super) fn is_finished(&self, stop_at_end: bool) -> bool {
        match (self.position, self.stops_before(stop_at_end)) {
            (Position::At { offset, .. }, Some(stop)) => offset >= stop,
            _ => false,
        }
    }

    /// What was fetched and not handed over is void, and is fetched again.
    pub(super) fn go_back(&mut self) {
        if let (Position::At { .. }, Some(offset)) = (self.position, self.handed_over) {
            self.position = Position::At { offset, certain: true };
        }
    }

    /// There is nothing more to read, or not yet; told once for each end.
    pub(super) fn at_end(&mut self) -> Verdict {
        match (self.position, self.log_end) {
            (Position::At { offset, .. }, Some(end)) if offset >= end && self.told_end != Some(offset) => {
                self.told_end = Some(offset);
                Verdict::AtEnd(offset)
            }
            _ => Verdict::Nothing,
        }
    }

    /// The log was cut: the ends that were seen are no longer its own.
    pub(super) fn forget_ends(&mut self) {
        (self.end, self.log_end, self.told_end) = (None, None, None);
    }

    /// Whether to ask once more for what came from this offset on.
    pub(super) fn doubts(&mut self, offset: i64) -> bool {
        let (at, times) = self.doubted;
        self.doubted = (offset, if at == offset { times.saturating_add(1) } else { 1 });
        self.doubted.1 <= MOST_DOUBTS
    }

    pub(super) fn prefer(&mut self, replica: BrokerId, until: Instant) {
        self.replica = Some((replica, until));
    }

    /// The replica to read from, while it is part of the cluster.
    pub(super) fn replica(&self, snapshot: &Snapshot, now: Instant) -> Option<BrokerId> {
        let (replica, _) =
            self.replica.filter(|(replica, until)| *until > now && snapshot.brokers.contains_key(replica))?;
        Some(replica)
    }

    /// Goes back to the leader; `false` if that is where it was.
    pub(super) fn leave_replica(&mut self) -> bool {
        self.replica.take().is_some()
    }

    pub(super) fn succeeded(&mut self) {
        self.failures = 0;
        self.not_before = None;
        self.unreachable = false;
    }

    pub(super) fn failed(&mut self, code: ErrorCode, now: Instant) -> Verdict {
        self.wait(now);
        let TopicPartition { topic, partition } = &self.name;
        let unknown = [ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, ErrorCode::UNKNOWN_TOPIC_ID].contains(&code);
        let lasting = unknown && self.failures >= MOST_UNKNOWN_ANSWERS;
        // The broker has found out by itself that its records are damaged, and will again.
        let damaged = code == ErrorCode::CORRUPT_MESSAGE;
        if code.reaction() == Reaction::Fatal || lasting || damaged {
            let doing = || match self.position {
                Position::At { offset, .. } => {
                    format!("reading topic '{topic}' partition {partition} at offset {offset}")
                }
                _ => format!("looking for where to read topic '{topic}' partition {partition}"),
            };
            return Verdict::Fail(Error::for_topic(code, "read", topic, doing));
        }
        tracing::debug!(%topic, partition, %code, "will be asked again");
        Verdict::Refresh
    }

    pub(super) fn wait(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        let wait: Duration = Backoff::REQUEST.wait(self.failures, fastrand::f64());
        self.not_before = Some(now + wait);
    }
}
