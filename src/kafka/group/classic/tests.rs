//! What happens to one member of a classic group at awkward times; the [simulation](super::super::simulation) has what
//! happens to several.

use std::time::Duration;

use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::{HeartbeatResponse, JoinGroupResponse, SyncGroupResponse};

use super::*;
use crate::kafka::group::member::Answer;
use crate::kafka::group::subscription::Subscription;
use crate::wire::error_code::ErrorCode;

fn membership(instance_id: Option<&str>, assignor: Assignor) -> Arc<Membership> {
    Arc::new(Membership {
        group: Arc::from("g"),
        instance_id: instance_id.map(str::to_owned),
        assignors: vec![assignor],
        server_assignor: None,
        rack: None,
        session_timeout: Duration::from_secs(10),
        heartbeat_interval: Duration::from_secs(1),
        max_poll_interval: Duration::from_secs(60),
        share_member: None,
    })
}

fn topics(names: &[&'static str]) -> BTreeSet<Arc<str>> {
    names.iter().map(|&name| Arc::from(name)).collect()
}

fn counts(counts: &[(&'static str, i32)]) -> BTreeMap<Arc<str>, i32> {
    counts.iter().map(|&(name, count)| (Arc::from(name), count)).collect()
}

/// A member and the time.
struct Alone {
    member: ClassicMember,
    now: Instant,
}

impl Alone {
    fn new(assignor: Assignor) -> Self {
        Self::of(membership(None, assignor))
    }

    fn of(membership: Arc<Membership>) -> Self {
        let now = Instant::now();
        Self { member: ClassicMember::new(membership, topics(&["t"]), now), now }
    }

    /// A cooperative member that has partition 0, and joins again since the group does.
    fn rejoining() -> Self {
        let mut alone = Self::new(Assignor::CooperativeSticky);
        alone.settle(&[("t", 0)]);
        alone.pass(1);
        assert!(matches!(alone.asks(), Request::Heartbeat(_)));
        alone.is_told(ErrorCode::REBALANCE_IN_PROGRESS);
        assert!(matches!(alone.asks(), Request::Join(_)));
        alone
    }

    fn actions(&mut self) -> Vec<Action> {
        std::iter::from_fn(|| self.member.poll(self.now)).collect()
    }

    /// What is asked of the coordinator next, and nothing else happens.
    fn asks(&mut self) -> Request {
        let mut actions = self.actions();
        match actions.pop() {
            Some(Action::Send { request, .. }) if actions.is_empty() => request,
            last => panic!("{actions:?} {last:?}"),
        }
    }

    fn answer(&mut self, answer: Answer) {
        self.member.on_answer(self.member.number, answer, self.now);
    }

    /// The answer to a join; whoever leads is the only member.
    fn joined(&mut self, generation: i32, leads: bool) {
        let metadata = self.member.join_request().protocols[0].metadata.clone();
        let member = JoinGroupResponseMember::default().with_member_id("me".into()).with_metadata(metadata);
        self.answer(Answer::Join(
            JoinGroupResponse::default()
                .with_generation_id(generation)
                .with_protocol_name(Some(self.member.membership.assignors[0].name().into()))
                .with_member_id("me".into())
                .with_leader(if leads { "me".into() } else { "another".into() })
                .with_members(if leads { vec![member] } else { Vec::new() }),
        ));
    }

    fn gets(&mut self, share: &[(&'static str, i32)]) {
        let share: Vec<_> = share.iter().map(|&(topic, number)| TopicPartition::new(topic, number)).collect();
        let response = SyncGroupResponse::default().with_assignment(encode_assignment(&share).into());
        self.answer(Answer::Sync(response));
    }

    fn is_told(&mut self, code: ErrorCode) {
        self.answer(Answer::Heartbeat(HeartbeatResponse::default().with_error_code(code.0)));
    }

    /// Joins, is no leader, and gets this.
    fn settle(&mut self, share: &[(&'static str, i32)]) {
        assert!(matches!(self.asks(), Request::Join(_)));
        self.joined(1, false);
        assert!(matches!(self.asks(), Request::Sync(_)));
        self.gets(share);
        assert!(matches!(self.actions()[..], [Action::Assigned(_)]));
    }

    fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }
}

#[test]
fn topics_that_change_while_it_joins_are_joined_for_again() {
    let mut alone = Alone::new(Assignor::CooperativeSticky);
    assert!(matches!(alone.asks(), Request::Join(_)));
    alone.member.subscribe(topics(&["t", "u"]));
    alone.joined(1, false);
    assert!(matches!(alone.asks(), Request::Sync(_)));
    alone.gets(&[]);
    let actions = alone.actions();
    let [Action::Assigned(_), Action::Send { request: Request::Join(join), .. }] = &actions[..] else {
        panic!("{actions:?}")
    };
    let said = Subscription::decode(&join.protocols[0].metadata).unwrap();
    assert_eq!(said.topics, [Arc::from("t"), Arc::from("u")]);
}

#[test]
fn a_leader_notices_partitions_that_come_while_it_syncs_and_topics_that_were_not_there() {
    for (at_first, later) in [(&[("t", 1)][..], &[("t", 2)][..]), (&[], &[("t", 1)])] {
        let mut alone = Alone::new(Assignor::CooperativeSticky);
        assert!(matches!(alone.asks(), Request::Join(_)));
        alone.joined(1, true);
        assert_eq!(alone.actions(), [Action::LookUp(topics(&["t"]))]);
        alone.member.on_counts(&counts(at_first));
        assert!(matches!(alone.asks(), Request::Sync(_)));
        alone.member.on_counts(&counts(later));
        alone.gets(&[]);
        let actions = alone.actions();
        assert!(
            matches!(actions[..], [Action::Assigned(_), Action::Send { request: Request::Join(_), .. }]),
            "{actions:?}"
        );
    }
}

#[test]
fn a_static_leader_that_came_back_assigns_nothing() {
    let mut alone = Alone::of(membership(Some("one"), Assignor::Range));
    assert!(matches!(alone.asks(), Request::Join(_)));
    let metadata = alone.member.join_request().protocols[0].metadata.clone();
    alone.answer(Answer::Join(
        JoinGroupResponse::default()
            .with_generation_id(7)
            .with_protocol_name(Some("range".into()))
            .with_member_id("me".into())
            .with_leader("me".into())
            .with_skip_assignment(true)
            .with_members(vec![
                JoinGroupResponseMember::default().with_member_id("me".into()).with_metadata(metadata),
            ]),
    ));
    assert_eq!(alone.actions(), [Action::LookUp(topics(&["t"]))]);
    alone.member.on_counts(&counts(&[("t", 3)]));
    let Request::Sync(sync) = alone.asks() else { panic!("it joined") };
    assert!(sync.assignments.is_empty());
    // But it watches.
    alone.gets(&[("t", 0)]);
    alone.actions();
    alone.member.on_counts(&counts(&[("t", 4)]));
    assert!(matches!(alone.actions()[..], [Action::Revoke { .. }]));
}

#[test]
fn a_static_member_takes_its_name_over_again_where_the_coordinator_died_before_it_had_written_that_down() {
    for (assigned, lost) in [(false, true), (false, false), (true, true)] {
        let mut alone = Alone::of(membership(Some("one"), Assignor::CooperativeSticky));
        assert!(matches!(alone.asks(), Request::Join(_)));
        alone.joined(1, false);
        assert!(matches!(alone.asks(), Request::Sync(_)));
        if assigned {
            alone.gets(&[]);
            assert!(matches!(alone.actions()[..], [Action::Assigned(_)]));
            alone.pass(1);
            assert!(matches!(alone.asks(), Request::Heartbeat(_)));
        }
        if lost {
            alone.answer(Answer::Nothing);
            assert_eq!(alone.actions(), [Action::ForgetCoordinator]);
            alone.pass(2);
            alone.asks();
        }
        let code = ErrorCode::FENCED_INSTANCE_ID.0;
        alone.answer(if assigned {
            Answer::Heartbeat(HeartbeatResponse::default().with_error_code(code))
        } else {
            Answer::Sync(SyncGroupResponse::default().with_error_code(code))
        });
        if assigned || !lost {
            assert!(matches!(alone.actions()[..], [Action::Failed(_)]), "{assigned} {lost}");
            continue;
        }
        alone.pass(2);
        let Request::Join(join) = alone.asks() else { panic!("it gave up") };
        assert!(join.member_id.is_empty());
        // If that is fenced, too, it is by another who bears the name.
        alone.joined(3, false);
        assert!(matches!(alone.asks(), Request::Sync(_)));
        alone.answer(Answer::Sync(SyncGroupResponse::default().with_error_code(code)));
        assert!(matches!(alone.actions()[..], [Action::Failed(_)]));
    }
}

#[test]
fn an_empty_share_is_told_of_too() {
    let mut alone = Alone::new(Assignor::Range);
    alone.settle(&[]);
}

#[test]
fn a_refused_commit_brings_back_nobody_who_is_away_or_gone() {
    for code in [ErrorCode::UNKNOWN_MEMBER_ID, ErrorCode::ILLEGAL_GENERATION, ErrorCode::FENCED_INSTANCE_ID] {
        for instance_id in [None, Some("one")] {
            let mut alone = Alone::of(membership(instance_id, Assignor::Range));
            alone.settle(&[("t", 0)]);
            alone.member.on_poll_overdue();
            alone.member.on_fenced(code);
            let actions = alone.actions();
            assert_eq!(actions[0], Action::Lost(vec![TopicPartition::new("t", 0)]));
            let goodbye = actions[1..].iter().all(
                |action| matches!(action, Action::Send { request: Request::Leave(_), .. } if instance_id.is_none()),
            );
            assert!(goodbye, "{code} {actions:?}");
        }
    }
}

#[test]
fn a_refused_commit_does_not_make_the_session_longer() {
    let mut alone = Alone::new(Assignor::Range);
    alone.settle(&[("t", 0)]);
    let until = alone.member.lease();
    alone.pass(3);
    assert!(matches!(alone.asks(), Request::Heartbeat(_)));
    alone.member.on_fenced(ErrorCode::REBALANCE_IN_PROGRESS);
    assert_eq!(alone.member.lease(), until);
    assert!(matches!(alone.actions()[..], [Action::Revoke { .. }]));
}

#[test]
fn who_comes_back_before_saying_goodbye_is_the_same_member() {
    let mut alone = Alone::new(Assignor::Range);
    alone.settle(&[("t", 0)]);
    alone.pass(1);
    assert!(matches!(alone.asks(), Request::Heartbeat(_)));
    alone.is_told(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS);
    alone.member.on_poll_overdue();
    assert!(matches!(alone.actions()[..], [Action::Lost(_)]));
    alone.member.on_polled();
    alone.pass(5);
    let Request::Join(join) = alone.asks() else { panic!("it left") };
    assert_eq!(&*join.member_id, "me");
}

#[test]
fn who_comes_back_while_saying_goodbye_is_another_member() {
    let mut alone = Alone::new(Assignor::Range);
    alone.settle(&[("t", 0)]);
    alone.member.on_poll_overdue();
    let actions = alone.actions();
    assert!(matches!(actions[..], [Action::Lost(_), Action::Send { request: Request::Leave(_), .. }]));
    alone.member.on_polled();
    let Request::Join(join) = alone.asks() else { panic!("it left again") };
    assert!(join.member_id.is_empty());
}

#[test]
fn whoever_waits_to_join_reads_until_its_session_may_be_over_and_keeps_what_it_has_if_it_is_let_in() {
    let owned = TopicPartition::new("t", 0);
    for let_in in [true, false] {
        let mut alone = Alone::rejoining();
        // Others may take longer to join than a session lasts.
        alone.pass(30);
        assert_eq!((alone.actions(), alone.member.wake_at()), (Vec::new(), None));
        assert!(alone.member.lease().is_some_and(|until| until < alone.now));
        if let_in {
            alone.joined(2, false);
            assert!(matches!(alone.asks(), Request::Sync(_)));
            alone.gets(&[("t", 0)]);
            assert_eq!(alone.actions(), [Action::Assigned(Vec::new())]);
            assert!(alone.member.lease().is_some_and(|until| until > alone.now));
        } else {
            let unknown = ErrorCode::UNKNOWN_MEMBER_ID.0;
            alone.answer(Answer::Join(JoinGroupResponse::default().with_error_code(unknown)));
            assert_eq!(alone.actions(), [Action::Lost(vec![owned.clone()])]);
            assert_eq!(alone.member.lease(), None);
        }
    }
}

#[test]
fn whoever_waited_for_a_leader_that_died_joins_with_what_it_has() {
    let owned = [TopicPartition::new("t", 0)];
    for known in [true, false] {
        let mut alone = Alone::rejoining();
        alone.joined(2, false);
        assert!(matches!(alone.asks(), Request::Sync(_)));
        // The coordinator gives the leader a session's time, and this member as long as that takes.
        alone.pass(11);
        assert_eq!((alone.actions(), alone.member.wake_at()), (Vec::new(), None));
        let refused = |code: ErrorCode| SyncGroupResponse::default().with_error_code(code.0);
        if known {
            alone.answer(Answer::Sync(refused(ErrorCode::REBALANCE_IN_PROGRESS)));
            assert!(alone.member.lease().is_some_and(|until| until < alone.now), "it reads, and may not own");
            let Request::Join(join) = alone.asks() else { panic!("it lost what it has") };
            assert_eq!(&*join.member_id, "me");
            assert_eq!(Subscription::decode(&join.protocols[0].metadata).unwrap().owned, owned);
        } else {
            alone.answer(Answer::Sync(refused(ErrorCode::UNKNOWN_MEMBER_ID)));
            assert_eq!(alone.actions(), [Action::Lost(owned.to_vec())]);
        }
    }
}

#[test]
fn whoever_does_not_give_up_in_time_has_lost_it_though_its_heartbeats_are_answered() {
    let mut alone = Alone::new(Assignor::Range);
    alone.settle(&[("t", 0)]);
    let most = alone.member.membership.max_poll_interval;
    let thrown_out = alone.now + most;
    for second in 0..most.as_secs() {
        alone.pass(1);
        let actions = alone.actions();
        match &actions[..] {
            [Action::Send { request: Request::Heartbeat(_), .. }] => {}
            [Action::Revoke { .. }, Action::Send { request: Request::Heartbeat(_), .. }] if second == 1 => {}
            _ if alone.now == thrown_out => {
                let lost = Action::Lost(vec![TopicPartition::new("t", 0)]);
                assert!(
                    matches!(&actions[..], [first, Action::Send { .. }] if *first == lost),
                    "{actions:?}"
                );
                return;
            }
            _ => panic!("{second} {actions:?}"),
        }
        alone.is_told(ErrorCode::REBALANCE_IN_PROGRESS);
        assert!(alone.member.lease().is_some_and(|until| until <= thrown_out));
    }
    panic!("it goes on for ever");
}
