//! Which connections are still believed in after one has gone silent.
//!
//! A network that has gone takes all connections with it, but each would notice for itself, one time-out after the
//! other. So when an answer fails to come on one, those that have not been heard from since it was asked for are used
//! for nothing new. What is in flight on them keeps its own time.

use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

/// What one client knows of it; shared by all its connections.
#[derive(Debug, Default)]
pub(super) struct Silence {
    /// The latest time at which something was asked that was not answered.
    since: Mutex<Option<Instant>>,
}

impl Silence {
    /// What was asked at this time was not answered.
    pub(super) fn on_no_answer(&self, asked: Instant) {
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        *since = Some(since.map_or(asked, |since| since.max(asked)));
    }

    /// Whether a connection that was last heard from at this time is to be used.
    pub(super) fn believes_in(&self, heard: Instant) -> bool {
        self.since.lock().unwrap_or_else(PoisonError::into_inner).is_none_or(|since| heard >= since)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn who_has_been_heard_since_is_believed_in() {
        let silence = Silence::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(silence.believes_in(start));
        silence.on_no_answer(at(10));
        assert!(!silence.believes_in(at(9)) && silence.believes_in(at(10)) && silence.believes_in(at(11)));
    }

    #[test]
    fn an_older_request_that_is_given_up_later_changes_nothing() {
        let silence = Silence::default();
        let start = Instant::now();
        silence.on_no_answer(start + Duration::from_secs(10));
        silence.on_no_answer(start);
        assert!(!silence.believes_in(start + Duration::from_secs(9)));
    }
}
