//! Which partitions there are to read: of topics by name, of those that match a pattern, or named one by one.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use kafka_protocol::messages::MetadataResponse;
use regex_lite::Regex;
use tokio::time::Instant;
use uuid::Uuid;

use crate::kafka::cluster::Cluster;
use crate::kafka::error::Error;
use crate::kafka::metadata::Snapshot;
use crate::kafka::topic_partition::TopicPartition;

#[derive(Debug)]
pub(super) struct Subscription {
    named: Vec<Arc<str>>,
    pattern: Option<Regex>,
    matching: BTreeSet<Arc<str>>,
    by_hand: Vec<TopicPartition>,
    /// The topics as they were last seen: their ids, and how many partitions they had.
    seen: HashMap<Arc<str>, (Uuid, usize)>,
    /// How many partitions the topics had when they were looked at first.
    at_first: Option<HashMap<Arc<str>, usize>>,
    /// The metadata that was looked at last.
    told_at: Option<Instant>,
}

/// What has changed since metadata was looked at last.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    /// Partitions that were not there.
    pub(super) new: Vec<TopicPartition>,
    /// Topics that are others now, of the same names.
    pub(super) made_anew: Vec<Arc<str>>,
}

impl Subscription {
    pub(super) fn new(named: Vec<Arc<str>>, pattern: Option<Regex>, by_hand: Vec<TopicPartition>) -> Self {
        let matching = BTreeSet::new();
        let seen = HashMap::new();
        Self { named, pattern, matching, by_hand, seen, at_first: None, told_at: None }
    }

    /// Finds out about all topics before the first record is asked for.
    pub(super) async fn look_up(&mut self, cluster: &Arc<Cluster>) -> Result<(), Error> {
        if self.pattern.is_some() {
            let listed = cluster.describe(None).await?;
            self.on_listed(&listed);
        }
        let topics: Vec<_> = self.topics().cloned().collect();
        if !topics.is_empty() {
            cluster.topics_known(&topics, false, "read").await?;
        }
        Ok(())
    }

    /// Takes a list of all topics; whether those that match the pattern are others now.
    pub(super) fn on_listed(&mut self, listed: &MetadataResponse) -> bool {
        let Some(pattern) = &self.pattern else { return false };
        let listed = listed.topics.iter().filter(|topic| !topic.is_internal && topic.error_code == 0);
        let names = listed.filter_map(|topic| topic.name.as_ref()).map(|name| &***name);
        let matching: BTreeSet<Arc<str>> =
            names.filter(|name| pattern.is_match(name)).map(Arc::from).collect();
        let changed = matching != self.matching;
        self.matching = matching;
        changed
    }

    pub(super) fn has_pattern(&self) -> bool {
        self.pattern.is_some()
    }

    /// The topics by name.
    pub(super) fn topics(&self) -> impl Iterator<Item = &Arc<str>> {
        let matching = self.matching.iter().filter(|topic| !self.named.contains(topic));
        let by_hand = self.by_hand.iter().map(|partition| &partition.topic);
        self.named.iter().chain(matching).chain(by_hand)
    }

    /// What has changed in the topics, where the metadata is newer than that looked at last.
    pub(super) fn changes(&mut self, snapshot: &Snapshot) -> Changes {
        let mut changes = Changes::default();
        if self.told_at == snapshot.told_at && self.told_at.is_some() {
            return changes;
        }
        self.told_at = snapshot.told_at;
        let topics: Vec<Arc<str>> = self.topics().cloned().collect();
        for topic in topics {
            let Some(known) = snapshot.topic(&topic) else { continue };
            let (id, count) = self.seen.get(&topic).copied().unwrap_or_default();
            let is_another = !id.is_nil() && !known.id.is_nil() && known.id != id;
            let before = if is_another { 0 } else { count };
            if is_another {
                changes.made_anew.push(Arc::clone(&topic));
                if let Some(at_first) = &mut self.at_first {
                    at_first.remove(&topic);
                }
            }
            if self.by_hand.is_empty() {
                let numbers = (0_i32..).take(known.partitions.len()).skip(before);
                changes.new.extend(numbers.map(|number| TopicPartition::new(Arc::clone(&topic), number)));
            } else if is_another || !self.seen.contains_key(&topic) {
                changes.new.extend(self.by_hand.iter().filter(|by_hand| by_hand.topic == topic).cloned());
            }
            let id = if known.id.is_nil() { id } else { known.id };
            self.seen.insert(topic, (id, known.partitions.len().max(before)));
        }
        let counts = || self.seen.iter().map(|(topic, (_, count))| (Arc::clone(topic), *count)).collect();
        self.at_first.get_or_insert_with(counts);
        changes
    }

    /// Whether the ids of some topics are not known.
    pub(super) fn lacks_ids(&self) -> bool {
        self.seen.values().any(|(id, _)| id.is_nil())
    }

    /// Whether a partition was there when topics were looked at first, and is the same still.
    pub(super) fn was_there(&self, partition: &TopicPartition) -> bool {
        let count = self.at_first.as_ref().and_then(|at_first| at_first.get(&partition.topic));
        count.is_some_and(|&count| usize::try_from(partition.partition).is_ok_and(|number| number < count))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use kafka_protocol::messages::metadata_response::{MetadataResponsePartition, MetadataResponseTopic};
    use kafka_protocol::protocol::StrBytes;

    use super::*;

    /// What is known after a broker has told of a topic `t` with this id.
    fn told(known: &Snapshot, id: u128, partitions: i32, second: u64) -> Snapshot {
        let partitions =
            (0..partitions).map(|number| MetadataResponsePartition::default().with_partition_index(number));
        let topic = MetadataResponseTopic::default()
            .with_name(Some(StrBytes::from_static_str("t").into()))
            .with_topic_id(Uuid::from_u128(id))
            .with_partitions(partitions.collect());
        let response = MetadataResponse::default().with_topics(vec![topic]);
        known.after(&response, Instant::now() + Duration::from_secs(second))
    }

    fn partitions(numbers: std::ops::Range<i32>) -> Vec<TopicPartition> {
        numbers.map(|number| TopicPartition::new("t", number)).collect()
    }

    #[test]
    fn what_is_added_is_new_and_was_not_there() {
        let mut subscription = Subscription::new(vec![Arc::from("t")], None, Vec::new());
        let known = told(&Snapshot::default(), 7, 2, 0);
        assert_eq!(subscription.changes(&known).new, partitions(0..2));
        let grown = told(&known, 7, 3, 1);
        let changes = Changes { new: partitions(2..3), made_anew: Vec::new() };
        assert_eq!(subscription.changes(&grown), changes);
        let was_there: Vec<_> = partitions(0..3).iter().map(|of| subscription.was_there(of)).collect();
        assert_eq!(was_there, [true, true, false]);
    }

    #[test]
    fn of_a_topic_that_was_made_anew_everything_is_new() {
        let mut subscription = Subscription::new(vec![Arc::from("t")], None, Vec::new());
        let without_id = told(&Snapshot::default(), 0, 2, 0);
        subscription.changes(&without_id);
        assert!(subscription.lacks_ids());
        let known = told(&without_id, 7, 2, 1);
        assert_eq!(subscription.changes(&known), Changes::default(), "the id is learnt");
        assert!(!subscription.lacks_ids() && subscription.was_there(&TopicPartition::new("t", 1)));
        let anew = told(&known, 8, 2, 2);
        let changes = Changes { new: partitions(0..2), made_anew: vec![Arc::from("t")] };
        assert_eq!(subscription.changes(&anew), changes);
        assert!(!subscription.was_there(&TopicPartition::new("t", 1)));
    }
}
