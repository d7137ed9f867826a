//! `hop tail`: the last messages of each topic.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::arguments::TailArguments;
use super::interrupt::Interrupt;
use super::output::Output;
use super::subscribe::Format;
use super::{Failure, Outcome, connect_for_messages};
use crate::models::Registry;
use crate::stream::{Consumer, HopUrl, OpenError, RawMessage, StartPosition, Stream};

/// How long brokers may be out of reach before that is the end.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) async fn run(arguments: TailArguments, registry: Registry, interrupt: Interrupt) -> Outcome {
    let large = arguments.external.large_messages();
    let stream = connect_for_messages(&arguments.connection, large)?.registry(registry);
    let read = async {
        let Some(url) = with_topics(&stream, &arguments.url).await? else { return Ok(()) };
        let reader = stream
            .reader(&url)
            .start_at(StartPosition::BeforeEnd(arguments.count))
            .include_tests(arguments.test)
            .give_up_after(Some(PATIENCE));
        let mut consumer = reader.open().await?;
        let topics = last_of_each(&mut consumer, arguments.count).await?;
        print(&consumer, &arguments.printing.format(), topics).await
    };
    tokio::select! {
        read = read => read,
        () = interrupt.heard() => Ok(()),
    }
}

/// The URL with all topics that this user may see, where it names none; `None` if there are none.
async fn with_topics(stream: &Stream, url: &str) -> Result<Option<String>, Failure> {
    let parsed: HopUrl = url.parse().map_err(OpenError::from)?;
    if !parsed.topics().is_empty() {
        return Ok(Some(url.to_owned()));
    }
    let topics = stream.list_topics(url).await?;
    let names: Vec<_> = topics.iter().map(|topic| &*topic.name).collect();
    Ok((!names.is_empty()).then(|| format!("{}/{}", url.trim_end_matches('/'), names.join(","))))
}

/// The last messages of each topic, by their time: each partition's own last are more than are wanted.
async fn last_of_each(
    consumer: &mut Consumer,
    count: u32,
) -> Result<BTreeMap<Arc<str>, Vec<RawMessage>>, Failure> {
    let mut topics: BTreeMap<Arc<str>, Vec<RawMessage>> = BTreeMap::new();
    while let Some(message) = consumer.next_raw().await? {
        topics.entry(Arc::clone(&message.metadata().topic)).or_default().push(message);
    }
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    for messages in topics.values_mut() {
        messages.sort_by_key(|message| {
            let at = message.metadata();
            (at.timestamp, at.partition, at.offset)
        });
        messages.drain(..messages.len().saturating_sub(count));
    }
    Ok(topics)
}

async fn print(consumer: &Consumer, format: &Format, topics: BTreeMap<Arc<str>, Vec<RawMessage>>) -> Outcome {
    let mut output = Output::new();
    let several = topics.len() > 1;
    let mut unreadable = 0_u64;
    for (topic, messages) in topics {
        if several {
            output.line(&format!("==> {topic} <=="))?;
        }
        for message in messages {
            let printed = consumer.fetch(message).await.and_then(|message| match format {
                Format::Raw => Ok(message.payload().to_vec()),
                format => Ok(format.of(&consumer.read(message)?).into_owned()),
            });
            let printed = match printed {
                Ok(printed) => printed,
                Err(error) => {
                    output.flush()?;
                    tracing::error!("{error}");
                    unreadable += 1;
                    continue;
                }
            };
            output.write(&printed)?;
            if !printed.ends_with(b"\n") {
                output.write(b"\n")?;
            }
        }
    }
    output.flush()?;
    match unreadable {
        0 => Ok(()),
        1 => Err(Failure::Reported("1 message could not be read".to_owned())),
        count => Err(Failure::Reported(format!("{count} messages could not be read"))),
    }
}
