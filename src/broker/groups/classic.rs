//! A group whose members share out the partitions themselves: the classic protocol, with static members (KIP-345).
//!
//! Members join; when all have, one of them is told of all the others, assigns, and hands the assignments in with its
//! SyncGroup, which the answers to the others' wait for. No I/O and no clock: time is passed in, and what is to be
//! answered later is answered through the channel that came with the request.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use indexmap::IndexMap;
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::{JoinGroupResponse, SyncGroupResponse};
use kafka_protocol::protocol::StrBytes;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::wire::error_code::ErrorCode;

/// Members of one group, with those that have an id and have not joined yet.
const MOST_MEMBERS: usize = 1000;

/// Where the answer to a JoinGroup goes.
pub(in crate::broker) type JoinReply = oneshot::Sender<JoinGroupResponse>;
/// Where the answer to a SyncGroup goes.
pub(in crate::broker) type SyncReply = oneshot::Sender<SyncGroupResponse>;

/// The state of a group, in Kafka's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::broker) enum State {
    Empty,
    PreparingRebalance,
    CompletingRebalance,
    Stable,
}

impl State {
    pub(in crate::broker) fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Stable => "Stable",
        }
    }
}

/// Who wants to join, and as what.
#[derive(Debug, Clone)]
pub(in crate::broker) struct Candidate {
    /// Empty for one that has none yet.
    pub(in crate::broker) member_id: String,
    pub(in crate::broker) instance: Option<String>,
    pub(in crate::broker) client_id: String,
    pub(in crate::broker) client_host: String,
    pub(in crate::broker) session_timeout: Duration,
    pub(in crate::broker) rebalance_timeout: Duration,
    pub(in crate::broker) protocol_type: String,
    /// The assignment strategies that it offers, the preferred first, with what each wants to know of it.
    pub(in crate::broker) protocols: Vec<(String, Bytes)>,
    /// Whether it is to come back with the id that it is given (KIP-394).
    pub(in crate::broker) id_first: bool,
    /// Whether it knows that a leader need not always assign (KIP-814).
    pub(in crate::broker) may_skip: bool,
}

#[derive(Debug)]
pub(in crate::broker) struct Member {
    pub(in crate::broker) candidate: Candidate,
    pub(in crate::broker) assignment: Bytes,
    join: Option<JoinReply>,
    sync: Option<SyncReply>,
    synced: bool,
    deadline: Instant,
}

#[derive(Debug)]
pub(in crate::broker) struct Classic {
    pub(in crate::broker) state: State,
    pub(in crate::broker) generation: i32,
    pub(in crate::broker) protocol_type: String,
    pub(in crate::broker) protocol: String,
    pub(in crate::broker) members: IndexMap<String, Member>,
    leader: Option<String>,
    /// Ids that were given to members that have not come back yet.
    pending: HashMap<String, Instant>,
    instances: HashMap<String, String>,
    /// When joining, or handing in assignments, is over.
    deadline: Option<Instant>,
    /// Whether the first members are being awaited.
    gathering: bool,
}

impl Classic {
    /// A group without members, as it was left.
    pub(in crate::broker) fn new(generation: i32, protocol_type: String) -> Self {
        Self {
            state: State::Empty,
            generation,
            protocol_type,
            protocol: String::new(),
            members: IndexMap::new(),
            leader: None,
            pending: HashMap::new(),
            instances: HashMap::new(),
            deadline: None,
            gathering: false,
        }
    }

    /// About how much memory members and their ids take.
    pub(in crate::broker) fn held_bytes(&self) -> usize {
        let pending = self.pending.keys().map(String::len).fold(0, usize::saturating_add);
        self.members.values().map(Member::held_bytes).fold(pending, usize::saturating_add)
    }

    // ---- Joining --------------------------------------------------------------------------------------------------

    /// Takes a JoinGroup. `delay` is how long others are awaited before a group begins.
    pub(in crate::broker) fn join(
        &mut self,
        candidate: Candidate,
        delay: Duration,
        now: Instant,
        reply: JoinReply,
    ) {
        match self.admit(&candidate) {
            Ok(Admission::New(id)) => {
                self.add(Candidate { member_id: id, ..candidate }, now, reply);
                self.rebalance(delay, now);
            }
            Ok(Admission::IdFirst(id)) => {
                self.pending.insert(id.clone(), now + candidate.session_timeout);
                answer_join(reply, &id, ErrorCode::MEMBER_ID_REQUIRED);
            }
            Ok(Admission::Replaces(old)) => self.replace(&old, candidate, delay, now, reply),
            Ok(Admission::Known) => self.rejoin(candidate, delay, now, reply),
            Err(code) => answer_join(reply, &candidate.member_id, code),
        }
    }

    fn admit(&self, candidate: &Candidate) -> Result<Admission, ErrorCode> {
        if !self.has_strategy_in_common(candidate) {
            return Err(ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
        }
        let id = candidate.member_id.as_str();
        let holder = candidate.instance.as_ref().and_then(|instance| self.instances.get(instance));
        if id.is_empty() {
            if let Some(holder) = holder {
                return Ok(Admission::Replaces(holder.clone()));
            }
            if self.members.len().saturating_add(self.pending.len()) >= MOST_MEMBERS {
                return Err(ErrorCode::GROUP_MAX_SIZE_REACHED);
            }
            let name = candidate.instance.as_deref().unwrap_or(&candidate.client_id);
            let id = format!("{name}-{}", uuid::Uuid::new_v4());
            return Ok(if candidate.id_first && candidate.instance.is_none() {
                Admission::IdFirst(id)
            } else {
                Admission::New(id)
            });
        }
        if candidate.instance.is_none() && self.pending.contains_key(id) {
            return Ok(Admission::New(id.to_owned()));
        }
        if holder.is_some_and(|holder| holder != id) {
            return Err(ErrorCode::FENCED_INSTANCE_ID);
        }
        if !self.members.contains_key(id) || (candidate.instance.is_some() && holder.is_none()) {
            return Err(ErrorCode::UNKNOWN_MEMBER_ID);
        }
        Ok(Admission::Known)
    }

    fn has_strategy_in_common(&self, candidate: &Candidate) -> bool {
        if candidate.protocol_type.is_empty() || candidate.protocols.is_empty() {
            return false;
        }
        let others = self.members.values().filter(|member| {
            let other = &member.candidate;
            other.member_id != candidate.member_id
                && (other.instance.is_none() || other.instance != candidate.instance)
        });
        let others: Vec<_> = others.collect();
        others.is_empty()
            || candidate.protocol_type == self.protocol_type
                && candidate.protocols.iter().any(|(name, _)| others.iter().all(|other| other.offers(name)))
    }

    fn add(&mut self, candidate: Candidate, now: Instant, reply: JoinReply) {
        self.pending.remove(&candidate.member_id);
        if self.members.is_empty() {
            self.protocol_type.clone_from(&candidate.protocol_type);
        }
        if let Some(instance) = &candidate.instance {
            self.instances.insert(instance.clone(), candidate.member_id.clone());
        }
        let member = Member {
            assignment: Bytes::new(),
            join: Some(reply),
            sync: None,
            synced: false,
            deadline: now + candidate.session_timeout,
            candidate,
        };
        self.members.insert(member.candidate.member_id.clone(), member);
    }

    fn rejoin(&mut self, candidate: Candidate, delay: Duration, now: Instant, reply: JoinReply) {
        let id = candidate.member_id.clone();
        let leads = self.leader.as_deref() == Some(&id);
        let Some(member) = self.members.get_mut(&id) else {
            return answer_join(reply, &id, ErrorCode::UNKNOWN_MEMBER_ID);
        };
        let changed = member.candidate.protocols != candidate.protocols;
        let settled = match self.state {
            State::Empty | State::PreparingRebalance => false,
            // The answer to its last request was lost.
            State::CompletingRebalance => !changed,
            State::Stable => !changed && !leads,
        };
        member.candidate = candidate;
        member.deadline = now + member.candidate.session_timeout;
        if settled {
            let _ = reply.send(self.joined(&id, false));
            return;
        }
        member.join = Some(reply);
        self.rebalance(delay, now);
    }

    /// A static member that was started again takes the place of the one before it.
    fn replace(&mut self, old: &str, candidate: Candidate, delay: Duration, now: Instant, reply: JoinReply) {
        let Some((at, _, mut member)) = self.members.shift_remove_full(old) else {
            return answer_join(reply, "", ErrorCode::UNKNOWN_MEMBER_ID);
        };
        if let Some(join) = member.join.take() {
            answer_join(join, old, ErrorCode::FENCED_INSTANCE_ID);
        }
        if let Some(sync) = member.sync.take() {
            answer_sync(sync, ErrorCode::FENCED_INSTANCE_ID);
        }
        let name = candidate.instance.clone().unwrap_or_default();
        let id = format!("{name}-{}", uuid::Uuid::new_v4());
        let may_skip = candidate.may_skip;
        member.candidate = Candidate { member_id: id.clone(), ..candidate };
        member.deadline = now + member.candidate.session_timeout;
        self.members.shift_insert(at, id.clone(), member);
        self.instances.insert(name, id.clone());
        let led = self.leader.as_deref() == Some(old);
        if led {
            self.leader = Some(id.clone());
        }
        if self.state == State::Stable && self.choose_protocol().as_deref() == Some(&self.protocol) {
            let mut joined = self.joined(&id, may_skip);
            if led && !may_skip {
                // One that would assign anew is not told that it leads.
                joined = joined.with_leader(StrBytes::from_string(old.to_owned())).with_members(Vec::new());
            }
            let _ = reply.send(joined);
            return;
        }
        if let Some(member) = self.members.get_mut(&id) {
            member.join = Some(reply);
        }
        self.rebalance(delay, now);
    }

    /// Has everybody join anew, and goes on if all have.
    fn rebalance(&mut self, delay: Duration, now: Instant) {
        self.prepare_rebalance(delay, now);
        self.complete_join(now);
    }

    fn prepare_rebalance(&mut self, delay: Duration, now: Instant) {
        match self.state {
            State::PreparingRebalance => return,
            State::Empty => {
                self.gathering = true;
                self.deadline = Some(now + delay);
            }
            State::CompletingRebalance | State::Stable => {
                for member in self.members.values_mut() {
                    member.assignment = Bytes::new();
                    if let Some(sync) = member.sync.take() {
                        answer_sync(sync, ErrorCode::REBALANCE_IN_PROGRESS);
                    }
                }
                self.gathering = false;
                self.deadline = Some(now + self.rebalance_timeout());
            }
        }
        self.state = State::PreparingRebalance;
    }

    fn rebalance_timeout(&self) -> Duration {
        self.members.values().map(|member| member.candidate.rebalance_timeout).max().unwrap_or_default()
    }

    /// Begins the next generation, once all have joined or their time is up.
    fn complete_join(&mut self, now: Instant) {
        if self.state != State::PreparingRebalance {
            return;
        }
        let over = self.deadline.is_none_or(|deadline| deadline <= now);
        let all_joined = self.pending.is_empty() && self.members.values().all(|member| member.join.is_some());
        if !over && (self.gathering || !all_joined) {
            return;
        }
        // Static members keep their place until their session ends.
        self.members.retain(|_, member| member.join.is_some() || member.candidate.instance.is_some());
        self.gathering = false;
        self.deadline = None;
        self.generation = self.generation.checked_add(1).unwrap_or(1);
        if self
            .leader
            .as_ref()
            .is_none_or(|leader| self.members.get(leader).is_none_or(|member| member.join.is_none()))
        {
            let first = self.members.values().find(|member| member.join.is_some());
            self.leader = first
                .or_else(|| self.members.values().next())
                .map(|member| member.candidate.member_id.clone());
        }
        let Some(protocol) = self.choose_protocol() else {
            self.state = State::Empty;
            self.protocol.clear();
            return;
        };
        self.protocol = protocol;
        self.state = State::CompletingRebalance;
        self.deadline = Some(now + self.rebalance_timeout());
        let ids: Vec<_> = self.members.keys().cloned().collect();
        for id in ids {
            let joined = self.joined(&id, false);
            if let Some(member) = self.members.get_mut(&id) {
                member.synced = false;
                if let Some(reply) = member.join.take() {
                    member.deadline = now + member.candidate.session_timeout;
                    let _ = reply.send(joined);
                }
            }
        }
    }

    /// The strategy that all offer and most prefer.
    fn choose_protocol(&self) -> Option<String> {
        let mut votes: IndexMap<&str, usize> = IndexMap::new();
        let first = self.members.values().next()?;
        for (name, _) in &first.candidate.protocols {
            if self.members.values().all(|member| member.offers(name)) {
                votes.insert(name, 0);
            }
        }
        for member in self.members.values() {
            let preferred =
                member.candidate.protocols.iter().find_map(|(name, _)| votes.get_full(name.as_str()));
            if let Some((at, _, _)) = preferred
                && let Some((_, count)) = votes.get_index_mut(at)
            {
                *count = count.saturating_add(1);
            }
        }
        let most = votes.values().copied().max()?;
        votes.iter().find(|(_, count)| **count == most).map(|(name, _)| (*name).to_owned())
    }

    /// What a member is told of the generation.
    fn joined(&self, id: &str, skip_assignment: bool) -> JoinGroupResponse {
        let leader = self.leader.clone().unwrap_or_default();
        let members = if leader == id {
            let members = self.members.iter();
            members
                .map(|(id, member)| {
                    JoinGroupResponseMember::default()
                        .with_member_id(StrBytes::from_string(id.clone()))
                        .with_group_instance_id(member.candidate.instance.clone().map(StrBytes::from_string))
                        .with_metadata(member.metadata(&self.protocol))
                })
                .collect()
        } else {
            Vec::new()
        };
        JoinGroupResponse::default()
            .with_generation_id(self.generation)
            .with_protocol_type(Some(StrBytes::from_string(self.protocol_type.clone())))
            .with_protocol_name(Some(StrBytes::from_string(self.protocol.clone())))
            .with_skip_assignment(skip_assignment && leader == id)
            .with_leader(StrBytes::from_string(leader))
            .with_member_id(StrBytes::from_string(id.to_owned()))
            .with_members(members)
    }

    // ---- Assigning ------------------------------------------------------------------------------------------------

    /// Takes a SyncGroup; the leader's brings the assignments.
    pub(in crate::broker) fn sync(
        &mut self,
        claim: &Claim<'_>,
        protocol: (Option<&str>, Option<&str>),
        assignments: HashMap<String, Bytes>,
        now: Instant,
        reply: SyncReply,
    ) {
        if let Err(code) = self.check(claim) {
            return answer_sync(reply, code);
        }
        let (kind, name) = protocol;
        if kind.is_some_and(|kind| kind != self.protocol_type)
            || name.is_some_and(|name| name != self.protocol)
        {
            return answer_sync(reply, ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
        }
        match self.state {
            State::Empty => return answer_sync(reply, ErrorCode::UNKNOWN_MEMBER_ID),
            State::PreparingRebalance => return answer_sync(reply, ErrorCode::REBALANCE_IN_PROGRESS),
            State::CompletingRebalance | State::Stable => {}
        }
        if let Some(member) = self.members.get_mut(claim.member_id) {
            member.sync = Some(reply);
            member.synced = true;
            member.deadline = now + member.candidate.session_timeout;
        }
        if self.state == State::CompletingRebalance {
            if self.leader.as_deref() != Some(claim.member_id) {
                return;
            }
            for (id, assignment) in assignments {
                if let Some(member) = self.members.get_mut(&id) {
                    member.assignment = assignment;
                }
            }
            self.state = State::Stable;
        }
        for member in self.members.values_mut() {
            if let Some(reply) = member.sync.take() {
                member.deadline = now + member.candidate.session_timeout;
                let _ = reply.send(
                    SyncGroupResponse::default()
                        .with_protocol_type(Some(StrBytes::from_string(self.protocol_type.clone())))
                        .with_protocol_name(Some(StrBytes::from_string(self.protocol.clone())))
                        .with_assignment(member.assignment.clone()),
                );
            }
        }
    }

    // ---- Being there ----------------------------------------------------------------------------------------------

    /// Whether a member of this generation speaks.
    pub(in crate::broker) fn check(&self, claim: &Claim<'_>) -> Result<(), ErrorCode> {
        if let Some(instance) = claim.instance
            && let Some(holder) = self.instances.get(instance)
            && holder != claim.member_id
        {
            return Err(ErrorCode::FENCED_INSTANCE_ID);
        }
        let known = self.members.contains_key(claim.member_id);
        if !known || claim.instance.is_some_and(|instance| !self.instances.contains_key(instance)) {
            return Err(ErrorCode::UNKNOWN_MEMBER_ID);
        }
        if claim.generation == self.generation { Ok(()) } else { Err(ErrorCode::ILLEGAL_GENERATION) }
    }

    /// Takes a Heartbeat.
    pub(in crate::broker) fn heartbeat(&mut self, claim: &Claim<'_>, now: Instant) -> Result<(), ErrorCode> {
        self.check(claim)?;
        if let Some(member) = self.members.get_mut(claim.member_id) {
            member.deadline = now + member.candidate.session_timeout;
        }
        match self.state {
            State::Empty => Err(ErrorCode::UNKNOWN_MEMBER_ID),
            State::PreparingRebalance => Err(ErrorCode::REBALANCE_IN_PROGRESS),
            State::CompletingRebalance | State::Stable => Ok(()),
        }
    }

    /// Whether offsets may be committed; a generation below 0 is that of a client without membership.
    pub(in crate::broker) fn check_commit(
        &mut self,
        claim: &Claim<'_>,
        now: Instant,
    ) -> Result<(), ErrorCode> {
        if claim.generation < 0 && claim.member_id.is_empty() && claim.instance.is_none() {
            return if self.state == State::Empty { Ok(()) } else { Err(ErrorCode::UNKNOWN_MEMBER_ID) };
        }
        self.check(claim)?;
        if self.state == State::CompletingRebalance {
            return Err(ErrorCode::REBALANCE_IN_PROGRESS);
        }
        if let Some(member) = self.members.get_mut(claim.member_id) {
            member.deadline = now + member.candidate.session_timeout;
        }
        Ok(())
    }

    /// Takes a LeaveGroup of one member, named by its id, its instance or both.
    pub(in crate::broker) fn leave(
        &mut self,
        id: &str,
        instance: Option<&str>,
        now: Instant,
    ) -> Result<(), ErrorCode> {
        let id = match instance {
            Some(instance) => {
                let holder = self.instances.get(instance).ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?;
                if !id.is_empty() && holder != id {
                    return Err(ErrorCode::FENCED_INSTANCE_ID);
                }
                holder.clone()
            }
            None => id.to_owned(),
        };
        if self.pending.remove(&id).is_some() {
            self.complete_join(now);
            return Ok(());
        }
        self.remove(&id, now).ok_or(ErrorCode::UNKNOWN_MEMBER_ID)
    }

    fn remove(&mut self, id: &str, now: Instant) -> Option<()> {
        let member = self.members.shift_remove(id)?;
        if let Some(instance) = &member.candidate.instance {
            self.instances.remove(instance);
        }
        if let Some(join) = member.join {
            answer_join(join, id, ErrorCode::UNKNOWN_MEMBER_ID);
        }
        if let Some(sync) = member.sync {
            answer_sync(sync, ErrorCode::UNKNOWN_MEMBER_ID);
        }
        if matches!(self.state, State::CompletingRebalance | State::Stable) {
            self.prepare_rebalance(Duration::ZERO, now);
        }
        self.complete_join(now);
        Some(())
    }

    /// Does what is due, and says when to come back.
    pub(in crate::broker) fn tick(&mut self, now: Instant) -> Option<Instant> {
        self.pending.retain(|_, deadline| *deadline > now);
        let late = |member: &&Member| {
            // One that waits for an answer of ours is there.
            member.join.is_none() && member.sync.is_none() && member.deadline <= now
        };
        let gone: Vec<_> =
            self.members.values().filter(late).map(|member| member.candidate.member_id.clone()).collect();
        for id in gone {
            tracing::debug!("member {id} has not been heard of and is removed");
            self.remove(&id, now);
        }
        if self.state == State::CompletingRebalance && self.deadline.is_some_and(|deadline| deadline <= now) {
            let silent = self.members.values().filter(|member| !member.synced);
            let silent: Vec<_> = silent.map(|member| member.candidate.member_id.clone()).collect();
            for id in silent {
                self.remove(&id, now);
            }
        }
        self.complete_join(now);
        let sessions = self.members.values().filter(|member| member.join.is_none() && member.sync.is_none());
        let sessions = sessions.map(|member| member.deadline);
        let own = if self.state == State::Stable { None } else { self.deadline };
        sessions.chain(self.pending.values().copied()).chain(own).min()
    }

    /// Ends the session of a member, as if it had not been heard of for too long.
    pub(in crate::broker) fn expire(&mut self, id: &str, now: Instant) -> bool {
        self.remove(id, now).is_some()
    }

    /// Whether nobody is in it, or about to be.
    pub(in crate::broker) fn is_empty(&self) -> bool {
        self.members.is_empty() && self.pending.is_empty()
    }
}

impl Candidate {
    /// About how much memory it takes.
    pub(in crate::broker) fn held_bytes(&self) -> usize {
        let protocols =
            self.protocols.iter().map(|(name, metadata)| name.len().saturating_add(metadata.len()));
        // A member's name stands in its id, and that in several places.
        let names = [&self.client_id, &self.client_host, &self.member_id, &self.protocol_type];
        let names = names.into_iter().chain(&self.instance).map(|name| name.len().saturating_mul(4));
        protocols.chain(names).fold(0, usize::saturating_add)
    }
}

impl Member {
    fn held_bytes(&self) -> usize {
        self.assignment.len().saturating_add(self.candidate.held_bytes())
    }

    fn offers(&self, protocol: &str) -> bool {
        self.candidate.protocols.iter().any(|(name, _)| name == protocol)
    }

    /// What the strategy wants to know of it.
    pub(in crate::broker) fn metadata(&self, protocol: &str) -> Bytes {
        let known = self.candidate.protocols.iter().find(|(name, _)| name == protocol);
        known.map(|(_, metadata)| metadata.clone()).unwrap_or_default()
    }
}

/// Who a request says that it is from.
#[derive(Debug, Clone, Copy)]
pub(in crate::broker) struct Claim<'a> {
    pub(in crate::broker) member_id: &'a str,
    pub(in crate::broker) instance: Option<&'a str>,
    pub(in crate::broker) generation: i32,
}

/// How a JoinGroup is to be taken.
enum Admission {
    New(String),
    IdFirst(String),
    Replaces(String),
    Known,
}

fn answer_join(reply: JoinReply, member_id: &str, code: ErrorCode) {
    // Whoever asked may have gone.
    let _ = reply.send(refused_join(member_id, code));
}

fn answer_sync(reply: SyncReply, code: ErrorCode) {
    let _ = reply.send(refused_sync(code));
}

/// A JoinGroup's answer that says no.
pub(in crate::broker) fn refused_join(member_id: &str, code: ErrorCode) -> JoinGroupResponse {
    JoinGroupResponse::default()
        .with_error_code(code.0)
        .with_generation_id(-1)
        .with_protocol_name(Some(StrBytes::default()))
        .with_member_id(StrBytes::from_string(member_id.to_owned()))
}

/// A SyncGroup's answer that says no.
pub(in crate::broker) fn refused_sync(code: ErrorCode) -> SyncGroupResponse {
    SyncGroupResponse::default().with_error_code(code.0)
}

#[cfg(test)]
mod tests;
