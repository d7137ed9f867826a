//! Members of classic groups: JoinGroup, SyncGroup, Heartbeat, LeaveGroup, DescribeGroups.

use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::{
    DescribeGroupsRequest, DescribeGroupsResponse, GroupId, HeartbeatRequest, HeartbeatResponse,
    JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, LeaveGroupResponse, SyncGroupRequest,
    SyncGroupResponse,
};
use kafka_protocol::protocol::StrBytes;
use tokio::sync::oneshot;

use super::{Call, Reply, code_of};
use crate::broker::cluster::Cluster;
use crate::broker::groups::Kind;
use crate::broker::groups::classic::{Candidate, Claim, Classic, State, refused_join, refused_sync};
use crate::broker::journal::Entry;
use crate::wire::error_code::ErrorCode;

/// The first versions that come back with the id that they are given, leave in numbers, skip needless assignments,
/// and tell that a group is not there.
const ID_FIRST: i16 = 4;
const LEAVES_IN_NUMBERS: i16 = 3;
const MAY_SKIP: i16 = 9;
const TELLS_OF_ABSENCE: i16 = 6;
const NOT_ASKED: i32 = i32::MIN;
/// Read, delete and describe.
const OPERATIONS: i32 = 1 << 3 | 1 << 6 | 1 << 8;

fn milliseconds(count: i32) -> Duration {
    Duration::from_millis(u64::try_from(count).unwrap_or_default())
}

fn named(id: Option<&StrBytes>) -> Option<String> {
    id.map(ToString::to_string)
}

/// Where an answer that may take a while comes from; the second is for a broker that ends before it.
fn later<T: Send + 'static>(receiver: oneshot::Receiver<T>, otherwise: T) -> Reply<T> {
    Reply::Later(Box::pin(async move { receiver.await.unwrap_or(otherwise) }))
}

pub(super) fn join(request: JoinGroupRequest, on: &mut Cluster, call: &Call) -> Reply<JoinGroupResponse> {
    let candidate = Candidate {
        member_id: request.member_id.to_string(),
        instance: named(request.group_instance_id.as_ref()),
        client_id: call.client_id.to_string(),
        client_host: call.host.to_string(),
        session_timeout: milliseconds(request.session_timeout_ms),
        // Version 0 has one time limit for both.
        rebalance_timeout: milliseconds(if call.version == 0 {
            request.session_timeout_ms
        } else {
            request.rebalance_timeout_ms
        }),
        protocol_type: request.protocol_type.to_string(),
        // Copies: a slice would keep the whole request.
        protocols: request
            .protocols
            .iter()
            .map(|protocol| (protocol.name.to_string(), Bytes::copy_from_slice(&protocol.metadata)))
            .collect(),
        id_first: call.version >= ID_FIRST,
        may_skip: call.version >= MAY_SKIP,
    };
    let allowed = call.coordinates(on, &request.group_id).and_then(|()| {
        if request.group_id.is_empty() {
            Err(ErrorCode::INVALID_GROUP_ID)
        } else if !on.settings.session_timeouts.contains(&candidate.session_timeout) {
            Err(ErrorCode::INVALID_SESSION_TIMEOUT)
        } else if !on.groups.has_room(candidate.held_bytes()) {
            Err(ErrorCode::GROUP_MAX_SIZE_REACHED)
        } else {
            Ok(())
        }
    });
    let delay = on.settings.rebalance_delay;
    let group = allowed.and_then(|()| {
        // Whoever has an id got it from a group that is there.
        if !candidate.member_id.is_empty() && !on.groups.all.contains_key(request.group_id.as_str()) {
            return Err(ErrorCode::UNKNOWN_MEMBER_ID);
        }
        on.groups.classic(&request.group_id)
    });
    let group = match group {
        Ok(group) => group,
        Err(code) => return Reply::Now(refused_join(&candidate.member_id, code)),
    };
    let (sender, receiver) = oneshot::channel();
    let gone = refused_join(&candidate.member_id, ErrorCode::COORDINATOR_NOT_AVAILABLE);
    group.join(candidate, delay, call.now.instant, sender);
    later(receiver, gone)
}

pub(super) fn refuse_join(request: &JoinGroupRequest, code: ErrorCode) -> JoinGroupResponse {
    refused_join(&request.member_id, code)
}

/// The classic group of this name, if this broker coordinates it and it is there.
fn group<'a>(on: &'a mut Cluster, call: &Call, name: &str) -> Result<&'a mut Classic, ErrorCode> {
    call.coordinates(on, name)?;
    match on.groups.all.get_mut(name).map(|group| &mut group.kind) {
        Some(Kind::Classic(classic)) => Ok(classic),
        _ => Err(ErrorCode::UNKNOWN_MEMBER_ID),
    }
}

pub(super) fn sync(request: SyncGroupRequest, on: &mut Cluster, call: &Call) -> Reply<SyncGroupResponse> {
    let size = request.assignments.iter().map(|assignment| assignment.assignment.len());
    if !on.groups.has_room(size.fold(0, usize::saturating_add)) {
        return Reply::Now(refused_sync(ErrorCode::GROUP_MAX_SIZE_REACHED));
    }
    let classic = match group(on, call, &request.group_id) {
        Ok(classic) => classic,
        Err(code) => return Reply::Now(refused_sync(code)),
    };
    let was_stable = classic.state == State::Stable;
    let assignments = request
        .assignments
        .iter()
        .map(|assignment| (assignment.member_id.to_string(), Bytes::copy_from_slice(&assignment.assignment)));
    let claim = Claim {
        member_id: &request.member_id,
        instance: request.group_instance_id.as_deref(),
        generation: request.generation_id,
    };
    let (sender, receiver) = oneshot::channel();
    let protocol = (request.protocol_type.as_deref(), request.protocol_name.as_deref());
    classic.sync(&claim, protocol, assignments.collect(), call.now.instant, sender);
    let settled = !was_stable && classic.state == State::Stable;
    if settled && let Some(group) = on.groups.all.get(request.group_id.as_str()) {
        let entry = Entry::Group { name: request.group_id.to_string(), group: group.saved() };
        // The generation is remembered so that it does not go back; that it could not be is no reason to fail.
        let _ = on.save([entry]);
    }
    later(receiver, refused_sync(ErrorCode::COORDINATOR_NOT_AVAILABLE))
}

pub(super) fn refuse_sync(_: &SyncGroupRequest, code: ErrorCode) -> SyncGroupResponse {
    refused_sync(code)
}

pub(super) fn heartbeat(
    request: HeartbeatRequest,
    on: &mut Cluster,
    call: &Call,
) -> Reply<HeartbeatResponse> {
    let claim = Claim {
        member_id: &request.member_id,
        instance: request.group_instance_id.as_deref(),
        generation: request.generation_id,
    };
    let beat = group(on, call, &request.group_id).and_then(|group| group.heartbeat(&claim, call.now.instant));
    Reply::Now(HeartbeatResponse::default().with_error_code(code_of(beat)))
}

pub(super) fn leave(request: LeaveGroupRequest, on: &mut Cluster, call: &Call) -> Reply<LeaveGroupResponse> {
    let now = call.now.instant;
    let classic = match group(on, call, &request.group_id) {
        Ok(classic) => classic,
        // Members of the other kind may leave this way too: they are ended by an operator.
        Err(code) => return Reply::Now(refuse_leave(&request, code)),
    };
    if call.version < LEAVES_IN_NUMBERS {
        let left = classic.leave(&request.member_id, None, now);
        return Reply::Now(LeaveGroupResponse::default().with_error_code(code_of(left)));
    }
    let members = request.members.into_iter().map(|member| {
        let left = classic.leave(&member.member_id, member.group_instance_id.as_deref(), now);
        MemberResponse::default()
            .with_member_id(member.member_id)
            .with_group_instance_id(member.group_instance_id)
            .with_error_code(code_of(left))
    });
    Reply::Now(LeaveGroupResponse::default().with_members(members.collect()))
}

pub(super) fn refuse_leave(_: &LeaveGroupRequest, code: ErrorCode) -> LeaveGroupResponse {
    LeaveGroupResponse::default().with_error_code(code.0)
}

pub(super) fn describe(
    request: DescribeGroupsRequest,
    on: &mut Cluster,
    call: &Call,
) -> Reply<DescribeGroupsResponse> {
    let groups = request.groups.into_iter().map(|name| {
        if let Err(code) = call.coordinates(on, &name) {
            return refused_group(name, code);
        }
        let Some(group) = on.groups.all.get(name.as_str()) else { return absent(name, call.version) };
        let Kind::Classic(classic) = &group.kind else { return absent(name, call.version) };
        let stable = classic.state == State::Stable;
        let members = classic.members.iter().map(|(id, member)| {
            DescribedGroupMember::default()
                .with_member_id(StrBytes::from_string(id.clone()))
                .with_group_instance_id(member.candidate.instance.clone().map(StrBytes::from_string))
                .with_client_id(StrBytes::from_string(member.candidate.client_id.clone()))
                .with_client_host(StrBytes::from_string(member.candidate.client_host.clone()))
                .with_member_metadata(if stable { member.metadata(&classic.protocol) } else { Bytes::new() })
                .with_member_assignment(if stable { member.assignment.clone() } else { Bytes::new() })
        });
        let described = DescribedGroup::default()
            .with_group_id(name)
            .with_group_state(StrBytes::from_static_str(classic.state.name()))
            .with_protocol_type(StrBytes::from_string(classic.protocol_type.clone()))
            .with_protocol_data(StrBytes::from_string(if stable {
                classic.protocol.clone()
            } else {
                String::new()
            }))
            .with_members(members.collect());
        described.with_authorized_operations(if request.include_authorized_operations {
            OPERATIONS
        } else {
            NOT_ASKED
        })
    });
    Reply::Now(DescribeGroupsResponse::default().with_groups(groups.collect()))
}

fn absent(name: GroupId, version: i16) -> DescribedGroup {
    let dead = DescribedGroup::default()
        .with_group_state(StrBytes::from_static_str("Dead"))
        .with_authorized_operations(NOT_ASKED);
    if version < TELLS_OF_ABSENCE {
        return dead.with_group_id(name);
    }
    let reason = StrBytes::from_string(format!("Group {} not found.", name.as_str()));
    dead.with_group_id(name).with_error_code(ErrorCode::GROUP_ID_NOT_FOUND.0).with_error_message(Some(reason))
}

fn refused_group(name: GroupId, code: ErrorCode) -> DescribedGroup {
    DescribedGroup::default()
        .with_group_id(name)
        .with_error_code(code.0)
        .with_authorized_operations(NOT_ASKED)
}

pub(super) fn refuse_describe(request: &DescribeGroupsRequest, code: ErrorCode) -> DescribeGroupsResponse {
    let groups = request.groups.iter().map(|name| refused_group(name.clone(), code));
    DescribeGroupsResponse::default().with_groups(groups.collect())
}
