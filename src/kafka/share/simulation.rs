//! Consumers and two brokers in one process, under a clock that the test turns: answers come late or never, connections
//! break, brokers forget, leaders move, locks run out, consumers come and are gone.
//!
//! What must hold at any time: a consumer asks for nothing that the protocol forbids; nobody is handed a record that is
//! locked for another, or done with; what is said to be accepted is. And once things are quiet: every record has been
//! handed over and is done with, and no gap is left.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use proptest::prelude::*;
use tokio::time::Instant;
use uuid::Uuid;

use super::batch::Acquired;
use super::held::{Acknowledgement, Fate, Told};
use super::made_up::{batch, mark};
use super::session::{END, Id};
use super::sharing::{Answer, Ask, Errand, PartitionAnswer, Sharing, Want};
use crate::kafka::error::Error;
use crate::kafka::metadata::BrokerId;
use crate::kafka::topic_partition::TopicPartition;
use crate::wire::error_code::ErrorCode;

const LOCK: Duration = Duration::from_secs(5);
/// How often a record is delivered; more often than any run takes.
const MOST_DELIVERIES: u16 = 10_000;
const PARTITIONS: i32 = 2;
const BROKERS: i32 = 2;
const TOPIC: Uuid = Uuid::from_u128(7);

fn partition(number: i32) -> TopicPartition {
    TopicPartition::new("t", number)
}

/// A partition's log and what the group knows of it, wherever its leader is.
struct Log {
    leader: BrokerId,
    batches: Vec<(i64, i64, Bytes)>,
    records: BTreeSet<i64>,
    states: BTreeMap<i64, State>,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Available { deliveries: u16 },
    Acquired { deliveries: u16, session: u64, until: Instant },
    Done(Fate),
}

impl Log {
    fn new(random: &mut Rng) -> Self {
        let (mut batches, mut records, mut end) = (Vec::new(), BTreeSet::new(), 0);
        for _ in 0..random.usize(1..8) {
            let first = end + random.i64(0..3);
            if random.u8(..5) == 0 {
                batches.push((first, first, mark(first)));
                end = first + 1;
                continue;
            }
            let (count, compacted) = (random.i64(1..6), random.i64(0..2));
            let last = first + count - 1 + compacted;
            batches.push((first, last, batch(first, count, last)));
            records.extend(first..first + count);
            end = last + 1;
        }
        let states = (0..end).map(|offset| (offset, State::Available { deliveries: 0 })).collect();
        Self { leader: 0, batches, records, states }
    }

    /// Locks that have run out, and sessions that have ended, leave nothing behind.
    fn release(&mut self, mut is_over: impl FnMut(u64, Instant) -> bool) {
        for state in self.states.values_mut() {
            if let State::Acquired { deliveries, session, until } = *state
                && is_over(session, until)
            {
                *state = State::Available { deliveries };
            }
        }
    }

    /// A batch or two of what is available.
    fn fetch(&mut self, session: u64, until: Instant, random: &mut Rng) -> (Bytes, Vec<Acquired>) {
        let available = |offset: &i64| matches!(self.states.get(offset), Some(State::Available { .. }));
        let Some(first) = self.states.keys().copied().find(available) else { return Default::default() };
        let from = self.batches.iter().position(|(_, last, _)| *last >= first).unwrap();
        let sent = &self.batches[from..(from + random.usize(1..3)).min(self.batches.len())];
        let end = sent.last().unwrap().1;
        let records = Bytes::from(sent.iter().map(|(_, _, bytes)| &bytes[..]).collect::<Vec<_>>().concat());
        let mut acquired: Vec<Acquired> = Vec::new();
        for (&offset, state) in self.states.range_mut(first..=end) {
            let State::Available { deliveries } = *state else { continue };
            let delivery_count = deliveries + 1;
            assert!(delivery_count < MOST_DELIVERIES, "{offset} comes again and again");
            *state = State::Acquired { deliveries: delivery_count, session, until };
            match acquired.last_mut() {
                Some(run) if run.last + 1 == offset && run.delivery_count == delivery_count => {
                    run.last = offset;
                }
                _ => acquired.push(Acquired { first: offset, last: offset, delivery_count }),
            }
        }
        (records, acquired)
    }

    /// All that is told, or nothing.
    fn acknowledge(&mut self, session: u64, told: &[Told]) -> ErrorCode {
        let mut behind = 0;
        for told in told {
            assert!(told.first >= behind && told.last >= told.first, "{told:?} is not in order");
            behind = told.last + 1;
            for offset in told.first..=told.last {
                match told.fate {
                    Fate::Gap => assert!(!self.records.contains(&offset), "{offset} is no gap"),
                    Fate::Record(Acknowledgement::Release) => {}
                    Fate::Record(_) => assert!(self.records.contains(&offset), "{offset} is a gap"),
                }
                match self.states.get(&offset) {
                    Some(State::Acquired { session: by, .. }) if *by == session => {}
                    _ => return ErrorCode::INVALID_RECORD_STATE,
                }
            }
        }
        for told in told {
            for (_, state) in self.states.range_mut(told.first..=told.last) {
                *state = match (told.fate, *state) {
                    (Fate::Record(Acknowledgement::Release), State::Acquired { deliveries, .. }) => {
                        State::Available { deliveries }
                    }
                    (fate, _) => State::Done(fate),
                };
            }
        }
        ErrorCode::NONE
    }
}

/// A consumer and the user behind it.
struct Member {
    sharing: Sharing,
    explicit: bool,
    /// Who it takes for the leaders.
    leaders: Vec<BrokerId>,
    /// What is on its way, broker by broker, each in order.
    requests: BTreeMap<BrokerId, VecDeque<Ask>>,
    answers: BTreeMap<BrokerId, VecDeque<(u64, Answer, Instant)>>,
    /// What the user has, and has said nothing of.
    hands: Vec<(TopicPartition, i64)>,
    last: Option<(TopicPartition, Vec<i64>)>,
    accepted: BTreeSet<(TopicPartition, i64)>,
}

struct World {
    logs: Vec<Log>,
    /// By broker and member: the session's number among all, and what it expects next.
    sessions: BTreeMap<(BrokerId, usize), (u64, i32)>,
    began: u64,
    /// In which session each record was acquired last, by who got it.
    acquired_in: BTreeMap<(usize, i32, i64), u64>,
    members: Vec<Option<Member>>,
    handed: BTreeSet<(i32, i64)>,
    now: Instant,
    random: Rng,
    /// Of a hundred acknowledgements, those whose state cannot be written.
    denials: u8,
}

impl World {
    fn new(seed: u64) -> Self {
        // The members' own chances are to be the same each time too.
        fastrand::seed(seed);
        let mut random = Rng::with_seed(seed);
        let logs = (0..PARTITIONS).map(|_| Log::new(&mut random)).collect();
        let (sessions, acquired_in, handed) = Default::default();
        let (members, now) = (Vec::new(), Instant::now());
        Self { logs, sessions, began: 0, acquired_in, members, handed, now, random, denials: 0 }
    }

    fn join(&mut self) {
        let mut sharing = Sharing::new("g".to_owned(), false);
        sharing.assign((0..PARTITIONS).map(partition).collect());
        let (requests, answers) = Default::default();
        let (hands, last, accepted) = Default::default();
        let leaders = self.logs.iter().map(|log| log.leader).collect();
        let explicit = self.random.bool();
        let member = Member { sharing, explicit, leaders, requests, answers, hands, last, accepted };
        self.members.push(Some(member));
    }

    // ---- The user ---------------------------------------------------------------------------------------------

    /// Asks for records; what was handed over is dealt with, where nothing else is said.
    fn next(&mut self, place: usize) {
        let now = self.now;
        let Some(member) = &mut self.members[place] else { return };
        if let Some((partition, offsets)) = member.last.take() {
            member.sharing.accept_rest(&partition, &offsets, now);
        }
        match member.sharing.next_batch(now) {
            Some(batch) => {
                let batch = batch.expect("nothing is damaged");
                let name = batch.topic_partition().clone();
                let offsets: Vec<_> = batch.offsets().collect();
                if member.explicit {
                    member.hands.extend(offsets.iter().map(|&offset| (name.clone(), offset)));
                } else {
                    member.last = Some((name.clone(), offsets.clone()));
                }
                for offset in offsets {
                    self.on_handed(place, name.partition, offset);
                }
            }
            None => self.ask(place, Want::Records),
        }
    }

    fn on_handed(&mut self, place: usize, number: i32, offset: i64) {
        self.handed.insert((number, offset));
        let log = &self.logs[usize::try_from(number).unwrap()];
        let session = self.acquired_in.get(&(place, number, offset));
        let current = self.sessions.get(&(log.leader, place)).map(|(session, _)| session);
        // A consumer does not know yet that a session has ended, or another leads.
        if session.is_some() && session == current {
            assert!(
                matches!(log.states[&offset], State::Acquired { session: by, .. } if Some(&by) == session),
                "{number}: {offset} is handed over and is {:?}",
                log.states[&offset]
            );
        }
    }

    fn say(&mut self, place: usize) {
        let said = match self.random.u8(..10) {
            0 => Acknowledgement::Release,
            1 => Acknowledgement::Reject,
            _ => Acknowledgement::Accept,
        };
        let now = self.now;
        let Some(member) = &mut self.members[place] else { return };
        if member.hands.is_empty() {
            return;
        }
        let (partition, offset) = member.hands.swap_remove(self.random.usize(..member.hands.len()));
        if member.sharing.say(&partition, offset, said, now) && said == Acknowledgement::Accept {
            member.accepted.insert((partition, offset));
        }
    }

    fn ask(&mut self, place: usize, want: Want) {
        let now = self.now;
        let Some(member) = &mut self.members[place] else { return };
        let leader = |partition: &TopicPartition| {
            let number = usize::try_from(partition.partition).ok()?;
            Some((*member.leaders.get(number)?, TOPIC))
        };
        for ask in member.sharing.next_asks(leader, want, now) {
            assert!(!member.requests.contains_key(&ask.broker), "two requests in one session");
            assert!(!member.answers.contains_key(&ask.broker), "two requests in one session");
            member.requests.entry(ask.broker).or_default().push_back(ask);
        }
    }

    /// What a commit says: only once all is settled.
    fn look_at_outcomes(&mut self, place: usize) {
        let Some(member) = &mut self.members[place] else { return };
        if member.sharing.is_unsettled() {
            return;
        }
        let accepted = std::mem::take(&mut member.accepted);
        for (name, outcome) in member.sharing.take_outcomes() {
            let log = &self.logs[usize::try_from(name.partition).unwrap()];
            for (_, offset) in accepted.iter().filter(|(of, _)| *of == name && outcome.is_ok()) {
                let state = log.states[offset];
                let is_accepted = matches!(state, State::Done(Fate::Record(Acknowledgement::Accept)));
                assert!(is_accepted, "{name}: {offset} was accepted and is {state:?}");
            }
        }
    }

    // ---- The brokers ------------------------------------------------------------------------------------------

    fn handle(&mut self, place: usize, broker: BrokerId) {
        let Some(member) = &mut self.members[place] else { return };
        let Some(ask) = member.requests.get_mut(&broker).and_then(VecDeque::pop_front) else { return };
        member.requests.retain(|_, requests| !requests.is_empty());
        let number = ask.number;
        let answer = self.answer(place, ask);
        if let Some(member) = &mut self.members[place] {
            member.answers.entry(broker).or_default().push_back((number, answer, self.now));
        }
    }

    fn answer(&mut self, place: usize, ask: Ask) -> Answer {
        let Ask { broker, errand, told, .. } = ask;
        let key = (broker, place);
        let refuse = |code| Answer { code, message: None, lock: LOCK, partitions: Vec::new() };
        let epoch = match &errand {
            Errand::Fetch(fetch) => fetch.epoch,
            Errand::Acknowledge(epoch) => *epoch,
        };
        if epoch == 0 {
            assert!(told.is_empty(), "nothing can be acknowledged in a first request");
            assert!(matches!(errand, Errand::Fetch(_)), "a session begins with a fetch");
            self.end_session(key);
            self.began += 1;
            self.sessions.insert(key, (self.began, 0));
        }
        let Some((session, expected)) = self.sessions.get_mut(&key) else {
            return refuse(ErrorCode::SHARE_SESSION_NOT_FOUND);
        };
        if epoch != END {
            if epoch != *expected {
                return refuse(ErrorCode::INVALID_SHARE_SESSION_EPOCH);
            }
            *expected += 1;
        }
        let session = *session;
        let mut partitions: BTreeMap<Id, PartitionAnswer> = BTreeMap::new();
        let nothing = |id| PartitionAnswer {
            id,
            fetched: matches!(errand, Errand::Fetch(_)).then_some(ErrorCode::NONE),
            acknowledged: ErrorCode::NONE,
            records: Bytes::new(),
            acquired: Vec::new(),
        };
        for (id, told) in told {
            let log = &mut self.logs[usize::try_from(id.1).unwrap()];
            let acknowledged = if log.leader != broker {
                ErrorCode::NOT_LEADER_OR_FOLLOWER
            } else if self.random.u8(..100) < self.denials {
                ErrorCode::COORDINATOR_NOT_AVAILABLE
            } else {
                log.acknowledge(session, &told)
            };
            partitions.entry(id).or_insert_with(|| nothing(id)).acknowledged = acknowledged;
        }
        if let Errand::Fetch(_) = errand {
            for (log, number) in self.logs.iter_mut().zip(0..) {
                let id = (TOPIC, number);
                let answer = partitions.entry(id).or_insert_with(|| nothing(id));
                if log.leader != broker {
                    answer.fetched = Some(ErrorCode::NOT_LEADER_OR_FOLLOWER);
                    continue;
                }
                (answer.records, answer.acquired) = log.fetch(session, self.now + LOCK, &mut self.random);
                for offset in answer.acquired.iter().flat_map(|run| run.first..=run.last) {
                    self.acquired_in.insert((place, number, offset), session);
                }
            }
        }
        if epoch == END {
            self.end_session(key);
        }
        let partitions = partitions.into_values().collect();
        Answer { code: ErrorCode::NONE, message: None, lock: LOCK, partitions }
    }

    /// What was acquired in a session is released with it.
    fn end_session(&mut self, key: (BrokerId, usize)) {
        if let Some((ended, _)) = self.sessions.remove(&key) {
            self.logs.iter_mut().for_each(|log| log.release(|session, _| session == ended));
        }
    }

    fn deliver(&mut self, place: usize, broker: BrokerId) {
        let Some(member) = &mut self.members[place] else { return };
        let Some((number, answer, at)) = member.answers.get_mut(&broker).and_then(VecDeque::pop_front) else {
            return;
        };
        member.answers.retain(|_, answers| !answers.is_empty());
        let heard = member.sharing.on_answer(broker, number, Ok(answer), at);
        assert!(heard.failures.is_empty(), "{:?}", heard.failures);
        if heard.refresh {
            member.leaders = self.logs.iter().map(|log| log.leader).collect();
        }
    }

    /// The connection of a member to a broker breaks: what was on its way is lost, and its session ends.
    fn cut(&mut self, place: usize, broker: BrokerId) {
        self.end_session((broker, place));
        let now = self.now;
        let Some(member) = &mut self.members[place] else { return };
        let requests = member.requests.remove(&broker).into_iter().flatten().map(|ask| ask.number);
        let answers = member.answers.remove(&broker).into_iter().flatten().map(|(number, ..)| number);
        for number in requests.chain(answers).collect::<Vec<_>>() {
            let source = Arc::new(io::Error::from(io::ErrorKind::ConnectionReset));
            let broker_address = "h:1".parse().unwrap();
            let error = Error::Disconnected { broker: broker_address, source };
            let heard = member.sharing.on_answer(broker, number, Err(error), now);
            assert!(heard.failures.is_empty() && heard.refresh, "{heard:?}");
        }
        member.leaders = self.logs.iter().map(|log| log.leader).collect();
    }

    fn move_leader(&mut self, number: usize) {
        let log = &mut self.logs[number];
        log.leader = (log.leader + 1) % BROKERS;
        // What was acquired is known to the old leader alone.
        log.release(|_, _| true);
    }

    /// Killed, or closed: then everything is said, and heard or not.
    fn leave(&mut self, place: usize, closes: bool) {
        let now = self.now;
        if let Some(member) = self.members[place].as_mut().filter(|_| closes) {
            let asks = member.sharing.farewell(now);
            assert!(asks.iter().all(|ask| ask.errand == Errand::Acknowledge(END)));
            for ask in asks {
                member.requests.entry(ask.broker).or_default().push_back(ask);
            }
            for broker in 0..BROKERS {
                for _ in 0..3 {
                    self.handle(place, broker);
                }
                for _ in 0..3 {
                    self.deliver(place, broker);
                }
            }
        }
        for broker in 0..BROKERS {
            self.cut(place, broker);
        }
        if let Some(member) = self.members[place].as_mut().filter(|_| closes) {
            assert!(!member.sharing.is_unsettled());
        }
        self.look_at_outcomes(place);
        self.members[place] = None;
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        let now = self.now;
        self.logs.iter_mut().for_each(|log| log.release(|_, until| until <= now));
    }

    // ---- What happens -----------------------------------------------------------------------------------------

    fn happen(&mut self) {
        let place = self.random.usize(..self.members.len());
        let broker = self.random.i32(..BROKERS);
        let alive = self.members.iter().flatten().count();
        match self.random.u8(..100) {
            0..20 => self.next(place),
            20..45 => self.handle(place, broker),
            45..70 => self.deliver(place, broker),
            70..80 => self.say(place),
            80..86 => {
                let time = Duration::from_millis(self.random.u64(1..900));
                self.pass(time);
            }
            86 => self.pass(LOCK),
            87..90 => self.ask(place, Want::Results),
            90 => self.ask(place, Want::Nothing),
            91 => self.cut(place, broker),
            92 => {
                let number = self.random.usize(..self.logs.len());
                self.move_leader(number);
            }
            93 if alive < 4 => self.join(),
            94 if alive > 1 => {
                let closes = self.random.bool();
                self.leave(place, closes);
            }
            95 => self.denials = if self.denials == 0 { 50 } else { 0 },
            96 => {
                let (number, now) = (self.random.i32(..PARTITIONS), self.now);
                if let Some(member) = &mut self.members[place] {
                    member.sharing.unassign(&[partition(number)], now);
                }
            }
            97 => {
                if let Some(member) = &mut self.members[place] {
                    member.sharing.assign((0..PARTITIONS).map(partition).collect());
                }
            }
            _ => self.look_at_outcomes(place),
        }
    }

    /// Nothing more goes wrong, and every user accepts what they get.
    fn quiet_down(&mut self) {
        self.denials = 0;
        for member in self.members.iter_mut().flatten() {
            member.sharing.assign((0..PARTITIONS).map(partition).collect());
        }
        for _ in 0..400 {
            for place in 0..self.members.len() {
                self.next(place);
                let now = self.now;
                if let Some(member) = &mut self.members[place] {
                    for (partition, offset) in std::mem::take(&mut member.hands) {
                        member.sharing.say(&partition, offset, Acknowledgement::Accept, now);
                    }
                }
                for broker in 0..BROKERS {
                    self.handle(place, broker);
                    self.deliver(place, broker);
                }
                self.look_at_outcomes(place);
            }
            self.pass(Duration::from_millis(100));
        }
        for (log, number) in self.logs.iter().zip(0..) {
            for (offset, state) in &log.states {
                // Behind the last batch there is nothing to be acquired.
                let State::Done(_) = state else { panic!("{number}: {offset} is {state:?}") };
                if log.records.contains(offset) {
                    assert!(self.handed.contains(&(number, *offset)), "{number}: nobody got {offset}");
                }
            }
        }
        for member in self.members.iter_mut().flatten() {
            assert!(!member.sharing.is_unsettled(), "something is never told");
            let wake = member.sharing.wake_at(Want::Records, self.now);
            assert!(wake.is_none_or(|at| at > self.now), "it would wake again and again");
        }
    }

    fn run(mut self, steps: usize) {
        self.join();
        for _ in 0..steps {
            self.happen();
        }
        self.quiet_down();
    }
}

proptest! {
    #![proptest_config(crate::kafka::simulated(150))]

    #[test]
    fn records_go_to_one_at_a_time_and_none_is_left(seed in any::<u64>(), steps in 0_usize..500) {
        World::new(seed).run(steps);
    }
}
