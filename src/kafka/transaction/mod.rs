//! Transactions: records in several partitions, and offsets of groups, that come into being together or not at all.
//!
//! [`TransactionalProducer::begin`] gives a [`Transaction`], which is written to, and then committed or aborted.
//! `coordinator` asks; what is written goes the way of every producer.

mod coordinator;

use std::sync::Arc;

pub(super) use self::coordinator::Coordinator;

use super::error::Error;
use super::group::{CommittedOffset, GroupMetadata};
use super::producer::{Delivery, ProduceError, Producer, Record};
use super::topic_partition::TopicPartition;
use crate::wire::error_code::ErrorCode;

/// A producer that writes in transactions; made by
/// [`ProducerBuilder::build_transactional`](super::ProducerBuilder::build_transactional).
///
/// There is one of a transactional id at a time: whoever comes later fences whoever was there before, and what that one
/// left open is aborted. Consumers see what was committed, all of it, and nothing else, unless they ask for
/// [uncommitted](super::Isolation::ReadUncommitted) records.
///
/// ```no_run
/// # async fn example(client: hop::kafka::Client) -> Result<(), Box<dyn std::error::Error>> {
/// use hop::kafka::Record;
/// let mut producer = client.producer().build_transactional("enricher-1").await?;
/// let transaction = producer.begin().await?;
/// drop(transaction.send(Record::new("alerts").value("a")).await?);
/// drop(transaction.send(Record::new("audit").value("a was sent")).await?);
/// transaction.commit().await?; // both, or neither
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct TransactionalProducer {
    producer: Producer,
    coordinator: Arc<Coordinator>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Ready,
    /// A transaction was begun.
    Open,
    /// It is not known, or must not be, how the last one ended: the coordinator has to be asked for another epoch first.
    InDoubt,
}

/// An open transaction. One that is dropped is aborted before the next begins, or by the coordinator when its time is
/// over.
#[derive(Debug)]
#[must_use = "a transaction that is dropped is aborted"]
pub struct Transaction<'a> {
    producer: &'a mut TransactionalProducer,
    /// Whether offsets are part of it.
    has_offsets: bool,
}

/// Why a transaction was not committed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum TransactionError {
    /// Something of it could not be written, so all of it was aborted: begin another.
    #[error("the transaction was aborted: {0}")]
    Aborted(#[source] ProduceError),

    /// Another producer has come with the same transactional id; this one may not write any more.
    #[error("another producer has taken over transactional id '{transactional_id}'")]
    Fenced {
        /// The transactional id.
        transactional_id: String,
    },

    /// The coordinator did not say what became of it: it may be committed. The next transaction begins after that has
    /// been settled.
    #[error("it is not known whether the transaction was committed: {0}")]
    InDoubt(#[source] Error),

    /// The coordinator, or that of a group, refused; the transaction is not committed.
    #[error(transparent)]
    Refused(Error),
}

impl TransactionalProducer {
    /// Fences whoever has this id, and takes it.
    pub(super) async fn init(producer: Producer, coordinator: Arc<Coordinator>) -> Result<Self, Error> {
        let identity = coordinator.init(None).await?;
        producer.take_identity(identity);
        Ok(Self { producer, coordinator, state: State::Ready })
    }

    /// Begins a transaction. One that was left open is aborted first.
    ///
    /// Dropping the future begins none.
    ///
    /// # Errors
    ///
    /// [`TransactionError::Fenced`], and [`TransactionError::Refused`] with why the coordinator could not settle the last
    /// transaction; then the call may be repeated.
    pub async fn begin(&mut self) -> Result<Transaction<'_>, TransactionError> {
        if self.state != State::Ready {
            self.renew().await?;
        }
        self.coordinator.begin().await.map_err(|error| self.refused(error))?;
        self.state = State::Open;
        Ok(Transaction { producer: self, has_offsets: false })
    }

    /// The transactional id.
    pub fn id(&self) -> &str {
        &self.coordinator.id
    }

    /// Aborts what is open, and takes another epoch.
    ///
    /// In this order: to a coordinator that still has it open, whoever asks for another epoch is a successor, and it fences
    /// the one that asks by its old epoch.
    async fn renew(&mut self) -> Result<(), TransactionError> {
        self.state = State::InDoubt;
        self.give_up_records().await;
        // Whoever sent it has been told.
        let _ = self.producer.take_failure();
        self.producer.end_transaction();
        let known = self.producer.identity();
        let aborted = match known {
            Some(known) => self.coordinator.end(known, false).await,
            None => Ok(None),
        };
        let next = match aborted {
            Ok(next) => next,
            // Nothing is open, whatever became of it.
            Err(error) if error.code() == Some(ErrorCode::INVALID_TXN_STATE) => None,
            Err(error) => return Err(self.refused(error)),
        };
        let identity = match next {
            Some(identity) => identity,
            None => self.coordinator.init(known).await.map_err(|error| self.refused(error))?,
        };
        self.producer.take_identity(identity);
        self.state = State::Ready;
        Ok(())
    }

    /// What is not on its way is not sent any more; what is, is waited for.
    async fn give_up_records(&self) {
        self.producer.give_up_waiting();
        for completion in self.producer.outstanding() {
            completion.settled().await;
        }
    }

    fn refused(&self, error: Error) -> TransactionError {
        match error.code() {
            Some(ErrorCode::PRODUCER_FENCED | ErrorCode::INVALID_PRODUCER_EPOCH) => {
                TransactionError::Fenced { transactional_id: self.coordinator.id.to_string() }
            }
            _ => TransactionError::Refused(error),
        }
    }
}

impl Transaction<'_> {
    /// Hands a record in, as [`Producer::send`] does. That it is acknowledged does not mean that it is committed.
    ///
    /// Dropping the future before it returns hands nothing in.
    ///
    /// # Errors
    ///
    /// As [`Producer::send`].
    pub async fn send(&self, record: Record) -> Result<Delivery, ProduceError> {
        self.producer.producer.send(record).await
    }

    /// Commits how far a group has read along with the records: what was read is then handled exactly once.
    /// [`Consumer::group_metadata`](super::Consumer::group_metadata) says who commits; a consumer that was built with
    /// [`auto_commit(None)`](super::ConsumerBuilder::auto_commit) does not commit the same once more.
    ///
    /// When the future is dropped, the offsets may be part of the transaction or not.
    ///
    /// # Errors
    ///
    /// [`TransactionError::Refused`] with the code of the group's coordinator, where the member has been thrown out or the
    /// group has moved on: [abort](Self::abort) then.
    pub async fn send_offsets(
        &mut self,
        group: &GroupMetadata,
        offsets: &[(TopicPartition, CommittedOffset)],
    ) -> Result<(), TransactionError> {
        let Some(identity) = self.producer.producer.identity() else { return Ok(()) };
        if offsets.is_empty() {
            return Ok(());
        }
        self.has_offsets = true;
        let coordinator = Arc::clone(&self.producer.coordinator);
        let committed = coordinator.commit_offsets(identity, group, offsets).await;
        committed.map_err(|error| self.producer.refused(error))
    }

    /// Waits until everything is acknowledged, and commits it. Where something is not, all of it is aborted.
    ///
    /// When the future is dropped, it is not known what becomes of the transaction until the next has begun.
    ///
    /// # Errors
    ///
    /// Those of [`TransactionError`].
    pub async fn commit(self) -> Result<(), TransactionError> {
        let Self { producer, has_offsets } = self;
        if let Err(failure) = producer.producer.flush().await {
            producer.renew().await?;
            return Err(TransactionError::Aborted(failure));
        }
        producer.end(has_offsets, true).await
    }

    /// Takes everything back.
    ///
    /// When the future is dropped, it is aborted before the next begins.
    ///
    /// # Errors
    ///
    /// [`TransactionError::Fenced`], and why the coordinator could not be asked; the next to begin tries again.
    pub async fn abort(self) -> Result<(), TransactionError> {
        let Self { producer, has_offsets } = self;
        producer.give_up_records().await;
        // A sequence number that was given up leaves a gap, which another epoch closes.
        if producer.producer.take_failure().is_some() {
            return producer.renew().await;
        }
        producer.end(has_offsets, false).await
    }
}

impl TransactionalProducer {
    async fn end(&mut self, has_offsets: bool, commit: bool) -> Result<(), TransactionError> {
        self.state = State::InDoubt;
        let has_records = self.producer.end_transaction();
        // The coordinator knows nothing of a transaction without anything.
        if let Some(identity) = self.producer.identity().filter(|_| has_records || has_offsets) {
            let next = self.coordinator.end(identity, commit).await.map_err(|error| {
                if error.may_pass() { TransactionError::InDoubt(error) } else { self.refused(error) }
            })?;
            if let Some(next) = next {
                self.producer.take_identity(next);
            }
        }
        self.state = State::Ready;
        Ok(())
    }
}
