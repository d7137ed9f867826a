//! The queues under a fake clock, step by step; `simulation` has what comes in any order.

use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use kafka_protocol::messages::MetadataResponse;
use kafka_protocol::messages::metadata_response::{MetadataResponsePartition, MetadataResponseTopic};
use kafka_protocol::protocol::StrBytes;

use super::*;
use crate::kafka::producer::queue::ASTRAY_FOR;
use crate::wire::record::{Batch as WireBatch, Batches, DecodeLimits};

const TIMEOUT: Duration = Duration::from_secs(120);
const LINGER: Duration = Duration::from_millis(5);

/// A topic `t` whose partitions are led by these brokers.
pub(super) fn snapshot(leaders: &[i32]) -> Snapshot {
    let partitions = leaders.iter().zip(0..).map(|(&leader, number)| {
        MetadataResponsePartition::default().with_partition_index(number).with_leader_id(leader.into())
    });
    let topic = MetadataResponseTopic::default()
        .with_name(Some(StrBytes::from_static_str("t").into()))
        .with_partitions(partitions.collect());
    Snapshot::default().after(&MetadataResponse::default().with_topics(vec![topic]), Instant::now())
}

pub(super) fn limits() -> Limits {
    Limits {
        compressor: Compressor::default(),
        batch_bytes: 200,
        request_bytes: 1000,
        record_bytes: 1000,
        linger: LINGER,
        delivery_timeout: TIMEOUT,
    }
}

/// Queues of a producer that the brokers know: each of two partitions has stored a record.
fn queues() -> Queues {
    known(Identity::Known { id: 9, epoch: 0 })
}

fn known(identity: Identity) -> Queues {
    let (mut queues, now) = (Queues::new(limits(), Partitioner::default(), identity, false), Instant::now());
    for partition in 0..2 {
        drop(append(&mut queues, "first", partition, 2, now));
    }
    for request in send(&mut queues, &[1, 2], now) {
        answer(&mut queues, &request, ok(0), now);
    }
    assert_eq!((queues.acknowledged, queues.take_freed()), (2, 2));
    queues
}

pub(super) fn append(
    queues: &mut Queues,
    value: impl Into<Bytes>,
    partition: i32,
    partitions: usize,
    now: Instant,
) -> Delivery {
    let record = Record::new("t").partition(partition).value(value);
    queues.append(&record, 0, 1, partitions, |_| true, || now).expect("it fits").0
}

pub(super) fn outcome(delivery: &mut Delivery) -> Option<Result<Acknowledged, ProduceError>> {
    match std::pin::Pin::new(delivery).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => Some(outcome),
        Poll::Pending => None,
    }
}

fn ok(base_offset: i64) -> Outcome {
    Outcome::Answered { code: ErrorCode::NONE, message: None, base_offset, append_time: -1 }
}

pub(super) fn code(code: ErrorCode) -> Outcome {
    Outcome::Answered { code, message: None, base_offset: -1, append_time: -1 }
}

pub(super) fn lost() -> Outcome {
    let error = Error::NoLeader { topic: "t".to_owned(), partition: 0 };
    Outcome::Failed { error, maybe_written: true }
}

pub(super) fn batch(records: &Bytes) -> WireBatch {
    Batches::new(records.clone(), DecodeLimits::default()).next().expect("one").expect("sound")
}

pub(super) fn values(records: &Bytes) -> Vec<String> {
    let batch = batch(records);
    let values = batch.records().map(|record| {
        String::from_utf8(record.expect("a record").value.expect("a value").to_vec()).expect("text")
    });
    values.collect()
}

/// What is sent now, as the sender does it: the broker, what is to be answered, and its bytes.
pub(super) fn send(queues: &mut Queues, leaders: &[i32], now: Instant) -> Vec<(i32, Vec<(Place, Bytes)>)> {
    let requests = queues.next_requests(&snapshot(leaders), |_| usize::MAX, now);
    let finish = |queues: &mut Queues, Dispatch { place, load }| {
        let records = match load {
            Load::Again(records) => records,
            Load::New(builder, stamp) => {
                let records = builder.finish(stamp).expect("it can be finished");
                queues.keep(&place, &records);
                records
            }
        };
        (place, records)
    };
    requests
        .into_iter()
        .map(|(broker, parts)| (broker, parts.into_iter().map(|part| finish(queues, part)).collect()))
        .collect()
}

/// Of requests with one batch each: their values and sequence numbers.
fn sent(requests: &[(i32, Vec<(Place, Bytes)>)]) -> Vec<(Vec<String>, i16, i32)> {
    let parts = requests.iter().flat_map(|(_, parts)| parts);
    parts
        .map(|(_, records)| {
            let batch = batch(records);
            (values(records), batch.producer_epoch(), batch.base_sequence())
        })
        .collect()
}

fn answer(queues: &mut Queues, request: &(i32, Vec<(Place, Bytes)>), outcome: Outcome, now: Instant) -> bool {
    let (broker, parts) = request;
    queues.on_answer(*broker, vec![(parts[0].0.clone(), outcome)], now)
}

fn owned(values: &[&str]) -> Vec<String> {
    values.iter().map(|value| (*value).to_owned()).collect()
}

#[test]
fn a_lone_record_leaves_at_once_and_those_behind_it_gather() {
    let (mut queues, now) = (queues(), Instant::now());
    let mut first = append(&mut queues, "a", 0, 1, now);
    let one = send(&mut queues, &[1], now);
    assert_eq!(sent(&one), [(owned(&["a"]), 0, 1)]);
    let mut second = append(&mut queues, "b", 0, 1, now);
    drop(append(&mut queues, "c", 0, 1, now + LINGER / 2));
    assert!(send(&mut queues, &[1], now + LINGER / 2).is_empty());
    assert_eq!(queues.next_look(now), Some(now + LINGER));
    // They do not wait for the answer, but for others.
    let two = send(&mut queues, &[1], now + LINGER);
    assert_eq!(sent(&two), [(owned(&["b", "c"]), 0, 2)]);

    answer(&mut queues, &one[0], ok(40), now);
    assert_eq!(outcome(&mut first).and_then(Result::ok).and_then(|at| at.offset), Some(40));
    assert!(outcome(&mut second).is_none());
    drop(append(&mut queues, "d", 0, 1, now + LINGER));
    answer(&mut queues, &two[0], ok(41), now);
    // Nothing is on its way any more.
    assert_eq!(sent(&send(&mut queues, &[1], now + LINGER)), [(owned(&["d"]), 0, 4)]);
    assert_eq!(queues.acknowledged, 5);
    assert_eq!(queues.take_freed(), 3);
}

#[test]
fn five_batches_of_a_partition_are_in_flight_and_one_where_nobody_knows_their_order() {
    for (identity, most) in [(Identity::Known { id: 9, epoch: 0 }, 5), (Identity::Anonymous, 1)] {
        let (mut queues, now) = (known(identity), Instant::now());
        for _ in 0..8 {
            drop(append(&mut queues, "x".repeat(300), 0, 1, now));
        }
        assert_eq!(send(&mut queues, &[1], now).len(), most);
        assert!(send(&mut queues, &[1], now).is_empty());
    }
}

#[test]
fn a_broker_that_does_not_know_the_producer_is_sent_nothing_behind_the_first_batch() {
    let identity = Identity::Known { id: 9, epoch: 0 };
    let (mut queues, now) = (Queues::new(limits(), Partitioner::default(), identity, false), Instant::now());
    for _ in 0..3 {
        drop(append(&mut queues, "x".repeat(300), 0, 1, now));
    }
    let first = send(&mut queues, &[1], now);
    assert_eq!(first.len(), 1);
    answer(&mut queues, &first[0], code(ErrorCode::NOT_LEADER_OR_FOLLOWER), now);
    let later = queues.next_look(now).expect("a time");
    let again = send(&mut queues, &[2], later);
    assert_eq!(again.len(), 1);
    answer(&mut queues, &again[0], ok(0), later);
    assert_eq!(send(&mut queues, &[2], later).len(), 2);
    // After a day of silence it may have forgotten.
    let much_later = later + Duration::from_secs(86_400);
    let mut queues = known(identity);
    for _ in 0..3 {
        drop(append(&mut queues, "x".repeat(300), 0, 2, much_later));
    }
    assert_eq!(send(&mut queues, &[1, 2], much_later).len(), 1);
}

#[test]
fn what_was_flushed_gathers_no_more() {
    let (mut queues, now) = (queues(), Instant::now());
    drop(append(&mut queues, "a", 0, 1, now));
    send(&mut queues, &[1], now);
    drop(append(&mut queues, "b", 0, 1, now));
    assert!(send(&mut queues, &[1], now).is_empty());
    queues.close_all();
    assert_eq!(send(&mut queues, &[1], now).len(), 1);
}

#[test]
fn nothing_is_sent_without_an_identity_or_a_leader() {
    let now = Instant::now();
    let mut queues = Queues::new(limits(), Partitioner::default(), Identity::Wanted, false);
    drop(append(&mut queues, "a", 0, 1, now));
    assert!(queues.wants_identity());
    assert!(send(&mut queues, &[1], now).is_empty());
    queues.identify(Identity::Anonymous);
    assert!(send(&mut queues, &[-1], now).is_empty());
    assert_eq!(queues.leaderless(&snapshot(&[-1])).len(), 1);
    assert_eq!(send(&mut queues, &[1], now).len(), 1);
}

#[test]
fn a_retry_waits_and_has_the_same_bytes() {
    let (mut queues, now) = (queues(), Instant::now());
    drop(append(&mut queues, "a", 0, 1, now));
    let first = send(&mut queues, &[1], now);
    assert!(answer(&mut queues, &first[0], lost(), now), "the leader may have moved");
    assert!(send(&mut queues, &[1], now).is_empty());
    let later = queues.next_look(now).expect("a time");
    let again = send(&mut queues, &[2], later);
    assert_eq!(again[0].0, 2);
    assert_eq!(again[0].1[0].1, first[0].1[0].1);
}

#[test]
fn a_refused_batch_fails_alone_and_its_sequence_number_is_free_again() {
    let (mut queues, now) = (queues(), Instant::now());
    let mut first = append(&mut queues, "x".repeat(300), 0, 1, now);
    let one = send(&mut queues, &[1], now);
    let mut second = append(&mut queues, "b", 0, 1, now);
    answer(&mut queues, &one[0], code(ErrorCode::MESSAGE_TOO_LARGE), now);
    assert!(matches!(outcome(&mut first), Some(Err(ProduceError::Refused { .. }))));
    let two = send(&mut queues, &[1], now);
    assert_eq!(sent(&two), [(owned(&["b"]), 0, 1)]);
    answer(&mut queues, &two[0], ok(0), now);
    assert!(matches!(outcome(&mut second), Some(Ok(_))));
    assert!(queues.first_failure.is_some());
}

#[test]
fn what_was_sent_behind_a_refused_batch_is_numbered_anew_under_the_next_epoch() {
    let (mut queues, now) = (queues(), Instant::now());
    let mut refused = append(&mut queues, "x".repeat(300), 0, 2, now);
    let mut behind = append(&mut queues, "y".repeat(300), 0, 2, now);
    let mut elsewhere = append(&mut queues, "z".repeat(300), 1, 2, now);
    let requests = send(&mut queues, &[1, 2], now);
    assert_eq!(requests.len(), 3);
    let of = |partition, which: usize| {
        let mut found = requests.iter().filter(|(_, parts)| parts[0].0.partition == partition);
        found.nth(which).expect("it was sent").clone()
    };
    answer(&mut queues, &of(0, 0), code(ErrorCode::INVALID_RECORD), now);
    answer(&mut queues, &of(0, 1), code(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER), now);
    assert!(matches!(outcome(&mut refused), Some(Err(_))));
    let again = send(&mut queues, &[1, 2], now);
    assert_eq!(sent(&again), [(vec!["y".repeat(300)], 1, 0)]);
    answer(&mut queues, &again[0], ok(7), now);
    assert!(matches!(outcome(&mut behind), Some(Ok(_))));
    // The other partition has something on its way, and goes on as it was until it has not.
    drop(append(&mut queues, "w".repeat(300), 1, 2, now));
    assert_eq!(sent(&send(&mut queues, &[1, 2], now)), [(vec!["w".repeat(300)], 0, 2)]);
    answer(&mut queues, &of(1, 0), ok(3), now);
    assert!(matches!(outcome(&mut elsewhere), Some(Ok(_))));
}

#[test]
fn a_batch_that_is_too_large_for_the_topic_goes_in_halves() {
    let (mut queues, now) = (queues(), Instant::now());
    let mut deliveries: Vec<_> = (0..5).map(|n| append(&mut queues, format!("{n}"), 0, 1, now)).collect();
    let whole = send(&mut queues, &[1], now);
    answer(&mut queues, &whole[0], code(ErrorCode::MESSAGE_TOO_LARGE), now);
    let halves = send(&mut queues, &[1], now);
    assert_eq!(sent(&halves), [(owned(&["0", "1"]), 0, 1), (owned(&["2", "3", "4"]), 0, 3)]);
    answer(&mut queues, &halves[0], code(ErrorCode::MESSAGE_TOO_LARGE), now);
    answer(&mut queues, &halves[1], code(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER), now);
    let rest = send(&mut queues, &[1], now);
    assert_eq!(sent(&rest), [(owned(&["0"]), 0, 1), (owned(&["1"]), 0, 2), (owned(&["2", "3", "4"]), 0, 3)]);
    for (request, offset) in rest.iter().zip([10, 11, 12]) {
        answer(&mut queues, request, ok(offset), now);
    }
    let offsets: Vec<_> =
        deliveries.iter_mut().map(|delivery| outcome(delivery).unwrap().unwrap().offset).collect();
    assert_eq!(offsets, [10, 11, 12, 13, 14].map(Some));
    assert_eq!(queues.take_freed(), 5);
}

#[test]
fn what_is_never_acknowledged_expires_and_says_that_it_may_have_been_written() {
    let (mut queues, now) = (queues(), Instant::now());
    let mut delivery = append(&mut queues, "a", 0, 1, now);
    let one = send(&mut queues, &[1], now);
    queues.expire(now + TIMEOUT);
    assert!(outcome(&mut delivery).is_none(), "it is in flight");
    answer(&mut queues, &one[0], lost(), now + TIMEOUT);
    queues.expire(now + TIMEOUT);
    assert!(matches!(outcome(&mut delivery), Some(Err(ProduceError::Expired { maybe_written: true, .. }))));
    // Whether its number was used, the next batch will show.
    let later = now + TIMEOUT * 2;
    drop(append(&mut queues, "b", 0, 1, later));
    let two = send(&mut queues, &[1], later);
    assert_eq!(sent(&two), [(owned(&["b"]), 0, 2)]);
    answer(&mut queues, &two[0], code(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER), later);
    assert_eq!(sent(&send(&mut queues, &[1], later)), [(owned(&["b"]), 1, 0)]);
}

#[test]
fn what_may_still_arrive_is_not_numbered_anew_before_it_cannot() {
    let (mut queues, now) = (queues(), Instant::now());
    let mut oldest = append(&mut queues, "x".repeat(300), 0, 1, now);
    let mut behind = append(&mut queues, "y".repeat(300), 0, 1, now + TIMEOUT * 3 / 4);
    let cut = now + TIMEOUT;
    for request in send(&mut queues, &[1], cut) {
        answer(&mut queues, &request, lost(), cut);
    }
    queues.expire(cut);
    assert!(matches!(outcome(&mut oldest), Some(Err(ProduceError::Expired { maybe_written: true, .. }))));

    // Both may be on their way to a broker that has neither yet.
    let as_before = [(vec!["y".repeat(300)], 0, 2)];
    let mut at = queues.next_look(cut).expect("a time");
    while at < cut + ASTRAY_FOR {
        let again = send(&mut queues, &[1], at);
        assert_eq!(sent(&again), as_before);
        answer(&mut queues, &again[0], code(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER), at);
        assert!(send(&mut queues, &[1], at).is_empty(), "not at once");
        at = queues.next_look(at).expect("a time");
    }
    let again = send(&mut queues, &[1], at);
    assert_eq!(sent(&again), as_before);
    answer(&mut queues, &again[0], code(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER), at);
    let anew = send(&mut queues, &[1], at);
    assert_eq!(sent(&anew), [(vec!["y".repeat(300)], 1, 0)]);
    answer(&mut queues, &anew[0], ok(3), at);
    assert!(matches!(outcome(&mut behind), Some(Ok(_))));
}

#[test]
fn a_broker_may_not_have_more_batches_than_it_remembers() {
    let (mut queues, mut now) = (queues(), Instant::now());
    let mut first = append(&mut queues, "a", 0, 1, now);
    drop(append(&mut queues, "b", 0, 1, now));
    for value in ["v", "w", "x", "y"] {
        drop(append(&mut queues, value.repeat(300), 0, 1, now));
    }
    // The first is made two: then there are six.
    let five = send(&mut queues, &[1], now);
    answer(&mut queues, &five[0], code(ErrorCode::MESSAGE_TOO_LARGE), now);
    for request in &five[1..] {
        answer(&mut queues, request, lost(), now);
    }
    now = queues.next_look(now).expect("a time");
    let half = send(&mut queues, &[1], now);
    assert_eq!(sent(&half), [(owned(&["a"]), 0, 1)]);
    answer(&mut queues, &half[0], ok(1), now);
    assert!(matches!(outcome(&mut first), Some(Ok(_))));
    let others = send(&mut queues, &[1], now);
    assert_eq!((others.len(), &sent(&others)[0]), (5, &(owned(&["b"]), 0, 2)));
}

#[test]
fn a_producer_that_has_used_up_its_epochs_wants_another_number() {
    let (mut queues, now) = (known(Identity::Known { id: 9, epoch: i16::MAX }), Instant::now());
    drop(append(&mut queues, "a", 0, 1, now));
    let one = send(&mut queues, &[1], now);
    answer(&mut queues, &one[0], code(ErrorCode::UNKNOWN_PRODUCER_ID), now);
    assert!(send(&mut queues, &[1], now).is_empty());
    assert!(queues.wants_identity());
    queues.identify(Identity::Known { id: 10, epoch: 0 });
    assert_eq!(sent(&send(&mut queues, &[1], now)), [(owned(&["a"]), 0, 0)]);
}
