use std::fmt::Write as _;

use super::round_robin::RoundRobin;
use super::sticky::{Backlog, Sticky};
use super::*;

/// What Java's client does; written by `protocol-tests/vectors/Draws.java`, which says what the lines mean.
const JAVA: &str = include_str!("../../../protocol-tests/vectors/partitions/java-draws.txt");

fn unplaced(key: Option<&[u8]>) -> Unplaced<'_> {
    Unplaced::new("topic", key, Some(b"value"))
}

// ---- Partitioners -----------------------------------------------------------------------------------------------

#[test]
fn keys_are_placed_by_their_crc32() {
    // The check value of CRC-32 for "123456789" is 0xcbf43926.
    let placed = |partitions| Partitioner::default().place(&unplaced(Some(b"123456789")), partitions);
    assert_eq!(placed(1000), Placement::At(262)); // 0xcbf43926 % 1000
    assert_eq!(placed(1), Placement::At(0));
}

#[test]
fn an_empty_key_decides_for_java_only_and_no_key_for_nobody() {
    let placed = |partitioner: Partitioner, key| partitioner.place(&unplaced(key), 7);
    assert_eq!(placed(Partitioner::ConsistentRandom, Some(b"")), Placement::Any);
    assert!(matches!(placed(Partitioner::Murmur2, Some(b"")), Placement::At(_)));
    assert_eq!(placed(Partitioner::ConsistentRandom, None), Placement::Any);
    assert_eq!(placed(Partitioner::Murmur2, None), Placement::Any);
}

#[test]
fn some_do_not_look_at_keys() {
    assert_eq!(Partitioner::UniformSticky.place(&unplaced(Some(b"k")), 3), Placement::Any);
    assert_eq!(Partitioner::RoundRobin.place(&unplaced(Some(b"k")), 3), Placement::InTurn);
}

#[test]
fn a_topic_without_partitions_makes_nobody_panic() {
    for partitions in [0, -1, i32::MIN] {
        assert_eq!(Partitioner::ConsistentRandom.place(&unplaced(Some(b"k")), partitions), Placement::Any);
        assert_eq!(Partitioner::Murmur2.place(&unplaced(Some(b"k")), partitions), Placement::Any);
    }
}

#[test]
fn the_users_own_sees_topic_key_and_value() {
    #[derive(Debug)]
    struct ByLengths;

    impl Place for ByLengths {
        fn place(&self, record: &Unplaced<'_>, partitions: i32) -> Placement {
            let bytes =
                record.topic.len() + record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len);
            Placement::At(i32::try_from(bytes).unwrap() + partitions)
        }
    }

    let partitioner = Partitioner::custom(ByLengths);
    assert_eq!(partitioner.place(&unplaced(Some(b"key")), 100), Placement::At(113));
    assert_eq!(partitioner.to_string(), "ByLengths");
}

#[test]
fn names_are_those_of_kafkas_settings() {
    for name in ["consistent_random", "murmur2_random", "uniform_sticky", "round_robin"] {
        assert_eq!(name.parse::<Partitioner>().unwrap().to_string(), name);
    }
    let package = "org.apache.kafka.clients.producer.";
    for (alias, name) in [
        ("random", "uniform_sticky"),
        ("RoundRobinPartitioner", "round_robin"),
        (&format!("{package}RoundRobinPartitioner"), "round_robin"),
        (&format!("{package}UniformStickyPartitioner"), "uniform_sticky"),
        (&format!("{package}internals.DefaultPartitioner"), "murmur2_random"),
    ] {
        assert_eq!(alias.parse::<Partitioner>().unwrap().to_string(), name, "{alias}");
    }
}

#[test]
fn an_unknown_name_is_answered_with_those_there_are() {
    let error = "fnv1a".parse::<Partitioner>().unwrap_err();
    assert_eq!(
        error.to_string(),
        "'fnv1a' is no partitioner; there are consistent_random, murmur2_random, uniform_sticky and round_robin"
    );
}

#[test]
fn payloads_do_not_show() {
    let mut shown = String::new();
    write!(shown, "{:?}", Unplaced::new("topic", Some(b"AAAA"), None)).unwrap();
    assert_eq!(shown, r#"Unplaced { topic: "topic", key_bytes: Some(4), value_bytes: None }"#);
}

// ---- As Java ----------------------------------------------------------------------------------------------------

const BATCH: usize = 100;

/// The lines that begin with a word: what stands before `=`, and the partitions behind it.
fn java(word: &str) -> Vec<(Vec<&'static str>, Vec<usize>)> {
    let lines = JAVA.lines().filter_map(|line| line.strip_prefix(word)?.split_once(" = "));
    let lines: Vec<_> = lines
        .map(|(asked, places)| {
            let places = places.split(' ').map(|place| place.parse().unwrap()).collect();
            (asked.split_whitespace().collect(), places)
        })
        .collect();
    assert!(lines.len() >= 20, "{word}: {} lines", lines.len());
    lines
}

#[test]
fn partitions_are_drawn_as_java_draws_them() {
    for (queues, drawn) in java("draw") {
        let backlog = |place: usize| {
            let batches = queues[place].parse::<usize>().ok();
            Backlog { bytes: batches.unwrap_or(0) * BATCH, available: batches.is_some(), has_room: false }
        };
        let ours: Vec<_> = (0..drawn.len())
            .map(|step| {
                let random = (step as f64 + 0.5) / drawn.len() as f64;
                Sticky::new(BATCH).choose(queues.len(), backlog, || random).unwrap()
            })
            .collect();
        assert_eq!(ours, drawn, "{queues:?}");
    }
}

#[test]
fn partitions_are_kept_for_as_long_as_java_keeps_them() {
    for (records, places) in java("keep") {
        assert_eq!(records[0], BATCH.to_string());
        let mut sticky = Sticky::new(BATCH);
        let mut has_room = false;
        let mut draws = 0_u32;
        for (record, place) in records[1..].iter().zip(places) {
            let backlog = |_| Backlog { bytes: 0, available: true, has_room };
            let random = || {
                draws += 1;
                if draws % 2 == 1 { 0.25 } else { 0.75 }
            };
            assert_eq!(sticky.choose(2, backlog, random), Some(place), "{records:?}");
            has_room = record.ends_with('+');
            sticky.on_appended(record.trim_end_matches('+').parse().unwrap());
        }
    }
}

#[test]
fn turns_are_taken_as_in_java() {
    for (queues, places) in java("turn") {
        let mut turn = RoundRobin::default();
        for place in places {
            assert_eq!(turn.take(queues.len(), |place| queues[place] != "-"), Some(place), "{queues:?}");
        }
    }
}
