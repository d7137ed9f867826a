use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::stream::Header;

const MAX: u64 = 1 << 30;

fn message(payload: impl Into<Bytes>) -> StoredMessage {
    StoredMessage {
        topic: Some("topic".to_owned()),
        payload: payload.into(),
        key: Some("k".into()),
        headers: vec![Header::new("_id", Some("0123456789abcdef".into()))],
    }
}

fn directory() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("publisher.journal");
    (directory, path)
}

fn open(path: &Path) -> Journal {
    Journal::open(path, MAX).unwrap()
}

fn all(journal: &mut Journal) -> BTreeMap<u64, StoredMessage> {
    let unsent: Vec<u64> = journal.contents.unsent.keys().copied().collect();
    unsent.into_iter().map(|sequence| (sequence, journal.read(sequence).unwrap().unwrap())).collect()
}

/// What can be done to a journal.
#[derive(Debug, Clone)]
enum Step {
    Append(Vec<u8>),
    /// The number of a message, of those that are unsent.
    Settle(prop::sample::Index),
    Compact,
    /// As after a `kill -9`.
    Reopen,
    TornWrite(Vec<u8>),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => vec(any::<u8>(), 0..100).prop_map(Step::Append),
        4 => any::<prop::sample::Index>().prop_map(Step::Settle),
        1 => Just(Step::Compact),
        1 => Just(Step::Reopen),
        1 => vec(any::<u8>(), 1..HEAD_BYTES).prop_map(Step::TornWrite),
    ];
    vec(step, 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_journal_is_what_it_was_told(steps in steps()) {
        let (_directory, path) = directory();
        let mut journal = open(&path);
        let mut model: BTreeMap<u64, StoredMessage> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Append(payload) => {
                    let sequence = journal.append(&message(payload.clone())).unwrap();
                    prop_assert!(model.keys().all(|&other| other < sequence));
                    model.insert(sequence, message(payload));
                }
                Step::Settle(index) if !model.is_empty() => {
                    let sequence = *model.keys().nth(index.index(model.len())).unwrap();
                    journal.settle(&[sequence]).unwrap();
                    model.remove(&sequence);
                }
                Step::Settle(_) => {}
                Step::Compact => journal.compact().unwrap(),
                Step::Reopen => {
                    drop(journal);
                    journal = open(&path);
                }
                Step::TornWrite(bytes) => {
                    drop(journal);
                    OpenOptions::new().append(true).open(&path).unwrap().write_all(&bytes).unwrap();
                    journal = open(&path);
                }
            }
            prop_assert_eq!(journal.bytes, fs::metadata(&path).unwrap().len());
            prop_assert_eq!(model.is_empty(), journal.bytes == 0);
        }
        prop_assert_eq!(&all(&mut journal), &model);
        drop(journal);
        prop_assert_eq!(&all(&mut open(&path)), &model);
    }
}

#[test]
fn one_producer_at_a_time_under_whatever_name() {
    let (_directory, path) = directory();
    let mut journal = open(&path);
    assert!(matches!(Journal::open(&path, MAX), Err(JournalError::InUse { .. })));
    #[cfg(unix)]
    {
        let link = path.with_file_name("link");
        std::os::unix::fs::symlink("publisher.journal", &link).unwrap();
        assert!(matches!(Journal::open(&link, MAX), Err(JournalError::InUse { .. })));
    }
    // Nor after it was replaced.
    journal.append(&message("a")).unwrap();
    journal.compact().unwrap();
    assert!(matches!(Journal::open(&path, MAX), Err(JournalError::InUse { .. })));
    drop(journal);
    assert_eq!(open(&path).unsent(), 1);
}

#[test]
fn damage_is_named_and_left_alone() {
    let (_directory, path) = directory();
    let mut journal = open(&path);
    for payload in ["a", "b", "c"] {
        journal.append(&message(payload)).unwrap();
    }
    let second = journal.contents.unsent[&1].position;
    drop(journal);
    let mut bytes = fs::read(&path).unwrap();
    bytes[usize::try_from(second).unwrap() + 30] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let error = Journal::open(&path, MAX).unwrap_err().to_string();
    assert!(error.contains(&format!("publisher.journal is damaged at byte {second}: ")), "{error}");
    assert!(error.contains(&format!("truncate -s {second} ")), "{error}");
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

#[test]
fn a_journal_does_not_grow_with_what_was_sent() {
    let (_directory, path) = directory();
    let mut journal = open(&path);
    let kept = journal.append(&message("kept")).unwrap();
    for _ in 0..5000 {
        let sequence = journal.append(&message(vec![0; 1024])).unwrap();
        journal.settle(&[sequence]).unwrap();
        if journal.wants_compacting() {
            journal.compact().unwrap();
        }
        assert!(journal.bytes < LEAST_BYTES_TO_COMPACT + 2048);
    }
    assert_eq!(all(&mut journal), BTreeMap::from([(kept, message("kept"))]));
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 2, "the journal and its lock");
}

#[test]
fn the_bound_holds_with_what_is_still_to_be_noted() {
    const MAX: u64 = 16 * 1024;
    let (_directory, path) = directory();
    let mut journal = Journal::open(&path, MAX).unwrap();
    let small = message(vec![0; 1000]);
    assert_eq!(journal.room_for(&message(vec![0; 16 * 1024])), Room::Never);
    let mut unsent = std::collections::VecDeque::new();
    let mut refused = 0;
    for round in 0..1000 {
        match journal.room_for(&small) {
            Room::Enough => unsent.push_back(journal.append(&small).unwrap()),
            Room::AfterCompacting => journal.compact().unwrap(),
            Room::Later | Room::Never => {
                refused += 1;
                let sent: Vec<u64> = unsent.drain(..(round % 7).min(unsent.len())).collect();
                journal.settle(&sent).unwrap();
            }
        }
        assert!(fs::metadata(&path).unwrap().len() <= MAX);
    }
    assert!(refused > 10, "{refused}");
    let rest: Vec<u64> = unsent.drain(..).collect();
    journal.settle(&rest).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().len(), 0);
}

#[test]
fn what_a_failed_write_left_is_taken_back() {
    let (_directory, path) = directory();
    let mut journal = open(&path);
    journal.append(&message("a")).unwrap();
    // The file is only read: writes fail, and cannot be taken back either.
    let writable = std::mem::replace(&mut journal.file, File::open(&path).unwrap());
    assert!(matches!(journal.append(&message("b")), Err(JournalError::Io { .. })));
    assert!(journal.torn);
    // Half of it came through.
    OpenOptions::new().append(true).open(&path).unwrap().write_all(b"half of b").unwrap();
    journal.file = writable;
    let c = journal.append(&message("c")).unwrap();
    assert_eq!(all(&mut journal), BTreeMap::from([(0, message("a")), (c, message("c"))]));
    drop(journal);
    assert_eq!(all(&mut open(&path)).len(), 2);
}

#[test]
fn what_was_sent_is_noted_once_that_is_possible() {
    let (_directory, path) = directory();
    let mut journal = open(&path);
    for payload in ["a", "b", "c"] {
        journal.append(&message(payload)).unwrap();
    }
    let writable = std::mem::replace(&mut journal.file, File::open(&path).unwrap());
    assert!(journal.settle(&[0]).is_err());
    assert_eq!(journal.unsent_from(0), Some(1), "it is not sent again");
    journal.file = writable;
    journal.settle(&[1]).unwrap();
    drop(journal);
    assert_eq!(all(&mut open(&path)), BTreeMap::from([(2, message("c"))]));
}

#[test]
fn compacting_that_fails_changes_nothing() {
    let (_directory, path) = directory();
    let mut journal = open(&path);
    journal.append(&message("a")).unwrap();
    journal.append(&message("b")).unwrap();
    journal.settle(&[0]).unwrap();
    fs::create_dir(beside(&path, ".new")).unwrap();
    assert!(journal.compact().is_err());
    journal.append(&message("c")).unwrap();
    drop(journal);
    assert_eq!(all(&mut open(&path)), BTreeMap::from([(1, message("b")), (2, message("c"))]));
}

#[cfg(unix)]
#[test]
fn a_new_journal_is_private_and_an_old_one_keeps_its_mode() {
    use std::os::unix::fs::PermissionsExt as _;
    let (_directory, path) = directory();
    let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    let mut journal = open(&path);
    assert_eq!(mode(), 0o600);
    journal.append(&message("a")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    journal.compact().unwrap();
    assert_eq!(mode(), 0o640);
}

#[test]
fn the_last_number_is_not_used() {
    let (_directory, path) = directory();
    let mut bytes = Vec::new();
    message("a").encode(u64::MAX - 1, &mut bytes);
    fs::write(&path, &bytes).unwrap();
    let mut journal = open(&path);
    let error = journal.append(&message("b")).unwrap_err();
    assert!(matches!(error, JournalError::Damaged { flaw: JournalFlaw::LastNumber, .. }), "{error}");
    drop(journal);
    assert_eq!(fs::read(&path).unwrap(), bytes);
    assert_eq!(open(&path).unsent(), 1);
}
