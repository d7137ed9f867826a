//! Where to begin or stop, as it is typed: an offset, a time, or how long ago.

use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::stream::{StartPosition, StopPosition};

/// A place in a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    Offset(i64),
    At(SystemTime),
    Ago(Duration),
}

impl Moment {
    /// Where to begin, if it is now.
    pub(crate) fn position(self, now: SystemTime) -> StartPosition {
        match self {
            Self::Offset(offset) => StartPosition::Offset(offset),
            Self::At(time) => StartPosition::Timestamp(milliseconds(Some(time))),
            Self::Ago(duration) => StartPosition::Timestamp(milliseconds(now.checked_sub(duration))),
        }
    }

    /// Where to stop, if it is now.
    pub(crate) fn stop(self, now: SystemTime) -> StopPosition {
        match self {
            Self::Offset(offset) => StopPosition::Offset(offset),
            Self::At(time) => StopPosition::Timestamp(milliseconds(Some(time))),
            Self::Ago(duration) => StopPosition::Timestamp(milliseconds(now.checked_sub(duration))),
        }
    }
}

/// What is before 1970 is as good as that.
fn milliseconds(time: Option<SystemTime>) -> i64 {
    let since = time.and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(offset) = text.parse::<u64>() {
            return i64::try_from(offset).map(Self::Offset).map_err(|_| "no offset is as large".to_owned());
        }
        if let Some(ago) = text.strip_prefix('-') {
            return humantime::parse_duration(ago).map(Self::Ago).map_err(|error| error.to_string());
        }
        humantime::parse_rfc3339_weak(text).map(Self::At).map_err(|_| {
            "expected an offset, a time such as 2026-11-26T14:00:00Z (UTC), or how long ago, such as -2h"
                .to_owned()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_times_and_ages_are_understood() {
        let now = UNIX_EPOCH + Duration::from_secs(10_000_000);
        for (text, position) in [
            ("0", StartPosition::Offset(0)),
            ("1234567", StartPosition::Offset(1_234_567)),
            ("1970-01-02T00:00:00Z", StartPosition::Timestamp(86_400_000)),
            ("1970-01-01 00:00:01.5", StartPosition::Timestamp(1_500)),
            ("-2h", StartPosition::Timestamp((10_000_000 - 7_200) * 1_000)),
            ("-1day 1h", StartPosition::Timestamp((10_000_000 - 90_000) * 1_000)),
            // Before there were times.
            ("-9000days", StartPosition::Timestamp(0)),
        ] {
            let moment: Moment = text.parse().unwrap();
            assert_eq!(moment.position(now), position, "{text}");
            let stop = match position {
                StartPosition::Offset(offset) => StopPosition::Offset(offset),
                StartPosition::Timestamp(time) => StopPosition::Timestamp(time),
                other => panic!("{other}"),
            };
            assert_eq!(moment.stop(now), stop, "{text}");
        }
        for text in [
            "",
            "-",
            "-2",
            "yesterday",
            "2026-13-01T00:00:00Z",
            "99999999999999999999",
            "9223372036854775808",
        ] {
            assert!(text.parse::<Moment>().is_err(), "{text}");
        }
    }
}
