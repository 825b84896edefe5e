//! What libFuzzer found once breaks no law today.

#![allow(clippy::unwrap_used)] // these are tests

use std::fs;
use std::path::Path;

use uftp_proto_fuzz::{key, packet};

/// Every file of a corpus, by its name.
fn corpus(name: &str) -> Vec<(String, Vec<u8>)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(name);
    let files = fs::read_dir(directory).unwrap().map(|entry| {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        (name, fs::read(entry.path()).unwrap())
    });
    files.collect()
}

#[test]
fn packets_that_were_found_break_no_law() {
    let found = corpus("packet");
    assert!(!found.is_empty());
    for (name, bytes) in found {
        eprintln!("{name}");
        packet::receive(&bytes);
    }
}

#[test]
fn keys_that_were_found_break_no_law() {
    let found = corpus("key");
    assert!(!found.is_empty());
    for (name, bytes) in found {
        eprintln!("{name}");
        key::anything(&bytes);
    }
}
