//! Several messages at once: gathered ahead of their user, who gets them when there are enough or it is time.
//!
//! What is gathered stays in the consumer until it is handed over: a future that is dropped on the way loses nothing.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::{Consumer, NextError};
use crate::stream::message::{Message, Unreadable};

/// When so much of what is kept elsewhere has been fetched, it is handed over, and not gathered any more.
const MOST_FETCHED_TOGETHER: usize = 16 * 1024 * 1024;

impl Consumer {
    /// The next messages together: as many as `max`, or those that have come when `patience` is up or the topics end. None
    /// may have: then the vector is empty. `None` at the end of the topics, unless persisting.
    ///
    /// With auto-commit, all of them are done with when more is asked for.
    ///
    /// Dropping the future loses nothing: what it had gathered comes with the next call, of this or of
    /// [`next`](Self::next), and counts as handed over only then.
    ///
    /// # Errors
    ///
    /// Those of [`next`](Self::next). What was gathered before comes first, and the error with the next call.
    pub async fn next_messages(
        &mut self,
        max: usize,
        patience: Duration,
    ) -> Result<Option<Vec<Message>>, NextError> {
        if !self.gather(max, patience).await {
            return Ok(None);
        }
        let max = match self.fetch_ahead(max).await {
            Ok(fetched) => fetched,
            Err(unreadable) => {
                if !unreadable.is_retriable() {
                    self.ahead.pop_front();
                    self.handed_over(unreadable.message.metadata());
                }
                return Err(unreadable.into());
            }
        };
        let mut messages = Vec::with_capacity(self.ahead.len().min(max));
        while messages.len() < max
            && let Some(taken) = self.ahead.pop_front()
        {
            match taken.map_err(|error| NextError::Kafka(*error)).and_then(|raw| Ok(self.read(raw)?)) {
                Ok(message) => {
                    self.handed_over(message.metadata());
                    messages.push(message);
                }
                Err(error) if messages.is_empty() => {
                    if let NextError::Unreadable(unreadable) = &error {
                        self.handed_over(unreadable.message.metadata());
                    }
                    return Err(error);
                }
                Err(error) => {
                    self.ahead.push_front(match error {
                        NextError::Unreadable(unreadable) => Ok(unreadable.message),
                        NextError::Kafka(error) => Err(Box::new(error)),
                    });
                    break;
                }
            }
        }
        Ok(Some(messages))
    }

    /// Fetches those of the next messages that are kept elsewhere, into their places: what is here stays here if the future
    /// is dropped. As many are ready as it says; the error is that of the first.
    async fn fetch_ahead(&mut self, max: usize) -> Result<usize, Box<Unreadable>> {
        let mut bytes = 0_usize;
        for index in 0..self.ahead.len().min(max) {
            let Some(Ok(raw)) = self.ahead.get(index) else { break };
            if self.keeping.is_elsewhere(raw) {
                // Each may be as large as it gets, and take as long.
                if bytes > MOST_FETCHED_TOGETHER {
                    return Ok(index);
                }
                self.inner.touch();
                match self.fetch(raw.clone()).await {
                    Ok(fetched) => {
                        bytes = bytes.saturating_add(fetched.payload().len());
                        if let Some(place) = self.ahead.get_mut(index) {
                            *place = Ok(fetched);
                        }
                    }
                    Err(unreadable) if index == 0 => return Err(unreadable),
                    Err(_) => return Ok(index),
                }
            }
        }
        Ok(max)
    }

    /// Takes so many messages ahead, or what comes in time. Whether there is anything to hand over, or will be.
    async fn gather(&mut self, max: usize, patience: Duration) -> bool {
        self.begin();
        // A time that no clock knows is for ever.
        let deadline = Instant::now().checked_add(patience);
        loop {
            if self.stopper.is_stopped() {
                return false;
            }
            while self.ahead.len() < max {
                let Some(taken) = self.take() else { break };
                self.ahead.push_back(taken);
                if self.ahead.back().is_some_and(Result::is_err) {
                    return true;
                }
            }
            if self.ahead.len() >= max || self.ahead.back().is_some_and(Result::is_err) {
                return true;
            }
            let fetched = match deadline {
                Some(deadline) => timeout_at(deadline, self.fetch_batch()).await,
                None => Ok(self.fetch_batch().await),
            };
            match fetched {
                Ok(Ok(true)) => {}
                Ok(Ok(false)) => return !self.ahead.is_empty(),
                Ok(Err(error)) => self.ahead.push_back(Err(Box::new(error))),
                Err(_) => return true,
            }
        }
    }
}
