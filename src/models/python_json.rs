//! JSON as Python's `json` module reads and writes it.
//!
//! hop-client is written in Python, so its payloads and its output are what `json.dumps` makes: `", "` and `": "`
//! between the parts, everything outside ASCII escaped (in surrogate pairs where needed), and numbers in Python's
//! form: `5.0` keeps its point, `1e16` becomes `1e+16`. Scripts compare such lines, so they are reproduced exactly.
//!
//! Python also reads more than JSON allows: `NaN`, `Infinity` and integers of any length. Real alerts have them (a
//! magnitude that was not measured is `NaN` in many a pipeline). A [`serde_json::Value`] cannot hold these, so
//! [`Json`] is a value of our own that can; [`Json::to_value`] turns them into strings, and nothing else is lost.
//!
//! What Python accepts and this reader does not: the escape of half a surrogate pair, which is no character, and
//! more than 256 levels of nesting.
//!
//! ```
//! use hop::models::python_json::{self, Json};
//!
//! let value = Json::parse(b"{\"far\":1e-8,\"mag\":NaN}")?;
//! assert_eq!(value.to_string(), r#"{"far": 1e-08, "mag": NaN}"#);
//! assert_eq!(python_json::to_string(&serde_json::json!(["\u{e9}", 1e16])), r#"["\u00e9", 1e+16]"#);
//! # Ok::<(), hop::models::python_json::JsonError>(())
//! ```

mod read;
mod rewrite;
mod scan;
mod value;
pub(in crate::models) mod write;

pub(crate) use rewrite::rewrite;
pub use value::{Json, NonFinite};

use serde_json::Value;

/// One line, as `json.dumps(value)`.
pub fn to_string(value: &Value) -> String {
    write::Writer::compact().finish_value(value)
}

/// Indented by two spaces, as `json.dumps(value, indent=2)`.
pub fn to_string_pretty(value: &Value) -> String {
    write::Writer::indented().finish_value(value)
}

/// Where a text is not JSON, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {problem}")]
#[non_exhaustive]
pub struct JsonError {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// What was expected or found there.
    pub problem: String,
}
