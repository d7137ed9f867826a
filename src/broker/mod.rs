//! A Kafka broker in this process, for first steps, demonstrations and tests. **It is no production store.**
//!
//! It is ready in milliseconds, on a free port, and gone when it is dropped. Every client that speaks to Kafka 2.1 or
//! later speaks to it: produce and fetch, consumer groups of both protocols, transactions, topics and their settings,
//! SCRAM and PLAIN, TLS. It can pretend to be several brokers, and misbehave on request: see [`Fault`].
//!
//! ```
//! use hop::broker::Broker;
//! use hop::kafka::{Client, Record, StartOffset};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let broker = Broker::builder().topic("alerts", 3).start().await?;
//! let client = Client::builder().bootstrap(&broker.bootstrap()).connect().await?;
//!
//! let producer = client.producer().build()?;
//! producer.send(Record::new("alerts").value("GRB 270412B")).await?.await?;
//!
//! let mut consumer = client.consumer().topics(["alerts"]).start_at(StartOffset::Earliest).build().await?;
//! let batch = consumer.next_batch().await?.expect("a batch");
//! let record = batch.records().next().expect("a record")?;
//! assert_eq!(record.value, Some(&b"GRB 270412B"[..]));
//! # Ok(())
//! # }
//! ```
//!
//! What differs from Apache Kafka, on purpose: there is one copy of everything, so `min.insync.replicas` changes
//! nothing; compacted topics are checked for keys and never compacted; a group whose members speak one protocol takes
//! no member of the other; there is no quota, no tiered storage, no share group.
//!
//! Everything that the brokers know is behind one lock and without waiting (`cluster`, `log`, `groups`,
//! `transactions`); connections wait outside (`connection`). With the client it shares [`crate::wire`], and nothing
//! else: what both get wrong would not show.

mod access;
mod builder;
mod certificate;
mod cluster;
mod connection;
mod credentials;
mod faults;
mod fetch_sessions;
#[doc(hidden)]
pub mod for_fuzzing;
mod groups;
mod journal;
mod listener;
mod lock;
mod log;
mod requests;
mod sasl;
mod settings;
mod shared;
mod topic_settings;
mod topics;
mod transactions;

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};

use tokio::task::JoinSet;

pub use self::access::{Denial, DenialError, Operation};
pub use self::builder::BrokerBuilder;
use self::cluster::Node;
pub use self::faults::Fault;
use self::groups::Kind;
use self::lock::Lock;
pub use self::settings::Fsync;
use self::shared::{Shared, now};
use self::topic_settings::TopicSettings;
use crate::wire::error_code::ErrorCode;

/// A running broker, or several pretended ones. Dropping it ends it and all its connections at once; what was
/// acknowledged is in its directory, if it has one. [`stop`](Self::stop) brings it to the disk first.
#[derive(Debug)]
pub struct Broker {
    shared: Arc<Shared>,
    nodes: Vec<Node>,
    certificate_pem: Option<String>,
    tasks: JoinSet<()>,
    _lock: Option<Lock>,
}

impl Broker {
    /// Begins to set up a broker.
    pub fn builder() -> BrokerBuilder {
        BrokerBuilder::default()
    }

    /// Where the first broker listens, as `host:port`.
    pub fn address(&self) -> String {
        self.nodes.first().map(|node| address(node, 0)).unwrap_or_default()
    }

    /// Where the first broker listens without TLS and for anybody, if that was asked for beside the other.
    pub fn plaintext_address(&self) -> Option<String> {
        self.nodes.first().filter(|node| node.endpoints.len() > 1).map(|node| address(node, 1))
    }

    /// Where all brokers listen, as clients take it: `host:port,host:port`.
    pub fn bootstrap(&self) -> String {
        let all: Vec<_> = self.nodes.iter().map(|node| address(node, 0)).collect();
        all.join(",")
    }

    /// The certificate that clients are to trust, as PEM; `None` without TLS.
    pub fn certificate_pem(&self) -> Option<&str> {
        self.certificate_pem.as_deref()
    }

    /// Makes a topic.
    ///
    /// # Errors
    ///
    /// [`TopicError`] where there is one of this name, or the name or number of partitions cannot be.
    pub fn create_topic(&self, name: &str, partitions: i32) -> Result<(), TopicError> {
        let refused = |reason: String| TopicError { name: name.to_owned(), reason };
        if partitions < 1 {
            return Err(refused("it is to have 1 partition or more".to_owned()));
        }
        let created = self.shared.cluster().create_topic(name, partitions, TopicSettings::default());
        created.map(|_| ()).map_err(|refusal| refused(refusal.reason))
    }

    /// Has something go wrong from now on. Of several faults that fit a request, the first happens.
    pub fn misbehave(&self, fault: Fault) {
        tracing::debug!("to go wrong: {fault}");
        self.shared.faults.lock().unwrap_or_else(PoisonError::into_inner).push(fault);
    }

    /// Has nothing go wrong any more.
    pub fn behave(&self) {
        self.shared.faults.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Lets another of the pretended brokers lead a partition, in the next leader epoch.
    ///
    /// # Errors
    ///
    /// The code with which a broker would answer: there is no such partition, or no such broker.
    pub fn move_leader(&self, topic: &str, partition: i32, node: i32) -> Result<(), ErrorCode> {
        self.shared.cluster().move_leader(topic, partition, node)
    }

    /// Lets another of the pretended brokers coordinate a group or transactional id.
    ///
    /// # Errors
    ///
    /// The code with which a broker would answer: there is no such broker.
    pub fn move_coordinator(&self, group_or_transactional_id: &str, node: i32) -> Result<(), ErrorCode> {
        self.shared.cluster().move_coordinator(group_or_transactional_id, node)
    }

    /// Which of the pretended brokers leads a partition.
    pub fn leader(&self, topic: &str, partition: i32) -> Option<i32> {
        self.shared.cluster().topics.get(topic)?.partition(partition).map(|partition| partition.leader)
    }

    /// Which of the pretended brokers coordinates a group or transactional id.
    pub fn coordinator(&self, group_or_transactional_id: &str) -> i32 {
        self.shared.cluster().coordinator(group_or_transactional_id)
    }

    /// Forgets every fetch session (KIP-227), as after a restart.
    pub fn expire_fetch_sessions(&self) {
        self.shared.cluster().sessions.clear();
    }

    /// Removes every member of a group, as if none had been heard of for too long. Gives back how many there were.
    pub fn expire_members(&self, group: &str) -> usize {
        let now = now().instant;
        let mut cluster = self.shared.cluster();
        let topics = cluster.topics_by_name(|_| true);
        let Some(group) = cluster.groups.all.get_mut(group) else { return 0 };
        let removed = match &mut group.kind {
            Kind::Classic(classic) => {
                let members: Vec<_> = classic.members.keys().cloned().collect();
                members.iter().filter(|id| classic.expire(id, now)).count()
            }
            Kind::Consumer(consumer) => {
                let members: Vec<_> = consumer.members.keys().cloned().collect();
                members.iter().filter(|id| consumer.expire(id, &topics)).count()
            }
        };
        drop(cluster);
        self.shared.hurry();
        removed
    }

    /// Ends every connection that is open, as when a cable is pulled. New ones are taken.
    pub fn hang_up(&self) {
        self.shared.hang_ups.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Ends the broker in good order: takes no more, and brings what it keeps in a directory to the disk.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
        self.shared.sync().await;
    }
}

fn address(node: &Node, listener: usize) -> String {
    let (host, port) = node.endpoint(listener);
    // An address of version 6 has colons of its own.
    if host.contains(':') {
        format!("[{}]:{port}", host.as_str())
    } else {
        format!("{}:{port}", host.as_str())
    }
}

/// Why a broker does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Settings that cannot be.
    #[error("the broker cannot be set up so: {reason}")]
    Setting {
        /// What must be otherwise.
        reason: String,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: String,
        /// What the operating system says.
        source: io::Error,
    },
    /// The certificate or its private key cannot be used.
    #[error("cannot speak TLS: {reason}")]
    Certificate {
        /// What is wrong with it.
        reason: String,
    },
    /// The directory cannot be used.
    #[error("cannot keep data in {}: {source}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// A topic cannot be made.
    #[error("cannot make topic {name}: {reason}")]
    Topic {
        /// Its name.
        name: String,
        /// Why not.
        reason: String,
    },
}

/// Why a topic is not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot make topic {name}: {reason}")]
pub struct TopicError {
    name: String,
    reason: String,
}
