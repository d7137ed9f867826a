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

    /// Takes an answer, or with `None` that there is none. `identity` is the member's by now, unless it is `renewing`
    /// that, and `owned` what it owns; everything where partitions were assigned by hand.
    pub(crate) fn on_answer(
        &mut self,
        answer: Option<Codes>,
        identity: &Identity,
        renewing: bool,
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
                // The membership was renewed meanwhile, and the partition kept; or it is about to be, and the answer
                // to that says what the member is.
                ErrorCode::ILLEGAL_GENERATION | ErrorCode::UNKNOWN_MEMBER_ID
                    if renewing || (sent_as != *identity && identity.is_some()) =>
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
                tracing::warn!(%partition, offset = offset.offset, %code, "an offset was not committed");
                self.settle(&partition, &Err(Some(code)));
            }
        }
        // What the coordinator says nothing of has not been committed.
        again.append(&mut offsets);
        self.again(again, now);
        verdict
    }

    /// These are no longer to be committed: they belong to others. What is on its way is not sent again.
    pub(crate) fn drop_lost(&mut self, lost: &[TopicPartition]) {
        for partition in lost {
            self.waiting.remove(partition);
            if let Some(sent) = &mut self.sent {
                sent.offsets.remove(partition);
            }
            self.settle(partition, &Err(Some(ErrorCode::UNKNOWN_MEMBER_ID)));
        }
    }

    /// When there may be something to do though nothing has happened.
    pub(crate) fn wake_at(&self) -> Option<Instant> {
        let retry = self.not_before.filter(|_| self.sent.is_none() && !self.waiting.is_empty());
        let deadline = self.askers.iter().map(|asker| asker.deadline).min();
        [retry, deadline].into_iter().flatten().min()
    }

    /// Whether an offset of this partition is to be committed still, or on its way.
    pub(crate) fn holds(&self, partition: &TopicPartition) -> bool {
        let is_sent = self.sent.as_ref().is_some_and(|sent| sent.offsets.contains_key(partition));
        is_sent || self.waiting.contains_key(partition)
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn partition(number: i32) -> TopicPartition {
        TopicPartition::new("t", number)
    }

    fn identity(generation: i32) -> Identity {
        Some(("me".to_owned(), generation))
    }

    #[derive(Debug, Clone)]
    enum Step {
        Push {
            partition: i32,
            asks: bool,
        },
        /// The request reaches the coordinator, or not; its answer reaches the member, or not.
        Carry {
            arrives: bool,
            answered: bool,
            code: ErrorCode,
        },
        Lose(i32),
        Pass(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        let code = prop::sample::select(vec![
            ErrorCode::NONE,
            ErrorCode::REBALANCE_IN_PROGRESS,
            ErrorCode::NOT_COORDINATOR,
            ErrorCode::COORDINATOR_LOAD_IN_PROGRESS,
            ErrorCode::OFFSET_METADATA_TOO_LARGE,
        ]);
        prop_oneof![
            4 => (0..3, any::<bool>()).prop_map(|(partition, asks)| Step::Push { partition, asks }),
            4 => (any::<bool>(), any::<bool>(), code)
                .prop_map(|(arrives, answered, code)| Step::Carry { arrives, answered, code }),
            1 => (0..3).prop_map(Step::Lose),
            2 => (0_u64..3_000).prop_map(Step::Pass),
        ]
    }

    proptest! {
        #[test]
        fn offsets_never_go_back_and_the_last_ones_arrive(steps in prop::collection::vec(step(), 0..60)) {
            let mut commits = Commits::default();
            let mut now = Instant::now();
            let far = now + Duration::from_secs(3_600);
            let mut kept: BTreeMap<TopicPartition, i64> = BTreeMap::new();
            // What was pushed last and neither refused nor lost.
            let mut wanted: BTreeMap<TopicPartition, i64> = BTreeMap::new();
            let mut replies = Vec::new();
            let end = [Step::Pass(5_000), Step::Carry { arrives: true, answered: true, code: ErrorCode::NONE }];
            let steps = steps.into_iter().chain(end.iter().cycle().take(6).cloned());
            for (step, next) in steps.zip(1_i64..) {
                match step {
                    Step::Push { partition: number, asks } => {
                        let (reply, told) = oneshot::channel();
                        wanted.insert(partition(number), next);
                        commits.push([(partition(number), CommittedOffset::new(next))], asks.then_some(reply), far);
                        if asks {
                            replies.push(told);
                        }
                    }
                    Step::Carry { arrives, answered, code } => {
                        let Some(sent) = commits.next(identity(1), now).cloned() else { continue };
                        if arrives && code == ErrorCode::NONE {
                            for (partition, offset) in &sent {
                                let before = kept.insert(partition.clone(), offset.offset);
                                prop_assert!(before.is_none_or(|before| before <= offset.offset), "it went back");
                            }
                        }
                        if code == ErrorCode::OFFSET_METADATA_TOO_LARGE && arrives && answered {
                            wanted.retain(|partition, offset| sent.get(partition).is_none_or(|sent| sent.offset != *offset));
                        }
                        let codes = sent.keys().map(|partition| (partition.clone(), code)).collect();
                        let answer = (arrives && answered).then_some(codes);
                        commits.on_answer(answer, &identity(1), false, |_| true, now);
                    }
                    Step::Lose(number) => {
                        wanted.remove(&partition(number));
                        commits.drop_lost(&[partition(number)]);
                    }
                    Step::Pass(millis) => now += Duration::from_millis(millis),
                }
            }
            prop_assert!(commits.is_idle());
            for (partition, offset) in wanted {
                prop_assert_eq!(kept.get(&partition), Some(&offset));
            }
            for mut told in replies {
                prop_assert!(told.try_recv().is_ok(), "somebody waits for ever");
            }
        }
    }

    #[test]
    fn what_was_lost_on_its_way_is_not_sent_again() {
        let (mut commits, now) = (Commits::default(), Instant::now());
        let (reply, mut told) = oneshot::channel();
        let deadline = now + Duration::from_secs(30);
        let offsets = [0, 1].map(|number| (partition(number), CommittedOffset::new(5)));
        commits.push(offsets, Some(reply), deadline);
        assert_eq!(commits.next(identity(1), now).map(BTreeMap::len), Some(2));
        commits.drop_lost(&[partition(0)]);
        assert_eq!(told.try_recv(), Ok(Err(Some(ErrorCode::UNKNOWN_MEMBER_ID))));
        assert_eq!(commits.on_answer(None, &identity(1), false, |_| true, now), Verdict::ForgetCoordinator);
        let later = now + Duration::from_secs(2);
        let again: Vec<_> = commits.next(identity(2), later).into_iter().flat_map(BTreeMap::keys).collect();
        assert_eq!(again, [&partition(1)]);
    }

    fn sent(commits: &mut Commits, generation: i32, now: Instant) -> Vec<i64> {
        let sent = commits.next(identity(generation), now);
        sent.into_iter().flat_map(BTreeMap::values).map(|offset| offset.offset).collect()
    }

    #[test]
    fn a_generation_that_is_being_renewed_is_no_reason_to_give_up() {
        for code in [ErrorCode::ILLEGAL_GENERATION, ErrorCode::UNKNOWN_MEMBER_ID] {
            let (mut commits, now) = (Commits::default(), Instant::now());
            let (reply, mut told) = oneshot::channel();
            let deadline = now + Duration::from_secs(30);
            commits.push([(partition(0), CommittedOffset::new(5))], Some(reply), deadline);
            assert_eq!(sent(&mut commits, 1, now), [5]);
            let refused = || Some(vec![(partition(0), code)].into_iter().collect());
            // The join was answered at the coordinator already, and the member does not know.
            assert_eq!(commits.on_answer(refused(), &identity(1), true, |_| true, now), Verdict::Nothing);
            let later = now + Duration::from_secs(2);
            assert_eq!(sent(&mut commits, 2, later), [5]);
            assert_eq!(told.try_recv(), Err(oneshot::error::TryRecvError::Empty));
            // Once that is over, the coordinator means what it says.
            assert_eq!(
                commits.on_answer(refused(), &identity(2), false, |_| true, later),
                Verdict::Fenced(code)
            );
            assert_eq!(told.try_recv(), Ok(Err(Some(code))));
        }
    }
}
