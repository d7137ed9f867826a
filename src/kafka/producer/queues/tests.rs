//! The queues under a fake clock, with brokers that lose requests and answers.

use std::task::{Context, Poll, Waker};

use kafka_protocol::messages::MetadataResponse;
use kafka_protocol::messages::metadata_response::{MetadataResponsePartition, MetadataResponseTopic};
use kafka_protocol::protocol::StrBytes;
use proptest::prelude::*;

use super::*;
use crate::wire::record::{Batches, DecodeLimits};

const TIMEOUT: Duration = Duration::from_secs(120);

/// A topic `t` whose partitions are led by these brokers.
fn snapshot(leaders: &[i32]) -> Snapshot {
    let partitions = leaders.iter().zip(0..).map(|(&leader, number)| {
        MetadataResponsePartition::default().with_partition_index(number).with_leader_id(leader.into())
    });
    let topic = MetadataResponseTopic::default()
        .with_name(Some(StrBytes::from_static_str("t").into()))
        .with_partitions(partitions.collect());
    Snapshot::default().after(&MetadataResponse::default().with_topics(vec![topic]), Instant::now())
}

fn queues() -> Queues {
    let limits = Limits {
        compression: Compression::None,
        batch_bytes: 200,
        record_bytes: 1000,
        delivery_timeout: TIMEOUT,
    };
    let mut queues = Queues::new(limits);
    queues.identify(Identity::Known { id: 9, epoch: 0 });
    queues
}

fn append(queues: &mut Queues, value: String, partition: i32, partitions: usize, now: Instant) -> Delivery {
    let record = Record::new("t").partition(partition).value(value);
    queues.append(&record, 0, 1, partitions, now).expect("it fits").0
}

fn outcome(delivery: &mut Delivery) -> Option<Result<Acknowledged, ProduceError>> {
    match std::pin::Pin::new(delivery).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => Some(outcome),
        Poll::Pending => None,
    }
}

fn ok(base_offset: i64) -> Outcome {
    Outcome::Answered { code: ErrorCode::NONE, message: None, base_offset, append_time: -1 }
}

fn code(code: ErrorCode) -> Outcome {
    Outcome::Answered { code, message: None, base_offset: -1, append_time: -1 }
}

fn lost() -> Outcome {
    let error = Error::NoLeader { topic: "t".to_owned(), partition: 0 };
    Outcome::Failed { error, maybe_written: true }
}

fn values(records: &Bytes) -> Vec<String> {
    let batches = Batches::new(records.clone(), DecodeLimits::default());
    batches
        .flat_map(|batch| {
            let batch = batch.expect("what was encoded decodes");
            let values = batch.records().map(|record| {
                String::from_utf8(record.expect("a record").value.expect("a value").to_vec()).expect("text")
            });
            values.collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn one_batch_of_a_partition_is_in_flight_and_the_next_takes_what_comes() {
    let (mut queues, now) = (queues(), Instant::now());
    let mut first = append(&mut queues, "a".to_owned(), 0, 1, now);
    let sent = queues.next_requests(&snapshot(&[1]), now);
    assert_eq!(
        sent.iter().map(|(broker, parts)| (*broker, values(&parts[0].records))).collect::<Vec<_>>(),
        [(1, vec!["a".to_owned()])]
    );
    let mut second = append(&mut queues, "b".to_owned(), 0, 1, now);
    drop(append(&mut queues, "c".to_owned(), 0, 1, now));
    assert!(queues.next_requests(&snapshot(&[1]), now).is_empty());

    queues.on_answer(1, vec![(Arc::from("t"), 0, ok(40))], now);
    assert_eq!(outcome(&mut first).and_then(Result::ok).and_then(|at| at.offset), Some(40));
    assert!(outcome(&mut second).is_none());
    let sent = queues.next_requests(&snapshot(&[1]), now);
    assert_eq!(values(&sent[0].1[0].records), ["b", "c"]);
    queues.on_answer(1, vec![(Arc::from("t"), 0, ok(41))], now);
    assert_eq!(queues.acknowledged, 3);
    assert_eq!(queues.take_freed(), 3);
}

#[test]
fn nothing_is_sent_without_an_identity_or_a_leader() {
    let now = Instant::now();
    let mut queues = queues();
    queues.identity = Identity::Wanted;
    drop(append(&mut queues, "a".to_owned(), 0, 1, now));
    assert!(queues.wants_identity());
    assert!(queues.next_requests(&snapshot(&[1]), now).is_empty());
    queues.identify(Identity::Refused);
    assert!(queues.next_requests(&snapshot(&[-1]), now).is_empty());
    assert_eq!(queues.leaderless(&snapshot(&[-1])).len(), 1);
    assert_eq!(queues.next_requests(&snapshot(&[1]), now).len(), 1);
}

#[test]
fn a_retry_waits_and_has_the_same_bytes() {
    let (mut queues, now) = (queues(), Instant::now());
    drop(append(&mut queues, "a".to_owned(), 0, 1, now));
    let sent = queues.next_requests(&snapshot(&[1]), now);
    assert!(queues.on_answer(1, vec![(Arc::from("t"), 0, lost())], now), "the leader may have moved");
    assert!(queues.next_requests(&snapshot(&[1]), now).is_empty());
    let later = queues.next_look(now).expect("a time");
    let again = queues.next_requests(&snapshot(&[2]), later);
    assert_eq!(again[0].0, 2);
    assert_eq!(again[0].1[0].records, sent[0].1[0].records);
}

#[test]
fn a_refused_batch_fails_alone_and_keeps_its_sequence_number_free() {
    let (mut queues, now) = (queues(), Instant::now());
    let mut first = append(&mut queues, "x".repeat(300), 0, 1, now);
    let mut second = append(&mut queues, "b".to_owned(), 0, 1, now);
    queues.next_requests(&snapshot(&[1]), now);
    queues.on_answer(1, vec![(Arc::from("t"), 0, code(ErrorCode::MESSAGE_TOO_LARGE))], now);
    assert!(matches!(outcome(&mut first), Some(Err(ProduceError::Refused { .. }))));
    let sent = queues.next_requests(&snapshot(&[1]), now);
    let batch = Batches::new(sent[0].1[0].records.clone(), DecodeLimits::default()).next();
    assert_eq!(batch.and_then(Result::ok).map(|batch| batch.base_sequence()), Some(0));
    queues.on_answer(1, vec![(Arc::from("t"), 0, ok(0))], now);
    assert!(matches!(outcome(&mut second), Some(Ok(_))));
    assert!(queues.first_failure.is_some());
}

#[test]
fn what_is_never_acknowledged_expires_and_leaves_a_doubt() {
    let (mut queues, now) = (queues(), Instant::now());
    let mut delivery = append(&mut queues, "a".to_owned(), 0, 1, now);
    queues.next_requests(&snapshot(&[1]), now);
    queues.expire(now + TIMEOUT);
    assert!(outcome(&mut delivery).is_none(), "it is in flight");
    queues.on_answer(1, vec![(Arc::from("t"), 0, lost())], now + TIMEOUT);
    queues.expire(now + TIMEOUT);
    assert!(matches!(outcome(&mut delivery), Some(Err(ProduceError::Expired { maybe_written: true, .. }))));
    assert!(queues.wants_identity(), "the sequence number may have been used");
}

#[test]
fn sequence_numbers_wrap_to_zero() {
    assert_eq!(sequence_after(i32::MAX, 1), 0);
    assert_eq!(sequence_after(i32::MAX - 1, 3), 1);
}

/// A partition's log on a broker that checks sequence numbers.
#[derive(Default)]
struct Log {
    values: Vec<String>,
    producer: Option<(i64, i32)>,
    last: Option<(i64, i32, i64)>,
}

impl Log {
    fn append(&mut self, records: &Bytes) -> Outcome {
        let batch =
            Batches::new(records.clone(), DecodeLimits::default()).next().expect("one").expect("sound");
        let (id, base) = (batch.producer_id(), batch.base_sequence());
        if let Some((last_id, last_base, offset)) = self.last
            && (last_id, last_base) == (id, base)
        {
            let _ = offset;
            return code(ErrorCode::DUPLICATE_SEQUENCE_NUMBER);
        }
        let expected = self.producer.filter(|(known, _)| *known == id).map_or(0, |(_, next)| next);
        if base != expected {
            return code(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER);
        }
        let offset = i64::try_from(self.values.len()).expect("few");
        self.values.extend(values(records));
        self.producer = Some((id, sequence_after(base, batch.record_count())));
        self.last = Some((id, base, offset));
        ok(offset)
    }
}

#[derive(Debug, Clone)]
enum Event {
    Append {
        partition: i32,
    },
    /// Ask for requests; each is answered, lost on the way there, lost on the way back, or refused for a while.
    Send {
        fates: Vec<u8>,
    },
    Wait,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        3 => (0..3_i32).prop_map(|partition| Event::Append { partition }),
        2 => prop::collection::vec(0..4_u8, 3).prop_map(|fates| Event::Send { fates }),
        1 => Just(Event::Wait),
    ];
    prop::collection::vec(event, 1..80)
}

proptest! {
    /// Whatever is lost on the way, each record ends in its partition once, in the order it was handed in.
    #[test]
    fn every_record_is_stored_once_and_in_order(events in events()) {
        let mut queues = queues();
        let mut now = Instant::now();
        let leaders = snapshot(&[1, 2, 1]);
        let mut logs = [Log::default(), Log::default(), Log::default()];
        let mut handed: [Vec<String>; 3] = Default::default();
        let mut deliveries = Vec::new();
        let mut number = 0;
        let settle = (0..40).flat_map(|_| [Event::Wait, Event::Send { fates: vec![0] }]);
        for event in events.into_iter().chain(settle) {
            match event {
                Event::Append { partition } => {
                    number += 1;
                    let value = format!("{number:030}");
                    deliveries.push(append(&mut queues, value.clone(), partition, 3, now));
                    handed[usize::try_from(partition).unwrap()].push(value);
                }
                Event::Send { fates } => {
                    let mut fates = fates.into_iter().cycle();
                    for (broker, parts) in queues.next_requests(&leaders, now) {
                        let fate = fates.next().unwrap_or(0);
                        let outcomes = parts.into_iter().map(|part| {
                            let log = &mut logs[usize::try_from(part.partition).unwrap()];
                            let outcome = match fate {
                                0 => log.append(&part.records),
                                1 => lost(),
                                2 => { log.append(&part.records); lost() }
                                _ => code(ErrorCode::NOT_LEADER_OR_FOLLOWER),
                            };
                            (part.topic, part.partition, outcome)
                        });
                        let outcomes = outcomes.collect();
                        queues.on_answer(broker, outcomes, now);
                    }
                }
                Event::Wait => now += Duration::from_millis(1300),
            }
        }
        for (log, handed) in logs.iter().zip(&handed) {
            prop_assert_eq!(&log.values, handed);
        }
        for delivery in &mut deliveries {
            prop_assert!(matches!(outcome(delivery), Some(Ok(_))));
        }
        prop_assert_eq!(queues.acknowledged, u64::try_from(deliveries.len()).unwrap());
        prop_assert_eq!(queues.take_freed(), deliveries.len());
    }
}
