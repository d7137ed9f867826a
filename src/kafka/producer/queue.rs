//! One partition's records on their way: the batch that takes records, those that are full, and those that were sent.
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

use super::delivery::Completion;
use crate::kafka::backoff::Backoff;
use crate::kafka::error::Error;
use crate::wire::record::{
    BatchBuilder, Batches, Compressor, DecodeLimits, HeaderParts, HeaderRef, ProducerStamp, RecordError,
    restamp,
};

/// As many batches of one producer as a broker remembers of a partition: one that is followed by as many could not be told
/// from its repetition.
const MOST_UNACKNOWLEDGED: usize = 5;
/// A broker forgets a producer from which nothing has come for long: by default after a day.
const REMEMBERED_FOR: Duration = Duration::from_secs(3_600);
/// A broker may read a request so long after its connection has ended here, and no longer: as with TCP's TIME-WAIT
/// (RFC 9293, 3.3.2; a minute on Linux), nothing else tells that it is lost.
pub(super) const ASTRAY_FOR: Duration = Duration::from_secs(60);

/// Who a producer is to the brokers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Identity {
    /// Not known yet: nothing may be sent.
    Wanted,
    /// By number and epoch.
    Known { id: i64, epoch: i16 },
    /// None: batches are sent one at a time, and a retry may double them.
    Anonymous,
}

/// Names a batch while it is sent; never given out twice.
pub(super) type Ticket = u64;

#[derive(Debug)]
pub(super) struct Queue {
    /// Takes records; always the youngest.
    open: Option<OpenBatch>,
    closed: VecDeque<OpenBatch>,
    /// Numbered, the oldest first: in flight, to be sent again, or stored behind one that is not.
    sent: VecDeque<Batch>,
    in_flight: usize,
    /// Under whom the sequence is counted.
    identity: Identity,
    next_sequence: i32,
    /// When a batch under this identity was last known to be stored: then brokers know where the sequence stands.
    stored_at: Option<Instant>,
    /// The sequence has a gap: what was sent is to be numbered anew.
    broken: bool,
    /// Until then, what was given up may still arrive, and close the gap that it has left.
    may_close_until: Option<Instant>,
    transactions: Option<Membership>,
    failures: u32,
    not_before: Option<Instant>,
    /// Of all that waits or is in flight.
    bytes: usize,
}

/// What a partition is to the transaction that is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Membership {
    Outside,
    /// The coordinator has been asked to add it.
    Asked,
    Inside,
}

/// A batch that takes records, or waits to be sent.
#[derive(Debug)]
struct OpenBatch {
    builder: BatchBuilder,
    completion: Arc<Completion>,
    created: Instant,
    bytes: usize,
}

/// A batch that was sent.
#[derive(Debug)]
struct Batch {
    ticket: Ticket,
    /// Empty until [`Queue::keep`] has brought them.
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

/// What an answer means for the batch that it is about.
#[derive(Debug)]
pub(super) enum Fate {
    /// It goes again, or is not known here.
    Open,
    Stored(Settled),
    GivenUp(Settled),
}

/// A batch that is done with.
#[derive(Debug)]
pub(super) struct Settled {
    pub(super) count: i32,
    pub(super) bytes: usize,
    pub(super) completion: Arc<Completion>,
    pub(super) maybe_written: bool,
    pub(super) last: Option<Error>,
}

/// A batch to send now.
#[derive(Debug)]
pub(super) enum Load {
    /// For the first time: to be finished under this stamp, and kept.
    New(BatchBuilder, ProducerStamp),
    Again(Bytes),
}

impl Load {
    /// Its size; uncompressed, where it is not finished yet.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::New(builder, _) => builder.size(),
            Self::Again(records) => records.len(),
        }
    }
}

/// What becomes of a batch that was not stored.
#[derive(Debug)]
pub(super) enum Setback {
    /// It may be next time.
    Passing(Error),
    /// There is a gap before it, or nobody knows of anything before it.
    OutOfSequence(Error),
    /// Never.
    Lasting(Error),
}

impl Queue {
    pub(super) fn new(transactional: bool) -> Self {
        Self {
            open: None,
            closed: VecDeque::new(),
            sent: VecDeque::new(),
            in_flight: 0,
            identity: Identity::Wanted,
            next_sequence: 0,
            stored_at: None,
            broken: false,
            may_close_until: None,
            transactions: transactional.then_some(Membership::Outside),
            failures: 0,
            not_before: None,
            bytes: 0,
        }
    }

    /// Appends a record, for which `bytes` were set aside: the batch's completion, and the record's place in it.
    pub(super) fn append(
        &mut self,
        timestamp: i64,
        (key, value): (Option<&[u8]>, Option<&[u8]>),
        headers: &[impl HeaderParts],
        bytes: usize,
        (compressor, batch_bytes): (Compressor, usize),
        now: Instant,
    ) -> Result<(Arc<Completion>, i64), RecordError> {
        let is_full =
            |open: &OpenBatch| open.builder.size_with_parts(timestamp, key, value, headers) > batch_bytes;
        if self.open.as_ref().is_some_and(is_full) {
            self.close_open();
        }
        let open = self.open.get_or_insert_with(|| OpenBatch {
            builder: BatchBuilder::new(compressor),
            completion: Arc::default(),
            created: now,
            bytes: 0,
        });
        open.builder.append_parts(timestamp, key, value, headers)?;
        open.bytes += bytes;
        self.bytes += bytes;
        let place = i64::from(open.builder.record_count()) - 1;
        let completion = Arc::clone(&open.completion);
        // A record that is larger than a batch should be goes alone.
        if open.builder.size() > batch_bytes {
            self.close_open();
        }
        Ok((completion, place))
    }

    /// What has come so far waits for no more.
    pub(super) fn close_open(&mut self) {
        self.closed.extend(self.open.take().filter(|open| !open.builder.is_empty()));
    }

    /// Whether the sender should have a look after a record was appended: nothing is on its way that would wake it, or
    /// there is a whole batch.
    pub(super) fn wants_a_look(&self) -> bool {
        self.sent.is_empty() || !self.closed.is_empty()
    }

    /// Whether a batch is open that has room for so many bytes more.
    pub(super) fn has_room(&self, bytes: usize, batch_bytes: usize) -> bool {
        self.open.as_ref().is_some_and(|open| open.builder.size().saturating_add(bytes) <= batch_bytes)
    }

    /// How many bytes of records are accepted and not acknowledged.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn has_work(&self) -> bool {
        !self.sent.is_empty() || self.has_new()
    }

    fn has_new(&self) -> bool {
        !self.closed.is_empty() || self.open.is_some()
    }

    /// Whether the sequence has a gap, and all that may be in a log is known to be or not to be: then the producer
    /// needs an epoch that is newer than this.
    pub(super) fn outgrown(&self) -> Option<Identity> {
        (self.broken && self.in_flight == 0).then_some(self.identity)
    }

    /// Whether there is something to send now. A lone record waits for no others; while some are on their way, others
    /// gather for as long as `linger`.
    pub(super) fn is_due(&self, linger: Duration, now: Instant) -> bool {
        let is_outside = self.transactions.is_some_and(|membership| membership != Membership::Inside);
        if is_outside || self.not_before.is_some_and(|at| at > now) {
            return false;
        }
        match self.waiting() {
            Some(first) => {
                first < self.most_unacknowledged(now)
                    && self.is_remembered_with(first)
                    && !self.sent.iter().skip(first).any(|batch| batch.state == State::InFlight)
            }
            None if self.sent.len() >= self.most_unacknowledged(now) => false,
            None => {
                !self.closed.is_empty()
                    || self.open.as_ref().is_some_and(|open| {
                        self.sent.is_empty() || now.duration_since(open.created) >= linger
                    })
            }
        }
    }

    /// Takes what [is due](Self::is_due), which is in flight from now on.
    pub(super) fn take(
        &mut self,
        identity: Identity,
        ticket: Ticket,
        now: Instant,
    ) -> Option<(Ticket, Load)> {
        if identity == Identity::Wanted {
            return None;
        }
        if self.broken && self.in_flight == 0 && self.identity != identity {
            self.number_anew(identity);
        } else if self.sent.is_empty() && self.identity != identity {
            (self.identity, self.next_sequence, self.broken) = (identity, 0, false);
            (self.stored_at, self.may_close_until) = (None, None);
        }
        if let Some(batch) = self.waiting().and_then(|first| self.sent.get_mut(first)) {
            (batch.state, batch.sent_at) = (State::InFlight, now);
            self.in_flight += 1;
            return Some((batch.ticket, Load::Again(batch.records.clone())));
        }
        let OpenBatch { builder, completion, created, bytes } =
            self.closed.pop_front().or_else(|| self.open.take())?;
        let (count, base_sequence) = (builder.record_count(), self.next_sequence);
        self.next_sequence = sequence_after(base_sequence, count);
        self.in_flight += 1;
        self.sent.push_back(Batch {
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
        Some((ticket, Load::New(builder, self.stamp(base_sequence))))
    }

    /// The bytes that a new batch was finished to, to be sent again where that is needed.
    pub(super) fn keep(&mut self, ticket: Ticket, records: Bytes) {
        if let Some(batch) = self.sent.iter_mut().find(|batch| batch.ticket == ticket) {
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
        let is_first = self.waiting().is_none();
        let Some(at) = self.answered(ticket) else { return Fate::Open };
        let Some(batch) = self.sent.get_mut(at) else { return Fate::Open };
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
                if self.sent.iter().skip(at).any(|behind| behind.state == State::Stored) {
                    return self.store(at).map_or(Fate::Open, Fate::Stored);
                }
                // Behind another it goes again when that is stored. The oldest is in no log, else it would be known:
                // nor is any that came after it.
                if at == 0 && self.is_nowhere(at) {
                    self.broken = true;
                } else if at == 0 {
                    self.wait_for_next(now);
                }
                Fate::Open
            }
            Setback::Lasting(error) => {
                batch.last = Some(error);
                self.give_up(at).map_or(Fate::Open, Fate::GivenUp)
            }
        }
    }

    /// Whether a batch that was refused is in no log, and does not get there any more. Where an attempt was never answered,
    /// it may have got there late, if what is missing before it did.
    fn is_nowhere(&self, at: usize) -> bool {
        let Some(batch) = self.sent.get(at) else { return false };
        batch.maybe_written.is_none() || self.may_close_until.is_none_or(|until| batch.sent_at >= until)
    }

    /// The next attempt is not at once.
    fn wait_for_next(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        self.not_before = Some(now + Backoff::REQUEST.wait(self.failures, fastrand::f64()));
    }

    /// A batch is too large for the broker: each half of it is sent by itself. How large the whole was; `None` if it is
    /// a single record.
    pub(super) fn split(
        &mut self,
        ticket: Ticket,
        compressor: Compressor,
        tickets: [Ticket; 2],
    ) -> Option<usize> {
        let at = self.sent.iter().position(|batch| batch.ticket == ticket)?;
        let batch = self.sent.get(at).filter(|batch| batch.count > 1)?;
        let first_count = batch.count / 2;
        let sequences = [batch.base_sequence, sequence_after(batch.base_sequence, first_count)];
        let [first, second] = halves(&batch.records, first_count, compressor)?;
        let [first_stamp, second_stamp] = sequences.map(|sequence| self.stamp(sequence));
        let records = [first.finish(first_stamp).ok()?, second.finish(second_stamp).ok()?];
        let whole = self.sent.remove(at)?;
        self.in_flight = self.in_flight.saturating_sub(usize::from(whole.state == State::InFlight));
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
            self.sent.insert(place, half);
        }
        Some(whole.bytes)
    }

    /// Gives up what has waited for longer than `after`; what is in flight is left alone until it is answered.
    pub(super) fn expire(&mut self, after: Duration, now: Instant) -> Vec<Settled> {
        let is_old = |created: Instant| now.duration_since(created) >= after;
        let mut expired = Vec::new();
        while let Some(at) =
            self.sent.iter().position(|batch| batch.state == State::Waiting && is_old(batch.created))
        {
            expired.extend(self.give_up(at));
        }
        let first_young =
            self.closed.iter().position(|open| !is_old(open.created)).unwrap_or(self.closed.len());
        let old: Vec<_> =
            self.closed.drain(..first_young).chain(self.open.take_if(|open| is_old(open.created))).collect();
        expired.extend(old.into_iter().map(|open| self.unqueue(open)));
        expired
    }

    /// Gives up everything that is not in flight.
    pub(super) fn give_up_waiting(&mut self) -> Vec<Settled> {
        self.close_open();
        let mut given_up = Vec::new();
        while let Some(at) = self.waiting() {
            given_up.extend(self.give_up(at));
        }
        let unsent = std::mem::take(&mut self.closed);
        given_up.extend(unsent.into_iter().map(|open| self.unqueue(open)));
        given_up
    }

    /// When there may be something to do though nothing has happened.
    pub(super) fn wake_at(&self, linger: Duration, timeout: Duration, now: Instant) -> Option<Instant> {
        let waiting =
            self.sent.iter().filter(|batch| batch.state == State::Waiting).map(|batch| batch.created);
        let oldest = waiting.chain(self.closed.front().or(self.open.as_ref()).map(|open| open.created)).min();
        let gathered = self.open.as_ref().map(|open| open.created + linger);
        let gathered = gathered.filter(|_| self.sent.len() < self.most_unacknowledged(now));
        let again = self.not_before.filter(|_| self.has_work());
        let due = [gathered, again].into_iter().flatten().filter(|&at| at > now).min();
        [due, oldest.map(|created| created + timeout)].into_iter().flatten().min()
    }

    /// Whether it has something to send and is not part of the transaction: `true` once, for whoever asks to add it.
    pub(super) fn is_to_be_added(&mut self) -> bool {
        let wants = self.transactions == Some(Membership::Outside) && self.has_work();
        if wants {
            self.transactions = Some(Membership::Asked);
        }
        wants
    }

    pub(super) fn on_added(&mut self) {
        self.transactions = self.transactions.map(|_| Membership::Inside);
    }

    /// The transaction has ended; whether this was part of it.
    pub(super) fn end_transaction(&mut self) -> bool {
        let was_part = self.transactions.is_some_and(|membership| membership != Membership::Outside);
        self.transactions = self.transactions.map(|_| Membership::Outside);
        was_part
    }

    /// The outcome of each batch that is still to come.
    pub(super) fn outstanding(&self) -> impl Iterator<Item = &Arc<Completion>> {
        let sent =
            self.sent.iter().filter(|batch| batch.state != State::Stored).map(|batch| &batch.completion);
        sent.chain(self.closed.iter().chain(&self.open).map(|open| &open.completion))
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
        let known = self.sent.iter().zip(0..).filter(|(batch, place)| *place == at || maybe_written(batch));
        known.count() <= MOST_UNACKNOWLEDGED
    }

    /// The place of the oldest batch that is to be sent again.
    fn waiting(&self) -> Option<usize> {
        self.sent.iter().position(|batch| batch.state == State::Waiting)
    }

    fn answered(&mut self, ticket: Ticket) -> Option<usize> {
        let is_it = |batch: &Batch| batch.ticket == ticket && batch.state == State::InFlight;
        let at = self.sent.iter().position(is_it)?;
        self.sent.get_mut(at)?.state = State::Waiting;
        self.in_flight = self.in_flight.saturating_sub(1);
        Some(at)
    }

    /// A batch is in the log. Its place is kept for as long as one before it is not known to be: a broker remembers no
    /// more than so many.
    fn store(&mut self, at: usize) -> Option<Settled> {
        let batch = self.sent.get_mut(at)?;
        batch.state = State::Stored;
        batch.records = Bytes::new();
        let settled = batch.settled();
        self.bytes = self.bytes.saturating_sub(settled.bytes);
        self.drop_stored();
        Some(settled)
    }

    fn drop_stored(&mut self) {
        while self.sent.front().is_some_and(|batch| batch.state == State::Stored) {
            self.sent.pop_front();
        }
    }

    /// A batch that will never be sent.
    fn unqueue(&mut self, open: OpenBatch) -> Settled {
        self.bytes = self.bytes.saturating_sub(open.bytes);
        Settled {
            count: open.builder.record_count(),
            bytes: open.bytes,
            completion: open.completion,
            maybe_written: false,
            last: None,
        }
    }

    /// Takes a batch out that will not be sent any more. Where no broker can have seen it, nor what comes after it, its
    /// numbers are free again.
    fn give_up(&mut self, at: usize) -> Option<Settled> {
        let batch = self.sent.remove(at)?;
        self.bytes = self.bytes.saturating_sub(batch.bytes);
        let unseen = |batch: &Batch| batch.state == State::Waiting && batch.maybe_written.is_none();
        self.may_close_until = self.may_close_until.max(batch.maybe_written.map(|at| at + ASTRAY_FOR));
        if batch.maybe_written.is_none() && self.sent.iter().skip(at).all(unseen) {
            let mut sequence = batch.base_sequence;
            for place in at..self.sent.len() {
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
        self.sent.retain(|batch| batch.state != State::Stored);
        let mut sequence = 0;
        for place in 0..self.sent.len() {
            sequence = self.number(place, sequence);
        }
        self.next_sequence = sequence;
    }

    /// Numbers a batch that is in no log; the sequence number behind it.
    fn number(&mut self, place: usize, sequence: i32) -> i32 {
        let stamp = self.stamp(sequence);
        let Some(batch) = self.sent.get_mut(place) else { return sequence };
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
                transactional: self.transactions.is_some(),
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
pub(super) fn sequence_after(sequence: i32, records: i32) -> i32 {
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
