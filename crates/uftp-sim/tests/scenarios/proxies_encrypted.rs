//! The figures of the manual in encrypted sessions.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use rand::RngExt;
use rand::seq::IndexedRandom;
use uftp_proto::crypto::{
    Cipher, Curve, Hash, KeyExchange, KeySpec, PrivateKey, SignatureType, Suite,
};
use uftp_proto::wire::{self, Function, Version};
use uftp_proto::{Ecn, Uid};
use uftp_session::congestion::Limits;
use uftp_session::security::{ReceiverSecurity, SenderSecurity, ServerEntry};
use uftp_session::sender::{FileOutcome, Rate, SenderEvent};
use uftp_sim::proxies::{Networks, ProxyNode, Reach, proxy_addr, uid, upper_addr};
use uftp_sim::scenario::PUBLIC;
use uftp_sim::{Figure, NodeId, Verdict, seeds, source};

use super::{delayed, lossy, ms, secs, two_files};

/// Keys of one kind: the sender's, one for proxies and receivers alike, and two for proxies.
struct Keys {
    server: Arc<PrivateKey>,
    receiver: Arc<PrivateKey>,
    proxies: [Arc<PrivateKey>; 2],
}

fn keys(spec: KeySpec) -> Keys {
    let key = || Arc::new(PrivateKey::generate(spec).unwrap());
    Keys {
        server: key(),
        receiver: key(),
        proxies: [key(), key()],
    }
}

static RSA: LazyLock<Keys> = LazyLock::new(|| keys(KeySpec::Rsa(1024)));
static EC: LazyLock<Keys> = LazyLock::new(|| keys(KeySpec::Ec(Curve::DEFAULT)));

fn keys_for(exchange: KeyExchange) -> &'static Keys {
    match exchange {
        KeyExchange::Rsa | KeyExchange::EcdhRsa => &RSA,
        KeyExchange::EcdhEcdsa | KeyExchange::Ecdh => &EC,
    }
}

pub(super) fn suite(key_exchange: KeyExchange, signature: SignatureType) -> Suite {
    Suite {
        cipher: match signature {
            SignatureType::Aead => Cipher::Aes128Gcm,
            _ => Cipher::Aes256Cbc,
        },
        hash: Hash::Sha256,
        key_exchange,
        signature,
        client_auth: signature == SignatureType::Keyex,
    }
}

/// Every way to encrypt that proxies tell apart.
pub(super) fn suites() -> [Suite; 6] {
    let authenticated = suite(KeyExchange::Rsa, SignatureType::Hmac);
    [
        suite(KeyExchange::Rsa, SignatureType::Hmac),
        suite(KeyExchange::EcdhEcdsa, SignatureType::Aead),
        suite(KeyExchange::EcdhRsa, SignatureType::Aead),
        Suite {
            client_auth: true,
            ..authenticated
        },
        suite(KeyExchange::Rsa, SignatureType::Keyex),
        suite(KeyExchange::EcdhEcdsa, SignatureType::Keyex),
    ]
}

/// Encrypts a figure.
pub(super) fn encrypted(suite: Suite) -> impl FnOnce(&mut Figure) {
    encrypted_on(suite, Curve::DEFAULT)
}

/// Encrypts a figure, with ephemeral keys on a curve.
fn encrypted_on(suite: Suite, curve: Curve) -> impl FnOnce(&mut Figure) {
    move |figure| {
        let keys = keys_for(suite.key_exchange);
        let version = match suite.key_exchange {
            KeyExchange::Ecdh => Version::V5,
            _ => Version::V4,
        };
        let security = SenderSecurity::new(version, suite, keys.server.clone(), curve);
        figure.config.security = Some(security.unwrap());
        let holding = |key: &Arc<PrivateKey>| ReceiverSecurity {
            keys: vec![key.clone()],
            ..ReceiverSecurity::default()
        };
        let halfway = figure.remote.len() * figure.halfway;
        let receivers = figure.local + figure.remote.iter().sum::<usize>() + halfway;
        figure.securities = vec![holding(&keys.receiver); receivers];
        figure.proxy_securities = keys.proxies.iter().map(holding).collect();
        figure.dh_key = Some(EC.receiver.clone());
        // To fetch the keys of a response proxy, though the network loses a few requests.
        figure.head_start = secs(16);
    }
}

/// Has all receivers of a figure know their proxy by its name, as protocol 5 wants it.
pub(super) fn in_protocol_5(figure: &mut Figure) {
    figure.config.version = Version::V5;
    let sites = figure.remote.iter().enumerate();
    let proxies = sites.flat_map(|(k, n)| std::iter::repeat_n(Some(proxy_uid(k)), *n));
    let halfway = (0..figure.remote.len())
        .flat_map(|k| std::iter::repeat_n(Some(uid(upper_addr(k))), figure.halfway));
    let proxies = std::iter::repeat_n(None, figure.local)
        .chain(proxies)
        .chain(halfway);
    let server = figure.config.uid;
    for (security, proxy) in figure.securities.iter_mut().zip(proxies) {
        security.servers = Some(vec![ServerEntry {
            uid: server,
            addresses: Vec::new(),
            proxy,
            fingerprint: None,
        }]);
    }
}

fn proxy_uid(k: usize) -> Uid {
    uid(proxy_addr(k))
}

#[test]
fn every_figure_with_every_way_to_encrypt() {
    for reach in [
        Reach::Tunnel,
        Reach::LearnedTunnel,
        Reach::Chain,
        Reach::Response,
    ] {
        for suite in suites() {
            for closed in [true, false] {
                let figure = Figure::new(seeds::one(1), reach, 0, &[2], two_files(100_000));
                let figure = figure.with(|f| f.closed = closed).with(encrypted(suite));
                println!("{reach:?}, {suite:?}, closed: {closed}");
                figure.stage().play(secs(100)).assert_all_whole();
            }
        }
    }
}

/// Encrypts a figure in protocol 5.
pub(super) fn five(client_auth: bool) -> impl FnOnce(&mut Figure) {
    move |figure| {
        let suite = Suite {
            client_auth,
            ..suite(KeyExchange::Ecdh, SignatureType::Aead)
        };
        encrypted(suite)(figure);
        in_protocol_5(figure);
    }
}

#[test]
fn every_cipher_with_every_hash_and_curve_of_protocol_5() {
    let curves = Curve::all().filter(|curve| curve.is_in(Version::V5));
    let mut played = 0;
    for curve in curves {
        for cipher in Cipher::ALL.into_iter().filter(|cipher| cipher.is_aead()) {
            for hash in Hash::ALL.into_iter().filter(|hash| *hash != Hash::Sha1) {
                for reach in [Reach::Tunnel, Reach::Response] {
                    let suite = Suite {
                        cipher,
                        hash,
                        client_auth: played % 4 < 2,
                        ..suite(KeyExchange::Ecdh, SignatureType::Aead)
                    };
                    let figure = Figure::new(seeds::one(1), reach, 1, &[2], two_files(3000));
                    let figure = figure.with(encrypted_on(suite, curve)).with(in_protocol_5);
                    figure.stage().play(secs(100)).assert_all_whole();
                    played += 1;
                }
            }
        }
    }
    assert_eq!(played, 3 * 4 * 3 * 2);
}

/// In protocol 5 receivers know the proxy by its name, and it introduces itself.
#[test]
fn figures_in_protocol_5() {
    seeds::each(16, |seed| {
        let reach = [Reach::Tunnel, Reach::Response][seed as usize % 2];
        let figure = Figure::new(seed, reach, 0, &[3, 2], two_files(100_000)).with(|f| {
            f.closed = seed % 8 < 4;
            (f.up, f.down) = (lossy(0.03), lossy(0.03));
        });
        let figure = figure.with(five(seed % 4 < 2));
        figure.stage().play(secs(600)).assert_all_whole();
    });
}

#[test]
fn encrypted_figures_under_loss() {
    seeds::each(24, |seed| {
        let reach = [Reach::Tunnel, Reach::Response][seed as usize % 2];
        let suite = suites()[seed as usize / 2 % 6];
        let figure = Figure::new(seed, reach, 1, &[4, 3], two_files(100_000)).with(|f| {
            f.closed = seed.is_multiple_of(3);
            (f.up, f.down) = (lossy(0.04), lossy(0.04));
            f.between = lossy(0.02);
            f.between.delay = ms(3 * (seed % 4));
        });
        let networks = figure.with(encrypted(suite)).stage().play(secs(600));
        networks.assert_all_whole();
    });
}

#[test]
fn encrypted_congestion_control_through_proxies_is_heard_and_completes() {
    seeds::each(6, |seed| {
        let reach = [Reach::Tunnel, Reach::Response][seed as usize % 2];
        let suite = suites()[seed as usize % 6];
        let items = [source::file("f", 2_000_000)];
        let figure = Figure::new(seed, reach, 0, &[2, 2], items).with(|f| {
            f.config.rate = Rate::Tfmcc(Limits::default());
            (f.up, f.down) = (delayed(ms(5)), lossy(0.01));
        });
        let networks = figure.with(encrypted(suite)).stage().play(secs(600));
        networks.assert_all_whole();
        let took = networks.world.elapsed();
        assert!(took < secs(60), "crawled: {took:?}");
    });
}

/// What arrives at the sender in a client's name and encrypted crashes deployed senders.
#[test]
fn no_client_behind_a_proxy_speaks_encrypted_to_the_sender() {
    for reach in [Reach::Tunnel, Reach::Response] {
        let items = [source::file("f", 1_000_000)];
        let figure = Figure::new(seeds::one(1), reach, 0, &[2], items).with(|f| {
            f.config.rate = Rate::Tfmcc(Limits::default());
            f.down = lossy(0.02);
        });
        let mut networks = figure.with(encrypted(suites()[1])).stage();
        let (sender, proxy) = (networks.sender, proxy_uid(0));
        let heard = Rc::new(Cell::new(0));
        let count = Rc::clone(&heard);
        networks.world.set_filter(move |passing| {
            if passing.to == sender && passing.is(Function::Encrypted) {
                let author = wire::decode_header(passing.datagram).unwrap().src;
                assert_eq!(author, proxy, "{reach:?}");
                count.set(count.get() + 1);
            }
            Verdict::Pass
        });
        networks.play(secs(600)).assert_all_whole();
        assert!(heard.get() > 3);
    }
}

#[test]
fn keys_are_handed_out_again_while_data_flows() {
    for reach in [Reach::Tunnel, Reach::Response] {
        let items = [source::file("f", 3_000_000)];
        let figure = Figure::new(seeds::one(1), reach, 0, &[3], items);
        let mut networks = figure.with(encrypted(suites()[1])).stage();
        let unlucky = networks.receivers[1];
        let proxy = networks.proxies[0];
        let lost = Cell::new(0);
        networks.world.set_filter(move |passing| {
            let keys = passing.is(Function::KeyInfo) && passing.from == proxy;
            if keys && passing.to == unlucky && lost.get() < 6 {
                lost.set(lost.get() + 1);
                return Verdict::Drop;
            }
            Verdict::Pass
        });
        networks.play(secs(600)).assert_all_whole();
    }
}

/// Deployed senders do not repeat REG_CONF once data flow.
#[test]
fn a_lost_confirmation_costs_time_but_no_client() {
    for reach in [Reach::Tunnel, Reach::Response] {
        for closed in [true, false] {
            let items = [source::file("f", 3_000_000)];
            let figure = Figure::new(seeds::one(1), reach, 0, &[3], items);
            let figure = figure.with(|f| f.closed = closed);
            let mut networks = figure.with(encrypted(suites()[1])).stage();
            let proxy = networks.proxies[0];
            networks.world.set_filter(move |passing| {
                match passing.is(Function::RegConf) && passing.to == proxy {
                    true => Verdict::Drop,
                    false => Verdict::Pass,
                }
            });
            networks.play(secs(600)).assert_all_whole();
        }
    }
}

#[test]
fn who_registers_when_the_others_are_through_gets_keys_too() {
    for reach in [Reach::Tunnel, Reach::Response] {
        let items = [source::file("f", 3_000_000)];
        let figure = Figure::new(seeds::one(1), reach, 0, &[3], items);
        let figure = figure.with(|f| f.closed = false);
        let mut networks = figure.with(encrypted(suites()[1])).stage();
        let late = networks.receivers[2];
        let start = networks.world.elapsed();
        networks.world.set_filter(move |passing| {
            // Announcements come every 30 ms by then.
            let early = passing.time < start + ms(1700);
            match passing.to == late && passing.is(Function::Announce) && early {
                true => Verdict::Drop,
                false => Verdict::Pass,
            }
        });
        networks.play(secs(600)).assert_all_whole();
    }
}

#[test]
fn an_encrypted_session_whose_proxy_dies_ends_with_a_verdict_for_everybody() {
    seeds::each(18, |seed| {
        let reach = [Reach::Tunnel, Reach::Response][seed as usize % 2];
        let suite = suites()[seed as usize / 2 % 6];
        let figure = Figure::new(seed, reach, 1, &[3, 3], two_files(2_000_000));
        let figure = figure.with(|f| f.down = lossy(0.01));
        let mut networks = figure.with(encrypted(suite)).stage();
        let victim = networks.proxies[1];
        networks.world.run_for(ms(100 + 150 * seed));
        networks.world.kill(victim);
        if seed.is_multiple_of(3) {
            let node = networks.proxy_node(1);
            networks.world.revive(victim, Box::new(node));
            if reach == Reach::Response {
                networks.world.join(victim, PUBLIC);
            }
        }
        let networks = networks.play(secs(600));
        for i in (0..1).chain(networks.behind(0)) {
            assert!(networks.is_whole(i), "receiver {i}");
        }
        for i in networks.behind(1) {
            let verdict = networks.verdict(2, i);
            let completed = matches!(verdict, Some(FileOutcome::Completed(_)));
            assert!(completed || !networks.is_whole(i), "receiver {i}");
            assert!(verdict.is_some() || networks.sender().outcome().is_some());
            assert!(networks.receiver(i).ends().len() <= 1, "receiver {i}");
        }
    });
}

#[test]
fn a_proxy_that_shuts_down_takes_its_clients_along_at_once() {
    for reach in [Reach::Tunnel, Reach::Response] {
        let figure = Figure::new(seeds::one(1), reach, 1, &[3], two_files(3_000_000));
        let mut networks = figure.with(encrypted(suites()[1])).stage();
        let proxy = networks.proxies[0];
        networks.world.run_for(secs(2));
        let shut = |node: &mut ProxyNode, now| node.machine.shutdown(now);
        networks.world.with(proxy, shut);
        networks.world.run_for(ms(50));
        let gone = |e: &&SenderEvent| matches!(e, SenderEvent::ClientAborted { .. });
        assert_eq!(networks.sender().events().filter(gone).count(), 4);
        let networks = networks.play(secs(600));
        assert!(networks.is_whole(0));
    }
}

/// From whom, to whom, and what.
type Seen = (NodeId, NodeId, Vec<u8>);

/// What reaches a machine of an encrypted figure, bent: it may cost time, or a session, but never
/// breaks a machine or keeps it busy.
#[test]
fn bent_datagrams_break_no_proxy_with_keys() {
    seeds::each(24, |seed| {
        let reach = [Reach::Tunnel, Reach::Response][seed as usize % 2];
        let suite = suites()[seed as usize / 2 % 6];
        let figure = Figure::new(seed, reach, 0, &[2, 1], two_files(60_000));
        let figure = figure.with(|f| (f.up, f.down) = (lossy(0.05), lossy(0.05)));
        bend(
            figure.with(encrypted(suite)).stage(),
            Duration::from_millis(4),
        );
    });
}

/// Plays, while datagrams that went by come again at most so long one after the other, most of them
/// bent.
pub(super) fn bend(mut networks: Networks, pause: Duration) {
    let tape: Rc<RefCell<Vec<Seen>>> = Rc::default();
    let writer = Rc::clone(&tape);
    networks.world.set_filter(move |p| {
        writer
            .borrow_mut()
            .push((p.from, p.to, p.datagram.to_vec()));
        Verdict::Pass
    });
    let mut rng = networks.world.rng(77);
    for _ in 0..600 {
        let wait = rng.random_range(Duration::ZERO..pause);
        networks.world.run_for(wait);
        let seen = tape.borrow().choose(&mut rng).cloned();
        let Some((from, to, mut bytes)) = seen else {
            continue;
        };
        if rng.random_bool(0.7) {
            let at = rng.random_range(0..bytes.len());
            bytes[at] ^= 1 << rng.random_range(0..8);
        }
        if rng.random_bool(0.1) {
            bytes.truncate(rng.random_range(0..bytes.len()));
        }
        let from = networks.world.addr(from);
        networks.world.inject(to, from, Ecn::NotEct, &bytes);
    }
    let _ = networks.play(secs(2_000_000));
}

/// Clients behind 20 response proxies in an encrypted session; `UFTP_SIM_CROWD` says how many.
#[test]
fn an_encrypted_crowd_behind_response_proxies() {
    let asked = std::env::var("UFTP_SIM_CROWD").ok();
    let crowd: usize = asked.map_or(600, |n| n.parse().unwrap());
    let items = [source::file("f", 200_000)];
    let figure = Figure::new(seeds::one(3), Reach::Response, 0, &[crowd / 20; 20], items);
    let figure = figure.with(|f| f.down = lossy(0.01));
    let figure = figure.with(encrypted(suites()[1])).with(|f| {
        let proxies = f.proxy_securities.clone();
        f.proxy_securities = proxies.into_iter().cycle().take(20).collect();
    });
    let mut networks = figure.stage();
    let sender = networks.sender;
    let heard = Rc::new(Cell::new(0u64));
    let count = Rc::clone(&heard);
    networks.world.set_filter(move |passing| {
        count.set(count.get() + u64::from(passing.to == sender));
        Verdict::Pass
    });
    networks.play(secs(600)).assert_all_whole();
    println!("{crowd} clients: {} messages at the sender", heard.get());
    // Some ten rounds of a few messages from each proxy.
    assert!(heard.get() < 20 * 100 + crowd as u64);
}
