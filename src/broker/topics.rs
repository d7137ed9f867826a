//! Topics and their partitions: how they come, grow, move and go.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kafka_protocol::messages::{BrokerId, TopicName};
use kafka_protocol::protocol::StrBytes;
use tokio::sync::Notify;
use uuid::Uuid;

use super::cluster::Cluster;
use super::groups::consumer::Topics as TopicsByName;
use super::journal::Entry;
use super::log::{Log, Refusal};
use super::topic_settings::TopicSettings;
use crate::wire::error_code::ErrorCode;

/// As Kafka bounds them: a longer name does not fit into that of a directory.
const MOST_NAME_BYTES: usize = 249;
/// Partitions of all topics together; each costs some hundred bytes, and with a directory a file descriptor.
const MOST_PARTITIONS: usize = 20_000;

/// A topic.
#[derive(Debug)]
pub(super) struct Topic {
    pub(super) name: TopicName,
    pub(super) id: Uuid,
    pub(super) settings: TopicSettings,
    pub(super) partitions: Vec<Partition>,
}

/// A partition: its log, and who leads it.
#[derive(Debug)]
pub(super) struct Partition {
    pub(super) leader: i32,
    pub(super) leader_epoch: i32,
    pub(super) log: Log,
    waiting: Vec<Arc<Notify>>,
}

impl Topic {
    /// The partition of this number.
    pub(super) fn partition(&self, number: i32) -> Option<&Partition> {
        usize::try_from(number).ok().and_then(|number| self.partitions.get(number))
    }

    pub(super) fn partition_mut(&mut self, number: i32) -> Option<&mut Partition> {
        usize::try_from(number).ok().and_then(|number| self.partitions.get_mut(number))
    }
}

impl Partition {
    pub(super) fn new(leader: i32, log: Log) -> Self {
        let leader_epoch = log.last_epoch().unwrap_or_default();
        Self { leader, leader_epoch, log, waiting: Vec::new() }
    }

    /// Has `waiting` woken when something changes here.
    pub(super) fn wake_on_change(&mut self, waiting: &Arc<Notify>) {
        // Those whose fetch has ended are held by nobody else.
        self.waiting.retain(|other| Arc::strong_count(other) > 1);
        self.waiting.push(Arc::clone(waiting));
    }

    /// Wakes those who wait.
    pub(super) fn wake(&mut self) {
        for waiting in self.waiting.drain(..) {
            waiting.notify_one();
        }
    }

    /// Checks the leader epoch that a client knows (KIP-320); -1 is not checked.
    pub(super) fn check_epoch(&self, known: i32) -> Result<(), ErrorCode> {
        match known {
            -1 => Ok(()),
            known if known < self.leader_epoch => Err(ErrorCode::FENCED_LEADER_EPOCH),
            known if known > self.leader_epoch => Err(ErrorCode::UNKNOWN_LEADER_EPOCH),
            _ => Ok(()),
        }
    }
}

impl Cluster {
    pub(super) fn topic_of(&self, id: Uuid) -> Option<&Topic> {
        self.topics.get(self.names.get(&id)?)
    }

    /// The topics whose names are wanted: their ids and numbers of partitions.
    pub(super) fn topics_by_name(&self, wanted: impl Fn(&str) -> bool) -> TopicsByName {
        let count = |topic: &Topic| i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
        let chosen = self.topics.iter().filter(|(name, _)| wanted(name));
        chosen.map(|(name, topic)| (name.clone(), (topic.id, count(topic)))).collect()
    }

    /// The name of a topic that is asked for by id or by name, whichever a version has.
    pub(super) fn name_of<'a>(&'a self, name: &'a TopicName, id: Uuid) -> Option<&'a str> {
        if id.is_nil() { Some(name) } else { self.names.get(&id).map(String::as_str) }
    }

    /// Makes a topic; `partitions` is checked already.
    pub(super) fn create_topic(
        &mut self,
        name: &str,
        partitions: i32,
        settings: TopicSettings,
    ) -> Result<Uuid, Refusal> {
        if self.topics.contains_key(name) {
            return Err(Refusal::new(
                ErrorCode::TOPIC_ALREADY_EXISTS,
                format!("Topic '{name}' already exists."),
            ));
        }
        check_topic_name(name)?;
        let id = Uuid::new_v4();
        self.topics
            .insert(name.to_owned(), Topic { name: topic_name(name), id, settings, partitions: Vec::new() });
        self.names.insert(id, name.to_owned());
        let grown = self.grow_topic(name, partitions);
        if grown.is_err() {
            self.names.remove(&id);
            self.topics.shift_remove(name);
        }
        grown.map(|()| id)
    }

    /// Gives a topic this many partitions; it has fewer.
    pub(super) fn grow_topic(&mut self, name: &str, partitions: i32) -> Result<(), Refusal> {
        let all: usize = self.topics.values().map(|topic| topic.partitions.len()).sum();
        let nodes = self.nodes.len();
        let Some(topic) = self.topics.get_mut(name) else {
            return Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION.into());
        };
        let has = topic.partitions.len();
        let wanted = usize::try_from(partitions).unwrap_or_default();
        if all.saturating_add(wanted.saturating_sub(has)) > MOST_PARTITIONS {
            return Err(Refusal::new(
                ErrorCode::INVALID_PARTITIONS,
                format!("This broker holds at most {MOST_PARTITIONS} partitions."),
            ));
        }
        let new = (0..partitions).skip(has).map(|number| {
            let log = match &self.data {
                None => Log::in_memory(),
                Some(data) => new_log(&partition_directory(data, name, number))?,
            };
            Ok(Partition::new(leader_among(nodes, number), log))
        });
        let new: io::Result<Vec<_>> = new.collect();
        topic
            .partitions
            .extend(new.map_err(|error| Refusal::new(ErrorCode::KAFKA_STORAGE_ERROR, error.to_string()))?);
        if let Err(code) = self.save_topic(name) {
            // What is not remembered must not take messages.
            if let Some(topic) = self.topics.get_mut(name) {
                topic.partitions.truncate(has);
            }
            return Err(code.into());
        }
        Ok(())
    }

    /// Remembers how a topic is set up.
    pub(super) fn save_topic(&mut self, name: &str) -> Result<(), ErrorCode> {
        let Some(topic) = self.topics.get(name) else { return Ok(()) };
        let settings: BTreeMap<_, _> =
            topic.settings.all_given().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let (id, partitions) = (topic.id, topic.partitions.len());
        self.save([Entry::Topic { name: name.to_owned(), id, partitions, settings }])
    }

    /// Removes a topic with all that was said of it.
    pub(super) fn delete_topic(&mut self, name: &str) -> Result<Uuid, ErrorCode> {
        if !self.topics.contains_key(name) {
            return Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
        }
        // First of all: the files that a crash leaves behind are in nobody's way, see `new_log`.
        self.save([Entry::NoTopic { name: name.to_owned() }])?;
        let mut topic = self.topics.shift_remove(name).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
        self.names.remove(&topic.id);
        self.groups.forget_topic(name);
        self.transactions.forget_topic(name);
        for (number, partition) in (0..).zip(&mut topic.partitions) {
            self.bytes = self.bytes.saturating_sub(partition.log.bytes());
            partition.wake();
            if let Some(data) = &self.data
                && let Err(error) = fs::remove_dir_all(partition_directory(data, name, number))
            {
                tracing::warn!("cannot remove the files of {name}-{number}: {error}");
            }
        }
        Ok(topic.id)
    }

    /// Makes the topic that a client has asked for by name, if that is allowed.
    pub(super) fn create_on_demand(&mut self, name: &str) -> Result<(), ErrorCode> {
        if !self.settings.creates_topics {
            return Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
        }
        self.create_topic(name, self.settings.partitions, TopicSettings::default())
            .map(|_| ())
            .map_err(|refusal| refusal.code)
    }

    /// The partition, if `node` leads it.
    pub(super) fn led_partition(
        &mut self,
        node: i32,
        topic: &str,
        number: i32,
    ) -> Result<&mut Partition, ErrorCode> {
        let partition = self
            .topics
            .get_mut(topic)
            .and_then(|topic| topic.partition_mut(number))
            .ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
        if partition.leader == node { Ok(partition) } else { Err(ErrorCode::NOT_LEADER_OR_FOLLOWER) }
    }

    /// Who leads a partition, in which epoch, and where those who came in through this listener reach it (KIP-951).
    pub(super) fn leader(
        &self,
        topic: &str,
        number: i32,
        listener: usize,
    ) -> Option<(BrokerId, i32, (StrBytes, i32))> {
        let partition = self.topics.get(topic)?.partition(number)?;
        let node = self.nodes.iter().find(|node| node.id == partition.leader)?;
        Some((BrokerId(node.id), partition.leader_epoch, node.endpoint(listener)))
    }

    pub(super) fn leader_of(&self, partition: i32) -> i32 {
        leader_among(self.nodes.len(), partition)
    }

    /// Lets another broker lead a partition.
    pub(super) fn move_leader(&mut self, topic: &str, number: i32, node: i32) -> Result<(), ErrorCode> {
        if !self.nodes.iter().any(|known| known.id == node) {
            return Err(ErrorCode::BROKER_NOT_AVAILABLE);
        }
        let partition = self.topics.get_mut(topic).and_then(|topic| topic.partition_mut(number));
        let partition = partition.ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
        partition.leader = node;
        partition.leader_epoch = partition.leader_epoch.saturating_add(1);
        partition.wake();
        Ok(())
    }
}

pub(super) fn leader_among(nodes: usize, partition: i32) -> i32 {
    i32::try_from(nodes).ok().and_then(|nodes| partition.checked_rem(nodes)).unwrap_or_default()
}

pub(super) fn partition_directory(data: &Path, topic: &str, partition: i32) -> PathBuf {
    // Names of topics are checked: none of them leads out of here.
    data.join("logs").join(format!("{topic}-{partition}"))
}

/// An empty log, whatever a topic of the same name has left behind.
fn new_log(directory: &Path) -> io::Result<Log> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Log::open(directory, 0),
    }
}

/// A copy that does not keep the request that it came in.
pub(super) fn topic_name(name: &str) -> TopicName {
    TopicName(StrBytes::from_string(name.to_owned()))
}

/// Kafka's rule for names.
pub(super) fn check_topic_name(name: &str) -> Result<(), Refusal> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let reason = match name {
        "" => "the empty string is not allowed".to_owned(),
        "." | ".." => "'.' or '..' is not allowed".to_owned(),
        name if name.len() > MOST_NAME_BYTES => {
            format!("the length of '{name}' is longer than the max allowed length {MOST_NAME_BYTES}")
        }
        name if !name.bytes().all(legal) => format!(
            "'{name}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"
        ),
        _ => return Ok(()),
    };
    Err(Refusal::new(ErrorCode::INVALID_TOPIC_EXCEPTION, format!("Topic name is invalid: {reason}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::access::Access;
    use crate::broker::cluster::Node;
    use crate::broker::credentials::Users;
    use crate::broker::settings::{Fsync, Settings};
    use crate::broker::shared::now;

    fn cluster(data: &Path) -> Cluster {
        let settings = Settings {
            creates_topics: true,
            partitions: 1,
            memory_bytes: u64::MAX,
            request_bytes: 1 << 20,
            connections: 1,
            session_lifetime: None,
            rebalance_delay: std::time::Duration::ZERO,
            heartbeat_interval: std::time::Duration::ZERO,
            session_timeouts: std::time::Duration::ZERO..=std::time::Duration::MAX,
            users: Users::default(),
            access: Access::default(),
            fsync: Fsync::Never,
        };
        let mut cluster = Cluster::new(vec![Node { id: 0, endpoints: Vec::new() }], Arc::new(settings));
        cluster.open(data, now()).unwrap();
        cluster
    }

    #[test]
    fn a_topic_that_cannot_grow_stays_as_it_was() {
        let directory = tempfile::tempdir().unwrap();
        let mut broker = cluster(directory.path());
        broker.create_topic("t", 1, TopicSettings::default()).unwrap();
        // Where the third partition is to be, there is a file.
        fs::write(partition_directory(directory.path(), "t", 2), b"").unwrap();
        assert_eq!(broker.grow_topic("t", 4).unwrap_err().code, ErrorCode::KAFKA_STORAGE_ERROR);
        assert_eq!(broker.topics["t"].partitions.len(), 1);
        drop(broker);
        assert_eq!(cluster(directory.path()).topics["t"].partitions.len(), 1);
    }

    #[test]
    fn a_topic_that_was_deleted_comes_back_empty_and_under_another_id() {
        let directory = tempfile::tempdir().unwrap();
        let mut broker = cluster(directory.path());
        let first = broker.create_topic("t", 1, TopicSettings::default()).unwrap();
        let path = partition_directory(directory.path(), "t", 0);
        broker.delete_topic("t").unwrap();
        assert_eq!(broker.delete_topic("t"), Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
        // As if the process had ended before its files were removed.
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join("00000000000000000000.log"), b"something").unwrap();
        let second = broker.create_topic("t", 1, TopicSettings::default()).unwrap();
        assert_ne!(first, second);
        assert_eq!(broker.topics["t"].partitions[0].log.end(), 0);
        assert!(!path.join("00000000000000000000.log").exists());
    }
}
