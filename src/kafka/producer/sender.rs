//! The task behind a producer: moves what `queues` decides to the brokers, and their answers back.

use std::sync::Arc;

use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{InitProducerIdRequest, ProduceRequest, ProduceResponse};
use kafka_protocol::protocol::StrBytes;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use uuid::Uuid;

use super::Shared;
use super::queues::{Dispatch, Identity, Outcome};
use super::record::ProduceError;
use crate::kafka::backoff::Backoff;
use crate::kafka::cluster::{Cluster, Lane};
use crate::kafka::error::Error;
use crate::kafka::metadata::{BrokerId, Snapshot};
use crate::kafka::printable::printable;
use crate::wire::api::TOPICS_BY_ID;
use crate::wire::error_code::ErrorCode;

const ALL_IN_SYNC_REPLICAS: i16 = -1;

/// What a question to the cluster brought.
#[derive(Debug)]
enum Answer {
    Produced { broker: BrokerId, outcomes: Vec<(Arc<str>, i32, Outcome)> },
    Identified(Result<Identity, Error>),
    Refreshed { failed: bool },
}

/// Runs until it is aborted with its producer.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut answers: JoinSet<Answer> = JoinSet::new();
    let (mut identifying, mut refreshing) = (false, false);
    // In a row, for back-off.
    let (mut identify_failures, mut refresh_failures) = (0_u32, 0_u32);
    loop {
        let snapshot = shared.cluster.snapshot();
        let now = Instant::now();
        let (requests, wants_identity, leaderless, wake) = {
            let mut queues = shared.queues();
            queues.expire(now);
            let requests = queues.next_requests(&snapshot, now);
            let freed = queues.take_freed();
            shared.memory.add_permits(freed);
            (requests, queues.wants_identity(), queues.leaderless(&snapshot), queues.next_look(now))
        };
        for (broker, dispatches) in requests {
            let cluster = Arc::clone(&shared.cluster);
            let snapshot = Arc::clone(&snapshot);
            answers.spawn(async move { produce(&cluster, &snapshot, broker, dispatches).await });
        }
        if wants_identity && !identifying {
            identifying = true;
            let cluster = Arc::clone(&shared.cluster);
            let failures = identify_failures;
            let wait = (failures > 0).then(|| Backoff::REQUEST.wait(failures, fastrand::f64()));
            answers.spawn(async move {
                if let Some(wait) = wait {
                    sleep(wait).await;
                }
                Answer::Identified(identify(&cluster).await)
            });
        }
        if !leaderless.is_empty() && !refreshing {
            refreshing = true;
            answers.spawn(refresh(Arc::clone(&shared.cluster), leaderless, refresh_failures));
        }
        tokio::select! {
            () = shared.work.notified() => {}
            Some(answer) = answers.join_next() => match answer {
                Ok(Answer::Produced { broker, outcomes }) => {
                    let topics: Vec<Arc<str>> = outcomes.iter().map(|(topic, ..)| Arc::clone(topic)).collect();
                    let stale = shared.queues().on_answer(broker, outcomes, Instant::now());
                    if stale && !refreshing {
                        refreshing = true;
                        answers.spawn(refresh(Arc::clone(&shared.cluster), topics, refresh_failures));
                    }
                }
                Ok(Answer::Identified(Ok(identity))) => {
                    (identifying, identify_failures) = (false, 0);
                    shared.queues().identify(identity);
                }
                Ok(Answer::Identified(Err(error))) => {
                    identifying = false;
                    identify_failures = identify_failures.saturating_add(1);
                    if !error.is_retriable() {
                        shared.queues().fail_all(&ProduceError::Cluster(error));
                    }
                }
                Ok(Answer::Refreshed { failed }) => {
                    refreshing = false;
                    refresh_failures = if failed { refresh_failures.saturating_add(1) } else { 0 };
                }
                // Tasks are neither cancelled nor do they panic; one that did has nothing to say.
                Err(_) => {}
            },
            () = sleep_until(wake.unwrap_or(now)), if wake.is_some() => {}
        }
    }
}

async fn refresh(cluster: Arc<Cluster>, topics: Vec<Arc<str>>, failures: u32) -> Answer {
    sleep(Backoff::RECONNECT.wait(failures.saturating_add(1), fastrand::f64())).await;
    let refreshed = cluster.refresh(&topics, false).await;
    match &refreshed {
        // Once is enough for whoever watches.
        Err(error) if failures == 0 => {
            tracing::warn!(%error, "writing is interrupted and will be tried again");
        }
        Err(error) => tracing::debug!(%error, failures, "still interrupted"),
        Ok(_) => tracing::debug!("the metadata is new"),
    }
    Answer::Refreshed { failed: refreshed.is_err() }
}

async fn produce(
    cluster: &Cluster,
    snapshot: &Snapshot,
    broker: BrokerId,
    dispatches: Vec<Dispatch>,
) -> Answer {
    let asked: Vec<(Arc<str>, i32)> =
        dispatches.iter().map(|part| (Arc::clone(&part.topic), part.partition)).collect();
    let timeout = cluster.settings.request_timeout;
    let request = request(snapshot, dispatches, timeout);
    let by_id = request.topic_data.iter().all(|topic| !topic.topic_id.is_nil());
    let newest = if by_id { i16::MAX } else { TOPICS_BY_ID - 1 };
    let outcomes = match cluster.send(broker, Lane::Prompt, &request, newest, timeout).await {
        Err(error) => failed(asked, &error, false),
        Ok(pending) => match pending.await {
            Ok(response) => answered(asked, snapshot, &response),
            // It was sent: whether it was read, nobody knows.
            Err(error) => failed(asked, &error, true),
        },
    };
    Answer::Produced { broker, outcomes }
}

fn request(snapshot: &Snapshot, dispatches: Vec<Dispatch>, timeout: std::time::Duration) -> ProduceRequest {
    let mut topics: Vec<(Arc<str>, TopicProduceData)> = Vec::new();
    for Dispatch { topic, partition, records } in dispatches {
        let data = PartitionProduceData::default().with_index(partition).with_records(Some(records));
        // Partitions come topic by topic.
        match topics.last_mut() {
            Some((last, produce)) if *last == topic => produce.partition_data.push(data),
            _ => {
                let produce = TopicProduceData::default()
                    .with_name(StrBytes::from_string(topic.to_string()).into())
                    .with_topic_id(topic_id(snapshot, &topic))
                    .with_partition_data(vec![data]);
                topics.push((topic, produce));
            }
        }
    }
    ProduceRequest::default()
        .with_transactional_id(None)
        .with_acks(ALL_IN_SYNC_REPLICAS)
        .with_timeout_ms(i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX))
        .with_topic_data(topics.into_iter().map(|(_, produce)| produce).collect())
}

/// Nil where it is not known.
fn topic_id(snapshot: &Snapshot, topic: &str) -> Uuid {
    snapshot.topic(topic).map(|known| known.id).unwrap_or_default()
}

fn failed(asked: Vec<(Arc<str>, i32)>, error: &Error, maybe_written: bool) -> Vec<(Arc<str>, i32, Outcome)> {
    let outcome =
        |(topic, partition)| (topic, partition, Outcome::Failed { error: error.clone(), maybe_written });
    asked.into_iter().map(outcome).collect()
}

fn answered(
    asked: Vec<(Arc<str>, i32)>,
    snapshot: &Snapshot,
    response: &ProduceResponse,
) -> Vec<(Arc<str>, i32, Outcome)> {
    let outcome = |(topic, partition): (Arc<str>, i32)| {
        let id = topic_id(snapshot, &topic);
        // Named by id or by name, as it was asked.
        let parts = response
            .responses
            .iter()
            .filter(|part| if part.topic_id.is_nil() { **part.name == *topic } else { part.topic_id == id });
        let part = parts.flat_map(|part| &part.partition_responses).find(|part| part.index == partition);
        let outcome = match part {
            Some(part) => Outcome::Answered {
                code: ErrorCode(part.error_code),
                message: part.error_message.as_ref().map(|words| printable(words)),
                base_offset: part.base_offset,
                append_time: part.log_append_time_ms,
            },
            None => {
                let error = Error::NoLeader { topic: topic.to_string(), partition };
                Outcome::Failed { error, maybe_written: true }
            }
        };
        (topic, partition, outcome)
    };
    asked.into_iter().map(outcome).collect()
}

/// Asks for a producer number. Brokers that refuse it, or are too old, are written to without.
async fn identify(cluster: &Cluster) -> Result<Identity, Error> {
    let request = InitProducerIdRequest::default()
        .with_transactional_id(None)
        .with_transaction_timeout_ms(i32::MAX)
        .with_producer_id((-1).into())
        .with_producer_epoch(-1);
    let response = cluster.ask(&request).await?;
    match ErrorCode(response.error_code) {
        ErrorCode::NONE => Ok(Identity::Known { id: response.producer_id.0, epoch: response.producer_epoch }),
        code @ (ErrorCode::CLUSTER_AUTHORIZATION_FAILED | ErrorCode::UNSUPPORTED_VERSION) => {
            tracing::warn!(%code, "this user may not write idempotently: a retry may double messages");
            Ok(Identity::Refused)
        }
        code => Err(Error::Broker { code, doing: "asking for a producer number".to_owned() }),
    }
}
