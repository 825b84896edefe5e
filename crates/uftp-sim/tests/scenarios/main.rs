//! Whole sessions of the shipping machines over a simulated network.

#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)] // these are tests

mod adversity;
mod chaos;
mod congestion;
mod crowd;
mod death;
mod delivery;
mod endings;
mod floods;
mod forgeries;
mod protocol3;
mod proxies;
mod proxies_attacker;
mod proxies_deployed;
mod proxies_encrypted;
mod proxies_forged;
mod proxies_hostile_five;
mod proxies_lossy;
mod proxies_nested;
mod proxies_three;
mod rate;
mod standstill;
mod switched_on;

use std::time::Duration;

use uftp_session::files::SendItem;
use uftp_sim::path::{delayed, lossy};
use uftp_sim::source;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Two files that end in the middle of a block.
fn two_files(size: u64) -> [SendItem; 2] {
    [
        source::file("first", size + 7),
        source::file("dir/second", size / 2 + 1),
    ]
}
