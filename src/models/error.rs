//! What can be wrong with a message: one error type for reading and writing models.
//!
//! The messages say where in the content the fault is and what was expected there. Which file, or which topic and
//! offset, the content came from is for the caller to add; `load_file` adds the path itself.

use std::io;
use std::path::PathBuf;

use super::WireForm;
use super::python_json::JsonError;

/// Why a model could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The file could not be read at all.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file was read, but does not hold what it should.
    #[error("in {}", path.display())]
    InFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with its content.
        source: Box<Self>,
    },
    /// What was to be read from elsewhere than a file could not be.
    #[error("cannot read the content: {0}")]
    Input(#[source] io::Error),
    /// There was more to read than there may be.
    #[error("the content has more than {most_bytes} bytes")]
    TooLong {
        /// How many there may be.
        most_bytes: u64,
    },
    /// A text has a byte that is not UTF-8.
    #[error("{what} must be UTF-8 text, but byte {position} (counted from 0) is {byte:#04x}, which is not")]
    NotUtf8 {
        /// What was read, such as `a GCN circular`.
        what: &'static str,
        /// Where, in bytes from the start.
        position: usize,
        /// The offending byte.
        byte: u8,
    },
    /// The content is not JSON.
    #[error("not valid JSON: {0}")]
    Json(#[from] JsonError),
    /// The content is not well-formed XML, or uses a part of XML that is refused.
    #[error("not valid XML: {0}")]
    Xml(#[from] XmlError),
    /// The content is valid JSON or XML, but not what the format asks for.
    #[error("not a valid {format} message: {problem}")]
    Structure {
        /// The format, such as `voevent`.
        format: String,
        /// What is missing or too much.
        problem: String,
    },
    /// The content cannot be written in the form that was asked for.
    #[error("a {format} message cannot be sent in {}: {problem}", form_name(*form))]
    NotRepresentable {
        /// The format of the model.
        format: String,
        /// The form that was asked for.
        form: WireForm,
        /// What stands in the way, and what to do instead.
        problem: String,
    },
    /// A format that was registered by the program reported an error of its own.
    #[error(transparent)]
    Other(Box<dyn std::error::Error + Send + Sync>),
}

impl ModelError {
    /// The content is valid JSON or XML, but not what `format` asks for.
    pub fn structure(format: &str, problem: impl Into<String>) -> Self {
        Self::Structure { format: format.to_owned(), problem: problem.into() }
    }

    /// Checks that `bytes` are UTF-8 and says where they are not.
    pub(super) fn utf8<'a>(bytes: &'a [u8], what: &'static str) -> Result<&'a str, Self> {
        std::str::from_utf8(bytes).map_err(|error| {
            let position = error.valid_up_to();
            let byte = bytes.get(position).copied().unwrap_or_default();
            Self::NotUtf8 { what, position, byte }
        })
    }

    /// Reads a file and gives its bytes to `load`; every error then names the file.
    pub(super) fn with_file<T>(
        path: &std::path::Path,
        load: impl FnOnce(&[u8]) -> Result<T, Self>,
    ) -> Result<T, Self> {
        let bytes =
            std::fs::read(path).map_err(|source| Self::Unreadable { path: path.to_owned(), source })?;
        load(&bytes).map_err(|source| Self::InFile { path: path.to_owned(), source: Box::new(source) })
    }
}

/// Where an XML document is wrong, and how.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {problem}")]
#[non_exhaustive]
pub struct XmlError {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// What is wrong there.
    pub problem: String,
}

impl XmlError {
    /// An error at a byte offset of the decoded text.
    pub(super) fn at(text: &str, offset: usize, problem: impl Into<String>) -> Self {
        let (line, column) = line_and_column(text, offset);
        Self { line, column, problem: problem.into() }
    }
}

/// Line and column, both from 1, of a byte offset; a column is a character. LF, CR and CR LF end a line.
pub(super) fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    let before = text.get(..offset).unwrap_or_default();
    let bytes = before.as_bytes();
    let breaks = bytes
        .iter()
        .enumerate()
        .filter(|&(at, &byte)| byte == b'\n' || (byte == b'\r' && bytes.get(at + 1) != Some(&b'\n')))
        .count();
    let column = before.rsplit(['\n', '\r']).next().unwrap_or_default().chars().count() + 1;
    (breaks + 1, column)
}

fn form_name(form: WireForm) -> &'static str {
    match form {
        WireForm::Json => "its JSON form",
        WireForm::Original => "its original form",
        WireForm::Envelope => "the envelope of old versions",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_as_editors_count_them() {
        let text = "a\nb\r\nc\rdé!";
        assert_eq!(line_and_column(text, 0), (1, 1));
        assert_eq!(line_and_column(text, 2), (2, 1));
        assert_eq!(line_and_column(text, 5), (3, 1));
        assert_eq!(line_and_column(text, 7), (4, 1));
        assert_eq!(line_and_column(text, text.len()), (4, 4));
        assert_eq!(line_and_column(text, 9), (4, 2), "inside a character counts as its start");
        assert_eq!(line_and_column(text, 1000), (4, 4));
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = ModelError::with_file(std::path::Path::new("/no/such/file"), |_| Ok(())).unwrap_err();
        assert_eq!(error.to_string(), "cannot read /no/such/file");
        assert!(std::error::Error::source(&error).is_some());
    }
}
