//! Reading alerts: one after the other here, several together in `together`.

mod together;

use std::collections::VecDeque;
use std::sync::Arc;

use thiserror::Error;

use super::keeping::Keeping;
use super::message::{Message, Metadata, RawMessage, Unreadable};
use super::message_stream::MessageStream;
use super::position::StopPosition;
use crate::kafka::{self, Client, FetchedBatch, Interruption, PartitionLag, Place, Stopper, TopicPartition};
use crate::models::Registry;

/// Reads the messages of some topics, all partitions of them, in the order of each partition.
///
/// ```no_run
/// # fn store(_: &hop::stream::Message) {}
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let stream = hop::Stream::new(hop::Auth::load()?);
/// let mut alerts = stream.reader("kafka://kafka.scimma.org/alerts").group("me-archive").auto_commit(false).open().await?;
/// while let Some(message) = alerts.next().await? {
///     store(&message);
///     alerts.mark_done(message.metadata()); // not sooner: what is not marked is read again after a crash
/// }
/// alerts.close().await?; // commits, and leaves the group
/// # Ok(())
/// # }
/// ```
///
/// Dropping a consumer cannot wait, nor report: its goodbye to a group, with the last commit, is left to the background and
/// gets lost when the runtime ends or the coordinator is out of reach. Then messages since the last commit are read again,
/// and other members wait until the group's session times out. [`close`](Self::close) waits, and says what failed.
#[derive(Debug)]
pub struct Consumer {
    inner: kafka::Consumer,
    stopper: Stopper,
    registry: Arc<Registry>,
    stop: Option<StopPosition>,
    include_tests: bool,
    /// How far a batch has been handed over.
    batch: Option<(Place, FetchedBatch)>,
    /// What was gathered to be handed over together. It is still here if the future that gathered it was dropped.
    ahead: VecDeque<Taken>,
    /// Whether a message is done with when the next is asked for.
    marks: bool,
    /// What was handed over last.
    handed: Done,
    /// What is done with when all that is ahead is.
    ahead_done: Done,
    keeping: Keeping,
}

/// What was taken from a batch. That it cannot be read is rare, and its reason need not be moved about with each message.
type Taken = Result<RawMessage, Box<kafka::Error>>;

/// Partitions, and the offset behind what is done with in each.
#[derive(Debug, Default)]
struct Done(Vec<(TopicPartition, i64)>);

impl Done {
    /// This message, and those before it in its partition.
    fn note(&mut self, at: &Metadata) {
        let behind = at.offset.saturating_add(1);
        let is_its =
            |of: &&mut (TopicPartition, i64)| of.0.partition == at.partition && of.0.topic == at.topic;
        match self.0.iter_mut().rev().find(is_its) {
            Some(of) => of.1 = behind,
            None => self.0.push((TopicPartition::new(Arc::clone(&at.topic), at.partition), behind)),
        }
    }

    /// What the other has, which is further on.
    fn take_over(&mut self, later: &mut Self) {
        // Marks are made in this order.
        self.0.append(&mut later.0);
    }
}

impl Consumer {
    pub(super) fn new(
        inner: kafka::Consumer,
        registry: Arc<Registry>,
        stop: Option<StopPosition>,
        include_tests: bool,
        marks: bool,
        keeping: Keeping,
    ) -> Self {
        Self {
            stopper: inner.stopper(),
            inner,
            registry,
            stop,
            include_tests,
            batch: None,
            ahead: VecDeque::new(),
            marks,
            handed: Done::default(),
            ahead_done: Done::default(),
            keeping,
        }
    }

    /// The next message and its model; `None` at the end of the topics, unless persisting.
    ///
    /// Dropping the future loses nothing: the next call goes on where this one was, but for a message that is kept elsewhere
    /// and was being fetched, which that call begins anew.
    ///
    /// # Errors
    ///
    /// [`NextError::Unreadable`] has a message whose payload is not what its format says; the one behind it comes
    /// with the next call. One that is [only out of reach](Unreadable::is_retriable) comes itself again. After [`NextError::Kafka`] the call may be repeated, too, and goes on where it can.
    pub async fn next(&mut self) -> Result<Option<Message>, NextError> {
        let Some(raw) = self.next_raw().await? else { return Ok(None) };
        if !self.keeping.is_elsewhere(&raw) {
            return Ok(Some(self.read(raw)?));
        }
        // Not handed over before it is here: whoever gives up waiting for it gets it with the next call.
        self.ahead.push_front(Ok(raw.clone()));
        self.handed.take_over(&mut self.ahead_done);
        std::mem::swap(&mut self.handed, &mut self.ahead_done);
        let fetched = self.fetch(raw).await;
        if let Err(unreadable) = &fetched
            && unreadable.is_retriable()
        {
            return fetched.map(|_| None).map_err(NextError::from);
        }
        self.ahead.pop_front();
        let raw = match fetched {
            Ok(raw) => raw,
            Err(unreadable) => {
                self.handed_over(unreadable.message.metadata());
                return Err(unreadable.into());
            }
        };
        self.handed_over(raw.metadata());
        Ok(Some(self.read(raw)?))
    }

    /// Whether a message from [`next_raw`](Self::next_raw) stands for one that is kept elsewhere and is to be
    /// [fetched](Self::fetch).
    pub fn is_elsewhere(&self, message: &RawMessage) -> bool {
        self.keeping.is_elsewhere(message)
    }

    /// The message that one from [`next_raw`](Self::next_raw) stands for, because it was too large for its topic and is
    /// kept elsewhere; any other message as it is. See `LargeMessages`.
    ///
    /// Dropping the future gives the fetching up.
    ///
    /// # Errors
    ///
    /// When it cannot be had from there; the message comes back with the reason.
    pub async fn fetch(&self, message: RawMessage) -> Result<RawMessage, Box<Unreadable>> {
        self.keeping.fetched(message).await
    }

    /// The next message without reading its payload, nor [fetching](Self::fetch) it from elsewhere; `None` at the end of the topics, unless persisting. Test
    /// messages are passed over here as well, unless they were asked for.
    ///
    /// Dropping the future loses nothing: the next call goes on where this one was.
    ///
    /// # Errors
    ///
    /// [`NextError::Kafka`]; the call may be repeated, and goes on where it can.
    pub async fn next_raw(&mut self) -> Result<Option<RawMessage>, NextError> {
        loop {
            if let Some(next) = self.next_at_hand() {
                return Ok(Some(next.map_err(|error| *error)?));
            }
            if self.stopper.is_stopped() || !self.fetch_batch().await? {
                return Ok(None);
            }
        }
    }

    /// What [`next_raw`](Self::next_raw) brings without waiting, if anything.
    #[inline]
    pub(crate) fn next_at_hand(&mut self) -> Option<Taken> {
        self.begin();
        if self.stopper.is_stopped() {
            return None;
        }
        let next = self.ahead.pop_front().or_else(|| self.take())?;
        if let Ok(message) = &next {
            self.handed_over(message.metadata());
        }
        Some(next)
    }

    /// Reads the payload of a message that came from [`next_raw`](Self::next_raw).
    ///
    /// # Errors
    ///
    /// When it is not what its format says; the message comes back with the reason.
    pub fn read(&self, message: RawMessage) -> Result<Message, Box<Unreadable>> {
        Message::decode(message, &self.registry)
    }

    pub(crate) fn formats(&self) -> Arc<Registry> {
        Arc::clone(&self.registry)
    }

    /// The messages as a [`futures_core::Stream`], for what takes one: what [`next`](Self::next) hands over.
    pub fn into_stream(self) -> MessageStream {
        MessageStream::new(self)
    }

    /// How many messages can be had without asking the brokers; test messages are among them.
    pub fn at_hand(&self) -> usize {
        let left = self.batch.as_ref().map_or(0, |(place, _)| place.left());
        self.ahead.len().saturating_add(left)
    }

    /// Says that a message, and those before it in its partition, have been dealt with. Without a group this does
    /// nothing.
    pub fn mark_done(&mut self, metadata: &Metadata) {
        let partition = TopicPartition::new(Arc::clone(&metadata.topic), metadata.partition);
        self.inner.mark(&partition, metadata.offset.saturating_add(1));
    }

    /// Commits what is done, and waits until that is done; see [`kafka::Consumer::commit`].
    ///
    /// # Errors
    ///
    /// Without a group, and what the group's coordinator says.
    pub async fn commit(&mut self) -> Result<(), kafka::Error> {
        self.inner.commit().await
    }

    /// How far behind the ends of its partitions this consumer is, by what brokers told with the last messages; what is
    /// [at hand](Self::at_hand) has not been handed over. Asks nobody. See [`kafka::Consumer::lag`].
    pub fn lag(&self) -> Vec<PartitionLag> {
        let mut lag = self.inner.lag();
        let next = self.batch.as_ref().and_then(|(place, batch)| match batch.next_record(&mut { *place }) {
            Some(Ok(record)) => Some((&**batch.topic(), batch.partition(), record.offset)),
            _ => None,
        });
        let ahead = self.ahead.iter().rev().flatten().map(|message| {
            let at = message.metadata();
            (&*at.topic, at.partition, at.offset)
        });
        for (topic, partition, offset) in next.into_iter().chain(ahead) {
            let is_its =
                |of: &&mut PartitionLag| of.partition.partition == partition && *of.partition.topic == *topic;
            if let Some(of) = lag.iter_mut().find(is_its) {
                of.position = offset;
            }
        }
        lag
    }

    /// Why something that is to be read is out of reach, and for how long; `None` while reading goes on. See
    /// [`kafka::Consumer::interruption`].
    pub fn interruption(&self) -> Option<Interruption> {
        self.inner.interruption()
    }

    /// The client that this consumer reads with: for its [metrics](Client::metrics), and to give it
    /// [another credential](super::Stream::renew_access).
    pub fn client(&self) -> Client {
        self.inner.client()
    }

    /// A way to make [`next`](Self::next) return `None`, from another task: also while there is more at hand.
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// Stops reading. In a group, what is done is committed, and other members get the partitions at once; unless
    /// marks are by hand, the last message handed over is done.
    ///
    /// Dropping the consumer does the same in the background, as far as the runtime lives, but for that last message.
    ///
    /// # Errors
    ///
    /// What the last commit was refused with.
    pub async fn close(mut self) -> Result<(), kafka::Error> {
        self.settle();
        self.inner.close().await
    }

    /// Before messages are handed over: those that were are done with.
    fn begin(&mut self) {
        self.settle();
        // Slow users ask for one message after the other, and for a long time for no batch.
        self.inner.touch();
    }

    /// The next message of the batch that is at hand, if there is one.
    fn take(&mut self) -> Option<Taken> {
        loop {
            let (place, batch) = self.batch.as_mut()?;
            let record = match batch.next_record(place) {
                Some(Ok(record)) => record,
                Some(Err(error)) => return Some(Err(Box::new(error))),
                None => {
                    self.batch = None;
                    return None;
                }
            };
            let message = match RawMessage::from_record(batch, &record) {
                Ok(message) => message,
                Err(source) => return Some(Err(Box::new(batch.damaged(record.offset, source)))),
            };
            if self.stop.is_some_and(|stop| stop.is_reached(message.metadata())) {
                if let Err(error) = self.stop_before(message.metadata()) {
                    return Some(Err(Box::new(error)));
                }
                continue;
            }
            if self.marks {
                self.ahead_done.note(message.metadata());
            }
            if self.include_tests || !message.metadata().is_test() {
                return Some(Ok(message));
            }
        }
    }

    /// The only wait. What it brings is kept before anything else can be waited for. Whether there is more to come.
    async fn fetch_batch(&mut self) -> Result<bool, kafka::Error> {
        // What was passed over is done with, unless something before it is not.
        if self.ahead.is_empty() {
            self.all_handed();
            self.settle();
        }
        let batch = self.inner.next_batch().await?;
        self.batch = batch.map(|batch| (batch.beginning(), batch));
        Ok(self.batch.is_some())
    }

    /// A message is with the user now.
    fn handed_over(&mut self, at: &Metadata) {
        if self.marks && !self.ahead.is_empty() {
            self.handed.note(at);
        }
        self.all_handed();
    }

    /// With nothing ahead any more, what was passed over counts as handed over, too.
    fn all_handed(&mut self) {
        if self.ahead.is_empty() {
            self.handed.take_over(&mut self.ahead_done);
        }
    }

    /// Reads no more of the partition of this message, whose batch is at hand.
    fn stop_before(&mut self, metadata: &Metadata) -> Result<(), kafka::Error> {
        self.batch = None;
        let partition = TopicPartition::new(Arc::clone(&metadata.topic), metadata.partition);
        match self.inner.stop_before(&partition, metadata.offset) {
            // The group gave it to somebody else meanwhile.
            Err(kafka::Error::NotAssigned { .. }) => Ok(()),
            stopped => stopped,
        }
    }

    /// What was handed over last is done with.
    fn settle(&mut self) {
        for (partition, offset) in self.handed.0.drain(..) {
            self.inner.mark(&partition, offset);
        }
    }
}

/// A message was not handed over.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum NextError {
    /// There is a message, but it does not mean what its format says.
    #[error(transparent)]
    Unreadable(#[from] Box<Unreadable>),
    /// The brokers could not be read from.
    #[error(transparent)]
    Kafka(#[from] kafka::Error),
}
