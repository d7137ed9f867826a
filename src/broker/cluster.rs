//! What the pretended brokers know together: their topics, groups, transactions and sessions.
//!
//! Everything here is synchronous and under one lock; what waits, waits outside.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;
use kafka_protocol::messages::TopicName;
use kafka_protocol::protocol::StrBytes;
use tokio::sync::Notify;
use tokio::time::Instant;
use uuid::Uuid;

use super::fetch_sessions::FetchSessions;
use super::groups::Groups;
use super::groups::consumer::Topics as TopicsByName;
use super::journal::{Entry, Journal};
use super::log::{Log, Refusal};
use super::settings::{Fsync, Settings};
use super::topic_settings::TopicSettings;
use super::transactions::Transactions;
use crate::wire::error_code::ErrorCode;

/// As Kafka bounds them: a longer name does not fit into that of a directory.
const MOST_NAME_BYTES: usize = 249;
/// Partitions of all topics together; each costs some hundred bytes, and with a directory a file descriptor.
const MOST_PARTITIONS: usize = 20_000;
/// How often it is looked for what is too old.
const RETENTION_INTERVAL: Duration = Duration::from_secs(10);

/// The time, as it is passed in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    /// For deadlines.
    pub(super) instant: Instant,
    /// For records: milliseconds since 1970 UTC.
    pub(super) unix_ms: i64,
}

/// A pretended broker, and where clients reach it: for each listener, host and port.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) id: i32,
    pub(super) endpoints: Vec<(StrBytes, i32)>,
}

impl Node {
    /// Where it is reached by those who came in through this listener.
    pub(super) fn endpoint(&self, listener: usize) -> (StrBytes, i32) {
        self.endpoints.get(listener).cloned().unwrap_or((StrBytes::default(), -1))
    }
}

/// All that the brokers know.
#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) cluster_id: String,
    pub(super) nodes: Vec<Node>,
    pub(super) topics: IndexMap<String, Topic>,
    pub(super) groups: Groups,
    pub(super) transactions: Transactions,
    pub(super) sessions: FetchSessions,
    pub(super) settings: Arc<Settings>,
    pub(super) journal: Option<Journal>,
    data: Option<PathBuf>,
    names: HashMap<Uuid, String>,
    /// Coordinators that were moved, by the name of their group or transactional id.
    coordinators: HashMap<String, i32>,
    next_producer_id: i64,
    /// Of all logs.
    bytes: u64,
    said_full: bool,
    next_retention: Option<Instant>,
}

#[derive(Debug)]
pub(super) struct Topic {
    pub(super) name: TopicName,
    pub(super) id: Uuid,
    pub(super) settings: TopicSettings,
    pub(super) partitions: Vec<Partition>,
}

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
    fn new(leader: i32, log: Log) -> Self {
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
    pub(super) fn new(nodes: Vec<Node>, settings: Arc<Settings>) -> Self {
        Self {
            cluster_id: Uuid::new_v4().simple().to_string(),
            nodes,
            topics: IndexMap::new(),
            groups: Groups::default(),
            transactions: Transactions::default(),
            sessions: FetchSessions::default(),
            settings,
            journal: None,
            data: None,
            names: HashMap::new(),
            coordinators: HashMap::new(),
            next_producer_id: 0,
            bytes: 0,
            said_full: false,
            next_retention: None,
        }
    }

    /// Takes up what a directory holds, and keeps everything there from now on.
    pub(super) fn open(&mut self, data: &Path, now: Now) -> io::Result<()> {
        let journal = Journal::open(data, self.settings.fsync == Fsync::Always)?;
        let saved = journal.saved();
        for (name, (id, partitions, given)) in &saved.topics {
            let mut settings = TopicSettings::default();
            for (setting, value) in given {
                if let Err(reason) = settings.set(setting, Some(value)) {
                    tracing::warn!("topic {name}: {reason}");
                }
            }
            let mut topic = Topic { name: topic_name(name), id: *id, settings, partitions: Vec::new() };
            for number in (0..).take(*partitions) {
                let start = saved.starts.get(&(name.clone(), number)).copied().unwrap_or_default();
                let log = Log::open(&partition_directory(data, name, number), start)?;
                self.bytes = self.bytes.saturating_add(log.bytes());
                topic.partitions.push(Partition::new(self.leader_of(number), log));
            }
            self.names.insert(*id, name.clone());
            self.topics.insert(name.clone(), topic);
        }
        let known = saved.cluster_id.clone();
        self.next_producer_id = saved.next_producer_id;
        self.groups.restore(saved);
        self.transactions.restore(saved, now);
        self.journal = Some(journal);
        self.data = Some(data.to_owned());
        match known {
            Some(id) => self.cluster_id = id,
            None => {
                let id = self.cluster_id.clone();
                self.save([Entry::Cluster { id }]).map_err(|code| io::Error::other(code.description()))?;
            }
        }
        self.finish_transactions(now);
        Ok(())
    }

    /// Remembers something, where this broker keeps anything.
    pub(super) fn save(&mut self, entries: impl IntoIterator<Item = Entry>) -> Result<(), ErrorCode> {
        let Some(journal) = &mut self.journal else { return Ok(()) };
        journal.write(entries).map_err(|error| {
            tracing::error!("cannot write to the journal: {error}");
            ErrorCode::KAFKA_STORAGE_ERROR
        })
    }

    // ---- Topics ---------------------------------------------------------------------------------------------------

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
        let wanted = usize::try_from(partitions).unwrap_or_default();
        if all.saturating_add(wanted) > MOST_PARTITIONS {
            return Err(Refusal::new(
                ErrorCode::INVALID_PARTITIONS,
                format!("This broker holds at most {MOST_PARTITIONS} partitions."),
            ));
        }
        let nodes = self.nodes.len();
        let Some(topic) = self.topics.get_mut(name) else {
            return Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION.into());
        };
        for number in (0..partitions).skip(topic.partitions.len()) {
            let log = match &self.data {
                None => Log::in_memory(),
                Some(data) => new_log(&partition_directory(data, name, number))
                    .map_err(|error| Refusal::new(ErrorCode::KAFKA_STORAGE_ERROR, error.to_string()))?,
            };
            topic.partitions.push(Partition::new(leader_among(nodes, number), log));
        }
        self.save_topic(name)?;
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
        let mut topic = self.topics.shift_remove(name).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
        self.names.remove(&topic.id);
        self.groups.forget_topic(name);
        self.transactions.forget_topic(name);
        for (number, partition) in (0..).zip(&mut topic.partitions) {
            self.bytes = self.bytes.saturating_sub(partition.log.bytes());
            partition.wake();
            if let Some(data) = &self.data {
                // What stays behind is in nobody's way: see `new_log`.
                if let Err(error) = fs::remove_dir_all(partition_directory(data, name, number)) {
                    tracing::warn!("cannot remove the files of {name}-{number}: {error}");
                }
            }
        }
        self.save([Entry::NoTopic { name: name.to_owned() }])?;
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

    fn leader_of(&self, partition: i32) -> i32 {
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

    // ---- Coordinators and producers -------------------------------------------------------------------------------

    /// The broker that coordinates a group or transactional id.
    pub(super) fn coordinator(&self, key: &str) -> i32 {
        if let Some(&moved) = self.coordinators.get(key) {
            return moved;
        }
        let hash = usize::try_from(crc32fast::hash(key.as_bytes())).unwrap_or_default();
        let at = hash.checked_rem(self.nodes.len()).unwrap_or_default();
        self.nodes.get(at).map_or(0, |node| node.id)
    }

    /// Lets another broker coordinate a group or transactional id.
    pub(super) fn move_coordinator(&mut self, key: &str, node: i32) -> Result<(), ErrorCode> {
        if !self.nodes.iter().any(|known| known.id == node) {
            return Err(ErrorCode::BROKER_NOT_AVAILABLE);
        }
        self.coordinators.insert(key.to_owned(), node);
        Ok(())
    }

    pub(super) fn new_producer_id(&mut self) -> Result<i64, ErrorCode> {
        let id = self.next_producer_id;
        self.next_producer_id = id.saturating_add(1);
        self.save([Entry::NextProducer { id: self.next_producer_id }])?;
        Ok(id)
    }

    // ---- Bounds ---------------------------------------------------------------------------------------------------

    /// Notes that a log has grown. In memory, the oldest messages make room for the newest.
    pub(super) fn grew(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.data.is_some() {
            return;
        }
        while self.bytes > self.settings.memory_bytes {
            if !self.said_full {
                self.said_full = true;
                tracing::warn!(
                    "the memory for messages is full ({} bytes): from now on the oldest make room for the newest",
                    self.settings.memory_bytes
                );
            }
            let logs = self.topics.values_mut().flat_map(|topic| &mut topic.partitions);
            let oldest = logs
                .filter(|partition| partition.log.bytes() > 0)
                .min_by_key(|partition| partition.log.oldest_timestamp());
            let Some(oldest) = oldest else { return };
            let before = oldest.log.bytes();
            if !matches!(oldest.log.remove_oldest(), Ok(true)) {
                return;
            }
            self.bytes = self.bytes.saturating_sub(before.saturating_sub(oldest.log.bytes()));
        }
    }

    /// Does what is due, and says when to come back.
    pub(super) fn tick(&mut self, now: Now) -> Instant {
        let next = match self.next_retention {
            Some(next) if next > now.instant => next,
            _ => {
                self.retain(now);
                let next = now.instant + RETENTION_INTERVAL;
                self.next_retention = Some(next);
                next
            }
        };
        self.abort_overdue(now);
        let topics = self.topics_by_name(|_| true);
        let due = [self.groups.tick(&topics, now.instant), self.transactions.next_deadline()];
        due.into_iter().flatten().fold(next, Instant::min)
    }

    /// Forgets what topics no longer keep.
    fn retain(&mut self, now: Now) {
        for (name, topic) in &mut self.topics {
            let settings = &topic.settings;
            if settings.compacted {
                continue;
            }
            let oldest = settings.retention_ms.map(|keep| now.unix_ms.saturating_sub(keep));
            for (number, partition) in topic.partitions.iter_mut().enumerate() {
                let before = partition.log.bytes();
                if let Err(error) = partition.log.retain(oldest, settings.retention_bytes) {
                    tracing::warn!("cannot remove what is too old from {name}-{number}: {error}");
                }
                self.bytes = self.bytes.saturating_sub(before.saturating_sub(partition.log.bytes()));
            }
        }
    }

    /// Deletes the records before an offset.
    pub(super) fn delete_records(
        &mut self,
        node: i32,
        topic: &str,
        number: i32,
        offset: i64,
    ) -> Result<i64, ErrorCode> {
        let partition = self.led_partition(node, topic, number)?;
        let offset = if offset == -1 { partition.log.end() } else { offset };
        if offset < 0 || offset > partition.log.end() {
            return Err(ErrorCode::OFFSET_OUT_OF_RANGE);
        }
        let before = partition.log.bytes();
        partition.log.remove_before(offset).map_err(|_| ErrorCode::KAFKA_STORAGE_ERROR)?;
        let (start, freed) = (partition.log.start(), before.saturating_sub(partition.log.bytes()));
        self.bytes = self.bytes.saturating_sub(freed);
        self.save([Entry::Start { topic: topic.to_owned(), partition: number, offset: start }])?;
        Ok(start)
    }

    /// Handles on every file that may have been written to, to bring them to the disk.
    pub(super) fn files_to_sync(&self) -> Vec<File> {
        let logs = self.topics.values().flat_map(|topic| &topic.partitions);
        let logs = logs.filter_map(|partition| partition.log.file_to_sync());
        logs.chain(self.journal.as_ref().map(Journal::file)).filter_map(Result::ok).collect()
    }
}

fn leader_among(nodes: usize, partition: i32) -> i32 {
    i32::try_from(nodes).ok().and_then(|nodes| partition.checked_rem(nodes)).unwrap_or_default()
}

fn partition_directory(data: &Path, topic: &str, partition: i32) -> PathBuf {
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
