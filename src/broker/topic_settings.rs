//! The settings of a topic that this broker knows, their defaults, and how they are written.
//!
//! Names and defaults are Kafka's. A setting that is known to Kafka and has no effect here is refused rather than
//! believed.

use indexmap::IndexMap;

/// A week, as in Kafka.
const WEEK_MS: i64 = 7 * 24 * 60 * 60 * 1000;
/// An hour: how far ahead of the broker's clock a timestamp may be.
const HOUR_MS: i64 = 60 * 60 * 1000;
/// The largest batch: 1 MiB and the 12 bytes in front of it.
const MESSAGE_BYTES: usize = 1024 * 1024 + 12;

/// What a value may have in bytes: none that makes sense comes near.
const LONGEST_VALUE: usize = 64;

/// What a topic's settings come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TopicSettings {
    pub(super) max_message_bytes: usize,
    /// `None` keeps messages however old.
    pub(super) retention_ms: Option<i64>,
    /// Of each partition; `None` keeps any number of bytes.
    pub(super) retention_bytes: Option<u64>,
    pub(super) compacted: bool,
    /// Whether records get the broker's time.
    pub(super) append_time: bool,
    pub(super) most_before_ms: i64,
    pub(super) most_after_ms: i64,
    /// As they were given, for those who ask.
    given: IndexMap<&'static str, String>,
}

impl Default for TopicSettings {
    fn default() -> Self {
        Self {
            max_message_bytes: MESSAGE_BYTES,
            retention_ms: Some(WEEK_MS),
            retention_bytes: None,
            compacted: false,
            append_time: false,
            most_before_ms: i64::MAX,
            most_after_ms: HOUR_MS,
            given: IndexMap::new(),
        }
    }
}

/// One setting: its name, its default, and the number that Kafka has for the type of its value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    pub(super) name: &'static str,
    pub(super) default: &'static str,
    pub(super) value_type: i8,
}

const INT: i8 = 3;
const STRING: i8 = 2;
const LONG: i8 = 5;
const LIST: i8 = 7;

const fn known(name: &'static str, default: &'static str, value_type: i8) -> Known {
    Known { name, default, value_type }
}

/// Every setting, by name.
pub(super) const KNOWN: &[Known] = &[
    known("cleanup.policy", "delete", LIST),
    known("compression.type", "producer", STRING),
    known("max.message.bytes", "1048588", INT),
    known("message.timestamp.after.max.ms", "3600000", LONG),
    known("message.timestamp.before.max.ms", "9223372036854775807", LONG),
    known("message.timestamp.type", "CreateTime", STRING),
    known("min.insync.replicas", "1", INT),
    known("retention.bytes", "-1", LONG),
    known("retention.ms", "604800000", LONG),
];

impl TopicSettings {
    /// The value of a setting that was given.
    pub(super) fn given(&self, name: &str) -> Option<&str> {
        self.given.get(name).map(String::as_str)
    }

    /// All that were given.
    pub(super) fn all_given(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.given.iter().map(|(name, value)| (*name, value.as_str()))
    }

    /// Sets one, or with `None` goes back to its default. Says what is wrong with a value that cannot be.
    pub(super) fn set(&mut self, name: &str, value: Option<&str>) -> Result<(), String> {
        let known = KNOWN
            .iter()
            .find(|known| known.name == name)
            .ok_or_else(|| format!("Unknown topic config name: {name}"))?;
        if value.is_some_and(|value| value.len() > LONGEST_VALUE) {
            return Err(format!("Invalid value for configuration {name}: it is too long"));
        }
        self.apply(known.name, value.unwrap_or(known.default))?;
        match value {
            Some(value) => self.given.insert(known.name, value.to_owned()),
            None => self.given.shift_remove(known.name),
        };
        Ok(())
    }

    fn apply(&mut self, name: &str, value: &str) -> Result<(), String> {
        let wrong = |must: &str| format!("Invalid value {value} for configuration {name}: {must}");
        let number = || value.trim().parse::<i64>().map_err(|_| wrong("it must be a number"));
        // Kafka's word for no limit is -1.
        let limit = || match number()? {
            -1 => Ok(None),
            limit if limit >= 0 => Ok(Some(limit)),
            _ => Err(wrong("it must be -1 or more")),
        };
        match name {
            "cleanup.policy" => {
                self.compacted = match value {
                    "delete" | "" => false,
                    "compact" | "compact,delete" | "delete,compact" => true,
                    _ => return Err(wrong("it must be one of: compact, delete")),
                };
            }
            "compression.type" if value != "producer" => {
                return Err(wrong("this broker keeps batches as their producer compressed them"));
            }
            "max.message.bytes" => {
                self.max_message_bytes =
                    usize::try_from(number()?).map_err(|_| wrong("it must be 0 or more"))?;
            }
            "message.timestamp.after.max.ms" => self.most_after_ms = number()?.max(0),
            "message.timestamp.before.max.ms" => self.most_before_ms = number()?.max(0),
            "message.timestamp.type" => {
                self.append_time = match value {
                    "CreateTime" => false,
                    "LogAppendTime" => true,
                    _ => return Err(wrong("it must be one of: CreateTime, LogAppendTime")),
                };
            }
            "min.insync.replicas" if number()? < 1 => return Err(wrong("it must be 1 or more")),
            "retention.bytes" => {
                self.retention_bytes = limit()?.map(i64::cast_unsigned);
            }
            "retention.ms" => self.retention_ms = limit()?,
            _ => {}
        }
        Ok(())
    }

    /// Whether a record may have this timestamp; both in milliseconds since 1970 UTC.
    pub(super) fn takes_timestamp(&self, timestamp: i64, now: i64) -> bool {
        // -1 stands for none.
        timestamp < 0
            || (now.saturating_sub(timestamp) <= self.most_before_ms
                && timestamp.saturating_sub(now) <= self.most_after_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_what_the_table_says() {
        let mut settings = TopicSettings::default();
        for known in KNOWN {
            settings.set(known.name, None).unwrap();
        }
        assert_eq!(settings, TopicSettings::default());
    }

    #[test]
    fn settings_take_effect_and_are_remembered() {
        let mut settings = TopicSettings::default();
        settings.set("retention.ms", Some("-1")).unwrap();
        settings.set("cleanup.policy", Some("compact")).unwrap();
        settings.set("max.message.bytes", Some("100")).unwrap();
        assert_eq!(
            (settings.retention_ms, settings.compacted, settings.max_message_bytes),
            (None, true, 100)
        );
        assert_eq!(settings.given("retention.ms"), Some("-1"));
        settings.set("retention.ms", None).unwrap();
        assert_eq!((settings.retention_ms, settings.given("retention.ms")), (Some(WEEK_MS), None));
    }

    #[test]
    fn what_cannot_be_is_refused_and_changes_nothing() {
        let mut settings = TopicSettings::default();
        assert!(settings.set("retention.ms", Some(&format!("{}5", " ".repeat(LONGEST_VALUE)))).is_err());
        for (name, value) in [
            ("retention.ms", "soon"),
            ("retention.bytes", "-2"),
            ("max.message.bytes", "-1"),
            ("cleanup.policy", "burn"),
            ("compression.type", "zstd"),
            ("message.timestamp.type", "Now"),
            ("no.such.setting", "1"),
        ] {
            assert!(settings.set(name, Some(value)).is_err(), "{name}={value}");
        }
        assert_eq!(settings, TopicSettings::default());
    }
}
