//! Groups and their members: ListGroups, DescribeGroups, ConsumerGroupDescribe (KIP-848), DeleteGroups.

use std::fmt;
use std::sync::Arc;

use kafka_protocol::messages::consumer_group_describe_response as described;
use kafka_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, DeleteGroupsRequest, DeleteGroupsResponse,
    DescribeGroupsRequest, DescribeGroupsResponse, ListGroupsRequest, ListGroupsResponse,
};
use kafka_protocol::protocol::StrBytes;

use super::Admin;
use super::answer::{Deed, Subject, known, text};
use super::errand::{Asked, Place};
use crate::kafka::error::Error;
use crate::kafka::group::subscription::{Subscription, decode_assignment};
use crate::kafka::metadata::BrokerId;
use crate::kafka::topic_partition::TopicPartition;
use crate::wire::error_code::ErrorCode;

/// What groups of consumers call their protocol: only then are the members' own bytes understood here.
const CONSUMER: &str = "consumer";
/// What a coordinator that is older than version 6 of DescribeGroups says of a group that is not there.
const DEAD: &str = "Dead";

/// A group as its coordinator lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupListing {
    /// Its name.
    pub name: String,
    /// What its members speak among themselves: `consumer`, `connect`, or empty where it only keeps offsets.
    pub protocol_type: String,
    /// How it is; known from brokers since Kafka 2.6 (KIP-518).
    pub state: Option<GroupState>,
    /// Who assigns its partitions; known from brokers since Kafka 3.8 (KIP-848).
    pub kind: Option<GroupType>,
}

impl From<&ListedGroup> for GroupListing {
    fn from(listed: &ListedGroup) -> Self {
        let said = |word: &StrBytes| Some(word.to_string()).filter(|word| !word.is_empty());
        Self {
            name: listed.group_id.to_string(),
            protocol_type: listed.protocol_type.to_string(),
            state: said(&listed.group_state).map(|state| GroupState::of(&state)),
            kind: said(&listed.group_type).map(|kind| GroupType::of(&kind)),
        }
    }
}

macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident $word:literal,)+ }) => {
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$doc])* $variant,)+
            /// One that this client does not know, in the broker's word.
            Other(String),
        }

        impl $name {
            fn of(word: &str) -> Self {
                match word {
                    $(word if word.eq_ignore_ascii_case($word) => Self::$variant,)+
                    word => Self::Other(word.to_owned()),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self {
                    $(Self::$variant => $word,)+
                    Self::Other(word) => word,
                })
            }
        }
    };
}

words! {
    /// How a group is. Displayed in Kafka's own word.
    GroupState {
        /// Its members are being asked to join anew.
        PreparingRebalance "PreparingRebalance",
        /// They have joined, and wait for their assignments.
        CompletingRebalance "CompletingRebalance",
        /// An assignment is being made (KIP-848).
        Assigning "Assigning",
        /// Its members are taking over their assignments (KIP-848).
        Reconciling "Reconciling",
        /// Every member has its assignment.
        Stable "Stable",
        /// It has no members; it may have offsets.
        Empty "Empty",
        /// It is being deleted.
        Dead "Dead",
        /// It lacks something, such as a topic of its own (KIP-1071).
        NotReady "NotReady",
    }
}

words! {
    /// Who assigns a group's partitions. Displayed in Kafka's own word.
    GroupType {
        /// One of its members.
        Classic "Classic",
        /// The coordinator (KIP-848).
        Consumer "Consumer",
        /// The coordinator, the same partition to several members (KIP-932).
        Share "Share",
        /// The coordinator, to members of a Streams application (KIP-1071).
        Streams "Streams",
    }
}

/// A group as its coordinator describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupDescription {
    /// Who assigns its partitions: [`GroupType::Classic`] or [`GroupType::Consumer`].
    pub kind: GroupType,
    /// How it is.
    pub state: GroupState,
    /// What its members speak among themselves: `consumer`, `connect`, or empty where it only keeps offsets.
    pub protocol_type: String,
    /// By which strategy partitions are assigned, such as `range`; empty while that is not decided.
    pub assignor: String,
    /// How often its membership or its topics have changed, for a group that the coordinator assigns.
    pub epoch: Option<i32>,
    /// Its members, in the order in which the coordinator has them.
    pub members: Vec<GroupMember>,
}

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupMember {
    /// Its identifier in the group.
    pub id: String,
    /// The name under which it keeps its place over a restart (KIP-345).
    pub instance_id: Option<String>,
    /// The name that it gives itself.
    pub client_id: String,
    /// The host that it comes from.
    pub client_host: String,
    /// Where it stands, if it says so.
    pub rack: Option<String>,
    /// How far it has followed the group, for a group that the coordinator assigns.
    pub epoch: Option<i32>,
    /// The topics that it subscribes to by name. Empty for a classic group of other members than consumers.
    pub subscribed_topics: Vec<String>,
    /// The pattern of topics that it subscribes to.
    pub subscribed_pattern: Option<String>,
    /// The partitions that it has. Empty for a classic group of other members than consumers.
    pub assigned: Vec<TopicPartition>,
    /// The partitions that it is to have, for a group that the coordinator assigns.
    pub target: Option<Vec<TopicPartition>>,
}

impl Admin {
    /// All groups that this user may describe, by name: every broker is asked for those that it coordinates.
    ///
    /// # Errors
    ///
    /// Where one of the brokers cannot be asked, or answers with a code: without it the list would not be whole.
    pub async fn list_groups(&self) -> Result<Vec<GroupListing>, Error> {
        let snapshot = self.cluster.refresh(&[], false).await?;
        let brokers: Vec<BrokerId> = snapshot.brokers.keys().copied().collect();
        let request = |_: &[&BrokerId], _: Asked<'_>| Ok(ListGroupsRequest::default());
        let answer = |_: &BrokerId, _, response: &ListGroupsResponse| {
            Deed { action: "list the groups of", subject: Subject::Cluster }
                .outcome(response.error_code, None)?;
            Ok(response.groups.iter().map(GroupListing::from).collect::<Vec<_>>())
        };
        let place = |broker: &BrokerId| Place::Broker(*broker);
        let mut groups = Vec::new();
        for listed in self.each(&brokers, place, request, answer).await? {
            groups.extend(listed?);
        }
        // One that moves between two brokers may be seen at both.
        groups.sort_unstable_by(|a: &GroupListing, b| a.name.cmp(&b.name));
        groups.dedup_by(|a, b| a.name == b.name);
        Ok(groups)
    }

    /// What groups are and who their members are: groups that the coordinator assigns (KIP-848) and classic ones.
    ///
    /// # Errors
    ///
    /// For each: [`Error::NotAuthorized`], or the coordinator's code: `GROUP_ID_NOT_FOUND` for one that is not there, or
    /// is of another type. As a whole: those of reaching the cluster.
    pub async fn describe_groups(
        &self,
        names: &[&str],
    ) -> Result<Vec<(String, Result<GroupDescription, Error>)>, Error> {
        let mut results = match self.describe_consumer_groups(names).await {
            // Before Kafka 3.7 there are none.
            Err(Error::Unsupported { .. }) => Vec::new(),
            results => results?,
        };
        results.resize_with(names.len(), || Err(not_found("")));
        let others: Vec<&str> = names
            .iter()
            .zip(&results)
            .filter(|(_, result)| result.as_ref().is_err_and(may_be_classic))
            .map(|(&name, _)| name)
            .collect();
        let classic = match self.describe_classic_groups(&others).await {
            Err(error) if others.len() == names.len() => return Err(error),
            Err(error) => others.iter().map(|_| Err(error.clone())).collect(),
            Ok(results) => results,
        };
        let mut classic = classic.into_iter();
        for result in &mut results {
            if result.as_ref().is_err_and(may_be_classic)
                && let Some(described) = classic.next()
            {
                *result = described;
            }
        }
        Ok(names.iter().map(|&name| name.to_owned()).zip(results).collect())
    }

    async fn describe_consumer_groups(
        &self,
        names: &[&str],
    ) -> Result<Vec<Result<GroupDescription, Error>>, Error> {
        let request = |names: &[&&str], _: Asked<'_>| {
            Ok(ConsumerGroupDescribeRequest::default()
                .with_group_ids(names.iter().map(|name| text(name).into()).collect()))
        };
        let answer = |name: &&str, _, response: &ConsumerGroupDescribeResponse| {
            let deed = Deed { action: "describe", subject: Subject::Group(name) };
            let group = response.groups.iter().find(|group| **group.group_id == **name);
            let group = group.ok_or_else(|| deed.unanswered())?;
            deed.outcome(group.error_code, group.error_message.as_ref())?;
            Ok(GroupDescription::from(group))
        };
        self.each(names, coordinator, request, answer).await
    }

    async fn describe_classic_groups(
        &self,
        names: &[&str],
    ) -> Result<Vec<Result<GroupDescription, Error>>, Error> {
        let request = |names: &[&&str], _: Asked<'_>| {
            Ok(DescribeGroupsRequest::default()
                .with_groups(names.iter().map(|name| text(name).into()).collect()))
        };
        let answer = |name: &&str, _, response: &DescribeGroupsResponse| {
            let deed = Deed { action: "describe", subject: Subject::Group(name) };
            let group = response.groups.iter().find(|group| **group.group_id == **name);
            let group = group.ok_or_else(|| deed.unanswered())?;
            deed.outcome(group.error_code, group.error_message.as_ref())?;
            if group.group_state.as_str() == DEAD { Err(not_found(name)) } else { Ok(group.into()) }
        };
        self.each(names, coordinator, request, answer).await
    }

    /// Deletes groups that have no members, with the offsets that they have committed.
    ///
    /// # Errors
    ///
    /// For each: [`Error::NotAuthorized`], or the coordinator's code: `NON_EMPTY_GROUP`, `GROUP_ID_NOT_FOUND`. As a
    /// whole: those of reaching the cluster.
    pub async fn delete_groups(&self, names: &[&str]) -> Result<Vec<(String, Result<(), Error>)>, Error> {
        let request = |names: &[&&str], _: Asked<'_>| {
            Ok(DeleteGroupsRequest::default()
                .with_groups_names(names.iter().map(|name| text(name).into()).collect()))
        };
        let answer = |name: &&str, _, response: &DeleteGroupsResponse| {
            let deed = Deed { action: "delete", subject: Subject::Group(name) };
            let result = response.results.iter().find(|result| **result.group_id == **name);
            deed.outcome(result.ok_or_else(|| deed.unanswered())?.error_code, None)
        };
        let results = self.each(names, coordinator, request, answer).await?;
        Ok(names.iter().map(|&name| name.to_owned()).zip(results).collect())
    }
}

fn coordinator(name: &&str) -> Place {
    Place::Coordinator(Arc::from(*name))
}

fn not_found(name: &str) -> Error {
    let doing = format!("cannot describe {}", Subject::Group(name));
    Error::Broker { code: ErrorCode::GROUP_ID_NOT_FOUND, doing }
}

/// A coordinator that assigns does not know classic groups under that name; one that could, but does not yet, says that
/// it does not take the request.
fn may_be_classic(error: &Error) -> bool {
    matches!(error, Error::Unsupported { .. })
        || matches!(error.code(), Some(ErrorCode::GROUP_ID_NOT_FOUND | ErrorCode::UNSUPPORTED_VERSION))
}

impl From<&described::DescribedGroup> for GroupDescription {
    fn from(group: &described::DescribedGroup) -> Self {
        Self {
            kind: GroupType::Consumer,
            state: GroupState::of(&group.group_state),
            protocol_type: CONSUMER.to_owned(),
            assignor: group.assignor_name.to_string(),
            epoch: known(group.group_epoch),
            members: group.members.iter().map(GroupMember::from).collect(),
        }
    }
}

impl From<&described::Member> for GroupMember {
    fn from(member: &described::Member) -> Self {
        let text = |text: &Option<StrBytes>| text.as_ref().map(ToString::to_string);
        Self {
            id: member.member_id.to_string(),
            instance_id: text(&member.instance_id),
            client_id: member.client_id.to_string(),
            client_host: member.client_host.to_string(),
            rack: text(&member.rack_id),
            epoch: Some(member.member_epoch),
            subscribed_topics: member.subscribed_topic_names.iter().map(|name| name.to_string()).collect(),
            subscribed_pattern: text(&member.subscribed_topic_regex).filter(|pattern| !pattern.is_empty()),
            assigned: partitions(&member.assignment),
            target: Some(partitions(&member.target_assignment)),
        }
    }
}

fn partitions(assignment: &described::Assignment) -> Vec<TopicPartition> {
    let topics = assignment.topic_partitions.iter().flat_map(|topic| {
        let name: Arc<str> = Arc::from(&**topic.topic_name);
        topic.partitions.iter().map(move |&partition| TopicPartition { topic: Arc::clone(&name), partition })
    });
    topics.collect()
}

impl From<&DescribedGroup> for GroupDescription {
    fn from(group: &DescribedGroup) -> Self {
        let consumers = group.protocol_type.as_str() == CONSUMER;
        Self {
            kind: GroupType::Classic,
            state: GroupState::of(&group.group_state),
            protocol_type: group.protocol_type.to_string(),
            assignor: group.protocol_data.to_string(),
            epoch: None,
            members: group.members.iter().map(|member| classic_member(member, consumers)).collect(),
        }
    }
}

/// While a group rebalances, coordinators leave the members' own bytes out.
fn classic_member(member: &DescribedGroupMember, consumers: bool) -> GroupMember {
    let understood = |bytes| if consumers { bytes } else { &[][..] };
    let subscription = Subscription::decode(understood(&member.member_metadata[..])).unwrap_or_default();
    let assigned = decode_assignment(understood(&member.member_assignment[..])).unwrap_or_default();
    GroupMember {
        id: member.member_id.to_string(),
        instance_id: member.group_instance_id.as_ref().map(ToString::to_string),
        client_id: member.client_id.to_string(),
        client_host: member.client_host.to_string(),
        rack: subscription.rack,
        epoch: None,
        subscribed_topics: subscription.topics.iter().map(|topic| topic.to_string()).collect(),
        subscribed_pattern: None,
        assigned,
        target: None,
    }
}
