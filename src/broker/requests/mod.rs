//! What is done for each request, one file a subject.
//!
//! A request is handled under the cluster's lock, without waiting. What must wait (a fetch for records, a member for
//! the others of its group) comes back as a future that is awaited outside.

pub(super) mod cluster;
mod commits;
mod configs;
mod consumer_groups;
mod fetch;
mod groups;
mod offsets;
mod produce;
mod table;
mod topics;
mod transactions;

use std::pin::Pin;
use std::sync::Arc;

use kafka_protocol::protocol::{Request, StrBytes};

pub(super) use self::table::{ANSWERED, ForHandled, with_handled};
use super::access::Operation;
use super::cluster::{Cluster, Now};
use super::shared::Shared;
use crate::wire::error_code::ErrorCode;

/// Who asks, whom, and when.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) shared: Arc<Shared>,
    /// The pretended broker that is asked.
    pub(super) node: i32,
    /// Through which listener.
    pub(super) listener: usize,
    pub(super) user: Arc<str>,
    pub(super) host: Arc<str>,
    pub(super) client_id: StrBytes,
    pub(super) version: i16,
    pub(super) now: Now,
}

impl Call {
    fn may(&self, operation: Operation, topic: &str) -> bool {
        self.shared.settings.access.allows(&self.user, operation, topic)
    }

    /// What may not be done to a topic ends with the code that says so.
    fn authorize(&self, operation: Operation, topic: &str) -> Result<(), ErrorCode> {
        if self.may(operation, topic) { Ok(()) } else { Err(ErrorCode::TOPIC_AUTHORIZATION_FAILED) }
    }

    /// Whether this broker coordinates a group or transactional id.
    fn coordinates(&self, cluster: &Cluster, key: &str) -> Result<(), ErrorCode> {
        if cluster.coordinator(key) == self.node { Ok(()) } else { Err(ErrorCode::NOT_COORDINATOR) }
    }
}

/// What comes of a request.
pub(super) enum Reply<T> {
    Now(T),
    Later(Pin<Box<dyn Future<Output = T> + Send>>),
    /// Nobody waits for an answer.
    Silence,
    /// It failed, and nobody waits for an answer: the end of the connection tells.
    HangUp,
}

/// A request that this broker knows what to do with.
pub(super) trait Handle: Request {
    fn handle(self, on: &mut Cluster, call: &Call) -> Reply<Self::Response>;

    /// The answer that says no, wherever it has room for a code.
    fn refuse(&self, code: ErrorCode) -> Self::Response;

    /// The answer, with the time that the client is to wait, where it has room for that.
    fn throttle(response: Self::Response, milliseconds: i32) -> Self::Response;
}

/// What a code says, for an answer.
fn words(code: ErrorCode) -> Option<StrBytes> {
    (code != ErrorCode::NONE).then(|| StrBytes::from_static_str(code.description()))
}

/// The code of what went well or did not.
fn code_of<T>(result: Result<T, ErrorCode>) -> i16 {
    result.map_or_else(|code| code.0, |_| ErrorCode::NONE.0)
}
