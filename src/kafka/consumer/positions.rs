//! Where a consumer stands in each partition, and what to ask of which broker next.
//!
//! A pure state machine: answers and the time go in; requests, waits and verdicts come out. The shell around it
//! ([`super::Consumer`]) moves them to and from the brokers. What is known of one partition is [`Tracked`].
//!
//! References: KIP-74 (fetch limits), KIP-98 (the last stable offset), KIP-320 (leader epochs, truncation), KIP-392
//! (the nearest replica).

use std::collections::{BTreeMap, HashMap, HashSet};

use tokio::time::Instant;

use super::policy::{OutOfRange, Policy, StartOffset};
use super::questions::{Ask, EndOfEpoch, FetchFrom, Fetched, Index, OffsetOf, Verdict, Which};
use super::tracked::{Position, Tracked};
use crate::kafka::error::Error;
use crate::kafka::group::CommittedOffset;
use crate::kafka::metadata::{BrokerId, Snapshot};
use crate::kafka::topic_partition::TopicPartition;
use crate::wire::error_code::ErrorCode;

/// All partitions of one consumer.
#[derive(Debug)]
pub(super) struct Positions {
    policy: Policy,
    next_index: Index,
    partitions: BTreeMap<Index, Tracked>,
    indices: HashMap<TopicPartition, Index>,
}

impl Positions {
    pub(super) fn new(policy: Policy) -> Self {
        Self { policy, next_index: 0, partitions: BTreeMap::new(), indices: HashMap::new() }
    }

    /// Begins to track a partition, where it is not tracked already.
    pub(super) fn add(&mut self, partition: TopicPartition, start: StartOffset) {
        self.track(partition, Position::start(start));
    }

    /// The same, from where its group has read to; that has to be asked for.
    pub(super) fn add_committed(&mut self, partition: TopicPartition) {
        self.track(partition, Position::Committed);
    }

    fn track(&mut self, partition: TopicPartition, position: Position) {
        if self.indices.contains_key(&partition) {
            return;
        }
        let index = self.next_index;
        self.next_index = index.wrapping_add(1);
        self.indices.insert(partition.clone(), index);
        self.partitions.insert(index, Tracked::new(partition, position));
    }

    /// Tracks a partition no longer; answers about it are of no interest any more.
    pub(super) fn remove(&mut self, partition: &TopicPartition) -> Option<Index> {
        let index = self.indices.remove(partition)?;
        self.partitions.remove(&index);
        Some(index)
    }

    /// Partitions whose committed offsets are to be asked for. They count as in flight until they are answered or
    /// given up.
    pub(super) fn wants_committed(&mut self, now: Instant) -> Vec<(Index, TopicPartition)> {
        let wanting = self.partitions.iter_mut().filter(|(_, tracked)| {
            tracked.position == Position::Committed && !tracked.in_flight && !tracked.waits(now)
        });
        wanting
            .map(|(&index, tracked)| {
                tracked.in_flight = true;
                (index, tracked.name.clone())
            })
            .collect()
    }

    /// Takes the committed offset of a partition. Without one it begins where the user wants to start; one that was not
    /// there then, at its beginning.
    pub(super) fn on_committed(
        &mut self,
        index: Index,
        committed: Option<&CommittedOffset>,
        was_there: bool,
    ) {
        let start = if was_there { self.policy.start } else { StartOffset::Earliest };
        let Some(tracked) = self.partitions.get_mut(&index) else { return };
        tracked.in_flight = false;
        if tracked.position == Position::Committed {
            tracked.succeeded();
            match committed {
                Some(committed) => {
                    tracked.epoch = committed.leader_epoch;
                    // The log may have been cut since.
                    tracked.checked_under = -1;
                    tracked.go_to(committed.offset);
                }
                None => {
                    tracked.position = Position::start(start);
                    tracked.is_new_to_group = true;
                }
            }
        }
    }

    /// What to ask of each broker that is not in `busy`. What is returned counts as in flight until it is answered
    /// or given up.
    pub(super) fn next_asks(
        &mut self,
        snapshot: &Snapshot,
        busy: &HashSet<BrokerId>,
        now: Instant,
    ) -> Vec<(BrokerId, Ask)> {
        #[derive(Default)]
        struct Asks {
            fetch: Vec<FetchFrom>,
            offsets: Vec<OffsetOf>,
            epochs: Vec<EndOfEpoch>,
        }
        let mut brokers: BTreeMap<BrokerId, Asks> = BTreeMap::new();
        for (&index, tracked) in &mut self.partitions {
            if tracked.in_flight || tracked.is_finished(self.policy.stop_at_end) || tracked.waits(now) {
                continue;
            }
            let Some(known) = snapshot.partition(&tracked.name.topic, tracked.name.partition) else {
                continue;
            };
            let Some(leader) = known.leader else { continue };
            let leader_epoch = known.leader_epoch;
            let position = tracked.position;
            // Only fetches go to a replica that follows.
            let broker = match position {
                Position::At { .. } if !tracked.is_unchecked(leader_epoch) => {
                    tracked.replica(snapshot, now).unwrap_or(leader)
                }
                _ => leader,
            };
            if busy.contains(&broker) {
                continue;
            }
            let asks = brokers.entry(broker).or_default();
            match position {
                Position::Committed => {}
                Position::Resolve { which, .. } => asks.offsets.push(OffsetOf { index, which, leader_epoch }),
                Position::At { .. } if tracked.is_unchecked(leader_epoch) => {
                    asks.epochs.push(EndOfEpoch { index, epoch: tracked.epoch, leader_epoch });
                }
                Position::At { .. } if tracked.paused => {}
                Position::At { offset, .. } => asks.fetch.push(FetchFrom { index, offset, leader_epoch }),
            }
        }
        // A broker is asked one thing at a time; what is answered at once goes first.
        let asks: Vec<_> = brokers
            .into_iter()
            .filter_map(|(broker, Asks { fetch, offsets, epochs })| {
                let ask = if !offsets.is_empty() {
                    Ask::Offsets(offsets)
                } else if !epochs.is_empty() {
                    Ask::Epochs(epochs)
                } else if !fetch.is_empty() {
                    Ask::Fetch(fetch)
                } else {
                    return None;
                };
                Some((broker, ask))
            })
            .collect();
        for index in asks.iter().flat_map(|(_, ask)| ask.indices()) {
            if let Some(tracked) = self.partitions.get_mut(&index) {
                tracked.in_flight = true;
            }
        }
        asks
    }

    /// Takes the answer to a fetch, for one partition.
    pub(super) fn on_fetched(&mut self, fetched: Fetched, now: Instant) -> Verdict {
        let Policy { stop_at_end, out_of_range, replica_for, .. } = self.policy;
        let Some(tracked) = self.partitions.get_mut(&fetched.asked.index) else { return Verdict::Nothing };
        tracked.in_flight = false;
        // An answer about a position that was left since: sought, rewound or out of range.
        let Position::At { offset, certain } = tracked.position else { return Verdict::Nothing };
        if offset != fetched.asked.offset || tracked.paused {
            return Verdict::Nothing;
        }
        match fetched.code {
            ErrorCode::NONE => {
                tracked.succeeded();
                tracked.checked_under = tracked.checked_under.max(fetched.asked.leader_epoch);
                if let Some(replica) = fetched.preferred {
                    tracked.prefer(replica, now + replica_for);
                    // Who sends elsewhere has not looked at the log: it does not know the last stable offset.
                    if fetched.next.is_none() {
                        return Verdict::Nothing;
                    }
                }
                tracked.log_end = Some(fetched.end);
                tracked.end.get_or_insert(fetched.end);
                let stop = tracked.stops_before(stop_at_end);
                let next = fetched.next.unwrap_or(offset).max(offset);
                tracked.position = Position::At { offset: next, certain: true };
                if !certain {
                    tracked.handed_over = Some(offset);
                }
                match fetched.next {
                    Some(_) if stop.is_none_or(|stop| offset < stop) => {
                        if fetched.epoch >= 0 {
                            tracked.epoch = fetched.epoch;
                        }
                        Verdict::Deliver
                    }
                    Some(_) => Verdict::Nothing,
                    None if fetched.cut => {
                        tracked.wait(now);
                        Verdict::Nothing
                    }
                    None => tracked.at_end(),
                }
            }
            // A follower may not have got that far yet, or no longer be near.
            _ if tracked.leave_replica() => Verdict::Refresh,
            ErrorCode::OFFSET_OUT_OF_RANGE if !certain => {
                tracked.resolve(Which::Earliest, None);
                Verdict::Nothing
            }
            ErrorCode::OFFSET_OUT_OF_RANGE => {
                let name = tracked.name.clone();
                tracing::warn!(topic = %name.topic, partition = name.partition, offset, "the log no longer holds this offset");
                match out_of_range {
                    OutOfRange::Nearest => tracked.resolve(Which::Earliest, Some(offset)),
                    OutOfRange::Earliest => tracked.resolve(Which::Earliest, None),
                    OutOfRange::Latest => tracked.resolve(Which::Latest, None),
                    OutOfRange::Fail => {
                        tracked.wait(now);
                        let TopicPartition { topic, partition } = name;
                        return Verdict::Fail(Error::OffsetOutOfRange {
                            topic: topic.to_string(),
                            partition,
                            offset,
                        });
                    }
                }
                // A topic that was made anew is known by its id, and is then another.
                Verdict::Refresh
            }
            code => tracked.failed(code, now),
        }
    }

    /// The broker has nothing new of a partition that it was asked for.
    pub(super) fn on_no_news(&mut self, index: Index) -> Verdict {
        let Some(tracked) = self.partitions.get_mut(&index) else { return Verdict::Nothing };
        tracked.in_flight = false;
        tracked.succeeded();
        tracked.at_end()
    }

    /// Takes the answer to a question for an offset; -1 is that there is none of that time.
    pub(super) fn on_offset(
        &mut self,
        asked: OffsetOf,
        answer: Result<i64, ErrorCode>,
        now: Instant,
    ) -> Verdict {
        let Some(tracked) = self.partitions.get_mut(&asked.index) else { return Verdict::Nothing };
        tracked.in_flight = false;
        let Position::Resolve { which, instead_of } = tracked.position else { return Verdict::Nothing };
        if which != asked.which {
            return Verdict::Nothing;
        }
        match answer {
            Ok(found) => {
                tracked.succeeded();
                let mut verdict = Verdict::Nothing;
                match (which, instead_of) {
                    // The log was cut at its end: what comes next is new, what is before was read.
                    (Which::Earliest, Some(lost)) if lost > found => {
                        tracked.resolve(Which::Latest, instead_of);
                    }
                    // It has grown past the offset again: what comes there is not to be passed over.
                    (Which::Latest, Some(lost)) if lost <= found => {
                        tracked.go_to(lost);
                        tracked.wait(now);
                    }
                    (Which::Timestamp(_), _) if found < 0 => tracked.resolve(Which::Latest, None),
                    _ => {
                        let begins = match which {
                            Which::BeforeEnd(offsets) => found.saturating_sub(offsets.into()),
                            _ => found,
                        };
                        let begins = begins.max(0);
                        tracked.go_to(begins);
                        if let Which::BeforeEnd(_) = which {
                            // Where that is no longer there, the oldest is what was asked for.
                            tracked.position = Position::At { offset: begins, certain: false };
                        }
                        if std::mem::take(&mut tracked.is_new_to_group) {
                            verdict = Verdict::Begins(begins);
                        }
                    }
                }
                if matches!(which, Which::Latest | Which::BeforeEnd(_)) {
                    tracked.log_end = Some(found);
                    // Where the log was cut, the end that it had will not come again.
                    tracked.end = Some(tracked.end.map_or(found, |end| end.min(found)));
                }
                verdict
            }
            Err(code) => tracked.failed(code, now),
        }
    }

    /// Takes the answer to where the epoch of the last record read ends in the leader's log: the epoch it knows that
    /// is no newer, and the offset behind its last record.
    pub(super) fn on_end_of_epoch(
        &mut self,
        asked: EndOfEpoch,
        answer: Result<(i32, i64), ErrorCode>,
        now: Instant,
    ) -> Verdict {
        let out_of_range = self.policy.out_of_range;
        let Some(tracked) = self.partitions.get_mut(&asked.index) else { return Verdict::Nothing };
        tracked.in_flight = false;
        let Position::At { offset, .. } = tracked.position else { return Verdict::Nothing };
        // The user has gone elsewhere since.
        if tracked.epoch != asked.epoch {
            return Verdict::Nothing;
        }
        match answer {
            Ok((_, end)) if end >= offset => {
                tracked.succeeded();
                tracked.checked_under = asked.leader_epoch;
                Verdict::Nothing
            }
            Ok((epoch, end)) if end >= 0 && epoch >= 0 => {
                tracked.succeeded();
                if out_of_range == OutOfRange::Fail {
                    tracked.wait(now);
                    let TopicPartition { topic, partition } = tracked.name.clone();
                    let topic = topic.to_string();
                    return Verdict::Fail(Error::Truncated { topic, partition, offset, diverges_at: end });
                }
                tracked.checked_under = asked.leader_epoch;
                tracked.epoch = epoch;
                tracked.go_to(end);
                tracked.forget_ends();
                Verdict::Truncated { read_up_to: offset, diverges_at: end }
            }
            // The leader knows nothing of that epoch: the fetch will show whether the offset is there.
            Ok(_) => {
                tracked.succeeded();
                tracked.checked_under = asked.leader_epoch;
                Verdict::Nothing
            }
            Err(code) => tracked.failed(code, now),
        }
    }

    /// Whoever leads does not say where epochs end; it is older than Kafka 2.1's, or forbids it.
    pub(super) fn take_as_checked(&mut self, asked: &[EndOfEpoch]) {
        for EndOfEpoch { index, leader_epoch, .. } in asked {
            if let Some(tracked) = self.partitions.get_mut(index) {
                tracked.in_flight = false;
                tracked.checked_under = *leader_epoch;
            }
        }
    }

    /// The broker could not be asked: its partitions wait, and their leaders are looked up anew.
    pub(super) fn on_unreachable(&mut self, indices: impl IntoIterator<Item = Index>, now: Instant) {
        for index in indices {
            if let Some(tracked) = self.partitions.get_mut(&index) {
                tracked.in_flight = false;
                tracked.leave_replica();
                tracked.unreachable = true;
                tracked.wait(now);
            }
        }
    }

    /// The broker has not looked: its partitions can be asked for at once.
    pub(super) fn ask_again(&mut self, indices: impl IntoIterator<Item = Index>) {
        for index in indices {
            if let Some(tracked) = self.partitions.get_mut(&index) {
                tracked.in_flight = false;
            }
        }
    }

    /// Reads on from another offset than was to be next. What was fetched already is void.
    pub(super) fn seek(&mut self, partition: &TopicPartition, to: StartOffset) -> Option<Index> {
        let index = *self.indices.get(partition)?;
        let tracked = self.partitions.get_mut(&index)?;
        tracked.epoch = -1;
        tracked.is_new_to_group = false;
        tracked.position = Position::start(to);
        tracked.handed_over = None;
        if let StartOffset::Offset(offset) = to {
            tracked.go_to(offset);
        }
        Some(index)
    }

    /// Asks no longer for records of a partition, or does so again. What was fetched already is void, and is fetched
    /// again.
    pub(super) fn set_paused(&mut self, partition: &TopicPartition, paused: bool) -> Option<Index> {
        let index = *self.indices.get(partition)?;
        let tracked = self.partitions.get_mut(&index)?;
        tracked.paused = paused;
        if paused {
            tracked.go_back();
        }
        Some(index)
    }

    /// Reads a partition up to this offset and no further. What was fetched already is void.
    pub(super) fn stop_at(&mut self, partition: &TopicPartition, offset: i64) -> Option<Index> {
        let index = *self.indices.get(partition)?;
        let tracked = self.partitions.get_mut(&index)?;
        tracked.stop = Some(offset);
        tracked.go_back();
        Some(index)
    }

    /// Whether what came from this offset on is to be asked for once more before it is taken for damaged: it seems to be
    /// beyond the high watermark, which a broker looks at before it reads. The next answer's cannot be older.
    pub(super) fn doubts(&mut self, index: Index, offset: i64) -> bool {
        self.partitions.get_mut(&index).is_some_and(|tracked| tracked.doubts(offset))
    }

    /// Goes back to an offset whose records could not be read.
    pub(super) fn rewind(&mut self, index: Index, offset: i64) {
        if let Some(tracked) = self.partitions.get_mut(&index) {
            tracked.go_to(offset);
        }
    }

    /// Everything before this offset has been handed over, or was not for the user.
    pub(super) fn on_handed_over(&mut self, index: Index, next: i64) {
        if let Some(tracked) = self.partitions.get_mut(&index) {
            tracked.handed_over = Some(next);
        }
    }

    /// Whether every partition has been read up to where the consumer stops. Having none is an end for one that stops at
    /// ends only.
    pub(super) fn all_finished(&self) -> bool {
        let stop_at_end = self.policy.stop_at_end;
        (stop_at_end || !self.partitions.is_empty())
            && self.partitions.values().all(|tracked| tracked.is_finished(stop_at_end))
    }

    /// Whether everything that is to be read could be asked for, as far as is known.
    pub(super) fn all_reachable(&self) -> bool {
        let stop_at_end = self.policy.stop_at_end;
        !self
            .partitions
            .values()
            .any(|tracked| tracked.unreachable && !tracked.paused && !tracked.is_finished(stop_at_end))
    }

    /// Whether there is nothing to read.
    pub(super) fn is_empty(&self) -> bool {
        self.partitions.is_empty()
    }

    /// When the first partition that waits may be asked again.
    pub(super) fn next_try(&self, now: Instant) -> Option<Instant> {
        let waiting = self
            .partitions
            .values()
            .filter(|tracked| !tracked.in_flight && !tracked.is_finished(self.policy.stop_at_end));
        // What has waited long enough is held up by something else.
        waiting.filter_map(|tracked| tracked.not_before).filter(|&at| at > now).min()
    }

    /// Whether some partition that is to be read has no leader to ask, as far as is known.
    pub(super) fn lacks_leader(&self, snapshot: &Snapshot) -> bool {
        let unfinished = self.partitions.values();
        let unfinished = unfinished.filter(|tracked| !tracked.is_finished(self.policy.stop_at_end));
        let mut leaders =
            unfinished.map(|tracked| snapshot.partition(&tracked.name.topic, tracked.name.partition));
        leaders.any(|known| known.is_none_or(|partition| partition.leader.is_none()))
    }

    /// The name of a partition.
    pub(super) fn name(&self, index: Index) -> Option<&TopicPartition> {
        self.partitions.get(&index).map(|tracked| &tracked.name)
    }

    pub(super) fn index(&self, partition: &TopicPartition) -> Option<Index> {
        self.indices.get(partition).copied()
    }

    /// The leader epoch of the last record that was fetched; -1 where it is not known.
    pub(super) fn epoch(&self, partition: &TopicPartition) -> Option<i32> {
        self.partitions.get(self.indices.get(partition)?).map(|tracked| tracked.epoch)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &TopicPartition> {
        self.partitions.values().map(|tracked| &tracked.name)
    }

    pub(super) fn is_paused(&self, partition: &TopicPartition) -> bool {
        let tracked = self.indices.get(partition).and_then(|index| self.partitions.get(index));
        tracked.is_some_and(|tracked| tracked.paused)
    }

    /// The offset of the next record to be handed over, where it is known.
    pub(super) fn handed_over(&self, partition: &TopicPartition) -> Option<i64> {
        self.partitions.get(self.indices.get(partition)?)?.handed_over
    }

    /// For each partition whose end is known: the next offset to be handed over, and the end.
    pub(super) fn ends(&self) -> impl Iterator<Item = (&TopicPartition, i64, i64)> {
        self.partitions
            .values()
            .filter_map(|tracked| Some((&tracked.name, tracked.handed_over?, tracked.log_end?)))
    }

    /// Whether nothing is known yet of where some of these are to stop: then an answer without records is news, too.
    pub(super) fn looks_for_ends(&self, asked: &[FetchFrom]) -> bool {
        let unknown =
            |from: &FetchFrom| self.partitions.get(&from.index).is_some_and(|tracked| tracked.end.is_none());
        self.policy.stop_at_end && asked.iter().any(unknown)
    }

    /// Where a partition's reader stops, if it does.
    pub(super) fn stop_before(&self, index: Index) -> Option<i64> {
        self.partitions.get(&index)?.stops_before(self.policy.stop_at_end)
    }
}

#[cfg(test)]
mod tests;
