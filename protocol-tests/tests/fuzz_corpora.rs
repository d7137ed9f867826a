//! The fuzz targets over their committed corpora, on stable Rust and in every run of the tests.

use std::fs;
use std::path::{Path, PathBuf};

use protocol_tests::fuzz_bodies::TARGETS;

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz")
}

#[test]
fn every_seed_is_taken() {
    for (name, body) in TARGETS {
        let directory = fuzz().join("corpus").join(name);
        let seeds: Vec<PathBuf> = fs::read_dir(&directory)
            .unwrap_or_else(|error| panic!("{}: {error}", directory.display()))
            .map(|entry| entry.unwrap().path())
            .collect();
        assert!(seeds.len() >= 2, "{} has too few seeds", directory.display());
        for seed in seeds {
            let data = fs::read(&seed).unwrap();
            body(&data);
            // What a peer may cut off.
            for end in (0..data.len()).step_by(data.len() / 50 + 1) {
                body(&data[..end]);
            }
        }
    }
}

#[test]
fn no_target_is_forgotten() {
    let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
    let declared: Vec<&str> = manifest
        .lines()
        .filter_map(|line| line.strip_prefix("path = \"fuzz_targets/")?.strip_suffix(".rs\""))
        .collect();
    let known: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    assert_eq!(declared, known);
    for name in known {
        assert!(fuzz().join("fuzz_targets").join(name).with_extension("rs").exists(), "{name}");
    }
}
