//! Standard output, for messages: buffered while more are at hand, quiet when the reader has gone.

use std::io::{self, BufWriter, StdoutLock, Write};

/// Standard output. Everything else goes to standard error.
#[derive(Debug)]
pub(super) struct Output(BufWriter<StdoutLock<'static>>);

/// What writing came to.
pub(super) type Written = Result<(), OutputError>;

/// Why something could not be written.
#[derive(Debug, thiserror::Error)]
pub(super) enum OutputError {
    /// Its reader has closed it, as `head` does when it has seen enough: an end, not a failure.
    #[error("standard output was closed")]
    ReaderGone,
    /// A full disk, for example.
    #[error("cannot write to standard output: {0}")]
    Failed(io::Error),
}

impl From<io::Error> for OutputError {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe { Self::ReaderGone } else { Self::Failed(error) }
    }
}

impl Output {
    pub(super) fn new() -> Self {
        Self(BufWriter::with_capacity(64 * 1024, io::stdout().lock()))
    }

    /// Writes bytes; they may stay in the buffer.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Written {
        Ok(self.0.write_all(bytes)?)
    }

    /// Writes a line of text.
    pub(super) fn line(&mut self, text: &str) -> Written {
        self.write(text.as_bytes())?;
        self.write(b"\n")
    }

    /// Hands over all that was written.
    pub(super) fn flush(&mut self) -> Written {
        Ok(self.0.flush()?)
    }
}
