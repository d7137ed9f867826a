use super::*;

/// The journal has these.
fn holds(unsent: &BTreeSet<u64>) -> impl Fn(u64) -> Option<u64> {
    |from| unsent.range(from..).next().copied()
}

fn start() -> Instant {
    // The runtime's clock is not needed: times are compared only.
    Instant::from_std(std::time::Instant::now())
}

#[test]
fn the_lowest_number_goes_first_and_each_once() {
    let now = start();
    let mut outbox = Outbox::default();
    let unsent = BTreeSet::from([7, 3, 12]);
    let sent: Vec<u64> = std::iter::from_fn(|| outbox.next(now, holds(&unsent))).collect();
    assert_eq!(sent, [3, 7, 12]);
}

#[test]
fn what_failed_in_passing_is_sent_again_for_ever() {
    let mut now = start();
    let mut outbox = Outbox::default();
    let unsent = BTreeSet::from([0, 1]);
    let mut pauses = Vec::new();
    for _ in 0..1000 {
        assert_eq!(outbox.next(now, holds(&unsent)), Some(0));
        assert_eq!(outbox.next(now, holds(&unsent)), Some(1));
        assert_eq!(outbox.next(now, holds(&unsent)), None);
        for sequence in [1, 0] {
            assert_eq!(outbox.settle(sequence, Err(Verdict::Passing), now), Fate::Kept);
        }
        assert_eq!(outbox.next(now, holds(&unsent)), None);
        let due = outbox.next_look().unwrap();
        pauses.push(due - now);
        now = due;
    }
    assert_eq!(pauses[..3], [100, 200, 400].map(Duration::from_millis));
    assert!(pauses.iter().all(|&pause| pause <= LONGEST_PAUSE));
    outbox.next(now, holds(&unsent));
    assert_eq!(outbox.settle(0, Ok(()), now), Fate::Sent);
}

#[test]
fn a_message_is_given_up_only_when_it_was_refused_alone() {
    let now = start();
    let mut outbox = Outbox::default();
    let mut unsent = BTreeSet::from([0, 1, 2, 3]);
    for expected in 0..3 {
        assert_eq!(outbox.next(now, holds(&unsent)), Some(expected));
    }
    // A batch of two was refused; the third message is still under way, and the fourth has to wait.
    for sequence in [0, 1] {
        assert_eq!(outbox.settle(sequence, Err(Verdict::Refused), now), Fate::Kept);
    }
    assert_eq!((outbox.next(now, holds(&unsent)), outbox.next_look()), (None, None));
    assert_eq!(outbox.settle(2, Ok(()), now), Fate::Sent);
    unsent.remove(&2);

    assert_eq!(outbox.next(now, holds(&unsent)), Some(0));
    assert_eq!(outbox.next(now, holds(&unsent)), None);
    assert_eq!(outbox.settle(0, Err(Verdict::Refused), now), Fate::GivenUp);
    unsent.remove(&0);
    // The other of the batch was good.
    assert_eq!(outbox.next(now, holds(&unsent)), Some(1));
    assert_eq!(outbox.settle(1, Ok(()), now), Fate::Sent);
    unsent.remove(&1);
    assert_eq!(outbox.next(now, holds(&unsent)), Some(3));
}

#[test]
fn trouble_with_one_topic_does_not_begin_anew_with_each_message_of_another() {
    let mut now = start();
    let mut outbox = Outbox::default();
    let unsent: BTreeSet<u64> = (0..100).collect();
    assert_eq!(outbox.next(now, holds(&unsent)), Some(0));
    for other in 1..20 {
        outbox.settle(0, Err(Verdict::Lasting), now);
        assert_eq!(outbox.next(now, holds(&unsent)), Some(other));
        outbox.settle(other, Ok(()), now);
        now = outbox.next_look().unwrap();
        assert_eq!(outbox.next(now, holds(&unsent)), Some(0));
    }
    assert_eq!(outbox.pause.failures, 19);
}

#[test]
fn what_failures_mean() {
    let refused = |source| ProduceError::Refused { topic: "t".to_owned(), source: Box::new(source) };
    let code = |code| refused(Error::Broker { code, doing: String::new() });
    let expired = ProduceError::Expired {
        topic: "t".to_owned(),
        partition: 0,
        after: Duration::ZERO,
        maybe_written: true,
        last: None,
    };
    let not_authorized = || Error::NotAuthorized { action: "write to", resource: "topic 't'".to_owned() };
    for (error, expected) in [
        (expired, Verdict::Passing),
        (code(ErrorCode::NOT_ENOUGH_REPLICAS), Verdict::Passing),
        (refused(Error::NoLeader { topic: "t".to_owned(), partition: 0 }), Verdict::Passing),
        (code(ErrorCode::MESSAGE_TOO_LARGE), Verdict::Refused),
        (code(ErrorCode::INVALID_RECORD), Verdict::Refused),
        (ProduceError::TooLarge { topic: "t".to_owned(), bytes: 2, limit: 1 }, Verdict::Refused),
        (refused(not_authorized()), Verdict::Lasting),
        (refused(Error::UnknownTopic { topic: "t".to_owned() }), Verdict::Lasting),
        (ProduceError::Cluster(not_authorized()), Verdict::Lasting),
        // What nobody has heard of yet costs no message.
        (code(ErrorCode(9999)), Verdict::Lasting),
        (ProduceError::Closed, Verdict::Lasting),
    ] {
        assert_eq!(verdict(&error), expected, "{error}");
    }
}
