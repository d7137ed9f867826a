//! Groups whose members share out the partitions themselves, and the offsets that groups commit.

use bytes::Bytes;
use hop::wire::error_code::ErrorCode;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::*;
use protocol_tests::peer::{Peer, Topic, code, text};
use protocol_tests::target::unique;

fn join(group: &str, member: &str) -> JoinGroupRequest {
    let protocol =
        JoinGroupRequestProtocol::default().with_name(text("range")).with_metadata(Bytes::from_static(b"m"));
    JoinGroupRequest::default()
        .with_group_id(GroupId(text(group)))
        .with_member_id(text(member))
        .with_session_timeout_ms(10_000)
        .with_rebalance_timeout_ms(10_000)
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![protocol])
}

fn sync(
    group: &str,
    member: &str,
    generation: i32,
    assignments: &[(&str, &'static str)],
) -> SyncGroupRequest {
    let assignments = assignments.iter().map(|(member, assignment)| {
        SyncGroupRequestAssignment::default()
            .with_member_id(text(member))
            .with_assignment(Bytes::from_static(assignment.as_bytes()))
    });
    SyncGroupRequest::default()
        .with_group_id(GroupId(text(group)))
        .with_member_id(text(member))
        .with_generation_id(generation)
        .with_protocol_type(Some(text("consumer")))
        .with_protocol_name(Some(text("range")))
        .with_assignments(assignments.collect())
}

fn heartbeat(group: &str, member: &str, generation: i32) -> HeartbeatRequest {
    HeartbeatRequest::default()
        .with_group_id(GroupId(text(group)))
        .with_member_id(text(member))
        .with_generation_id(generation)
}

pub(crate) fn commit(
    group: &str,
    member: &str,
    generation: i32,
    topic: &Topic,
    offset: i64,
) -> OffsetCommitRequest {
    let partition = OffsetCommitRequestPartition::default()
        .with_committed_offset(offset)
        .with_committed_leader_epoch(-1)
        .with_committed_metadata(Some(text("note")));
    let asked =
        OffsetCommitRequestTopic::default().with_name(topic.topic_name()).with_partitions(vec![partition]);
    OffsetCommitRequest::default()
        .with_group_id(GroupId(text(group)))
        .with_member_id(text(member))
        .with_generation_id_or_member_epoch(generation)
        .with_topics(vec![asked])
}

pub(crate) fn committed(group: &str, topic: &Topic) -> OffsetFetchRequest {
    let asked =
        OffsetFetchRequestTopics::default().with_name(topic.topic_name()).with_partition_indexes(vec![0]);
    let group = OffsetFetchRequestGroup::default()
        .with_group_id(GroupId(text(group)))
        .with_member_epoch(-1)
        .with_topics(Some(vec![asked]));
    OffsetFetchRequest::default().with_groups(vec![group]).with_require_stable(true)
}

/// The offset that a group committed, or why it is not told.
pub(crate) async fn committed_offset(peer: &mut Peer, group: &str, topic: &Topic) -> Result<i64, ErrorCode> {
    let answer = peer.ask_coordinator(committed(group, topic), |answer| answer.groups[0].error_code).await;
    let partition = &answer.groups[0].topics[0].partitions[0];
    match code(partition.error_code) {
        ErrorCode::NONE => Ok(partition.committed_offset),
        code => Err(code),
    }
}

/// A member of a new group that has joined, assigned and is stable: its id, and the generation.
async fn stable(peer: &mut Peer, group: &str) -> (String, i32) {
    peer.find_coordinator(group, 0).await;
    let first = peer.ask_coordinator(join(group, ""), |answer| answer.error_code).await;
    assert_eq!(code(first.error_code), ErrorCode::MEMBER_ID_REQUIRED);
    let joined = peer.ask(join(group, &first.member_id)).await;
    assert_eq!((code(joined.error_code), &joined.leader), (ErrorCode::NONE, &joined.member_id));
    assert_eq!((joined.members.len(), joined.protocol_name.as_deref()), (1, Some("range")));
    let member = joined.member_id.to_string();
    let synced = peer.ask(sync(group, &member, joined.generation_id, &[(&member, "mine")])).await;
    assert_eq!((code(synced.error_code), &synced.assignment[..]), (ErrorCode::NONE, &b"mine"[..]));
    (member, joined.generation_id)
}

#[tokio::test]
async fn a_member_joins_is_there_and_leaves() {
    let mut peer = Peer::connect().await;
    let group = unique("group");
    let (member, generation) = stable(&mut peer, &group).await;
    assert_eq!(generation, 1);
    for (what, request, expected) in [
        ("it is there", heartbeat(&group, &member, 1), ErrorCode::NONE),
        ("another generation", heartbeat(&group, &member, 9), ErrorCode::ILLEGAL_GENERATION),
        ("nobody", heartbeat(&group, "nobody", 1), ErrorCode::UNKNOWN_MEMBER_ID),
    ] {
        assert_eq!(code(peer.ask(request).await.error_code), expected, "{what}");
    }
    let mut other = join(&group, "");
    other.protocols[0].name = text("other");
    assert_eq!(code(peer.ask(other).await.error_code), ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
    assert_eq!(code(peer.ask(join(&group, "nobody")).await.error_code), ErrorCode::UNKNOWN_MEMBER_ID);
    let hasty = join(&group, "").with_session_timeout_ms(1);
    assert_eq!(code(peer.ask(hasty).await.error_code), ErrorCode::INVALID_SESSION_TIMEOUT);
    let wrong = sync(&group, &member, 1, &[]).with_protocol_name(Some(text("other")));
    assert_eq!(code(peer.ask(wrong).await.error_code), ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
    // Who lost the answer asks once more.
    assert_eq!(&peer.ask(sync(&group, &member, 1, &[])).await.assignment[..], b"mine");

    let delete = DeleteGroupsRequest::default().with_groups_names(vec![GroupId(text(&group))]);
    assert_eq!(code(peer.ask(delete.clone()).await.results[0].error_code), ErrorCode::NON_EMPTY_GROUP);
    let leave = |member: &str| {
        let member = MemberIdentity::default().with_member_id(text(member));
        LeaveGroupRequest::default().with_group_id(GroupId(text(&group))).with_members(vec![member])
    };
    assert_eq!(code(peer.ask(leave("nobody")).await.members[0].error_code), ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(code(peer.ask(leave(&member)).await.members[0].error_code), ErrorCode::NONE);
    assert_eq!(code(peer.ask(heartbeat(&group, &member, 1)).await.error_code), ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(code(peer.ask(delete.clone()).await.results[0].error_code), ErrorCode::NONE);
    assert_eq!(code(peer.ask(delete).await.results[0].error_code), ErrorCode::GROUP_ID_NOT_FOUND);
}

#[tokio::test]
async fn a_second_member_has_the_first_join_again() {
    let mut first = Peer::connect().await;
    let mut second = first.another().await;
    let group = unique("group");
    let (leader, generation) = stable(&mut first, &group).await;
    let id = second.ask(join(&group, "")).await.member_id.to_string();
    second.send(second.newest::<JoinGroupRequest>(), join(&group, &id)).await;
    // The first hears of it with its next heartbeat.
    for attempt in 0.. {
        let answer = first.ask(heartbeat(&group, &leader, generation)).await;
        if code(answer.error_code) == ErrorCode::REBALANCE_IN_PROGRESS {
            break;
        }
        assert!(attempt < 200);
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let late = first.ask(sync(&group, &leader, generation, &[])).await;
    assert_eq!(code(late.error_code), ErrorCode::REBALANCE_IN_PROGRESS);
    let joined = first.ask(join(&group, &leader)).await;
    let version = second.newest::<JoinGroupRequest>();
    let follower = second.receive::<JoinGroupRequest>(version).await;
    assert_eq!((joined.generation_id, follower.generation_id), (generation + 1, generation + 1));
    assert_eq!((joined.members.len(), follower.members.len()), (2, 0));
    assert_eq!((joined.leader.as_str(), follower.leader.as_str()), (leader.as_str(), leader.as_str()));

    let version = second.newest::<SyncGroupRequest>();
    second.send(version, sync(&group, &id, joined.generation_id, &[])).await;
    first.ask(sync(&group, &leader, joined.generation_id, &[(&leader, "one"), (&id, "two")])).await;
    assert_eq!(&second.receive::<SyncGroupRequest>(version).await.assignment[..], b"two");

    let described =
        first.ask(DescribeGroupsRequest::default().with_groups(vec![GroupId(text(&group))])).await;
    let described = &described.groups[0];
    assert_eq!((described.group_state.as_str(), described.protocol_data.as_str()), ("Stable", "range"));
    assert_eq!(described.members.len(), 2);
    let listed = first.ask(ListGroupsRequest::default()).await;
    assert!(
        listed
            .groups
            .iter()
            .any(|listed| listed.group_id.as_str() == group && listed.group_state.as_str() == "Stable")
    );
}

#[tokio::test]
async fn a_static_member_comes_back_in_its_own_place() {
    let mut peer = Peer::connect().await;
    let group = unique("group");
    peer.find_coordinator(&group, 0).await;
    let request = || join(&group, "").with_group_instance_id(Some(text("instance")));
    let joined = peer.ask_coordinator(request(), |answer| answer.error_code).await;
    assert_eq!(code(joined.error_code), ErrorCode::NONE);
    let old = joined.member_id.to_string();
    let synced = peer
        .ask(sync(&group, &old, 1, &[(&old, "mine")]).with_group_instance_id(Some(text("instance"))))
        .await;
    assert_eq!(code(synced.error_code), ErrorCode::NONE);

    let again = peer.ask(request()).await;
    assert_eq!((code(again.error_code), again.generation_id), (ErrorCode::NONE, 1));
    assert!(again.skip_assignment && again.member_id.as_str() != old);
    let beat = heartbeat(&group, &old, 1).with_group_instance_id(Some(text("instance")));
    assert_eq!(code(peer.ask(beat).await.error_code), ErrorCode::FENCED_INSTANCE_ID);
    let new = again.member_id.to_string();
    let synced = peer.ask(sync(&group, &new, 1, &[]).with_group_instance_id(Some(text("instance")))).await;
    assert_eq!(&synced.assignment[..], b"mine");
}

#[tokio::test]
async fn offsets_are_committed_by_members_and_by_those_who_are_in_no_group() {
    let mut peer = Peer::connect().await;
    let topic = peer.create_topic(1, &[]).await;
    let group = unique("group");
    peer.find_coordinator(&group, 0).await;
    assert_eq!(committed_offset(&mut peer, &group, &topic).await, Ok(-1));
    let codes = |answer: &OffsetCommitResponse| answer.topics[0].partitions[0].error_code;
    let answer = peer.ask_coordinator(commit(&group, "", -1, &topic, 5), codes).await;
    assert_eq!(code(codes(&answer)), ErrorCode::NONE);
    assert_eq!(committed_offset(&mut peer, &group, &topic).await, Ok(5));

    let (member, generation) = stable(&mut peer, &group).await;
    for (what, request, expected) in [
        ("the member", commit(&group, &member, generation, &topic, 7), ErrorCode::NONE),
        (
            "an old generation",
            commit(&group, &member, generation - 1, &topic, 8),
            ErrorCode::ILLEGAL_GENERATION,
        ),
        ("nobody", commit(&group, "nobody", generation, &topic, 8), ErrorCode::UNKNOWN_MEMBER_ID),
        ("one in no group", commit(&group, "", -1, &topic, 8), ErrorCode::UNKNOWN_MEMBER_ID),
    ] {
        assert_eq!(code(codes(&peer.ask(request).await)), expected, "{what}");
    }
    assert_eq!(committed_offset(&mut peer, &group, &topic).await, Ok(7));
    let mut long = commit(&group, &member, generation, &topic, 9);
    long.topics[0].partitions[0].committed_metadata = Some(text(&"x".repeat(5000)));
    assert_eq!(code(codes(&peer.ask(long).await)), ErrorCode::OFFSET_METADATA_TOO_LARGE);
}
