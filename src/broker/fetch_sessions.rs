//! Fetch sessions (KIP-227): what a client reads, so that it need say only what changes.

use indexmap::IndexMap;
use kafka_protocol::messages::TopicName;
use uuid::Uuid;

use crate::wire::error_code::ErrorCode;

/// As Kafka has it; the one that was used longest ago makes room.
const MOST_SESSIONS: usize = 1000;
/// Partitions of all sessions.
const MOST_PARTITIONS: usize = 200_000;

/// A partition of a session, by the name or the id of its topic, whichever the client uses.
pub(super) type Key = (TopicName, Uuid, i32);

/// What is asked of a partition, and what was said of it last.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub(super) leader_epoch: i32,
    pub(super) offset: i64,
    pub(super) last_fetched_epoch: i32,
    pub(super) most_bytes: i32,
    /// The high watermark and the start of the log, as they were told.
    pub(super) told: Option<(i64, i64)>,
}

#[derive(Debug)]
struct Session {
    epoch: i32,
    partitions: IndexMap<Key, Wanted>,
    by_id: bool,
}

/// Every session; those used last come last.
#[derive(Debug)]
pub(super) struct FetchSessions {
    sessions: IndexMap<i32, Session>,
    next: i32,
}

impl Default for FetchSessions {
    fn default() -> Self {
        Self { sessions: IndexMap::new(), next: 1 }
    }
}

/// What a fetch is to read.
#[derive(Debug)]
pub(super) struct Plan {
    /// 0 where there is no session.
    pub(super) session_id: i32,
    pub(super) partitions: IndexMap<Key, Wanted>,
    /// Whether only what is news is to be answered.
    pub(super) incremental: bool,
}

/// A fetch's words about its session.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) session_id: i32,
    pub(super) epoch: i32,
    pub(super) partitions: IndexMap<Key, Wanted>,
    pub(super) forgotten: Vec<Key>,
    pub(super) by_id: bool,
}

/// The epoch of a fetch that stands alone, and of one that begins a session.
const ALONE: i32 = -1;
const BEGINS: i32 = 0;

impl FetchSessions {
    /// What is to be read, by what is asked and what is known.
    pub(super) fn plan(&mut self, asked: Asked) -> Result<Plan, ErrorCode> {
        match asked.epoch {
            ALONE | BEGINS => {
                if asked.session_id != 0 {
                    self.sessions.shift_remove(&asked.session_id);
                }
                let begins = asked.epoch == BEGINS && !asked.partitions.is_empty();
                let session_id = if begins { self.begin(&asked) } else { 0 };
                Ok(Plan { session_id, partitions: asked.partitions, incremental: false })
            }
            epoch => {
                let mut session = self
                    .sessions
                    .shift_remove(&asked.session_id)
                    .ok_or(ErrorCode::FETCH_SESSION_ID_NOT_FOUND)?;
                let refused = if session.epoch != epoch {
                    Some(ErrorCode::INVALID_FETCH_SESSION_EPOCH)
                } else if session.by_id != asked.by_id {
                    Some(ErrorCode::FETCH_SESSION_TOPIC_ID_ERROR)
                } else {
                    None
                };
                if let Some(code) = refused {
                    self.sessions.insert(asked.session_id, session);
                    return Err(code);
                }
                session.epoch = epoch.checked_add(1).unwrap_or(1);
                for key in &asked.forgotten {
                    session.partitions.shift_remove(key);
                }
                for (key, wanted) in asked.partitions {
                    let told = session.partitions.get(&key).and_then(|known| known.told);
                    session.partitions.insert(owned(&key), Wanted { told, ..wanted });
                }
                let partitions = session.partitions.clone();
                self.sessions.insert(asked.session_id, session);
                self.make_room();
                Ok(Plan { session_id: asked.session_id, partitions, incremental: true })
            }
        }
    }

    fn begin(&mut self, asked: &Asked) -> i32 {
        let partitions = asked.partitions.iter().map(|(key, wanted)| (owned(key), *wanted)).collect();
        let id = self.next;
        self.next = id.checked_add(1).unwrap_or(1);
        self.sessions.insert(id, Session { epoch: 1, partitions, by_id: asked.by_id });
        self.make_room();
        if self.sessions.contains_key(&id) { id } else { 0 }
    }

    fn make_room(&mut self) {
        let mut held: usize = self.sessions.values().map(|session| session.partitions.len()).sum();
        while self.sessions.len() > MOST_SESSIONS || held > MOST_PARTITIONS {
            let Some((_, session)) = self.sessions.shift_remove_index(0) else { return };
            held = held.saturating_sub(session.partitions.len());
        }
    }

    /// Notes what a session was told of a partition. One that had records goes to the end of the line.
    pub(super) fn told(&mut self, session_id: i32, key: &Key, marks: (i64, i64), had_records: bool) {
        let Some(session) = self.sessions.get_mut(&session_id) else { return };
        let Some((at, _, known)) = session.partitions.get_full_mut(key) else { return };
        known.told = Some(marks);
        if had_records {
            let last = session.partitions.len().saturating_sub(1);
            session.partitions.move_index(at, last);
        }
    }

    /// Forgets all, as after a restart.
    pub(super) fn clear(&mut self) {
        self.sessions.clear();
    }
}

/// A copy that does not keep the request that it came in.
fn owned((name, id, partition): &Key) -> Key {
    (super::topics::topic_name(name), *id, *partition)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(partition: i32) -> Key {
        (super::super::topics::topic_name("t"), Uuid::nil(), partition)
    }

    fn wanted(offset: i64) -> Wanted {
        Wanted { leader_epoch: -1, offset, last_fetched_epoch: -1, most_bytes: 100, told: None }
    }

    fn asked(session_id: i32, epoch: i32, partitions: &[(i32, i64)], forgotten: &[i32]) -> Asked {
        Asked {
            session_id,
            epoch,
            partitions: partitions
                .iter()
                .map(|&(partition, offset)| (key(partition), wanted(offset)))
                .collect(),
            forgotten: forgotten.iter().copied().map(key).collect(),
            by_id: false,
        }
    }

    #[test]
    fn a_session_remembers_what_is_not_said_again() {
        let mut sessions = FetchSessions::default();
        let plan = sessions.plan(asked(0, 0, &[(0, 5), (1, 6), (2, 7)], &[])).unwrap();
        assert!(!plan.incremental && plan.session_id != 0);
        let id = plan.session_id;
        let plan = sessions.plan(asked(id, 1, &[(1, 9)], &[2])).unwrap();
        assert!(plan.incremental);
        let offsets: Vec<_> = plan.partitions.values().map(|wanted| wanted.offset).collect();
        assert_eq!(offsets, [5, 9]);
        sessions.told(id, &key(0), (1, 0), true);
        let plan = sessions.plan(asked(id, 2, &[], &[])).unwrap();
        assert_eq!(plan.partitions.keys().map(|key| key.2).collect::<Vec<_>>(), [1, 0]);
        assert_eq!(plan.partitions[&key(0)].told, Some((1, 0)));
    }

    #[test]
    fn sessions_out_of_step_are_refused() {
        let mut sessions = FetchSessions::default();
        let id = sessions.plan(asked(0, 0, &[(0, 0)], &[])).unwrap().session_id;
        let code = |result: Result<Plan, ErrorCode>| result.unwrap_err();
        assert_eq!(code(sessions.plan(asked(id, 2, &[], &[]))), ErrorCode::INVALID_FETCH_SESSION_EPOCH);
        assert!(sessions.plan(asked(id, 1, &[], &[])).is_ok(), "the session is still there");
        assert_eq!(code(sessions.plan(asked(id + 1, 1, &[], &[]))), ErrorCode::FETCH_SESSION_ID_NOT_FOUND);
        sessions.plan(asked(id, -1, &[], &[])).unwrap();
        assert_eq!(code(sessions.plan(asked(id, 2, &[], &[]))), ErrorCode::FETCH_SESSION_ID_NOT_FOUND);
    }

    #[test]
    fn sessions_are_bounded_and_the_oldest_goes() {
        let mut sessions = FetchSessions::default();
        let first = sessions.plan(asked(0, 0, &[(0, 0)], &[])).unwrap().session_id;
        for _ in 0..MOST_SESSIONS {
            sessions.plan(asked(0, 0, &[(0, 0)], &[])).unwrap();
        }
        assert_eq!(
            sessions.plan(asked(first, 1, &[], &[])).unwrap_err(),
            ErrorCode::FETCH_SESSION_ID_NOT_FOUND
        );
    }
}
