//! What can go wrong between this client and a cluster.
//!
//! [`ConnectError`] is about reaching one broker and being let in; [`Error`] about everything after that. Both are
//! cheap to clone: when a connection dies, all requests in flight on it learn the same reason.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::address::Address;
use super::sasl::{SaslError, TokenError};
use super::tls::TlsError;
use super::topic_partition::TopicPartition;
use crate::wire::error_code::{ErrorCode, Reaction};
use crate::wire::message::{DecodeError, EncodeError};
use crate::wire::record::RecordError;

/// Why a request to the cluster failed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A broker could not be reached, or did not let us in.
    #[error(transparent)]
    Connect(#[from] ConnectError),

    /// A broker accepted a request and did not answer it in time. The connection is closed: a late answer must not
    /// be taken for that of another request. A produce request may have been carried out.
    #[error("{broker} did not answer a {api} request within {} s", after.as_secs_f32())]
    TimedOut {
        /// The broker asked.
        broker: Address,
        /// The request, by its name in the protocol.
        api: &'static str,
        /// The time waited.
        after: Duration,
    },

    /// The connection broke while requests were in flight. A produce request may have been carried out.
    #[error("the connection to {broker} was lost: {source}")]
    Disconnected {
        /// The broker.
        broker: Address,
        /// What the socket said.
        source: Arc<io::Error>,
    },

    /// The broker sent bytes that are not the answer they should be.
    #[error("{broker} sent an unreadable {api} answer: {source}")]
    Garbled {
        /// The broker.
        broker: Address,
        /// The request that was answered, by its name in the protocol.
        api: &'static str,
        /// What is wrong with the bytes.
        source: Arc<DecodeError>,
    },

    /// The request cannot be written in any version that the broker reads.
    #[error(
        "{broker} does not take {api} in any version that this client speaks ({speaks}); it is too old for that, or switches this API off"
    )]
    Unsupported {
        /// The broker.
        broker: Address,
        /// The request, by its name in the protocol.
        api: &'static str,
        /// The versions this client speaks, as `min..max`.
        speaks: String,
    },

    /// A request could not be encoded: a name is too long, or a field is not known to the broker's version.
    #[error("cannot encode a {api} request for {broker}: {source}")]
    Unencodable {
        /// The broker.
        broker: Address,
        /// The request, by its name in the protocol.
        api: &'static str,
        /// The field at fault.
        source: Arc<EncodeError>,
    },

    /// No such topic on this cluster, or this user may not know of it.
    #[error(
        "topic '{topic}' does not exist on the broker, or this user may not see it; `list-topics` shows those that are accessible"
    )]
    UnknownTopic {
        /// The topic.
        topic: String,
    },

    /// The broker forbids it to this user.
    #[error(
        "not authorised to {action} {resource} with this credential; ask the cluster's operators for access, or use another credential"
    )]
    NotAuthorized {
        /// What was tried: `read`, `write to`, `describe`.
        action: &'static str,
        /// On what, such as `topic 'x'`.
        resource: String,
    },

    /// The broker answered with an error code that no other variant stands for.
    #[error("{doing}: the broker answered {code}: {}", code.description())]
    Broker {
        /// The code.
        code: ErrorCode,
        /// What was being done, on which topic and partition.
        doing: String,
    },

    /// The broker answered with an error code and with words of its own. [`Error::code`] is for both.
    #[error("{doing}: the broker answered {code}: {message}")]
    Refused {
        /// The code.
        code: ErrorCode,
        /// What was being done, and to what.
        doing: String,
        /// The broker's words, cleaned of control characters.
        message: String,
    },

    /// The broker's answer does not mention something that it was asked about. What became of it is not known.
    #[error("{doing}: the broker's answer does not mention it")]
    Unanswered {
        /// What was being done, and to what.
        doing: String,
    },

    /// The broker takes the request, but in no version that can say what was asked for.
    #[error("{broker} is too old for {what}, which Kafka has since {since}")]
    TooOld {
        /// The broker.
        broker: Address,
        /// What was asked for.
        what: &'static str,
        /// The release of Kafka that brought it.
        since: &'static str,
    },

    /// A broker that the cluster no longer names.
    #[error("broker {broker} is no longer part of the cluster")]
    UnknownBroker {
        /// The broker's number.
        broker: i32,
    },

    /// A partition had no leader for longer than was waited.
    #[error("partition {partition} of topic '{topic}' has no leader; its brokers may be down")]
    NoLeader {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
    },

    /// Fetched records are damaged: their checksum, lengths or compression do not hold.
    #[error("topic '{topic}' partition {partition} near offset {offset}: damaged records: {source}")]
    Damaged {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The first offset that could not be read.
        offset: i64,
        /// What is wrong with them.
        source: RecordError,
    },

    /// The offset asked for is not in the partition's log and no start position may replace it.
    #[error("topic '{topic}' partition {partition} no longer holds offset {offset}")]
    OffsetOutOfRange {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The offset asked for.
        offset: i64,
    },

    /// The log was cut below what had been read of it (KIP-320), and reading is not to go on by itself.
    #[error(
        "topic '{topic}' partition {partition} was cut at offset {diverges_at}, below {offset} which was read: a leader without the newest records was elected"
    )]
    Truncated {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The offset that was to be read next.
        offset: i64,
        /// The offset at which the log differs from what was read.
        diverges_at: i64,
    },

    /// The partition is not one that this consumer reads: it was not named, or the group gave it to another member.
    #[error("partition {partition} is not assigned to this consumer")]
    NotAssigned {
        /// The partition.
        partition: TopicPartition,
    },

    /// A record that is to be acknowledged is not held by this consumer of a share group: it was not handed over, its
    /// broker has been told of it already, its lock has run out, or the connection to its broker was lost.
    #[error(
        "offset {offset} of partition {partition} is not held by this consumer, or no longer; what has not been acknowledged comes again"
    )]
    NotHeld {
        /// The partition.
        partition: TopicPartition,
        /// The first offset that is not held.
        offset: i64,
    },

    /// A setting was given a value that cannot work.
    #[error("{setting}: {reason}")]
    Setting {
        /// The setting's name.
        setting: &'static str,
        /// What it must be instead.
        reason: String,
    },
}

impl Error {
    /// Whether the same request may succeed when tried again, perhaps on another broker.
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Connect(error) => error.is_retriable(),
            Self::TimedOut { .. }
            | Self::Disconnected { .. }
            | Self::NoLeader { .. }
            | Self::UnknownBroker { .. } => true,
            Self::Broker { code, .. } | Self::Refused { code, .. } => code.reaction() != Reaction::Fatal,
            _ => false,
        }
    }

    /// Whether to try again what has worked before. Also where the peer is not who it should be: somebody else answers
    /// in a network that wants its users to log in first, and operators renew certificates when they have expired.
    pub(crate) fn may_pass(&self) -> bool {
        let impostor =
            |error: &ConnectError| matches!(error, ConnectError::Tls { .. } | ConnectError::NotKafka { .. });
        self.is_retriable() || matches!(self, Self::Connect(error) if impostor(error))
    }

    /// The code in the broker's answer, where no other variant stands for it: that of [`Error::Broker`] and
    /// [`Error::Refused`].
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Broker { code, .. } | Self::Refused { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// The error for a code that a broker gave while doing something with a group.
    pub(crate) fn for_group(
        code: ErrorCode,
        action: &'static str,
        group: &str,
        doing: impl FnOnce() -> String,
    ) -> Self {
        match code {
            ErrorCode::GROUP_AUTHORIZATION_FAILED => {
                Self::NotAuthorized { action, resource: format!("group '{group}'") }
            }
            _ => Self::Broker { code, doing: doing() },
        }
    }

    /// The error for a code that a broker gave while doing something to a topic.
    pub(crate) fn for_topic(
        code: ErrorCode,
        action: &'static str,
        topic: &str,
        doing: impl FnOnce() -> String,
    ) -> Self {
        match code {
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION | ErrorCode::UNKNOWN_TOPIC_ID => {
                Self::UnknownTopic { topic: topic.to_owned() }
            }
            ErrorCode::TOPIC_AUTHORIZATION_FAILED => {
                Self::NotAuthorized { action, resource: format!("topic '{topic}'") }
            }
            _ => Self::Broker { code, doing: doing() },
        }
    }
}

/// Why a broker could not be reached, or did not let us in.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The host name has no address.
    #[error("cannot find the host of {broker}: {source}; check the name and this machine's DNS")]
    Resolve {
        /// The broker.
        broker: Address,
        /// What the resolver said.
        source: Arc<io::Error>,
    },

    /// No TCP connection: nothing listens there, or the network forbids it.
    #[error("cannot connect to {broker}: {source}; check the host and port, and that the broker is up")]
    Tcp {
        /// The broker.
        broker: Address,
        /// What the socket said for the last address tried.
        source: Arc<io::Error>,
    },

    /// The TLS handshake failed.
    #[error("TLS with {broker}: {source}")]
    Tls {
        /// The broker.
        broker: Address,
        /// What is wrong, and the remedy.
        source: Arc<TlsError>,
    },

    /// The broker refused the credential.
    #[error(
        "{broker} refused the credential of user '{username}' ({mechanism}): {message}; check the user name, the password and the mechanism"
    )]
    Refused {
        /// The broker.
        broker: Address,
        /// The user, empty where a token names it.
        username: String,
        /// The SASL mechanism.
        mechanism: &'static str,
        /// The broker's words, cleaned of control characters.
        message: String,
    },

    /// The broker does not offer the SASL mechanism.
    #[error("{broker} does not offer the SASL mechanism {mechanism}; it offers {}", list(offered))]
    Mechanism {
        /// The broker.
        broker: Address,
        /// The mechanism asked for.
        mechanism: &'static str,
        /// What the broker offers.
        offered: Vec<String>,
    },

    /// The SASL exchange broke off: the broker's side of it does not hold, or our input cannot be sent.
    #[error("authentication with {broker}: {source}")]
    Sasl {
        /// The broker.
        broker: Address,
        /// What is wrong.
        source: Arc<SaslError>,
    },

    /// There is no token to log in with.
    #[error("no token to log in to {broker} with: {source}")]
    Token {
        /// The broker.
        broker: Address,
        /// Why there is none.
        source: Arc<TokenError>,
    },

    /// The whole way to a usable connection took longer than the connect time-out.
    #[error("{broker} did not answer within {} s (waiting for {step}); check the host and port, or allow more time with a longer connect time-out", after.as_secs_f32())]
    TimedOut {
        /// The broker.
        broker: Address,
        /// What was being waited for.
        step: Step,
        /// The connect time-out.
        after: Duration,
    },

    /// The peer closed the connection before we were let in.
    #[error("{broker} closed the connection during {step}; {}", hang_up_hint(*step, *tls))]
    HungUp {
        /// The broker.
        broker: Address,
        /// How far the connection had come.
        step: Step,
        /// Whether TLS was spoken.
        tls: bool,
    },

    /// What answered is no Kafka broker, or not this kind of listener.
    #[error("{broker} is not a Kafka broker's port for this kind of connection: {evidence}")]
    NotKafka {
        /// The peer.
        broker: Address,
        /// What its bytes look like, and what to do.
        evidence: String,
    },

    /// The broker's answers during the handshake cannot be read.
    #[error("{broker} sent an unreadable answer during {step}: {reason}")]
    Garbled {
        /// The broker.
        broker: Address,
        /// How far the connection had come.
        step: Step,
        /// What is wrong with the bytes.
        reason: String,
    },
}

impl ConnectError {
    /// Whether trying again, or elsewhere, may help: not where the credential or the certificate is at fault.
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Resolve { .. }
            | Self::Tcp { .. }
            | Self::TimedOut { .. }
            | Self::HungUp { .. }
            | Self::Garbled { .. } => true,
            // A broker that is being stopped or started, or a network that went at that moment.
            Self::Tls { source, .. } => matches!(**source, TlsError::HungUp | TlsError::Broken { .. }),
            Self::Token { source, .. } => source.is_retriable(),
            _ => false,
        }
    }
}

/// How far a new connection had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// Getting a token to log in with.
    Token,
    /// Looking up the host name.
    Resolve,
    /// The TCP handshake.
    Tcp,
    /// The TLS handshake.
    Tls,
    /// Asking which API versions the broker knows.
    ApiVersions,
    /// Naming the SASL mechanism.
    SaslHandshake,
    /// The exchange of SASL tokens.
    SaslAuthenticate,
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Token => "a token to log in with",
            Self::Resolve => "the host name's address",
            Self::Tcp => "the TCP handshake",
            Self::Tls => "the TLS handshake",
            Self::ApiVersions => "the first answer",
            Self::SaslHandshake => "the answer to the choice of SASL mechanism",
            Self::SaslAuthenticate => "authentication",
        })
    }
}

fn hang_up_hint(step: Step, tls: bool) -> &'static str {
    match (step, tls) {
        (Step::SaslAuthenticate, _) => "the credential may be wrong, or the broker may be shutting down",
        (_, false) => "it may be no Kafka broker, or its port may want TLS",
        (_, true) => "it may be no Kafka broker, or its port may be for another kind of connection",
    }
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
