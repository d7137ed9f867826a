//! The options of `hop top`.

use std::time::Duration;

use clap::Args;
use clap_complete::engine::ArgValueCompleter;

use super::{Connection, seconds};
use crate::cli::completion::urls;

#[derive(Debug, Args)]
pub(in crate::cli) struct TopArguments {
    #[command(flatten)]
    pub(in crate::cli) connection: Connection,

    /// How often the brokers are asked, in seconds
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "2")]
    pub(in crate::cli) interval: Duration,

    /// Stop after so many intervals; without it, Ctrl-C ends it
    #[arg(short = 'n', long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    pub(in crate::cli) count: Option<u64>,

    /// Where: kafka://[USER@]HOST[:PORT][/TOPIC[,TOPIC...]]; all topics that you may see, where none is named
    #[arg(add = ArgValueCompleter::new(urls))]
    pub(in crate::cli) url: String,
}
