//! `hop subscribe`: prints what comes.

use std::future::Future;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use super::arguments::{Delimiter, OnError, SubscribeArguments};
use super::interrupt::Interrupt;
use super::output::Output;
use super::{Failure, Outcome, connect};
use crate::models::Registry;
use crate::stream::{Consumer, Message, NextError, Unreadable};

/// Without `--persist`, brokers may be out of reach for this long before that is the end.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) async fn run(arguments: SubscribeArguments, registry: Registry, interrupt: Interrupt) -> Outcome {
    if arguments.group_id.is_some() {
        return Err(Failure::Usage(
            "consumer groups (-g/--group-id) are not available in this version; leave the option out to read all partitions"
                .to_owned(),
        ));
    }
    let stream = connect(&arguments.connection)?.registry(registry);
    let reader = stream
        .reader(&arguments.url)
        .start_at(arguments.start_at.into())
        .persist(arguments.persist)
        .include_tests(arguments.test)
        .give_up_after((!arguments.persist).then_some(PATIENCE));
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
    };
    tokio::select! {
        biased;
        printed = print_all(&mut consumer, &mut printer) => printed?,
        () = interrupt.heard() => tracing::info!("received an interrupt, closing"),
    }
    printer.output.flush()?;
    match printer.unreadable {
        0 => Ok(()),
        1 => Err(Failure::Reported("1 message could not be read".to_owned())),
        count => Err(Failure::Reported(format!("{count} messages could not be read"))),
    }
}

async fn print_all(consumer: &mut Consumer, printer: &mut Printer) -> Outcome {
    loop {
        let mut next = pin!(consumer.next());
        // What was printed is handed over before there is anything to wait for, and not for every message.
        let ready = std::future::poll_fn(|cx| Poll::Ready(next.as_mut().poll(cx))).await;
        let next = match ready {
            Poll::Ready(next) => next,
            Poll::Pending => {
                printer.output.flush()?;
                next.await
            }
        };
        match next {
            Ok(Some(message)) => printer.print(&message)?,
            Ok(None) => return Ok(()),
            Err(NextError::Unreadable(unreadable)) => printer.unreadable(&unreadable)?,
            Err(error) => {
                printer.output.flush()?;
                return Err(error.into());
            }
        }
    }
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
}

impl Printer {
    fn print(&mut self, message: &Message) -> Outcome {
        if let Some(warning) = message.warning() {
            let at = message.metadata();
            tracing::warn!(topic = %at.topic, partition = at.partition, offset = at.offset, "{warning}");
        }
        if self.raw {
            self.write(message.payload())
        } else if self.json {
            self.write(message.model().json_line().as_bytes())
        } else {
            self.write(&message.model().to_text())
        }
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
