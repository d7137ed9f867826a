//! What can go wrong with a plug-in.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::MOST_ANSWER_BYTES;

/// A plug-in could not be asked. Inside of [`ModelError::Other`](crate::models::ModelError::Other), which is what reading
/// with a format gives; that a plug-in refuses a message is
/// [`ModelError::Structure`](crate::models::ModelError::Structure) instead, in its own words.
#[derive(Debug, thiserror::Error)]
#[error("the plug-in {} {failure}", program.display())]
#[non_exhaustive]
pub struct PluginError {
    /// The program.
    pub program: PathBuf,
    /// What went wrong with it.
    pub failure: PluginFailure,
}

/// What went wrong with a plug-in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PluginFailure {
    /// The system would not start it.
    #[error("cannot be started: {0}")]
    NotStarted(#[source] io::Error),
    /// It ended, or closed its output, before it had answered.
    #[error("ended without an answer ({status}); on standard error it may have said why")]
    Ended {
        /// As the system has it, such as `exit status: 1`.
        status: String,
    },
    /// Pipes to or from it failed.
    #[error("cannot be asked: {0}")]
    Pipe(#[source] io::Error),
    /// It took too long, and was killed.
    #[error("did not answer within {within:?} and was ended; mend it, or give it more time")]
    Silent {
        /// How long it had.
        within: Duration,
    },
    /// Its answer was longer than [`MOST_ANSWER_BYTES`], and it was killed.
    #[error("gave an answer of more than {} MiB and was ended", MOST_ANSWER_BYTES >> 20)]
    TooLong,
    /// What it said is no answer, and it was killed, since what it says next may belong to anything.
    #[error("gave no answer that can be understood and was ended: {0}")]
    NoAnswer(String),
    /// It failed too often, and was not asked.
    #[error("is not asked any more, since it failed {failures} times in a row")]
    GivenUp {
        /// How often.
        failures: u32,
    },
}

/// A name that no plug-in's format can have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{name:?} cannot be the name of a plug-in's format: that is 1 to 64 lower-case letters, digits, '_' and '-'"
)]
#[non_exhaustive]
pub struct PluginNameError {
    /// The name, cut if it is very long.
    pub name: String,
}
