//! `hop subscribe`: prints what comes, stores it, or runs a command with it.

mod command;
mod directory;
mod file_name;
mod filter;
mod format;
mod health;
mod printer;
mod reload;
mod template;

use std::future::Future;
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, SystemTime};

use tokio::time::{sleep, timeout};

use self::health::{Health, asked, beside, between_messages};
use self::printer::Printer;
use self::reload::Hangup;
use super::arguments::SubscribeArguments;
use super::interrupt::Interrupt;
use super::{Failure, Outcome, connect_for_messages, say};
use crate::models::Registry;
use crate::stream::{Consumer, NextError, RawMessage, Unreadable};

pub(super) use self::command::CommandError;
pub(super) use self::directory::StoreError;
pub(super) use self::file_name::FileName;
pub(super) use self::filter::Filter;
pub(super) use self::format::{Format, rfc3339};
pub(super) use self::health::{HealthError, holds_together};

/// Without `--persist`, brokers may be out of reach for this long before that is the end.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long to wait for a service that keeps large messages and does not answer.
const BETWEEN_FETCHES: Duration = Duration::from_secs(10);
/// How long the group's coordinator may take to answer somebody who was interrupted.
const GOODBYE: Duration = Duration::from_millis(500);

pub(super) async fn run(arguments: SubscribeArguments, registry: Registry, interrupt: Interrupt) -> Outcome {
    let mut printer = Printer::new(&arguments)?;
    let hangup = arguments.persist.then(Hangup::listen).flatten();
    let mut health = match arguments.health {
        Some(address) => Some(Health::listen(address, printer.tally()).await?),
        None => None,
    };
    if let Some(health) = health.as_ref().filter(|_| !arguments.verbosity.quiet) {
        say(&format!("hop: health on http://{}", health.address()));
    }
    let manner = Manner { persist: arguments.persist, has_plugins: arguments.plugins.plugins };
    let large = arguments.external.large_messages();
    let stream = connect_for_messages(&arguments.connection, large)?.registry(registry);
    let now = SystemTime::now();
    let start = match arguments.from {
        Some(moment) => moment.position(now),
        None => arguments.start_at.into(),
    };
    let mut reader = stream
        .reader(&arguments.url)
        .start_at(start)
        .stop_before(arguments.until.map(|moment| moment.stop(now)))
        .persist(arguments.persist)
        .include_tests(arguments.test)
        .give_up_after((!arguments.persist).then_some(PATIENCE))
        .auto_commit(false);
    if let Some(pattern) = arguments.topic_pattern {
        reader = reader.topics_matching(pattern);
    }
    if let Some(group) = arguments.group_id {
        reader = reader.group_in(group, arguments.group_mode.into());
    }
    let mut consumer = tokio::select! {
        consumer = beside(&mut health, None, reader.open()) => consumer?,
        () = interrupt.heard() => return Ok(()),
    };
    if let Some(hangup) = hangup {
        hangup.reload(arguments.connection, arguments.url, consumer.client());
    }
    let printed = tokio::select! {
        biased;
        printed = print_all(&mut consumer, &mut printer, &mut health, &interrupt, manner) => printed,
        () = interrupt.heard() => Ok(()),
    };
    // Nothing is read any more.
    drop(health);
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
    match printer.unreadable_count() {
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

/// How messages are gone through.
#[derive(Debug, Clone, Copy)]
struct Manner {
    persist: bool,
    has_plugins: bool,
}

async fn print_all(
    consumer: &mut Consumer,
    printer: &mut Printer,
    health: &mut Option<Health>,
    interrupt: &Interrupt,
    Manner { persist, has_plugins }: Manner,
) -> Outcome {
    // Where there is always more to print, nothing else gets a turn.
    while !interrupt.is_heard() && !printer.has_enough() {
        between_messages(health, consumer).await;
        // What is done with stays so if the next fails.
        if printer.is_direct() {
            printer.settle(consumer)?;
        }
        let next = match consumer.next_at_hand() {
            Some(message) => message.map(Some).map_err(|error| NextError::Kafka(*error)),
            None => {
                // A group may take partitions away whenever it is asked for more: what was printed is done with before.
                printer.settle(consumer)?;
                next(consumer, printer, health).await?
            }
        };
        match next {
            Ok(Some(message)) => {
                let message = if consumer.is_elsewhere(&message) {
                    // That takes long, and what was printed is to be seen.
                    printer.hand_over()?;
                    beside(health, Some(consumer), fetch(consumer, message, persist)).await?
                } else {
                    Ok(message)
                };
                if has_plugins {
                    // One may have taken long over the last: the group's heartbeats get a turn.
                    tokio::task::yield_now().await;
                }
                // It is not small, and not to be moved about for each message.
                let printing = pin!(print_one(consumer, printer, message));
                beside(health, Some(consumer), printing).await?;
            }
            Ok(None) => return Ok(()),
            Err(error) => {
                printer.flush(consumer)?;
                return Err(error.into());
            }
        }
    }
    Ok(())
}

/// The message that one stands for. What is only out of reach is not passed over: it is asked for again, or that is the end.
async fn fetch(
    consumer: &Consumer,
    message: RawMessage,
    persist: bool,
) -> Result<Result<RawMessage, Box<Unreadable>>, Failure> {
    let mut message = message;
    loop {
        match consumer.fetch(message).await {
            Err(unreadable) if unreadable.is_retriable() && persist => {
                tracing::warn!("{unreadable}; it is asked for again");
                sleep(BETWEEN_FETCHES).await;
                message = unreadable.message;
            }
            Err(unreadable) if unreadable.is_retriable() => return Err(NextError::from(unreadable).into()),
            fetched => return Ok(fetched),
        }
    }
}

async fn print_one(
    consumer: &Consumer,
    printer: &mut Printer,
    message: Result<RawMessage, Box<Unreadable>>,
) -> Outcome {
    match message {
        Ok(message) if printer.need_not_read() => printer.unread(&message).await,
        Ok(message) => match consumer.read(message) {
            Ok(message) => printer.print(&message).await,
            Err(unreadable) => printer.unreadable(&unreadable).await,
        },
        Err(unreadable) => printer.unreadable(&unreadable).await,
    }
}

/// The next message. What was printed is handed over before there is anything to wait for, and not for every message.
async fn next(
    consumer: &mut Consumer,
    printer: &mut Printer,
    health: &mut Option<Health>,
) -> Result<Result<Option<RawMessage>, NextError>, Failure> {
    loop {
        let question = {
            let mut next = pin!(consumer.next_raw());
            let ready = std::future::poll_fn(|cx| Poll::Ready(next.as_mut().poll(cx))).await;
            if let Poll::Ready(next) = ready {
                return Ok(next);
            }
            printer.hand_over()?;
            tokio::select! {
                biased;
                next = &mut next => return Ok(next),
                question = asked(health) => question,
            }
        };
        if let Some(health) = health {
            health.answer(question, Some(consumer));
        }
    }
}
