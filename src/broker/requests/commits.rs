//! Committed offsets: OffsetCommit, OffsetFetch, OffsetDelete.

use std::collections::BTreeMap;

use kafka_protocol::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use kafka_protocol::messages::offset_delete_response::{
    OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use kafka_protocol::messages::{
    GroupId, OffsetCommitRequest, OffsetCommitResponse, OffsetDeleteRequest, OffsetDeleteResponse,
    OffsetFetchRequest, OffsetFetchResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;

use super::{Call, Reply};
use crate::broker::access::Operation;
use crate::broker::cluster::Cluster;
use crate::broker::groups::Kind;
use crate::broker::groups::classic::Claim;
use crate::broker::journal::{Entry, SavedOffset};
use crate::broker::topics::topic_name;
use crate::wire::error_code::ErrorCode;

/// What may stand beside an offset, in bytes: Kafka's bound.
const MOST_METADATA_BYTES: usize = 4096;
/// From here on one request asks for several groups.
const SEVERAL_GROUPS: i16 = 8;

/// An offset as it is committed, if it may be: the topic and partition are there, and what stands beside it is short.
pub(super) fn committed(
    on: &Cluster,
    call: &Call,
    topic: &str,
    partition: i32,
    offset: (i64, i32, Option<&StrBytes>),
) -> Result<SavedOffset, ErrorCode> {
    call.authorize(Operation::Read, topic)?;
    let (offset, leader_epoch, metadata) = offset;
    on.topics
        .get(topic)
        .and_then(|topic| topic.partition(partition))
        .ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
    let metadata = metadata.map(ToString::to_string).unwrap_or_default();
    if metadata.len() > MOST_METADATA_BYTES {
        return Err(ErrorCode::OFFSET_METADATA_TOO_LARGE);
    }
    Ok(SavedOffset { offset, leader_epoch, metadata })
}

pub(super) fn commit(
    request: OffsetCommitRequest,
    on: &mut Cluster,
    call: &Call,
) -> Reply<OffsetCommitResponse> {
    let group = request.group_id.to_string();
    let claim = Claim {
        member_id: &request.member_id,
        instance: request.group_instance_id.as_deref(),
        generation: request.generation_id_or_member_epoch,
    };
    let asked = request.topics.iter().flat_map(|topic| &topic.partitions);
    let sizes: Vec<_> =
        asked.map(|asked| asked.committed_metadata.as_ref().map_or(0, |text| text.len())).collect();
    let allowed = call.coordinates(on, &group).and_then(|()| {
        if !on.groups.has_room_for_offsets(sizes.len(), sizes.iter().sum()) {
            return Err(ErrorCode::INVALID_COMMIT_OFFSET_SIZE);
        }
        // Of a group that is not there, nobody is a member.
        let member = claim.generation >= 0 || !claim.member_id.is_empty();
        if member && !on.groups.all.contains_key(&group) {
            return Err(ErrorCode::ILLEGAL_GENERATION);
        }
        on.groups.get_or_new(&group)?.check_commit(&claim, call.now.instant)
    });
    if let Err(code) = allowed {
        return Reply::Now(refuse_commit(&request, code));
    }
    let mut entries = Vec::new();
    let mut response = OffsetCommitResponse::default();
    for topic in &request.topics {
        let partitions = topic.partitions.iter().map(|asked| {
            let number = asked.partition_index;
            let offset =
                (asked.committed_offset, asked.committed_leader_epoch, asked.committed_metadata.as_ref());
            let result = committed(on, call, &topic.name, number, offset);
            let code = super::code_of(result.map(|offset| {
                entries.push(on.groups.commit(&group, &topic.name, number, offset));
            }));
            OffsetCommitResponsePartition::default().with_partition_index(number).with_error_code(code)
        });
        let partitions = partitions.collect();
        response.topics.push(
            OffsetCommitResponseTopic::default().with_name(topic.name.clone()).with_partitions(partitions),
        );
    }
    match on.save(entries) {
        Ok(()) => Reply::Now(response),
        Err(code) => Reply::Now(refuse_commit(&request, code)),
    }
}

pub(super) fn refuse_commit(request: &OffsetCommitRequest, code: ErrorCode) -> OffsetCommitResponse {
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|asked| {
            OffsetCommitResponsePartition::default()
                .with_partition_index(asked.partition_index)
                .with_error_code(code.0)
        });
        OffsetCommitResponseTopic::default()
            .with_name(topic.name.clone())
            .with_partitions(partitions.collect())
    });
    OffsetCommitResponse::default().with_topics(topics.collect())
}

/// The offsets of one group: by topic, of the partitions that are asked for or of all.
type Offsets = Vec<(TopicName, Vec<OffsetFetchResponsePartitions>)>;

fn offsets_of(
    on: &Cluster,
    call: &Call,
    group: &str,
    topics: Option<Vec<(TopicName, Vec<i32>)>>,
    stable: bool,
) -> Offsets {
    let empty = BTreeMap::new();
    let known = on.groups.all.get(group).map_or(&empty, |group| &group.offsets);
    let asked = topics.unwrap_or_else(|| {
        let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
        for (name, partition) in known.keys() {
            topics.entry(name).or_default().push(*partition);
        }
        let visible = topics.into_iter().filter(|(name, _)| call.may(Operation::Describe, name));
        visible.map(|(name, partitions)| (topic_name(name), partitions)).collect()
    });
    let each = asked.into_iter().map(|(topic, partitions)| {
        let authorized = call.authorize(Operation::Describe, &topic);
        let partitions = partitions.into_iter().map(|number| {
            if let Err(code) = authorized {
                return nothing(number, code);
            }
            if stable && on.transactions.has_pending_offset(group, &topic, number) {
                return nothing(number, ErrorCode::UNSTABLE_OFFSET_COMMIT);
            }
            match known.get(&(topic.to_string(), number)) {
                Some(offset) => OffsetFetchResponsePartitions::default()
                    .with_partition_index(number)
                    .with_committed_offset(offset.offset)
                    .with_committed_leader_epoch(offset.leader_epoch)
                    .with_metadata(Some(StrBytes::from_string(offset.metadata.clone()))),
                None => nothing(number, ErrorCode::NONE),
            }
        });
        let partitions = partitions.collect();
        (topic, partitions)
    });
    each.collect()
}

fn nothing(number: i32, code: ErrorCode) -> OffsetFetchResponsePartitions {
    OffsetFetchResponsePartitions::default()
        .with_partition_index(number)
        .with_committed_offset(-1)
        .with_committed_leader_epoch(-1)
        .with_metadata(Some(StrBytes::default()))
        .with_error_code(code.0)
}

pub(super) fn fetch(
    request: OffsetFetchRequest,
    on: &mut Cluster,
    call: &Call,
) -> Reply<OffsetFetchResponse> {
    let stable = request.require_stable;
    if call.version >= SEVERAL_GROUPS {
        let groups = request.groups.into_iter().map(|asked| fetch_group(asked, on, call, stable));
        return Reply::Now(OffsetFetchResponse::default().with_groups(groups.collect()));
    }
    if let Err(code) = call.coordinates(on, &request.group_id) {
        return Reply::Now(refuse_fetch(&request, code));
    }
    let asked = request
        .topics
        .map(|topics| topics.into_iter().map(|topic| (topic.name, topic.partition_indexes)).collect());
    let topics =
        offsets_of(on, call, &request.group_id, asked, stable).into_iter().map(|(name, partitions)| {
            let partitions = partitions.into_iter().map(|partition| {
                OffsetFetchResponsePartition::default()
                    .with_partition_index(partition.partition_index)
                    .with_committed_offset(partition.committed_offset)
                    .with_committed_leader_epoch(partition.committed_leader_epoch)
                    .with_metadata(partition.metadata)
                    .with_error_code(partition.error_code)
            });
            OffsetFetchResponseTopic::default().with_name(name).with_partitions(partitions.collect())
        });
    Reply::Now(OffsetFetchResponse::default().with_topics(topics.collect()))
}

fn fetch_group(
    asked: OffsetFetchRequestGroup,
    on: &mut Cluster,
    call: &Call,
    stable: bool,
) -> OffsetFetchResponseGroup {
    let name = asked.group_id;
    let allowed = call.coordinates(on, &name).and_then(|()| {
        // A member of a group that the broker assigns says which, and in which epoch it is.
        let member = asked.member_id.as_deref().unwrap_or_default();
        match on.groups.all.get(name.as_str()).map(|group| &group.kind) {
            Some(Kind::Consumer(consumer)) if asked.member_epoch >= 0 && !member.is_empty() => {
                consumer.check_commit(member, asked.member_epoch)
            }
            _ => Ok(()),
        }
    });
    if let Err(code) = allowed {
        return refused_group(name, code);
    }
    let wanted = asked
        .topics
        .map(|topics| topics.into_iter().map(|topic| (topic.name, topic.partition_indexes)).collect());
    let topics = offsets_of(on, call, &name, wanted, stable).into_iter().map(|(topic, partitions)| {
        OffsetFetchResponseTopics::default().with_name(topic).with_partitions(partitions)
    });
    let topics = topics.collect();
    OffsetFetchResponseGroup::default().with_group_id(name).with_topics(topics)
}

fn refused_group(name: GroupId, code: ErrorCode) -> OffsetFetchResponseGroup {
    OffsetFetchResponseGroup::default().with_group_id(name).with_error_code(code.0)
}

pub(super) fn refuse_fetch(request: &OffsetFetchRequest, code: ErrorCode) -> OffsetFetchResponse {
    if request.groups.is_empty() {
        return OffsetFetchResponse::default().with_error_code(code.0);
    }
    let groups = request.groups.iter().map(|asked| refused_group(asked.group_id.clone(), code));
    OffsetFetchResponse::default().with_groups(groups.collect())
}

pub(super) fn delete(
    request: OffsetDeleteRequest,
    on: &mut Cluster,
    call: &Call,
) -> Reply<OffsetDeleteResponse> {
    let name = request.group_id.to_string();
    let allowed = call.coordinates(on, &name).and_then(|()| {
        let group = on.groups.all.get(&name).ok_or(ErrorCode::GROUP_ID_NOT_FOUND)?;
        match &group.kind {
            // What its members read is known to its strategy alone.
            Kind::Classic(classic) if !classic.is_empty() && classic.protocol_type != "consumer" => {
                Err(ErrorCode::NON_EMPTY_GROUP)
            }
            _ => Ok(()),
        }
    });
    if let Err(code) = allowed {
        return Reply::Now(OffsetDeleteResponse::default().with_error_code(code.0));
    }
    let names = on.topics_by_name(|_| true);
    let mut entries = Vec::new();
    let mut response = OffsetDeleteResponse::default();
    for topic in request.topics {
        let known = on.topics.get(topic.name.as_str());
        let in_use = on.groups.all.get(&name).is_some_and(|group| group.reads(&topic.name, &names));
        let partitions: Vec<_> = topic
            .partitions
            .iter()
            .map(|asked| {
                let number = asked.partition_index;
                let there = known.and_then(|topic| topic.partition(number));
                let code = match there {
                    None => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
                    Some(_) if in_use => ErrorCode::GROUP_SUBSCRIBED_TO_TOPIC,
                    Some(_) => {
                        let entry = Entry::NoOffset {
                            group: name.clone(),
                            topic: topic.name.to_string(),
                            partition: number,
                        };
                        entries.push(entry);
                        ErrorCode::NONE
                    }
                };
                OffsetDeleteResponsePartition::default().with_partition_index(number).with_error_code(code.0)
            })
            .collect();
        response
            .topics
            .push(OffsetDeleteResponseTopic::default().with_name(topic.name).with_partitions(partitions));
    }
    if let Some(group) = on.groups.all.get_mut(&name) {
        for entry in &entries {
            if let Entry::NoOffset { topic, partition, .. } = entry {
                group.offsets.remove(&(topic.clone(), *partition));
            }
        }
    }
    match on.save(entries) {
        Ok(()) => Reply::Now(response),
        Err(code) => Reply::Now(OffsetDeleteResponse::default().with_error_code(code.0)),
    }
}
