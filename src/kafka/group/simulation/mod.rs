//! Members and a coordinator in one process, under a clock that the test turns: answers come late, in any order or
//! never, members come, go, die, stand still or are busy for too long, the topic grows, the coordinator denies that it is
//! one.
//!
//! What must hold at any time: no two members read one partition. (A coordinator counts a session from when it answers,
//! a member from when it hears of it; the two differ by what the network delays an answer at most, which the
//! coordinators here grant.) And once things are quiet: each partition is read by one.

mod classic;
mod consumer;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use kafka_protocol::messages::{HeartbeatResponse, JoinGroupResponse, SyncGroupResponse};
use proptest::prelude::*;
use tokio::time::Instant;

use self::classic::ClassicCoordinator;
use self::consumer::ConsumerCoordinator;
use super::assignor::Assignor;
use super::classic::ClassicMember;
use super::consumer::ConsumerMember;
use super::member::{Action, Answer, ConsumerHeartbeatAnswer, Member, Membership, Request};
use crate::kafka::topic_partition::TopicPartition;
use crate::wire::error_code::ErrorCode;

const SESSION: Duration = Duration::from_secs(10);
const HEARTBEAT: Duration = Duration::from_secs(1);
const REBALANCE: Duration = Duration::from_secs(20);
/// The longest that an answer is on its way.
const DELAY: Duration = Duration::from_secs(3);
const PARTITIONS: i32 = 7;

/// A coordinator, as far as members can see.
trait Coordinator {
    /// Answers now or later; what it has to say is put into `answers`, by the member's place and request's number.
    fn on_request(&mut self, from: usize, number: u64, request: Request, now: Instant, answers: &mut Answers);
    /// Time has passed.
    fn tick(&mut self, now: Instant, answers: &mut Answers);
    /// The topic has so many partitions now.
    fn grow(&mut self, partitions: i32);
}

type Answers = Vec<(usize, u64, Answer)>;

/// A member and the user behind it.
#[derive(Debug)]
struct Reader {
    member: Member,
    /// What the user reads.
    reads: BTreeSet<TopicPartition>,
    revoking: Option<(u64, Vec<TopicPartition>)>,
    /// Stands still, as a process that was stopped: it neither acts nor hears.
    stopped: bool,
    /// Numbers of requests whose answers came meanwhile, and were lost.
    missed: Vec<u64>,
    /// Has not asked for records for too long.
    busy: bool,
}

struct World<C> {
    coordinator: C,
    make: fn(usize, Instant) -> Member,
    readers: Vec<Option<Reader>>,
    requests: Vec<(usize, u64, Request)>,
    answers: Answers,
    /// Answers on their way, and when they were given.
    on_the_way: Vec<(Instant, usize, u64, Answer)>,
    now: Instant,
    random: Rng,
    /// Of a hundred requests, those that the broker denies to be the one for.
    denials: u8,
    /// How many partitions the topic has.
    partitions: i32,
}

impl<C: Coordinator> World<C> {
    fn new(coordinator: C, make: fn(usize, Instant) -> Member, seed: u64) -> Self {
        // The members' own chances are to be the same each time too.
        fastrand::seed(seed);
        let (now, random) = (Instant::now(), Rng::with_seed(seed));
        let (readers, requests, answers) = (Vec::new(), Vec::new(), Vec::new());
        Self {
            coordinator,
            make,
            readers,
            requests,
            answers,
            on_the_way: Vec::new(),
            now,
            random,
            denials: 0,
            partitions: PARTITIONS,
        }
    }

    fn join(&mut self) {
        let member = (self.make)(self.readers.len(), self.now);
        let reads = BTreeSet::new();
        self.readers.push(Some(Reader {
            member,
            reads,
            revoking: None,
            stopped: false,
            missed: Vec::new(),
            busy: false,
        }));
    }

    /// Lets every member do what it wants to.
    fn act(&mut self) {
        for place in 0..self.readers.len() {
            let Some(reader) = self.readers[place].as_mut().filter(|reader| !reader.stopped) else {
                continue;
            };
            while let Some(action) = reader.member.poll(self.now) {
                match action {
                    Action::Send { number, request } => self.requests.push((place, number, request)),
                    Action::LookUp(topics) => {
                        let counts = topics.into_iter().map(|topic| (topic, self.partitions)).collect();
                        reader.member.on_counts(&counts);
                    }
                    Action::ForgetCoordinator => {}
                    Action::Assigned(partitions) => reader.reads.extend(partitions),
                    Action::Revoke { number, partitions } => reader.revoking = Some((number, partitions)),
                    Action::Lost(partitions) => {
                        reader.reads.retain(|reads| !partitions.contains(reads));
                        reader.revoking = None;
                    }
                    Action::Failed(failure) => panic!("{failure:?}"),
                }
            }
        }
    }

    /// The next request of some member: they come in their order.
    fn take_request(&mut self, some: usize) -> (usize, u64, Request) {
        let from = self.requests[some].0;
        let first = self.requests.iter().position(|request| request.0 == from);
        self.requests.remove(first.unwrap_or(some))
    }

    fn deliver_request(&mut self, some: usize) {
        let (from, number, request) = self.take_request(some);
        match denial(&request).filter(|_| self.random.u8(..100) < self.denials) {
            Some(denial) => self.answers.push((from, number, denial)),
            None => self.coordinator.on_request(from, number, request, self.now, &mut self.answers),
        }
        self.on_the_way
            .extend(self.answers.drain(..).map(|(to, number, answer)| (self.now, to, number, answer)));
    }

    fn deliver_answer(&mut self, index: usize, arrives: bool) {
        let (_, to, number, answer) = self.on_the_way.swap_remove(index);
        match &mut self.readers[to] {
            Some(reader) if reader.stopped => reader.missed.push(number),
            Some(reader) => {
                reader.member.on_answer(number, if arrives { answer } else { Answer::Nothing }, self.now);
            }
            None => {}
        }
    }

    fn set_stopped(&mut self, place: usize, stopped: bool) {
        if let Some(reader) = &mut self.readers[place] {
            reader.stopped = stopped;
            for number in std::mem::take(&mut reader.missed) {
                reader.member.on_answer(number, Answer::Nothing, self.now);
            }
        }
    }

    fn set_busy(&mut self, place: usize, busy: bool) {
        let Some(reader) = self.readers[place].as_mut().filter(|reader| !reader.stopped) else { return };
        if reader.busy != busy {
            reader.busy = busy;
            if busy {
                reader.member.on_poll_overdue();
            } else {
                reader.member.on_polled();
            }
        }
    }

    /// The topic gets another partition, and the members that look after topics learn of it.
    fn grow(&mut self) {
        self.partitions += 1;
        self.coordinator.grow(self.partitions);
        let counts = topics().into_iter().map(|topic| (topic, self.partitions)).collect();
        for reader in self.readers.iter_mut().flatten() {
            reader.member.on_counts(&counts);
        }
    }

    fn give_up(&mut self, place: usize) {
        let Some(reader) = self.readers[place].as_mut().filter(|reader| !reader.stopped) else { return };
        if let Some((number, partitions)) = reader.revoking.take() {
            reader.reads.retain(|reads| !partitions.contains(reads));
            reader.member.on_revoked(number, self.now);
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.coordinator.tick(self.now, &mut self.answers);
        self.on_the_way
            .extend(self.answers.drain(..).map(|(to, number, answer)| (self.now, to, number, answer)));
        // What is late is lost, and its request with it.
        while let Some(late) = self.on_the_way.iter().position(|(given, ..)| *given + DELAY <= self.now) {
            self.deliver_answer(late, false);
        }
    }

    /// One thing happens, whichever it may be.
    fn happen(&mut self) {
        let place = self.random.usize(..self.readers.len());
        let alive = self.readers.iter().flatten().count();
        match self.random.u8(..100) {
            0..30 if !self.requests.is_empty() => {
                let index = self.random.usize(..self.requests.len());
                self.deliver_request(index);
            }
            30..60 if !self.on_the_way.is_empty() => {
                let index = self.random.usize(..self.on_the_way.len());
                let arrives = self.random.u8(..10) > 0;
                self.deliver_answer(index, arrives);
            }
            60..75 => self.give_up(place),
            75..86 => {
                let time = Duration::from_millis(self.random.u64(1..1500));
                self.pass(time);
            }
            86..88 => self.pass(Duration::from_secs(8)),
            88..90 if alive < 5 => self.join(),
            // Killed: nobody says goodbye.
            90 if alive > 1 => self.readers[place] = None,
            91 => self.set_stopped(place, true),
            92..94 => self.set_stopped(place, false),
            94 => self.set_busy(place, true),
            97 => self.set_busy(place, false),
            98 if self.partitions < PARTITIONS + 3 => self.grow(),
            95 => self.denials = if self.denials == 0 { 50 } else { 0 },
            96 if !self.requests.is_empty() => {
                // The connection broke before the request was read.
                let index = self.random.usize(..self.requests.len());
                let (from, number, _) = self.take_request(index);
                self.on_the_way.push((self.now, from, number, Answer::Nothing));
            }
            _ => {}
        }
        self.act();
        self.check();
    }

    /// Who reads a partition and would still hand over records of it.
    fn readers_of(&self, partition: &TopicPartition) -> usize {
        let reads = |reader: &&Reader| {
            let holds = reader.member.lease().is_none_or(|until| self.now < until);
            holds && !reader.stopped && reader.reads.contains(partition)
        };
        self.readers.iter().flatten().filter(reads).count()
    }

    fn check(&self) {
        for partition in partitions(self.partitions) {
            assert!(self.readers_of(&partition) <= 1, "{partition} is read by two");
        }
    }

    /// Nothing more goes wrong, and everybody does what they are asked to.
    fn quiet_down(&mut self) {
        self.denials = 0;
        for place in 0..self.readers.len() {
            self.set_stopped(place, false);
            self.set_busy(place, false);
        }
        for _ in 0..2_000 {
            self.act();
            while !self.requests.is_empty() {
                self.deliver_request(0);
            }
            while !self.on_the_way.is_empty() {
                self.deliver_answer(0, true);
            }
            for place in 0..self.readers.len() {
                self.give_up(place);
            }
            self.act();
            self.check();
            self.pass(Duration::from_millis(100));
        }
        for partition in partitions(self.partitions) {
            assert_eq!(
                self.readers_of(&partition),
                1,
                "{partition} is not read by one; {:#?}",
                self.readers.iter().flatten().collect::<Vec<_>>()
            );
        }
    }

    fn run(mut self, steps: usize) {
        self.join();
        self.act();
        for _ in 0..steps {
            self.happen();
        }
        self.quiet_down();
    }
}

fn denial(request: &Request) -> Option<Answer> {
    let code = ErrorCode::NOT_COORDINATOR;
    match request {
        Request::Join(_) => Some(Answer::Join(JoinGroupResponse::default().with_error_code(code.0))),
        Request::Sync(_) => Some(Answer::Sync(SyncGroupResponse::default().with_error_code(code.0))),
        Request::Heartbeat(_) => {
            Some(Answer::Heartbeat(HeartbeatResponse::default().with_error_code(code.0)))
        }
        Request::Leave(_) => None,
        Request::Consumer(_) => Some(Answer::Consumer(ConsumerHeartbeatAnswer {
            code,
            message: None,
            member_id: None,
            epoch: 0,
            interval: HEARTBEAT,
            assignment: None,
        })),
    }
}

fn partitions(count: i32) -> impl Iterator<Item = TopicPartition> {
    (0..count).map(|number| TopicPartition::new("t", number))
}

fn membership(assignors: &[Assignor], instance_id: Option<String>) -> Arc<Membership> {
    Arc::new(Membership {
        group: Arc::from("g"),
        instance_id,
        assignors: assignors.to_vec(),
        server_assignor: None,
        rack: None,
        session_timeout: SESSION,
        heartbeat_interval: HEARTBEAT,
        max_poll_interval: REBALANCE,
        share_member: None,
    })
}

fn topics() -> BTreeSet<Arc<str>> {
    BTreeSet::from([Arc::from("t")])
}

fn classic(assignors: &[Assignor], now: Instant) -> Member {
    Member::Classic(ClassicMember::new(membership(assignors, None), topics(), now))
}

// Every case is some 300 things that happen, and 200 s of quiet.
proptest! {
    #![proptest_config(crate::kafka::simulated(200))]

    #[test]
    fn eager_members_never_share_and_leave_nothing_out(seed in any::<u64>(), steps in 0_usize..300) {
        let make = |_, now| classic(&[Assignor::Range, Assignor::RoundRobin], now);
        World::new(ClassicCoordinator::default(), make, seed).run(steps);
    }

    #[test]
    fn sticky_members_never_share_and_leave_nothing_out(seed in any::<u64>(), steps in 0_usize..300) {
        let make = |_, now| classic(&[Assignor::Sticky], now);
        World::new(ClassicCoordinator::default(), make, seed).run(steps);
    }

    #[test]
    fn cooperative_members_never_share_and_leave_nothing_out(seed in any::<u64>(), steps in 0_usize..300) {
        let make = |_, now| classic(&[Assignor::CooperativeSticky], now);
        World::new(ClassicCoordinator::default(), make, seed).run(steps);
    }

    #[test]
    fn members_that_the_broker_assigns_never_share_and_leave_nothing_out(
        seed in any::<u64>(),
        steps in 0_usize..300,
    ) {
        let make = |place: usize, now| {
            let id = format!("member-{place}");
            Member::Consumer(ConsumerMember::new(membership(&[], None), id, topics(), now))
        };
        World::new(ConsumerCoordinator::default(), make, seed).run(steps);
    }
}
