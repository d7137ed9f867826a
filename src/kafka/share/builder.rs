//! What to set before sharing.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kafka_protocol::messages::ShareGroupHeartbeatRequest;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::ShareConsumer;
use super::requests::{Link, ShareLimits, named};
use super::sharing::Sharing;
use crate::kafka::cluster::Cluster;
use crate::kafka::consumer::Stopper;
use crate::kafka::error::Error;
use crate::kafka::group::{GroupProtocol, Membership, task};

/// How to share; made by [`Client::share_consumer`](crate::kafka::Client::share_consumer).
///
/// # Defaults
///
/// What was handed over is accepted once more is asked for. Brokers wait up to 500 ms for a record; an answer has up to
/// 500 records and 4 MiB; at most 5 min between two calls for records.
///
/// Where a group begins, how long records are locked, how often they are delivered at most and whose transactions count
/// is the group's business, not a member's: its settings `share.auto.offset.reset` (by default what comes from now on),
/// `share.record.lock.duration.ms`, `share.delivery.count.limit` and `share.isolation.level`, which
/// [`Admin::alter_configs`](crate::kafka::Admin::alter_configs) changes.
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until `build` is awaited"]
pub struct ShareConsumerBuilder {
    cluster: Arc<Cluster>,
    topics: BTreeSet<Arc<str>>,
    group: String,
    rack: Option<String>,
    max_poll_interval: Duration,
    limits: ShareLimits,
    explicit: bool,
    skip_damaged: bool,
}

impl ShareConsumerBuilder {
    pub(in crate::kafka) fn new(cluster: Arc<Cluster>) -> Self {
        Self {
            cluster,
            topics: BTreeSet::new(),
            group: String::new(),
            rack: None,
            max_poll_interval: Duration::from_secs(5 * 60),
            limits: ShareLimits {
                max_wait: Duration::from_millis(500),
                min_bytes: 1,
                max_bytes: 4 * 1024 * 1024,
                max_records: 500,
            },
            explicit: false,
            skip_damaged: false,
        }
    }

    /// The topics to share the records of.
    pub fn topics<T: Into<Arc<str>>>(mut self, topics: impl IntoIterator<Item = T>) -> Self {
        self.topics.extend(topics.into_iter().map(Into::into));
        self
    }

    /// The group to be a member of. Its name is not that of a group of another kind.
    pub fn group(mut self, name: impl Into<String>) -> Self {
        self.group = name.into();
        self
    }

    /// Whether every record is acknowledged by the user, with [`ShareConsumer::acknowledge`] or
    /// [`ShareConsumer::acknowledge_offsets`]. Without it, what was handed over and not acknowledged otherwise is
    /// accepted once more is asked for. Java's `share.acknowledgement.mode`.
    pub fn acknowledge_explicitly(mut self, explicit: bool) -> Self {
        self.explicit = explicit;
        self
    }

    /// Where this client is. Kafka's `client.rack`.
    pub fn rack(mut self, rack: impl Into<String>) -> Self {
        self.rack = Some(rack.into());
        self
    }

    /// For how long the user may be busy with the last records before the member leaves the group; it joins again when
    /// the next are asked for. Kafka's `max.poll.interval.ms`.
    pub fn max_poll_interval(mut self, interval: Duration) -> Self {
        self.max_poll_interval = interval;
        self
    }

    /// How long a broker may wait for `min_bytes`. An acknowledgement that is wanted at once waits for that long, too.
    /// Kafka's `fetch.max.wait.ms`.
    pub fn max_wait(mut self, wait: Duration) -> Self {
        self.limits.max_wait = wait;
        self
    }

    /// How many bytes a broker should have before it answers, within `max_wait`. Kafka's `fetch.min.bytes`.
    pub fn min_bytes(mut self, bytes: u32) -> Self {
        self.limits.min_bytes = i32::try_from(bytes).unwrap_or(i32::MAX);
        self
    }

    /// How many bytes an answer may have. A larger batch comes whole all the same (KIP-74). Kafka's `fetch.max.bytes`.
    pub fn max_bytes(mut self, bytes: u32) -> Self {
        self.limits.max_bytes = i32::try_from(bytes).unwrap_or(i32::MAX);
        self
    }

    /// How many records an answer may have, and so how many are locked while the first of them is dealt with. A broker
    /// rounds up to the end of a batch of the log. Kafka's `max.poll.records`.
    pub fn max_records(mut self, records: u32) -> Self {
        self.limits.max_records = i32::try_from(records).unwrap_or(i32::MAX);
        self
    }

    /// Whether to reject batches that cannot be read, with a warning, instead of failing with [`Error::Damaged`] and
    /// releasing them.
    pub fn skip_damaged(mut self, skip: bool) -> Self {
        self.skip_damaged = skip;
        self
    }

    /// Looks the topics up, and begins to join the group.
    ///
    /// Dropping the future leaves nothing behind.
    ///
    /// # Errors
    ///
    /// [`Error::TooOld`] where the cluster does not offer share groups; [`Error::Setting`] for what cannot work;
    /// [`Error::UnknownTopic`] and [`Error::NotAuthorized`] name the topic; others say why the cluster could not be
    /// asked. That share groups are switched off shows with the first call for records.
    pub async fn build(self) -> Result<ShareConsumer, Error> {
        let wrong = |setting, reason: &str| Err(Error::Setting { setting, reason: reason.to_owned() });
        if self.topics.is_empty() {
            return wrong("topics", "name at least one");
        }
        if self.group.is_empty() {
            return wrong("group", "must have a name");
        }
        if self.limits.max_records == 0 {
            return wrong("max_records", "must be at least 1");
        }
        if self.max_poll_interval.is_zero() {
            return wrong("max_poll_interval", "must be longer than nothing");
        }
        // The brokers of a cluster mostly are of one age; one that is older says so when it is asked.
        self.cluster.any_connection().await?.version::<ShareGroupHeartbeatRequest>().map_err(named)?;
        let topics: Vec<_> = self.topics.iter().cloned().collect();
        self.cluster.topics_known(&topics, false, "read").await?;

        let group: Arc<str> = Arc::from(self.group.as_str());
        // As the Java client writes it: some brokers read it as an identifier.
        let id = Uuid::from_u64_pair(fastrand::u64(..), fastrand::u64(..));
        let member_id = URL_SAFE_NO_PAD.encode(id);
        let membership = Membership {
            group: Arc::clone(&group),
            instance_id: None,
            assignors: Vec::new(),
            server_assignor: None,
            rack: self.rack,
            // The broker decides on both.
            session_timeout: Duration::from_secs(45),
            heartbeat_interval: Duration::from_secs(5),
            max_poll_interval: self.max_poll_interval,
            share_member: Some(member_id.clone()),
        };
        let member = task::spawn(&self.cluster, membership, GroupProtocol::Consumer, Some(self.topics));
        Ok(ShareConsumer {
            topics,
            explicit: self.explicit,
            sharing: Sharing::new(self.group, self.skip_damaged),
            link: Arc::new(Link::new(self.cluster, group, member_id, self.limits)),
            member,
            failed: None,
            answers: JoinSet::new(),
            refreshing: false,
            refreshes: 0,
            interruptions: 0,
            errors: VecDeque::new(),
            handed: None,
            unpacked: None,
            stopper: Stopper::default(),
        })
    }
}
