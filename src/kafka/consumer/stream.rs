//! The records of a consumer as a [`Stream`], for what takes one.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;

use super::{ConsumedRecord, Consumer};
use crate::kafka::error::Error;

type Item = Result<ConsumedRecord, Error>;
/// A consumer that waits, and what it waited for.
type Waiting = Pin<Box<dyn Future<Output = (Box<Consumer>, Option<Item>)> + Send>>;

/// The records that a [`Consumer`] hands over, one by one; made by [`Consumer::into_stream`].
///
/// It ends where [`Consumer::next`] returns `None`; after an error it goes on where it can. Dropping it is dropping the
/// consumer.
#[must_use = "a stream does nothing until it is polled"]
pub struct RecordStream(State);

enum State {
    Idle(Box<Consumer>),
    /// Only who waits pays for a future that can be kept.
    Waiting(Waiting),
    Ended,
}

impl RecordStream {
    pub(super) fn new(consumer: Consumer) -> Self {
        Self(State::Idle(Box::new(consumer)))
    }
}

impl Stream for RecordStream {
    type Item = Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Item>> {
        loop {
            match &mut self.0 {
                State::Idle(consumer) => {
                    if let Some(at_hand) = consumer.next_at_hand() {
                        return Poll::Ready(at_hand);
                    }
                    let State::Idle(mut consumer) = std::mem::replace(&mut self.0, State::Ended) else {
                        return Poll::Ready(None);
                    };
                    self.0 = State::Waiting(Box::pin(async move {
                        let item = consumer.next().await.transpose();
                        (consumer, item)
                    }));
                }
                State::Waiting(waiting) => {
                    let (consumer, item) = ready!(waiting.as_mut().poll(cx));
                    self.0 = if item.is_some() { State::Idle(consumer) } else { State::Ended };
                    return Poll::Ready(item);
                }
                State::Ended => return Poll::Ready(None),
            }
        }
    }
}

impl fmt::Debug for RecordStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.0 {
            State::Idle(consumer) => return f.debug_tuple("RecordStream").field(consumer).finish(),
            State::Waiting(_) => "waiting",
            State::Ended => "ended",
        };
        f.debug_tuple("RecordStream").field(&state).finish()
    }
}
