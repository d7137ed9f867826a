//! `hop publish`: sends files, or the lines of standard input.
//!
//! Files are read and understood before the first of them is sent, so that a mistake in the last one publishes
//! nothing. Lines are sent as they come.

mod dry_run;
mod input;

use std::collections::VecDeque;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use self::input::{Input, Lines, load_all};
use super::arguments::PublishArguments;
use super::interrupt::Interrupt;
use super::progress::Progress;
use super::{Failure, Outcome, connect, say};
use crate::models::{MessageModel, ModelError, Registry};
use crate::stream::{Delivery, Producer, WriteError};

pub(super) async fn run(arguments: PublishArguments, registry: Registry, interrupt: Interrupt) -> Outcome {
    let input = Input::of(&arguments)?;
    let stream = connect(&arguments.connection)?;
    let models = match &input {
        Input::Files(files) => load_all(files, &arguments.format, &registry)?,
        Input::Lines => Vec::new(),
    };
    let writer = stream
        .writer(&arguments.url)
        .test(arguments.test)
        .wire_form(arguments.wire.into())
        .compression(arguments.compression)
        .delivery_timeout(arguments.timeout);
    if arguments.dry_run {
        let packer = writer.packer()?;
        return tokio::select! {
            shown = dry_run::show(&packer, input, &models) => shown,
            () = interrupt.heard() => Err(Failure::Reported("interrupted".to_owned())),
        };
    }
    let producer = tokio::select! {
        producer = writer.open() => producer?,
        () = interrupt.heard() => return Err(Failure::Reported("interrupted; nothing was published".to_owned())),
    };
    let is_typed = matches!(input, Input::Lines) && io::stdin().is_terminal();
    let mut progress = Progress::new(arguments.verbosity.quiet, is_typed);
    let published = tokio::select! {
        published = publish(&producer, input, models) => published,
        () = interrupt.heard() => Err(PublishFailure::Interrupted),
        never = progress.show(|| producer.acknowledged()) => match never {},
    };
    progress.clear();
    let acknowledged = producer.acknowledged();
    match published {
        Ok(()) => {
            let published = format!("published {}", messages(acknowledged));
            if progress.is_wanted() {
                say(&published);
            } else {
                tracing::info!("{published}");
            }
            Ok(())
        }
        Err(reason) => Err(PublishFailure::Partly { acknowledged, reason: Box::new(reason) }.into()),
    }
}

async fn publish(
    producer: &Producer,
    input: Input,
    models: Vec<Box<dyn MessageModel>>,
) -> Result<(), PublishFailure> {
    for model in models {
        let _delivery = producer.write(&*model).await?;
    }
    let read = match input {
        Input::Files(_) => Ok(()),
        Input::Lines => publish_lines(producer).await,
    };
    // What came before a line that cannot be sent is sent all the same.
    let flushed = producer.flush().await;
    read?;
    Ok(flushed?)
}

/// Sends each line. A failure ends it at once, even if the next line is long in coming.
async fn publish_lines(producer: &Producer) -> Result<(), PublishFailure> {
    if io::stdin().is_terminal() {
        say("hop: each line you type is published as a JSON message; end with Ctrl-D");
    }
    let mut lines = Lines::new();
    let mut unacknowledged = VecDeque::new();
    loop {
        let next = tokio::select! {
            biased;
            acknowledged = oldest(&mut unacknowledged), if !unacknowledged.is_empty() => {
                acknowledged?;
                continue;
            }
            next = lines.next() => next?,
        };
        let Some((number, model)) = next else { break };
        let failed = |source| PublishFailure::Send { line: number, source };
        unacknowledged.push_back((number, producer.write(&model).await.map_err(failed)?));
    }
    while !unacknowledged.is_empty() {
        oldest(&mut unacknowledged).await?;
    }
    Ok(())
}

/// Waits for the line that was sent first of those that are not acknowledged. Cancel safe.
async fn oldest(unacknowledged: &mut VecDeque<(u64, Delivery)>) -> Result<(), PublishFailure> {
    if let Some((line, delivery)) = unacknowledged.front_mut() {
        let delivered =
            delivery.await.map_err(|error| PublishFailure::Send { line: *line, source: error.into() });
        unacknowledged.pop_front();
        delivered?;
    }
    Ok(())
}

/// Why publishing failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum PublishFailure {
    #[error("{}", in_file(path, source))]
    File { path: PathBuf, source: ModelError },
    #[error("{format} is not a format that is known here")]
    UnknownFormat { format: String },
    #[error("line {line} of standard input is not a JSON message: {source}")]
    Line { line: u64, source: ModelError },
    #[error("cannot read line {line} of standard input: {source}")]
    Input { line: u64, source: io::Error },
    #[error("line {line} of standard input: {source}")]
    Send { line: u64, source: WriteError },
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error("interrupted")]
    Interrupted,
    /// Any of these, after some messages may have gone out.
    #[error("{reason}\n{} before that", acknowledged_before(*acknowledged))]
    Partly { acknowledged: u64, reason: Box<Self> },
}

fn in_file(path: &Path, error: &ModelError) -> String {
    match error {
        ModelError::Unreadable { source, .. } => format!("cannot read {}: {source}", path.display()),
        error => format!("{}: {error}", path.display()),
    }
}

fn acknowledged_before(count: u64) -> String {
    if count == 0 {
        "no message was acknowledged".to_owned()
    } else {
        format!("{} acknowledged", were(count))
    }
}

fn were(count: u64) -> String {
    if count == 1 { "1 message was".to_owned() } else { format!("{count} messages were") }
}

fn messages(count: u64) -> String {
    if count == 1 { "1 message".to_owned() } else { format!("{count} messages") }
}
