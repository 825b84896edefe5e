//! What the tests of encrypted sessions share: keys made once, and scenarios with them.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use uftp_proto::crypto::{
    Cipher, Curve, Fingerprint, Hash, KeyExchange, KeySpec, PrivateKey, SignatureType, Suite,
};
use uftp_proto::wire::Version;
use uftp_session::security::{ReceiverSecurity, SenderSecurity};
use uftp_session::sender::ClientEntry;
use uftp_sim::Scenario;
use uftp_sim::scenario::receiver_entry;
use uftp_sim::source::file;

pub(crate) const LIMIT: Duration = Duration::from_secs(120);

/// A key of each kind, one for the sender and three for receivers.
pub(crate) struct Keys {
    pub(crate) server: Arc<PrivateKey>,
    pub(crate) clients: Vec<Arc<PrivateKey>>,
}

fn keys(spec: KeySpec) -> Keys {
    let key = || Arc::new(PrivateKey::generate(spec).unwrap());
    Keys {
        server: key(),
        clients: vec![key(), key(), key()],
    }
}

pub(crate) static RSA: LazyLock<Keys> = LazyLock::new(|| keys(KeySpec::Rsa(1024)));
pub(crate) static EC: LazyLock<Keys> = LazyLock::new(|| keys(KeySpec::Ec(Curve::DEFAULT)));

/// The keys that go with a key exchange.
pub(crate) fn keys_for(exchange: KeyExchange) -> &'static Keys {
    match exchange {
        KeyExchange::Rsa | KeyExchange::EcdhRsa => &RSA,
        KeyExchange::EcdhEcdsa | KeyExchange::Ecdh => &EC,
    }
}

/// A suite; the kind of signature is the cipher's, or a MAC.
pub(crate) fn suite(cipher: Cipher, hash: Hash, key_exchange: KeyExchange) -> Suite {
    Suite {
        cipher,
        hash,
        key_exchange,
        signature: match cipher.is_aead() {
            true => SignatureType::Aead,
            false => SignatureType::Hmac,
        },
        client_auth: false,
    }
}

/// The protocol that has this key exchange; where both have it, 4.
pub(crate) fn version(suite: &Suite) -> Version {
    match suite.key_exchange {
        KeyExchange::Ecdh => Version::V5,
        _ => Version::V4,
    }
}

pub(crate) fn security(suite: Suite) -> SenderSecurity {
    let server = keys_for(suite.key_exchange).server.clone();
    SenderSecurity::new(version(&suite), suite, server, Curve::DEFAULT).unwrap()
}

/// A closed group whose members are known by these keys.
pub(crate) fn known_by(scenario: Scenario, prints: &[Fingerprint]) -> Scenario {
    let entry = |(i, print): (usize, &Fingerprint)| ClientEntry {
        fingerprint: Some(*print),
        ..receiver_entry(i)
    };
    let clients = prints.iter().enumerate().map(entry).collect();
    scenario.configure(|c| c.clients = Some(clients))
}

/// One small file to so many receivers, encrypted; each receiver has a key of its own.
pub(crate) fn scene(seed: u64, receivers: usize, suite: Suite) -> Scenario {
    let mut scenario = Scenario::new(seed, receivers, [file("file", 5000)]).configure(|c| {
        c.version = version(&suite);
        c.security = Some(security(suite));
    });
    let keys = &keys_for(suite.key_exchange).clients;
    scenario.securities = keys
        .iter()
        .map(|key| ReceiverSecurity {
            keys: vec![key.clone()],
            ..ReceiverSecurity::default()
        })
        .collect();
    scenario
}
