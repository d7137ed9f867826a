//! The batches of a partition that were sent: their sequence numbers, what became of each, and which of them goes again.
//!
//! Batches get their sequence numbers when they are first sent (KIP-98), and go out in that order, several of them
//! before the first is answered. When one is not stored, nothing more is sent until all in flight are answered; then
//! what is not acknowledged goes again, in the same order, with the same bytes, so that a broker that has a batch
//! already says so.
//!
//! A batch that is given up leaves a gap that brokers do not accept. What they refuse for that is in no log, and is
//! numbered anew under the producer's next epoch (KIP-360): once nothing can close the gap any more, which is at once
//! where the brokers refused what is missing. Where they never answered, it may still be on its way to them, and so may
//! be what was sent behind it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::{Fate, Identity, OpenBatch, Setback, Settled, Ticket};
use crate::kafka::backoff::Backoff;
use crate::kafka::error::Error;
use crate::kafka::producer::delivery::Completion;
use crate::wire::record::{
    BatchBuilder, Batches, Compressor, DecodeLimits, HeaderRef, ProducerStamp, restamp,
};

/// As many batches of one producer as a broker remembers of a partition: one that is followed by as many could not be told
/// from its repetition.
const MOST_UNACKNOWLEDGED: usize = 5;
/// A broker forgets a producer from which nothing has come for long: by default after a day.
const REMEMBERED_FOR: Duration = Duration::from_secs(3_600);
/// A broker may read a request so long after its connection has ended here, and no longer: as with TCP's TIME-WAIT
/// (RFC 9293, 3.3.2; a minute on Linux), nothing else tells that it is lost.
pub(in crate::kafka::producer) const ASTRAY_FOR: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Sent {
    /// The oldest first: in flight, to be sent again, or stored behind one that is not.
    batches: VecDeque<Batch>,
    transactional: bool,
    /// Under whom the sequence is counted.
    identity: Identity,
    next_sequence: i32,
    /// When a batch under this identity was last known to be stored: then brokers know where the sequence stands.
    stored_at: Option<Instant>,
    /// The sequence has a gap: what was sent is to be numbered anew.
    broken: bool,
    /// Until then, what was given up may still arrive, and close the gap that it has left.
    may_close_until: Option<Instant>,
    failures: u32,
    not_before: Option<Instant>,
}

#[derive(Debug)]
struct Batch {
    ticket: Ticket,
    /// Empty until [`Sent::keep`] has brought them.
    records: Bytes,
    base_sequence: i32,
    count: i32,
    completion: Arc<Completion>,
    created: Instant,
    /// For the last time.
    sent_at: Instant,
    bytes: usize,
    state: State,
    /// When an attempt ended of which nobody knows whether it is in the log.
    maybe_written: Option<Instant>,
    last: Option<Error>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    InFlight,
    Stored,
}

impl Sent {
    pub(super) fn new(transactional: bool) -> Self {
        Self {
            batches: VecDeque::new(),
            transactional,
            identity: Identity::Wanted,
            next_sequence: 0,
            stored_at: None,
            broken: false,
            may_close_until: None,
            failures: 0,
            not_before: None,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// Whether the sequence has a gap, and all that may be in a log is known to be or not to be: then the producer
    /// needs an epoch that is newer than this.
    pub(super) fn outgrown(&self) -> Option<Identity> {
        (self.broken && !self.any_in_flight_from(0)).then_some(self.identity)
    }

    /// Until when nothing is sent, after a failure.
    pub(super) fn not_before(&self) -> Option<Instant> {
        self.not_before
    }

    /// Whether a batch goes again before any new one.
    pub(super) fn has_waiting(&self) -> bool {
        self.waiting().is_some()
    }

    /// Whether the oldest of those that go again may go now.
    pub(super) fn may_go_again(&self, now: Instant) -> bool {
        self.waiting().is_some_and(|first| {
            first < self.most_unacknowledged(now)
                && self.is_remembered_with(first)
                && !self.any_in_flight_from(first)
        })
    }

    /// Whether a new batch may be sent behind the others.
    pub(super) fn has_room(&self, now: Instant) -> bool {
        self.batches.len() < self.most_unacknowledged(now)
    }

    /// When the oldest batch that goes again was begun.
    pub(super) fn oldest_waiting(&self) -> Option<Instant> {
        let waiting = self.batches.iter().filter(|batch| batch.state == State::Waiting);
        waiting.map(|batch| batch.created).min()
    }

    /// The outcome of each batch that is still to come.
    pub(super) fn outstanding(&self) -> impl Iterator<Item = &Arc<Completion>> {
        self.batches.iter().filter(|batch| batch.state != State::Stored).map(|batch| &batch.completion)
    }

    /// From here on batches are under this identity, if none needs the one before.
    pub(super) fn identify(&mut self, identity: Identity) {
        if self.identity != identity && (self.is_empty() || self.outgrown().is_some()) {
            self.number_anew(identity);
        }
    }

    /// The oldest batch that goes again, which is in flight from now on.
    pub(super) fn take_again(&mut self, now: Instant) -> Option<(Ticket, Bytes)> {
        let batch = self.waiting().and_then(|first| self.batches.get_mut(first))?;
        (batch.state, batch.sent_at) = (State::InFlight, now);
        Some((batch.ticket, batch.records.clone()))
    }

    /// Numbers a new batch, which is in flight from now on.
    pub(super) fn push(
        &mut self,
        ticket: Ticket,
        batch: OpenBatch,
        now: Instant,
    ) -> (BatchBuilder, ProducerStamp) {
        let OpenBatch { builder, completion, created, bytes } = batch;
        let (count, base_sequence) = (builder.record_count(), self.next_sequence);
        self.next_sequence = sequence_after(base_sequence, count);
        self.batches.push_back(Batch {
            ticket,
            records: Bytes::new(),
            base_sequence,
            count,
            completion,
            created,
            sent_at: now,
            bytes,
            state: State::InFlight,
            maybe_written: None,
            last: None,
        });
        (builder, self.stamp(base_sequence))
    }

    /// The bytes that a new batch was finished to, to be sent again where that is needed.
    pub(super) fn keep(&mut self, ticket: Ticket, records: Bytes) {
        if let Some(batch) = self.batches.iter_mut().find(|batch| batch.ticket == ticket) {
            batch.records = records;
        }
    }

    /// A batch is stored.
    pub(super) fn on_stored(&mut self, ticket: Ticket, now: Instant) -> Fate {
        let Some(at) = self.answered(ticket) else { return Fate::Open };
        (self.failures, self.not_before) = (0, None);
        self.stored_at = Some(now);
        self.store(at).map_or(Fate::Open, Fate::Stored)
    }

    /// A batch is not stored, or may not be.
    pub(super) fn on_setback(
        &mut self,
        ticket: Ticket,
        setback: Setback,
        maybe_written: bool,
        now: Instant,
    ) -> Fate {
        // Those of one connection fail together: that is one failure.
        let is_first = !self.has_waiting();
        let Some(at) = self.answered(ticket) else { return Fate::Open };
        let Some(batch) = self.batches.get_mut(at) else { return Fate::Open };
        if maybe_written {
            batch.maybe_written = Some(now);
        }
        match setback {
            Setback::Passing(error) => {
                batch.last = Some(error);
                if is_first {
                    self.wait_for_next(now);
                }
                Fate::Open
            }
            Setback::OutOfSequence(error) => {
                batch.last = Some(error);
                // What came after it was taken, so it is there: the broker has forgotten that it knows it.
                if self.batches.iter().skip(at).any(|behind| behind.state == State::Stored) {
                    return self.store(at).map_or(Fate::Open, Fate::Stored);
                }
                // Behind another it goes again when that is stored. The oldest is in no log, else it would be known:
                // nor is any that came after it.
                if at == 0 {
                    if self.is_nowhere(at) {
                        self.broken = true;
                    } else {
                        self.wait_for_next(now);
                    }
                }
                Fate::Open
            }
            Setback::Lasting(error) => {
                batch.last = Some(error);
                self.give_up(at).map_or(Fate::Open, Fate::GivenUp)
            }
        }
    }

    /// A batch is too large for the broker: each half of it is sent by itself. How large the whole was; `None` if it is
    /// a single record.
    pub(super) fn split(
        &mut self,
        ticket: Ticket,
        compressor: Compressor,
        tickets: [Ticket; 2],
    ) -> Option<usize> {
        let at = self.batches.iter().position(|batch| batch.ticket == ticket)?;
        let batch = self.batches.get(at).filter(|batch| batch.count > 1)?;
        let first_count = batch.count / 2;
        let sequences = [batch.base_sequence, sequence_after(batch.base_sequence, first_count)];
        let [first, second] = halves(&batch.records, first_count, compressor)?;
        let [first_stamp, second_stamp] = sequences.map(|sequence| self.stamp(sequence));
        let records = [first.finish(first_stamp).ok()?, second.finish(second_stamp).ok()?];
        let whole = self.batches.remove(at)?;
        let completions = whole.completion.split(i64::from(first_count));
        let counts = [first_count, whole.count - first_count];
        let bytes = [whole.bytes / 2, whole.bytes - whole.bytes / 2];
        let parts = records.into_iter().zip(completions).zip(counts).zip(bytes).zip(sequences).zip(tickets);
        for ((((((records, completion), count), bytes), base_sequence), ticket), place) in parts.zip(at..) {
            let half = Batch {
                ticket,
                records,
                base_sequence,
                count,
                completion,
                created: whole.created,
                sent_at: whole.sent_at,
                bytes,
                state: State::Waiting,
                maybe_written: None,
                last: None,
            };
            self.batches.insert(place, half);
        }
        Some(whole.bytes)
    }

    /// Gives up what would go again and was begun at such a time; what is in flight is left alone until it is answered.
    pub(super) fn give_up_waiting(&mut self, begun: impl Fn(Instant) -> bool) -> Vec<Settled> {
        let is_it = |batch: &Batch| batch.state == State::Waiting && begun(batch.created);
        let mut given_up = Vec::new();
        while let Some(at) = self.batches.iter().position(is_it) {
            given_up.extend(self.give_up(at));
        }
        given_up
    }

    fn most_unacknowledged(&self, now: Instant) -> usize {
        // Without a sequence nobody puts them into order again. Nor does a broker that does not know the producer yet: it
        // takes the first batch that comes for the beginning, and those before it would be lost.
        let is_known = self.stored_at.is_some_and(|at| now.duration_since(at) < REMEMBERED_FOR);
        if is_known && matches!(self.identity, Identity::Known { .. }) { MOST_UNACKNOWLEDGED } else { 1 }
    }

    /// Whether a broker that gets this batch as well remembers each of those that it may have. Where one was made two,
    /// there are more than it does, and what was sent behind that one may arrive at any time.
    fn is_remembered_with(&self, at: usize) -> bool {
        let maybe_written = |batch: &Batch| batch.state != State::Waiting || batch.maybe_written.is_some();
        let known =
            self.batches.iter().zip(0..).filter(|(batch, place)| *place == at || maybe_written(batch));
        known.count() <= MOST_UNACKNOWLEDGED
    }

    /// Whether a batch that was refused is in no log, and does not get there any more. Where an attempt was never answered,
    /// it may have got there late, if what is missing before it did.
    fn is_nowhere(&self, at: usize) -> bool {
        let Some(batch) = self.batches.get(at) else { return false };
        batch.maybe_written.is_none() || self.may_close_until.is_none_or(|until| batch.sent_at >= until)
    }

    /// The next attempt is not at once.
    fn wait_for_next(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        self.not_before = Some(now + Backoff::REQUEST.wait(self.failures, fastrand::f64()));
    }

    /// Whether a batch that is not answered yet stands at this place or behind it.
    fn any_in_flight_from(&self, at: usize) -> bool {
        self.batches.iter().skip(at).any(|batch| batch.state == State::InFlight)
    }

    /// The place of the oldest batch that is to be sent again.
    fn waiting(&self) -> Option<usize> {
        self.batches.iter().position(|batch| batch.state == State::Waiting)
    }

    fn answered(&mut self, ticket: Ticket) -> Option<usize> {
        let is_it = |batch: &Batch| batch.ticket == ticket && batch.state == State::InFlight;
        let at = self.batches.iter().position(is_it)?;
        self.batches.get_mut(at)?.state = State::Waiting;
        Some(at)
    }

    /// A batch is in the log. Its place is kept for as long as one before it is not known to be: a broker remembers no
    /// more than so many.
    fn store(&mut self, at: usize) -> Option<Settled> {
        let batch = self.batches.get_mut(at)?;
        batch.state = State::Stored;
        batch.records = Bytes::new();
        let settled = batch.settled();
        self.drop_stored();
        Some(settled)
    }

    fn drop_stored(&mut self) {
        while self.batches.front().is_some_and(|batch| batch.state == State::Stored) {
            self.batches.pop_front();
        }
    }

    /// Takes a batch out that will not be sent any more. Where no broker can have seen it, nor what comes after it, its
    /// numbers are free again.
    fn give_up(&mut self, at: usize) -> Option<Settled> {
        let batch = self.batches.remove(at)?;
        let unseen = |batch: &Batch| batch.state == State::Waiting && batch.maybe_written.is_none();
        self.may_close_until = self.may_close_until.max(batch.maybe_written.map(|at| at + ASTRAY_FOR));
        if batch.maybe_written.is_none() && self.batches.iter().skip(at).all(unseen) {
            let mut sequence = batch.base_sequence;
            for place in at..self.batches.len() {
                sequence = self.number(place, sequence);
            }
            self.next_sequence = sequence;
        }
        self.drop_stored();
        Some(batch.settled())
    }

    /// Counts from 0 under another identity, what was sent first.
    fn number_anew(&mut self, identity: Identity) {
        (self.identity, self.broken) = (identity, false);
        (self.stored_at, self.may_close_until) = (None, None);
        self.batches.retain(|batch| batch.state != State::Stored);
        let mut sequence = 0;
        for place in 0..self.batches.len() {
            sequence = self.number(place, sequence);
        }
        self.next_sequence = sequence;
    }

    /// Numbers a batch that is in no log; the sequence number behind it.
    fn number(&mut self, place: usize, sequence: i32) -> i32 {
        let stamp = self.stamp(sequence);
        let Some(batch) = self.batches.get_mut(place) else { return sequence };
        batch.base_sequence = sequence;
        batch.maybe_written = None;
        batch.records = restamp(&batch.records, stamp);
        sequence_after(sequence, batch.count)
    }

    fn stamp(&self, base_sequence: i32) -> ProducerStamp {
        match self.identity {
            Identity::Known { id, epoch } => ProducerStamp {
                producer_id: id,
                producer_epoch: epoch,
                base_sequence,
                transactional: self.transactional,
            },
            Identity::Wanted | Identity::Anonymous => ProducerStamp::NONE,
        }
    }
}

impl Batch {
    fn settled(&self) -> Settled {
        Settled {
            count: self.count,
            bytes: self.bytes,
            completion: Arc::clone(&self.completion),
            maybe_written: self.maybe_written.is_some(),
            last: self.last.clone(),
        }
    }
}

/// Sequence numbers go from 0 to 2^31 - 1 and begin anew.
pub(in crate::kafka::producer) fn sequence_after(sequence: i32, records: i32) -> i32 {
    sequence.wrapping_add(records) & i32::MAX
}

/// The first records of a batch, and the others.
fn halves(records: &Bytes, first: i32, compressor: Compressor) -> Option<[BatchBuilder; 2]> {
    let batch = Batches::new(records.clone(), DecodeLimits::default()).next()?.ok()?;
    let mut halves = [BatchBuilder::new(compressor), BatchBuilder::new(compressor)];
    for record in batch.records() {
        let record = record.ok()?;
        let headers: Result<Vec<_>, _> = record
            .headers()
            .map(|header| header.map(|header| HeaderRef { key: header.key, value: header.value }))
            .collect();
        let [one, other] = &mut halves;
        let half = if one.record_count() < first { one } else { other };
        half.append(record.timestamp, record.key, record.value, &headers.ok()?).ok()?;
    }
    Some(halves)
}
