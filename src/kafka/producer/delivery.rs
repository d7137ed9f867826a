//! Waiting for an acknowledgement: a [`Delivery`] for each record, one [`Completion`] for all of a batch.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use super::record::{Acknowledged, ProduceError};

/// The acknowledgement of one record, to be awaited or not: the record is on its way either way, and what became of
/// it shows in [`flush`](super::Producer::flush) too. Dropping it does not take the record back.
#[derive(Debug)]
#[must_use = "await it, or rely on `flush` to learn of failures"]
pub struct Delivery {
    completion: Arc<Completion>,
    /// The record's place in its batch.
    place: i64,
    /// Where the completion keeps the waker.
    seat: Seat,
}

impl Delivery {
    pub(super) fn new(completion: Arc<Completion>, place: i64) -> Self {
        Self { completion, place, seat: Seat::default() }
    }
}

impl Future for Delivery {
    type Output = Result<Acknowledged, ProduceError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let Self { completion, place, seat } = &mut *self;
            let (next, next_place) = match ready!(completion.poll(seat, cx)) {
                Resolution::Done(outcome) => {
                    return Poll::Ready(outcome.clone().map(|first| Acknowledged {
                        offset: first.offset.map(|base| base.saturating_add(*place)),
                        ..first
                    }));
                }
                Resolution::Split(at, [first, _]) if *place < *at => (Arc::clone(first), *place),
                Resolution::Split(at, [_, second]) => (Arc::clone(second), place.saturating_sub(*at)),
            };
            *self = Self::new(next, next_place);
        }
    }
}

/// What became of a batch: written once, read by everyone who waits for one of its records.
#[derive(Debug, Default)]
pub(in crate::kafka) struct Completion {
    resolution: OnceLock<Resolution>,
    waiting: Mutex<Vec<Waker>>,
}

/// The place of a waker among those that wait for one completion; none at first.
#[derive(Debug, Default)]
struct Seat(Option<usize>);

#[derive(Debug)]
enum Resolution {
    /// Where the first record of the batch stands.
    Done(Result<Acknowledged, ProduceError>),
    /// It went on in two: the records before this place, and the others.
    Split(i64, [Arc<Completion>; 2]),
}

impl Completion {
    pub(super) fn complete(&self, outcome: Result<Acknowledged, ProduceError>) {
        self.resolve(Resolution::Done(outcome));
    }

    /// What becomes of the records before this place, and of the others.
    pub(super) fn split(&self, at: i64) -> [Arc<Self>; 2] {
        let parts: [Arc<Self>; 2] = Default::default();
        self.resolve(Resolution::Split(at, parts.clone()));
        parts
    }

    /// Waits until it is known of all records what became of them.
    pub(in crate::kafka) async fn settled(self: Arc<Self>) {
        let mut open = vec![self];
        while let Some(completion) = open.pop() {
            let mut seat = Seat::default();
            let parts = poll_fn(|cx| {
                completion.poll(&mut seat, cx).map(|resolution| match resolution {
                    Resolution::Done(_) => None,
                    Resolution::Split(_, parts) => Some(parts.clone()),
                })
            })
            .await;
            open.extend(parts.into_iter().flatten());
        }
    }

    fn resolve(&self, resolution: Resolution) {
        let _ = self.resolution.set(resolution);
        let waiting = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        waiting.into_iter().for_each(Waker::wake);
    }

    fn poll(&self, seat: &mut Seat, cx: &mut Context<'_>) -> Poll<&Resolution> {
        if let Some(resolution) = self.resolution.get() {
            return Poll::Ready(resolution);
        }
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        match seat.0.and_then(|seat| waiting.get_mut(seat)) {
            Some(waker) => waker.clone_from(cx.waker()),
            None => {
                seat.0 = Some(waiting.len());
                waiting.push(cx.waker().clone());
            }
        }
        drop(waiting);
        // It may have been resolved between the first look and the lock.
        self.resolution.get().map_or(Poll::Pending, Poll::Ready)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn poll(delivery: &mut Delivery, woken: &Arc<Woken>) -> Poll<Option<i64>> {
        let waker = Waker::from(Arc::clone(woken));
        let polled = Pin::new(delivery).poll(&mut Context::from_waker(&waker));
        polled.map(|outcome| outcome.unwrap().offset)
    }

    fn acknowledged(offset: i64) -> Result<Acknowledged, ProduceError> {
        Ok(Acknowledged { topic: Arc::from("t"), partition: 0, offset: Some(offset), append_time: None })
    }

    #[test]
    fn whoever_asks_again_waits_once_and_with_the_last_waker() {
        let completion = Arc::new(Completion::default());
        let mut delivery = Delivery::new(Arc::clone(&completion), 0);
        let [first, last] = [(); 2].map(|()| Arc::new(Woken::default()));
        for woken in [&first, &first, &last, &last] {
            assert!(poll(&mut delivery, woken).is_pending());
        }
        completion.complete(acknowledged(7));
        assert_eq!([&first, &last].map(|woken| woken.0.load(Ordering::Relaxed)), [0, 1]);
        assert_eq!(poll(&mut delivery, &last), Poll::Ready(Some(7)));
    }

    #[test]
    fn the_halves_of_a_batch_are_waited_for_by_those_in_them() {
        let completion = Arc::new(Completion::default());
        let mut deliveries = [0, 1, 2].map(|place| Delivery::new(Arc::clone(&completion), place));
        let woken = [(); 3].map(|()| Arc::new(Woken::default()));
        let mut poll_all = || {
            let mut places = 0..;
            deliveries.each_mut().map(|delivery| poll(delivery, &woken[places.next().unwrap()]))
        };
        assert!(poll_all().iter().all(Poll::is_pending));
        let [first, second] = completion.split(1);
        assert!(poll_all().iter().all(Poll::is_pending));
        second.complete(acknowledged(10));
        assert_eq!(poll_all(), [Poll::Pending, Poll::Ready(Some(10)), Poll::Ready(Some(11))]);
        first.complete(acknowledged(5));
        assert_eq!(poll_all()[0], Poll::Ready(Some(5)));
        assert_eq!(woken.each_ref().map(|woken| woken.0.load(Ordering::Relaxed)), [2; 3]);
    }
}
