//! Publish and follow astronomical alerts on Kafka, in Rust down to the socket.
//!
//! | module | what it is for |
//! | --- | --- |
//! | [`stream`] | alerts: messages that mean something, read from and written to topics named by URLs |
//! | [`blocking`] | the same for programs that are not asynchronous |
//! | [`models`] | what a message means: VOEvents, GCN circulars, JSON, Avro, bytes; formats of one's own |
//! | [`auth`] | credentials, and the file they are kept in |
//! | [`kafka`] | a Kafka client for anything else: producer, consumer, TLS, SASL |
//! | [`broker`](https://docs.rs/hop-client) | a Kafka broker in the process, for tests and first steps |
//! | [`wire`] | Kafka's bytes |
//!
//! Begin with [`Stream`] for alerts, with [`kafka::Client`] for anything else on Kafka. All of it runs on
//! [tokio](https://docs.rs/tokio); there is no C and no `unsafe` in this crate.
//!
//! # A tour
//!
//! A [`Stream`] has the credentials, and picks one for the broker of each URL. From it come readers and writers, each a
//! builder until it is opened:
//!
//! ```no_run
//! use hop::models::{GcnCircular, VoEvent};
//! use hop::stream::StartPosition;
//! use hop::{Auth, Stream};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let stream = Stream::new(Auth::load()?);
//! let mut alerts = stream
//!     .reader("kafka://kafka.scimma.org/gcn.circular,gcn.voevent")
//!     .start_at(StartPosition::Earliest)
//!     .group("me-archive") // goes on where its readers left off
//!     .open()
//!     .await?;
//! while let Some(message) = alerts.next().await? {
//!     // What it means, by the format that it came in.
//!     if let Some(circular) = message.model().downcast_ref::<GcnCircular>() {
//!         println!("{:?}: {}", circular.field("subject"), circular.body());
//!     } else if let Some(event) = message.model().downcast_ref::<VoEvent>() {
//!         println!("{} from {:?}", event.ivorn(), message.metadata().sender());
//!     } else {
//!         println!("{}", message.model());
//!     }
//! }
//! alerts.close().await?;
//!
//! let out = stream.writer("kafka://kafka.scimma.org/my.alerts").open().await?;
//! let delivery = out.write(&GcnCircular::load_file("example.gcn3")?).await?; // accepted, in order
//! out.write_json(&serde_json::json!({ "flux": 1.5 })).await?;
//! println!("stored at {:?}", delivery.await?.offset); // acknowledged
//! out.close().await?; // so is the rest
//! # Ok(())
//! # }
//! ```
//!
//! - Readers: a [group](stream::ReaderBuilder::group) or none, commits [by hand](stream::Consumer::mark_done), messages
//!   [together](stream::Consumer::next_messages), as a [`futures` stream](stream::Consumer::into_stream), or
//!   [unread](stream::Consumer::next_raw).
//! - Writers: [headers, a key, a topic](stream::Outgoing) for one message, or by way of a
//!   [journal](stream::RobustProducer) that outlives the process.
//! - [`blocking`] has the same names for programs that are not asynchronous, and consumers that are iterators.
//! - Formats of one's own are [registered](models::Registry::register).
//! - `broker::Broker` is ready in milliseconds, and gone when dropped: for tests.
//!
//! Who comes from Python finds each name of hop-client's API beside ours in
//! [`docs/python.md`](https://docs.rs/crate/hop-client/latest/source/docs/python.md), with a program for each task.
//!
//! # Features
//!
//! | feature | default | what it adds |
//! | --- | --- | --- |
//! | `cli` | yes | the `hop` command line, in [`cli`](https://docs.rs/hop-client) and as a program |
//! | `broker` | yes | a broker, in [`broker`](https://docs.rs/hop-client) and as `hop broker` and `hop demo` |
//! | `http` | with `cli` | tokens from an OpenID Connect provider or from a command, and messages too large for a topic |
//! | `share-groups` | no | `kafka::ShareConsumer`: groups that share records (KIP-932), of Kafka 4.2 and later |
//!
//! A library wants none of them, or the broker for its tests: `default-features = false`.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod auth;
pub mod blocking;
#[cfg(feature = "broker")]
pub mod broker;
#[cfg(feature = "cli")]
pub mod cli;
pub mod config;
pub mod kafka;
pub mod models;
pub mod stream;
pub mod wire;

pub use auth::Auth;
pub use stream::Stream;

// Its programs are tests: cargo compiles and runs them with the examples of the documentation.
#[cfg(all(doctest, feature = "broker"))]
#[doc = include_str!("../docs/python.md")]
struct ComingFromPython;
