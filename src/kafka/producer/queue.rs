//! One partition's records on their way: the batch that takes records, those that are full, and those that were
//! [`sent`].

mod sent;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use self::sent::Sent;
#[cfg(test)]
pub(super) use self::sent::{ASTRAY_FOR, sequence_after};
use super::delivery::Completion;
use crate::kafka::error::Error;
use crate::wire::record::{BatchBuilder, Compressor, HeaderParts, ProducerStamp, RecordError};

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
    sent: Sent,
    transactions: Option<Membership>,
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
            sent: Sent::new(transactional),
            transactions: transactional.then_some(Membership::Outside),
            bytes: 0,
        }
    }

    /// Appends a record, for which `bytes` were set aside: the batch's completion, and the record's place in it. What time
    /// it is, is asked only for the first of a batch.
    pub(super) fn append(
        &mut self,
        timestamp: i64,
        (key, value): (Option<&[u8]>, Option<&[u8]>),
        headers: &[impl HeaderParts],
        bytes: usize,
        (compressor, batch_bytes): (Compressor, usize),
        now: impl FnOnce() -> Instant,
    ) -> Result<(Arc<Completion>, i64), RecordError> {
        let is_full =
            |open: &OpenBatch| open.builder.size_with_parts(timestamp, key, value, headers) > batch_bytes;
        if self.open.as_ref().is_some_and(is_full) {
            self.close_open();
        }
        let open = self.open.get_or_insert_with(|| OpenBatch {
            builder: BatchBuilder::new(compressor),
            completion: Arc::default(),
            created: now(),
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

    /// What [`Sent::outgrown`] says.
    pub(super) fn outgrown(&self) -> Option<Identity> {
        self.sent.outgrown()
    }

    /// Whether there is something to send now. A lone record waits for no others; while some are on their way, others
    /// gather for as long as `linger`.
    pub(super) fn is_due(&self, linger: Duration, now: Instant) -> bool {
        let is_outside = self.transactions.is_some_and(|membership| membership != Membership::Inside);
        if is_outside || self.sent.not_before().is_some_and(|at| at > now) {
            return false;
        }
        if self.sent.has_waiting() {
            return self.sent.may_go_again(now);
        }
        let has_gathered =
            |open: &OpenBatch| self.sent.is_empty() || now.duration_since(open.created) >= linger;
        self.sent.has_room(now) && (!self.closed.is_empty() || self.open.as_ref().is_some_and(has_gathered))
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
        self.sent.identify(identity);
        if let Some((ticket, records)) = self.sent.take_again(now) {
            return Some((ticket, Load::Again(records)));
        }
        let batch = self.closed.pop_front().or_else(|| self.open.take())?;
        let (builder, stamp) = self.sent.push(ticket, batch, now);
        Some((ticket, Load::New(builder, stamp)))
    }

    /// The bytes that a new batch was finished to, to be sent again where that is needed.
    pub(super) fn keep(&mut self, ticket: Ticket, records: Bytes) {
        self.sent.keep(ticket, records);
    }

    /// A batch is stored.
    pub(super) fn on_stored(&mut self, ticket: Ticket, now: Instant) -> Fate {
        let fate = self.sent.on_stored(ticket, now);
        self.settled(fate)
    }

    /// A batch is not stored, or may not be.
    pub(super) fn on_setback(
        &mut self,
        ticket: Ticket,
        setback: Setback,
        maybe_written: bool,
        now: Instant,
    ) -> Fate {
        let fate = self.sent.on_setback(ticket, setback, maybe_written, now);
        self.settled(fate)
    }

    /// A batch is too large for the broker, and goes in halves ([`Sent::split`]).
    pub(super) fn split(
        &mut self,
        ticket: Ticket,
        compressor: Compressor,
        tickets: [Ticket; 2],
    ) -> Option<usize> {
        self.sent.split(ticket, compressor, tickets)
    }

    /// Gives up what has waited for longer than `after`; what is in flight is left alone until it is answered.
    pub(super) fn expire(&mut self, after: Duration, now: Instant) -> Vec<Settled> {
        let is_old = |created: Instant| now.duration_since(created) >= after;
        let mut expired = self.sent.give_up_waiting(is_old);
        let first_young =
            self.closed.iter().position(|open| !is_old(open.created)).unwrap_or(self.closed.len());
        let old = self.closed.drain(..first_young).chain(self.open.take_if(|open| is_old(open.created)));
        expired.extend(old.map(OpenBatch::unsent));
        self.give_back(&expired);
        expired
    }

    /// Gives up everything that is not in flight.
    pub(super) fn give_up_waiting(&mut self) -> Vec<Settled> {
        self.close_open();
        let mut given_up = self.sent.give_up_waiting(|_| true);
        given_up.extend(self.closed.drain(..).map(OpenBatch::unsent));
        self.give_back(&given_up);
        given_up
    }

    /// When there may be something to do though nothing has happened.
    pub(super) fn wake_at(&self, linger: Duration, timeout: Duration, now: Instant) -> Option<Instant> {
        let unsent = self.closed.front().or(self.open.as_ref()).map(|open| open.created);
        let oldest = self.sent.oldest_waiting().into_iter().chain(unsent).min();
        let gathered = self.open.as_ref().map(|open| open.created + linger);
        let gathered = gathered.filter(|_| self.sent.has_room(now));
        let again = self.sent.not_before().filter(|_| self.has_work());
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
        self.sent.outstanding().chain(self.closed.iter().chain(&self.open).map(|open| &open.completion))
    }

    fn settled(&mut self, fate: Fate) -> Fate {
        if let Fate::Stored(batch) | Fate::GivenUp(batch) = &fate {
            self.give_back(std::slice::from_ref(batch));
        }
        fate
    }

    fn give_back(&mut self, batches: &[Settled]) {
        let bytes = batches.iter().map(|batch| batch.bytes).sum();
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

impl OpenBatch {
    /// It will never be sent.
    fn unsent(self) -> Settled {
        Settled {
            count: self.builder.record_count(),
            bytes: self.bytes,
            completion: self.completion,
            maybe_written: false,
            last: None,
        }
    }
}
