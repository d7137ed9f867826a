//! What to set before reading.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use regex_lite::Regex;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Consumer;
use super::event::Stopper;
use super::in_group::{InGroup, Share};
use super::outage::Outage;
use super::policy::{OutOfRange, Policy, StartOffset};
use super::positions::Positions;
use super::requests::{FetchLimits, Isolation};
use super::subscription::Subscription;
use crate::kafka::cluster::{Cluster, OwnLane};
use crate::kafka::error::Error;
use crate::kafka::group::{Group, task};
use crate::kafka::settings::FOREVER;
use crate::kafka::topic_partition::TopicPartition;
use crate::wire::buffers::Buffers;

/// What batches are decompressed into waits to be used again, up to so many bytes.
const MOST_WAITING: usize = 8 * 1024 * 1024;

/// How to read; made by [`Client::consumer`](crate::kafka::Client::consumer).
///
/// # Defaults
///
/// Without a group, from [`StartOffset::Latest`] on, without end, retrying for ever while brokers cannot be reached;
/// records of transactions that are open or were aborted are not handed over. Brokers wait up to 500 ms for a record;
/// an answer has up to 4 MiB, 1 MiB of each partition, and all that is fetched ahead 16 MiB. In a group, what was
/// handed over is committed every 5 s once more is asked for, and when partitions go.
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until `build` is awaited"]
pub struct ConsumerBuilder {
    cluster: Arc<Cluster>,
    topics: Vec<Arc<str>>,
    pattern: Option<String>,
    assignment: Vec<TopicPartition>,
    group: Option<Group>,
    /// Whether a group shares the partitions of the topics.
    shared: bool,
    policy: Policy,
    limits: FetchLimits,
    prefetch_bytes: u64,
    auto_commit: Option<Duration>,
    auto_mark: bool,
    announce_ends: bool,
    skip_damaged: bool,
    give_up_after: Option<Duration>,
}

impl ConsumerBuilder {
    pub(in crate::kafka) fn new(cluster: Arc<Cluster>) -> Self {
        let replica_for = cluster.settings.metadata_max_age;
        Self {
            cluster,
            topics: Vec::new(),
            pattern: None,
            assignment: Vec::new(),
            group: None,
            shared: true,
            policy: Policy {
                start: StartOffset::default(),
                out_of_range: OutOfRange::default(),
                stop_at_end: false,
                replica_for,
            },
            limits: FetchLimits {
                max_wait: Duration::from_millis(500),
                min_bytes: 1,
                max_bytes: 4 * 1024 * 1024,
                max_partition_bytes: 1024 * 1024,
                isolation: Isolation::default(),
                rack: None,
            },
            prefetch_bytes: 16 * 1024 * 1024,
            auto_commit: Some(Duration::from_secs(5)),
            auto_mark: true,
            announce_ends: false,
            skip_damaged: false,
            give_up_after: None,
        }
    }

    /// The topics to read: in a group this member's share of their partitions, else all of them. Partitions that are
    /// added later are read from their beginning.
    pub fn topics<T: Into<Arc<str>>>(mut self, topics: impl IntoIterator<Item = T>) -> Self {
        self.topics.extend(topics.into_iter().map(Into::into));
        self
    }

    /// A pattern for topics to read, as a regular expression of the syntax of `regex-lite`, beside those named.
    /// Topics that come into being are found when metadata is renewed, and read from their beginning; Kafka's own are
    /// not among them.
    pub fn topics_matching(mut self, pattern: &str) -> Self {
        self.pattern = Some(pattern.to_owned());
        self
    }

    /// Partitions to read instead of whole topics. With a group, offsets are kept in its name, but nothing is shared.
    pub fn partitions(mut self, partitions: impl IntoIterator<Item = TopicPartition>) -> Self {
        self.assignment.extend(partitions);
        self
    }

    /// Topics to read all partitions of, also in a group: offsets are kept in its name, but nothing is shared.
    pub fn whole_topics<T: Into<Arc<str>>>(mut self, topics: impl IntoIterator<Item = T>) -> Self {
        self.shared = false;
        self.topics(topics)
    }

    /// The group to be a member of. It is joined when the first records are asked for.
    pub fn group(mut self, group: impl Into<Group>) -> Self {
        self.group = Some(group.into());
        self
    }

    /// Where to begin in each partition that is there now; in a group, in those without a committed offset. What comes
    /// into being later is read from its beginning.
    pub fn start_at(mut self, start: StartOffset) -> Self {
        self.policy.start = start;
        self
    }

    /// What to do when the next offset is no longer there.
    pub fn out_of_range(mut self, policy: OutOfRange) -> Self {
        self.policy.out_of_range = policy;
        self
    }

    /// Whether to stop where each partition ended when it was first looked at.
    pub fn stop_at_end(mut self, stop: bool) -> Self {
        self.policy.stop_at_end = stop;
        self
    }

    /// Whose records to hand over. Kafka's `isolation.level`.
    pub fn isolation(mut self, isolation: Isolation) -> Self {
        self.limits.isolation = isolation;
        self
    }

    /// How long a broker may wait for `min_bytes`. Kafka's `fetch.max.wait.ms`.
    pub fn max_wait(mut self, wait: Duration) -> Self {
        self.limits.max_wait = wait.min(FOREVER);
        self
    }

    /// How many bytes a broker should have before it answers, within `max_wait`. Kafka's `fetch.min.bytes`.
    pub fn min_bytes(mut self, bytes: u32) -> Self {
        self.limits.min_bytes = i32::try_from(bytes).unwrap_or(i32::MAX);
        self
    }

    /// How many bytes an answer may have. A larger batch comes whole all the same (KIP-74). Kafka's
    /// `fetch.max.bytes`.
    pub fn max_bytes(mut self, bytes: u32) -> Self {
        self.limits.max_bytes = i32::try_from(bytes).unwrap_or(i32::MAX);
        self
    }

    /// How many of them may be of one partition. Kafka's `max.partition.fetch.bytes`.
    pub fn max_partition_bytes(mut self, bytes: u32) -> Self {
        self.limits.max_partition_bytes = i32::try_from(bytes).unwrap_or(i32::MAX);
        self
    }

    /// How many bytes may be fetched ahead of the user, of all brokers together: with many brokers, each answer is
    /// made smaller.
    pub fn prefetch_bytes(mut self, bytes: u64) -> Self {
        self.prefetch_bytes = bytes;
        self
    }

    /// Where this client is, to read from the nearest replica (KIP-392), and for assignors that look at it. Kafka's
    /// `client.rack`.
    pub fn rack(mut self, rack: impl Into<String>) -> Self {
        self.limits.rack = Some(rack.into());
        self
    }

    /// In a group: how often to commit what is marked, beside when partitions go and when the consumer is closed. Where
    /// the group has read nothing yet and begins at the end or at a time, that is committed at once: whoever has the
    /// partition next misses nothing that has come since. `None` commits nothing by itself: then [`Consumer::commit`]
    /// is the user's to call. Kafka's `enable.auto.commit` and `auto.commit.interval.ms`.
    pub fn auto_commit(mut self, interval: Option<Duration>) -> Self {
        self.auto_commit = interval.map(|interval| interval.min(FOREVER));
        self
    }

    /// In a group: whether what was handed over is marked as dealt with when more is asked for. Without it,
    /// [`Consumer::mark`] is the user's to call. librdkafka's `enable.auto.offset.store`.
    pub fn auto_mark(mut self, mark: bool) -> Self {
        self.auto_mark = mark;
        self
    }

    /// Whether to say so when everything that was in a partition has been handed over:
    /// [`ConsumerEvent::EndOfPartition`](super::ConsumerEvent::EndOfPartition).
    pub fn announce_ends(mut self, announce: bool) -> Self {
        self.announce_ends = announce;
        self
    }

    /// Whether to pass over batches that cannot be read, with a warning, instead of failing with
    /// [`Error::Damaged`].
    pub fn skip_damaged(mut self, skip: bool) -> Self {
        self.skip_damaged = skip;
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
    /// Dropping the future leaves nothing behind.
    ///
    /// # Errors
    ///
    /// [`Error::Setting`] for what cannot work; [`Error::UnknownTopic`] and [`Error::NotAuthorized`] name the topic;
    /// others say why the cluster could not be asked.
    pub async fn build(self) -> Result<Consumer, Error> {
        let wrong = |setting, reason: String| Error::Setting { setting, reason };
        let pattern = self.pattern.as_deref().map(Regex::new).transpose();
        let pattern = pattern.map_err(|error| wrong("topics_matching", error.to_string()))?;
        let whole_topics = !self.topics.is_empty() || pattern.is_some();
        if whole_topics != self.assignment.is_empty() {
            return Err(wrong(
                "topics",
                "name topics, or a pattern, or partitions: one kind, and at least one".to_owned(),
            ));
        }
        let topics = self.topics.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
        let mut subscription = Subscription::new(topics, pattern, self.assignment);
        subscription.look_up(&self.cluster).await?;
        let group = match self.group {
            Some(group) => {
                let (membership, protocol) = group.into_parts(self.limits.rack.as_deref())?;
                let (name, session) = (Arc::clone(&membership.group), membership.session_timeout);
                let shares = whole_topics && self.shared;
                let topics = shares.then(|| subscription.topics().cloned().collect());
                let handle = task::spawn(&self.cluster, membership, protocol, topics);
                let share = if shares { Share::Unknown } else { Share::NotGiven };
                Some(InGroup::new(name, handle, self.auto_commit, self.auto_mark, share, session))
            }
            None => None,
        };
        let mut consumer = Consumer {
            lane: Arc::new(OwnLane::of_reader(Arc::clone(&self.cluster))),
            cluster: self.cluster,
            subscription,
            positions: Positions::new(self.policy),
            limits: self.limits,
            prefetch_bytes: self.prefetch_bytes,
            announce_ends: self.announce_ends,
            skip_damaged: self.skip_damaged,
            give_up_after: self.give_up_after,
            group,
            sessions: HashMap::new(),
            busy: HashSet::new(),
            answers: JoinSet::new(),
            refreshing: false,
            asked_for_ids: false,
            listed_at: Instant::now(),
            ready: VecDeque::new(),
            buffers: Buffers::new(MOST_WAITING),
            events: VecDeque::new(),
            handed: None,
            unpacked: None,
            stopper: Stopper::default(),
            outage: Outage::default(),
            leaderless: 0,
        };
        consumer.assign_all(self.policy.start);
        Ok(consumer)
    }
}
