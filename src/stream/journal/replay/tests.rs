use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;

use super::super::record::{StoredMessage, encode_sent};
use super::*;
use crate::stream::Header;

fn message(payload: &[u8]) -> StoredMessage {
    StoredMessage {
        topic: Some("topic".to_owned()),
        payload: Bytes::copy_from_slice(payload),
        key: None,
        headers: vec![Header::new("_id", Some("0123456789abcdef".into()))],
    }
}

/// What a journal was told, and the model of it.
#[derive(Debug, Clone, Default)]
struct Told {
    bytes: Vec<u8>,
    /// Where each record ends, and the messages that are unsent then.
    ends: Vec<(usize, BTreeMap<u64, StoredMessage>)>,
}

impl Told {
    fn of(steps: &[Option<Vec<u8>>]) -> Self {
        let mut told = Self::default();
        let (mut unsent, mut next) = (BTreeMap::new(), 0);
        for step in steps {
            match step {
                Some(payload) => {
                    message(payload).encode(next, &mut told.bytes);
                    unsent.insert(next, message(payload));
                    next += 1;
                }
                None => {
                    // Not always the first: answers come as they will.
                    let Some(&sequence) = unsent.keys().nth(told.bytes.len() % unsent.len().max(1)) else {
                        continue;
                    };
                    encode_sent(sequence, &mut told.bytes);
                    unsent.remove(&sequence);
                }
            }
            told.ends.push((told.bytes.len(), unsent.clone()));
        }
        told
    }

    /// The last record that ends at or before this byte.
    fn before(&self, cut: usize) -> (usize, BTreeMap<u64, StoredMessage>) {
        self.ends.iter().rev().find(|(end, _)| *end <= cut).cloned().unwrap_or_default()
    }
}

/// The messages that stand where a replay says.
fn messages(bytes: &[u8], replayed: &Replayed) -> BTreeMap<u64, StoredMessage> {
    let read = |place: &Place| {
        let from = usize::try_from(place.position).unwrap();
        let record = &bytes[from..from + usize::try_from(place.bytes).unwrap()];
        let head = Head::decode(*record.first_chunk().unwrap()).unwrap();
        match head.read_body(Bytes::copy_from_slice(&record[HEAD_BYTES..])).unwrap() {
            Entry::Message { sequence, message } => (sequence, message),
            Entry::Sent { .. } => panic!("no message"),
        }
    };
    replayed.contents.unsent.values().map(read).collect()
}

fn damage(bytes: &[u8]) -> (u64, JournalFlaw) {
    match replay(bytes) {
        Err(ReplayError::Damaged { position, flaw }) => (position, flaw),
        other => panic!("{other:?}"),
    }
}

fn steps() -> impl Strategy<Value = Vec<Option<Vec<u8>>>> {
    vec(prop_oneof![2 => vec(any::<u8>(), 0..40).prop_map(Some), 1 => Just(None)], 0..20)
}

proptest! {
    #[test]
    fn a_cut_anywhere_loses_nothing_before_it(steps in steps()) {
        let told = Told::of(&steps);
        for cut in 0..=told.bytes.len() {
            let bytes = &told.bytes[..cut];
            let replayed = replay(bytes).unwrap();
            let (end, unsent) = told.before(cut);
            prop_assert_eq!(replayed.sound_bytes, end as u64);
            prop_assert_eq!(replayed.torn_bytes, (cut - end) as u64);
            prop_assert_eq!(messages(bytes, &replayed), unsent);
        }
    }

    #[test]
    fn a_changed_byte_is_an_error_or_a_clean_cut_before_it(
        steps in steps(),
        at in any::<prop::sample::Index>(),
        change in 1_u8..,
    ) {
        let told = Told::of(&steps);
        prop_assume!(!told.bytes.is_empty());
        let at = at.index(told.bytes.len());
        let mut bytes = told.bytes.clone();
        bytes[at] ^= change;
        let (end, unsent) = told.before(at);
        match replay(&bytes[..]) {
            Ok(replayed) => {
                prop_assert_eq!(replayed.sound_bytes, end as u64);
                prop_assert_eq!(messages(&bytes, &replayed), unsent);
            }
            Err(ReplayError::Damaged { position, .. }) => prop_assert_eq!(position, end as u64),
            Err(ReplayError::Io(error)) => panic!("{error}"),
        }
    }

    #[test]
    fn anything_holds_together(bytes in vec(any::<u8>(), 0..200)) {
        prop_assert!(super::super::holds_together(&bytes));
    }

    #[test]
    fn zeros_for_the_last_sectors_are_a_torn_end(
        steps in steps(),
        large in 600_usize..3000,
        more in 0_usize..3000,
        lost in 0_usize..3000,
    ) {
        let mut told = Told::of(&steps);
        let sound = told.bytes.len();
        message(&vec![7; large]).encode(100, &mut told.bytes);
        let whole = told.bytes.len();
        let sector = (sound + lost).next_multiple_of(512);
        prop_assume!(sector < whole);
        told.bytes[sector..].fill(0);
        told.bytes.resize(whole + more, 0);
        let replayed = replay(&told.bytes[..]).unwrap();
        prop_assert_eq!(replayed.sound_bytes, sound as u64);
        prop_assert_eq!(messages(&told.bytes, &replayed), told.before(sound).1);
    }
}

#[test]
fn zeros_alone_are_a_torn_end() {
    let told = Told::of(&[Some(vec![1; 10])]);
    for zeros in [1, 24, 31, 4096] {
        let bytes = [&told.bytes[..], &vec![0; zeros]].concat();
        let replayed = replay(&bytes[..]).unwrap();
        assert_eq!((replayed.sound_bytes, replayed.torn_bytes), (told.bytes.len() as u64, zeros as u64));
    }
}

#[test]
fn zeros_with_something_behind_are_damage() {
    let told = Told::of(&[Some(vec![1; 10])]);
    let bytes = [&told.bytes[..], &[0; 1000], b"x"].concat();
    assert_eq!(damage(&bytes), (told.bytes.len() as u64, JournalFlaw::HeadChecksum));
}

#[test]
fn damage_in_the_last_record_is_no_torn_end() {
    let mut told = Told::of(&[Some(vec![1; 10]), Some(vec![2; 700])]);
    let (first, _) = told.before(told.bytes.len() - 1);
    told.bytes[first + 300] ^= 1;
    assert_eq!(damage(&told.bytes), (first as u64, JournalFlaw::BodyChecksum));
    told.bytes[first] ^= 1;
    assert_eq!(damage(&told.bytes), (first as u64, JournalFlaw::HeadChecksum));
}

fn record(kind: u64, length: u64, body: &[u8]) -> Vec<u8> {
    let mut head = [kind.to_be_bytes(), length.to_be_bytes()].concat();
    head.extend(crc32fast::hash(body).to_be_bytes());
    head.extend(crc32fast::hash(&head).to_be_bytes());
    [&head, body].concat()
}

fn numbers(numbers: &[u64]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
}

#[test]
fn what_is_sound_by_its_checksums_may_be_wrong_all_the_same() {
    let whole = |kind, body: &[u8]| record(kind, body.len() as u64, body);
    for (bytes, flaw) in [
        (whole(9, b""), JournalFlaw::Kind { kind: 9 }),
        (record(2, u64::MAX, b""), JournalFlaw::TooLarge { bytes: u64::MAX }),
        (whole(1, &numbers(&[7])), JournalFlaw::NotThere { sequence: 7 }),
        (whole(1, &numbers(&[7, 7])), JournalFlaw::Lengths),
        (whole(1, b""), JournalFlaw::Lengths),
        // Sequence, topic, payload, key, headers.
        (whole(2, &numbers(&[0, u64::MAX, 0, 0, 0])), JournalFlaw::Lengths),
        (whole(2, &numbers(&[0, 0, 1 << 40, 0, 0])), JournalFlaw::Lengths),
        (whole(2, &numbers(&[0, 0, 0, 0, u64::MAX])), JournalFlaw::Lengths),
        (whole(2, &numbers(&[0, 0, 0, 0, 1, 0])), JournalFlaw::Lengths),
        (whole(2, &numbers(&[0, 0, 0, 0, 0, 0])), JournalFlaw::Lengths),
        (whole(2, &[&numbers(&[0, 1])[..], b"\xff", &numbers(&[0, 0, 0])].concat()), JournalFlaw::Topic),
        (whole(2, &numbers(&[u64::MAX, 0, 0, 0, 0])), JournalFlaw::LastNumber),
    ] {
        assert_eq!(damage(&bytes), (0, flaw));
        assert!(super::super::holds_together(&bytes));
    }
    let twice = whole(2, &numbers(&[3, 0, 0, 0, 0])).repeat(2);
    assert_eq!(damage(&twice), (64, JournalFlaw::Twice { sequence: 3 }));
}

#[test]
fn a_length_that_is_not_there_takes_no_memory() {
    // A record that says it has 100 MB, of which 10 bytes are there.
    let bytes = record(2, 100 << 20, b"0123456789");
    let replayed = replay(&bytes[..]).unwrap();
    assert_eq!((replayed.sound_bytes, replayed.torn_bytes), (0, 34));
}
