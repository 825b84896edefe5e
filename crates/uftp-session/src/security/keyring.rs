//! The keys a receiver proves itself with.

use std::sync::Arc;
use std::time::{Duration, Instant};

use uftp_proto::crypto::{Curve, KeyKind, KeySpec, PrivateKey, SignatureType, Suite};

/// Most keys made on demand, over the life of a receiver: announcements are free for everybody,
/// making an RSA key is not.
const MOST_MADE: usize = 6;

/// Between one key made on demand and the next.
const PAUSE: Duration = Duration::from_secs(2);

/// Largest RSA key made on demand, bits.
const LARGEST_RSA: usize = 2048;

/// A receiver's own keys, and those made for lack of them.
pub struct Keyring {
    own: Vec<Arc<PrivateKey>>,
    made: Vec<Arc<PrivateKey>>,
    /// When the last one was made.
    last: Option<Instant>,
}

impl Keyring {
    /// The keys the operator gave.
    pub fn new(own: Vec<Arc<PrivateKey>>) -> Self {
        Keyring {
            own,
            made: Vec::new(),
            last: None,
        }
    }

    /// The key to use in a session of `suite` under a server key of `kind`. Where packets are
    /// signed one by one, all keys must be of one size; else a key like the server's comes
    /// first, as older senders take no other (wire-v4 §8.9).
    pub fn fitting(
        &mut self,
        now: Instant,
        suite: &Suite,
        kind: KeyKind,
    ) -> Option<Arc<PrivateKey>> {
        let alike = |keys: &[Arc<PrivateKey>], kind| {
            let mut keys = keys.iter();
            keys.find(|k| k.kind() == kind).cloned()
        };
        let same_type = |key: &&Arc<PrivateKey>| {
            matches!(
                (key.kind(), kind),
                (KeyKind::Rsa { .. }, KeyKind::Rsa { .. }) | (KeyKind::Ec(_), KeyKind::Ec(_))
            )
        };
        let strict = suite.signature == SignatureType::Keyex;
        if let Some(key) = alike(&self.own, kind) {
            return Some(key);
        }
        if self.own.is_empty() {
            let kind = match kind {
                KeyKind::Rsa { bits } if bits > LARGEST_RSA && !strict => {
                    KeyKind::Ec(Curve::DEFAULT)
                }
                kind => kind,
            };
            return alike(&self.made, kind).or_else(|| self.make(now, kind));
        }
        if strict {
            return None;
        }
        let found = self.own.iter().find(same_type).or(self.own.first());
        found.cloned()
    }

    /// Makes a key like one of `kind`, within limits.
    fn make(&mut self, now: Instant, kind: KeyKind) -> Option<Arc<PrivateKey>> {
        let spec = match kind {
            KeyKind::Rsa { bits } if bits <= LARGEST_RSA => {
                KeySpec::rsa(u32::try_from(bits).ok()?).ok()?
            }
            KeyKind::Rsa { .. } => return None,
            KeyKind::Ec(curve) => KeySpec::Ec(curve),
        };
        let too_soon = |last: Instant| now.saturating_duration_since(last) < PAUSE;
        if self.made.len() >= MOST_MADE || self.last.is_some_and(too_soon) {
            tracing::debug!(%spec, "no key made on demand: too many were made already");
            return None;
        }
        self.last = Some(now);
        match PrivateKey::generate(spec) {
            Ok(key) => {
                tracing::info!(%spec, fingerprint = %key.public().fingerprint(), "made a key");
                let key = Arc::new(key);
                self.made.push(key.clone());
                Some(key)
            }
            Err(error) => {
                tracing::warn!(%spec, %error, "cannot make a key");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uftp_proto::crypto::{Cipher, Hash, KeyExchange};

    const SUITE: Suite = Suite {
        cipher: Cipher::Aes256Cbc,
        hash: Hash::Sha256,
        key_exchange: KeyExchange::EcdhEcdsa,
        signature: SignatureType::Hmac,
        client_auth: true,
    };
    const SIGNED: Suite = Suite {
        signature: SignatureType::Keyex,
        ..SUITE
    };

    fn ec(name: &str) -> KeyKind {
        KeyKind::Ec(name.parse().unwrap())
    }

    #[test]
    fn a_key_like_the_servers_comes_first() {
        let key = |spec| Arc::new(PrivateKey::generate(spec).unwrap());
        let (p384, p256) = ("secp384r1".parse().unwrap(), Curve::DEFAULT);
        let (rsa, a, b) = (
            key(KeySpec::Rsa(1024)),
            key(KeySpec::Ec(p384)),
            key(KeySpec::Ec(p256)),
        );
        let now = Instant::now();
        let mut ring = Keyring::new(vec![rsa.clone(), a.clone(), b.clone()]);
        let mut pick = |suite, kind| ring.fitting(now, suite, kind).map(|k| k.kind());
        assert_eq!(pick(&SUITE, b.kind()), Some(b.kind()));
        assert_eq!(pick(&SUITE, ec("secp521r1")), Some(a.kind()));
        assert_eq!(pick(&SIGNED, ec("secp521r1")), None);
        assert_eq!(pick(&SIGNED, KeyKind::Rsa { bits: 2048 }), None);
        assert_eq!(pick(&SUITE, KeyKind::Rsa { bits: 2048 }), Some(rsa.kind()));
    }

    #[test]
    fn keys_are_made_once_by_kind_and_within_limits() {
        let mut now = Instant::now();
        let mut ring = Keyring::new(Vec::new());
        let first = ring.fitting(now, &SIGNED, ec("secp256r1")).unwrap();
        let again = ring.fitting(now, &SIGNED, ec("secp256r1")).unwrap();
        assert!(Arc::ptr_eq(&first, &again));
        assert!(
            ring.fitting(now, &SIGNED, ec("secp384r1")).is_none(),
            "too soon"
        );
        let large = KeyKind::Rsa { bits: 4096 };
        assert!(
            ring.fitting(now + PAUSE, &SIGNED, large).is_none(),
            "too slow"
        );
        let mut made = 1;
        for curve in Curve::all() {
            now += PAUSE;
            made += usize::from(ring.fitting(now, &SIGNED, KeyKind::Ec(curve)).is_some());
        }
        // The first is found again, at no cost.
        assert_eq!(made, MOST_MADE + 1);
    }
}
