//! Ways to encrypt a session, under keys that are always the same.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use uftp_proto::crypto::{Cipher, Curve, Hash, KeyExchange, PrivateKey, SignatureType, Suite};
use uftp_proto::wire::Version;
use uftp_session::security::{ReceiverSecurity, SenderSecurity, ServerEntry};
use uftp_sim::Figure;
use uftp_sim::proxies::{proxy_addr, uid};

/// Everybody's keys of one kind.
struct Keys {
    sender: Arc<PrivateKey>,
    proxy: Arc<PrivateKey>,
}

static RSA: LazyLock<Keys> = LazyLock::new(|| Keys {
    sender: rsa(include_bytes!("../keys/sender.pem")),
    proxy: rsa(include_bytes!("../keys/proxy.pem")),
});

static EC: LazyLock<Keys> = LazyLock::new(|| Keys {
    sender: ec(1),
    proxy: ec(2),
});

static RECEIVERS: LazyLock<Arc<PrivateKey>> = LazyLock::new(|| ec(3));

static RECEIVERS_RSA: LazyLock<Arc<PrivateKey>> =
    LazyLock::new(|| rsa(include_bytes!("../keys/receiver.pem")));

/// What receivers prove themselves with.
pub(crate) fn of_receivers() -> Arc<PrivateKey> {
    RECEIVERS.clone()
}

/// Encrypts a session in one of the ways there are in its protocol.
///
/// # Panics
///
/// If there is none by that number.
pub(crate) fn encrypt(figure: &mut Figure, number: u8) {
    let version = figure.config.version;
    let suites = suites(version);
    let suite = suites[usize::from(number) % suites.len()];
    let keys = match suite.key_exchange {
        KeyExchange::Rsa | KeyExchange::EcdhRsa => &*RSA,
        KeyExchange::EcdhEcdsa | KeyExchange::Ecdh => &*EC,
    };
    let security = SenderSecurity::new(version, suite, keys.sender.clone(), curve());
    figure.config.security = Some(security.expect("these go together"));
    let receivers = figure.local + figure.remote.iter().sum::<usize>();
    let secure = |i: usize| ReceiverSecurity {
        keys: vec![of_receivers(), RECEIVERS_RSA.clone()],
        servers: (version == Version::V5 && i >= figure.local).then(|| {
            vec![ServerEntry {
                uid: figure.config.uid,
                addresses: Vec::new(),
                proxy: Some(uid(proxy_addr(0))),
                fingerprint: None,
            }]
        }),
        ..ReceiverSecurity::default()
    };
    figure.securities = (0..receivers).map(secure).collect();
    figure.proxy_securities = vec![ReceiverSecurity {
        keys: vec![keys.proxy.clone()],
        ..ReceiverSecurity::default()
    }];
    figure.dh_key = Some(EC.proxy.clone());
    // To fetch the keys of a response proxy.
    figure.head_start = Duration::from_secs(1);
}

/// Every way that machines tell apart.
fn suites(version: Version) -> Vec<Suite> {
    let suite = |key_exchange, signature, client_auth| Suite {
        cipher: match signature {
            SignatureType::Aead => Cipher::Aes128Gcm,
            _ => Cipher::Aes256Cbc,
        },
        hash: match version {
            Version::V3 | Version::V3Sync => Hash::Sha1,
            Version::V4 | Version::V5 => Hash::Sha256,
        },
        key_exchange,
        signature,
        client_auth,
    };
    use KeyExchange as X;
    use SignatureType as S;
    match version {
        Version::V3 | Version::V3Sync => vec![
            suite(X::Rsa, S::Hmac, false),
            suite(X::Rsa, S::Hmac, true),
            suite(X::Rsa, S::Keyex, true),
        ],
        Version::V4 => vec![
            suite(X::EcdhEcdsa, S::Aead, false),
            suite(X::EcdhEcdsa, S::Hmac, true),
            suite(X::EcdhEcdsa, S::Keyex, true),
            suite(X::Rsa, S::Hmac, true),
            suite(X::EcdhRsa, S::Aead, false),
        ],
        Version::V5 => vec![
            suite(X::Ecdh, S::Aead, false),
            suite(X::Ecdh, S::Aead, true),
        ],
    }
}

fn curve() -> Curve {
    "prime256v1".parse().expect("a curve")
}

fn ec(scalar: u8) -> Arc<PrivateKey> {
    let key = PrivateKey::from_ec_scalar(curve(), &[scalar; 13]);
    Arc::new(key.expect("a key"))
}

fn rsa(pem: &[u8]) -> Arc<PrivateKey> {
    Arc::new(PrivateKey::from_pem(pem).expect("a key"))
}
