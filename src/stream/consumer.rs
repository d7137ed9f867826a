//! Reading alerts.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use super::keeping::Keeping;
use super::message::{Message, Metadata, RawMessage, Unreadable};
use super::message_stream::MessageStream;
use super::position::{StartPosition, StopPosition};
use super::{HopUrl, OpenError, Stream, TopicName, UrlError};
use crate::kafka::{self, Client, FetchedBatch, Group, Interruption, PartitionLag, Stopper, TopicPartition};
use crate::models::Registry;

/// How many records of a batch are taken over at a time: enough to make the taking cheap, and few enough that a batch
/// of very many tiny records does not become very many messages in memory.
const RECORDS_AT_A_TIME: usize = 4096;

/// For how long brokers may be out of reach before reading up to the end is given up.
const PATIENCE: Duration = Duration::from_secs(30);

/// How to read; made by [`Stream::reader`].
///
/// # Defaults
///
/// From [`StartPosition::Latest`] on, up to the end of the topics, without test messages.
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until `open` is awaited"]
pub struct ReaderBuilder {
    stream: Stream,
    url: String,
    pattern: Option<String>,
    start: StartPosition,
    stop: Option<StopPosition>,
    persist: bool,
    include_tests: bool,
    give_up_after: Option<Option<Duration>>,
    group: Option<(Group, GroupMode)>,
    auto_commit: bool,
}

/// What the readers of one group have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum GroupMode {
    /// The members share the partitions: each message goes to one of them.
    #[default]
    Share,
    /// Every reader gets all partitions, as with hop-client; only the offsets are kept in the group's name.
    Assign,
}

impl ReaderBuilder {
    pub(super) fn new(stream: Stream, url: &str) -> Self {
        Self {
            stream,
            url: url.to_owned(),
            pattern: None,
            start: StartPosition::default(),
            stop: None,
            persist: false,
            include_tests: false,
            give_up_after: None,
            group: None,
            auto_commit: true,
        }
    }

    /// A pattern for topics to read beside those of the URL, which then need not name any: a regular expression of the
    /// syntax of `regex-lite`. Topics that come into being are found when metadata is renewed, within 5 min, and read from
    /// their beginning; Kafka's own are not among them.
    pub fn topics_matching(mut self, pattern: impl Into<String>) -> Self {
        self.pattern = Some(pattern.into());
        self
    }

    /// Where to begin in each topic.
    pub fn start_at(mut self, start: StartPosition) -> Self {
        self.start = start;
        self
    }

    /// Where to stop in each partition, if not only at its end; when persisting, also if that is not there yet.
    pub fn stop_before(mut self, stop: impl Into<Option<StopPosition>>) -> Self {
        self.stop = stop.into();
        self
    }

    /// Whether to wait for new messages at the end of the topics, for ever, instead of stopping there.
    pub fn persist(mut self, persist: bool) -> Self {
        self.persist = persist;
        self
    }

    /// Whether messages that are marked as tests are handed over, too.
    pub fn include_tests(mut self, include: bool) -> Self {
        self.include_tests = include;
        self
    }

    /// For how long brokers may be out of reach, in a row, before [`Consumer::next`] says so. `None` is for ever.
    ///
    /// Not set, it is for ever when persisting, and else 30 s.
    pub fn give_up_after(mut self, patience: Option<Duration>) -> Self {
        self.give_up_after = Some(patience);
        self
    }

    /// The group to read in: it remembers how far its readers have come, and whoever reads in it next goes on there.
    pub fn group(mut self, group: impl Into<Group>) -> Self {
        self.group = Some((group.into(), GroupMode::default()));
        self
    }

    /// The same, with what its readers have in common.
    pub fn group_in(mut self, group: impl Into<Group>, mode: GroupMode) -> Self {
        self.group = Some((group.into(), mode));
        self
    }

    /// In a group: whether a message counts as dealt with when the next is asked for. Without it,
    /// [`Consumer::mark_done`] says so. What is done is committed every 5 s, when other members get the partition, and
    /// when the consumer is closed.
    pub fn auto_commit(mut self, commit: bool) -> Self {
        self.auto_commit = commit;
        self
    }

    /// Connects, and looks the topics up.
    ///
    /// Dropping the future closes what it opened.
    ///
    /// # Errors
    ///
    /// Those of [`OpenError`]; a topic that does not exist is one.
    pub async fn open(self) -> Result<Consumer, OpenError> {
        let url: HopUrl = self.url.parse()?;
        let named = match url.topics_to_read() {
            Err(UrlError::NoTopic { .. }) if self.pattern.is_some() => Vec::new(),
            named => named?,
        };
        let (client, _, keeping) = self.stream.connect_with_store(&url).await?;
        let mut builder = client.consumer().auto_mark(false);
        if let Some(pattern) = &self.pattern {
            builder = builder.topics_matching(pattern);
        }
        let in_group = self.group.is_some();
        builder = match self.group {
            Some((group, GroupMode::Assign)) => {
                builder.group(group).whole_topics(named.iter().map(TopicName::shared))
            }
            Some((group, GroupMode::Share)) => {
                builder.group(group).topics(named.iter().map(TopicName::shared))
            }
            None => builder.topics(named.iter().map(TopicName::shared)),
        };
        let inner = builder
            .start_at(self.start.into())
            .stop_at_end(!self.persist)
            .give_up_after(self.give_up_after.unwrap_or((!self.persist).then_some(PATIENCE)))
            .build()
            .await?;
        Ok(Consumer {
            stopper: inner.stopper(),
            inner,
            registry: self.stream.formats(),
            stop: self.stop,
            include_tests: self.include_tests,
            batch: None,
            ready: VecDeque::new(),
            marks: in_group && self.auto_commit,
            handed: None,
            keeping,
            elsewhere: None,
        })
    }
}

/// Reads the messages of some topics, all partitions of them, in the order of each partition.
#[derive(Debug)]
pub struct Consumer {
    inner: kafka::Consumer,
    stopper: Stopper,
    registry: Arc<Registry>,
    stop: Option<StopPosition>,
    include_tests: bool,
    /// The batch that is being handed over, and how many of its records have been taken from it.
    batch: Option<(FetchedBatch, usize)>,
    ready: VecDeque<Result<RawMessage, kafka::Error>>,
    /// Whether a message is done with when the next is asked for.
    marks: bool,
    /// The message that was handed over last, by its partition and the offset behind it.
    handed: Option<(TopicPartition, i64)>,
    keeping: Keeping,
    /// A message that stands for another, which is being fetched.
    elsewhere: Option<RawMessage>,
}

impl Consumer {
    /// The next message and its model; `None` at the end of the topics, unless persisting.
    ///
    /// Dropping the future loses nothing: the next call goes on where this one was.
    ///
    /// # Errors
    ///
    /// [`NextError::Unreadable`] has a message whose payload is not what its format says; the one behind it comes
    /// with the next call. After [`NextError::Kafka`] the call may be repeated, too, and goes on where it can.
    pub async fn next(&mut self) -> Result<Option<Message>, NextError> {
        let raw = match self.elsewhere.take() {
            Some(raw) => raw,
            None => match self.next_raw().await? {
                Some(raw) => raw,
                None => return Ok(None),
            },
        };
        let raw = if self.keeping.is_elsewhere(&raw) {
            // Whoever gives up waiting for it gets it with the next call.
            self.elsewhere = Some(raw.clone());
            let fetched = self.fetch(raw).await;
            self.elsewhere = None;
            fetched?
        } else {
            raw
        };
        Ok(Some(self.read(raw)?))
    }

    /// Whether a message from [`next_raw`](Self::next_raw) stands for one that is kept elsewhere and is to be
    /// [fetched](Self::fetch).
    pub fn is_elsewhere(&self, message: &RawMessage) -> bool {
        self.keeping.is_elsewhere(message)
    }

    /// The message that one from [`next_raw`](Self::next_raw) stands for, because it was too large for its topic and is
    /// kept elsewhere; any other message as it is. See [`LargeMessages`](super::LargeMessages).
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
        self.settle();
        // Slow users ask for one message after the other, and for a long time for no batch.
        self.inner.touch();
        loop {
            if self.stopper.is_stopped() {
                return Ok(None);
            }
            while let Some(record) = self.ready.pop_front() {
                let message = record?;
                if self.stop.is_some_and(|stop| stop.is_reached(message.metadata())) {
                    self.stop_before(message.metadata())?;
                    continue;
                }
                if self.marks {
                    let at = message.metadata();
                    let partition = TopicPartition::new(Arc::clone(&at.topic), at.partition);
                    self.handed = Some((partition, at.offset.saturating_add(1)));
                }
                if self.include_tests || !message.metadata().is_test() {
                    return Ok(Some(message));
                }
            }
            match &mut self.batch {
                Some((batch, taken)) => {
                    self.ready.extend(messages(batch, *taken));
                    *taken += self.ready.len();
                    // Fewer than was asked for is all there was, and after an error there is no more.
                    if self.ready.len() < RECORDS_AT_A_TIME || self.ready.back().is_some_and(Result::is_err) {
                        self.batch = None;
                    }
                }
                // The only wait. What it brings is kept before anything else can be waited for.
                None => {
                    self.settle();
                    match self.inner.next_batch().await? {
                        Some(batch) => self.batch = Some((batch, 0)),
                        None => return Ok(None),
                    }
                }
            }
        }
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

    /// How many messages can be had without asking the brokers.
    pub fn at_hand(&self) -> usize {
        self.ready.len()
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
        // All that is at hand is of one batch.
        let next = match (self.ready.front(), &self.batch) {
            (Some(Ok(message)), _) => {
                let at = message.metadata();
                Some((&*at.topic, at.partition, at.offset))
            }
            (None, Some((batch, taken))) => match batch.records().nth(*taken) {
                Some(Ok(record)) => Some((&**batch.topic(), batch.partition(), record.offset)),
                _ => None,
            },
            _ => None,
        };
        if let Some((topic, partition, offset)) = next {
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
    /// [another credential](Stream::renew_access).
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

    /// Reads no more of the partition of this message. All that is at hand is of that one.
    fn stop_before(&mut self, metadata: &Metadata) -> Result<(), kafka::Error> {
        self.ready.clear();
        self.batch = None;
        let partition = TopicPartition::new(Arc::clone(&metadata.topic), metadata.partition);
        match self.inner.stop_before(&partition, metadata.offset) {
            // The group gave it to somebody else meanwhile.
            Err(kafka::Error::NotAssigned { .. }) => Ok(()),
            stopped => stopped,
        }
    }

    /// The message that was handed over last is done with.
    fn settle(&mut self) {
        if let Some((partition, offset)) = self.handed.take() {
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

/// The next records of a batch, those before `from` skipped.
fn messages(batch: &FetchedBatch, from: usize) -> impl Iterator<Item = Result<RawMessage, kafka::Error>> {
    batch.records().skip(from).take(RECORDS_AT_A_TIME).map(|record| {
        let record = record?;
        RawMessage::from_record(batch.topic(), batch.partition(), &record, |part| batch.slice(part)).map_err(
            |source| kafka::Error::Damaged {
                topic: batch.topic().to_string(),
                partition: batch.partition(),
                offset: record.offset,
                source,
            },
        )
    })
}
