//! What is said on standard error while work goes on: `tracing` events, one line each.

use std::fmt;
use std::io;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::{FmtContext, Subscriber as Log};
use tracing_subscriber::registry::LookupSpan;

use super::color::{Tone, paint};
use crate::kafka::ALL_CLEAR;

/// Shows events of at least this level from here on.
pub(super) fn show(level: Level, in_color: bool) {
    let line = Line { in_color };
    let log = Log::builder().with_max_level(level).with_writer(io::stderr).event_format(line).finish();
    // A program that embeds this command line may have set its own.
    let _ = tracing::subscriber::set_global_default(log);
}

/// `hop: warning: what happened: why broker=h:9092`.
struct Line {
    in_color: bool,
}

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut to: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let level = match *event.metadata().level() {
            Level::ERROR => paint("error: ", Tone::Failure, self.in_color),
            Level::WARN if event.metadata().target() == ALL_CLEAR => String::new(),
            Level::WARN => paint("warning: ", Tone::Warning, self.in_color),
            Level::INFO => String::new(),
            Level::DEBUG => "debug: ".to_owned(),
            Level::TRACE => "trace: ".to_owned(),
        };
        let mut parts = Parts::default();
        event.record(&mut parts);
        let Parts { message, error, others } = parts;
        writeln!(to, "hop: {level}{message}{error}{others}")
    }
}

/// What an event says, in the order in which it is read.
#[derive(Default)]
struct Parts {
    message: String,
    error: String,
    others: String,
}

impl Visit for Parts {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            "error" => self.error = format!(": {value:?}"),
            name => self.others += &format!(" {name}={value:?}"),
        }
    }
}
