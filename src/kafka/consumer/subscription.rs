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
        Self { named, pattern, matching, by_hand, seen: HashMap::new(), told_at: None }
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
        changes
    }
}
