//! The task behind a producer: moves what `queues` decides to the brokers, and their answers back.
//!
//! Requests to a broker go out in the order in which they were made up, since batches of a partition follow each other
//! without waiting for answers: what goes over an open connection is sent by this task itself. Where there is none, the
//! first request goes along with its login, and others wait until that is through.

use std::collections::HashSet;
use std::sync::Arc;

use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{InitProducerIdRequest, ProduceRequest, ProduceResponse};
use kafka_protocol::protocol::StrBytes;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use uuid::Uuid;

use super::queue::{Identity, Load};
use super::queues::{Dispatch, Outcome, Place};
use super::record::ProduceError;
use super::{Acks, Shared};
use crate::kafka::backoff::Backoff;
use crate::kafka::cluster::{Cluster, Lane, NEWEST};
use crate::kafka::connection::{Connection, Pending};
use crate::kafka::error::Error;
use crate::kafka::metadata::{BrokerId, Snapshot};
use crate::kafka::printable::printable;
use crate::kafka::topic_partition::TopicPartition;
use crate::wire::api::TOPICS_BY_ID;
use crate::wire::error_code::ErrorCode;

/// What a question to the cluster brought.
#[derive(Debug)]
enum Answer {
    /// A connection was made, and its first request is on its way; or not.
    Opened {
        asked: Asked,
        sent: Result<Pending<ProduceRequest>, Error>,
    },
    Produced {
        broker: BrokerId,
        outcomes: Vec<(Place, Outcome)>,
    },
    Identified(Result<Identity, Error>),
    Added {
        partitions: Vec<TopicPartition>,
        answer: Result<(), Error>,
    },
    Refreshed {
        failed: bool,
    },
}

/// A request that was made up.
#[derive(Debug)]
struct Asked {
    broker: BrokerId,
    places: Vec<Place>,
    snapshot: Arc<Snapshot>,
}

struct Sender {
    shared: Arc<Shared>,
    answers: JoinSet<Answer>,
    /// Brokers to which a connection is being made.
    opening: HashSet<BrokerId>,
    identifying: bool,
    refreshing: bool,
    /// In a row, for back-off.
    identify_failures: u32,
    refresh_failures: u32,
}

/// Runs until it is aborted with its producer.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut sender = Sender {
        shared,
        answers: JoinSet::new(),
        opening: HashSet::new(),
        identifying: false,
        refreshing: false,
        identify_failures: 0,
        refresh_failures: 0,
    };
    loop {
        let wake = sender.look();
        tokio::select! {
            () = sender.shared.work.notified() => {}
            // Tasks are neither cancelled nor do they panic; one that did has nothing to say.
            Some(Ok(answer)) = sender.answers.join_next() => sender.on_answer(answer),
            () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {}
        }
    }
}

impl Sender {
    /// Sends what can be sent, and asks for what is missing; when to look again though nothing has happened.
    fn look(&mut self) -> Option<Instant> {
        let cluster = &self.shared.cluster;
        let snapshot = cluster.snapshot();
        let now = Instant::now();
        let most = |broker| {
            if self.opening.contains(&broker) {
                0
            } else if cluster.open_connection_to(broker, Lane::Prompt).is_some() {
                usize::MAX
            } else {
                1
            }
        };
        let (requests, wants_identity, leaderless, to_be_added, identity) = {
            let mut queues = self.shared.queues();
            queues.expire(now);
            let mut to_be_added = queues.next_to_add();
            if self.shared.transactions.as_ref().is_some_and(|coordinator| coordinator.adds_by_writing()) {
                queues.on_added(std::mem::take(&mut to_be_added));
            }
            let requests = queues.next_requests(&snapshot, most, now);
            self.shared.memory.add_permits(queues.take_freed());
            let leaderless = queues.leaderless(&snapshot);
            (requests, queues.wants_identity(), leaderless, to_be_added, queues.identity())
        };
        for (broker, dispatches) in requests {
            self.send(broker, dispatches, &snapshot);
        }
        match &self.shared.transactions {
            Some(coordinator) => {
                if let Identity::Known { id, epoch } = identity
                    && !to_be_added.is_empty()
                {
                    let coordinator = Arc::clone(coordinator);
                    self.answers.spawn(async move {
                        let answer = coordinator.add((id, epoch), &to_be_added).await;
                        Answer::Added { partitions: to_be_added, answer }
                    });
                }
            }
            // That of transactions is taken when they are begun.
            None if wants_identity && !self.identifying => self.identify(),
            None => {}
        }
        if !leaderless.is_empty() {
            self.refresh(leaderless);
        }
        self.shared.queues().next_look(now)
    }

    fn send(&mut self, broker: BrokerId, dispatches: Vec<Dispatch>, snapshot: &Arc<Snapshot>) {
        let mut places = Vec::with_capacity(dispatches.len());
        let mut failed = Vec::new();
        let mut request = RequestBuilder::new(snapshot);
        for Dispatch { place, load } in dispatches {
            match finish(load) {
                Ok((records, is_new)) => {
                    if is_new {
                        self.shared.queues().keep(&place, &records);
                    }
                    request.add(&place, records);
                    places.push(place);
                }
                Err(error) => failed.push((place, Outcome::Failed { error, maybe_written: false })),
            }
        }
        if places.is_empty() {
            self.shared.queues().on_answer(broker, failed, Instant::now());
            return;
        }
        self.shared.queues().on_outcomes(failed, Instant::now());
        let timeout = self.shared.cluster.settings.request_timeout;
        let (request, newest) = request.finish(&self.shared, timeout);
        let asked = Asked { broker, places, snapshot: Arc::clone(snapshot) };
        let cluster = Arc::clone(&self.shared.cluster);
        match cluster.open_connection_to(broker, Lane::Prompt) {
            Some(connection) if self.shared.acks == Acks::None => {
                self.answers.spawn(asked.written(async move {
                    let version = connection.version::<ProduceRequest>()?.min(newest);
                    connection.send_unanswered(&request, version).await
                }));
            }
            Some(connection) => {
                let sent = send_on(&connection, &request, newest, timeout);
                self.answers.spawn(asked.answered(sent));
            }
            None if self.shared.acks == Acks::None => {
                self.answers.spawn(asked.written(async move {
                    let connection = cluster.connection(broker, Lane::Prompt).await?;
                    let version = connection.version::<ProduceRequest>()?.min(newest);
                    connection.send_unanswered(&request, version).await
                }));
            }
            None => {
                self.opening.insert(broker);
                self.answers.spawn(async move {
                    let sent = cluster.send(broker, Lane::Prompt, &request, newest, timeout).await;
                    Answer::Opened { asked, sent }
                });
            }
        }
    }

    fn on_answer(&mut self, answer: Answer) {
        match answer {
            Answer::Opened { asked, sent } => {
                self.opening.remove(&asked.broker);
                self.answers.spawn(asked.answered(sent));
            }
            Answer::Produced { broker, outcomes } => {
                let topics: Vec<Arc<str>> =
                    outcomes.iter().map(|(place, _)| Arc::clone(&place.topic)).collect();
                let is_stale = self.shared.queues().on_answer(broker, outcomes, Instant::now());
                if is_stale {
                    self.refresh(topics);
                }
            }
            Answer::Identified(Ok(identity)) => {
                (self.identifying, self.identify_failures) = (false, 0);
                self.shared.queues().identify(identity);
            }
            Answer::Identified(Err(error)) => {
                self.identifying = false;
                self.identify_failures = self.identify_failures.saturating_add(1);
                if !error.is_retriable() {
                    self.shared.queues().fail_waiting(&ProduceError::Cluster(error));
                }
            }
            Answer::Added { partitions, answer: Ok(()) } => self.shared.queues().on_added(partitions),
            Answer::Added { answer: Err(error), .. } => {
                self.shared.queues().fail_waiting(&ProduceError::Cluster(error));
            }
            Answer::Refreshed { failed } => {
                self.refreshing = false;
                self.refresh_failures = if failed { self.refresh_failures.saturating_add(1) } else { 0 };
            }
        }
    }

    fn identify(&mut self) {
        self.identifying = true;
        let cluster = Arc::clone(&self.shared.cluster);
        let failures = self.identify_failures;
        let wait = (failures > 0).then(|| Backoff::REQUEST.wait(failures, fastrand::f64()));
        self.answers.spawn(async move {
            if let Some(wait) = wait {
                sleep(wait).await;
            }
            Answer::Identified(identify(&cluster).await)
        });
    }

    fn refresh(&mut self, topics: Vec<Arc<str>>) {
        if std::mem::replace(&mut self.refreshing, true) {
            return;
        }
        let (cluster, failures) = (Arc::clone(&self.shared.cluster), self.refresh_failures);
        self.answers.spawn(async move {
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
        });
    }
}

impl Asked {
    /// What becomes of it, once it is answered.
    async fn answered(self, sent: Result<Pending<ProduceRequest>, Error>) -> Answer {
        let broker = self.broker;
        let outcomes = match sent {
            Err(error) => self.failed(&error, false),
            Ok(pending) => match pending.await {
                Ok(response) => self.outcomes(&response),
                // It was sent: whether it was read, nobody knows.
                Err(error) => self.failed(&error, true),
            },
        };
        Answer::Produced { broker, outcomes }
    }

    /// What becomes of it where it is not answered, but written.
    async fn written(self, writing: impl Future<Output = Result<(), Error>>) -> Answer {
        let broker = self.broker;
        let outcomes = match writing.await {
            Ok(()) => {
                let stored = Outcome::Answered {
                    code: ErrorCode::NONE,
                    message: None,
                    base_offset: -1,
                    append_time: -1,
                };
                self.places.into_iter().map(|place| (place, stored.clone())).collect()
            }
            Err(error) => self.failed(&error, true),
        };
        Answer::Produced { broker, outcomes }
    }

    fn failed(self, error: &Error, maybe_written: bool) -> Vec<(Place, Outcome)> {
        let outcome = |place| (place, Outcome::Failed { error: error.clone(), maybe_written });
        self.places.into_iter().map(outcome).collect()
    }

    fn outcomes(self, response: &ProduceResponse) -> Vec<(Place, Outcome)> {
        let Self { places, snapshot, .. } = self;
        let outcome = |place: Place| {
            let id = topic_id(&snapshot, &place.topic);
            // Named by id or by name, as it was asked.
            let parts = response.responses.iter().filter(|part| {
                if part.topic_id.is_nil() { **part.name == *place.topic } else { part.topic_id == id }
            });
            let mut parts = parts.flat_map(|part| &part.partition_responses);
            let outcome = match parts.find(|part| part.index == place.partition) {
                Some(part) => Outcome::Answered {
                    code: ErrorCode(part.error_code),
                    message: part.error_message.as_ref().map(|words| printable(words)),
                    base_offset: part.base_offset,
                    append_time: part.log_append_time_ms,
                },
                None => {
                    let error =
                        Error::NoLeader { topic: place.topic.to_string(), partition: place.partition };
                    Outcome::Failed { error, maybe_written: true }
                }
            };
            (place, outcome)
        };
        places.into_iter().map(outcome).collect()
    }
}

/// The bytes of a batch, and whether they are new.
fn finish(load: Load) -> Result<(bytes::Bytes, bool), Error> {
    match load {
        Load::Again(records) => Ok((records, false)),
        Load::New(builder, stamp) => {
            let finished = builder.finish(stamp).map(|records| (records, true));
            finished.map_err(|source| Error::Setting { setting: "compression", reason: source.to_string() })
        }
    }
}

/// On its way when this returns.
fn send_on(
    connection: &Connection,
    request: &ProduceRequest,
    newest: i16,
    timeout: std::time::Duration,
) -> Result<Pending<ProduceRequest>, Error> {
    connection.send_in(request, connection.version::<ProduceRequest>()?.min(newest), timeout)
}

struct RequestBuilder<'a> {
    snapshot: &'a Snapshot,
    topics: Vec<(Arc<str>, TopicProduceData)>,
}

impl<'a> RequestBuilder<'a> {
    fn new(snapshot: &'a Snapshot) -> Self {
        Self { snapshot, topics: Vec::new() }
    }

    fn add(&mut self, place: &Place, records: bytes::Bytes) {
        let data = PartitionProduceData::default().with_index(place.partition).with_records(Some(records));
        // Partitions come topic by topic.
        match self.topics.last_mut() {
            Some((last, produce)) if *last == place.topic => produce.partition_data.push(data),
            _ => {
                let produce = TopicProduceData::default()
                    .with_name(StrBytes::from_string(place.topic.to_string()).into())
                    .with_topic_id(topic_id(self.snapshot, &place.topic))
                    .with_partition_data(vec![data]);
                self.topics.push((Arc::clone(&place.topic), produce));
            }
        }
    }

    /// The request, and the newest version that it can be sent in.
    fn finish(self, shared: &Shared, timeout: std::time::Duration) -> (ProduceRequest, i16) {
        let by_id = self.topics.iter().all(|(_, topic)| !topic.topic_id.is_nil());
        let request = ProduceRequest::default()
            .with_transactional_id(shared.transactions.as_ref().map(|coordinator| coordinator.name()))
            .with_acks(shared.acks.number())
            .with_timeout_ms(i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX))
            .with_topic_data(self.topics.into_iter().map(|(_, produce)| produce).collect());
        let newest = shared.transactions.as_ref().map_or(NEWEST, |coordinator| coordinator.newest_produce());
        (request, if by_id { newest } else { newest.min(TOPICS_BY_ID - 1) })
    }
}

/// Nil where it is not known.
fn topic_id(snapshot: &Snapshot, topic: &str) -> Uuid {
    snapshot.topic(topic).map(|known| known.id).unwrap_or_default()
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
            Ok(Identity::Anonymous)
        }
        code => Err(Error::Broker { code, doing: "asking for a producer number".to_owned() }),
    }
}
