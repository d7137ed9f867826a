//! Offsets that the log does not hold: records that were deleted under the reader, and starts beyond the end.

use hop::kafka::admin::OffsetSpec;
use hop::kafka::{Consumer, Error, OutOfRange, StartOffset, TopicPartition};
use protocol_tests::consuming::{next, offsets, reader, take, to_end, within};
use protocol_tests::target::Target;

/// More than a reader fetches ahead when each fetch brings one record.
const FAR: i64 = 20;

fn numbers(range: std::ops::Range<i64>) -> impl Iterator<Item = String> {
    range.map(|number| number.to_string())
}

/// A log of `FAR` records of which a reader has got the first.
async fn started(policy: OutOfRange) -> (Target, String, Consumer) {
    let target = Target::new().await;
    let topic = target.topic(1).await;
    target.write_values(&topic, 0, numbers(0..FAR)).await;
    let consumer = reader(&target.client, &topic).max_partition_bytes(1).out_of_range(policy);
    let mut consumer = consumer.build().await.unwrap();
    assert_eq!(offsets(&take(&mut consumer, 1).await), [0]);
    (target, topic, consumer)
}

/// Reads what had been fetched already, and the first record behind it.
async fn behind_the_gap(consumer: &mut Consumer, gap_ends: i64) -> i64 {
    let mut expected = 1;
    loop {
        let offset = next(consumer).await.offset;
        if offset != expected {
            return offset;
        }
        expected += 1;
        assert!(offset < gap_ends - 1, "there is no gap");
    }
}

#[tokio::test]
async fn a_reader_that_is_overtaken_by_deletion_goes_on_at_the_oldest_record() {
    for policy in [OutOfRange::Nearest, OutOfRange::Earliest] {
        let (target, topic, mut consumer) = started(policy).await;
        assert_eq!(target.admin.delete_records(&topic, 0, FAR - 2).await.unwrap(), FAR - 2);
        assert_eq!(behind_the_gap(&mut consumer, FAR - 2).await, FAR - 2, "{policy:?}");
        assert_eq!(next(&mut consumer).await.offset, FAR - 1);
        // Everything goes, and what comes then is not missed.
        assert_eq!(target.admin.delete_records(&topic, 0, -1).await.unwrap(), FAR);
        target.write_values(&topic, 0, numbers(FAR..FAR + 2)).await;
        assert_eq!(offsets(&take(&mut consumer, 2).await), [FAR, FAR + 1]);
    }
}

#[tokio::test]
async fn a_reader_that_is_overtaken_goes_on_at_the_end_where_it_is_told_to() {
    let (target, topic, mut consumer) = started(OutOfRange::Latest).await;
    target.admin.delete_records(&topic, 0, FAR - 2).await.unwrap();
    let partition = TopicPartition::new(topic.as_str(), 0);
    // Read on until the end is known to be where reading goes on.
    let skipped = async {
        while consumer.position(&partition) != Some(FAR) {
            let read = tokio::time::timeout(std::time::Duration::from_millis(20), consumer.next()).await;
            if let Ok(record) = read {
                let offset = record.unwrap().unwrap().offset;
                assert!(offset < FAR - 2, "{offset} is behind what was deleted, and before the end");
            }
        }
    };
    within("end", skipped).await;
    target.write_values(&topic, 0, numbers(FAR..FAR + 1)).await;
    assert_eq!(offsets(&take(&mut consumer, 1).await), [FAR]);
}

#[tokio::test]
async fn a_reader_that_is_overtaken_says_so_where_it_is_told_to_and_goes_on_where_it_is_sent() {
    let (target, topic, mut consumer) = started(OutOfRange::Fail).await;
    target.admin.delete_records(&topic, 0, FAR - 2).await.unwrap();
    let mut expected = 1;
    // Again and again: it does not go on by itself.
    for _ in 0..2 {
        let error = loop {
            match within("record or error", consumer.next()).await {
                Ok(record) => {
                    assert_eq!(record.unwrap().offset, expected);
                    expected += 1;
                }
                Err(error) => break error,
            }
        };
        let Error::OffsetOutOfRange { topic: of, partition: 0, offset } = error else { panic!("{error}") };
        assert_eq!((of, offset), (topic.clone(), expected));
    }
    consumer.seek(&TopicPartition::new(topic.as_str(), 0), StartOffset::Earliest).unwrap();
    assert_eq!(offsets(&take(&mut consumer, 2).await), [FAR - 2, FAR - 1]);
}

#[tokio::test]
async fn a_reader_with_an_end_that_is_overtaken_still_ends_where_the_log_ended() {
    let target = Target::new().await;
    let topic = target.topic(1).await;
    target.write_values(&topic, 0, numbers(0..FAR)).await;
    let consumer = reader(&target.client, &topic).max_partition_bytes(1).stop_at_end(true);
    let mut consumer = consumer.build().await.unwrap();
    take(&mut consumer, 1).await;
    target.admin.delete_records(&topic, 0, -1).await.unwrap();
    target.write_values(&topic, 0, numbers(FAR..FAR + 3)).await;
    let rest = offsets(&to_end(&mut consumer).await);
    assert!(rest.iter().all(|&offset| offset < FAR), "{rest:?}");
}

#[tokio::test]
async fn a_start_beyond_the_end_is_as_the_policy_says() {
    let target = Target::new().await;
    let topic = target.topic(1).await;
    target.write_values(&topic, 0, numbers(0..5)).await;
    target.admin.delete_records(&topic, 0, 2).await.unwrap();
    let at = |offset, policy| {
        reader(&target.client, &topic).start_at(StartOffset::Offset(offset)).out_of_range(policy)
    };
    for (offset, policy, expected) in [
        (1, OutOfRange::Nearest, vec![2, 3, 4]),
        (1, OutOfRange::Earliest, vec![2, 3, 4]),
        (1, OutOfRange::Latest, vec![]),
        (9, OutOfRange::Nearest, vec![]),
        (9, OutOfRange::Earliest, vec![2, 3, 4]),
        (9, OutOfRange::Latest, vec![]),
    ] {
        let mut consumer = at(offset, policy).stop_at_end(true).build().await.unwrap();
        assert_eq!(offsets(&to_end(&mut consumer).await), expected, "{offset} {policy:?}");
    }
    for offset in [1, 9] {
        let mut consumer = at(offset, OutOfRange::Fail).build().await.unwrap();
        let error = within("error", consumer.next()).await.unwrap_err();
        assert!(
            matches!(&error, Error::OffsetOutOfRange { offset: asked, .. } if *asked == offset),
            "{error}"
        );
    }
    let end = target.admin.offsets(&[(TopicPartition::new(topic.as_str(), 0), OffsetSpec::Latest)]).await;
    assert_eq!(end.unwrap()[0].1.as_ref().unwrap().offset, Some(5));
}
