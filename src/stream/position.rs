//! Where reading begins and stops.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::message::Metadata;
use crate::kafka::StartOffset;

/// Where to begin reading a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum StartPosition {
    /// At the oldest message that the brokers still keep.
    Earliest,
    /// After the newest: only what is sent from now on. The default.
    #[default]
    Latest,
    /// In each partition so many messages before its end, or at the oldest where it has fewer.
    BeforeEnd(u32),
    /// At this offset of each partition; where there is none any more, at the oldest message.
    Offset(i64),
    /// In each partition at the first message of this time or later, in milliseconds since 1970 UTC; at the end where
    /// there is none yet.
    Timestamp(i64),
}

/// Where to stop reading a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StopPosition {
    /// Before this offset of each partition.
    Offset(i64),
    /// In each partition before the first message of this time or later, in milliseconds since 1970 UTC.
    Timestamp(i64),
}

impl StopPosition {
    /// Whether reading stops before this message.
    pub(super) fn is_reached(self, metadata: &Metadata) -> bool {
        match self {
            Self::Offset(offset) => metadata.offset >= offset,
            Self::Timestamp(time) => metadata.timestamp >= time,
        }
    }
}

impl From<StartPosition> for StartOffset {
    fn from(start: StartPosition) -> Self {
        match start {
            StartPosition::Earliest => Self::Earliest,
            StartPosition::Latest => Self::Latest,
            StartPosition::BeforeEnd(messages) => Self::BeforeEnd(messages),
            StartPosition::Offset(offset) => Self::Offset(offset),
            StartPosition::Timestamp(time) => Self::Timestamp(time),
        }
    }
}

impl fmt::Display for StartPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Earliest => f.write_str("EARLIEST"),
            Self::Latest => f.write_str("LATEST"),
            Self::BeforeEnd(messages) => write!(f, "{messages} before the end"),
            Self::Offset(offset) => write!(f, "offset {offset}"),
            Self::Timestamp(time) => write!(f, "{time} ms after 1970"),
        }
    }
}

impl FromStr for StartPosition {
    type Err = UnknownStartPosition;

    /// `EARLIEST` or `LATEST`, in any case.
    fn from_str(name: &str) -> Result<Self, UnknownStartPosition> {
        [Self::Earliest, Self::Latest]
            .into_iter()
            .find(|position| position.to_string().eq_ignore_ascii_case(name))
            .ok_or_else(|| UnknownStartPosition { name: name.to_owned() })
    }
}

/// A name that is no start position.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{name:?} is no start position; there are EARLIEST and LATEST")]
pub struct UnknownStartPosition {
    /// The name.
    pub name: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_positions_have_the_names_of_the_command_line() {
        assert_eq!("EARLIEST".parse(), Ok(StartPosition::Earliest));
        assert_eq!("latest".parse(), Ok(StartPosition::Latest));
        let error = "FOO".parse::<StartPosition>().unwrap_err();
        assert_eq!(error.to_string(), "\"FOO\" is no start position; there are EARLIEST and LATEST");
    }
}
