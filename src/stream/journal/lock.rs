//! One process to a journal.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

use super::JournalError;

/// Holds a journal for as long as it lives; the operating system lets go of it with the process.
///
/// The lock is on a file beside the journal, since the journal itself is replaced by another now and then.
#[derive(Debug)]
pub(super) struct Lock(#[expect(dead_code, reason = "it is held, not used")] File);

impl Lock {
    pub(super) fn take(journal: &Path) -> Result<Self, JournalError> {
        let path = super::beside(journal, ".lock");
        let opened = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
        let file = opened.map_err(JournalError::io(&path, "open"))?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(JournalError::InUse { path: journal.to_owned() }),
            Err(TryLockError::Error(error)) => Err(JournalError::io(&path, "lock")(error)),
        }
    }
}
