//! Who reads which partition: what the leader of a classic group works out for all members.
//!
//! The rules are those of Kafka's assignors of the same names, so that a group may have members of several clients and
//! any of them may lead it. All are functions of what the members said when they joined; ties are broken by names, so
//! that the same group gives the same answer.

mod sticky;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::subscription::{Subscription, UserData};
use crate::kafka::topic_partition::TopicPartition;

/// How the partitions of a classic group are shared out; Kafka's `partition.assignment.strategy`.
///
/// Members of one group must have one in common. Groups under KIP-848 are shared out by the broker instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Assignor {
    /// Of each topic, a run of neighbouring partitions: members of the same subscription get the same numbers of
    /// each topic.
    Range,
    /// Partitions one by one to members in turn.
    RoundRobin,
    /// Even, and with as few changes as can be (KIP-54). Members stop reading while they rebalance.
    Sticky,
    /// The same, and members go on reading what they keep (KIP-429). Only where all members can.
    CooperativeSticky,
}

/// A member, as its leader knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) member_id: String,
    /// Of a static member (KIP-345).
    pub(crate) instance_id: Option<String>,
    pub(crate) subscription: Subscription,
}

/// Partitions by member id.
pub(crate) type Shares = BTreeMap<String, Vec<TopicPartition>>;

impl Assignor {
    /// Every assignor.
    const ALL: [Self; 4] = [Self::Range, Self::RoundRobin, Self::Sticky, Self::CooperativeSticky];

    /// Its name in the protocol.
    pub fn name(self) -> &'static str {
        match self {
            Self::Range => "range",
            Self::RoundRobin => "roundrobin",
            Self::Sticky => "sticky",
            Self::CooperativeSticky => "cooperative-sticky",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|assignor| assignor.name() == name)
    }

    /// Whether members keep what is not taken from them while they rebalance.
    pub(crate) fn is_cooperative(self) -> bool {
        self == Self::CooperativeSticky
    }

    pub(crate) fn user_data(self) -> UserData {
        match self {
            Self::Range | Self::RoundRobin => UserData::Nothing,
            Self::Sticky => UserData::Assignment,
            Self::CooperativeSticky => UserData::Generation,
        }
    }

    /// Shares out the partitions of all topics that somebody subscribes to; `counts` has how many each topic has.
    pub(crate) fn assign(self, candidates: &[Candidate], counts: &BTreeMap<Arc<str>, i32>) -> Shares {
        let mut shares = match self {
            Self::Range => range(candidates, counts),
            Self::RoundRobin => round_robin(candidates, counts),
            Self::Sticky => sticky::assign(candidates, counts),
            Self::CooperativeSticky => {
                sticky::without_what_others_own(sticky::assign(candidates, counts), candidates)
            }
        };
        // Everyone gets an answer.
        for candidate in candidates {
            shares.entry(candidate.member_id.clone()).or_default().sort_unstable();
        }
        shares
    }
}

/// Static members first, so that their share does not depend on the ids that the coordinator gives out.
fn in_order(candidates: &[Candidate]) -> Vec<&Candidate> {
    let mut candidates: Vec<_> = candidates.iter().collect();
    candidates.sort_unstable_by_key(|candidate| {
        (candidate.instance_id.is_none(), &candidate.instance_id, &candidate.member_id)
    });
    candidates
}

fn range(candidates: &[Candidate], counts: &BTreeMap<Arc<str>, i32>) -> Shares {
    let mut shares = Shares::new();
    let candidates = in_order(candidates);
    for (topic, &count) in counts {
        let subscribed: Vec<_> =
            candidates.iter().filter(|candidate| candidate.subscription.topics.contains(topic)).collect();
        let Ok(members) = i32::try_from(subscribed.len()) else { continue };
        let mut from = 0;
        for (candidate, number) in subscribed.into_iter().zip(0_i32..) {
            // The first few get one more where it does not come out even.
            let (each, left) = (count / members, count % members);
            let next = from + each + i32::from(number < left);
            let share = shares.entry(candidate.member_id.clone()).or_default();
            share.extend((from..next).map(|partition| TopicPartition::new(Arc::clone(topic), partition)));
            from = next;
        }
    }
    shares
}

fn round_robin(candidates: &[Candidate], counts: &BTreeMap<Arc<str>, i32>) -> Shares {
    let mut shares = Shares::new();
    let candidates = in_order(candidates);
    let mut turn = candidates.iter().cycle();
    for (topic, &count) in counts {
        for partition in 0..count {
            // Somebody subscribes, or one whole turn shows that nobody does.
            let next =
                turn.by_ref().take(candidates.len()).find(|next| next.subscription.topics.contains(topic));
            let Some(next) = next else { break };
            let share = shares.entry(next.member_id.clone()).or_default();
            share.push(TopicPartition::new(Arc::clone(topic), partition));
        }
    }
    shares
}

#[cfg(test)]
mod tests;
