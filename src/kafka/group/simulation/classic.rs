//! A coordinator of a classic group, as little of it as there is to get along with.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::{
    HeartbeatResponse, JoinGroupRequest, JoinGroupResponse, SyncGroupRequest, SyncGroupResponse,
};
use kafka_protocol::protocol::StrBytes;
use tokio::time::Instant;

use super::{Answers, Coordinator, DELAY, REBALANCE, SESSION};
use crate::kafka::group::member::{Answer, Request};
use crate::wire::error_code::ErrorCode;

#[derive(Default)]
pub(super) struct ClassicCoordinator {
    members: BTreeMap<String, Known>,
    generation: i32,
    phase: Phase,
    leader: String,
    protocol: String,
    /// How many ids were given out, and those that nobody has joined with.
    ids: u64,
    pending: BTreeSet<String>,
}

#[derive(Default, PartialEq)]
enum Phase {
    #[default]
    Empty,
    Preparing {
        until: Instant,
    },
    Completing,
    Stable,
}

struct Known {
    protocols: Vec<(String, Bytes)>,
    session: Instant,
    joins: Option<(usize, u64)>,
    syncs: Option<(usize, u64)>,
    share: Bytes,
}

impl Coordinator for ClassicCoordinator {
    fn on_request(
        &mut self,
        from: usize,
        number: u64,
        request: Request,
        now: Instant,
        answers: &mut Answers,
    ) {
        match request {
            Request::Join(request) => self.on_join(from, number, &request, now, answers),
            Request::Sync(request) => self.on_sync(from, number, &request, now, answers),
            Request::Heartbeat(request) => {
                let code = self.code(&request.member_id, request.generation_id);
                if let Some(known) = self.members.get_mut(&*request.member_id) {
                    known.session = now + SESSION + DELAY;
                }
                let code = match (code, &self.phase) {
                    (ErrorCode::NONE, Phase::Preparing { .. }) => ErrorCode::REBALANCE_IN_PROGRESS,
                    (code, _) => code,
                };
                let response = HeartbeatResponse::default().with_error_code(code.0);
                answers.push((from, number, Answer::Heartbeat(response)));
            }
            Request::Leave(request) => {
                if self.members.remove(&*request.member_id).is_some() {
                    self.rebalance(now, answers);
                }
                answers.push((from, number, Answer::Leave));
            }
            Request::Consumer(_) => unreachable!("members of classic groups do not send it"),
        }
    }

    fn tick(&mut self, now: Instant, answers: &mut Answers) {
        let before = self.members.len();
        self.members.retain(|_, known| known.joins.is_some() || known.syncs.is_some() || known.session > now);
        if let Phase::Preparing { until } = self.phase
            && until <= now
        {
            self.members.retain(|_, known| known.joins.is_some());
            self.complete(now, answers);
        } else if self.members.len() < before {
            self.rebalance(now, answers);
        }
    }

    // The members look after that themselves.
    fn grow(&mut self, _: i32) {}
}

impl ClassicCoordinator {
    fn code(&self, member_id: &str, generation: i32) -> ErrorCode {
        if !self.members.contains_key(member_id) {
            ErrorCode::UNKNOWN_MEMBER_ID
        } else if generation != self.generation {
            ErrorCode::ILLEGAL_GENERATION
        } else {
            ErrorCode::NONE
        }
    }

    fn on_join(
        &mut self,
        from: usize,
        number: u64,
        request: &JoinGroupRequest,
        now: Instant,
        answers: &mut Answers,
    ) {
        let refuse = |code: ErrorCode, id: String| {
            let response = JoinGroupResponse::default();
            let response = response.with_error_code(code.0).with_member_id(StrBytes::from_string(id));
            (from, number, Answer::Join(response))
        };
        let id = request.member_id.to_string();
        if id.is_empty() {
            self.ids += 1;
            let id = format!("member-{}", self.ids);
            self.pending.insert(id.clone());
            answers.push(refuse(ErrorCode::MEMBER_ID_REQUIRED, id));
            return;
        }
        // As Kafka does: whose session was over is unknown for good. So a member whose join is answered knows that
        // nobody was given what it owns.
        if !self.pending.remove(&id) && !self.members.contains_key(&id) {
            answers.push(refuse(ErrorCode::UNKNOWN_MEMBER_ID, id));
            return;
        }
        let protocols = request.protocols.iter();
        let protocols = protocols.map(|offer| (offer.name.to_string(), offer.metadata.clone())).collect();
        let (session, joins) = (now + SESSION + DELAY, Some((from, number)));
        self.members.insert(id, Known { protocols, session, joins, syncs: None, share: Bytes::new() });
        self.rebalance(now, answers);
    }

    fn on_sync(
        &mut self,
        from: usize,
        number: u64,
        request: &SyncGroupRequest,
        now: Instant,
        answers: &mut Answers,
    ) {
        let code = match (self.code(&request.member_id, request.generation_id), &self.phase) {
            (ErrorCode::NONE, Phase::Preparing { .. }) => ErrorCode::REBALANCE_IN_PROGRESS,
            (code, _) => code,
        };
        if code != ErrorCode::NONE {
            let response = SyncGroupResponse::default().with_error_code(code.0);
            answers.push((from, number, Answer::Sync(response)));
            return;
        }
        if let Some(known) = self.members.get_mut(&*request.member_id) {
            known.syncs = Some((from, number));
        }
        if self.phase == Phase::Completing && *request.member_id == *self.leader {
            for share in &request.assignments {
                if let Some(known) = self.members.get_mut(&*share.member_id) {
                    known.share = share.assignment.clone();
                }
            }
            self.phase = Phase::Stable;
        }
        if self.phase == Phase::Stable {
            for known in self.members.values_mut() {
                if let Some((to, number)) = known.syncs.take() {
                    known.session = now + SESSION + DELAY;
                    let response = SyncGroupResponse::default().with_assignment(known.share.clone());
                    answers.push((to, number, Answer::Sync(response)));
                }
            }
        }
    }

    fn rebalance(&mut self, now: Instant, answers: &mut Answers) {
        for known in self.members.values_mut() {
            if let Some((to, number)) = known.syncs.take() {
                known.session = now + SESSION + DELAY;
                let code = ErrorCode::REBALANCE_IN_PROGRESS.0;
                answers.push((to, number, Answer::Sync(SyncGroupResponse::default().with_error_code(code))));
            }
        }
        if !matches!(self.phase, Phase::Preparing { .. }) {
            self.phase = Phase::Preparing { until: now + REBALANCE + DELAY };
        }
        if self.members.values().all(|known| known.joins.is_some()) {
            self.complete(now, answers);
        }
    }

    fn complete(&mut self, now: Instant, answers: &mut Answers) {
        self.generation += 1;
        let Some(leader) = self.members.keys().next().cloned() else {
            self.phase = Phase::Empty;
            return;
        };
        self.phase = Phase::Completing;
        let offered = &self.members[&leader].protocols;
        let common = |name: &String| {
            self.members.values().all(|known| known.protocols.iter().any(|(own, _)| own == name))
        };
        self.protocol = offered.iter().map(|(name, _)| name).find(|name| common(name)).unwrap().clone();
        let metadata = |known: &Known| {
            known
                .protocols
                .iter()
                .find(|(name, _)| *name == self.protocol)
                .map(|(_, bytes)| bytes.clone())
                .unwrap()
        };
        let all: Vec<_> = self
            .members
            .iter()
            .map(|(id, known)| {
                JoinGroupResponseMember::default()
                    .with_member_id(StrBytes::from_string(id.clone()))
                    .with_metadata(metadata(known))
            })
            .collect();
        for (id, known) in &mut self.members {
            known.session = now + SESSION + DELAY;
            known.share = Bytes::new();
            let Some((to, number)) = known.joins.take() else { continue };
            let response = JoinGroupResponse::default()
                .with_generation_id(self.generation)
                .with_protocol_name(Some(StrBytes::from_string(self.protocol.clone())))
                .with_leader(StrBytes::from_string(leader.clone()))
                .with_member_id(StrBytes::from_string(id.clone()))
                .with_members(if *id == leader { all.clone() } else { Vec::new() });
            answers.push((to, number, Answer::Join(response)));
        }
        self.leader = leader;
    }
}
