//! Topics come and go: CreateTopics, DeleteTopics, CreatePartitions, DeleteRecords.

use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::create_topics_response::{CreatableTopicConfigs, CreatableTopicResult};
use kafka_protocol::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsTopicResult,
};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest, CreateTopicsResponse,
    DeleteRecordsRequest, DeleteRecordsResponse, DeleteTopicsRequest, DeleteTopicsResponse,
};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::configs::{FROM_DEFAULT, FROM_TOPIC};
use super::{Call, Reply, words};
use crate::broker::access::Operation;
use crate::broker::cluster::Cluster;
use crate::broker::log::Refusal;
use crate::broker::topic_settings::{KNOWN, TopicSettings};
use crate::broker::topics::check_topic_name;
use crate::wire::error_code::ErrorCode;

/// The first version in which a topic is described when it is made.
const DESCRIBES: i16 = 5;

pub(super) fn create(
    request: CreateTopicsRequest,
    on: &mut Cluster,
    call: &Call,
) -> Reply<CreateTopicsResponse> {
    let named = |name: &str| request.topics.iter().filter(|topic| topic.name.as_str() == name).count();
    let repeated: Vec<bool> = request.topics.iter().map(|topic| named(&topic.name) > 1).collect();
    let topics = request.topics.into_iter().zip(repeated).map(|(topic, repeated)| {
        let created = if repeated {
            Err(Refusal::new(ErrorCode::INVALID_REQUEST, "Duplicate topic name."))
        } else {
            create_one(&topic, on, call, request.validate_only)
        };
        match created {
            Ok((id, partitions, settings)) => {
                let result = CreatableTopicResult::default().with_name(topic.name);
                if call.version < DESCRIBES {
                    return result;
                }
                result
                    .with_topic_id(id)
                    .with_num_partitions(partitions)
                    .with_replication_factor(1)
                    .with_configs(Some(described(&settings)))
            }
            Err(refusal) => refused_topic(topic.name, &refusal),
        }
    });
    Reply::Now(CreateTopicsResponse::default().with_topics(topics.collect()))
}

fn create_one(
    topic: &CreatableTopic,
    on: &mut Cluster,
    call: &Call,
    validate_only: bool,
) -> Result<(Uuid, i32, TopicSettings), Refusal> {
    check_topic_name(&topic.name)?;
    call.authorize(Operation::Describe, &topic.name)?;
    if on.topics.contains_key(topic.name.as_str()) {
        return Err(Refusal::new(
            ErrorCode::TOPIC_ALREADY_EXISTS,
            format!("Topic '{}' already exists.", topic.name.as_str()),
        ));
    }
    let partitions = count_partitions(topic, on)?;
    let mut settings = TopicSettings::default();
    for config in &topic.configs {
        let set = settings.set(&config.name, config.value.as_deref());
        set.map_err(|reason| Refusal::new(ErrorCode::INVALID_CONFIG, reason))?;
    }
    if validate_only {
        return Ok((Uuid::nil(), partitions, settings));
    }
    let id = on.create_topic(&topic.name, partitions, settings.clone())?;
    Ok((id, partitions, settings))
}

fn count_partitions(topic: &CreatableTopic, on: &Cluster) -> Result<i32, Refusal> {
    if !topic.assignments.is_empty() {
        if topic.num_partitions != -1 || topic.replication_factor != -1 {
            return Err(Refusal::new(
                ErrorCode::INVALID_REQUEST,
                "A manual assignment goes without a number of partitions and of replicas.",
            ));
        }
        let known = |id: i32| on.nodes.iter().any(|node| node.id == id);
        let one_each = topic.assignments.iter().all(|assignment| {
            assignment.broker_ids.len() == 1 && assignment.broker_ids.iter().all(|id| known(id.0))
        });
        let mut numbers: Vec<_> =
            topic.assignments.iter().map(|assignment| assignment.partition_index).collect();
        numbers.sort_unstable();
        let count = i32::try_from(numbers.len()).unwrap_or(i32::MAX);
        if !one_each || !(0..count).eq(numbers) {
            return Err(Refusal::new(
                ErrorCode::INVALID_REPLICA_ASSIGNMENT,
                "Each partition, numbered from 0, is to have one broker that is there.",
            ));
        }
        return Ok(count);
    }
    match topic.replication_factor {
        -1 | 1 => {}
        factor if factor < 1 => {
            return Err(Refusal::new(
                ErrorCode::INVALID_REPLICATION_FACTOR,
                "Replication factor must be larger than 0, or -1 to use the default value.",
            ));
        }
        factor => {
            return Err(Refusal::new(
                ErrorCode::INVALID_REPLICATION_FACTOR,
                format!(
                    "Unable to replicate the partition {factor} time(s): this broker keeps one copy of everything."
                ),
            ));
        }
    }
    match topic.num_partitions {
        -1 => Ok(on.settings.partitions),
        count if count < 1 => Err(Refusal::new(
            ErrorCode::INVALID_PARTITIONS,
            "Number of partitions must be larger than 0, or -1 to use the default value.",
        )),
        count => Ok(count),
    }
}

fn described(settings: &TopicSettings) -> Vec<CreatableTopicConfigs> {
    let all = KNOWN.iter().map(|known| {
        let given = settings.given(known.name);
        CreatableTopicConfigs::default()
            .with_name(StrBytes::from_static_str(known.name))
            .with_value(Some(StrBytes::from_string(given.unwrap_or(known.default).to_owned())))
            .with_config_source(if given.is_some() { FROM_TOPIC } else { FROM_DEFAULT })
    });
    all.collect()
}

fn refused_topic(name: kafka_protocol::messages::TopicName, refusal: &Refusal) -> CreatableTopicResult {
    CreatableTopicResult::default()
        .with_name(name)
        .with_error_code(refusal.code.0)
        .with_error_message(Some(StrBytes::from_string(refusal.reason.clone())))
        .with_num_partitions(-1)
        .with_replication_factor(-1)
}

pub(super) fn refuse_create(request: &CreateTopicsRequest, code: ErrorCode) -> CreateTopicsResponse {
    let topics = request.topics.iter().map(|topic| refused_topic(topic.name.clone(), &code.into()));
    CreateTopicsResponse::default().with_topics(topics.collect())
}

pub(super) fn delete(
    request: DeleteTopicsRequest,
    on: &mut Cluster,
    call: &Call,
) -> Reply<DeleteTopicsResponse> {
    let named = request.topic_names.into_iter().map(|name| DeleteTopicState::default().with_name(Some(name)));
    let topics = request.topics.into_iter().chain(named).map(|asked| {
        let name = match &asked.name {
            Some(name) => Ok(name.to_string()),
            None => on
                .topic_of(asked.topic_id)
                .map(|topic| topic.name.to_string())
                .ok_or(ErrorCode::UNKNOWN_TOPIC_ID),
        };
        let deleted = name.and_then(|name| {
            call.authorize(Operation::Describe, &name)?;
            on.delete_topic(&name).map(|id| (name, id))
        });
        match deleted {
            Ok((name, id)) => DeletableTopicResult::default()
                .with_name(Some(crate::broker::topics::topic_name(&name)))
                .with_topic_id(id),
            Err(code) => refused_deletion(asked, code),
        }
    });
    Reply::Now(DeleteTopicsResponse::default().with_responses(topics.collect()))
}

fn refused_deletion(asked: DeleteTopicState, code: ErrorCode) -> DeletableTopicResult {
    DeletableTopicResult::default()
        .with_name(asked.name)
        .with_topic_id(asked.topic_id)
        .with_error_code(code.0)
        .with_error_message(words(code))
}

pub(super) fn refuse_delete(request: &DeleteTopicsRequest, code: ErrorCode) -> DeleteTopicsResponse {
    let named =
        request.topic_names.iter().map(|name| DeleteTopicState::default().with_name(Some(name.clone())));
    let topics = request.topics.iter().cloned().chain(named).map(|asked| refused_deletion(asked, code));
    DeleteTopicsResponse::default().with_responses(topics.collect())
}

pub(super) fn grow(
    request: CreatePartitionsRequest,
    on: &mut Cluster,
    call: &Call,
) -> Reply<CreatePartitionsResponse> {
    let results = request.topics.into_iter().map(|topic| {
        let grown = grow_one(&topic, on, call, request.validate_only);
        let result = CreatePartitionsTopicResult::default().with_name(topic.name);
        match grown {
            Ok(()) => result,
            Err(refusal) => result
                .with_error_code(refusal.code.0)
                .with_error_message(Some(StrBytes::from_string(refusal.reason))),
        }
    });
    Reply::Now(CreatePartitionsResponse::default().with_results(results.collect()))
}

fn grow_one(
    topic: &CreatePartitionsTopic,
    on: &mut Cluster,
    call: &Call,
    validate_only: bool,
) -> Result<(), Refusal> {
    call.authorize(Operation::Describe, &topic.name)?;
    let known = on.topics.get(topic.name.as_str()).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
    let has = i32::try_from(known.partitions.len()).unwrap_or(i32::MAX);
    if topic.count <= has {
        let reason = if topic.count == has {
            format!("Topic already has {has} partition(s).")
        } else {
            format!(
                "The topic {} currently has {has} partition(s); {} would not be an increase.",
                topic.name.as_str(),
                topic.count
            )
        };
        return Err(Refusal::new(ErrorCode::INVALID_PARTITIONS, reason));
    }
    if let Some(assignments) = &topic.assignments {
        let known = |id: i32| on.nodes.iter().any(|node| node.id == id);
        let one_each =
            assignments.iter().all(|assignment| matches!(&assignment.broker_ids[..], [id] if known(id.0)));
        let new = usize::try_from(topic.count.saturating_sub(has)).unwrap_or_default();
        if assignments.len() != new || !one_each {
            return Err(Refusal::new(
                ErrorCode::INVALID_REPLICA_ASSIGNMENT,
                "Each new partition is to have one broker that is there.",
            ));
        }
    }
    if validate_only { Ok(()) } else { on.grow_topic(&topic.name, topic.count) }
}

pub(super) fn refuse_grow(request: &CreatePartitionsRequest, code: ErrorCode) -> CreatePartitionsResponse {
    let results = request.topics.iter().map(|topic| {
        CreatePartitionsTopicResult::default()
            .with_name(topic.name.clone())
            .with_error_code(code.0)
            .with_error_message(words(code))
    });
    CreatePartitionsResponse::default().with_results(results.collect())
}

pub(super) fn delete_records(
    request: DeleteRecordsRequest,
    on: &mut Cluster,
    call: &Call,
) -> Reply<DeleteRecordsResponse> {
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|asked| {
            let deleted = call.authorize(Operation::Write, &topic.name).and_then(|()| {
                on.delete_records(call.node, &topic.name, asked.partition_index, asked.offset)
            });
            let result = DeleteRecordsPartitionResult::default().with_partition_index(asked.partition_index);
            match deleted {
                Ok(start) => result.with_low_watermark(start),
                Err(code) => result.with_low_watermark(-1).with_error_code(code.0),
            }
        });
        let partitions = partitions.collect();
        DeleteRecordsTopicResult::default().with_name(topic.name.clone()).with_partitions(partitions)
    });
    Reply::Now(DeleteRecordsResponse::default().with_topics(topics.collect()))
}

pub(super) fn refuse_delete_records(
    request: &DeleteRecordsRequest,
    code: ErrorCode,
) -> DeleteRecordsResponse {
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|asked| {
            DeleteRecordsPartitionResult::default()
                .with_partition_index(asked.partition_index)
                .with_low_watermark(-1)
                .with_error_code(code.0)
        });
        DeleteRecordsTopicResult::default()
            .with_name(topic.name.clone())
            .with_partitions(partitions.collect())
    });
    DeleteRecordsResponse::default().with_topics(topics.collect())
}
