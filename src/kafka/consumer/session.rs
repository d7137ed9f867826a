//! Fetch sessions (KIP-227): a broker remembers what is read, and is told only what changes.
//!
//! Pure, one a broker. A session that the broker has dropped, or that got out of step, is begun anew with the next
//! request; nothing is lost by it but bytes. Where the broker keeps none, every request is complete in itself, and
//! begins with another partition each time, so that those at the end of the list get their turn.

use std::collections::BTreeMap;

use super::questions::{FetchFrom, Index};
use crate::kafka::topic_partition::TopicPartition;
use crate::wire::error_code::{ErrorCode, Reaction};

/// What a request says of its session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SessionRequest {
    pub(super) id: i32,
    pub(super) epoch: i32,
    /// What the broker does not know yet.
    pub(super) tell: Vec<(TopicPartition, FetchFrom)>,
    /// What it need not look at any more.
    pub(super) forget: Vec<TopicPartition>,
}

/// The session with one broker.
#[derive(Debug, Default)]
pub(super) struct FetchSession {
    id: i32,
    /// 0 begins a session, and ends the one whose number is given with it.
    epoch: i32,
    /// Whether topics are named by their ids: a session does not mix.
    by_id: bool,
    told: BTreeMap<Index, (TopicPartition, FetchFrom)>,
    turn: usize,
}

impl FetchSession {
    /// The request that makes the broker look at `wanted`, and at nothing else.
    pub(super) fn next(&mut self, wanted: Vec<(TopicPartition, FetchFrom)>, by_id: bool) -> SessionRequest {
        if by_id != self.by_id {
            self.restart();
            self.by_id = by_id;
        }
        let mut forgotten = std::mem::take(&mut self.told);
        let mut tell = Vec::new();
        for (name, from) in wanted {
            let known = forgotten.remove(&from.index);
            if known.is_none_or(|(_, known)| known != from) {
                tell.push((name.clone(), from));
            }
            self.told.insert(from.index, (name, from));
        }
        let mut forget: Vec<_> = forgotten.into_values().map(|(name, _)| name).collect();
        // A broker forgets last: what is to be read after all, under a new number, it must not forget.
        forget.retain(|gone| !tell.iter().any(|(name, _)| name == gone));
        if self.epoch == 0 {
            self.turn = self.turn.wrapping_add(1);
            let turn = self.turn.checked_rem(tell.len()).unwrap_or(0);
            tell.rotate_left(turn);
        }
        SessionRequest { id: self.id, epoch: self.epoch, tell, forget }
    }

    /// Takes the answer to it. `false`: the broker wants the session to be begun anew, and has not looked.
    pub(super) fn on_answer(&mut self, code: ErrorCode, id: i32) -> bool {
        if code.reaction() == Reaction::NewSession {
            // One that is not there cannot be ended.
            if code == ErrorCode::FETCH_SESSION_ID_NOT_FOUND {
                self.id = 0;
            }
            self.restart();
            return false;
        }
        if code != ErrorCode::NONE || id == 0 {
            // The broker keeps no session, or is in no state to.
            self.id = 0;
            self.restart();
        } else {
            self.id = id;
            // After the last number comes 1: 0 would begin anew.
            self.epoch = self.epoch.checked_add(1).unwrap_or(1);
        }
        true
    }

    /// No answer came: the broker may have taken the request or not.
    pub(super) fn restart(&mut self) {
        self.epoch = 0;
        self.told.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(index: Index, offset: i64) -> (TopicPartition, FetchFrom) {
        let number = i32::try_from(index).unwrap_or_default();
        (TopicPartition::new("t", number), FetchFrom { index, offset, leader_epoch: 3 })
    }

    #[test]
    fn only_what_changed_is_told() {
        let mut session = FetchSession::default();
        let first = session.next(vec![from(0, 5), from(1, 7)], false);
        assert_eq!((first.id, first.epoch, first.tell.len()), (0, 0, 2));
        assert!(session.on_answer(ErrorCode::NONE, 44));
        let second = session.next(vec![from(0, 5), from(1, 9)], false);
        let expected = SessionRequest { id: 44, epoch: 1, tell: vec![from(1, 9)], forget: vec![] };
        assert_eq!(second, expected);
        assert!(session.on_answer(ErrorCode::NONE, 44));
        let third = session.next(vec![from(1, 9), from(2, 0)], false);
        let expected = SessionRequest {
            id: 44,
            epoch: 2,
            tell: vec![from(2, 0)],
            forget: vec![TopicPartition::new("t", 0)],
        };
        assert_eq!(third, expected);
        // A partition that was forgotten is told of again.
        session.on_answer(ErrorCode::NONE, 44);
        assert_eq!(session.next(vec![from(0, 5), from(1, 9), from(2, 0)], false).tell, [from(0, 5)]);
    }

    #[test]
    fn a_session_that_is_gone_begins_anew_with_everything() {
        for code in [ErrorCode::FETCH_SESSION_ID_NOT_FOUND, ErrorCode::INVALID_FETCH_SESSION_EPOCH] {
            let mut session = FetchSession::default();
            session.next(vec![from(0, 5)], false);
            session.on_answer(ErrorCode::NONE, 44);
            session.next(vec![from(0, 5)], false);
            assert!(!session.on_answer(code, 0));
            let again = session.next(vec![from(0, 5)], false);
            let id = if code == ErrorCode::FETCH_SESSION_ID_NOT_FOUND { 0 } else { 44 };
            assert_eq!((again.id, again.epoch, again.tell), (id, 0, vec![from(0, 5)]));
        }
    }

    #[test]
    fn names_and_ids_are_not_mixed() {
        let mut session = FetchSession::default();
        session.next(vec![from(0, 5)], false);
        session.on_answer(ErrorCode::NONE, 44);
        let by_id = session.next(vec![from(0, 5)], true);
        assert_eq!((by_id.id, by_id.epoch, by_id.tell), (44, 0, vec![from(0, 5)]));
    }

    #[test]
    fn without_a_session_each_partition_comes_first_in_its_turn() {
        let mut session = FetchSession::default();
        let mut firsts = Vec::new();
        for _ in 0..3 {
            let request = session.next(vec![from(0, 0), from(1, 0), from(2, 0)], false);
            assert_eq!((request.id, request.epoch, request.tell.len()), (0, 0, 3));
            firsts.push(request.tell[0].1.index);
            session.on_answer(ErrorCode::NONE, 0);
        }
        firsts.sort_unstable();
        assert_eq!(firsts, [0, 1, 2]);
    }

    #[test]
    fn a_partition_that_comes_back_under_a_new_number_is_not_forgotten() {
        let mut session = FetchSession::default();
        session.next(vec![from(0, 5)], false);
        session.on_answer(ErrorCode::NONE, 44);
        let (name, _) = from(0, 5);
        let back = (name, FetchFrom { index: 9, offset: 0, leader_epoch: 3 });
        let request = session.next(vec![back.clone()], false);
        assert_eq!((request.tell, request.forget), (vec![back], vec![]));
    }

    #[test]
    fn the_number_wraps_without_beginning_anew() {
        let mut session = FetchSession { id: 44, epoch: i32::MAX, ..FetchSession::default() };
        session.on_answer(ErrorCode::NONE, 44);
        assert_eq!(session.next(vec![], false).epoch, 1);
    }
}
