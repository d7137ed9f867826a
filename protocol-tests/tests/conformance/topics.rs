//! Topics, their settings, and what is said of the cluster.

use hop::wire::error_code::ErrorCode;
use kafka_protocol::messages::create_partitions_request::{
    CreatePartitionsAssignment, CreatePartitionsTopic,
};
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{
    ApiVersionsRequest, CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest,
    DescribeConfigsRequest, IncrementalAlterConfigsRequest, MetadataRequest, TopicName,
};
use protocol_tests::peer::{Peer, code, text};
use protocol_tests::target::unique;

const TOPIC: i8 = 2;

#[tokio::test]
async fn versions_that_are_not_known_are_answered_in_the_oldest() {
    let mut peer = Peer::connect().await;
    // Version 0 of the answer is written; a request of version 3 and one of a later version look alike.
    let mut request = bytes::BytesMut::new();
    let versions = ApiVersionsRequest::default();
    hop::wire::message::encode_request(&mut request, &versions, 3, 1, "x").unwrap();
    request[7] = 99;
    let answer = peer.ask_bytes(&request).await;
    let answer = hop::wire::message::decode_response::<ApiVersionsRequest>(answer, 0).unwrap();
    assert_eq!(code(answer.error_code), ErrorCode::UNSUPPORTED_VERSION);
    assert!(answer.api_keys.iter().any(|api| api.api_key == 18));
}

fn asked(topic: TopicName, id: uuid::Uuid) -> MetadataRequest {
    let name = id.is_nil().then_some(topic);
    let topic = MetadataRequestTopic::default().with_name(name).with_topic_id(id);
    MetadataRequest::default().with_topics(Some(vec![topic])).with_allow_auto_topic_creation(false)
}

#[tokio::test]
async fn topics_are_described_by_name_and_by_id() {
    let mut peer = Peer::connect().await;
    let topic = peer.create_topic(3, &[]).await;
    for request in [asked(topic.topic_name(), uuid::Uuid::nil()), asked(topic.topic_name(), topic.id)] {
        let answer = peer.ask_in(12, request).await;
        let described = &answer.topics[0];
        assert_eq!((code(described.error_code), described.topic_id), (ErrorCode::NONE, topic.id));
        assert_eq!(described.name.as_ref().unwrap().as_str(), topic.name);
        assert_eq!(described.partitions.len(), 3);
        let leader = described.partitions[0].leader_id;
        assert!(answer.brokers.iter().any(|broker| broker.node_id == leader));
        assert!(described.partitions.iter().all(|partition| partition.leader_epoch == 0));
    }
    for (request, expected) in [
        (
            asked(TopicName(text(&unique("nowhere"))), uuid::Uuid::nil()),
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        ),
        (asked(TopicName(text("no/such/name")), uuid::Uuid::nil()), ErrorCode::INVALID_TOPIC_EXCEPTION),
        (asked(TopicName::default(), uuid::Uuid::from_u128(777)), ErrorCode::UNKNOWN_TOPIC_ID),
    ] {
        let answer = peer.ask_in(12, request).await;
        assert_eq!(code(answer.topics[0].error_code), expected);
    }
}

#[tokio::test]
async fn topics_that_cannot_be_are_not_made() {
    let mut peer = Peer::connect().await;
    let there = peer.create_topic(1, &[]).await;
    let topic = |name: &str, partitions, replicas| {
        CreatableTopic::default()
            .with_name(TopicName(text(name)))
            .with_num_partitions(partitions)
            .with_replication_factor(replicas)
    };
    let config = |name: &str, value: &str| {
        let config = CreatableTopicConfig::default().with_name(text(name)).with_value(Some(text(value)));
        topic(&unique("odd"), 1, 1).with_configs(vec![config])
    };
    for (what, topic, expected) in [
        ("it is there", topic(&there.name, 1, 1), ErrorCode::TOPIC_ALREADY_EXISTS),
        ("no partitions", topic(&unique("odd"), 0, 1), ErrorCode::INVALID_PARTITIONS),
        ("no replicas", topic(&unique("odd"), 1, 0), ErrorCode::INVALID_REPLICATION_FACTOR),
        ("too many replicas", topic(&unique("odd"), 1, 99), ErrorCode::INVALID_REPLICATION_FACTOR),
        ("a name with a slash", topic("a/b", 1, 1), ErrorCode::INVALID_TOPIC_EXCEPTION),
        ("no name", topic("", 1, 1), ErrorCode::INVALID_TOPIC_EXCEPTION),
        ("a long name", topic(&"x".repeat(250), 1, 1), ErrorCode::INVALID_TOPIC_EXCEPTION),
        ("an unknown setting", config("no.such.setting", "1"), ErrorCode::INVALID_CONFIG),
        ("a value that cannot be", config("retention.ms", "soon"), ErrorCode::INVALID_CONFIG),
    ] {
        let request = CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(5000);
        let answer = peer.ask(request).await;
        assert_eq!(code(answer.topics[0].error_code), expected, "{what}");
        assert!(answer.topics[0].error_message.is_some(), "{what}");
    }
    // Only to see whether it could be made.
    let name = unique("dry");
    let request = CreateTopicsRequest::default()
        .with_topics(vec![topic(&name, 2, -1)])
        .with_timeout_ms(5000)
        .with_validate_only(true);
    assert_eq!(code(peer.ask(request).await.topics[0].error_code), ErrorCode::NONE);
    let answer = peer.ask_in(12, asked(TopicName(text(&name)), uuid::Uuid::nil())).await;
    assert_eq!(code(answer.topics[0].error_code), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
}

#[tokio::test]
async fn topics_grow_and_go() {
    let mut peer = Peer::connect().await;
    let topic = peer.create_topic(2, &[]).await;
    let grow = |count, assignments: Option<Vec<CreatePartitionsAssignment>>| {
        let asked = CreatePartitionsTopic::default()
            .with_name(topic.topic_name())
            .with_count(count)
            .with_assignments(assignments);
        CreatePartitionsRequest::default().with_topics(vec![asked]).with_timeout_ms(5000)
    };
    for (count, expected) in
        [(1, ErrorCode::INVALID_PARTITIONS), (2, ErrorCode::INVALID_PARTITIONS), (4, ErrorCode::NONE)]
    {
        assert_eq!(code(peer.ask(grow(count, None)).await.results[0].error_code), expected, "{count}");
    }
    let too_few = peer.ask(grow(6, Some(vec![CreatePartitionsAssignment::default()]))).await;
    assert_eq!(code(too_few.results[0].error_code), ErrorCode::INVALID_REPLICA_ASSIGNMENT);
    let delete = || {
        let asked = DeleteTopicState::default().with_name(Some(topic.topic_name()));
        DeleteTopicsRequest::default().with_topics(vec![asked]).with_timeout_ms(5000)
    };
    assert_eq!(code(peer.ask(delete()).await.responses[0].error_code), ErrorCode::NONE);
    assert_eq!(code(peer.ask(delete()).await.responses[0].error_code), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    let by_id = DeleteTopicState::default().with_name(None).with_topic_id(topic.id);
    let request = DeleteTopicsRequest::default().with_topics(vec![by_id]).with_timeout_ms(5000);
    assert_eq!(code(peer.ask(request).await.responses[0].error_code), ErrorCode::UNKNOWN_TOPIC_ID);
}

#[tokio::test]
async fn settings_are_described_and_changed() {
    let mut peer = Peer::connect().await;
    let topic = peer.create_topic(1, &[("retention.ms", "1000000")]).await;
    let describe = |name: &str| {
        let asked = DescribeConfigsResource::default()
            .with_resource_type(TOPIC)
            .with_resource_name(text(name))
            .with_configuration_keys(Some(vec![text("retention.ms"), text("cleanup.policy")]));
        DescribeConfigsRequest::default().with_resources(vec![asked])
    };
    let answer = peer.ask(describe(&topic.name)).await;
    let mut described: Vec<_> = answer.results[0]
        .configs
        .iter()
        .map(|config| {
            (
                config.name.to_string(),
                config.value.clone().unwrap().to_string(),
                config.config_source,
                config.config_type,
            )
        })
        .collect();
    described.sort_unstable();
    // 1 is what was said of this topic, 5 the default.
    let expected = [("cleanup.policy", "delete", 5, 7), ("retention.ms", "1000000", 1, 5)];
    assert_eq!(
        described,
        expected.map(|(name, value, source, kind)| (name.to_owned(), value.to_owned(), source, kind))
    );

    let change = |name: &str, operation, value: Option<&str>| {
        let config = AlterableConfig::default()
            .with_name(text(name))
            .with_config_operation(operation)
            .with_value(value.map(text));
        let asked = AlterConfigsResource::default()
            .with_resource_type(TOPIC)
            .with_resource_name(text(&topic.name))
            .with_configs(vec![config]);
        IncrementalAlterConfigsRequest::default().with_resources(vec![asked])
    };
    for (request, expected) in [
        (change("retention.ms", 0, Some("5000")), ErrorCode::NONE),
        (change("cleanup.policy", 2, Some("compact")), ErrorCode::NONE),
        (change("retention.ms", 0, Some("never")), ErrorCode::INVALID_CONFIG),
        (change("no.such.setting", 0, Some("1")), ErrorCode::INVALID_CONFIG),
        (change("retention.ms", 1, None), ErrorCode::NONE),
    ] {
        let answer = peer.ask(request).await;
        assert_eq!(code(answer.responses[0].error_code), expected);
    }
    // A Kafka applies them a little later.
    for attempt in 0.. {
        let answer = peer.ask(describe(&topic.name)).await;
        let value = |name: &str| {
            let config = answer.results[0].configs.iter().find(|config| config.name.as_str() == name);
            config.and_then(|config| config.value.clone()).unwrap().to_string()
        };
        if (value("retention.ms"), value("cleanup.policy"))
            == ("604800000".to_owned(), "delete,compact".to_owned())
        {
            break;
        }
        assert!(attempt < 200, "{answer:?}");
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    let answer = peer.ask(describe(&unique("nowhere"))).await;
    assert_eq!(code(answer.results[0].error_code), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
}
