//! The options of `hop broker`.

use std::path::PathBuf;

use clap::Args;

use super::{ListenAddress, Verbosity, seconds};
use crate::broker::{Denial, Fsync};

/// How a broker is set up.
#[derive(Debug, Args)]
pub(in crate::cli) struct BrokerArguments {
    #[command(flatten)]
    pub(in crate::cli) verbosity: Verbosity,

    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9092", value_parser = ListenAddress::parse)]
    pub(in crate::cli) listen: ListenAddress,

    /// Listen here too, without TLS and for anybody
    #[arg(long, value_name = "HOST:PORT", value_parser = ListenAddress::parse)]
    pub(in crate::cli) plaintext: Option<ListenAddress>,

    /// Keep topics, messages, groups and producers in this directory, which is made if it is not there; in memory
    /// without it
    #[arg(long, value_name = "DIRECTORY")]
    pub(in crate::cli) data: Option<PathBuf>,

    /// When what is kept in the directory reaches the disk itself: 'always' before it is acknowledged, 'never' when the
    /// system sees fit, or every so many seconds. The end of this program alone loses nothing in any case
    #[arg(long, value_name = "POLICY", default_value = "1", value_parser = FsyncPolicy::parse, requires = "data")]
    pub(in crate::cli) fsync: FsyncPolicy,

    /// How many MiB of messages are kept in memory; then the oldest make room
    #[arg(long, value_name = "MIB", default_value = "256", conflicts_with = "data")]
    pub(in crate::cli) memory: u64,

    /// Speak TLS, with a certificate made at the start: it is written to ca.pem in the data directory, or here
    #[arg(long)]
    pub(in crate::cli) tls: bool,

    /// Speak TLS with this certificate, a PEM file with the chain behind it
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(in crate::cli) certificate: Option<PathBuf>,

    /// The private key of the certificate, a PEM file
    #[arg(long, value_name = "FILE", requires = "certificate")]
    pub(in crate::cli) key: Option<PathBuf>,

    /// Let in this user, and nobody who is not named so; the password is the first line of the file, or asked for
    #[arg(long, value_name = "NAME[:PASSWORD_FILE]", value_parser = UserArgument::parse)]
    pub(in crate::cli) user: Vec<UserArgument>,

    /// Have this topic, with 1 partition or as many as said
    #[arg(long, value_name = "NAME[:PARTITIONS]", value_parser = TopicArgument::parse)]
    pub(in crate::cli) topic: Vec<TopicArgument>,

    /// Make no topic only because a client asks for it
    #[arg(long)]
    pub(in crate::cli) no_create_topics: bool,

    /// Deny a user ('*': every user) to read, write or describe a topic
    #[arg(long, value_name = "USER:OPERATION:TOPIC")]
    pub(in crate::cli) deny: Vec<Denial>,

    /// Pretend to be so many brokers, on ports one behind the other
    #[arg(long, value_name = "COUNT", default_value = "1")]
    pub(in crate::cli) brokers: u16,
}

/// When what was written reaches the disk.
#[derive(Debug, Clone, Copy)]
pub(in crate::cli) struct FsyncPolicy(pub(in crate::cli) Fsync);

impl FsyncPolicy {
    fn parse(text: &str) -> Result<Self, String> {
        Ok(Self(match text {
            "always" => Fsync::Always,
            "never" => Fsync::Never,
            text => {
                Fsync::Every(seconds(text).map_err(|_| "expected 'always', 'never' or a number of seconds")?)
            }
        }))
    }
}

/// A user and where the password is.
#[derive(Debug, Clone)]
pub(in crate::cli) struct UserArgument {
    pub(in crate::cli) name: String,
    pub(in crate::cli) password_file: Option<PathBuf>,
}

impl UserArgument {
    fn parse(text: &str) -> Result<Self, String> {
        let (name, file) = match text.split_once(':') {
            Some((name, file)) => (name, Some(file.into())),
            None => (text, None),
        };
        if name.is_empty() {
            return Err("the name is missing".to_owned());
        }
        Ok(Self { name: name.to_owned(), password_file: file })
    }
}

/// A topic and its number of partitions.
#[derive(Debug, Clone)]
pub(in crate::cli) struct TopicArgument {
    pub(in crate::cli) name: String,
    pub(in crate::cli) partitions: i32,
}

impl TopicArgument {
    fn parse(text: &str) -> Result<Self, String> {
        let (name, partitions) = match text.split_once(':') {
            Some((name, partitions)) => {
                (name, partitions.parse().map_err(|_| "the partitions are a number")?)
            }
            None => (text, 1),
        };
        Ok(Self { name: name.to_owned(), partitions })
    }
}
