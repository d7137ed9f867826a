//! The numbers of a subscriber, in the text format of Prometheus, version 0.0.4.

use std::fmt::{Display, Write as _};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::kafka::{BrokerMetrics, PartitionLag};
use crate::stream::Metadata;

/// What was done with messages since the start.
#[derive(Debug, Default)]
pub(in crate::cli::subscribe) struct Tally {
    topics: Vec<Printed>,
    /// Which of them the last message was of.
    latest: usize,
    /// In milliseconds since 1970.
    timestamp: Option<i64>,
    failed: u64,
}

/// What was printed of one topic.
#[derive(Debug)]
struct Printed {
    topic: Arc<str>,
    messages: u64,
    bytes: u64,
}

impl Tally {
    /// A message with a payload of so many bytes was printed.
    pub(in crate::cli::subscribe) fn printed(&mut self, at: &Metadata, bytes: usize) {
        // Messages come by partitions: mostly it is the topic of the one before.
        if !self.topics.get(self.latest).is_some_and(|latest| Arc::ptr_eq(&latest.topic, &at.topic)) {
            self.latest = match self.topics.iter().position(|known| known.topic == at.topic) {
                Some(place) => place,
                None => {
                    self.topics.push(Printed { topic: Arc::clone(&at.topic), messages: 0, bytes: 0 });
                    self.topics.len().saturating_sub(1)
                }
            };
        }
        if let Some(latest) = self.topics.get_mut(self.latest) {
            latest.messages = latest.messages.wrapping_add(1);
            latest.bytes = latest.bytes.wrapping_add(bytes as u64);
        }
        self.timestamp = Some(at.timestamp);
    }

    /// A message could not be read, or was put among the dead letters.
    pub(in crate::cli::subscribe) fn failed(&mut self) {
        self.failed = self.failed.wrapping_add(1);
    }
}

/// What is known when somebody asks.
pub(super) struct Snapshot<'a> {
    pub(super) started: SystemTime,
    pub(super) tally: &'a Tally,
    pub(super) reads: bool,
    pub(super) lag: Vec<PartitionLag>,
    pub(super) brokers: Vec<BrokerMetrics>,
}

/// The name of a metric, its kind, what it is, and where it is.
type OfBroker = (&'static str, Kind, &'static str, fn(&BrokerMetrics) -> u64);

/// What is told of each broker.
const OF_BROKERS: [OfBroker; 5] = [
    ("hop_broker_connections_total", Kind::Counter, "Connections that were opened.", |of| of.connections),
    ("hop_broker_requests_total", Kind::Counter, "Requests that were sent.", |of| of.requests),
    ("hop_broker_requests_in_flight", Kind::Gauge, "Requests that are not answered yet.", |of| of.in_flight),
    ("hop_broker_sent_bytes_total", Kind::Counter, "Bytes of requests, before TLS.", |of| of.bytes_sent),
    ("hop_broker_received_bytes_total", Kind::Counter, "Bytes of answers, before TLS.", |of| {
        of.bytes_received
    }),
];

pub(super) fn render(mut snapshot: Snapshot<'_>) -> String {
    use Kind::{Counter, Gauge};
    let mut text = Text::default();
    let Snapshot { started, tally, reads, .. } = snapshot;
    text.family("hop_build_info", Gauge, "The version of this program.");
    text.sample(&[("version", env!("CARGO_PKG_VERSION"))], &1);
    text.family("hop_start_time_seconds", Gauge, "When this program began, in seconds since 1970.");
    text.sample(&[], &seconds(started.duration_since(UNIX_EPOCH).unwrap_or_default()));
    text.family("hop_reading", Gauge, "Whether reading goes on: 0 while it is interrupted.");
    text.sample(&[], &u8::from(reads));

    text.family("hop_messages_total", Counter, "Messages that were printed, stored or given to the command.");
    for of in &tally.topics {
        text.sample(&[("topic", &of.topic)], &of.messages);
    }
    text.family("hop_message_bytes_total", Counter, "Bytes of their payloads.");
    for of in &tally.topics {
        text.sample(&[("topic", &of.topic)], &of.bytes);
    }
    text.family(
        "hop_messages_failed_total",
        Counter,
        "Messages that could not be read, or are dead letters.",
    );
    text.sample(&[], &tally.failed);
    let help = "The time that the last message bears, in seconds since 1970.";
    text.family("hop_last_message_timestamp_seconds", Gauge, help);
    if let Some(milliseconds) = tally.timestamp.and_then(|timestamp| u64::try_from(timestamp).ok()) {
        text.sample(&[], &seconds(Duration::from_millis(milliseconds)));
    }

    snapshot.lag.sort_unstable_by(|a, b| a.partition.cmp(&b.partition));
    text.family(
        "hop_lag",
        Gauge,
        "How many offsets are left to the end of a partition, by what brokers told last.",
    );
    for of in &snapshot.lag {
        let number = of.partition.partition.to_string();
        text.sample(&[("topic", &of.partition.topic), ("partition", &number)], &of.lag());
    }

    for (name, kind, help, number) in OF_BROKERS {
        text.family(name, kind, help);
        for of in &snapshot.brokers {
            text.sample(&[("broker", &of.broker.to_string())], &number(of));
        }
    }
    text.text
}

fn seconds(since_1970: Duration) -> String {
    format!("{}.{:03}", since_1970.as_secs(), since_1970.subsec_millis())
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
}

/// The families of metrics, one after the other.
#[derive(Default)]
struct Text {
    text: String,
    family: &'static str,
}

impl Text {
    /// What follows are samples of this. Neither a name nor a help text may need escapes.
    fn family(&mut self, name: &'static str, kind: Kind, help: &str) {
        self.family = name;
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        // Writing to a string cannot fail.
        let _ = write!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn sample(&mut self, labels: &[(&str, &str)], value: &dyn Display) {
        self.text.push_str(self.family);
        let mut before = '{';
        for (name, value) in labels {
            let _ = write!(self.text, "{before}{name}=\"");
            self.escape(value);
            self.text.push('"');
            before = ',';
        }
        let _ = writeln!(self.text, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }

    fn escape(&mut self, value: &str) {
        for letter in value.chars() {
            match letter {
                '\\' => self.text.push_str("\\\\"),
                '"' => self.text.push_str("\\\""),
                '\n' => self.text.push_str("\\n"),
                letter => self.text.push(letter),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::TopicPartition;
    use crate::stream::Headers;

    fn message(topic: &Arc<str>, timestamp: i64) -> Metadata {
        Metadata { topic: Arc::clone(topic), ..Metadata::for_tests("", 0, 0, timestamp, Headers::default()) }
    }

    fn rendered(tally: &Tally, lag: Vec<PartitionLag>) -> String {
        let started = UNIX_EPOCH + Duration::from_millis(1_234_567);
        render(Snapshot { started, tally, reads: true, lag, brokers: Vec::new() })
    }

    #[test]
    fn messages_are_counted_by_topic() {
        let mut tally = Tally::default();
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        for (topic, bytes) in [(&a, 10), (&a, 20), (&b, 5), (&Arc::from("a"), 1)] {
            tally.printed(&message(topic, 1_500), bytes);
        }
        tally.failed();
        let text = rendered(&tally, Vec::new());
        for line in [
            "hop_messages_total{topic=\"a\"} 3",
            "hop_messages_total{topic=\"b\"} 1",
            "hop_message_bytes_total{topic=\"a\"} 31",
            "hop_message_bytes_total{topic=\"b\"} 5",
            "hop_messages_failed_total 1",
            "hop_last_message_timestamp_seconds 1.500",
            "hop_start_time_seconds 1234.567",
            "hop_reading 1",
        ] {
            assert!(text.lines().any(|known| known == line), "{line}\n{text}");
        }
    }

    #[test]
    fn before_the_first_message_it_has_no_time() {
        let text = rendered(&Tally::default(), Vec::new());
        assert!(text.contains("# TYPE hop_last_message_timestamp_seconds gauge\n# HELP"), "{text}");
        assert!(text.ends_with('\n'));
    }

    #[test]
    fn partitions_are_in_order_and_labels_escaped() {
        let lag = |topic: &str, partition, position| PartitionLag {
            partition: TopicPartition::new(topic, partition),
            position,
            end: 10,
        };
        let text = rendered(&Tally::default(), vec![lag("t", 2, 10), lag("t", 0, 3), lag("a\\\"\n", 0, 12)]);
        let lines: Vec<_> = text.lines().filter(|line| line.starts_with("hop_lag")).collect();
        assert_eq!(
            lines,
            [
                "hop_lag{topic=\"a\\\\\\\"\\n\",partition=\"0\"} 0",
                "hop_lag{topic=\"t\",partition=\"0\"} 7",
                "hop_lag{topic=\"t\",partition=\"2\"} 0",
            ]
        );
    }
}
