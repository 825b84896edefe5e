//! Attackers who do anything, in any order.

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
