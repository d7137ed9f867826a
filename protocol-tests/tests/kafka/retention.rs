//! Records that retention deletes under their readers.

use hop::kafka::admin::{ConfigChange, ConfigResource, OffsetSpec};
use hop::kafka::{Consumer, Error, OutOfRange, TopicPartition};
use protocol_tests::consuming::{next, offsets, reader, take, within};
use protocol_tests::peer::now;
use protocol_tests::target::{Target, eventually, only};

/// So many records are old, more than a reader fetches ahead when each fetch brings one.
const OLD: i64 = 20;
const HOUR_MS: i64 = 3_600_000;

/// A reader that has got the first record.
async fn started(target: &Target, topic: &str, policy: OutOfRange) -> Consumer {
    let consumer = reader(&target.client, topic).max_partition_bytes(1).out_of_range(policy);
    let mut consumer = consumer.build().await.unwrap();
    assert_eq!(offsets(&take(&mut consumer, 1).await), [0]);
    consumer
}

#[tokio::test]
async fn readers_that_retention_overtakes_go_on_as_their_policies_say() {
    let target = Target::real().await;
    // A segment for each record of another time.
    let topic = target.topic_with(1, &[("segment.ms", "100")]).await;
    let start = now() - HOUR_MS;
    let old: Vec<_> = (0..OLD).map(|number| start + number * 1000).collect();
    target.write(&topic, 0, &old).await;
    target.write(&topic, 0, &[now(), now()]).await;
    let mut nearest = started(&target, &topic, OutOfRange::Nearest).await;
    let mut earliest = started(&target, &topic, OutOfRange::Earliest).await;
    let mut latest = started(&target, &topic, OutOfRange::Latest).await;
    let mut fail = started(&target, &topic, OutOfRange::Fail).await;

    let change = [ConfigChange::set("retention.ms", (HOUR_MS / 2).to_string())];
    only(target.admin.alter_configs(&[(ConfigResource::topic(&topic), &change)]).await.unwrap()).unwrap();
    let partition = TopicPartition::new(topic.as_str(), 0);
    eventually("the old records are deleted", async || {
        let found = target.admin.offsets(&[(partition.clone(), OffsetSpec::Earliest)]).await.unwrap();
        found[0].1.as_ref().unwrap().offset == Some(OLD)
    })
    .await;

    for consumer in [&mut nearest, &mut earliest] {
        let mut read = vec![0];
        while read.last() < Some(&OLD) {
            read.push(next(consumer).await.offset);
        }
        // What was fetched before, and then the oldest that there is.
        let (last, before) = read.split_last().unwrap();
        assert_eq!((*last, before), (OLD, &(0..OLD).take(before.len()).collect::<Vec<_>>()[..]));
        assert!(before.len() < 5, "{before:?} is more than was fetched ahead");
        assert_eq!(next(consumer).await.offset, OLD + 1);
    }

    let to_the_end = async {
        while latest.position(&partition) != Some(OLD + 2) {
            let read = tokio::time::timeout(std::time::Duration::from_millis(20), latest.next()).await;
            if let Ok(record) = read {
                let offset = record.unwrap().unwrap().offset;
                assert!(offset < 5, "{offset} is more than was fetched ahead");
            }
        }
    };
    within("end", to_the_end).await;
    target.write(&topic, 0, &[now()]).await;
    assert_eq!(next(&mut latest).await.offset, OLD + 2);

    let mut expected = 1;
    let error = loop {
        match within("record or error", fail.next()).await {
            Ok(record) => {
                assert_eq!(record.unwrap().offset, expected);
                expected += 1;
            }
            Err(error) => break error,
        }
    };
    let Error::OffsetOutOfRange { topic: named, partition: 0, offset } = error else { panic!("{error}") };
    assert_eq!((named, offset), (topic, expected));
}
