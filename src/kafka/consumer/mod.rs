//! Reading topics: without a group every partition of them, in a group this member's share.
//!
//! A [`Consumer`] asks each broker for the partitions that it leads, or that it is nearest to, and asks anew as soon as
//! an answer has come, so that the next records are on their way while the last are handled. What is held in memory is
//! bounded: one answer of each broker on its way, and one being handed over.
//!
//! `positions` decides, with `tracked` for each partition and `session` for each broker; this file moves answers,
//! `requests` has them as the protocol does. `subscription` knows which partitions there are, `in_group` what a group
//! wants of its member; `batch`, `message` and `event` are what is handed over.

mod aborted;
mod batch;
mod builder;
mod control;
mod event;
mod in_group;
mod message;
mod outage;
mod positions;
mod requests;
mod session;
mod stream;
mod subscription;
mod tracked;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::messages::MetadataResponse;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

pub use self::batch::FetchedBatch;
pub use self::builder::ConsumerBuilder;
pub use self::control::PartitionLag;
pub use self::event::{ConsumerEvent, Stopper};
pub use self::message::ConsumedRecord;
pub use self::positions::{OutOfRange, StartOffset};
pub use self::requests::Isolation;
pub use self::stream::RecordStream;

pub(super) use self::message::Unpacked;

use self::aborted::AbortFilter;
use self::in_group::{InGroup, Share};
use self::outage::Outage;
use self::positions::{Ask, EndOfEpoch, FetchFrom, Fetched, Index, OffsetOf, Positions, Verdict};
use self::requests::{Answers, FetchAnswer, FetchCall, FetchLimits};
use self::session::FetchSession;
use self::subscription::Subscription;
use super::ALL_CLEAR;
use super::backoff::Backoff;
use super::cluster::Cluster;
use super::error::Error;
use super::group::{CommittedOffset, offsets, task};
use super::metadata::{BrokerId, Snapshot};
use super::topic_partition::TopicPartition;
use crate::wire::error_code::{ErrorCode, Reaction};
use crate::wire::record::{Batches, DecodeLimits, RecordError, last_leader_epoch, next_offset};

/// Reads partitions.
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
///
/// In a group, what was handed over is committed by itself once more is asked for:
///
/// ```no_run
/// # async fn example(client: hop::kafka::Client) -> Result<(), hop::kafka::Error> {
/// let mut consumer = client.consumer().topics(["alerts"]).group("my-group").build().await?;
/// while let Some(record) = consumer.next().await? {
///     println!("{:?}", record.value);
/// }
/// consumer.close().await
/// # }
/// ```
///
/// A consumer that is dropped does the same as [`close`](Self::close) in the background, as far as the runtime lives.
#[derive(Debug)]
pub struct Consumer {
    cluster: Arc<Cluster>,
    subscription: Subscription,
    positions: Positions,
    limits: FetchLimits,
    prefetch_bytes: u64,
    announce_ends: bool,
    skip_damaged: bool,
    give_up_after: Option<Duration>,
    group: Option<InGroup>,
    sessions: HashMap<BrokerId, FetchSession>,
    /// Brokers that have been asked and have not answered.
    busy: HashSet<BrokerId>,
    answers: JoinSet<Answer>,
    refreshing: bool,
    /// Whether topics were asked for by themselves, which tells their ids where the broker has any.
    asked_for_ids: bool,
    /// When topics were last listed, to find those that match a pattern.
    listed_at: Instant,
    ready: VecDeque<Ready>,
    events: VecDeque<ConsumerEvent>,
    /// What the user got last, and has dealt with when they ask for more.
    handed: Option<(TopicPartition, CommittedOffset)>,
    unpacked: Option<Unpacked>,
    stopper: Stopper,
    outage: Outage,
    /// How often the cluster was asked in a row who leads a partition that has no leader.
    leaderless: u32,
}

/// What a question to the cluster brought.
#[derive(Debug)]
enum Answer {
    Fetched { broker: BrokerId, asked: Vec<FetchFrom>, incremental: bool, answer: Result<FetchAnswer, Error> },
    Offsets { broker: BrokerId, asked: Vec<OffsetOf>, answer: Result<Answers<i64>, Error> },
    Epochs { broker: BrokerId, asked: Vec<EndOfEpoch>, answer: Result<Answers<(i32, i64)>, Error> },
    Committed { asked: Vec<(Index, TopicPartition)>, answer: Result<Committed, Error> },
    Refreshed(Result<Arc<Snapshot>, Error>),
    Listed(Result<MetadataResponse, Error>),
}

type Committed = Vec<(TopicPartition, Option<CommittedOffset>)>;

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
    /// The offset behind all of it; `None` where the last header cannot be believed.
    next: Option<i64>,
    /// No batch goes beyond this offset: where one seems to, its offset is damaged, which no checksum covers.
    limit: i64,
}

impl Consumer {
    /// The next records, of any partition; `None` when every partition has reached its end, for a consumer that stops
    /// there, or when it was stopped. Other events are passed over.
    ///
    /// Dropping the future loses nothing: the next call goes on where this one was.
    ///
    /// # Errors
    ///
    /// After [`Error::Damaged`] the next call tries the same records again; after others the call may be repeated,
    /// and goes on where it can. In a group, an error that ends the membership is given again and again.
    pub async fn next_batch(&mut self) -> Result<Option<FetchedBatch>, Error> {
        loop {
            match self.next_event().await? {
                Some(ConsumerEvent::Records(batch)) => return Ok(Some(batch)),
                Some(_) => {}
                None => return Ok(None),
            }
        }
    }

    /// The next record, of any partition, to keep; else as [`next_batch`](Self::next_batch).
    ///
    /// Dropping the future loses nothing: the next call goes on where this one was.
    ///
    /// # Errors
    ///
    /// As for [`next_batch`](Self::next_batch).
    pub async fn next(&mut self) -> Result<Option<ConsumedRecord>, Error> {
        loop {
            if let Some(at_hand) = self.next_at_hand() {
                return at_hand.transpose();
            }
            let Some(batch) = self.next_batch().await? else { return Ok(None) };
            // Its records are handed over one by one from here.
            self.handed = None;
            self.unpacked = Some(Unpacked::new(batch));
        }
    }

    /// The records as a [`Stream`](futures_core::Stream).
    pub fn into_stream(self) -> RecordStream {
        RecordStream::new(self)
    }

    /// What [`next`](Self::next) brings without waiting, if anything.
    fn next_at_hand(&mut self) -> Option<Option<Result<ConsumedRecord, Error>>> {
        if let Some(group) = &self.group {
            group.handle.activity.touch();
            if !group.handle.activity.holds() {
                self.put_back();
            }
        }
        let unpacked = self.unpacked.as_mut()?;
        if self.stopper.is_stopped() {
            return Some(None);
        }
        let next = unpacked.next();
        let epoch = unpacked.batch.leader_epoch();
        if self.group.is_some() {
            self.settle();
            if let Some(Ok(record)) = &next {
                let name = TopicPartition::new(Arc::clone(&record.topic), record.partition);
                let mut offset = CommittedOffset::new(record.offset.saturating_add(1));
                offset.leader_epoch = epoch;
                self.handed = Some((name, offset));
            }
        }
        match next {
            Some(Ok(record)) => Some(Some(Ok(record))),
            Some(Err(error)) if self.skip_damaged => {
                tracing::warn!(%error, "the rest of its batch is passed over");
                self.unpacked = None;
                None
            }
            Some(Err(error)) => {
                self.put_back();
                Some(Some(Err(error)))
            }
            None => {
                self.unpacked = None;
                None
            }
        }
    }

    /// The next thing that happens; `None` as for [`next_batch`](Self::next_batch).
    ///
    /// Dropping the future loses nothing: the next call goes on where this one was.
    ///
    /// # Errors
    ///
    /// As for [`next_batch`](Self::next_batch).
    pub async fn next_event(&mut self) -> Result<Option<ConsumerEvent>, Error> {
        let _polling = self.group.as_ref().map(|group| group.handle.activity.poll());
        self.settle();
        let stopper = self.stopper.clone();
        tokio::select! {
            biased;
            () = stopper.stopped() => return Ok(None),
            () = self.give_up_revoked() => {}
        }
        loop {
            if self.stopper.is_stopped() {
                return Ok(None);
            }
            self.hear_group()?;
            if let Some(group) = &mut self.group {
                group.commit_if_due();
            }
            if let Some(event) = self.events.pop_front() {
                return Ok(Some(event));
            }
            let holds = self.group.as_ref().is_none_or(|group| group.handle.activity.holds());
            if holds && let Some(batch) = self.take_ready()? {
                return Ok(Some(ConsumerEvent::Records(batch)));
            }
            if self.is_finished() {
                return Ok(None);
            }
            self.ask();
            let wake = self.wake_at();
            tokio::select! {
                Some(answer) = self.answers.join_next() => {
                    // A task that panicked or was cancelled has no answer; there is none of either kind.
                    if let Ok(answer) = answer {
                        self.on_answer(answer)?;
                    }
                }
                event = next_of_group(&mut self.group) => self.on_group_event(event)?,
                () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {}
                () = self.stopper.stopped() => {}
            }
        }
    }

    fn wake_at(&self) -> Option<Instant> {
        let commit = self.group.as_ref().and_then(InGroup::commit_at);
        let share =
            self.group.as_ref().and_then(InGroup::waits_until).filter(|&until| until > Instant::now());
        let list =
            self.subscription.has_pattern().then(|| self.listed_at + self.cluster.settings.metadata_max_age);
        [self.positions.next_try(Instant::now()), commit, share, list].into_iter().flatten().min()
    }

    fn is_finished(&self) -> bool {
        let waits_for_share = self.group.as_ref().is_some_and(|group| match group.share {
            Share::Unknown => true,
            Share::Empty(_) => group.waits_until().is_some_and(|until| until > Instant::now()),
            Share::NotGiven | Share::Held => false,
        });
        let nothing_yet = self.subscription.has_pattern()
            && self.group.as_ref().is_none_or(|group| !group.shares())
            && self.positions.names().next().is_none();
        !waits_for_share && !nothing_yet && self.positions.all_finished()
    }

    /// The next batch of what has come.
    fn take_ready(&mut self) -> Result<Option<FetchedBatch>, Error> {
        while let Some(ready) = self.ready.front_mut() {
            let Some(name) = self.positions.name(ready.index) else {
                self.ready.pop_front();
                continue;
            };
            let (name, index, reached) = (name.clone(), ready.index, ready.reached);
            let batch = match ready.batches.next() {
                None => {
                    let next = ready.next;
                    self.ready.pop_front();
                    match next {
                        Some(next) => self.positions.on_handed_over(index, next.max(reached)),
                        None => self.positions.rewind(index, reached.saturating_add(1)),
                    }
                    continue;
                }
                Some(Ok(batch)) if batch.next_offset() > ready.limit => {
                    let field = "a batch's last offset";
                    Err(RecordError::Impossible { field, value: batch.last_offset() })
                }
                Some(batch) => batch,
            };
            match batch {
                Err(source) => {
                    let damaged = Error::Damaged {
                        topic: name.topic.to_string(),
                        partition: name.partition,
                        offset: reached,
                        source,
                    };
                    if !self.skip_damaged {
                        self.ready.pop_front();
                        self.positions.rewind(index, reached);
                        return Err(damaged);
                    }
                    tracing::warn!(error = %damaged, "records are passed over");
                }
                Ok(batch) => {
                    ready.reached = batch.next_offset();
                    if ready.filter.passes(&batch) {
                        let (from, before) = (ready.from, ready.before);
                        self.positions.on_handed_over(index, ready.reached);
                        let batch = FetchedBatch { partition: name, batch, from, before };
                        if self.group.is_some() {
                            let mut offset = CommittedOffset::new(batch.next_offset());
                            offset.leader_epoch = batch.leader_epoch();
                            self.handed = Some((batch.partition.clone(), offset));
                        }
                        return Ok(Some(batch));
                    }
                }
            }
        }
        Ok(None)
    }

    /// Asks every broker that is free for what is wanted of it.
    fn ask(&mut self) {
        let snapshot = self.cluster.snapshot();
        self.look_at(&snapshot);
        self.ask_for_committed();
        for (broker, ask) in self.positions.next_asks(&snapshot, &self.busy, Instant::now()) {
            self.busy.insert(broker);
            let cluster = Arc::clone(&self.cluster);
            let isolation = self.limits.isolation;
            match ask {
                Ask::Fetch(asked) => self.fetch(broker, asked, &snapshot),
                Ask::Offsets(asked) => {
                    let named = requests::named(&self.positions, &asked, |of| of.index);
                    self.answers.spawn(async move {
                        let answer = requests::offsets(&cluster, broker, isolation, named).await;
                        Answer::Offsets { broker, asked, answer }
                    });
                }
                Ask::Epochs(asked) => {
                    let named = requests::named(&self.positions, &asked, |of| of.index);
                    self.answers.spawn(async move {
                        let answer = requests::ends_of_epochs(&cluster, broker, named).await;
                        Answer::Epochs { broker, asked, answer }
                    });
                }
            }
        }
        if !self.positions.lacks_leader(&snapshot) {
            self.leaderless = 0;
        } else if !self.refreshing {
            self.leaderless = self.leaderless.saturating_add(1);
            self.refresh();
        }
        self.list_topics();
    }

    fn fetch(&mut self, broker: BrokerId, asked: Vec<FetchFrom>, snapshot: &Snapshot) {
        let named = requests::named(&self.positions, &asked, |from| from.index);
        let by_id = requests::known_by_id(snapshot, &named);
        let request = self.sessions.entry(broker).or_default().next(named, by_id);
        let epoch = request.epoch;
        // One answer of each broker, and one that is being handed over.
        let brokers = u64::try_from(self.sessions.len()).unwrap_or(u64::MAX).saturating_add(1);
        let share = i32::try_from(self.prefetch_bytes / brokers).unwrap_or(i32::MAX);
        let max_wait =
            if self.positions.looks_for_ends(&asked) { Duration::ZERO } else { self.limits.max_wait };
        let max_bytes = self.limits.max_bytes.min(share);
        let limits = FetchLimits { max_bytes, max_wait, ..self.limits.clone() };
        let call = FetchCall::new(&limits, snapshot, request, by_id);
        let (cluster, incremental) = (Arc::clone(&self.cluster), epoch != 0);
        self.answers.spawn(async move {
            let answer = call.ask(&cluster, broker, max_wait).await;
            Answer::Fetched { broker, asked, incremental, answer }
        });
    }

    fn ask_for_committed(&mut self) {
        let Some(group) = &self.group else { return };
        let asked = self.positions.wants_committed(Instant::now());
        if !asked.is_empty() {
            let (cluster, name) = (Arc::clone(&self.cluster), Arc::clone(&group.name));
            self.answers.spawn(async move {
                let partitions: Vec<_> = asked.iter().map(|(_, partition)| partition.clone()).collect();
                let answer = offsets::committed(&cluster, &name, &partitions).await;
                Answer::Committed { asked, answer }
            });
        }
    }

    /// Takes over what is new in the topics.
    fn look_at(&mut self, snapshot: &Snapshot) {
        let changes = self.subscription.changes(snapshot);
        if !changes.made_anew.is_empty() {
            // Brokers cannot be told to forget what has no name any more.
            self.sessions.values_mut().for_each(FetchSession::restart);
        }
        for topic in &changes.made_anew {
            tracing::warn!(%topic, "the topic was deleted and made anew; it is read from its beginning");
            let names: Vec<_> = self.positions.names().filter(|name| name.topic == *topic).cloned().collect();
            for name in names {
                self.forget(&name);
                self.positions.add(name, StartOffset::Earliest);
            }
        }
        // A group shares out what is new by itself.
        if !self.group.as_ref().is_some_and(InGroup::shares) {
            for partition in changes.new {
                self.positions.add(partition, StartOffset::Earliest);
            }
        }
    }

    /// Assigns everything that there is at the beginning, where no group does.
    fn assign_all(&mut self, start: StartOffset) {
        let changes = self.subscription.changes(&self.cluster.snapshot());
        match &self.group {
            None => changes.new.into_iter().for_each(|partition| self.positions.add(partition, start)),
            Some(group) if !group.shares() => {
                changes.new.into_iter().for_each(|partition| self.positions.add_committed(partition));
            }
            Some(_) => {}
        }
    }

    /// Nothing of a partition is to be handed over any more, nor to be committed.
    fn forget(&mut self, partition: &TopicPartition) {
        self.drop_unpacked(partition);
        if let Some(group) = &mut self.group {
            group.forget(partition);
        }
        if let Some(index) = self.positions.remove(partition) {
            self.discard(index);
        }
    }

    /// What was fetched of a partition is void.
    fn discard(&mut self, index: Index) {
        self.ready.retain(|ready| ready.index != index);
    }

    /// What is told along with the login has no ids of topics. They are asked for when that holds up nothing: without
    /// them, another topic of the same name could not be told from the old.
    fn ask_for_ids(&mut self) {
        if !self.positions.all_finished()
            && !std::mem::replace(&mut self.asked_for_ids, true)
            && self.subscription.lacks_ids()
        {
            self.refresh_after(Duration::ZERO);
        }
    }

    fn refresh(&mut self) {
        let wait = Backoff::RECONNECT.wait(self.outage.failures().max(1), fastrand::f64());
        self.refresh_after(wait.max(Backoff::REQUEST.wait(self.leaderless, fastrand::f64())));
    }

    fn refresh_after(&mut self, wait: Duration) {
        if self.refreshing {
            return;
        }
        self.refreshing = true;
        let cluster = Arc::clone(&self.cluster);
        let topics: Vec<_> = self.subscription.topics().cloned().collect();
        self.answers.spawn(async move {
            tokio::time::sleep(wait).await;
            Answer::Refreshed(cluster.refresh(&topics, false).await)
        });
    }

    /// Looks for topics that match the pattern, as often as metadata is renewed.
    fn list_topics(&mut self) {
        let due = self.listed_at + self.cluster.settings.metadata_max_age;
        if self.subscription.has_pattern() && due <= Instant::now() {
            self.listed_at = Instant::now();
            let cluster = Arc::clone(&self.cluster);
            self.answers.spawn(async move { Answer::Listed(cluster.describe(None).await) });
        }
    }

    fn on_answer(&mut self, answer: Answer) -> Result<(), Error> {
        match answer {
            Answer::Fetched { broker, asked, incremental, answer } => {
                self.busy.remove(&broker);
                match answer {
                    Ok(answer) => self.on_fetched(broker, &asked, incremental, answer),
                    Err(error) => {
                        if let Some(session) = self.sessions.get_mut(&broker) {
                            session.restart();
                        }
                        self.on_failure(asked.iter().map(|from| from.index), error)
                    }
                }
            }
            Answer::Offsets { broker, asked, answer } => {
                self.busy.remove(&broker);
                match answer {
                    Ok(answers) => self.on_offsets(asked, answers),
                    Err(error) => self.on_failure(asked.iter().map(|of| of.index), error),
                }
            }
            Answer::Epochs { broker, asked, answer } => {
                self.busy.remove(&broker);
                match answer {
                    Ok(answers) => self.on_ends_of_epochs(asked, answers),
                    Err(Error::Unsupported { .. }) => {
                        self.positions.take_as_checked(&asked);
                        Ok(())
                    }
                    Err(error) => self.on_failure(asked.iter().map(|of| of.index), error),
                }
            }
            Answer::Committed { asked, answer } => match answer {
                Ok(committed) => {
                    let found: HashMap<_, _> = committed.into_iter().collect();
                    for (index, name) in asked {
                        let was_there = self.subscription.was_there(&name);
                        match found.get(&name) {
                            Some(committed) => {
                                self.positions.on_committed(index, committed.as_ref(), was_there);
                            }
                            // Nothing said is not the same as nothing committed.
                            None => self.positions.on_unreachable([index], Instant::now()),
                        }
                    }
                    Ok(())
                }
                Err(error) => self.on_failure(asked.iter().map(|(index, _)| *index), error),
            },
            Answer::Refreshed(answer) => {
                self.refreshing = false;
                match answer {
                    Ok(_) => {
                        if self.positions.is_empty() {
                            self.on_success();
                        }
                        Ok(())
                    }
                    // An attempt may outlast the interruption that it was made for.
                    Err(error) if self.is_reading() => {
                        tracing::debug!(%error, "metadata could not be renewed");
                        Ok(())
                    }
                    Err(error) => self.on_failure([], error),
                }
            }
            Answer::Listed(Ok(listed)) => {
                if self.subscription.on_listed(&listed) {
                    if let Some(group) = self.group.as_ref().filter(|group| group.shares()) {
                        group.send(task::Command::Subscribe(self.subscription.topics().cloned().collect()));
                    }
                    self.refresh();
                }
                Ok(())
            }
            Answer::Listed(Err(error)) => {
                tracing::debug!(%error, "topics could not be listed");
                Ok(())
            }
        }
    }

    fn on_fetched(
        &mut self,
        broker: BrokerId,
        asked: &[FetchFrom],
        incremental: bool,
        answer: FetchAnswer,
    ) -> Result<(), Error> {
        let now = Instant::now();
        let session = self.sessions.entry(broker).or_default();
        if !session.on_answer(answer.code, answer.session_id) {
            self.positions.ask_again(asked.iter().map(|from| from.index));
            self.on_success();
            return Ok(());
        }
        let whole = answer.code;
        let mut unanswered: HashMap<Index, FetchFrom> =
            asked.iter().map(|from| (from.index, *from)).collect();
        let mut failure = None;
        for data in answer.partitions {
            let index = self.positions.index(&data.name);
            let Some(from) = index.and_then(|index| unanswered.remove(&index)) else { continue };
            let batches = Batches::new(data.records.clone(), DecodeLimits::default());
            let limit = if data.high_watermark >= 0 { data.high_watermark } else { i64::MAX };
            let next = next_offset(&data.records).filter(|&next| next <= limit);
            let fetched = Fetched {
                asked: from,
                code: data.code,
                end: data.end,
                next: next.or_else(|| batches.has_next().then_some(from.offset)),
                cut: !data.records.is_empty() && !batches.has_next(),
                epoch: last_leader_epoch(&data.records),
                preferred: data.preferred,
            };
            let verdict = self.positions.on_fetched(fetched, now);
            if data.code == ErrorCode::UNKNOWN_TOPIC_ID
                && let Some(group) = &mut self.group
            {
                // Commits name no ids: what is marked would count for another topic of that name.
                group.forget(&data.name);
            }
            if matches!(verdict, Verdict::Deliver) {
                self.ready.push_back(Ready {
                    index: from.index,
                    batches,
                    filter: AbortFilter::new(match self.limits.isolation {
                        Isolation::ReadCommitted => &data.aborted,
                        Isolation::ReadUncommitted => &[],
                    }),
                    from: from.offset,
                    before: self.positions.stop_before(from.index),
                    reached: from.offset,
                    next,
                    limit,
                });
            } else if let Err(error) = self.on_verdict(from.index, verdict) {
                failure = Some(error);
            }
        }
        if incremental && whole == ErrorCode::NONE {
            for index in unanswered.into_keys() {
                let verdict = self.positions.on_no_news(index);
                self.on_verdict(index, verdict)?;
            }
        } else if !unanswered.is_empty() {
            tracing::debug!(code = %whole, partitions = unanswered.len(), "a fetch was not answered in full");
            self.positions.on_unreachable(unanswered.into_keys(), now);
            if whole.reaction() == Reaction::RefreshMetadata {
                self.refresh();
            }
        }
        self.on_success();
        // The next records are on their way while these are handled.
        self.ask();
        self.ask_for_ids();
        failure.map_or(Ok(()), Err)
    }

    fn on_offsets(&mut self, asked: Vec<OffsetOf>, answers: Answers<i64>) -> Result<(), Error> {
        let now = Instant::now();
        let mut unanswered: HashMap<Index, OffsetOf> = asked.into_iter().map(|of| (of.index, of)).collect();
        // One that cannot be read is no reason to leave out the others.
        let mut failure = None;
        for (name, answer) in answers {
            let index = self.positions.index(&name);
            if let Some(of) = index.and_then(|index| unanswered.remove(&index)) {
                let verdict = self.positions.on_offset(of, answer, now);
                failure = self.on_verdict(of.index, verdict).err().or(failure);
            }
        }
        self.positions.on_unreachable(unanswered.into_keys(), now);
        self.on_success();
        failure.map_or(Ok(()), Err)
    }

    fn on_ends_of_epochs(
        &mut self,
        asked: Vec<EndOfEpoch>,
        answers: Answers<(i32, i64)>,
    ) -> Result<(), Error> {
        let now = Instant::now();
        let mut unanswered: HashMap<Index, EndOfEpoch> = asked.into_iter().map(|of| (of.index, of)).collect();
        // One that cannot be read is no reason to leave out the others.
        let mut failure = None;
        for (name, answer) in answers {
            let index = self.positions.index(&name);
            if let Some(of) = index.and_then(|index| unanswered.remove(&index)) {
                let verdict = self.positions.on_end_of_epoch(of, answer, now);
                failure = self.on_verdict(of.index, verdict).err().or(failure);
            }
        }
        self.positions.on_unreachable(unanswered.into_keys(), now);
        self.on_success();
        failure.map_or(Ok(()), Err)
    }

    fn on_verdict(&mut self, index: Index, verdict: Verdict) -> Result<(), Error> {
        match verdict {
            Verdict::Deliver | Verdict::Nothing => {}
            Verdict::Refresh => self.refresh(),
            Verdict::AtEnd(offset) => {
                if let Some(partition) = self.positions.name(index).filter(|_| self.announce_ends) {
                    let partition = partition.clone();
                    self.events.push_back(ConsumerEvent::EndOfPartition { partition, offset });
                }
            }
            Verdict::Truncated { read_up_to, diverges_at } => {
                let Some(partition) = self.positions.name(index).cloned() else { return Ok(()) };
                tracing::warn!(%partition, read_up_to, diverges_at, "the log was cut below what was read");
                self.discard(index);
                self.drop_unpacked(&partition);
                // What is committed of records that are gone would pass over those that come instead.
                if let Some(group) = &mut self.group {
                    group.forget(&partition);
                }
                self.events.push_back(ConsumerEvent::Truncated { partition, read_up_to, diverges_at });
            }
            Verdict::Fail(error) => {
                // There may be another topic of this name one day.
                if matches!(error, Error::UnknownTopic { .. }) {
                    self.refresh();
                }
                return Err(error);
            }
        }
        Ok(())
    }

    /// Whether there is something to read and nothing known to be in the way of it.
    fn is_reading(&self) -> bool {
        let snapshot = self.cluster.snapshot();
        !self.positions.is_empty()
            && self.positions.all_reachable()
            && !self.positions.lacks_leader(&snapshot)
    }

    /// A broker could not be asked, or did not answer.
    fn on_failure(&mut self, indices: impl IntoIterator<Item = Index>, error: Error) -> Result<(), Error> {
        let now = Instant::now();
        self.positions.on_unreachable(indices, now);
        if !error.may_pass() {
            return Err(error);
        }
        let is_new = self.outage.on_failure(now);
        if self.give_up_after.is_some_and(|patience| self.outage.silence(now) >= patience) {
            return Err(error);
        }
        // Once is enough for whoever watches.
        if !is_new {
            tracing::debug!(%error, failures = self.outage.failures(), "still interrupted");
        } else if let Some(patience) = self.give_up_after {
            let seconds = patience.as_secs_f32();
            tracing::warn!(%error, "reading is interrupted and will be tried again for {seconds} s");
        } else {
            tracing::warn!(%error, "reading is interrupted and will go on by itself");
        }
        self.refresh();
        Ok(())
    }

    /// A broker has answered.
    fn on_success(&mut self) {
        if let Some(lasted) = self.outage.on_success(self.positions.all_reachable(), Instant::now()) {
            tracing::warn!(target: ALL_CLEAR, "reading goes on after {} s", lasted.as_secs());
        }
    }
}

/// The next event of the group; never, where there is none.
async fn next_of_group(group: &mut Option<InGroup>) -> Option<task::Event> {
    match group {
        Some(group) if group.failed.is_none() => group.handle.events.recv().await,
        _ => std::future::pending().await,
    }
}
