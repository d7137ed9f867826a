//! Alerts: messages that mean something, read from and written to topics named by URLs.
//!
//! A [`Stream`] knows the credentials and the formats. From it come a [`Consumer`] ([`Stream::reader`]) and a
//! [`Producer`] ([`Stream::writer`]), each for one [`HopUrl`]. They stand on [`crate::kafka`], which moves records;
//! here is what hop adds to it: which credential a broker gets, the headers that say who sent a message and how to
//! read it, and the models of [`crate::models`].
//!
//! ```no_run
//! use hop::auth::Auth;
//! use hop::models::GcnCircular;
//! use hop::stream::{StartPosition, Stream};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let stream = Stream::new(Auth::load()?);
//!
//! let out = stream.writer("kafka://kafka.scimma.org/gcn.circular").open().await?;
//! let delivery = out.write(&GcnCircular::load_file("example.gcn3")?).await?; // accepted, in order
//! println!("stored at {:?}", delivery.await?.offset); // acknowledged
//!
//! let mut alerts = stream
//!     .reader("kafka://kafka.scimma.org/gcn.circular,gcn.notices")
//!     .start_at(StartPosition::Earliest)
//!     .open()
//!     .await?;
//! while let Some(message) = alerts.next().await? {
//!     println!("{} {}", message.metadata().topic, message.model());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Headers, as hop-client 0.8 and later write them:
//!
//! | name | value |
//! | --- | --- |
//! | `_id` | 16 bytes: a random UUID |
//! | `_sender` | the user name, when authenticated |
//! | `_test` | `true`, for messages that are not meant for science |
//! | `_format` | the lower-case name of the format, such as `voevent` |

mod connect;
mod consumer;
#[doc(hidden)]
pub mod for_fuzzing;
mod headers;
mod journal;
mod keeping;
#[cfg(feature = "http")]
mod large;
mod message;
mod message_stream;
mod packer;
mod position;
mod producer;
mod robust;
#[cfg(feature = "http")]
mod token_command;
mod topic;
mod url;

#[cfg(feature = "cli")]
pub(crate) use self::connect::tls;
pub use self::connect::{OpenError, Stream};
pub use self::consumer::{Consumer, GroupMode, NextError, ReaderBuilder};
pub use self::headers::{Header, Headers};
pub use self::journal::{Fsync, JournalError, JournalFlaw};
#[cfg(feature = "http")]
pub use self::large::{LargeMessageError, LargeMessages};
pub use self::message::{Message, Metadata, RawMessage, Unreadable};
pub use self::message_stream::MessageStream;
pub use self::packer::{Outgoing, Packer};
pub use self::position::{StartPosition, StopPosition, UnknownStartPosition};
pub use self::producer::{Producer, WriteError, WriterBuilder};
pub use self::robust::{
    DeliveryError, RobustFlushError, RobustOpenError, RobustProducer, RobustWriteError, RobustWriterBuilder,
};
pub use self::topic::{TopicName, TopicNameError};
pub use self::url::{HopUrl, UrlError};

pub use crate::kafka::{Acknowledged, Delivery};
