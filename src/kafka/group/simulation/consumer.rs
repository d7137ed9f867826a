//! A coordinator of a group under KIP-848, as little of it as there is to get along with.

use std::collections::{BTreeMap, BTreeSet};

use tokio::time::Instant;

use super::{Answers, Coordinator, DELAY, HEARTBEAT, PARTITIONS, partitions};
use crate::kafka::group::member::{Answer, Assignment, ConsumerHeartbeat, ConsumerHeartbeatAnswer, Request};
use crate::kafka::topic_partition::TopicPartition;
use crate::wire::error_code::ErrorCode;

pub(super) struct ConsumerCoordinator {
    members: BTreeMap<String, Known>,
    epoch: i32,
    partitions: i32,
}

impl Default for ConsumerCoordinator {
    fn default() -> Self {
        Self { members: BTreeMap::new(), epoch: 0, partitions: PARTITIONS }
    }
}

struct Known {
    epoch: i32,
    previous: i32,
    session: Instant,
    /// What it was told to have.
    assigned: BTreeSet<TopicPartition>,
    /// What it has to give up, and has not said that it did.
    revoking: BTreeSet<TopicPartition>,
    target: BTreeSet<TopicPartition>,
}

impl Coordinator for ConsumerCoordinator {
    fn on_request(
        &mut self,
        from: usize,
        number: u64,
        request: Request,
        now: Instant,
        answers: &mut Answers,
    ) {
        let Request::Consumer(heartbeat) = request else { unreachable!("it is no classic group") };
        let answer = self.heartbeat(heartbeat, now);
        answers.push((from, number, Answer::Consumer(answer)));
    }

    fn tick(&mut self, now: Instant, _: &mut Answers) {
        let before = self.members.len();
        self.members.retain(|_, known| known.session > now);
        if self.members.len() < before {
            self.assign();
        }
    }

    fn grow(&mut self, partitions: i32) {
        self.partitions = partitions;
        self.assign();
    }
}

impl ConsumerCoordinator {
    fn heartbeat(&mut self, said: ConsumerHeartbeat, now: Instant) -> ConsumerHeartbeatAnswer {
        let session = now + HEARTBEAT * 9 + DELAY;
        let answer = |code, epoch, assignment: Option<BTreeSet<_>>| ConsumerHeartbeatAnswer {
            code,
            message: None,
            member_id: None,
            epoch,
            interval: HEARTBEAT,
            assignment: assignment.map(|partitions| Assignment { partitions, unknown_topics: false }),
        };
        if said.epoch < 0 {
            self.members.remove(&said.member_id);
            self.assign();
            return answer(ErrorCode::NONE, said.epoch, None);
        }
        if said.epoch == 0 {
            assert!(
                said.full && said.topics.is_some() && said.owned.as_ref().is_some_and(BTreeSet::is_empty)
            );
            let (assigned, revoking, target) = Default::default();
            let known = Known { epoch: 0, previous: 0, session, assigned, revoking, target };
            self.members.insert(said.member_id.clone(), known);
            self.assign();
        }
        let Some(known) = self.members.get_mut(&said.member_id) else {
            return answer(ErrorCode::UNKNOWN_MEMBER_ID, 0, None);
        };
        let had: BTreeSet<_> = known.assigned.union(&known.revoking).cloned().collect();
        let knows = said.epoch == known.epoch
            || (said.epoch == known.previous
                && said.owned.as_ref().is_some_and(|owned| owned.is_subset(&had)));
        // It keeps what it has until it joins anew, or its session ends: it may not have heard of this yet.
        if !knows {
            return answer(ErrorCode::FENCED_MEMBER_EPOCH, 0, None);
        }
        known.session = session;
        if let Some(owned) = &said.owned {
            known.revoking.retain(|partition| owned.contains(partition));
        }
        let assigned = self.reconcile(&said.member_id);
        let known = self.members.get_mut(&said.member_id).unwrap();
        let news = assigned != known.assigned || said.full;
        // Who says what it has, and that it has not, need not give it up.
        let may_own =
            |partition: &&TopicPartition| said.owned.as_ref().is_none_or(|owned| owned.contains(*partition));
        known.revoking.extend(known.assigned.difference(&assigned).filter(may_own).cloned());
        known.assigned = assigned;
        if known.revoking.is_empty() && known.epoch != self.epoch {
            (known.previous, known.epoch) = (known.epoch, self.epoch);
        }
        answer(ErrorCode::NONE, known.epoch.max(1), news.then(|| known.assigned.clone()))
    }

    /// What a member may have of its target: nothing that another still has.
    fn reconcile(&self, member: &str) -> BTreeSet<TopicPartition> {
        let known = &self.members[member];
        if !known.revoking.is_empty() {
            return known.assigned.intersection(&known.target).cloned().collect();
        }
        let held = |partition: &TopicPartition| {
            let mut others = self.members.iter().filter(|(id, _)| *id != member);
            others.any(|(_, other)| other.assigned.contains(partition) || other.revoking.contains(partition))
        };
        known.target.iter().filter(|partition| !held(partition)).cloned().collect()
    }

    fn assign(&mut self) {
        self.epoch += 1;
        let count = self.members.len();
        for (place, known) in self.members.values_mut().enumerate() {
            let own = partitions(self.partitions).enumerate().filter(|(number, _)| number % count == place);
            known.target = own.map(|(_, partition)| partition).collect();
        }
    }
}
