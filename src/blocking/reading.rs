//! Reading alerts, one after the other.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::timeout;

use super::background::Background;
use crate::kafka::{self, Group, Interruption, PartitionLag, Stopper};
use crate::models::Registry;
use crate::stream::{
    self, GroupMode, Message, Metadata, NextError, OpenError, RawMessage, StartPosition, StopPosition,
    Unreadable,
};

/// How long a consumer that is dropped may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(1);

/// How to read; made by [`Stream::reader`](super::Stream::reader), with the defaults of [`stream::ReaderBuilder`].
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until `open` is called"]
pub struct ReaderBuilder {
    inner: stream::ReaderBuilder,
    background: Arc<Background>,
}

impl ReaderBuilder {
    pub(super) fn new(inner: stream::ReaderBuilder, background: Arc<Background>) -> Self {
        Self { inner, background }
    }

    /// A pattern for topics to read; see [`stream::ReaderBuilder::topics_matching`].
    pub fn topics_matching(self, pattern: impl Into<String>) -> Self {
        Self { inner: self.inner.topics_matching(pattern), ..self }
    }

    /// Where to begin in each topic; see [`stream::ReaderBuilder::start_at`].
    pub fn start_at(self, start: StartPosition) -> Self {
        Self { inner: self.inner.start_at(start), ..self }
    }

    /// Where to stop in each partition; see [`stream::ReaderBuilder::stop_before`].
    pub fn stop_before(self, stop: impl Into<Option<StopPosition>>) -> Self {
        Self { inner: self.inner.stop_before(stop), ..self }
    }

    /// Whether to wait for new messages at the end of the topics; see [`stream::ReaderBuilder::persist`].
    pub fn persist(self, persist: bool) -> Self {
        Self { inner: self.inner.persist(persist), ..self }
    }

    /// Whether messages that are marked as tests are handed over, too.
    pub fn include_tests(self, include: bool) -> Self {
        Self { inner: self.inner.include_tests(include), ..self }
    }

    /// For how long brokers may be out of reach; see [`stream::ReaderBuilder::give_up_after`].
    pub fn give_up_after(self, patience: Option<Duration>) -> Self {
        Self { inner: self.inner.give_up_after(patience), ..self }
    }

    /// The group to read in; see [`stream::ReaderBuilder::group`].
    pub fn group(self, group: impl Into<Group>) -> Self {
        Self { inner: self.inner.group(group), ..self }
    }

    /// The same, with what its readers have in common.
    pub fn group_in(self, group: impl Into<Group>, mode: GroupMode) -> Self {
        Self { inner: self.inner.group_in(group, mode), ..self }
    }

    /// In a group: whether a message counts as dealt with when the next is asked for; see
    /// [`stream::ReaderBuilder::auto_commit`].
    pub fn auto_commit(self, commit: bool) -> Self {
        Self { inner: self.inner.auto_commit(commit), ..self }
    }

    /// Connects, and looks the topics up.
    ///
    /// # Errors
    ///
    /// Those of [`OpenError`]; a topic that does not exist is one.
    pub fn open(self) -> Result<Consumer, OpenError> {
        let inner = self.background.wait(self.inner.open())?;
        Ok(Consumer {
            stopper: inner.stopper(),
            registry: inner.formats(),
            inner: Some(inner),
            background: self.background,
        })
    }
}

/// The messages of some topics, in the order of each partition; see [`stream::Consumer`]. As an iterator it ends with the
/// topics, unless it persists, and goes on after an error where it can.
///
/// Dropping it commits what is done with and leaves the group, if that takes less than a second;
/// [`close`](Self::close) takes the time that it needs, and tells of failures.
#[derive(Debug)]
pub struct Consumer {
    /// Gone once it is closed, which is the end of this, too.
    inner: Option<stream::Consumer>,
    stopper: Stopper,
    registry: Arc<Registry>,
    background: Arc<Background>,
}

impl Iterator for Consumer {
    type Item = Result<Message, NextError>;

    fn next(&mut self) -> Option<Self::Item> {
        let inner = self.inner.as_mut()?;
        self.background.wait(inner.next()).transpose()
    }
}

impl Consumer {
    /// The next message without reading its payload; see [`stream::Consumer::next_raw`].
    ///
    /// # Errors
    ///
    /// [`NextError::Kafka`]; the call may be repeated, and goes on where it can.
    pub fn next_raw(&mut self) -> Result<Option<RawMessage>, NextError> {
        let Some(inner) = &mut self.inner else { return Ok(None) };
        self.background.wait(inner.next_raw())
    }

    /// The next message, if it comes within this time; `None` if it does not, and at the end.
    ///
    /// # Errors
    ///
    /// Those of [`stream::Consumer::next`].
    pub fn next_within(&mut self, patience: Duration) -> Result<Option<Message>, NextError> {
        let Some(inner) = &mut self.inner else { return Ok(None) };
        self.background.wait(async { timeout(patience, inner.next()).await }).unwrap_or(Ok(None))
    }

    /// The next messages together: as many as `max`, or those that have come when `patience` is up or the topics end. None
    /// may have: then the vector is empty. `None` at the end of the topics; see [`stream::Consumer::next_messages`].
    ///
    /// # Errors
    ///
    /// Those of [`stream::Consumer::next`]. What was gathered before comes first, and the error with the next call.
    pub fn next_messages(
        &mut self,
        max: usize,
        patience: Duration,
    ) -> Result<Option<Vec<Message>>, NextError> {
        let Some(inner) = &mut self.inner else { return Ok(None) };
        self.background.wait(inner.next_messages(max, patience))
    }

    /// Reads the payload of a message that came from [`next_raw`](Self::next_raw).
    ///
    /// # Errors
    ///
    /// When it is not what its format says; the message comes back with the reason.
    pub fn read(&self, message: RawMessage) -> Result<Message, Box<Unreadable>> {
        Message::decode(message, &self.registry)
    }

    /// Says that a message, and those before it in its partition, have been dealt with; see
    /// [`stream::Consumer::mark_done`].
    pub fn mark_done(&mut self, metadata: &Metadata) {
        if let Some(inner) = &mut self.inner {
            inner.mark_done(metadata);
        }
    }

    /// Commits what is done, and waits until that is done.
    ///
    /// # Errors
    ///
    /// Without a group, and what the group's coordinator says.
    pub fn commit(&mut self) -> Result<(), kafka::Error> {
        let Some(inner) = &mut self.inner else { return Ok(()) };
        self.background.wait(inner.commit())
    }

    /// How many messages can be had without asking the brokers.
    pub fn at_hand(&self) -> usize {
        self.inner.as_ref().map_or(0, stream::Consumer::at_hand)
    }

    /// How far behind the ends of its partitions this consumer is; see [`stream::Consumer::lag`].
    pub fn lag(&self) -> Vec<PartitionLag> {
        self.inner.as_ref().map(stream::Consumer::lag).unwrap_or_default()
    }

    /// Why something that is to be read is out of reach; see [`stream::Consumer::interruption`].
    pub fn interruption(&self) -> Option<Interruption> {
        self.inner.as_ref().and_then(stream::Consumer::interruption)
    }

    /// A way to end the iteration from another thread, also while it waits.
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// Stops reading; see [`stream::Consumer::close`].
    ///
    /// # Errors
    ///
    /// What the last commit was refused with.
    pub fn close(mut self) -> Result<(), kafka::Error> {
        self.inner.take().map_or(Ok(()), |inner| self.background.wait(inner.close()))
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        // A runtime's own thread may not wait; there it goes without a word.
        if let Some(inner) = self.inner.take()
            && Handle::try_current().is_err()
        {
            let _ = self.background.wait(async { timeout(GOODBYE, inner.close()).await });
        }
    }
}
