//! What clients make of what happens among the nodes of an Apache Kafka: an unclean election of a leader, replicas that
//! are nearer than it, nodes that are killed while a million records are written.
//!
//! `KAFKA_CLUSTER_DIR` is the directory of one with three nodes, which `scripts/kafka start --nodes 3 --dir DIRECTORY`
//! has started. Without it all of it fails.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests say what is wrong by panicking"
)]
#![expect(clippy::indexing_slicing, reason = "what is too short fails the test")]

mod cluster;
mod nearest_replica;
mod producing;
mod truncation;
