//! What is to be published: files, or what is on standard input.

use std::path::{Path, PathBuf};
use std::{fmt, io};

use tokio::io::{AsyncBufRead, AsyncBufReadExt, BufReader, Stdin};

use super::PublishFailure;
use super::files::expand;
use crate::cli::Failure;
use crate::cli::arguments::{Delimiter, PublishArguments};
use crate::models::JsonBlob;

/// What standard input is read in.
const INPUT_BYTES: usize = 256 * 1024;
/// The longest message, far above what brokers take.
const MOST_LINE_BYTES: usize = 64 * 1024 * 1024;

/// Where the messages come from.
pub(super) enum Input {
    Files(Vec<PathBuf>),
    /// Standard input, where messages end with this.
    Messages(Delimiter),
}

impl Input {
    pub(super) fn of(arguments: &PublishArguments) -> Result<Self, Failure> {
        let files = &arguments.message;
        if !files.is_empty() && files.iter().all(|path| path != Path::new("-")) {
            return Ok(Self::Files(expand(files)?));
        }
        if files.len() > 1 {
            return Err(Failure::Usage(
                "'-' names standard input, which cannot be mixed with files".to_owned(),
            ));
        }
        if !["BLOB", "JSON"].iter().any(|format| arguments.format.eq_ignore_ascii_case(format)) {
            return Err(PublishFailure::NoLines { format: arguments.format.clone() }.into());
        }
        if arguments.delimiter.0.is_empty() {
            return Err(Failure::Usage("messages on standard input need something to end with".to_owned()));
        }
        Ok(Self::Messages(arguments.delimiter.clone()))
    }
}

/// The place of a message on standard input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) struct Place {
    number: u64,
    is_line: bool,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.is_line { "line" } else { "message" };
        write!(f, "{what} {} of standard input", self.number)
    }
}

/// The messages of standard input.
pub(super) struct Lines {
    input: BufReader<Stdin>,
    delimiter: Delimiter,
    line: Vec<u8>,
    number: u64,
}

impl Lines {
    pub(super) fn new(delimiter: Delimiter) -> Self {
        let input = BufReader::with_capacity(INPUT_BYTES, tokio::io::stdin());
        Self { input, delimiter, line: Vec::new(), number: 0 }
    }

    /// The next message and its place; `None` at the end. When the future is dropped, the next call goes on where this
    /// one was.
    pub(super) async fn next(&mut self) -> Result<Option<(Place, JsonBlob)>, PublishFailure> {
        let is_line = self.delimiter.0 == b"\n";
        let place = Place { number: self.number.saturating_add(1), is_line };
        let read = read_up_to(&mut self.input, &self.delimiter.0, &mut self.line).await;
        if !read.map_err(|source| PublishFailure::Input { place, source })? {
            return Ok(None);
        }
        if is_line {
            self.line.pop_if(|last| *last == b'\r');
        }
        self.number = place.number;
        let model = JsonBlob::load(&self.line);
        self.line.clear();
        Ok(Some((place, model.map_err(|source| PublishFailure::Line { place, source })?)))
    }
}

/// Reads up to the delimiter, which is left out; `false` when there is nothing left.
async fn read_up_to<R: AsyncBufRead + Unpin>(
    input: &mut R,
    delimiter: &[u8],
    message: &mut Vec<u8>,
) -> io::Result<bool> {
    let last = delimiter.last().copied().unwrap_or(b'\n');
    loop {
        let available = input.fill_buf().await?;
        if available.is_empty() {
            // The last one need not end.
            return Ok(!message.is_empty());
        }
        let end = memchr::memchr(last, available).map(|at| at + 1);
        let taken = end.unwrap_or(available.len());
        message.extend_from_slice(available.get(..taken).unwrap_or_default());
        input.consume(taken);
        if end.is_some() && message.ends_with(delimiter) {
            message.truncate(message.len() - delimiter.len());
            return Ok(true);
        }
        if message.len() > MOST_LINE_BYTES {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the message is longer than 64 MiB"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read_all(text: &[u8], delimiter: &[u8], buffer: usize) -> Vec<Vec<u8>> {
        let mut input = BufReader::with_capacity(buffer, text);
        let mut messages = Vec::new();
        let mut message = Vec::new();
        while read_up_to(&mut input, delimiter, &mut message).await.unwrap() {
            messages.push(std::mem::take(&mut message));
        }
        messages
    }

    #[tokio::test]
    async fn messages_end_where_the_delimiter_is_however_the_bytes_come() {
        for buffer in 1..8 {
            for (text, delimiter, messages) in [
                (&b"a\nbc\n\nd"[..], &b"\n"[..], vec![&b"a"[..], b"bc", b"", b"d"]),
                (b"a--b-c----d--", b"--", vec![b"a", b"b-c", b"", b"d"]),
                (b"aXYXXYb", b"XXY", vec![b"aXY", b"b"]),
                (b"", b"\0", vec![]),
            ] {
                assert_eq!(read_all(text, delimiter, buffer).await, messages, "{delimiter:?} {buffer}");
            }
        }
    }
}
