//! Who may do what to which topic: all may do all, but for what was denied.

use std::fmt;
use std::str::FromStr;

/// What a user may be denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// To fetch records.
    Read,
    /// To produce records.
    Write,
    /// To see that the topic is there. Whoever may not, can neither read nor write.
    Describe,
}

/// The bit that stands for an operation in Kafka's answers.
const READ: i32 = 1 << 3;
const WRITE: i32 = 1 << 4;
const DESCRIBE: i32 = 1 << 8;
/// What else may be done to a topic: create, delete, alter, describe and alter its settings.
const OTHERS: i32 = 1 << 5 | 1 << 6 | 1 << 7 | 1 << 10 | 1 << 11;

/// The name that stands for everybody.
const ANYBODY: &str = "*";

/// A rule that takes something away, as `user:operation:topic`; `*` stands for every user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    user: String,
    operation: Operation,
    topic: String,
}

impl Denial {
    /// Denies a user, or with `*` everybody, an operation on a topic.
    pub fn new(user: impl Into<String>, operation: Operation, topic: impl Into<String>) -> Self {
        Self { user: user.into(), operation, topic: topic.into() }
    }
}

/// Text that is no [`Denial`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not USER:read|write|describe:TOPIC")]
pub struct DenialError {
    text: String,
}

impl FromStr for Denial {
    type Err = DenialError;

    fn from_str(text: &str) -> Result<Self, DenialError> {
        let wrong = || DenialError { text: text.to_owned() };
        // User names may hold colons; topics cannot.
        let (rest, topic) = text.rsplit_once(':').ok_or_else(wrong)?;
        let (user, operation) = rest.rsplit_once(':').ok_or_else(wrong)?;
        let operation = match operation {
            "read" => Operation::Read,
            "write" => Operation::Write,
            "describe" => Operation::Describe,
            _ => return Err(wrong()),
        };
        if user.is_empty() || topic.is_empty() { Err(wrong()) } else { Ok(Self::new(user, operation, topic)) }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Describe => "describe",
        })
    }
}

/// All rules of a broker.
#[derive(Debug, Default)]
pub(super) struct Access(Vec<Denial>);

impl Access {
    pub(super) fn new(denials: Vec<Denial>) -> Self {
        Self(denials)
    }

    /// Whether a user may do that to a topic.
    pub(super) fn allows(&self, user: &str, operation: Operation, topic: &str) -> bool {
        !self.0.iter().any(|denial| {
            (denial.operation == operation || denial.operation == Operation::Describe)
                && denial.topic == topic
                && (denial.user == user || denial.user == ANYBODY)
        })
    }

    /// What a user may do to a topic, as the bits of KIP-430.
    pub(super) fn operations(&self, user: &str, topic: &str) -> i32 {
        let mut bits = OTHERS;
        for (operation, bit) in
            [(Operation::Read, READ), (Operation::Write, WRITE), (Operation::Describe, DESCRIBE)]
        {
            if self.allows(user, operation, topic) {
                bits |= bit;
            }
        }
        bits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_denied_is_allowed() {
        let access =
            Access::new(vec!["a:b:read:secret".parse().unwrap(), "*:describe:hidden".parse().unwrap()]);
        assert!(!access.allows("a:b", Operation::Read, "secret"));
        assert!(access.allows("a:b", Operation::Write, "secret"));
        assert!(access.allows("other", Operation::Read, "secret"));
        assert!(!access.allows("other", Operation::Read, "hidden"));
        assert_eq!(access.operations("a:b", "secret") & (READ | WRITE), WRITE);
    }

    #[test]
    fn rules_that_are_none_are_refused() {
        for text in ["", "a", "a:read", ":read:t", "a:read:", "a:delete:t"] {
            assert!(text.parse::<Denial>().is_err(), "{text}");
        }
    }
}
