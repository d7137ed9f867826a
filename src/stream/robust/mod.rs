//! Writing alerts that outlive the process: accepted means written down.
//!
//! [`RobustProducer`] is what hop-client's `RobustProducer` is, on the same file: a message counts as accepted once it
//! is in the journal, from which a task sends it, after a crash and a restart as well. `builder` opens it, `journal` is
//! the file, `outbox` decides what is sent next and what a failure means, `sender` moves.

mod builder;
mod error;
mod outbox;
mod sender;

use std::pin::pin;
use std::sync::{Arc, Mutex as BlockingMutex, MutexGuard, PoisonError};

use tokio::sync::{Mutex, Notify, OwnedMutexGuard};
use tokio::task::{JoinHandle, spawn_blocking};

pub use self::builder::RobustWriterBuilder;
pub use self::error::{DeliveryError, RobustFlushError, RobustOpenError, RobustWriteError};

use super::journal::{Fsync, Journal, JournalError, Room, StoredMessage};
use super::packer::Packer;
use super::{HopUrl, Outgoing, Stream, TopicName, WriteError};
use crate::kafka::{ALL_CLEAR, ProduceError};
use crate::models::MessageModel;
use crate::wire::record::{Compressor, HeaderRef, record_size};

/// Writes messages to one topic, or [another that they name](Outgoing::topic), by way of a journal on disk: each that was
/// accepted is delivered, at least once, even if the process is killed and started again.
///
/// ```no_run
/// # async fn example(alert: hop::models::JsonBlob) -> Result<(), Box<dyn std::error::Error>> {
/// let stream = hop::Stream::new(hop::Auth::load()?);
/// let url = "kafka://kafka.scimma.org/my.topic";
/// let out = stream.robust_writer(url, "publisher.journal").open().await?;
/// out.write(&alert).await?; // in the journal: it will be sent, whatever happens to this process
/// out.close().await?; // everything is acknowledged
/// # Ok(())
/// # }
/// ```
///
/// A message that was sent, but of which that could not be written down before a crash, is sent again, with the same
/// `_id`: readers can tell. Across a crash, and where brokers refuse messages, order may change.
///
/// What passes is waited for without an end: no broker, no leader, no time. What lasts until somebody does something
/// (a topic that is not there, a user who may not write, a wrong password) keeps the messages in the journal, is
/// reported by [`flush`](Self::flush) and [`close`](Self::close), and is tried again. Only a message that the brokers
/// refuse for itself, alone in its batch, such as one that is too large for the topic, is given up: with a warning, and
/// an error from `flush` or `close`.
///
/// Dropping a producer stops sending. What is not acknowledged stays in the journal for the next that opens it; the
/// journal is free for it a moment later.
#[derive(Debug)]
pub struct RobustProducer {
    shared: Arc<Shared>,
    packer: Packer,
    task: Task,
}

/// What a producer and its task share.
#[derive(Debug)]
struct Shared {
    journal: Arc<Mutex<Journal>>,
    stream: Stream,
    url: HopUrl,
    topic: Arc<str>,
    compressor: Compressor,
    record_bytes: usize,
    fsync: Fsync,
    max_bytes: u64,
    /// There is something to send.
    work: Notify,
    work_to_sync: Notify,
    /// Something was settled, or failed.
    progress: Notify,
    failures: BlockingMutex<Failures>,
}

/// What is to be reported.
#[derive(Debug, Default)]
struct Failures {
    given_up: u64,
    first_given_up: Option<DeliveryError>,
    lasting: Option<DeliveryError>,
    /// Whether it was said that messages wait.
    said: bool,
}

/// Ends the task with its producer.
#[derive(Debug)]
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl RobustProducer {
    /// Accepts a message. When this returns, it is in the journal, behind those accepted before it, and with the
    /// operating system, or on the disk under [`Fsync::Always`].
    ///
    /// Waits while the journal is full: a message that is not accepted is the caller's to keep, and most would only
    /// try again. Who must not wait uses [`try_write_raw`](Self::try_write_raw). Dropping the future while it waits for
    /// room accepts nothing; while it waits for the disk, the message is accepted all the same.
    ///
    /// # Errors
    ///
    /// Those of [`RobustWriteError`], without [`RobustWriteError::Full`].
    pub async fn write<M: MessageModel + ?Sized>(&self, model: &M) -> Result<(), RobustWriteError> {
        self.write_raw(self.pack(model)?).await
    }

    /// Accepts a message that was packed before, as [`write`](Self::write) does. Its headers are sent as they are; a key
    /// of no bytes is kept as none, for want of a way to say it in the journal.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub async fn write_raw(&self, message: Outgoing) -> Result<(), RobustWriteError> {
        let message = self.checked(message)?;
        loop {
            let mut progress = pin!(self.shared.progress.notified());
            progress.as_mut().enable();
            match self.accept(&message).await {
                Err(RobustWriteError::Full { .. }) => progress.await,
                other => return other,
            }
        }
    }

    /// Accepts a message that was packed before, or says at once that the journal is full.
    ///
    /// # Errors
    ///
    /// Those of [`RobustWriteError`].
    pub async fn try_write_raw(&self, message: Outgoing) -> Result<(), RobustWriteError> {
        self.accept(&self.checked(message)?).await
    }

    /// A message made from a model, as [`Producer::pack`](super::Producer::pack) makes it.
    ///
    /// # Errors
    ///
    /// [`WriteError::Model`] if the model cannot be written in the wire form.
    pub fn pack<M: MessageModel + ?Sized>(&self, model: &M) -> Result<Outgoing, WriteError> {
        self.packer.pack(model)
    }

    /// Waits until everything accepted before is acknowledged or given up, or until something lasting is in the way.
    /// Without a broker it waits for ever.
    ///
    /// Dropping the future takes nothing back.
    ///
    /// # Errors
    ///
    /// Those of [`RobustFlushError`], of what happened since the last call.
    pub async fn flush(&self) -> Result<(), RobustFlushError> {
        let end = self.shared.journal.lock().await.next_sequence();
        loop {
            let mut progress = pin!(self.shared.progress.notified());
            progress.as_mut().enable();
            let (done, unsent) = {
                let journal = self.shared.journal.lock().await;
                (journal.unsent_from(0).is_none_or(|lowest| lowest >= end), journal.unsent())
            };
            if let Some(outcome) = self.shared.failures().report(done, unsent) {
                return outcome;
            }
            progress.await;
        }
    }

    /// Flushes, ends the producer, and lets go of the journal.
    ///
    /// Dropping the future drops the producer. A time-out around it is a way to end without a broker: what is not sent
    /// stays in the journal.
    ///
    /// # Errors
    ///
    /// As [`flush`](Self::flush); the producer has ended all the same.
    pub async fn close(mut self) -> Result<(), RobustFlushError> {
        let flushed = self.flush().await;
        self.task.0.abort();
        // It was cancelled; that is no news.
        let _ = (&mut self.task.0).await;
        if self.shared.fsync != Fsync::Never {
            self.shared.sync_or_say().await;
        }
        self.shared.journal.lock().await.give_up();
        flushed
    }

    /// How many messages are in the journal and not acknowledged.
    pub async fn unsent(&self) -> usize {
        self.shared.journal.lock().await.unsent()
    }

    /// The topic of messages that [name none](Outgoing::topic).
    #[must_use]
    pub fn topic(&self) -> &Arc<str> {
        &self.shared.topic
    }

    /// What cannot be kept or would be refused for its size is refused before it is accepted.
    fn checked(&self, message: Outgoing) -> Result<StoredMessage, RobustWriteError> {
        if let Some(partition) = message.chosen_partition() {
            return Err(RobustWriteError::Partition { partition });
        }
        let topic = message.chosen_topic().map_or(&*self.shared.topic, TopicName::as_str).to_owned();
        let (payload, key, headers) = message.into_parts();
        let topic = Some(topic);
        let message = StoredMessage { topic, payload, key, headers };
        let headers: Vec<HeaderRef<'_>> = message
            .headers
            .iter()
            .map(|header| HeaderRef { key: header.name(), value: header.value().map(|value| &value[..]) })
            .collect();
        let bytes = record_size(message.key.as_deref(), Some(&message.payload), &headers);
        let limit = self.shared.record_bytes;
        if bytes > limit {
            let topic = message.topic.unwrap_or_default();
            return Err(WriteError::from(ProduceError::TooLarge { topic, bytes, limit }).into());
        }
        Ok(message)
    }

    async fn accept(&self, message: &StoredMessage) -> Result<(), RobustWriteError> {
        let max_bytes = self.shared.max_bytes;
        let mut journal = Arc::clone(&self.shared.journal).lock_owned().await;
        if journal.room_for(message) == Room::AfterCompacting {
            compact(journal).await;
            journal = Arc::clone(&self.shared.journal).lock_owned().await;
        }
        match journal.room_for(message) {
            Room::Enough => {}
            Room::Never => {
                return Err(RobustWriteError::LargerThanJournal { bytes: message.record_bytes(), max_bytes });
            }
            Room::AfterCompacting | Room::Later => {
                return Err(RobustWriteError::Full { unsent: journal.unsent(), max_bytes });
            }
        }
        journal.append(message).map_err(RobustWriteError::Journal)?;
        drop(journal);
        self.shared.work.notify_one();
        match self.shared.fsync {
            Fsync::Always => self.shared.sync().await.map_err(RobustWriteError::Sync)?,
            Fsync::Every(_) => self.shared.work_to_sync.notify_one(),
            Fsync::Never => {}
        }
        Ok(())
    }
}

impl Shared {
    /// Brings the journal to the disk some time after it was written to.
    async fn keep_synced(&self) {
        let Fsync::Every(interval) = self.fsync else { return };
        loop {
            self.work_to_sync.notified().await;
            tokio::time::sleep(interval).await;
            self.sync_or_say().await;
        }
    }

    async fn sync_or_say(&self) {
        if let Err(error) = self.sync().await {
            tracing::error!("what is in the journal may not survive a power failure: {error}");
        }
    }

    async fn sync(&self) -> Result<(), JournalError> {
        let (file, path) = {
            let journal = self.journal.lock().await;
            (journal.file()?, journal.path().to_owned())
        };
        let synced = spawn_blocking(move || file.sync_data()).await.map_err(std::io::Error::other);
        synced.flatten().map_err(|source| JournalError::Io { path, doing: "sync", source })
    }

    /// A message will never be sent.
    fn give_up(&self, sequence: u64, error: DeliveryError) {
        tracing::warn!(sequence, "the brokers refuse a message of the journal, which is given up: {error}");
        let mut failures = self.failures();
        failures.given_up = failures.given_up.saturating_add(1);
        failures.first_given_up.get_or_insert(error);
    }

    /// Something lasting is in the way.
    fn keep(&self, error: DeliveryError) {
        self.said_once("messages stay in the journal, and are tried again", &error);
        self.failures().lasting.get_or_insert(error);
        self.progress.notify_waiters();
    }

    fn said_once(&self, what: &str, error: &dyn std::error::Error) {
        if !std::mem::replace(&mut self.failures().said, true) {
            tracing::warn!("{what}: {error}");
        }
    }

    /// A message was sent: what was in the way is no more, as far as one can tell.
    fn all_clear(&self) {
        let mut failures = self.failures();
        failures.lasting = None;
        if std::mem::take(&mut failures.said) {
            tracing::warn!(target: ALL_CLEAR, "messages of the journal are sent again");
        }
    }

    fn failures(&self) -> MutexGuard<'_, Failures> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Failures {
    /// What `flush` gives back, if it need not wait any longer.
    fn report(&mut self, done: bool, unsent: usize) -> Option<Result<(), RobustFlushError>> {
        if !done && self.lasting.is_none() {
            return None;
        }
        if let Some(first) = self.first_given_up.take() {
            let count = std::mem::take(&mut self.given_up);
            return Some(Err(RobustFlushError::GivenUp { count, first: Box::new(first) }));
        }
        let lasting = self.lasting.take().filter(|_| !done);
        let kept = |source| RobustFlushError::Kept { unsent, source: Box::new(source) };
        Some(lasting.map_or(Ok(()), |source| Err(kept(source))))
    }
}

/// Compacts the journal where it hurts nobody that it takes a while. Dropping the future does not stop it.
async fn compact(mut journal: OwnedMutexGuard<Journal>) {
    let compacted = spawn_blocking(move || journal.compact()).await;
    if let Ok(Err(error)) = compacted {
        tracing::warn!("the journal stays as large as it is: {error}");
    }
}
