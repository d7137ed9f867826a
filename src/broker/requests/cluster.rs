//! What there is and where: ApiVersions, Metadata, DescribeCluster, DescribeTopicPartitions, FindCoordinator.

use kafka_protocol::messages::api_versions_response::{ApiVersion, FinalizedFeatureKey, SupportedFeatureKey};
use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{
    ApiVersionsResponse, BrokerId, DescribeClusterRequest, DescribeClusterResponse,
    DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, FindCoordinatorRequest,
    FindCoordinatorResponse, MetadataRequest, MetadataResponse, SaslHandshakeRequest, TopicName,
};
use kafka_protocol::protocol::{Request, StrBytes};
use uuid::Uuid;

use super::{Call, Reply, words};
use crate::broker::access::Operation;
use crate::broker::cluster::{Cluster, Node};
use crate::broker::topics::{Partition, Topic};
use crate::wire::api::{Api, ForRequest, with_request};
use crate::wire::error_code::ErrorCode;

/// What stands in an answer for operations that were not asked for.
const NOT_ASKED: i32 = i32::MIN;
/// Create, alter, describe, cluster action, and the alteration and description of settings.
const CLUSTER_OPERATIONS: i32 = 1 << 5 | 1 << 7 | 1 << 8 | 1 << 9 | 1 << 10 | 1 << 11;
/// From here on one request asks for several coordinators.
const SEVERAL_COORDINATORS: i16 = 4;
const CLIENT_ENDPOINT: i8 = 1;
const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;
const MOST_PARTITIONS_DESCRIBED: usize = 2000;

/// What is spoken here: each request by its key, with its versions.
pub(in crate::broker) fn api_versions(spoken: &[i16], version: i16) -> ApiVersionsResponse {
    struct Versions;
    impl ForRequest for Versions {
        type Output = ApiVersion;

        fn run<R: Request>(self, api: &'static Api) -> ApiVersion {
            // Version 0, for tokens without frames, is spoken here and nowhere else; librdkafka before 2.11 knows by it
            // that there is a version 1.
            let min = if api.key == SaslHandshakeRequest::KEY { 0 } else { api.versions.min };
            ApiVersion::default()
                .with_api_key(api.key)
                .with_min_version(min)
                .with_max_version(api.versions.max)
        }
    }
    let keys = spoken.iter().filter_map(|&key| with_request(key, Versions));
    let response = ApiVersionsResponse::default().with_api_keys(keys.collect());
    if version < 3 {
        return response;
    }
    let features = [("group.version", 1), ("transaction.version", 2)];
    response
        .with_supported_features(
            features
                .iter()
                .map(|&(name, newest)| {
                    SupportedFeatureKey::default()
                        .with_name(StrBytes::from_static_str(name))
                        // Clients before version 4 of this answer cannot read a 0 here.
                        .with_min_version(1)
                        .with_max_version(newest)
                })
                .collect(),
        )
        .with_finalized_features_epoch(1)
        .with_finalized_features(
            features
                .iter()
                .map(|&(name, newest)| {
                    FinalizedFeatureKey::default()
                        .with_name(StrBytes::from_static_str(name))
                        .with_min_version_level(newest)
                        .with_max_version_level(newest)
                })
                .collect(),
        )
}

pub(super) fn metadata(request: MetadataRequest, on: &mut Cluster, call: &Call) -> Reply<MetadataResponse> {
    let asked = match request.topics {
        // Version 0 has no null: it asks for all with an empty list.
        Some(topics) if call.version > 0 || !topics.is_empty() => Some(topics),
        _ => None,
    };
    let operations = request.include_topic_authorized_operations;
    let topics = match asked {
        None => {
            let visible = on.topics.values().filter(|topic| call.may(Operation::Describe, &topic.name));
            visible.map(|topic| describe(topic, call, operations)).collect()
        }
        Some(asked) => {
            let creates = request.allow_auto_topic_creation || call.version < 4;
            let topics = asked.into_iter().map(|topic| {
                let found = find(on, call, topic.name.as_ref(), topic.topic_id, creates);
                match found {
                    Ok(found) => describe(found, call, operations),
                    Err(code) => refused_topic(topic.name, topic.topic_id, code, call.version),
                }
            });
            topics.collect()
        }
    };
    let brokers = on.nodes.iter().map(|node| {
        let (host, port) = node.endpoint(call.listener);
        MetadataResponseBroker::default().with_node_id(BrokerId(node.id)).with_host(host).with_port(port)
    });
    let may_cluster =
        if request.include_cluster_authorized_operations { CLUSTER_OPERATIONS } else { NOT_ASKED };
    let response = MetadataResponse::default()
        .with_brokers(brokers.collect())
        .with_cluster_id(Some(StrBytes::from_string(on.cluster_id.clone())))
        .with_controller_id(BrokerId(on.nodes.first().map_or(-1, |node| node.id)))
        .with_topics(topics);
    // Only these versions have room for it.
    Reply::Now(if (8..=10).contains(&call.version) {
        response.with_cluster_authorized_operations(may_cluster)
    } else {
        response
    })
}

fn find<'a>(
    on: &'a mut Cluster,
    call: &Call,
    name: Option<&TopicName>,
    id: Uuid,
    creates: bool,
) -> Result<&'a Topic, ErrorCode> {
    let name = match name {
        Some(name) => name.to_string(),
        None => on.topic_of(id).map(|topic| topic.name.to_string()).ok_or(ErrorCode::UNKNOWN_TOPIC_ID)?,
    };
    call.authorize(Operation::Describe, &name)?;
    if !on.topics.contains_key(&name) {
        // A name that cannot be is an error of its own.
        crate::broker::topics::check_topic_name(&name).map_err(|refusal| refusal.code)?;
        if !creates {
            return Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
        }
        on.create_on_demand(&name)?;
    }
    on.topics.get(&name).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)
}

fn describe(topic: &Topic, call: &Call, operations: bool) -> MetadataResponseTopic {
    let partitions = (0..).zip(&topic.partitions).map(|(number, partition)| {
        let replicas = vec![BrokerId(partition.leader)];
        MetadataResponsePartition::default()
            .with_partition_index(number)
            .with_leader_id(BrokerId(partition.leader))
            .with_leader_epoch(partition.leader_epoch)
            .with_replica_nodes(replicas.clone())
            .with_isr_nodes(replicas)
    });
    let described = MetadataResponseTopic::default()
        .with_name(Some(topic.name.clone()))
        .with_topic_id(topic.id)
        .with_partitions(partitions.collect());
    if operations {
        described
            .with_topic_authorized_operations(call.shared.settings.access.operations(&call.user, &topic.name))
    } else {
        described
    }
}

fn refused_topic(name: Option<TopicName>, id: Uuid, code: ErrorCode, version: i16) -> MetadataResponseTopic {
    // Only later versions have a null for a name that is not known.
    let name = if version >= 12 { name } else { Some(name.unwrap_or_default()) };
    MetadataResponseTopic::default().with_error_code(code.0).with_name(name).with_topic_id(id)
}

pub(super) fn refuse_metadata(request: &MetadataRequest, code: ErrorCode) -> MetadataResponse {
    let topics = request.topics.iter().flatten();
    let topics = topics.map(|topic| {
        let name = Some(topic.name.clone().unwrap_or_default());
        MetadataResponseTopic::default().with_error_code(code.0).with_name(name).with_topic_id(topic.topic_id)
    });
    MetadataResponse::default().with_topics(topics.collect())
}

pub(super) fn describe_cluster(
    request: DescribeClusterRequest,
    on: &mut Cluster,
    call: &Call,
) -> Reply<DescribeClusterResponse> {
    if request.endpoint_type != CLIENT_ENDPOINT {
        return Reply::Now(refuse_cluster(&request, ErrorCode::UNSUPPORTED_ENDPOINT_TYPE));
    }
    let brokers = on.nodes.iter().map(|node| {
        let (host, port) = node.endpoint(call.listener);
        DescribeClusterBroker::default().with_broker_id(BrokerId(node.id)).with_host(host).with_port(port)
    });
    let operations =
        if request.include_cluster_authorized_operations { CLUSTER_OPERATIONS } else { NOT_ASKED };
    Reply::Now(
        DescribeClusterResponse::default()
            .with_endpoint_type(CLIENT_ENDPOINT)
            .with_cluster_id(StrBytes::from_string(on.cluster_id.clone()))
            .with_controller_id(BrokerId(on.nodes.first().map_or(-1, |node| node.id)))
            .with_brokers(brokers.collect())
            .with_cluster_authorized_operations(operations),
    )
}

pub(super) fn refuse_cluster(_: &DescribeClusterRequest, code: ErrorCode) -> DescribeClusterResponse {
    DescribeClusterResponse::default()
        .with_error_code(code.0)
        .with_error_message(words(code))
        .with_endpoint_type(CLIENT_ENDPOINT)
}

pub(super) fn describe_partitions(
    request: DescribeTopicPartitionsRequest,
    on: &mut Cluster,
    call: &Call,
) -> Reply<DescribeTopicPartitionsResponse> {
    let limit = usize::try_from(request.response_partition_limit).unwrap_or_default();
    let mut left = limit.clamp(1, MOST_PARTITIONS_DESCRIBED);
    let all = request.topics.is_empty();
    let mut names: Vec<String> = if all {
        on.topics.keys().filter(|name| call.may(Operation::Describe, name)).cloned().collect()
    } else {
        request.topics.iter().map(|topic| topic.name.to_string()).collect()
    };
    names.sort_unstable();
    names.dedup();
    let (from_topic, mut from_partition) = match &request.cursor {
        Some(cursor) => (cursor.topic_name.to_string(), cursor.partition_index),
        None => (String::new(), 0),
    };
    let mut response = DescribeTopicPartitionsResponse::default();
    for name in names.into_iter().filter(|name| *name >= from_topic) {
        let start = if name == from_topic { std::mem::take(&mut from_partition) } else { 0 };
        let authorized = call.authorize(Operation::Describe, &name);
        let topic =
            authorized.and_then(|()| on.topics.get(&name).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
        let topic = match topic {
            Ok(topic) => topic,
            Err(code) => {
                response.topics.push(
                    DescribeTopicPartitionsResponseTopic::default()
                        .with_error_code(code.0)
                        .with_name(Some(crate::broker::topics::topic_name(&name)))
                        .with_topic_authorized_operations(NOT_ASKED),
                );
                continue;
            }
        };
        if left == 0 {
            response.next_cursor =
                Some(Cursor::default().with_topic_name(topic.name.clone()).with_partition_index(start));
            break;
        }
        let skipped = usize::try_from(start).unwrap_or_default();
        let partitions: Vec<_> = (0..).zip(&topic.partitions).skip(skipped).take(left).collect();
        left = left.saturating_sub(partitions.len());
        let end = skipped.saturating_add(partitions.len());
        response.topics.push(
            DescribeTopicPartitionsResponseTopic::default()
                .with_name(Some(topic.name.clone()))
                .with_topic_id(topic.id)
                .with_partitions(partitions.into_iter().map(describe_partition).collect())
                .with_topic_authorized_operations(call.shared.settings.access.operations(&call.user, &name)),
        );
        if end < topic.partitions.len() {
            let next = i32::try_from(end).unwrap_or(i32::MAX);
            response.next_cursor =
                Some(Cursor::default().with_topic_name(topic.name.clone()).with_partition_index(next));
            break;
        }
    }
    Reply::Now(response)
}

fn describe_partition((number, partition): (i32, &Partition)) -> DescribeTopicPartitionsResponsePartition {
    let replicas = vec![BrokerId(partition.leader)];
    DescribeTopicPartitionsResponsePartition::default()
        .with_partition_index(number)
        .with_leader_id(BrokerId(partition.leader))
        .with_leader_epoch(partition.leader_epoch)
        .with_replica_nodes(replicas.clone())
        .with_isr_nodes(replicas)
        // The Java client reads these without looking whether they are there.
        .with_eligible_leader_replicas(Some(Vec::new()))
        .with_last_known_elr(Some(Vec::new()))
}

pub(super) fn refuse_partitions(
    request: &DescribeTopicPartitionsRequest,
    code: ErrorCode,
) -> DescribeTopicPartitionsResponse {
    let topics = request.topics.iter().map(|topic| {
        DescribeTopicPartitionsResponseTopic::default()
            .with_error_code(code.0)
            .with_name(Some(topic.name.clone()))
            .with_topic_authorized_operations(NOT_ASKED)
    });
    DescribeTopicPartitionsResponse::default().with_topics(topics.collect())
}

pub(super) fn find_coordinator(
    request: FindCoordinatorRequest,
    on: &mut Cluster,
    call: &Call,
) -> Reply<FindCoordinatorResponse> {
    let place = |key: &str| -> Result<&Node, ErrorCode> {
        if request.key_type != GROUP && request.key_type != TRANSACTION {
            return Err(ErrorCode::INVALID_REQUEST);
        }
        let id = on.coordinator(key);
        on.nodes.iter().find(|node| node.id == id).ok_or(ErrorCode::COORDINATOR_NOT_AVAILABLE)
    };
    if call.version < SEVERAL_COORDINATORS {
        return Reply::Now(match place(&request.key) {
            Ok(node) => {
                let (host, port) = node.endpoint(call.listener);
                FindCoordinatorResponse::default()
                    .with_node_id(BrokerId(node.id))
                    .with_host(host)
                    .with_port(port)
            }
            Err(code) => refuse_coordinator(&request, code),
        });
    }
    let coordinators = request.coordinator_keys.iter().map(|key| match place(key) {
        Ok(node) => {
            let (host, port) = node.endpoint(call.listener);
            Coordinator::default()
                .with_key(key.clone())
                .with_node_id(BrokerId(node.id))
                .with_host(host)
                .with_port(port)
        }
        Err(code) => refused_coordinator(key, code),
    });
    Reply::Now(FindCoordinatorResponse::default().with_coordinators(coordinators.collect()))
}

fn refused_coordinator(key: &StrBytes, code: ErrorCode) -> Coordinator {
    Coordinator::default()
        .with_key(key.clone())
        .with_node_id(BrokerId(-1))
        .with_port(-1)
        .with_error_code(code.0)
        .with_error_message(words(code))
}

pub(super) fn refuse_coordinator(
    request: &FindCoordinatorRequest,
    code: ErrorCode,
) -> FindCoordinatorResponse {
    let response = FindCoordinatorResponse::default();
    // Later versions have no place for a code but at a key, and no key here.
    if !request.key.is_empty() {
        response
            .with_error_code(code.0)
            .with_error_message(words(code))
            .with_node_id(BrokerId(-1))
            .with_port(-1)
    } else {
        let keys = request.coordinator_keys.iter();
        response.with_coordinators(keys.map(|key| refused_coordinator(key, code)).collect())
    }
}
