//! Groups, their members and how far they have read.

use hop::kafka::admin::{ConfigChange, ConfigResource, ConfigSource, GroupState, GroupType};
use hop::kafka::{CommittedOffset, TopicPartition};
use hop::wire::error_code::ErrorCode;
use protocol_tests::target::{Target, code, eventually, kafka, only, unique};

use crate::members::Member;

async fn state(target: &Target, group: &str) -> GroupState {
    only(target.admin.describe_groups(&[group]).await.unwrap()).unwrap().state
}

#[tokio::test]
async fn classic_groups_are_listed_described_and_deleted() {
    let target = Target::new().await;
    let (listed_state, listed_kind) = classic_groups(&target).await;
    assert_eq!(listed_state, Some(GroupState::Stable));
    assert_eq!(listed_kind, Some(GroupType::Classic));
}

/// What brokers of every age do; gives back what a listing says of a group.
pub(crate) async fn classic_groups(target: &Target) -> (Option<GroupState>, Option<GroupType>) {
    let admin = &target.admin;
    let topic = target.topic(3).await;
    let (group, opaque) = (unique("group"), unique("opaque"));
    // Whoever looks for a coordinator has a Kafka make the topics that it needs.
    assert_eq!(admin.committed_offsets(&group).await.unwrap(), []);
    let member = Member::classic(&target.address, &group, &topic, &[0, 2]).await;
    let other = Member::opaque(&target.address, &opaque).await;

    let listed = admin.list_groups().await.unwrap();
    let found = listed.iter().find(|listed| listed.name == group).expect("it is listed").clone();
    assert_eq!(found.protocol_type, "consumer");
    assert!(listed.is_sorted_by_key(|listed| listed.name.clone()));

    let missing = unique("missing");
    let described = admin.describe_groups(&[&missing, &group, &opaque]).await.unwrap();
    let [nobody, of_consumers, of_others] = described.try_into().unwrap();
    assert_eq!((nobody.0.as_str(), of_consumers.0.as_str()), (missing.as_str(), group.as_str()));
    assert_eq!(code(nobody.1), ErrorCode::GROUP_ID_NOT_FOUND);
    let described = of_consumers.1.unwrap();
    assert_eq!((described.kind, described.state), (GroupType::Classic, GroupState::Stable));
    assert_eq!((described.protocol_type.as_str(), described.assignor.as_str()), ("consumer", "range"));
    let [described] = &described.members[..] else { panic!("{:?}", described.members) };
    assert_eq!((described.id.as_str(), described.client_id.as_str()), (member.id.as_str(), "a member"));
    assert!(!described.client_host.is_empty());
    assert_eq!(described.subscribed_topics, [topic.as_str()]);
    let partition = |number| TopicPartition::new(topic.as_str(), number);
    assert_eq!(described.assigned, [partition(0), partition(2)]);
    // What others than consumers say is not looked at.
    let described = of_others.1.unwrap();
    assert_eq!((described.protocol_type.as_str(), described.members.len()), ("connect", 1));
    assert!(described.members[0].subscribed_topics.is_empty() && described.members[0].assigned.is_empty());

    // While it has members, nothing is done to it.
    assert_eq!(code(only(admin.delete_groups(&[&group]).await.unwrap())), ErrorCode::NON_EMPTY_GROUP);
    let offsets = [(partition(0), CommittedOffset::new(1))];
    let in_use = only(admin.alter_offsets(&group, &offsets).await.unwrap()).unwrap_err();
    assert!(in_use.to_string().contains("the group has members"), "{in_use}");
    member.leave().await;
    other.leave().await;
    eventually("the group is empty", async || state(target, &group).await == GroupState::Empty).await;
    only(admin.alter_offsets(&group, &offsets).await.unwrap()).unwrap();
    let deleted = admin.delete_groups(&[&group, &missing]).await.unwrap();
    let [deleted, nobody] = deleted.try_into().unwrap();
    deleted.1.unwrap();
    assert_eq!(code(nobody.1), ErrorCode::GROUP_ID_NOT_FOUND);
    assert_eq!(admin.committed_offsets(&group).await.unwrap(), []);
    (found.state, found.kind)
}

#[tokio::test]
async fn groups_that_the_coordinator_assigns_are_described_beside_classic_ones() {
    let target = Target::new().await;
    let topic = target.topic(2).await;
    let (group, classic) = (unique("group"), unique("classic"));
    assert_eq!(target.admin.committed_offsets(&group).await.unwrap(), []);
    let Some(member) = Member::modern(&target.address, &group, &topic, 2).await else {
        // Kafka before 4.0 does not offer them unless it is told to; the group must then not be there.
        let described = only(target.admin.describe_groups(&[&group]).await.unwrap());
        assert_eq!(code(described), ErrorCode::GROUP_ID_NOT_FOUND);
        assert!(kafka().is_some());
        return;
    };
    let other = Member::classic(&target.address, &classic, &topic, &[1]).await;
    let listed = target.admin.list_groups().await.unwrap();
    let found = listed.into_iter().find(|listed| listed.name == group).expect("it is listed");
    assert_eq!(found.kind, Some(GroupType::Consumer));
    let described = target.admin.describe_groups(&[&classic, &group]).await.unwrap();
    let [of_members, assigned] = described.try_into().unwrap();
    assert_eq!(of_members.1.unwrap().kind, GroupType::Classic);
    let described = assigned.1.unwrap();
    assert_eq!((described.kind, described.state), (GroupType::Consumer, GroupState::Stable));
    assert_eq!((described.assignor.as_str(), described.protocol_type.as_str()), ("uniform", "consumer"));
    assert!(described.epoch.is_some_and(|epoch| epoch > 0));
    let [described] = &described.members[..] else { panic!("{:?}", described.members) };
    assert_eq!((described.id.as_str(), described.epoch.is_some()), (member.id.as_str(), true));
    assert_eq!(described.subscribed_topics, [topic.as_str()]);
    assert_eq!(described.subscribed_pattern, None);
    let both = [0, 1].map(|number| TopicPartition::new(topic.as_str(), number));
    assert_eq!(described.assigned, both);
    assert_eq!(described.target.as_deref(), Some(&both[..]));
    settings_of_a_group(&target, &group).await;
    member.leave_modern().await;
    other.leave().await;
    eventually("the group can be deleted", async || {
        only(target.admin.delete_groups(&[&group]).await.unwrap()).is_ok()
    })
    .await;
}

async fn settings_of_a_group(target: &Target, group: &str) {
    let resource = ConfigResource::group(group);
    let longer = [ConfigChange::set("consumer.session.timeout.ms", "50000")];
    let altered = only(target.admin.alter_configs(&[(resource.clone(), &longer)]).await.unwrap());
    if kafka().is_none() {
        assert_eq!(code(altered), ErrorCode::INVALID_REQUEST);
        return;
    }
    altered.unwrap();
    eventually("the group's setting holds", async || {
        let described = target.admin.describe_configs(std::slice::from_ref(&resource)).await.unwrap();
        let entries = only(described).unwrap();
        let entry = entries.into_iter().find(|entry| entry.name == "consumer.session.timeout.ms").unwrap();
        entry.value.as_deref() == Some("50000") && entry.source == ConfigSource::Group
    })
    .await;
}

#[tokio::test]
async fn offsets_of_a_group_are_set_and_forgotten() {
    let target = Target::new().await;
    offsets_are_set(&target).await;
    let (group, topic) = (unique("group"), target.topic(2).await);
    let partition = |number| TopicPartition::new(topic.as_str(), number);
    let at = |number, offset| (partition(number), CommittedOffset::new(offset));
    let set = target.admin.alter_offsets(&group, &[at(0, 7), at(1, 8)]).await.unwrap();
    assert!(set.into_iter().all(|(_, result)| result.is_ok()));
    let deleted = target.admin.delete_offsets(&group, &[partition(1), partition(9)]).await.unwrap();
    let [deleted, unknown] = deleted.try_into().unwrap();
    assert_eq!(deleted.0, partition(1));
    deleted.1.unwrap();
    // Kafka forgets what is not there without a word, or says that it is not.
    if let Err(error) = unknown.1 {
        assert_eq!(error.code(), Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
    }
    let left = target.admin.committed_offsets(&group).await.unwrap();
    assert_eq!(left, [at(0, 7)]);
    let nobody = target.admin.delete_offsets(&unique("nobody"), &[partition(0)]).await;
    assert_eq!(code(only(nobody.unwrap())), ErrorCode::GROUP_ID_NOT_FOUND);

    // What a member reads stays.
    let member = Member::classic(&target.address, &group, &topic, &[0]).await;
    let in_use = target.admin.delete_offsets(&group, &[partition(0)]).await.unwrap();
    assert_eq!(code(only(in_use)), ErrorCode::GROUP_SUBSCRIBED_TO_TOPIC);
    member.leave().await;
}

/// What brokers of every age do.
pub(crate) async fn offsets_are_set(target: &Target) {
    let (group, topic, other) = (unique("group"), target.topic(2).await, target.topic(1).await);
    let at = |number, offset| (TopicPartition::new(topic.as_str(), number), CommittedOffset::new(offset));
    let elsewhere = (TopicPartition::new(other.as_str(), 0), CommittedOffset::new(9));
    let offsets = [at(1, 8), elsewhere.clone(), at(0, 7), at(7, 1)];
    let set = target.admin.alter_offsets(&group, &offsets).await.unwrap();
    let numbers: Vec<_> = set.iter().map(|(partition, _)| partition.partition).collect();
    assert_eq!(numbers, [1, 0, 0, 7]);
    let [first, second, third, unknown] =
        set.into_iter().map(|(_, result)| result).collect::<Vec<_>>().try_into().unwrap();
    for result in [first, second, third] {
        result.unwrap();
    }
    assert_eq!(code(unknown), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    let mut expected = vec![at(0, 7), at(1, 8), elsewhere];
    expected.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    assert_eq!(target.admin.committed_offsets(&group).await.unwrap(), expected);
    // Back again, with all that an offset may have beside it.
    let (partition, offset) = at(0, 3);
    let back = (partition, CommittedOffset { leader_epoch: 2, metadata: "again".to_owned(), ..offset });
    only(target.admin.alter_offsets(&group, std::slice::from_ref(&back)).await.unwrap()).unwrap();
    assert!(target.admin.committed_offsets(&group).await.unwrap().contains(&back));
}
