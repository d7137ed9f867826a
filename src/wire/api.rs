//! The requests that are spoken here, in which versions, and what each version brings.
//!
//! One table, [`APIS`], for the client and for a broker. The oldest versions are older than Kafka 2.1 needs; two sides
//! speak the newest that both know. Where this table stops before Kafka does, or begins after, it says why:
//!
//! - SaslHandshake 0 is followed by tokens without frames;
//! - AddPartitionsToTxn 4 and later are for brokers among themselves;
//! - OffsetCommit 10, OffsetFetch 10, InitProducerId 6, ListOffsets 11, ShareFetch 2 and ShareAcknowledge 2 are not in the
//!   schemas of `kafka-protocol` yet;
//! - version 0 of what share groups use was a trial, which Kafka has withdrawn.
//!
//! [`with_request`] goes from a number on the wire to the type of the request.

use std::fmt;

use kafka_protocol::messages::*;
use kafka_protocol::protocol::Request;

/// A range of versions, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VersionRange {
    /// The oldest.
    pub min: i16,
    /// The newest.
    pub max: i16,
}

impl VersionRange {
    /// Whether `version` is in the range.
    pub fn contains(self, version: i16) -> bool {
        (self.min..=self.max).contains(&version)
    }

    /// Every version, the oldest first.
    pub fn iter(self) -> impl DoubleEndedIterator<Item = i16> {
        self.min..=self.max
    }
}

impl fmt::Display for VersionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.min, self.max)
    }
}

/// A request of the protocol, as it is spoken here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Api {
    /// Its number on the wire.
    pub key: i16,
    /// Its name in the protocol.
    pub name: &'static str,
    /// The versions spoken.
    pub versions: VersionRange,
    /// What versions bring that matters here, oldest first.
    pub brings: &'static [(i16, &'static str)],
}

/// Something to do with whichever request a number on the wire stands for; see [`with_request`].
pub trait ForRequest {
    /// What comes of it.
    type Output;

    /// Does it.
    fn run<R>(self, api: &'static Api) -> Self::Output
    where
        R: Request + Default + Clone + PartialEq + fmt::Debug,
        R::Response: Default + Clone + PartialEq + fmt::Debug;
}

/// Makes the table and the way from its keys to types out of one list.
macro_rules! apis {
    ($($name:ident $request:ident $min:literal..=$max:literal { $($version:literal $feature:literal)* })+) => {
        /// Every request spoken, by key.
        pub const APIS: &[Api] = &[$(
            Api {
                key: <$request as Request>::KEY,
                name: stringify!($name),
                versions: VersionRange { min: $min, max: $max },
                brings: &[$(($version, $feature)),*],
            }
        ),+];

        /// Does `task` with the type of the request whose key this is; `None` where it is not in the table.
        ///
        /// ```
        /// use hop::wire::api::{Api, ForRequest, with_request};
        /// use kafka_protocol::protocol::Request;
        ///
        /// struct Newest;
        /// impl ForRequest for Newest {
        ///     type Output = i16;
        ///     fn run<R: Request>(self, api: &'static Api) -> i16 {
        ///         api.versions.max
        ///     }
        /// }
        /// assert_eq!(with_request(3, Newest), Some(13));
        /// assert_eq!(with_request(i16::MAX, Newest), None);
        /// ```
        pub fn with_request<T: ForRequest>(key: i16, task: T) -> Option<T::Output> {
            let api = find(key)?;
            match key {
                $(<$request as Request>::KEY => Some(task.run::<$request>(api)),)+
                _ => None,
            }
        }
    };
}

apis! {
    Produce ProduceRequest 3..=13 {
        3 "record batches with headers (KIP-98)"
        5 "where the log begins (KIP-107)"
        7 "zstd (KIP-110)"
        8 "which records of a batch are at fault (KIP-467)"
        9 "compact encoding (KIP-482)"
        10 "the new leader in the answer (KIP-951)"
        12 "partitions join a transaction by being written to (KIP-890)"
        13 "topics by id (KIP-516)"
    }
    Fetch FetchRequest 4..=18 {
        4 "committed reads (KIP-98)"
        5 "where the log begins (KIP-107)"
        7 "sessions (KIP-227)"
        9 "leader epochs (KIP-320)"
        10 "zstd (KIP-110)"
        11 "the nearest replica (KIP-392)"
        12 "compact encoding, where logs diverge (KIP-482, KIP-595)"
        13 "topics by id (KIP-516)"
        16 "the new leader in the answer (KIP-951)"
    }
    ListOffsets ListOffsetsRequest 1..=10 {
        1 "one offset a partition (KIP-79)"
        2 "the last stable offset (KIP-98)"
        4 "leader epochs (KIP-320)"
        6 "compact encoding (KIP-482)"
        7 "the offset of the newest timestamp (KIP-734)"
        8 "the oldest offset on a broker's own disk (KIP-405)"
        9 "the newest offset in tiered storage (KIP-1005)"
        10 "a time limit of the client (KIP-1075)"
    }
    Metadata MetadataRequest 0..=13 {
        1 "racks, the controller, no topics at all"
        2 "the cluster's id (KIP-78)"
        4 "asking without creating topics (KIP-204)"
        5 "replicas that are offline (KIP-112)"
        7 "leader epochs (KIP-320)"
        8 "what the user may do (KIP-430)"
        9 "compact encoding (KIP-482)"
        10 "topic ids (KIP-516)"
        12 "asking by topic id (KIP-516)"
        13 "that the client should begin anew (KIP-1102)"
    }
    OffsetCommit OffsetCommitRequest 2..=9 {
        5 "retention is the broker's alone (KIP-211)"
        6 "leader epochs (KIP-320)"
        7 "static members (KIP-345)"
        8 "compact encoding (KIP-482)"
        9 "the new groups (KIP-848)"
    }
    OffsetFetch OffsetFetchRequest 1..=9 {
        2 "all partitions of a group (KIP-88)"
        5 "leader epochs (KIP-320)"
        6 "compact encoding (KIP-482)"
        7 "waiting for open transactions (KIP-447)"
        8 "several groups (KIP-709)"
        9 "the new groups (KIP-848)"
    }
    FindCoordinator FindCoordinatorRequest 0..=6 {
        1 "coordinators of transactions (KIP-98)"
        3 "compact encoding (KIP-482)"
        4 "several keys (KIP-699)"
    }
    JoinGroup JoinGroupRequest 0..=9 {
        1 "a time limit for rebalances (KIP-62)"
        4 "a member's id before it joins (KIP-394)"
        5 "static members (KIP-345)"
        6 "compact encoding (KIP-482)"
        7 "the protocol's type and name (KIP-559)"
        8 "why one joins (KIP-800)"
        9 "a static leader need not assign anew (KIP-814)"
    }
    Heartbeat HeartbeatRequest 0..=4 {
        3 "static members (KIP-345)"
        4 "compact encoding (KIP-482)"
    }
    LeaveGroup LeaveGroupRequest 0..=5 {
        3 "several members at once (KIP-345)"
        4 "compact encoding (KIP-482)"
        5 "why one leaves (KIP-800)"
    }
    SyncGroup SyncGroupRequest 0..=5 {
        3 "static members (KIP-345)"
        4 "compact encoding (KIP-482)"
        5 "the protocol's type and name (KIP-559)"
    }
    DescribeGroups DescribeGroupsRequest 0..=6 {
        3 "what the user may do (KIP-430)"
        4 "static members (KIP-345)"
        5 "compact encoding (KIP-482)"
        6 "a group that does not exist is an error (KIP-1043)"
    }
    ListGroups ListGroupsRequest 0..=5 {
        3 "compact encoding (KIP-482)"
        4 "groups by state (KIP-518)"
        5 "groups by type (KIP-848)"
    }
    SaslHandshake SaslHandshakeRequest 1..=1 {
        1 "tokens in SaslAuthenticate (KIP-152)"
    }
    ApiVersions ApiVersionsRequest 0..=4 {
        3 "the client's name and version, features (KIP-511, KIP-584)"
        4 "features that begin at version 0 (KIP-584)"
    }
    CreateTopics CreateTopicsRequest 2..=7 {
        4 "the broker's own partition count and replication (KIP-464)"
        5 "compact encoding, what was set (KIP-482, KIP-525)"
        7 "topic ids (KIP-516)"
    }
    DeleteTopics DeleteTopicsRequest 1..=6 {
        4 "compact encoding (KIP-482)"
        5 "why not (KIP-599)"
        6 "topics by id (KIP-516)"
    }
    DeleteRecords DeleteRecordsRequest 0..=2 {
        2 "compact encoding (KIP-482)"
    }
    InitProducerId InitProducerIdRequest 0..=5 {
        2 "compact encoding (KIP-482)"
        3 "raising one's own epoch (KIP-360)"
        4 "PRODUCER_FENCED (KIP-588)"
        5 "TRANSACTION_ABORTABLE (KIP-890)"
    }
    OffsetForLeaderEpoch OffsetForLeaderEpochRequest 2..=4 {
        2 "the leader epoch one knows (KIP-320)"
        4 "compact encoding (KIP-482)"
    }
    AddPartitionsToTxn AddPartitionsToTxnRequest 0..=3 {
        3 "compact encoding (KIP-482)"
    }
    AddOffsetsToTxn AddOffsetsToTxnRequest 0..=4 {
        3 "compact encoding (KIP-482)"
        4 "TRANSACTION_ABORTABLE (KIP-890)"
    }
    EndTxn EndTxnRequest 0..=5 {
        3 "compact encoding (KIP-482)"
        5 "a new epoch with each transaction (KIP-890)"
    }
    TxnOffsetCommit TxnOffsetCommitRequest 0..=5 {
        2 "leader epochs (KIP-320)"
        3 "compact encoding, the member (KIP-482, KIP-447)"
        5 "offsets join a transaction by being committed (KIP-890)"
    }
    DescribeAcls DescribeAclsRequest 1..=3 {
        1 "patterns (KIP-290)"
        2 "compact encoding (KIP-482)"
        3 "resources that are users (KIP-373)"
    }
    CreateAcls CreateAclsRequest 1..=3 {
        1 "patterns (KIP-290)"
        2 "compact encoding (KIP-482)"
        3 "resources that are users (KIP-373)"
    }
    DeleteAcls DeleteAclsRequest 1..=3 {
        1 "patterns (KIP-290)"
        2 "compact encoding (KIP-482)"
        3 "resources that are users (KIP-373)"
    }
    DescribeConfigs DescribeConfigsRequest 1..=4 {
        1 "where a value comes from (KIP-226)"
        3 "types and documentation (KIP-569)"
        4 "compact encoding (KIP-482)"
    }
    AlterConfigs AlterConfigsRequest 0..=2 {
        2 "compact encoding (KIP-482)"
    }
    SaslAuthenticate SaslAuthenticateRequest 0..=2 {
        1 "how long the session lasts (KIP-368)"
        2 "compact encoding (KIP-482)"
    }
    CreatePartitions CreatePartitionsRequest 0..=3 {
        2 "compact encoding (KIP-482)"
        3 "THROTTLING_QUOTA_EXCEEDED (KIP-599)"
    }
    DeleteGroups DeleteGroupsRequest 0..=2 {
        2 "compact encoding (KIP-482)"
    }
    IncrementalAlterConfigs IncrementalAlterConfigsRequest 0..=1 {
        0 "one value at a time (KIP-339)"
        1 "compact encoding (KIP-482)"
    }
    OffsetDelete OffsetDeleteRequest 0..=0 {
        0 "offsets of topics no longer read (KIP-496)"
    }
    DescribeUserScramCredentials DescribeUserScramCredentialsRequest 0..=0 {
        0 "who logs in with SCRAM (KIP-554)"
    }
    AlterUserScramCredentials AlterUserScramCredentialsRequest 0..=0 {
        0 "passwords of SCRAM (KIP-554)"
    }
    DescribeCluster DescribeClusterRequest 0..=2 {
        0 "the brokers, without topics (KIP-700)"
        1 "the controllers (KIP-919)"
        2 "brokers that are fenced (KIP-1073)"
    }
    DescribeProducers DescribeProducersRequest 0..=0 {
        0 "who writes to a partition (KIP-664)"
    }
    DescribeTransactions DescribeTransactionsRequest 0..=0 {
        0 "a transaction's state (KIP-664)"
    }
    ListTransactions ListTransactionsRequest 0..=2 {
        0 "open transactions (KIP-664)"
        1 "by how long they run (KIP-994)"
        2 "by a pattern of their ids (KIP-1152)"
    }
    ConsumerGroupHeartbeat ConsumerGroupHeartbeatRequest 0..=1 {
        0 "groups that the broker assigns (KIP-848)"
        1 "topics by pattern, a member's own id (KIP-1082)"
    }
    ConsumerGroupDescribe ConsumerGroupDescribeRequest 0..=1 {
        0 "groups that the broker assigns (KIP-848)"
        1 "which protocol a member speaks (KIP-1099)"
    }
    DescribeTopicPartitions DescribeTopicPartitionsRequest 0..=0 {
        0 "partitions page by page (KIP-966)"
    }
    ShareGroupHeartbeat ShareGroupHeartbeatRequest 1..=1 {
        1 "groups that share records, not partitions (KIP-932)"
    }
    ShareGroupDescribe ShareGroupDescribeRequest 1..=1 {
        1 "groups that share records, not partitions (KIP-932)"
    }
    ShareFetch ShareFetchRequest 1..=1 {
        1 "records for one reader at a time (KIP-932)"
    }
    ShareAcknowledge ShareAcknowledgeRequest 1..=1 {
        1 "what became of each record (KIP-932)"
    }
}

/// The versions of `R` that are spoken; none (`0..-1`) of a request that is not in the table.
pub fn spoken<R: Request>() -> VersionRange {
    find(R::KEY).map_or(VersionRange { min: 0, max: -1 }, |api| api.versions)
}

/// From this version on, Produce and Fetch name topics by id, not by name.
pub const TOPICS_BY_ID: i16 = 13;

/// The version in which `R` may be sent before a broker has said what it speaks: one that every broker from Kafka 2.1
/// to 4.x reads. `None` for those that wait.
pub fn before_versions_are_known<R: Request>() -> Option<i16> {
    match R::KEY {
        FetchRequest::KEY => Some(10),
        ListOffsetsRequest::KEY => Some(4),
        MetadataRequest::KEY => Some(7),
        _ => None,
    }
}

/// The name of a request, for messages.
pub fn api_name(key: i16) -> &'static str {
    find(key).map_or("unknown", |api| api.name)
}

fn find(key: i16) -> Option<&'static Api> {
    APIS.binary_search_by_key(&key, |api| api.key).ok().and_then(|at| APIS.get(at))
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::ApiKey;
    use kafka_protocol::protocol::Message;

    use super::*;

    /// The versions that both the request and its answer have; the list of keys is wrong about some.
    struct Known;

    impl ForRequest for Known {
        type Output = VersionRange;

        fn run<R: Request>(self, _: &'static Api) -> VersionRange {
            let (asked, answered) = (R::VERSIONS, R::Response::VERSIONS);
            VersionRange { min: asked.min.max(answered.min), max: asked.max.min(answered.max) }
        }
    }

    #[test]
    fn the_table_agrees_with_the_schemas() {
        for api in APIS {
            let key = ApiKey::try_from(api.key).unwrap();
            assert_eq!(format!("{key:?}"), api.name);
            let known = with_request(api.key, Known).unwrap();
            assert!(known.min <= api.versions.min && api.versions.max <= known.max, "{}", api.name);
            for (version, feature) in api.brings {
                assert!(api.versions.contains(*version), "{}: {feature}", api.name);
            }
            assert!(api.brings.is_sorted_by_key(|(version, _)| version), "{}", api.name);
        }
        assert!(APIS.is_sorted_by_key(|api| api.key));
    }

    #[test]
    fn what_is_not_in_the_table_is_not_spoken() {
        let range = spoken::<CreateDelegationTokenRequest>();
        assert!(range.min > range.max);
        assert_eq!(api_name(CreateDelegationTokenRequest::KEY), "unknown");
    }
}
