//! Formats that other programs read: executables called `hop-model-NAME`, asked over pipes.
//!
//! A [`PluginFormat`] is a [`Format`] whose work a program of any language does. The program is started when the first
//! message is to be read, asked one question at a time, a line of JSON each way, and kept until the format is dropped;
//! `docs/plugins.md` in the repository has the lines. [`serve`] is the other side, for a plug-in that is written in Rust.
//!
//! Nothing here is registered by itself. A program that wants what [`PluginFormat::on_path`] finds says so, since every
//! message that names such a format starts its plug-in from then on:
//!
//! ```
//! use std::sync::Arc;
//!
//! use hop::models::Registry;
//! use hop::models::plugin::PluginFormat;
//!
//! let mut registry = Registry::standard();
//! for plugin in PluginFormat::on_path() {
//!     if registry.get(plugin.name()).is_none() {
//!         registry.register(Arc::new(plugin));
//!     }
//! }
//! ```
//!
//! # What a plug-in cannot do
//!
//! A plug-in that does not start, ends, is silent for too long, or answers with something else than an answer is a
//! [`PluginError`] that names it: the message counts as one that cannot be read. It is then ended, and started again for
//! the next message; after three failures in a row it is left alone. What it answers takes at most
//! [`MOST_ANSWER_BYTES`]. It runs with the environment and the working directory of this process, as its user, and is
//! given messages and files, never a credential.

mod error;
#[doc(hidden)]
pub mod for_fuzzing;
mod model;
mod process;
mod protocol;
mod search;
mod serve;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

pub use self::error::{PluginError, PluginFailure, PluginNameError};
use self::model::PluginModel;
use self::process::Running;
pub use self::protocol::MOST_ANSWER_BYTES;
use self::protocol::{Question, parse_answer, request_line};
pub use self::serve::serve;
use serde_json::Value;

use super::python_json::Json;
use super::{Format, MessageModel, ModelError};

/// How long a plug-in may take for one answer, if nothing else is said: an interpreter with its libraries starts in a few
/// seconds on a busy machine, and a reader that waits three times this long is still a member of its group.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// A plug-in that fails this often without an answer in between is not started again.
const MOST_FAILURES: u32 = 3;

/// A format that a program reads.
///
/// Reading blocks the thread until the plug-in has answered, up to the time that
/// [`answer_timeout`](Self::answer_timeout) sets. Messages of one format are read one at a time, whatever thread they are
/// on. When the format is dropped, so is its process: its input ends, and it is killed.
///
/// ```no_run
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// use hop::models::Registry;
/// use hop::models::plugin::PluginFormat;
///
/// let donut = PluginFormat::new("donut", "/usr/lib/hop/hop-model-donut")?.answer_timeout(Duration::from_secs(2));
/// let mut registry = Registry::standard();
/// registry.register(Arc::new(donut));
/// let stream = hop::Stream::anonymous().registry(registry);
/// # Ok::<(), hop::models::plugin::PluginNameError>(())
/// ```
#[derive(Debug)]
pub struct PluginFormat {
    name: String,
    program: PathBuf,
    answer_timeout: Duration,
    state: Mutex<State>,
}

/// What is known of the process.
#[derive(Debug, Default)]
struct State {
    running: Option<Running>,
    /// Failures since the last answer.
    failures: u32,
    questions: u64,
}

impl PluginFormat {
    /// A format of this name that this program reads. Nothing is started yet, nor is the program looked for.
    ///
    /// # Errors
    ///
    /// When the name is something else than 1 to 64 of `a` to `z`, `0` to `9`, `_` and `-`.
    pub fn new(name: &str, program: impl Into<PathBuf>) -> Result<Self, PluginNameError> {
        if !search::is_name(name) {
            return Err(PluginNameError { name: name.chars().take(80).collect() });
        }
        Ok(Self {
            name: name.to_owned(),
            program: program.into(),
            answer_timeout: ANSWER_TIMEOUT,
            state: Mutex::default(),
        })
    }

    /// The plug-ins of the directories in `PATH`, by name: executable files called `hop-model-NAME`. Of several with one
    /// name the first counts, as in a shell. Directories that `PATH` does not name from the root are passed over: what
    /// lies in the working directory may have come from anywhere. Nothing is started.
    #[must_use]
    pub fn on_path() -> Vec<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let found = search::in_directories(std::env::split_paths(&path));
        found.into_iter().filter_map(|(name, program)| Self::new(&name, program).ok()).collect()
    }

    /// How long the plug-in may take for one answer, its start included; [`ANSWER_TIMEOUT`] if nothing is said.
    #[must_use]
    pub fn answer_timeout(mut self, timeout: Duration) -> Self {
        self.answer_timeout = timeout;
        self
    }

    /// The format's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The program.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.program
    }

    fn ask(&self, question: &Question) -> Result<Box<dyn MessageModel>, ModelError> {
        // Whoever panicked with the lock has left no process in the middle of an answer: it is taken out before.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = if state.failures < MOST_FAILURES {
            self.answer(&mut state, question)
        } else {
            Err(PluginFailure::GivenUp { failures: state.failures })
        };
        match answer {
            Ok(Ok(content)) => Ok(Box::new(PluginModel::new(self.name.clone(), content))),
            Ok(Err(problem)) => Err(ModelError::structure(&self.name, problem)),
            Err(failure) => {
                let program = self.program.clone();
                Err(ModelError::Other(Box::new(PluginError { program, failure })))
            }
        }
    }

    fn answer(&self, state: &mut State, question: &Question) -> Result<protocol::Answer, PluginFailure> {
        state.failures += 1;
        state.questions += 1;
        let kept = state.running.take().and_then(Running::if_there);
        let mut running = match kept {
            Some(running) => running,
            None => Running::start(&self.program).map_err(PluginFailure::NotStarted)?,
        };
        let line = match running.exchange(request_line(state.questions, question), self.answer_timeout) {
            // What a long message has made of it, and not a fault of its own.
            Err(PluginFailure::TooLong) => {
                state.failures -= 1;
                return Err(PluginFailure::TooLong);
            }
            line => line?,
        };
        let answer = parse_answer(&line, state.questions).map_err(PluginFailure::NoAnswer)?;
        state.failures = 0;
        state.running = Some(running);
        Ok(answer)
    }
}

impl Format for PluginFormat {
    fn name(&self) -> &str {
        &self.name
    }

    fn load(&self, content: &[u8]) -> Result<Box<dyn MessageModel>, ModelError> {
        self.ask(&Question::Load(content.to_vec()))
    }

    fn decode(&self, payload: &[u8]) -> Result<Box<dyn MessageModel>, ModelError> {
        self.ask(&Question::Decode(payload.to_vec()))
    }

    fn decode_envelope(&self, content: Json) -> Result<Box<dyn MessageModel>, ModelError> {
        let content = content.into_value();
        if is_deeper(&content, MOST_LEVELS) {
            return Err(ModelError::structure(
                &self.name,
                format!("its content is nested more than {MOST_LEVELS} levels deep"),
            ));
        }
        self.ask(&Question::DecodeEnvelope(content))
    }
}

/// Readers of JSON stop somewhere: what a stranger has nested deeper is not asked about, lest it counts as their failure.
const MOST_LEVELS: usize = 100;

fn is_deeper(value: &Value, levels: usize) -> bool {
    let deeper = |value: &Value| levels == 0 || is_deeper(value, levels - 1);
    match value {
        Value::Array(items) => items.iter().any(deeper),
        Value::Object(members) => members.values().any(deeper),
        _ => false,
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests;
