//! Where partitions begin and end, and records that are deleted.

use hop::kafka::admin::{ListedOffset, OffsetSpec};
use hop::kafka::{Error, TopicPartition};
use hop::wire::error_code::ErrorCode;
use protocol_tests::target::{Target, code, unique};

pub(crate) async fn offset(target: &Target, topic: &str, partition: i32, spec: OffsetSpec) -> ListedOffset {
    let wanted = [(TopicPartition::new(topic, partition), spec)];
    target.admin.offsets(&wanted).await.unwrap().remove(0).1.unwrap()
}

/// Old enough for any record, and young enough for a broker to keep.
fn now() -> i64 {
    let unix = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(unix.as_millis()).unwrap()
}

#[tokio::test]
async fn offsets_are_found_by_place_and_by_time() {
    let target = Target::new().await;
    let topic = target.topic(2).await;
    let start = now();
    target.write(&topic, 0, &[start, start + 2000, start + 1000]).await;
    let of = |partition, spec| (TopicPartition::new(topic.as_str(), partition), spec);
    let wanted = [
        of(0, OffsetSpec::Earliest),
        of(0, OffsetSpec::Latest),
        of(1, OffsetSpec::Latest),
        of(0, OffsetSpec::Timestamp(start + 1)),
        of(0, OffsetSpec::Timestamp(start + 2001)),
        of(0, OffsetSpec::MaxTimestamp),
        of(0, OffsetSpec::Latest),
    ];
    let results = target.admin.offsets(&wanted).await.unwrap();
    let partitions: Vec<_> = results.iter().map(|(partition, _)| partition.partition).collect();
    assert_eq!(partitions, [0, 0, 1, 0, 0, 0, 0]);
    let found: Vec<_> = results.into_iter().map(|(_, listed)| listed.unwrap()).collect();
    let offsets: Vec<_> = found.iter().map(|listed| listed.offset).collect();
    assert_eq!(offsets, [Some(0), Some(3), Some(0), Some(1), None, Some(1), Some(3)]);
    assert_eq!((found[3].timestamp, found[5].timestamp), (Some(start + 2000), Some(start + 2000)));
    assert_eq!(found[1].timestamp, None);
}

#[tokio::test]
async fn partitions_that_are_not_there_fail_by_themselves_and_soon() {
    let target = Target::new().await;
    let topic = target.topic(1).await;
    let nowhere = unique("nowhere");
    let started = std::time::Instant::now();
    let wanted = [
        (TopicPartition::new(topic.as_str(), 0), OffsetSpec::Latest),
        (TopicPartition::new(topic.as_str(), 7), OffsetSpec::Latest),
        (TopicPartition::new(nowhere.as_str(), 0), OffsetSpec::Latest),
    ];
    let [there, beyond, unknown] = target.admin.offsets(&wanted).await.unwrap().try_into().unwrap();
    assert_eq!(there.1.unwrap().offset, Some(0));
    assert_eq!(code(beyond.1), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    assert!(matches!(unknown.1, Err(Error::UnknownTopic { topic }) if topic == nowhere));
    assert!(started.elapsed() < std::time::Duration::from_secs(10));
}

#[tokio::test]
async fn records_before_an_offset_are_deleted() {
    let target = Target::new().await;
    deletes_records(&target).await;
}

pub(crate) async fn deletes_records(target: &Target) {
    let topic = target.topic(2).await;
    let start = now();
    target.write(&topic, 1, &[start; 5]).await;
    assert_eq!(target.admin.delete_records(&topic, 1, 3).await.unwrap(), 3);
    assert_eq!(offset(target, &topic, 1, OffsetSpec::Earliest).await.offset, Some(3));
    assert_eq!(offset(target, &topic, 1, OffsetSpec::Latest).await.offset, Some(5));
    let beyond = target.admin.delete_records(&topic, 1, 6).await;
    assert_eq!(code(beyond), ErrorCode::OFFSET_OUT_OF_RANGE);
    assert_eq!(target.admin.delete_records(&topic, 1, -1).await.unwrap(), 5);
    let unknown = target.admin.delete_records(&unique("nowhere"), 0, 1).await;
    assert!(matches!(unknown, Err(Error::UnknownTopic { .. })));
}
