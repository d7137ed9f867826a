//! Which function is for which request: the one table of what this broker answers.

use kafka_protocol::messages::*;
use kafka_protocol::protocol::Request;

use super::{
    Call, Handle, Reply, cluster, commits, configs, consumer_groups, fetch, groups, offsets, produce, topics,
    transactions,
};
use crate::broker::cluster::Cluster;
use crate::wire::error_code::ErrorCode;

/// An answer whose only place for a code is at its top.
macro_rules! top {
    ($response:ident) => {
        |_, code: ErrorCode| <$response>::default().with_error_code(code.0)
    };
}

macro_rules! handlers {
    ($($request:ident $handle:expr, $refuse:expr;)+) => {
        $(impl Handle for $request {
            fn handle(self, on: &mut Cluster, call: &Call) -> Reply<Self::Response> {
                $handle(self, on, call)
            }

            fn refuse(&self, code: ErrorCode) -> Self::Response {
                $refuse(self, code)
            }

            fn throttle(response: Self::Response, milliseconds: i32) -> Self::Response {
                response.with_throttle_time_ms(milliseconds)
            }
        })+

        /// Something to do with whichever request a number on the wire stands for.
        pub(in crate::broker) trait ForHandled {
            type Output;

            fn run<R: Handle<Response: Send + 'static>>(self) -> Self::Output;
        }

        /// Does `task` with the type of the request whose key this is; `None` for one that is not handled.
        pub(in crate::broker) fn with_handled<T: ForHandled>(key: i16, task: T) -> Option<T::Output> {
            match key {
                $(<$request as Request>::KEY => Some(task.run::<$request>()),)+
                _ => None,
            }
        }

        /// The keys of all that is answered, with those of authentication and of this list itself.
        pub(in crate::broker) const ANSWERED: &[i16] = &[
            $(<$request as Request>::KEY,)+
            SaslHandshakeRequest::KEY,
            ApiVersionsRequest::KEY,
            SaslAuthenticateRequest::KEY,
        ];
    };
}

handlers! {
    ProduceRequest produce::handle, produce::refuse;
    FetchRequest fetch::handle, fetch::refuse;
    ListOffsetsRequest offsets::list, offsets::refuse_list;
    MetadataRequest cluster::metadata, cluster::refuse_metadata;
    OffsetCommitRequest commits::commit, commits::refuse_commit;
    OffsetFetchRequest commits::fetch, commits::refuse_fetch;
    FindCoordinatorRequest cluster::find_coordinator, cluster::refuse_coordinator;
    JoinGroupRequest groups::join, groups::refuse_join;
    HeartbeatRequest groups::heartbeat, top!(HeartbeatResponse);
    LeaveGroupRequest groups::leave, groups::refuse_leave;
    SyncGroupRequest groups::sync, groups::refuse_sync;
    DescribeGroupsRequest groups::describe, groups::refuse_describe;
    ListGroupsRequest consumer_groups::list, top!(ListGroupsResponse);
    CreateTopicsRequest topics::create, topics::refuse_create;
    DeleteTopicsRequest topics::delete, topics::refuse_delete;
    DeleteRecordsRequest topics::delete_records, topics::refuse_delete_records;
    InitProducerIdRequest transactions::init, transactions::refuse_init;
    OffsetForLeaderEpochRequest offsets::ends_of_epochs, offsets::refuse_ends;
    AddPartitionsToTxnRequest transactions::add_partitions, transactions::refuse_add_partitions;
    AddOffsetsToTxnRequest transactions::add_offsets, top!(AddOffsetsToTxnResponse);
    EndTxnRequest transactions::end, top!(EndTxnResponse);
    TxnOffsetCommitRequest transactions::commit_offsets, transactions::refuse_commit;
    DescribeConfigsRequest configs::describe, configs::refuse_describe;
    AlterConfigsRequest configs::alter_all, configs::refuse_alter_all;
    CreatePartitionsRequest topics::grow, topics::refuse_grow;
    DeleteGroupsRequest consumer_groups::delete, consumer_groups::refuse_delete;
    IncrementalAlterConfigsRequest configs::alter_some, configs::refuse_alter_some;
    OffsetDeleteRequest commits::delete, top!(OffsetDeleteResponse);
    DescribeClusterRequest cluster::describe_cluster, cluster::refuse_cluster;
    DescribeProducersRequest transactions::describe_producers, transactions::refuse_describe_producers;
    DescribeTransactionsRequest transactions::describe, transactions::refuse_describe;
    ListTransactionsRequest transactions::list, top!(ListTransactionsResponse);
    ConsumerGroupHeartbeatRequest consumer_groups::heartbeat, consumer_groups::refuse_heartbeat;
    ConsumerGroupDescribeRequest consumer_groups::describe, consumer_groups::refuse_describe;
    DescribeTopicPartitionsRequest cluster::describe_partitions, cluster::refuse_partitions;
}
