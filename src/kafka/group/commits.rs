//! The commits of one consumer, in their order.
//!
//! One request is under way at a time, so that an older offset never overwrites a newer one. What is committed
//! meanwhile is gathered, and goes out with what has to be tried again. Pure: the shell is [`super::task`].

use std::collections::{BTreeMap, BTreeSet};

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::offsets::{Codes, CommittedOffset};
use crate::kafka::backoff::Backoff;
use crate::kafka::topic_partition::TopicPartition;
use crate::wire::error_code::{ErrorCode, Reaction};

/// What the offsets of a commit were refused with; `None` is that nobody answered.
pub(crate) type Refusal = Option<ErrorCode>;

/// Told how a commit went.
pub(crate) type Reply = oneshot::Sender<Result<(), Refusal>>;

/// Who commits: a member's id and its generation or epoch.
pub(crate) type Identity = Option<(String, i32)>;

#[derive(Debug, Default)]
pub(crate) struct Commits {
    /// What is to be sent, the newest of each partition.
    waiting: BTreeMap<TopicPartition, CommittedOffset>,
    /// What was sent and is not answered.
    sent: Option<Sent>,
    askers: Vec<Asker>,
    failures: u32,
    not_before: Option<Instant>,
}

#[derive(Debug)]
struct Sent {
    offsets: BTreeMap<TopicPartition, CommittedOffset>,
    identity: Identity,
}

/// Somebody who waits until their partitions are committed.
#[derive(Debug)]
struct Asker {
    left: BTreeSet<TopicPartition>,
    reply: Reply,
    deadline: Instant,
}

/// What an answer means for the member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Nothing,
    /// The coordinator is another broker.
    ForgetCoordinator,
    /// The member is not what it takes itself for.
    Fenced(ErrorCode),
}

impl Commits {
    pub(crate) fn push(
        &mut self,
        offsets: impl IntoIterator<Item = (TopicPartition, CommittedOffset)>,
        reply: Option<Reply>,
        deadline: Instant,
    ) {
        let mut left = BTreeSet::new();
        for (partition, offset) in offsets {
            left.insert(partition.clone());
            self.waiting.insert(partition, offset);
        }
        match reply {
            Some(reply) if left.is_empty() => {
                let _ = reply.send(Ok(()));
            }
            Some(reply) => self.askers.push(Asker { left, reply, deadline }),
            None => {}
        }
    }

    /// What to send now, as whom.
    pub(crate) fn next(
        &mut self,
        identity: Identity,
        now: Instant,
    ) -> Option<&BTreeMap<TopicPartition, CommittedOffset>> {
        self.expire(now);
        let wait = self.not_before.is_some_and(|at| at > now);
        if wait || self.sent.is_some() || self.waiting.is_empty() {
            return None;
        }
        let offsets = std::mem::take(&mut self.waiting);
        self.sent = Some(Sent { offsets, identity });
        self.sent.as_ref().map(|sent| &sent.offsets)
    }

    /// Takes an answer, or with `None` that there is none. `identity` is the member's by now, and `owned` what it
    /// owns; nothing is owned where partitions were assigned by hand.
    pub(crate) fn on_answer(
        &mut self,
        answer: Option<Codes>,
        identity: &Identity,
        owned: impl Fn(&TopicPartition) -> bool,
        now: Instant,
    ) -> Verdict {
        let Some(Sent { mut offsets, identity: sent_as }) = self.sent.take() else { return Verdict::Nothing };
        let Some(codes) = answer else {
            self.again(offsets, now);
            return Verdict::ForgetCoordinator;
        };
        let mut verdict = Verdict::Nothing;
        let mut again = BTreeMap::new();
        for (partition, code) in codes {
            let Some(offset) = offsets.remove(&partition) else { continue };
            let retry = match code {
                ErrorCode::NONE => {
                    self.settle(&partition, &Ok(()));
                    continue;
                }
                ErrorCode::REBALANCE_IN_PROGRESS | ErrorCode::STALE_MEMBER_EPOCH => {
                    verdict = Verdict::Fenced(code);
                    owned(&partition)
                }
                // The membership was renewed meanwhile, and the partition kept.
                ErrorCode::ILLEGAL_GENERATION | ErrorCode::UNKNOWN_MEMBER_ID
                    if sent_as != *identity && identity.is_some() =>
                {
                    owned(&partition)
                }
                ErrorCode::ILLEGAL_GENERATION
                | ErrorCode::UNKNOWN_MEMBER_ID
                | ErrorCode::FENCED_INSTANCE_ID
                | ErrorCode::FENCED_MEMBER_EPOCH => {
                    if sent_as == *identity {
                        verdict = Verdict::Fenced(code);
                    }
                    false
                }
                code => match code.reaction() {
                    Reaction::FindCoordinator => {
                        verdict = Verdict::ForgetCoordinator;
                        true
                    }
                    reaction => matches!(reaction, Reaction::Retry | Reaction::RefreshMetadata),
                },
            };
            if retry {
                again.insert(partition, offset);
            } else {
                self.settle(&partition, &Err(Some(code)));
            }
        }
        // What the coordinator says nothing of has not been committed.
        again.append(&mut offsets);
        self.again(again, now);
        verdict
    }

    /// These are no longer to be committed: they belong to others.
    pub(crate) fn drop_lost(&mut self, lost: &[TopicPartition]) {
        for partition in lost {
            self.waiting.remove(partition);
            self.settle(partition, &Err(Some(ErrorCode::UNKNOWN_MEMBER_ID)));
        }
    }

    /// When there may be something to do though nothing has happened.
    pub(crate) fn wake_at(&self) -> Option<Instant> {
        let retry = self.not_before.filter(|_| self.sent.is_none() && !self.waiting.is_empty());
        let deadline = self.askers.iter().map(|asker| asker.deadline).min();
        [retry, deadline].into_iter().flatten().min()
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.sent.is_none() && self.waiting.is_empty()
    }

    fn again(&mut self, offsets: BTreeMap<TopicPartition, CommittedOffset>, now: Instant) {
        if offsets.is_empty() {
            (self.failures, self.not_before) = (0, None);
            return;
        }
        for (partition, offset) in offsets {
            // What was committed since is newer.
            self.waiting.entry(partition).or_insert(offset);
        }
        self.failures = self.failures.saturating_add(1);
        self.not_before = Some(now + Backoff::REQUEST.wait(self.failures, fastrand::f64()));
    }

    fn settle(&mut self, partition: &TopicPartition, result: &Result<(), Refusal>) {
        // Who asked for the newer offset that still waits is not served yet, and is not told from who asked before.
        let superseded = result.is_ok() && self.waiting.contains_key(partition);
        let askers = std::mem::take(&mut self.askers);
        for mut asker in askers {
            if superseded || !asker.left.contains(partition) {
                self.askers.push(asker);
                continue;
            }
            asker.left.remove(partition);
            if result.is_err() || asker.left.is_empty() {
                // Whoever asked may have gone.
                let _ = asker.reply.send(*result);
            } else {
                self.askers.push(asker);
            }
        }
    }

    fn expire(&mut self, now: Instant) {
        for asker in std::mem::take(&mut self.askers) {
            if asker.deadline <= now {
                let _ = asker.reply.send(Err(None));
            } else {
                self.askers.push(asker);
            }
        }
    }
}
