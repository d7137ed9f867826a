//! The same for programs that are not asynchronous: calls that wait, and an iterator of messages.
//!
//! The names are those of [`crate::stream`]; what each does, and what its errors mean, stands there. A [`Stream`] has a
//! thread of its own, which keeps connections and memberships in groups alive between two calls, and which ends with the
//! last of what was made from it. What hands out a [`Client`](crate::kafka::Client) is not here: that is asynchronous.
//!
//! ```no_run
//! use hop::Auth;
//! use hop::blocking::Stream;
//! use hop::models::GcnCircular;
//! use hop::stream::StartPosition;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let stream = Stream::new(Auth::load()?)?;
//!
//! let out = stream.writer("kafka://kafka.scimma.org/gcn.circular").open()?;
//! let delivery = out.write(&GcnCircular::load_file("example.gcn3")?)?; // accepted, in order
//! println!("stored at {:?}", delivery.wait()?.offset); // acknowledged
//!
//! let alerts = stream.reader("kafka://kafka.scimma.org/gcn.circular").start_at(StartPosition::Earliest).open()?;
//! for message in alerts {
//!     println!("{}", message?.model());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Panics
//!
//! Whatever waits panics in an asynchronous context, as everything does that blocks a thread of a runtime: there,
//! [`crate::stream`] is what you want.

mod background;
mod reading;
mod robust;
mod writing;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use self::background::Background;
pub use self::reading::{Consumer, ReaderBuilder};
pub use self::robust::{RobustProducer, RobustWriterBuilder};
pub use self::writing::{Delivery, Producer, WriterBuilder};
use crate::auth::Credentials;
use crate::kafka::TopicDescription;
use crate::models::{Registry, WireForm};
use crate::stream::{self, OpenError, StartPosition};

/// How brokers are reached; see [`stream::Stream`]. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Stream {
    inner: stream::Stream,
    background: Arc<Background>,
}

impl Stream {
    /// A stream that authenticates; see [`stream::Stream::new`].
    ///
    /// # Errors
    ///
    /// When the system has no thread left.
    pub fn new(credentials: impl Into<Credentials>) -> io::Result<Self> {
        Self::of(stream::Stream::new(credentials))
    }

    /// A stream that neither authenticates nor encrypts; see [`stream::Stream::anonymous`].
    ///
    /// # Errors
    ///
    /// When the system has no thread left.
    pub fn anonymous() -> io::Result<Self> {
        Self::of(stream::Stream::anonymous())
    }

    /// A stream that waits and is otherwise like this one.
    ///
    /// # Errors
    ///
    /// When the system has no thread left.
    pub fn of(stream: stream::Stream) -> io::Result<Self> {
        Ok(Self { inner: stream, background: Arc::new(Background::start()?) })
    }

    /// The formats that messages are read with.
    #[must_use]
    pub fn registry(self, registry: Registry) -> Self {
        Self { inner: self.inner.registry(registry), ..self }
    }

    /// How long it may take until a broker is connected and has accepted the credential.
    #[must_use]
    pub fn connect_timeout(self, timeout: Duration) -> Self {
        Self { inner: self.inner.connect_timeout(timeout), ..self }
    }

    /// Where readers begin in each topic, unless told otherwise.
    #[must_use]
    pub fn start_at(self, start: StartPosition) -> Self {
        Self { inner: self.inner.start_at(start), ..self }
    }

    /// Whether readers wait for new messages at the end of the topics, unless told otherwise.
    #[must_use]
    pub fn persist(self, persist: bool) -> Self {
        Self { inner: self.inner.persist(persist), ..self }
    }

    /// In which form models are written, unless told otherwise.
    #[must_use]
    pub fn wire_form(self, form: WireForm) -> Self {
        Self { inner: self.inner.wire_form(form), ..self }
    }

    /// What to set before reading the topics of a URL.
    pub fn reader(&self, url: &str) -> ReaderBuilder {
        ReaderBuilder::new(self.inner.reader(url), Arc::clone(&self.background))
    }

    /// What to set before writing to the topic of a URL, or to [topics that messages name](WriterBuilder::topic_by_message).
    pub fn writer(&self, url: &str) -> WriterBuilder {
        WriterBuilder::new(self.inner.writer(url), Arc::clone(&self.background))
    }

    /// What to set before writing by way of a journal; see [`stream::Stream::robust_writer`].
    pub fn robust_writer(&self, url: &str, journal: impl Into<PathBuf>) -> RobustWriterBuilder {
        RobustWriterBuilder::new(self.inner.robust_writer(url, journal), Arc::clone(&self.background))
    }

    /// The topics that this user may see; see [`stream::Stream::list_topics`].
    ///
    /// # Errors
    ///
    /// Those of [`OpenError`].
    pub fn list_topics(&self, url: &str) -> Result<Vec<TopicDescription>, OpenError> {
        self.background.wait(self.inner.list_topics(url))
    }
}
