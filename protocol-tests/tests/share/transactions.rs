//! Records of transactions: what was aborted is not handed over where the group is set so, and marks block nothing.

use std::ops::Range;

use hop::wire::error_code::ErrorCode;
use kafka_protocol::messages::InitProducerIdResponse;
use protocol_tests::peer::{Peer, Topic, code};
use protocol_tests::transactions::{add, end, init, write};

use crate::target::{Target, numbers, unique};

#[tokio::test]
async fn aborted_records_are_passed_over_and_marks_are_gaps() {
    let Some(target) = Target::new(1).await else { return };
    target.set("share.isolation.level", "read_committed").await;
    let mut writer = Writer::connect(&target).await;
    // Offsets 0 and 1, a mark, 3 and 4, a mark, 6, a mark.
    writer.transaction(0..2, true).await;
    writer.transaction(2..4, false).await;
    writer.transaction(4..5, true).await;
    let mut consumer = target.builder().build().await.unwrap();
    assert_eq!(numbers(&mut consumer, 3).await, [(0, 1), (1, 1), (4, 1)]);
    target.write(0, 5..6).await;
    assert_eq!(numbers(&mut consumer, 1).await, [(5, 1)]);
    let outcomes = consumer.commit().await;
    assert!(matches!(&outcomes[..], [(_, Ok(()))]), "{outcomes:?}");
    consumer.close().await.unwrap();
    // No mark is left to be offered again: what is new is all there is.
    let mut second = target.explicit().await;
    target.write(0, 6..7).await;
    let shared = second.next().await.unwrap().unwrap();
    assert_eq!((shared.record.offset, shared.delivery_count), (9, 1));
}

/// Writes transactions to the first partition.
struct Writer {
    peer: Peer,
    topic: Topic,
    name: String,
    producer: InitProducerIdResponse,
    sequence: i32,
}

impl Writer {
    async fn connect(target: &Target) -> Self {
        let (mut peer, topic) = Peer::for_topic(&target.address, &target.topic).await;
        let name = unique("transaction");
        let producer = init(&mut peer, &name).await;
        Self { peer, topic, name, producer, sequence: 0 }
    }

    async fn transaction(&mut self, numbers: Range<i32>, commit: bool) {
        let Self { peer, topic, name, producer, sequence } = self;
        assert_eq!(add(peer, name, producer, topic).await, ErrorCode::NONE);
        let values: Vec<String> = numbers.map(|number| number.to_string()).collect();
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        let written = peer.produce_as(topic, 0, write(producer, *sequence, &values), Some(name)).await;
        assert_eq!(code(written.error_code), ErrorCode::NONE);
        *sequence += i32::try_from(values.len()).unwrap();
        assert_eq!(end(peer, name, producer, commit).await, ErrorCode::NONE);
    }
}
