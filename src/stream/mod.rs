//! Alerts: streams of messages that mean something, named by URLs.

mod topic;
mod url;

pub use self::topic::{TopicName, TopicNameError};
pub use self::url::{HopUrl, UrlError};
