//! What a share consumer holds: records that were handed over, until their broker has been told what became of them.
//!
//! Pure. Where no answer says otherwise, a record is held until its lock has run out; nothing is said of it after that,
//! since another consumer may have it by then. A broker takes all that is said of a partition in one request or none of
//! it, so results are kept by partition.

use std::collections::BTreeMap;
use std::mem;

use tokio::time::Instant;
use uuid::Uuid;

use crate::kafka::error::Error;
use crate::kafka::metadata::BrokerId;
use crate::kafka::topic_partition::TopicPartition;
use crate::wire::error_code::{ErrorCode, Reaction};

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Acknowledgement {
    /// It was dealt with, and does not come again.
    Accept,
    /// It could not be dealt with now: it comes again, to this consumer or another, until it has been delivered as
    /// often as the group's `share.delivery.count.limit` allows.
    Release,
    /// It can never be dealt with, and does not come again.
    Reject,
}

/// What a broker is told of an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// No record has it.
    Gap,
    Record(Acknowledgement),
}

impl Fate {
    /// Its number in the protocol.
    pub(super) fn number(self) -> i8 {
        match self {
            Self::Gap => 0,
            Self::Record(Acknowledgement::Accept) => 1,
            Self::Record(Acknowledgement::Release) => 2,
            Self::Record(Acknowledgement::Reject) => 3,
        }
    }
}

/// Offsets of one fate, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) first: i64,
    pub(super) last: i64,
    pub(super) fate: Fate,
    /// Until when they are this consumer's to speak of.
    pub(super) until: Instant,
    /// Whether the user said so, and is to know how it went.
    pub(super) by_user: bool,
}

/// Which partition something was acquired of, where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) broker: BrokerId,
    pub(super) topic_id: Uuid,
}

/// What is to be told of one partition, in the order of offsets and without overlaps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ToldOf {
    pub(super) partition: TopicPartition,
    pub(super) origin: Origin,
    pub(super) told: Vec<Told>,
}

/// What became of all that was said of a partition.
pub(super) type Outcome = (TopicPartition, Result<(), Error>);

#[derive(Debug, Default)]
pub(super) struct Held {
    partitions: BTreeMap<TopicPartition, OfPartition>,
    outcomes: BTreeMap<TopicPartition, Result<(), Error>>,
}

#[derive(Debug)]
struct OfPartition {
    origin: Origin,
    /// Records that the user has, by offset.
    records: BTreeMap<i64, Record>,
    /// What is to be told beside, by first offset: what the user never got, and what is told again.
    others: BTreeMap<i64, Told>,
    /// Since when the broker might have been told something.
    waiting_since: Option<Instant>,
}

#[derive(Debug)]
struct Record {
    until: Instant,
    said: Option<Acknowledgement>,
}

impl Held {
    /// The user gets these records. What was acquired of the partition elsewhere is void: somebody else leads it now, or
    /// the topic is another of its name.
    pub(super) fn hand_over(
        &mut self,
        partition: &TopicPartition,
        origin: Origin,
        offsets: &[i64],
        until: Instant,
    ) {
        if self.partitions.get(partition).is_some_and(|of| of.origin != origin) {
            self.lose_partition(partition, &refusal(ErrorCode::NOT_LEADER_OR_FOLLOWER, partition));
        }
        let of = self.partitions.entry(partition.clone()).or_insert_with(|| OfPartition::new(origin));
        let mut again = None;
        for &offset in offsets {
            let before = of.records.insert(offset, Record { until, said: None });
            // It has been acquired anew before the broker was told of the last time.
            if before.is_some_and(|record| record.said.is_some()) {
                again.get_or_insert(offset);
            }
        }
        if let Some(offset) = again {
            self.conclude(partition, Err(not_held(partition, offset)));
        }
    }

    /// The broker is to be told of offsets that the user does not have.
    pub(super) fn tell(&mut self, partition: &TopicPartition, origin: Origin, told: Told, now: Instant) {
        let of = self.partitions.entry(partition.clone()).or_insert_with(|| OfPartition::new(origin));
        if of.origin == origin {
            of.others.insert(told.first, told);
            of.waiting_since.get_or_insert(now);
        }
    }

    /// Whether something can be said of a record.
    pub(super) fn holds(&self, partition: &TopicPartition, offset: i64, now: Instant) -> bool {
        let record = self.partitions.get(partition).and_then(|of| of.records.get(&offset));
        record.is_some_and(|record| record.until > now)
    }

    /// The user says what became of a record, perhaps once more before the broker is told. `false`: it is not held.
    pub(super) fn say(
        &mut self,
        partition: &TopicPartition,
        offset: i64,
        said: Acknowledgement,
        now: Instant,
    ) -> bool {
        let Some(of) = self.partitions.get_mut(partition) else { return false };
        let Some(record) = of.records.get_mut(&offset).filter(|record| record.until > now) else {
            return false;
        };
        record.said = Some(said);
        of.waiting_since.get_or_insert(now);
        true
    }

    /// Those of these records of which the user has said nothing are accepted.
    pub(super) fn accept_rest(&mut self, partition: &TopicPartition, offsets: &[i64], now: Instant) {
        let mut gone = None;
        for &offset in offsets {
            let record = self.partitions.get(partition).and_then(|of| of.records.get(&offset));
            let is_said = record.is_some_and(|record| record.said.is_some());
            if !is_said && !self.say(partition, offset, Acknowledgement::Accept, now) {
                gone.get_or_insert(offset);
            }
        }
        if let Some(offset) = gone {
            self.conclude(partition, Err(not_held(partition, offset)));
        }
    }

    /// What this broker is to be told; it counts as told from now on.
    pub(super) fn take(&mut self, broker: BrokerId, now: Instant) -> Vec<ToldOf> {
        self.expire(now);
        let of_broker = self.partitions.iter_mut().filter(|(_, of)| of.origin.broker == broker);
        let taken = of_broker.filter_map(|(partition, of)| {
            let told = of.take();
            let origin = of.origin;
            (!told.is_empty()).then(|| ToldOf { partition: partition.clone(), origin, told })
        });
        let taken = taken.collect();
        self.partitions.retain(|_, of| !of.is_empty());
        taken
    }

    /// The broker has answered to what it was told of a partition. Whether it is to be told once more, later, where that
    /// is possible.
    pub(super) fn on_answer(
        &mut self,
        told: ToldOf,
        code: ErrorCode,
        may_repeat: bool,
        now: Instant,
    ) -> bool {
        let ToldOf { partition, origin, told } = told;
        match code.reaction() {
            Reaction::Success => self.conclude_told(&partition, &told, Ok(())),
            // The state of the group could not be written. The records are still this consumer's.
            Reaction::Retry | Reaction::FindCoordinator if may_repeat => {
                let is_ours = self.partitions.get(&partition).is_none_or(|of| of.origin == origin);
                let (again, late): (Vec<_>, Vec<_>) =
                    told.into_iter().partition(|told| is_ours && told.until > now);
                self.conclude_told(&partition, &late, Err(refusal(code, &partition)));
                let is_again = !again.is_empty();
                for told in again {
                    self.tell(&partition, origin, told, now);
                }
                return is_again;
            }
            _ => self.conclude_told(&partition, &told, Err(refusal(code, &partition))),
        }
        false
    }

    /// It is not known whether the broker has heard this, or it has refused all of it.
    pub(super) fn on_failure(&mut self, told: &ToldOf, error: &Error) {
        self.conclude_told(&told.partition, &told.told, Err(error.clone()));
    }

    /// Nothing that was acquired from this broker is this consumer's any more.
    pub(super) fn lose(&mut self, broker: BrokerId, error: &Error) {
        let of_broker = self.partitions.iter().filter(|(_, of)| of.origin.broker == broker);
        let lost: Vec<_> = of_broker.map(|(partition, _)| partition.clone()).collect();
        for partition in lost {
            self.lose_partition(&partition, error);
        }
    }

    /// Forgets what can no longer be spoken of.
    pub(super) fn expire(&mut self, now: Instant) {
        let mut late = Vec::new();
        for (partition, of) in &mut self.partitions {
            late.extend(of.expire(now).map(|offset| (partition.clone(), offset)));
        }
        self.partitions.retain(|_, of| !of.is_empty());
        for (partition, offset) in late {
            self.conclude(&partition, Err(not_held(&partition, offset)));
        }
    }

    /// What became of what was said, since this was asked last.
    pub(super) fn take_outcomes(&mut self) -> Vec<Outcome> {
        mem::take(&mut self.outcomes).into_iter().collect()
    }

    /// Brokers that might be told something, and since when.
    pub(super) fn waiting(&self) -> impl Iterator<Item = (BrokerId, Instant)> {
        self.partitions.values().filter_map(|of| Some((of.origin.broker, of.waiting_since?)))
    }

    /// When the first lock runs out of what a broker is to be told.
    pub(super) fn next_expiry(&self) -> Option<Instant> {
        let waiting = self.partitions.values().filter(|of| of.waiting_since.is_some());
        waiting.filter_map(OfPartition::first_expiry).min()
    }

    fn lose_partition(&mut self, partition: &TopicPartition, error: &Error) {
        if let Some(of) = self.partitions.remove(partition)
            && of.has_said()
        {
            self.conclude(partition, Err(error.clone()));
        }
    }

    fn conclude_told(&mut self, partition: &TopicPartition, told: &[Told], outcome: Result<(), Error>) {
        if told.iter().any(|told| told.by_user) {
            self.conclude(partition, outcome);
        } else if let (Err(error), false) = (outcome, told.is_empty()) {
            tracing::debug!(%error, "a broker does not know what was left of a fetch");
        }
    }

    /// A failure is not covered up by what goes well before it is asked for.
    fn conclude(&mut self, partition: &TopicPartition, outcome: Result<(), Error>) {
        if let Err(error) = &outcome {
            tracing::warn!(%error, %partition, "records come again that were handed over");
        }
        match self.outcomes.get_mut(partition) {
            Some(Err(_)) => {}
            Some(known) => *known = outcome,
            None => {
                self.outcomes.insert(partition.clone(), outcome);
            }
        }
    }
}

impl OfPartition {
    fn new(origin: Origin) -> Self {
        Self { origin, records: BTreeMap::new(), others: BTreeMap::new(), waiting_since: None }
    }

    fn is_empty(&self) -> bool {
        self.records.is_empty() && self.others.is_empty()
    }

    fn has_said(&self) -> bool {
        self.records.values().any(|record| record.said.is_some())
            || self.others.values().any(|told| told.by_user)
    }

    fn take(&mut self) -> Vec<Told> {
        self.waiting_since = None;
        let mut told: Vec<_> = mem::take(&mut self.others).into_values().collect();
        self.records.retain(|&offset, record| match record.said {
            Some(said) => {
                let (fate, until) = (Fate::Record(said), record.until);
                told.push(Told { first: offset, last: offset, fate, until, by_user: true });
                false
            }
            None => true,
        });
        told.sort_by_key(|told| told.first);
        let mut runs: Vec<Told> = Vec::with_capacity(told.len());
        for next in told {
            match runs.last_mut() {
                // Told already, in another way.
                Some(run) if next.first <= run.last => {}
                Some(run)
                    if next.first == run.last.saturating_add(1)
                        && (next.fate, next.by_user) == (run.fate, run.by_user) =>
                {
                    run.last = next.last;
                    run.until = run.until.min(next.until);
                }
                _ => runs.push(next),
            }
        }
        runs
    }

    /// The first offset of which something was said that nobody will hear.
    fn expire(&mut self, now: Instant) -> Option<i64> {
        let mut late: Option<i64> = None;
        self.records.retain(|&offset, record| {
            if record.until <= now && record.said.is_some() {
                late.get_or_insert(offset);
            }
            record.until > now
        });
        self.others.retain(|&offset, told| {
            if told.until <= now && told.by_user {
                late.get_or_insert(offset);
            }
            told.until > now
        });
        late
    }

    fn first_expiry(&self) -> Option<Instant> {
        let records = self.records.values().filter(|record| record.said.is_some());
        records.map(|record| record.until).chain(self.others.values().map(|told| told.until)).min()
    }
}

pub(super) fn not_held(partition: &TopicPartition, offset: i64) -> Error {
    Error::NotHeld { partition: partition.clone(), offset }
}

fn refusal(code: ErrorCode, partition: &TopicPartition) -> Error {
    let TopicPartition { topic, partition } = partition;
    let doing = || format!("acknowledging records of topic '{topic}' partition {partition}");
    let message = match code {
        ErrorCode::INVALID_RECORD_STATE => "the lock of one of them had run out",
        ErrorCode::NOT_LEADER_OR_FOLLOWER | ErrorCode::FENCED_LEADER_EPOCH => {
            "another broker leads the partition, which knows nothing of this consumer"
        }
        ErrorCode::FENCED_STATE_EPOCH => "another broker keeps the group's state of the partition",
        _ => return Error::for_topic(code, "acknowledge records of", topic, doing),
    };
    Error::Refused { code, doing: doing(), message: format!("{message}; they come again") }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LOCK: Duration = Duration::from_secs(30);

    fn partition() -> TopicPartition {
        TopicPartition::new("t", 0)
    }

    fn origin(broker: BrokerId) -> Origin {
        Origin { broker, topic_id: Uuid::from_u128(7) }
    }

    fn holding(offsets: &[i64], now: Instant) -> Held {
        let mut held = Held::default();
        held.hand_over(&partition(), origin(1), offsets, now + LOCK);
        held
    }

    fn runs(told: &[ToldOf]) -> Vec<(i64, i64, i8)> {
        told.iter().flat_map(|of| &of.told).map(|told| (told.first, told.last, told.fate.number())).collect()
    }

    fn is_lost(held: &mut Held) -> bool {
        let outcomes = held.take_outcomes();
        matches!(&outcomes[..], [(_, Err(Error::NotHeld { .. }))])
    }

    #[test]
    fn what_is_said_is_told_in_runs_and_once() {
        let now = Instant::now();
        let mut held = holding(&[0, 1, 2, 4, 5], now);
        held.tell(
            &partition(),
            origin(1),
            Told { first: 3, last: 3, fate: Fate::Gap, until: now + LOCK, by_user: false },
            now,
        );
        for (offset, said) in [
            (5, Acknowledgement::Reject),
            (0, Acknowledgement::Accept),
            (1, Acknowledgement::Accept),
            (4, Acknowledgement::Release),
            // The last word counts.
            (4, Acknowledgement::Reject),
        ] {
            assert!(held.say(&partition(), offset, said, now));
        }
        assert_eq!(held.waiting().map(|(broker, _)| broker).collect::<Vec<_>>(), [1]);
        assert_eq!(held.take(2, now), []);
        let told = held.take(1, now);
        assert_eq!(runs(&told), [(0, 1, 1), (3, 3, 0), (4, 5, 3)]);
        assert_eq!((held.take(1, now), held.waiting().count()), (vec![], 0));
        // Offset 2 is held still, 1 is not.
        assert!(held.say(&partition(), 2, Acknowledgement::Accept, now));
        assert!(!held.say(&partition(), 1, Acknowledgement::Accept, now));
        assert!(!held.on_answer(told.into_iter().next().unwrap(), ErrorCode::NONE, true, now));
        assert_eq!(held.take_outcomes().into_iter().filter(|(_, outcome)| outcome.is_ok()).count(), 1);
    }

    #[test]
    fn nothing_is_said_of_what_is_no_longer_locked() {
        let now = Instant::now();
        let mut held = holding(&[0, 1], now);
        assert!(held.say(&partition(), 0, Acknowledgement::Accept, now));
        let late = now + LOCK;
        assert!(!held.say(&partition(), 1, Acknowledgement::Accept, late));
        assert_eq!(held.take(1, late), []);
        assert!(is_lost(&mut held), "the user is told that what they said came to nothing");
        held.accept_rest(&partition(), &[1], late);
        assert!(is_lost(&mut held));
    }

    #[test]
    fn what_the_user_has_spoken_of_is_not_accepted_over_their_head() {
        let now = Instant::now();
        let mut held = holding(&[0, 1, 2], now);
        assert!(held.say(&partition(), 1, Acknowledgement::Reject, now));
        held.accept_rest(&partition(), &[0, 1, 2], now);
        assert_eq!(runs(&held.take(1, now)), [(0, 0, 1), (1, 1, 3), (2, 2, 1)]);
    }

    #[test]
    fn what_the_broker_could_not_take_is_told_again_while_it_is_locked() {
        let now = Instant::now();
        let mut held = holding(&[0], now);
        held.say(&partition(), 0, Acknowledgement::Accept, now);
        let told = held.take(1, now).pop().unwrap();
        assert!(held.on_answer(told, ErrorCode::COORDINATOR_NOT_AVAILABLE, true, now));
        assert!(held.take_outcomes().is_empty());
        let told = held.take(1, now).pop().unwrap();
        assert_eq!(runs(std::slice::from_ref(&told)), [(0, 0, 1)]);
        assert!(!held.on_answer(told, ErrorCode::COORDINATOR_NOT_AVAILABLE, true, now + LOCK));
        assert!(matches!(&held.take_outcomes()[..], [(_, Err(_))]));
    }

    #[test]
    fn a_refusal_is_kept_until_it_is_asked_for() {
        let now = Instant::now();
        let mut held = holding(&[0, 1], now);
        held.say(&partition(), 0, Acknowledgement::Accept, now);
        let first = held.take(1, now).pop().unwrap();
        held.say(&partition(), 1, Acknowledgement::Accept, now);
        let second = held.take(1, now).pop().unwrap();
        held.on_answer(first, ErrorCode::INVALID_RECORD_STATE, true, now);
        held.on_answer(second, ErrorCode::NONE, true, now);
        let outcomes = held.take_outcomes();
        let [(_, Err(error))] = &outcomes[..] else { panic!("{outcomes:?}") };
        assert_eq!(error.code(), Some(ErrorCode::INVALID_RECORD_STATE));
        assert!(error.to_string().contains("they come again"), "{error}");
        assert!(held.take_outcomes().is_empty());
    }

    #[test]
    fn records_of_a_broker_that_leads_no_longer_are_lost() {
        let now = Instant::now();
        let mut held = holding(&[0, 1], now);
        held.say(&partition(), 0, Acknowledgement::Accept, now);
        held.hand_over(&partition(), origin(2), &[1], now + LOCK);
        let outcomes = held.take_outcomes();
        let [(_, Err(error))] = &outcomes[..] else { panic!("{outcomes:?}") };
        assert_eq!(error.code(), Some(ErrorCode::NOT_LEADER_OR_FOLLOWER));
        // What is left of a fetch from the old one is nobody's business any more.
        let late = Told { first: 3, last: 3, fate: Fate::Gap, until: now + LOCK, by_user: false };
        held.tell(&partition(), origin(1), late, now);
        held.say(&partition(), 1, Acknowledgement::Accept, now);
        assert_eq!((held.take(1, now), runs(&held.take(2, now))), (vec![], vec![(1, 1, 1)]));
    }

    #[test]
    fn nothing_is_concluded_for_those_who_said_nothing() {
        let now = Instant::now();
        let mut held = holding(&[0], now);
        let gap = Told { first: 1, last: 9, fate: Fate::Gap, until: now + LOCK, by_user: false };
        held.tell(&partition(), origin(1), gap, now);
        let told = held.take(1, now).pop().unwrap();
        held.on_answer(told, ErrorCode::INVALID_RECORD_STATE, true, now);
        held.lose(1, &not_held(&partition(), 0));
        assert!(held.take_outcomes().is_empty());
        assert!(!held.say(&partition(), 0, Acknowledgement::Accept, now));
    }
}
