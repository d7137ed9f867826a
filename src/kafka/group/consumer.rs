//! A member of a group under KIP-848: the broker assigns, and one heartbeat carries everything.
//!
//! The member says what it wants and what it has; the broker says what it should have. The difference is given up
//! first, then taken, and each is confirmed by the next heartbeat, so that the others are never made to wait for this
//! one. The I/O is [`super::task`]'s, which also turns topic ids into names.
//!
//! A member of a share group (KIP-932) does the same, but that it owns nothing: others may be given the same partitions,
//! nobody waits for it to give one up, and it does not say what it has.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::member::{
    Action, Answer, Assignment, ConsumerHeartbeat, ConsumerHeartbeatAnswer, Failure, Membership, Request,
};
use crate::kafka::backoff::Backoff;
use crate::kafka::topic_partition::TopicPartition;
use crate::wire::error_code::{ErrorCode, Reaction};

const JOIN: i32 = 0;
const LEAVE: i32 = -1;
/// The place of a static member is kept for it.
const LEAVE_FOR_NOW: i32 = -2;
/// Brokers do not say how long a session lasts; by default it is nine of their heartbeats.
const HEARTBEATS_A_SESSION: u32 = 9;

#[derive(Debug)]
pub(crate) struct ConsumerMember {
    membership: Arc<Membership>,
    topics: BTreeSet<Arc<str>>,
    member_id: String,
    epoch: i32,
    owned: BTreeSet<TopicPartition>,
    /// What the broker wants this member to have.
    target: BTreeSet<TopicPartition>,
    /// The broker was told what this member has, and may have given others what it was to have beside that.
    target_in_doubt: bool,
    /// What the user is giving up, under this number.
    revoking: Option<(u64, BTreeSet<TopicPartition>)>,
    revocations: u64,
    phase: Phase,
    /// What the next heartbeat has to say beside that this member is alive.
    tell_all: bool,
    tell_topics: bool,
    tell_owned: bool,
    number: u64,
    in_flight: bool,
    sent_at: Instant,
    heard_at: Instant,
    interval: Duration,
    failures: u32,
    not_before: Option<Instant>,
    actions: VecDeque<Action>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    In,
    /// The user is busy; the group goes on without this member until they come back.
    Away {
        told: bool,
    },
    Leaving {
        told: bool,
    },
    Gone,
}

impl ConsumerMember {
    pub(crate) fn new(
        membership: Arc<Membership>,
        member_id: String,
        topics: BTreeSet<Arc<str>>,
        now: Instant,
    ) -> Self {
        Self {
            interval: membership.heartbeat_interval,
            membership,
            topics,
            member_id,
            epoch: JOIN,
            owned: BTreeSet::new(),
            target: BTreeSet::new(),
            target_in_doubt: false,
            revoking: None,
            revocations: 0,
            phase: Phase::In,
            tell_all: true,
            tell_topics: false,
            tell_owned: false,
            number: 0,
            in_flight: false,
            sent_at: now,
            heard_at: now,
            failures: 0,
            not_before: None,
            actions: VecDeque::new(),
        }
    }

    pub(crate) fn poll(&mut self, now: Instant) -> Option<Action> {
        if self.lease().is_some_and(|until| now >= until) {
            self.in_flight = false;
            self.join_anew();
        }
        if let Some(action) = self.actions.pop_front() {
            return Some(action);
        }
        if self.in_flight || self.not_before.is_some_and(|at| at > now) || self.due_at()? > now {
            return None;
        }
        let heartbeat = self.heartbeat();
        self.target_in_doubt |= heartbeat.owned.as_ref().is_some_and(|owned| !self.target.is_subset(owned));
        (self.tell_all, self.tell_topics, self.tell_owned) = (false, false, false);
        self.number += 1;
        (self.in_flight, self.sent_at) = (true, now);
        Some(Action::Send { number: self.number, request: Request::Consumer(heartbeat) })
    }

    pub(crate) fn wake_at(&self) -> Option<Instant> {
        if !self.actions.is_empty() {
            return Some(self.heard_at);
        }
        let due = self.due_at().filter(|_| !self.in_flight);
        let due = due.map(|at| self.not_before.map_or(at, |not_before| not_before.max(at)));
        [due, self.lease()].into_iter().flatten().min()
    }

    pub(crate) fn on_answer(&mut self, number: u64, answer: Answer, now: Instant) {
        if number != self.number || !self.in_flight {
            return;
        }
        self.in_flight = false;
        match self.phase {
            Phase::In => match answer {
                Answer::Consumer(answer) => self.on_heartbeat(answer, now),
                _ => {
                    // The broker may have heard it or not.
                    self.tell_all = true;
                    self.actions.push_back(Action::ForgetCoordinator);
                    self.wait(now);
                }
            },
            Phase::Away { .. } => self.phase = Phase::Away { told: true },
            Phase::Leaving { .. } | Phase::Gone => self.phase = Phase::Gone,
        }
    }

    pub(crate) fn on_revoked(&mut self, number: u64, _now: Instant) {
        if let Some((_, partitions)) = self.revoking.take_if(|(expected, _)| *expected == number) {
            self.owned.retain(|owned| !partitions.contains(owned));
            self.tell_owned = true;
            self.reconcile();
        }
    }

    pub(crate) fn subscribe(&mut self, topics: BTreeSet<Arc<str>>) {
        if topics != self.topics {
            self.topics = topics;
            self.tell_topics = true;
        }
    }

    pub(crate) fn on_fenced(&mut self, code: ErrorCode) {
        match code {
            _ if self.phase != Phase::In => {}
            ErrorCode::UNKNOWN_MEMBER_ID | ErrorCode::FENCED_MEMBER_EPOCH => self.join_anew(),
            ErrorCode::FENCED_INSTANCE_ID => self.fail(code, None),
            // A heartbeat brings the newest epoch.
            _ => self.tell_all = true,
        }
    }

    pub(crate) fn on_poll_overdue(&mut self) {
        if self.phase == Phase::In {
            self.lose();
            let told = self.is_unknown();
            self.in_flight = false;
            self.phase = Phase::Away { told };
        }
    }

    pub(crate) fn on_polled(&mut self) {
        if matches!(self.phase, Phase::Away { .. }) {
            self.phase = Phase::In;
            // The answer to a goodbye is not one to what comes now.
            self.in_flight = false;
            self.join_anew();
        }
    }

    pub(crate) fn leave(&mut self) {
        if matches!(self.phase, Phase::Leaving { .. } | Phase::Gone) {
            return;
        }
        let told = self.is_unknown() || self.phase == Phase::Away { told: true };
        self.in_flight = false;
        self.owned.clear();
        self.phase = if told { Phase::Gone } else { Phase::Leaving { told: false } };
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.phase == Phase::Gone
    }

    pub(crate) fn identity(&self) -> Option<(String, i32)> {
        (self.epoch > 0).then(|| (self.member_id.clone(), self.epoch))
    }

    pub(crate) fn topics(&self) -> &BTreeSet<Arc<str>> {
        &self.topics
    }

    pub(crate) fn lease(&self) -> Option<Instant> {
        (!self.owned.is_empty()).then(|| self.heard_at + self.interval * HEARTBEATS_A_SESSION)
    }

    /// Whether the broker cannot know this member: it has not been asked.
    fn is_unknown(&self) -> bool {
        self.epoch == JOIN && !self.in_flight
    }

    fn due_at(&self) -> Option<Instant> {
        match self.phase {
            // Not while the user gives something up: the broker would count it as owned still, which it is.
            Phase::In if self.tell_all || self.tell_topics || self.tell_owned => Some(self.sent_at),
            Phase::In => Some(self.sent_at + self.interval),
            Phase::Away { told: false } | Phase::Leaving { told: false } => Some(self.sent_at),
            Phase::Away { told: true } | Phase::Leaving { told: true } | Phase::Gone => None,
        }
    }

    fn heartbeat(&mut self) -> ConsumerHeartbeat {
        let member_id = self.member_id.clone();
        let epoch = match &mut self.phase {
            Phase::Away { told } | Phase::Leaving { told } => {
                *told = true;
                let is_static = self.membership.instance_id.is_some();
                let epoch = if is_static { LEAVE_FOR_NOW } else { LEAVE };
                return ConsumerHeartbeat { member_id, epoch, topics: None, owned: None, full: false };
            }
            Phase::In | Phase::Gone => self.epoch,
        };
        let full = self.tell_all || epoch == JOIN;
        ConsumerHeartbeat {
            member_id,
            epoch,
            topics: (full || self.tell_topics).then(|| self.topics.clone()),
            owned: (full || self.tell_owned).then(|| self.owned.clone()),
            full,
        }
    }

    fn on_heartbeat(&mut self, answer: ConsumerHeartbeatAnswer, now: Instant) {
        match answer.code {
            ErrorCode::NONE => {}
            ErrorCode::UNKNOWN_MEMBER_ID | ErrorCode::FENCED_MEMBER_EPOCH => {
                self.join_anew();
                return self.wait(now);
            }
            // Its last life has not yet been given up for dead.
            ErrorCode::UNRELEASED_INSTANCE_ID => {
                self.tell_all = true;
                return self.wait(now);
            }
            code => match code.reaction() {
                Reaction::FindCoordinator => {
                    self.tell_all = true;
                    self.actions.push_back(Action::ForgetCoordinator);
                    return self.wait(now);
                }
                Reaction::Retry => {
                    self.tell_all = true;
                    return self.wait(now);
                }
                _ => return self.fail(code, answer.message),
            },
        }
        self.heard_at = self.sent_at;
        self.failures = 0;
        self.not_before = None;
        self.epoch = answer.epoch;
        if let Some(member_id) = answer.member_id.filter(|id| !id.is_empty()) {
            self.member_id = member_id;
        }
        // No busy loop, whatever a broker says.
        self.interval = answer.interval.max(Duration::from_millis(100));
        let was_in_doubt = std::mem::take(&mut self.target_in_doubt);
        if was_in_doubt && answer.assignment.is_none() {
            self.reconcile();
        }
        if let Some(Assignment { partitions, unknown_topics }) = answer.assignment {
            self.target = partitions;
            self.reconcile();
            if unknown_topics {
                // Who says everything is told everything again.
                self.tell_all = true;
                self.wait(now);
            }
        }
    }

    /// Gives up what is not to be had any more, then takes what is new.
    fn reconcile(&mut self) {
        if self.revoking.is_some() {
            return;
        }
        let gone: BTreeSet<_> = self.owned.difference(&self.target).cloned().collect();
        let shares = self.membership.share_member.is_some();
        if !gone.is_empty() && shares {
            self.owned.retain(|owned| !gone.contains(owned));
            self.actions.push_back(Action::Lost(gone.into_iter().collect()));
        } else if !gone.is_empty() {
            self.revocations += 1;
            let partitions = gone.iter().cloned().collect();
            self.actions.push_back(Action::Revoke { number: self.revocations, partitions });
            self.revoking = Some((self.revocations, gone));
            return;
        }
        if self.target_in_doubt {
            return;
        }
        let new: Vec<_> = self.target.difference(&self.owned).cloned().collect();
        if !new.is_empty() {
            self.owned.extend(new.iter().cloned());
            self.tell_owned = !shares;
        }
        self.actions.push_back(Action::Assigned(new));
    }

    fn join_anew(&mut self) {
        self.lose();
        self.epoch = JOIN;
        self.tell_all = true;
    }

    fn lose(&mut self) {
        self.target.clear();
        self.revoking = None;
        if !self.owned.is_empty() {
            let lost = std::mem::take(&mut self.owned);
            // What was not yet handed to the user is neither theirs nor lost.
            self.actions.retain(|action| !matches!(action, Action::Assigned(_) | Action::Revoke { .. }));
            self.actions.push_back(Action::Lost(lost.into_iter().collect()));
        }
    }

    fn wait(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        self.not_before = Some(now + Backoff::REQUEST.wait(self.failures, fastrand::f64()));
    }

    fn fail(&mut self, code: ErrorCode, message: Option<String>) {
        self.lose();
        self.phase = Phase::Gone;
        self.actions.push_back(Action::Failed(Failure { code, message }));
    }
}

#[cfg(test)]
mod tests;
