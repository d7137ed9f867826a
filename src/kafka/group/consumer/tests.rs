//! What happens to one member under KIP-848 at awkward times; the [simulation](super::super::simulation) has what
//! happens to several.

use super::*;

const INTERVAL: Duration = Duration::from_secs(5);

fn membership(instance_id: Option<&str>) -> Arc<Membership> {
    Arc::new(Membership {
        group: Arc::from("g"),
        instance_id: instance_id.map(str::to_owned),
        assignors: Vec::new(),
        server_assignor: None,
        rack: None,
        session_timeout: Duration::from_secs(45),
        heartbeat_interval: INTERVAL,
        max_poll_interval: Duration::from_secs(60),
        share_member: None,
    })
}

fn partitions(numbers: &[i32]) -> BTreeSet<TopicPartition> {
    numbers.iter().map(|&number| TopicPartition::new("t", number)).collect()
}

fn answer(epoch: i32, assigned: Option<&[i32]>) -> ConsumerHeartbeatAnswer {
    ConsumerHeartbeatAnswer {
        code: ErrorCode::NONE,
        message: None,
        member_id: None,
        epoch,
        interval: INTERVAL,
        assignment: assigned
            .map(|assigned| Assignment { partitions: partitions(assigned), unknown_topics: false }),
    }
}

/// A member and the time.
struct Alone {
    member: ConsumerMember,
    now: Instant,
}

impl Alone {
    fn new(instance_id: Option<&str>) -> Self {
        let (now, topics) = (Instant::now(), BTreeSet::from([Arc::from("t")]));
        Self { member: ConsumerMember::new(membership(instance_id), "me".to_owned(), topics, now), now }
    }

    fn actions(&mut self) -> Vec<Action> {
        std::iter::from_fn(|| self.member.poll(self.now)).collect()
    }

    /// What is said to the coordinator next, and nothing else happens.
    fn says(&mut self) -> ConsumerHeartbeat {
        let mut actions = self.actions();
        match actions.pop() {
            Some(Action::Send { request: Request::Consumer(heartbeat), .. }) if actions.is_empty() => {
                heartbeat
            }
            last => panic!("{actions:?} {last:?}"),
        }
    }

    fn hears(&mut self, answer: ConsumerHeartbeatAnswer) {
        self.member.on_answer(self.member.number, Answer::Consumer(answer), self.now);
    }

    fn settle(&mut self, epoch: i32, assigned: &[i32]) {
        assert_eq!(self.says().epoch, JOIN);
        self.hears(answer(epoch, Some(assigned)));
        let actions = self.actions();
        assert_eq!(actions[0], Action::Assigned(partitions(assigned).into_iter().collect()));
        self.hears(answer(epoch, None));
    }
}

#[test]
fn who_comes_back_while_saying_goodbye_joins_anew_whatever_is_answered() {
    for (instance_id, goodbye) in [(None, LEAVE), (Some("one"), LEAVE_FOR_NOW)] {
        let mut alone = Alone::new(instance_id);
        alone.settle(3, &[0]);
        alone.member.on_poll_overdue();
        let actions = alone.actions();
        let [Action::Lost(_), Action::Send { number, request: Request::Consumer(said) }] = &actions[..]
        else {
            panic!("{actions:?}")
        };
        assert_eq!(said.epoch, goodbye);
        alone.member.on_polled();
        let join = alone.says();
        alone.member.on_answer(*number, Answer::Consumer(answer(goodbye, None)), alone.now);
        assert_eq!((join.epoch, join.owned), (JOIN, Some(BTreeSet::new())));
        alone.hears(answer(5, Some(&[1])));
        assert_eq!(alone.actions()[0], Action::Assigned(vec![TopicPartition::new("t", 1)]));
        assert_eq!(alone.member.identity(), Some(("me".to_owned(), 5)));
    }
}

#[test]
fn who_was_joining_says_goodbye_too() {
    let mut alone = Alone::new(None);
    assert_eq!(alone.says().epoch, JOIN);
    alone.member.on_poll_overdue();
    assert_eq!(alone.says().epoch, LEAVE);
}

#[test]
fn what_has_no_name_yet_is_asked_for_until_it_has_one() {
    let mut alone = Alone::new(None);
    assert_eq!(alone.says().epoch, JOIN);
    let mut told = answer(3, Some(&[0]));
    told.assignment.as_mut().unwrap().unknown_topics = true;
    alone.hears(told);
    assert_eq!(alone.actions(), [Action::Assigned(vec![TopicPartition::new("t", 0)])]);
    // Not at once, but long before the next heartbeat would be due.
    alone.now += Duration::from_secs(1);
    let heartbeat = alone.says();
    assert_eq!((heartbeat.full, heartbeat.owned), (true, Some(partitions(&[0]))));
    alone.hears(answer(3, Some(&[0, 1])));
    assert_eq!(alone.actions()[0], Action::Assigned(vec![TopicPartition::new("t", 1)]));
}

#[test]
fn a_refused_commit_changes_nothing_for_who_is_away() {
    for code in [ErrorCode::UNKNOWN_MEMBER_ID, ErrorCode::FENCED_MEMBER_EPOCH, ErrorCode::FENCED_INSTANCE_ID]
    {
        let mut alone = Alone::new(Some("one"));
        alone.settle(3, &[0]);
        alone.member.on_poll_overdue();
        alone.member.on_fenced(code);
        let actions = alone.actions();
        let [Action::Lost(_), Action::Send { request: Request::Consumer(said), .. }] = &actions[..] else {
            panic!("{actions:?}")
        };
        assert_eq!(said.epoch, LEAVE_FOR_NOW);
    }
}

#[test]
fn what_is_answered_while_something_is_given_up_counts() {
    let mut alone = Alone::new(None);
    alone.settle(3, &[0, 1, 2]);
    alone.now += INTERVAL;
    alone.says();
    alone.hears(answer(3, Some(&[0, 1])));
    let [Action::Revoke { number, .. }] = alone.actions()[..] else { panic!("nothing is to be given up") };
    // Before that is done, there is more.
    alone.now += INTERVAL;
    alone.says();
    alone.hears(answer(3, Some(&[0])));
    alone.now += INTERVAL;
    alone.says();
    alone.member.on_revoked(number, alone.now);
    let [Action::Revoke { number, .. }] = alone.actions()[..] else { panic!("nothing is to be given up") };
    alone.hears(answer(4, None));
    assert_eq!(alone.member.identity(), Some(("me".to_owned(), 4)));
    alone.member.on_revoked(number, alone.now);
    let actions = alone.actions();
    let [Action::Assigned(_), Action::Send { request: Request::Consumer(said), .. }] = &actions[..] else {
        panic!("{actions:?}")
    };
    assert_eq!((said.epoch, &said.owned, said.full), (4, &Some(partitions(&[0])), false));
}

#[test]
fn what_the_broker_may_have_given_to_others_is_not_taken_before_it_answers() {
    for taken_back in [true, false] {
        let mut alone = Alone::new(None);
        alone.settle(3, &[0]);
        alone.now += INTERVAL;
        alone.says();
        alone.hears(answer(4, Some(&[1])));
        let [Action::Revoke { number, .. }] = alone.actions()[..] else {
            panic!("nothing is to be given up")
        };
        // The broker hears that this member does not have 1, and need not wait for it to give that up.
        alone.member.tell_all = true;
        assert_eq!(alone.says().owned, Some(partitions(&[0])));
        alone.member.on_revoked(number, alone.now);
        assert_eq!(alone.actions(), []);
        let assigned: &[i32] = if taken_back { &[] } else { &[1] };
        alone.hears(answer(4, taken_back.then_some(&[])));
        assert_eq!(alone.actions()[0], Action::Assigned(partitions(assigned).into_iter().collect()));
    }
}
