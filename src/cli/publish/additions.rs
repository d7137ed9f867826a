//! What is sent with each message beside what is in it.

use crate::cli::arguments::PublishArguments;
use crate::stream::Outgoing;

/// A key, a partition and headers, the same for all messages.
#[derive(Debug)]
pub(super) struct Additions {
    key: Option<String>,
    partition: Option<i32>,
    headers: Vec<(String, String)>,
}

impl Additions {
    pub(super) fn of(arguments: &PublishArguments) -> Self {
        Self {
            key: arguments.key.clone(),
            partition: arguments.partition,
            headers: arguments.headers.clone(),
        }
    }

    /// The message with all that.
    pub(super) fn to(&self, mut message: Outgoing) -> Outgoing {
        if let Some(key) = &self.key {
            message = message.key(key.clone());
        }
        if let Some(partition) = self.partition {
            message = message.partition(partition);
        }
        for (name, value) in &self.headers {
            message = message.header(name.clone(), value.clone());
        }
        message
    }
}
