//! Whether other programs may read messages, as it is typed.

use std::time::Duration;

use clap::Args;
use clap::builder::BoolishValueParser;

use super::seconds;

#[derive(Debug, Clone, Copy, Args)]
pub(in crate::cli) struct Plugins {
    /// Have programs on PATH that are called hop-model-NAME read and write the messages of format NAME. Whoever can send
    /// you a message can start them then
    #[arg(long, env = "HOP_PLUGINS", value_parser = BoolishValueParser::new())]
    pub(in crate::cli) plugins: bool,

    /// How long such a program may take with a message, in seconds
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "10", env = "HOP_PLUGIN_TIMEOUT")]
    pub(in crate::cli) plugin_timeout: Duration,
}
