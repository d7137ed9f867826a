//! The messages of a consumer as a [`Stream`], for what takes one.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;

use super::consumer::{Consumer, NextError};
use super::message::Message;

type Item = Result<Message, NextError>;
/// A consumer that waits, and what it waited for.
type Waiting = Pin<Box<dyn Future<Output = (Box<Consumer>, Option<Item>)> + Send>>;

/// The messages that a [`Consumer`] hands over, one by one; made by [`Consumer::into_stream`].
///
/// It ends where [`Consumer::next`] returns `None`; after an error it goes on where it can. Dropping it is dropping the
/// consumer.
#[must_use = "a stream does nothing until it is polled"]
pub struct MessageStream(State);

enum State {
    Idle(Box<Consumer>),
    Waiting(Waiting),
    Ended,
}

impl MessageStream {
    pub(super) fn new(consumer: Consumer) -> Self {
        Self(State::Idle(Box::new(consumer)))
    }
}

impl Stream for MessageStream {
    type Item = Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Item>> {
        loop {
            self.0 = match std::mem::replace(&mut self.0, State::Ended) {
                State::Idle(mut consumer) => State::Waiting(Box::pin(async move {
                    let item = consumer.next().await.transpose();
                    (consumer, item)
                })),
                State::Waiting(mut waiting) => {
                    let Poll::Ready((consumer, item)) = waiting.as_mut().poll(cx) else {
                        self.0 = State::Waiting(waiting);
                        return Poll::Pending;
                    };
                    if item.is_some() {
                        self.0 = State::Idle(consumer);
                    }
                    return Poll::Ready(item);
                }
                State::Ended => return Poll::Ready(None),
            };
        }
    }
}

impl fmt::Debug for MessageStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.0 {
            State::Idle(consumer) => return f.debug_tuple("MessageStream").field(consumer).finish(),
            State::Waiting(_) => "waiting",
            State::Ended => "ended",
        };
        f.debug_tuple("MessageStream").field(&state).finish()
    }
}
