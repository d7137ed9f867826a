//! The name of a partition.

use std::fmt;
use std::sync::Arc;

/// A partition of a topic. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition's number, from 0.
    pub partition: i32,
}

impl TopicPartition {
    /// A partition by its topic and number.
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> Self {
        Self { topic: topic.into(), partition }
    }
}

impl fmt::Display for TopicPartition {
    /// As Kafka's own tools write it: `topic-3`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// Something of each of several partitions of a topic.
pub(super) type OfTopic<T> = (Arc<str>, Vec<(i32, T)>);

/// Partitions by topic, the topics in the order in which they come first.
pub(super) fn by_topic<T>(partitions: impl IntoIterator<Item = (TopicPartition, T)>) -> Vec<OfTopic<T>> {
    let mut topics: Vec<OfTopic<T>> = Vec::new();
    for (TopicPartition { topic, partition }, part) in partitions {
        // Mostly they come topic by topic.
        match topics.iter_mut().rev().find(|(last, _)| *last == topic) {
            Some((_, parts)) => parts.push((partition, part)),
            None => topics.push((topic, vec![(partition, part)])),
        }
    }
    topics
}
