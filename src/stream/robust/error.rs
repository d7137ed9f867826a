//! What can go wrong when messages are entrusted to a journal, each error for one thing that is asked for.

use thiserror::Error;

use crate::kafka::ProduceError;
use crate::stream::{JournalError, OpenError, TopicNameError, WriteError};

/// A producer with a journal could not be opened.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RobustOpenError {
    /// The URL or the credential cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The journal cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A setting cannot work.
    #[error("{reason}")]
    Setting {
        /// Which, and why.
        reason: &'static str,
    },
}

/// A message was not accepted. It is not in the journal, but where an error says otherwise.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RobustWriteError {
    /// The model cannot be written, or the message is larger than a producer may send.
    #[error(transparent)]
    Message(#[from] WriteError),
    /// A partition was chosen, for which journals have no place.
    #[error(
        "a journal does not keep the partition that was chosen, {partition}: a key keeps messages together"
    )]
    Partition {
        /// The partition.
        partition: i32,
    },
    /// The journal is full of messages that are not sent yet.
    #[error(
        "the journal is full: with {unsent} messages that are not sent yet, it has no room for a message in its \
         {max_bytes} bytes"
    )]
    Full {
        /// How many messages wait to be sent.
        unsent: usize,
        /// The bound that was set.
        max_bytes: u64,
    },
    /// Not even an empty journal has room for the message.
    #[error("a message that takes {bytes} bytes is larger than the journal may be, {max_bytes} bytes")]
    LargerThanJournal {
        /// What it takes.
        bytes: u64,
        /// The bound that was set.
        max_bytes: u64,
    },
    /// The message could not be written down.
    #[error(transparent)]
    Journal(JournalError),
    /// The message is in the journal and will be sent, but may not have reached the disk.
    #[error("the message is accepted, but may not survive a power failure: {0}")]
    Sync(JournalError),
}

/// Not everything was delivered.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RobustFlushError {
    /// Messages were given up: the brokers will not have them. They are no longer in the journal.
    #[error("{count} messages were given up; the first: {first}")]
    GivenUp {
        /// How many since this was last asked.
        count: u64,
        /// Why the first was.
        first: Box<DeliveryError>,
    },
    /// Something lasting is in the way. The messages stay in the journal, and are tried again and again.
    #[error("{unsent} messages are in the journal and cannot be sent now: {source}")]
    Kept {
        /// How many are unsent.
        unsent: usize,
        /// What is in the way.
        source: Box<DeliveryError>,
    },
}

/// Why a message from a journal was not delivered.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DeliveryError {
    /// The cluster could not be reached, or did not let us in.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It was not accepted by the brokers.
    #[error(transparent)]
    Produce(#[from] ProduceError),
    /// No topic can have the name that the journal has for the message.
    #[error(transparent)]
    Topic(#[from] TopicNameError),
    /// It could not be read back.
    #[error(transparent)]
    Journal(#[from] JournalError),
}
