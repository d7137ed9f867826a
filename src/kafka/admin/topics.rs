//! Topics come, grow and go: CreateTopics, CreatePartitions, DeleteTopics.
//!
//! [`Client::list_topics`](crate::kafka::Client::list_topics) and
//! [`Client::describe_topics`](crate::kafka::Client::describe_topics) show those that are there.

use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use kafka_protocol::messages::create_topics_response::CreatableTopicResult;
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest, CreateTopicsResponse,
    DeleteTopicsRequest, DeleteTopicsResponse,
};

use super::Admin;
use super::answer::{Deed, Subject, known, text};
use super::errand::{Asked, Place};
use crate::kafka::error::Error;

/// Stands for the broker's own number of partitions or replicas.
const BROKERS_OWN: i16 = -1;
/// The first version of CreateTopics that knows it (KIP-464).
const KNOWS_BROKERS_OWN: i16 = 4;
/// The first version of DeleteTopics whose topics are structures, since they may be named by id (KIP-516).
const DELETES_BY_ID: i16 = 6;

/// A topic to make.
///
/// # Defaults
///
/// As many partitions and replicas as the broker makes on its own (`num.partitions`, `default.replication.factor`;
/// brokers since Kafka 2.4), and its settings.
///
/// ```
/// use hop::kafka::admin::NewTopic;
/// let topic = NewTopic::new("alerts").partitions(3).replication_factor(2).config("cleanup.policy", "compact");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a topic is made by `Admin::create_topics`"]
pub struct NewTopic {
    name: String,
    partitions: Option<i32>,
    replication_factor: Option<i16>,
    assignment: Vec<Vec<i32>>,
    configs: Vec<(String, String)>,
}

impl NewTopic {
    /// A topic of this name, with the broker's own settings.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            partitions: None,
            replication_factor: None,
            assignment: Vec::new(),
            configs: Vec::new(),
        }
    }

    /// How many partitions it has.
    pub fn partitions(mut self, count: i32) -> Self {
        self.partitions = Some(count);
        self
    }

    /// On how many brokers each partition is kept.
    pub fn replication_factor(mut self, brokers: i16) -> Self {
        self.replication_factor = Some(brokers);
        self
    }

    /// Which brokers keep each partition, the preferred leader first: one list a partition, from partition 0 on. Takes
    /// the place of [`partitions`](Self::partitions) and [`replication_factor`](Self::replication_factor), beside which
    /// brokers refuse it.
    pub fn replica_assignment<B: IntoIterator<Item = i32>>(
        mut self,
        brokers: impl IntoIterator<Item = B>,
    ) -> Self {
        self.assignment = brokers.into_iter().map(|replicas| replicas.into_iter().collect()).collect();
        self
    }

    /// A setting of the topic, such as `retention.ms`.
    pub fn config(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.configs.push((name.into(), value.into()));
        self
    }

    fn leaves_counts_to_the_broker(&self) -> bool {
        self.assignment.is_empty() && (self.partitions.is_none() || self.replication_factor.is_none())
    }

    fn to_request(&self) -> CreatableTopic {
        let assignments = (0..).zip(&self.assignment).map(|(partition, brokers)| {
            CreatableReplicaAssignment::default()
                .with_partition_index(partition)
                .with_broker_ids(brokers.iter().map(|&broker| broker.into()).collect())
        });
        let configs = self.configs.iter().map(|(name, value)| {
            CreatableTopicConfig::default().with_name(text(name)).with_value(Some(text(value)))
        });
        CreatableTopic::default()
            .with_name(text(&self.name).into())
            .with_num_partitions(self.partitions.unwrap_or(BROKERS_OWN.into()))
            .with_replication_factor(self.replication_factor.unwrap_or(BROKERS_OWN))
            .with_assignments(assignments.collect())
            .with_configs(configs.collect())
    }
}

/// A topic that was made, or could be. What it says is known from brokers since Kafka 2.4, and only to users who may see
/// the topic's settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct CreatedTopic {
    /// How many partitions it has.
    pub partitions: Option<i32>,
    /// On how many brokers each of them is kept.
    pub replication_factor: Option<i16>,
}

impl From<&CreatableTopicResult> for CreatedTopic {
    fn from(result: &CreatableTopicResult) -> Self {
        Self {
            partitions: known(result.num_partitions),
            replication_factor: known(result.replication_factor),
        }
    }
}

impl Admin {
    /// Makes topics. Other brokers than the one that answered may learn of them a little later.
    ///
    /// # Errors
    ///
    /// For each: [`Error::NotAuthorized`], and [`Error::Refused`] with the broker's code and words, such as
    /// `TOPIC_ALREADY_EXISTS`. As a whole: those of reaching the cluster; [`Error::TooOld`] where a broker before Kafka
    /// 2.4 should choose a number itself.
    pub async fn create_topics(
        &self,
        topics: &[NewTopic],
    ) -> Result<Vec<(String, Result<CreatedTopic, Error>)>, Error> {
        self.create(topics, false).await
    }

    /// Asks whether topics could be made as they are, and makes none.
    ///
    /// # Errors
    ///
    /// As for [`create_topics`](Self::create_topics).
    pub async fn validate_new_topics(
        &self,
        topics: &[NewTopic],
    ) -> Result<Vec<(String, Result<CreatedTopic, Error>)>, Error> {
        self.create(topics, true).await
    }

    async fn create(
        &self,
        topics: &[NewTopic],
        validate_only: bool,
    ) -> Result<Vec<(String, Result<CreatedTopic, Error>)>, Error> {
        let request = |topics: &[&NewTopic], asked: Asked<'_>| {
            if topics.iter().any(|topic| topic.leaves_counts_to_the_broker()) {
                let what = "a number of partitions or replicas of the broker's own";
                asked.at_least(KNOWS_BROKERS_OWN, what, "2.4")?;
            }
            Ok(CreateTopicsRequest::default()
                .with_topics(topics.iter().map(|topic| topic.to_request()).collect())
                .with_timeout_ms(self.patience())
                .with_validate_only(validate_only))
        };
        let answer = |topic: &NewTopic, _, response: &CreateTopicsResponse| {
            let deed = Deed { action: "create", subject: Subject::Topic(&topic.name) };
            let result = response.topics.iter().find(|result| **result.name == *topic.name);
            let result = result.ok_or_else(|| deed.unanswered())?;
            deed.outcome(result.error_code, result.error_message.as_ref())?;
            Ok(CreatedTopic::from(result))
        };
        let results = self.each(topics, |_| Place::Anywhere, request, answer).await?;
        Ok(topics.iter().map(|topic| topic.name.clone()).zip(results).collect())
    }

    /// Deletes topics with all that is in them. Brokers that lag behind may show them for a little longer.
    ///
    /// # Errors
    ///
    /// For each: [`Error::UnknownTopic`], [`Error::NotAuthorized`], or the broker's code, such as
    /// `TOPIC_DELETION_DISABLED`. As a whole: those of reaching the cluster.
    pub async fn delete_topics(&self, names: &[&str]) -> Result<Vec<(String, Result<(), Error>)>, Error> {
        let request = |names: &[&&str], asked: Asked<'_>| {
            let request = DeleteTopicsRequest::default().with_timeout_ms(self.patience());
            Ok(if asked.version >= DELETES_BY_ID {
                let topic = |name: &&&str| DeleteTopicState::default().with_name(Some(text(name).into()));
                request.with_topics(names.iter().map(topic).collect())
            } else {
                request.with_topic_names(names.iter().map(|name| text(name).into()).collect())
            })
        };
        let answer = |name: &&str, _, response: &DeleteTopicsResponse| {
            let deed = Deed { action: "delete", subject: Subject::Topic(name) };
            let named = |known: &kafka_protocol::messages::TopicName| ***known == **name;
            let result = response.responses.iter().find(|result| result.name.as_ref().is_some_and(named));
            let result = result.ok_or_else(|| deed.unanswered())?;
            deed.outcome(result.error_code, result.error_message.as_ref())
        };
        let results = self.each(names, |_| Place::Anywhere, request, answer).await?;
        Ok(names.iter().map(|&name| name.to_owned()).zip(results).collect())
    }

    /// Gives a topic more partitions, so that it has `total` of them. Records that are there stay where they are, so
    /// that a key may from now on go to another partition than before.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownTopic`], [`Error::NotAuthorized`], or the broker's code: `INVALID_PARTITIONS` where the topic has
    /// as many or more. Those of reaching the cluster.
    pub async fn create_partitions(&self, topic: &str, total: i32) -> Result<(), Error> {
        let request = |_: Asked<'_>| {
            let grown = CreatePartitionsTopic::default()
                .with_name(text(topic).into())
                .with_count(total)
                .with_assignments(None);
            Ok(CreatePartitionsRequest::default().with_topics(vec![grown]).with_timeout_ms(self.patience()))
        };
        let answer = |response: &CreatePartitionsResponse| {
            let deed = Deed { action: "add partitions to", subject: Subject::Topic(topic) };
            let result = response.results.iter().find(|result| **result.name == *topic);
            let result = result.ok_or_else(|| deed.unanswered())?;
            deed.outcome(result.error_code, result.error_message.as_ref())
        };
        self.one(Place::Anywhere, request, answer).await
    }
}
