//! Produce: what is taken, what is refused and with which code, and how repetitions are known.

use bytes::Bytes;
use hop::wire::Compression;
use hop::wire::error_code::ErrorCode;
use kafka_protocol::messages::{InitProducerIdRequest, ProducerId};
use protocol_tests::peer::{Peer, Records, Topic, code, now, produce_request};
use protocol_tests::target::unique;

#[tokio::test]
async fn offsets_follow_one_another() {
    let mut peer = Peer::connect().await;
    let topic = peer.create_topic(2, &[]).await;
    for (partition, expected) in [(0, 0), (0, 2), (1, 0), (0, 4)] {
        let answer = peer.produce(&topic, partition, Records::of(&["a", "b"]).batch()).await;
        assert_eq!((code(answer.error_code), answer.base_offset), (ErrorCode::NONE, expected));
        assert_eq!((answer.log_append_time_ms, answer.log_start_offset), (-1, 0));
    }
}

#[tokio::test]
async fn every_codec_is_taken() {
    let mut peer = Peer::connect().await;
    let topic = peer.create_topic(1, &[]).await;
    for compression in [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd] {
        let records = Records { compression, ..Records::of(&["same again "; 50]) };
        let answer = peer.produce(&topic, 0, records.batch()).await;
        assert_eq!(code(answer.error_code), ErrorCode::NONE, "{compression:?}");
    }
    assert_eq!(peer.end(&topic).await, Ok(200));
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let mut peer = Peer::connect().await;
    let topic = peer.create_topic(1, &[("max.message.bytes", "2000")]).await;
    let good = Records::of(&["a"]).batch();
    let mut corrupt = good.to_vec();
    *corrupt.last_mut().unwrap() ^= 1;
    let two = Bytes::from([&good[..], &good[..]].concat());
    let large = Records::of(&[&"x".repeat(3000)]).batch();
    let future = Records::at(&[now() + 2 * 3_600_000]).batch();
    let unknown = Topic { name: unique("nowhere"), id: uuid::Uuid::nil() };
    for (what, topic, partition, batch, expected) in [
        ("a checksum that is wrong", &topic, 0, corrupt.into(), ErrorCode::CORRUPT_MESSAGE),
        ("two batches", &topic, 0, two, ErrorCode::INVALID_RECORD),
        ("a large batch", &topic, 0, large, ErrorCode::MESSAGE_TOO_LARGE),
        ("no such partition", &topic, 9, good.clone(), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
        ("no such topic", &unknown, 0, good.clone(), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
        ("a time far ahead", &topic, 0, future, ErrorCode::INVALID_TIMESTAMP),
    ] {
        // Before 4.0 any time is taken.
        if expected == ErrorCode::INVALID_TIMESTAMP
            && peer.newest::<kafka_protocol::messages::ProduceRequest>() < 12
        {
            continue;
        }
        let answer = peer.produce(topic, partition, batch).await;
        assert_eq!((code(answer.error_code), answer.base_offset), (expected, -1), "{what}");
    }
    let request = produce_request(&topic, 0, good, None, 2);
    let answer = peer.ask_in(9, request).await;
    assert_eq!(code(answer.responses[0].partition_responses[0].error_code), ErrorCode::INVALID_REQUIRED_ACKS);
    assert_eq!(peer.end(&topic).await, Ok(0));
}

#[tokio::test]
async fn a_compacted_topic_wants_keys_and_names_the_records_without() {
    let mut peer = Peer::connect().await;
    let topic = peer.create_topic(1, &[("cleanup.policy", "compact")]).await;
    let mut records = Records::of(&["a", "b", "c"]);
    records.values[1].1 = None;
    let answer = peer.produce(&topic, 0, records.batch()).await;
    assert_eq!(code(answer.error_code), ErrorCode::INVALID_RECORD);
    let places: Vec<_> = answer.record_errors.iter().map(|error| error.batch_index).collect();
    assert_eq!(places, [1]);
}

#[tokio::test]
async fn the_broker_sets_the_time_where_the_topic_says_so() {
    let mut peer = Peer::connect().await;
    let topic = peer.create_topic(1, &[("message.timestamp.type", "LogAppendTime")]).await;
    let before = now();
    let answer = peer.produce(&topic, 0, Records::at(&[1000, 2000]).batch()).await;
    assert_eq!(code(answer.error_code), ErrorCode::NONE);
    assert!((before..=now()).contains(&answer.log_append_time_ms), "{}", answer.log_append_time_ms);
    let (offset, timestamp, _) = peer.offset_of(&topic, -3, 0).await;
    assert_eq!(timestamp, answer.log_append_time_ms);
    assert!(offset == 0 || offset == 1);
}

/// A number for a producer.
pub(crate) async fn new_producer(peer: &mut Peer) -> i64 {
    let request = InitProducerIdRequest::default()
        .with_transactional_id(None)
        .with_transaction_timeout_ms(60_000)
        .with_producer_id(ProducerId(-1))
        .with_producer_epoch(-1);
    let answer = peer.ask_coordinator(request, |answer| answer.error_code).await;
    assert_eq!((code(answer.error_code), answer.producer_epoch), (ErrorCode::NONE, 0));
    answer.producer_id.0
}

#[tokio::test]
async fn repetitions_are_known_and_gaps_refused() {
    let mut peer = Peer::connect().await;
    let topic = peer.create_topic(1, &[]).await;
    let id = new_producer(&mut peer).await;
    let batch = |epoch, sequence, count: usize| {
        Records::of(&vec!["x"; count]).from(id, epoch, sequence, false).batch()
    };
    for (what, epoch, sequence, count, expected, offset) in [
        ("the first", 0, 0, 2, ErrorCode::NONE, 0),
        ("the second", 0, 2, 1, ErrorCode::NONE, 2),
        ("the first again", 0, 0, 2, ErrorCode::NONE, 0),
        ("a gap", 0, 9, 1, ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER, -1),
        ("an overlap", 0, 1, 2, ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER, -1),
        ("the third", 0, 3, 1, ErrorCode::NONE, 3),
        ("a new epoch in the middle", 1, 4, 1, ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER, -1),
        ("a new epoch", 1, 0, 1, ErrorCode::NONE, 4),
        ("the old epoch", 0, 4, 1, ErrorCode::INVALID_PRODUCER_EPOCH, -1),
    ] {
        let answer = peer.produce(&topic, 0, batch(epoch, sequence, count)).await;
        assert_eq!((code(answer.error_code), answer.base_offset), (expected, offset), "{what}");
    }
    assert_eq!(peer.end(&topic).await, Ok(5));
}

#[tokio::test]
async fn sequence_numbers_begin_again_behind_the_largest() {
    let mut peer = Peer::connect().await;
    let topic = peer.create_topic(1, &[]).await;
    let id = new_producer(&mut peer).await;
    for (sequence, expected) in [(i32::MAX - 1, 0), (1, 3)] {
        let batch = Records::of(&["x", "y", "z"]).from(id, 0, sequence, false).batch();
        let answer = peer.produce(&topic, 0, batch).await;
        assert_eq!((code(answer.error_code), answer.base_offset), (ErrorCode::NONE, expected));
    }
}
