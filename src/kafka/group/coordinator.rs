//! Asking the coordinator: requests of the machines as the protocol has them, topics by name or id as it wants them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use kafka_protocol::messages::consumer_group_heartbeat_response::Assignment as AssignedIds;
use kafka_protocol::messages::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, OffsetCommitRequest, TopicName,
};
use kafka_protocol::protocol::{Request as KafkaRequest, StrBytes};
use tokio::time::{Instant, sleep};

use super::classic::millis;
use super::member::{Answer, Assignment, ConsumerHeartbeat, ConsumerHeartbeatAnswer, Membership, Request};
use super::offsets::{Codes, CommittedOffset, commit_request, group_id};
use super::task::Counts;
use crate::kafka::backoff::Backoff;
use crate::kafka::cluster::{Cluster, CoordinatorOf, Lane, NEWEST, OwnLane};
use crate::kafka::error::Error;
use crate::kafka::printable::printable;
use crate::kafka::topic_partition::{TopicPartition, by_topic};
use crate::wire::error_code::ErrorCode;

/// A coordinator that is alive answers a heartbeat at once; a network that has gone is noticed by this.
const PROMPT: Duration = Duration::from_secs(10);
/// The newest version of LeaveGroup that names one member.
const ONE_MEMBER: i16 = 2;

#[derive(Debug)]
pub(super) struct Coordinator {
    cluster: Arc<Cluster>,
    membership: Arc<Membership>,
    lane: OwnLane,
}

impl Coordinator {
    pub(super) fn new(cluster: Arc<Cluster>, membership: Arc<Membership>) -> Self {
        let lane = OwnLane::of_member(Arc::clone(&cluster));
        Self { cluster, membership, lane }
    }

    /// Whether the coordinator takes members under KIP-848. Asks for as long as a request may take.
    pub(super) async fn assigns(&self) -> Result<bool, Error> {
        let deadline = Instant::now() + self.cluster.settings.request_timeout;
        let mut failures = 0;
        loop {
            let error = match self.broker().await {
                Ok(broker) => match self.lane.connection(broker).await {
                    Ok(connection) => {
                        return Ok(connection.version::<ConsumerGroupHeartbeatRequest>().is_ok());
                    }
                    Err(error) => error,
                },
                Err(error) => error,
            };
            failures += 1;
            let wait = Backoff::REQUEST.wait(failures, fastrand::f64());
            if !error.is_retriable() || Instant::now() + wait >= deadline {
                return Err(error);
            }
            self.forget();
            sleep(wait).await;
        }
    }

    pub(super) fn forget(&self) {
        self.cluster.forget_coordinator(CoordinatorOf::Group, &self.membership.group);
    }

    pub(super) fn metadata_told_at(&self) -> Option<Instant> {
        self.cluster.snapshot().told_at
    }

    pub(super) fn partition_counts(&self, topics: &BTreeSet<Arc<str>>) -> Counts {
        let snapshot = self.cluster.snapshot();
        let count = |topic: &Arc<str>| {
            let known = snapshot.topic(topic)?;
            Some((Arc::clone(topic), i32::try_from(known.partitions.len()).ok()?))
        };
        topics.iter().filter_map(count).collect()
    }

    pub(super) async fn look_up(&self, topics: &BTreeSet<Arc<str>>) -> Result<(), Error> {
        let topics: Vec<_> = topics.iter().cloned().collect();
        self.cluster.refresh(&topics, false).await.map(drop)
    }

    pub(super) async fn ask(&self, request: Request) -> Result<Answer, Error> {
        // The coordinator answers when all members are there, or have had their time.
        let patient = self.membership.max_poll_interval + PROMPT;
        Ok(match request {
            Request::Join(request) => Answer::Join(self.send(&request, patient).await?),
            Request::Sync(request) => Answer::Sync(self.send(&request, patient).await?),
            Request::Heartbeat(request) => Answer::Heartbeat(self.send(&request, PROMPT).await?),
            Request::Leave(request) => {
                // A join that waits for others must not hold up the goodbye.
                let broker = self.broker().await?;
                self.cluster.send(broker, Lane::Prompt, &request, ONE_MEMBER, PROMPT).await?.await?;
                Answer::Leave
            }
            Request::Consumer(heartbeat) => Answer::Consumer(self.heartbeat(&heartbeat).await?),
        })
    }

    pub(super) fn commit_request(
        &self,
        identity: Option<(String, i32)>,
        offsets: &BTreeMap<TopicPartition, CommittedOffset>,
    ) -> OffsetCommitRequest {
        let Membership { group, instance_id, .. } = &*self.membership;
        // A commit that does not come from a member names no instance.
        let instance_id = instance_id.as_deref().filter(|_| identity.is_some());
        commit_request(group, identity, instance_id, offsets.iter())
    }

    /// Commits; the answer has a code for each of `partitions`.
    pub(super) async fn commit(
        &self,
        request: &OffsetCommitRequest,
        partitions: Vec<TopicPartition>,
    ) -> Result<Codes, Error> {
        let broker = self.broker().await?;
        let within = self.cluster.settings.request_timeout;
        let response = self.cluster.send(broker, Lane::Prompt, request, NEWEST, within).await?.await?;
        let mut codes = BTreeMap::new();
        for topic in &response.topics {
            let name: Arc<str> = Arc::from(&**topic.name);
            for data in &topic.partitions {
                let partition = TopicPartition::new(Arc::clone(&name), data.partition_index);
                codes.insert(partition, ErrorCode(data.error_code));
            }
        }
        let code = |partition| codes.get(&partition).map(|&code| (partition, code));
        Ok(partitions.into_iter().filter_map(code).collect())
    }

    async fn broker(&self) -> Result<i32, Error> {
        self.cluster.coordinator(CoordinatorOf::Group, &self.membership.group).await
    }

    async fn send<R: KafkaRequest>(&self, request: &R, within: Duration) -> Result<R::Response, Error> {
        let broker = self.broker().await?;
        self.lane.send(broker, request, NEWEST, within).await?.await
    }

    async fn heartbeat(&self, heartbeat: &ConsumerHeartbeat) -> Result<ConsumerHeartbeatAnswer, Error> {
        #[cfg(feature = "share-groups")]
        if self.membership.share_member.is_some() {
            let response = self.share_heartbeat(heartbeat).await?;
            return Ok(self.heard(response).await);
        }
        let membership = &self.membership;
        let mut request = ConsumerGroupHeartbeatRequest::default()
            .with_group_id(group_id(&membership.group))
            .with_member_id(StrBytes::from_string(heartbeat.member_id.clone()))
            .with_member_epoch(heartbeat.epoch)
            .with_instance_id(membership.instance_id.clone().map(StrBytes::from_string))
            .with_subscribed_topic_names(heartbeat.topics.as_ref().map(topic_names))
            .with_topic_partitions(heartbeat.owned.as_ref().map(|owned| self.by_id(owned)));
        if heartbeat.full {
            request = request
                .with_rebalance_timeout_ms(millis(membership.max_poll_interval))
                .with_server_assignor(membership.server_assignor.clone().map(StrBytes::from_string))
                .with_rack_id(membership.rack.clone().map(StrBytes::from_string));
        }
        let response = self.send(&request, PROMPT).await?;
        Ok(self.heard(response).await)
    }

    /// A member of a share group says the same in other words, and is answered in other words.
    #[cfg(feature = "share-groups")]
    async fn share_heartbeat(
        &self,
        heartbeat: &ConsumerHeartbeat,
    ) -> Result<ConsumerGroupHeartbeatResponse, Error> {
        use kafka_protocol::messages::consumer_group_heartbeat_response::TopicPartitions;
        let rack = self.membership.rack.clone().filter(|_| heartbeat.full);
        let request = kafka_protocol::messages::ShareGroupHeartbeatRequest::default()
            .with_group_id(group_id(&self.membership.group))
            .with_member_id(StrBytes::from_string(heartbeat.member_id.clone()))
            .with_member_epoch(heartbeat.epoch)
            .with_rack_id(rack.map(StrBytes::from_string))
            .with_subscribed_topic_names(heartbeat.topics.as_ref().map(topic_names));
        let response = self.send(&request, PROMPT).await?;
        let assignment = response.assignment.map(|assignment| {
            let topics = assignment.topic_partitions.into_iter().map(|topic| {
                TopicPartitions::default().with_topic_id(topic.topic_id).with_partitions(topic.partitions)
            });
            AssignedIds::default().with_topic_partitions(topics.collect())
        });
        Ok(ConsumerGroupHeartbeatResponse::default()
            .with_error_code(response.error_code)
            .with_error_message(response.error_message)
            .with_member_id(response.member_id)
            .with_member_epoch(response.member_epoch)
            .with_heartbeat_interval_ms(response.heartbeat_interval_ms)
            .with_assignment(assignment))
    }

    async fn heard(&self, response: ConsumerGroupHeartbeatResponse) -> ConsumerHeartbeatAnswer {
        let assignment = match &response.assignment {
            Some(assignment) => Some(self.by_name(assignment).await),
            None => None,
        };
        ConsumerHeartbeatAnswer {
            code: ErrorCode(response.error_code),
            message: response.error_message.as_ref().map(|message| printable(message)),
            member_id: response.member_id.as_ref().map(ToString::to_string),
            epoch: response.member_epoch,
            interval: Duration::from_millis(
                u64::try_from(response.heartbeat_interval_ms).unwrap_or_default(),
            ),
            assignment,
        }
    }

    fn by_id(&self, owned: &BTreeSet<TopicPartition>) -> Vec<TopicPartitions> {
        let snapshot = self.cluster.snapshot();
        let topics = by_topic(owned.iter().map(|partition| (partition.clone(), ()))).into_iter();
        let topics = topics.filter_map(|(topic, partitions)| {
            // A topic that was deleted is nobody's.
            let id = snapshot.topic(&topic).map(|known| known.id).filter(|id| !id.is_nil())?;
            let partitions = partitions.into_iter().map(|(partition, ())| partition).collect();
            Some(TopicPartitions::default().with_topic_id(id).with_partitions(partitions))
        });
        topics.collect()
    }

    /// What was assigned, by names. Topics whose ids are not known yet are asked for, once: meanwhile no heartbeat is
    /// sent.
    async fn by_name(&self, assigned: &AssignedIds) -> Assignment {
        let found = self.known_of(assigned);
        if !found.unknown_topics {
            return found;
        }
        if let Err(error) = self.cluster.refresh(&[], false).await {
            tracing::debug!(%error, "assigned topics could not be looked up");
        }
        self.known_of(assigned)
    }

    fn known_of(&self, assigned: &AssignedIds) -> Assignment {
        let snapshot = self.cluster.snapshot();
        let mut found = Assignment::default();
        for assigned in &assigned.topic_partitions {
            let Some(topic) = snapshot.name_of(assigned.topic_id) else {
                found.unknown_topics = true;
                continue;
            };
            let partitions = assigned.partitions.iter();
            found.partitions.extend(partitions.map(|&number| TopicPartition::new(Arc::clone(topic), number)));
        }
        found
    }
}

fn topic_names(topics: &BTreeSet<Arc<str>>) -> Vec<TopicName> {
    topics.iter().map(|topic| StrBytes::from_string(topic.to_string()).into()).collect()
}
