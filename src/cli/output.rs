//! Standard output, for messages: buffered while more are at hand, quiet when the reader has gone.

use std::io::{self, BufWriter, StdoutLock, Write};

/// How much is gathered before it is written.
const BUFFER_BYTES: usize = 64 * 1024;
/// What a pipe is to hold; Linux has it hold a quarter of that.
#[cfg(target_os = "linux")]
const PIPE_BYTES: usize = 4 * BUFFER_BYTES;

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

/// Makes a pipe hold more. Anything else stays as it is, and so does a pipe of a user who has too many.
#[cfg(target_os = "linux")]
fn widen(output: &io::Stdout) {
    use rustix::pipe::{fcntl_getpipe_size, fcntl_setpipe_size};

    if fcntl_getpipe_size(output).is_ok_and(|bytes| bytes < PIPE_BYTES) {
        let widened = fcntl_setpipe_size(output, PIPE_BYTES);
        tracing::debug!(?widened, "the pipe of standard output was asked to hold {PIPE_BYTES} bytes");
    }
}

impl Output {
    pub(super) fn new() -> Self {
        Self(BufWriter::with_capacity(BUFFER_BYTES, io::stdout().lock()))
    }

    /// The same, for very much. Where it is a pipe, that holds more than it would: each time it is full, both its ends wait
    /// for each other. What is in it is lost when its reader ends.
    pub(super) fn for_much() -> Self {
        #[cfg(target_os = "linux")]
        widen(&io::stdout());
        Self::new()
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
