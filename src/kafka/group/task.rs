//! The task behind a consumer in a group: moves what its [`Member`] and its [`Commits`] decide to the coordinator, and
//! answers back. It runs apart from the reading, so that a slow user does not look like a dead one.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use super::activity::Activity;
use super::classic::ClassicMember;
use super::commits::{Commits, Reply, Verdict};
use super::consumer::ConsumerMember;
use super::coordinator::Coordinator;
use super::member::{Action, Answer, Failure, Member, Membership, Request};
use super::offsets::{Codes, CommittedOffset};
use super::{GroupMetadata, GroupProtocol};
use crate::kafka::cluster::Cluster;
use crate::kafka::error::Error;
use crate::kafka::topic_partition::TopicPartition;
use crate::wire::error_code::ErrorCode;

/// How long a commit may take, and the goodbye of a member.
const PATIENCE: Duration = Duration::from_secs(30);
/// A goodbye is a courtesy: the coordinator finds out by itself.
const GOODBYE: Duration = Duration::from_secs(5);

/// What a broker means that knows share groups and does not take their members.
const SWITCHED_OFF: &str =
    "share groups are switched off in this cluster; they need Kafka 4.2 and its feature share.version at 1";

/// What the consumer wants of the task.
#[derive(Debug)]
pub(crate) enum Command {
    Commit {
        offsets: Vec<(TopicPartition, CommittedOffset)>,
        /// How often the consumer has heard that it lost partitions: what it lost since is not its to commit.
        losses: u64,
        reply: Option<Reply>,
    },
    Revoked(u64),
    Subscribe(BTreeSet<Arc<str>>),
}

/// What the task tells the consumer.
#[derive(Debug)]
pub(crate) enum Event {
    Assigned(Vec<TopicPartition>),
    Revoke {
        number: u64,
        partitions: Vec<TopicPartition>,
    },
    Lost(Vec<TopicPartition>),
    /// The coordinator could not be asked; it will be tried again.
    Unreachable(Error),
    /// It has answered again.
    Reached,
    /// The last event: there is no group any more.
    Failed(Error),
}

/// The consumer's end. When it is dropped, the task commits what it was told to, leaves the group and ends.
#[derive(Debug)]
pub(crate) struct Handle {
    pub(crate) commands: mpsc::UnboundedSender<Command>,
    pub(crate) events: mpsc::UnboundedReceiver<Event>,
    pub(crate) activity: Arc<Activity>,
    /// The name of a static member.
    instance_id: Option<String>,
}

impl Handle {
    /// Who commits for this group now.
    pub(crate) fn metadata(&self, group: &Arc<str>) -> GroupMetadata {
        let member = self.activity.identity();
        let instance_id = self.instance_id.clone().filter(|_| member.is_some());
        GroupMetadata { group: Arc::clone(group), member, instance_id }
    }
}

/// Joins the group with these topics. Without topics it only commits.
pub(crate) fn spawn(
    cluster: &Arc<Cluster>,
    membership: Membership,
    protocol: GroupProtocol,
    topics: Option<BTreeSet<Arc<str>>>,
) -> Handle {
    let (commands, receiver) = mpsc::unbounded_channel();
    let (sender, events) = mpsc::unbounded_channel();
    let activity = Arc::new(Activity::new());
    let instance_id = membership.instance_id.clone();
    let membership = Arc::new(membership);
    let coordinator = Arc::new(Coordinator::new(Arc::clone(cluster), Arc::clone(&membership)));
    let task = Task {
        coordinator,
        membership,
        may_fall_back: protocol == GroupProtocol::Automatic,
        member: None,
        events: sender,
        activity: Arc::clone(&activity),
        owned: BTreeSet::new(),
        revoking: None,
        losses: 0,
        lost: BTreeMap::new(),
        commits: Commits::default(),
        answers: JoinSet::new(),
        unreachable: false,
        led: BTreeSet::new(),
        look_ups: 0,
        metadata_seen: None,
        polls: 0,
        polled_at: Instant::now(),
        overdue: false,
    };
    tokio::spawn(task.run(receiver, protocol, topics));
    Handle { commands, events, activity, instance_id }
}

/// What a question to the coordinator brought.
enum Brought {
    Answer(u64, Result<Answer, Error>),
    Committed(Result<Codes, Error>),
    Looked(Result<(), Error>),
}

struct Task {
    coordinator: Arc<Coordinator>,
    membership: Arc<Membership>,
    /// Whether the classic protocol may take over where the broker refuses the other.
    may_fall_back: bool,
    member: Option<Member>,
    events: mpsc::UnboundedSender<Event>,
    activity: Arc<Activity>,
    owned: BTreeSet<TopicPartition>,
    revoking: Option<Revoking>,
    /// How often partitions were lost, and which of them the last.
    losses: u64,
    lost: BTreeMap<TopicPartition, u64>,
    commits: Commits,
    answers: JoinSet<Brought>,
    /// Whether the coordinator did not answer when it was asked last.
    unreachable: bool,
    /// The topics that a leader has to watch.
    led: BTreeSet<Arc<str>>,
    /// How many times they are being looked up.
    look_ups: usize,
    metadata_seen: Option<Instant>,
    polls: u64,
    polled_at: Instant,
    overdue: bool,
}

/// What the consumer is giving up.
struct Revoking {
    number: u64,
    partitions: Vec<TopicPartition>,
    /// Once it has, until when what it committed of it may take to be kept.
    confirm_by: Option<Instant>,
}

impl Task {
    async fn run(
        mut self,
        mut commands: mpsc::UnboundedReceiver<Command>,
        protocol: GroupProtocol,
        topics: Option<BTreeSet<Arc<str>>>,
    ) {
        if let Some(topics) = topics {
            match self.join_first(&mut commands, protocol, topics).await {
                Some(Ok(member)) => self.member = Some(member),
                Some(Err(error)) => return self.fail(error),
                None => return,
            }
        }
        let mut closing: Option<Instant> = None;
        loop {
            let now = Instant::now();
            self.watch(now);
            self.give_up(now);
            self.act(now);
            self.commit(now);
            self.activity.set_lease(self.member.as_ref().and_then(Member::lease));
            self.activity.set_identity(self.member.as_ref().and_then(Member::identity));
            if let Some(until) = closing {
                if self.commits.is_idle()
                    && let Some(member) = &mut self.member
                {
                    member.leave();
                    self.act(now);
                }
                let gone = self.member.as_ref().is_none_or(Member::is_gone);
                if now >= until || (gone && self.commits.is_idle()) {
                    return;
                }
            } else if self.member.as_ref().is_some_and(Member::is_gone) {
                // It failed, and has said so: only commits that can no longer be are left.
                self.member = None;
                return;
            }
            let wake = self.wake_at(closing);
            tokio::select! {
                command = commands.recv(), if closing.is_none() => match command {
                    Some(command) => self.on_command(command),
                    None => closing = Some(Instant::now() + GOODBYE),
                },
                Some(Ok(brought)) = self.answers.join_next() => self.on_brought(brought),
                () = self.activity.polled.notified() => {}
                () = sleep_until(wake.unwrap_or(now)), if wake.is_some() => {}
            }
        }
    }

    /// The first member; `None` if the consumer ends before there is one.
    async fn join_first(
        &self,
        commands: &mut mpsc::UnboundedReceiver<Command>,
        protocol: GroupProtocol,
        topics: BTreeSet<Arc<str>>,
    ) -> Option<Result<Member, Error>> {
        let mut newer = None;
        let mut member = pin!(self.first_member(protocol, topics));
        loop {
            tokio::select! {
                member = &mut member => return Some(member.map(|mut member| {
                    if let Some(topics) = newer {
                        member.subscribe(topics);
                    }
                    member
                })),
                command = commands.recv() => match command? {
                    Command::Subscribe(topics) => newer = Some(topics),
                    Command::Commit { reply: Some(reply), .. } => refuse(reply),
                    Command::Commit { reply: None, .. } | Command::Revoked(_) => {}
                },
            }
        }
    }

    /// The kind of member that the coordinator can have.
    async fn first_member(
        &self,
        protocol: GroupProtocol,
        topics: BTreeSet<Arc<str>>,
    ) -> Result<Member, Error> {
        let consumer = match protocol {
            GroupProtocol::Classic => false,
            GroupProtocol::Consumer => true,
            GroupProtocol::Automatic => self.coordinator.assigns().await?,
        };
        Ok(if consumer { self.consumer_member(topics) } else { self.classic_member(topics) })
    }

    fn classic_member(&self, topics: BTreeSet<Arc<str>>) -> Member {
        Member::Classic(ClassicMember::new(Arc::clone(&self.membership), topics, Instant::now()))
    }

    fn consumer_member(&self, topics: BTreeSet<Arc<str>>) -> Member {
        let random = || Uuid::from_u64_pair(fastrand::u64(..), fastrand::u64(..)).to_string();
        let id = self.membership.share_member.clone().unwrap_or_else(random);
        Member::Consumer(ConsumerMember::new(Arc::clone(&self.membership), id, topics, Instant::now()))
    }

    /// Looks at whether the user is at work, and at whether topics have grown.
    fn watch(&mut self, now: Instant) {
        let Some(member) = &mut self.member else { return };
        let polls = self.activity.polls.load(Ordering::Relaxed);
        if self.activity.polling.load(Ordering::Relaxed) || polls != self.polls {
            (self.polls, self.polled_at) = (polls, now);
            if std::mem::take(&mut self.overdue) {
                member.on_polled();
            }
        } else if !self.overdue && now >= self.polled_at + self.membership.max_poll_interval {
            self.overdue = true;
            tracing::warn!(
                group = %self.membership.group,
                after_s = self.membership.max_poll_interval.as_secs_f32(),
                "no records were asked for within the maximum poll interval; leaving the group until they are"
            );
            member.on_poll_overdue();
        }
        let told = self.coordinator.metadata_told_at();
        if !self.led.is_empty() && self.look_ups == 0 && told != self.metadata_seen {
            self.metadata_seen = told;
            member.on_counts(&self.coordinator.partition_counts(&self.led));
        }
    }

    fn wake_at(&self, closing: Option<Instant>) -> Option<Instant> {
        let polls =
            (self.member.is_some() && !self.overdue && !self.activity.polling.load(Ordering::Relaxed))
                .then(|| self.polled_at + self.membership.max_poll_interval);
        let member = self.member.as_ref().and_then(Member::wake_at);
        let confirm = self.revoking.as_ref().and_then(|revoking| revoking.confirm_by);
        [polls, member, confirm, self.commits.wake_at(), closing].into_iter().flatten().min()
    }

    fn act(&mut self, now: Instant) {
        loop {
            let Some(action) = self.member.as_mut().and_then(|member| member.poll(now)) else { return };
            match action {
                Action::Send { number, request } => self.send(number, request),
                Action::LookUp(topics) => {
                    self.led.clone_from(&topics);
                    self.look_ups += 1;
                    let coordinator = Arc::clone(&self.coordinator);
                    self.answers.spawn(async move { Brought::Looked(coordinator.look_up(&topics).await) });
                }
                Action::ForgetCoordinator => self.coordinator.forget(),
                Action::Assigned(partitions) => {
                    self.owned.extend(partitions.iter().cloned());
                    self.tell(Event::Assigned(partitions));
                }
                Action::Revoke { number, partitions } => {
                    self.revoking =
                        Some(Revoking { number, partitions: partitions.clone(), confirm_by: None });
                    self.tell(Event::Revoke { number, partitions });
                }
                Action::Lost(partitions) => self.lose(partitions),
                Action::Failed(failure) => self.on_failure(failure),
            }
        }
    }

    /// Confirms that the consumer has given something up, once its commits of that have been answered: whoever gets it
    /// next begins where they say.
    fn give_up(&mut self, now: Instant) {
        let Self { revoking, commits, .. } = self;
        let is_done = |revoking: &mut Revoking| {
            let is_kept = !revoking.partitions.iter().any(|partition| commits.holds(partition));
            revoking.confirm_by.is_some_and(|until| is_kept || until <= now)
        };
        let Some(Revoking { number, partitions, .. }) = revoking.take_if(is_done) else { return };
        self.owned.retain(|owned| !partitions.contains(owned));
        self.commits.drop_lost(&partitions);
        if let Some(member) = &mut self.member {
            member.on_revoked(number, now);
        }
    }

    fn on_failure(&mut self, failure: Failure) {
        let refused = [
            ErrorCode::UNSUPPORTED_VERSION,
            ErrorCode::GROUP_ID_NOT_FOUND,
            ErrorCode::INCONSISTENT_GROUP_PROTOCOL,
        ];
        if let Some(Member::Consumer(member)) = &self.member
            && self.may_fall_back
            && refused.contains(&failure.code)
        {
            tracing::debug!(code = %failure.code, "the group speaks the classic protocol");
            let topics = member.topics().clone();
            self.may_fall_back = false;
            self.member = Some(self.classic_member(topics));
            return;
        }
        let group = &self.membership.group;
        let shares = self.membership.share_member.is_some();
        let error = if shares && failure.code == ErrorCode::UNSUPPORTED_VERSION {
            Error::Refused {
                code: failure.code,
                doing: format!("being a member of share group '{group}'"),
                message: SWITCHED_OFF.to_owned(),
            }
        } else {
            Error::for_group(failure.code, "join", group, || match &failure.message {
                Some(message) => format!("being a member of group '{group}' ({message})"),
                None => format!("being a member of group '{group}'"),
            })
        };
        self.tell(Event::Failed(error));
    }

    fn send(&mut self, number: u64, request: Request) {
        let coordinator = Arc::clone(&self.coordinator);
        self.answers.spawn(async move { Brought::Answer(number, coordinator.ask(request).await) });
    }

    fn commit(&mut self, now: Instant) {
        let identity = self.member.as_ref().and_then(Member::identity);
        if let Some(offsets) = self.commits.next(identity.clone(), now) {
            let request = self.coordinator.commit_request(identity, offsets);
            let partitions: Vec<_> = offsets.keys().cloned().collect();
            let coordinator = Arc::clone(&self.coordinator);
            self.answers
                .spawn(async move { Brought::Committed(coordinator.commit(&request, partitions).await) });
        }
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Commit { offsets, losses, reply } => {
                // Who is not in the group, or lost it since, would overwrite what others have committed.
                let may = match &self.member {
                    Some(member) => {
                        let lost = |(partition, _): &(TopicPartition, CommittedOffset)| {
                            self.lost.get(partition).is_some_and(|&at| at > losses)
                        };
                        member.identity().is_some() && !offsets.iter().any(lost)
                    }
                    None => true,
                };
                if may {
                    self.commits.push(offsets, reply, Instant::now() + PATIENCE);
                } else if let Some(reply) = reply {
                    refuse(reply);
                }
            }
            Command::Revoked(number) => {
                if let Some(revoking) = self.revoking.as_mut().filter(|revoking| revoking.number == number) {
                    revoking.confirm_by = Some(Instant::now() + PATIENCE);
                }
            }
            Command::Subscribe(topics) => {
                if let Some(member) = &mut self.member {
                    member.subscribe(topics);
                }
            }
        }
    }

    fn on_brought(&mut self, brought: Brought) {
        let now = Instant::now();
        match brought {
            Brought::Answer(number, answer) => {
                let answer = match answer {
                    Ok(answer) => {
                        if std::mem::take(&mut self.unreachable) {
                            self.tell(Event::Reached);
                        }
                        answer
                    }
                    Err(error) if error.may_pass() => {
                        tracing::debug!(group = %self.membership.group, %error, "the coordinator did not answer");
                        self.unreachable = true;
                        self.tell(Event::Unreachable(error));
                        Answer::Nothing
                    }
                    Err(error) => return self.fail(error),
                };
                if let Some(member) = &mut self.member {
                    if matches!(&answer, Answer::Consumer(answer) if answer.code == ErrorCode::NONE) {
                        self.may_fall_back = false;
                    }
                    member.on_answer(number, answer, now);
                }
            }
            Brought::Committed(codes) => {
                let identity = self.member.as_ref().and_then(Member::identity);
                let by_hand = self.member.is_none();
                let owned = |partition: &TopicPartition| by_hand || self.owned.contains(partition);
                let codes = match codes {
                    Ok(codes) => Some(codes),
                    Err(error) => {
                        tracing::debug!(group = %self.membership.group, %error, "offsets were not committed yet");
                        None
                    }
                };
                let renewing = self.member.as_ref().is_some_and(Member::is_renewing);
                match self.commits.on_answer(codes, &identity, renewing, owned, now) {
                    Verdict::Nothing => {}
                    Verdict::ForgetCoordinator => self.coordinator.forget(),
                    Verdict::Fenced(code) => {
                        if let Some(member) = &mut self.member {
                            member.on_fenced(code);
                        }
                    }
                }
            }
            Brought::Looked(result) => {
                self.look_ups = self.look_ups.saturating_sub(1);
                if let Err(error) = result {
                    tracing::debug!(%error, "topics of the group could not be looked up");
                }
                // There may be a newer question.
                if self.look_ups == 0
                    && let Some(member) = &mut self.member
                {
                    member.on_counts(&self.coordinator.partition_counts(&self.led));
                }
            }
        }
    }

    fn tell(&self, event: Event) {
        // A consumer that was dropped wants to know nothing.
        let _ = self.events.send(event);
    }

    fn lose(&mut self, partitions: Vec<TopicPartition>) {
        self.losses += 1;
        self.revoking = None;
        for partition in &partitions {
            self.owned.remove(partition);
            self.lost.insert(partition.clone(), self.losses);
        }
        self.commits.drop_lost(&partitions);
        self.tell(Event::Lost(partitions));
    }

    fn fail(&mut self, error: Error) {
        let lost: Vec<_> = self.owned.iter().cloned().collect();
        if !lost.is_empty() {
            self.lose(lost);
        }
        self.tell(Event::Failed(error));
        if let Some(member) = &mut self.member {
            member.leave();
        }
    }
}

/// Whoever commits is not a member of the group, or no longer.
fn refuse(reply: Reply) {
    // Whoever asked may have gone.
    let _ = reply.send(Err(Some(ErrorCode::UNKNOWN_MEMBER_ID)));
}

/// How many partitions each topic has, of those that exist.
pub(crate) type Counts = BTreeMap<Arc<str>, i32>;
