//! Very many true receivers that all begin in the same instant, as after a power cut.

use uftp_proto::crypto::Suite;
use uftp_session::Refusal;
use uftp_sim::proxies::{Networks, Reach};
use uftp_sim::{Figure, seeds, source};

use super::proxies_encrypted::{encrypted, five, suites};
use super::{lossy, ms, secs};

/// A figure of receivers that prove who they are, on short paths that lose a little.
fn figure(reach: Reach, local: usize, remote: &[usize], modern: bool) -> Figure {
    let items = [source::file("f", 50_000)];
    let figure = Figure::new(seeds::one(1), reach, local, remote, items).with(|f| {
        (f.up, f.down) = (lossy(0.02), lossy(0.02));
        (f.up.delay, f.down.delay) = (ms(1), ms(1));
    });
    match modern {
        false => figure.with(encrypted(Suite {
            client_auth: true,
            ..suites()[1]
        })),
        true => figure.with(five(true)),
    }
}

fn refused(networks: &Networks) -> u64 {
    let proxies = 0..networks.proxies.len();
    let counters = proxies.map(|k| networks.proxy(k).machine.counters());
    let counters = counters.chain([networks.sender().machine.counters()]);
    counters.map(|c| c.refused(Refusal::Limit)).sum()
}

/// Two messages of the handshake from each come at once, and none of them is one too many.
#[test]
fn a_thousand_with_keys_have_the_file_in_the_end() {
    for modern in [false, true] {
        for (reach, local, remote) in [
            (Reach::Tunnel, 1000, &[][..]),
            (Reach::Tunnel, 0, &[1000]),
            (Reach::Response, 0, &[1000]),
        ] {
            let networks = figure(reach, local, remote, modern).stage();
            let networks = networks.play(secs(600));
            networks.assert_all_whole();
            assert_eq!(refused(&networks), 0, "{reach:?}, {local}");
        }
    }
}
