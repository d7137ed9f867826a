//! What is known of a cluster: its brokers, its topics, and who leads which partition.
//!
//! [`Snapshot`] is a value: an answer of a broker makes a new one out of the old. Leaders are believed only with a
//! leader epoch no older than the one known (KIP-320), so that a broker that lags behind cannot turn back the clock;
//! a topic with another id (KIP-516) is another topic.

use std::collections::HashMap;
use std::sync::Arc;

use kafka_protocol::messages::MetadataResponse;
use kafka_protocol::messages::metadata_response::{MetadataResponsePartition, MetadataResponseTopic};
use tokio::time::Instant;
use uuid::Uuid;

use super::address::Address;
use super::printable::printable;
use crate::wire::error_code::ErrorCode;

/// A broker's number in its cluster.
pub(super) type BrokerId = i32;

/// What was known of the cluster at one time.
#[derive(Debug, Clone, Default)]
pub(super) struct Snapshot {
    /// When a broker last told something of it.
    pub(super) told_at: Option<Instant>,
    pub(super) brokers: HashMap<BrokerId, Address>,
    topics: HashMap<Arc<str>, Topic>,
    names: HashMap<Uuid, Arc<str>>,
}

/// What was known of one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Topic {
    /// Nil where the broker is too old to say (KIP-516).
    pub(super) id: Uuid,
    pub(super) internal: bool,
    pub(super) error: ErrorCode,
    /// By partition number, from 0 without gaps.
    pub(super) partitions: Vec<Partition>,
}

/// What was known of one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Partition {
    pub(super) leader: Option<BrokerId>,
    /// -1 where the broker is too old to say.
    pub(super) leader_epoch: i32,
}

impl Snapshot {
    /// What is known after `response`. Topics that it does not mention stay as they were.
    pub(super) fn after(&self, response: &MetadataResponse, now: Instant) -> Self {
        let mut next = Self { told_at: Some(now), ..self.clone() };
        // An empty list is a broker that is starting up, not a cluster without brokers.
        if !response.brokers.is_empty() {
            next.brokers = response
                .brokers
                .iter()
                .filter_map(|broker| {
                    let port = u16::try_from(broker.port).ok()?;
                    Some((broker.node_id.0, Address::new(printable(&broker.host), port)))
                })
                .collect();
        }
        for topic in &response.topics {
            let Some(name) = &topic.name else { continue };
            let known = self.topics.get_key_value(&***name);
            let name = known.map_or_else(|| Arc::from(&***name), |(name, _)| Arc::clone(name));
            let topic = Topic::after(known.map(|(_, known)| known), topic);
            if let Some((_, known)) = known.filter(|(_, known)| known.id != topic.id) {
                next.names.remove(&known.id);
            }
            if !topic.id.is_nil() {
                next.names.insert(topic.id, Arc::clone(&name));
            }
            next.topics.insert(name, topic);
        }
        next
    }

    /// The same with a broker, told of elsewhere than in an answer about the cluster.
    pub(super) fn with_broker(&self, broker: BrokerId, address: &Address) -> Self {
        let mut next = self.clone();
        next.brokers.insert(broker, address.clone());
        next
    }

    pub(super) fn topic(&self, name: &str) -> Option<&Topic> {
        self.topics.get(name)
    }

    /// The topic that has this id, as far as is known.
    pub(super) fn name_of(&self, id: Uuid) -> Option<&Arc<str>> {
        self.names.get(&id)
    }

    pub(super) fn partition(&self, topic: &str, partition: i32) -> Option<Partition> {
        self.topics.get(topic)?.partitions.get(usize::try_from(partition).ok()?).copied()
    }
}

impl Topic {
    fn after(known: Option<&Self>, response: &MetadataResponseTopic) -> Self {
        let error = ErrorCode(response.error_code);
        let told = response.topic_id;
        // Another topic of the same name: its epochs and partitions have nothing to do with those known.
        let known = known.filter(|known| known.id.is_nil() || told.is_nil() || known.id == told);
        let id = known.map(|known| known.id).filter(|_| told.is_nil()).unwrap_or(told);
        // A passing error says nothing about partitions: those known stay known.
        if error != ErrorCode::NONE
            && let Some(known) = known
        {
            return Self { id, error, ..known.clone() };
        }
        let mut partitions: Vec<_> = response.partitions.iter().collect();
        partitions.sort_unstable_by_key(|partition| partition.partition_index);
        let numbered = partitions
            .into_iter()
            .zip(0..)
            .take_while(|(partition, number)| partition.partition_index == *number);
        let partitions = numbered.map(|(partition, number)| {
            let known = known.and_then(|topic| topic.partitions.get(usize::try_from(number).ok()?));
            Partition::after(known, partition)
        });
        Self { id, internal: response.is_internal, error, partitions: partitions.collect() }
    }
}

impl Partition {
    fn after(known: Option<&Self>, response: &MetadataResponsePartition) -> Self {
        let told = Self {
            leader: Some(response.leader_id.0).filter(|&leader| leader >= 0),
            leader_epoch: response.leader_epoch,
        };
        match known {
            Some(known) if told.leader_epoch >= 0 && told.leader_epoch < known.leader_epoch => *known,
            _ => told,
        }
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::metadata_response::MetadataResponseBroker;
    use kafka_protocol::protocol::StrBytes;

    use super::*;

    impl Snapshot {
        fn told(&self, response: &MetadataResponse) -> Self {
            self.after(response, Instant::now())
        }
    }

    fn response(topic: &'static str, code: ErrorCode, leaders: &[(i32, i32)]) -> MetadataResponse {
        let partitions = leaders.iter().zip(0..).map(|(&(leader, epoch), number)| {
            MetadataResponsePartition::default()
                .with_partition_index(number)
                .with_leader_id(leader.into())
                .with_leader_epoch(epoch)
        });
        let topic = MetadataResponseTopic::default()
            .with_name(Some(StrBytes::from_static_str(topic).into()))
            .with_error_code(code.0)
            // Brokers list partitions in no particular order.
            .with_partitions(partitions.collect::<Vec<_>>().into_iter().rev().collect());
        let broker = MetadataResponseBroker::default()
            .with_node_id(1.into())
            .with_host(StrBytes::from_static_str("h"))
            .with_port(9092);
        MetadataResponse::default().with_brokers(vec![broker]).with_topics(vec![topic])
    }

    #[test]
    fn an_older_leader_epoch_is_not_believed() {
        let new = Snapshot::default().told(&response("t", ErrorCode::NONE, &[(1, 5), (2, 5)]));
        let stale = new.told(&response("t", ErrorCode::NONE, &[(2, 4), (1, 6)]));
        assert_eq!(stale.partition("t", 0), Some(Partition { leader: Some(1), leader_epoch: 5 }));
        assert_eq!(stale.partition("t", 1), Some(Partition { leader: Some(1), leader_epoch: 6 }));
    }

    #[test]
    fn a_topic_made_anew_begins_anew() {
        let with_id = |id, epoch| {
            let mut response = response("t", ErrorCode::NONE, &[(1, epoch)]);
            for topic in &mut response.topics {
                topic.topic_id = Uuid::from_u128(id);
            }
            response
        };
        let epoch = |known: &Snapshot| known.partition("t", 0).map(|partition| partition.leader_epoch);
        let known = Snapshot::default().told(&with_id(7, 5));
        // A broker too old for ids changes nothing.
        let same = known.told(&with_id(0, 4));
        assert_eq!(
            (epoch(&same), same.topic("t").map(|topic| topic.id)),
            (Some(5), Some(Uuid::from_u128(7)))
        );
        let other = same.told(&with_id(8, 0));
        assert_eq!(
            (epoch(&other), other.topic("t").map(|topic| topic.id)),
            (Some(0), Some(Uuid::from_u128(8)))
        );
    }

    #[test]
    fn a_passing_error_keeps_the_partitions() {
        let known = Snapshot::default().told(&response("t", ErrorCode::NONE, &[(1, 5)]));
        let failed = known.told(&response("t", ErrorCode::LEADER_NOT_AVAILABLE, &[]));
        assert_eq!(failed.topic("t").map(|topic| topic.partitions.len()), Some(1));
        assert_eq!(failed.topic("t").map(|topic| topic.error), Some(ErrorCode::LEADER_NOT_AVAILABLE));
    }

    #[test]
    fn an_empty_broker_list_is_no_answer() {
        let known = Snapshot::default().told(&response("t", ErrorCode::NONE, &[(1, 5)]));
        assert_eq!(known.told(&MetadataResponse::default()).brokers.len(), 1);
    }

    #[test]
    fn other_topics_stay_and_a_missing_leader_is_none() {
        let known = Snapshot::default().told(&response("a", ErrorCode::NONE, &[(1, 5)]));
        let both = known.told(&response("b", ErrorCode::NONE, &[(-1, 0)]));
        assert!(both.topic("a").is_some());
        assert_eq!(both.partition("b", 0).and_then(|partition| partition.leader), None);
        assert_eq!(both.partition("b", 1), None);
        assert_eq!(both.partition("b", -1), None);
    }
}
