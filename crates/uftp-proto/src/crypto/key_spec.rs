//! What key to make, as a user says it.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use super::curve::{Curve, UnknownCurve};
use super::public_key::KeyKind;

/// What key to make.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum KeySpec {
    /// RSA with a modulus of so many bits.
    Rsa(u32),
    /// A point on a curve.
    Ec(Curve),
}

impl KeySpec {
    /// RSA keys that nobody asked a size for.
    pub const DEFAULT_RSA: KeySpec = KeySpec::Rsa(2048);

    /// Bits an RSA key may have: what protocol headers can carry.
    pub const RSA_BITS: RangeInclusive<u32> = 512..=8192;

    /// Bits it may have in sessions of protocol 5 (wire-v5 §3): the largest is the largest that fits
    /// beside every ECDH key.
    pub const RSA_BITS_V5: RangeInclusive<u32> = 1024..=3072;

    /// Checks the size of an RSA key.
    ///
    /// # Errors
    /// [`BadKeySpec::Size`] unless it is in [`Self::RSA_BITS`] and a multiple of 32.
    pub fn rsa(bits: u32) -> Result<KeySpec, BadKeySpec> {
        if KeySpec::RSA_BITS.contains(&bits) && bits.is_multiple_of(32) {
            Ok(KeySpec::Rsa(bits))
        } else {
            Err(BadKeySpec::Size(bits.to_string()))
        }
    }

    /// What makes a key of the same kind and size, as protocol 4 wants the receiver's to be like
    /// the sender's (wire-v4 §8.9).
    pub fn like(kind: KeyKind) -> KeySpec {
        match kind {
            KeyKind::Rsa { bits } => KeySpec::Rsa(u32::try_from(bits).unwrap_or(u32::MAX)),
            KeyKind::Ec(curve) => KeySpec::Ec(curve),
        }
    }

    /// A caution about this choice, if there is one.
    pub fn caution(self) -> Option<String> {
        match self {
            KeySpec::Rsa(bits) if bits < 2048 => Some(format!(
                "an RSA key of {bits} bits is weak; make 2048 bits or more unless an old peer \
                 needs this size"
            )),
            KeySpec::Rsa(bits) if bits > *KeySpec::RSA_BITS_V5.end() => Some(format!(
                "an RSA key of {bits} bits is more than the messages of protocol 5 have room for \
                 ({}), and more than UFTP 4.x peers take (2048)",
                KeySpec::RSA_BITS_V5.end()
            )),
            KeySpec::Rsa(bits) if bits > 2048 => Some(format!(
                "an RSA key of {bits} bits is more than UFTP 4.x peers take (2048); use it \
                 between newer programs only"
            )),
            KeySpec::Ec(curve) if curve.is_weak() => Some(format!(
                "the curve {curve} is weak; use prime256v1, secp384r1 or secp521r1"
            )),
            _ => None,
        }
    }
}

/// `rsa:BITS` or `ec:CURVE` (cli §1.7).
impl FromStr for KeySpec {
    type Err = BadKeySpec;

    fn from_str(word: &str) -> Result<KeySpec, BadKeySpec> {
        match word.split_once(':') {
            Some(("rsa", bits)) => match bits.parse() {
                Ok(n) => KeySpec::rsa(n),
                Err(_) => Err(BadKeySpec::Size(bits.to_owned())),
            },
            Some(("ec", curve)) => Ok(KeySpec::Ec(curve.parse()?)),
            _ => Err(BadKeySpec::Form(word.to_owned())),
        }
    }
}

impl fmt::Display for KeySpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeySpec::Rsa(bits) => write!(f, "rsa:{bits}"),
            KeySpec::Ec(curve) => write!(f, "ec:{curve}"),
        }
    }
}

/// A word that does not say what key to make.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadKeySpec {
    /// Not `rsa:BITS` or `ec:CURVE`.
    #[error("Invalid key specification {0:?}: expected rsa:BITS or ec:CURVE")]
    Form(String),
    /// Not a size of an RSA key.
    #[error("Invalid key size {0:?}: expected 512 to 8192 bits, in steps of 32")]
    Size(String),
    /// Not a curve.
    #[error("Invalid curve: {0}")]
    Curve(#[from] UnknownCurve),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specifications() {
        assert_eq!("rsa:2048".parse(), Ok(KeySpec::Rsa(2048)));
        assert_eq!("ec:secp256r1".parse(), Ok(KeySpec::Ec(Curve::DEFAULT)));
        for bad in ["rsa:511", "rsa:520", "rsa:8224", "rsa:", "rsa:x", "rsa:-1"] {
            assert!(
                matches!(bad.parse::<KeySpec>(), Err(BadKeySpec::Size(_))),
                "{bad}"
            );
        }
        assert!(matches!(
            "ec:none".parse::<KeySpec>(),
            Err(BadKeySpec::Curve(_))
        ));
        assert!(matches!(
            "2048".parse::<KeySpec>(),
            Err(BadKeySpec::Form(_))
        ));
        assert!(KeySpec::Rsa(1024).caution().is_some());
        assert!(KeySpec::Rsa(4096).caution().is_some());
        assert_eq!(KeySpec::DEFAULT_RSA.caution(), None);
    }
}
