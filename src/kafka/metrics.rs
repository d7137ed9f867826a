//! What a client has done so far, broker by broker.
//!
//! Connections count in atomics that nobody locks; reading them costs the connections nothing. The numbers of one
//! broker go on counting when its connection is replaced.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::address::Address;

/// Latencies are sorted into powers of two microseconds. The last bucket is everything from 18 minutes on.
const BUCKETS: usize = 32;

/// The counts of one broker, as its connections write them.
#[derive(Debug, Default)]
pub(super) struct Counters {
    connections: AtomicU64,
    requests: AtomicU64,
    answers: AtomicU64,
    in_flight: AtomicU64,
    bytes_sent: AtomicU64,
    bytes_received: AtomicU64,
    latency_micros: AtomicU64,
    latencies: [AtomicU64; BUCKETS],
}

/// Each number stands alone: none is read to learn about another.
const ALONE: Ordering = Ordering::Relaxed;

impl Counters {
    pub(super) fn connected(&self) {
        self.connections.fetch_add(1, ALONE);
    }

    pub(super) fn sent(&self, bytes: usize) {
        self.requests.fetch_add(1, ALONE);
        self.in_flight.fetch_add(1, ALONE);
        self.bytes_sent.fetch_add(bytes as u64, ALONE);
    }

    /// A request that no answer is due to.
    pub(super) fn sent_unanswered(&self, bytes: usize) {
        self.requests.fetch_add(1, ALONE);
        self.bytes_sent.fetch_add(bytes as u64, ALONE);
    }

    pub(super) fn answered(&self, bytes: usize, after: Duration) {
        self.answers.fetch_add(1, ALONE);
        self.in_flight.fetch_sub(1, ALONE);
        // The length in front of a frame came with it.
        self.bytes_received.fetch_add((bytes as u64).saturating_add(4), ALONE);
        let micros = u64::try_from(after.as_micros()).unwrap_or(u64::MAX);
        self.latency_micros.fetch_add(micros, ALONE);
        if let Some(bucket) = self.latencies.get(bucket(micros)) {
            bucket.fetch_add(1, ALONE);
        }
    }

    /// The connection ended before so many requests were answered.
    pub(super) fn lost(&self, requests: u64) {
        self.in_flight.fetch_sub(requests, ALONE);
    }
}

fn bucket(micros: u64) -> usize {
    let bits = u64::BITS.saturating_sub(micros.leading_zeros());
    usize::try_from(bits).unwrap_or(BUCKETS).min(BUCKETS.saturating_sub(1))
}

/// What this client has sent to one broker and got from it, over all connections to it so far; of logins only those
/// that renew one. From [`Client::metrics`](super::Client::metrics).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BrokerMetrics {
    /// The broker.
    pub broker: Address,
    /// Connections that got as far as requests.
    pub connections: u64,
    /// Requests sent.
    pub requests: u64,
    /// Requests that were answered.
    pub answers: u64,
    /// Requests sent and not answered yet.
    pub in_flight: u64,
    /// Bytes of requests, before TLS.
    pub bytes_sent: u64,
    /// Bytes of answers, before TLS.
    pub bytes_received: u64,
    /// How long answers took.
    pub latencies: Latencies,
}

impl BrokerMetrics {
    pub(super) fn new(broker: Address, counters: &Counters) -> Self {
        let load = |counter: &AtomicU64| counter.load(ALONE);
        Self {
            broker,
            connections: load(&counters.connections),
            requests: load(&counters.requests),
            answers: load(&counters.answers),
            in_flight: load(&counters.in_flight),
            bytes_sent: load(&counters.bytes_sent),
            bytes_received: load(&counters.bytes_received),
            latencies: Latencies {
                micros: load(&counters.latency_micros),
                buckets: std::array::from_fn(|at| counters.latencies.get(at).map_or(0, load)),
            },
        }
    }
}

/// How long answers took, from the request's first byte to the answer's last. A broker holds a fetch back until there
/// is something to send: such waits are in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Latencies {
    micros: u64,
    buckets: [u64; BUCKETS],
}

impl Latencies {
    /// How many answers were timed.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// The mean; `None` before the first answer.
    pub fn mean(&self) -> Option<Duration> {
        self.micros.checked_div(self.count()).map(Duration::from_micros)
    }

    /// A bound that this share of the answers stayed within, up to twice what it need be: `quantile(0.99)`. What took
    /// 18 minutes or more is not told apart. `None`
    /// before the first answer.
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        let count = self.count();
        let mut within = 0_u64;
        for (power, bucket) in (0_u32..).zip(&self.buckets) {
            within = within.saturating_add(*bucket);
            #[expect(clippy::cast_precision_loss, reason = "a share of very many answers need not be exact")]
            if *bucket > 0 && within as f64 >= share * count as f64 {
                return Some(Duration::from_micros(1_u64.checked_shl(power).unwrap_or(u64::MAX)));
            }
        }
        None
    }
}

/// The counters of every broker that was connected to.
#[derive(Debug, Default)]
pub(super) struct Registry(std::sync::Mutex<std::collections::BTreeMap<Address, Arc<Counters>>>);

impl Registry {
    /// Those of one broker. Asked for once a connection.
    pub(super) fn of(&self, broker: &Address) -> Arc<Counters> {
        let mut brokers = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        Arc::clone(brokers.entry(broker.clone()).or_default())
    }

    pub(super) fn read(&self) -> Vec<BrokerMetrics> {
        let brokers = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        brokers.iter().map(|(broker, counters)| BrokerMetrics::new(broker.clone(), counters)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_read() {
        let registry = Registry::default();
        let broker = Address::new("h", 9092);
        let counters = registry.of(&broker);
        counters.connected();
        for _ in 0..3 {
            counters.sent(10);
        }
        counters.answered(20, Duration::from_micros(100));
        counters.answered(20, Duration::from_micros(300));
        let read = registry.read();
        let metrics = read.first().expect("one broker");
        assert_eq!((metrics.requests, metrics.answers, metrics.in_flight), (3, 2, 1));
        assert_eq!((metrics.bytes_sent, metrics.bytes_received), (30, 48));
        assert_eq!(metrics.latencies.mean(), Some(Duration::from_micros(200)));
        assert_eq!(metrics.latencies.quantile(0.5), Some(Duration::from_micros(128)));
        assert_eq!(metrics.latencies.quantile(1.0), Some(Duration::from_micros(512)));
        registry.of(&broker).lost(1);
        assert_eq!(registry.read().first().map(|metrics| metrics.in_flight), Some(0));
    }

    #[test]
    fn before_the_first_answer_there_is_no_latency() {
        let registry = Registry::default();
        registry.of(&Address::new("h", 1));
        let latencies = registry.read().remove(0).latencies;
        assert_eq!((latencies.count(), latencies.mean(), latencies.quantile(0.9)), (0, None, None));
    }

    #[test]
    fn every_latency_has_a_bucket() {
        assert_eq!([0, 1, 2, 3, 4, u64::MAX].map(bucket), [0, 1, 2, 2, 3, BUCKETS - 1]);
    }
}
