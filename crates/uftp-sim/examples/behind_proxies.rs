//! What a session costs with very many receivers behind few proxies: prints a table of
//! `docs/scaling.md`. `cargo run --release -p uftp-sim --example behind_proxies -- 1000 5000 V4`,
//! of all protocols if none is named, `keys` for encrypted sessions only,
//! `p10` for ten proxies only.
//!
//! Everything begins in the same instant, as after a power cut. Paths of receivers are a millisecond
//! there and back, and lose at random in both directions; paths to proxies lose a tenth of that.

#![allow(clippy::print_stdout, reason = "printing is what it is for")]
#![allow(clippy::expect_used, reason = "stopping at once is the right answer")]

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use uftp_proto::crypto::{
    Cipher, Curve, Hash, KeyExchange, KeySpec, PrivateKey, SignatureType, Suite,
};
use uftp_proto::wire::Version;
use uftp_session::security::{ReceiverSecurity, SenderSecurity, ServerEntry};
use uftp_sim::path::lossy;
use uftp_sim::proxies::{Reach, proxy_addr, uid};
use uftp_sim::{Figure, PathConfig, Verdict, seeds, source};

const SIZE: u64 = 200_000;

fn path(loss: f64) -> PathConfig {
    PathConfig {
        delay: Duration::from_micros(500),
        ..lossy(loss)
    }
}

fn new_key(spec: KeySpec) -> Arc<PrivateKey> {
    Arc::new(PrivateKey::generate(spec).expect("a key"))
}

/// The usual way to encrypt in a protocol, receivers proving who they are.
fn encrypt(figure: &mut Figure) {
    let version = figure.config.version;
    let (key_exchange, signature, spec) = match version {
        Version::V5 => (
            KeyExchange::Ecdh,
            SignatureType::Aead,
            KeySpec::Ec(Curve::DEFAULT),
        ),
        Version::V4 => (
            KeyExchange::EcdhEcdsa,
            SignatureType::Aead,
            KeySpec::Ec(Curve::DEFAULT),
        ),
        Version::V3 | Version::V3Sync => {
            (KeyExchange::Rsa, SignatureType::Hmac, KeySpec::Rsa(1024))
        }
    };
    let suite = Suite {
        cipher: match signature {
            SignatureType::Aead => Cipher::Aes128Gcm,
            _ => Cipher::Aes256Cbc,
        },
        hash: Hash::Sha256,
        key_exchange,
        signature,
        client_auth: true,
    };
    let security = SenderSecurity::new(version, suite, new_key(spec), Curve::DEFAULT);
    figure.config.security = Some(security.expect("a suite that fits"));
    let holding = |key: &Arc<PrivateKey>| ReceiverSecurity {
        keys: vec![key.clone()],
        ..ReceiverSecurity::default()
    };
    let receiver = new_key(spec);
    let through = figure.remote.iter().enumerate();
    let through = through.flat_map(|(k, n)| std::iter::repeat_n(uid(proxy_addr(k)), *n));
    let server = figure.config.uid;
    figure.securities = through
        .map(|proxy| ReceiverSecurity {
            servers: (version == Version::V5).then(|| {
                vec![ServerEntry {
                    uid: server,
                    addresses: Vec::new(),
                    proxy: Some(proxy),
                    fingerprint: None,
                }]
            }),
            ..holding(&receiver)
        })
        .collect();
    figure.proxy_securities = figure
        .remote
        .iter()
        .map(|_| holding(&new_key(spec)))
        .collect();
    figure.dh_key = Some(new_key(KeySpec::Ec(Curve::DEFAULT)));
}

/// One session.
fn row(version: Version, keys: bool, receivers: usize, proxies: usize, loss: f64) {
    let remote = vec![receivers / proxies.max(1); proxies];
    let local = if proxies == 0 { receivers } else { 0 };
    let item = uftp_session::files::SendItem {
        mtime: 0,
        ..source::file("f", SIZE)
    };
    let figure = Figure::new(seeds::one(1), Reach::Tunnel, local, &remote, [item]).with(|f| {
        f.config.version = version;
        // In protocol 3 a pass takes seconds, and a file may take ten if nothing else is asked for.
        f.config.shortest_max_time = Some(Duration::from_secs(600));
        (f.up, f.down, f.between) = (path(loss), path(loss), path(loss / 10.0));
    });
    let figure = match keys {
        false => figure,
        true => figure.with(encrypt),
    };
    let began = Instant::now();
    let mut networks = figure.stage();
    let (sender, heard) = (networks.sender, Rc::new(Cell::new(0u64)));
    let to_proxies = Rc::new(Cell::new(0u64));
    let is_proxy: std::collections::HashSet<_> = networks.proxies.iter().copied().collect();
    let (count, gathered) = (Rc::clone(&heard), Rc::clone(&to_proxies));
    networks.world.set_filter(move |passing| {
        count.set(count.get() + u64::from(passing.to == sender));
        gathered.set(gathered.get() + u64::from(is_proxy.contains(&passing.to)));
        Verdict::Pass
    });
    let networks = networks.play(Duration::from_secs(36_000));
    let whole = (0..receivers).filter(|&i| networks.is_whole(i)).count();
    let times = || networks.sender().events.iter().map(|(at, _)| *at);
    let seconds = times()
        .max()
        .zip(times().min())
        .map(|(last, first)| last - first);
    println!(
        "| {version:?} | {} | {receivers} | {proxies} | {} % | {whole} | {:.1} | {} | {} | {:.1} s |",
        if keys { "yes" } else { "no" },
        loss * 100.0,
        seconds.unwrap_or_default().as_secs_f64(),
        heard.get(),
        to_proxies.get(),
        began.elapsed().as_secs_f64()
    );
}

fn main() {
    let words: Vec<_> = std::env::args().skip(1).collect();
    let crowds = words.iter().filter_map(|word| word.parse::<usize>().ok());
    let all = [Version::V3, Version::V4, Version::V5];
    let only_keys = words.iter().any(|word| word == "keys");
    let all_proxies = [0, 1, 10, 50];
    let at = |proxies: usize| words.contains(&format!("p{proxies}"));
    let wanted = |proxies| at(proxies) || !all_proxies.into_iter().any(at);
    let named = |version: &Version| words.contains(&format!("{version:?}"));
    let versions: Vec<_> = match all.iter().any(named) {
        true => all.into_iter().filter(named).collect(),
        false => all.to_vec(),
    };
    println!(
        "| protocol | keys | receivers | proxies | lost | whole | seconds | at the sender | at proxies | simulated in |"
    );
    println!("|---|---|---:|---:|---:|---:|---:|---:|---:|---:|");
    for receivers in crowds {
        for &version in &versions {
            for keys in [false, true].into_iter().filter(|k| *k || !only_keys) {
                for proxies in all_proxies.into_iter().filter(|p| wanted(*p)) {
                    for loss in [0.01, 0.05] {
                        if receivers >= 5000 && loss > 0.01 {
                            continue; // says nothing new and takes minutes
                        }
                        row(version, keys, receivers, proxies, loss);
                    }
                }
            }
        }
    }
}
