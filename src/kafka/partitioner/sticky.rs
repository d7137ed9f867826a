//! Where records go that no key decides about: to one partition until about a batch has gone there, then to another.
//!
//! As Java's `BuiltInPartitioner` does it (KIP-794): a partition is kept for as many bytes as a batch has, not for as
//! long as a batch is open (KIP-480), since then a slow broker, whose batches grow while they wait, would get the
//! most. The next one is drawn by lot, and the more waits for a partition the less likely it is: what a broker cannot
//! take in time goes to others. Java counts batches that wait, this counts bytes, of which a batch's worth weighs the
//! same.
//!
//! Pure: the caller knows the queues, and supplies the randomness. A state for each topic.

/// How things stand for one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Backlog {
    /// Accepted for it and not acknowledged: in open and closed batches and in flight.
    pub(crate) bytes: usize,
    /// Whether it has a leader.
    pub(crate) available: bool,
    /// Whether a batch is open that the record at hand still fits into. It goes out smaller if the record goes elsewhere.
    pub(crate) has_room: bool,
}

/// The partition that is kept for now.
#[derive(Debug, Clone)]
pub(crate) struct Sticky {
    batch_bytes: usize,
    current: Option<usize>,
    /// What has gone to the current one since it was drawn.
    appended: usize,
}

impl Sticky {
    /// Keeps a partition for `batch_bytes`, and up to twice as much to fill the batch that is open then.
    pub(crate) fn new(batch_bytes: usize) -> Self {
        Self { batch_bytes: batch_bytes.max(1), current: None, appended: 0 }
    }

    /// The partition for a record, of so many; `None` where there are none. One that is not available is chosen only if
    /// none is, and then kept like any other.
    ///
    /// `random` is from 0 to 1 and asked for when another partition is drawn, once a batch or so; only then are all
    /// partitions looked at.
    pub(crate) fn choose(
        &mut self,
        partitions: usize,
        backlog: impl Fn(usize) -> Backlog,
        random: impl FnOnce() -> f64,
    ) -> Option<usize> {
        let any_available = || (0..partitions).any(|place| backlog(place).available);
        if let Some(current) = self.current.filter(|&current| current < partitions) {
            let now = backlog(current);
            if !self.is_done(now.has_room) && (now.available || !any_available()) {
                return Some(current);
            }
        }
        let drawn = self.draw(partitions, backlog, random())?;
        self.current = Some(drawn);
        self.appended = 0;
        Some(drawn)
    }

    /// So many bytes, uncompressed, went to the partition that was chosen last. What went there for another reason, such
    /// as a key, does not count.
    pub(crate) fn on_appended(&mut self, bytes: usize) {
        self.appended = self.appended.saturating_add(bytes);
    }

    /// Whether enough went to the current partition. A batch that is open is filled first, lest batches that are sent
    /// before they are full be followed by splinters; but not for ever, since keyed records may open one after another.
    fn is_done(&self, has_room: bool) -> bool {
        let most = if has_room { self.batch_bytes.saturating_mul(2) } else { self.batch_bytes };
        self.appended >= most
    }

    fn draw(&self, partitions: usize, backlog: impl Fn(usize) -> Backlog, random: f64) -> Option<usize> {
        let any_available = (0..partitions).any(|place| backlog(place).available);
        let candidates = || {
            let all = (0..partitions).map(|place| (place, backlog(place)));
            all.filter(move |(_, backlog)| backlog.available || !any_available)
        };
        let longest = candidates().map(|(_, backlog)| backlog.bytes).max()?;
        // The longest queue keeps the weight of one batch: a broker is seen to have recovered only if it is tried.
        let weight = |backlog: Backlog| (longest - backlog.bytes) as f64 + self.batch_bytes as f64;
        let total: f64 = candidates().map(|(_, backlog)| weight(backlog)).sum();
        let mut left = random.clamp(0.0, 1.0) * total;
        let mut drawn = None;
        for (place, backlog) in candidates() {
            drawn = Some(place);
            left -= weight(backlog);
            if left < 0.0 {
                break;
            }
        }
        drawn
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BATCH: usize = 1000;

    fn idle() -> Backlog {
        Backlog { bytes: 0, available: true, has_room: false }
    }

    fn backlogs() -> impl Strategy<Value = Vec<Backlog>> {
        let one = (0..20 * BATCH, any::<bool>(), any::<bool>());
        let one = one.prop_map(|(bytes, available, has_room)| Backlog { bytes, available, has_room });
        prop::collection::vec(one, 1..12)
    }

    /// How often each is drawn when `random` goes through its range in equal steps.
    fn draws(backlogs: &[Backlog], steps: u32) -> Vec<usize> {
        let mut counts = vec![0; backlogs.len()];
        for step in 0..steps {
            let random = (f64::from(step) + 0.5) / f64::from(steps);
            let drawn = Sticky::new(BATCH).choose(backlogs.len(), |place| backlogs[place], || random);
            counts[drawn.unwrap()] += 1;
        }
        counts
    }

    #[test]
    fn without_partitions_there_is_no_choice() {
        assert_eq!(Sticky::new(BATCH).choose(0, |_| idle(), || 0.5), None);
    }

    #[test]
    fn a_single_partition_is_always_chosen() {
        let mut sticky = Sticky::new(BATCH);
        for available in [true, false, true] {
            let only = Backlog { bytes: 7 * BATCH, available, has_room: false };
            assert_eq!(sticky.choose(1, |_| only, || 0.99), Some(0));
            sticky.on_appended(BATCH);
        }
    }

    #[test]
    fn a_partition_is_kept_until_a_batch_has_gone_there() {
        let mut sticky = Sticky::new(BATCH);
        assert_eq!(sticky.choose(4, |_| idle(), || 0.3), Some(1));
        sticky.on_appended(BATCH - 1);
        assert_eq!(sticky.choose(4, |_| idle(), || panic!("nothing is drawn yet")), Some(1));
        sticky.on_appended(1);
        assert_eq!(sticky.choose(4, |_| idle(), || 0.8), Some(3));
        sticky.on_appended(BATCH - 1);
        assert_eq!(sticky.choose(4, |_| idle(), || panic!("nothing is drawn yet")), Some(3));
    }

    #[test]
    fn an_open_batch_is_filled_first_but_not_for_ever() {
        let open = Backlog { has_room: true, ..idle() };
        let mut sticky = Sticky::new(BATCH);
        assert_eq!(sticky.choose(2, |_| open, || 0.1), Some(0));
        sticky.on_appended(2 * BATCH - 1);
        assert_eq!(sticky.choose(2, |_| open, || 0.9), Some(0));
        sticky.on_appended(1);
        assert_eq!(sticky.choose(2, |_| open, || 0.9), Some(1));
    }

    #[test]
    fn a_partition_without_a_leader_is_left_at_once_and_kept_where_none_has_one() {
        let mut sticky = Sticky::new(BATCH);
        assert_eq!(sticky.choose(3, |_| idle(), || 0.0), Some(0));
        assert_eq!(sticky.choose(3, |place| Backlog { available: place == 2, ..idle() }, || 0.0), Some(2));
        let none = |_| Backlog { available: false, ..idle() };
        assert_eq!(sticky.choose(3, none, || panic!("none is better")), Some(2));
    }

    #[test]
    fn a_topic_that_lost_partitions_is_chosen_from_anew() {
        let mut sticky = Sticky::new(BATCH);
        assert_eq!(sticky.choose(4, |_| idle(), || 0.9), Some(3));
        assert_eq!(sticky.choose(2, |_| idle(), || 0.9), Some(1));
    }

    #[test]
    fn a_few_bytes_more_hardly_count() {
        let backlogs = [idle(), Backlog { bytes: BATCH / 100, ..idle() }];
        let counts = draws(&backlogs, 1000);
        assert!(counts[1] > 490, "{counts:?}");
    }

    /// Three brokers, one of which takes a tenth of what the others take: it gets about that, and its queue does not
    /// grow without end.
    #[test]
    fn a_slow_broker_gets_less() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut sticky = Sticky::new(BATCH);
        let (mut waiting, mut got) = ([0_usize; 3], [0_usize; 3]);
        for _ in 0..30_000 {
            let choice =
                sticky.choose(3, |place| Backlog { bytes: waiting[place], ..idle() }, || random.f64());
            let place = choice.unwrap();
            sticky.on_appended(100);
            waiting[place] += 100;
            got[place] += 100;
            for (queue, speed) in waiting.iter_mut().zip([60, 60, 6]) {
                *queue = queue.saturating_sub(speed);
            }
        }
        assert!(got[2] * 5 < got[0] && got[2] * 5 < got[1], "{got:?}");
        assert!(waiting[2] < 40 * BATCH, "{waiting:?}");
    }

    proptest! {
        #[test]
        fn one_that_is_not_available_is_chosen_only_if_none_is(
            steps in prop::collection::vec((backlogs(), 0..2 * BATCH, 0.0..=1.0), 1..20),
        ) {
            let mut sticky = Sticky::new(BATCH);
            for (backlogs, appended, random) in steps {
                let chosen = sticky.choose(backlogs.len(), |place| backlogs[place], || random).unwrap();
                prop_assert!(
                    backlogs[chosen].available || backlogs.iter().all(|backlog| !backlog.available)
                );
                sticky.on_appended(appended);
            }
        }

        #[test]
        fn shares_fall_with_the_queue(backlogs in backlogs()) {
            let counts = draws(&backlogs, 2000);
            let none = backlogs.iter().all(|backlog| !backlog.available);
            let candidates: Vec<_> =
                backlogs.iter().zip(counts).filter(|(backlog, _)| backlog.available || none).collect();
            let longest = candidates.iter().map(|(backlog, _)| backlog.bytes).max().unwrap();
            let weight = |backlog: &Backlog| (longest - backlog.bytes + BATCH) as f64;
            let total: f64 = candidates.iter().map(|(backlog, _)| weight(backlog)).sum();
            for (backlog, count) in candidates {
                let expected = 2000.0 * weight(backlog) / total;
                prop_assert!((f64::from(u32::try_from(count).unwrap()) - expected).abs() <= 1.0);
            }
        }

        #[test]
        fn nothing_makes_it_panic(
            partitions in 0_usize..5,
            batch_bytes in any::<usize>(),
            bytes in any::<[usize; 5]>(),
            random in any::<f64>(),
        ) {
            let mut sticky = Sticky::new(batch_bytes);
            for appended in bytes {
                let backlog = |place: usize| Backlog { bytes: bytes[place], ..idle() };
                let chosen = sticky.choose(partitions, backlog, || random);
                prop_assert_eq!(chosen.is_some(), partitions > 0);
                prop_assert!(chosen.is_none_or(|chosen| chosen < partitions));
                sticky.on_appended(appended);
            }
        }
    }
}
