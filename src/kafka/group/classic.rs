//! A member of a classic group: joins, leads if it is told to, takes its share, says that it is alive, gives up what
//! it must.
//!
//! References: KIP-62 (time limits), KIP-345 (static members), KIP-394 (an id before joining), KIP-429 (cooperative
//! rebalancing). This file has what the time and the user do; `answers` has what the coordinator says, `requests` what it is
//! asked. The I/O is [`super::task`]'s.

mod answers;
mod requests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::protocol::StrBytes;
use tokio::time::Instant;

use super::assignor::{Assignor, Candidate};
use super::member::{Action, Membership, Request};
use super::subscription::encode_assignment;
use crate::kafka::topic_partition::TopicPartition;

const NO_GENERATION: i32 = -1;

#[derive(Debug)]
pub(crate) struct ClassicMember {
    membership: Arc<Membership>,
    topics: BTreeSet<Arc<str>>,
    /// Empty until the coordinator has given one.
    member_id: String,
    id_is: Id,
    generation: i32,
    /// What the user reads, from the last assignment on until it is given up.
    owned: BTreeSet<TopicPartition>,
    /// The last assignment, which a sticky leader is told of though it was given up, and its generation.
    last_share: BTreeSet<TopicPartition>,
    owned_since: i32,
    phase: Phase,
    /// The last request, and whether it is still to be answered.
    number: u64,
    in_flight: bool,
    sent_at: Instant,
    heartbeat_at: Instant,
    /// When the coordinator last began, or later, to count the time of this member's session.
    heard_at: Instant,
    /// When the group was last known to be at rest, or earlier: whoever does not join within the time for that, counted
    /// from when it is no longer, is thrown out, though its heartbeats are answered.
    at_rest_at: Instant,
    failures: u32,
    not_before: Option<Instant>,
    /// For a leader, the partitions that it shared out.
    led: Option<BTreeMap<Arc<str>, i32>>,
    /// What the last join said, or what was shared out after it, has changed since.
    outdated: bool,
    actions: VecDeque<Action>,
}

/// What the group's next coordinator knows of a member's id: one that takes over a static member's name is written down
/// with the next assignment only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Id {
    /// Nothing, should this one be lost.
    New,
    /// Nothing, if it is another by now: this one was lost since.
    Doubtful,
    /// As much as this one.
    WrittenDown,
}

#[derive(Debug)]
enum Phase {
    /// Wants to be in the group.
    Joining,
    /// Leads: waits to be told how many partitions there are.
    Leading {
        assignor: Assignor,
        candidates: Vec<Candidate>,
    },
    /// Waits for its share.
    Syncing {
        assignor: Assignor,
        shares: Vec<SyncGroupRequestAssignment>,
    },
    /// Reads.
    Stable,
    /// Waits for the user to give up these, then joins again.
    Revoking {
        number: u64,
        partitions: BTreeSet<TopicPartition>,
    },
    /// The user is busy; the group goes on without this member until they come back.
    Away {
        told: bool,
    },
    Leaving {
        told: bool,
    },
    Gone,
}

impl ClassicMember {
    pub(crate) fn new(membership: Arc<Membership>, topics: BTreeSet<Arc<str>>, now: Instant) -> Self {
        Self {
            membership,
            topics,
            member_id: String::new(),
            id_is: Id::New,
            generation: NO_GENERATION,
            owned: BTreeSet::new(),
            last_share: BTreeSet::new(),
            owned_since: NO_GENERATION,
            phase: Phase::Joining,
            number: 0,
            in_flight: false,
            sent_at: now,
            heartbeat_at: now,
            heard_at: now,
            at_rest_at: now,
            failures: 0,
            not_before: None,
            led: None,
            outdated: false,
            actions: VecDeque::new(),
        }
    }

    pub(crate) fn poll(&mut self, now: Instant) -> Option<Action> {
        if self.session_is_over(now) {
            // Others have the partitions by now. The id may still be known.
            self.generation = NO_GENERATION;
            self.in_flight = false;
            self.lose();
            self.phase = Phase::Joining;
        }
        if let Some(action) = self.actions.pop_front() {
            return Some(action);
        }
        if self.in_flight || self.not_before.is_some_and(|at| at > now) {
            return None;
        }
        let request = match &self.phase {
            Phase::Joining => Request::Join(self.join_request()),
            Phase::Syncing { assignor, shares } => {
                Request::Sync(self.sync_request(*assignor, shares.clone()))
            }
            Phase::Stable | Phase::Revoking { .. } if now >= self.heartbeat_at => {
                Request::Heartbeat(self.heartbeat_request())
            }
            Phase::Away { told: false } | Phase::Leaving { told: false } => {
                Request::Leave(self.leave_request())
            }
            _ => return None,
        };
        if matches!(request, Request::Join(_)) {
            (self.outdated, self.led) = (false, None);
        }
        self.number += 1;
        (self.in_flight, self.sent_at) = (true, now);
        self.heartbeat_at = now + self.membership.heartbeat_interval;
        Some(Action::Send { number: self.number, request })
    }

    pub(crate) fn wake_at(&self) -> Option<Instant> {
        if !self.actions.is_empty() {
            return Some(self.heard_at);
        }
        let heartbeat = match self.phase {
            Phase::Stable | Phase::Revoking { .. } => Some(self.heartbeat_at),
            Phase::Leading { .. } | Phase::Away { told: true } | Phase::Gone => None,
            _ => Some(self.sent_at),
        };
        let next = heartbeat.map(|at| self.not_before.map_or(at, |not_before| not_before.max(at)));
        [next.filter(|_| !self.in_flight), self.session_ends()].into_iter().flatten().min()
    }

    pub(crate) fn on_revoked(&mut self, number: u64, _now: Instant) {
        if let Phase::Revoking { number: expected, partitions } = &self.phase
            && *expected == number
        {
            self.owned.retain(|owned| !partitions.contains(owned));
            self.phase = Phase::Joining;
        }
    }

    pub(crate) fn on_counts(&mut self, counts: &BTreeMap<Arc<str>, i32>) {
        if let Phase::Leading { assignor, candidates } = &self.phase {
            let assignor = *assignor;
            let shares = assignor.assign(candidates, counts).into_iter().map(|(member, share)| {
                SyncGroupRequestAssignment::default()
                    .with_member_id(StrBytes::from_string(member))
                    .with_assignment(encode_assignment(&share).into())
            });
            let shares = shares.collect();
            self.led = Some(counts.clone());
            self.phase = Phase::Syncing { assignor, shares };
        } else if let Some(led) = &self.led
            && counts.iter().any(|(topic, count)| led.get(topic) != Some(count))
        {
            self.outdated = true;
            self.rejoin();
        }
    }

    pub(crate) fn subscribe(&mut self, topics: BTreeSet<Arc<str>>) {
        if topics != self.topics {
            self.topics = topics;
            self.outdated = true;
            self.rejoin();
        }
    }

    pub(crate) fn on_poll_overdue(&mut self) {
        if matches!(self.phase, Phase::Away { .. } | Phase::Leaving { .. } | Phase::Gone) {
            return;
        }
        self.lose();
        self.in_flight = false;
        // A static member keeps its place until its session ends.
        self.phase = Phase::Away { told: self.is_unknown() || self.membership.instance_id.is_some() };
    }

    pub(crate) fn on_polled(&mut self) {
        if let Phase::Away { told } = self.phase {
            self.generation = NO_GENERATION;
            // Who has not begun to say goodbye is still known, and would stand in the way of a new member.
            if told || self.in_flight {
                self.forget_generation();
            }
            self.in_flight = false;
            self.phase = Phase::Joining;
        }
    }

    pub(crate) fn leave(&mut self) {
        if matches!(self.phase, Phase::Leaving { .. } | Phase::Gone) {
            return;
        }
        self.in_flight = false;
        let told = matches!(self.phase, Phase::Away { told: true });
        self.owned.clear();
        self.phase = if told || self.is_unknown() || self.membership.instance_id.is_some() {
            Phase::Gone
        } else {
            Phase::Leaving { told: false }
        };
    }

    pub(crate) fn is_gone(&self) -> bool {
        matches!(self.phase, Phase::Gone)
    }

    pub(crate) fn identity(&self) -> Option<(String, i32)> {
        (self.generation != NO_GENERATION).then(|| (self.member_id.clone(), self.generation))
    }

    pub(crate) fn is_renewing(&self) -> bool {
        matches!(self.phase, Phase::Joining | Phase::Leading { .. } | Phase::Syncing { .. })
    }

    pub(crate) fn lease(&self) -> Option<Instant> {
        let holds = matches!(self.phase, Phase::Stable | Phase::Revoking { .. }) || !self.owned.is_empty();
        let session = self.heard_at + self.membership.session_timeout;
        let rebalance = self.at_rest_at + self.membership.max_poll_interval;
        holds.then(|| session.min(rebalance))
    }

    /// When others have the partitions. A member that waits for the others to join, or for the leader, is kept by the
    /// coordinator for as long as that takes, if its request has arrived: it waits, though it may not read meanwhile.
    /// So does one that is about to ask, of whom the coordinator has just known: the answer says what it is.
    fn session_ends(&self) -> Option<Instant> {
        let asks = self.in_flight || self.not_before.is_none();
        let waits = asks && matches!(self.phase, Phase::Joining | Phase::Syncing { .. });
        self.lease().filter(|_| !waits)
    }

    fn is_unknown(&self) -> bool {
        self.member_id.is_empty()
    }

    fn session_is_over(&self, now: Instant) -> bool {
        self.session_ends().is_some_and(|until| now >= until)
    }

    fn forget_generation(&mut self) {
        self.member_id.clear();
        self.generation = NO_GENERATION;
    }

    /// Joins again: a cooperative member with what it owns, another after it has given that up.
    fn rejoin(&mut self) {
        if !matches!(self.phase, Phase::Stable) {
            return;
        }
        if self.owned.is_empty() || self.membership.assignors.iter().all(|assignor| assignor.is_cooperative())
        {
            self.phase = Phase::Joining;
        } else {
            self.revoke(self.owned.clone());
        }
    }

    fn revoke(&mut self, partitions: BTreeSet<TopicPartition>) {
        self.number += 1;
        self.in_flight = false;
        let number = self.number;
        self.actions.push_back(Action::Revoke { number, partitions: partitions.iter().cloned().collect() });
        self.phase = Phase::Revoking { number, partitions };
    }

    fn lose(&mut self) {
        if !self.owned.is_empty() {
            let lost = std::mem::take(&mut self.owned);
            // What was not yet handed to the user is neither theirs nor lost.
            self.actions.retain(|action| !matches!(action, Action::Assigned(_) | Action::Revoke { .. }));
            self.actions.push_back(Action::Lost(lost.into_iter().collect()));
        }
    }
}

/// A duration as the protocol has it.
pub(super) fn millis(duration: std::time::Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests;
