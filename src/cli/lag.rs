//! `hop lag`: how far a consumer group is behind, by partition.

use super::arguments::{GroupOf, LagArguments};
use super::interrupt::Interrupt;
use super::output::Output;
use super::table::Table;
use super::{Failure, Outcome, connect};
use crate::kafka::TopicPartition;
use crate::kafka::admin::{Admin, OffsetSpec};
use crate::stream::{HopUrl, OpenError, Stream};

pub(super) async fn run(arguments: LagArguments, interrupt: Interrupt) -> Outcome {
    let stream = connect(&arguments.connection)?;
    tokio::select! {
        printed = print(&stream, &arguments.group) => printed,
        () = interrupt.heard() => Ok(()),
    }
}

/// Prints how far the group has read, and how far that is behind.
pub(super) async fn print(stream: &Stream, of: &GroupOf) -> Outcome {
    let url: HopUrl = of.url.parse().map_err(OpenError::from)?;
    let table = lags(&stream.client(&of.url).await?.admin(), &url, &of.group).await?;
    let mut output = Output::new();
    for line in table.lines() {
        output.line(&line)?;
    }
    Ok(output.flush()?)
}

async fn lags(admin: &Admin, url: &HopUrl, group: &str) -> Result<Table<5>, Failure> {
    let is_wanted = |partition: &TopicPartition| {
        url.topics().is_empty() || url.topics().iter().any(|topic| topic.as_str() == &*partition.topic)
    };
    let mut committed = admin.committed_offsets(group).await?;
    committed.retain(|(partition, _)| is_wanted(partition));
    if committed.is_empty() {
        return Err(Failure::Reported(format!(
            "group '{group}' has committed nothing there: is its name right, and has it read anything yet?"
        )));
    }
    let wanted: Vec<_> =
        committed.iter().map(|(partition, _)| (partition.clone(), OffsetSpec::Latest)).collect();
    let mut table = Table::new(["TOPIC", "PARTITION", "COMMITTED", "END", "LAG"]);
    let mut total = 0_i64;
    for ((partition, committed), (_, end)) in committed.iter().zip(admin.offsets(&wanted).await?) {
        // A topic may be gone since.
        let end = end.ok().and_then(|end| end.offset);
        let lag = end.map(|end| end.saturating_sub(committed.offset).max(0));
        total = total.saturating_add(lag.unwrap_or_default());
        let shown = |number: Option<i64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
        table.row([
            partition.topic.to_string(),
            partition.partition.to_string(),
            committed.offset.to_string(),
            shown(end),
            shown(lag),
        ]);
    }
    table.row(["total".to_owned(), String::new(), String::new(), String::new(), total.to_string()]);
    Ok(table)
}
