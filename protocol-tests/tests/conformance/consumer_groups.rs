//! Groups that the broker assigns (KIP-848). Kafka 3.9 does not offer them unless asked to, and must say so.

use hop::wire::error_code::ErrorCode;
use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::Request;
use protocol_tests::peer::{Peer, Topic, code, text};
use protocol_tests::target::unique;

use crate::groups::{commit, committed_offset};

/// Whether the broker offers such groups. One that does not says so in the answer to a heartbeat.
async fn offered(peer: &mut Peer) -> bool {
    // Kafka 4.0 is the first that speaks version 1, and the first that offers the groups without being asked.
    if peer.apis.iter().any(|(key, max)| *key == ConsumerGroupHeartbeatRequest::KEY && *max >= 1) {
        return true;
    }
    let group = unique("group");
    peer.find_coordinator(&group, 0).await;
    let nowhere = Topic { name: unique("nowhere"), id: uuid::Uuid::nil() };
    let answer = peer.ask_in(0, join(&group, "", &nowhere)).await;
    assert_eq!(code(answer.error_code), ErrorCode::UNSUPPORTED_VERSION);
    false
}

fn beat(group: &str, member: &str, epoch: i32) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest::default()
        .with_group_id(GroupId(text(group)))
        .with_member_id(text(member))
        .with_member_epoch(epoch)
        .with_rebalance_timeout_ms(-1)
}

fn join(group: &str, member: &str, topic: &Topic) -> ConsumerGroupHeartbeatRequest {
    beat(group, member, 0)
        .with_rebalance_timeout_ms(10_000)
        .with_subscribed_topic_names(Some(vec![topic.topic_name()]))
        .with_topic_partitions(Some(Vec::new()))
}

fn owned(topic: &Topic, partitions: &[i32]) -> Option<Vec<TopicPartitions>> {
    Some(vec![TopicPartitions::default().with_topic_id(topic.id).with_partitions(partitions.to_vec())])
}

fn assigned(answer: &ConsumerGroupHeartbeatResponse) -> Option<Vec<i32>> {
    let assignment = answer.assignment.as_ref()?;
    let mut partitions: Vec<_> =
        assignment.topic_partitions.iter().flat_map(|topic| topic.partitions.clone()).collect();
    partitions.sort_unstable();
    Some(partitions)
}

#[tokio::test]
async fn partitions_go_from_one_member_to_the_next_when_they_are_let_go() {
    let mut peer = Peer::connect().await;
    if !offered(&mut peer).await {
        return;
    }
    let topic = peer.create_topic(4, &[]).await;
    let group = unique("group");
    peer.find_coordinator(&group, 0).await;
    let (a, b) = (uuid::Uuid::new_v4().to_string(), uuid::Uuid::new_v4().to_string());
    let mut first = peer.ask_coordinator(join(&group, &a, &topic), |answer| answer.error_code).await;
    assert_eq!(code(first.error_code), ErrorCode::NONE, "{:?}", first.error_message);
    // A Kafka may take a moment to share out.
    for _ in 0..100 {
        if assigned(&first) == Some(vec![0, 1, 2, 3]) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        let epoch = first.member_epoch;
        first = peer.ask(beat(&group, &a, epoch).with_topic_partitions(Some(Vec::new()))).await;
    }
    assert_eq!(assigned(&first), Some(vec![0, 1, 2, 3]));
    let epoch = first.member_epoch;
    peer.ask(beat(&group, &a, epoch).with_topic_partitions(owned(&topic, &[0, 1, 2, 3]))).await;

    let second = peer.ask(join(&group, &b, &topic)).await;
    assert_eq!(code(second.error_code), ErrorCode::NONE);
    assert_eq!(assigned(&second).unwrap_or_default(), [] as [i32; 0], "nothing was let go yet");
    let mut kept = None;
    for _ in 0..100 {
        let told = peer.ask(beat(&group, &a, epoch)).await;
        assert_eq!(told.member_epoch, epoch, "it is to let go first");
        kept = assigned(&told);
        if kept.is_some() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let kept = kept.expect("the first is told to let go");
    assert_eq!(kept.len(), 2);
    let told = peer.ask(beat(&group, &a, epoch).with_topic_partitions(owned(&topic, &kept))).await;
    assert!(told.member_epoch > epoch);
    let mut got = Vec::new();
    for _ in 0..100 {
        let told = peer.ask(beat(&group, &b, second.member_epoch)).await;
        assert_eq!(code(told.error_code), ErrorCode::NONE);
        if let Some(partitions) = assigned(&told) {
            got = partitions;
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let mut all = [kept, got].concat();
    all.sort_unstable();
    assert_eq!(all, [0, 1, 2, 3]);

    let described =
        peer.ask(ConsumerGroupDescribeRequest::default().with_group_ids(vec![GroupId(text(&group))])).await;
    assert_eq!(
        (described.groups[0].members.len(), described.groups[0].assignor_name.as_str()),
        (2, "uniform")
    );
    let left = peer.ask(beat(&group, &b, -1)).await;
    assert_eq!((code(left.error_code), left.member_epoch), (ErrorCode::NONE, -1));
}

#[tokio::test]
async fn members_out_of_step_are_fenced() {
    let mut peer = Peer::connect().await;
    if !offered(&mut peer).await {
        return;
    }
    let topic = peer.create_topic(1, &[]).await;
    let group = unique("group");
    peer.find_coordinator(&group, 0).await;
    let member = uuid::Uuid::new_v4().to_string();
    let joined = peer.ask_coordinator(join(&group, &member, &topic), |answer| answer.error_code).await;
    let epoch = joined.member_epoch;
    let other = uuid::Uuid::new_v4().to_string();
    for (what, request, expected) in [
        ("from the future", beat(&group, &member, epoch + 5), ErrorCode::FENCED_MEMBER_EPOCH),
        ("a stranger", beat(&group, &other, epoch), ErrorCode::UNKNOWN_MEMBER_ID),
        (
            "an unknown strategy",
            join(&group, &other, &topic).with_server_assignor(Some(text("magic"))),
            ErrorCode::UNSUPPORTED_ASSIGNOR,
        ),
        (
            "a pattern that is none",
            join(&group, &other, &topic).with_subscribed_topic_regex(Some(text("(("))),
            ErrorCode::INVALID_REGULAR_EXPRESSION,
        ),
    ] {
        assert_eq!(code(peer.ask(request).await.error_code), expected, "{what}");
    }
    let codes = |answer: &OffsetCommitResponse| code(answer.topics[0].partitions[0].error_code);
    let stale = peer.ask(commit(&group, &member, epoch + 3, &topic, 1)).await;
    assert_eq!(codes(&stale), ErrorCode::STALE_MEMBER_EPOCH);
    let good = peer.ask(commit(&group, &member, epoch, &topic, 1)).await;
    assert_eq!(codes(&good), ErrorCode::NONE);
    assert_eq!(committed_offset(&mut peer, &group, &topic).await, Ok(1));
}
