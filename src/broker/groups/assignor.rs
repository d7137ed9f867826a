//! Who reads which partitions, where the broker decides it (KIP-848): its strategies *uniform* and *range*.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

/// A partition, by its topic's id.
pub(in crate::broker) type Owned = BTreeSet<(Uuid, i32)>;

/// The strategies, the default first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::broker) enum Assignor {
    /// As even as can be, and as much as before as can be.
    #[default]
    Uniform,
    /// Each topic in runs of neighbours, so that topics with as many partitions are shared out alike.
    Range,
}

impl Assignor {
    pub(in crate::broker) fn find(name: &str) -> Option<Self> {
        [Self::Uniform, Self::Range].into_iter().find(|assignor| assignor.name() == name)
    }

    pub(in crate::broker) fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Range => "range",
        }
    }

    /// Shares out the topics, each with its number of partitions, among the members, each with the topics that it
    /// reads and what it has.
    pub(in crate::broker) fn assign(
        self,
        members: &BTreeMap<String, (BTreeSet<Uuid>, Owned)>,
        topics: &BTreeMap<Uuid, i32>,
    ) -> BTreeMap<String, Owned> {
        match self {
            Self::Uniform => uniform(members, topics),
            Self::Range => range(members, topics),
        }
    }
}

fn range(
    members: &BTreeMap<String, (BTreeSet<Uuid>, Owned)>,
    topics: &BTreeMap<Uuid, i32>,
) -> BTreeMap<String, Owned> {
    let mut target: BTreeMap<String, Owned> = members.keys().map(|id| (id.clone(), Owned::new())).collect();
    for (&topic, &count) in topics {
        let readers: Vec<_> =
            members.iter().filter(|(_, (topics, _))| topics.contains(&topic)).map(|(id, _)| id).collect();
        let Ok(among) = i32::try_from(readers.len()) else { continue };
        let (Some(each), Some(left)) = (count.checked_div(among), count.checked_rem(among)) else { continue };
        let mut next = 0_i32;
        for (place, id) in (0..).zip(readers) {
            let end = next.saturating_add(each).saturating_add(i32::from(place < left));
            if let Some(owned) = target.get_mut(id) {
                owned.extend((next..end).map(|partition| (topic, partition)));
            }
            next = end;
        }
    }
    target
}

fn uniform(
    members: &BTreeMap<String, (BTreeSet<Uuid>, Owned)>,
    topics: &BTreeMap<Uuid, i32>,
) -> BTreeMap<String, Owned> {
    let mut target: BTreeMap<String, Owned> = BTreeMap::new();
    let mut free: BTreeSet<(Uuid, i32)> = topics
        .iter()
        .flat_map(|(&topic, &count)| (0..count).map(move |partition| (topic, partition)))
        .collect();
    // What a member has and may keep, it keeps.
    for (id, (reads, has)) in members {
        let kept: Owned =
            has.iter().filter(|owned| reads.contains(&owned.0) && free.contains(*owned)).copied().collect();
        for owned in &kept {
            free.remove(owned);
        }
        target.insert(id.clone(), kept);
    }
    let readers =
        |topic: Uuid| members.iter().filter(move |(_, (reads, _))| reads.contains(&topic)).map(|(id, _)| id);
    for partition in free {
        let least = readers(partition.0).min_by_key(|id| target.get(*id).map_or(0, BTreeSet::len));
        if let Some(owned) = least.and_then(|id| target.get_mut(id)) {
            owned.insert(partition);
        }
    }
    // Then partitions move, one at a time, from whoever has at least two more than another that reads the topic.
    let moves: usize = topics.values().map(|&count| usize::try_from(count).unwrap_or_default()).sum();
    for _ in 0..moves {
        let mut from: Vec<_> = target.iter().map(|(id, owned)| (owned.len(), id)).collect();
        from.sort_unstable_by(|a, b| b.cmp(a));
        let step = from.iter().find_map(|(count, id)| {
            target.get(*id)?.iter().rev().find_map(|&partition| {
                let to = readers(partition.0).min_by_key(|id| target.get(*id).map_or(0, BTreeSet::len))?;
                let fewer = target.get(to)?.len();
                (fewer.saturating_add(2) <= *count).then(|| ((*id).clone(), to.clone(), partition))
            })
        });
        let Some((from, to, partition)) = step else { break };
        if let Some(owned) = target.get_mut(&from) {
            owned.remove(&partition);
        }
        if let Some(owned) = target.get_mut(&to) {
            owned.insert(partition);
        }
    }
    target
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn topic(number: u128) -> Uuid {
        Uuid::from_u128(number + 1)
    }

    fn members(reads: &[Vec<u128>]) -> BTreeMap<String, (BTreeSet<Uuid>, Owned)> {
        let topics = |reads: &Vec<u128>| reads.iter().copied().map(topic).collect();
        (0..)
            .zip(reads)
            .map(|(number, reads)| (format!("m{number}"), (topics(reads), Owned::new())))
            .collect()
    }

    #[test]
    fn range_gives_runs_of_neighbours() {
        let target = Assignor::Range.assign(&members(&[vec![0], vec![0]]), &[(topic(0), 5)].into());
        assert_eq!(target["m0"], (0..3).map(|partition| (topic(0), partition)).collect());
        assert_eq!(target["m1"], (3..5).map(|partition| (topic(0), partition)).collect());
    }

    #[test]
    fn uniform_moves_no_more_than_it_must() {
        let mut members = members(&[vec![0], vec![0]]);
        members.get_mut("m0").unwrap().1 = (0..6).map(|partition| (topic(0), partition)).collect();
        let target = Assignor::Uniform.assign(&members, &[(topic(0), 6)].into());
        assert_eq!(target["m0"], (0..3).map(|partition| (topic(0), partition)).collect());
        assert_eq!(target["m1"].len(), 3);
    }

    proptest! {
        #[test]
        fn each_partition_has_one_owner_who_reads_its_topic(
            reads in prop::collection::vec(prop::collection::vec(0..4_u128, 0..4), 1..6),
            counts in prop::collection::vec(0..9_i32, 4),
            uniform in any::<bool>(),
        ) {
            let members = members(&reads);
            let topics: BTreeMap<Uuid, i32> =
                (0..).zip(&counts).map(|(number, &count)| (topic(number), count)).collect();
            let assignor = if uniform { Assignor::Uniform } else { Assignor::Range };
            let target = assignor.assign(&members, &topics);
            let mut seen = Owned::new();
            for (id, owned) in &target {
                for partition in owned {
                    prop_assert!(members[id].0.contains(&partition.0));
                    prop_assert!(seen.insert(*partition), "{partition:?} has two owners");
                }
            }
            let read: BTreeSet<Uuid> = members.values().flat_map(|(reads, _)| reads.clone()).collect();
            let wanted: i32 = topics.iter().filter(|(topic, _)| read.contains(topic)).map(|(_, count)| count).sum();
            prop_assert_eq!(i32::try_from(seen.len()).unwrap(), wanted);
            if uniform && members.values().all(|(reads, _)| *reads == members["m0"].0) {
                let most = target.values().map(BTreeSet::len).max().unwrap();
                let least = target.values().map(BTreeSet::len).min().unwrap();
                prop_assert!(most - least <= 1);
            }
        }
    }
}
