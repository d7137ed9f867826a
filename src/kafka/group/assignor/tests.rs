//! What every assignor owes to any group, and the shares that Kafka's give in the examples of their documentation.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn candidate(id: &str, topics: &[&str], owned: &[(&str, i32)], generation: i32) -> Candidate {
    Candidate {
        member_id: id.to_owned(),
        instance_id: None,
        subscription: Subscription {
            topics: topics.iter().map(|&topic| Arc::from(topic)).collect(),
            owned: owned.iter().map(|&(topic, number)| TopicPartition::new(topic, number)).collect(),
            generation,
            rack: None,
        },
    }
}

fn counts(counts: &[(&str, i32)]) -> BTreeMap<Arc<str>, i32> {
    counts.iter().map(|&(topic, count)| (Arc::from(topic), count)).collect()
}

fn shown(shares: &Shares) -> String {
    let share = |(member, share): (&String, &Vec<TopicPartition>)| {
        let names: Vec<String> = share.iter().map(ToString::to_string).collect();
        format!("{member}: {}", names.join(" "))
    };
    shares.iter().map(share).collect::<Vec<_>>().join("; ")
}

#[test]
fn range_gives_neighbours_and_the_first_one_more() {
    let members = [candidate("C1", &["t0", "t1"], &[], -1), candidate("C0", &["t0", "t1"], &[], -1)];
    let shares = Assignor::Range.assign(&members, &counts(&[("t0", 3), ("t1", 3)]));
    assert_eq!(shown(&shares), "C0: t0-0 t0-1 t1-0 t1-1; C1: t0-2 t1-2");
}

#[test]
fn round_robin_goes_over_topics_and_passes_those_who_do_not_want_one() {
    let both = [candidate("C0", &["t0", "t1"], &[], -1), candidate("C1", &["t0", "t1"], &[], -1)];
    let shares = Assignor::RoundRobin.assign(&both, &counts(&[("t0", 3), ("t1", 3)]));
    assert_eq!(shown(&shares), "C0: t0-0 t0-2 t1-1; C1: t0-1 t1-0 t1-2");
    let uneven = [
        candidate("C0", &["t0"], &[], -1),
        candidate("C1", &["t0", "t1"], &[], -1),
        candidate("C2", &["t0", "t1", "t2"], &[], -1),
    ];
    let shares = Assignor::RoundRobin.assign(&uneven, &counts(&[("t0", 1), ("t1", 2), ("t2", 3)]));
    assert_eq!(shown(&shares), "C0: t0-0; C1: t1-0; C2: t1-1 t2-0 t2-1 t2-2");
}

#[test]
fn sticky_shares_evenly_where_round_robin_cannot() {
    let uneven = [
        candidate("C0", &["t0"], &[], -1),
        candidate("C1", &["t0", "t1"], &[], -1),
        candidate("C2", &["t0", "t1", "t2"], &[], -1),
    ];
    let shares = Assignor::Sticky.assign(&uneven, &counts(&[("t0", 1), ("t1", 2), ("t2", 3)]));
    assert_eq!(shown(&shares), "C0: t0-0; C1: t1-0 t1-1; C2: t2-0 t2-1 t2-2");
}

#[test]
fn cooperative_members_get_what_others_own_only_after_they_gave_it_up() {
    let owned = [("t", 0), ("t", 1), ("t", 2), ("t", 3)];
    let joined = [candidate("a", &["t"], &owned, 4), candidate("b", &["t"], &[], -1)];
    let shares = Assignor::CooperativeSticky.assign(&joined, &counts(&[("t", 4)]));
    let kept = shares["a"].len();
    assert_eq!((kept, shares["b"].len()), (2, 0));
    let kept: Vec<(&str, i32)> = shares["a"].iter().map(|kept| ("t", kept.partition)).collect();
    let after = [candidate("a", &["t"], &kept, 5), candidate("b", &["t"], &[], 5)];
    let shares = Assignor::CooperativeSticky.assign(&after, &counts(&[("t", 4)]));
    assert_eq!((shares["a"].len(), shares["b"].len()), (2, 2));
}

#[test]
fn of_two_that_claim_a_partition_the_newer_generation_keeps_it() {
    let claims = [candidate("a", &["t"], &[("t", 0), ("t", 1)], 3), candidate("b", &["t"], &[("t", 0)], 4)];
    let shares = Assignor::Sticky.assign(&claims, &counts(&[("t", 2)]));
    assert_eq!(shown(&shares), "a: t-1; b: t-0");
}

const TOPICS: [&str; 4] = ["a", "b", "c", "d"];

fn group() -> impl Strategy<Value = (Vec<Candidate>, BTreeMap<Arc<str>, i32>)> {
    let member = (
        prop::sample::subsequence(&TOPICS[..], 1..=4),
        prop::collection::btree_set((prop::sample::select(&TOPICS[..]), 0..6), 0..8),
        -1..4,
        any::<bool>(),
    );
    (prop::collection::vec(member, 1..7), prop::collection::vec(0..6, 4)).prop_map(|(members, numbers)| {
        let members = members.into_iter().enumerate();
        let members = members.map(|(number, (topics, owned, generation, is_static))| {
            let owned: Vec<_> = owned.into_iter().collect();
            let mut candidate = candidate(&format!("member-{number}"), &topics, &owned, generation);
            candidate.instance_id = is_static.then(|| format!("instance-{number}"));
            candidate
        });
        let members: Vec<_> = members.collect();
        let wanted =
            |topic: &str| members.iter().any(|m| m.subscription.topics.iter().any(|t| **t == *topic));
        let counts = TOPICS.iter().zip(numbers).filter(|(topic, _)| wanted(topic));
        let counts = counts.map(|(&topic, count)| (Arc::from(topic), count)).collect();
        (members, counts)
    })
}

fn everything(counts: &BTreeMap<Arc<str>, i32>) -> BTreeSet<TopicPartition> {
    let of = |(topic, &count): (&Arc<str>, &i32)| {
        let topic = Arc::clone(topic);
        (0..count).map(move |number| TopicPartition::new(Arc::clone(&topic), number))
    };
    counts.iter().flat_map(of).collect()
}

proptest! {
    #[test]
    fn each_partition_has_one_reader_that_wants_it((members, counts) in group()) {
        for assignor in [Assignor::Range, Assignor::RoundRobin, Assignor::Sticky] {
            let shares = assignor.assign(&members, &counts);
            prop_assert_eq!(shares.len(), members.len());
            let all: Vec<_> = shares.values().flatten().cloned().collect();
            let distinct: BTreeSet<_> = all.iter().cloned().collect();
            prop_assert_eq!(all.len(), distinct.len(), "{:?} gave one to two", assignor);
            prop_assert_eq!(&distinct, &everything(&counts), "{:?}", assignor);
            for member in &members {
                for partition in &shares[&member.member_id] {
                    prop_assert!(member.subscription.topics.contains(&partition.topic));
                }
            }
        }
    }

    #[test]
    fn sticky_shares_cannot_be_evened_out_by_giving_one_away((members, counts) in group()) {
        let shares = Assignor::Sticky.assign(&members, &counts);
        for giver in &members {
            for taker in &members {
                let (more, less) = (&shares[&giver.member_id], &shares[&taker.member_id]);
                let gives = more.iter().any(|gift| taker.subscription.topics.contains(&gift.topic));
                prop_assert!(!gives || more.len() <= less.len() + 1);
            }
        }
    }

    #[test]
    fn sticky_changes_nothing_when_nothing_changed((mut members, counts) in group()) {
        let shares = Assignor::Sticky.assign(&members, &counts);
        for member in &mut members {
            member.subscription.owned = shares[&member.member_id].clone();
            member.subscription.generation = 9;
        }
        prop_assert_eq!(&Assignor::Sticky.assign(&members, &counts), &shares);
        prop_assert_eq!(&Assignor::CooperativeSticky.assign(&members, &counts), &shares);
    }

    #[test]
    fn cooperative_members_never_share_and_are_done_once_nobody_gives_anything_up((mut members, counts) in group()) {
        // Whoever takes part knows what it owns; two never own the same.
        let mut taken = BTreeSet::new();
        for member in &mut members {
            member.subscription.owned.retain(|owned| taken.insert(owned.clone()));
            member.subscription.generation = 1;
        }
        for generation in 2..20 {
            let shares = Assignor::CooperativeSticky.assign(&members, &counts);
            let mut given_up = false;
            let mut now = BTreeSet::new();
            for member in &mut members {
                let (share, owned) = (&shares[&member.member_id], &mut member.subscription.owned);
                for partition in share {
                    let is_anothers = taken.contains(partition) && !owned.contains(partition);
                    prop_assert!(!is_anothers, "{} is another's", partition);
                    prop_assert!(now.insert(partition.clone()), "{} is given to two", partition);
                }
                // Who gives something up makes all join again.
                given_up |= owned.iter().any(|owned| !share.contains(owned));
                owned.clone_from(share);
                member.subscription.generation = generation;
            }
            taken = now;
            if !given_up {
                prop_assert_eq!(taken, everything(&counts));
                return Ok(());
            }
        }
        prop_assert!(false, "they join again for ever");
    }
}
