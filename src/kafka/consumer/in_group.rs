//! What a consumer keeps on behalf of its group: what may be committed, and what it is giving up.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{Consumer, ConsumerEvent};
use crate::kafka::error::Error;
use crate::kafka::group::CommittedOffset;
use crate::kafka::group::task::{Command, Event, Handle};
use crate::kafka::topic_partition::TopicPartition;
use crate::wire::error_code::ErrorCode;

#[derive(Debug)]
pub(super) struct InGroup {
    pub(super) name: Arc<str>,
    pub(super) handle: Handle,
    /// How often to commit what is marked.
    pub(super) auto_commit: Option<Duration>,
    /// Whether what was handed over is marked when more is asked for.
    pub(super) auto_mark: bool,
    pub(super) share: Share,
    /// For how long a member that died may still stand in the way of this one.
    session: Duration,
    /// What is being given up, once the user has had their say.
    pub(super) revoking: Option<(u64, Vec<TopicPartition>)>,
    /// Why the membership has ended.
    pub(super) failed: Option<Error>,
    /// Whether the coordinator is out of reach, as far as is known.
    pub(super) is_cut_off: bool,
    /// How often the group has said that partitions were lost.
    losses: u64,
    marked: BTreeMap<TopicPartition, Mark>,
    /// Offsets that hold nothing for the user, behind what they are not known to be done with: the first, and the one
    /// behind the last.
    gaps: BTreeMap<TopicPartition, (i64, CommittedOffset)>,
    commit_at: Option<Instant>,
}

/// What is done with of a partition.
#[derive(Debug)]
struct Mark {
    offset: CommittedOffset,
    committed: bool,
}

/// What is known of this member's share of the partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Share {
    /// The user named the partitions: no group shares them out.
    NotGiven,
    /// The group is about to say what it is.
    Unknown,
    /// There was nothing left for this member at this time. There may be, once others have given up what is too much,
    /// or are found to be dead.
    Empty(Instant),
    /// It is what is read.
    Held,
}

impl InGroup {
    pub(super) fn new(
        name: Arc<str>,
        handle: Handle,
        auto_commit: Option<Duration>,
        auto_mark: bool,
        share: Share,
        session: Duration,
    ) -> Self {
        Self {
            name,
            handle,
            auto_commit,
            auto_mark,
            share,
            session,
            revoking: None,
            failed: None,
            is_cut_off: false,
            losses: 0,
            marked: BTreeMap::new(),
            gaps: BTreeMap::new(),
            commit_at: None,
        }
    }

    /// Whether partitions come from the group, and not from the user.
    pub(super) fn shares(&self) -> bool {
        self.share != Share::NotGiven
    }

    /// Until when more of a share may come than none; `None` where that is known, or not yet.
    pub(super) fn waits_until(&self) -> Option<Instant> {
        match self.share {
            Share::Empty(since) => Some(since + self.session),
            Share::NotGiven | Share::Unknown | Share::Held => None,
        }
    }

    /// The records before this offset are done with.
    pub(super) fn mark(&mut self, partition: &TopicPartition, offset: CommittedOffset) {
        let offset = match self.gaps.get(partition) {
            Some((from, _)) if *from == offset.offset => {
                self.gaps.remove(partition).map_or(offset, |(_, behind)| behind)
            }
            _ => offset,
        };
        match self.marked.get_mut(partition) {
            Some(marked) => *marked = Mark { offset, committed: false },
            None => {
                self.marked.insert(partition.clone(), Mark { offset, committed: false });
            }
        }
        if let Some(interval) = self.auto_commit {
            self.commit_at.get_or_insert_with(|| Instant::now() + interval);
        }
    }

    /// The offsets from this one on to another hold nothing for the user: once what is before them is done with, so are
    /// they, and the group does not seem to lag behind.
    pub(super) fn pass_over(&mut self, partition: &TopicPartition, from: i64, behind: CommittedOffset) {
        if self.marked.get(partition).is_some_and(|marked| marked.offset.offset == from) {
            return self.mark(partition, behind);
        }
        match self.gaps.get_mut(partition) {
            Some((_, end)) if end.offset == from => *end = behind,
            Some(gap) => *gap = (from, behind),
            None => {
                self.gaps.insert(partition.clone(), (from, behind));
            }
        }
    }

    /// The group has read up to here.
    pub(super) fn resume_at(&mut self, partition: &TopicPartition, offset: &CommittedOffset) {
        let mark = || Mark { offset: offset.clone(), committed: true };
        self.marked.entry(partition.clone()).or_insert_with(mark);
    }

    /// Without a committed offset, the group begins here: whoever has the partition after this member goes on from
    /// here, and not from an end that the log has by then.
    pub(super) fn begin_at(&mut self, partition: &TopicPartition, offset: i64) {
        if self.auto_commit.is_some() {
            self.mark(partition, CommittedOffset::new(offset));
            self.commit_at = Some(Instant::now());
        }
    }

    /// When to commit next by itself.
    pub(super) fn commit_at(&self) -> Option<Instant> {
        self.commit_at
    }

    /// Commits what is marked, if it is time.
    pub(super) fn commit_if_due(&mut self) {
        if self.commit_at.is_some_and(|at| at <= Instant::now()) {
            let offsets = self.take_marked();
            self.commit_soon(offsets);
        }
    }

    /// Commits, without waiting for it.
    pub(super) fn commit_soon(&self, offsets: Vec<(TopicPartition, CommittedOffset)>) {
        if !offsets.is_empty() {
            self.send(Command::Commit { offsets, losses: self.losses, reply: None });
        }
    }

    /// Commits, and waits until that is done.
    pub(super) async fn commit(&self, offsets: Vec<(TopicPartition, CommittedOffset)>) -> Result<(), Error> {
        let (reply, done) = oneshot::channel();
        self.send(Command::Commit { offsets, losses: self.losses, reply: Some(reply) });
        // The task ends only with its group.
        let done = done.await.unwrap_or(Err(Some(ErrorCode::UNKNOWN_MEMBER_ID)));
        done.map_err(|refusal| {
            let name = &self.name;
            match refusal {
                Some(code) => Error::for_group(code, "commit offsets of", name, || {
                    format!("committing offsets of group '{name}'")
                }),
                None => Error::Broker {
                    code: ErrorCode::COORDINATOR_NOT_AVAILABLE,
                    doing: format!("committing offsets of group '{name}' in time"),
                },
            }
        })
    }

    /// What is marked and was not committed; it counts as committed from now on.
    pub(super) fn take_marked(&mut self) -> Vec<(TopicPartition, CommittedOffset)> {
        self.commit_at = None;
        let marked = self.marked.iter_mut().filter(|(_, marked)| !marked.committed);
        marked
            .map(|(partition, marked)| {
                marked.committed = true;
                (partition.clone(), marked.offset.clone())
            })
            .collect()
    }

    /// The same, of these partitions only, and it does not count as committed yet.
    pub(super) fn marked_of(&self, partitions: &[TopicPartition]) -> Vec<(TopicPartition, CommittedOffset)> {
        let marked = partitions.iter().filter_map(|partition| self.marked.get_key_value(partition));
        marked
            .filter(|(_, marked)| !marked.committed)
            .map(|(partition, marked)| (partition.clone(), marked.offset.clone()))
            .collect()
    }

    /// Nothing is to be committed for this one any more.
    pub(super) fn forget(&mut self, partition: &TopicPartition) {
        self.marked.remove(partition);
        self.gaps.remove(partition);
    }

    /// Leaves the group, and returns when that is done.
    pub(super) async fn leave(mut self) {
        let (closed, _) = tokio::sync::mpsc::unbounded_channel();
        // The task takes the end of commands for the end of its consumer.
        self.handle.commands = closed;
        while self.handle.events.recv().await.is_some() {}
    }

    pub(super) fn send(&self, command: Command) {
        // A task that has ended has said why.
        let _ = self.handle.commands.send(command);
    }
}

impl Drop for InGroup {
    /// The task commits this, leaves the group, and ends.
    fn drop(&mut self) {
        if self.auto_commit.is_some() {
            let marked = self.take_marked();
            self.commit_soon(marked);
        }
    }
}

impl Consumer {
    /// What the user got last is dealt with, since they ask for more.
    pub(super) fn settle(&mut self) {
        let Some((partition, offset)) = self.handed.take() else { return };
        if let Some(group) = self.group.as_mut().filter(|group| group.auto_mark)
            && self.positions.index(&partition).is_some()
        {
            group.handle.activity.touch();
            group.mark(&partition, offset);
            group.commit_if_due();
        }
    }

    /// Gives up what the group takes away, once the user has had their say: commits what is marked of it first.
    ///
    /// When the future is dropped, the next call does it again.
    pub(super) async fn give_up_revoked(&mut self) {
        let Some(group) = &self.group else { return };
        let Some((number, partitions)) = group.revoking.clone() else { return };
        if group.auto_commit.is_some() {
            let marked = group.marked_of(&partitions);
            if !marked.is_empty()
                && let Err(error) = group.commit(marked).await
            {
                tracing::warn!(%error, "records that were handled will be read again by others");
            }
        }
        for partition in &partitions {
            self.forget(partition);
        }
        if let Some(group) = &mut self.group {
            group.revoking = None;
            group.share = Share::Unknown;
            group.send(Command::Revoked(number));
        }
    }

    /// Takes what the group has said meanwhile.
    pub(super) fn hear_group(&mut self) -> Result<(), Error> {
        loop {
            let Some(group) = &mut self.group else { return Ok(()) };
            // One thing at a time: what is being given up comes first.
            if group.revoking.is_some() || !self.events.is_empty() {
                return Ok(());
            }
            if let Some(error) = &group.failed {
                return Err(error.clone());
            }
            let Ok(event) = group.handle.events.try_recv() else { return Ok(()) };
            self.on_group_event(Some(event))?;
        }
    }

    pub(super) fn on_group_event(&mut self, event: Option<Event>) -> Result<(), Error> {
        let Some(group) = &mut self.group else { return Ok(()) };
        match event {
            Some(Event::Assigned(partitions)) => {
                for partition in &partitions {
                    self.positions.add_committed(partition.clone());
                }
                group.share = match self.positions.names().next() {
                    Some(_) => Share::Held,
                    None => Share::Empty(Instant::now()),
                };
                if !partitions.is_empty() {
                    self.events.push_back(ConsumerEvent::Assigned(partitions));
                }
            }
            Some(Event::Revoke { number, partitions }) => {
                group.revoking = Some((number, partitions.clone()));
                self.events.push_back(ConsumerEvent::Revoking(partitions));
            }
            Some(Event::Lost(partitions)) => {
                group.losses += 1;
                group.revoking = None;
                group.share = Share::Unknown;
                for partition in &partitions {
                    self.forget(partition);
                }
                let (group, count) = (group_name(self.group.as_ref()), partitions.len());
                if self.outage.is_on() {
                    // That has been said, and this is what comes of it.
                    tracing::debug!(%group, partitions = count, "partitions were lost to the group");
                } else {
                    tracing::warn!(%group, partitions = count, "partitions were lost to the group");
                }
                self.events.push_back(ConsumerEvent::Lost(partitions));
            }
            // Who has something to read finds out by reading.
            Some(Event::Unreachable(error)) => {
                group.is_cut_off = true;
                if self.positions.is_empty() {
                    self.on_failure([], error)?;
                }
            }
            Some(Event::Reached) => {
                group.is_cut_off = false;
                if self.positions.is_empty() {
                    self.on_success();
                }
            }
            Some(Event::Failed(error)) => group.failed = Some(error),
            None => {
                let name = &group.name;
                let doing = format!("being a member of group '{name}'");
                group.failed = Some(Error::Broker { code: ErrorCode::UNKNOWN_MEMBER_ID, doing });
            }
        }
        Ok(())
    }
}

fn group_name(group: Option<&InGroup>) -> &str {
    group.map_or("", |group| &group.name)
}
