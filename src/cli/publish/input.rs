//! What is to be published: files, or the lines of standard input.

use std::io;
use std::path::{Path, PathBuf};

use tokio::io::{AsyncBufReadExt, BufReader, Stdin};

use super::PublishFailure;
use crate::cli::Failure;
use crate::cli::arguments::PublishArguments;
use crate::models::{JsonBlob, MessageModel, ModelError, Registry};

/// What standard input is read in.
const INPUT_BYTES: usize = 256 * 1024;
/// The longest line, far above what brokers take.
const MOST_LINE_BYTES: usize = 64 * 1024 * 1024;

/// Where the messages come from.
pub(super) enum Input {
    Files(Vec<PathBuf>),
    Lines,
}

impl Input {
    pub(super) fn of(arguments: &PublishArguments) -> Result<Self, Failure> {
        let files = &arguments.message;
        if !files.is_empty() && files.iter().all(|path| path != Path::new("-")) {
            return Ok(Self::Files(files.clone()));
        }
        if files.len() > 1 {
            return Err(Failure::Usage(
                "'-' names standard input, which cannot be mixed with files".to_owned(),
            ));
        }
        if !["BLOB", "JSON"].iter().any(|format| arguments.format.eq_ignore_ascii_case(format)) {
            return Err(Failure::Usage(format!(
                "piping/redirection only allowed for BLOB and JSON formats; name the {} files to publish",
                arguments.format
            )));
        }
        Ok(Self::Lines)
    }
}

pub(super) fn load_all(
    files: &[PathBuf],
    format: &str,
    registry: &Registry,
) -> Result<Vec<Box<dyn MessageModel>>, PublishFailure> {
    let load = |path: &PathBuf| {
        let failed = |source| PublishFailure::File { path: path.clone(), source };
        let content = std::fs::read(path)
            .map_err(|source| failed(ModelError::Unreadable { path: path.clone(), source }))?;
        match registry.load(format, &content) {
            Some(loaded) => loaded.map_err(failed),
            None => Err(PublishFailure::UnknownFormat { format: format.to_owned() }),
        }
    };
    files.iter().map(load).collect()
}

/// The lines of standard input, a message each.
pub(super) struct Lines {
    input: BufReader<Stdin>,
    line: Vec<u8>,
    number: u64,
}

impl Lines {
    pub(super) fn new() -> Self {
        let input = BufReader::with_capacity(INPUT_BYTES, tokio::io::stdin());
        Self { input, line: Vec::new(), number: 0 }
    }

    /// The next message and the number of its line; `None` at the end. When the future is dropped, the next call goes on
    /// where this one was.
    pub(super) async fn next(&mut self) -> Result<Option<(u64, JsonBlob)>, PublishFailure> {
        let number = self.number.saturating_add(1);
        let read = read_line(&mut self.input, &mut self.line).await;
        if !read.map_err(|source| PublishFailure::Input { line: number, source })? {
            return Ok(None);
        }
        self.number = number;
        let model = JsonBlob::load(&self.line);
        self.line.clear();
        Ok(Some((number, model.map_err(|source| PublishFailure::Line { line: number, source })?)))
    }
}

/// Reads a line without its end; `false` when there is none left.
async fn read_line<R: tokio::io::AsyncBufRead + Unpin>(
    input: &mut R,
    line: &mut Vec<u8>,
) -> io::Result<bool> {
    loop {
        let available = input.fill_buf().await?;
        if available.is_empty() {
            return Ok(!line.is_empty());
        }
        let end = memchr::memchr(b'\n', available);
        let taken = end.unwrap_or(available.len());
        line.extend_from_slice(available.get(..taken).unwrap_or_default());
        input.consume(if end.is_some() { taken + 1 } else { taken });
        if line.len() > MOST_LINE_BYTES {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the line is longer than 64 MiB"));
        }
        if end.is_some() {
            line.pop_if(|last| *last == b'\r');
            return Ok(true);
        }
    }
}
