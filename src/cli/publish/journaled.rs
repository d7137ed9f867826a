//! `hop publish --journal`: each message is in a file before it is sent, and leaves it when a broker has it.

use std::fs;
use std::path::{Path, PathBuf};

use tokio::time::timeout;

use super::additions::Additions;
use super::input::{Input, Lines};
use super::{PublishFailure, messages};
use crate::cli::arguments::PublishArguments;
use crate::cli::interrupt::Interrupt;
use crate::cli::{Failure, Outcome, say};
use crate::models::MessageModel;
use crate::stream::{HopUrl, OpenError, RobustProducer, Stream};

pub(super) async fn run(
    directory: &Path,
    arguments: &PublishArguments,
    stream: &Stream,
    input: Input,
    models: &[Box<dyn MessageModel>],
    interrupt: Interrupt,
) -> Outcome {
    let path = path(directory, &arguments.url)?;
    let made = fs::create_dir_all(directory);
    made.map_err(|source| PublishFailure::Directory { path: directory.to_owned(), source })?;
    let writer = stream
        .robust_writer(&arguments.url, &path)
        .test(arguments.test)
        .wire_form(arguments.wire.into())
        .compression(arguments.compression);
    let producer = writer.open().await.map_err(PublishFailure::Journal)?;
    let left_over = producer.unsent().await;
    if left_over > 0 {
        say(&format!("hop: {} of an earlier run in {}", messages(left_over as u64), path.display()));
    }
    let published = tokio::select! {
        published = publish(&producer, arguments, input, models) => published,
        () = interrupt.heard() => Err(PublishFailure::Interrupted),
    };
    let unsent = producer.unsent().await as u64;
    published.map_err(|reason| PublishFailure::Unsent { unsent, path, reason: Box::new(reason) })?;
    producer.close().await.map_err(|error| PublishFailure::Undelivered(error).into())
}

async fn publish(
    producer: &RobustProducer,
    arguments: &PublishArguments,
    input: Input,
    models: &[Box<dyn MessageModel>],
) -> Result<(), PublishFailure> {
    let accepted = accept(producer, &Additions::of(arguments), input, models).await;
    // What was accepted before a failure is sent all the same.
    let sent = match timeout(arguments.timeout, producer.flush()).await {
        Ok(flushed) => flushed.map_err(PublishFailure::Undelivered),
        Err(_) => Err(PublishFailure::TimedOut { after: arguments.timeout }),
    };
    accepted.and(sent)
}

async fn accept(
    producer: &RobustProducer,
    additions: &Additions,
    input: Input,
    models: &[Box<dyn MessageModel>],
) -> Result<(), PublishFailure> {
    for model in models {
        producer.write_raw(additions.to(producer.pack(&**model)?)).await.map_err(PublishFailure::Accept)?;
    }
    if let Input::Messages(delimiter) = input {
        let mut lines = Lines::new(delimiter);
        while let Some((place, model)) = lines.next().await? {
            let message = producer.pack(&model).map_err(|source| PublishFailure::Send { place, source })?;
            producer.write_raw(additions.to(message)).await.map_err(PublishFailure::Accept)?;
        }
    }
    Ok(())
}

/// The journal of this topic on this cluster: messages must not go to another of the same name.
fn path(directory: &Path, url: &str) -> Result<PathBuf, Failure> {
    let url: HopUrl = url.parse().map_err(OpenError::from)?;
    let topic = url.topic_to_write().map_err(OpenError::from)?;
    let cluster: String = url
        .authority()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '_' })
        .collect();
    Ok(directory.join(format!("{cluster}-{topic}.journal")))
}
