//! The codes in a broker's answers: what each means, and what a client does about it.
//!
//! One table, of every code up to Kafka 4.3. A code that is not in it is shown by its number and taken as final: a
//! newer broker may say what this client cannot know.

use std::fmt;

/// A code in an answer.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ErrorCode(pub i16);

/// What to do about a code, when nothing more is known of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reaction {
    /// It is done.
    Success,
    /// Send it again after a while.
    Retry,
    /// Ask who leads, then send it there.
    RefreshMetadata,
    /// Ask who coordinates, then send it there.
    FindCoordinator,
    /// Begin a new session at once.
    NewSession,
    /// Join the group anew.
    Rejoin,
    /// Sending it again would change nothing.
    Fatal,
}

impl ErrorCode {
    /// Its name in the protocol.
    pub fn name(self) -> Option<&'static str> {
        self.row().map(|row| row.name)
    }

    /// What it says, in a few words.
    pub fn description(self) -> &'static str {
        self.row()
            .map_or("this client does not know the code; the broker may be newer", |row| row.description)
    }

    /// What to do about it.
    pub fn reaction(self) -> Reaction {
        self.row().map_or(Reaction::Fatal, |row| row.reaction)
    }

    fn row(self) -> Option<&'static Row> {
        // The table begins at -1 and has no gaps.
        TABLE.get(usize::try_from(self.0.checked_add(1)?).ok()?)
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{name} ({})", self.0),
            None => write!(f, "error code {}", self.0),
        }
    }
}

impl fmt::Debug for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

struct Row {
    name: &'static str,
    reaction: Reaction,
    description: &'static str,
}

macro_rules! table {
    ($($code:literal $name:ident $reaction:ident $description:literal,)*) => {
        impl ErrorCode {
            $(
                #[doc = concat!("Code ", stringify!($code), ": ", $description, ".")]
                pub const $name: Self = Self($code);
            )*
        }

        const TABLE: &[Row] = &[
            $(Row { name: stringify!($name), reaction: Reaction::$reaction, description: $description },)*
        ];

        #[cfg(test)]
        const CODES: &[i16] = &[$($code,)*];
    };
}

table! {
    -1 UNKNOWN_SERVER_ERROR Fatal "the broker ran into an error that it has no code for; its log says more",
    0 NONE Success "no error",
    1 OFFSET_OUT_OF_RANGE Fatal "the partition's log does not hold this offset",
    2 CORRUPT_MESSAGE Retry "a batch's checksum or size is wrong, or its key is missing on a compacted topic",
    3 UNKNOWN_TOPIC_OR_PARTITION RefreshMetadata "this broker does not host the topic or partition",
    4 INVALID_FETCH_SIZE Fatal "the fetch size is not valid",
    5 LEADER_NOT_AVAILABLE RefreshMetadata "the partition has no leader now, as during an election",
    6 NOT_LEADER_OR_FOLLOWER RefreshMetadata "this broker does not lead the partition, nor follow it",
    7 REQUEST_TIMED_OUT Retry "the broker ran out of the time that the request allowed",
    8 BROKER_NOT_AVAILABLE RefreshMetadata "the broker is not available",
    9 REPLICA_NOT_AVAILABLE RefreshMetadata "this broker has no replica of the partition",
    10 MESSAGE_TOO_LARGE Fatal "the batch is larger than the topic's max.message.bytes",
    11 STALE_CONTROLLER_EPOCH Fatal "the controller has moved on",
    12 OFFSET_METADATA_TOO_LARGE Fatal "the text beside a committed offset is too long",
    13 NETWORK_EXCEPTION RefreshMetadata "the broker closed the connection before it answered",
    14 COORDINATOR_LOAD_IN_PROGRESS Retry "the coordinator is still loading its state",
    15 COORDINATOR_NOT_AVAILABLE FindCoordinator "there is no coordinator now",
    16 NOT_COORDINATOR FindCoordinator "this broker is not the coordinator",
    17 INVALID_TOPIC_EXCEPTION Fatal "the topic's name is not valid, or it may not be used this way",
    18 RECORD_LIST_TOO_LARGE Fatal "the batch is larger than a log segment",
    19 NOT_ENOUGH_REPLICAS Retry "fewer replicas are in sync than the topic demands",
    20 NOT_ENOUGH_REPLICAS_AFTER_APPEND Retry "written, but to fewer replicas in sync than the topic demands",
    21 INVALID_REQUIRED_ACKS Fatal "the number of acknowledgements is not valid",
    22 ILLEGAL_GENERATION Rejoin "the group has moved on to another generation",
    23 INCONSISTENT_GROUP_PROTOCOL Fatal "the group's members share no assignment strategy with this one",
    24 INVALID_GROUP_ID Fatal "the group's name is not valid",
    25 UNKNOWN_MEMBER_ID Rejoin "the coordinator does not know this member",
    26 INVALID_SESSION_TIMEOUT Fatal "the session time-out is outside of what the broker allows",
    27 REBALANCE_IN_PROGRESS Rejoin "the group is being rebalanced",
    28 INVALID_COMMIT_OFFSET_SIZE Fatal "the commit is too large",
    29 TOPIC_AUTHORIZATION_FAILED Fatal "this user may not do that to the topic",
    30 GROUP_AUTHORIZATION_FAILED Fatal "this user may not use the group",
    31 CLUSTER_AUTHORIZATION_FAILED Fatal "this user may not do that to the cluster",
    32 INVALID_TIMESTAMP Fatal "a record's timestamp is further from now than the topic allows",
    33 UNSUPPORTED_SASL_MECHANISM Fatal "the broker does not offer this SASL mechanism",
    34 ILLEGAL_SASL_STATE Fatal "the request does not fit the state of authentication",
    35 UNSUPPORTED_VERSION Fatal "the broker does not know this version of the request",
    36 TOPIC_ALREADY_EXISTS Fatal "there is a topic of this name",
    37 INVALID_PARTITIONS Fatal "the number of partitions is not valid",
    38 INVALID_REPLICATION_FACTOR Fatal "there are fewer brokers than replicas, or none was asked for",
    39 INVALID_REPLICA_ASSIGNMENT Fatal "the assignment of replicas is not valid",
    40 INVALID_CONFIG Fatal "a setting is not valid",
    41 NOT_CONTROLLER RefreshMetadata "this broker is not the controller",
    42 INVALID_REQUEST Fatal "the request makes no sense to the broker; the two may differ in version",
    43 UNSUPPORTED_FOR_MESSAGE_FORMAT Fatal "the topic's message format is too old for that",
    44 POLICY_VIOLATION Fatal "a policy of the cluster forbids it",
    45 OUT_OF_ORDER_SEQUENCE_NUMBER Fatal "a batch before this one is missing",
    46 DUPLICATE_SEQUENCE_NUMBER Success "the broker has this batch already",
    47 INVALID_PRODUCER_EPOCH Fatal "a newer instance of this producer has taken over",
    48 INVALID_TXN_STATE Fatal "the transaction is not in a state for that",
    49 INVALID_PRODUCER_ID_MAPPING Fatal "the producer's number does not belong to its transactional id",
    50 INVALID_TRANSACTION_TIMEOUT Fatal "the transaction's time-out is longer than the broker allows",
    51 CONCURRENT_TRANSACTIONS Retry "the transaction before this one is still being ended",
    52 TRANSACTION_COORDINATOR_FENCED Fatal "another coordinator has taken over",
    53 TRANSACTIONAL_ID_AUTHORIZATION_FAILED Fatal "this user may not use the transactional id",
    54 SECURITY_DISABLED Fatal "the cluster has no access control",
    55 OPERATION_NOT_ATTEMPTED Fatal "not tried, because something else in the request failed",
    56 KAFKA_STORAGE_ERROR RefreshMetadata "the broker's disk failed",
    57 LOG_DIR_NOT_FOUND Fatal "the broker has no such log directory",
    58 SASL_AUTHENTICATION_FAILED Fatal "the credential was refused",
    59 UNKNOWN_PRODUCER_ID Fatal "the broker no longer knows this producer",
    60 REASSIGNMENT_IN_PROGRESS Fatal "the partition is being moved",
    61 DELEGATION_TOKEN_AUTH_DISABLED Fatal "the cluster has no delegation tokens",
    62 DELEGATION_TOKEN_NOT_FOUND Fatal "there is no such delegation token",
    63 DELEGATION_TOKEN_OWNER_MISMATCH Fatal "the delegation token belongs to someone else",
    64 DELEGATION_TOKEN_REQUEST_NOT_ALLOWED Fatal "delegation tokens are not given on this kind of connection",
    65 DELEGATION_TOKEN_AUTHORIZATION_FAILED Fatal "this user may not do that to the delegation token",
    66 DELEGATION_TOKEN_EXPIRED Fatal "the delegation token has expired",
    67 INVALID_PRINCIPAL_TYPE Fatal "this kind of principal is not known",
    68 NON_EMPTY_GROUP Fatal "the group has members",
    69 GROUP_ID_NOT_FOUND Fatal "there is no such group",
    70 FETCH_SESSION_ID_NOT_FOUND NewSession "the broker has dropped the fetch session",
    71 INVALID_FETCH_SESSION_EPOCH NewSession "the fetch session is out of step",
    72 LISTENER_NOT_FOUND RefreshMetadata "the leader has no listener like the one this request came in on",
    73 TOPIC_DELETION_DISABLED Fatal "the cluster does not delete topics",
    74 FENCED_LEADER_EPOCH RefreshMetadata "the leader known here is older than the broker's",
    75 UNKNOWN_LEADER_EPOCH Retry "the leader known here is newer than the broker's",
    76 UNSUPPORTED_COMPRESSION_TYPE Fatal "the broker does not know this compression in this version",
    77 STALE_BROKER_EPOCH Fatal "the broker has been restarted",
    78 OFFSET_NOT_AVAILABLE Retry "the new leader does not know its high watermark yet",
    79 MEMBER_ID_REQUIRED Rejoin "join again with the member id that was given",
    80 PREFERRED_LEADER_NOT_AVAILABLE RefreshMetadata "the preferred leader is not available",
    81 GROUP_MAX_SIZE_REACHED Fatal "the group is full",
    82 FENCED_INSTANCE_ID Fatal "another member has taken over this static member's name",
    83 ELIGIBLE_LEADERS_NOT_AVAILABLE RefreshMetadata "no replica can become leader",
    84 ELECTION_NOT_NEEDED Fatal "the partition has the leader that it should",
    85 NO_REASSIGNMENT_IN_PROGRESS Fatal "the partition is not being moved",
    86 GROUP_SUBSCRIBED_TO_TOPIC Fatal "the group reads the topic, so its offsets are not deleted",
    87 INVALID_RECORD Fatal "the broker does not take one of the records",
    88 UNSTABLE_OFFSET_COMMIT Retry "a transaction that commits these offsets is still open",
    89 THROTTLING_QUOTA_EXCEEDED Retry "too many requests of this kind in a short time",
    90 PRODUCER_FENCED Fatal "another producer with this transactional id has taken over",
    91 RESOURCE_NOT_FOUND Fatal "there is no such thing",
    92 DUPLICATE_RESOURCE Fatal "there is such a thing already",
    93 UNACCEPTABLE_CREDENTIAL Fatal "the credential does not meet the broker's demands",
    94 INCONSISTENT_VOTER_SET Fatal "the voters differ from those expected",
    95 INVALID_UPDATE_VERSION Fatal "the update's version is not valid",
    96 FEATURE_UPDATE_FAILED Fatal "features could not be updated",
    97 PRINCIPAL_DESERIALIZATION_FAILURE Fatal "a forwarded request's principal could not be read",
    98 SNAPSHOT_NOT_FOUND Fatal "there is no such snapshot",
    99 POSITION_OUT_OF_RANGE Fatal "the position is outside of the snapshot",
    100 UNKNOWN_TOPIC_ID RefreshMetadata "this broker does not know the topic's id",
    101 DUPLICATE_BROKER_REGISTRATION Fatal "another broker has this number",
    102 BROKER_ID_NOT_REGISTERED Fatal "no broker has this number",
    103 INCONSISTENT_TOPIC_ID RefreshMetadata "the topic's id differs from the one in the log",
    104 INCONSISTENT_CLUSTER_ID Fatal "this is another cluster",
    105 TRANSACTIONAL_ID_NOT_FOUND Fatal "there is no such transactional id",
    106 FETCH_SESSION_TOPIC_ID_ERROR NewSession "the fetch session mixes topics with and without ids",
    107 INELIGIBLE_REPLICA Fatal "the replica may not join those in sync",
    108 NEW_LEADER_ELECTED Fatal "the partition has a new leader, as asked",
    109 OFFSET_MOVED_TO_TIERED_STORAGE Fatal "the offset is in remote storage",
    110 FENCED_MEMBER_EPOCH Rejoin "the group has moved on without this member",
    111 UNRELEASED_INSTANCE_ID Rejoin "the static member's name is still in use",
    112 UNSUPPORTED_ASSIGNOR Fatal "the coordinator does not know this assignment strategy",
    113 STALE_MEMBER_EPOCH Rejoin "the member's epoch is out of date",
    114 MISMATCHED_ENDPOINT_TYPE Fatal "this port is of another kind",
    115 UNSUPPORTED_ENDPOINT_TYPE Fatal "this kind of port is not supported",
    116 UNKNOWN_CONTROLLER_ID Fatal "no controller has this number",
    117 UNKNOWN_SUBSCRIPTION_ID Fatal "the metrics subscription is out of date",
    118 TELEMETRY_TOO_LARGE Fatal "the pushed metrics are too large",
    119 INVALID_REGISTRATION Fatal "the registration is not valid",
    120 TRANSACTION_ABORTABLE Fatal "the transaction can only be aborted",
    121 INVALID_RECORD_STATE Fatal "the record is not in a state for that",
    122 SHARE_SESSION_NOT_FOUND NewSession "the broker has dropped the share session",
    123 INVALID_SHARE_SESSION_EPOCH NewSession "the share session is out of step",
    124 FENCED_STATE_EPOCH Fatal "the share group's state has a newer owner",
    125 INVALID_VOTER_KEY Fatal "the voter's key does not match",
    126 DUPLICATE_VOTER Fatal "the voter is one already",
    127 VOTER_NOT_FOUND Fatal "there is no such voter",
    128 INVALID_REGULAR_EXPRESSION Fatal "the regular expression is not valid",
    129 REBOOTSTRAP_REQUIRED RefreshMetadata "the client should begin again from its bootstrap list",
    130 STREAMS_INVALID_TOPOLOGY Fatal "the streams topology is not valid",
    131 STREAMS_INVALID_TOPOLOGY_EPOCH Fatal "the streams topology's epoch is not valid",
    132 STREAMS_TOPOLOGY_FENCED Fatal "the streams topology is out of date",
    133 SHARE_SESSION_LIMIT_REACHED Retry "the broker has as many share sessions as it takes",
}

#[cfg(test)]
mod tests {
    use kafka_protocol::ResponseError;

    use super::*;

    #[test]
    fn the_table_has_no_gaps() {
        assert_eq!(CODES, (-1..=133).collect::<Vec<_>>());
    }

    #[test]
    fn names_agree_with_the_schemas() {
        for &code in CODES {
            let Some(known) = ResponseError::try_from_code(code) else { continue };
            let ours = ErrorCode(code).name().unwrap().replace('_', "").to_lowercase();
            let theirs = format!("{known:?}").to_lowercase();
            if !theirs.starts_with("unknown(") {
                assert_eq!(
                    ours.trim_end_matches("exception"),
                    theirs.trim_end_matches("exception"),
                    "{code}"
                );
            }
        }
    }

    #[test]
    fn unknown_codes_keep_their_number_and_are_final() {
        for code in [-2, 134, i16::MIN, i16::MAX] {
            assert_eq!(ErrorCode(code).to_string(), format!("error code {code}"));
            assert_eq!(ErrorCode(code).reaction(), Reaction::Fatal);
        }
        assert_eq!(ErrorCode(6).to_string(), "NOT_LEADER_OR_FOLLOWER (6)");
    }
}
