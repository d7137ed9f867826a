//! Positions under answers in any order, without brokers.

use std::time::Duration;

use kafka_protocol::messages::MetadataResponse;
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::protocol::StrBytes;

use super::*;

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

fn positions(start: StartOffset, stop_at_end: bool, partitions: i32) -> Positions {
    with_policy(Policy { stop_at_end, ..policy(start) }, partitions)
}

fn policy(start: StartOffset) -> Policy {
    let out_of_range = OutOfRange::Nearest;
    Policy { start, out_of_range, stop_at_end: false, replica_for: Duration::from_secs(300) }
}

fn with_policy(policy: Policy, partitions: i32) -> Positions {
    let mut positions = Positions::new(policy);
    for partition in 0..partitions {
        positions.add(TopicPartition::new("t", partition), policy.start);
    }
    positions
}

fn asks(positions: &mut Positions, leaders: &[i32]) -> Vec<(BrokerId, Ask)> {
    positions.next_asks(&snapshot(leaders), &HashSet::new(), Instant::now())
}

fn from(index: Index, offset: i64) -> FetchFrom {
    FetchFrom { index, offset, leader_epoch: -1 }
}

fn answer(asked: FetchFrom, code: ErrorCode, end: i64, next: Option<i64>) -> Fetched {
    Fetched { asked, code, end, next, cut: false, epoch: -1, preferred: None }
}

#[test]
fn earliest_tries_zero_and_asks_only_when_it_is_gone() {
    let mut positions = positions(StartOffset::Earliest, true, 1);
    assert_eq!(asks(&mut positions, &[7]), [(7, Ask::Fetch(vec![from(0, 0)]))]);
    assert!(asks(&mut positions, &[7]).is_empty(), "it is in flight");
    positions.on_fetched(answer(from(0, 0), ErrorCode::OFFSET_OUT_OF_RANGE, -1, None), Instant::now());
    let earliest = OffsetOf { index: 0, which: Which::Earliest, leader_epoch: -1 };
    assert_eq!(asks(&mut positions, &[7]), [(7, Ask::Offsets(vec![earliest]))]);
    positions.on_offset(earliest, Ok(40), Instant::now());
    assert_eq!(asks(&mut positions, &[7]), [(7, Ask::Fetch(vec![from(0, 40)]))]);
}

#[test]
fn it_stops_at_the_end_that_was_first_seen() {
    let mut positions = positions(StartOffset::Earliest, true, 1);
    asks(&mut positions, &[1]);
    let verdict = positions.on_fetched(answer(from(0, 0), ErrorCode::NONE, 10, Some(6)), Instant::now());
    assert!(matches!(verdict, Verdict::Deliver));
    assert!(!positions.all_finished());
    asks(&mut positions, &[1]);
    // The log has grown meanwhile: that is not ours to read.
    positions.on_fetched(answer(from(0, 6), ErrorCode::NONE, 500, Some(12)), Instant::now());
    assert!(positions.all_finished());
    assert_eq!(positions.stop_before(0), Some(10));
}

#[test]
fn it_stops_where_it_is_told_to_also_without_an_end() {
    let mut positions = positions(StartOffset::Earliest, false, 2);
    asks(&mut positions, &[1, 2]);
    for index in [0, 1] {
        positions.on_fetched(answer(from(index, 0), ErrorCode::NONE, 100, Some(6)), Instant::now());
        positions.on_handed_over(index, 6);
    }
    // What lies before the stop is still to come.
    assert_eq!(positions.stop_at(&TopicPartition::new("t", 0), 8), Some(0));
    assert_eq!(asks(&mut positions, &[1]), [(1, Ask::Fetch(vec![from(0, 6)]))]);
    assert_eq!(positions.stop_before(0), Some(8));
    positions.on_fetched(answer(from(0, 6), ErrorCode::NONE, 100, Some(12)), Instant::now());
    assert_eq!(asks(&mut positions, &[1]), []);
    assert!(!positions.all_finished());
    assert_eq!(positions.stop_at(&TopicPartition::new("t", 1), 5), Some(1));
    assert!(positions.all_finished());
    assert_eq!(positions.stop_at(&TopicPartition::new("u", 0), 5), None);
}

#[test]
fn so_many_before_the_end_is_where_it_begins_or_at_the_oldest() {
    let mut positions = positions(StartOffset::BeforeEnd(10), true, 3);
    let of = |index| OffsetOf { index, which: Which::BeforeEnd(10), leader_epoch: -1 };
    asks(&mut positions, &[1, 2, 3]);
    for (index, end) in [(0, 95), (1, 4), (2, 0)] {
        positions.on_offset(of(index), Ok(end), Instant::now());
    }
    // The empty one is at its end.
    assert_eq!(
        asks(&mut positions, &[1, 2, 3]),
        [(1, Ask::Fetch(vec![from(0, 85)])), (2, Ask::Fetch(vec![from(1, 0)]))]
    );
    positions.on_fetched(answer(from(0, 85), ErrorCode::OFFSET_OUT_OF_RANGE, -1, None), Instant::now());
    let earliest = OffsetOf { index: 0, which: Which::Earliest, leader_epoch: -1 };
    assert_eq!(asks(&mut positions, &[1]), [(1, Ask::Offsets(vec![earliest]))]);
    positions.on_offset(earliest, Ok(95), Instant::now());
    positions.on_fetched(answer(from(1, 0), ErrorCode::NONE, 4, Some(4)), Instant::now());
    assert!(positions.all_finished());
}

#[test]
fn what_cannot_be_reached_is_in_the_way_until_it_is_read_again_or_not_wanted() {
    let mut positions = positions(StartOffset::Earliest, false, 2);
    asks(&mut positions, &[1, 2]);
    positions.on_unreachable([0], Instant::now());
    positions.on_fetched(answer(from(1, 0), ErrorCode::NONE, 10, Some(6)), Instant::now());
    assert!(!positions.all_reachable());
    // Whoever says that it does not lead the partition can be reached, but the partition is not read.
    positions.on_fetched(answer(from(0, 0), ErrorCode::NOT_LEADER_OR_FOLLOWER, -1, None), Instant::now());
    assert!(!positions.all_reachable());
    positions.set_paused(&TopicPartition::new("t", 0), true);
    assert!(positions.all_reachable());
    positions.set_paused(&TopicPartition::new("t", 0), false);
    assert!(!positions.all_reachable());
    positions.on_fetched(answer(from(0, 0), ErrorCode::NONE, 0, None), Instant::now());
    assert!(positions.all_reachable());
    positions.on_unreachable([1], Instant::now());
    positions.remove(&TopicPartition::new("t", 1));
    assert!(positions.all_reachable());
}

#[test]
fn an_empty_log_is_at_its_end_at_once_and_latest_has_nothing_to_read() {
    let mut empty = positions(StartOffset::Earliest, true, 1);
    asks(&mut empty, &[1]);
    empty.on_fetched(answer(from(0, 0), ErrorCode::NONE, 0, None), Instant::now());
    assert!(empty.all_finished());

    let mut latest = positions(StartOffset::Latest, true, 1);
    let asked = OffsetOf { index: 0, which: Which::Latest, leader_epoch: -1 };
    assert_eq!(asks(&mut latest, &[1]), [(1, Ask::Offsets(vec![asked]))]);
    latest.on_offset(asked, Ok(99), Instant::now());
    assert!(latest.all_finished());
}

#[test]
fn one_that_persists_never_finishes() {
    let mut positions = positions(StartOffset::Earliest, false, 1);
    asks(&mut positions, &[1]);
    positions.on_fetched(answer(from(0, 0), ErrorCode::NONE, 0, None), Instant::now());
    assert!(!positions.all_finished());
    assert_eq!(asks(&mut positions, &[1]).len(), 1);
}

#[test]
fn retention_that_overtakes_goes_on_at_the_oldest_and_a_cut_end_at_the_newest() {
    let resolve = |which| OffsetOf { index: 0, which, leader_epoch: -1 };
    for (log_start, wanted) in [(20, 20), (0, 5)] {
        let mut positions = positions(StartOffset::Earliest, false, 1);
        asks(&mut positions, &[1]);
        positions.on_fetched(answer(from(0, 0), ErrorCode::NONE, 10, Some(10)), Instant::now());
        asks(&mut positions, &[1]);
        positions.on_fetched(answer(from(0, 10), ErrorCode::OFFSET_OUT_OF_RANGE, -1, None), Instant::now());
        positions.on_offset(resolve(Which::Earliest), Ok(log_start), Instant::now());
        positions.on_offset(resolve(Which::Latest), Ok(5), Instant::now());
        assert_eq!(asks(&mut positions, &[1]), [(1, Ask::Fetch(vec![from(0, wanted)]))]);
    }
}

#[test]
fn an_offset_that_is_there_again_is_where_it_goes_on() {
    let resolve = |which| OffsetOf { index: 0, which, leader_epoch: -1 };
    let mut positions = positions(StartOffset::Offset(10), false, 1);
    let now = Instant::now();
    asks(&mut positions, &[1]);
    positions.on_fetched(answer(from(0, 10), ErrorCode::OFFSET_OUT_OF_RANGE, -1, None), now);
    positions.on_offset(resolve(Which::Earliest), Ok(0), now);
    // Others have written meanwhile: to go on at the end would pass over 10 to 14.
    positions.on_offset(resolve(Which::Latest), Ok(15), now);
    // Not at once: the broker may say the same for ever.
    assert!(positions.next_asks(&snapshot(&[1]), &HashSet::new(), now).is_empty());
    let later = positions.next_try(now).expect("it waits");
    let asked = positions.next_asks(&snapshot(&[1]), &HashSet::new(), later);
    assert_eq!(asked, [(1, Ask::Fetch(vec![from(0, 10)]))]);
}

#[test]
fn a_moved_leader_is_looked_up_and_asked_after_a_wait() {
    let mut positions = positions(StartOffset::Earliest, false, 2);
    assert_eq!(asks(&mut positions, &[1, 2]).len(), 2);
    let now = Instant::now();
    let verdict = positions.on_fetched(answer(from(1, 0), ErrorCode::NOT_LEADER_OR_FOLLOWER, -1, None), now);
    assert!(matches!(verdict, Verdict::Refresh));
    assert!(positions.next_asks(&snapshot(&[1, 1]), &HashSet::new(), now).is_empty());
    let later = positions.next_try(now).expect("one waits");
    let asked = positions.next_asks(&snapshot(&[1, 1]), &HashSet::new(), later);
    assert_eq!(asked, [(1, Ask::Fetch(vec![from(1, 0)]))]);
}

#[test]
fn late_answers_for_a_position_that_was_left_are_dropped() {
    let mut positions = positions(StartOffset::Earliest, false, 1);
    asks(&mut positions, &[1]);
    positions.rewind(0, 3);
    let verdict = positions.on_fetched(answer(from(0, 0), ErrorCode::NONE, 9, Some(9)), Instant::now());
    assert!(matches!(verdict, Verdict::Nothing));
    assert_eq!(asks(&mut positions, &[1]), [(1, Ask::Fetch(vec![from(0, 3)]))]);
}

#[test]
fn what_cannot_be_mended_is_an_error() {
    let mut positions = positions(StartOffset::Earliest, false, 1);
    asks(&mut positions, &[1]);
    let verdict = positions
        .on_fetched(answer(from(0, 0), ErrorCode::TOPIC_AUTHORIZATION_FAILED, -1, None), Instant::now());
    assert!(matches!(verdict, Verdict::Fail(Error::NotAuthorized { .. })));
}

/// The same as `snapshot`, under this leader epoch.
fn snapshot_in(epoch: i32, leader: i32) -> Snapshot {
    let partition =
        MetadataResponsePartition::default().with_leader_id(leader.into()).with_leader_epoch(epoch);
    let topic = MetadataResponseTopic::default()
        .with_name(Some(StrBytes::from_static_str("t").into()))
        .with_partitions(vec![partition]);
    let brokers = [1, 2].map(|id: i32| {
        MetadataResponseBroker::default().with_node_id(id.into()).with_host(StrBytes::from_static_str("h"))
    });
    let response = MetadataResponse::default().with_topics(vec![topic]).with_brokers(brokers.to_vec());
    Snapshot::default().after(&response, Instant::now())
}

fn ask_in(positions: &mut Positions, epoch: i32, leader: i32) -> Vec<(BrokerId, Ask)> {
    positions.next_asks(&snapshot_in(epoch, leader), &HashSet::new(), Instant::now())
}

/// Reads up to offset 10 under leader epoch 3.
fn read_to_ten(positions: &mut Positions) {
    ask_in(positions, 3, 1);
    let asked = FetchFrom { index: 0, offset: 0, leader_epoch: 3 };
    let fetched = Fetched { epoch: 3, ..answer(asked, ErrorCode::NONE, 10, Some(10)) };
    assert!(matches!(positions.on_fetched(fetched, Instant::now()), Verdict::Deliver));
}

#[test]
fn a_new_leader_is_asked_whether_it_has_what_was_read() {
    let mut positions = positions(StartOffset::Earliest, false, 1);
    read_to_ten(&mut positions);
    let asked = EndOfEpoch { index: 0, epoch: 3, leader_epoch: 4 };
    assert_eq!(ask_in(&mut positions, 4, 2), [(2, Ask::Epochs(vec![asked]))]);
    positions.on_end_of_epoch(asked, Ok((3, 10)), Instant::now());
    let fetch = FetchFrom { index: 0, offset: 10, leader_epoch: 4 };
    assert_eq!(ask_in(&mut positions, 4, 2), [(2, Ask::Fetch(vec![fetch]))]);
}

#[test]
fn a_log_that_was_cut_is_told_of_and_read_from_where_it_differs() {
    let mut positions = positions(StartOffset::Earliest, false, 1);
    read_to_ten(&mut positions);
    ask_in(&mut positions, 4, 2);
    let asked = EndOfEpoch { index: 0, epoch: 3, leader_epoch: 4 };
    let verdict = positions.on_end_of_epoch(asked, Ok((3, 7)), Instant::now());
    assert!(matches!(verdict, Verdict::Truncated { read_up_to: 10, diverges_at: 7 }));
    let fetch = FetchFrom { index: 0, offset: 7, leader_epoch: 4 };
    assert_eq!(ask_in(&mut positions, 4, 2), [(2, Ask::Fetch(vec![fetch]))]);
}

#[test]
fn who_goes_elsewhere_while_a_log_is_checked_stays_there() {
    let mut positions = positions(StartOffset::Earliest, false, 1);
    read_to_ten(&mut positions);
    ask_in(&mut positions, 4, 2);
    positions.seek(&TopicPartition::new("t", 0), StartOffset::Offset(50)).expect("it is read");
    let asked = EndOfEpoch { index: 0, epoch: 3, leader_epoch: 4 };
    let verdict = positions.on_end_of_epoch(asked, Ok((3, 7)), Instant::now());
    assert!(matches!(verdict, Verdict::Nothing), "{verdict:?}");
    let fetch = FetchFrom { index: 0, offset: 50, leader_epoch: 4 };
    assert_eq!(ask_in(&mut positions, 4, 2), [(2, Ask::Fetch(vec![fetch]))]);
}

#[test]
fn a_log_that_was_cut_below_the_end_of_a_reader_has_another_end() {
    // A leader says where what was read ends.
    let mut asked_leader = positions(StartOffset::Earliest, true, 1);
    ask_in(&mut asked_leader, 3, 1);
    let asked = FetchFrom { index: 0, offset: 0, leader_epoch: 3 };
    let fetched = Fetched { epoch: 3, ..answer(asked, ErrorCode::NONE, 20, Some(10)) };
    asked_leader.on_fetched(fetched, Instant::now());
    ask_in(&mut asked_leader, 4, 2);
    let asked = EndOfEpoch { index: 0, epoch: 3, leader_epoch: 4 };
    asked_leader.on_end_of_epoch(asked, Ok((3, 7)), Instant::now());
    assert!(!asked_leader.all_finished());
    ask_in(&mut asked_leader, 4, 2);
    let asked = FetchFrom { index: 0, offset: 7, leader_epoch: 4 };
    asked_leader.on_fetched(answer(asked, ErrorCode::NONE, 8, Some(8)), Instant::now());
    assert!(asked_leader.all_finished(), "20 will not come again");

    // Or a fetch finds nothing at the offset.
    let mut out_of_range = positions(StartOffset::Earliest, true, 1);
    asks(&mut out_of_range, &[1]);
    out_of_range.on_fetched(answer(from(0, 0), ErrorCode::NONE, 20, Some(10)), Instant::now());
    asks(&mut out_of_range, &[1]);
    out_of_range.on_fetched(answer(from(0, 10), ErrorCode::OFFSET_OUT_OF_RANGE, -1, None), Instant::now());
    let of = |which| OffsetOf { index: 0, which, leader_epoch: -1 };
    out_of_range.on_offset(of(Which::Earliest), Ok(0), Instant::now());
    out_of_range.on_offset(of(Which::Latest), Ok(5), Instant::now());
    assert!(out_of_range.all_finished());
}

#[test]
fn who_wants_to_know_gets_an_error_instead() {
    let fails = Policy { out_of_range: OutOfRange::Fail, ..policy(StartOffset::Earliest) };
    let mut cut = with_policy(fails, 1);
    read_to_ten(&mut cut);
    ask_in(&mut cut, 4, 2);
    let asked = EndOfEpoch { index: 0, epoch: 3, leader_epoch: 4 };
    let verdict = cut.on_end_of_epoch(asked, Ok((3, 7)), Instant::now());
    assert!(matches!(verdict, Verdict::Fail(Error::Truncated { offset: 10, diverges_at: 7, .. })));

    let mut gone = with_policy(fails, 1);
    read_to_ten(&mut gone);
    ask_in(&mut gone, 3, 1);
    let asked = FetchFrom { index: 0, offset: 10, leader_epoch: 3 };
    let verdict = gone.on_fetched(answer(asked, ErrorCode::OFFSET_OUT_OF_RANGE, -1, None), Instant::now());
    assert!(matches!(verdict, Verdict::Fail(Error::OffsetOutOfRange { offset: 10, .. })));
}

#[test]
fn a_nearer_replica_is_read_from_until_it_fails() {
    let mut positions = positions(StartOffset::Earliest, false, 1);
    ask_in(&mut positions, 3, 1);
    let asked = FetchFrom { index: 0, offset: 0, leader_epoch: 3 };
    let fetched = Fetched { preferred: Some(2), ..answer(asked, ErrorCode::NONE, 10, None) };
    positions.on_fetched(fetched, Instant::now());
    assert_eq!(ask_in(&mut positions, 3, 1), [(2, Ask::Fetch(vec![asked]))]);
    // A follower may lag behind: its end of the log says nothing.
    positions.on_fetched(answer(asked, ErrorCode::OFFSET_OUT_OF_RANGE, -1, None), Instant::now());
    assert_eq!(ask_in(&mut positions, 3, 1), [(1, Ask::Fetch(vec![asked]))]);
}

#[test]
fn a_leader_that_sends_elsewhere_does_not_say_where_to_stop() {
    let mut positions = positions(StartOffset::Earliest, true, 1);
    ask_in(&mut positions, 3, 1);
    let asked = FetchFrom { index: 0, offset: 0, leader_epoch: 3 };
    // The high watermark, behind the last stable offset.
    let fetched = Fetched { preferred: Some(2), ..answer(asked, ErrorCode::NONE, 10, None) };
    positions.on_fetched(fetched, Instant::now());
    assert_eq!(ask_in(&mut positions, 3, 1), [(2, Ask::Fetch(vec![asked]))]);
    positions.on_fetched(answer(asked, ErrorCode::NONE, 7, Some(7)), Instant::now());
    assert!(positions.all_finished());
}

#[test]
fn a_time_without_records_begins_at_the_end() {
    let mut positions = positions(StartOffset::Timestamp(77), false, 1);
    let of = |which| OffsetOf { index: 0, which, leader_epoch: -1 };
    assert_eq!(asks(&mut positions, &[1]), [(1, Ask::Offsets(vec![of(Which::Timestamp(77))]))]);
    positions.on_offset(of(Which::Timestamp(77)), Ok(-1), Instant::now());
    assert_eq!(asks(&mut positions, &[1]), [(1, Ask::Offsets(vec![of(Which::Latest)]))]);
}

#[test]
fn what_is_paused_is_not_asked_for_and_comes_again_from_where_the_user_stands() {
    let mut positions = positions(StartOffset::Earliest, false, 2);
    asks(&mut positions, &[1, 2]);
    positions.on_fetched(answer(from(0, 0), ErrorCode::NONE, 9, Some(9)), Instant::now());
    positions.on_fetched(answer(from(1, 0), ErrorCode::NONE, 9, Some(9)), Instant::now());
    positions.on_handed_over(0, 4);
    let name = TopicPartition::new("t", 0);
    positions.set_paused(&name, true);
    assert_eq!(asks(&mut positions, &[1, 2]), [(2, Ask::Fetch(vec![from(1, 9)]))]);
    positions.set_paused(&name, false);
    assert_eq!(asks(&mut positions, &[1, 2]), [(1, Ask::Fetch(vec![from(0, 4)]))]);
}

#[test]
fn answers_for_a_partition_that_was_taken_away_are_of_no_interest() {
    let mut positions = positions(StartOffset::Earliest, false, 1);
    let name = TopicPartition::new("t", 0);
    asks(&mut positions, &[1]);
    positions.remove(&name);
    positions.add(name, StartOffset::Offset(5));
    let verdict = positions.on_fetched(answer(from(0, 0), ErrorCode::NONE, 9, Some(9)), Instant::now());
    assert!(matches!(verdict, Verdict::Nothing));
    assert_eq!(asks(&mut positions, &[1]), [(1, Ask::Fetch(vec![from(1, 5)]))]);
}

#[test]
fn a_committed_offset_is_where_reading_begins_and_is_checked_against_its_epoch() {
    let mut positions = positions(StartOffset::Latest, false, 0);
    positions.add_committed(TopicPartition::new("t", 0));
    assert_eq!(positions.wants_committed(Instant::now()).len(), 1);
    assert!(positions.wants_committed(Instant::now()).is_empty(), "it is being asked for");
    let committed = CommittedOffset { leader_epoch: 3, ..CommittedOffset::new(6) };
    positions.on_committed(0, Some(&committed), true);
    let asked = EndOfEpoch { index: 0, epoch: 3, leader_epoch: 3 };
    assert_eq!(ask_in(&mut positions, 3, 1), [(1, Ask::Epochs(vec![asked]))]);
    positions.on_end_of_epoch(asked, Ok((3, 10)), Instant::now());
    let fetch = FetchFrom { index: 0, offset: 6, leader_epoch: 3 };
    assert_eq!(ask_in(&mut positions, 3, 1), [(1, Ask::Fetch(vec![fetch]))]);
}

#[test]
fn what_came_into_being_under_a_group_is_read_from_its_beginning_unless_it_was_read_before() {
    let mut positions = positions(StartOffset::Latest, false, 0);
    for partition in 0..3 {
        positions.add_committed(TopicPartition::new("t", partition));
    }
    positions.wants_committed(Instant::now());
    positions.on_committed(0, None, true);
    positions.on_committed(1, None, false);
    positions.on_committed(2, Some(&CommittedOffset::new(6)), false);
    let latest = OffsetOf { index: 0, which: Which::Latest, leader_epoch: -1 };
    let expected = [
        (1, Ask::Offsets(vec![latest])),
        (2, Ask::Fetch(vec![from(1, 0)])),
        (3, Ask::Fetch(vec![from(2, 6)])),
    ];
    assert_eq!(asks(&mut positions, &[1, 2, 3]), expected);
}

#[test]
fn the_end_is_told_when_it_is_reached() {
    let mut positions = positions(StartOffset::Earliest, false, 1);
    asks(&mut positions, &[1]);
    positions.on_fetched(answer(from(0, 0), ErrorCode::NONE, 9, Some(9)), Instant::now());
    asks(&mut positions, &[1]);
    assert!(matches!(positions.on_no_news(0), Verdict::AtEnd(9)));
    asks(&mut positions, &[1]);
    assert!(matches!(positions.on_no_news(0), Verdict::Nothing), "once is enough");
    asks(&mut positions, &[1]);
    positions.on_fetched(answer(from(0, 9), ErrorCode::NONE, 12, Some(12)), Instant::now());
    asks(&mut positions, &[1]);
    let verdict = positions.on_fetched(answer(from(0, 12), ErrorCode::NONE, 12, None), Instant::now());
    assert!(matches!(verdict, Verdict::AtEnd(12)));
}
