//! How questions reach the brokers that can answer them, and are asked again where the answer is "not now" or "not me".
//!
//! Things that belong to the same broker go there in one request, requests to several brokers at the same time. After
//! each round, what failed in passing is asked about again, wherever it then belongs.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::messages::MetadataResponse;
use kafka_protocol::protocol::Request;
use tokio::time::{Instant, sleep};

use super::Admin;
use super::answer::{Deed, Subject};
use crate::kafka::address::Address;
use crate::kafka::backoff::Backoff;
use crate::kafka::cluster::{CoordinatorOf, Lane};
use crate::kafka::connection::Pending;
use crate::kafka::error::Error;
use crate::kafka::metadata::BrokerId;
use crate::kafka::topic_partition::TopicPartition;
use crate::wire::error_code::{ErrorCode, Reaction};

/// For how long a topic may be unknown to a leader or a coordinator: one that was made a moment ago is not known to
/// every broker yet. Longer, and who mistypes a name would wait for nothing.
const UNKNOWN_FOR: Duration = Duration::from_secs(1);

/// Where something is asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// At any broker; at the controller, once a broker said that nobody else will do.
    Anywhere,
    /// At this broker.
    Broker(BrokerId),
    /// At the coordinator of this group.
    Coordinator(Arc<str>),
    /// At the leader of this partition.
    Leader(TopicPartition),
}

/// Who is about to be asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) broker: &'a Address,
    /// The version of the request.
    pub(super) version: i16,
}

impl Asked<'_> {
    /// Fails where the request's version is older than what something needs.
    pub(super) fn at_least(self, version: i16, what: &'static str, since: &'static str) -> Result<(), Error> {
        if self.version >= version {
            Ok(())
        } else {
            Err(Error::TooOld { broker: self.broker.clone(), what, since })
        }
    }
}

/// One thing that is asked about, and what is known of it so far.
struct Task<'a, I, T> {
    item: &'a I,
    place: Place,
    outcome: Outcome<T>,
}

enum Outcome<T> {
    Open,
    /// By the broker itself, for this thing.
    Answered(Result<T, Error>),
    /// The request as a whole came to nothing.
    Failed(Error),
}

impl<T> Outcome<T> {
    fn error(&self) -> Option<&Error> {
        match self {
            Self::Answered(Err(error)) | Self::Failed(error) => Some(error),
            Self::Open | Self::Answered(Ok(_)) => None,
        }
    }
}

/// What was learnt in the rounds so far.
#[derive(Default)]
struct Map {
    /// Known once somebody said that only the controller will do.
    controller: Option<BrokerId>,
    leaders: HashMap<TopicPartition, Result<BrokerId, Error>>,
}

/// What goes to one broker in one round; `None` for any broker.
type Load<'t, 'a, I, T> = (Option<BrokerId>, Vec<&'t mut Task<'a, I, T>>);

impl Admin {
    /// Asks about each of `items` in its place. `request` writes the request for some of them, in the version that is
    /// to be sent; `answer` reads what is said of one, which was the so-manieth of the request.
    ///
    /// Gives back a result for each, in their order; fails as a whole when no broker has said anything of any.
    pub(super) async fn each<I, R: Request, T>(
        &self,
        items: &[I],
        place: impl Fn(&I) -> Place,
        request: impl Fn(&[&I], Asked<'_>) -> Result<R, Error>,
        answer: impl Fn(&I, usize, &R::Response) -> Result<T, Error>,
    ) -> Result<Vec<Result<T, Error>>, Error> {
        let begun = Instant::now();
        let mut tasks: Vec<Task<'_, I, T>> =
            items.iter().map(|item| Task { item, place: place(item), outcome: Outcome::Open }).collect();
        let mut map = Map::default();
        let mut rounds = 0_u32;
        loop {
            let mut open: Vec<_> = tasks.iter_mut().filter(|task| task.is_open(begun.elapsed())).collect();
            if open.is_empty() || (rounds > 0 && begun.elapsed() >= self.cluster.settings.request_timeout) {
                break;
            }
            if rounds > 0 {
                self.look_around(&mut map, &open).await;
                sleep(Backoff::REQUEST.wait(rounds, fastrand::f64())).await;
            }
            map.leaders = self.leaders(&open).await;
            let mut loads: Vec<Load<'_, '_, I, T>> = Vec::new();
            for task in open.drain(..) {
                match self.locate(&map, &task.place).await {
                    Ok(broker) => match loads.iter_mut().find(|(other, _)| *other == broker) {
                        Some((_, load)) => load.push(task),
                        None => loads.push((broker, vec![task])),
                    },
                    Err(error) => task.outcome = Outcome::Failed(error),
                }
            }
            // All are sent before the first is waited for.
            let mut sent = Vec::new();
            for (broker, load) in loads {
                let about: Vec<&I> = load.iter().map(|task| task.item).collect();
                sent.push((load, self.dispatch(broker, |asked| request(&about, asked)).await));
            }
            for (load, pending) in sent {
                let response = match pending {
                    Ok(pending) => pending.await,
                    Err(error) => Err(error),
                };
                for (position, task) in load.into_iter().enumerate() {
                    task.outcome = match &response {
                        Ok(response) => Outcome::Answered(answer(task.item, position, response)),
                        Err(error) => Outcome::Failed(error.clone()),
                    };
                }
            }
            rounds = rounds.saturating_add(1);
        }
        finish(tasks)
    }

    /// The same for one thing.
    pub(super) async fn one<R: Request, T>(
        &self,
        place: Place,
        request: impl Fn(Asked<'_>) -> Result<R, Error>,
        answer: impl Fn(&R::Response) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let place = |(): &()| place.clone();
        let results =
            self.each(&[()], place, |_, asked| request(asked), |(), _, response| answer(response)).await?;
        results.into_iter().next().unwrap_or_else(unasked)
    }

    /// How long a broker may take over a change before it answers that it took too long: less than its answer is
    /// waited for, so that the connection lives. In milliseconds.
    pub(super) fn patience(&self) -> i32 {
        let most = self.cluster.settings.request_timeout;
        i32::try_from(most.saturating_sub(most / 4).as_millis()).unwrap_or(i32::MAX)
    }

    /// Learns anew what the failures of the last round put in doubt.
    async fn look_around<I, T>(&self, map: &mut Map, open: &[&mut Task<'_, I, T>]) {
        for task in open {
            if let Place::Coordinator(group) = &task.place
                && task.code() != Some(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS)
            {
                self.cluster.forget_coordinator(CoordinatorOf::Group, group);
            }
        }
        // Whoever is asked next says what is wrong, if the cluster still cannot be reached.
        if let Err(error) = self.cluster.refresh(&[], false).await {
            tracing::debug!(%error, "the cluster could not be asked for its brokers");
        }
        let wants_controller = map.controller.is_some()
            || open.iter().any(|task| task.code() == Some(ErrorCode::NOT_CONTROLLER));
        if wants_controller {
            let told = self.cluster.describe(Some(&[])).await;
            map.controller = told.ok().map(|told| told.controller_id.0).filter(|&controller| controller >= 0);
        }
    }

    /// Who leads the partitions that are to be asked about at their leaders. Not the client's own metadata, which would
    /// ask for these topics from then on.
    async fn leaders<I, T>(
        &self,
        open: &[&mut Task<'_, I, T>],
    ) -> HashMap<TopicPartition, Result<BrokerId, Error>> {
        let wanted: Vec<&TopicPartition> = open
            .iter()
            .filter_map(|task| match &task.place {
                Place::Leader(partition) => Some(partition),
                Place::Anywhere | Place::Broker(_) | Place::Coordinator(_) => None,
            })
            .collect();
        if wanted.is_empty() {
            return HashMap::new();
        }
        let mut topics: Vec<Arc<str>> = wanted.iter().map(|partition| Arc::clone(&partition.topic)).collect();
        topics.sort_unstable();
        topics.dedup();
        let told = self.cluster.describe(Some(&topics)).await;
        let leader = |partition| match &told {
            Ok(told) => leader(told, partition),
            Err(error) => Err(error.clone()),
        };
        wanted.into_iter().map(|partition| (partition.clone(), leader(partition))).collect()
    }

    async fn locate(&self, map: &Map, place: &Place) -> Result<Option<BrokerId>, Error> {
        match place {
            Place::Anywhere => Ok(map.controller),
            Place::Broker(broker) => Ok(Some(*broker)),
            Place::Coordinator(group) => {
                self.cluster.coordinator(CoordinatorOf::Group, group).await.map(Some)
            }
            Place::Leader(partition) => match map.leaders.get(partition) {
                Some(leader) => leader.clone().map(Some),
                None => Err(no_leader(partition)),
            },
        }
    }

    async fn dispatch<R: Request>(
        &self,
        broker: Option<BrokerId>,
        request: impl FnOnce(Asked<'_>) -> Result<R, Error>,
    ) -> Result<Pending<R>, Error> {
        let connection = match broker {
            Some(broker) => self.cluster.connection(broker, Lane::Prompt).await?,
            None => self.cluster.any_connection().await?,
        };
        let version = connection.version::<R>()?;
        let request = request(Asked { broker: connection.broker(), version })?;
        connection.send_in(&request, version, self.cluster.settings.request_timeout)
    }
}

impl<I, T> Task<'_, I, T> {
    /// Whether it is to be asked about, so long after the call.
    fn is_open(&self, after: Duration) -> bool {
        let Some(error) = self.outcome.error() else { return matches!(self.outcome, Outcome::Open) };
        let unknown = matches!(error, Error::UnknownTopic { .. })
            || error.code() == Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
        if unknown {
            let may_be_new = matches!(self.place, Place::Leader(_) | Place::Coordinator(_));
            return may_be_new && after < UNKNOWN_FOR;
        }
        match error.code() {
            // A member would join anew: an administrator is none.
            Some(code) => matches!(
                code.reaction(),
                Reaction::Retry | Reaction::RefreshMetadata | Reaction::FindCoordinator
            ),
            None => error.is_retriable(),
        }
    }

    fn code(&self) -> Option<ErrorCode> {
        self.outcome.error().and_then(Error::code)
    }
}

fn finish<I, T>(tasks: Vec<Task<'_, I, T>>) -> Result<Vec<Result<T, Error>>, Error> {
    let whole = |task: &Task<'_, I, T>| matches!(task.outcome, Outcome::Failed(_));
    if tasks.iter().all(whole)
        && let Some(error) = tasks.first().and_then(|task| task.outcome.error())
    {
        return Err(error.clone());
    }
    let result = |task: Task<'_, I, T>| match task.outcome {
        Outcome::Answered(result) => result,
        Outcome::Failed(error) => Err(error),
        Outcome::Open => unasked(),
    };
    Ok(tasks.into_iter().map(result).collect())
}

/// In the first round all are asked about: no task stays without an outcome.
fn unasked<T>() -> Result<T, Error> {
    Err(Error::Unanswered { doing: "cannot ask the cluster".to_owned() })
}

fn leader(told: &MetadataResponse, wanted: &TopicPartition) -> Result<BrokerId, Error> {
    let topic =
        told.topics.iter().find(|topic| topic.name.as_ref().is_some_and(|name| **name == *wanted.topic));
    let of_topic = Deed { action: "look up", subject: Subject::Topic(&wanted.topic) };
    let topic = topic.ok_or_else(|| of_topic.unanswered())?;
    of_topic.outcome(topic.error_code, None)?;
    let partition = topic.partitions.iter().find(|partition| partition.partition_index == wanted.partition);
    let Some(partition) = partition else {
        let code = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
        return Err(Error::Broker { code, doing: format!("cannot look up {}", Subject::Partition(wanted)) });
    };
    Some(partition.leader_id.0).filter(|&leader| leader >= 0).ok_or_else(|| no_leader(wanted))
}

fn no_leader(partition: &TopicPartition) -> Error {
    Error::NoLeader { topic: partition.topic.to_string(), partition: partition.partition }
}
