//! The figures of the manual in encrypted sessions.

use std::sync::{Arc, LazyLock};

use uftp_proto::crypto::{
    Cipher, Curve, Hash, KeyExchange, KeySpec, PrivateKey, SignatureType, Suite,
};
use uftp_proto::wire::Version;
use uftp_session::congestion::Limits;
use uftp_session::security::{ReceiverSecurity, SenderSecurity};
use uftp_session::sender::Rate;
use uftp_sim::proxies::Reach;
use uftp_sim::{Figure, seeds, source};

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

fn suite(key_exchange: KeyExchange, signature: SignatureType) -> Suite {
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
fn suites() -> [Suite; 6] {
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
fn encrypted(suite: Suite) -> impl FnOnce(&mut Figure) {
    move |figure| {
        let keys = keys_for(suite.key_exchange);
        let security = SenderSecurity::new(Version::V4, suite, keys.server.clone(), Curve::DEFAULT);
        figure.config.security = Some(security.unwrap());
        let holding = |key: &Arc<PrivateKey>| ReceiverSecurity {
            keys: vec![key.clone()],
            ..ReceiverSecurity::default()
        };
        let receivers = figure.local + figure.remote.iter().sum::<usize>();
        figure.securities = vec![holding(&keys.receiver); receivers];
        figure.proxy_securities = keys.proxies.iter().map(holding).collect();
        figure.dh_key = Some(EC.receiver.clone());
        // To fetch the keys of a response proxy, though the network loses a few requests.
        figure.head_start = secs(16);
    }
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
