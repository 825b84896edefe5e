//! Attackers who do anything, in any order, or what libFuzzer found.

#![allow(clippy::unwrap_used)] // these are tests

use std::fs;
use std::path::Path;

use rand::rngs::StdRng;
use rand::{Rng as _, RngExt as _, SeedableRng as _};
use uftp_sim::seeds;
use uftp_sim_fuzz::session;

#[test]
fn nothing_an_attacker_does_breaks_a_machine() {
    seeds::each(150, |seed| {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut script = vec![0; rng.random_range(0..1000)];
        rng.fill_bytes(&mut script);
        session::attacked(&script);
    });
}

#[test]
fn no_attack_that_is_kept_breaks_a_machine() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/session");
    let mut played = 0;
    for entry in fs::read_dir(corpus).unwrap() {
        let path = entry.unwrap().path();
        eprintln!("{}", path.display());
        session::attacked(&fs::read(path).unwrap());
        played += 1;
    }
    assert!(played > 0);
}
