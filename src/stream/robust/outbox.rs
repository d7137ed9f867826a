//! Which message is sent next, and what a failure means for the message.
//!
//! A pure state machine: numbers, outcomes and the time go in. The lowest number goes first. A message is given up
//! only when the brokers refuse it while it is alone: a batch may have been refused for another's sake.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use crate::kafka::{Error, ProduceError};
use crate::wire::error_code::ErrorCode;

/// The first pause after a failure; each is twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// What a failure says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It passes by itself, as when a broker is away.
    Passing,
    /// It does not, but another message would have failed as well: somebody must allow this user to write, or make the
    /// topic.
    Lasting,
    /// It is about this message, or about one that was sent together with it.
    Refused,
}

/// What becomes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Sent,
    /// It is sent again.
    Kept,
    GivenUp,
}

#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// All from here on were never sent.
    fresh: u64,
    in_flight: BTreeSet<u64>,
    /// To be sent again, and when.
    again: BTreeMap<u64, Instant>,
    /// To be sent with nothing else in flight.
    alone: BTreeSet<u64>,
    /// The one that is in flight alone.
    on_its_own: Option<u64>,
    pause: Pause,
}

/// How long to wait after failures in a row. Those that come during a pause are of the same trouble.
#[derive(Debug, Default)]
pub(super) struct Pause {
    failures: u32,
    until: Option<Instant>,
}

impl Outbox {
    /// The message to be sent now, which counts as in flight from now on. `unsent_from` says which number is the lowest
    /// from another on that the journal has.
    pub(super) fn next(&mut self, now: Instant, unsent_from: impl Fn(u64) -> Option<u64>) -> Option<u64> {
        if self.on_its_own.is_some() {
            return None;
        }
        if let Some(&sequence) = self.alone.first() {
            if !self.in_flight.is_empty() {
                return None;
            }
            self.alone.remove(&sequence);
            self.on_its_own = Some(sequence);
            self.in_flight.insert(sequence);
            return Some(sequence);
        }
        let due = self.again.iter().find(|&(_, &at)| at <= now).map(|(&sequence, _)| sequence);
        let sequence = match due {
            Some(sequence) => {
                self.again.remove(&sequence);
                sequence
            }
            None => {
                let sequence = unsent_from(self.fresh)?;
                self.fresh = sequence.saturating_add(1);
                sequence
            }
        };
        self.in_flight.insert(sequence);
        Some(sequence)
    }

    /// Takes what became of a message that was in flight.
    pub(super) fn settle(&mut self, sequence: u64, outcome: Result<(), Verdict>, now: Instant) -> Fate {
        self.in_flight.remove(&sequence);
        let alone = self.on_its_own.take_if(|on_its_own| *on_its_own == sequence).is_some();
        match outcome {
            Ok(()) => {
                // While others still wait after a failure, the trouble is not over.
                if self.again.is_empty() {
                    self.pause = Pause::default();
                }
                Fate::Sent
            }
            Err(Verdict::Refused) if alone => Fate::GivenUp,
            Err(Verdict::Refused) => {
                self.alone.insert(sequence);
                Fate::Kept
            }
            Err(Verdict::Passing | Verdict::Lasting) => {
                self.again.insert(sequence, self.pause.after_failure(now));
                Fate::Kept
            }
        }
    }

    /// When to ask for the next message again, though nothing else happens.
    pub(super) fn next_look(&self) -> Option<Instant> {
        let alone = self.on_its_own.is_some() || !self.alone.is_empty();
        if alone { None } else { self.again.values().min().copied() }
    }
}

impl Pause {
    /// When to try again.
    pub(super) fn after_failure(&mut self, now: Instant) -> Instant {
        if let Some(until) = self.until.filter(|&until| until > now) {
            return until;
        }
        let pause = FIRST_PAUSE.saturating_mul(1 << self.failures.min(10)).min(LONGEST_PAUSE);
        self.failures = self.failures.saturating_add(1);
        let until = now + pause;
        self.until = Some(until);
        until
    }
}

/// What it means for a message that it was not delivered.
pub(super) fn verdict(error: &ProduceError) -> Verdict {
    match error {
        ProduceError::Expired { .. } => Verdict::Passing,
        ProduceError::TooLarge { .. } | ProduceError::NoSuchPartition { .. } => Verdict::Refused,
        ProduceError::Refused { source, .. } => verdict_of(source),
        ProduceError::Cluster(error) if error.is_retriable() => Verdict::Passing,
        _ => Verdict::Lasting,
    }
}

fn verdict_of(error: &Error) -> Verdict {
    if error.is_retriable() {
        return Verdict::Passing;
    }
    match error.code() {
        Some(
            ErrorCode::MESSAGE_TOO_LARGE
            | ErrorCode::RECORD_LIST_TOO_LARGE
            | ErrorCode::INVALID_RECORD
            | ErrorCode::INVALID_TIMESTAMP
            | ErrorCode::UNSUPPORTED_FOR_MESSAGE_FORMAT,
        ) => Verdict::Refused,
        _ if matches!(error, Error::Setting { .. } | Error::Unencodable { .. }) => Verdict::Refused,
        _ => Verdict::Lasting,
    }
}

#[cfg(test)]
mod tests;
