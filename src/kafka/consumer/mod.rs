//! Reading topics: every partition of them, without a group, from a start position on.
//!
//! A [`Consumer`] assigns itself all partitions of its topics; nothing is joined and nothing is committed. It asks
//! each broker for the partitions that it leads, and asks anew as soon as an answer has come, so that the next
//! records are on their way while the last are handled. What is held in memory is bounded: per broker, one answer
//! being handed over and one on its way.
//!
//! `positions` decides, this file moves bytes, `batch` is what is handed over.

mod batch;
mod positions;

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::{FetchRequest, FetchResponse, ListOffsetsRequest, ListOffsetsResponse};
use kafka_protocol::protocol::StrBytes;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

pub use self::batch::FetchedBatch;
pub use self::positions::StartOffset;

use self::batch::AbortFilter;
use self::positions::{Ask, FetchFrom, Fetched, Index, OffsetOf, Positions, Verdict};
use super::backoff::Backoff;
use super::cluster::{Cluster, Lane, NEWEST};
use super::error::Error;
use super::metadata::{BrokerId, Snapshot};
use crate::wire::api::TOPICS_BY_ID;
use crate::wire::error_code::ErrorCode;
use crate::wire::record::{Batches, DecodeLimits, next_offset};

/// A broker holds a fetch back for this long when it has nothing to send.
const MOST_WAIT: Duration = Duration::from_millis(500);
/// Of one broker, an answer. A larger batch comes whole all the same (KIP-74).
const MOST_FETCH_BYTES: i32 = 4 * 1024 * 1024;
/// Of one partition in an answer.
const MOST_PARTITION_BYTES: i32 = 1024 * 1024;
const READ_COMMITTED: i8 = 1;
/// The newest version that names topics by name.
const BY_NAME: i16 = TOPICS_BY_ID - 1;
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;

/// How to read; made by [`Client::consumer`](super::Client::consumer).
///
/// # Defaults
///
/// From [`StartOffset::Latest`] on, without end, retrying for ever while brokers cannot be reached; records of
/// transactions that are open or were aborted are not handed over.
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until `build` is awaited"]
pub struct ConsumerBuilder {
    cluster: Arc<Cluster>,
    topics: Vec<Arc<str>>,
    start: StartOffset,
    stop_at_end: bool,
    give_up_after: Option<Duration>,
}

impl ConsumerBuilder {
    pub(super) fn new(cluster: Arc<Cluster>) -> Self {
        Self {
            cluster,
            topics: Vec::new(),
            start: StartOffset::default(),
            stop_at_end: false,
            give_up_after: None,
        }
    }

    /// The topics to read, all their partitions.
    pub fn topics<T: Into<Arc<str>>>(mut self, topics: impl IntoIterator<Item = T>) -> Self {
        self.topics.extend(topics.into_iter().map(Into::into));
        self
    }

    /// Where to begin in each partition.
    pub fn start_at(mut self, start: StartOffset) -> Self {
        self.start = start;
        self
    }

    /// Whether to stop where each partition ended when it was first looked at.
    pub fn stop_at_end(mut self, stop: bool) -> Self {
        self.stop_at_end = stop;
        self
    }

    /// For how long brokers may be out of reach, in a row, before [`Consumer::next_batch`] says so. `None` is for
    /// ever.
    pub fn give_up_after(mut self, patience: Option<Duration>) -> Self {
        self.give_up_after = patience;
        self
    }

    /// Looks the topics up.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownTopic`] and [`Error::NotAuthorized`] name the topic; others say why the cluster could not be
    /// asked.
    pub async fn build(self) -> Result<Consumer, Error> {
        if self.topics.is_empty() {
            return Err(Error::Setting { setting: "topics", reason: "name at least one".to_owned() });
        }
        let snapshot = self.cluster.topics_known(&self.topics, false, "read").await?;
        let mut positions = Positions::new(self.start, self.stop_at_end);
        let mut seen = HashSet::new();
        for topic in self.topics.iter().filter(|topic| seen.insert(Arc::clone(topic))) {
            let partitions = snapshot.topic(topic).map_or(0, |known| known.partitions.len());
            for partition in (0..).take(partitions) {
                positions.add(topic, partition);
            }
        }
        Ok(Consumer {
            cluster: self.cluster,
            topics: self.topics,
            positions,
            busy: HashSet::new(),
            answers: JoinSet::new(),
            refreshing: false,
            ready: VecDeque::new(),
            failing_since: None,
            failures: 0,
            give_up_after: self.give_up_after,
        })
    }
}

/// Reads all partitions of some topics.
///
/// ```no_run
/// # async fn example(client: hop::kafka::Client) -> Result<(), hop::kafka::Error> {
/// use hop::kafka::StartOffset;
/// let mut consumer = client.consumer().topics(["alerts"]).start_at(StartOffset::Earliest).build().await?;
/// while let Some(batch) = consumer.next_batch().await? {
///     for record in batch.records() {
///         let record = record?;
///         println!("{} {}: {:?}", batch.partition(), record.offset, record.value);
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Consumer {
    cluster: Arc<Cluster>,
    topics: Vec<Arc<str>>,
    positions: Positions,
    /// Brokers that have been asked and have not answered.
    busy: HashSet<BrokerId>,
    answers: JoinSet<Answer>,
    refreshing: bool,
    ready: VecDeque<Ready>,
    /// Since when nothing could be asked, and how often it was tried since.
    failing_since: Option<Instant>,
    failures: u32,
    give_up_after: Option<Duration>,
}

/// What a question to the cluster brought.
#[derive(Debug)]
enum Answer {
    Fetched { broker: BrokerId, asked: Vec<FetchFrom>, answer: Result<FetchResponse, Error> },
    Offsets { broker: BrokerId, asked: Vec<OffsetOf>, answer: Result<ListOffsetsResponse, Error> },
    Refreshed(Result<Arc<Snapshot>, Error>),
}

/// One partition's part of an answer, on its way to the user.
#[derive(Debug)]
struct Ready {
    index: Index,
    batches: Batches,
    filter: AbortFilter,
    from: i64,
    before: Option<i64>,
    /// The offset after the last batch that could be read.
    reached: i64,
}

impl Consumer {
    /// The next records, of any partition; `None` when every partition has reached its end, for a consumer that stops
    /// there.
    ///
    /// Dropping the future loses nothing: the next call goes on where this one was.
    ///
    /// # Errors
    ///
    /// After [`Error::Damaged`] the next call tries the same records again; after others the call may be repeated,
    /// and goes on where it can.
    pub async fn next_batch(&mut self) -> Result<Option<FetchedBatch>, Error> {
        loop {
            if let Some(batch) = self.take_ready()? {
                return Ok(Some(batch));
            }
            if self.positions.all_finished() {
                return Ok(None);
            }
            self.ask();
            let wake = self.positions.next_try();
            tokio::select! {
                Some(answer) = self.answers.join_next() => {
                    // A task that panicked or was cancelled has no answer; there is none of either kind.
                    if let Ok(answer) = answer {
                        self.on_answer(answer)?;
                    }
                }
                () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {}
            }
        }
    }

    /// The next batch of what has come.
    fn take_ready(&mut self) -> Result<Option<FetchedBatch>, Error> {
        while let Some(ready) = self.ready.front_mut() {
            let Some((topic, partition)) = self.positions.name(ready.index) else {
                self.ready.pop_front();
                continue;
            };
            let (topic, index, reached) = (Arc::clone(topic), ready.index, ready.reached);
            match ready.batches.next() {
                None => {
                    self.ready.pop_front();
                }
                Some(Err(source)) => {
                    self.ready.pop_front();
                    self.positions.rewind(index, reached);
                    return Err(Error::Damaged {
                        topic: topic.to_string(),
                        partition,
                        offset: reached,
                        source,
                    });
                }
                Some(Ok(batch)) => {
                    ready.reached = batch.next_offset();
                    if ready.filter.passes(&batch) {
                        let (from, before) = (ready.from, ready.before);
                        return Ok(Some(FetchedBatch { topic, partition, batch, from, before }));
                    }
                }
            }
        }
        Ok(None)
    }

    /// Asks every broker that is free for what is wanted of it.
    fn ask(&mut self) {
        let snapshot = self.cluster.snapshot();
        for (broker, ask) in self.positions.next_asks(&snapshot, &self.busy, Instant::now()) {
            self.busy.insert(broker);
            let cluster = Arc::clone(&self.cluster);
            match ask {
                Ask::Fetch(asked) => {
                    let request = self.fetch_request(&snapshot, &asked);
                    self.answers.spawn(async move {
                        let answer = fetch(&cluster, broker, &request).await;
                        Answer::Fetched { broker, asked, answer }
                    });
                }
                Ask::Offsets(asked) => {
                    let request = self.offsets_request(&asked);
                    self.answers.spawn(async move {
                        let answer = offsets(&cluster, broker, &request).await;
                        Answer::Offsets { broker, asked, answer }
                    });
                }
            }
        }
        if self.positions.lacks_leader(&snapshot) && self.answers.is_empty() {
            self.refresh();
        }
    }

    fn refresh(&mut self) {
        if self.refreshing {
            return;
        }
        self.refreshing = true;
        let (cluster, topics) = (Arc::clone(&self.cluster), self.topics.clone());
        let wait = Backoff::RECONNECT.wait(self.failures.max(1), fastrand::f64());
        self.answers.spawn(async move {
            tokio::time::sleep(wait).await;
            Answer::Refreshed(cluster.refresh(&topics, false).await)
        });
    }

    fn on_answer(&mut self, answer: Answer) -> Result<(), Error> {
        match answer {
            Answer::Fetched { broker, asked, answer } => {
                self.busy.remove(&broker);
                match answer {
                    Ok(response) => self.on_fetched(&asked, response),
                    Err(error) => self.on_failure(&Ask::Fetch(asked), error),
                }
            }
            Answer::Offsets { broker, asked, answer } => {
                self.busy.remove(&broker);
                match answer {
                    Ok(response) => self.on_offsets(&asked, &response),
                    Err(error) => self.on_failure(&Ask::Offsets(asked), error),
                }
            }
            Answer::Refreshed(answer) => {
                self.refreshing = false;
                match answer {
                    Ok(_) => Ok(()),
                    Err(error) => self.on_failure(&Ask::Fetch(Vec::new()), error),
                }
            }
        }
    }

    fn on_fetched(&mut self, asked: &[FetchFrom], response: FetchResponse) -> Result<(), Error> {
        self.on_success();
        let now = Instant::now();
        let whole = ErrorCode(response.error_code);
        // Brokers answer in the order they were asked in: the next is looked for at the end first.
        let mut unanswered: Vec<FetchFrom> = asked.iter().rev().copied().collect();
        let mut failure = None;
        for topic in response.responses {
            for data in topic.partitions {
                let named = |from: &FetchFrom| {
                    let name = self.positions.name(from.index);
                    name.is_some_and(|(name, number)| {
                        **name == **topic.topic && number == data.partition_index
                    })
                };
                let Some(at) = unanswered.iter().rposition(named) else { continue };
                let from = unanswered.swap_remove(at);
                let records = data.records.unwrap_or_default();
                let fetched = Fetched {
                    asked: from,
                    code: ErrorCode(data.error_code),
                    // Below version 4 there is no last stable offset; -1 is one that is not known.
                    end: if data.last_stable_offset >= 0 {
                        data.last_stable_offset
                    } else {
                        data.high_watermark
                    },
                    next: next_offset(&records),
                };
                match self.positions.on_fetched(fetched, now) {
                    Verdict::Deliver => self.ready.push_back(Ready {
                        index: from.index,
                        batches: Batches::new(records, DecodeLimits::default()),
                        filter: AbortFilter::new(data.aborted_transactions.as_deref().unwrap_or_default()),
                        from: from.offset,
                        before: self.positions.stop_before(from.index),
                        reached: from.offset,
                    }),
                    Verdict::Nothing => {}
                    Verdict::Refresh => self.refresh(),
                    Verdict::Fail(error) => failure = Some(error),
                }
            }
        }
        if !unanswered.is_empty() {
            tracing::debug!(code = %whole, partitions = unanswered.len(), "a fetch was not answered in full");
            self.positions.on_unreachable(&Ask::Fetch(unanswered), now);
        }
        // The next records are on their way while these are handled.
        self.ask();
        failure.map_or(Ok(()), Err)
    }

    fn on_offsets(&mut self, asked: &[OffsetOf], response: &ListOffsetsResponse) -> Result<(), Error> {
        self.on_success();
        let now = Instant::now();
        let mut unanswered: Vec<OffsetOf> = asked.iter().rev().copied().collect();
        for topic in &response.topics {
            for data in &topic.partitions {
                let named = |of: &OffsetOf| {
                    let name = self.positions.name(of.index);
                    name.is_some_and(|(name, number)| {
                        **name == **topic.name && number == data.partition_index
                    })
                };
                let Some(at) = unanswered.iter().rposition(named) else { continue };
                let of = unanswered.swap_remove(at);
                let answer = match ErrorCode(data.error_code) {
                    ErrorCode::NONE => Ok(data.offset.max(0)),
                    code => Err(code),
                };
                match self.positions.on_offset(of, answer, now) {
                    Verdict::Deliver | Verdict::Nothing => {}
                    Verdict::Refresh => self.refresh(),
                    Verdict::Fail(error) => return Err(error),
                }
            }
        }
        self.positions.on_unreachable(&Ask::Offsets(unanswered), now);
        Ok(())
    }

    /// A broker could not be asked, or did not answer.
    fn on_failure(&mut self, ask: &Ask, error: Error) -> Result<(), Error> {
        let now = Instant::now();
        self.positions.on_unreachable(ask, now);
        if !error.is_retriable() {
            return Err(error);
        }
        let since = *self.failing_since.get_or_insert(now);
        if self.give_up_after.is_some_and(|patience| now.duration_since(since) >= patience) {
            return Err(error);
        }
        // Once is enough for whoever watches.
        if self.failures == 0 {
            tracing::warn!(%error, "reading is interrupted and will be tried again");
        } else {
            tracing::debug!(%error, failures = self.failures, "still interrupted");
        }
        self.failures = self.failures.saturating_add(1);
        self.refresh();
        Ok(())
    }

    fn on_success(&mut self) {
        if self.failing_since.take().is_some() {
            tracing::info!(failures = self.failures, "reading goes on");
        }
        self.failures = 0;
    }

    fn fetch_request(&self, snapshot: &Snapshot, asked: &[FetchFrom]) -> FetchRequest {
        let topics =
            by_topic(&self.positions, asked, |from| from.index).into_iter().map(|(topic, partitions)| {
                let partitions = partitions.into_iter().map(|(partition, from)| {
                    FetchPartition::default()
                        .with_partition(partition)
                        .with_fetch_offset(from.offset)
                        .with_current_leader_epoch(from.leader_epoch)
                        .with_partition_max_bytes(MOST_PARTITION_BYTES)
                });
                let name = StrBytes::from_string(topic.to_string());
                FetchTopic::default()
                    .with_topic(name.into())
                    .with_topic_id(snapshot.topic(&topic).map(|known| known.id).unwrap_or_default())
                    .with_partitions(partitions.collect())
            });
        FetchRequest::default()
            .with_replica_id((-1).into())
            .with_max_wait_ms(i32::try_from(MOST_WAIT.as_millis()).unwrap_or(i32::MAX))
            .with_min_bytes(1)
            .with_max_bytes(MOST_FETCH_BYTES)
            .with_isolation_level(READ_COMMITTED)
            // No session (KIP-227): every request is complete in itself.
            .with_session_id(0)
            .with_session_epoch(-1)
            .with_topics(topics.collect())
    }

    fn offsets_request(&self, asked: &[OffsetOf]) -> ListOffsetsRequest {
        let topics =
            by_topic(&self.positions, asked, |of| of.index).into_iter().map(|(topic, partitions)| {
                let partitions = partitions.into_iter().map(|(partition, of)| {
                    ListOffsetsPartition::default()
                        .with_partition_index(partition)
                        .with_current_leader_epoch(of.leader_epoch)
                        .with_timestamp(match of.which {
                            StartOffset::Earliest => EARLIEST,
                            StartOffset::Latest => LATEST,
                        })
                });
                let name = StrBytes::from_string(topic.to_string());
                ListOffsetsTopic::default().with_name(name.into()).with_partitions(partitions.collect())
            });
        let within = self.cluster.settings.request_timeout.as_millis();
        ListOffsetsRequest::default()
            .with_replica_id((-1).into())
            .with_timeout_ms(i32::try_from(within).unwrap_or(i32::MAX))
            .with_isolation_level(READ_COMMITTED)
            .with_topics(topics.collect())
    }
}

/// A topic, and what is asked of each of its partitions.
type TopicParts<T> = (Arc<str>, Vec<(i32, T)>);

/// What is asked, by topic, each with its partition's number.
fn by_topic<T: Copy>(positions: &Positions, asked: &[T], index: impl Fn(T) -> Index) -> Vec<TopicParts<T>> {
    let mut topics: Vec<TopicParts<T>> = Vec::new();
    for &part in asked {
        let Some((topic, partition)) = positions.name(index(part)) else { continue };
        // Partitions are tracked topic by topic, so the topic is the last one or a new one.
        match topics.last_mut() {
            Some((last, parts)) if last == topic => parts.push((partition, part)),
            _ => topics.push((Arc::clone(topic), vec![(partition, part)])),
        }
    }
    topics
}

async fn fetch(cluster: &Cluster, broker: BrokerId, request: &FetchRequest) -> Result<FetchResponse, Error> {
    let within = cluster.settings.request_timeout + MOST_WAIT;
    let newest = if request.topics.iter().all(|topic| !topic.topic_id.is_nil()) { NEWEST } else { BY_NAME };
    let mut response = cluster.send(broker, Lane::Waiting, request, newest, within).await?.await?;
    // Where topics are named by id, their names are known from the question.
    for topic in response.responses.iter_mut().filter(|topic| !topic.topic_id.is_nil()) {
        if let Some(asked) = request.topics.iter().find(|asked| asked.topic_id == topic.topic_id) {
            topic.topic = asked.topic.clone();
        }
    }
    Ok(response)
}

async fn offsets(
    cluster: &Cluster,
    broker: BrokerId,
    request: &ListOffsetsRequest,
) -> Result<ListOffsetsResponse, Error> {
    cluster.send(broker, Lane::Waiting, request, NEWEST, cluster.settings.request_timeout).await?.await
}
