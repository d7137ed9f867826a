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
//! ```no_run
//! use hop::stream::StartPosition;
//! use hop::{Auth, Stream};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let stream = Stream::new(Auth::load()?);
//! let mut alerts =
//!     stream.reader("kafka://kafka.scimma.org/gcn.circular").start_at(StartPosition::Earliest).open().await?;
//! while let Some(message) = alerts.next().await? {
//!     println!("{} {}", message.metadata().topic, message.model());
//! }
//! # Ok(())
//! # }
//! ```
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
