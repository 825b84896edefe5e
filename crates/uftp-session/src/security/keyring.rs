//! The keys a receiver proves itself with.

use std::sync::Arc;
use std::time::{Duration, Instant};

use uftp_proto::crypto::{Curve, KeyExchange, KeyKind, KeySpec, PrivateKey, SignatureType, Suite};

/// Most RSA keys made on demand, over the life of a receiver: announcements are free for
/// everybody, making such a key is not.
const MOST_RSA: usize = 6;

/// Between one RSA key made on demand and the next.
const PAUSE: Duration = Duration::from_secs(2);

/// Largest RSA key made on demand, bits.
const LARGEST_RSA: usize = 2048;

/// A receiver's own keys, and those made for lack of them.
pub struct Keyring {
    own: Vec<Arc<PrivateKey>>,
    made: Vec<Arc<PrivateKey>>,
    /// When the last RSA key was made.
    last: Option<Instant>,
}

/// Why there is no key for a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum NoKey {
    /// There is none.
    None,
    /// One could be made, but not now.
    Later,
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
    /// first, as older senders take no other (wire-v4 §8.9). In protocol 5 the choice is free.
    ///
    /// # Errors
    /// [`NoKey`] if there is none.
    pub(crate) fn fitting(
        &mut self,
        now: Instant,
        suite: &Suite,
        kind: KeyKind,
    ) -> Result<Arc<PrivateKey>, NoKey> {
        let kind = match suite.key_exchange {
            KeyExchange::Ecdh => match self.own.first() {
                Some(first) => return Ok(first.clone()),
                None => KeyKind::Ec(Curve::DEFAULT),
            },
            _ => kind,
        };
        let alike = |keys: &[Arc<PrivateKey>], kind| {
            let mut keys = keys.iter();
            keys.find(|k| k.kind() == kind).cloned()
        };
        let akin = |key: &&Arc<PrivateKey>| same_type(key.kind(), kind);
        let strict = suite.signature == SignatureType::Keyex;
        if let Some(key) = alike(&self.own, kind) {
            return Ok(key);
        }
        if self.own.is_empty() {
            let kind = match kind {
                KeyKind::Rsa { bits } if bits > LARGEST_RSA && !strict => {
                    KeyKind::Ec(Curve::DEFAULT)
                }
                kind => kind,
            };
            return match alike(&self.made, kind) {
                Some(key) => Ok(key),
                None => self.make(now, kind),
            };
        }
        if strict {
            return Err(NoKey::None);
        }
        let found = self.own.iter().find(akin).or(self.own.first());
        found.cloned().ok_or(NoKey::None)
    }

    /// The key to show in place of a server key of `kind`: one like it, else one of its type
    /// where not all keys must be of one size.
    ///
    /// # Errors
    /// [`NoKey`] if there is none.
    pub(crate) fn standing_in(
        &mut self,
        now: Instant,
        suite: &Suite,
        kind: KeyKind,
    ) -> Result<Arc<PrivateKey>, NoKey> {
        let key = self.fitting(now, suite, kind)?;
        match same_type(key.kind(), kind) {
            true => Ok(key),
            false => Err(NoKey::None),
        }
    }

    /// Makes a key like one of `kind`, within limits.
    fn make(&mut self, now: Instant, kind: KeyKind) -> Result<Arc<PrivateKey>, NoKey> {
        let spec = match kind {
            KeyKind::Rsa { bits } if bits <= LARGEST_RSA => self.may_make_rsa(now, bits)?,
            KeyKind::Rsa { .. } => return Err(NoKey::None),
            KeyKind::Ec(curve) => KeySpec::Ec(curve),
        };
        match PrivateKey::generate(spec) {
            Ok(key) => {
                tracing::info!(%spec, fingerprint = %key.public().fingerprint(), "made a key");
                let key = Arc::new(key);
                self.made.push(key.clone());
                Ok(key)
            }
            Err(error) => {
                tracing::warn!(%spec, %error, "cannot make a key");
                Err(NoKey::None)
            }
        }
    }

    fn may_make_rsa(&mut self, now: Instant, bits: usize) -> Result<KeySpec, NoKey> {
        let spec = u32::try_from(bits).ok().and_then(|b| KeySpec::rsa(b).ok());
        let spec = spec.ok_or(NoKey::None)?;
        let is_rsa = |key: &&Arc<PrivateKey>| matches!(key.kind(), KeyKind::Rsa { .. });
        if self.made.iter().filter(is_rsa).count() >= MOST_RSA {
            tracing::debug!(%spec, "no key made on demand: too many were made already");
            return Err(NoKey::None);
        }
        let too_soon = |last: Instant| now.saturating_duration_since(last) < PAUSE;
        if self.last.is_some_and(too_soon) {
            return Err(NoKey::Later);
        }
        self.last = Some(now);
        Ok(spec)
    }
}

/// Whether both are RSA keys, or both EC keys.
pub(crate) fn same_type(a: KeyKind, b: KeyKind) -> bool {
    matches!(
        (a, b),
        (KeyKind::Rsa { .. }, KeyKind::Rsa { .. }) | (KeyKind::Ec(_), KeyKind::Ec(_))
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use uftp_proto::crypto::{Cipher, Hash};

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
        let mut pick = |suite, kind| ring.fitting(now, suite, kind).map(|k| k.kind()).ok();
        assert_eq!(pick(&SUITE, b.kind()), Some(b.kind()));
        assert_eq!(pick(&SUITE, ec("secp521r1")), Some(a.kind()));
        assert_eq!(pick(&SIGNED, ec("secp521r1")), None);
        assert_eq!(pick(&SIGNED, KeyKind::Rsa { bits: 2048 }), None);
        assert_eq!(pick(&SUITE, KeyKind::Rsa { bits: 2048 }), Some(rsa.kind()));
    }

    #[test]
    fn protocol_5_leaves_the_choice_to_us() {
        const FREE: Suite = Suite {
            key_exchange: KeyExchange::Ecdh,
            ..SUITE
        };
        let now = Instant::now();
        let rsa = Arc::new(PrivateKey::generate(KeySpec::Rsa(1024)).unwrap());
        let p256 = Arc::new(PrivateKey::generate(KeySpec::Ec(Curve::DEFAULT)).unwrap());
        let mut ring = Keyring::new(vec![rsa.clone(), p256.clone()]);
        let chosen = ring.fitting(now, &FREE, p256.kind()).unwrap();
        assert!(Arc::ptr_eq(&chosen, &rsa), "the first");
        let mut ring = Keyring::new(Vec::new());
        let made = ring.fitting(now, &FREE, rsa.kind()).unwrap();
        assert_eq!(made.kind(), p256.kind());
    }

    #[test]
    fn keys_are_made_once_by_kind_and_within_limits() {
        let mut now = Instant::now();
        let mut ring = Keyring::new(Vec::new());
        let rsa = |bits| KeyKind::Rsa { bits };
        let first = ring.fitting(now, &SIGNED, rsa(512)).unwrap();
        let again = ring.fitting(now, &SIGNED, rsa(512)).unwrap();
        assert!(Arc::ptr_eq(&first, &again));
        let refused = |ring: &mut Keyring, now, bits| ring.fitting(now, &SIGNED, rsa(bits)).err();
        assert_eq!(refused(&mut ring, now, 544), Some(NoKey::Later));
        assert_eq!(
            refused(&mut ring, now + PAUSE, 4096),
            Some(NoKey::None),
            "too slow"
        );
        let made = ring.fitting(now, &SUITE, rsa(4096)).unwrap();
        assert_eq!(made.kind(), KeyKind::Ec(Curve::DEFAULT), "any will do");
        for bits in [544, 576, 608, 640, 672] {
            now += PAUSE;
            assert!(ring.fitting(now, &SIGNED, rsa(bits)).is_ok());
        }
        assert_eq!(
            refused(&mut ring, now + PAUSE, 704),
            Some(NoKey::None),
            "too many"
        );
        assert!(ring.fitting(now, &SIGNED, rsa(672)).is_ok());
        for curve in Curve::all() {
            let made = ring.fitting(now, &SIGNED, KeyKind::Ec(curve));
            assert_eq!(
                made.is_ok(),
                PrivateKey::generate(KeySpec::Ec(curve)).is_ok()
            );
        }
    }
}
