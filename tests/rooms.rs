//! The walls of ARCHITECTURE.md: which part of the library uses which.

#![expect(clippy::unwrap_used, reason = "tests say what is wrong by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Each room and what it may use. The broker shares the wire with the client and nothing else: what both got wrong would
/// not show.
const ROOMS: &[(&str, &[&str])] = &[
    ("auth", &["config"]),
    ("blocking", &["auth", "kafka", "models", "stream", "wire"]),
    ("broker", &["wire"]),
    ("cli", &["auth", "broker", "config", "kafka", "models", "stream", "wire"]),
    ("config", &[]),
    ("kafka", &["wire"]),
    ("models", &[]),
    ("stream", &["auth", "kafka", "models", "wire"]),
    ("wire", &[]),
];

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

/// The rooms that a file names, as `crate::room` or out of a group `crate::{...}`.
fn used(source: &str) -> BTreeSet<String> {
    let code = source.lines().filter(|line| !line.trim_start().starts_with("//"));
    let code: String = code.collect::<Vec<_>>().join("\n");
    let names = code.split("crate::").skip(1).map(|rest| {
        assert!(!rest.starts_with('{'), "name each room in a line of its own: crate::{rest:.20}");
        rest.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect()
    });
    names.collect()
}

#[test]
fn no_room_uses_what_it_may_not() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for (room, may_use) in ROOMS {
        let files = files(&source.join(room));
        assert!(!files.is_empty(), "{room} is empty");
        for file in files {
            let used = used(&fs::read_to_string(&file).unwrap());
            let rooms = used.iter().filter(|name| ROOMS.iter().any(|(known, _)| known == name));
            for other in rooms.filter(|other| *other != room) {
                assert!(may_use.contains(&other.as_str()), "{} uses {other}", file.display());
            }
            if *room == "broker" {
                // Not even what is shown at the root.
                assert!(
                    used.iter().all(|name| ["broker", "wire"].contains(&name.as_str())),
                    "{}",
                    file.display()
                );
            }
        }
    }
    for entry in fs::read_dir(&source).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            assert!(ROOMS.iter().any(|(room, _)| *room == name), "{name} is in nobody's list");
        }
    }
}
