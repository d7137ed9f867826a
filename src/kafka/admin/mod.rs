//! What an administrator does: topics, settings, groups and their offsets, records, users and access rules.
//!
//! [`Admin`] is a handle on a client's connections; each of its methods asks the brokers that can answer and is done
//! when they have. `errand` is how questions get to them; the other files are a subject each.
//!
//! # Who is asked
//!
//! What belongs to a group goes to its coordinator, what belongs to a partition to its leader, the settings of a broker
//! to that broker. All else goes to any broker; brokers that cannot pass it on to the controller themselves, as before
//! KRaft, say so, and the controller is asked then.
//!
//! # What comes back
//!
//! A method that takes several things gives back a result for each, in the order in which they were given: one may fail
//! and the others not. The outer error is for when none could be asked about.
//!
//! Names and values are as the cluster has them, since they are what it is to be asked with: text that others chose, which
//! a terminal may take for more. Errors are fit to be shown.
//!
//! What fails in passing (a leader or coordinator that moves, a broker that goes away) is tried again with a growing
//! pause, as long as the client's [`request_timeout`](super::ClientBuilder::request_timeout) has not passed since the
//! call; the last error is given back then. An attempt that was begun in time may take that long once more. A request
//! whose answer was lost may have been carried out: making a topic may then fail because it is there.

mod access_rules;
mod acls;
mod answer;
mod cluster;
mod configs;
mod errand;
mod group_offsets;
mod groups;
mod offsets;
mod operations;
mod scram_users;
mod topics;

use std::sync::Arc;

pub use self::access_rules::{
    Acl, AclFilter, AclOperation, AclPattern, AclPatternFilter, AclPermission, AclResource,
};
pub use self::cluster::{BrokerDescription, ClusterDescription};
pub use self::configs::{ConfigChange, ConfigEntry, ConfigResource, ConfigSource};
pub use self::groups::{GroupDescription, GroupListing, GroupMember, GroupState, GroupType};
pub use self::offsets::{ListedOffset, OffsetSpec};
pub use self::scram_users::{ScramCredential, ScramMechanism};
pub use self::topics::{CreatedTopic, NewTopic};

use super::cluster::Cluster;

/// Administers a cluster. Made by [`Client::admin`](super::Client::admin), whose connections it shares; cheap to clone.
///
/// Dropping a future of its methods takes nothing back: what was sent may be carried out.
///
/// ```no_run
/// # async fn example(client: hop::kafka::Client) -> Result<(), hop::kafka::Error> {
/// use hop::kafka::admin::{ConfigChange, ConfigResource, NewTopic, OffsetSpec};
/// use hop::kafka::TopicPartition;
///
/// let admin = client.admin();
/// let topics = [NewTopic::new("alerts").partitions(3).config("retention.ms", "604800000")];
/// for (name, created) in admin.create_topics(&topics).await? {
///     match created {
///         Ok(_) => println!("made {name}"),
///         Err(error) => println!("{error}"),
///     }
/// }
///
/// let longer = [ConfigChange::set("retention.ms", "1209600000")];
/// for (_, altered) in admin.alter_configs(&[(ConfigResource::topic("alerts"), &longer)]).await? {
///     altered?;
/// }
///
/// let partition = TopicPartition::new("alerts", 0);
/// for (_, end) in admin.offsets(&[(partition, OffsetSpec::Latest)]).await? {
///     println!("the next record gets offset {:?}", end?.offset);
/// }
///
/// for group in admin.list_groups().await? {
///     for (partition, committed) in admin.committed_offsets(&group.name).await? {
///         println!("{} has read {partition} up to {}", group.name, committed.offset);
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Admin {
    cluster: Arc<Cluster>,
}

impl Admin {
    pub(super) fn new(cluster: Arc<Cluster>) -> Self {
        Self { cluster }
    }
}
