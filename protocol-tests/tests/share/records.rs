//! What becomes of records: accepted, released, rejected, or nothing said.

use std::collections::BTreeMap;
use std::time::Duration;

use hop::kafka::{Acknowledgement, Error, TopicPartition};

use crate::target::{Target, number, numbers};

#[tokio::test]
async fn what_was_handed_over_is_accepted_once_more_is_asked_for() {
    let Some(target) = Target::new(1).await else { return };
    target.write(0, 0..10).await;
    let mut first = target.builder().build().await.unwrap();
    for expected in 0..10 {
        let shared = first.next().await.unwrap().unwrap();
        assert_eq!((number(&shared), shared.delivery_count), (expected, 1));
    }
    // The last one counts as dealt with, since it is closed and not dropped.
    first.close().await.unwrap();
    let mut second = target.builder().build().await.unwrap();
    target.write(0, 10..12).await;
    assert_eq!(numbers(&mut second, 2).await, [(10, 1), (11, 1)]);
}

#[tokio::test]
async fn batches_are_accepted_as_a_whole() {
    let Some(target) = Target::new(2).await else { return };
    target.write(0, 0..40).await;
    target.write(1, 40..80).await;
    let mut first = target.builder().build().await.unwrap();
    let mut seen = BTreeMap::new();
    while seen.len() < 80 {
        let batch = first.next_batch().await.unwrap().unwrap();
        assert_eq!(batch.offsets().count(), batch.len());
        for shared in batch.records() {
            let value = std::str::from_utf8(shared.record.value.unwrap()).unwrap();
            *seen.entry(value.parse::<u32>().unwrap()).or_insert(0) += 1;
            assert_eq!(shared.delivery_count, 1);
        }
    }
    assert!(seen.values().all(|&times| times == 1), "{seen:?}");
    let outcomes = first.commit().await;
    assert_eq!(outcomes.len(), 2, "{outcomes:?}");
    assert!(outcomes.iter().all(|(_, outcome)| outcome.is_ok()), "{outcomes:?}");
    assert_eq!(first.commit().await.len(), 0, "nothing was said since");
    drop(first);
    let mut second = target.builder().build().await.unwrap();
    target.write(1, 80..81).await;
    assert_eq!(numbers(&mut second, 1).await, [(80, 1)]);
}

#[tokio::test]
async fn what_is_released_comes_again_and_what_is_rejected_never() {
    let Some(target) = Target::new(1).await else { return };
    target.write(0, 0..4).await;
    let mut consumer = target.explicit().await;
    let mut said = [
        Acknowledgement::Accept,
        Acknowledgement::Release,
        Acknowledgement::Reject,
        Acknowledgement::Release,
    ]
    .into_iter();
    for _ in 0..4 {
        let shared = consumer.next().await.unwrap().unwrap();
        assert_eq!(shared.delivery_count, 1);
        consumer.acknowledge(&shared, said.next().unwrap()).unwrap();
    }
    let partition = TopicPartition::new(target.topic.as_str(), 0);
    assert!(matches!(&consumer.commit().await[..], [(of, Ok(()))] if *of == partition));
    // What a broker has been told is no longer to be spoken of.
    let late = consumer.acknowledge_offsets(&partition, [0, 1], Acknowledgement::Accept);
    assert!(matches!(&late, Err(Error::NotHeld { offset: 0, .. })), "{late:?}");

    let mut again = Vec::new();
    for _ in 0..2 {
        let shared = consumer.next().await.unwrap().unwrap();
        again.push((number(&shared), shared.delivery_count));
        consumer.acknowledge(&shared, Acknowledgement::Accept).unwrap();
    }
    assert_eq!(again, [(1, 2), (3, 2)]);
    target.write(0, 4..5).await;
    let shared = consumer.next().await.unwrap().unwrap();
    assert_eq!((number(&shared), shared.delivery_count), (4, 1));
    consumer.acknowledge(&shared, Acknowledgement::Accept).unwrap();
    consumer.close().await.unwrap();
}

#[tokio::test]
async fn without_explicit_acknowledgement_single_records_may_fare_otherwise() {
    let Some(target) = Target::new(1).await else { return };
    target.write(0, 0..3).await;
    let mut consumer = target.builder().build().await.unwrap();
    for expected in 0..3 {
        let shared = consumer.next().await.unwrap().unwrap();
        assert_eq!(number(&shared), expected);
        if expected == 1 {
            consumer.acknowledge(&shared, Acknowledgement::Release).unwrap();
        }
    }
    assert_eq!(numbers(&mut consumer, 1).await, [(1, 2)]);
    consumer.close().await.unwrap();
}

#[tokio::test]
async fn a_record_is_given_up_after_as_many_deliveries_as_the_group_allows() {
    let Some(target) = Target::new(1).await else { return };
    target.set("share.delivery.count.limit", "2").await;
    target.write(0, 0..2).await;
    let mut consumer = target.explicit().await;
    let mut deliveries = Vec::new();
    while deliveries.len() < 3 {
        let shared = consumer.next().await.unwrap().unwrap();
        deliveries.push((number(&shared), shared.delivery_count));
        let how = match number(&shared) {
            0 => Acknowledgement::Release,
            _ => Acknowledgement::Accept,
        };
        consumer.acknowledge(&shared, how).unwrap();
    }
    deliveries.sort_unstable();
    assert_eq!(deliveries, [(0, 1), (0, 2), (1, 1)]);
    target.write(0, 2..3).await;
    let shared = consumer.next().await.unwrap().unwrap();
    assert_eq!((number(&shared), shared.delivery_count), (2, 1));
}

#[tokio::test]
async fn who_says_nothing_for_too_long_has_nothing_to_say_any_more() {
    let Some(target) = Target::new(1).await else { return };
    target.set("share.record.lock.duration.ms", "1000").await;
    target.write(0, 0..2).await;
    let mut slow = target.explicit().await;
    let held = slow.next().await.unwrap().unwrap();
    assert_eq!((number(&held), held.delivery_count), (0, 1));
    // Another gets both when their lock has run out, though the first is alive and a member still.
    let mut other = target.builder().build().await.unwrap();
    assert_eq!(numbers(&mut other, 2).await, [(0, 2), (1, 2)]);
    let late = slow.acknowledge(&held, Acknowledgement::Accept);
    assert!(matches!(&late, Err(Error::NotHeld { offset: 0, .. })), "{late:?}");
    assert_eq!(slow.commit().await.len(), 0);
    other.close().await.unwrap();
}

#[tokio::test]
async fn a_lock_that_ran_out_before_the_broker_was_told_is_a_failure_of_the_commit() {
    let Some(target) = Target::new(1).await else { return };
    target.set("share.record.lock.duration.ms", "1000").await;
    target.write(0, 0..1).await;
    let mut slow = target.builder().build().await.unwrap();
    let held = slow.next().await.unwrap().unwrap();
    let mut other = target.builder().build().await.unwrap();
    assert_eq!(numbers(&mut other, 1).await, [(0, 2)]);
    assert_eq!(held.delivery_count, 1);
    let outcomes = slow.commit().await;
    assert!(matches!(&outcomes[..], [(_, Err(Error::NotHeld { offset: 0, .. }))]), "{outcomes:?}");
    // It goes on all the same.
    other.close().await.unwrap();
    target.write(0, 1..2).await;
    assert_eq!(numbers(&mut slow, 1).await, [(1, 1)]);
    assert!(matches!(&slow.commit().await[..], [(_, Ok(()))]));
}

#[tokio::test]
async fn futures_that_are_dropped_lose_nothing() {
    let Some(target) = Target::new(1).await else { return };
    let writes = async {
        for number in 0..100 {
            target.write(0, number..number + 1).await;
        }
    };
    let reads = async {
        let mut consumer = target.explicit().await;
        let mut read = Vec::new();
        let mut dropped = 0;
        while read.len() < 100 {
            // Short enough to end in the middle of anything.
            let patience = Duration::from_micros(fastrand::u64(1..3000));
            match tokio::time::timeout(patience, consumer.next()).await {
                Ok(shared) => {
                    let shared = shared.unwrap().unwrap();
                    read.push((number(&shared), shared.delivery_count));
                    consumer.acknowledge(&shared, Acknowledgement::Accept).unwrap();
                }
                Err(_) => dropped += 1,
            }
            if dropped % 7 == 0 {
                let _ = tokio::time::timeout(patience, consumer.commit()).await;
            }
        }
        assert!(dropped > 0);
        let outcomes = consumer.commit().await;
        assert!(outcomes.iter().all(|(_, outcome)| outcome.is_ok()), "{outcomes:?}");
        (consumer, read)
    };
    let ((), (consumer, read)) = tokio::join!(writes, reads);
    assert_eq!(read, (0..100).map(|number| (number, 1)).collect::<Vec<_>>());
    consumer.close().await.unwrap();
}

#[tokio::test]
async fn a_consumer_stops_when_it_is_told_to() {
    let Some(target) = Target::new(1).await else { return };
    let mut consumer = target.builder().build().await.unwrap();
    let stopper = consumer.stopper();
    let (read, ()) = tokio::join!(consumer.next(), async {
        tokio::task::yield_now().await;
        stopper.stop();
    });
    assert!(read.unwrap().is_none());
    assert!(consumer.next_batch().await.unwrap().is_none());
    consumer.close().await.unwrap();
}
