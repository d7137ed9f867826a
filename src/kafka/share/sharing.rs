//! What a share consumer knows, and what it asks of which broker next.
//!
//! A pure state machine: what the group assigns, what brokers answer, what the user says and the time go in; requests
//! and batches come out. The shell around it ([`super::ShareConsumer`]) moves them. [`ShareSession`] is what is known of
//! one broker, [`Held`] what became of records, [`Arrived`] what is on its way to the user.
//!
//! Nothing is fetched ahead: a lock counts from when a record is acquired, so that records that wait are nobody's gain.
//! What the user has said goes along with the next fetch, or by itself where that does not come soon.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use uuid::Uuid;

use super::arrived::{Arrived, Next, Span};
use super::batch::{Acquired, AcquiredBatch};
use super::held::{Acknowledgement, Fate, Held, Origin, Outcome, Told, ToldOf};
use super::session::{END, Id, SessionFetch, ShareSession};
use crate::kafka::backoff::Backoff;
use crate::kafka::error::Error;
use crate::kafka::metadata::BrokerId;
use crate::kafka::topic_partition::TopicPartition;
use crate::wire::error_code::{ErrorCode, Reaction};

/// For how long what the user has said waits for a fetch to go along with.
const LINGER: Duration = Duration::from_secs(1);
/// How often in a row a broker may run into an error that it has no code for before the user hears of it. Kafka 4.3 does
/// so when something is acknowledged of a topic that has been deleted.
const MOST_SERVER_ERRORS: u32 = 5;
/// For how long a record is locked where a broker does not say so.
const USUAL_LOCK: Duration = Duration::from_secs(30);

#[derive(Debug, Default)]
pub(super) struct Sharing {
    group: String,
    skip_damaged: bool,
    assigned: BTreeSet<TopicPartition>,
    brokers: BTreeMap<BrokerId, Broker>,
    held: Held,
    ready: VecDeque<Arrived>,
    troubled: BTreeMap<TopicPartition, Trouble>,
    number: u64,
    /// The last words have been said.
    ended: bool,
}

#[derive(Debug, Default)]
struct Broker {
    session: ShareSession,
    /// What was asked and has not been answered; more than one thing only at the end.
    asked: BTreeMap<u64, Vec<ToldOf>>,
    failures: u32,
    not_before: Option<Instant>,
}

#[derive(Debug)]
struct Trouble {
    failures: u32,
    until: Instant,
}

/// Which leader a partition has, and the id of its topic; `None` while that is not known.
pub(super) type Leader = Option<(BrokerId, Uuid)>;

/// A request to a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ask {
    pub(super) broker: BrokerId,
    pub(super) number: u64,
    pub(super) errand: Errand,
    pub(super) told: Vec<(Id, Vec<Told>)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Errand {
    Fetch(SessionFetch),
    /// In the session's request of this number.
    Acknowledge(i32),
}

/// What the user's doings want of the brokers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Want {
    /// Records; and what was said told.
    Records,
    /// All that was said told now.
    Results,
    /// What was said told, where it has waited for long enough.
    Nothing,
}

/// A broker's answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) code: ErrorCode,
    /// The broker's words, if it had any.
    pub(super) message: Option<String>,
    /// For how long what was acquired is locked; nothing where it does not say so.
    pub(super) lock: Duration,
    pub(super) partitions: Vec<PartitionAnswer>,
}

#[derive(Debug)]
pub(super) struct PartitionAnswer {
    pub(super) id: Id,
    /// How the fetch went; nothing where there was none.
    pub(super) fetched: Option<ErrorCode>,
    pub(super) acknowledged: ErrorCode,
    pub(super) records: Bytes,
    pub(super) acquired: Vec<Acquired>,
}

/// What an answer means for the consumer.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// The metadata may be out of date.
    pub(super) refresh: bool,
    /// The broker could not be asked, and will be again.
    pub(super) interrupted: Option<Error>,
    /// What the user has to know.
    pub(super) failures: Vec<Error>,
}

impl Sharing {
    pub(super) fn new(group: String, skip_damaged: bool) -> Self {
        Self { group, skip_damaged, ..Self::default() }
    }

    pub(super) fn assign(&mut self, partitions: Vec<TopicPartition>) {
        self.assigned.extend(partitions);
    }

    /// Nothing of these is wanted any more. What the user has got of them is still theirs to acknowledge.
    pub(super) fn unassign(&mut self, partitions: &[TopicPartition], now: Instant) {
        for partition in partitions {
            self.assigned.remove(partition);
            self.troubled.remove(partition);
        }
        let ready = std::mem::take(&mut self.ready);
        for mut arrived in ready {
            if partitions.contains(&arrived.partition) {
                let spans = arrived.take_all();
                self.tell(&arrived, spans, Fate::Record(Acknowledgement::Release), now);
            } else {
                self.ready.push_back(arrived);
            }
        }
    }

    pub(super) fn assignment(&self) -> impl Iterator<Item = &TopicPartition> {
        self.assigned.iter()
    }

    /// The next records of what has come.
    pub(super) fn next_batch(&mut self, now: Instant) -> Option<Result<AcquiredBatch, Error>> {
        while let Some(mut arrived) = self.ready.pop_front() {
            if arrived.until <= now {
                let partition = &arrived.partition;
                tracing::debug!(%partition, "records waited for longer than they were locked; they come again");
                continue;
            }
            match arrived.next() {
                Next::Records { batch, gaps } => {
                    self.tell(&arrived, gaps, Fate::Gap, now);
                    self.held.hand_over(&arrived.partition, arrived.origin, &batch.offsets, arrived.until);
                    self.ready.push_front(arrived);
                    return Some(Ok(batch));
                }
                Next::Gaps(gaps) => {
                    self.tell(&arrived, gaps, Fate::Gap, now);
                    self.ready.push_front(arrived);
                }
                Next::Damaged { offset, source, damaged } => {
                    let TopicPartition { topic, partition } = &arrived.partition;
                    let (topic, partition) = (topic.to_string(), *partition);
                    let error = Error::Damaged { topic, partition, offset, source };
                    let skip = self.skip_damaged;
                    let fate = if skip { Acknowledgement::Reject } else { Acknowledgement::Release };
                    self.tell(&arrived, damaged, Fate::Record(fate), now);
                    self.ready.push_front(arrived);
                    if !skip {
                        return Some(Err(error));
                    }
                    tracing::warn!(%error, "records are rejected");
                }
                Next::End(rest) => self.tell(&arrived, rest, Fate::Record(Acknowledgement::Release), now),
            }
        }
        None
    }

    /// Whether a record that was handed over is locked for this consumer still.
    pub(super) fn holds(&self, partition: &TopicPartition, offset: i64, now: Instant) -> bool {
        self.held.holds(partition, offset, now)
    }

    /// The user says what became of a record that they got. `false`: it is not held any more, or never was.
    pub(super) fn say(
        &mut self,
        partition: &TopicPartition,
        offset: i64,
        said: Acknowledgement,
        now: Instant,
    ) -> bool {
        self.held.say(partition, offset, said, now)
    }

    /// Those of these records of which the user has said nothing are accepted.
    pub(super) fn accept_rest(&mut self, partition: &TopicPartition, offsets: &[i64], now: Instant) {
        self.held.accept_rest(partition, offsets, now);
    }

    /// What to ask of each broker that is free. What is returned is under way until it is answered.
    pub(super) fn next_asks(
        &mut self,
        leader: impl Fn(&TopicPartition) -> Leader,
        want: Want,
        now: Instant,
    ) -> Vec<Ask> {
        self.held.expire(now);
        let mut wanted: BTreeMap<BrokerId, BTreeMap<Id, TopicPartition>> = BTreeMap::new();
        if want == Want::Records && self.ready.is_empty() {
            for partition in &self.assigned {
                let is_troubled = self.troubled.get(partition).is_some_and(|trouble| trouble.until > now);
                if let Some((broker, topic_id)) = leader(partition).filter(|_| !is_troubled) {
                    let id = (topic_id, partition.partition);
                    wanted.entry(broker).or_default().insert(id, partition.clone());
                }
            }
        }
        for (broker, since) in self.held.waiting() {
            if want == Want::Results || since + LINGER <= now {
                wanted.entry(broker).or_default();
            }
        }
        let mut asks = Vec::new();
        for (broker, wanted) in wanted {
            let known = self.brokers.entry(broker).or_default();
            if !known.asked.is_empty() || known.not_before.is_some_and(|at| at > now) {
                continue;
            }
            // In the first request of a session nothing can be acknowledged; nor is there anything then.
            let told = if known.session.is_open() { self.held.take(broker, now) } else { Vec::new() };
            let errand = if !wanted.is_empty() {
                Errand::Fetch(known.session.fetch(wanted, told.iter().map(ToldOf::id)))
            } else if let Some(epoch) = known.session.acknowledge().filter(|_| !told.is_empty()) {
                Errand::Acknowledge(epoch)
            } else {
                continue;
            };
            self.number += 1;
            asks.push(known.ask(broker, self.number, errand, told));
        }
        asks
    }

    /// The last requests: what was said is told, all else released. Nothing is handed over after that.
    pub(super) fn farewell(&mut self, now: Instant) -> Vec<Ask> {
        self.ended = true;
        self.ready.clear();
        self.assigned.clear();
        let mut asks = Vec::new();
        for (&broker, known) in &mut self.brokers {
            if known.session.is_open() || !known.asked.is_empty() {
                let told = self.held.take(broker, now);
                self.number += 1;
                asks.push(known.ask(broker, self.number, Errand::Acknowledge(END), told));
            }
        }
        asks
    }

    /// Takes the answer to a request, which came at `at`, or why there is none.
    pub(super) fn on_answer(
        &mut self,
        broker: BrokerId,
        number: u64,
        answer: Result<Answer, Error>,
        at: Instant,
    ) -> Heard {
        let Some(known) = self.brokers.get_mut(&broker) else { return Heard::default() };
        let Some(told) = known.asked.remove(&number) else { return Heard::default() };
        let answer = match answer {
            Ok(answer) if answer.code == ErrorCode::NONE => answer,
            Ok(answer) => {
                let reaction = reaction(answer.code, known.failures);
                let error = self.refusal(answer.code, answer.message.as_deref());
                return self.on_refused(broker, &told, reaction, error, at);
            }
            Err(error) => {
                let reaction = if error.is_retriable() { Reaction::Retry } else { Reaction::Fatal };
                return self.on_refused(broker, &told, reaction, error, at);
            }
        };
        known.session.on_taken();
        let mut told: BTreeMap<Id, ToldOf> = told.into_iter().map(|told| (told.id(), told)).collect();
        let mut heard = Heard::default();
        let until = at + if answer.lock.is_zero() { USUAL_LOCK } else { answer.lock };
        let mut again = false;
        for data in answer.partitions {
            let name = self.brokers.get(&broker).and_then(|known| known.session.name(data.id)).cloned();
            if let Some(told) = told.remove(&data.id) {
                // Only a refresh shows who leads instead.
                heard.refresh |= data.acknowledged.reaction() == Reaction::RefreshMetadata;
                again |= self.held.on_answer(told, data.acknowledged, !self.ended, at);
            }
            let origin = Origin { broker, topic_id: data.id.0 };
            match (name, data.fetched) {
                (Some(partition), Some(ErrorCode::NONE)) => {
                    self.troubled.remove(&partition);
                    let arrived = Arrived::new(partition, origin, until, data.records, data.acquired);
                    self.on_arrived(arrived, at);
                }
                (Some(partition), Some(code)) => self.on_trouble(partition, code, at, &mut heard),
                _ => {}
            }
        }
        for told in told.into_values() {
            self.held.on_failure(&told, &unanswered(&told.partition));
        }
        if let Some(known) = self.brokers.get_mut(&broker) {
            known.failures = if again { known.failures.saturating_add(1) } else { 0 };
            let wait = Backoff::REQUEST.wait(known.failures, fastrand::f64());
            known.not_before = again.then(|| at + wait);
        }
        heard
    }

    /// Whether nobody is known to lead some partition.
    pub(super) fn lacks_leader(&self, leader: impl Fn(&TopicPartition) -> Leader) -> bool {
        self.assigned.iter().any(|partition| leader(partition).is_none())
    }

    /// Whether a broker has been told something and has not answered, or is still to be told.
    pub(super) fn is_unsettled(&self) -> bool {
        let told = |known: &Broker| known.asked.values().any(|told| !told.is_empty());
        self.held.waiting().next().is_some() || self.brokers.values().any(told)
    }

    /// Whether something that was said has waited for long enough.
    pub(super) fn is_overdue(&self, now: Instant) -> bool {
        self.held.waiting().any(|(_, since)| since + LINGER <= now)
    }

    /// When there may be something to ask though nothing has happened.
    pub(super) fn wake_at(&self, want: Want, now: Instant) -> Option<Instant> {
        let free = |known: &&Broker| known.asked.is_empty();
        let brokers = self.brokers.values().filter(free).filter_map(|known| known.not_before);
        let troubled = self.troubled.values().map(|trouble| trouble.until);
        let lingering = self.held.waiting().filter_map(|(broker, since)| {
            let known = self.brokers.get(&broker).filter(|known| known.session.is_open())?;
            let at = known.not_before.unwrap_or(since).max(since + LINGER);
            (known.asked.is_empty() && want != Want::Results).then_some(at)
        });
        let later = brokers.chain(troubled).filter(|&at| at > now);
        later.chain(lingering).chain(self.held.next_expiry()).min()
    }

    pub(super) fn take_outcomes(&mut self) -> Vec<Outcome> {
        self.held.take_outcomes()
    }

    fn tell(&mut self, arrived: &Arrived, spans: Vec<Span>, fate: Fate, now: Instant) {
        for (first, last) in spans {
            let told = Told { first, last, fate, until: arrived.until, by_user: false };
            self.held.tell(&arrived.partition, arrived.origin, told, now);
        }
    }

    fn on_arrived(&mut self, mut arrived: Arrived, now: Instant) {
        if arrived.is_empty() {
            return;
        }
        if self.assigned.contains(&arrived.partition) {
            self.ready.push_back(arrived);
        } else if !self.ended {
            let spans = arrived.take_all();
            self.tell(&arrived, spans, Fate::Record(Acknowledgement::Release), now);
        }
    }

    fn on_trouble(&mut self, partition: TopicPartition, code: ErrorCode, now: Instant, heard: &mut Heard) {
        let failures = self.troubled.get(&partition).map_or(0, |trouble| trouble.failures).saturating_add(1);
        let until = now + Backoff::REQUEST.wait(failures, fastrand::f64());
        match code {
            // Its log is damaged on the broker's disk.
            ErrorCode::CORRUPT_MESSAGE => heard.failures.push(unreadable(code, &partition)),
            // Another broker has taken over its state; the metadata will say so.
            ErrorCode::FENCED_STATE_EPOCH => heard.refresh = true,
            code if reaction(code, failures) == Reaction::Fatal => {
                heard.failures.push(unreadable(code, &partition));
            }
            _ => heard.refresh = true,
        }
        tracing::debug!(%partition, %code, "will be asked again");
        self.troubled.insert(partition, Trouble { failures, until });
    }

    /// The broker has not done what it was asked to, or may have done it or not: the session is over.
    fn on_refused(
        &mut self,
        broker: BrokerId,
        told: &[ToldOf],
        reaction: Reaction,
        error: Error,
        now: Instant,
    ) -> Heard {
        for told in told {
            self.held.on_failure(told, &error);
        }
        self.held.lose(broker, &error);
        self.ready.retain(|arrived| arrived.origin.broker != broker);
        if let Some(known) = self.brokers.get_mut(&broker) {
            known.session.restart();
            known.failures = known.failures.saturating_add(1);
            // A session is begun anew at once; one after the other is too much.
            let at_once = reaction == Reaction::NewSession && known.failures == 1;
            let wait = Backoff::REQUEST.wait(known.failures, fastrand::f64());
            known.not_before = (!at_once).then(|| now + wait);
        }
        match reaction {
            Reaction::NewSession => {
                tracing::debug!(%error, "the share session begins anew");
                Heard::default()
            }
            Reaction::Fatal | Reaction::Success => Heard { failures: vec![error], ..Heard::default() },
            _ => Heard { refresh: true, interrupted: Some(error), ..Heard::default() },
        }
    }

    fn refusal(&self, code: ErrorCode, message: Option<&str>) -> Error {
        let group = &self.group;
        let doing = || match message {
            Some(message) => format!("sharing records in group '{group}' ({message})"),
            None => format!("sharing records in group '{group}'"),
        };
        Error::for_group(code, "read in", group, doing)
    }
}

impl Broker {
    fn ask(&mut self, broker: BrokerId, number: u64, errand: Errand, told: Vec<ToldOf>) -> Ask {
        let ask = Ask {
            broker,
            number,
            errand,
            told: told.iter().map(|told| (told.id(), told.told.clone())).collect(),
        };
        self.asked.insert(number, told);
        ask
    }
}

impl ToldOf {
    fn id(&self) -> Id {
        (self.origin.topic_id, self.partition.partition)
    }
}

/// What to do about a code that came after so many failures in a row.
fn reaction(code: ErrorCode, failures: u32) -> Reaction {
    match code {
        ErrorCode::UNKNOWN_SERVER_ERROR if failures < MOST_SERVER_ERRORS => Reaction::RefreshMetadata,
        code => code.reaction(),
    }
}

fn unreadable(code: ErrorCode, partition: &TopicPartition) -> Error {
    let TopicPartition { topic, partition } = partition;
    Error::for_topic(code, "read", topic, || format!("reading topic '{topic}' partition {partition}"))
}

fn unanswered(partition: &TopicPartition) -> Error {
    let TopicPartition { topic, partition } = partition;
    Error::Unanswered { doing: format!("acknowledging records of topic '{topic}' partition {partition}") }
}

#[cfg(test)]
mod tests;
