//! The command line: what was typed, what is printed, what is returned to the shell.
//!
//! A thin skin over [`crate::stream`] and [`crate::auth`]; it knows nothing of the protocol. Messages go to standard
//! output, everything else to standard error. A program with formats of its own passes its [`Registry`] to [`run`].

mod arguments;
mod auth;
#[cfg(feature = "broker")]
mod broker;
mod color;
mod completion;
mod configure;
#[cfg(feature = "broker")]
mod demo;
mod doctor;
#[doc(hidden)]
pub mod for_fuzzing;
mod interrupt;
mod lag;
mod list_topics;
mod log;
mod manual;
mod offsets;
mod output;
mod plugins;
mod progress;
mod publish;
mod show;
mod similar;
mod subscribe;
mod table;
mod tail;
mod top;

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use tracing::Level;

use self::arguments::{Arguments, Command, Connection};
use self::color::{Tone, paint};
#[cfg(feature = "broker")]
use self::interrupt::GRACE_OF_A_BROKER;
use self::interrupt::{GRACE, Interrupt};
use self::output::{Output, OutputError};
use self::similar::with_suggestion;
use crate::auth::{Auth, LoadError};
use crate::config::{Settings, SettingsError};
use crate::kafka;
use crate::models::Registry;
use crate::stream::{LargeMessages, NextError, OpenError, Stream, WriteError};

const FAILURE: u8 = 1;
const USAGE: u8 = 2;

/// What is said when there is no credential; scripts look for these words.
const NO_CREDENTIAL: &str = "
No valid credential data found
You can get a credential from https://my.hop.scimma.org
To load your credential, run `hop auth add`
";

/// Runs the `hop` command line of this process with these formats: the whole of a program's `main`, and of that of `hop`.
///
/// ```no_run
/// fn main() -> std::process::ExitCode {
///     hop::cli::run(hop::models::Registry::standard())
/// }
/// ```
///
/// A format that is registered besides is one like the others: `hop publish -f` takes its name, `hop subscribe` and
/// `hop show` read its messages, help and completions list it. `examples/donut` in the repository is a whole program:
///
/// ```no_run
/// # use std::sync::Arc;
/// # use hop::models::python_json::Json;
/// # use hop::models::{Blob, Format, JsonBlob, MessageModel, ModelError};
/// # #[derive(Debug)]
/// # struct DonutFormat;
/// # impl Format for DonutFormat {
/// #     fn name(&self) -> &str { "donut" }
/// #     fn decode(&self, payload: &[u8]) -> Result<Box<dyn MessageModel>, ModelError> {
/// #         Ok(Box::new(Blob::new(payload)))
/// #     }
/// #     fn decode_envelope(&self, content: Json) -> Result<Box<dyn MessageModel>, ModelError> {
/// #         Ok(Box::new(JsonBlob::new(content)))
/// #     }
/// # }
/// fn main() -> std::process::ExitCode {
///     let mut registry = hop::models::Registry::standard();
///     registry.register(Arc::new(DonutFormat));
///     hop::cli::run(registry)
/// }
/// ```
///
/// With `--plugins`, formats that programs on `PATH` read come on top of these: see
/// [`models::plugin`](crate::models::plugin).
pub fn run(registry: Registry) -> ExitCode {
    let offered = plugins::offered(&registry);
    completion::answer(&offered);
    let arguments = match arguments::parse(&offered) {
        Ok(arguments) => arguments,
        Err(help_or_error) => return explain(&help_or_error),
    };
    let in_color = arguments.color.is_for(&io::stderr());
    log::show(level(&arguments), in_color);
    let debug = arguments.debug;
    let registry = match &arguments.command {
        Command::Man { .. } => offered,
        command => plugins::enabled(registry, command),
    };
    match execute(arguments, registry) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => report(&failure, debug, in_color),
    }
}

/// How a command ended.
type Outcome = Result<(), Failure>;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// Options that do not go together, found out after parsing.
    #[error("{0}")]
    Usage(String),
    /// Something that was said already, in a few words.
    #[error("{0}")]
    Reported(String),
    #[error(transparent)]
    Output(#[from] OutputError),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Next(#[from] NextError),
    #[error(transparent)]
    Credentials(#[from] LoadError),
    #[error(transparent)]
    Auth(#[from] auth::AuthFailure),
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    Publish(#[from] publish::PublishFailure),
    #[error(transparent)]
    Store(#[from] subscribe::StoreError),
    #[error(transparent)]
    Command(#[from] subscribe::CommandError),
    #[error(transparent)]
    Health(#[from] subscribe::HealthError),
    #[error(transparent)]
    Show(#[from] show::ShowFailure),
    /// Any of these, and the name of what was probably meant.
    #[error("{failure}\nDid you mean '{topic}'?")]
    Suggestion { failure: Box<Self>, topic: String },
    #[error("cannot start: {0}")]
    Runtime(io::Error),
}

fn execute(arguments: Arguments, registry: Registry) -> Outcome {
    match arguments.command {
        Command::Version => version(),
        Command::Configure(arguments) => configure::run(&arguments),
        Command::Auth(arguments) => auth::run(arguments),
        Command::Lag(arguments) => block_on(|interrupt| lag::run(arguments, interrupt)),
        Command::Offsets(arguments) => block_on(|interrupt| offsets::run(arguments, interrupt)),
        Command::Show(arguments) => show::run(&arguments, &registry),
        Command::Completions { shell } => completion::script(shell),
        Command::Man { directory } => manual::write(&directory, &registry),
        Command::ListTopics(arguments) => block_on(|interrupt| list_topics::run(arguments, interrupt)),
        Command::Doctor(command) => {
            let in_color = arguments.color.is_for(&io::stdout());
            block_on(|interrupt| doctor::run(command, in_color, interrupt))
        }
        Command::Tail(arguments) => block_on(async |interrupt| {
            let (connection, url) = (arguments.connection, arguments.url.clone());
            let outcome = tail::run(arguments, registry, interrupt.clone()).await;
            with_suggestion(outcome, connection, &url, &interrupt).await
        }),
        Command::Top(command) => {
            let in_color = arguments.color.is_for(&io::stdout());
            block_on(|interrupt| top::run(command, in_color, interrupt))
        }
        Command::Publish(arguments) => block_on(async |interrupt| {
            let (connection, url) = (arguments.connection, arguments.url.clone());
            let outcome = publish::run(arguments, registry, interrupt.clone()).await;
            with_suggestion(outcome, connection, &url, &interrupt).await
        }),
        Command::Subscribe(arguments) => block_on(async |interrupt| {
            let (connection, url) = (arguments.connection, arguments.url.clone());
            let outcome = subscribe::run(*arguments, registry, interrupt.clone()).await;
            with_suggestion(outcome, connection, &url, &interrupt).await
        }),
        #[cfg(feature = "broker")]
        Command::Broker(arguments) => {
            block_on_within(GRACE_OF_A_BROKER, |interrupt| broker::run(arguments, interrupt))
        }
        #[cfg(feature = "broker")]
        Command::Demo => demo::run(),
    }
}

/// Runs a command that talks to brokers. One thread does it all: the work is waiting and copying.
fn block_on(command: impl AsyncFnOnce(Interrupt) -> Outcome) -> Outcome {
    block_on_within(GRACE, command)
}

/// The same, with so much time to end when a signal asks for it.
fn block_on_within(grace: Duration, command: impl AsyncFnOnce(Interrupt) -> Outcome) -> Outcome {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::Runtime)?;
    let outcome = runtime.block_on(command(Interrupt::listen(grace)));
    // A thread may be waiting for a line of standard input that never comes.
    runtime.shutdown_background();
    outcome
}

/// The stream that the options ask for.
fn connect(connection: &Connection) -> Result<Stream, Failure> {
    let stream = if connection.no_auth { Stream::anonymous() } else { Stream::new(Auth::load()?) };
    Ok(stream.connect_timeout(connection.connect_timeout))
}

/// The same, with what the general settings say about messages that are too large for a topic.
fn connect_for_messages(connection: &Connection, large: LargeMessages) -> Result<Stream, Failure> {
    let stream = connect(connection)?;
    let settings = Settings::from_environment()?;
    Ok(stream.large_messages(large.fetch(settings.fetch_external).keep(settings.automatic_offload)))
}

fn version() -> Outcome {
    let mut output = Output::new();
    output.line(concat!("hop-client==", env!("CARGO_PKG_VERSION")))?;
    output.line(&format!("target=={}-{}", std::env::consts::ARCH, std::env::consts::OS))?;
    output.line("kafka-brokers==2.1 and later")?;
    Ok(output.flush()?)
}

fn level(arguments: &Arguments) -> Level {
    let verbosity = match &arguments.command {
        Command::Auth(arguments) => Some(arguments.verbosity),
        Command::Configure(arguments) => Some(arguments.verbosity),
        Command::Publish(arguments) => Some(arguments.verbosity),
        Command::Subscribe(arguments) => Some(arguments.verbosity),
        #[cfg(feature = "broker")]
        Command::Broker(arguments) => Some(arguments.verbosity),
        #[cfg(feature = "broker")]
        Command::Demo => None,
        Command::Completions { .. }
        | Command::Doctor(_)
        | Command::Lag(_)
        | Command::ListTopics(_)
        | Command::Man { .. }
        | Command::Offsets(_)
        | Command::Show(_)
        | Command::Tail(_)
        | Command::Top(_)
        | Command::Version => None,
    };
    match verbosity {
        _ if arguments.debug => Level::DEBUG,
        Some(verbosity) if verbosity.quiet => Level::ERROR,
        Some(verbosity) if verbosity.verbose => Level::INFO,
        _ => Level::WARN,
    }
}

/// Prints help, the version or a usage error; and the notice if there is no credential yet.
fn explain(help_or_error: &clap::Error) -> ExitCode {
    // The reader may have gone.
    let _ = help_or_error.print();
    match Auth::load() {
        Ok(_) => {}
        Err(LoadError::Missing { .. } | LoadError::NoDirectory(_)) => say(NO_CREDENTIAL),
        Err(error) => {
            say(&format!("hop: {error}"));
            say(NO_CREDENTIAL);
        }
    }
    if help_or_error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS }
}

fn report(failure: &Failure, debug: bool, in_color: bool) -> ExitCode {
    if let Failure::Output(OutputError::ReaderGone) = failure {
        return ExitCode::SUCCESS;
    }
    say(&format!("{} {failure}", paint("hop:", Tone::Failure, in_color)));
    if debug {
        say(&format!("{failure:#?}"));
    }
    if wants_credential(failure) {
        say(NO_CREDENTIAL);
    }
    ExitCode::from(if matches!(failure, Failure::Usage(_)) { USAGE } else { FAILURE })
}

/// Whether a command failed for want of any credential.
fn wants_credential(failure: &Failure) -> bool {
    matches!(failure, Failure::Credentials(LoadError::Missing { .. } | LoadError::NoDirectory(_)))
}

/// A line on standard error. If that is gone too, there is nobody left to tell.
fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

impl From<kafka::Error> for Failure {
    fn from(error: kafka::Error) -> Self {
        Self::Open(error.into())
    }
}

impl From<WriteError> for Failure {
    fn from(error: WriteError) -> Self {
        Self::Publish(error.into())
    }
}
