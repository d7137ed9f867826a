//! Publish and follow astronomical alerts on Kafka, in Rust down to the socket.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod auth;
pub mod config;
pub mod kafka;
pub mod models;
pub mod stream;
pub mod wire;
