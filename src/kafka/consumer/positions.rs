//! Where a consumer stands in each partition, and what to ask of which broker next.
//!
//! A pure state machine: answers and the time go in; requests, waits and verdicts come out. The shell around it
//! ([`super::Consumer`]) moves them to and from the brokers.
//!
//! References: KIP-74 (fetch limits), KIP-320 (leader epochs), KIP-98 (the last stable offset).

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::kafka::backoff::Backoff;
use crate::kafka::error::Error;
use crate::kafka::metadata::{BrokerId, Snapshot};
use crate::wire::error_code::{ErrorCode, Reaction};

/// Where to begin in a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum StartOffset {
    /// At the oldest record that the log still holds.
    Earliest,
    /// After the newest record: only what comes from now on.
    #[default]
    Latest,
}

/// A topic that keeps being unknown after this many answers in a row, with waits between, is gone.
const MOST_UNKNOWN_ANSWERS: u32 = 8;

/// An index into the partitions of one consumer.
pub(super) type Index = usize;

/// What to ask a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ask {
    /// Records from an offset on, a partition each.
    Fetch(Vec<FetchFrom>),
    /// The log's earliest or latest offset, a partition each.
    Offsets(Vec<OffsetOf>),
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
    pub(super) which: StartOffset,
    pub(super) leader_epoch: i32,
}

/// A broker's answer to a fetch, for one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fetched {
    pub(super) asked: FetchFrom,
    pub(super) code: ErrorCode,
    /// The end of what may be read: the last stable offset.
    pub(super) end: i64,
    /// The offset after the last batch that came, if any came.
    pub(super) next: Option<i64>,
}

/// What an answer means for the consumer.
#[derive(Debug)]
pub(super) enum Verdict {
    /// The records are wanted.
    Deliver,
    /// There is nothing to hand over.
    Nothing,
    /// The metadata is out of date.
    Refresh,
    /// The partition cannot be read.
    Fail(Error),
}

/// All partitions of one consumer.
#[derive(Debug)]
pub(super) struct Positions {
    start: StartOffset,
    stop_at_end: bool,
    partitions: Vec<Tracked>,
}

#[derive(Debug)]
struct Tracked {
    topic: Arc<str>,
    partition: i32,
    position: Position,
    /// Where to stop: the end of the log when it was first seen.
    end: Option<i64>,
    in_flight: bool,
    /// Failures in a row, for back-off.
    failures: u32,
    not_before: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Position {
    /// Ask for this offset first. `instead_of` is the position that was found to be out of range.
    Resolve { which: StartOffset, instead_of: Option<i64> },
    /// `certain` unless it is a guess that has not been tried yet.
    At { offset: i64, certain: bool },
}

impl Positions {
    pub(super) fn new(start: StartOffset, stop_at_end: bool) -> Self {
        Self { start, stop_at_end, partitions: Vec::new() }
    }

    /// Begins to track a partition.
    pub(super) fn add(&mut self, topic: &Arc<str>, partition: i32) {
        let position = match self.start {
            // Most logs begin at 0: to try saves asking.
            StartOffset::Earliest => Position::At { offset: 0, certain: false },
            StartOffset::Latest => Position::Resolve { which: StartOffset::Latest, instead_of: None },
        };
        self.partitions.push(Tracked {
            topic: Arc::clone(topic),
            partition,
            position,
            end: None,
            in_flight: false,
            failures: 0,
            not_before: None,
        });
    }

    /// What to ask of each broker that is not in `busy`. What is returned counts as in flight until it is answered
    /// or given up.
    pub(super) fn next_asks(
        &mut self,
        snapshot: &Snapshot,
        busy: &HashSet<BrokerId>,
        now: Instant,
    ) -> Vec<(BrokerId, Ask)> {
        let mut fetches: BTreeMap<BrokerId, Vec<FetchFrom>> = BTreeMap::new();
        let mut offsets: BTreeMap<BrokerId, Vec<OffsetOf>> = BTreeMap::new();
        for (index, tracked) in self.partitions.iter_mut().enumerate() {
            if tracked.in_flight
                || tracked.is_finished(self.stop_at_end)
                || tracked.not_before.is_some_and(|at| at > now)
            {
                continue;
            }
            let Some(known) = snapshot.partition(&tracked.topic, tracked.partition) else { continue };
            let Some(leader) = known.leader.filter(|leader| !busy.contains(leader)) else { continue };
            let leader_epoch = known.leader_epoch;
            match tracked.position {
                Position::At { offset, .. } => {
                    fetches.entry(leader).or_default().push(FetchFrom { index, offset, leader_epoch });
                }
                Position::Resolve { which, .. } => {
                    offsets.entry(leader).or_default().push(OffsetOf { index, which, leader_epoch });
                }
            }
        }
        // A broker is asked one thing at a time. Offsets are answered at once, so they go first.
        fetches.retain(|leader, _| !offsets.contains_key(leader));
        let asks: Vec<_> = offsets
            .into_iter()
            .map(|(leader, asked)| (leader, Ask::Offsets(asked)))
            .chain(fetches.into_iter().map(|(leader, asked)| (leader, Ask::Fetch(asked))))
            .collect();
        for index in asks.iter().flat_map(|(_, ask)| ask.indices()) {
            if let Some(tracked) = self.partitions.get_mut(index) {
                tracked.in_flight = true;
            }
        }
        asks
    }

    /// Takes the answer to a fetch, for one partition.
    pub(super) fn on_fetched(&mut self, fetched: Fetched, now: Instant) -> Verdict {
        let stop_at_end = self.stop_at_end;
        let Some(tracked) = self.partitions.get_mut(fetched.asked.index) else { return Verdict::Nothing };
        tracked.in_flight = false;
        // An answer about a position that was left since: rewound, or out of range.
        let Position::At { offset, certain } = tracked.position else { return Verdict::Nothing };
        if offset != fetched.asked.offset {
            return Verdict::Nothing;
        }
        match fetched.code {
            ErrorCode::NONE => {
                tracked.succeeded();
                let end = *tracked.end.get_or_insert(fetched.end);
                let next = fetched.next.unwrap_or(offset).max(offset);
                tracked.position = Position::At { offset: next, certain: true };
                if fetched.next.is_none() || (stop_at_end && offset >= end) {
                    Verdict::Nothing
                } else {
                    Verdict::Deliver
                }
            }
            ErrorCode::OFFSET_OUT_OF_RANGE => {
                if certain {
                    tracing::warn!(topic = %tracked.topic, partition = tracked.partition, offset, "the log no longer holds this offset");
                }
                let instead_of = certain.then_some(offset);
                tracked.position = Position::Resolve { which: StartOffset::Earliest, instead_of };
                Verdict::Nothing
            }
            code => tracked.failed(code, now),
        }
    }

    /// Takes the answer to a question for an offset.
    pub(super) fn on_offset(
        &mut self,
        asked: OffsetOf,
        answer: Result<i64, ErrorCode>,
        now: Instant,
    ) -> Verdict {
        let Some(tracked) = self.partitions.get_mut(asked.index) else { return Verdict::Nothing };
        tracked.in_flight = false;
        let Position::Resolve { which, instead_of } = tracked.position else { return Verdict::Nothing };
        match answer {
            Ok(found) => {
                tracked.succeeded();
                tracked.position = match (which, instead_of) {
                    // The log was cut at its end: what comes next is new, what is before was read.
                    (StartOffset::Earliest, Some(lost)) if lost > found => {
                        Position::Resolve { which: StartOffset::Latest, instead_of: None }
                    }
                    _ => Position::At { offset: found, certain: true },
                };
                if which == StartOffset::Latest {
                    tracked.end.get_or_insert(found);
                }
                Verdict::Nothing
            }
            Err(code) => tracked.failed(code, now),
        }
    }

    /// The broker could not be asked: its partitions wait, and their leaders are looked up anew.
    pub(super) fn on_unreachable(&mut self, ask: &Ask, now: Instant) {
        for index in ask.indices() {
            if let Some(tracked) = self.partitions.get_mut(index) {
                tracked.in_flight = false;
                tracked.wait(now);
            }
        }
    }

    /// Goes back to an offset whose records could not be read.
    pub(super) fn rewind(&mut self, index: Index, offset: i64) {
        if let Some(tracked) = self.partitions.get_mut(index) {
            tracked.position = Position::At { offset, certain: true };
        }
    }

    /// Whether every partition has reached its end, for a consumer that stops there.
    pub(super) fn all_finished(&self) -> bool {
        self.partitions.iter().all(|tracked| tracked.is_finished(self.stop_at_end))
    }

    /// When the first partition that waits may be asked again.
    pub(super) fn next_try(&self) -> Option<Instant> {
        let waiting = self
            .partitions
            .iter()
            .filter(|tracked| !tracked.in_flight && !tracked.is_finished(self.stop_at_end));
        waiting.filter_map(|tracked| tracked.not_before).min()
    }

    /// Whether some partition that is to be read has no leader to ask, as far as is known.
    pub(super) fn lacks_leader(&self, snapshot: &Snapshot) -> bool {
        let unfinished = self.partitions.iter().filter(|tracked| !tracked.is_finished(self.stop_at_end));
        let mut leaders = unfinished.map(|tracked| snapshot.partition(&tracked.topic, tracked.partition));
        leaders.any(|known| known.is_none_or(|partition| partition.leader.is_none()))
    }

    /// The name of a partition.
    pub(super) fn name(&self, index: Index) -> Option<(&Arc<str>, i32)> {
        self.partitions.get(index).map(|tracked| (&tracked.topic, tracked.partition))
    }

    /// Where a partition's reader stops, if it does.
    pub(super) fn stop_before(&self, index: Index) -> Option<i64> {
        self.partitions.get(index).and_then(|tracked| tracked.end).filter(|_| self.stop_at_end)
    }
}

impl Ask {
    fn indices(&self) -> Vec<Index> {
        match self {
            Self::Fetch(asked) => asked.iter().map(|from| from.index).collect(),
            Self::Offsets(asked) => asked.iter().map(|of| of.index).collect(),
        }
    }
}

impl Tracked {
    fn is_finished(&self, stop_at_end: bool) -> bool {
        match (self.position, self.end) {
            (Position::At { offset, .. }, Some(end)) => stop_at_end && offset >= end,
            _ => false,
        }
    }

    fn succeeded(&mut self) {
        self.failures = 0;
        self.not_before = None;
    }

    fn failed(&mut self, code: ErrorCode, now: Instant) -> Verdict {
        self.wait(now);
        let unknown = [ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, ErrorCode::UNKNOWN_TOPIC_ID].contains(&code);
        let lasting = unknown && self.failures >= MOST_UNKNOWN_ANSWERS;
        if code.reaction() == Reaction::Fatal || lasting {
            let doing = || format!("reading topic '{}' partition {}", self.topic, self.partition);
            return Verdict::Fail(Error::for_topic(code, "read", &self.topic, doing));
        }
        tracing::debug!(topic = %self.topic, partition = self.partition, %code, "will be asked again");
        Verdict::Refresh
    }

    fn wait(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        let wait: Duration = Backoff::REQUEST.wait(self.failures, fastrand::f64());
        self.not_before = Some(now + wait);
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::MetadataResponse;
    use kafka_protocol::messages::metadata_response::{MetadataResponsePartition, MetadataResponseTopic};
    use kafka_protocol::protocol::StrBytes;

    use super::*;

    /// A topic `t` whose partitions are led by these brokers.
    fn snapshot(leaders: &[i32]) -> Snapshot {
        let partitions = leaders.iter().zip(0..).map(|(&leader, number)| {
            MetadataResponsePartition::default().with_partition_index(number).with_leader_id(leader.into())
        });
        let topic = MetadataResponseTopic::default()
            .with_name(Some(StrBytes::from_static_str("t").into()))
            .with_partitions(partitions.collect());
        Snapshot::default().after(&MetadataResponse::default().with_topics(vec![topic]), Instant::now())
    }

    fn positions(start: StartOffset, stop_at_end: bool, partitions: i32) -> Positions {
        let mut positions = Positions::new(start, stop_at_end);
        for partition in 0..partitions {
            positions.add(&Arc::from("t"), partition);
        }
        positions
    }

    fn asks(positions: &mut Positions, leaders: &[i32]) -> Vec<(BrokerId, Ask)> {
        positions.next_asks(&snapshot(leaders), &HashSet::new(), Instant::now())
    }

    fn from(index: Index, offset: i64) -> FetchFrom {
        FetchFrom { index, offset, leader_epoch: -1 }
    }

    fn answer(asked: FetchFrom, code: ErrorCode, end: i64, next: Option<i64>) -> Fetched {
        Fetched { asked, code, end, next }
    }

    #[test]
    fn earliest_tries_zero_and_asks_only_when_it_is_gone() {
        let mut positions = positions(StartOffset::Earliest, true, 1);
        assert_eq!(asks(&mut positions, &[7]), [(7, Ask::Fetch(vec![from(0, 0)]))]);
        assert!(asks(&mut positions, &[7]).is_empty(), "it is in flight");
        positions.on_fetched(answer(from(0, 0), ErrorCode::OFFSET_OUT_OF_RANGE, -1, None), Instant::now());
        let earliest = OffsetOf { index: 0, which: StartOffset::Earliest, leader_epoch: -1 };
        assert_eq!(asks(&mut positions, &[7]), [(7, Ask::Offsets(vec![earliest]))]);
        positions.on_offset(earliest, Ok(40), Instant::now());
        assert_eq!(asks(&mut positions, &[7]), [(7, Ask::Fetch(vec![from(0, 40)]))]);
    }

    #[test]
    fn it_stops_at_the_end_that_was_first_seen() {
        let mut positions = positions(StartOffset::Earliest, true, 1);
        asks(&mut positions, &[1]);
        let verdict = positions.on_fetched(answer(from(0, 0), ErrorCode::NONE, 10, Some(6)), Instant::now());
        assert!(matches!(verdict, Verdict::Deliver));
        assert!(!positions.all_finished());
        asks(&mut positions, &[1]);
        // The log has grown meanwhile: that is not ours to read.
        positions.on_fetched(answer(from(0, 6), ErrorCode::NONE, 500, Some(12)), Instant::now());
        assert!(positions.all_finished());
        assert_eq!(positions.stop_before(0), Some(10));
    }

    #[test]
    fn an_empty_log_is_at_its_end_at_once_and_latest_has_nothing_to_read() {
        let mut empty = positions(StartOffset::Earliest, true, 1);
        asks(&mut empty, &[1]);
        empty.on_fetched(answer(from(0, 0), ErrorCode::NONE, 0, None), Instant::now());
        assert!(empty.all_finished());

        let mut latest = positions(StartOffset::Latest, true, 1);
        let asked = OffsetOf { index: 0, which: StartOffset::Latest, leader_epoch: -1 };
        assert_eq!(asks(&mut latest, &[1]), [(1, Ask::Offsets(vec![asked]))]);
        latest.on_offset(asked, Ok(99), Instant::now());
        assert!(latest.all_finished());
    }

    #[test]
    fn one_that_persists_never_finishes() {
        let mut positions = positions(StartOffset::Earliest, false, 1);
        asks(&mut positions, &[1]);
        positions.on_fetched(answer(from(0, 0), ErrorCode::NONE, 0, None), Instant::now());
        assert!(!positions.all_finished());
        assert_eq!(asks(&mut positions, &[1]).len(), 1);
    }

    #[test]
    fn retention_that_overtakes_goes_on_at_the_oldest_and_a_cut_end_at_the_newest() {
        let resolve = |which| OffsetOf { index: 0, which, leader_epoch: -1 };
        for (log_start, wanted) in [(20, 20), (0, 5)] {
            let mut positions = positions(StartOffset::Earliest, false, 1);
            asks(&mut positions, &[1]);
            positions.on_fetched(answer(from(0, 0), ErrorCode::NONE, 10, Some(10)), Instant::now());
            asks(&mut positions, &[1]);
            positions
                .on_fetched(answer(from(0, 10), ErrorCode::OFFSET_OUT_OF_RANGE, -1, None), Instant::now());
            positions.on_offset(resolve(StartOffset::Earliest), Ok(log_start), Instant::now());
            positions.on_offset(resolve(StartOffset::Latest), Ok(5), Instant::now());
            assert_eq!(asks(&mut positions, &[1]), [(1, Ask::Fetch(vec![from(0, wanted)]))]);
        }
    }

    #[test]
    fn a_moved_leader_is_looked_up_and_asked_after_a_wait() {
        let mut positions = positions(StartOffset::Earliest, false, 2);
        assert_eq!(asks(&mut positions, &[1, 2]).len(), 2);
        let now = Instant::now();
        let verdict =
            positions.on_fetched(answer(from(1, 0), ErrorCode::NOT_LEADER_OR_FOLLOWER, -1, None), now);
        assert!(matches!(verdict, Verdict::Refresh));
        assert!(positions.next_asks(&snapshot(&[1, 1]), &HashSet::new(), now).is_empty());
        let later = positions.next_try().expect("one waits");
        let asked = positions.next_asks(&snapshot(&[1, 1]), &HashSet::new(), later);
        assert_eq!(asked, [(1, Ask::Fetch(vec![from(1, 0)]))]);
    }

    #[test]
    fn late_answers_for_a_position_that_was_left_are_dropped() {
        let mut positions = positions(StartOffset::Earliest, false, 1);
        asks(&mut positions, &[1]);
        positions.rewind(0, 3);
        let verdict = positions.on_fetched(answer(from(0, 0), ErrorCode::NONE, 9, Some(9)), Instant::now());
        assert!(matches!(verdict, Verdict::Nothing));
        assert_eq!(asks(&mut positions, &[1]), [(1, Ask::Fetch(vec![from(0, 3)]))]);
    }

    #[test]
    fn what_cannot_be_mended_is_an_error() {
        let mut positions = positions(StartOffset::Earliest, false, 1);
        asks(&mut positions, &[1]);
        let verdict = positions
            .on_fetched(answer(from(0, 0), ErrorCode::TOPIC_AUTHORIZATION_FAILED, -1, None), Instant::now());
        assert!(matches!(verdict, Verdict::Fail(Error::NotAuthorized { .. })));
    }
}
