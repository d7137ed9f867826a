//! What a transactional producer asks its coordinator, and the coordinators of groups whose offsets it commits.
//!
//! Where the cluster can, partitions and groups join a transaction by being written to, and each transaction has an epoch
//! of its own, so that nothing of one that is over can get into the next (KIP-890). Else they are added beforehand.
//!
//! References: KIP-98 (transactions), KIP-360 (another epoch after a failure), KIP-447 (offsets of a group's members).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, EndTxnRequest, InitProducerIdRequest, TransactionalId,
    TxnOffsetCommitRequest,
};
use kafka_protocol::protocol::{Request, StrBytes};
use tokio::time::{Instant, sleep};

use crate::kafka::backoff::Backoff;
use crate::kafka::cluster::{Cluster, CoordinatorOf, Lane};
use crate::kafka::error::Error;
use crate::kafka::group::offsets::group_id;
use crate::kafka::group::{CommittedOffset, GroupMetadata};
use crate::kafka::topic_partition::{TopicPartition, by_topic};
use crate::wire::error_code::{ErrorCode, Reaction};

/// The newest versions in which partitions are added before they are written to, and epochs last for many transactions.
const PRODUCE_TO_ADDED: i16 = 11;
const END_KEEPING_EPOCH: i16 = 4;
const COMMIT_TO_ADDED: i16 = 4;
/// The newest version of AddPartitionsToTxn that is for clients.
const NEWEST_ADD: i16 = 3;
/// No version is too new of these.
const NEWEST: i16 = i16::MAX;
/// The marks of the transaction before are written within a moment.
const MOMENT: Duration = Duration::from_millis(20);

/// A producer to its coordinator: by number and epoch.
pub(in crate::kafka) type Producer = (i64, i16);

/// The way to the coordinator of one transactional id.
#[derive(Debug)]
pub(in crate::kafka) struct Coordinator {
    cluster: Arc<Cluster>,
    pub(in crate::kafka) id: Arc<str>,
    timeout: Duration,
    /// For how long something is tried again.
    patience: Duration,
    /// Whether the transaction that is open has an epoch of its own.
    own_epoch: AtomicBool,
}

impl Coordinator {
    pub(in crate::kafka) fn new(
        cluster: Arc<Cluster>,
        id: Arc<str>,
        timeout: Duration,
        patience: Duration,
    ) -> Self {
        Self { cluster, id, timeout, patience, own_epoch: AtomicBool::new(false) }
    }

    /// Finds out what the cluster can do by now, for the next transaction.
    pub(super) async fn begin(&self) -> Result<(), Error> {
        let broker = self.cluster.coordinator(CoordinatorOf::Transaction, &self.id).await?;
        let connection = self.cluster.connection(broker, Lane::Prompt).await?;
        self.own_epoch.store(connection.has_epoch_per_transaction(), Ordering::Relaxed);
        Ok(())
    }

    /// Whether partitions are added by being written to.
    pub(in crate::kafka) fn adds_by_writing(&self) -> bool {
        self.own_epoch.load(Ordering::Relaxed)
    }

    /// The newest version of Produce for the transaction that is open.
    pub(in crate::kafka) fn newest_produce(&self) -> i16 {
        self.newest(PRODUCE_TO_ADDED)
    }

    fn newest(&self, without_epochs: i16) -> i16 {
        if self.adds_by_writing() { NEWEST } else { without_epochs }
    }

    /// A number and an epoch that is newer than all before: whoever had one before may not write any more, and what they
    /// left open is aborted.
    pub(super) async fn init(&self, known: Option<Producer>) -> Result<Producer, Error> {
        let (id, epoch) = known.unwrap_or((-1, -1));
        let timeout = i32::try_from(self.timeout.as_millis()).unwrap_or(i32::MAX);
        let request = InitProducerIdRequest::default()
            .with_transactional_id(Some(self.name()))
            .with_transaction_timeout_ms(timeout)
            .with_producer_id(id.into())
            .with_producer_epoch(epoch);
        let doing = "becoming the producer";
        let answer = self.ask(&request, NEWEST, doing, |answer| ErrorCode(answer.error_code)).await?;
        Ok((answer.producer_id.0, answer.producer_epoch))
    }

    /// Makes partitions part of the transaction.
    pub(in crate::kafka) async fn add(
        &self,
        (id, epoch): Producer,
        partitions: &[TopicPartition],
    ) -> Result<(), Error> {
        let topics = by_topic(partitions.iter().map(|partition| (partition.clone(), ()))).into_iter();
        let topics = topics.map(|(topic, partitions)| {
            AddPartitionsToTxnTopic::default()
                .with_name(StrBytes::from_string(topic.to_string()).into())
                .with_partitions(partitions.into_iter().map(|(partition, ())| partition).collect())
        });
        let request = AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(self.name())
            .with_v3_and_below_producer_id(id.into())
            .with_v3_and_below_producer_epoch(epoch)
            .with_v3_and_below_topics(topics.collect());
        self.ask(&request, NEWEST_ADD, "adding partitions to the transaction", |answer| {
            let topics = answer.results_by_topic_v3_and_below.iter();
            let codes = topics.flat_map(|topic| &topic.results_by_partition);
            worst(codes.map(|partition| partition.partition_error_code))
        })
        .await
        .map(drop)
    }

    /// Commits offsets of a group as part of the transaction.
    pub(super) async fn commit_offsets(
        &self,
        (id, epoch): Producer,
        group: &GroupMetadata,
        offsets: &[(TopicPartition, CommittedOffset)],
    ) -> Result<(), Error> {
        let add = AddOffsetsToTxnRequest::default()
            .with_transactional_id(self.name())
            .with_producer_id(id.into())
            .with_producer_epoch(epoch)
            .with_group_id(group_id(&group.group));
        if !self.adds_by_writing() {
            let doing = "adding a group to the transaction";
            self.ask(&add, NEWEST, doing, |answer| ErrorCode(answer.error_code)).await?;
        }

        let topics = by_topic(offsets.iter().map(|(partition, offset)| (partition.clone(), offset)));
        let topics = topics.into_iter().map(|(topic, partitions)| {
            let partitions = partitions.into_iter().map(|(partition, offset)| {
                TxnOffsetCommitRequestPartition::default()
                    .with_partition_index(partition)
                    .with_committed_offset(offset.offset)
                    .with_committed_leader_epoch(offset.leader_epoch)
                    .with_committed_metadata(Some(StrBytes::from_string(offset.metadata.clone())))
            });
            TxnOffsetCommitRequestTopic::default()
                .with_name(StrBytes::from_string(topic.to_string()).into())
                .with_partitions(partitions.collect())
        });
        let member = group.member.as_ref();
        let commit = TxnOffsetCommitRequest::default()
            .with_transactional_id(self.name())
            .with_group_id(group_id(&group.group))
            .with_producer_id(id.into())
            .with_producer_epoch(epoch)
            .with_member_id(StrBytes::from_string(member.map(|(id, _)| id.clone()).unwrap_or_default()))
            .with_generation_id(member.map_or(-1, |(_, generation)| *generation))
            .with_group_instance_id(group.instance_id.clone().map(StrBytes::from_string))
            .with_topics(topics.collect());
        let (doing, newest) = ("committing offsets in the transaction", self.newest(COMMIT_TO_ADDED));
        let code = |answer: &kafka_protocol::messages::TxnOffsetCommitResponse| {
            let partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
            worst(partitions.map(|partition| partition.error_code))
        };
        self.ask_at((CoordinatorOf::Group, &group.group), &commit, newest, doing, code).await.map(drop)
    }

    /// Ends the transaction; the identity for the next, where that is another.
    pub(super) async fn end(&self, (id, epoch): Producer, commit: bool) -> Result<Option<Producer>, Error> {
        let request = EndTxnRequest::default()
            .with_transactional_id(self.name())
            .with_producer_id(id.into())
            .with_producer_epoch(epoch)
            .with_committed(commit);
        let doing = if commit { "committing the transaction" } else { "aborting the transaction" };
        let newest = self.newest(END_KEEPING_EPOCH);
        let answer = self.ask(&request, newest, doing, |answer| ErrorCode(answer.error_code)).await?;
        let next = (answer.producer_id.0, answer.producer_epoch);
        Ok((self.adds_by_writing() && next.1 >= 0).then_some(next))
    }

    async fn ask<R: Request>(
        &self,
        request: &R,
        newest: i16,
        doing: &str,
        code: impl Fn(&R::Response) -> ErrorCode,
    ) -> Result<R::Response, Error> {
        self.ask_at((CoordinatorOf::Transaction, &self.id), request, newest, doing, code).await
    }

    /// Asks until it is done, or refused for good: at another coordinator if need be.
    async fn ask_at<R: Request>(
        &self,
        (of, key): (CoordinatorOf, &Arc<str>),
        request: &R,
        newest: i16,
        doing: &str,
        code: impl Fn(&R::Response) -> ErrorCode,
    ) -> Result<R::Response, Error> {
        let deadline = Instant::now() + self.patience;
        let mut failures = 0;
        loop {
            let error = match self.ask_once(of, key, request, newest).await {
                Ok(response) => match code(&response) {
                    ErrorCode::NONE => return Ok(response),
                    code => Error::Broker { code, doing: format!("{doing} '{}'", self.id) },
                },
                Err(error) => error,
            };
            failures += 1;
            let wait = match error.code().map(|code| (code, code.reaction())) {
                Some((ErrorCode::CONCURRENT_TRANSACTIONS, _)) => MOMENT,
                Some((_, Reaction::Retry | Reaction::RefreshMetadata)) => {
                    Backoff::REQUEST.wait(failures, fastrand::f64())
                }
                Some((_, Reaction::FindCoordinator)) => {
                    self.cluster.forget_coordinator(of, key);
                    Backoff::REQUEST.wait(failures, fastrand::f64())
                }
                None if error.may_pass() => {
                    self.cluster.forget_coordinator(of, key);
                    Backoff::REQUEST.wait(failures, fastrand::f64())
                }
                _ => return Err(error),
            };
            if Instant::now() + wait >= deadline {
                return Err(error);
            }
            sleep(wait).await;
        }
    }

    async fn ask_once<R: Request>(
        &self,
        of: CoordinatorOf,
        key: &Arc<str>,
        request: &R,
        newest: i16,
    ) -> Result<R::Response, Error> {
        let broker = self.cluster.coordinator(of, key).await?;
        let within = self.cluster.settings.request_timeout;
        self.cluster.send(broker, Lane::Prompt, request, newest, within).await?.await
    }

    pub(in crate::kafka) fn name(&self) -> TransactionalId {
        TransactionalId(StrBytes::from_string(self.id.to_string()))
    }
}

/// The code that says most of those of several partitions: one that will not pass, if there is any.
fn worst(codes: impl Iterator<Item = i16>) -> ErrorCode {
    let mut worst = ErrorCode::NONE;
    for code in codes.map(ErrorCode).filter(|&code| code != ErrorCode::NONE) {
        // Where one is refused, the others are said not to have been tried.
        let says_more = worst == ErrorCode::NONE
            || worst == ErrorCode::OPERATION_NOT_ATTEMPTED
            || (code != ErrorCode::OPERATION_NOT_ATTEMPTED && code.reaction() == Reaction::Fatal);
        if says_more {
            worst = code;
        }
    }
    worst
}
