//! Groups with time passed in.

use super::*;

const SESSION: Duration = Duration::from_secs(10);
const REBALANCE: Duration = Duration::from_secs(60);

fn candidate(member_id: &str) -> Candidate {
    Candidate {
        member_id: member_id.to_owned(),
        instance: None,
        client_id: "client".to_owned(),
        client_host: "/127.0.0.1".to_owned(),
        session_timeout: SESSION,
        rebalance_timeout: REBALANCE,
        protocol_type: "consumer".to_owned(),
        protocols: vec![("range".to_owned(), Bytes::from_static(b"topics"))],
        id_first: true,
        may_skip: true,
    }
}

type Answer<T> = oneshot::Receiver<T>;

fn join(group: &mut Classic, candidate: Candidate, now: Instant) -> Answer<JoinGroupResponse> {
    let (reply, answer) = oneshot::channel();
    group.join(candidate, Duration::ZERO, now, reply);
    answer
}

/// A new member, which has its id and waits for the others.
fn enter(group: &mut Classic, now: Instant) -> (String, Answer<JoinGroupResponse>) {
    let id = join(group, candidate(""), now).try_recv().unwrap().member_id.to_string();
    let answer = join(group, candidate(&id), now);
    (id, answer)
}

fn claim(id: &str, generation: i32) -> Claim<'_> {
    Claim { member_id: id, instance: None, generation }
}

fn sync(group: &mut Classic, id: &str, generation: i32, now: Instant) -> Answer<SyncGroupResponse> {
    let (reply, answer) = oneshot::channel();
    let each = group.members.keys().map(|id| (id.clone(), Bytes::from(id.clone()))).collect();
    group.sync(&claim(id, generation), (None, None), each, now, reply);
    answer
}

/// Two members in their second generation.
fn pair(now: Instant) -> (Classic, String, String) {
    let mut group = Classic::new(0, String::new());
    let (first, mut answer) = enter(&mut group, now);
    assert_eq!(answer.try_recv().unwrap().generation_id, 1);
    sync(&mut group, &first, 1, now);
    let (second, mut answer) = enter(&mut group, now);
    assert!(answer.try_recv().is_err(), "the first is awaited");
    join(&mut group, candidate(&first), now);
    assert_eq!(answer.try_recv().unwrap().generation_id, 2);
    let mut waiting = sync(&mut group, &second, 2, now);
    assert!(waiting.try_recv().is_err(), "the leader's assignments are awaited");
    sync(&mut group, &first, 2, now);
    assert_eq!(waiting.try_recv().unwrap().assignment, second.as_bytes());
    (group, first, second)
}

#[test]
fn a_member_that_is_silent_is_removed_and_the_others_join_again() {
    let start = Instant::now();
    let (mut group, first, second) = pair(start);
    let later = start + SESSION / 2;
    assert_eq!(group.heartbeat(&claim(&second, 2), later), Ok(()));
    assert_eq!(group.tick(later), Some(start + SESSION));
    group.tick(start + SESSION);
    assert_eq!((group.members.len(), group.state), (1, State::PreparingRebalance));
    assert_eq!(group.heartbeat(&claim(&first, 2), later), Err(ErrorCode::UNKNOWN_MEMBER_ID));
    assert_eq!(group.heartbeat(&claim(&second, 2), start + SESSION), Err(ErrorCode::REBALANCE_IN_PROGRESS));
    let joined = join(&mut group, candidate(&second), start + SESSION).try_recv().unwrap();
    assert_eq!((joined.generation_id, joined.leader.as_str()), (3, second.as_str()));
}

#[test]
fn members_that_do_not_join_again_in_time_are_left_behind() {
    let start = Instant::now();
    let (mut group, first, _) = pair(start);
    let (third, mut answer) = enter(&mut group, start);
    let mut now = start;
    while now < start + REBALANCE {
        now += SESSION / 2;
        // The first is there and does not join; the second is silent.
        let _ = group.heartbeat(&claim(&first, 2), now);
        group.tick(now);
    }
    assert_eq!(answer.try_recv().unwrap().leader.as_str(), third);
    assert_eq!(group.members.keys().collect::<Vec<_>>(), [&third]);
}

#[test]
fn members_that_never_ask_for_their_assignment_are_left_behind() {
    let start = Instant::now();
    let mut group = Classic::new(0, String::new());
    let (id, _) = enter(&mut group, start);
    let mut now = start;
    while now < start + REBALANCE {
        now += SESSION / 2;
        let _ = group.heartbeat(&claim(&id, 1), now);
        group.tick(now);
    }
    assert!(group.is_empty());
}

#[test]
fn an_id_that_nobody_came_back_with_is_forgotten() {
    let start = Instant::now();
    let mut group = Classic::new(0, String::new());
    let id = join(&mut group, candidate(""), start).try_recv().unwrap().member_id.to_string();
    assert!(!group.is_empty());
    group.tick(start + SESSION);
    assert!(group.is_empty());
    let late = join(&mut group, candidate(&id), start + SESSION).try_recv().unwrap();
    assert_eq!(ErrorCode(late.error_code), ErrorCode::UNKNOWN_MEMBER_ID);
}

#[test]
fn the_strategy_is_the_one_that_all_offer_and_most_prefer() {
    let now = Instant::now();
    let mut group = Classic::new(0, String::new());
    let offers = |names: &[&str]| {
        let protocols = names.iter().map(|name| ((*name).to_owned(), Bytes::new()));
        Candidate { protocols: protocols.collect(), id_first: false, ..candidate("") }
    };
    let mut first = join(&mut group, offers(&["a", "b", "c"]), now);
    let id = first.try_recv().unwrap().member_id.to_string();
    let mut others: Vec<_> =
        [&["c", "b"][..], &["c", "b"]].iter().map(|names| join(&mut group, offers(names), now)).collect();
    let again = Candidate { member_id: id, ..offers(&["a", "b", "c"]) };
    assert_eq!(join(&mut group, again, now).try_recv().unwrap().protocol_name.as_deref(), Some("c"));
    assert!(others.iter_mut().all(|answer| answer.try_recv().is_ok()));
    let refused = join(&mut group, offers(&["d"]), now).try_recv().unwrap();
    assert_eq!(ErrorCode(refused.error_code), ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
}
