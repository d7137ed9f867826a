//! What answers mean for a consumer: positions move, records are ready, interruptions begin and end.

use std::collections::HashMap;
use std::sync::Arc;

use kafka_protocol::messages::MetadataResponse;
use tokio::time::Instant;

use super::aborted::AbortFilter;
use super::questions::{EndOfEpoch, FetchFrom, Fetched, Index, OffsetOf, Verdict};
use super::requests::{Answers, FetchAnswer, Isolation};
use super::{Consumer, ConsumerEvent, Ready};
use crate::kafka::ALL_CLEAR;
use crate::kafka::error::Error;
use crate::kafka::group::{CommittedOffset, task};
use crate::kafka::metadata::{BrokerId, Snapshot};
use crate::kafka::topic_partition::TopicPartition;
use crate::wire::error_code::{ErrorCode, Reaction};
use crate::wire::record::{Batches, DecodeLimits, last_leader_epoch, next_offset};

/// What a question to the cluster brought.
#[derive(Debug)]
pub(super) enum Answer {
    Fetched { broker: BrokerId, asked: Vec<FetchFrom>, incremental: bool, answer: Result<FetchAnswer, Error> },
    Offsets { broker: BrokerId, asked: Vec<OffsetOf>, answer: Result<Answers<i64>, Error> },
    Epochs { broker: BrokerId, asked: Vec<EndOfEpoch>, answer: Result<Answers<(i32, i64)>, Error> },
    Committed { asked: Vec<(Index, TopicPartition)>, answer: Result<Committed, Error> },
    Refreshed(Result<Arc<Snapshot>, Error>),
    Listed(Result<MetadataResponse, Error>),
}

type Committed = Vec<(TopicPartition, Option<CommittedOffset>)>;

impl Consumer {
    pub(super) fn on_answer(&mut self, answer: Answer) -> Result<(), Error> {
        match answer {
            Answer::Fetched { broker, asked, incremental, answer } => {
                self.busy.remove(&broker);
                match answer {
                    Ok(answer) => self.on_fetched(broker, &asked, incremental, answer),
                    Err(error) => {
                        if let Some(session) = self.sessions.get_mut(&broker) {
                            session.restart();
                        }
                        self.on_failure(asked.iter().map(|from| from.index), error)
                    }
                }
            }
            Answer::Offsets { broker, asked, answer } => {
                self.busy.remove(&broker);
                match answer {
                    Ok(answers) => self.on_offsets(asked, answers),
                    Err(error) => self.on_failure(asked.iter().map(|of| of.index), error),
                }
            }
            Answer::Epochs { broker, asked, answer } => {
                self.busy.remove(&broker);
                match answer {
                    Ok(answers) => self.on_ends_of_epochs(asked, answers),
                    Err(Error::Unsupported { .. }) => {
                        self.positions.take_as_checked(&asked);
                        Ok(())
                    }
                    Err(error) => self.on_failure(asked.iter().map(|of| of.index), error),
                }
            }
            Answer::Committed { asked, answer } => match answer {
                Ok(committed) => {
                    let found: HashMap<_, _> = committed.into_iter().collect();
                    for (index, name) in asked {
                        let was_there = self.subscription.was_there(&name);
                        match found.get(&name) {
                            Some(committed) => {
                                self.positions.on_committed(index, committed.as_ref(), was_there);
                                if let (Some(group), Some(committed)) = (&mut self.group, committed)
                                    && self.positions.name(index).is_some()
                                {
                                    group.resume_at(&name, committed);
                                }
                            }
                            // Nothing said is not the same as nothing committed.
                            None => self.positions.on_unreachable([index], Instant::now()),
                        }
                    }
                    Ok(())
                }
                Err(error) => self.on_failure(asked.iter().map(|(index, _)| *index), error),
            },
            Answer::Refreshed(answer) => {
                self.refreshing = false;
                match answer {
                    Ok(_) => {
                        // Without a coordinator there is nothing to read, whoever else answers.
                        let is_cut_off = self.group.as_ref().is_some_and(|group| group.is_cut_off);
                        if self.positions.is_empty() && !is_cut_off {
                            self.on_success();
                        }
                        Ok(())
                    }
                    // An attempt may outlast the interruption that it was made for.
                    Err(error) if self.is_reading() => {
                        tracing::debug!(%error, "metadata could not be renewed");
                        Ok(())
                    }
                    Err(error) => self.on_failure([], error),
                }
            }
            Answer::Listed(Ok(listed)) => {
                if self.subscription.on_listed(&listed) {
                    if let Some(group) = self.group.as_ref().filter(|group| group.shares()) {
                        group.send(task::Command::Subscribe(self.subscription.topics().cloned().collect()));
                    }
                    self.refresh();
                }
                Ok(())
            }
            Answer::Listed(Err(error)) => {
                tracing::debug!(%error, "topics could not be listed");
                Ok(())
            }
        }
    }

    pub(super) fn on_fetched(
        &mut self,
        broker: BrokerId,
        asked: &[FetchFrom],
        incremental: bool,
        answer: FetchAnswer,
    ) -> Result<(), Error> {
        let now = Instant::now();
        let session = self.sessions.entry(broker).or_default();
        if !session.on_answer(answer.code, answer.session_id) {
            self.positions.ask_again(asked.iter().map(|from| from.index));
            self.on_success();
            return Ok(());
        }
        let whole = answer.code;
        let mut unanswered: HashMap<Index, FetchFrom> =
            asked.iter().map(|from| (from.index, *from)).collect();
        if answer.partitions.iter().all(|data| data.records.is_empty()) {
            self.buffers.clear();
        }
        let mut failure = None;
        for data in answer.partitions {
            let index = self.positions.index(&data.name);
            let Some(from) = index.and_then(|index| unanswered.remove(&index)) else { continue };
            let (records, buffers) = (data.records.clone(), self.buffers.clone());
            let batches = Batches::in_buffers(records, DecodeLimits::default(), buffers);
            let limit = if data.high_watermark >= 0 { data.high_watermark } else { i64::MAX };
            let next = next_offset(&data.records).filter(|&next| next <= limit);
            let fetched = Fetched {
                asked: from,
                code: data.code,
                end: data.end,
                next: next.or_else(|| batches.has_next().then_some(from.offset)),
                cut: !data.records.is_empty() && !batches.has_next(),
                epoch: last_leader_epoch(&data.records),
                preferred: data.preferred,
            };
            let verdict = self.positions.on_fetched(fetched, now);
            if data.code == ErrorCode::UNKNOWN_TOPIC_ID
                && let Some(group) = &mut self.group
            {
                // Commits name no ids: what is marked would count for another topic of that name.
                group.forget(&data.name);
            }
            if matches!(verdict, Verdict::Deliver) {
                self.ready.push_back(Ready {
                    index: from.index,
                    batches,
                    filter: AbortFilter::new(match self.limits.isolation {
                        Isolation::ReadCommitted => &data.aborted,
                        Isolation::ReadUncommitted => &[],
                    }),
                    from: from.offset,
                    before: self.positions.stop_before(from.index),
                    reached: from.offset,
                    next,
                    limit,
                });
            } else if let Err(error) = self.on_verdict(from.index, verdict) {
                failure = Some(error);
            }
        }
        if incremental && whole == ErrorCode::NONE {
            for index in unanswered.into_keys() {
                let verdict = self.positions.on_no_news(index);
                self.on_verdict(index, verdict)?;
            }
        } else if !unanswered.is_empty() {
            tracing::debug!(code = %whole, partitions = unanswered.len(), "a fetch was not answered in full");
            self.positions.on_unreachable(unanswered.into_keys(), now);
            if whole.reaction() == Reaction::RefreshMetadata {
                self.refresh();
            }
        }
        self.on_success();
        // The next records are on their way while these are handled.
        self.ask();
        self.ask_for_ids();
        failure.map_or(Ok(()), Err)
    }

    pub(super) fn on_offsets(&mut self, asked: Vec<OffsetOf>, answers: Answers<i64>) -> Result<(), Error> {
        let now = Instant::now();
        let mut unanswered: HashMap<Index, OffsetOf> = asked.into_iter().map(|of| (of.index, of)).collect();
        // One that cannot be read is no reason to leave out the others.
        let mut failure = None;
        for (name, answer) in answers {
            let index = self.positions.index(&name);
            if let Some(of) = index.and_then(|index| unanswered.remove(&index)) {
                let verdict = self.positions.on_offset(of, answer, now);
                failure = self.on_verdict(of.index, verdict).err().or(failure);
            }
        }
        self.positions.on_unreachable(unanswered.into_keys(), now);
        self.on_success();
        failure.map_or(Ok(()), Err)
    }

    pub(super) fn on_ends_of_epochs(
        &mut self,
        asked: Vec<EndOfEpoch>,
        answers: Answers<(i32, i64)>,
    ) -> Result<(), Error> {
        let now = Instant::now();
        let mut unanswered: HashMap<Index, EndOfEpoch> = asked.into_iter().map(|of| (of.index, of)).collect();
        // One that cannot be read is no reason to leave out the others.
        let mut failure = None;
        for (name, answer) in answers {
            let index = self.positions.index(&name);
            if let Some(of) = index.and_then(|index| unanswered.remove(&index)) {
                let verdict = self.positions.on_end_of_epoch(of, answer, now);
                failure = self.on_verdict(of.index, verdict).err().or(failure);
            }
        }
        self.positions.on_unreachable(unanswered.into_keys(), now);
        self.on_success();
        failure.map_or(Ok(()), Err)
    }

    pub(super) fn on_verdict(&mut self, index: Index, verdict: Verdict) -> Result<(), Error> {
        match verdict {
            Verdict::Deliver | Verdict::Nothing => {}
            Verdict::Refresh => self.refresh(),
            Verdict::Begins(offset) => {
                if let (Some(group), Some(partition)) = (&mut self.group, self.positions.name(index)) {
                    group.begin_at(partition, offset);
                }
            }
            Verdict::AtEnd(offset) => {
                if let Some(partition) = self.positions.name(index).filter(|_| self.announce_ends) {
                    let partition = partition.clone();
                    self.events.push_back(ConsumerEvent::EndOfPartition { partition, offset });
                }
            }
            Verdict::Truncated { read_up_to, diverges_at } => {
                let Some(partition) = self.positions.name(index).cloned() else { return Ok(()) };
                tracing::warn!(%partition, read_up_to, diverges_at, "the log was cut below what was read");
                self.discard(index);
                self.drop_unpacked(&partition);
                // What is committed of records that are gone would pass over those that come instead.
                if let Some(group) = &mut self.group {
                    group.forget(&partition);
                }
                self.events.push_back(ConsumerEvent::Truncated { partition, read_up_to, diverges_at });
            }
            Verdict::Fail(error) => {
                // There may be another topic of this name one day.
                if matches!(error, Error::UnknownTopic { .. }) {
                    self.refresh();
                }
                return Err(error);
            }
        }
        Ok(())
    }

    /// Whether there is something to read and nothing known to be in the way of it.
    pub(super) fn is_reading(&self) -> bool {
        let snapshot = self.cluster.snapshot();
        !self.positions.is_empty()
            && self.positions.all_reachable()
            && !self.positions.lacks_leader(&snapshot)
    }

    /// A broker could not be asked, or did not answer.
    pub(super) fn on_failure(
        &mut self,
        indices: impl IntoIterator<Item = Index>,
        error: Error,
    ) -> Result<(), Error> {
        let now = Instant::now();
        self.positions.on_unreachable(indices, now);
        if !error.may_pass() {
            return Err(error);
        }
        let is_new = self.outage.on_failure(&error, now);
        if self.give_up_after.is_some_and(|patience| self.outage.silence(now) >= patience) {
            return Err(error);
        }
        // Once is enough for whoever watches.
        if !is_new {
            tracing::debug!(%error, failures = self.outage.failures(), "still interrupted");
        } else if let Some(patience) = self.give_up_after {
            let seconds = patience.as_secs_f32();
            tracing::warn!(%error, "reading is interrupted and will be tried again for {seconds} s");
        } else {
            tracing::warn!(%error, "reading is interrupted and will go on by itself");
        }
        self.refresh();
        Ok(())
    }

    /// A broker has answered.
    pub(super) fn on_success(&mut self) {
        if let Some(lasted) = self.outage.on_success(self.positions.all_reachable(), Instant::now()) {
            tracing::warn!(target: ALL_CLEAR, "reading goes on after {} s", lasted.as_secs());
        }
    }
}
