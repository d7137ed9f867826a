//! What a user may do with a share consumer beside reading: say what became of records, and end.

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::held::{Outcome, not_held};
use super::requests::Link;
use super::sharing::{Sharing, Want};
use super::{Acknowledgement, Answer, ShareConsumer, SharedRecord, ask_in};
use crate::kafka::consumer::Stopper;
use crate::kafka::error::Error;
use crate::kafka::topic_partition::TopicPartition;

/// A goodbye is a courtesy: brokers find out by themselves.
const GOODBYE: Duration = Duration::from_secs(5);

impl ShareConsumer {
    /// Says what became of a record. Its broker is told with the next fetch, or by [`commit`](Self::commit); until then
    /// it may be said anew. Without [explicit acknowledgement](super::ShareConsumerBuilder::acknowledge_explicitly) what
    /// nothing is said of is accepted.
    ///
    /// # Errors
    ///
    /// [`Error::NotHeld`] for a record that is not this consumer's to acknowledge, or no longer.
    pub fn acknowledge(&mut self, shared: &SharedRecord, how: Acknowledgement) -> Result<(), Error> {
        let record = &shared.record;
        let partition = TopicPartition::new(Arc::clone(&record.topic), record.partition);
        self.acknowledge_offsets(&partition, [record.offset], how)
    }

    /// The same for records of one partition by their offsets, such as all those of a batch:
    ///
    /// ```no_run
    /// # use hop::kafka::{Acknowledgement, Error, ShareConsumer};
    /// # async fn example(consumer: &mut ShareConsumer) -> Result<(), Error> {
    /// if let Some(batch) = consumer.next_batch().await? {
    ///     consumer.acknowledge_offsets(batch.topic_partition(), batch.offsets(), Acknowledgement::Release)?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::NotHeld`] names the first that is not this consumer's to acknowledge; the others are acknowledged.
    pub fn acknowledge_offsets(
        &mut self,
        partition: &TopicPartition,
        offsets: impl IntoIterator<Item = i64>,
        how: Acknowledgement,
    ) -> Result<(), Error> {
        self.member.activity.touch();
        let now = Instant::now();
        let mut gone = None;
        for offset in offsets {
            if !self.sharing.say(partition, offset, how, now) {
                gone.get_or_insert(offset);
            }
        }
        gone.map_or(Ok(()), |offset| Err(not_held(partition, offset)))
    }

    /// Tells brokers what became of records, and waits until they have answered. Tries again for as long as the records
    /// are locked, where a broker cannot take it now. Without explicit acknowledgement, what was handed over counts as
    /// dealt with.
    ///
    /// Gives back how it went for each partition of which something was said since the last call, by this call or with
    /// fetches: [`Error::NotHeld`] for locks that had run out, else what the broker said. Its records are then handed
    /// over again, here or elsewhere; a broker takes all that is said of a partition at one time or none of it.
    ///
    /// Dropping the future loses nothing: what is under way stays so, and what became of it is told by the next call.
    pub async fn commit(&mut self) -> Vec<(TopicPartition, Result<(), Error>)> {
        let _polling = self.member.activity.poll();
        self.settle();
        loop {
            self.catch_up();
            self.ask(Want::Results);
            if !self.sharing.is_unsettled() {
                return self.sharing.take_outcomes();
            }
            self.wait(Want::Results).await;
        }
    }

    /// The partitions that this consumer gets records of, in order. Others may get records of them, too.
    pub fn assignment(&self) -> Vec<TopicPartition> {
        self.sharing.assignment().cloned().collect()
    }

    /// A way to stop this consumer from another task.
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// Tells brokers what was acknowledged, releases all else that this consumer holds, and leaves the group. Without
    /// explicit acknowledgement, what was handed over last counts as dealt with. What takes longer than 5 s is left to
    /// the brokers, which find out by themselves.
    ///
    /// Dropping the future leaves that under way.
    ///
    /// # Errors
    ///
    /// The first failure of what was acknowledged since the last [`commit`](Self::commit).
    pub async fn close(mut self) -> Result<(), Error> {
        self.settle();
        let farewell = tokio::spawn(self.farewell().run());
        // The task of the member takes the end of commands for the end of its consumer.
        let (closed, _) = mpsc::unbounded_channel();
        self.member.commands = closed;
        let outcomes = farewell.await.unwrap_or_default();
        while self.member.events.recv().await.is_some() {}
        outcomes.into_iter().try_for_each(|(_, outcome)| outcome)
    }

    /// Takes what is needed for the last words; nothing is left to do then.
    fn farewell(&mut self) -> Farewell {
        let (sharing, answers) = (mem::take(&mut self.sharing), mem::take(&mut self.answers));
        Farewell { sharing, answers, link: Arc::clone(&self.link) }
    }
}

impl Drop for ShareConsumer {
    fn drop(&mut self) {
        // Without a runtime the connections end, and brokers release what was acquired.
        if let Ok(runtime) = runtime::Handle::try_current() {
            runtime.spawn(self.farewell().run());
        }
    }
}

/// The last words to every broker.
struct Farewell {
    sharing: Sharing,
    answers: JoinSet<Answer>,
    link: Arc<Link>,
}

impl Farewell {
    async fn run(mut self) -> Vec<Outcome> {
        let until = Instant::now() + GOODBYE;
        // What came and was not looked at tells how far each session has come.
        while let Some(answer) = self.answers.try_join_next() {
            self.on_answer(answer.ok());
        }
        for ask in self.sharing.farewell(Instant::now()) {
            ask_in(&mut self.answers, &self.link, ask);
        }
        while let Ok(Some(answer)) = timeout_at(until, self.answers.join_next()).await {
            self.on_answer(answer.ok());
        }
        self.sharing.take_outcomes()
    }

    fn on_answer(&mut self, answer: Option<Answer>) {
        if let Some(Answer::Shared { broker, number, answer, at }) = answer {
            self.sharing.on_answer(broker, number, answer, at);
        }
    }
}
