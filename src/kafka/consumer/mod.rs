//! Reading topics: without a group every partition of them, in a group this member's share.
//!
//! A [`Consumer`] asks each broker for the partitions that it leads, or that it is nearest to, and asks anew as soon as
//! an answer has come, so that the next records are on their way while the last are handled. What is held in memory is
//! bounded: one answer of each broker on its way, and one being handed over.
//!
//! `positions` decides by its `policy` which `questions` to ask, with `tracked` for each partition and `session` for
//! each broker; this file hands over what is ready, `asking` and `answers` are the two directions, and `requests` has
//! both as the protocol does. `subscription` knows which partitions there are, `in_group` what a group wants of its
//! member, `outage` what is said of an interruption; `batch`, `message` and `event` are what is handed over.

mod aborted;
mod answers;
mod asking;
mod batch;
mod builder;
mod control;
mod event;
mod in_group;
mod message;
mod outage;
mod policy;
mod positions;
mod questions;
mod requests;
mod session;
mod stream;
mod subscription;
mod tracked;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

pub use self::batch::FetchedBatch;
pub(crate) use self::batch::Place;
pub use self::builder::ConsumerBuilder;
pub use self::control::PartitionLag;
pub use self::event::{ConsumerEvent, Stopper};
pub use self::message::ConsumedRecord;
pub use self::outage::Interruption;
pub use self::policy::{OutOfRange, StartOffset};
pub use self::requests::Isolation;
pub use self::stream::RecordStream;
pub(crate) use self::stream::{OneByOne, Source};

pub(super) use self::message::Unpacked;

use self::aborted::AbortFilter;
use self::answers::Answer;
use self::in_group::{InGroup, Share};
use self::outage::Outage;
use self::positions::Positions;
use self::questions::Index;
use self::requests::FetchLimits;
use self::session::FetchSession;
use self::subscription::Subscription;
use super::cluster::{Cluster, OwnLane};
use super::error::Error;
use super::group::{CommittedOffset, task};
use super::metadata::BrokerId;
use super::topic_partition::TopicPartition;
use crate::wire::buffers::Buffers;
use crate::wire::record::{Batches, RecordError};

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
    lane: Arc<OwnLane>,
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
    /// What batches are decompressed into.
    buffers: Buffers,
    events: VecDeque<ConsumerEvent>,
    /// What the user got last, and has dealt with when they ask for more.
    handed: Option<(TopicPartition, CommittedOffset)>,
    unpacked: Option<Unpacked>,
    stopper: Stopper,
    outage: Outage,
    /// How often the cluster was asked in a row who leads a partition that has no leader.
    leaderless: u32,
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
    /// The offset behind all of it; `None` where the last header cannot be believed.
    next: Option<i64>,
    /// The high watermark. Where a batch seems to go beyond it, either it has risen since it was looked at, or the batch's
    /// offset is damaged, which no checksum covers.
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
                let unpacked = self.unpacked.take()?;
                if let Some(group) = &mut self.group {
                    let batch = &unpacked.batch;
                    group.pass_over(batch.topic_partition(), unpacked.reached(), batch.committed_offset());
                }
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
                    if self.positions.doubts(index, reached) {
                        self.ready.pop_front();
                        self.positions.rewind(index, reached);
                        continue;
                    }
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
                            self.handed = Some((batch.partition.clone(), batch.committed_offset()));
                        }
                        return Ok(Some(batch));
                    }
                    if let Some(group) = &mut self.group {
                        let mut behind = CommittedOffset::new(batch.next_offset());
                        behind.leader_epoch = batch.partition_leader_epoch();
                        group.pass_over(&name, reached, behind);
                    }
                }
            }
        }
        Ok(None)
    }
}

/// The next event of the group; never, where there is none.
async fn next_of_group(group: &mut Option<InGroup>) -> Option<task::Event> {
    match group {
        Some(group) if group.failed.is_none() => group.handle.events.recv().await,
        _ => std::future::pending().await,
    }
}
