//! Topics that grow, and topics that come into being, under readers with a group and without.

use std::time::Duration;

use hop::kafka::admin::NewTopic;
use hop::kafka::{Client, Consumer, Group, GroupProtocol, StartOffset};
use protocol_tests::consuming::{next, parts, take, within};
use protocol_tests::target::{Target, only, unique};

/// A client that looks at topics often.
async fn curious(target: &Target) -> Client {
    let client = Client::builder().bootstrap(&target.address).metadata_max_age(Duration::from_millis(200));
    client.connect().await.unwrap()
}

fn group(protocol: GroupProtocol) -> Group {
    Group::new(unique("group")).protocol(protocol)
}

fn values(prefix: &str) -> [String; 2] {
    [format!("{prefix} 0"), format!("{prefix} 1")]
}

/// Lets a consumer work until it has so many partitions.
async fn has_partitions(consumer: &mut Consumer, count: usize) {
    within("share of the partitions", async {
        while consumer.assignment().len() != count {
            let event = tokio::time::timeout(Duration::from_millis(20), consumer.next_event()).await;
            if let Ok(event) = event {
                event.unwrap().unwrap();
            }
        }
    })
    .await;
}

#[tokio::test]
async fn partitions_that_are_added_under_a_reader_are_read_from_their_beginning() {
    let target = Target::new().await;
    let topic = target.topic(1).await;
    target.write_values(&topic, 0, values("before")).await;
    let consumer = curious(&target).await.consumer().topics([topic.as_str()]);
    let mut consumer = consumer.start_at(StartOffset::Latest).build().await.unwrap();
    has_partitions(&mut consumer, 1).await;
    target.grow(&topic, 3).await;
    target.write_values(&topic, 2, values("added")).await;
    let expected = [(2, 0, "added 0".to_owned()), (2, 1, "added 1".to_owned())];
    assert_eq!(take(&mut consumer, 2).await, expected);
    assert_eq!(consumer.assignment().len(), 3);
}

#[tokio::test]
async fn partitions_that_are_added_under_a_group_are_shared_out_and_read_from_their_beginning() {
    for protocol in [GroupProtocol::Classic, GroupProtocol::Automatic] {
        for start in [StartOffset::Earliest, StartOffset::Latest] {
            let target = Target::new().await;
            let topic = target.topic(1).await;
            let consumer = curious(&target).await.consumer().topics([topic.as_str()]).group(group(protocol));
            let mut consumer = consumer.start_at(start).build().await.unwrap();
            has_partitions(&mut consumer, 1).await;
            target.grow(&topic, 3).await;
            target.write_values(&topic, 2, values("added")).await;
            let expected = [(2, 0, "added 0".to_owned()), (2, 1, "added 1".to_owned())];
            assert_eq!(take(&mut consumer, 2).await, expected, "{protocol:?} {start:?}");
            assert_eq!(consumer.assignment().len(), 3);
            consumer.close().await.unwrap();
        }
    }
}

#[tokio::test]
async fn topics_that_match_a_pattern_are_found_when_metadata_is_renewed_and_read_from_their_beginning() {
    for protocol in [None, Some(GroupProtocol::Classic), Some(GroupProtocol::Automatic)] {
        let target = Target::new().await;
        let prefix = unique("pattern");
        let consumer = curious(&target).await.consumer().topics_matching(&format!("^{prefix}-[a-z]+$"));
        let consumer = match protocol {
            Some(protocol) => consumer.group(group(protocol)).start_at(StartOffset::Earliest),
            None => consumer.start_at(StartOffset::Latest),
        };
        let mut consumer = consumer.build().await.unwrap();
        for name in [format!("{prefix}-a"), format!("{prefix}-1"), format!("{prefix}-b")] {
            let topic = NewTopic::new(&name).partitions(1).replication_factor(1);
            only(target.admin.create_topics(&[topic]).await.unwrap()).unwrap();
            target.write_values(&name, 0, [format!("of {name}")]).await;
            if !name.ends_with('1') {
                let record = next(&mut consumer).await;
                assert_eq!(parts(&record), (0, 0, format!("of {name}")), "{protocol:?}");
                assert_eq!(&*record.topic, name);
            }
        }
        let topics: Vec<_> = consumer.assignment().iter().map(|of| of.topic.to_string()).collect();
        assert_eq!(topics, [format!("{prefix}-a"), format!("{prefix}-b")]);
        consumer.close().await.unwrap();
    }
}
