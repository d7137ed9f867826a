//! What a user may do with a consumer beside reading: where it stands, where it goes on, what is committed.

use std::sync::Arc;

use tokio::time::Instant;

use super::Consumer;
use super::event::Stopper;
use super::message::Unpacked;
use super::outage::Interruption;
use super::policy::StartOffset;
use crate::kafka::client::Client;
use crate::kafka::error::Error;
use crate::kafka::group::{CommittedOffset, GroupMetadata, offsets};
use crate::kafka::topic_partition::TopicPartition;

/// How far a consumer has read in a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartitionLag {
    /// The partition.
    pub partition: TopicPartition,
    /// The offset of the next record to be handed over.
    pub position: i64,
    /// The end of what may be read when a broker last told: the last stable offset, or the high watermark for a
    /// consumer that reads uncommitted records.
    pub end: i64,
}

impl PartitionLag {
    /// How many offsets are between the two.
    pub fn lag(&self) -> u64 {
        self.end.saturating_sub(self.position).max(0).unsigned_abs()
    }
}

impl Consumer {
    /// Goes on elsewhere in a partition that is read: with the next call, and whatever was fetched already.
    ///
    /// # Errors
    ///
    /// [`Error::NotAssigned`] for a partition that this consumer does not read.
    pub fn seek(&mut self, partition: &TopicPartition, to: StartOffset) -> Result<(), Error> {
        let index = self.positions.seek(partition, to).ok_or_else(|| not_assigned(partition))?;
        self.discard(index);
        self.drop_unpacked(partition);
        Ok(())
    }

    /// Hands over no more records of these partitions until they are [resumed](Self::resume). In a group they stay
    /// this member's.
    ///
    /// # Errors
    ///
    /// [`Error::NotAssigned`] for a partition that this consumer does not read; those before it are paused.
    pub fn pause(&mut self, partitions: &[TopicPartition]) -> Result<(), Error> {
        if self
            .unpacked
            .as_ref()
            .is_some_and(|unpacked| partitions.contains(unpacked.batch.topic_partition()))
        {
            self.put_back();
        }
        for partition in partitions {
            let index = self.positions.set_paused(partition, true).ok_or_else(|| not_assigned(partition))?;
            self.discard(index);
        }
        Ok(())
    }

    /// Hands over records of these partitions again, from where they were paused.
    ///
    /// # Errors
    ///
    /// [`Error::NotAssigned`] for a partition that this consumer does not read; those before it are resumed.
    pub fn resume(&mut self, partitions: &[TopicPartition]) -> Result<(), Error> {
        for partition in partitions {
            self.positions.set_paused(partition, false).ok_or_else(|| not_assigned(partition))?;
        }
        Ok(())
    }

    /// Reads a partition up to this offset, which is not handed over, and no further. When all partitions are read up to
    /// where they stop, [`next_batch`](Self::next_batch) returns `None`.
    ///
    /// # Errors
    ///
    /// [`Error::NotAssigned`] for a partition that this consumer does not read.
    pub fn stop_before(&mut self, partition: &TopicPartition, offset: i64) -> Result<(), Error> {
        if self.unpacked.as_ref().is_some_and(|unpacked| unpacked.batch.topic_partition() == partition) {
            self.put_back();
        }
        let index = self.positions.stop_at(partition, offset).ok_or_else(|| not_assigned(partition))?;
        self.discard(index);
        Ok(())
    }

    /// The partitions that this consumer reads, paused or not, in order.
    pub fn assignment(&self) -> Vec<TopicPartition> {
        let mut names: Vec<_> = self.positions.names().cloned().collect();
        names.sort_unstable();
        names
    }

    /// Whether a partition is paused.
    pub fn is_paused(&self, partition: &TopicPartition) -> bool {
        self.positions.is_paused(partition)
    }

    /// The offset behind the last record of this partition that was handed over; `None` where it is not read, or it
    /// is not known yet where reading begins.
    pub fn position(&self, partition: &TopicPartition) -> Option<i64> {
        let unpacked =
            self.unpacked.as_ref().filter(|unpacked| unpacked.batch.topic_partition() == partition);
        unpacked.map(Unpacked::reached).or_else(|| self.positions.handed_over(partition))
    }

    /// How far behind the ends of its partitions this consumer is, by what brokers told with the last records. Asks
    /// nobody. Partitions of which nothing has come yet are not listed.
    pub fn lag(&self) -> Vec<PartitionLag> {
        let lag = |(partition, position, end): (&TopicPartition, i64, i64)| PartitionLag {
            partition: partition.clone(),
            position: self.position(partition).unwrap_or(position),
            end,
        };
        self.positions.ends().map(lag).collect()
    }

    /// Why something that is to be read is out of reach, and for how long; `None` while reading goes on. Asks nobody, and
    /// learns only while [`next_batch`](Self::next_batch) or one of its kind is awaited.
    pub fn interruption(&self) -> Option<Interruption> {
        self.outage.interruption(Instant::now())
    }

    /// The client that this consumer reads with.
    pub fn client(&self) -> Client {
        Client::of(Arc::clone(&self.cluster))
    }

    /// A way to stop this consumer from another task.
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// Says that the records of a partition before `offset` have been dealt with, to be committed by
    /// [`commit`](Self::commit), or by itself where that is set. Marks of partitions that are not this member's are
    /// passed over. Without a group this does nothing.
    ///
    /// What was handed over is marked when more is asked for, unless [`auto_mark`](super::ConsumerBuilder::auto_mark)
    /// says otherwise; this is for those who want to say it themselves.
    pub fn mark(&mut self, partition: &TopicPartition, offset: i64) {
        let Some(leader_epoch) = self.positions.epoch(partition) else { return };
        if let Some(group) = &mut self.group {
            group.handle.activity.touch();
            // An epoch that is newer than the record's tells as well whether the log was cut below it.
            group.mark(partition, CommittedOffset { leader_epoch, ..CommittedOffset::new(offset) });
            group.commit_if_due();
        }
    }

    /// Commits what is marked, and waits until that is done. Tries again for 30 s, at another coordinator if need be.
    ///
    /// Dropping the future leaves the commit under way.
    ///
    /// # Errors
    ///
    /// [`Error::Setting`] without a group; else what the coordinator said: with
    /// [`UNKNOWN_MEMBER_ID`](crate::wire::error_code::ErrorCode::UNKNOWN_MEMBER_ID) and
    /// [`ILLEGAL_GENERATION`](crate::wire::error_code::ErrorCode::ILLEGAL_GENERATION) the partitions are another's, and
    /// the records will be read again.
    pub async fn commit(&mut self) -> Result<(), Error> {
        let group = self.group.as_mut().ok_or_else(no_group)?;
        let offsets = group.take_marked();
        group.commit(offsets).await
    }

    /// Commits these offsets, each that of the next record to read; else as [`commit`](Self::commit).
    ///
    /// # Errors
    ///
    /// As for [`commit`](Self::commit).
    pub async fn commit_offsets(&self, offsets: Vec<(TopicPartition, CommittedOffset)>) -> Result<(), Error> {
        self.group.as_ref().ok_or_else(no_group)?.commit(offsets).await
    }

    /// Commits what is marked in the background. Commits are carried out in the order in which they were asked for.
    ///
    /// # Errors
    ///
    /// [`Error::Setting`] without a group. What becomes of the commit is not told.
    pub fn commit_soon(&mut self) -> Result<(), Error> {
        let group = self.group.as_mut().ok_or_else(no_group)?;
        let offsets = group.take_marked();
        group.commit_soon(offsets);
        Ok(())
    }

    /// How far the group has read these partitions; `None` for one without a committed offset.
    ///
    /// # Errors
    ///
    /// [`Error::Setting`] without a group; else why the coordinator could not be asked.
    pub async fn committed(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<Vec<(TopicPartition, Option<CommittedOffset>)>, Error> {
        let group = self.group.as_ref().ok_or_else(no_group)?;
        offsets::committed(&self.cluster, &group.name, partitions).await
    }

    /// Who commits for the group now, for a [transaction](crate::kafka::Transaction::send_offsets); `None` without a group.
    pub fn group_metadata(&self) -> Option<GroupMetadata> {
        self.group.as_ref().map(|group| group.handle.metadata(&group.name))
    }

    /// Stops reading. In a group, commits what is marked and leaves, so that others get the partitions at once. Where
    /// marks are automatic, what was handed over last counts as dealt with.
    ///
    /// Dropping the future leaves that under way.
    ///
    /// # Errors
    ///
    /// What a last commit was refused with.
    pub async fn close(mut self) -> Result<(), Error> {
        self.settle();
        let Some(mut group) = self.group.take() else { return Ok(()) };
        // Who commits by hand has committed what they wanted to.
        let marked = if group.auto_commit.is_some() { group.take_marked() } else { Vec::new() };
        let committed = if marked.is_empty() { Ok(()) } else { group.commit(marked).await };
        group.leave().await;
        committed
    }

    /// The user is at work, though they ask for nothing.
    pub(crate) fn touch(&self) {
        if let Some(group) = &self.group {
            group.handle.activity.touch();
        }
    }

    /// What was being handed over one by one comes again, from where the user stands.
    pub(super) fn put_back(&mut self) {
        if let Some(unpacked) = self.unpacked.take()
            && let Some(index) = self.positions.index(unpacked.batch.topic_partition())
        {
            self.positions.rewind(index, unpacked.reached());
            self.discard(index);
        }
    }

    /// What was being handed over one by one of a partition is void.
    pub(super) fn drop_unpacked(&mut self, partition: &TopicPartition) {
        self.unpacked.take_if(|unpacked| unpacked.batch.topic_partition() == partition);
        self.handed.take_if(|(name, _)| name == partition);
    }
}

fn not_assigned(partition: &TopicPartition) -> Error {
    Error::NotAssigned { partition: partition.clone() }
}

fn no_group() -> Error {
    let reason = "offsets are kept by groups: give the consumer one";
    Error::Setting { setting: "group", reason: reason.to_owned() }
}
