//! Producers and brokers under a clock of the test's: requests and answers are lost, delayed and repeated, leaders move,
//! batches are refused; in the end each partition holds each record once, in the order in which it was handed in.

use std::collections::VecDeque;

use bytes::Bytes;
use fastrand::Rng;
use proptest::prelude::*;

use super::tests::{append, batch, code, limits, lost, outcome, send, values};
use super::*;
use crate::kafka::producer::queue::{ASTRAY_FOR, sequence_after};

const PARTITIONS: usize = 3;
const BROKERS: [i32; 2] = [1, 2];
/// What a topic takes no more of.
const MOST_BATCH_BYTES: usize = 160;

/// A partition's log, wherever it is led, with what its leader knows of the producer.
#[derive(Debug, Default)]
struct Log {
    values: Vec<String>,
    known: Option<Known>,
}

#[derive(Debug)]
struct Known {
    id: i64,
    epoch: i16,
    next: i32,
    /// First sequence number, sequence number behind, base offset of the last batches.
    last: VecDeque<(i32, i32, i64)>,
}

impl Log {
    /// As `ProducerStateManager` of Apache Kafka does it.
    fn append(&mut self, records: &Bytes) -> Outcome {
        if records.len() > MOST_BATCH_BYTES {
            return code(ErrorCode::MESSAGE_TOO_LARGE);
        }
        let batch = batch(records);
        let (id, epoch, first) = (batch.producer_id(), batch.producer_epoch(), batch.base_sequence());
        let behind = sequence_after(first, batch.record_count());
        // Whoever is not known may begin anywhere.
        let known = self.known.get_or_insert_with(|| Known { id, epoch, last: VecDeque::new(), next: first });
        if id == known.id && epoch < known.epoch {
            return code(ErrorCode::INVALID_PRODUCER_EPOCH);
        }
        if (id, epoch) != (known.id, known.epoch) {
            if first != 0 {
                return code(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER);
            }
            *known = Known { id, epoch, last: VecDeque::new(), next: 0 };
        }
        if known.last.iter().any(|(from, to, _)| (*from, *to) == (first, behind)) {
            return code(ErrorCode::DUPLICATE_SEQUENCE_NUMBER);
        }
        if first != known.next {
            return code(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER);
        }
        let base_offset = i64::try_from(self.values.len()).expect("few");
        self.values.extend(values(records));
        known.next = behind;
        known.last.push_back((first, behind, base_offset));
        if known.last.len() > 5 {
            known.last.pop_front();
        }
        Outcome::Answered { code: ErrorCode::NONE, message: None, base_offset, append_time: -1 }
    }
}

type Request = Vec<(Place, Bytes)>;

struct World {
    random: Rng,
    now: Instant,
    queues: Queues,
    logs: Vec<Log>,
    /// Who leads each partition, and whom the producer takes for that.
    leaders: Vec<i32>,
    believed: Vec<i32>,
    /// Per broker: requests on their way there, and answers on their way back.
    requests: BTreeMap<i32, VecDeque<Request>>,
    answers: BTreeMap<i32, VecDeque<Vec<(Place, Outcome)>>>,
    /// Requests of connections that have ended, which may arrive all the same, for some time after that.
    strays: Vec<(i32, Request, Instant)>,
    handed: Vec<Vec<(String, Delivery)>>,
    number: u32,
}

impl World {
    fn new(seed: u64) -> Self {
        let queues =
            Queues::new(limits(), Partitioner::default(), Identity::Known { id: 9, epoch: 0 }, false);
        // The producer's own chances are to be the same each time too.
        fastrand::seed(seed);
        Self {
            random: Rng::with_seed(seed),
            now: Instant::now(),
            queues,
            logs: (0..PARTITIONS).map(|_| Log::default()).collect(),
            leaders: vec![1, 2, 1],
            believed: vec![1, 2, 1],
            requests: BROKERS.map(|broker| (broker, VecDeque::new())).into(),
            answers: BROKERS.map(|broker| (broker, VecDeque::new())).into(),
            strays: Vec::new(),
            handed: (0..PARTITIONS).map(|_| Vec::new()).collect(),
            number: 0,
        }
    }

    fn run(mut self, steps: usize) {
        for _ in 0..steps {
            self.step();
        }
        // From now on nothing goes wrong, for longer than anything takes.
        let end = self.now + 2 * ASTRAY_FOR;
        while self.now < end && !self.is_quiet() {
            self.now += Duration::from_millis(300);
            self.believed.clone_from(&self.leaders);
            self.send();
            for broker in BROKERS {
                while self.arrive(broker) || self.answer(broker) {}
            }
        }
        self.check();
    }

    fn step(&mut self) {
        let broker = BROKERS[self.random.usize(..BROKERS.len())];
        match self.random.u8(..24) {
            0..5 => self.hand_in(),
            5..9 => self.send(),
            9..13 => drop(self.arrive(broker)),
            13..17 => drop(self.answer(broker)),
            17 => self.cut(broker),
            18 => self.stray(),
            19 => self.leaders[self.random.usize(..PARTITIONS)] = broker,
            20 => self.believed.clone_from(&self.leaders),
            21 => self.refuse(broker),
            22 if self.random.u8(..10) == 0 => self.forget(),
            22 => {
                self.now += Duration::from_millis(self.random.u64(..2_000));
                self.queues.expire(self.now);
            }
            _ => {
                // Seldom so long that something expires.
                self.now += Duration::from_millis(self.random.u64(..10));
                if self.random.u8(..40) == 0 {
                    self.now += limits().delivery_timeout;
                }
                self.queues.expire(self.now);
            }
        }
    }

    fn hand_in(&mut self) {
        let partition = self.random.usize(..PARTITIONS);
        self.number += 1;
        // Some alone are more than the topic takes.
        let length = if self.random.u8(..20) == 0 { 150 } else { 20 };
        let value = format!("{:0length$}", self.number);
        let number = i32::try_from(partition).expect("few");
        let delivery = append(&mut self.queues, value.clone(), number, PARTITIONS, self.now);
        self.handed[partition].push((value, delivery));
    }

    fn send(&mut self) {
        for (broker, parts) in send(&mut self.queues, &self.believed, self.now) {
            self.requests.entry(broker).or_default().push_back(parts);
        }
    }

    /// A request gets to its broker.
    fn arrive(&mut self, broker: i32) -> bool {
        let Some(request) = self.requests.get_mut(&broker).and_then(VecDeque::pop_front) else {
            return false;
        };
        let outcomes = self.process(broker, request);
        self.answers.entry(broker).or_default().push_back(outcomes);
        true
    }

    fn process(&mut self, broker: i32, request: Request) -> Vec<(Place, Outcome)> {
        let outcome = |(place, records): (Place, Bytes)| {
            let at = usize::try_from(place.partition).expect("a number");
            let outcome = if self.leaders[at] == broker {
                self.logs[at].append(&records)
            } else {
                code(ErrorCode::NOT_LEADER_OR_FOLLOWER)
            };
            (place, outcome)
        };
        request.into_iter().map(outcome).collect()
    }

    /// An answer gets to the producer: mostly the oldest, but those that wait together are taken in any order.
    fn answer(&mut self, broker: i32) -> bool {
        let answers = self.answers.entry(broker).or_default();
        let at = if self.random.u8(..4) == 0 { self.random.usize(..answers.len().max(1)) } else { 0 };
        let Some(outcomes) = answers.remove(at) else { return false };
        self.queues.on_answer(broker, outcomes, self.now);
        true
    }

    /// The connection to a broker ends: of what is on its way some has arrived, some arrives later, some never.
    fn cut(&mut self, broker: i32) {
        let answers = std::mem::take(self.answers.entry(broker).or_default());
        let requests = std::mem::take(self.requests.entry(broker).or_default());
        let arrive = self.random.usize(..=requests.len());
        let unknown =
            answers.into_iter().map(|outcomes| outcomes.into_iter().map(|(place, _)| place).collect());
        let mut unknown: Vec<Vec<Place>> = unknown.collect();
        for (request, number) in requests.into_iter().zip(0..) {
            unknown.push(request.iter().map(|(place, _)| place.clone()).collect());
            if number < arrive {
                self.process(broker, request);
            } else if self.random.bool() {
                self.strays.push((broker, request, self.now));
            }
        }
        for places in unknown {
            let outcomes = places.into_iter().map(|place| (place, lost())).collect();
            self.queues.on_answer(broker, outcomes, self.now);
        }
    }

    fn stray(&mut self) {
        self.strays.retain(|(_, _, since)| self.now.duration_since(*since) < ASTRAY_FOR);
        if !self.strays.is_empty() {
            let (broker, request, _) = self.strays.swap_remove(self.random.usize(..self.strays.len()));
            self.process(broker, request);
        }
    }

    /// A broker refuses a request for now, or it writes what it says it may not have written.
    fn refuse(&mut self, broker: i32) {
        let Some(request) = self.requests.get_mut(&broker).and_then(VecDeque::pop_front) else { return };
        let refusal = if self.random.bool() {
            self.process(broker, request.clone());
            ErrorCode::REQUEST_TIMED_OUT
        } else {
            ErrorCode::NOT_ENOUGH_REPLICAS
        };
        let outcomes = request.into_iter().map(|(place, _)| (place, code(refusal))).collect();
        self.answers.entry(broker).or_default().push_back(outcomes);
    }

    /// Everything is known of what was handed in, and nothing on its way.
    fn is_quiet(&self) -> bool {
        let mut in_flight =
            self.requests.values().map(VecDeque::len).chain(self.answers.values().map(VecDeque::len));
        self.queues.outstanding().is_empty() && in_flight.all(|count| count == 0)
    }

    /// After a day without anything a broker knows nobody any more.
    fn forget(&mut self) {
        if self.is_quiet() && self.strays.is_empty() {
            self.now += Duration::from_secs(86_400);
            self.logs.iter_mut().for_each(|log| log.known = None);
        }
    }

    /// Each record is in its log as often as its delivery says, and in order.
    fn check(mut self) {
        let mut bytes = 0;
        for (log, handed) in self.logs.iter().zip(&mut self.handed) {
            let mut stored = log.values.iter().zip(0_i64..).peekable();
            for (value, delivery) in handed {
                bytes += 1;
                let found = stored.next_if(|(stored, _)| *stored == value).map(|(_, offset)| offset);
                match outcome(delivery).expect("it is known by now") {
                    Ok(Acknowledged { offset, .. }) => {
                        assert!(found.is_some(), "{value} was acknowledged and is not in its place");
                        assert!(offset.is_none_or(|offset| Some(offset) == found), "{offset:?} {found:?}");
                    }
                    Err(ProduceError::Expired { maybe_written: false, .. }) => {
                        assert_eq!(found, None, "{value} was never written");
                    }
                    Err(ProduceError::Expired { .. }) => {}
                    Err(error) => assert_eq!((found, value.len()), (None, 150), "{value}: {error}"),
                }
            }
            assert_eq!(stored.next(), None, "it is there twice, or out of order");
        }
        assert_eq!(self.queues.take_freed(), bytes, "memory is given back");
        assert!(self.queues.outstanding().is_empty());
    }
}

proptest! {
    #![proptest_config(crate::kafka::simulated(10_000))]

    #[test]
    fn every_record_is_stored_once_and_in_order(seed in any::<u64>(), steps in 0_usize..200) {
        World::new(seed).run(steps);
    }
}
