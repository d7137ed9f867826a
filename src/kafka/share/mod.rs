//! Sharing the records of topics with others of a group (KIP-932): each record goes to one of them, who says what became
//! of it.
//!
//! Where a [`Consumer`](super::Consumer) owns partitions and commits how far it has come, several [`ShareConsumer`]s read
//! the same partition. A broker acquires records for one of them, and locks them; what is not accepted within that time
//! comes again, to whoever asks. The order of a partition is not kept.
//!
//! `sharing` decides, with `session` for each broker, `held` for what the user has and `arrived` for what is on its way
//! to them; this file moves answers, `requests` has them as the protocol does. `control` is what a user may do beside
//! reading, `batch` what is handed over. Membership is [`super::group`]'s.

mod arrived;
mod batch;
mod builder;
mod control;
mod held;
#[cfg(test)]
mod made_up;
mod requests;
mod session;
mod sharing;
#[cfg(test)]
mod simulation;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

pub use self::batch::{AcquiredBatch, AcquiredRecord, SharedRecord};
pub use self::builder::ShareConsumerBuilder;
pub use self::held::Acknowledgement;

use self::requests::{Link, named};
use self::sharing::{Ask, Heard, Leader, Sharing, Want};
use super::backoff::Backoff;
use super::consumer::{Stopper, Unpacked};
use super::error::Error;
use super::group::task::{Event, Handle};
use super::metadata::{BrokerId, Snapshot};
use super::topic_partition::TopicPartition;
use crate::wire::error_code::ErrorCode;

/// After this long it is looked at what there is to do, whatever happens.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Reads records that no other member of its share group has.
///
/// What was handed over is accepted once more is asked for:
///
/// ```no_run
/// # async fn example(client: hop::kafka::Client) -> Result<(), hop::kafka::Error> {
/// let mut consumer = client.share_consumer().topics(["alerts"]).group("workers").build().await?;
/// while let Some(batch) = consumer.next_batch().await? {
///     for shared in batch.records() {
///         println!("{} for the {}. time: {:?}", shared.record.offset, shared.delivery_count, shared.record.value);
///     }
/// }
/// # Ok(())
/// # }
/// ```
///
/// Or each record by itself, as the user says:
///
/// ```no_run
/// # async fn deal_with(_: &hop::kafka::SharedRecord) -> Result<(), std::io::Error> { Ok(()) }
/// # async fn example(client: hop::kafka::Client) -> Result<(), hop::kafka::Error> {
/// use hop::kafka::Acknowledgement;
/// let consumer = client.share_consumer().topics(["alerts"]).group("workers").acknowledge_explicitly(true);
/// let mut consumer = consumer.build().await?;
/// while let Some(shared) = consumer.next().await? {
///     let how = match deal_with(&shared).await {
///         Ok(()) => Acknowledgement::Accept,
///         Err(_) if shared.delivery_count < 3 => Acknowledgement::Release,
///         Err(_) => Acknowledgement::Reject,
///     };
///     consumer.acknowledge(&shared, how)?;
/// }
/// consumer.close().await
/// # }
/// ```
///
/// A record is handed over at least once, and more than once where its lock runs out or a connection breaks before its
/// broker was told. Brokers are told with the next fetch, within a second of the next call, with
/// [`commit`](Self::commit) or [`close`](Self::close).
///
/// A consumer that is dropped tells brokers in the background what was acknowledged, releases the rest and leaves the
/// group, as far as the runtime lives.
#[derive(Debug)]
pub struct ShareConsumer {
    topics: Vec<Arc<str>>,
    explicit: bool,
    sharing: Sharing,
    link: Arc<Link>,
    member: Handle,
    /// Why the membership has ended.
    failed: Option<Error>,
    answers: JoinSet<Answer>,
    refreshing: bool,
    refreshes: u32,
    /// How often in a row a broker could not be asked.
    interruptions: u32,
    /// What the user has to know, and has not been told yet.
    errors: VecDeque<Error>,
    /// What the user got last, and has dealt with when they ask for more.
    handed: Option<(TopicPartition, Arc<[i64]>)>,
    unpacked: Option<(AcquiredBatch, Unpacked)>,
    stopper: Stopper,
}

/// What a question to the cluster brought.
#[derive(Debug)]
enum Answer {
    Shared { broker: BrokerId, number: u64, answer: Result<sharing::Answer, Error>, at: Instant },
    Refreshed(Result<Arc<Snapshot>, Error>),
}

impl ShareConsumer {
    /// The next records, of any partition; `None` when the consumer was stopped.
    ///
    /// Dropping the future loses nothing: the next call goes on where this one was.
    ///
    /// # Errors
    ///
    /// After [`Error::Damaged`] the records were released, and come again until they have come as often as the group
    /// allows. After others the call may be repeated, and goes on where it can. An error that ends the membership is
    /// given again and again: [`Error::TooOld`] where a broker does not offer share groups, [`Error::Refused`] with
    /// [`UNSUPPORTED_VERSION`](ErrorCode::UNSUPPORTED_VERSION) where they are switched off.
    pub async fn next_batch(&mut self) -> Result<Option<AcquiredBatch>, Error> {
        let _polling = self.member.activity.poll();
        self.settle();
        loop {
            if self.stopper.is_stopped() {
                return Ok(None);
            }
            self.catch_up();
            if let Some(error) = self.errors.pop_front().or_else(|| self.failed.clone()) {
                return Err(error);
            }
            if let Some(batch) = self.sharing.next_batch(Instant::now()).transpose()? {
                if !self.explicit {
                    self.handed = Some((batch.topic_partition().clone(), Arc::clone(&batch.offsets)));
                }
                return Ok(Some(batch));
            }
            self.ask(Want::Records);
            self.wait(Want::Records).await;
        }
    }

    /// The next record, of any partition, to keep; else as [`next_batch`](Self::next_batch).
    ///
    /// Dropping the future loses nothing: the next call goes on where this one was.
    ///
    /// # Errors
    ///
    /// As for [`next_batch`](Self::next_batch).
    pub async fn next(&mut self) -> Result<Option<SharedRecord>, Error> {
        loop {
            self.settle();
            if self.unpacked.is_some() {
                if self.stopper.is_stopped() {
                    return Ok(None);
                }
                self.member.activity.touch();
                let now = Instant::now();
                if self.sharing.is_overdue(now) {
                    self.catch_up();
                    self.ask(Want::Nothing);
                }
                if let Some(shared) = self.next_unpacked(now) {
                    return Ok(Some(shared));
                }
                self.unpacked = None;
            }
            let Some(batch) = self.next_batch().await? else { return Ok(None) };
            // Its records are handed over one by one from here.
            self.handed = None;
            let unpacked = Unpacked::new(batch.fetched.clone());
            self.unpacked = Some((batch, unpacked));
        }
    }

    /// The next record of the batch that is handed over one by one, while it is locked.
    fn next_unpacked(&mut self, now: Instant) -> Option<SharedRecord> {
        let (batch, unpacked) = self.unpacked.as_mut()?;
        let partition = batch.topic_partition();
        loop {
            // They have all been read once.
            let record = unpacked.next()?.ok()?;
            let Some(delivery_count) = batch.delivery_count(record.offset) else { continue };
            // Its lock may have run out meanwhile, or its session have ended.
            if self.sharing.holds(partition, record.offset, now) {
                if !self.explicit {
                    self.handed = Some((partition.clone(), Arc::from([record.offset])));
                }
                return Some(SharedRecord { record, delivery_count });
            }
        }
    }

    /// What the user got last is dealt with, since they ask for more.
    fn settle(&mut self) {
        if let Some((partition, offsets)) = self.handed.take() {
            self.sharing.accept_rest(&partition, &offsets, Instant::now());
        }
    }

    /// Takes what has come meanwhile.
    fn catch_up(&mut self) {
        while let Some(answer) = self.answers.try_join_next() {
            // A task that was cancelled has no answer; there is none.
            if let Ok(answer) = answer {
                self.on_answer(answer);
            }
        }
        while self.failed.is_none() {
            let Ok(event) = self.member.events.try_recv() else { return };
            self.on_member_event(Some(event));
        }
    }

    /// Waits until something happens.
    async fn wait(&mut self, want: Want) {
        let now = Instant::now();
        let wake = self.sharing.wake_at(want, now).unwrap_or(now + LONGEST_WAIT);
        let records = want == Want::Records;
        tokio::select! {
            Some(answer) = self.answers.join_next() => {
                if let Ok(answer) = answer {
                    self.on_answer(answer);
                }
            }
            event = self.member.events.recv(), if self.failed.is_none() => self.on_member_event(event),
            () = sleep_until(wake) => {}
            () = self.stopper.stopped(), if records => {}
        }
    }

    /// Asks every broker that is free for what is wanted of it.
    fn ask(&mut self, want: Want) {
        let snapshot = self.link.cluster.snapshot();
        let leader = |partition: &TopicPartition| leader(&snapshot, partition);
        let asks = self.sharing.next_asks(leader, want, Instant::now());
        for ask in asks {
            ask_in(&mut self.answers, &self.link, ask);
        }
        if want == Want::Records && self.sharing.lacks_leader(leader) {
            self.refresh();
        }
    }

    fn refresh(&mut self) {
        if self.refreshing {
            return;
        }
        self.refreshing = true;
        self.refreshes = self.refreshes.saturating_add(1);
        let link = Arc::clone(&self.link);
        let topics = self.topics.clone();
        let wait = Backoff::RECONNECT.wait(self.refreshes, fastrand::f64());
        self.answers.spawn(async move {
            sleep(wait).await;
            Answer::Refreshed(link.cluster.refresh(&topics, false).await)
        });
    }

    fn on_answer(&mut self, answer: Answer) {
        match answer {
            Answer::Shared { broker, number, answer, at } => {
                let answered = answer.is_ok();
                let heard = self.sharing.on_answer(broker, number, answer, at);
                self.on_heard(heard, answered);
            }
            Answer::Refreshed(answer) => {
                self.refreshing = false;
                match answer {
                    Ok(_) => {}
                    Err(error) if error.is_retriable() => self.on_interrupted(&error),
                    Err(error) => self.errors.push_back(error),
                }
            }
        }
    }

    fn on_heard(&mut self, heard: Heard, answered: bool) {
        if let Some(error) = &heard.interrupted {
            self.on_interrupted(error);
        } else if answered {
            self.on_reached();
        }
        self.errors.extend(heard.failures);
        if heard.refresh {
            self.refresh();
        } else if answered {
            self.refreshes = 0;
        }
    }

    fn on_interrupted(&mut self, error: &Error) {
        // Once is enough for whoever watches.
        if self.interruptions == 0 {
            tracing::warn!(%error, "reading is interrupted and will be tried again");
        } else {
            tracing::debug!(%error, interruptions = self.interruptions, "still interrupted");
        }
        self.interruptions = self.interruptions.saturating_add(1);
    }

    fn on_reached(&mut self) {
        if std::mem::take(&mut self.interruptions) > 0 {
            tracing::info!("reading goes on");
        }
    }

    fn on_member_event(&mut self, event: Option<Event>) {
        match event {
            Some(Event::Assigned(partitions)) => self.sharing.assign(partitions),
            // Nobody waits for a member of a share group to give something up.
            Some(Event::Revoke { partitions, .. } | Event::Lost(partitions)) => {
                self.sharing.unassign(&partitions, Instant::now());
            }
            // Who has something to read finds out by reading.
            Some(Event::Unreachable(error)) => {
                if self.sharing.assignment().next().is_none() {
                    self.on_interrupted(&error);
                }
            }
            Some(Event::Reached) => {
                if self.sharing.assignment().next().is_none() {
                    self.on_reached();
                }
            }
            Some(Event::Failed(error)) => self.failed = Some(named(error)),
            None => {
                let doing = format!("being a member of share group '{}'", self.link.group);
                self.failed = Some(Error::Broker { code: ErrorCode::UNKNOWN_MEMBER_ID, doing });
            }
        }
    }
}

/// Asks in a task of its own, whose answer lands in `answers`.
fn ask_in(answers: &mut JoinSet<Answer>, link: &Arc<Link>, ask: Ask) {
    let link = Arc::clone(link);
    answers.spawn(async move {
        let (broker, number) = (ask.broker, ask.number);
        let answer = link.ask(ask).await;
        Answer::Shared { broker, number, answer, at: Instant::now() }
    });
}

fn leader(snapshot: &Snapshot, partition: &TopicPartition) -> Leader {
    let topic = snapshot.topic(&partition.topic).filter(|topic| !topic.id.is_nil())?;
    let leader = snapshot.partition(&partition.topic, partition.partition)?.leader?;
    Some((leader, topic.id))
}
