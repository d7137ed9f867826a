//! Misbehaviour on request: what a client must get along with, done by a broker that otherwise works.

use std::fmt;
use std::time::Duration;

use crate::wire::api::api_name;
use crate::wire::error_code::ErrorCode;
use kafka_protocol::protocol::Request;

/// Something that goes wrong. It happens once, unless [`times`](Self::times) or [`always`](Self::always) says more.
///
/// ```
/// use std::time::Duration;
/// use hop::broker::Fault;
/// use hop::wire::error_code::ErrorCode;
/// use hop::wire::messages::{FetchRequest, ProduceRequest};
///
/// let unlucky = Fault::on::<ProduceRequest>().answer(ErrorCode::NOT_LEADER_OR_FOLLOWER).times(3);
/// let slow = Fault::on::<FetchRequest>().delay(Duration::from_secs(2));
/// let cut = Fault::on_any().hang_up_after().from_node(1);
/// ```
#[derive(Debug, Clone)]
#[must_use = "a fault is handed to Broker::misbehave"]
pub struct Fault {
    api: Option<i16>,
    node: Option<i32>,
    skip: u64,
    left: u64,
    pub(super) what: What,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct What {
    pub(super) delay: Option<Duration>,
    pub(super) answer: Option<ErrorCode>,
    pub(super) throttle: Option<Duration>,
    pub(super) end: Option<End>,
}

/// How a connection ends over a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Nothing was done.
    Before,
    /// It was done, and is not answered.
    After,
    /// It was done, and this many bytes of the answer arrive.
    Within(usize),
}

impl Fault {
    /// Over requests of one kind.
    pub fn on<R: Request>() -> Self {
        Self { api: Some(R::KEY), ..Self::on_any() }
    }

    /// Over any request.
    pub fn on_any() -> Self {
        Self { api: None, node: None, skip: 0, left: 1, what: What::default() }
    }

    /// Only where this broker, by its number from 0 on, is asked.
    pub fn from_node(mut self, node: i32) -> Self {
        self.node = Some(node);
        self
    }

    /// So many times, then no more.
    pub fn times(mut self, times: u64) -> Self {
        self.left = times;
        self
    }

    /// For as long as the broker runs.
    pub fn always(self) -> Self {
        self.times(u64::MAX)
    }

    /// After this many requests that go well.
    pub fn after(mut self, requests: u64) -> Self {
        self.skip = requests;
        self
    }

    /// The request is taken up only after this time.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.what.delay = Some(delay);
        self
    }

    /// The request is not done, and answered with this code wherever the answer has room for one.
    pub fn answer(mut self, code: ErrorCode) -> Self {
        self.what.answer = Some(code);
        self
    }

    /// The answer says that the client is to wait this long (KIP-219).
    pub fn throttle(mut self, delay: Duration) -> Self {
        self.what.throttle = Some(delay);
        self
    }

    /// The connection ends, and nothing was done.
    pub fn hang_up_before(mut self) -> Self {
        self.what.end = Some(End::Before);
        self
    }

    /// The connection ends when all is done, without an answer.
    pub fn hang_up_after(mut self) -> Self {
        self.what.end = Some(End::After);
        self
    }

    /// The connection ends after this many bytes of the answer, its length among them.
    pub fn truncate(mut self, bytes: usize) -> Self {
        self.what.end = Some(End::Within(bytes));
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} on {}", self.what, self.api.map_or("any request", api_name))
    }
}

/// The faults that are still to happen.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<Fault>);

impl Faults {
    pub(super) fn push(&mut self, fault: Fault) {
        if fault.left > 0 {
            self.0.push(fault);
        }
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// What goes wrong over this request: the first that fits.
    pub(super) fn over(&mut self, node: i32, api: i16) -> What {
        let mut happens = What::default();
        for fault in &mut self.0 {
            if fault.node.is_some_and(|of| of != node) || fault.api.is_some_and(|of| of != api) {
                continue;
            }
            if fault.skip > 0 {
                fault.skip = fault.skip.saturating_sub(1);
                continue;
            }
            if fault.left < u64::MAX {
                fault.left = fault.left.saturating_sub(1);
            }
            happens = fault.what;
            break;
        }
        self.0.retain(|fault| fault.left > 0);
        happens
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::{FetchRequest, ProduceRequest};

    use super::*;

    #[test]
    fn faults_happen_where_and_as_often_as_they_are_asked_for() {
        let mut faults = Faults::default();
        let code = ErrorCode::REQUEST_TIMED_OUT;
        faults.push(Fault::on::<ProduceRequest>().answer(code).times(2).after(1).from_node(0));
        let happens = |faults: &mut Faults, node, api| faults.over(node, api).answer == Some(code);
        faults.push(Fault::on_any().answer(code).times(0));
        assert!(!happens(&mut faults, 0, FetchRequest::KEY));
        assert!(!happens(&mut faults, 1, ProduceRequest::KEY));
        let four: Vec<_> = (0..4).map(|_| happens(&mut faults, 0, ProduceRequest::KEY)).collect();
        assert_eq!(four, [false, true, true, false]);
    }
}
