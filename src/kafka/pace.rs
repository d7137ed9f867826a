//! When a peer that could not be reached may be tried again (KIP-144).
//!
//! The wait is counted from the beginning of the last attempt: one that took its whole time is followed by the next at
//! once, one that was refused is not.

use tokio::time::Instant;

use super::backoff::Backoff;

/// The attempts to reach one peer since the last that succeeded.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Pace {
    failures: u32,
    not_before: Option<Instant>,
}

impl Pace {
    /// The attempt that began at this time failed; `jitter` is from 0 to 1.
    pub(super) fn on_failure(&mut self, began: Instant, jitter: f64) {
        self.failures = self.failures.saturating_add(1);
        self.not_before = Some(began + Backoff::RECONNECT.wait(self.failures, jitter));
    }

    /// When the next attempt may be made, where it must not be made now.
    pub(super) fn not_before(&self) -> Option<Instant> {
        self.not_before
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// How many attempts are made in so many seconds, when each takes this long to fail.
    fn attempts(within: u64, each: Duration) -> usize {
        let start = Instant::now();
        let (mut now, mut pace, mut count) = (start, Pace::default(), 0);
        while now < start + Duration::from_secs(within) {
            count += 1;
            let began = now;
            now += each;
            pace.on_failure(began, 0.5);
            now = pace.not_before().map_or(now, |at| at.max(now));
        }
        count
    }

    #[test]
    fn refusals_are_not_met_with_haste() {
        // After 0.1, 0.3, 0.7, 1.5, 3.1, 6.3, 12.7 s, and then every 10 s.
        assert_eq!(attempts(180, Duration::ZERO), 24);
    }

    #[test]
    fn an_attempt_that_took_its_time_is_followed_by_the_next_at_once() {
        assert_eq!(attempts(180, Duration::from_secs(10)), 18);
    }
}
