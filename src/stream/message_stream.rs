//! The messages of a consumer as a [`Stream`], for what takes one.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;

use super::consumer::{Consumer, NextError};
use super::message::Message;
use crate::kafka::{OneByOne, Source};

/// The messages that a [`Consumer`] hands over, one by one; made by [`Consumer::into_stream`].
///
/// It ends where [`Consumer::next`] returns `None`; after an error it goes on where it can. Dropping it is dropping the
/// consumer.
#[derive(Debug)]
#[must_use = "a stream does nothing until it is polled"]
pub struct MessageStream(OneByOne<Consumer>);

impl MessageStream {
    pub(super) fn new(consumer: Consumer) -> Self {
        Self(OneByOne::new(consumer))
    }
}

impl Stream for MessageStream {
    type Item = Result<Message, NextError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next(cx)
    }
}

impl Source for Consumer {
    type Item = Result<Message, NextError>;

    async fn take_next(&mut self) -> Option<Self::Item> {
        self.next().await.transpose()
    }
}
