//! Attackers who do anything, in any order, or what libFuzzer found.

#![allow(clippy::unwrap_used)] // these are tests

use std::fs;
use std::path::Path;

use rand::rngs::StdRng;
use rand::{Rng as _, RngExt as _, SeedableRng as _};
use uftp_sim::seeds;
use uftp_sim_fuzz::session;

/// A session that bytes attack.
type Attacked = fn(&[u8]);

fn attack_at_random(count: u64, attacked: Attacked) {
    seeds::each(count, |seed| {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut script = vec![0; rng.random_range(0..1000)];
        rng.fill_bytes(&mut script);
        attacked(&script);
    });
}

fn play_kept(directory: &str, attacked: Attacked) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let mut played = 0;
    for entry in fs::read_dir(corpus.join(directory)).unwrap() {
        let path = entry.unwrap().path();
        eprintln!("{}", path.display());
        attacked(&fs::read(path).unwrap());
        played += 1;
    }
    assert!(played > 0);
}

#[test]
fn nothing_an_attacker_does_breaks_a_machine() {
    attack_at_random(150, session::attacked);
}

#[test]
fn nothing_an_attacker_does_breaks_a_machine_under_keys() {
    attack_at_random(100, session::attacked_under_keys);
}

#[test]
fn no_attack_that_is_kept_breaks_a_machine() {
    play_kept("session", session::attacked);
    play_kept("encrypted", session::attacked_under_keys);
}
