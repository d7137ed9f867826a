//! What can be typed: one definition of each option, for parsing and for help.

#[cfg(feature = "broker")]
mod broker;
mod delimiter;
mod examples;
mod external;
mod groups;
mod listen_address;
mod moment;
mod plugins;
mod printing;
mod publish;
mod subscribe;
mod top;

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{BoolishValueParser, PossibleValue, PossibleValuesParser, TypedValueParser as _};
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use clap_complete::engine::ArgValueCompleter;

#[cfg(feature = "broker")]
pub(super) use self::broker::BrokerArguments;
pub(super) use self::delimiter::Delimiter;
use self::examples::with_examples;
pub(super) use self::external::ExternalMessages;
pub(super) use self::groups::{GroupOf, LagArguments, OffsetsAction, OffsetsArguments};
pub(super) use self::listen_address::ListenAddress;
pub(super) use self::moment::Moment;
pub(super) use self::plugins::Plugins;
pub(super) use self::printing::Printing;
pub(super) use self::publish::PublishArguments;
pub(super) use self::subscribe::{OnError, SubscribeArguments};
pub(super) use self::top::TopArguments;
use super::color::ColorChoice;
use super::completion::{credential_names, urls};
use crate::config::Setting;
use crate::models::Registry;
use crate::stream::StartPosition;

/// Publish and follow astronomical alerts on Kafka.
#[derive(Debug, Parser)]
#[command(name = "hop", version = concat!("version ", env!("CARGO_PKG_VERSION")), arg_required_else_help = true)]
#[command(after_help = "Exit status: 0 success, 1 failure, 2 usage error.")]
// Of an option that is given twice the last one counts, so that a script's can be overruled.
#[command(args_override_self = true)]
pub(super) struct Arguments {
    /// Say what is being done, and show errors with all that is known of them
    #[arg(short, long)]
    pub(super) debug: bool,

    /// When to use colours
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = ColorChoice::Auto, global = true, env = "HOP_COLOR")]
    pub(super) color: ColorChoice,

    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Say where the settings are
    Configure(ConfigureArguments),
    /// Manage the credentials with which brokers let you in
    Auth(AuthArguments),
    /// Publish messages: files, or lines of standard input
    Publish(PublishArguments),
    /// Print the messages of topics
    Subscribe(Box<SubscribeArguments>),
    /// List the versions of this program and of the parts that matter
    Version,
    /// List the topics that a broker lets you see
    ListTopics(ListTopicsArguments),
    /// Print how far a consumer group is behind
    Lag(LagArguments),
    /// Print or set how far a consumer group has read
    Offsets(OffsetsArguments),
    /// Print the last messages of each topic
    Tail(TailArguments),
    /// Show what comes into topics as it comes: on a terminal in place, elsewhere a line (time, topic, messages there,
    /// messages a second) for each topic in which something came
    Top(TopArguments),
    /// Look at each step on the way to a broker and its topics, and say what is wrong and what to do
    Doctor(DoctorArguments),
    /// Print what makes a shell complete this program's options, to be stored where the shell looks for such
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Write this program's manual pages into a directory
    Man {
        /// The directory, which is made if it is not there
        directory: PathBuf,
    },
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
pub(super) struct ConfigureArguments {
    #[command(flatten)]
    pub(super) verbosity: Verbosity,

    #[command(subcommand)]
    pub(super) action: ConfigureAction,
}

#[derive(Debug, Subcommand)]
pub(super) enum ConfigureAction {
    /// Print where a file of settings is, or would be
    Locate {
        /// Which of them
        #[arg(short = 't', long = "type", value_enum, default_value_t = SettingsFile::General)]
        file: SettingsFile,
    },
    /// Print each general setting and its value, from HOP_* variables, the file, or by default
    Show,
    /// Write a general setting into the file
    Set {
        /// fetch_external (large messages are fetched from where they are kept) or automatic_offload (messages too large
        /// for a topic are kept elsewhere, as the broker says)
        #[arg(value_parser = PossibleValuesParser::new(Setting::ALL.map(Setting::name))
            .try_map(|name| name.parse::<Setting>()))]
        name: Setting,
        /// true, yes, on or 1; false, no, off or 0
        value: String,
    },
}

/// The files of settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum SettingsFile {
    /// The general ones
    General,
    /// The credentials
    Auth,
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
        /// Log in to this broker with the credential, and store it only if that works: kafka://HOST[:PORT]
        #[arg(long, value_name = "URL", add = ArgValueCompleter::new(urls))]
        check: Option<String>,
        /// A CSV file with a header line, such as my.hop.scimma.org offers; asked for at the prompt without it
        #[arg(value_name = "CREDENTIALS_FILE")]
        file: Option<PathBuf>,
    },
    /// Say which stored credential a broker would get, or why none
    Which {
        /// The broker: kafka://[USER@]HOST[:PORT][/TOPIC]
        #[arg(add = ArgValueCompleter::new(urls))]
        url: String,
    },
    /// Remove a stored credential
    Remove {
        /// The credential: USER, or USER@HOST where one user has several
        #[arg(add = ArgValueCompleter::new(credential_names))]
        name: String,
    },
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

    #[command(flatten)]
    pub(super) plugins: Plugins,

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
    #[arg(add = ArgValueCompleter::new(urls))]
    pub(super) url: String,
}

#[derive(Debug, Args)]
pub(super) struct DoctorArguments {
    #[command(flatten)]
    pub(super) connection: Connection,

    /// Print one JSON object for each step
    #[arg(long)]
    pub(super) json: bool,

    /// What to look at: kafka://[USER@]HOST[:PORT][/TOPIC[,TOPIC...]]
    #[arg(add = ArgValueCompleter::new(urls))]
    pub(super) url: String,
}

#[derive(Debug, Args)]
pub(super) struct TailArguments {
    #[command(flatten)]
    pub(super) connection: Connection,

    /// How many messages of each topic
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 10)]
    pub(super) count: u32,

    #[command(flatten)]
    pub(super) printing: Printing,

    #[command(flatten)]
    pub(super) external: ExternalMessages,

    /// Print test messages too
    #[arg(short, long)]
    pub(super) test: bool,

    #[command(flatten)]
    pub(super) plugins: Plugins,

    /// Where from: kafka://[USER@]HOST[:PORT][/TOPIC[,TOPIC...]]; all topics that you may see, where none is named
    #[arg(add = ArgValueCompleter::new(urls))]
    pub(super) url: String,
}

/// How brokers are reached.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct Connection {
    /// Use no credential and no encryption
    #[arg(long, env = "HOP_NO_AUTH", value_parser = BoolishValueParser::new())]
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

/// The whole definition, with the formats that there are.
pub(super) fn command(registry: &Registry) -> clap::Command {
    let command = Arguments::command().mut_subcommand("publish", |publish| {
        publish.mut_arg("format", |format| format.value_parser(PossibleValuesParser::new(registry.names())))
    });
    with_examples(command)
}

/// Parses the command line; help, version and usage errors come back as the error.
pub(super) fn parse(registry: &Registry) -> Result<Arguments, clap::Error> {
    Arguments::from_arg_matches(&command(registry).try_get_matches()?)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definitions_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn of_an_option_given_twice_the_last_one_counts() {
        let words = "hop subscribe -e -e --no-auth --no-auth -s LATEST -s EARLIEST kafka://h/t".split(' ');
        let Command::Subscribe(arguments) = Arguments::try_parse_from(words).unwrap().command else {
            panic!("another command")
        };
        assert_eq!(arguments.start_at, Start::Earliest);
        let words = "hop publish -H a=1 -H b=2 kafka://h/t f g".split(' ');
        let Command::Publish(arguments) = Arguments::try_parse_from(words).unwrap().command else {
            panic!("another command")
        };
        assert_eq!((arguments.headers.len(), arguments.message.len()), (2, 2));
    }

    #[test]
    fn seconds_are_positive_and_finite() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        for text in ["0", "-1", "x", "inf", "NaN", ""] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
