//! Members of share groups: several at one partition, and what is left of one that goes.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hop::kafka::admin::{GroupType, NewTopic};
use hop::kafka::{Acknowledgement, ShareConsumer, TopicPartition};

use crate::target::{Target, eventually, number, numbers};

/// The longest that a broker allows.
const LONG_LOCK_MS: &str = "60000";

#[tokio::test]
async fn two_consumers_share_one_partition() {
    const RECORDS: u32 = 1000;
    let Some(target) = Target::new(1).await else { return };
    let (one, two) = (target.explicit(), target.explicit());
    let (mut one, mut two) = tokio::join!(one, two);
    for consumer in [&mut one, &mut two] {
        has(consumer, 1).await;
    }
    let mut read: BTreeMap<u32, u32> = BTreeMap::new();
    let mut of_each = [0, 0];
    let writes = async {
        for first in (0..RECORDS).step_by(50) {
            target.write(0, first..first + 50).await;
        }
    };
    let reads = async {
        while read.len() < RECORDS as usize {
            let (place, shared) = tokio::select! {
                shared = one.next() => (0, shared),
                shared = two.next() => (1, shared),
            };
            let shared = shared.unwrap().unwrap();
            *read.entry(number(&shared)).or_default() += 1;
            of_each[place] += 1;
            let consumer = if place == 0 { &mut one } else { &mut two };
            consumer.acknowledge(&shared, Acknowledgement::Accept).unwrap();
        }
    };
    tokio::join!(writes, reads);
    assert!(read.values().all(|&times| times == 1), "{read:?}");
    assert!(of_each.iter().all(|&count| count > 0), "{of_each:?}");
    let listed = target.admin.list_groups().await.unwrap();
    let found = listed.into_iter().find(|listed| listed.name == target.group).unwrap();
    assert_eq!(found.kind, Some(GroupType::Share));
    one.close().await.unwrap();
    two.close().await.unwrap();
}

#[tokio::test]
async fn what_a_consumer_held_is_free_at_once_when_it_is_closed_or_dropped() {
    let Some(target) = Target::new(1).await else { return };
    target.set("share.record.lock.duration.ms", LONG_LOCK_MS).await;
    for closes in [true, false] {
        let began = Instant::now();
        target.write(0, 0..4).await;
        let mut first = target.explicit().await;
        for _ in 0..4 {
            let shared = first.next().await.unwrap().unwrap();
            assert_eq!(shared.delivery_count, 1);
            if number(&shared) < 2 {
                first.acknowledge(&shared, Acknowledgement::Accept).unwrap();
            }
        }
        if closes {
            first.close().await.unwrap();
        } else {
            drop(first);
        }
        // What has been acknowledged is told before.
        let mut second = target.explicit().await;
        let mut left = Vec::new();
        for _ in 0..2 {
            let shared = second.next().await.unwrap().unwrap();
            left.push(number(&shared));
            second.acknowledge(&shared, Acknowledgement::Accept).unwrap();
        }
        assert_eq!(left, [2, 3], "closes: {closes}");
        assert_lock_lasts(began);
        second.close().await.unwrap();
    }
}

#[tokio::test]
async fn what_a_consumer_held_comes_again_when_its_process_is_gone() {
    let Some(target) = Target::new(1).await else { return };
    target.set("share.record.lock.duration.ms", LONG_LOCK_MS).await;
    target.write(0, 0..2).await;
    let began = Instant::now();
    let (address, topic, group) = (target.address.clone(), target.topic.clone(), target.group.clone());
    // A runtime that ends takes everything with it, as a process does: no task has a last word.
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let consumer = runtime.block_on(async {
            let client = hop::kafka::Client::builder().bootstrap(&address).connect().await.unwrap();
            let builder = client.share_consumer().topics([topic]).group(group);
            let mut consumer = builder.acknowledge_explicitly(true).build().await.unwrap();
            let shared = consumer.next().await.unwrap().unwrap();
            consumer.acknowledge(&shared, Acknowledgement::Accept).unwrap();
            consumer
        });
        runtime.shutdown_background();
        drop(consumer);
    })
    .join()
    .unwrap();
    let mut second = target.builder().build().await.unwrap();
    let read = numbers(&mut second, 2).await;
    assert_eq!(read.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [0, 1]);
    assert_lock_lasts(began);
    second.close().await.unwrap();
}

#[tokio::test]
async fn partitions_that_are_added_and_topics_made_anew_are_shared() {
    let Some(target) = Target::new(1).await else { return };
    let mut consumer = target.builder().build().await.unwrap();
    target.write(0, 0..1).await;
    assert_eq!(numbers(&mut consumer, 1).await, [(0, 1)]);
    target.admin.create_partitions(&target.topic, 2).await.unwrap();
    has(&mut consumer, 2).await;
    // A writer that knows of the new partition.
    let target = target.anew().await;
    assert_eq!(consumer.assignment()[1], TopicPartition::new(target.topic.as_str(), 1));
    target.write(1, 1..2).await;
    assert_eq!(numbers(&mut consumer, 1).await, [(1, 1)]);
    let outcomes = consumer.commit().await;
    assert!(outcomes.len() == 2 && outcomes.iter().all(|(_, outcome)| outcome.is_ok()), "{outcomes:?}");

    let deleted = target.admin.delete_topics(&[&target.topic]).await.unwrap();
    deleted.into_iter().next().unwrap().1.unwrap();
    eventually("the topic is made anew", async || {
        let new = NewTopic::new(&target.topic).partitions(1).replication_factor(1);
        target.admin.create_topics(&[new]).await.unwrap().pop().unwrap().1.is_ok()
    })
    .await;
    target.write(0, 2..3).await;
    assert_eq!(numbers(&mut consumer, 1).await, [(2, 1)]);
    consumer.close().await.unwrap();
}

/// That a record came again is due to what happened, and not to its lock.
fn assert_lock_lasts(began: Instant) {
    let lock = Duration::from_millis(LONG_LOCK_MS.parse().unwrap());
    assert!(began.elapsed() < lock, "the lock may have run out: this shows nothing");
}

/// Runs a consumer until it has so many partitions.
async fn has(consumer: &mut ShareConsumer, partitions: usize) {
    eventually("the partitions are assigned", async || {
        // Nothing has been written: no record is lost here.
        let patience = Duration::from_millis(20);
        assert!(tokio::time::timeout(patience, consumer.next()).await.is_err());
        consumer.assignment().len() == partitions
    })
    .await;
}
