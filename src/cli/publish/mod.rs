//! `hop publish`: sends files, or what is on standard input.
//!
//! Files are read and understood before the first of them is sent, so that a mistake in the last one publishes
//! nothing. Lines are sent as they come.

mod additions;
mod dry_run;
mod files;
mod input;
mod journaled;
mod schema;

use std::collections::VecDeque;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::time::Duration;

use self::additions::Additions;
use self::files::load_all;
use self::input::{Input, Lines, Place};
use self::schema::{FileProblem, listed};
use super::arguments::{Delimiter, PublishArguments};
use super::interrupt::Interrupt;
use super::progress::Progress;
use super::{Failure, Outcome, connect_for_messages, say};
use crate::models::{MessageModel, ModelError, Registry};
use crate::stream::{
    Delivery, LargeMessages, Producer, RobustFlushError, RobustOpenError, RobustWriteError, WriteError,
};

pub(super) async fn run(arguments: PublishArguments, registry: Registry, interrupt: Interrupt) -> Outcome {
    let input = Input::of(&arguments)?;
    let stream = connect_for_messages(&arguments.connection, LargeMessages::default())?;
    let models = match &input {
        Input::Files(files) => load_all(files, &arguments.format, &registry, arguments.strict)?,
        Input::Messages(_) => Vec::new(),
    };
    if let Some(directory) = &arguments.journal {
        return journaled::run(directory, &arguments, &stream, input, &models, interrupt).await;
    }
    let additions = Additions::of(&arguments);
    let writer = stream
        .writer(&arguments.url)
        .test(arguments.test)
        .wire_form(arguments.wire.into())
        .compression(arguments.compression)
        .delivery_timeout(arguments.timeout);
    if arguments.dry_run {
        let packer = writer.packer()?;
        return tokio::select! {
            shown = dry_run::show(&packer, &additions, input, &models) => shown,
            () = interrupt.heard() => Err(Failure::Reported("interrupted".to_owned())),
        };
    }
    let producer = tokio::select! {
        producer = writer.open() => producer?,
        () = interrupt.heard() => return Err(Failure::Reported("interrupted; nothing was published".to_owned())),
    };
    let is_typed = matches!(input, Input::Messages(_)) && io::stdin().is_terminal();
    let mut progress = Progress::new(arguments.verbosity.quiet, is_typed);
    let published = tokio::select! {
        published = publish(&producer, &additions, input, models) => published,
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
    additions: &Additions,
    input: Input,
    models: Vec<Box<dyn MessageModel>>,
) -> Result<(), PublishFailure> {
    for model in models {
        let _delivery = producer.write_raw(additions.to(producer.pack(&*model)?)).await?;
    }
    let read = match input {
        Input::Files(_) => Ok(()),
        Input::Messages(delimiter) => publish_input(producer, additions, delimiter).await,
    };
    // What came before a line that cannot be sent is sent all the same.
    let flushed = producer.flush().await;
    read?;
    Ok(flushed?)
}

/// Sends what is on standard input. A failure ends it at once, even if the next message is long in coming.
async fn publish_input(
    producer: &Producer,
    additions: &Additions,
    delimiter: Delimiter,
) -> Result<(), PublishFailure> {
    if io::stdin().is_terminal() {
        say("hop: each line you type is published as a JSON message; end with Ctrl-D");
    }
    let mut lines = Lines::new(delimiter);
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
        let Some((place, model)) = next else { break };
        let failed = |source| PublishFailure::Send { place, source };
        let message = additions.to(producer.pack(&model).map_err(failed)?);
        unacknowledged.push_back((place, producer.write_raw(message).await.map_err(failed)?));
    }
    while !unacknowledged.is_empty() {
        oldest(&mut unacknowledged).await?;
    }
    Ok(())
}

/// Waits for the message that was sent first of those that are not acknowledged. Cancel safe.
async fn oldest(unacknowledged: &mut VecDeque<(Place, Delivery)>) -> Result<(), PublishFailure> {
    if let Some((place, delivery)) = unacknowledged.front_mut() {
        let delivered =
            delivery.await.map_err(|error| PublishFailure::Send { place: *place, source: error.into() });
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
    #[error(
        "nothing was sent, since the schema of VOEvents does not allow this (--strict):{}",
        listed(problems)
    )]
    Schema { problems: Vec<FileProblem> },
    #[error("{format} is not a format that is known here")]
    UnknownFormat { format: String },
    /// With the exit code of hop-client, to which this is no usage error.
    #[error("piping/redirection only allowed for BLOB and JSON formats; name the {format} files to publish")]
    NoLines { format: String },
    #[error("cannot look for files in {}: {source}", path.display())]
    Directory { path: PathBuf, source: io::Error },
    #[error("{} is no pattern: {source}", path.display())]
    Pattern { path: PathBuf, source: glob::PatternError },
    #[error("there are no files in {}", path.display())]
    NoFiles { path: PathBuf },
    #[error("{place} is not a JSON message: {source}")]
    Line { place: Place, source: ModelError },
    #[error("cannot read {place}: {source}")]
    Input { place: Place, source: io::Error },
    #[error("{place}: {source}")]
    Send { place: Place, source: WriteError },
    #[error(transparent)]
    Journal(RobustOpenError),
    #[error(transparent)]
    Accept(RobustWriteError),
    #[error(transparent)]
    Undelivered(RobustFlushError),
    #[error("no broker took the rest within {after:?}")]
    TimedOut { after: Duration },
    /// Any of these, while the journal has messages or might have.
    #[error("{reason}\n{}", in_journal(*unsent, path))]
    Unsent { unsent: u64, path: PathBuf, reason: Box<Self> },
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

fn in_journal(unsent: u64, path: &Path) -> String {
    if unsent == 0 {
        "everything before that was sent".to_owned()
    } else {
        format!(
            "{} in {}: the next run with this journal sends what it holds",
            messages(unsent),
            path.display()
        )
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
