//! As what messages are printed, as it is typed.

use clap::Args;

use crate::cli::subscribe::Format;

#[derive(Debug, Args)]
pub(in crate::cli) struct Printing {
    /// As what messages are printed: text, json, ndjson (JSON with topic, offset, headers and all that), raw (the bytes as
    /// they are on the wire), or a template with {topic}, {partition}, {offset}, {time}, {timestamp}, {id}, {sender},
    /// {format}, {key}, {test}, {text}, {json} and {payload}
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    format: Format,

    /// Print each message as one line of JSON: `--format json`
    #[arg(short, long, conflicts_with_all = ["raw", "format"])]
    json: bool,

    /// Print each message's bytes as they are on the wire, whatever they are: `--format raw`
    #[arg(long, conflicts_with = "format")]
    raw: bool,
}

impl Printing {
    /// As what messages are printed.
    pub(in crate::cli) fn format(&self) -> Format {
        match self {
            Self { json: true, .. } => Format::Json,
            Self { raw: true, .. } => Format::Raw,
            Self { format, .. } => format.clone(),
        }
    }
}
