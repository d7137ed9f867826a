//! Settings of topics and brokers: DescribeConfigs, AlterConfigs, IncrementalAlterConfigs.

use kafka_protocol::messages::alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use kafka_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse as IncrementalResponse;
use kafka_protocol::messages::{
    AlterConfigsRequest, AlterConfigsResponse, DescribeConfigsRequest, DescribeConfigsResponse,
    IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
};
use kafka_protocol::protocol::StrBytes;

use super::{Call, Reply, words};
use crate::broker::access::Operation;
use crate::broker::cluster::Cluster;
use crate::broker::log::Refusal;
use crate::broker::topic_settings::{KNOWN, TopicSettings};
use crate::wire::error_code::ErrorCode;

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
/// Where a value comes from, as Kafka numbers it.
pub(super) const FROM_TOPIC: i8 = 1;
const FROM_BROKER: i8 = 4;
pub(super) const FROM_DEFAULT: i8 = 5;
const BOOLEAN: i8 = 1;
const INT: i8 = 3;
const LONG: i8 = 5;
/// What may be done to a single value.
const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

pub(super) fn describe(
    request: DescribeConfigsRequest,
    on: &mut Cluster,
    call: &Call,
) -> Reply<DescribeConfigsResponse> {
    let synonyms = request.include_synonyms;
    let results = request.resources.into_iter().map(|resource| {
        let configs = match resource.resource_type {
            TOPIC => describe_topic(&resource, on, call, synonyms),
            BROKER => describe_broker(&resource, on),
            _ => Err(Refusal::new(ErrorCode::INVALID_REQUEST, "Only topics and brokers have settings here.")),
        };
        let result = DescribeConfigsResult::default()
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name.clone());
        match configs {
            Ok(mut configs) => {
                if let Some(keys) = &resource.configuration_keys {
                    configs.retain(|config| keys.contains(&config.name));
                }
                result.with_configs(configs)
            }
            Err(refusal) => result
                .with_error_code(refusal.code.0)
                .with_error_message(Some(StrBytes::from_string(refusal.reason))),
        }
    });
    Reply::Now(DescribeConfigsResponse::default().with_results(results.collect()))
}

fn describe_topic(
    resource: &DescribeConfigsResource,
    on: &Cluster,
    call: &Call,
    synonyms: bool,
) -> Result<Vec<DescribeConfigsResourceResult>, Refusal> {
    call.authorize(Operation::Describe, &resource.resource_name)?;
    let topic =
        on.topics.get(resource.resource_name.as_str()).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
    let all = KNOWN.iter().map(|known| {
        let text = |value: &str| Some(StrBytes::from_string(value.to_owned()));
        let given = topic.settings.given(known.name);
        let mut result = DescribeConfigsResourceResult::default()
            .with_name(StrBytes::from_static_str(known.name))
            .with_value(text(given.unwrap_or(known.default)))
            .with_config_source(if given.is_some() { FROM_TOPIC } else { FROM_DEFAULT })
            .with_config_type(known.value_type);
        if synonyms {
            let synonym = |value, source| {
                DescribeConfigsSynonym::default()
                    .with_name(StrBytes::from_static_str(known.name))
                    .with_value(text(value))
                    .with_source(source)
            };
            result.synonyms.extend(given.map(|given| synonym(given, FROM_TOPIC)));
            result.synonyms.push(synonym(known.default, FROM_DEFAULT));
        }
        result
    });
    Ok(all.collect())
}

fn describe_broker(
    resource: &DescribeConfigsResource,
    on: &Cluster,
) -> Result<Vec<DescribeConfigsResourceResult>, Refusal> {
    let name = resource.resource_name.as_str();
    // The empty name stands for what all brokers have in common: nothing that was changed.
    if name.is_empty() {
        return Ok(Vec::new());
    }
    let known = name.parse().is_ok_and(|id: i32| on.nodes.iter().any(|node| node.id == id));
    if !known {
        return Err(Refusal::new(ErrorCode::INVALID_REQUEST, format!("There is no broker {name} here.")));
    }
    let settings = &on.settings;
    let values = [
        ("auto.create.topics.enable", settings.creates_topics.to_string(), BOOLEAN),
        ("default.replication.factor", "1".to_owned(), INT),
        ("group.consumer.heartbeat.interval.ms", settings.heartbeat_interval.as_millis().to_string(), INT),
        ("group.initial.rebalance.delay.ms", settings.rebalance_delay.as_millis().to_string(), INT),
        ("group.max.session.timeout.ms", settings.session_timeouts.end().as_millis().to_string(), INT),
        ("group.min.session.timeout.ms", settings.session_timeouts.start().as_millis().to_string(), INT),
        ("message.max.bytes", TopicSettings::default().max_message_bytes.to_string(), INT),
        ("num.partitions", settings.partitions.to_string(), INT),
        ("socket.request.max.bytes", settings.request_bytes.to_string(), LONG),
    ];
    let all = values.into_iter().map(|(name, value, value_type)| {
        DescribeConfigsResourceResult::default()
            .with_name(StrBytes::from_static_str(name))
            .with_value(Some(StrBytes::from_string(value)))
            .with_read_only(true)
            .with_config_source(FROM_BROKER)
            .with_config_type(value_type)
    });
    Ok(all.collect())
}

pub(super) fn refuse_describe(request: &DescribeConfigsRequest, code: ErrorCode) -> DescribeConfigsResponse {
    let results = request.resources.iter().map(|resource| {
        DescribeConfigsResult::default()
            .with_error_code(code.0)
            .with_error_message(words(code))
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name.clone())
    });
    DescribeConfigsResponse::default().with_results(results.collect())
}

/// One change of a resource's settings: name, what to do, value.
type Change<'a> = (&'a str, i8, Option<&'a str>);

fn alter(
    resource_type: i8,
    name: &str,
    start: Option<TopicSettings>,
    changes: &[Change<'_>],
    validate_only: bool,
    on: &mut Cluster,
    call: &Call,
) -> Result<(), Refusal> {
    if resource_type != TOPIC {
        return Err(Refusal::new(
            ErrorCode::INVALID_REQUEST,
            "Only the settings of topics can be changed here; those of a broker are given when it starts.",
        ));
    }
    call.authorize(Operation::Describe, name)?;
    let topic = on.topics.get_mut(name).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
    let mut settings = start.unwrap_or_else(|| topic.settings.clone());
    for &(setting, operation, value) in changes {
        let set = match operation {
            SET => settings.set(setting, value),
            DELETE => settings.set(setting, None),
            APPEND | SUBTRACT => {
                let known = KNOWN.iter().find(|known| known.name == setting);
                let now = settings.given(setting).or(known.map(|known| known.default)).unwrap_or_default();
                let value = value.unwrap_or_default();
                let mut values: Vec<&str> =
                    now.split(',').filter(|part| !part.is_empty() && *part != value).collect();
                if operation == APPEND {
                    values.push(value);
                }
                let values = values.join(",");
                settings.set(setting, Some(&values))
            }
            _ => Err(format!("Unknown operation type {operation}")),
        };
        set.map_err(|reason| Refusal::new(ErrorCode::INVALID_CONFIG, reason))?;
    }
    if !validate_only {
        topic.settings = settings;
        on.save_topic(name)?;
    }
    Ok(())
}

fn outcome(result: Result<(), Refusal>) -> (i16, Option<StrBytes>) {
    match result {
        Ok(()) => (ErrorCode::NONE.0, None),
        Err(refusal) => (refusal.code.0, Some(StrBytes::from_string(refusal.reason))),
    }
}

pub(super) fn alter_all(
    request: AlterConfigsRequest,
    on: &mut Cluster,
    call: &Call,
) -> Reply<AlterConfigsResponse> {
    let responses = request.resources.into_iter().map(|resource| {
        let changes: Vec<Change<'_>> = resource
            .configs
            .iter()
            .map(|config| (config.name.as_str(), SET, config.value.as_deref()))
            .collect();
        let (kind, name) = (resource.resource_type, resource.resource_name.as_str());
        // What is not named goes back to its default.
        let start = Some(TopicSettings::default());
        let (code, message) = outcome(alter(kind, name, start, &changes, request.validate_only, on, call));
        AlterConfigsResourceResponse::default()
            .with_error_code(code)
            .with_error_message(message)
            .with_resource_type(kind)
            .with_resource_name(resource.resource_name.clone())
    });
    Reply::Now(AlterConfigsResponse::default().with_responses(responses.collect()))
}

pub(super) fn refuse_alter_all(request: &AlterConfigsRequest, code: ErrorCode) -> AlterConfigsResponse {
    let responses = request.resources.iter().map(|resource| {
        AlterConfigsResourceResponse::default()
            .with_error_code(code.0)
            .with_error_message(words(code))
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name.clone())
    });
    AlterConfigsResponse::default().with_responses(responses.collect())
}

pub(super) fn alter_some(
    request: IncrementalAlterConfigsRequest,
    on: &mut Cluster,
    call: &Call,
) -> Reply<IncrementalAlterConfigsResponse> {
    let responses = request.resources.into_iter().map(|resource| {
        let changes: Vec<Change<'_>> = resource
            .configs
            .iter()
            .map(|config| (config.name.as_str(), config.config_operation, config.value.as_deref()))
            .collect();
        let (kind, name) = (resource.resource_type, resource.resource_name.as_str());
        let (code, message) = outcome(alter(kind, name, None, &changes, request.validate_only, on, call));
        IncrementalResponse::default()
            .with_error_code(code)
            .with_error_message(message)
            .with_resource_type(kind)
            .with_resource_name(resource.resource_name.clone())
    });
    Reply::Now(IncrementalAlterConfigsResponse::default().with_responses(responses.collect()))
}

pub(super) fn refuse_alter_some(
    request: &IncrementalAlterConfigsRequest,
    code: ErrorCode,
) -> IncrementalAlterConfigsResponse {
    let responses = request.resources.iter().map(|resource| {
        IncrementalResponse::default()
            .with_error_code(code.0)
            .with_error_message(words(code))
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name.clone())
    });
    IncrementalAlterConfigsResponse::default().with_responses(responses.collect())
}
