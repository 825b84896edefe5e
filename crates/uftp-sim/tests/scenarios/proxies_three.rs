//! Protocol 3 through proxies (wire-v3 §8).

use std::sync::{Arc, LazyLock};

use uftp_proto::crypto::{
    Cipher, Curve, Hash, KeyExchange, KeySpec, PrivateKey, SignatureType, Suite,
};
use uftp_proto::wire::{Function, Version};
use uftp_session::files::SendItem;
use uftp_session::proxy::ProxyEventKind;
use uftp_session::security::{ReceiverSecurity, SenderSecurity};
use uftp_session::sender::{FileOutcome, SenderEvent, SyncMode};
use uftp_sim::proxies::{Networks, Reach};
use uftp_sim::{Figure, Verdict, seeds, source};

use super::proxies_encrypted::bend;
use super::{lossy, ms, secs, two_files};

const REACHES: [Reach; 4] = [
    Reach::Tunnel,
    Reach::LearnedTunnel,
    Reach::Chain,
    Reach::Response,
];

/// A figure in protocol 3.
fn figure(
    seed: u64,
    reach: Reach,
    local: usize,
    remote: &[usize],
    items: impl IntoIterator<Item = SendItem>,
) -> Figure {
    let undated = |item| SendItem { mtime: 0, ..item };
    let items = items.into_iter().map(undated);
    Figure::new(seed, reach, local, remote, items).with(|f| {
        f.config.version = Version::V3;
        // The first heartbeats of a learned way, and the keys of a response proxy.
        f.head_start = secs(2);
    })
}

/// The sender's key, that of the receivers, and those of proxies.
static KEYS: LazyLock<[Arc<PrivateKey>; 4]> =
    LazyLock::new(|| [(); 4].map(|()| Arc::new(PrivateKey::generate(KeySpec::Rsa(1024)).unwrap())));

/// Every way to encrypt that proxies tell apart.
fn suites() -> [Suite; 4] {
    let suite = |cipher, hash, signature, client_auth| Suite {
        cipher,
        hash,
        key_exchange: KeyExchange::Rsa,
        signature,
        client_auth,
    };
    [
        suite(Cipher::Aes256Cbc, Hash::Sha256, SignatureType::Hmac, false),
        suite(Cipher::Aes128Cbc, Hash::Sha1, SignatureType::Hmac, true),
        suite(Cipher::Aes256Cbc, Hash::Sha256, SignatureType::Keyex, true),
        suite(Cipher::TripleDes, Hash::Sha1, SignatureType::Keyex, true),
    ]
}

/// Encrypts a figure.
fn encrypted(suite: Suite) -> impl FnOnce(&mut Figure) {
    move |figure| {
        let [server, receiver, proxies @ ..] = &*KEYS;
        let version = figure.config.version;
        let security = SenderSecurity::new(version, suite, server.clone(), Curve::DEFAULT);
        figure.config.security = Some(security.unwrap());
        let holding = |key: &Arc<PrivateKey>| ReceiverSecurity {
            keys: vec![key.clone()],
            ..ReceiverSecurity::default()
        };
        let receivers = figure.local + figure.remote.iter().sum::<usize>();
        figure.securities = vec![holding(receiver); receivers];
        figure.proxy_securities = proxies.iter().map(holding).collect();
        figure.head_start = secs(16);
    }
}

fn passes(networks: &Networks) -> u32 {
    let passes = networks.sender().events().filter_map(|event| match event {
        SenderEvent::PassStarted { pass } => Some(*pass),
        _ => None,
    });
    passes.max().unwrap_or(0)
}

#[test]
fn every_figure_in_the_clear() {
    for reach in REACHES {
        for closed in [true, false] {
            println!("{reach:?}, closed: {closed}");
            let figure = figure(seeds::one(1), reach, 1, &[2], two_files(60_000));
            let networks = figure.with(|f| f.closed = closed).stage().play(secs(100));
            networks.assert_all_whole();
            let up = networks.world.sent(networks.proxies[0]);
            // What two clients say is said once.
            assert_eq!(up.of(Function::Register).datagrams, 1);
            assert_eq!(up.of(Function::FileInfoAck).datagrams, 2);
            assert_eq!(up.of(Function::Complete).datagrams, 3);
        }
    }
}

#[test]
fn every_figure_with_every_way_to_encrypt() {
    for reach in REACHES {
        for suite in suites() {
            for closed in [true, false] {
                println!("{reach:?}, {suite:?}, closed: {closed}");
                let figure = figure(seeds::one(1), reach, 0, &[2], two_files(60_000));
                let figure = figure.with(|f| f.closed = closed).with(encrypted(suite));
                figure.stage().play(secs(100)).assert_all_whole();
            }
        }
    }
}

/// Several sections, several passes, and what each proxy reports counts for those it names.
#[test]
fn losses_over_several_sections_and_passes() {
    seeds::each(8, |seed| {
        let reach = [Reach::Tunnel, Reach::Response][seed as usize % 2];
        let items = [source::file("f", 700_003), source::file("g", 20_000)];
        let figure = figure(seed, reach, 1, &[4, 3], items).with(|f| {
            f.closed = seed.is_multiple_of(3);
            f.config.fixed.mtu = 300;
            f.config.shortest_max_time = Some(secs(1000));
            // Three questions in a row may be lost; ten are not.
            (f.config.fixed.announce_time, f.config.fixed.status_time) = (25, 40);
            (f.up, f.down) = (lossy(0.03), lossy(0.04));
            f.between = lossy(0.01);
            f.between.delay = ms(3 * (seed % 4));
        });
        let figure = match seed / 2 % 3 {
            0 => figure,
            n => figure.with(encrypted(suites()[(n as usize * 2 + seed as usize) % 4])),
        };
        let networks = figure.stage().play(secs(1200));
        networks.assert_all_whole();
        assert!(passes(&networks) >= 3);
        for id in &networks.proxies {
            let up = networks.world.sent(*id);
            assert!(
                up.of(Function::Encrypted).datagrams > 8 || up.of(Function::PrStatus).datagrams > 3
            );
        }
    });
}

#[test]
fn synchronized_through_proxies_with_wire_id_31() {
    for reach in [Reach::Tunnel, Reach::Response] {
        let figure = figure(seeds::one(1), reach, 0, &[2, 1], two_files(60_000)).with(|f| {
            f.config.version = Version::V3Sync;
            f.config.sync = SyncMode::Sync;
        });
        let figure = figure.with(encrypted(suites()[0]));
        figure.stage().play(secs(100)).assert_all_whole();
    }
}

/// The file is given up for the one who never gets it, and nobody else.
#[test]
fn who_is_too_slow_loses_a_file_and_the_others_go_on() {
    for (reach, suite) in [(Reach::Tunnel, None), (Reach::Response, Some(suites()[2]))] {
        let items = [source::file("f", 200_000), source::file("g", 1000)];
        let figure = figure(seeds::one(1), reach, 0, &[3], items);
        let figure = match suite {
            Some(suite) => figure.with(encrypted(suite)),
            None => figure,
        };
        let mut networks = figure.stage();
        let slow = networks.receivers[2];
        networks.world.set_filter(move |passing| {
            let lost = passing.to == slow && passing.datagram.len() > 1000;
            if lost { Verdict::Drop } else { Verdict::Pass }
        });
        let networks = networks.play(secs(300));
        for i in 0..2 {
            assert!(networks.is_whole(i), "{:?}", networks.receiver(i).ends());
        }
        let told = networks.verdict(1, 2);
        assert_eq!(told, Some(FileOutcome::Aborted));
        let aborts = networks.proxy(0).kinds();
        let aborts = aborts.filter(|k| matches!(k, ProxyEventKind::AbortedByServer { .. }));
        assert_eq!(aborts.count(), 1, "one for all");
    }
}

/// Whatever somebody on the network repeats, in the clear and encrypted, breaks no machine and keeps
/// none busy.
#[test]
fn bent_datagrams_break_no_proxy() {
    seeds::each(12, |seed| {
        let reach = [Reach::Tunnel, Reach::Response][seed as usize % 2];
        let figure = figure(seed, reach, 0, &[2, 1], two_files(60_000));
        let figure = figure.with(|f| (f.up, f.down) = (lossy(0.05), lossy(0.05)));
        let figure = match seed as usize / 2 % 3 {
            0 => figure,
            n => figure.with(encrypted(suites()[n])),
        };
        bend(figure.stage(), ms(60));
    });
}
