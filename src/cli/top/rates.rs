//! How much comes into topics: what is known after each answer of the brokers, without a clock and without a socket.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

/// For how many intervals it is remembered what came.
pub(super) const INTERVALS: usize = 30;

/// What the brokers said of one topic: of each partition its number, where it begins and where it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TopicOffsets {
    pub(super) name: String,
    pub(super) partitions: Vec<(i32, Option<Ends>)>,
}

/// Where a partition begins, and the offset that its next message gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ends {
    pub(super) earliest: i64,
    pub(super) next: i64,
}

/// What is known of one topic now.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) partitions: usize,
    /// As many as lie between the earliest and the latest offset; `None` where no partition has said so yet.
    pub(super) messages: Option<i64>,
    /// Messages a second in the last interval; `None` before there was one.
    pub(super) rate: Option<f64>,
    /// The same of earlier intervals, the last at the end; `None` for one in which nobody answered.
    pub(super) history: Vec<Option<f64>>,
    /// Whether anything came since the first answer.
    pub(super) has_moved: bool,
}

impl Row {
    /// Whether something came in the last interval.
    pub(super) fn moves(&self) -> bool {
        self.rate.is_some_and(|rate| rate > 0.0)
    }
}

/// All topics, and what came into them.
#[derive(Debug, Default)]
pub(super) struct Rates {
    topics: BTreeMap<String, Topic>,
    told_at: Option<Instant>,
}

#[derive(Debug, Default)]
struct Topic {
    /// Those that are listed, with what they said last, if they have said anything.
    partitions: BTreeMap<i32, Option<Ends>>,
    history: VecDeque<Option<f64>>,
    has_moved: bool,
    /// For how many answers it has not been there. One that was left out by a broker that starts comes back.
    absent: usize,
}

impl Rates {
    /// The brokers answered.
    pub(super) fn told(&mut self, now: Instant, topics: &[TopicOffsets]) {
        let seconds = self.told_at.map(|before| now.saturating_duration_since(before).as_secs_f64());
        self.told_at = Some(now);
        for topic in self.topics.values_mut() {
            topic.absent += 1;
        }
        for told in topics {
            let topic = self.topics.entry(told.name.clone()).or_default();
            let moved = topic.told(told, seconds.is_none());
            if let Some(seconds) = seconds.filter(|&seconds| seconds > 0.0) {
                topic.remember(Some(moved / seconds));
            }
        }
        self.topics.retain(|_, topic| topic.absent < INTERVALS);
        for topic in self.topics.values_mut().filter(|topic| topic.absent > 0) {
            topic.remember(None);
        }
    }

    /// An interval has passed without an answer.
    pub(super) fn missed(&mut self) {
        for topic in self.topics.values_mut() {
            topic.remember(None);
        }
    }

    /// Those that there are: what moves most comes first, what never moved last.
    pub(super) fn rows(&self) -> Vec<Row> {
        let there = self.topics.iter().filter(|(_, topic)| topic.absent == 0);
        let mut rows: Vec<_> = there.map(|(name, topic)| topic.row(name)).collect();
        rows.sort_by(|a, b| {
            let rate = |row: &Row| row.rate.unwrap_or_default();
            let by_rate = rate(b).total_cmp(&rate(a));
            b.has_moved.cmp(&a.has_moved).then(by_rate).then_with(|| a.name.cmp(&b.name))
        });
        rows
    }
}

impl Topic {
    /// Takes over what was said; how many messages came since it was said before.
    fn told(&mut self, told: &TopicOffsets, is_first: bool) -> f64 {
        let was_away = std::mem::take(&mut self.absent) > 1;
        self.partitions.retain(|known, _| told.partitions.iter().any(|(number, _)| number == known));
        let mut moved = 0_i64;
        for &(number, ends) in &told.partitions {
            let before = self.partitions.get(&number).copied();
            self.partitions.insert(number, ends.or(before.flatten()));
            let Some(ends) = ends else { continue };
            let since = match before {
                // It was not there before, or is another of the same name: all in it is new.
                None => ends.earliest,
                Some(Some(before)) if was_away && ends.next < before.next => ends.earliest,
                // What was cut off came before.
                Some(Some(before)) => before.next.min(ends.next),
                // It was there and said nothing: how much of it is new, nobody knows.
                Some(None) => ends.next,
            };
            moved = moved.saturating_add(ends.next.saturating_sub(since).max(0));
        }
        if is_first {
            return 0.0;
        }
        self.has_moved |= moved > 0;
        as_float(moved)
    }

    fn remember(&mut self, rate: Option<f64>) {
        self.history.push_back(rate);
        if self.history.len() > INTERVALS {
            self.history.pop_front();
        }
    }

    fn row(&self, name: &str) -> Row {
        let between =
            self.partitions.values().flatten().map(|ends| ends.next.saturating_sub(ends.earliest).max(0));
        Row {
            name: name.to_owned(),
            partitions: self.partitions.len(),
            messages: between.reduce(i64::saturating_add),
            rate: self.history.back().copied().flatten(),
            history: self.history.iter().copied().collect(),
            has_moved: self.has_moved,
        }
    }
}

/// Exact up to 2^53, which no interval brings.
#[expect(clippy::cast_precision_loss, reason = "what is lost shows in no rate")]
fn as_float(count: i64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn topic(name: &str, partitions: &[(i64, i64)]) -> TopicOffsets {
        let ends = |&(earliest, next): &(i64, i64)| Some(Ends { earliest, next });
        TopicOffsets { name: name.to_owned(), partitions: (0..).zip(partitions.iter().map(ends)).collect() }
    }

    /// What is known after answers that come 2 s apart; `None` where there was none.
    fn after(answers: &[Option<&[TopicOffsets]>]) -> Rates {
        let begin = Instant::now();
        let mut rates = Rates::default();
        for (number, answer) in (0..).zip(answers) {
            match answer {
                Some(topics) => rates.told(begin + Duration::from_secs(2 * number), topics),
                None => rates.missed(),
            }
        }
        rates
    }

    fn rates_of(rates: &Rates) -> Vec<(String, Option<f64>)> {
        rates.rows().into_iter().map(|row| (row.name, row.rate)).collect()
    }

    #[test]
    fn the_first_answer_has_counts_and_no_rates() {
        let rows = after(&[Some(&[topic("a", &[(5, 15), (0, 7)])])]).rows();
        let a = Row {
            name: "a".to_owned(),
            partitions: 2,
            messages: Some(17),
            rate: None,
            history: vec![],
            has_moved: false,
        };
        assert_eq!(rows, [a]);
    }

    #[test]
    fn a_rate_is_what_came_by_the_time_between_answers() {
        let first = [topic("a", &[(0, 10), (0, 0)]), topic("b", &[(0, 3)])];
        let second = [topic("a", &[(4, 14), (0, 2)]), topic("b", &[(0, 3)])];
        let rates = after(&[Some(&first), Some(&second)]);
        assert_eq!(rates_of(&rates), [("a".to_owned(), Some(3.0)), ("b".to_owned(), Some(0.0))]);
        assert_eq!(rates.rows().iter().map(|row| row.messages).collect::<Vec<_>>(), [Some(12), Some(3)]);
        // Somebody was out of reach: what came meanwhile is spread over all of the time.
        let rates = after(&[Some(&first), None, None, Some(&second)]);
        let [a, _] = &rates.rows()[..] else { panic!() };
        assert_eq!((a.rate, &a.history[..]), (Some(1.0), &[None, None, Some(1.0)][..]));
    }

    #[test]
    fn what_moves_most_is_first_and_what_never_moved_last() {
        let at = |a, b, c, d| {
            [topic("d", &[(0, d)]), topic("c", &[(0, c)]), topic("b", &[(0, b)]), topic("a", &[(0, a)])]
        };
        let rates = after(&[Some(&at(0, 0, 9, 0)), Some(&at(0, 4, 9, 0)), Some(&at(0, 4, 9, 8))]);
        let names: Vec<_> = rates.rows().into_iter().map(|row| row.name).collect();
        assert_eq!(names, ["d", "b", "a", "c"]);
    }

    #[test]
    fn topics_and_partitions_come_and_go() {
        let old = topic("old", &[(0, 7)]);
        let rates = after(&[Some(&[]), Some(std::slice::from_ref(&old))]);
        assert_eq!(rates_of(&rates), [("old".to_owned(), Some(3.5))]);
        // A partition more, with all that came into it.
        let grown = topic("old", &[(0, 7), (0, 2)]);
        let rates = after(&[Some(std::slice::from_ref(&old)), Some(&[grown])]);
        assert_eq!(rates_of(&rates), [("old".to_owned(), Some(1.0))]);
        let gone = after(&[Some(std::slice::from_ref(&old)), Some(&[])]);
        assert_eq!(gone.rows(), []);
        // It was left out once, as a broker does that has just started.
        let same = topic("old", &[(0, 9)]);
        let back = after(&[Some(std::slice::from_ref(&old)), Some(&[]), Some(&[same])]);
        assert_eq!(rates_of(&back), [("old".to_owned(), Some(1.0))]);
        assert_eq!(back.rows()[0].history, [None, Some(1.0)]);
        // It was made anew.
        let other = topic("old", &[(0, 4)]);
        let anew = after(&[Some(std::slice::from_ref(&old)), Some(&[]), Some(&[other])]);
        assert_eq!(rates_of(&anew), [("old".to_owned(), Some(2.0))]);
    }

    #[test]
    fn a_log_that_was_cut_has_not_moved() {
        let rates = after(&[Some(&[topic("a", &[(0, 10)])]), Some(&[topic("a", &[(0, 4)])])]);
        assert_eq!(rates_of(&rates), [("a".to_owned(), Some(0.0))]);
    }

    #[test]
    fn a_partition_that_does_not_answer_keeps_what_is_known() {
        let mut silent = topic("a", &[(0, 10)]);
        silent.partitions[0].1 = None;
        let rates = after(&[Some(&[topic("a", &[(0, 10)])]), Some(std::slice::from_ref(&silent))]);
        assert_eq!((rates.rows()[0].messages, rates.rows()[0].rate), (Some(10), Some(0.0)));
        assert_eq!(after(&[Some(std::slice::from_ref(&silent))]).rows()[0].messages, None);
        // What it had when it was heard of first is not new.
        let heard = after(&[Some(&[silent]), Some(&[topic("a", &[(0, 10)])])]);
        assert_eq!((heard.rows()[0].messages, heard.rows()[0].rate), (Some(10), Some(0.0)));
    }

    #[test]
    fn only_the_last_intervals_are_remembered() {
        let topics: Vec<_> = (0..100).map(|next| [topic("a", &[(0, next)])]).collect();
        let answers: Vec<_> = topics.iter().map(|topics| Some(&topics[..])).collect();
        let rates = after(&answers);
        assert_eq!(rates.rows()[0].history, [Some(0.5); INTERVALS]);
        // And what is gone for as long is forgotten.
        let gone: Vec<_> =
            [answers[0]].into_iter().chain(std::iter::repeat_n(Some(&[][..]), INTERVALS)).collect();
        assert!(after(&gone).topics.is_empty());
    }

    #[test]
    fn numbers_that_cannot_be_are_no_harm() {
        let odd = [topic("a", &[(i64::MAX, i64::MIN), (0, i64::MAX), (0, i64::MAX)])];
        let rates = after(&[Some(&[topic("a", &[(0, 0), (0, 0), (0, 0)])]), Some(&odd), Some(&odd)]);
        assert_eq!(rates.rows()[0].messages, Some(i64::MAX));
    }
}
