//! What a consumer asks brokers: each in a task of its own, whose answer lands in one place.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Consumer;
use super::answers::Answer;
use super::in_group::InGroup;
use super::policy::StartOffset;
use super::questions::{Ask, FetchFrom, Index};
use super::requests::{self, FetchCall, FetchLimits};
use super::session::FetchSession;
use crate::kafka::backoff::Backoff;
use crate::kafka::group::offsets;
use crate::kafka::metadata::{BrokerId, Snapshot};
use crate::kafka::topic_partition::TopicPartition;

impl Consumer {
    /// Asks every broker that is free for what is wanted of it.
    pub(super) fn ask(&mut self) {
        let snapshot = self.cluster.snapshot();
        self.look_at(&snapshot);
        self.ask_for_committed();
        for (broker, ask) in self.positions.next_asks(&snapshot, &self.busy, Instant::now()) {
            self.busy.insert(broker);
            let lane = Arc::clone(&self.lane);
            let isolation = self.limits.isolation;
            match ask {
                Ask::Fetch(asked) => self.fetch(broker, asked, &snapshot),
                Ask::Offsets(asked) => {
                    let named = requests::named(&self.positions, &asked, |of| of.index);
                    self.answers.spawn(async move {
                        let answer = requests::offsets(&lane, broker, isolation, named).await;
                        Answer::Offsets { broker, asked, answer }
                    });
                }
                Ask::Epochs(asked) => {
                    let named = requests::named(&self.positions, &asked, |of| of.index);
                    self.answers.spawn(async move {
                        let answer = requests::ends_of_epochs(&lane, broker, named).await;
                        Answer::Epochs { broker, asked, answer }
                    });
                }
            }
        }
        if !self.positions.lacks_leader(&snapshot) {
            self.leaderless = 0;
        } else if !self.refreshing {
            self.leaderless = self.leaderless.saturating_add(1);
            self.refresh();
        }
        self.list_topics();
    }

    pub(super) fn fetch(&mut self, broker: BrokerId, asked: Vec<FetchFrom>, snapshot: &Snapshot) {
        let named = requests::named(&self.positions, &asked, |from| from.index);
        let by_id = requests::known_by_id(snapshot, &named);
        let request = self.sessions.entry(broker).or_default().next(named, by_id);
        let epoch = request.epoch;
        // One answer of each broker, and one that is being handed over.
        let brokers = u64::try_from(self.sessions.len()).unwrap_or(u64::MAX).saturating_add(1);
        let share = i32::try_from(self.prefetch_bytes / brokers).unwrap_or(i32::MAX);
        let max_wait =
            if self.positions.looks_for_ends(&asked) { Duration::ZERO } else { self.limits.max_wait };
        let max_bytes = self.limits.max_bytes.min(share);
        let limits = FetchLimits { max_bytes, max_wait, ..self.limits.clone() };
        let call = FetchCall::new(&limits, snapshot, request, by_id);
        let (lane, incremental) = (Arc::clone(&self.lane), epoch != 0);
        self.answers.spawn(async move {
            let answer = call.ask(&lane, broker, max_wait).await;
            Answer::Fetched { broker, asked, incremental, answer }
        });
    }

    pub(super) fn ask_for_committed(&mut self) {
        let Some(group) = &self.group else { return };
        let asked = self.positions.wants_committed(Instant::now());
        if !asked.is_empty() {
            let (cluster, name) = (Arc::clone(&self.cluster), Arc::clone(&group.name));
            self.answers.spawn(async move {
                let partitions: Vec<_> = asked.iter().map(|(_, partition)| partition.clone()).collect();
                let answer = offsets::committed(&cluster, &name, &partitions).await;
                Answer::Committed { asked, answer }
            });
        }
    }

    /// Takes over what is new in the topics.
    pub(super) fn look_at(&mut self, snapshot: &Snapshot) {
        let changes = self.subscription.changes(snapshot);
        if !changes.made_anew.is_empty() {
            // Brokers cannot be told to forget what has no name any more.
            self.sessions.values_mut().for_each(FetchSession::restart);
        }
        for topic in &changes.made_anew {
            tracing::warn!(%topic, "the topic was deleted and made anew; it is read from its beginning");
            let names: Vec<_> = self.positions.names().filter(|name| name.topic == *topic).cloned().collect();
            for name in names {
                self.forget(&name);
                self.positions.add(name, StartOffset::Earliest);
            }
        }
        // A group shares out what is new by itself.
        if !self.group.as_ref().is_some_and(InGroup::shares) {
            for partition in changes.new {
                self.positions.add(partition, StartOffset::Earliest);
            }
        }
    }

    /// Assigns everything that there is at the beginning, where no group does.
    pub(super) fn assign_all(&mut self, start: StartOffset) {
        let changes = self.subscription.changes(&self.cluster.snapshot());
        match &self.group {
            None => changes.new.into_iter().for_each(|partition| self.positions.add(partition, start)),
            Some(group) if !group.shares() => {
                changes.new.into_iter().for_each(|partition| self.positions.add_committed(partition));
            }
            Some(_) => {}
        }
    }

    /// Nothing of a partition is to be handed over any more, nor to be committed.
    pub(super) fn forget(&mut self, partition: &TopicPartition) {
        self.drop_unpacked(partition);
        if let Some(group) = &mut self.group {
            group.forget(partition);
        }
        if let Some(index) = self.positions.remove(partition) {
            self.discard(index);
        }
    }

    /// What was fetched of a partition is void.
    pub(super) fn discard(&mut self, index: Index) {
        self.ready.retain(|ready| ready.index != index);
    }

    /// What is told along with the login has no ids of topics. They are asked for when that holds up nothing: without
    /// them, another topic of the same name could not be told from the old.
    pub(super) fn ask_for_ids(&mut self) {
        if !self.positions.all_finished()
            && !std::mem::replace(&mut self.asked_for_ids, true)
            && self.subscription.lacks_ids()
        {
            self.refresh_after(Duration::ZERO);
        }
    }

    pub(super) fn refresh(&mut self) {
        let wait = Backoff::RECONNECT.wait(self.outage.failures().max(1), fastrand::f64());
        self.refresh_after(wait.max(Backoff::REQUEST.wait(self.leaderless, fastrand::f64())));
    }

    pub(super) fn refresh_after(&mut self, wait: Duration) {
        if self.refreshing {
            return;
        }
        self.refreshing = true;
        let cluster = Arc::clone(&self.cluster);
        let topics: Vec<_> = self.subscription.topics().cloned().collect();
        self.answers.spawn(async move {
            tokio::time::sleep(wait).await;
            Answer::Refreshed(cluster.refresh(&topics, false).await)
        });
    }

    /// Looks for topics that match the pattern, as often as metadata is renewed.
    pub(super) fn list_topics(&mut self) {
        let due = self.listed_at + self.cluster.settings.metadata_max_age;
        if self.subscription.has_pattern() && due <= Instant::now() {
            self.listed_at = Instant::now();
            let cluster = Arc::clone(&self.cluster);
            self.answers.spawn(async move { Answer::Listed(cluster.describe(None).await) });
        }
    }
}
