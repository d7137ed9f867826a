//! What can be typed: one definition of each option, for parsing and for help.

#[cfg(feature = "broker")]
mod broker;
mod moment;

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValue, PossibleValuesParser};
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

#[cfg(feature = "broker")]
pub(super) use self::broker::{BrokerArguments, ListenAddress};
pub(super) use self::moment::Moment;
use super::subscribe::FileName;
use crate::models::{Registry, WireForm};
use crate::stream::{self, StartPosition};
use crate::wire::Compressor;

/// Publish and follow astronomical alerts on Kafka.
#[derive(Debug, Parser)]
#[command(name = "hop", version = concat!("version ", env!("CARGO_PKG_VERSION")), arg_required_else_help = true)]
#[command(after_help = "Exit status: 0 success, 1 failure, 2 usage error.")]
pub(super) struct Arguments {
    /// Say what is being done, and show errors with all that is known of them
    #[arg(short, long)]
    pub(super) debug: bool,

    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Manage the credentials with which brokers let you in
    Auth(AuthArguments),
    /// Publish messages: files, or lines of standard input
    Publish(PublishArguments),
    /// Print the messages of topics
    Subscribe(SubscribeArguments),
    /// List the versions of this program and of the parts that matter
    Version,
    /// List the topics that a broker lets you see
    ListTopics(ListTopicsArguments),
    /// Print how far a consumer group is behind
    Lag(LagArguments),
    /// Print or set how far a consumer group has read
    Offsets(OffsetsArguments),
    /// Print a message from a file as `subscribe` would
    Show(ShowArguments),
    /// Run a Kafka broker on this machine, for first steps and tests; it is no production store
    #[cfg(feature = "broker")]
    Broker(BrokerArguments),
    /// Show what hop does, with a broker of its own: nothing is left behind
    #[cfg(feature = "broker")]
    Demo,
}

#[derive(Debug, Args)]
pub(super) struct AuthArguments {
    #[command(flatten)]
    pub(super) verbosity: Verbosity,

    #[command(subcommand)]
    pub(super) action: AuthAction,
}

#[derive(Debug, Subcommand)]
pub(super) enum AuthAction {
    /// Print where the credential file is
    Locate,
    /// List the stored credentials, without their secrets
    List,
    /// Store a credential, asked for or from a CSV file
    Add {
        /// Replace a stored credential of the same user and host
        #[arg(short, long)]
        force: bool,
        /// A CSV file with a header line, such as my.hop.scimma.org offers; asked for at the prompt without it
        #[arg(value_name = "CREDENTIALS_FILE")]
        file: Option<PathBuf>,
    },
    /// Say which stored credential a broker would get, or why none
    Which {
        /// The broker: kafka://[USER@]HOST[:PORT][/TOPIC]
        url: String,
    },
    /// Remove a stored credential
    Remove {
        /// The credential: USER, or USER@HOST where one user has several
        name: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct PublishArguments {
    #[command(flatten)]
    pub(super) connection: Connection,
    #[command(flatten)]
    pub(super) verbosity: Verbosity,

    /// What the messages are
    #[arg(short, long, value_name = "FORMAT", default_value = "BLOB", ignore_case = true)]
    pub(super) format: String,

    /// Mark the messages as tests: subscribers pass over them unless they ask for tests
    #[arg(short, long)]
    pub(super) test: bool,

    /// In which form messages are written: for current readers, as the original file, or for readers before 0.6
    #[arg(long, value_name = "FORM", value_enum, default_value_t = Form::Json)]
    pub(super) wire: Form,

    /// How messages are compressed on their way and on the topic: none, gzip, snappy, lz4 or zstd; gzip:1 to gzip:9 and
    /// zstd:1 to zstd:22 are from fast to small
    #[arg(long, value_name = "CODEC[:LEVEL]", default_value_t)]
    pub(super) compression: Compressor,

    /// Give up on what is not acknowledged within this many seconds
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "120")]
    pub(super) timeout: Duration,

    /// Send nothing: print what would be sent, one JSON object a message, with the payload in base64
    #[arg(long)]
    pub(super) dry_run: bool,

    /// Where to: kafka://[USER@]HOST[:PORT]/TOPIC
    pub(super) url: String,

    /// The files to publish, a message each; without any, or for '-', each line of standard input is one JSON message
    pub(super) message: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct SubscribeArguments {
    #[command(flatten)]
    pub(super) connection: Connection,
    #[command(flatten)]
    pub(super) verbosity: Verbosity,

    /// Where to begin
    #[arg(short, long, value_name = "POSITION", value_enum, default_value_t = Start::Latest, ignore_case = true)]
    pub(super) start_at: Start,

    /// Begin at an offset of each partition, at a time (RFC 3339, UTC), or as long ago as `-2h` says
    #[arg(long, value_name = "WHERE", conflicts_with = "start_at", allow_hyphen_values = true)]
    pub(super) from: Option<Moment>,

    /// Stop after so many messages
    #[arg(short = 'n', long, value_name = "COUNT")]
    pub(super) count: Option<u64>,

    /// Go on at the end of the stream and wait for new messages
    #[arg(short, long, conflicts_with = "until_eos")]
    pub(super) persist: bool,

    /// Stop at the end of the stream (the default)
    #[arg(short = 'e', long)]
    pub(super) until_eos: bool,

    /// Read as a member of this consumer group: go on where it left off, and share its messages
    #[arg(short, long, value_name = "GROUP")]
    pub(super) group_id: Option<String>,

    /// Whether members of the group share its messages, or each gets all, as with hop-client
    #[arg(long, value_name = "MODE", value_enum, default_value_t = GroupMode::Share, requires = "group_id")]
    pub(super) group_mode: GroupMode,

    /// Print each message as one line of JSON
    #[arg(short, long, conflicts_with = "raw")]
    pub(super) json: bool,

    /// Print each message's bytes as they are on the wire, whatever they are
    #[arg(long)]
    pub(super) raw: bool,

    /// Print test messages too
    #[arg(short, long)]
    pub(super) test: bool,

    /// Store each message in a file of its own in this directory, instead of printing it; what is there stays as it is
    #[arg(long, value_name = "DIR")]
    pub(super) output_dir: Option<PathBuf>,

    /// What the files are called, of {topic}, {partition}, {offset}, {id} and {time}
    #[arg(
        long,
        value_name = "TEMPLATE",
        default_value = "{topic}-{partition}-{offset}",
        requires = "output_dir"
    )]
    pub(super) file_name: FileName,

    /// Run this with each message on its standard input, by way of `sh`, instead of printing it. In a group, a message is
    /// done with when the command succeeds. HOP_TOPIC, HOP_PARTITION, HOP_OFFSET, HOP_TIMESTAMP, HOP_ID, HOP_SENDER,
    /// HOP_FORMAT, HOP_KEY and HOP_TEST tell it of the message, as far as it has them
    #[arg(long, value_name = "COMMAND", conflicts_with = "output_dir")]
    pub(super) exec: Option<String>,

    /// How long the command may take with a message, in seconds: less than 5 minutes with all retries, in a group
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "60", requires = "exec")]
    pub(super) exec_timeout: Duration,

    /// How often the command is tried again with a message that it fails for
    #[arg(long, value_name = "COUNT", default_value_t = 2, requires = "exec")]
    pub(super) exec_retries: u32,

    /// Append messages that the command fails for to this file, a line of JSON each, and go on; without it, that is the end
    #[arg(long, value_name = "FILE", requires = "exec")]
    pub(super) dead_letters: Option<PathBuf>,

    /// What is printed after a message that does not end with it; \n, \t, \0 and \xHH are understood
    #[arg(short = 'D', long, value_name = "TEXT", default_value = "\\n", value_parser = delimiter, allow_hyphen_values = true)]
    pub(super) delimiter: Delimiter,

    /// What to do with a message that cannot be read as what it says it is
    #[arg(long, value_name = "ACTION", value_enum, default_value_t = OnError::Report)]
    pub(super) on_error: OnError,

    /// What to read: kafka://[USER@]HOST[:PORT]/TOPIC[,TOPIC...]
    pub(super) url: String,
}

#[derive(Debug, Args)]
pub(super) struct OffsetsArguments {
    #[command(flatten)]
    pub(super) connection: Connection,

    #[command(subcommand)]
    pub(super) action: OffsetsAction,
}

#[derive(Debug, Subcommand)]
pub(super) enum OffsetsAction {
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
pub(super) struct GroupOf {
    /// Where: kafka://[USER@]HOST[:PORT]/TOPIC[,TOPIC...]
    pub(super) url: String,

    /// The consumer group
    pub(super) group: String,
}

#[derive(Debug, Args)]
pub(super) struct ShowArguments {
    /// What the message is, as a `_format` header would say: any name, in any case
    #[arg(short, long, value_name = "FORMAT")]
    pub(super) format: Option<String>,

    /// A header that came with the message; only `_format` counts, and the first of that name
    #[arg(short = 'H', long = "header", value_name = "NAME=VALUE", value_parser = header, conflicts_with = "format")]
    pub(super) headers: Vec<(String, String)>,

    /// Print the message as one line of JSON
    #[arg(short, long, conflicts_with = "raw")]
    pub(super) json: bool,

    /// Print the bytes as they are
    #[arg(long)]
    pub(super) raw: bool,

    /// The file that holds the message's bytes; '-' is standard input
    pub(super) file: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct ListTopicsArguments {
    #[command(flatten)]
    pub(super) connection: Connection,

    /// Of each topic, how many partitions it has, and each one's earliest and next offset
    #[arg(short, long)]
    pub(super) verbose: bool,

    /// Where from: kafka://[USER@]HOST[:PORT][/TOPIC[,TOPIC...]]
    pub(super) url: String,
}

#[derive(Debug, Args)]
pub(super) struct LagArguments {
    #[command(flatten)]
    pub(super) connection: Connection,

    #[command(flatten)]
    pub(super) group: GroupOf,
}

/// How brokers are reached.
#[derive(Debug, Args)]
pub(super) struct Connection {
    /// Use no credential and no encryption
    #[arg(long)]
    pub(super) no_auth: bool,

    /// How long a broker may take to answer at first, in seconds
    #[arg(long, value_name = "SECONDS", value_parser = seconds, env = "HOP_CONNECT_TIMEOUT", default_value = "10")]
    pub(super) connect_timeout: Duration,
}

/// How much is said on standard error.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct Verbosity {
    /// Say only what goes wrong
    #[arg(short, long, conflicts_with = "verbose")]
    pub(super) quiet: bool,

    /// Say more
    #[arg(short, long)]
    pub(super) verbose: bool,
}

/// [`StartPosition`], by the names that it has on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    Earliest,
    Latest,
}

impl ValueEnum for Start {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Earliest, Self::Latest]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(match self {
            Self::Earliest => "EARLIEST",
            Self::Latest => "LATEST",
        }))
    }
}

impl From<Start> for StartPosition {
    fn from(start: Start) -> Self {
        match start {
            Start::Earliest => Self::Earliest,
            Start::Latest => Self::Latest,
        }
    }
}

/// [`WireForm`], by the names that it has on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Form {
    /// What hop-client 0.6 and later read
    Json,
    /// The file as it is: VOEvent as XML, what hop-client 0.12 and later write
    Original,
    /// What hop-client before 0.6 reads
    Envelope,
}

impl From<Form> for WireForm {
    fn from(form: Form) -> Self {
        match form {
            Form::Json => Self::Json,
            Form::Original => Self::Original,
            Form::Envelope => Self::Envelope,
        }
    }
}

/// [`stream::GroupMode`], by the names that it has on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum GroupMode {
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
pub(super) enum OnError {
    /// Say so, go on, and exit with 1 at the end
    Report,
    /// Say so and stop
    Stop,
    /// Pass over it
    Skip,
    /// Print its bytes
    Raw,
}

/// The bytes between messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Delimiter(pub(super) Vec<u8>);

/// Parses the command line; help, version and usage errors come back as the error.
pub(super) fn parse(registry: &Registry) -> Result<Arguments, clap::Error> {
    let command = Arguments::command().mut_subcommand("publish", |publish| {
        publish.mut_arg("format", |format| format.value_parser(PossibleValuesParser::new(registry.names())))
    });
    Arguments::from_arg_matches(&command.try_get_matches()?)
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "expected a number of seconds".to_owned())?;
    let duration = Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())?;
    if duration.is_zero() { Err("must be more than 0".to_owned()) } else { Ok(duration) }
}

fn delimiter(text: &str) -> Result<Delimiter, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        match characters.next() {
            Some('n') => bytes.push(b'\n'),
            Some('r') => bytes.push(b'\r'),
            Some('t') => bytes.push(b'\t'),
            Some('0') => bytes.push(0),
            Some('\\') => bytes.push(b'\\'),
            Some('x') => {
                let digits: String = characters.by_ref().take(2).collect();
                let byte = u8::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == 2);
                bytes.push(byte.ok_or_else(|| {
                    format!("\\x{digits} is not a byte: two hexadecimal digits follow \\x")
                })?);
            }
            Some('u') => {
                let digits: String = characters.by_ref().take(4).collect();
                let code = u32::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == 4);
                let character = code.and_then(char::from_u32);
                let character = character.ok_or_else(|| format!("\\u{digits} is not a character"))?;
                bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            }
            Some(other) => {
                return Err(format!(
                    "\\{other} is not known; use \\n, \\r, \\t, \\0, \\\\, \\xHH or \\uHHHH"
                ));
            }
            None => return Err("ends with a lone backslash".to_owned()),
        }
    }
    Ok(Delimiter(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definitions_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn delimiters_are_unescaped() {
        for (text, bytes) in
            [("\\n", b"\n" as &[u8]), ("", b""), ("\\0\\x7f", b"\0\x7f"), ("\\u00e9|", "é|".as_bytes())]
        {
            assert_eq!(delimiter(text), Ok(Delimiter(bytes.to_vec())), "{text}");
        }
        for text in ["\\", "\\q", "\\x1", "\\xgg", "\\u12", "\\ud800"] {
            assert!(delimiter(text).is_err(), "{text}");
        }
    }

    #[test]
    fn seconds_are_positive_and_finite() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        for text in ["0", "-1", "x", "inf", "NaN", ""] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
