//! Fetch and ListOffsets: bounds, waiting, sessions, epochs, times.

use std::time::{Duration, Instant};

use hop::wire::error_code::ErrorCode;
use hop::wire::record::{Batches, DecodeLimits};
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use kafka_protocol::messages::{
    BrokerId, DeleteRecordsRequest, FetchRequest, OffsetForLeaderEpochRequest, TopicName,
};
use protocol_tests::peer::{Peer, Records, code, fetch_request, now};

pub(crate) fn values(data: &PartitionData) -> Vec<(i64, String)> {
    let records = data.records.clone().unwrap_or_default();
    let batches = Batches::new(records, DecodeLimits::default()).map(Result::unwrap);
    let records = batches.filter(|batch| !batch.is_control()).flat_map(|batch| {
        let records = batch.records().map(Result::unwrap);
        let values = records
            .map(|record| (record.offset, String::from_utf8_lossy(record.value.unwrap()).into_owned()));
        values.collect::<Vec<_>>()
    });
    records.collect()
}

#[tokio::test]
async fn whole_batches_are_answered_within_the_bounds_and_the_first_beyond_them() {
    let mut peer = Peer::connect().await;
    let topic = peer.create_topic(1, &[]).await;
    for value in ["one", "two", "three"] {
        peer.produce(&topic, 0, Records::of(&[value, value]).batch()).await;
    }
    let all = peer.fetch(&topic, 0, |request| request).await;
    assert_eq!(values(&all).len(), 6);
    assert_eq!((all.high_watermark, all.last_stable_offset, all.log_start_offset), (6, 6, 0));
    // From the middle of a batch, the batch comes whole.
    let middle = peer.fetch(&topic, 3, |request| request).await;
    assert_eq!(values(&middle)[0], (2, "two".to_owned()));
    let tiny = peer.fetch(&topic, 2, |request| request.with_max_bytes(1)).await;
    assert_eq!(values(&tiny).len(), 2);
    let end = peer.fetch(&topic, 6, |request| request).await;
    assert_eq!((code(end.error_code), values(&end).len()), (ErrorCode::NONE, 0));
}

#[tokio::test]
async fn what_cannot_be_read_is_said() {
    let mut peer = Peer::connect().await;
    let topic = peer.create_topic(1, &[]).await;
    peer.produce(&topic, 0, Records::of(&["a"]).batch()).await;
    let epoch = |epoch| {
        move |mut request: FetchRequest| {
            request.topics[0].partitions[0].current_leader_epoch = epoch;
            request
        }
    };
    let nowhere = |mut request: FetchRequest| {
        request.topics[0].partitions[0].partition = 7;
        request
    };
    assert_eq!(
        code(peer.fetch(&topic, 9, |request| request).await.error_code),
        ErrorCode::OFFSET_OUT_OF_RANGE
    );
    assert_eq!(code(peer.fetch(&topic, 0, epoch(99)).await.error_code), ErrorCode::UNKNOWN_LEADER_EPOCH);
    assert_eq!(code(peer.fetch(&topic, 0, epoch(0)).await.error_code), ErrorCode::NONE);
    assert_eq!(code(peer.fetch(&topic, 0, nowhere).await.error_code), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    let mut by_id = fetch_request(&topic, 0);
    by_id.topics[0].topic = TopicName::default();
    by_id.topics[0].topic_id = uuid::Uuid::from_u128(12345);
    let answer = peer.ask_in(13, by_id.clone()).await;
    assert_eq!(code(answer.responses[0].partitions[0].error_code), ErrorCode::UNKNOWN_TOPIC_ID);
    by_id.topics[0].topic_id = topic.id;
    let answer = peer.ask_in(13, by_id).await;
    assert_eq!(values(&answer.responses[0].partitions[0]).len(), 1);
}

#[tokio::test]
async fn a_fetch_waits_for_records_and_for_no_longer_than_it_says() {
    let mut peer = Peer::connect().await;
    let topic = peer.create_topic(1, &[]).await;
    let started = Instant::now();
    let empty = peer.fetch(&topic, 0, |request| request.with_max_wait_ms(300)).await;
    assert!(started.elapsed() >= Duration::from_millis(290) && values(&empty).is_empty());

    let mut writer = peer.another().await;
    peer.send(12, fetch_request(&topic, 0).with_max_wait_ms(20_000)).await;
    writer.produce(&topic, 0, Records::of(&["news"]).batch()).await;
    let answer = peer.receive::<FetchRequest>(12).await;
    assert_eq!(values(&answer.responses[0].partitions[0]), [(0, "news".to_owned())]);

    // One batch is not as much as is wanted.
    let started = Instant::now();
    let patient = |request: FetchRequest| request.with_min_bytes(100_000).with_max_wait_ms(300);
    assert_eq!(values(&peer.fetch(&topic, 0, patient).await).len(), 1);
    assert!(started.elapsed() >= Duration::from_millis(290));
}

#[tokio::test]
async fn a_session_answers_what_is_news() {
    let mut peer = Peer::connect().await;
    let topic = peer.create_topic(2, &[]).await;
    let mut first = fetch_request(&topic, 0).with_session_epoch(0);
    let mut second = first.topics[0].partitions[0].clone();
    second.partition = 1;
    first.topics[0].partitions.push(second);
    let answer = peer.ask_in(12, first).await;
    let id = answer.session_id;
    assert!(id != 0 && answer.responses[0].partitions.len() == 2);

    let next = |epoch| {
        let mut request = fetch_request(&topic, 0).with_session_id(id).with_session_epoch(epoch);
        request.topics.clear();
        request
    };
    let quiet = peer.ask_in(12, next(1)).await;
    assert_eq!((code(quiet.error_code), quiet.session_id, quiet.responses.len()), (ErrorCode::NONE, id, 0));
    peer.produce(&topic, 1, Records::of(&["news"]).batch()).await;
    let news = peer.ask_in(12, next(2)).await;
    let partitions = &news.responses[0].partitions;
    assert_eq!((partitions.len(), partitions[0].partition_index), (1, 1));
    assert_eq!(values(&partitions[0]).len(), 1);

    let answer = peer.ask_in(12, next(9)).await;
    assert_eq!(code(answer.error_code), ErrorCode::INVALID_FETCH_SESSION_EPOCH);
    let unknown = next(3).with_session_id(id.wrapping_add(1_000_000));
    assert_eq!(code(peer.ask_in(12, unknown).await.error_code), ErrorCode::FETCH_SESSION_ID_NOT_FOUND);
}

#[tokio::test]
async fn offsets_are_found_by_time() {
    let mut peer = Peer::connect().await;
    let topic = peer.create_topic(1, &[]).await;
    assert_eq!(peer.offset_of(&topic, -3, 0).await, (-1, -1, ErrorCode::NONE));
    let base = now() - 100_000;
    for times in [[0, 10], [30, 20], [15, 40]] {
        peer.produce(&topic, 0, Records::at(&times.map(|time| base + time)).batch()).await;
    }
    for (time, expected) in [(-2, (0, -1)), (-1, (6, -1)), (-3, (5, base + 40))] {
        let (offset, timestamp, code) = peer.offset_of(&topic, time, 0).await;
        assert_eq!((offset, timestamp, code), (expected.0, expected.1, ErrorCode::NONE), "{time}");
    }
    for (time, expected) in [(0, 0), (base + 5, 1), (base + 11, 2), (base + 31, 5), (base + 41, -1)] {
        let (offset, _, code) = peer.offset_of(&topic, time, 0).await;
        assert_eq!((offset, code), (expected, ErrorCode::NONE), "{time}");
    }
}

#[tokio::test]
async fn records_are_deleted_from_the_front() {
    let mut peer = Peer::connect().await;
    let topic = peer.create_topic(1, &[]).await;
    for _ in 0..3 {
        peer.produce(&topic, 0, Records::of(&["a", "b"]).batch()).await;
    }
    let before = |offset| {
        let partition = DeleteRecordsPartition::default().with_offset(offset);
        let asked =
            DeleteRecordsTopic::default().with_name(topic.topic_name()).with_partitions(vec![partition]);
        DeleteRecordsRequest::default().with_topics(vec![asked]).with_timeout_ms(5000)
    };
    let answer = peer.ask(before(3)).await.topics[0].partitions[0].clone();
    assert_eq!((code(answer.error_code), answer.low_watermark), (ErrorCode::NONE, 3));
    assert_eq!(peer.offset_of(&topic, -2, 0).await.0, 3);
    assert_eq!(
        code(peer.fetch(&topic, 2, |request| request).await.error_code),
        ErrorCode::OFFSET_OUT_OF_RANGE
    );
    assert_eq!(values(&peer.fetch(&topic, 3, |request| request).await)[0].0, 2, "the batch comes whole");
    let answer = peer.ask(before(99)).await.topics[0].partitions[0].clone();
    assert_eq!((code(answer.error_code), answer.low_watermark), (ErrorCode::OFFSET_OUT_OF_RANGE, -1));
    let answer = peer.ask(before(-1)).await.topics[0].partitions[0].clone();
    assert_eq!((code(answer.error_code), answer.low_watermark), (ErrorCode::NONE, 6));
}

#[tokio::test]
async fn leader_epochs_end_where_the_log_does() {
    let mut peer = Peer::connect().await;
    let topic = peer.create_topic(1, &[]).await;
    peer.produce(&topic, 0, Records::of(&["a", "b"]).batch()).await;
    let ask = |epoch, current| {
        let partition =
            OffsetForLeaderPartition::default().with_leader_epoch(epoch).with_current_leader_epoch(current);
        let asked =
            OffsetForLeaderTopic::default().with_topic(topic.topic_name()).with_partitions(vec![partition]);
        OffsetForLeaderEpochRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![asked])
    };
    for (epoch, current, expected) in [
        (0, -1, (ErrorCode::NONE, 0, 2)),
        (5, -1, (ErrorCode::NONE, -1, -1)),
        (0, 7, (ErrorCode::UNKNOWN_LEADER_EPOCH, -1, -1)),
    ] {
        let answer = peer.ask(ask(epoch, current)).await.topics[0].partitions[0].clone();
        assert_eq!(
            (code(answer.error_code), answer.leader_epoch, answer.end_offset),
            expected,
            "{epoch} {current}"
        );
    }
}
