//! The options of `hop lag` and `hop offsets`.

use clap::{Args, Subcommand};
use clap_complete::engine::ArgValueCompleter;

use super::{Connection, Moment, Start};
use crate::cli::completion::urls;

#[derive(Debug, Args)]
pub(in crate::cli) struct LagArguments {
    #[command(flatten)]
    pub(in crate::cli) connection: Connection,

    #[command(flatten)]
    pub(in crate::cli) group: GroupOf,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct OffsetsArguments {
    #[command(flatten)]
    pub(in crate::cli) connection: Connection,

    #[command(subcommand)]
    pub(in crate::cli) action: OffsetsAction,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum OffsetsAction {
    /// Print how far the group has read, as `hop lag` does
    Show(GroupOf),
    /// Let the group, which must have no members, go on at the beginning or end of the URL's topics
    Reset {
        #[command(flatten)]
        group: GroupOf,
        /// Where it goes on
        #[arg(long, value_name = "POSITION", value_enum, default_value_t = Start::Earliest, ignore_case = true)]
        to: Start,
    },
    /// Let the group, which must have no members, go on at the first messages of a time, or at an offset
    ToTime {
        #[command(flatten)]
        group: GroupOf,
        /// A time (RFC 3339, UTC), how long ago (`-2h`), or an offset
        #[arg(value_name = "WHERE", allow_hyphen_values = true)]
        moment: Moment,
    },
}

/// A consumer group, and the topics that it is about.
#[derive(Debug, Args)]
pub(in crate::cli) struct GroupOf {
    /// Where: kafka://[USER@]HOST[:PORT]/TOPIC[,TOPIC...]
    #[arg(add = ArgValueCompleter::new(urls))]
    pub(in crate::cli) url: String,

    /// The consumer group
    pub(in crate::cli) group: String,
}
