//! Producers with numbers, and their transactions: InitProducerId, AddPartitionsToTxn, AddOffsetsToTxn, EndTxn,
//! TxnOffsetCommit, and what operators ask: DescribeProducers, DescribeTransactions, ListTransactions.

use std::collections::BTreeMap;
use std::time::Duration;

use kafka_protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnTopicResult,
};
use kafka_protocol::messages::describe_producers_response::{
    PartitionResponse, ProducerState, TopicResponse,
};
use kafka_protocol::messages::describe_transactions_response::{TopicData, TransactionState};
use kafka_protocol::messages::list_transactions_response::TransactionState as ListedTransaction;
use kafka_protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddOffsetsToTxnResponse, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse,
    DescribeProducersRequest, DescribeProducersResponse, DescribeTransactionsRequest,
    DescribeTransactionsResponse, EndTxnRequest, EndTxnResponse, InitProducerIdRequest,
    InitProducerIdResponse, ListTransactionsRequest, ListTransactionsResponse, ProducerId, TransactionalId,
    TxnOffsetCommitRequest, TxnOffsetCommitResponse,
};
use kafka_protocol::protocol::StrBytes;

use super::{Call, Reply, code_of, commits, words};
use crate::broker::access::Operation;
use crate::broker::cluster::Cluster;
use crate::broker::groups::classic::Claim;
use crate::broker::topics::topic_name;
use crate::broker::transactions::{Identity, State};
use crate::wire::error_code::ErrorCode;

/// The first versions with a code of its own for a producer that was fenced.
const FENCED_IN_INIT: i16 = 4;
const FENCED_IN_OTHERS: i16 = 2;
/// The first versions with which offsets join a transaction by being committed, and epochs grow with each (KIP-890).
const JOINS_BY_COMMITTING: i16 = 5;
const RAISES: i16 = 5;

/// The code as older versions know it.
fn fenced(code: ErrorCode, known: bool) -> ErrorCode {
    if code == ErrorCode::PRODUCER_FENCED && !known { ErrorCode::INVALID_PRODUCER_EPOCH } else { code }
}

pub(super) fn init(
    request: InitProducerIdRequest,
    on: &mut Cluster,
    call: &Call,
) -> Reply<InitProducerIdResponse> {
    let known = (request.producer_id.0 >= 0)
        .then_some(Identity { producer_id: request.producer_id.0, epoch: request.producer_epoch });
    let identity = match &request.transactional_id {
        None => on.new_producer_id().map(|producer_id| Identity { producer_id, epoch: 0 }),
        Some(name) => call.coordinates(on, name).and_then(|()| {
            let timeout = u64::try_from(request.transaction_timeout_ms).unwrap_or_default();
            on.init_transactions(name, Duration::from_millis(timeout), known, call.now)
        }),
    };
    Reply::Now(match identity {
        Ok(identity) => InitProducerIdResponse::default()
            .with_producer_id(ProducerId(identity.producer_id))
            .with_producer_epoch(identity.epoch),
        Err(code) => refuse_init(&request, fenced(code, call.version >= FENCED_IN_INIT)),
    })
}

pub(super) fn refuse_init(_: &InitProducerIdRequest, code: ErrorCode) -> InitProducerIdResponse {
    InitProducerIdResponse::default()
        .with_error_code(code.0)
        .with_producer_id(ProducerId(-1))
        .with_producer_epoch(-1)
}

pub(super) fn add_partitions(
    request: AddPartitionsToTxnRequest,
    on: &mut Cluster,
    call: &Call,
) -> Reply<AddPartitionsToTxnResponse> {
    let name = &request.v3_and_below_transactional_id;
    let producer = Identity {
        producer_id: request.v3_and_below_producer_id.0,
        epoch: request.v3_and_below_producer_epoch,
    };
    let mut failures = BTreeMap::new();
    let mut partitions = Vec::new();
    for topic in &request.v3_and_below_topics {
        for &number in &topic.partitions {
            let there = on.topics.get(topic.name.as_str()).and_then(|topic| topic.partition(number));
            let failure = match call.authorize(Operation::Write, &topic.name) {
                Err(code) => Some(code),
                Ok(()) if there.is_none() => Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
                Ok(()) => None,
            };
            match failure {
                Some(code) => {
                    failures.insert((topic.name.to_string(), number), code);
                }
                None => partitions.push((topic.name.to_string(), number)),
            }
        }
    }
    // All or none.
    let added = if failures.is_empty() {
        let added =
            call.coordinates(on, name).and_then(|()| on.add_partitions(name, producer, partitions, call.now));
        added.map_err(|code| fenced(code, call.version >= FENCED_IN_OTHERS))
    } else {
        Err(ErrorCode::OPERATION_NOT_ATTEMPTED)
    };
    Reply::Now(results_of(&request, |topic, number| {
        failures.get(&(topic.to_owned(), number)).map_or_else(|| code_of(added), |code| code.0)
    }))
}

fn results_of(
    request: &AddPartitionsToTxnRequest,
    code: impl Fn(&str, i32) -> i16,
) -> AddPartitionsToTxnResponse {
    let topics = request.v3_and_below_topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|&number| {
            AddPartitionsToTxnPartitionResult::default()
                .with_partition_index(number)
                .with_partition_error_code(code(&topic.name, number))
        });
        AddPartitionsToTxnTopicResult::default()
            .with_name(topic.name.clone())
            .with_results_by_partition(partitions.collect())
    });
    AddPartitionsToTxnResponse::default().with_results_by_topic_v3_and_below(topics.collect())
}

pub(super) fn refuse_add_partitions(
    request: &AddPartitionsToTxnRequest,
    code: ErrorCode,
) -> AddPartitionsToTxnResponse {
    results_of(request, |_, _| code.0)
}

pub(super) fn add_offsets(
    request: AddOffsetsToTxnRequest,
    on: &mut Cluster,
    call: &Call,
) -> Reply<AddOffsetsToTxnResponse> {
    let name = &request.transactional_id;
    let producer = Identity { producer_id: request.producer_id.0, epoch: request.producer_epoch };
    let added = call.coordinates(on, name).and_then(|()| on.add_offsets(name, producer, call.now));
    let added = added.map_err(|code| fenced(code, call.version >= FENCED_IN_OTHERS));
    Reply::Now(AddOffsetsToTxnResponse::default().with_error_code(code_of(added)))
}

pub(super) fn end(request: EndTxnRequest, on: &mut Cluster, call: &Call) -> Reply<EndTxnResponse> {
    let name = &request.transactional_id;
    let producer = Identity { producer_id: request.producer_id.0, epoch: request.producer_epoch };
    let raise = call.version >= RAISES;
    let ended = call
        .coordinates(on, name)
        .and_then(|()| on.end_transaction(name, producer, request.committed, raise, call.now));
    Reply::Now(match ended {
        Ok(identity) if raise => EndTxnResponse::default()
            .with_producer_id(ProducerId(identity.producer_id))
            .with_producer_epoch(identity.epoch),
        Ok(_) => EndTxnResponse::default(),
        Err(code) => {
            EndTxnResponse::default().with_error_code(fenced(code, call.version >= FENCED_IN_OTHERS).0)
        }
    })
}

pub(super) fn commit_offsets(
    request: TxnOffsetCommitRequest,
    on: &mut Cluster,
    call: &Call,
) -> Reply<TxnOffsetCommitResponse> {
    let (name, group) = (&request.transactional_id, request.group_id.to_string());
    let producer = Identity { producer_id: request.producer_id.0, epoch: request.producer_epoch };
    let claim = Claim {
        member_id: &request.member_id,
        instance: request.group_instance_id.as_deref(),
        generation: request.generation_id,
    };
    let asked = request.topics.iter().flat_map(|topic| &topic.partitions);
    let sizes: Vec<_> =
        asked.map(|asked| asked.committed_metadata.as_ref().map_or(0, |text| text.len())).collect();
    let allowed = call.coordinates(on, &group).and_then(|()| {
        if !on.groups.has_room_for_offsets(sizes.len(), sizes.iter().sum()) {
            return Err(ErrorCode::INVALID_COMMIT_OFFSET_SIZE);
        }
        // Old producers do not say as which member they commit.
        if claim.generation < 0 && claim.member_id.is_empty() {
            return Ok(());
        }
        on.groups.get_or_new(&group)?.check_commit(&claim, call.now.instant)
    });
    if let Err(code) = allowed {
        return Reply::Now(refuse_commit(&request, code));
    }
    let mut offsets = Vec::new();
    let mut codes = BTreeMap::new();
    for topic in &request.topics {
        for asked in &topic.partitions {
            let number = asked.partition_index;
            let offset =
                (asked.committed_offset, asked.committed_leader_epoch, asked.committed_metadata.as_ref());
            let result = commits::committed(on, call, &topic.name, number, offset);
            let code = code_of(result.map(|offset| {
                offsets.push(((group.clone(), topic.name.to_string(), number), offset));
            }));
            codes.insert((topic.name.to_string(), number), code);
        }
    }
    let announced = call.version < JOINS_BY_COMMITTING;
    if let Err(code) = on.commit_in_transaction(name, producer, offsets, announced, call.now) {
        return Reply::Now(refuse_commit(&request, fenced(code, false)));
    }
    Reply::Now(commits_of(&request, |topic, number| {
        codes.get(&(topic.to_owned(), number)).copied().unwrap_or_default()
    }))
}

fn commits_of(request: &TxnOffsetCommitRequest, code: impl Fn(&str, i32) -> i16) -> TxnOffsetCommitResponse {
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|asked| {
            TxnOffsetCommitResponsePartition::default()
                .with_partition_index(asked.partition_index)
                .with_error_code(code(&topic.name, asked.partition_index))
        });
        TxnOffsetCommitResponseTopic::default()
            .with_name(topic.name.clone())
            .with_partitions(partitions.collect())
    });
    TxnOffsetCommitResponse::default().with_topics(topics.collect())
}

pub(super) fn refuse_commit(request: &TxnOffsetCommitRequest, code: ErrorCode) -> TxnOffsetCommitResponse {
    commits_of(request, |_, _| code.0)
}

// ---- What operators ask ---------------------------------------------------------------------------------------------

pub(super) fn describe_producers(
    request: DescribeProducersRequest,
    on: &mut Cluster,
    call: &Call,
) -> Reply<DescribeProducersResponse> {
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partition_indexes.iter().map(|&number| {
            let authorized = call.authorize(Operation::Read, &topic.name);
            let found = authorized.and_then(|()| on.led_partition(call.node, &topic.name, number));
            let answer = PartitionResponse::default().with_partition_index(number);
            match found {
                Ok(partition) => {
                    let producers = partition.log.producers().iter().map(|(id, state)| {
                        ProducerState::default()
                            .with_producer_id(ProducerId(id))
                            .with_producer_epoch(state.epoch.into())
                            .with_last_sequence(state.last_sequence())
                            .with_last_timestamp(state.last_timestamp)
                            .with_coordinator_epoch(0)
                            .with_current_txn_start_offset(state.transaction_start.unwrap_or(-1))
                    });
                    answer.with_active_producers(producers.collect())
                }
                Err(code) => answer.with_error_code(code.0).with_error_message(words(code)),
            }
        });
        let partitions = partitions.collect();
        TopicResponse::default().with_name(topic.name.clone()).with_partitions(partitions)
    });
    Reply::Now(DescribeProducersResponse::default().with_topics(topics.collect()))
}

pub(super) fn refuse_describe_producers(
    request: &DescribeProducersRequest,
    code: ErrorCode,
) -> DescribeProducersResponse {
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partition_indexes.iter().map(|&number| {
            PartitionResponse::default()
                .with_partition_index(number)
                .with_error_code(code.0)
                .with_error_message(words(code))
        });
        TopicResponse::default().with_name(topic.name.clone()).with_partitions(partitions.collect())
    });
    DescribeProducersResponse::default().with_topics(topics.collect())
}

pub(super) fn describe(
    request: DescribeTransactionsRequest,
    on: &mut Cluster,
    call: &Call,
) -> Reply<DescribeTransactionsResponse> {
    let states = request.transactional_ids.into_iter().map(|id| {
        if let Err(code) = call.coordinates(on, &id) {
            return refused_transaction(id, code);
        }
        let Some(transaction) = on.transactions.0.get(id.as_str()) else {
            return refused_transaction(id, ErrorCode::TRANSACTIONAL_ID_NOT_FOUND);
        };
        let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
        for (topic, partition) in &transaction.partitions {
            topics.entry(topic).or_default().push(*partition);
        }
        let topics = topics.into_iter().map(|(topic, partitions)| {
            TopicData::default().with_topic(topic_name(topic)).with_partitions(partitions)
        });
        let open = transaction.state == State::Ongoing;
        TransactionState::default()
            .with_transactional_id(id)
            .with_transaction_state(StrBytes::from_static_str(transaction.state.name()))
            .with_transaction_timeout_ms(i32::try_from(transaction.timeout.as_millis()).unwrap_or(i32::MAX))
            .with_transaction_start_time_ms(if open { transaction.started_unix_ms } else { -1 })
            .with_producer_id(ProducerId(transaction.producer_id))
            .with_producer_epoch(transaction.epoch)
            .with_topics(topics.collect())
    });
    Reply::Now(DescribeTransactionsResponse::default().with_transaction_states(states.collect()))
}

fn refused_transaction(id: TransactionalId, code: ErrorCode) -> TransactionState {
    TransactionState::default().with_transactional_id(id).with_error_code(code.0)
}

pub(super) fn refuse_describe(
    request: &DescribeTransactionsRequest,
    code: ErrorCode,
) -> DescribeTransactionsResponse {
    let states = request.transactional_ids.iter().map(|id| refused_transaction(id.clone(), code));
    DescribeTransactionsResponse::default().with_transaction_states(states.collect())
}

pub(super) fn list(
    request: ListTransactionsRequest,
    on: &mut Cluster,
    call: &Call,
) -> Reply<ListTransactionsResponse> {
    let known = [State::Empty, State::Ongoing, State::Committed, State::Aborted].map(State::name);
    let (filters, unknown): (Vec<_>, Vec<_>) =
        request.state_filters.into_iter().partition(|filter| known.contains(&filter.as_str()));
    let pattern = request.transactional_id_pattern.as_deref().filter(|pattern| !pattern.is_empty());
    let pattern = pattern.map(|pattern| regex_lite::Regex::new(&format!("^(?:{pattern})$"))).transpose();
    let Ok(pattern) = pattern else {
        let code = ErrorCode::INVALID_REGULAR_EXPRESSION;
        return Reply::Now(ListTransactionsResponse::default().with_error_code(code.0));
    };
    let here = on.transactions.0.iter().filter(|(name, _)| on.coordinator(name) == call.node);
    let listed = here.filter(|(name, transaction)| {
        let runs = call.now.unix_ms.saturating_sub(transaction.started_unix_ms);
        let long = request.duration_filter < 0
            || (transaction.state == State::Ongoing && runs > request.duration_filter);
        long && ((filters.is_empty() && unknown.is_empty())
            || filters.iter().any(|filter| filter.as_str() == transaction.state.name()))
            && (request.producer_id_filters.is_empty()
                || request.producer_id_filters.contains(&ProducerId(transaction.producer_id)))
            && pattern.as_ref().is_none_or(|pattern| pattern.is_match(name))
    });
    let states = listed.map(|(name, transaction)| {
        ListedTransaction::default()
            .with_transactional_id(TransactionalId(StrBytes::from_string(name.clone())))
            .with_producer_id(ProducerId(transaction.producer_id))
            .with_transaction_state(StrBytes::from_static_str(transaction.state.name()))
    });
    let states = states.collect();
    Reply::Now(
        ListTransactionsResponse::default()
            .with_unknown_state_filters(unknown)
            .with_transaction_states(states),
    )
}
