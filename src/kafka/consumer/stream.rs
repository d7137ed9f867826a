//! The records of a consumer as a [`Stream`], for what takes one.

use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use futures_core::Stream;

use super::{ConsumedRecord, Consumer};
use crate::kafka::error::Error;

/// The records that a [`Consumer`] hands over, one by one; made by [`Consumer::into_stream`].
///
/// It ends where [`Consumer::next`] returns `None`; after an error it goes on where it can. Dropping it is dropping the
/// consumer.
#[derive(Debug)]
#[must_use = "a stream does nothing until it is polled"]
pub struct RecordStream(OneByOne<Consumer>);

impl RecordStream {
    pub(super) fn new(consumer: Consumer) -> Self {
        Self(OneByOne::new(consumer))
    }
}

impl Stream for RecordStream {
    type Item = Result<ConsumedRecord, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next(cx)
    }
}

impl Source for Consumer {
    type Item = Result<ConsumedRecord, Error>;

    async fn take_next(&mut self) -> Option<Self::Item> {
        self.next().await.transpose()
    }
}

/// What hands over one thing after the other.
pub(crate) trait Source: fmt::Debug + Send + 'static {
    type Item: Send;

    /// The next; `None` at the end. Dropping the future loses nothing.
    fn take_next(&mut self) -> impl Future<Output = Option<Self::Item>> + Send;
}

/// What a source hands over, for a [`Stream`] of it.
pub(crate) struct OneByOne<S: Source>(State<S>);

enum State<S: Source> {
    Idle(Box<S>),
    Waiting(Waiting<S>),
    Ended,
}

/// A source that waits, and what it waited for.
type Waiting<S> = Pin<Box<dyn Future<Output = (Box<S>, Option<<S as Source>::Item>)> + Send>>;

impl<S: Source> OneByOne<S> {
    pub(crate) fn new(source: S) -> Self {
        Self(State::Idle(Box::new(source)))
    }

    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        if let State::Idle(source) = &mut self.0 {
            // Only who waits pays for a future that can be kept.
            let polled = pin!(source.take_next()).poll(cx);
            match polled {
                Poll::Ready(Some(item)) => return Poll::Ready(Some(item)),
                Poll::Ready(None) => self.0 = State::Ended,
                Poll::Pending => {}
            }
        }
        let mut waiting = match std::mem::replace(&mut self.0, State::Ended) {
            State::Idle(mut source) => Box::pin(async move {
                let item = source.take_next().await;
                (source, item)
            }),
            State::Waiting(waiting) => waiting,
            State::Ended => return Poll::Ready(None),
        };
        let Poll::Ready((source, item)) = waiting.as_mut().poll(cx) else {
            self.0 = State::Waiting(waiting);
            return Poll::Pending;
        };
        if item.is_some() {
            self.0 = State::Idle(source);
        }
        Poll::Ready(item)
    }
}

impl<S: Source> fmt::Debug for OneByOne<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            State::Idle(source) => source.fmt(f),
            State::Waiting(_) => f.write_str("waiting"),
            State::Ended => f.write_str("ended"),
        }
    }
}
