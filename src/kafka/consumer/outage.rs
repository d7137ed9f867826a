//! Whether reading is interrupted, for how long, and when there is something to say about it: once when it begins, and
//! once when it is over.
//!
//! Pure. A cluster may be within reach in part: reading is interrupted for as long as anything that is to be read
//! cannot be, and given up when nothing at all has been answered for long.

use std::time::Duration;

use tokio::time::Instant;

use crate::kafka::error::Error;

/// Something that is to be read is out of reach; from [`Consumer::interruption`](super::Consumer::interruption).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Interruption {
    /// For how long: since the last answer before it.
    pub lasted: Duration,
    /// Why, at the last attempt.
    pub error: Error,
}

/// The interruption of one consumer, if there is one.
#[derive(Debug, Default)]
pub(super) struct Outage {
    began: Option<Instant>,
    heard_at: Option<Instant>,
    /// When the first attempt since the last answer failed.
    silent_since: Option<Instant>,
    failures: u32,
    /// Why the last attempt failed.
    error: Option<Error>,
}

impl Outage {
    /// A broker could not be asked, or did not answer. Whether that is the first that is seen of it; it began with the
    /// last answer.
    pub(super) fn on_failure(&mut self, error: &Error, now: Instant) -> bool {
        self.error = Some(error.clone());
        self.silent_since.get_or_insert(now);
        self.failures = self.failures.saturating_add(1);
        let is_new = self.began.is_none();
        self.began.get_or_insert(self.heard_at.unwrap_or(now));
        is_new
    }

    /// A broker answered; `all_read` unless there is something that cannot be read still. How long it was, when it is
    /// over by that.
    pub(super) fn on_success(&mut self, all_read: bool, now: Instant) -> Option<Duration> {
        self.silent_since = None;
        self.heard_at = Some(now);
        self.failures = 0;
        let over = self.began.take_if(|_| all_read);
        over.map(|began| now.duration_since(began))
    }

    /// For how long nothing has been answered.
    pub(super) fn silence(&self, now: Instant) -> Duration {
        self.silent_since.map_or(Duration::ZERO, |since| now.duration_since(since))
    }

    /// How often it was tried in vain since something was answered.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    /// What there is to say of it now, if there is one.
    pub(super) fn interruption(&self, now: Instant) -> Option<Interruption> {
        let (began, error) = (self.began?, self.error.clone()?);
        Some(Interruption { lasted: now.duration_since(began), error })
    }

    /// Whether there is one.
    pub(super) fn is_on(&self) -> bool {
        self.began.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const AWAY: Error = Error::UnknownBroker { broker: 1 };

    #[test]
    fn its_beginning_and_its_end_are_told_once() {
        let (mut outage, start) = (Outage::default(), Instant::now());
        assert!(outage.on_failure(&AWAY, start));
        for seconds in 1..100 {
            assert!(!outage.on_failure(&AWAY, start + SECOND * seconds));
        }
        assert_eq!((outage.failures(), outage.silence(start + SECOND * 100)), (100, SECOND * 100));
        assert_eq!(outage.on_success(true, start + SECOND * 100), Some(SECOND * 100));
        assert_eq!(outage.on_success(true, start + SECOND * 101), None);
        // Noticed after 10 s of silence.
        assert!(outage.on_failure(&AWAY, start + SECOND * 111));
        assert_eq!(outage.silence(start + SECOND * 111), Duration::ZERO);
        assert_eq!(outage.on_success(true, start + SECOND * 112), Some(SECOND * 11));
    }

    #[test]
    fn it_is_not_over_while_one_broker_of_two_is_away() {
        let (mut outage, start) = (Outage::default(), Instant::now());
        assert!(outage.on_failure(&AWAY, start));
        for seconds in 1..60 {
            assert_eq!(outage.on_success(false, start + SECOND * seconds), None);
            assert!(!outage.on_failure(&AWAY, start + SECOND * seconds));
            // But something is read, and nothing is given up.
            assert_eq!(outage.silence(start + SECOND * seconds), Duration::ZERO);
        }
        assert!(outage.is_on());
        let interruption = outage.interruption(start + SECOND * 60).expect("it is on");
        assert_eq!((interruption.lasted, interruption.error.to_string()), (SECOND * 60, AWAY.to_string()));
        assert_eq!(outage.on_success(true, start + SECOND * 60), Some(SECOND * 60));
        assert!(!outage.is_on() && outage.interruption(start + SECOND * 60).is_none());
    }
}
