//! `hop subscribe`: prints what comes.

use std::future::Future;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::timeout;

use super::arguments::{Delimiter, OnError, SubscribeArguments};
use super::interrupt::Interrupt;
use super::output::Output;
use super::{Failure, Outcome, connect};
use crate::models::Registry;
use crate::stream::{Consumer, Message, Metadata, Unreadable};

/// Without `--persist`, brokers may be out of reach for this long before that is the end.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the group's coordinator may take to answer somebody who was interrupted.
const GOODBYE: Duration = Duration::from_millis(500);

pub(super) async fn run(arguments: SubscribeArguments, registry: Registry, interrupt: Interrupt) -> Outcome {
    let stream = connect(&arguments.connection)?.registry(registry);
    let mut reader = stream
        .reader(&arguments.url)
        .start_at(arguments.start_at.into())
        .persist(arguments.persist)
        .include_tests(arguments.test)
        .give_up_after((!arguments.persist).then_some(PATIENCE))
        .auto_commit(false);
    let in_group = arguments.group_id.is_some();
    if let Some(group) = arguments.group_id {
        reader = reader.group_in(group, arguments.group_mode.into());
    }
    let mut consumer = tokio::select! {
        consumer = reader.open() => consumer?,
        () = interrupt.heard() => return Ok(()),
    };
    let mut printer = Printer {
        output: Output::new(),
        json: arguments.json,
        raw: arguments.raw,
        delimiter: arguments.delimiter,
        on_error: arguments.on_error,
        unreadable: 0,
        in_group,
        printed: Vec::new(),
    };
    let printed = tokio::select! {
        biased;
        printed = print_all(&mut consumer, &mut printer, &interrupt) => printed,
        () = interrupt.heard() => Ok(()),
    };
    // Also after a failure: the others of the group need not wait until this one is given up.
    let printed = printed.and_then(|()| printer.flush(&mut consumer));
    let closed = if interrupt.is_heard() {
        tracing::info!("received an interrupt, closing");
        close_soon(consumer).await
    } else {
        consumer.close().await.map_err(Failure::from)
    };
    printed?;
    closed?;
    match printer.unreadable {
        0 => Ok(()),
        1 => Err(Failure::Reported("1 message could not be read".to_owned())),
        count => Err(Failure::Reported(format!("{count} messages could not be read"))),
    }
}

/// Closes the consumer, as far as whoever interrupted has the patience.
async fn close_soon(consumer: Consumer) -> Outcome {
    match timeout(GOODBYE, consumer.close()).await {
        Ok(closed) => closed?,
        Err(_) => {
            tracing::warn!("the group's coordinator does not answer: what was printed last may come again");
        }
    }
    Ok(())
}

async fn print_all(consumer: &mut Consumer, printer: &mut Printer, interrupt: &Interrupt) -> Outcome {
    // Where there is always more to print, nothing else gets a turn.
    while !interrupt.is_heard() {
        // A group may take partitions away whenever it is asked for more: what was printed is done with before.
        if printer.in_group && consumer.at_hand() == 0 {
            printer.flush(consumer)?;
        }
        let next = {
            let mut next = pin!(consumer.next_raw());
            // What was printed is handed over before there is anything to wait for, and not for every message.
            let ready = std::future::poll_fn(|cx| Poll::Ready(next.as_mut().poll(cx))).await;
            match ready {
                Poll::Ready(next) => next,
                Poll::Pending => {
                    printer.output.flush()?;
                    next.await
                }
            }
        };
        match next {
            // Bytes need not mean anything.
            Ok(Some(message)) if printer.raw => {
                printer.write(message.payload())?;
                printer.done(message.metadata());
            }
            Ok(Some(message)) => match consumer.read(message) {
                Ok(message) => {
                    printer.print(&message)?;
                    printer.done(message.metadata());
                }
                Err(unreadable) => {
                    printer.unreadable(&unreadable)?;
                    printer.done(unreadable.message.metadata());
                }
            },
            Ok(None) => return Ok(()),
            Err(error) => {
                printer.flush(consumer)?;
                return Err(error.into());
            }
        }
    }
    Ok(())
}

/// Prints messages as was asked for.
struct Printer {
    output: Output,
    json: bool,
    raw: bool,
    delimiter: Delimiter,
    on_error: OnError,
    /// How many could not be read and were reported.
    unreadable: u64,
    in_group: bool,
    /// Of each partition, the last message that may still be on its way to the reader of the output: only what has got
    /// there is committed.
    printed: Vec<Metadata>,
}

impl Printer {
    fn print(&mut self, message: &Message) -> Outcome {
        if let Some(warning) = message.warning() {
            let at = message.metadata();
            tracing::warn!(topic = %at.topic, partition = at.partition, offset = at.offset, "{warning}");
        }
        if self.json {
            self.write(message.model().json_line().as_bytes())
        } else {
            self.write(&message.model().to_text())
        }
    }

    /// A message was printed, or need not be.
    fn done(&mut self, metadata: &Metadata) {
        if self.in_group {
            let same =
                |last: &&mut Metadata| last.partition == metadata.partition && last.topic == metadata.topic;
            match self.printed.iter_mut().find(same) {
                Some(last) => last.clone_from(metadata),
                None => self.printed.push(metadata.clone()),
            }
        }
    }

    /// Hands over what was printed, and says so to the group.
    fn flush(&mut self, consumer: &mut Consumer) -> Outcome {
        self.output.flush()?;
        for metadata in self.printed.drain(..) {
            consumer.mark_done(&metadata);
        }
        Ok(())
    }

    /// A message that is not what it says it is: said, printed or passed over, as was asked for.
    fn unreadable(&mut self, unreadable: &Unreadable) -> Outcome {
        match self.on_error {
            OnError::Skip => Ok(()),
            OnError::Raw => self.write(unreadable.message.payload()),
            OnError::Report => {
                tracing::error!("{unreadable}");
                self.unreadable += 1;
                Ok(())
            }
            OnError::Stop => {
                self.output.flush()?;
                Err(Failure::Reported(unreadable.to_string()))
            }
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Outcome {
        self.output.write(bytes)?;
        if !bytes.ends_with(&self.delimiter.0) {
            self.output.write(&self.delimiter.0)?;
        }
        Ok(())
    }
}
