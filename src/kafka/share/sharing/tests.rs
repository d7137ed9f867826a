use std::io;
use std::sync::Arc;

use super::super::made_up::{batch, damaged};
use super::*;

const LOCK: Duration = Duration::from_secs(30);
const TOPIC: Uuid = Uuid::from_u128(7);

fn partition(number: i32) -> TopicPartition {
    TopicPartition::new("t", number)
}

/// Broker 1 leads everything.
fn leader(_: &TopicPartition) -> Leader {
    Some((1, TOPIC))
}

fn sharing(partitions: i32) -> Sharing {
    let mut sharing = Sharing::new("g".to_owned(), false);
    sharing.assign((0..partitions).map(partition).collect());
    sharing
}

#[track_caller]
fn only(asks: Vec<Ask>) -> Ask {
    assert_eq!(asks.len(), 1, "{asks:?}");
    asks.into_iter().next().unwrap()
}

#[track_caller]
fn fetch(sharing: &mut Sharing, now: Instant) -> (u64, SessionFetch, usize) {
    let ask = only(sharing.next_asks(leader, Want::Records, now));
    let Errand::Fetch(fetch) = ask.errand else { panic!("{ask:?}") };
    (ask.number, fetch, ask.told.len())
}

fn answer(partitions: Vec<PartitionAnswer>) -> Answer {
    Answer { code: ErrorCode::NONE, message: None, lock: LOCK, partitions }
}

/// These records of a partition, acquired for the first time.
fn records(number: i32, first: i64, count: i64) -> PartitionAnswer {
    let last = first + count - 1;
    PartitionAnswer {
        id: (TOPIC, number),
        fetched: Some(ErrorCode::NONE),
        acknowledged: ErrorCode::NONE,
        records: batch(first, count, last),
        acquired: vec![Acquired { first, last, delivery_count: 1 }],
    }
}

fn code(number: i32, fetched: ErrorCode, acknowledged: ErrorCode) -> PartitionAnswer {
    let (records, acquired) = Default::default();
    PartitionAnswer { id: (TOPIC, number), fetched: Some(fetched), acknowledged, records, acquired }
}

fn refused(code: ErrorCode) -> Answer {
    Answer { code, ..answer(Vec::new()) }
}

fn offsets(sharing: &mut Sharing, now: Instant) -> Vec<i64> {
    sharing.next_batch(now).unwrap().unwrap().offsets().collect()
}

/// One that has got records 0 to 2 of partition 0.
fn holding(now: Instant) -> Sharing {
    let mut sharing = sharing(1);
    let (number, ..) = fetch(&mut sharing, now);
    sharing.on_answer(1, number, Ok(answer(vec![records(0, 0, 3)])), now);
    assert_eq!(offsets(&mut sharing, now), [0, 1, 2]);
    assert!(sharing.next_batch(now).is_none());
    sharing
}

fn disconnected() -> Error {
    let source = Arc::new(io::Error::from(io::ErrorKind::ConnectionReset));
    Error::Disconnected { broker: "h:1".parse().unwrap(), source }
}

#[test]
fn what_was_said_goes_along_with_the_next_fetch() {
    let now = Instant::now();
    let mut sharing = holding(now);
    sharing.accept_rest(&partition(0), &[0, 1, 2], now);
    assert!(sharing.is_unsettled());
    let (number, session, told) = fetch(&mut sharing, now);
    assert_eq!((session.epoch, session.tell, session.forget, told), (1, vec![], vec![], 1));
    // While that is under way, nothing more is asked of the broker.
    assert_eq!(sharing.next_asks(leader, Want::Records, now), []);
    sharing.on_answer(1, number, Ok(answer(vec![code(0, ErrorCode::NONE, ErrorCode::NONE)])), now);
    assert!(!sharing.is_unsettled());
    assert!(matches!(&sharing.take_outcomes()[..], [(_, Ok(()))]));
}

#[test]
fn nothing_is_fetched_while_something_is_at_hand() {
    let now = Instant::now();
    let mut sharing = sharing(2);
    let (number, ..) = fetch(&mut sharing, now);
    let both = vec![records(0, 0, 1), records(1, 5, 1)];
    sharing.on_answer(1, number, Ok(answer(both)), now);
    assert_eq!(offsets(&mut sharing, now), [0]);
    assert_eq!(sharing.next_asks(leader, Want::Records, now), []);
    assert_eq!(offsets(&mut sharing, now), [5]);
    assert!(sharing.next_batch(now).is_none());
    fetch(&mut sharing, now);
}

#[test]
fn what_was_said_is_told_by_itself_when_it_has_waited() {
    let now = Instant::now();
    let mut sharing = holding(now);
    assert!(sharing.say(&partition(0), 1, Acknowledgement::Reject, now));
    assert_eq!(sharing.next_asks(leader, Want::Nothing, now), []);
    assert_eq!((sharing.is_overdue(now), sharing.wake_at(Want::Records, now)), (false, Some(now + LINGER)));
    let later = now + LINGER;
    assert!(sharing.is_overdue(later));
    let ask = only(sharing.next_asks(leader, Want::Nothing, later));
    assert_eq!((ask.errand, ask.told.len()), (Errand::Acknowledge(1), 1));
    // With a commit it does not wait.
    let mut sharing = holding(now);
    sharing.say(&partition(0), 1, Acknowledgement::Reject, now);
    assert_eq!(only(sharing.next_asks(leader, Want::Results, now)).errand, Errand::Acknowledge(1));
}

#[test]
fn a_session_that_is_gone_begins_anew_and_what_was_held_in_it_is_lost() {
    for gone in [ErrorCode::SHARE_SESSION_NOT_FOUND, ErrorCode::INVALID_SHARE_SESSION_EPOCH] {
        let now = Instant::now();
        let mut sharing = holding(now);
        sharing.say(&partition(0), 0, Acknowledgement::Accept, now);
        let (number, ..) = fetch(&mut sharing, now);
        let heard = sharing.on_answer(1, number, Ok(refused(gone)), now);
        assert!(!heard.refresh && heard.failures.is_empty() && heard.interrupted.is_none());
        let outcomes = sharing.take_outcomes();
        let [(_, Err(error))] = &outcomes[..] else { panic!("{outcomes:?}") };
        assert_eq!(error.code(), Some(gone));
        assert!(!sharing.say(&partition(0), 1, Acknowledgement::Accept, now));
        // At once, with everything, and with nothing to acknowledge.
        let (number, session, told) = fetch(&mut sharing, now);
        assert_eq!((session.epoch, session.tell, told), (0, vec![(TOPIC, 0)], 0));
        // One after the other is too much.
        sharing.on_answer(1, number, Ok(refused(gone)), now);
        assert_eq!(sharing.next_asks(leader, Want::Records, now), []);
        let wake = sharing.wake_at(Want::Records, now).unwrap();
        assert!(wake > now && wake < now + Duration::from_secs(2));
        fetch(&mut sharing, wake);
    }
}

#[test]
fn a_broker_that_cannot_be_asked_is_asked_again_later() {
    let now = Instant::now();
    let mut sharing = holding(now);
    sharing.say(&partition(0), 0, Acknowledgement::Accept, now);
    let (number, ..) = fetch(&mut sharing, now);
    let heard = sharing.on_answer(1, number, Err(disconnected()), now);
    assert!(heard.refresh && heard.interrupted.is_some() && heard.failures.is_empty());
    assert!(matches!(&sharing.take_outcomes()[..], [(_, Err(Error::Disconnected { .. }))]));
    assert_eq!(sharing.next_asks(leader, Want::Records, now), []);
    let wake = sharing.wake_at(Want::Records, now).unwrap();
    let (_, session, _) = fetch(&mut sharing, wake);
    assert_eq!(session.epoch, 0);
}

#[test]
fn what_a_user_must_know_is_told_and_asking_goes_on() {
    let now = Instant::now();
    let mut sharing = sharing(1);
    let (number, ..) = fetch(&mut sharing, now);
    let heard = sharing.on_answer(1, number, Ok(refused(ErrorCode::GROUP_AUTHORIZATION_FAILED)), now);
    assert!(
        matches!(&heard.failures[..], [Error::NotAuthorized { resource, .. }] if resource == "group 'g'")
    );

    let (number, ..) = fetch(&mut sharing, now + LOCK);
    let denied = code(0, ErrorCode::TOPIC_AUTHORIZATION_FAILED, ErrorCode::NONE);
    let heard = sharing.on_answer(1, number, Ok(answer(vec![denied])), now + LOCK);
    assert!(
        matches!(&heard.failures[..], [Error::NotAuthorized { resource, .. }] if resource == "topic 't'")
    );
    assert_eq!(sharing.next_asks(leader, Want::Records, now + LOCK), []);
    fetch(&mut sharing, now + LOCK * 2);
}

#[test]
fn an_error_without_a_code_passes_or_is_told() {
    let mut now = Instant::now();
    let mut sharing = sharing(1);
    for failures in 0..8 {
        let (number, ..) = fetch(&mut sharing, now);
        let heard = sharing.on_answer(1, number, Ok(refused(ErrorCode::UNKNOWN_SERVER_ERROR)), now);
        let passes = failures < 5;
        assert_eq!((heard.refresh, heard.failures.len()), (passes, usize::from(!passes)), "{failures}");
        now = sharing.wake_at(Want::Records, now).unwrap();
    }
    // One that is answered begins anew to count.
    let (number, ..) = fetch(&mut sharing, now);
    sharing.on_answer(1, number, Ok(answer(Vec::new())), now);
    let (number, ..) = fetch(&mut sharing, now);
    assert!(sharing.on_answer(1, number, Ok(refused(ErrorCode::UNKNOWN_SERVER_ERROR)), now).refresh);
}

#[test]
fn a_partition_in_trouble_is_left_out_for_a_while() {
    let leaves = [
        ErrorCode::NOT_LEADER_OR_FOLLOWER,
        ErrorCode::UNKNOWN_TOPIC_ID,
        ErrorCode::FENCED_STATE_EPOCH,
        ErrorCode::COORDINATOR_NOT_AVAILABLE,
    ];
    for trouble in leaves {
        let now = Instant::now();
        let mut sharing = sharing(2);
        let (number, ..) = fetch(&mut sharing, now);
        let troubled = vec![code(1, trouble, ErrorCode::NONE), code(0, ErrorCode::NONE, ErrorCode::NONE)];
        let heard = sharing.on_answer(1, number, Ok(answer(troubled)), now);
        assert!(heard.refresh && heard.failures.is_empty(), "{trouble}");
        let (number, session, _) = fetch(&mut sharing, now);
        assert_eq!((session.tell, session.forget), (vec![], vec![(TOPIC, 1)]));
        let later = sharing.wake_at(Want::Records, now).unwrap();
        sharing.on_answer(1, number, Ok(answer(Vec::new())), later);
        let (_, session, _) = fetch(&mut sharing, later);
        assert_eq!((session.tell, session.forget), (vec![(TOPIC, 1)], vec![]));
    }
}

#[test]
fn what_is_taken_away_is_put_back_but_for_what_the_user_has() {
    let now = Instant::now();
    let mut sharing = sharing(2);
    let (number, ..) = fetch(&mut sharing, now);
    let both = vec![records(0, 0, 2), records(1, 5, 2)];
    sharing.on_answer(1, number, Ok(answer(both)), now);
    assert_eq!(offsets(&mut sharing, now), [0, 1]);
    sharing.unassign(&[partition(0), partition(1)], now);
    assert!(sharing.next_batch(now).is_none());
    assert!(sharing.say(&partition(0), 0, Acknowledgement::Accept, now));
    let ask = only(sharing.next_asks(leader, Want::Results, now));
    let told = |told: &Vec<Told>| {
        told.iter().map(|told| (told.first, told.last, told.fate.number())).collect::<Vec<_>>()
    };
    let told: Vec<_> = ask.told.iter().map(|(id, runs)| (id.1, told(runs))).collect();
    assert_eq!(told, [(0, vec![(0, 0, 1)]), (1, vec![(5, 6, 2)])]);
    // What comes of them after that is put back, too.
    sharing.on_answer(1, ask.number, Ok(answer(Vec::new())), now);
    sharing.assign(vec![partition(0)]);
    let (number, session, _) = fetch(&mut sharing, now);
    assert_eq!((session.tell, session.forget), (vec![], vec![(TOPIC, 1)]));
    sharing.unassign(&[partition(0)], now);
    sharing.on_answer(1, number, Ok(answer(vec![records(0, 2, 2)])), now);
    assert!(sharing.next_batch(now).is_none());
    let ask = only(sharing.next_asks(leader, Want::Results, now));
    assert_eq!(ask.told[0].1.iter().map(|told| (told.first, told.last)).collect::<Vec<_>>(), [(2, 3)]);
}

#[test]
fn what_has_waited_for_longer_than_its_lock_is_not_handed_over() {
    let now = Instant::now();
    let mut sharing = sharing(1);
    let (number, ..) = fetch(&mut sharing, now);
    sharing.on_answer(1, number, Ok(answer(vec![records(0, 0, 3)])), now);
    assert!(sharing.next_batch(now + LOCK).is_none());
    // A broker that does not say how long a lock lasts means some time.
    let (number, ..) = fetch(&mut sharing, now);
    let silent = Answer { lock: Duration::ZERO, ..answer(vec![records(0, 0, 3)]) };
    sharing.on_answer(1, number, Ok(silent), now);
    assert_eq!(offsets(&mut sharing, now), [0, 1, 2]);
}

#[test]
fn damaged_records_are_released_or_rejected_on_request() {
    for skip in [false, true] {
        let now = Instant::now();
        let mut sharing = Sharing::new("g".to_owned(), skip);
        sharing.assign(vec![partition(0)]);
        let (number, ..) = fetch(&mut sharing, now);
        let mut data = records(0, 0, 2);
        data.records = Bytes::from([batch(0, 2, 1), damaged(2, 2), batch(4, 2, 5)].concat());
        data.acquired = vec![Acquired { first: 0, last: 5, delivery_count: 1 }];
        sharing.on_answer(1, number, Ok(answer(vec![data])), now);
        assert_eq!(offsets(&mut sharing, now), [0, 1]);
        if !skip {
            let error = sharing.next_batch(now).unwrap().unwrap_err();
            assert!(matches!(&error, Error::Damaged { topic, partition: 0, offset: 2, .. } if topic == "t"));
        }
        // What is behind it is read all the same.
        assert_eq!(offsets(&mut sharing, now), [4, 5]);
        let ask = only(sharing.next_asks(leader, Want::Results, now));
        let told: Vec<_> =
            ask.told[0].1.iter().map(|told| (told.first, told.last, told.fate.number())).collect();
        assert_eq!(told, [(2, 3, if skip { 3 } else { 2 })]);
    }
}

#[test]
fn a_state_that_cannot_be_written_now_is_tried_again_with_a_wait_between() {
    let now = Instant::now();
    let mut sharing = holding(now);
    sharing.say(&partition(0), 0, Acknowledgement::Accept, now);
    let ask = only(sharing.next_asks(leader, Want::Results, now));
    let busy = PartitionAnswer { fetched: None, ..code(0, ErrorCode::NONE, ErrorCode::REQUEST_TIMED_OUT) };
    sharing.on_answer(1, ask.number, Ok(answer(vec![busy])), now);
    assert!(sharing.is_unsettled() && sharing.take_outcomes().is_empty());
    assert_eq!(sharing.next_asks(leader, Want::Results, now), []);
    let wake = sharing.wake_at(Want::Results, now).unwrap();
    assert!(wake > now);
    let ask = only(sharing.next_asks(leader, Want::Results, wake));
    let done = PartitionAnswer { fetched: None, ..code(0, ErrorCode::NONE, ErrorCode::NONE) };
    sharing.on_answer(1, ask.number, Ok(answer(vec![done])), wake);
    assert!(!sharing.is_unsettled());
    assert!(matches!(&sharing.take_outcomes()[..], [(_, Ok(()))]));
}

#[test]
fn a_partition_that_is_not_answered_of_is_not_taken_for_told() {
    let now = Instant::now();
    let mut sharing = holding(now);
    sharing.say(&partition(0), 0, Acknowledgement::Accept, now);
    let ask = only(sharing.next_asks(leader, Want::Results, now));
    sharing.on_answer(1, ask.number, Ok(answer(Vec::new())), now);
    assert!(matches!(&sharing.take_outcomes()[..], [(_, Err(Error::Unanswered { .. }))]));
}

#[test]
fn the_last_words_end_every_session_even_one_that_has_not_been_answered() {
    let now = Instant::now();
    let mut sharing = holding(now);
    sharing.say(&partition(0), 0, Acknowledgement::Accept, now);
    let ask = only(sharing.farewell(now));
    assert_eq!((ask.errand, ask.told.len()), (Errand::Acknowledge(END), 1));
    let done = PartitionAnswer { fetched: None, ..code(0, ErrorCode::NONE, ErrorCode::NONE) };
    sharing.on_answer(1, ask.number, Ok(answer(vec![done])), now);
    assert!(matches!(&sharing.take_outcomes()[..], [(_, Ok(()))]));

    let mut sharing = self::sharing(1);
    let (number, ..) = fetch(&mut sharing, now);
    let ask = only(sharing.farewell(now));
    assert_eq!((ask.errand, ask.told), (Errand::Acknowledge(END), vec![]));
    sharing.on_answer(1, number, Ok(answer(vec![records(0, 0, 3)])), now);
    assert!(sharing.next_batch(now).is_none() && !sharing.is_unsettled());
}

#[test]
fn nobody_is_asked_for_a_partition_without_a_leader() {
    let now = Instant::now();
    let mut sharing = sharing(1);
    assert_eq!(sharing.next_asks(|_| None, Want::Records, now), []);
    assert!(sharing.lacks_leader(|_| None) && !sharing.lacks_leader(leader));
}

#[test]
fn a_topic_made_anew_is_shared_under_its_new_id() {
    let now = Instant::now();
    let mut sharing = holding(now);
    let new = Uuid::from_u128(8);
    let ask = only(sharing.next_asks(|_| Some((1, new)), Want::Records, now));
    let Errand::Fetch(session) = ask.errand else { panic!("{ask:?}") };
    assert_eq!((session.tell, session.forget), (vec![(new, 0)], vec![(TOPIC, 0)]));
    // What was held of the old one is void once something of the new one is handed over.
    let mut data = records(0, 0, 1);
    data.id = (new, 0);
    sharing.on_answer(1, ask.number, Ok(answer(vec![data])), now);
    assert_eq!(offsets(&mut sharing, now), [0]);
    assert!(!sharing.say(&partition(0), 2, Acknowledgement::Accept, now));
    assert!(sharing.say(&partition(0), 0, Acknowledgement::Accept, now));
}
