//! What the coordinator's answers mean for a member of a classic group.

use std::collections::BTreeSet;

use kafka_protocol::messages::{JoinGroupResponse, SyncGroupResponse};
use tokio::time::Instant;

use super::{ClassicMember, Id, NO_GENERATION, Phase};
use crate::kafka::backoff::Backoff;
use crate::kafka::group::assignor::{Assignor, Candidate};
use crate::kafka::group::member::{Action, Answer, Failure};
use crate::kafka::group::subscription::{Subscription, decode_assignment};
use crate::kafka::topic_partition::TopicPartition;
use crate::wire::error_code::{ErrorCode, Reaction};

impl ClassicMember {
    pub(crate) fn on_answer(&mut self, number: u64, answer: Answer, now: Instant) {
        if number != self.number || !self.in_flight {
            return;
        }
        self.in_flight = false;
        match (answer, &self.phase) {
            (Answer::Nothing | Answer::Leave, Phase::Away { .. } | Phase::Leaving { .. }) => self.left(),
            (Answer::Nothing, _) => self.look_for_coordinator(now),
            (Answer::Join(response), Phase::Joining) => self.on_join(&response, now),
            (Answer::Sync(response), Phase::Syncing { .. }) => self.on_sync(&response, now),
            (Answer::Heartbeat(response), Phase::Stable | Phase::Revoking { .. }) => {
                self.on_code(ErrorCode(response.error_code), now);
            }
            // What was asked for is no longer wanted.
            _ => {}
        }
    }

    pub(crate) fn on_fenced(&mut self, code: ErrorCode) {
        match self.phase {
            Phase::Away { .. } | Phase::Leaving { .. } | Phase::Gone => {}
            // A commit that was answered says nothing of when the last heartbeat was heard.
            _ if code == ErrorCode::REBALANCE_IN_PROGRESS => self.rejoin(),
            _ => self.on_code(code, self.heard_at),
        }
    }

    fn on_join(&mut self, response: &JoinGroupResponse, now: Instant) {
        match ErrorCode(response.error_code) {
            ErrorCode::NONE => {}
            ErrorCode::MEMBER_ID_REQUIRED => {
                // Once is how it is meant to be.
                if !self.is_unknown() {
                    self.wait(now);
                }
                self.member_id = response.member_id.to_string();
                return;
            }
            ErrorCode::INCONSISTENT_GROUP_PROTOCOL => {
                return self.fail(ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
            }
            code => return self.on_code(code, now),
        }
        self.heard(now);
        self.at_rest_at = now;
        if *response.member_id != *self.member_id {
            self.id_is = Id::New;
        } else if self.id_is == Id::Doubtful {
            self.id_is = Id::WrittenDown;
        }
        self.member_id = response.member_id.to_string();
        self.generation = response.generation_id;
        let offered = response.protocol_name.as_ref().and_then(|name| Assignor::named(name));
        let Some(assignor) = offered.filter(|offered| self.membership.assignors.contains(offered)) else {
            return self.fail(ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
        };
        if *response.leader != *self.member_id {
            self.phase = Phase::Syncing { assignor, shares: Vec::new() };
            return;
        }
        let mut candidates: Vec<Candidate> = response
            .members
            .iter()
            .map(|member| Candidate {
                member_id: member.member_id.to_string(),
                instance_id: member.group_instance_id.as_ref().map(ToString::to_string),
                // Who cannot be understood gets nothing.
                subscription: Subscription::decode(&member.metadata).unwrap_or_default(),
            })
            .collect();
        let topics = candidates.iter().flat_map(|candidate| candidate.subscription.topics.iter().cloned());
        self.actions.push_back(Action::LookUp(topics.collect()));
        // A static leader that came back only has to watch the topics (KIP-814).
        if response.skip_assignment {
            candidates.clear();
        }
        self.phase = Phase::Leading { assignor, candidates };
    }

    fn on_sync(&mut self, response: &SyncGroupResponse, now: Instant) {
        match ErrorCode(response.error_code) {
            ErrorCode::NONE => {}
            // As when a heartbeat says so, but nothing was assigned. It may have waited for a leader that is dead by now,
            // for longer than its session lasts; since when that counts is not known.
            ErrorCode::REBALANCE_IN_PROGRESS => {
                self.not_before = None;
                self.phase = Phase::Joining;
                return;
            }
            code => return self.on_code(code, now),
        }
        let Some(share) = decode_assignment(&response.assignment) else {
            return self.fail(ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
        };
        self.heard(now);
        self.at_rest_at = now;
        self.id_is = Id::WrittenDown;
        let share: BTreeSet<TopicPartition> = share.into_iter().collect();
        (self.last_share, self.owned_since) = (share.clone(), self.generation);
        let gone: BTreeSet<_> = self.owned.difference(&share).cloned().collect();
        let new: Vec<_> = share.difference(&self.owned).cloned().collect();
        self.owned.extend(new.iter().cloned());
        self.phase = Phase::Stable;
        // Where something is to be given up, another assignment follows.
        let is_last = gone.is_empty();
        if !is_last {
            self.revoke(gone);
        }
        if is_last || !new.is_empty() {
            self.actions.push_back(Action::Assigned(new));
        }
        if self.outdated {
            self.rejoin();
        }
    }

    /// What any request of a member may be answered with.
    fn on_code(&mut self, code: ErrorCode, now: Instant) {
        match code {
            ErrorCode::NONE => {
                self.heard(self.sent_at);
                self.at_rest_at = self.sent_at;
            }
            ErrorCode::REBALANCE_IN_PROGRESS => {
                self.heard(self.sent_at);
                self.rejoin();
            }
            ErrorCode::FENCED_INSTANCE_ID if self.id_is != Id::Doubtful => self.fail(code),
            // Or the coordinator knows only whom this member has taken the place of: it does so once more.
            ErrorCode::UNKNOWN_MEMBER_ID | ErrorCode::FENCED_INSTANCE_ID => {
                self.forget_generation();
                self.lose();
                self.phase = Phase::Joining;
                self.wait(now);
            }
            ErrorCode::ILLEGAL_GENERATION => {
                self.generation = NO_GENERATION;
                self.lose();
                self.phase = Phase::Joining;
                self.wait(now);
            }
            code => match code.reaction() {
                Reaction::FindCoordinator => self.look_for_coordinator(now),
                Reaction::Retry => self.wait(now),
                _ => self.fail(code),
            },
        }
    }

    /// The coordinator began to count the session's time anew, at this time or later.
    fn heard(&mut self, at: Instant) {
        self.heard_at = at;
        self.failures = 0;
        self.not_before = None;
    }

    fn look_for_coordinator(&mut self, now: Instant) {
        if self.id_is == Id::New {
            self.id_is = Id::Doubtful;
        }
        self.actions.push_back(Action::ForgetCoordinator);
        self.wait(now);
    }

    fn wait(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        self.not_before = Some(now + Backoff::REQUEST.wait(self.failures, fastrand::f64()));
    }

    fn left(&mut self) {
        match &mut self.phase {
            Phase::Away { told } => {
                *told = true;
                self.forget_generation();
            }
            _ => self.phase = Phase::Gone,
        }
    }

    fn fail(&mut self, code: ErrorCode) {
        self.lose();
        self.phase = Phase::Gone;
        self.actions.push_back(Action::Failed(Failure { code, message: None }));
    }
}
