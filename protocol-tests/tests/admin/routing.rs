//! Who is asked, and what is asked again: on brokers of ours that move things about and misbehave.

use std::future::Future;
use std::time::{Duration, Instant};

use hop::broker::{Broker, Denial, Fault, Operation};
use hop::kafka::admin::{Admin, ConfigResource, NewTopic, OffsetSpec};
use hop::kafka::{Client, CommittedOffset, Error, TopicPartition};
use hop::wire::error_code::ErrorCode;
use kafka_protocol::messages::*;
use protocol_tests::target::{code, only, unique};

async fn admin(broker: &Broker) -> Admin {
    Client::builder().bootstrap(&broker.bootstrap()).connect().await.unwrap().admin()
}

fn new(name: &str) -> NewTopic {
    NewTopic::new(name).partitions(1)
}

#[tokio::test]
async fn the_controller_is_looked_for_when_nobody_else_will_do() {
    let broker = Broker::builder().brokers(3).topic("t", 1).start().await.unwrap();
    // The first is the controller; as before KRaft, the others do not pass on what is for it.
    for node in [1, 2] {
        let refuses =
            |fault: Fault| broker.misbehave(fault.answer(ErrorCode::NOT_CONTROLLER).from_node(node).always());
        refuses(Fault::on::<CreateTopicsRequest>());
        refuses(Fault::on::<DeleteTopicsRequest>());
        refuses(Fault::on::<CreatePartitionsRequest>());
    }
    let addresses = broker.bootstrap();
    let second = addresses.split(',').nth(1).unwrap();
    let client = Client::builder().bootstrap(second).connect().await.unwrap();
    only(client.admin().create_topics(&[new("made")]).await.unwrap()).unwrap();
    client.admin().create_partitions("made", 2).await.unwrap();
    only(client.admin().delete_topics(&["made"]).await.unwrap()).unwrap();
}

#[tokio::test]
async fn groups_are_followed_to_their_coordinators() {
    let broker = Broker::builder().brokers(3).topic("t", 1).start().await.unwrap();
    let admin = admin(&broker).await;
    let groups: Vec<String> = (0..6).map(|_| unique("group")).collect();
    let partition = TopicPartition::new("t", 0);
    for (offset, group) in (0..).zip(&groups) {
        only(admin.alter_offsets(group, &[(partition.clone(), CommittedOffset::new(offset))]).await.unwrap())
            .unwrap();
    }
    for round in 1..4 {
        for (at, group) in (round..).zip(&groups) {
            broker.move_coordinator(group, at % 3).unwrap();
        }
        let names: Vec<&str> = groups.iter().map(String::as_str).collect();
        for (name, described) in admin.describe_groups(&names).await.unwrap() {
            described.unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        for (offset, group) in (0..).zip(&groups) {
            assert_eq!(admin.committed_offsets(group).await.unwrap()[0].1.offset, offset);
        }
    }
    // Every broker lists its own; one that cannot leaves the list in want.
    let listed: Vec<String> =
        admin.list_groups().await.unwrap().into_iter().map(|group| group.name).collect();
    let mut sorted = groups.clone();
    sorted.sort_unstable();
    assert_eq!(listed, sorted);
    broker.misbehave(
        Fault::on::<ListGroupsRequest>()
            .answer(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS)
            .from_node(2)
            .times(2),
    );
    assert_eq!(admin.list_groups().await.unwrap().len(), groups.len());
    broker.misbehave(
        Fault::on::<ListGroupsRequest>().answer(ErrorCode::GROUP_AUTHORIZATION_FAILED).from_node(2).always(),
    );
    assert!(matches!(admin.list_groups().await, Err(Error::NotAuthorized { .. })));
}

#[tokio::test]
async fn partitions_are_followed_to_their_leaders() {
    let broker = Broker::builder().brokers(3).topic("t", 3).start().await.unwrap();
    let admin = admin(&broker).await;
    let wanted: Vec<_> =
        (0..3).map(|number| (TopicPartition::new("t", number), OffsetSpec::Latest)).collect();
    for code in
        [ErrorCode::NOT_LEADER_OR_FOLLOWER, ErrorCode::LEADER_NOT_AVAILABLE, ErrorCode::OFFSET_NOT_AVAILABLE]
    {
        broker.misbehave(Fault::on::<ListOffsetsRequest>().answer(code).times(2));
        for partition in 0..3 {
            broker.move_leader("t", partition, (broker.leader("t", partition).unwrap() + 1) % 3).unwrap();
        }
        for (partition, listed) in admin.offsets(&wanted).await.unwrap() {
            assert_eq!(listed.unwrap().offset, Some(0), "{partition} {code}");
        }
        broker.behave();
    }
    broker.misbehave(Fault::on::<DeleteRecordsRequest>().answer(ErrorCode::NOT_LEADER_OR_FOLLOWER).times(3));
    assert_eq!(admin.delete_records("t", 1, 0).await.unwrap(), 0);
}

#[tokio::test]
async fn connections_that_break_are_made_anew_and_answers_that_are_lost_may_have_been_given() {
    let broker = Broker::builder().topic("t", 1).start().await.unwrap();
    let admin = admin(&broker).await;
    for fault in [
        Fault::on::<CreateTopicsRequest>().hang_up_before().times(2),
        Fault::on::<CreateTopicsRequest>().answer(ErrorCode::THROTTLING_QUOTA_EXCEEDED).times(2),
    ] {
        broker.misbehave(fault);
        only(admin.create_topics(&[new(&unique("made"))]).await.unwrap()).unwrap();
        broker.behave();
    }
    for fault in [
        Fault::on::<CreateTopicsRequest>().hang_up_after().times(1),
        Fault::on::<CreateTopicsRequest>().truncate(9).times(1),
    ] {
        broker.misbehave(fault);
        let result = only(admin.create_topics(&[new(&unique("made"))]).await.unwrap());
        assert_eq!(code(result), ErrorCode::TOPIC_ALREADY_EXISTS);
        broker.behave();
    }
}

#[tokio::test]
async fn what_does_not_pass_ends_with_the_time() {
    let broker = Broker::builder().topic("t", 1).start().await.unwrap();
    let limit = Duration::from_millis(500);
    let client =
        Client::builder().bootstrap(&broker.bootstrap()).request_timeout(limit).connect().await.unwrap();
    let admin = client.admin();
    broker.misbehave(Fault::on::<CreateTopicsRequest>().answer(ErrorCode::REQUEST_TIMED_OUT).always());
    broker.misbehave(
        Fault::on::<DescribeGroupsRequest>().answer(ErrorCode::COORDINATOR_NOT_AVAILABLE).always(),
    );
    broker.misbehave(
        Fault::on::<ConsumerGroupDescribeRequest>().answer(ErrorCode::UNSUPPORTED_VERSION).always(),
    );
    let started = Instant::now();
    let result = only(admin.create_topics(&[new("made")]).await.unwrap());
    assert_eq!(code(result), ErrorCode::REQUEST_TIMED_OUT);
    let result = only(admin.describe_groups(&["g"]).await.unwrap());
    assert_eq!(code(result), ErrorCode::COORDINATOR_NOT_AVAILABLE);
    let took = started.elapsed();
    assert!(took >= 2 * limit && took < 10 * limit, "{took:?}");
    // No answer at all.
    broker.misbehave(Fault::on::<DeleteTopicsRequest>().delay(Duration::from_secs(60)).always());
    let silent = admin.delete_topics(&["t"]).await;
    assert!(matches!(silent, Err(Error::TimedOut { api: "DeleteTopics", .. })), "{silent:?}");
}

#[tokio::test]
async fn what_is_forbidden_is_not_tried_again() {
    let broker = Broker::builder()
        .topic("hidden", 1)
        .topic("sealed", 1)
        .deny(Denial::new("*", Operation::Describe, "hidden"))
        .deny(Denial::new("*", Operation::Write, "sealed"))
        .start()
        .await
        .unwrap();
    let admin = admin(&broker).await;
    let started = Instant::now();
    let forbidden =
        |error: Error, words: &str| assert_eq!(error.to_string().split(" with this").next(), Some(words));
    let created = only(admin.create_topics(&[new("hidden")]).await.unwrap()).unwrap_err();
    forbidden(created, "not authorised to create topic 'hidden'");
    let deleted = only(admin.delete_topics(&["hidden"]).await.unwrap()).unwrap_err();
    forbidden(deleted, "not authorised to delete topic 'hidden'");
    let settings =
        only(admin.describe_configs(&[ConfigResource::topic("hidden")]).await.unwrap()).unwrap_err();
    forbidden(settings, "not authorised to describe the settings of topic 'hidden'");
    forbidden(
        admin.delete_records("sealed", 0, 0).await.unwrap_err(),
        "not authorised to delete records of partition 0 of topic 'sealed'",
    );
    assert!(started.elapsed() < Duration::from_secs(5));
}

/// Its futures may be spawned.
#[tokio::test]
async fn questions_may_be_asked_from_other_tasks() {
    fn spawnable<F: Future + Send + 'static>(future: F) -> F {
        future
    }
    let broker = Broker::builder().topic("t", 1).start().await.unwrap();
    let admin = admin(&broker).await;
    let task = spawnable(async move {
        only(admin.create_topics(&[new("made")]).await.unwrap()).unwrap();
        admin.create_partitions("made", 2).await.unwrap();
        let resource = ConfigResource::topic("made");
        only(admin.describe_configs(std::slice::from_ref(&resource)).await.unwrap()).unwrap();
        only(admin.alter_configs(&[(resource, &[])]).await.unwrap()).unwrap();
        let partition = TopicPartition::new("t", 0);
        only(admin.alter_offsets("g", &[(partition.clone(), CommittedOffset::new(0))]).await.unwrap())
            .unwrap();
        only(admin.delete_offsets("g", std::slice::from_ref(&partition)).await.unwrap()).unwrap();
        admin.committed_offsets("g").await.unwrap();
        admin.list_groups().await.unwrap();
        only(admin.describe_groups(&["g"]).await.unwrap()).unwrap();
        only(admin.delete_groups(&["g"]).await.unwrap()).unwrap();
        only(admin.offsets(&[(partition, OffsetSpec::Earliest)]).await.unwrap()).unwrap();
        admin.delete_records("t", 0, 0).await.unwrap();
        admin.describe_cluster().await.unwrap();
        let filter = hop::kafka::admin::AclFilter::default();
        assert!(admin.describe_acls(&filter).await.is_err() && admin.delete_acls(&filter).await.is_err());
        assert!(
            admin
                .create_acls(&[hop::kafka::admin::Acl::allow(
                    "User:u",
                    hop::kafka::admin::AclOperation::Read
                )])
                .await
                .is_err()
        );
        assert!(admin.describe_scram_users(None).await.is_err());
        let mechanism = hop::kafka::admin::ScramMechanism::Sha256;
        assert!(admin.upsert_scram_user("u", mechanism, 4096, &"p".to_owned().into()).await.is_err());
        assert!(admin.delete_scram_user("u", mechanism).await.is_err());
        only(admin.delete_topics(&["made"]).await.unwrap()).unwrap();
    });
    tokio::spawn(task).await.unwrap();
}
