//! A client proxy behind a client proxy: what the first multicasts is passed on to the second, and
//! the first gathers what the second has gathered.

use uftp_proto::crypto::{KeyExchange, SignatureType};
use uftp_proto::wire::{Function, Version};
use uftp_session::congestion::Limits;
use uftp_session::receiver::EndReason;
use uftp_session::sender::{FileOutcome, Outcome, Rate};
use uftp_sim::proxies::{Networks, Reach};
use uftp_sim::{Figure, seeds};

use super::proxies_encrypted::{encrypted, in_protocol_5, suite, suites};
use super::{lossy, ms, secs, two_files};

fn nested(seed: u64, remote: &[usize], size: u64) -> Figure {
    Figure::new(seed, Reach::Nested, 1, remote, two_files(size)).with(|f| f.halfway = 2)
}

/// Anything that a session may meet, by seed.
fn adverse(figure: Figure) -> Figure {
    figure.with(|f| {
        let seed = f.seed;
        f.closed = seed.is_multiple_of(2);
        (f.up, f.down, f.between) = (lossy(0.03), lossy(0.03), lossy(0.03));
        f.between.delay = ms(3 * (seed % 3));
        if seed.is_multiple_of(4) {
            f.config.rate = Rate::Tfmcc(Limits::default());
        }
    })
}

fn messages(networks: &Networks, k: usize) -> (u64, u64) {
    let sent = |id, function| networks.world.sent(id).of(function).datagrams;
    let of = |id| {
        [
            Function::Register,
            Function::FileInfoAck,
            Function::Complete,
        ]
        .map(|function| sent(id, function))
        .iter()
        .sum()
    };
    (of(networks.uppers[k]), of(networks.proxies[k]))
}

#[test]
fn what_is_gathered_is_gathered_again() {
    for version in [Version::V4, Version::V5] {
        for closed in [true, false] {
            let figure = nested(seeds::one(1), &[5, 3], 100_000).with(|f| {
                f.closed = closed;
                f.config.version = version;
            });
            let networks = figure.stage().play(secs(100));
            networks.assert_all_whole();
            for k in 0..2 {
                let (upper, lower) = messages(&networks, k);
                assert_eq!(lower, 1 + 2 + 3, "{version:?}");
                // Those halfway are nearer, and may not wait for the others.
                assert!((6..=12).contains(&upper), "{version:?}: {upper}");
            }
        }
    }
}

#[test]
fn under_loss_in_the_clear() {
    seeds::each(60, |seed| {
        let version = [Version::V4, Version::V5][seed as usize / 2 % 2];
        let figure = adverse(nested(seed, &[3, 2], 100_000));
        let figure = figure.with(|f| f.config.version = version);
        figure.stage().play(secs(600)).assert_all_whole();
    });
}

#[test]
fn encrypted_in_every_way_and_under_loss() {
    seeds::each(60, |seed| {
        let suite = suites()[seed as usize % 6];
        let figure = nested(seed, &[2, 2], 100_000).with(|f| f.closed = seed % 4 < 2);
        let figure = match seed < 12 {
            true => figure,
            false => adverse(figure),
        };
        let figure = figure.with(encrypted(suite));
        figure.stage().play(secs(600)).assert_all_whole();
    });
}

/// Encrypted in protocol 5 they cannot be stacked: PROXY_KEY passes no proxy (behaviour-proxies
/// §4). The sender gives up those behind the second one, and nobody else is the worse for it.
#[test]
fn encrypted_in_protocol_5_those_behind_the_second_are_given_up() {
    let figure = nested(seeds::one(1), &[2], 100_000);
    let figure = figure.with(encrypted(suite(KeyExchange::Ecdh, SignatureType::Aead)));
    let networks = figure.with(in_protocol_5).stage().play(secs(600));
    for i in 0..5 {
        let lost = networks.behind(0).contains(&i);
        assert_eq!(networks.is_whole(i), !lost, "receiver {i}");
        if lost {
            let told = EndReason::AbortedByServer("Lost connection".to_owned());
            assert_eq!(networks.receiver(i).ends(), [told]);
            assert_eq!(networks.verdict(1, i), Some(FileOutcome::Lost));
        }
    }
    assert_eq!(networks.sender().outcome(), Some(Outcome::Success));
}
