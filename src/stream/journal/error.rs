//! What can go wrong with a journal.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::JournalFlaw;

/// A journal cannot be used, or could not be written to.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The system does not let us.
    #[error("cannot {doing} the journal file {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// Another producer has it.
    #[error("the journal {} is in use by another producer; each needs a journal of its own", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// It was damaged after it was written. The file is left as it is.
    #[error(
        "the journal {path} is damaged at byte {position}: {flaw}\n\
         The file was left as it is. Keep a copy of it; then cut it there (truncate -s {position} {path}) to send what \
         stands before and give up what stands behind, or move it away to begin anew",
        path = path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the record begins that cannot be read.
        position: u64,
        /// What is wrong with it.
        flaw: JournalFlaw,
    },
}

impl JournalError {
    pub(super) fn io(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { path: path.to_owned(), doing, source }
    }
}
