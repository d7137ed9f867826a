//! `hop list-topics`: what a broker lets this user see.

use super::arguments::ListTopicsArguments;
use super::interrupt::Interrupt;
use super::output::Output;
use super::{Outcome, connect};

pub(super) async fn run(arguments: ListTopicsArguments, interrupt: Interrupt) -> Outcome {
    let stream = connect(&arguments.connection)?;
    let topics = tokio::select! {
        topics = stream.list_topics(&arguments.url) => topics?,
        () = interrupt.heard() => return Ok(()),
    };
    let mut output = Output::new();
    if topics.is_empty() {
        output.line("No accessible topics")?;
    } else {
        output.line("Accessible topics:")?;
        for topic in topics {
            output.line(&format!(" {}", topic.name))?;
        }
    }
    Ok(output.flush()?)
}
