//! How long to wait before trying again: exponential, with jitter, bounded (KIP-144, KIP-580).
//!
//! Pure: the caller counts attempts and supplies the randomness.

use std::time::Duration;

/// Waits that double from `first` to `most`, each shortened or lengthened by up to a fifth so that many
/// clients of one broken broker do not come back in step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Backoff {
    pub(crate) first: Duration,
    pub(crate) most: Duration,
}

impl Backoff {
    /// Between requests that failed with a retriable error: 100 ms to 1 s.
    pub(crate) const REQUEST: Self = Self { first: Duration::from_millis(100), most: Duration::from_secs(1) };
    /// Between connection attempts to one broker: 100 ms to 10 s, as librdkafka's.
    pub(crate) const RECONNECT: Self =
        Self { first: Duration::from_millis(100), most: Duration::from_secs(10) };

    /// The wait before attempt `failures + 1`, after that many failures; `jitter` is from 0 to 1.
    pub(crate) fn wait(self, failures: u32, jitter: f64) -> Duration {
        let doubled =
            self.first.saturating_mul(1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX));
        doubled.min(self.most).mul_f64(0.8 + 0.4 * jitter.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_the_bound() {
        let wait = |failures| Backoff::REQUEST.wait(failures, 0.5).as_millis();
        assert_eq!([1, 2, 3, 4, 5, 40, u32::MAX].map(wait), [100, 200, 400, 800, 1000, 1000, 1000]);
    }

    #[test]
    fn jitter_is_a_fifth_either_way() {
        assert_eq!(Backoff::REQUEST.wait(1, 0.0).as_millis(), 80);
        assert_eq!(Backoff::REQUEST.wait(1, 1.0).as_millis(), 120);
    }
}
