//! Writing in transactions: all or nothing, in partitions and in offsets of groups, and one producer of a name at a time.
//! On the embedded broker, or on the Kafka that `CONFORMANCE_BROKER` names.

#![expect(clippy::unwrap_used, reason = "tests say what is wrong by panicking")]

use hop::broker::{Broker, Fault};
use hop::kafka::{
    Client, CommittedOffset, Consumer, Isolation, ProduceError, Record, TopicPartition, TransactionError,
    TransactionalProducer,
};
use hop::wire::error_code::ErrorCode;
use hop::wire::messages::{EndTxnRequest, ProduceRequest};
use protocol_tests::consuming::{next, reader, to_end, within};
use protocol_tests::target::{Target, eventually, unique};

async fn producer(client: &Client, id: &str) -> TransactionalProducer {
    within("producer", client.producer().batch_bytes(300).build_transactional(id)).await.unwrap()
}

/// Writes these numbers over two partitions in one transaction, and what comes of each.
async fn write(
    transaction: &hop::kafka::Transaction<'_>,
    topic: &str,
    numbers: std::ops::Range<i32>,
) -> Vec<hop::kafka::Delivery> {
    let mut deliveries = Vec::new();
    for number in numbers {
        let record = Record::new(topic).partition(number % 2).value(number.to_string());
        deliveries.push(transaction.send(record).await.unwrap());
    }
    deliveries
}

/// Readers of committed records see these, once the marks are written, which a Kafka does behind its answer.
async fn assert_committed(client: &Client, topic: &str, expected: impl IntoIterator<Item = i32>) {
    let expected: Vec<i32> = expected.into_iter().collect();
    let mut seen = Vec::new();
    eventually("what was committed is seen", async || {
        seen = sorted(reader(client, topic).stop_at_end(true).build().await.unwrap()).await;
        seen.len() >= expected.len()
    })
    .await;
    assert_eq!(seen, expected, "{topic}");
}

async fn sorted(mut consumer: Consumer) -> Vec<i32> {
    let read = to_end(&mut consumer).await;
    let mut numbers: Vec<i32> = read.iter().map(|(_, _, value)| value.parse().unwrap()).collect();
    numbers.sort_unstable();
    numbers
}

#[tokio::test]
async fn what_is_committed_is_seen_and_what_is_aborted_is_not() {
    let target = Target::new().await;
    let (topic, client) = (target.topic(2).await, &target.client);
    let mut producer = producer(client, &unique("id")).await;
    let mut seen = Vec::new();
    for round in 0..6 {
        let numbers = round * 50..round * 50 + 50;
        let transaction = producer.begin().await.unwrap();
        let deliveries = write(&transaction, &topic, numbers.clone()).await;
        match round % 3 {
            0 => {
                within("commit", transaction.commit()).await.unwrap();
                seen.extend(numbers);
            }
            1 => {
                // All of it is in the logs by then.
                for delivery in deliveries {
                    within("acknowledgement", delivery).await.unwrap();
                }
                within("abort", transaction.abort()).await.unwrap();
            }
            // Whatever became of it, the next begins with nothing of it.
            _ => drop(transaction),
        }
    }
    // The last was left open.
    within("transaction", producer.begin()).await.unwrap().commit().await.unwrap();
    assert_committed(client, &topic, seen).await;
    let all = reader(client, &topic).isolation(Isolation::ReadUncommitted).stop_at_end(true);
    let all = sorted(all.build().await.unwrap()).await;
    assert!((50..100).all(|number| all.contains(&number)), "what was aborted has been there");
}

#[tokio::test]
async fn what_the_coordinator_still_has_open_is_aborted_and_the_same_producer_goes_on() {
    let target = Target::new().await;
    let (topic, client, group) = (target.topic(2).await, &target.client, unique("group"));
    let mut producer = producer(client, &unique("id")).await;
    for round in 0..4 {
        let numbers = round * 10..round * 10 + 10;
        let mut transaction = producer.begin().await.unwrap();
        for delivery in write(&transaction, &topic, numbers.clone()).await {
            within("acknowledgement", delivery).await.unwrap();
        }
        if round % 2 == 0 {
            // All that was acknowledged, and nobody has ended it.
            drop(transaction);
            continue;
        }
        // Offsets are in it, and records that are given up before they are sent.
        let consumer = reader(client, &topic).group(group.as_str()).auto_commit(None).build().await.unwrap();
        let offsets = [(TopicPartition::new(topic.as_str(), 0), CommittedOffset::new(1))];
        transaction.send_offsets(&consumer.group_metadata().unwrap(), &offsets).await.unwrap();
        write(&transaction, &topic, numbers).await.into_iter().for_each(drop);
        within("abort", transaction.abort()).await.unwrap();
        consumer.close().await.unwrap();
    }
    let transaction = within("transaction", producer.begin()).await.unwrap();
    write(&transaction, &topic, 90..95).await.into_iter().for_each(drop);
    within("commit", transaction.commit()).await.unwrap();
    assert_committed(client, &topic, 90..95).await;
    assert_eq!(client.admin().committed_offsets(&group).await.unwrap(), []);
}

#[tokio::test]
async fn what_comes_later_with_the_same_name_fences_what_was_there() {
    let target = Target::new().await;
    let (topic, client, id) = (target.topic(2).await, &target.client, unique("id"));
    let mut first = producer(client, &id).await;
    let transaction = first.begin().await.unwrap();
    for delivery in write(&transaction, &topic, 0..10).await {
        within("acknowledgement", delivery).await.unwrap();
    }
    let another = target.another_client().await;
    let mut second = producer(&another, &id).await;
    assert_eq!(second.id(), id);
    let failure = within("failure", transaction.commit()).await.unwrap_err();
    assert!(
        matches!(&failure, TransactionError::Fenced { transactional_id } if *transactional_id == id),
        "{failure}"
    );
    assert!(matches!(first.begin().await, Err(TransactionError::Fenced { .. })));

    let transaction = second.begin().await.unwrap();
    write(&transaction, &topic, 10..20).await.into_iter().for_each(drop);
    within("commit", transaction.commit()).await.unwrap();
    assert_committed(client, &topic, 10..20).await;
}

#[tokio::test]
async fn records_are_consumed_transformed_and_produced_exactly_once() {
    let target = Target::new().await;
    let (from, to, client) = (target.topic(2).await, target.topic(2).await, &target.client);
    let (group, id) = (unique("group"), unique("id"));
    let writer = client.producer().build().unwrap();
    for number in 0..40 {
        let record = Record::new(from.as_str()).partition(number % 2).value(number.to_string());
        drop(writer.send(record).await.unwrap());
    }
    writer.flush().await.unwrap();
    // Each life of the transformer commits some, aborts one, and ends amid another.
    for life in 0..4 {
        let consumer = reader(client, &from).group(group.as_str()).auto_commit(None);
        let mut consumer = consumer.build().await.unwrap();
        let mut producer = producer(client, &id).await;
        for round in 0..3 {
            let mut transaction = producer.begin().await.unwrap();
            let mut offsets = std::collections::BTreeMap::new();
            let count = if life == 3 { 4 } else { 5 };
            for _ in 0..count {
                let Ok(record) =
                    tokio::time::timeout(std::time::Duration::from_secs(2), consumer.next()).await
                else {
                    break;
                };
                let record = record.unwrap().unwrap();
                let doubled =
                    Record::new(to.as_str()).partition(record.partition).value(record.value.unwrap());
                drop(transaction.send(doubled).await.unwrap());
                let partition = TopicPartition::new(record.topic, record.partition);
                offsets.insert(partition, CommittedOffset::new(record.offset + 1));
            }
            let offsets: Vec<_> = offsets.into_iter().collect();
            let metadata = consumer.group_metadata().unwrap();
            within("offsets", transaction.send_offsets(&metadata, &offsets)).await.unwrap();
            match round {
                0 | 1 => within("commit", transaction.commit()).await.unwrap(),
                // What it has read is read again by the next.
                _ if life % 2 == 0 => within("abort", transaction.abort()).await.unwrap(),
                _ => drop(transaction),
            }
        }
        drop(producer);
        consumer.close().await.unwrap();
    }
    let mut producer = producer(client, &id).await;
    let consumer = reader(client, &from).group(group.as_str()).auto_commit(None).stop_at_end(true);
    let mut consumer = consumer.build().await.unwrap();
    let transaction = producer.begin().await.unwrap();
    while let Some(record) = within("record or end", consumer.next()).await.unwrap() {
        let doubled = Record::new(to.as_str()).partition(record.partition).value(record.value.unwrap());
        drop(transaction.send(doubled).await.unwrap());
    }
    transaction.commit().await.unwrap();
    assert_committed(client, &to, 0..40).await;
}

#[tokio::test]
async fn a_member_that_was_thrown_out_cannot_commit_its_offsets() {
    let broker = Broker::builder().topic("t", 1).start().await.unwrap();
    let client = Client::builder().bootstrap(&broker.bootstrap()).connect().await.unwrap();
    let writer = client.producer().build().unwrap();
    writer.send(Record::new("t").value("0")).await.unwrap().await.unwrap();
    let mut consumer = reader(&client, "t").group("g").auto_commit(None).build().await.unwrap();
    next(&mut consumer).await;
    let metadata = consumer.group_metadata().unwrap();
    assert_eq!(broker.expire_members("g"), 1);
    let mut producer = producer(&client, "id").await;
    let mut transaction = producer.begin().await.unwrap();
    let offsets = [(TopicPartition::new("t", 0), CommittedOffset::new(1))];
    let error = transaction.send_offsets(&metadata, &offsets).await.unwrap_err();
    let TransactionError::Refused(error) = error else { panic!("{error}") };
    assert_eq!(error.code(), Some(ErrorCode::UNKNOWN_MEMBER_ID));
    transaction.abort().await.unwrap();
    assert_eq!(client.admin().committed_offsets("g").await.unwrap(), []);
}

#[tokio::test]
async fn what_cannot_be_written_aborts_all_of_it_and_the_next_goes_on() {
    let broker = Broker::builder().topic("t", 2).start().await.unwrap();
    let client = Client::builder().bootstrap(&broker.bootstrap()).connect().await.unwrap();
    let mut producer = producer(&client, "id").await;
    let transaction = producer.begin().await.unwrap();
    for delivery in write(&transaction, "t", 0..4).await {
        within("acknowledgement", delivery).await.unwrap();
    }
    broker.misbehave(Fault::on::<ProduceRequest>().answer(ErrorCode::INVALID_RECORD));
    let failing = write(&transaction, "t", 4..6).await;
    let failure = within("failure", transaction.commit()).await.unwrap_err();
    assert!(matches!(failure, TransactionError::Aborted(ProduceError::Refused { .. })), "{failure}");
    failing.into_iter().for_each(drop);
    broker.behave();
    let transaction = producer.begin().await.unwrap();
    write(&transaction, "t", 6..10).await.into_iter().for_each(drop);
    transaction.commit().await.unwrap();
    assert_committed(&client, "t", 6..10).await;
}

#[tokio::test]
async fn passing_failures_are_outlived() {
    let broker = Broker::builder().topic("t", 2).start().await.unwrap();
    let client = Client::builder().bootstrap(&broker.bootstrap()).connect().await.unwrap();
    let mut producer = producer(&client, "id").await;
    let faults = [
        Fault::on::<ProduceRequest>().hang_up_after().times(2),
        Fault::on::<ProduceRequest>().answer(ErrorCode::NOT_LEADER_OR_FOLLOWER).times(2),
        Fault::on::<EndTxnRequest>().answer(ErrorCode::CONCURRENT_TRANSACTIONS).times(3),
        Fault::on::<EndTxnRequest>().answer(ErrorCode::NOT_COORDINATOR).times(2),
        Fault::on::<EndTxnRequest>().hang_up_before().times(2),
        Fault::on::<hop::wire::messages::AddPartitionsToTxnRequest>()
            .answer(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS)
            .times(2),
    ];
    let mut numbers = 0..20;
    for fault in faults {
        let what = fault.to_string();
        broker.misbehave(fault);
        let transaction = producer.begin().await.unwrap();
        write(&transaction, "t", numbers.clone()).await.into_iter().for_each(drop);
        within(&what, transaction.commit()).await.unwrap();
        broker.behave();
        assert_committed(&client, "t", 0..numbers.end).await;
        numbers = numbers.end..numbers.end + 20;
    }
}
