//! Groups that the broker assigns (KIP-848), and what goes for both kinds: ConsumerGroupHeartbeat,
//! ConsumerGroupDescribe, ListGroups, DeleteGroups.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kafka_protocol::messages::consumer_group_describe_response as described;
use kafka_protocol::messages::consumer_group_heartbeat_response::{Assignment, TopicPartitions};
use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse, DeleteGroupsRequest, DeleteGroupsResponse, GroupId, ListGroupsRequest,
    ListGroupsResponse,
};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::{Call, Reply, words};
use crate::broker::access::Operation;
use crate::broker::cluster::Cluster;
use crate::broker::groups::Kind;
use crate::broker::groups::consumer::{Heartbeat, Topics};
use crate::broker::journal::Entry;
use crate::broker::topics::topic_name;
use crate::wire::error_code::ErrorCode;

const NOT_ASKED: i32 = i32::MIN;
const OPERATIONS: i32 = 1 << 3 | 1 << 6 | 1 << 8;
/// A member that speaks KIP-848 itself.
const CONSUMER_MEMBER: i8 = 1;

pub(super) fn heartbeat(
    request: ConsumerGroupHeartbeatRequest,
    on: &mut Cluster,
    call: &Call,
) -> Reply<ConsumerGroupHeartbeatResponse> {
    if let Err(code) = call.coordinates(on, &request.group_id) {
        return Reply::Now(refuse_heartbeat(&request, code));
    }
    let joins = request.member_epoch == 0;
    if request.group_id.is_empty() || (!joins && request.member_id.is_empty()) {
        return Reply::Now(refuse_heartbeat(&request, ErrorCode::INVALID_REQUEST));
    }
    // Partitions are shared out among those who may see them.
    let topics: Topics = visible(on, call);
    let said = Heartbeat {
        member_id: request.member_id.to_string(),
        epoch: request.member_epoch,
        instance: request.instance_id.as_ref().map(ToString::to_string),
        rack: request.rack_id.as_ref().map(ToString::to_string),
        client_id: call.client_id.to_string(),
        client_host: call.host.to_string(),
        rebalance_timeout: u64::try_from(request.rebalance_timeout_ms).ok().map(Duration::from_millis),
        topics: request
            .subscribed_topic_names
            .map(|names| names.iter().map(|name| name.to_string()).collect()),
        pattern: request.subscribed_topic_regex.as_ref().map(ToString::to_string),
        assignor: request.server_assignor.as_ref().map(ToString::to_string),
        owned: request.topic_partitions.map(|topics| {
            let each = topics.into_iter().flat_map(|topic| {
                topic.partitions.into_iter().map(move |partition| (topic.topic_id, partition))
            });
            each.collect()
        }),
    };
    let name = request.group_id.to_string();
    if !joins && !on.groups.all.contains_key(&name) {
        return Reply::Now(refused(ErrorCode::UNKNOWN_MEMBER_ID, "The group is not there."));
    }
    // A member may also say more of itself later.
    if !on.groups.has_room(said.held_bytes()) {
        return Reply::Now(refused(ErrorCode::GROUP_MAX_SIZE_REACHED, "There is no room for more members."));
    }
    let interval = on.settings.heartbeat_interval;
    let group = match on.groups.consumer(&name) {
        Ok(group) => group,
        Err(code) => return Reply::Now(refused(code, "The group has members of the classic protocol.")),
    };
    let epoch = group.epoch;
    let told = group.heartbeat(said, &topics, call.now.instant);
    let changed = group.epoch != epoch;
    if changed && let Some(group) = on.groups.all.get(&name) {
        let entry = Entry::Group { name, group: group.saved() };
        // As with a generation: that it could not be remembered is no reason to fail.
        let _ = on.save([entry]);
    }
    Reply::Now(match told {
        Ok(told) => ConsumerGroupHeartbeatResponse::default()
            .with_member_id(Some(StrBytes::from_string(told.member_id)))
            .with_member_epoch(told.epoch)
            .with_heartbeat_interval_ms(i32::try_from(interval.as_millis()).unwrap_or(i32::MAX))
            .with_assignment(told.assignment.map(|owned| {
                let topics = by_topic(&owned).into_iter().map(|(id, partitions)| {
                    TopicPartitions::default().with_topic_id(id).with_partitions(partitions)
                });
                Assignment::default().with_topic_partitions(topics.collect())
            })),
        Err((code, reason)) => refused(code, &reason),
    })
}

/// The topics that a user may see, by name.
fn visible(on: &Cluster, call: &Call) -> Topics {
    on.topics_by_name(|name| call.may(Operation::Describe, name))
}

fn by_topic(owned: &BTreeSet<(Uuid, i32)>) -> BTreeMap<Uuid, Vec<i32>> {
    let mut topics: BTreeMap<Uuid, Vec<i32>> = BTreeMap::new();
    for &(id, partition) in owned {
        topics.entry(id).or_default().push(partition);
    }
    topics
}

fn refused(code: ErrorCode, reason: &str) -> ConsumerGroupHeartbeatResponse {
    ConsumerGroupHeartbeatResponse::default()
        .with_error_code(code.0)
        .with_error_message(Some(StrBytes::from_string(reason.to_owned())))
}

pub(super) fn refuse_heartbeat(
    _: &ConsumerGroupHeartbeatRequest,
    code: ErrorCode,
) -> ConsumerGroupHeartbeatResponse {
    refused(code, code.description())
}

pub(super) fn describe(
    request: ConsumerGroupDescribeRequest,
    on: &mut Cluster,
    call: &Call,
) -> Reply<ConsumerGroupDescribeResponse> {
    let groups = request.group_ids.into_iter().map(|name| {
        if let Err(code) = call.coordinates(on, &name) {
            return refused_group(name, code);
        }
        let group = on.groups.all.get(name.as_str());
        let Some(Kind::Consumer(consumer)) = group.map(|group| &group.kind) else {
            return refused_group(name, ErrorCode::GROUP_ID_NOT_FOUND);
        };
        let assignment = |owned: &BTreeSet<(Uuid, i32)>| {
            let topics = by_topic(owned).into_iter().filter_map(|(id, partitions)| {
                let name = on.topic_of(id)?.name.clone();
                Some(
                    described::TopicPartitions::default()
                        .with_topic_id(id)
                        .with_topic_name(name)
                        .with_partitions(partitions),
                )
            });
            described::Assignment::default().with_topic_partitions(topics.collect())
        };
        let members = consumer.members.iter().map(|(id, member)| {
            let said = &member.said;
            let text = |text: &Option<String>| text.clone().map(StrBytes::from_string);
            let target = consumer.target.get(id).map(assignment).unwrap_or_default();
            let described = described::Member::default()
                .with_member_id(StrBytes::from_string(id.clone()))
                .with_instance_id(text(&said.instance))
                .with_rack_id(text(&said.rack))
                .with_member_epoch(member.epoch)
                .with_client_id(StrBytes::from_string(said.client_id.clone()))
                .with_client_host(StrBytes::from_string(said.client_host.clone()))
                .with_subscribed_topic_names(
                    said.topics.iter().flatten().map(|name| topic_name(name)).collect(),
                )
                .with_subscribed_topic_regex(text(&said.pattern))
                .with_assignment(assignment(&member.assigned))
                .with_target_assignment(target);
            if call.version >= 1 { described.with_member_type(CONSUMER_MEMBER) } else { described }
        });
        described::DescribedGroup::default()
            .with_group_id(name)
            .with_group_state(StrBytes::from_static_str(consumer.state()))
            .with_group_epoch(consumer.epoch)
            .with_assignment_epoch(consumer.assignment_epoch)
            .with_assignor_name(StrBytes::from_static_str(consumer.assignor().name()))
            .with_members(members.collect())
            .with_authorized_operations(if request.include_authorized_operations {
                OPERATIONS
            } else {
                NOT_ASKED
            })
    });
    Reply::Now(ConsumerGroupDescribeResponse::default().with_groups(groups.collect()))
}

fn refused_group(name: GroupId, code: ErrorCode) -> described::DescribedGroup {
    described::DescribedGroup::default()
        .with_group_id(name)
        .with_error_code(code.0)
        .with_error_message(words(code))
        .with_authorized_operations(NOT_ASKED)
}

pub(super) fn refuse_describe(
    request: &ConsumerGroupDescribeRequest,
    code: ErrorCode,
) -> ConsumerGroupDescribeResponse {
    let groups = request.group_ids.iter().map(|name| refused_group(name.clone(), code));
    ConsumerGroupDescribeResponse::default().with_groups(groups.collect())
}

pub(super) fn list(request: ListGroupsRequest, on: &mut Cluster, call: &Call) -> Reply<ListGroupsResponse> {
    let wanted = |filter: &[StrBytes], value: &str| {
        filter.is_empty() || filter.iter().any(|wanted| wanted.eq_ignore_ascii_case(value))
    };
    let here = on.groups.all.iter().filter(|(name, _)| on.coordinator(name) == call.node);
    let groups = here.filter_map(|(name, group)| {
        let (kind, protocol_type) = match &group.kind {
            Kind::Classic(classic) => ("classic", classic.protocol_type.clone()),
            Kind::Consumer(_) => ("consumer", "consumer".to_owned()),
        };
        let state = group.state();
        if !wanted(&request.states_filter, state) || !wanted(&request.types_filter, kind) {
            return None;
        }
        let listed = ListedGroup::default()
            .with_group_id(GroupId(StrBytes::from_string(name.clone())))
            .with_protocol_type(StrBytes::from_string(protocol_type));
        let listed = if call.version >= 4 {
            listed.with_group_state(StrBytes::from_static_str(state))
        } else {
            listed
        };
        Some(if call.version >= 5 { listed.with_group_type(StrBytes::from_static_str(kind)) } else { listed })
    });
    Reply::Now(ListGroupsResponse::default().with_groups(groups.collect()))
}

pub(super) fn delete(
    request: DeleteGroupsRequest,
    on: &mut Cluster,
    call: &Call,
) -> Reply<DeleteGroupsResponse> {
    let results = request.groups_names.into_iter().map(|name| {
        let deleted = call.coordinates(on, &name).and_then(|()| {
            let group = on.groups.all.get(name.as_str()).ok_or(ErrorCode::GROUP_ID_NOT_FOUND)?;
            if !group.is_empty() {
                return Err(ErrorCode::NON_EMPTY_GROUP);
            }
            on.groups.all.shift_remove(name.as_str());
            on.save([Entry::NoGroup { name: name.to_string() }])
        });
        DeletableGroupResult::default().with_group_id(name).with_error_code(super::code_of(deleted))
    });
    Reply::Now(DeleteGroupsResponse::default().with_results(results.collect()))
}

pub(super) fn refuse_delete(request: &DeleteGroupsRequest, code: ErrorCode) -> DeleteGroupsResponse {
    let names = request.groups_names.iter();
    let results =
        names.map(|name| DeletableGroupResult::default().with_group_id(name.clone()).with_error_code(code.0));
    DeleteGroupsResponse::default().with_results(results.collect())
}
