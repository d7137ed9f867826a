//! Even shares with as few changes as can be (KIP-54, KIP-429, KIP-792).
//!
//! Members first keep what they own, as far as they may; what is free goes to whoever has least; then partitions move
//! from those with more to those with less, along chains where one cannot give to the other directly, until no chain
//! makes it more even. Each such move makes the sum of the squares of the shares smaller, so it ends.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use super::{Candidate, Shares, in_order};
use crate::kafka::topic_partition::TopicPartition;

/// A member, by its place among the candidates in order.
type Place = usize;

struct Draft<'a> {
    counts: &'a BTreeMap<Arc<str>, i32>,
    candidates: Vec<&'a Candidate>,
    shares: Vec<BTreeSet<TopicPartition>>,
    /// Who owned what: moving the rest first costs nobody anything.
    owners: HashMap<TopicPartition, Place>,
}

pub(super) fn assign(candidates: &[Candidate], counts: &BTreeMap<Arc<str>, i32>) -> Shares {
    let candidates = in_order(candidates);
    let owners = owners(&candidates, counts);
    let mut shares = vec![BTreeSet::new(); candidates.len()];
    for (partition, &place) in &owners {
        if let Some(share) = shares.get_mut(place) {
            share.insert(partition.clone());
        }
    }
    let mut draft = Draft { counts, candidates, shares, owners };
    draft.hand_out_free();
    while draft.even_out() {}
    let Draft { candidates, shares, .. } = draft;
    let named = candidates.into_iter().zip(shares);
    named.map(|(candidate, share)| (candidate.member_id.clone(), share.into_iter().collect())).collect()
}

/// Takes out what another member owns still: it has to be given up before somebody else gets it, in the rebalance
/// after this one.
pub(super) fn without_what_others_own(mut shares: Shares, candidates: &[Candidate]) -> Shares {
    let mut owned_by: HashMap<&TopicPartition, Vec<&str>> = HashMap::new();
    for candidate in candidates {
        for partition in &candidate.subscription.owned {
            owned_by.entry(partition).or_default().push(&candidate.member_id);
        }
    }
    for (member, share) in &mut shares {
        let taken_from_another = |partition: &TopicPartition| {
            owned_by.get(partition).is_some_and(|owners| owners.iter().any(|owner| owner != member))
        };
        share.retain(|partition| !taken_from_another(partition));
    }
    shares
}

/// Whose each partition is: of several that say so the one of the newest generation, and nobody's where two of the
/// same generation do.
fn owners(candidates: &[&Candidate], counts: &BTreeMap<Arc<str>, i32>) -> HashMap<TopicPartition, Place> {
    let mut claims: HashMap<&TopicPartition, (i32, Option<Place>)> = HashMap::new();
    for (place, candidate) in candidates.iter().enumerate() {
        let subscription = &candidate.subscription;
        for partition in &subscription.owned {
            let exists = counts.get(&partition.topic).is_some_and(|&count| partition.partition < count);
            if !exists || !subscription.topics.contains(&partition.topic) {
                continue;
            }
            claims
                .entry(partition)
                .and_modify(|(generation, owner)| {
                    if subscription.generation > *generation {
                        (*generation, *owner) = (subscription.generation, Some(place));
                    } else if subscription.generation == *generation && *owner != Some(place) {
                        *owner = None;
                    }
                })
                .or_insert((subscription.generation, Some(place)));
        }
    }
    claims.into_iter().filter_map(|(partition, (_, owner))| Some((partition.clone(), owner?))).collect()
}

impl Draft<'_> {
    fn may_have(&self, place: Place, topic: &Arc<str>) -> bool {
        self.candidates.get(place).is_some_and(|candidate| candidate.subscription.topics.contains(topic))
    }

    fn size(&self, place: Place) -> usize {
        self.shares.get(place).map_or(0, BTreeSet::len)
    }

    fn hand_out_free(&mut self) {
        let mut free = Vec::new();
        for (topic, &count) in self.counts {
            let takers: Vec<Place> =
                (0..self.candidates.len()).filter(|&place| self.may_have(place, topic)).collect();
            for number in 0..count {
                let partition = TopicPartition::new(Arc::clone(topic), number);
                if !self.owners.contains_key(&partition) {
                    free.push((partition, takers.clone()));
                }
            }
        }
        // What few can take goes first, while they have little.
        free.sort_by_key(|(_, takers)| takers.len());
        for (partition, takers) in free {
            let least = takers.into_iter().min_by_key(|&place| (self.size(place), place));
            if let Some(share) = least.and_then(|place| self.shares.get_mut(place)) {
                share.insert(partition);
            }
        }
    }

    /// Moves one partition along the shortest chain from a member to one that has at least two fewer. `false` where
    /// there is no such chain.
    fn even_out(&mut self) -> bool {
        let mut by_size: Vec<Place> = (0..self.shares.len()).collect();
        by_size.sort_by_key(|&place| (std::cmp::Reverse(self.size(place)), place));
        let least = by_size.last().map_or(0, |&place| self.size(place));
        for from in by_size {
            // Nobody has so few that this one, or one with less, could do better by giving.
            if self.size(from) < least + 2 {
                return false;
            }
            if let Some(chain) = self.chain(from) {
                let mut giver = from;
                for (taker, partition) in chain {
                    if let Some(share) = self.shares.get_mut(giver) {
                        share.remove(&partition);
                    }
                    if let Some(share) = self.shares.get_mut(taker) {
                        share.insert(partition);
                    }
                    giver = taker;
                }
                return true;
            }
        }
        false
    }

    /// Who takes which partition from the one before, beginning with `from`.
    fn chain(&self, from: Place) -> Option<Vec<(Place, TopicPartition)>> {
        let most = self.size(from);
        let mut came_by: HashMap<Place, (Place, TopicPartition)> = HashMap::new();
        let mut queue = VecDeque::from([from]);
        while let Some(giver) = queue.pop_front() {
            for taker in 0..self.shares.len() {
                if taker == from || came_by.contains_key(&taker) {
                    continue;
                }
                let Some(partition) = self.gift(giver, taker) else { continue };
                came_by.insert(taker, (giver, partition));
                if self.size(taker) + 2 <= most {
                    return Some(unwind(&came_by, from, taker));
                }
                queue.push_back(taker);
            }
        }
        None
    }

    /// What one member can best give another: what the taker had, then what the giver never had.
    fn gift(&self, giver: Place, taker: Place) -> Option<TopicPartition> {
        let gifts = self.shares.get(giver)?.iter().filter(|partition| self.may_have(taker, &partition.topic));
        gifts
            .min_by_key(|partition| match self.owners.get(partition) {
                Some(&owner) if owner == taker => 0,
                Some(&owner) if owner == giver => 2,
                _ => 1,
            })
            .cloned()
    }
}

fn unwind(
    came_by: &HashMap<Place, (Place, TopicPartition)>,
    from: Place,
    to: Place,
) -> Vec<(Place, TopicPartition)> {
    let mut chain = Vec::new();
    let mut taker = to;
    while taker != from {
        let Some((giver, partition)) = came_by.get(&taker) else { break };
        chain.push((taker, partition.clone()));
        taker = *giver;
    }
    chain.reverse();
    chain
}
