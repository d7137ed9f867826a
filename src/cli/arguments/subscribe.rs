//! The options of `hop subscribe`.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{Args, ValueEnum};
use clap_complete::engine::ArgValueCompleter;

use super::{
    Connection, Delimiter, ExternalMessages, ListenAddress, Moment, Printing, Start, Verbosity, seconds,
};
use crate::cli::completion::urls;
use crate::cli::subscribe::{FileName, Filter};
use crate::stream;

#[derive(Debug, Args)]
pub(in crate::cli) struct SubscribeArguments {
    #[command(flatten)]
    pub(in crate::cli) connection: Connection,
    #[command(flatten)]
    pub(in crate::cli) verbosity: Verbosity,

    /// Where to begin
    #[arg(short, long, value_name = "POSITION", value_enum, default_value_t = Start::Latest, ignore_case = true, env = "HOP_START_AT")]
    pub(in crate::cli) start_at: Start,

    /// Begin at an offset of each partition, at a time (RFC 3339, UTC), or as long ago as `-2h` says
    #[arg(long, value_name = "WHERE", conflicts_with = "start_at", allow_hyphen_values = true)]
    pub(in crate::cli) from: Option<Moment>,

    /// Stop before an offset of each partition, or before the first message of a time; at the end in any case
    #[arg(long, value_name = "WHERE", conflicts_with = "persist", allow_hyphen_values = true)]
    pub(in crate::cli) until: Option<Moment>,

    /// Stop after so many messages
    #[arg(short = 'n', long, value_name = "COUNT")]
    pub(in crate::cli) count: Option<u64>,

    /// Go on at the end of the stream and wait for new messages; SIGHUP then has the credential file read again
    #[arg(short, long, conflicts_with = "until_eos", env = "HOP_PERSIST", value_parser = BoolishValueParser::new())]
    pub(in crate::cli) persist: bool,

    /// Stop at the end of the stream (the default)
    #[arg(short = 'e', long)]
    pub(in crate::cli) until_eos: bool,

    /// Read as a member of this consumer group: go on where it left off, and share its messages
    #[arg(short, long, value_name = "GROUP", env = "HOP_GROUP_ID")]
    pub(in crate::cli) group_id: Option<String>,

    /// Whether members of the group share its messages, or each gets all, as with hop-client
    #[arg(long, value_name = "MODE", value_enum, default_value_t = GroupMode::Share, requires = "group_id", env = "HOP_GROUP_MODE")]
    pub(in crate::cli) group_mode: GroupMode,

    #[command(flatten)]
    pub(in crate::cli) printing: Printing,

    #[command(flatten)]
    pub(in crate::cli) external: ExternalMessages,

    /// Only messages for which this holds: a path into their JSON form and what should be there, such as
    /// 'candidate.magpsf < 18', 'superevent.id ~ ^S26', 'What.Param[name=Packet_Type].value = 61' or 'notice.revoked'.
    /// Given more than once, all must hold
    #[arg(long = "filter", value_name = "CONDITION")]
    filters: Vec<Filter>,

    /// Only VOEvents of this role: observation, prediction, utility or test
    #[arg(long, value_name = "ROLE")]
    role: Option<String>,

    /// Only notices of GCN of this packet type
    #[arg(long, value_name = "NUMBER")]
    packet_type: Option<u32>,

    /// Print test messages too
    #[arg(short, long)]
    pub(in crate::cli) test: bool,

    /// Store each message in a file of its own in this directory, instead of printing it; what is there stays as it is
    #[arg(long, value_name = "DIR", env = "HOP_OUTPUT_DIR")]
    pub(in crate::cli) output_dir: Option<PathBuf>,

    /// What the files are called, of {topic}, {partition}, {offset}, {id} and {time}
    #[arg(
        long,
        value_name = "TEMPLATE",
        default_value = "{topic}-{partition}-{offset}",
        requires = "output_dir",
        env = "HOP_FILE_NAME"
    )]
    pub(in crate::cli) file_name: FileName,

    /// Run this with each message on its standard input, by way of `sh`, instead of printing it. In a group, a message is
    /// done with when the command succeeds. HOP_TOPIC, HOP_PARTITION, HOP_OFFSET, HOP_TIMESTAMP, HOP_ID, HOP_SENDER,
    /// HOP_FORMAT, HOP_KEY and HOP_TEST tell it of the message, as far as it has them
    #[arg(long, value_name = "COMMAND", conflicts_with = "output_dir", env = "HOP_EXEC")]
    pub(in crate::cli) exec: Option<String>,

    /// How long the command may take with a message, in seconds: less than 5 minutes with all retries, in a group
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "60", requires = "exec", env = "HOP_EXEC_TIMEOUT")]
    pub(in crate::cli) exec_timeout: Duration,

    /// How often the command is tried again with a message that it fails for
    #[arg(long, value_name = "COUNT", default_value_t = 2, requires = "exec", env = "HOP_EXEC_RETRIES")]
    pub(in crate::cli) exec_retries: u32,

    /// Append messages that the command fails for to this file, a line of JSON each, and go on; without it, that is the end
    #[arg(long, value_name = "FILE", requires = "exec", env = "HOP_DEAD_LETTERS")]
    pub(in crate::cli) dead_letters: Option<PathBuf>,

    /// What is printed after a message that does not end with it; \n, \t, \0 and \xHH are understood
    #[arg(short = 'D', long, value_name = "TEXT", default_value = "\\n", allow_hyphen_values = true)]
    pub(in crate::cli) delimiter: Delimiter,

    /// What to do with a message that cannot be read as what it says it is
    #[arg(long, value_name = "ACTION", value_enum, default_value_t = OnError::Report, env = "HOP_ON_ERROR")]
    pub(in crate::cli) on_error: OnError,

    /// Answer HTTP here, for whoever watches over a service: /live, /ready while nothing interrupts the reading, and
    /// /metrics for Prometheus; port 0 takes a free one
    #[arg(long, value_name = "HOST:PORT", value_parser = ListenAddress::parse, env = "HOP_HEALTH")]
    pub(in crate::cli) health: Option<ListenAddress>,

    /// Read the topics whose names match this regular expression, too, also those that come into being later
    #[arg(long, value_name = "PATTERN", env = "HOP_TOPIC_PATTERN")]
    pub(in crate::cli) topic_pattern: Option<String>,

    /// What to read: kafka://[USER@]HOST[:PORT]/TOPIC[,TOPIC...]; with --topic-pattern it need not name topics
    #[arg(add = ArgValueCompleter::new(urls))]
    pub(in crate::cli) url: String,
}

impl SubscribeArguments {
    /// What must hold of the messages that are wanted.
    pub(in crate::cli) fn filters(&self) -> Vec<Filter> {
        let role = self.role.as_deref().map(Filter::role);
        let packet_type = self.packet_type.map(Filter::packet_type);
        self.filters.iter().cloned().chain(role).chain(packet_type).collect()
    }
}

/// [`stream::GroupMode`], by the names that it has on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum GroupMode {
    /// Each message goes to one member
    Share,
    /// Every member gets all messages; only offsets are kept
    Assign,
}

impl From<GroupMode> for stream::GroupMode {
    fn from(mode: GroupMode) -> Self {
        match mode {
            GroupMode::Share => Self::Share,
            GroupMode::Assign => Self::Assign,
        }
    }
}

/// What becomes of a message that cannot be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum OnError {
    /// Say so, go on, and exit with 1 at the end
    Report,
    /// Say so and stop
    Stop,
    /// Pass over it
    Skip,
    /// Print its bytes
    Raw,
}
