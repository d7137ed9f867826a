//! Transactions: what readers of committed records see, and who is fenced.

use hop::wire::error_code::ErrorCode;
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::*;
use protocol_tests::peer::{Peer, Records, Topic, code, text};
use protocol_tests::target::unique;
use protocol_tests::transactions::{add, end, init, stable_at, write};

use crate::groups::committed_offset;
use crate::reading::values;

const COMMITTED: i8 = 1;

#[tokio::test]
async fn readers_of_committed_records_wait_for_the_end_and_are_told_what_was_aborted() {
    let mut peer = Peer::connect().await;
    let topic = peer.create_topic(1, &[]).await;
    let name = unique("transaction");
    let producer = init(&mut peer, &name).await;

    assert_eq!(add(&mut peer, &name, &producer, &topic).await, ErrorCode::NONE);
    peer.produce_as(&topic, 0, write(&producer, 0, &["a", "b"]), Some(&name)).await;
    peer.produce(&topic, 0, Records::of(&["beside"]).batch()).await;
    let committed = |request: FetchRequest| request.with_isolation_level(COMMITTED);
    let open = peer.fetch(&topic, 0, committed).await;
    assert_eq!((open.high_watermark, open.last_stable_offset, values(&open).len()), (3, 0, 0));
    assert_eq!(values(&peer.fetch(&topic, 0, |request| request).await).len(), 3);

    assert_eq!(end(&mut peer, &name, &producer, false).await, ErrorCode::NONE);
    stable_at(&mut peer, &topic, 4).await;
    let aborted = peer.fetch(&topic, 0, committed).await;
    let ranges: Vec<_> = aborted
        .aborted_transactions
        .clone()
        .unwrap()
        .into_iter()
        .map(|aborted| (aborted.producer_id, aborted.first_offset))
        .collect();
    assert_eq!(ranges, [(producer.producer_id, 0)]);
    assert_eq!((aborted.last_stable_offset, values(&aborted).len()), (4, 3));
    assert_eq!(peer.fetch(&topic, 0, |request| request).await.aborted_transactions, None);

    assert_eq!(add(&mut peer, &name, &producer, &topic).await, ErrorCode::NONE);
    peer.produce_as(&topic, 0, write(&producer, 2, &["c"]), Some(&name)).await;
    assert_eq!(end(&mut peer, &name, &producer, true).await, ErrorCode::NONE);
    stable_at(&mut peer, &topic, 6).await;
    let last = peer.fetch(&topic, 4, committed).await;
    assert_eq!(values(&last), [(4, "c".to_owned())]);
    assert_eq!(last.aborted_transactions, Some(Vec::new()));
}

#[tokio::test]
async fn a_second_producer_of_the_name_fences_the_first() {
    let mut peer = Peer::connect().await;
    let topic = peer.create_topic(1, &[]).await;
    let name = unique("transaction");
    let first = init(&mut peer, &name).await;
    assert_eq!(add(&mut peer, &name, &first, &topic).await, ErrorCode::NONE);
    peer.produce_as(&topic, 0, write(&first, 0, &["a"]), Some(&name)).await;

    let second = init(&mut peer, &name).await;
    assert_eq!(second.producer_id, first.producer_id);
    assert!(second.producer_epoch > first.producer_epoch);
    // What the first left open was aborted.
    stable_at(&mut peer, &topic, 2).await;
    assert_eq!(add(&mut peer, &name, &first, &topic).await, ErrorCode::PRODUCER_FENCED);
    assert_eq!(end(&mut peer, &name, &first, true).await, ErrorCode::PRODUCER_FENCED);
    let answer = peer.produce_as(&topic, 0, write(&first, 1, &["late"]), Some(&name)).await;
    assert_eq!(code(answer.error_code), ErrorCode::INVALID_PRODUCER_EPOCH);
}

#[tokio::test]
async fn a_transaction_that_never_began_is_not_ended() {
    let mut peer = Peer::connect().await;
    let topic = peer.create_topic(1, &[]).await;
    let name = unique("transaction");
    let producer = init(&mut peer, &name).await;
    assert_eq!(end(&mut peer, &name, &producer, true).await, ErrorCode::INVALID_TXN_STATE);
    let stranger = producer.clone().with_producer_id(ProducerId(producer.producer_id.0 + 1_000_000));
    assert_eq!(add(&mut peer, &name, &stranger, &topic).await, ErrorCode::INVALID_PRODUCER_ID_MAPPING);
    let nowhere = Topic { name: unique("nowhere"), id: uuid::Uuid::nil() };
    assert_eq!(add(&mut peer, &name, &producer, &nowhere).await, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
}

#[tokio::test]
async fn offsets_of_a_transaction_count_when_it_is_committed() {
    let mut peer = Peer::connect().await;
    let topic = peer.create_topic(1, &[]).await;
    let (name, group) = (unique("transaction"), unique("group"));
    peer.find_coordinator(&group, 0).await;
    let producer = init(&mut peer, &name).await;
    let begin = AddOffsetsToTxnRequest::default()
        .with_transactional_id(TransactionalId(text(&name)))
        .with_producer_id(producer.producer_id)
        .with_producer_epoch(producer.producer_epoch)
        .with_group_id(GroupId(text(&group)));
    assert_eq!(code(peer.ask_in(3, begin).await.error_code), ErrorCode::NONE);
    let partition =
        TxnOffsetCommitRequestPartition::default().with_committed_offset(42).with_committed_leader_epoch(-1);
    let asked =
        TxnOffsetCommitRequestTopic::default().with_name(topic.topic_name()).with_partitions(vec![partition]);
    let commit = TxnOffsetCommitRequest::default()
        .with_transactional_id(TransactionalId(text(&name)))
        .with_group_id(GroupId(text(&group)))
        .with_producer_id(producer.producer_id)
        .with_producer_epoch(producer.producer_epoch)
        .with_generation_id(-1)
        .with_topics(vec![asked]);
    let answer = peer.ask_in(3, commit).await;
    assert_eq!(code(answer.topics[0].partitions[0].error_code), ErrorCode::NONE);
    assert_eq!(committed_offset(&mut peer, &group, &topic).await, Err(ErrorCode::UNSTABLE_OFFSET_COMMIT));
    assert_eq!(end(&mut peer, &name, &producer, true).await, ErrorCode::NONE);
    for _ in 0..500 {
        if committed_offset(&mut peer, &group, &topic).await == Ok(42) {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("the offset is not committed");
}
