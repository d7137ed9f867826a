//! Topics that are deleted under their readers, and others of the same names.

use std::time::Duration;

use hop::kafka::{
    Client, Consumer, ConsumerBuilder, ConsumerEvent, Error, Group, GroupProtocol, Record, StartOffset,
};
use hop::wire::error_code::ErrorCode;
use protocol_tests::consuming::{offsets, reader, take, within};
use protocol_tests::target::{Target, eventually, only, unique};

/// Fewer than are written to the topic of the same name, or more.
const BEFORE: [usize; 2] = [3, 12];
const AFTER: usize = 7;

fn numbers(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|number| number.to_string())
}

fn up_to(count: usize) -> Vec<i64> {
    (0..).take(count).collect()
}

/// Reads so many records of a topic of which another is made then, and all of those of the other.
async fn read_both(target: &Target, topic: &str, mut consumer: Consumer, before: usize) -> Consumer {
    target.write_values(topic, 0, numbers(before)).await;
    assert_eq!(offsets(&take(&mut consumer, before).await), up_to(before));
    target.make_anew(topic, 1).await;
    target.write_values(topic, 0, numbers(AFTER)).await;
    assert_eq!(offsets(&take(&mut consumer, AFTER).await), up_to(AFTER), "after {before}");
    consumer
}

#[tokio::test]
async fn another_topic_of_the_same_name_is_read_from_its_beginning() {
    for before in BEFORE {
        let target = Target::new().await;
        let topic = target.topic(1).await;
        let client = target.another_client().await;
        let consumer = reader(&client, &topic).build().await.unwrap();
        read_both(&target, &topic, consumer, before).await;
    }
}

/// Such a client learns of topics before it knows that the broker can tell their ids.
#[tokio::test]
async fn another_topic_of_the_same_name_is_read_from_its_beginning_also_by_who_named_it_when_connecting() {
    for before in BEFORE {
        let target = Target::new().await;
        let topic = target.topic(1).await;
        let client = Client::builder().bootstrap(&target.address).topics([topic.as_str()]).connect();
        let client = client.await.unwrap();
        let consumer = reader(&client, &topic).max_wait(Duration::from_millis(20));
        let mut consumer = consumer.build().await.unwrap();
        // They are asked for behind the first fetch.
        let requests = || client.metrics().iter().map(|broker| broker.answers).sum::<u64>();
        let started = requests();
        within("answers", async {
            while requests() < started + 5 {
                let nothing = tokio::time::timeout(Duration::from_millis(10), consumer.next()).await;
                assert!(nothing.is_err(), "nothing was written");
            }
        })
        .await;
        read_both(&target, &topic, consumer, before).await;
    }
}

#[tokio::test]
async fn a_topic_that_was_deleted_is_not_made_again_by_who_writes_to_another() {
    let target = Target::new().await;
    let (topic, other) = (target.topic(1).await, target.topic(1).await);
    let _reader = reader(&target.client, &topic).build().await.unwrap();
    only(target.admin.delete_topics(&[&topic]).await.unwrap()).unwrap();
    let producer = target.client.producer().build().unwrap();
    producer.send(Record::new(other).value("v")).await.unwrap().await.unwrap();
    let described = target.client.describe_topics(&[&topic]).await.unwrap();
    assert_eq!(described[0].error, Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
}

fn protocols() -> [GroupProtocol; 2] {
    [GroupProtocol::Classic, GroupProtocol::Automatic]
}

fn in_group(client: &Client, topic: &str, name: &str, protocol: GroupProtocol) -> ConsumerBuilder {
    let group = Group::new(name).protocol(protocol).heartbeat_interval(Duration::from_millis(500));
    reader(client, topic).group(group).auto_commit(Some(Duration::from_millis(100)))
}

#[tokio::test]
async fn a_group_reads_another_topic_of_the_same_name_from_its_beginning_and_commits_no_offset_of_the_old() {
    for protocol in protocols() {
        for before in BEFORE {
            let target = Target::new().await;
            let (topic, group) = (target.topic(1).await, unique("group"));
            let client = target.another_client().await;
            let consumer = in_group(&client, &topic, &group, protocol).build().await.unwrap();
            let consumer = read_both(&target, &topic, consumer, before).await;
            consumer.close().await.unwrap();
            let committed = target.admin.committed_offsets(&group).await.unwrap();
            let committed: Vec<_> = committed.into_iter().map(|(_, committed)| committed.offset).collect();
            assert_eq!(committed, [i64::try_from(AFTER).unwrap()], "{protocol:?} {before}");
        }
    }
}

#[tokio::test]
async fn what_a_group_has_read_of_a_topic_is_not_committed_for_another_of_the_same_name() {
    for protocol in protocols() {
        let target = Target::new().await;
        let (topic, group) = (target.topic(1).await, unique("group"));
        let client = target.another_client().await;
        // It commits when it is closed, or has to give the partition up.
        let consumer =
            in_group(&client, &topic, &group, protocol).auto_commit(Some(Duration::from_secs(600)));
        let mut consumer = consumer.announce_ends(true).build().await.unwrap();
        target.write_values(&topic, 0, numbers(12)).await;
        let mut ends = Vec::new();
        while ends != [12, 0] {
            match within("event", consumer.next_event()).await.unwrap().unwrap() {
                ConsumerEvent::EndOfPartition { offset: 12, .. } if ends.is_empty() => {
                    ends.push(12);
                    target.make_anew(&topic, 1).await;
                }
                ConsumerEvent::EndOfPartition { offset, .. } if offset != 12 => ends.push(offset),
                _ => {}
            }
        }
        consumer.close().await.unwrap();
        assert_eq!(target.admin.committed_offsets(&group).await.unwrap(), [], "{protocol:?}");
    }
}

#[tokio::test]
async fn what_a_group_without_members_committed_goes_with_the_topic() {
    for before in BEFORE {
        let target = Target::new().await;
        let (topic, group) = (target.topic(1).await, unique("group"));
        let member = || in_group(&target.client, &topic, &group, GroupProtocol::Automatic).build();
        target.write_values(&topic, 0, numbers(before)).await;
        let mut first = member().await.unwrap();
        take(&mut first, before).await;
        first.close().await.unwrap();
        assert_eq!(target.admin.committed_offsets(&group).await.unwrap().len(), 1);
        target.make_anew(&topic, 1).await;
        target.write_values(&topic, 0, numbers(AFTER)).await;
        eventually("the old topic's offsets go", async || {
            target.admin.committed_offsets(&group).await.unwrap().is_empty()
        })
        .await;
        let mut second = member().await.unwrap();
        assert_eq!(offsets(&take(&mut second, AFTER).await), up_to(AFTER));
    }
}

#[tokio::test]
async fn a_topic_that_is_deleted_is_named_by_an_error_and_read_again_when_there_is_another() {
    let target = Target::new().await;
    let (topic, other) = (target.topic(1).await, target.topic(1).await);
    let client = target.another_client().await;
    let consumer = client.consumer().topics([topic.as_str(), other.as_str()]);
    let mut consumer = consumer.start_at(StartOffset::Earliest).build().await.unwrap();
    target.write_values(&topic, 0, numbers(3)).await;
    take(&mut consumer, 3).await;
    only(target.admin.delete_topics(&[&topic]).await.unwrap()).unwrap();
    for _ in 0..2 {
        let error = within("error", consumer.next()).await.unwrap_err();
        assert!(matches!(&error, Error::UnknownTopic { topic: named } if *named == topic), "{error}");
    }
    // The others are read all the same.
    target.write_values(&other, 0, numbers(1)).await;
    let record = within("record of the other topic", async {
        loop {
            match consumer.next().await {
                Ok(record) => break record.unwrap(),
                Err(Error::UnknownTopic { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
    });
    assert_eq!(*record.await.topic, *other);
    target.make_again(&topic, 1).await;
    target.write_values(&topic, 0, numbers(2)).await;
    let mut found = Vec::new();
    within("the other topic's records", async {
        while found.len() < 2 {
            match consumer.next().await {
                Ok(record) => found.push(record.unwrap().offset),
                Err(Error::UnknownTopic { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
    })
    .await;
    assert_eq!(found, [0, 1]);
}

#[tokio::test]
async fn a_topic_that_is_deleted_under_a_group_is_named_by_an_error_or_taken_from_its_members() {
    for protocol in protocols() {
        let target = Target::new().await;
        let (topic, group) = (target.topic(1).await, unique("group"));
        let client = target.another_client().await;
        let mut consumer = in_group(&client, &topic, &group, protocol).build().await.unwrap();
        target.write_values(&topic, 0, numbers(3)).await;
        take(&mut consumer, 3).await;
        only(target.admin.delete_topics(&[&topic]).await.unwrap()).unwrap();
        let named = within("end of the topic", async {
            loop {
                match consumer.next_event().await {
                    Ok(Some(ConsumerEvent::Revoking(_))) => break false,
                    Ok(event) => assert!(event.is_some(), "there is no end"),
                    Err(Error::UnknownTopic { topic: named }) => break named == topic,
                    Err(error) => panic!("{error}"),
                }
            }
        })
        .await;
        // The broker of a group under KIP-848 may notice first, and takes the partition away.
        assert!(named || protocol == GroupProtocol::Automatic, "{protocol:?}");
        consumer.close().await.unwrap();
        assert_eq!(target.admin.committed_offsets(&group).await.unwrap(), [], "{protocol:?}");
    }
}
