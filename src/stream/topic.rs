//! Names of topics, checked by the rule that Apache Kafka has for them.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use thiserror::Error;

/// The longest name that a broker accepts: it makes a directory of it, with a suffix, and file names end at 255.
const MAX_LENGTH: usize = 249;

/// A name that a topic can have: 1 to 249 of the letters `a-z` and `A-Z`, digits, `.`, `_` and `-`, and neither
/// `.` nor `..`. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicName(Arc<str>);

impl TopicName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name, shared.
    #[must_use]
    pub fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }
}

impl FromStr for TopicName {
    type Err = TopicNameError;

    fn from_str(name: &str) -> Result<Self, TopicNameError> {
        if name.is_empty() {
            return Err(TopicNameError::Empty);
        }
        if name == "." || name == ".." {
            return Err(TopicNameError::Dots { name: name.to_owned() });
        }
        let legal = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if let Some(character) = name.chars().find(|c| !legal(c)) {
            return Err(TopicNameError::IllegalCharacter { name: name.to_owned(), character });
        }
        // All characters are of one byte here.
        if name.len() > MAX_LENGTH {
            return Err(TopicNameError::TooLong { name: name.to_owned() });
        }
        Ok(Self(name.into()))
    }
}

impl AsRef<str> for TopicName {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// No topic can have this name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TopicNameError {
    /// There is none.
    #[error("a topic name is empty; names of topics are parted by single commas, with none at the end")]
    Empty,
    /// It is `.` or `..`.
    #[error("'{name}' cannot be the name of a topic")]
    Dots {
        /// The name.
        name: String,
    },
    /// It has a character that names do not have.
    #[error(
        "{name:?} cannot be the name of a topic: it contains {character:?}; names consist of the letters a-z and \
         A-Z, digits, '.', '_' and '-'"
    )]
    IllegalCharacter {
        /// The name.
        name: String,
        /// The first such character.
        character: char,
    },
    /// It is longer than names are.
    #[error(
        "'{name}' cannot be the name of a topic: it has {} characters, names have at most {MAX_LENGTH}",
        name.len()
    )]
    TooLong {
        /// The name.
        name: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str) -> Result<TopicName, TopicNameError> {
        name.parse()
    }

    #[test]
    fn names_that_kafka_accepts() {
        for good in ["t", "gcn.circular", "__consumer_offsets", "A-9", "...", &"x".repeat(249)] {
            assert_eq!(check(good).unwrap().as_str(), good);
        }
    }

    #[test]
    fn names_that_kafka_refuses_are_named() {
        assert_eq!(check(""), Err(TopicNameError::Empty));
        for bad in [".", "..", "a/b", "t u", "t%2Cu", "ü", "t\u{1b}[31m", &"x".repeat(250)] {
            let error = check(bad).unwrap_err().to_string();
            let shown = bad.escape_debug().to_string();
            assert!(error.contains(&shown), "{error}");
            assert!(!error.contains('\u{1b}'), "{error}");
        }
    }
}
