//! From codes and words in answers to results.

use std::fmt;

use kafka_protocol::protocol::StrBytes;

use crate::kafka::error::Error;
use crate::kafka::printable::printable;
use crate::kafka::topic_partition::TopicPartition;
use crate::wire::error_code::ErrorCode;

/// What something is done to.
#[derive(Clone, Copy)]
pub(super) enum Subject<'a> {
    Topic(&'a str),
    Partition(&'a TopicPartition),
    Group(&'a str),
    User(&'a str),
    Cluster,
    /// All else, in words.
    Other(&'a (dyn fmt::Display + Sync)),
}

impl fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topic(topic) => write!(f, "topic '{topic}'"),
            Self::Partition(TopicPartition { topic, partition }) => {
                write!(f, "partition {partition} of topic '{topic}'")
            }
            Self::Group(group) => write!(f, "group '{group}'"),
            Self::User(user) => write!(f, "user '{user}'"),
            Self::Cluster => f.write_str("the cluster"),
            Self::Other(words) => words.fmt(f),
        }
    }
}

/// What is done, and to what: for the words of errors.
#[derive(Clone, Copy)]
pub(super) struct Deed<'a> {
    /// A verb and what belongs to it, such as `delete records of`.
    pub(super) action: &'static str,
    pub(super) subject: Subject<'a>,
}

impl Deed<'_> {
    /// Whether it was done, by the code and the words that a broker gave for it.
    pub(super) fn outcome(self, code: i16, message: Option<&StrBytes>) -> Result<(), Error> {
        let code = ErrorCode(code);
        match (code, self.subject) {
            (ErrorCode::NONE, _) => Ok(()),
            (
                ErrorCode::TOPIC_AUTHORIZATION_FAILED
                | ErrorCode::GROUP_AUTHORIZATION_FAILED
                | ErrorCode::CLUSTER_AUTHORIZATION_FAILED,
                subject,
            ) => {
                // Names that a broker listed are its words too.
                let resource = printable(&subject.to_string());
                Err(Error::NotAuthorized { action: self.action, resource })
            }
            (ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, Subject::Topic(topic)) => {
                Err(Error::UnknownTopic { topic: topic.to_owned() })
            }
            _ => match message.map(|words| printable(words)).filter(|words| !words.is_empty()) {
                Some(message) => Err(Error::Refused { code, doing: self.attempt(), message }),
                None => Err(Error::Broker { code, doing: self.attempt() }),
            },
        }
    }

    /// The error for an answer that passes over it.
    pub(super) fn unanswered(self) -> Error {
        Error::Unanswered { doing: self.attempt() }
    }

    fn attempt(self) -> String {
        printable(&format!("cannot {} {}", self.action, self.subject))
    }
}

/// A name as it goes over the wire.
pub(super) fn text(name: &str) -> StrBytes {
    StrBytes::from_string(name.to_owned())
}

/// What stands in an answer for "not known" is -1, or less.
pub(super) fn known<T: Default + PartialOrd>(number: T) -> Option<T> {
    (number >= T::default()).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_brokers_words_are_shown_without_control_characters() {
        let deed = Deed { action: "create", subject: Subject::Topic("t") };
        assert!(deed.outcome(0, Some(&text("fine"))).is_ok());
        let refused = deed.outcome(36, Some(&text("it is\x1b[2J there"))).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "cannot create topic 't': the broker answered TOPIC_ALREADY_EXISTS (36): it is [2J there"
        );
        assert_eq!(refused.code(), Some(ErrorCode::TOPIC_ALREADY_EXISTS));
        let wordless = deed.outcome(36, Some(&text(""))).unwrap_err();
        assert!(matches!(wordless, Error::Broker { code: ErrorCode::TOPIC_ALREADY_EXISTS, .. }));
    }

    #[test]
    fn what_is_forbidden_or_not_there_has_errors_of_its_own() {
        let partition = TopicPartition::new("t", 7);
        let of = |subject, code: ErrorCode| {
            Deed { action: "delete", subject }.outcome(code.0, None).unwrap_err().to_string()
        };
        let unknown = of(Subject::Topic("t"), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
        assert!(unknown.starts_with("topic 't' does not exist"), "{unknown}");
        let unknown = of(Subject::Partition(&partition), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
        assert!(unknown.starts_with("cannot delete partition 7 of topic 't': "), "{unknown}");
        for (subject, code, words) in [
            (Subject::Topic("t"), ErrorCode::TOPIC_AUTHORIZATION_FAILED, "to delete topic 't'"),
            (Subject::Group("g"), ErrorCode::GROUP_AUTHORIZATION_FAILED, "to delete group 'g'"),
            (Subject::Cluster, ErrorCode::CLUSTER_AUTHORIZATION_FAILED, "to delete the cluster"),
        ] {
            assert!(of(subject, code).starts_with(&format!("not authorised {words}")));
        }
    }
}
