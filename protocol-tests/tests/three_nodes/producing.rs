//! A million records while nodes are killed and leaders move: what is acknowledged is in the log once, and in order.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hop::kafka::admin::NewTopic;
use hop::kafka::{Consumer, Delivery, Record, TransactionError, TransactionalProducer};
use protocol_tests::consuming::{reader, within};
use protocol_tests::target::{only, unique};

use crate::cluster::Cluster;

const RECORDS: usize = 1_000_000;
const PARTITIONS: usize = 6;
/// Every node is killed at least once.
const KILLS: usize = 3;
/// Of leaders, one after the other, behind each kill.
const MOVES: usize = 3;
/// As many records are handed in at a time, and so often: a million takes longer than three kills.
const AT_A_TIME: usize = 1_000;
const EVERY: Duration = Duration::from_millis(40);
/// Of a transaction, and of so many of them one is aborted.
const IN_A_TRANSACTION: usize = 5_000;
const ABORTED: usize = 5;

/// The numbers that a partition has, in order.
type Numbers = Vec<usize>;

/// Replicated three times, and written to as long as two nodes have it.
async fn topic(cluster: &Cluster) -> String {
    let name = unique("produced");
    let partitions = i32::try_from(PARTITIONS).unwrap();
    let topic = NewTopic::new(&name).partitions(partitions).replication_factor(3);
    let topic = topic.config("min.insync.replicas", "2");
    only(cluster.target.admin.create_topics(&[topic]).await.unwrap()).unwrap();
    all_in_sync(cluster, &name).await;
    name
}

/// The topic, and what transactions are kept in.
async fn all_in_sync(cluster: &Cluster, topic: &str) {
    within("replicas that are all in sync", async {
        loop {
            let topics = cluster.target.client.list_topics().await.unwrap();
            let concerned = topics.iter().filter(|of| [topic, "__transaction_state"].contains(&&*of.name));
            let mut partitions = concerned.flat_map(|topic| &topic.partitions);
            if partitions.all(|partition| partition.leader.is_some() && partition.in_sync_replicas.len() == 3)
            {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
}

/// Kills each node in turn and starts it again, and moves leaders, until all is written and no node was left out.
async fn unrest(cluster: &Cluster, topic: &str, is_calm: &AtomicBool) {
    let mut kills = 0;
    while kills < KILLS || !is_calm.load(Ordering::Relaxed) {
        let node = (kills % 3 + 1).to_string();
        cluster.operate(&["kill-node", &node]).await;
        kills += 1;
        cluster.operate(&["start-node", &node]).await;
        all_in_sync(cluster, topic).await;
        // To the node that has lost all of its partitions; a move takes a second or two.
        for step in 0..MOVES {
            let partition = ((kills + step) % PARTITIONS).to_string();
            cluster.operate(&["move-leader", topic, &partition, &node]).await;
        }
    }
}

fn record(topic: &str, number: usize) -> Record {
    let partition = i32::try_from(number % PARTITIONS).unwrap();
    Record::new(topic).partition(partition).value(number.to_string())
}

/// What a topic holds, by partition. Offsets do not go back.
async fn read_all(mut consumer: Consumer) -> Vec<Numbers> {
    let mut read = vec![Numbers::new(); PARTITIONS];
    let mut last = [-1; PARTITIONS];
    while let Some(batch) = within("record or end", consumer.next_batch()).await.unwrap() {
        let partition = usize::try_from(batch.partition()).unwrap();
        for record in batch.records() {
            let record = record.unwrap();
            assert!(record.offset > last[partition]);
            last[partition] = record.offset;
            let value = std::str::from_utf8(record.value.unwrap()).unwrap();
            read[partition].push(value.parse().unwrap());
        }
    }
    read
}

/// Says where it begins to differ, and not all of a million numbers.
fn assert_same(read: &[Numbers], expected: &[Numbers]) {
    for (partition, (read, expected)) in read.iter().zip(expected).enumerate() {
        let differ = read.iter().zip(expected).position(|(read, expected)| read != expected);
        let at = differ.unwrap_or_else(|| read.len().min(expected.len()));
        let around = |numbers: &Numbers| {
            numbers.iter().skip(at.saturating_sub(2)).take(6).copied().collect::<Vec<_>>()
        };
        assert!(
            read == expected,
            "partition {partition} from {at} on: {:?} instead of {:?}; {} records instead of {}",
            around(read),
            around(expected),
            read.len(),
            expected.len()
        );
    }
}

#[tokio::test]
async fn a_million_records_are_each_stored_once_and_in_order_while_nodes_are_killed() {
    let cluster = Cluster::take().await;
    let topic = topic(&cluster).await;
    let client = cluster.client().await;
    let producer = client.producer().build().unwrap();
    let is_calm = AtomicBool::new(false);
    let is_restless = AtomicBool::new(true);

    let write = async {
        let mut deliveries: Vec<Delivery> = Vec::new();
        let mut pace = tokio::time::interval(EVERY);
        while deliveries.len() < RECORDS || is_restless.load(Ordering::Relaxed) {
            pace.tick().await;
            for _ in 0..AT_A_TIME {
                deliveries.push(producer.send(record(&topic, deliveries.len())).await.unwrap());
            }
            is_calm.store(deliveries.len() >= RECORDS, Ordering::Relaxed);
        }
        deliveries
    };
    let unrest = async {
        unrest(&cluster, &topic, &is_calm).await;
        is_restless.store(false, Ordering::Relaxed);
    };
    let (deliveries, ()) = tokio::join!(write, unrest);

    let mut expected = vec![Numbers::new(); PARTITIONS];
    for (number, delivery) in deliveries.into_iter().enumerate() {
        let acknowledged = delivery.await.unwrap();
        let partition = usize::try_from(acknowledged.partition).unwrap();
        if let Some(offset) = acknowledged.offset {
            assert_eq!(usize::try_from(offset).unwrap(), expected[partition].len());
        }
        expected[partition].push(number);
    }
    let consumer = reader(&cluster.client().await, &topic).stop_at_end(true).build().await.unwrap();
    assert_same(&read_all(consumer).await, &expected);
}

/// What became of a transaction.
enum Fate {
    Committed,
    Aborted,
    InDoubt,
}

/// Writes these numbers in one transaction.
async fn transact(
    producer: &mut TransactionalProducer,
    topic: &str,
    numbers: std::ops::Range<usize>,
    aborts: bool,
) -> Fate {
    // The coordinator is looked for until there is one again.
    for _ in 0..100 {
        let transaction = match producer.begin().await {
            Ok(transaction) => transaction,
            Err(TransactionError::Refused(_)) => continue,
            Err(error) => panic!("{error}"),
        };
        for number in numbers {
            drop(transaction.send(record(topic, number)).await.unwrap());
        }
        let ended = if aborts { transaction.abort().await } else { transaction.commit().await };
        return match ended {
            Ok(()) if aborts => Fate::Aborted,
            Ok(()) => Fate::Committed,
            Err(TransactionError::Aborted(_) | TransactionError::Refused(_)) => Fate::Aborted,
            Err(TransactionError::InDoubt(_)) if aborts => Fate::Aborted,
            Err(TransactionError::InDoubt(_)) => Fate::InDoubt,
            Err(error) => panic!("{error}"),
        };
    }
    panic!("no transaction begins");
}

#[tokio::test]
async fn exactly_what_is_committed_of_a_million_records_is_read_while_nodes_are_killed() {
    let cluster = Cluster::take().await;
    let topic = topic(&cluster).await;
    let client = cluster.client().await;
    let id = unique("transactional");
    let mut producer = client.producer().build_transactional(id.as_str()).await.unwrap();
    let is_calm = AtomicBool::new(false);
    let is_restless = AtomicBool::new(true);

    let write = async {
        let mut fates = Vec::new();
        while fates.len() * IN_A_TRANSACTION < RECORDS || is_restless.load(Ordering::Relaxed) {
            let first = fates.len() * IN_A_TRANSACTION;
            let aborts = fates.len() % ABORTED == 0;
            fates.push(transact(&mut producer, &topic, first..first + IN_A_TRANSACTION, aborts).await);
            is_calm.store(fates.len() * IN_A_TRANSACTION >= RECORDS, Ordering::Relaxed);
        }
        fates
    };
    let unrest = async {
        unrest(&cluster, &topic, &is_calm).await;
        is_restless.store(false, Ordering::Relaxed);
    };
    let (fates, ()) = tokio::join!(write, unrest);
    // The next with this id begins when the last transaction is settled, and its marks are in all partitions.
    drop(producer);
    client.producer().build_transactional(id).await.unwrap();

    let consumer = reader(&cluster.client().await, &topic).stop_at_end(true).build().await.unwrap();
    let read = read_all(consumer).await;
    let seen: BTreeSet<usize> = read.iter().flatten().copied().collect();
    let mut expected = vec![Numbers::new(); PARTITIONS];
    for (place, fate) in fates.into_iter().enumerate() {
        let first = place * IN_A_TRANSACTION;
        let is_there = match fate {
            Fate::Committed => true,
            Fate::Aborted => false,
            // All of it, or nothing.
            Fate::InDoubt => seen.contains(&first),
        };
        for number in (first..first + IN_A_TRANSACTION).filter(|_| is_there) {
            expected[number % PARTITIONS].push(number);
        }
    }
    assert_same(&read, &expected);
}
