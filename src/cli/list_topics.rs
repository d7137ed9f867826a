//! `hop list-topics`: what a broker lets this user see.

use super::arguments::ListTopicsArguments;
use super::interrupt::Interrupt;
use super::output::Output;
use super::subscribe::rfc3339;
use super::table::Table;
use super::{Failure, Outcome, connect};
use crate::kafka::admin::{ListedOffset, OffsetSpec};
use crate::kafka::{self, TopicDescription, TopicPartition};
use crate::stream::Stream;

pub(super) async fn run(arguments: ListTopicsArguments, interrupt: Interrupt) -> Outcome {
    let stream = connect(&arguments.connection)?;
    let lines = tokio::select! {
        lines = lines(&stream, &arguments) => lines?,
        () = interrupt.heard() => return Ok(()),
    };
    let mut output = Output::new();
    for line in lines {
        output.line(&line)?;
    }
    Ok(output.flush()?)
}

/// Where there is nothing, or nobody says.
const UNKNOWN: &str = "-";

async fn lines(stream: &Stream, arguments: &ListTopicsArguments) -> Result<Vec<String>, Failure> {
    let topics = stream.list_topics(&arguments.url).await?;
    if topics.is_empty() {
        return Ok(vec!["No accessible topics".to_owned()]);
    }
    if arguments.verbose {
        return Ok(partitions(stream, &arguments.url, &topics).await?.lines().collect());
    }
    let mut lines = vec!["Accessible topics:".to_owned()];
    lines.extend(topics.iter().map(|topic| format!(" {}", topic.name)));
    Ok(lines)
}

/// Each partition with its earliest offset, its next one, how many lie between, and the time of the newest message, which
/// brokers before Kafka 3.0 do not tell.
async fn partitions(stream: &Stream, url: &str, topics: &[TopicDescription]) -> Result<Table<6>, Failure> {
    let all = topics.iter().flat_map(|topic| {
        topic.partitions.iter().map(|partition| TopicPartition::new(&*topic.name, partition.partition))
    });
    let wanted: Vec<_> = all
        .flat_map(|partition| {
            [OffsetSpec::Earliest, OffsetSpec::Latest, OffsetSpec::MaxTimestamp]
                .map(|spec| (partition.clone(), spec))
        })
        .collect();
    let offsets = stream.client(url).await?.admin().offsets(&wanted).await?;
    let mut table = Table::new(["TOPIC", "PARTITION", "EARLIEST", "NEXT", "MESSAGES", "NEWEST"]);
    let (triples, _) = offsets.as_chunks::<3>();
    for [(partition, earliest), (_, next), (_, newest)] in triples {
        let offset = |listed: &Result<ListedOffset, kafka::Error>| {
            listed.as_ref().ok().and_then(|listed| listed.offset)
        };
        let (earliest, next) = (offset(earliest), offset(next));
        // Gaps count, as they do for a reader's lag: a compacted topic has fewer.
        let between = next.zip(earliest).map(|(next, earliest)| next.saturating_sub(earliest));
        let newest = newest.as_ref().ok().and_then(|listed| listed.timestamp);
        let shown =
            |number: Option<i64>| number.map_or_else(|| UNKNOWN.to_owned(), |number| number.to_string());
        table.row([
            partition.topic.to_string(),
            partition.partition.to_string(),
            shown(earliest),
            shown(next),
            shown(between),
            newest.map_or_else(|| UNKNOWN.to_owned(), rfc3339),
        ]);
    }
    Ok(table)
}
