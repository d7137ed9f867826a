//! What both kinds of group membership have in common: what a member is told to do and what it hears of it.
//!
//! [`ClassicMember`] and [`ConsumerMember`] are state machines without I/O: answers, the user's doings and the time go
//! in, [`Action`]s come out. Requests are numbered: an answer to any but the last is of no interest any more. So are
//! revocations, which the user has to confirm.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::messages::{
    HeartbeatRequest, HeartbeatResponse, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest,
    SyncGroupRequest, SyncGroupResponse,
};
use tokio::time::Instant;

use super::assignor::Assignor;
use super::classic::ClassicMember;
use super::consumer::ConsumerMember;
use crate::kafka::topic_partition::TopicPartition;
use crate::wire::error_code::ErrorCode;

/// What a member was set up with; checked when its consumer is built.
#[derive(Debug, Clone)]
pub(crate) struct Membership {
    pub(crate) group: Arc<str>,
    /// The name of a static member (KIP-345).
    pub(crate) instance_id: Option<String>,
    /// Of a classic group, those this member offers, the most wanted first.
    pub(crate) assignors: Vec<Assignor>,
    /// Of a group under KIP-848, the broker's assignor; its own choice where there is none.
    pub(crate) server_assignor: Option<String>,
    pub(crate) rack: Option<String>,
    pub(crate) session_timeout: Duration,
    pub(crate) heartbeat_interval: Duration,
    /// Also how long a rebalance waits for this member.
    pub(crate) max_poll_interval: Duration,
    /// The id of a member of a share group (KIP-932), which names its sessions with brokers, too. Members of other
    /// groups get theirs as they join.
    pub(crate) share_member: Option<String>,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Action {
    /// Ask the coordinator, and say what came of it under this number.
    Send { number: u64, request: Request },
    /// Say how many partitions these topics have.
    LookUp(BTreeSet<Arc<str>>),
    /// The coordinator is another broker.
    ForgetCoordinator,
    /// These are ours from now on, beside what is; none where nothing is added to it.
    Assigned(Vec<TopicPartition>),
    /// These are to be given up; confirm when that is done.
    Revoke { number: u64, partitions: Vec<TopicPartition> },
    /// These are no longer ours, and may be somebody else's already.
    Lost(Vec<TopicPartition>),
    /// The membership has ended and cannot be renewed.
    Failed(Failure),
}

/// A request to the coordinator.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Request {
    Join(JoinGroupRequest),
    Sync(SyncGroupRequest),
    Heartbeat(HeartbeatRequest),
    Leave(LeaveGroupRequest),
    Consumer(ConsumerHeartbeat),
}

/// An answer of the coordinator.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Answer {
    Join(JoinGroupResponse),
    Sync(SyncGroupResponse),
    Heartbeat(HeartbeatResponse),
    Leave,
    Consumer(ConsumerHeartbeatAnswer),
    /// None came, or the coordinator could not be asked.
    Nothing,
}

/// A ConsumerGroupHeartbeat, or a ShareGroupHeartbeat, with topics by name; only the shell knows their ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConsumerHeartbeat {
    pub(crate) member_id: String,
    pub(crate) epoch: i32,
    /// Everything that does not change, with a full request.
    pub(crate) topics: Option<BTreeSet<Arc<str>>>,
    pub(crate) owned: Option<BTreeSet<TopicPartition>>,
    pub(crate) full: bool,
}

/// The answer to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConsumerHeartbeatAnswer {
    pub(crate) code: ErrorCode,
    pub(crate) message: Option<String>,
    pub(crate) member_id: Option<String>,
    pub(crate) epoch: i32,
    pub(crate) interval: Duration,
    pub(crate) assignment: Option<Assignment>,
}

/// What the broker wants a member to have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Assignment {
    pub(crate) partitions: BTreeSet<TopicPartition>,
    /// Whether there are more, of topics whose names are not known yet.
    pub(crate) unknown_topics: bool,
}

/// Why a membership ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) code: ErrorCode,
    /// The broker's words, if it had any.
    pub(crate) message: Option<String>,
}

/// A member of either kind.
#[derive(Debug)]
pub(crate) enum Member {
    Classic(ClassicMember),
    Consumer(ConsumerMember),
}

/// Passes a call on to whichever it is.
macro_rules! either {
    ($self:ident.$method:ident($($argument:expr),*)) => {
        match $self {
            Self::Classic(member) => member.$method($($argument),*),
            Self::Consumer(member) => member.$method($($argument),*),
        }
    };
}

impl Member {
    /// What to do next; `None` until something happens or [`wake_at`](Self::wake_at) has come.
    pub(crate) fn poll(&mut self, now: Instant) -> Option<Action> {
        either!(self.poll(now))
    }

    /// When there may be something to do though nothing has happened.
    pub(crate) fn wake_at(&self) -> Option<Instant> {
        either!(self.wake_at())
    }

    pub(crate) fn on_answer(&mut self, number: u64, answer: Answer, now: Instant) {
        either!(self.on_answer(number, answer, now));
    }

    /// The user has given up what was to be revoked under this number.
    pub(crate) fn on_revoked(&mut self, number: u64, now: Instant) {
        either!(self.on_revoked(number, now));
    }

    /// What was to be looked up, or has changed since.
    pub(crate) fn on_counts(&mut self, counts: &BTreeMap<Arc<str>, i32>) {
        match self {
            Self::Classic(member) => member.on_counts(counts),
            // The broker watches topics itself.
            Self::Consumer(_) => {}
        }
    }

    /// The topics to read have changed.
    pub(crate) fn subscribe(&mut self, topics: BTreeSet<Arc<str>>) {
        either!(self.subscribe(topics));
    }

    /// The coordinator refused a commit because this member is not what it takes itself for.
    pub(crate) fn on_fenced(&mut self, code: ErrorCode) {
        either!(self.on_fenced(code));
    }

    /// The user has not asked for records for too long: others are to have the partitions.
    pub(crate) fn on_poll_overdue(&mut self) {
        either!(self.on_poll_overdue());
    }

    /// The user asks for records.
    pub(crate) fn on_polled(&mut self) {
        either!(self.on_polled());
    }

    /// No more is to be read.
    pub(crate) fn leave(&mut self) {
        either!(self.leave());
    }

    /// Whether leaving is done.
    pub(crate) fn is_gone(&self) -> bool {
        either!(self.is_gone())
    }

    /// The member's id and generation or epoch, as a commit names them; `None` while it is not in the group.
    pub(crate) fn identity(&self) -> Option<(String, i32)> {
        either!(self.identity())
    }

    /// Whether the coordinator may have given the member another generation by now, and its answer be on its way.
    pub(crate) fn is_renewing(&self) -> bool {
        match self {
            Self::Classic(member) => member.is_renewing(),
            // Its commits are refused in other words for that.
            Self::Consumer(_) => false,
        }
    }

    /// Until when the coordinator is sure to hold this member's partitions for it.
    pub(crate) fn lease(&self) -> Option<Instant> {
        either!(self.lease())
    }
}
