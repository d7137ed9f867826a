//! Groups of consumers that share the partitions of their topics, and remember how far they have read.
//!
//! A [`Group`] says which group a [`Consumer`](super::Consumer) joins and how. `classic` and `consumer` are the two
//! kinds of membership as state machines, `assignor` is what the leader of a classic group works out, `subscription`
//! what its members tell each other, `commits` the order of commits; `task` runs them, and `coordinator` asks.

pub(super) mod activity;
mod assignor;
mod classic;
mod commits;
mod consumer;
mod coordinator;
mod member;
pub(super) mod offsets;
#[cfg(test)]
mod simulation;
pub(super) mod subscription;
pub(super) mod task;

use std::sync::Arc;
use std::time::Duration;

pub use self::assignor::Assignor;
pub use self::offsets::CommittedOffset;

pub(super) use self::member::Membership;

use super::error::Error;
use super::settings::FOREVER;

/// Who commits for a group: a member in its generation, or somebody outside of it. From
/// [`Consumer::group_metadata`](super::Consumer::group_metadata), for
/// [`Transaction::send_offsets`](super::Transaction::send_offsets).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupMetadata {
    pub(super) group: Arc<str>,
    /// The member's id and its generation or epoch.
    pub(super) member: Option<(String, i32)>,
    pub(super) instance_id: Option<String>,
}

impl GroupMetadata {
    /// A group without members, or whose members have nothing to say to this commit.
    pub fn of(group: impl Into<Arc<str>>) -> Self {
        Self { group: group.into(), member: None, instance_id: None }
    }
}

/// Which protocol the members of a group speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum GroupProtocol {
    /// KIP-848 where the coordinator offers it, and the group is not a classic one that cannot be converted; else the
    /// classic protocol.
    #[default]
    Automatic,
    /// One member shares out the partitions for all.
    Classic,
    /// The broker shares them out (KIP-848, Kafka 4.0).
    Consumer,
}

/// How to be a member of a group.
///
/// ```
/// use hop::kafka::{Assignor, Group};
/// use std::time::Duration;
/// let group = Group::new("my-group")
///     .instance_id("reader-1")
///     .assignors([Assignor::CooperativeSticky])
///     .session_timeout(Duration::from_secs(20));
/// ```
///
/// # Defaults
///
/// [`GroupProtocol::Automatic`]; a member without a lasting name; [`Assignor::Range`], then
/// [`Assignor::CooperativeSticky`], as the Java client has it; a session of 45 s, a heartbeat every 3 s, and at most
/// 5 min between two calls for records.
#[derive(Debug, Clone)]
#[must_use = "a group is joined by a consumer that is given it"]
pub struct Group {
    membership: Membership,
    protocol: GroupProtocol,
}

impl From<&str> for Group {
    fn from(name: &str) -> Self {
        Self::new(name)
    }
}

impl From<String> for Group {
    fn from(name: String) -> Self {
        Self::new(name)
    }
}

impl Group {
    /// The group of this name, Kafka's `group.id`.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self {
            membership: Membership {
                group: name.into(),
                instance_id: None,
                assignors: vec![Assignor::Range, Assignor::CooperativeSticky],
                server_assignor: None,
                rack: None,
                session_timeout: Duration::from_secs(45),
                heartbeat_interval: Duration::from_secs(3),
                max_poll_interval: Duration::from_secs(5 * 60),
                share_member: None,
            },
            protocol: GroupProtocol::default(),
        }
    }

    /// Which protocol to speak. Kafka's `group.protocol`.
    pub fn protocol(mut self, protocol: GroupProtocol) -> Self {
        self.protocol = protocol;
        self
    }

    /// A lasting name of this member (KIP-345): when it comes back within the session's time, it gets the partitions
    /// that it had, and the others notice nothing. Of two members of one name the older fails in a
    /// classic group, with [`FENCED_INSTANCE_ID`](crate::wire::error_code::ErrorCode::FENCED_INSTANCE_ID). Kafka's
    /// `group.instance.id`.
    pub fn instance_id(mut self, name: impl Into<String>) -> Self {
        self.membership.instance_id = Some(name.into());
        self
    }

    /// What a classic group may share out its partitions by, the most wanted first. The members must have one in
    /// common, and are cooperative where all that each names are. Kafka's `partition.assignment.strategy`.
    pub fn assignors(mut self, assignors: impl IntoIterator<Item = Assignor>) -> Self {
        self.membership.assignors = assignors.into_iter().collect();
        self
    }

    /// What a broker shares the partitions out by under KIP-848: `uniform` or `range`, or one of its own. Kafka's
    /// `group.remote.assignor`.
    pub fn server_assignor(mut self, name: impl Into<String>) -> Self {
        self.membership.server_assignor = Some(name.into());
        self
    }

    /// How long a classic coordinator waits for a sign of life before it gives this member's partitions to others.
    /// Under KIP-848 the broker decides. Kafka's `session.timeout.ms`.
    pub fn session_timeout(mut self, timeout: Duration) -> Self {
        self.membership.session_timeout = timeout.min(FOREVER);
        self
    }

    /// How often a classic member says that it lives: at most a third of the session. Kafka's
    /// `heartbeat.interval.ms`.
    pub fn heartbeat_interval(mut self, interval: Duration) -> Self {
        self.membership.heartbeat_interval = interval.min(FOREVER);
        self
    }

    /// For how long the user may be busy with the last records before the member leaves the group; it joins again
    /// when the next are asked for. Kafka's `max.poll.interval.ms`.
    pub fn max_poll_interval(mut self, interval: Duration) -> Self {
        self.membership.max_poll_interval = interval.min(FOREVER);
        self
    }

    /// The name.
    pub fn name(&self) -> &Arc<str> {
        &self.membership.group
    }

    /// Checks what was set.
    pub(super) fn into_parts(self, rack: Option<&str>) -> Result<(Membership, GroupProtocol), Error> {
        let Self { mut membership, protocol } = self;
        let wrong = |setting, reason: &str| Err(Error::Setting { setting, reason: reason.to_owned() });
        if membership.group.is_empty() {
            return wrong("group", "must have a name");
        }
        if membership.assignors.is_empty() {
            return wrong("assignors", "name at least one");
        }
        if membership.heartbeat_interval.is_zero() {
            return wrong("heartbeat_interval", "must be longer than nothing");
        }
        if membership.session_timeout < membership.heartbeat_interval * 2 {
            return wrong("session_timeout", "must be at least two heartbeat intervals");
        }
        if membership.max_poll_interval.is_zero() {
            return wrong("max_poll_interval", "must be longer than nothing");
        }
        membership.rack = rack.map(str::to_owned);
        Ok((membership, protocol))
    }
}
