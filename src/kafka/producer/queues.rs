//! What a producer holds: a queue of batches for each partition, and which of them may be sent now.
//!
//! A pure state machine: records, answers and the time go in; requests and completions come out. One batch of a
//! partition is in flight at a time, so that retries keep their order; what is handed in meanwhile fills the next
//! one. There is no timer for batching: an idle partition sends its first record at once, a busy one sends as much as
//! has come when the answer before is in.
//!
//! Each batch carries the producer's identity and the sequence number of its first record (KIP-98), by which a broker
//! recognises a batch that it has already. A batch that may have been written but was given up leaves a doubt about
//! the sequence; then, and where the broker has lost track, the producer takes a new identity and counts from 0
//! (KIP-360), once nothing is in flight.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::record::{Acknowledged, Completion, Delivery, ProduceError, Record};
use crate::kafka::backoff::Backoff;
use crate::kafka::error::Error;
use crate::kafka::metadata::{BrokerId, Snapshot};
use crate::wire::error_code::{ErrorCode, Reaction};
use crate::wire::record::{BatchBuilder, Compression, HeaderRef, ProducerStamp, RecordError};

/// Requests to one broker that have not been answered.
const MOST_IN_FLIGHT: usize = 5;
/// Of all batches in one request.
const MOST_REQUEST_BYTES: usize = 4 * 1024 * 1024;

/// What is set once.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) compression: Compression,
    /// A batch is closed when another record would take it beyond this, uncompressed.
    pub(super) batch_bytes: usize,
    /// A batch of one record may have this size, uncompressed.
    pub(super) record_bytes: usize,
    pub(super) delivery_timeout: Duration,
}

/// Who this producer is to the brokers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Identity {
    /// Not known yet: nothing may be sent.
    Wanted,
    /// By number and epoch.
    Known { id: i64, epoch: i16 },
    /// The brokers would not give one: batches are sent without, and a retry may double them.
    Refused,
}

/// A batch that is to be sent now.
#[derive(Debug, Clone)]
pub(super) struct Dispatch {
    pub(super) topic: Arc<str>,
    pub(super) partition: i32,
    pub(super) records: Bytes,
}

/// A broker's answer for one partition of a request.
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
    identity: Identity,
    /// A new identity must be taken as soon as nothing is in flight.
    doubt: bool,
    topics: HashMap<Arc<str>, Topic>,
    in_flight: BTreeMap<BrokerId, usize>,
    pub(super) first_failure: Option<ProduceError>,
    pub(super) acknowledged: u64,
    /// Bytes of finished batches, to be given back to those who wait for memory.
    freed: usize,
}

#[derive(Debug, Default)]
struct Topic {
    partitions: Vec<Queue>,
    /// Where records without a key go while that partition's batch is open.
    sticky: usize,
}

#[derive(Debug, Default)]
struct Queue {
    /// Takes records; always the youngest.
    open: Option<OpenBatch>,
    closed: VecDeque<OpenBatch>,
    /// Encoded: in flight, or to be sent again.
    head: Option<Batch>,
    in_flight: bool,
    next_sequence: i32,
    failures: u32,
    not_before: Option<Instant>,
}

#[derive(Debug)]
struct OpenBatch {
    builder: BatchBuilder,
    completion: Arc<Completion>,
    created: Instant,
    bytes: usize,
}

#[derive(Debug)]
struct Batch {
    records: Bytes,
    count: i32,
    completion: Arc<Completion>,
    created: Instant,
    bytes: usize,
    maybe_written: bool,
    last: Option<Error>,
    stamped_for: Identity,
}

impl Queues {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            identity: Identity::Wanted,
            doubt: false,
            topics: HashMap::new(),
            in_flight: BTreeMap::new(),
            first_failure: None,
            acknowledged: 0,
            freed: 0,
        }
    }

    /// Takes a record, for which `bytes` of memory were set aside, for a topic of so many partitions. `true` if the sender should have a look.
    pub(super) fn append(
        &mut self,
        record: &Record,
        timestamp: i64,
        bytes: usize,
        partitions: usize,
        now: Instant,
    ) -> Result<(Delivery, bool), ProduceError> {
        let name = &record.topic;
        let topic = match self.topics.get_mut(name) {
            Some(topic) => topic,
            None => self.topics.entry(Arc::clone(name)).or_default(),
        };
        if topic.partitions.len() < partitions {
            topic.partitions.resize_with(partitions, Queue::default);
        }
        let place = topic.place(record)?;
        let Some(queue) = topic.partitions.get_mut(place) else {
            return Err(no_such_partition(record, topic.partitions.len()));
        };

        let headers: Vec<HeaderRef<'_>> =
            record.headers.iter().map(|(key, value)| HeaderRef { key, value: value.as_deref() }).collect();
        let (key, value) = (record.key.as_deref(), record.value.as_deref());
        let limits = &self.limits;
        if queue
            .open
            .as_ref()
            .is_some_and(|open| open.builder.size_with(timestamp, key, value, &headers) > limits.batch_bytes)
        {
            queue.closed.extend(queue.open.take());
        }
        let idle = queue.head.is_none() && queue.closed.is_empty() && queue.open.is_none();
        let open = queue.open.get_or_insert_with(|| OpenBatch {
            builder: BatchBuilder::new(limits.compression),
            completion: Arc::default(),
            created: now,
            bytes: 0,
        });
        let refused = |source: RecordError| ProduceError::Refused {
            topic: name.to_string(),
            source: Box::new(Error::Setting { setting: "record", reason: source.to_string() }),
        };
        open.builder.append(timestamp, key, value, &headers).map_err(refused)?;
        open.bytes += bytes;
        let place = i64::from(open.builder.record_count()) - 1;
        let delivery = Delivery { completion: Arc::clone(&open.completion), place };
        // A record that is larger than a batch should be goes alone.
        if open.builder.size() > limits.batch_bytes {
            queue.closed.extend(queue.open.take());
        }
        Ok((delivery, idle))
    }

    /// The requests that may be sent now, by broker. What is returned counts as in flight.
    pub(super) fn next_requests(
        &mut self,
        snapshot: &Snapshot,
        now: Instant,
    ) -> Vec<(BrokerId, Vec<Dispatch>)> {
        if self.identity == Identity::Wanted || self.doubt {
            return Vec::new();
        }
        let mut requests: BTreeMap<BrokerId, (usize, Vec<Dispatch>)> = BTreeMap::new();
        for (name, topic) in &mut self.topics {
            for (queue, partition) in topic.partitions.iter_mut().zip(0..) {
                if queue.in_flight || !queue.has_work() || queue.not_before.is_some_and(|at| at > now) {
                    continue;
                }
                let known = snapshot.partition(name, partition).and_then(|partition| partition.leader);
                let Some(leader) = known else { continue };
                if self.in_flight.get(&leader).is_some_and(|&count| count >= MOST_IN_FLIGHT) {
                    continue;
                }
                let (bytes, dispatches) = requests.entry(leader).or_default();
                if *bytes >= MOST_REQUEST_BYTES {
                    continue;
                }
                match queue.encode_head(self.identity) {
                    Ok(Some(records)) => {
                        *bytes += records.len();
                        queue.in_flight = true;
                        dispatches.push(Dispatch { topic: Arc::clone(name), partition, records });
                    }
                    Ok(None) => {}
                    Err((batch, source)) => {
                        let source =
                            Box::new(Error::Setting { setting: "compression", reason: source.to_string() });
                        let failure = ProduceError::Refused { topic: name.to_string(), source };
                        self.freed += batch.bytes;
                        self.first_failure.get_or_insert_with(|| failure.clone());
                        batch.completion.complete(Err(failure));
                    }
                }
            }
        }
        requests.retain(|_, (_, dispatches)| !dispatches.is_empty());
        for &broker in requests.keys() {
            *self.in_flight.entry(broker).or_default() += 1;
        }
        requests.into_iter().map(|(broker, (_, dispatches))| (broker, dispatches)).collect()
    }

    /// Takes what became of a request. `true` if the metadata should be looked at anew.
    pub(super) fn on_answer(
        &mut self,
        broker: BrokerId,
        outcomes: Vec<(Arc<str>, i32, Outcome)>,
        now: Instant,
    ) -> bool {
        if let Some(count) = self.in_flight.get_mut(&broker) {
            *count = count.saturating_sub(1);
        }
        let mut refresh = false;
        for (topic, partition, outcome) in outcomes {
            refresh |= self.on_outcome(&topic, partition, outcome, now);
        }
        refresh
    }

    fn on_outcome(&mut self, name: &Arc<str>, partition: i32, outcome: Outcome, now: Instant) -> bool {
        let Some(queue) = self
            .topics
            .get_mut(name)
            .and_then(|topic| topic.partitions.get_mut(usize::try_from(partition).ok()?))
        else {
            return false;
        };
        queue.in_flight = false;
        let Some(batch) = &mut queue.head else { return false };
        let retry = match outcome {
            Outcome::Answered {
                code: ErrorCode::NONE | ErrorCode::DUPLICATE_SEQUENCE_NUMBER,
                base_offset,
                append_time,
                ..
            } => {
                let acknowledged = Acknowledged {
                    topic: Arc::clone(name),
                    partition,
                    offset: Some(base_offset).filter(|&offset| offset >= 0),
                    append_time: Some(append_time).filter(|&time| time >= 0),
                };
                self.acknowledged += u64::try_from(batch.count).unwrap_or(0);
                queue.next_sequence = sequence_after(queue.next_sequence, batch.count);
                self.finish(name, partition, Ok(acknowledged));
                return false;
            }
            Outcome::Answered {
                code:
                    code @ (ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER
                    | ErrorCode::UNKNOWN_PRODUCER_ID
                    | ErrorCode::INVALID_PRODUCER_EPOCH),
                ..
            } => {
                // The broker has lost track of us: it is not in the log, else it would be known as a duplicate.
                self.doubt = true;
                batch.last = Some(Error::Broker {
                    code,
                    doing: format!("writing to topic '{name}' partition {partition}"),
                });
                true
            }
            Outcome::Answered { code, message, .. } => {
                let doing = || match message {
                    Some(message) => format!("writing to topic '{name}' partition {partition} ({message})"),
                    None => format!("writing to topic '{name}' partition {partition}"),
                };
                let error = Error::for_topic(code, "write to", name, doing);
                // These say that it may be in the log of some replica all the same.
                batch.maybe_written |= matches!(
                    code,
                    ErrorCode::REQUEST_TIMED_OUT | ErrorCode::NOT_ENOUGH_REPLICAS_AFTER_APPEND
                );
                let retry = code.reaction() != Reaction::Fatal;
                batch.last = Some(error);
                retry
            }
            Outcome::Failed { error, maybe_written } => {
                batch.maybe_written |= maybe_written;
                let retry = error.is_retriable();
                batch.last = Some(error);
                retry
            }
        };
        if retry {
            queue.failures = queue.failures.saturating_add(1);
            queue.not_before = Some(now + Backoff::REQUEST.wait(queue.failures, fastrand::f64()));
            return true;
        }
        self.doubt |= batch.maybe_written && matches!(self.identity, Identity::Known { .. });
        let source = batch.last.clone().unwrap_or(Error::NoLeader { topic: name.to_string(), partition });
        self.finish(
            name,
            partition,
            Err(ProduceError::Refused { topic: name.to_string(), source: Box::new(source) }),
        );
        false
    }

    /// Fails what has waited longer than the delivery time-out. What is in flight is left alone until it is answered.
    pub(super) fn expire(&mut self, now: Instant) {
        let after = self.limits.delivery_timeout;
        let identified = matches!(self.identity, Identity::Known { .. });
        for (name, topic) in &mut self.topics {
            for (queue, partition) in topic.partitions.iter_mut().zip(0..) {
                if queue.in_flight {
                    continue;
                }
                let mut expired = Vec::new();
                if let Some(batch) = queue.head.take_if(|batch| now.duration_since(batch.created) >= after) {
                    self.doubt |= batch.maybe_written && identified;
                    expired.push((batch.completion, batch.bytes, batch.maybe_written, batch.last));
                }
                while queue.closed.front().is_some_and(|batch| now.duration_since(batch.created) >= after) {
                    expired.extend(
                        queue.closed.pop_front().map(|batch| (batch.completion, batch.bytes, false, None)),
                    );
                }
                if let Some(batch) = queue.open.take_if(|batch| now.duration_since(batch.created) >= after) {
                    expired.push((batch.completion, batch.bytes, false, None));
                }
                let mut reason = None;
                for (completion, bytes, maybe_written, last) in expired {
                    self.freed += bytes;
                    // Those behind the first waited for the same reason.
                    reason = last.or(reason);
                    let topic = name.to_string();
                    let failure = ProduceError::Expired {
                        topic,
                        partition,
                        after,
                        maybe_written,
                        last: reason.clone().map(Box::new),
                    };
                    self.first_failure.get_or_insert_with(|| failure.clone());
                    completion.complete(Err(failure));
                }
            }
        }
    }

    /// Fails everything that is not in flight.
    pub(super) fn fail_all(&mut self, failure: &ProduceError) {
        for queue in self.topics.values_mut().flat_map(|topic| &mut topic.partitions) {
            if queue.in_flight {
                continue;
            }
            let batches =
                queue.closed.drain(..).chain(queue.open.take()).map(|batch| (batch.completion, batch.bytes));
            for (completion, bytes) in
                queue.head.take().map(|batch| (batch.completion, batch.bytes)).into_iter().chain(batches)
            {
                self.freed += bytes;
                self.first_failure.get_or_insert_with(|| failure.clone());
                completion.complete(Err(failure.clone()));
            }
        }
    }

    /// Whether a producer identity should be asked for now.
    pub(super) fn wants_identity(&self) -> bool {
        let settled = self.in_flight.values().all(|&count| count == 0);
        self.identity == Identity::Wanted || (self.doubt && settled)
    }

    /// Takes the identity that the brokers gave. Every sequence begins anew.
    pub(super) fn identify(&mut self, identity: Identity) {
        self.identity = identity;
        self.doubt = false;
        for queue in self.topics.values_mut().flat_map(|topic| &mut topic.partitions) {
            queue.next_sequence = 0;
        }
    }

    /// When a batch that waits may be sent again, or expires.
    pub(super) fn next_look(&self, now: Instant) -> Option<Instant> {
        let queues = self.topics.values().flat_map(|topic| &topic.partitions);
        let waiting = queues.filter(|queue| !queue.in_flight && queue.has_work());
        waiting
            .flat_map(|queue| {
                let created = queue.head.as_ref().map(|batch| batch.created);
                let created = created
                    .or_else(|| queue.closed.front().or(queue.open.as_ref()).map(|batch| batch.created));
                [created.map(|at| at + self.limits.delivery_timeout), queue.not_before.filter(|&at| at > now)]
            })
            .flatten()
            .min()
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
        let batches = queues.flat_map(|queue| {
            let head = queue.head.as_ref().map(|batch| &batch.completion);
            head.into_iter().chain(queue.closed.iter().chain(&queue.open).map(|batch| &batch.completion))
        });
        batches.map(Arc::clone).collect()
    }

    /// How many bytes of memory came free since the last call.
    pub(super) fn take_freed(&mut self) -> usize {
        std::mem::take(&mut self.freed)
    }

    fn finish(&mut self, topic: &str, partition: i32, outcome: Result<Acknowledged, ProduceError>) {
        let queue = self
            .topics
            .get_mut(topic)
            .and_then(|topic| topic.partitions.get_mut(usize::try_from(partition).ok()?));
        let Some(queue) = queue else { return };
        queue.failures = 0;
        queue.not_before = None;
        let Some(batch) = queue.head.take() else { return };
        self.freed += batch.bytes;
        if let Err(failure) = &outcome {
            self.first_failure.get_or_insert_with(|| failure.clone());
        }
        batch.completion.complete(outcome);
    }
}

impl Topic {
    /// The index of the partition that a record goes to.
    fn place(&mut self, record: &Record) -> Result<usize, ProduceError> {
        let count = self.partitions.len();
        if let Some(asked) = record.partition {
            let place = usize::try_from(asked).ok().filter(|&place| place < count);
            return place.ok_or_else(|| no_such_partition(record, count));
        }
        let partitions = u32::try_from(count).unwrap_or(u32::MAX);
        if let Some(place) = super::partitioner::for_key(record.key.as_deref(), partitions) {
            return Ok(usize::try_from(place).unwrap_or(0));
        }
        if self.partitions.get(self.sticky).is_none_or(|queue| queue.open.is_none()) && count > 0 {
            self.sticky = fastrand::usize(..count);
        }
        Ok(self.sticky)
    }
}

impl Queue {
    fn has_work(&self) -> bool {
        self.head.is_some() || !self.closed.is_empty() || self.open.is_some()
    }

    /// The bytes of the oldest batch, encoded if it is not yet.
    fn encode_head(&mut self, identity: Identity) -> Result<Option<Bytes>, (OpenBatch, RecordError)> {
        let stamp = match identity {
            Identity::Known { id, epoch } => ProducerStamp {
                producer_id: id,
                producer_epoch: epoch,
                base_sequence: self.next_sequence,
                transactional: false,
            },
            Identity::Wanted | Identity::Refused => ProducerStamp::NONE,
        };
        if let Some(batch) = &mut self.head {
            if batch.stamped_for != identity {
                batch.records = crate::wire::record::restamp(&batch.records, stamp);
                batch.stamped_for = identity;
            }
            return Ok(Some(batch.records.clone()));
        }
        let Some(mut open) = self.closed.pop_front().or_else(|| self.open.take()) else { return Ok(None) };
        let count = open.builder.record_count();
        let builder = std::mem::replace(&mut open.builder, BatchBuilder::new(Compression::None));
        let records = match builder.finish(stamp) {
            Ok(records) => records,
            Err(error) => return Err((open, error)),
        };
        self.head = Some(Batch {
            records: records.clone(),
            count,
            completion: open.completion,
            created: open.created,
            bytes: open.bytes,
            maybe_written: false,
            last: None,
            stamped_for: identity,
        });
        Ok(Some(records))
    }
}

fn no_such_partition(record: &Record, partitions: usize) -> ProduceError {
    let partition = record.partition.unwrap_or_default();
    ProduceError::NoSuchPartition { topic: record.topic.to_string(), partition, partitions }
}

/// Sequence numbers go from 0 to 2^31 - 1 and begin anew.
fn sequence_after(sequence: i32, records: i32) -> i32 {
    sequence.wrapping_add(records) & i32::MAX
}

#[cfg(test)]
mod tests;
