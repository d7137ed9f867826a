//! Whose turn it is: one partition after the other. A state for each topic.

/// The next partition in turn.
#[derive(Debug, Clone, Default)]
pub(crate) struct RoundRobin {
    next: usize,
}

impl RoundRobin {
    /// Begins at this partition, or as far behind the first one as it is beyond the last. Java's begins at 0; many
    /// producers that write a record or two each would then all write to the same partition.
    pub(crate) fn starting_at(partition: usize) -> Self {
        Self { next: partition }
    }

    /// Takes the next turn, of so many partitions; `None` where there are none. Those that are not available are passed
    /// over while others are.
    pub(crate) fn take(&mut self, partitions: usize, available: impl Fn(usize) -> bool) -> Option<usize> {
        let first = self.next.checked_rem(partitions)?;
        let chosen = (first..partitions).chain(0..first).find(|&place| available(place)).unwrap_or(first);
        self.next = chosen.saturating_add(1);
        Some(chosen)
    }
}

#[cfg(test)]
mod tests {
    use super::RoundRobin;
    use proptest::prelude::*;

    #[test]
    fn without_partitions_there_is_no_turn() {
        assert_eq!(RoundRobin::default().take(0, |_| true), None);
    }

    #[test]
    fn a_topic_that_grows_is_gone_through_to_its_new_end() {
        let mut turn = RoundRobin::starting_at(1);
        assert_eq!(turn.take(2, |_| true), Some(1));
        assert_eq!(turn.take(4, |_| true), Some(2));
        assert_eq!(turn.take(4, |_| true), Some(3));
        assert_eq!(turn.take(4, |_| true), Some(0));
    }

    proptest! {
        #[test]
        fn those_that_are_available_get_the_same_number_each(
            available in prop::collection::vec(any::<bool>(), 1..20),
            first in any::<usize>(),
            rounds in 1_usize..4,
        ) {
            let mut turn = RoundRobin::starting_at(first);
            let none = !available.contains(&true);
            let takers = if none { available.len() } else { available.iter().filter(|&&is| is).count() };
            let mut counts = vec![0; available.len()];
            for _ in 0..rounds * takers {
                counts[turn.take(available.len(), |place| available[place]).unwrap()] += 1;
            }
            for (&count, &is) in counts.iter().zip(&available) {
                prop_assert_eq!(count, if is || none { rounds } else { 0 });
            }
        }
    }
}
