//! Producers of transactions, made of single requests.

use hop::wire::error_code::ErrorCode;
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::*;

use crate::peer::{Peer, Records, Topic, code, text};

const COMMITTED: i8 = 1;

/// The producer of a transactional id.
pub async fn init(peer: &mut Peer, name: &str) -> InitProducerIdResponse {
    peer.find_coordinator(name, 1).await;
    let request = InitProducerIdRequest::default()
        .with_transactional_id(Some(TransactionalId(text(name))))
        .with_transaction_timeout_ms(60_000)
        .with_producer_id(ProducerId(-1))
        .with_producer_epoch(-1);
    let answer = peer.ask_coordinator(request, |answer| answer.error_code).await;
    assert_eq!(code(answer.error_code), ErrorCode::NONE);
    answer
}

/// Adds the first partition of a topic. In a version of clients, not of brokers among themselves.
pub async fn add(peer: &mut Peer, name: &str, producer: &InitProducerIdResponse, topic: &Topic) -> ErrorCode {
    for _ in 0..200 {
        let asked = AddPartitionsToTxnTopic::default().with_name(topic.topic_name()).with_partitions(vec![0]);
        let request = AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(TransactionalId(text(name)))
            .with_v3_and_below_producer_id(producer.producer_id)
            .with_v3_and_below_producer_epoch(producer.producer_epoch)
            .with_v3_and_below_topics(vec![asked]);
        let answer = peer.ask_in(3, request).await;
        let code = code(answer.results_by_topic_v3_and_below[0].results_by_partition[0].partition_error_code);
        // The marks of the one before may still be on their way.
        if code != ErrorCode::CONCURRENT_TRANSACTIONS {
            return code;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    ErrorCode::CONCURRENT_TRANSACTIONS
}

/// Ends the transaction.
pub async fn end(peer: &mut Peer, name: &str, producer: &InitProducerIdResponse, commit: bool) -> ErrorCode {
    let request = EndTxnRequest::default()
        .with_transactional_id(TransactionalId(text(name)))
        .with_producer_id(producer.producer_id)
        .with_producer_epoch(producer.producer_epoch)
        .with_committed(commit);
    // In the version before epochs grow with each transaction.
    for _ in 0..200 {
        let code = code(peer.ask_in(3, request.clone()).await.error_code);
        if code != ErrorCode::CONCURRENT_TRANSACTIONS {
            return code;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    ErrorCode::CONCURRENT_TRANSACTIONS
}

/// Waits until the marks are written, which a Kafka does behind its answer.
pub async fn stable_at(peer: &mut Peer, topic: &Topic, offset: i64) {
    for _ in 0..500 {
        if peer.offset_of(topic, -1, COMMITTED).await.0 == offset {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("{:?}, and not {offset}", peer.offset_of(topic, -1, COMMITTED).await);
}

/// A batch of records with these values, in a transaction.
pub fn write(producer: &InitProducerIdResponse, sequence: i32, values: &[&str]) -> bytes::Bytes {
    Records::of(values).from(producer.producer_id.0, producer.producer_epoch, sequence, true).batch()
}
