//! What a producer holds: a [`Queue`] for each partition, and which batches may be sent now, in which requests.
//!
//! A pure state machine: records, answers and the time go in; requests and completions come out. An idle partition
//! sends its first record at once; a busy one gathers what comes meanwhile, until a batch is full or old enough. Each
//! partition counts its sequence under the identity that the producer had when nothing of it was on its way: when one
//! of them needs a newer epoch, the others go on.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::delivery::{Completion, Delivery};
use super::queue::{Fate, Identity, Load, Queue, Setback, Settled, Ticket};
use super::record::{Acknowledged, ProduceError, Record};
use crate::kafka::error::Error;
use crate::kafka::metadata::{BrokerId, Snapshot};
use crate::kafka::partitioner::round_robin::RoundRobin;
use crate::kafka::partitioner::sticky::{Backlog, Sticky};
use crate::kafka::partitioner::{Partitioner, Place as _, Placement, Unplaced};
use crate::kafka::topic_partition::TopicPartition;
use crate::wire::error_code::{ErrorCode, Reaction};
use crate::wire::record::{Compressor, RecordError};

/// Requests to one broker that have not been answered.
const MOST_IN_FLIGHT: usize = 5;
/// No batch is made smaller than this because a broker refused a larger one.
const LEAST_BATCH_BYTES: usize = 1024;

/// What is set once.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) compressor: Compressor,
    /// A batch is closed when another record would take it beyond this, uncompressed.
    pub(super) batch_bytes: usize,
    /// Of all batches in one request, uncompressed; a larger batch goes alone.
    pub(super) request_bytes: usize,
    /// A batch of one record may have this size, uncompressed.
    pub(super) record_bytes: usize,
    /// How long records of a busy partition gather.
    pub(super) linger: Duration,
    pub(super) delivery_timeout: Duration,
}

/// A batch that is to be sent now.
#[derive(Debug)]
pub(super) struct Dispatch {
    pub(super) place: Place,
    pub(super) load: Load,
}

/// Which batch.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) topic: Arc<str>,
    pub(super) partition: i32,
    pub(super) ticket: Ticket,
}

/// A broker's answer for one batch of a request.
#[derive(Debug, Clone)]
pub(super) enum Outcome {
    Answered {
        code: ErrorCode,
        message: Option<String>,
        base_offset: i64,
        append_time: i64,
    },
    /// There was no answer, or none could be asked for.
    Failed {
        error: Error,
        maybe_written: bool,
    },
}

/// All that a producer holds.
#[derive(Debug)]
pub(super) struct Queues {
    limits: Limits,
    partitioner: Partitioner,
    identity: Identity,
    transactional: bool,
    topics: HashMap<Arc<str>, Topic>,
    in_flight: BTreeMap<BrokerId, usize>,
    next_ticket: Ticket,
    pub(super) first_failure: Option<ProduceError>,
    pub(super) acknowledged: u64,
    /// Bytes of finished batches, to be given back to those who wait for memory.
    freed: usize,
}

#[derive(Debug)]
struct Topic {
    partitions: Vec<Queue>,
    sticky: Sticky,
    turns: RoundRobin,
    /// As `batch_bytes` of the limits, or less where the brokers have refused as much.
    batch_bytes: usize,
}

impl Queues {
    pub(super) fn new(
        limits: Limits,
        partitioner: Partitioner,
        identity: Identity,
        transactional: bool,
    ) -> Self {
        Self {
            limits,
            partitioner,
            identity,
            transactional,
            topics: HashMap::new(),
            in_flight: BTreeMap::new(),
            next_ticket: 0,
            first_failure: None,
            acknowledged: 0,
            freed: 0,
        }
    }

    /// Takes a record, for which `bytes` of memory were set aside, for a topic of so many partitions, each with a leader
    /// or not. `true` if the sender should have a look.
    pub(super) fn append(
        &mut self,
        record: &Record,
        timestamp: i64,
        bytes: usize,
        partitions: usize,
        is_led: impl Fn(usize) -> bool,
        now: impl FnOnce() -> Instant,
    ) -> Result<(Delivery, bool), ProduceError> {
        let name = &record.topic;
        let topic = match self.topics.get_mut(name) {
            Some(topic) => topic,
            None => self.topics.entry(Arc::clone(name)).or_insert_with(|| Topic {
                partitions: Vec::new(),
                sticky: Sticky::new(self.limits.batch_bytes),
                turns: RoundRobin::starting_at(fastrand::usize(..)),
                batch_bytes: self.limits.batch_bytes,
            }),
        };
        if topic.partitions.len() < partitions {
            topic.partitions.resize_with(partitions, || Queue::new(self.transactional));
        }
        let place = topic.place(&self.partitioner, record, bytes, is_led)?;
        let Some(queue) = topic.partitions.get_mut(place) else {
            return Err(no_such_partition(record, place, topic.partitions.len()));
        };
        let content = (record.key.as_deref(), record.value.as_deref());
        let batch = (self.limits.compressor, topic.batch_bytes);
        let (completion, place) = queue
            .append(timestamp, content, &record.headers, bytes, batch, now)
            .map_err(|source| refused(name, "record", &source))?;
        Ok((Delivery::new(completion, place), queue.wants_a_look()))
    }

    /// The requests that may be sent now, by broker, in the order in which they are to be sent. What is returned counts
    /// as in flight. `most` says how many a broker may have in flight, beside what is bounded for all.
    pub(super) fn next_requests(
        &mut self,
        snapshot: &Snapshot,
        most: impl Fn(BrokerId) -> usize,
        now: Instant,
    ) -> Vec<(BrokerId, Vec<Dispatch>)> {
        self.renew_epoch();
        let mut requests = Vec::new();
        // A request has one batch of a partition at most.
        loop {
            let round = self.next_round(snapshot, &most, now);
            if round.is_empty() {
                return requests;
            }
            for &broker in round.keys() {
                *self.in_flight.entry(broker).or_default() += 1;
            }
            requests.extend(round.into_iter().map(|(broker, (_, dispatches))| (broker, dispatches)));
        }
    }

    fn next_round(
        &mut self,
        snapshot: &Snapshot,
        most: impl Fn(BrokerId) -> usize,
        now: Instant,
    ) -> BTreeMap<BrokerId, (usize, Vec<Dispatch>)> {
        let mut round: BTreeMap<BrokerId, (usize, Vec<Dispatch>)> = BTreeMap::new();
        for (name, topic) in &mut self.topics {
            for (queue, partition) in topic.partitions.iter_mut().zip(0..) {
                if !queue.is_due(self.limits.linger, now) {
                    continue;
                }
                let known = snapshot.partition(name, partition).and_then(|partition| partition.leader);
                let Some(leader) = known else { continue };
                let in_flight = self.in_flight.get(&leader).copied().unwrap_or(0);
                let gathered = round.get(&leader).map_or(0, |(bytes, _)| *bytes);
                if in_flight >= most(leader).min(MOST_IN_FLIGHT) || gathered >= self.limits.request_bytes {
                    continue;
                }
                let Some((ticket, load)) = queue.take(self.identity, self.next_ticket, now) else { continue };
                self.next_ticket += 1;
                let (bytes, dispatches) = round.entry(leader).or_default();
                *bytes += load.bytes();
                let place = Place { topic: Arc::clone(name), partition, ticket };
                dispatches.push(Dispatch { place, load });
            }
        }
        round
    }

    /// What a new batch was finished to, for when it has to be sent again.
    pub(super) fn keep(&mut self, place: &Place, records: &bytes::Bytes) {
        if let Some(queue) = self.queue(place) {
            queue.keep(place.ticket, records.clone());
        }
    }

    /// Takes what became of a request. `true` if the metadata should be looked at anew.
    pub(super) fn on_answer(
        &mut self,
        broker: BrokerId,
        outcomes: Vec<(Place, Outcome)>,
        now: Instant,
    ) -> bool {
        if let Some(count) = self.in_flight.get_mut(&broker) {
            *count = count.saturating_sub(1);
        }
        self.on_outcomes(outcomes, now)
    }

    /// Takes what became of some batches of a request that is not answered yet. `true` as for an answer.
    pub(super) fn on_outcomes(&mut self, outcomes: Vec<(Place, Outcome)>, now: Instant) -> bool {
        let mut refresh = false;
        for (place, outcome) in outcomes {
            refresh |= self.on_outcome(&place, outcome, now);
        }
        refresh
    }

    fn on_outcome(&mut self, place: &Place, outcome: Outcome, now: Instant) -> bool {
        let Place { topic: name, partition, ticket } = place;
        let (partition, ticket) = (*partition, *ticket);
        let doing = |message: Option<String>| match message {
            Some(message) => format!("writing to topic '{name}' partition {partition} ({message})"),
            None => format!("writing to topic '{name}' partition {partition}"),
        };
        let (setback, maybe_written) = match outcome {
            Outcome::Answered {
                code: ErrorCode::NONE | ErrorCode::DUPLICATE_SEQUENCE_NUMBER,
                base_offset,
                append_time,
                ..
            } => {
                let Some(queue) = self.queue(place) else { return false };
                if let Fate::Stored(batch) = queue.on_stored(ticket, now) {
                    self.acknowledge(place, batch, base_offset, append_time);
                }
                return false;
            }
            Outcome::Answered {
                code:
                    code @ (ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER
                    | ErrorCode::UNKNOWN_PRODUCER_ID
                    | ErrorCode::INVALID_PRODUCER_EPOCH),
                message,
                ..
            } if self.identity != Identity::Anonymous && !self.transactional => {
                (Setback::OutOfSequence(Error::Broker { code, doing: doing(message) }), false)
            }
            Outcome::Answered { code: ErrorCode::MESSAGE_TOO_LARGE, .. } if self.split(place) => {
                return false;
            }
            Outcome::Answered { code, message, .. } => {
                let passing = code.reaction() != Reaction::Fatal;
                let error = Error::for_topic(code, "write to", name, || doing(message));
                // These say that it may be in the log of some replica all the same.
                let maybe_written = matches!(
                    code,
                    ErrorCode::REQUEST_TIMED_OUT | ErrorCode::NOT_ENOUGH_REPLICAS_AFTER_APPEND
                );
                (if passing { Setback::Passing(error) } else { Setback::Lasting(error) }, maybe_written)
            }
            Outcome::Failed { error, maybe_written } => {
                let passing = error.is_retriable();
                (if passing { Setback::Passing(error) } else { Setback::Lasting(error) }, maybe_written)
            }
        };
        let refresh = matches!(setback, Setback::Passing(_));
        let Some(queue) = self.queue(place) else { return false };
        match queue.on_setback(ticket, setback, maybe_written, now) {
            Fate::Open => {}
            Fate::Stored(batch) => self.acknowledge(place, batch, -1, -1),
            Fate::GivenUp(batch) => {
                let topic = name.to_string();
                let source =
                    batch.last.clone().unwrap_or(Error::NoLeader { topic: topic.clone(), partition });
                self.fail(batch, ProduceError::Refused { topic, source: Box::new(source) });
            }
        }
        refresh
    }

    /// A batch that is too large for the topic goes in halves, and those after it are made smaller.
    fn split(&mut self, place: &Place) -> bool {
        let tickets = [self.next_ticket, self.next_ticket + 1];
        let compressor = self.limits.compressor;
        let Some(queue) = self.queue(place) else { return false };
        let Some(bytes) = queue.split(place.ticket, compressor, tickets) else { return false };
        self.next_ticket += 2;
        if let Some(topic) = self.topics.get_mut(&place.topic) {
            topic.batch_bytes = topic.batch_bytes.min(bytes / 2).max(LEAST_BATCH_BYTES);
        }
        true
    }

    /// Fails what has waited longer than the delivery time-out. What is in flight is left alone until it is answered.
    pub(super) fn expire(&mut self, now: Instant) {
        let after = self.limits.delivery_timeout;
        let mut failed = Vec::new();
        for (name, topic) in &mut self.topics {
            for (queue, partition) in topic.partitions.iter_mut().zip(0..) {
                let mut reason = None;
                for batch in queue.expire(after, now) {
                    // Those behind the first waited for the same reason.
                    reason = batch.last.clone().or(reason);
                    let failure = ProduceError::Expired {
                        topic: name.to_string(),
                        partition,
                        after,
                        maybe_written: batch.maybe_written,
                        last: reason.clone().map(Box::new),
                    };
                    failed.push((batch, failure));
                }
            }
        }
        for (batch, failure) in failed {
            self.fail(batch, failure);
        }
    }

    /// Fails everything, also what is in flight.
    pub(super) fn fail_all(&mut self, failure: &ProduceError) {
        for topic in self.topics.drain().map(|(_, topic)| topic) {
            for completion in topic.partitions.iter().flat_map(Queue::outstanding) {
                completion.complete(Err(failure.clone()));
            }
        }
    }

    /// Fails everything that is not in flight.
    pub(super) fn fail_waiting(&mut self, failure: &ProduceError) {
        let queues = self.topics.values_mut().flat_map(|topic| &mut topic.partitions);
        let given_up: Vec<_> = queues.flat_map(Queue::give_up_waiting).collect();
        for batch in given_up {
            self.fail(batch, failure.clone());
        }
    }

    /// What has come so far waits for no more.
    pub(super) fn close_all(&mut self) {
        self.topics.values_mut().flat_map(|topic| &mut topic.partitions).for_each(Queue::close_open);
    }

    /// Whether a producer identity should be asked for now.
    pub(super) fn wants_identity(&self) -> bool {
        self.identity == Identity::Wanted
    }

    /// Takes the identity that the brokers gave.
    pub(super) fn identify(&mut self, identity: Identity) {
        self.identity = identity;
    }

    /// A partition whose sequence has a gap goes on under the next epoch. When there are none left, another number is
    /// asked for.
    fn renew_epoch(&mut self) {
        let mut queues = self.topics.values().flat_map(|topic| &topic.partitions);
        if queues.any(|queue| queue.outgrown() == Some(self.identity)) {
            self.identity = match self.identity {
                Identity::Known { id, epoch } if epoch < i16::MAX => Identity::Known { id, epoch: epoch + 1 },
                Identity::Known { .. } | Identity::Wanted => Identity::Wanted,
                Identity::Anonymous => Identity::Anonymous,
            };
        }
    }

    /// Partitions to be added to the transaction now; each is named once.
    pub(super) fn next_to_add(&mut self) -> Vec<TopicPartition> {
        let mut partitions = Vec::new();
        for (name, topic) in &mut self.topics {
            let wanting = topic.partitions.iter_mut().zip(0..).filter_map(|(queue, partition)| {
                queue.is_to_be_added().then(|| TopicPartition::new(Arc::clone(name), partition))
            });
            partitions.extend(wanting);
        }
        partitions
    }

    /// These are part of the transaction.
    pub(super) fn on_added(&mut self, partitions: Vec<TopicPartition>) {
        for TopicPartition { topic, partition } in partitions {
            if let Some(queue) = self.queue(&Place { topic, partition, ticket: 0 }) {
                queue.on_added();
            }
        }
    }

    /// The transaction has ended; whether there was anything in it.
    pub(super) fn end_transaction(&mut self) -> bool {
        let mut any = false;
        for queue in self.topics.values_mut().flat_map(|topic| &mut topic.partitions) {
            any |= queue.end_transaction();
        }
        any
    }

    pub(super) fn identity(&self) -> Identity {
        self.identity
    }

    /// When there may be something to do though nothing has happened.
    pub(super) fn next_look(&self, now: Instant) -> Option<Instant> {
        let Limits { linger, delivery_timeout, .. } = self.limits;
        let queues = self.topics.values().flat_map(|topic| &topic.partitions);
        queues.filter_map(|queue| queue.wake_at(linger, delivery_timeout, now)).min()
    }

    /// Topics that have something to send to a partition that nobody is known to lead.
    pub(super) fn leaderless(&self, snapshot: &Snapshot) -> Vec<Arc<str>> {
        let lacks = |name: &str, topic: &Topic| {
            topic.partitions.iter().zip(0..).any(|(queue, partition)| {
                queue.has_work()
                    && snapshot.partition(name, partition).is_none_or(|known| known.leader.is_none())
            })
        };
        self.topics
            .iter()
            .filter(|(name, topic)| lacks(name, topic))
            .map(|(name, _)| Arc::clone(name))
            .collect()
    }

    /// The outcome of each batch that is still to come.
    pub(super) fn outstanding(&self) -> Vec<Arc<Completion>> {
        let queues = self.topics.values().flat_map(|topic| &topic.partitions);
        queues.flat_map(Queue::outstanding).map(Arc::clone).collect()
    }

    /// How many bytes of memory came free since the last call.
    pub(super) fn take_freed(&mut self) -> usize {
        std::mem::take(&mut self.freed)
    }

    fn queue(&mut self, place: &Place) -> Option<&mut Queue> {
        let at = usize::try_from(place.partition).ok()?;
        self.topics.get_mut(&place.topic)?.partitions.get_mut(at)
    }

    fn acknowledge(&mut self, place: &Place, batch: Settled, base_offset: i64, append_time: i64) {
        self.acknowledged += u64::try_from(batch.count).unwrap_or(0);
        self.freed += batch.bytes;
        batch.completion.complete(Ok(Acknowledged {
            topic: Arc::clone(&place.topic),
            partition: place.partition,
            offset: Some(base_offset).filter(|&offset| offset >= 0),
            append_time: Some(append_time).filter(|&time| time >= 0),
        }));
    }

    fn fail(&mut self, batch: Settled, failure: ProduceError) {
        self.freed += batch.bytes;
        self.first_failure.get_or_insert_with(|| failure.clone());
        batch.completion.complete(Err(failure));
    }
}

impl Topic {
    /// The index of the partition that a record goes to.
    fn place(
        &mut self,
        partitioner: &Partitioner,
        record: &Record,
        bytes: usize,
        is_led: impl Fn(usize) -> bool,
    ) -> Result<usize, ProduceError> {
        let Self { partitions, sticky, turns, batch_bytes } = self;
        let count = partitions.len();
        let placement = match record.partition {
            Some(asked) => Placement::At(asked),
            None => {
                let unplaced = Unplaced::new(&record.topic, record.key.as_deref(), record.value.as_deref());
                partitioner.place(&unplaced, i32::try_from(count).unwrap_or(i32::MAX))
            }
        };
        let place = match placement {
            // One that does not exist is found out by whoever looks for it.
            Placement::At(partition) => Some(usize::try_from(partition).unwrap_or(usize::MAX)),
            Placement::InTurn => turns.take(count, is_led),
            Placement::Any => {
                let backlog = |place: usize| {
                    let (bytes, has_room) = partitions
                        .get(place)
                        .map_or((0, false), |queue| (queue.bytes(), queue.has_room(bytes, *batch_bytes)));
                    Backlog { bytes, available: is_led(place), has_room }
                };
                let chosen = sticky.choose(count, backlog, fastrand::f64);
                sticky.on_appended(bytes);
                chosen
            }
        };
        place.ok_or_else(|| no_such_partition(record, 0, count))
    }
}

fn no_such_partition(record: &Record, place: usize, partitions: usize) -> ProduceError {
    let partition = record.partition.unwrap_or_else(|| i32::try_from(place).unwrap_or(-1));
    ProduceError::NoSuchPartition { topic: record.topic.to_string(), partition, partitions }
}

fn refused(topic: &str, setting: &'static str, source: &RecordError) -> ProduceError {
    let source = Box::new(Error::Setting { setting, reason: source.to_string() });
    ProduceError::Refused { topic: topic.to_owned(), source }
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
