//! How far publishing has come: for whoever sits in front of a terminal, when it takes long.

use std::convert::Infallible;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval_at};

/// Whatever takes less shows nothing.
const LONG: Duration = Duration::from_secs(1);
const EVERY: Duration = Duration::from_millis(200);

/// One line of standard error, written again and again.
#[derive(Debug)]
pub(super) struct Progress {
    is_wanted: bool,
    is_shown: bool,
}

impl Progress {
    /// Shows nothing where standard error is no terminal, or whoever sits there is typing the messages.
    pub(super) fn new(is_quiet: bool, is_typed: bool) -> Self {
        let is_wanted = !is_quiet && !is_typed && io::stderr().is_terminal();
        Self { is_wanted, is_shown: false }
    }

    /// Shows how many messages are acknowledged, until it is dropped.
    pub(super) async fn show(&mut self, acknowledged: impl Fn() -> u64) -> Infallible {
        if !self.is_wanted {
            return std::future::pending().await;
        }
        let started = Instant::now();
        let mut ticks = interval_at(started + LONG, EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let passed = ticks.tick().await.duration_since(started);
            self.is_shown = true;
            // Whoever cannot be told need not be.
            let _ = write!(io::stderr(), "\r{}\x1b[K", line(acknowledged(), passed));
        }
    }

    /// Leaves the line empty for what is said next.
    pub(super) fn clear(&mut self) {
        if std::mem::take(&mut self.is_shown) {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }

    /// Whether somebody looks.
    pub(super) fn is_wanted(&self) -> bool {
        self.is_wanted
    }
}

fn line(acknowledged: u64, passed: Duration) -> String {
    let millis = u64::try_from(passed.as_millis()).unwrap_or(u64::MAX).max(1);
    let rate = acknowledged.saturating_mul(1000) / millis;
    format!("{acknowledged} published, {rate} a second")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_has_the_count_and_the_rate() {
        assert_eq!(line(0, Duration::ZERO), "0 published, 0 a second");
        assert_eq!(line(30_000, Duration::from_millis(1_500)), "30000 published, 20000 a second");
        assert_eq!(line(u64::MAX, Duration::MAX), format!("{} published, 1 a second", u64::MAX));
    }
}
