//! Share sessions (KIP-932): a broker remembers which partitions a member shares, and what it has acquired of them.
//!
//! Pure, one a broker. A session counts its requests, fetches and acknowledgements alike, so that one is under way at a
//! time. One that the broker has dropped, or that got out of step, is begun anew with the next fetch; what was acquired
//! in it is no longer this member's.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::kafka::topic_partition::TopicPartition;

/// The number that begins a session.
const BEGIN: i32 = 0;
/// The number that ends it, and releases what is still acquired.
pub(super) const END: i32 = -1;

/// A partition as share sessions name it.
pub(super) type Id = (Uuid, i32);

/// What a fetch says of its session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SessionFetch {
    pub(super) epoch: i32,
    /// What the broker does not know yet.
    pub(super) tell: Vec<Id>,
    /// What it need not look at any more.
    pub(super) forget: Vec<Id>,
}

/// The session with one broker.
#[derive(Debug, Default)]
pub(super) struct ShareSession {
    epoch: i32,
    told: BTreeMap<Id, TopicPartition>,
}

impl ShareSession {
    /// The fetch that makes the broker look at `wanted` and nothing else. A broker takes what is acknowledged in it for
    /// wanted, too, unless it is told otherwise.
    pub(super) fn fetch(
        &mut self,
        wanted: BTreeMap<Id, TopicPartition>,
        acknowledged: impl Iterator<Item = Id>,
    ) -> SessionFetch {
        let new = |id: &&Id| !self.told.contains_key(*id);
        let tell = wanted.keys().filter(new).copied().collect();
        let mut forget: Vec<_> = self.told.keys().copied().chain(acknowledged).collect();
        forget.retain(|id| !wanted.contains_key(id));
        forget.sort_unstable();
        forget.dedup();
        self.told = wanted;
        SessionFetch { epoch: self.epoch, tell, forget }
    }

    /// The number of a request that only acknowledges; `None` where there is no session to do it in.
    pub(super) fn acknowledge(&self) -> Option<i32> {
        self.is_open().then_some(self.epoch)
    }

    /// The broker has taken a request.
    pub(super) fn on_taken(&mut self) {
        // After the last number comes 1: 0 would begin anew.
        self.epoch = self.epoch.checked_add(1).unwrap_or(1);
    }

    /// The broker has no such session, or may have taken a request or not.
    pub(super) fn restart(&mut self) {
        *self = Self::default();
    }

    pub(super) fn is_open(&self) -> bool {
        self.epoch != BEGIN
    }

    /// The partition that the broker was told of under this id.
    pub(super) fn name(&self, id: Id) -> Option<&TopicPartition> {
        self.told.get(&id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: i32) -> Id {
        (Uuid::from_u128(7), number)
    }

    fn wanted(numbers: &[i32]) -> BTreeMap<Id, TopicPartition> {
        numbers.iter().map(|&number| (id(number), TopicPartition::new("t", number))).collect()
    }

    fn fetch(session: &mut ShareSession, numbers: &[i32], acknowledged: &[i32]) -> (i32, Vec<i32>, Vec<i32>) {
        let request = session.fetch(wanted(numbers), acknowledged.iter().map(|&number| id(number)));
        session.on_taken();
        let numbers = |ids: Vec<Id>| ids.into_iter().map(|(_, number)| number).collect();
        (request.epoch, numbers(request.tell), numbers(request.forget))
    }

    #[test]
    fn only_what_changed_is_told() {
        let mut session = ShareSession::default();
        assert_eq!(session.acknowledge(), None);
        assert_eq!(fetch(&mut session, &[0, 1], &[]), (0, vec![0, 1], vec![]));
        assert_eq!(session.acknowledge(), Some(1));
        assert_eq!(fetch(&mut session, &[0, 1], &[0]), (1, vec![], vec![]));
        assert_eq!(fetch(&mut session, &[1, 2], &[]), (2, vec![2], vec![0]));
    }

    #[test]
    fn what_is_acknowledged_after_it_was_given_up_is_not_fetched_again() {
        let mut session = ShareSession::default();
        fetch(&mut session, &[0, 1], &[]);
        assert_eq!(fetch(&mut session, &[1], &[0, 1]), (1, vec![], vec![0]));
        assert_eq!(fetch(&mut session, &[1], &[0]), (2, vec![], vec![0]));
    }

    #[test]
    fn a_topic_made_anew_is_another() {
        let mut session = ShareSession::default();
        fetch(&mut session, &[0], &[]);
        let new = (Uuid::from_u128(8), 0);
        let request = session.fetch(BTreeMap::from([(new, TopicPartition::new("t", 0))]), std::iter::empty());
        assert_eq!((request.tell, request.forget), (vec![new], vec![id(0)]));
        assert_eq!((session.name(new).is_some(), session.name(id(0))), (true, None));
    }

    #[test]
    fn a_session_that_is_gone_begins_anew_with_everything() {
        let mut session = ShareSession::default();
        fetch(&mut session, &[0, 1], &[]);
        session.restart();
        assert!(!session.is_open());
        assert_eq!(fetch(&mut session, &[0, 1], &[]), (0, vec![0, 1], vec![]));
    }

    #[test]
    fn the_number_wraps_without_beginning_anew() {
        let mut session = ShareSession { epoch: i32::MAX, ..ShareSession::default() };
        session.on_taken();
        assert_eq!(session.acknowledge(), Some(1));
    }
}
