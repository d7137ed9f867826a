//! Messages that are too large for a topic, as readers and writers see them: with the feature `http` they are kept
//! elsewhere ([`large`](super::large)), without it they are what they are.

#[cfg(feature = "http")]
use std::sync::Arc;

#[cfg(feature = "http")]
use super::large::{Store, external};
use super::message::{RawMessage, Unreadable};
use super::packer::{Outgoing, Packer};
use super::producer::WriteError;
#[cfg(feature = "http")]
use crate::models::ModelError;

/// What is done about them for one client.
#[derive(Debug, Clone)]
#[cfg(feature = "http")]
pub(super) struct Keeping(Arc<Store>);

/// Nothing.
#[derive(Debug, Clone)]
#[cfg(not(feature = "http"))]
pub(super) struct Keeping;

#[cfg(feature = "http")]
impl Keeping {
    pub(super) fn new(store: Store) -> Self {
        Self(Arc::new(store))
    }

    /// Whether a message stands for another, which is to be fetched.
    pub(super) fn is_elsewhere(&self, message: &RawMessage) -> bool {
        self.0.fetches() && external(message).is_some()
    }

    /// The message itself, where this one stands for it.
    pub(super) async fn fetched(&self, message: RawMessage) -> Result<RawMessage, Box<Unreadable>> {
        match external(&message).filter(|_| self.0.fetches()) {
            None => Ok(message),
            Some(external) => match self.0.fetch(&message, &external).await {
                Ok(fetched) => Ok(fetched),
                Err(error) => {
                    Err(Box::new(Unreadable { message, source: ModelError::Other(Box::new(error)) }))
                }
            },
        }
    }

    /// What is written to the topic: the message, or what stands for it.
    pub(super) async fn fitting(
        &self,
        topic: &str,
        message: Outgoing,
        packer: &Packer,
    ) -> Result<Outgoing, WriteError> {
        if !self.0.is_too_large(topic, &message).await {
            return Ok(message);
        }
        Ok(self.0.keep(topic, &message, packer).await?.unwrap_or(message))
    }
}

#[cfg(not(feature = "http"))]
impl Keeping {
    pub(super) fn is_elsewhere(&self, _message: &RawMessage) -> bool {
        false
    }

    pub(super) async fn fetched(&self, message: RawMessage) -> Result<RawMessage, Box<Unreadable>> {
        Ok(message)
    }

    pub(super) async fn fitting(
        &self,
        _topic: &str,
        message: Outgoing,
        _packer: &Packer,
    ) -> Result<Outgoing, WriteError> {
        Ok(message)
    }
}
