//! Formats that programs on `PATH` read, where the user has said that they may.

use std::sync::Arc;
use std::time::Duration;

use super::arguments::{Command, Plugins};
use super::completion::is_on;
use crate::models::Registry;
use crate::models::plugin::{ANSWER_TIMEOUT, PluginFormat};

/// The formats that may be typed: with those of plug-ins, if the word for it stands anywhere on the command line. Help and
/// completions list them before it is known what each word means, and nothing is started by that.
pub(super) fn offered(registry: &Registry) -> Registry {
    if is_on("HOP_PLUGINS", "--plugins") {
        with_plugins(registry.clone(), ANSWER_TIMEOUT)
    } else {
        registry.clone()
    }
}

/// The formats that a command works with: with those of plug-ins, if it was told so.
pub(super) fn enabled(registry: Registry, command: &Command) -> Registry {
    match options(command) {
        Some(Plugins { plugins: true, plugin_timeout }) => with_plugins(registry, *plugin_timeout),
        _ => registry,
    }
}

fn options(command: &Command) -> Option<&Plugins> {
    match command {
        Command::Publish(arguments) => Some(&arguments.plugins),
        Command::Show(arguments) => Some(&arguments.plugins),
        Command::Subscribe(arguments) => Some(&arguments.plugins),
        Command::Tail(arguments) => Some(&arguments.plugins),
        _ => None,
    }
}

/// A format that is known already keeps its reader: no program can take its place.
fn with_plugins(mut registry: Registry, answer_timeout: Duration) -> Registry {
    for plugin in PluginFormat::on_path() {
        if registry.get(plugin.name()).is_none() {
            registry.register(Arc::new(plugin.answer_timeout(answer_timeout)));
        }
    }
    registry
}
