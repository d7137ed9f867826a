//! The options of `hop publish`.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{Args, ValueEnum};
use clap_complete::engine::ArgValueCompleter;

use super::{Connection, Delimiter, Plugins, Verbosity, header, seconds};
use crate::cli::completion::urls;
use crate::models::WireForm;
use crate::wire::Compressor;

#[derive(Debug, Args)]
pub(in crate::cli) struct PublishArguments {
    #[command(flatten)]
    pub(in crate::cli) connection: Connection,
    #[command(flatten)]
    pub(in crate::cli) verbosity: Verbosity,

    /// What the messages are
    #[arg(short, long, value_name = "FORMAT", default_value = "BLOB", ignore_case = true)]
    pub(in crate::cli) format: String,

    /// Mark the messages as tests: subscribers pass over them unless they ask for tests
    #[arg(short, long)]
    pub(in crate::cli) test: bool,

    /// Send this header with each message, too; may be given more than once
    #[arg(short = 'H', long = "header", value_name = "NAME=VALUE", value_parser = own_header)]
    pub(in crate::cli) headers: Vec<(String, String)>,

    /// The messages' key: those with the same key stay together, in their order
    #[arg(short, long, value_name = "TEXT")]
    pub(in crate::cli) key: Option<String>,

    /// The partition that the messages go to, instead of the one that their key leads to, or any
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(i32).range(0..), conflicts_with = "journal")]
    pub(in crate::cli) partition: Option<i32>,

    /// In which form messages are written: for current readers, as the original file, or for readers before 0.6
    #[arg(long, value_name = "FORM", value_enum, default_value_t = Form::Json)]
    pub(in crate::cli) wire: Form,

    /// How messages are compressed on their way and on the topic: none, gzip, snappy, lz4 or zstd; gzip:1 to gzip:9 and
    /// zstd:1 to zstd:22 are from fast to small
    #[arg(long, value_name = "CODEC[:LEVEL]", default_value_t, env = "HOP_COMPRESSION")]
    pub(in crate::cli) compression: Compressor,

    /// Give up on what is not acknowledged within this many seconds; 0: never
    #[arg(long, value_name = "SECONDS", value_parser = seconds_or_never, default_value = "120", env = "HOP_TIMEOUT")]
    pub(in crate::cli) timeout: Duration,

    /// Write each message into a journal in this directory before it is sent: what a crash, an interrupt or the time-out
    /// leaves there is sent by the next run. A message may be sent twice, under one id
    #[arg(long, value_name = "DIR", conflicts_with = "dry_run", env = "HOP_JOURNAL")]
    pub(in crate::cli) journal: Option<PathBuf>,

    /// Send nothing: print what would be sent, one JSON object a message, with the payload in base64
    #[arg(long)]
    pub(in crate::cli) dry_run: bool,

    /// Send nothing when a VOEVENT file breaks the schema of VOEvent 2.0, of which there is only a warning otherwise
    #[arg(long, env = "HOP_STRICT", value_parser = BoolishValueParser::new())]
    pub(in crate::cli) strict: bool,

    /// What messages on standard input end with; \n, \t, \0 and \xHH are understood
    #[arg(short = 'D', long, value_name = "TEXT", default_value = "\\n", allow_hyphen_values = true)]
    pub(in crate::cli) delimiter: Delimiter,

    #[command(flatten)]
    pub(in crate::cli) plugins: Plugins,

    /// Where to: kafka://[USER@]HOST[:PORT]/TOPIC
    #[arg(add = ArgValueCompleter::new(urls))]
    pub(in crate::cli) url: String,

    /// The files to publish, a message each: files, directories of files, or patterns such as 'alerts/*.xml'; without any,
    /// or for '-', each line of standard input is one JSON message
    pub(in crate::cli) message: Vec<PathBuf>,
}

/// [`WireForm`], by the names that it has on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Form {
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

/// As hop-client has it, no time is all the time.
fn seconds_or_never(text: &str) -> Result<Duration, String> {
    if text.parse() == Ok(0.0) { Ok(Duration::MAX) } else { seconds(text) }
}

/// A header that is the user's to set.
fn own_header(text: &str) -> Result<(String, String), String> {
    let (name, value) = header(text)?;
    if name.is_empty() || name.starts_with('_') {
        return Err("a header has a name, and those that begin with '_' are made by hop".to_owned());
    }
    Ok((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_time_is_all_the_time() {
        for text in ["0", "0.0", "-0"] {
            assert_eq!(seconds_or_never(text), Ok(Duration::MAX), "{text}");
        }
        assert_eq!(seconds_or_never("0.5"), Ok(Duration::from_millis(500)));
        assert!(seconds_or_never("-1").is_err() && seconds_or_never("").is_err());
    }
}
