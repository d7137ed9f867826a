//! The task behind a producer with a journal: connects, sends what the journal has, and writes down what arrived.

use std::future::{Future, pending, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::Shared;
use super::error::DeliveryError;
use super::outbox::{Fate, Outbox, Pause, Verdict, verdict};
use crate::kafka::{Delivery, Producer, Record};
use crate::stream::journal::{JournalError, StoredMessage};
use crate::stream::{OpenError, TopicName};

/// Handed to the producer and not acknowledged.
const MOST_IN_FLIGHT: usize = 4096;

/// What became of a message.
type Outcome = (u64, Result<(), DeliveryError>);

/// Runs until it is aborted with its producer.
pub(super) async fn run(shared: Arc<Shared>) {
    let producer = connect(&shared).await;
    let mut outbox = Outbox::default();
    let mut in_flight = InFlight::default();
    // The producer takes one at a time, so in order, and may have to wait for room.
    let mut sending: Option<Sending<'_>> = None;
    loop {
        let may_send = sending.is_none() && in_flight.0.len() < MOST_IN_FLIGHT;
        if may_send {
            let mut journal = shared.journal.lock().await;
            if let Some(sequence) = outbox.next(Instant::now(), |from| journal.unsent_from(from)) {
                let message = journal.read(sequence);
                sending = Some(Box::pin(send(&producer, &shared, sequence, message)));
            }
        }
        let again = outbox.next_look().filter(|_| may_send && sending.is_none());
        let sent = async {
            match &mut sending {
                Some(sending) => sending.await,
                None => pending().await,
            }
        };
        let outcomes = tokio::select! {
            outcomes = in_flight.outcomes() => outcomes,
            (sequence, sent) = sent => {
                sending = None;
                match sent {
                    Ok(Some(delivery)) => {
                        in_flight.0.push((sequence, delivery));
                        continue;
                    }
                    Ok(None) => vec![(sequence, Ok(()))],
                    Err(error) => vec![(sequence, Err(error))],
                }
            }
            () = sleep_until(again.unwrap_or_else(Instant::now)), if again.is_some() => continue,
            () = shared.work.notified() => continue,
        };
        settle(&shared, &mut outbox, outcomes).await;
    }
}

type Sending<'a> = Pin<Box<dyn Future<Output = (u64, Result<Option<Delivery>, DeliveryError>)> + Send + 'a>>;

/// Messages that the producer has taken.
#[derive(Debug, Default)]
struct InFlight(Vec<(u64, Delivery)>);

impl InFlight {
    /// What became of those of which it is known by now; waits until there is one.
    ///
    /// All are asked by one task, so that a batch wakes one.
    async fn outcomes(&mut self) -> Vec<Outcome> {
        poll_fn(|cx| {
            let mut outcomes = Vec::new();
            self.0.retain_mut(|(sequence, delivery)| match Pin::new(delivery).poll(cx) {
                Poll::Pending => true,
                Poll::Ready(outcome) => {
                    outcomes.push((*sequence, outcome.map(drop).map_err(DeliveryError::from)));
                    false
                }
            });
            if outcomes.is_empty() { Poll::Pending } else { Poll::Ready(outcomes) }
        })
        .await
    }
}

/// Connects, however long that takes.
async fn connect(shared: &Shared) -> Producer {
    let mut pause = Pause::default();
    loop {
        match open(shared).await {
            Ok(producer) => return producer,
            Err(error) => {
                let passing = matches!(&error, OpenError::Kafka(error) if error.is_retriable());
                if passing {
                    shared.said_once("messages stay in the journal until a broker is reached", &error);
                } else {
                    shared.keep(error.into());
                }
                sleep_until(pause.after_failure(Instant::now())).await;
            }
        }
    }
}

async fn open(shared: &Shared) -> Result<Producer, OpenError> {
    let (client, _) = shared.stream.connect(&shared.url).await?;
    let producer = client.producer().compression(shared.compressor).most_record_bytes(shared.record_bytes);
    // The journal has no time-out; and a batch that is sent again by the producer itself keeps its place and is
    // written once.
    Ok(producer.delivery_timeout(Duration::MAX).build()?)
}

/// Hands a message to the producer; nothing comes back if it is no longer there.
async fn send(
    producer: &Producer,
    shared: &Shared,
    sequence: u64,
    message: Result<Option<StoredMessage>, JournalError>,
) -> (u64, Result<Option<Delivery>, DeliveryError>) {
    let sent = async {
        let Some(message) = message? else { return Ok(None) };
        let topic = match message.topic {
            Some(topic) if topic != *shared.topic => topic.parse::<TopicName>()?.shared(),
            _ => Arc::clone(&shared.topic),
        };
        let mut record = Record::new(topic).value(message.payload);
        if let Some(key) = message.key {
            record = record.key(key);
        }
        for header in message.headers {
            let (name, value) = header.into_parts();
            record = record.header(name, value);
        }
        Ok(Some(producer.send(record).await?))
    };
    (sequence, sent.await)
}

/// Takes what became of messages, in the journal and for those who wait.
async fn settle(shared: &Shared, outbox: &mut Outbox, outcomes: Vec<Outcome>) {
    let now = Instant::now();
    let mut done = Vec::with_capacity(outcomes.len());
    for (sequence, outcome) in outcomes {
        let (verdict, error) = match outcome {
            Ok(()) => (Ok(()), None),
            Err(error) => (Err(verdict_on(&error)), Some(error)),
        };
        let fate = outbox.settle(sequence, verdict, now);
        if fate != Fate::Kept {
            done.push(sequence);
        }
        match error {
            Some(error) if fate == Fate::GivenUp => shared.give_up(sequence, error),
            Some(error) if verdict == Err(Verdict::Lasting) => shared.keep(error),
            Some(_) => {}
            None => shared.all_clear(),
        }
    }
    let mut journal = Arc::clone(&shared.journal).lock_owned().await;
    if let Err(error) = journal.settle(&done) {
        tracing::warn!("messages that were sent may be sent again after a crash: {error}");
    }
    if journal.wants_compacting() {
        super::compact(journal).await;
    } else {
        drop(journal);
    }
    shared.work_to_sync.notify_one();
    shared.progress.notify_waiters();
}

fn verdict_on(error: &DeliveryError) -> Verdict {
    match error {
        DeliveryError::Produce(error) => verdict(error),
        DeliveryError::Topic(_) => Verdict::Refused,
        DeliveryError::Open(_) | DeliveryError::Journal(_) => Verdict::Lasting,
    }
}
