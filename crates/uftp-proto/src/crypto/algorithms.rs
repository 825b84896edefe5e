//! Algorithms: codes on the wire, names on the command line, lengths.

use std::fmt;
use std::str::FromStr;

use openssl::cipher::Cipher as Fetched;

use super::provider;
use super::suite::SuiteError;

/// A cipher, called "key type" in the protocol documents (wire-v4 §2.2).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs)] // the names say it all
pub enum Cipher {
    Des,
    TripleDes,
    Aes128Cbc,
    Aes256Cbc,
    Aes128Gcm,
    Aes256Gcm,
    Aes128Ccm,
    Aes256Ccm,
}

/// Bytes of the tag of every authenticated cipher.
pub const TAG_LEN: usize = 16;

impl Cipher {
    /// All there are, in the order of their codes.
    pub const ALL: [Cipher; 8] = [
        Cipher::Des,
        Cipher::TripleDes,
        Cipher::Aes128Cbc,
        Cipher::Aes256Cbc,
        Cipher::Aes128Gcm,
        Cipher::Aes256Gcm,
        Cipher::Aes128Ccm,
        Cipher::Aes256Ccm,
    ];

    /// The code on the wire.
    pub fn code(self) -> u8 {
        match self {
            Cipher::Des => 1,
            Cipher::TripleDes => 2,
            Cipher::Aes128Cbc => 3,
            Cipher::Aes256Cbc => 4,
            Cipher::Aes128Gcm => 5,
            Cipher::Aes256Gcm => 6,
            Cipher::Aes128Ccm => 7,
            Cipher::Aes256Ccm => 8,
        }
    }

    /// The cipher with this code.
    pub(crate) fn from_code(code: u8) -> Option<Cipher> {
        Cipher::ALL.into_iter().find(|c| c.code() == code)
    }

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Cipher::Des => "des",
            Cipher::TripleDes => "3des",
            Cipher::Aes128Cbc => "aes128-cbc",
            Cipher::Aes256Cbc => "aes256-cbc",
            Cipher::Aes128Gcm => "aes128-gcm",
            Cipher::Aes256Gcm => "aes256-gcm",
            Cipher::Aes128Ccm => "aes128-ccm",
            Cipher::Aes256Ccm => "aes256-ccm",
        }
    }

    /// Bytes of a key.
    pub fn key_len(self) -> usize {
        match self {
            Cipher::Des => 8,
            Cipher::TripleDes => 24,
            Cipher::Aes128Cbc | Cipher::Aes128Gcm | Cipher::Aes128Ccm => 16,
            Cipher::Aes256Cbc | Cipher::Aes256Gcm | Cipher::Aes256Ccm => 32,
        }
    }

    /// Bytes of an initialisation vector.
    pub fn iv_len(self) -> usize {
        match self {
            Cipher::Des | Cipher::TripleDes => 8,
            Cipher::Aes128Cbc | Cipher::Aes256Cbc => 16,
            _ => 12,
        }
    }

    /// Bytes of a block, to a multiple of which messages are padded; 1 if they are not.
    pub(crate) fn block_len(self) -> usize {
        match self {
            Cipher::Des | Cipher::TripleDes => 8,
            Cipher::Aes128Cbc | Cipher::Aes256Cbc => 16,
            _ => 1,
        }
    }

    /// Whether it authenticates what it encrypts, with a tag of [`TAG_LEN`] bytes.
    pub fn is_aead(self) -> bool {
        self.block_len() == 1
    }

    /// Most bytes by which an encrypted message is longer than the message: tag or padding.
    pub(crate) fn growth(self) -> usize {
        if self.is_aead() {
            TAG_LEN
        } else {
            self.block_len()
        }
    }

    /// Bytes of an encrypted message of `len` bytes, tag or padding included.
    pub(crate) fn sealed_len(self, len: usize) -> usize {
        if self.is_aead() {
            len + TAG_LEN
        } else {
            (len / self.block_len() + 1) * self.block_len()
        }
    }

    /// Whether an encrypted message can have `len` bytes. An empty message cannot be.
    pub(crate) fn is_sealed_len(self, len: usize) -> bool {
        if self.is_aead() {
            len > TAG_LEN
        } else {
            len > 0 && len.is_multiple_of(self.block_len())
        }
    }

    /// The cipher that wraps group secrets in protocols 3 and 4: CBC of the same key size
    /// (wire-v4 §8.8).
    #[must_use]
    pub(crate) fn cbc_form(self) -> Cipher {
        match self {
            Cipher::Aes128Gcm | Cipher::Aes128Ccm => Cipher::Aes128Cbc,
            Cipher::Aes256Gcm | Cipher::Aes256Ccm => Cipher::Aes256Cbc,
            other => other,
        }
    }

    /// Whether it no longer protects against a determined reader.
    pub(crate) fn is_weak(self) -> bool {
        matches!(self, Cipher::Des | Cipher::TripleDes)
    }

    /// Whether this system's OpenSSL has it. Asking for DES loads OpenSSL's legacy provider.
    ///
    /// # Errors
    /// [`SuiteError::CipherUnavailable`] if not.
    pub fn ensure_available(self) -> Result<(), SuiteError> {
        self.fetch().map(|_| ())
    }

    pub(super) fn fetch(self) -> Result<Fetched, SuiteError> {
        let name = match self {
            Cipher::Des => "DES-CBC",
            Cipher::TripleDes => "DES-EDE3-CBC",
            Cipher::Aes128Cbc => "AES-128-CBC",
            Cipher::Aes256Cbc => "AES-256-CBC",
            Cipher::Aes128Gcm => "AES-128-GCM",
            Cipher::Aes256Gcm => "AES-256-GCM",
            Cipher::Aes128Ccm => "AES-128-CCM",
            Cipher::Aes256Ccm => "AES-256-CCM",
        };
        if self == Cipher::Des && !provider::load_legacy() {
            return Err(SuiteError::CipherUnavailable(self));
        }
        Fetched::fetch(None, name, None).map_err(|_| SuiteError::CipherUnavailable(self))
    }
}

/// The hash of a session's key derivation, message authentication and signatures.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs)] // the names say it all
pub enum Hash {
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    /// All there are, in the order of their codes.
    pub const ALL: [Hash; 4] = [Hash::Sha1, Hash::Sha256, Hash::Sha384, Hash::Sha512];

    /// The code on the wire in protocols 4 and 5.
    pub fn code(self) -> u8 {
        match self {
            Hash::Sha1 => 2,
            Hash::Sha256 => 3,
            Hash::Sha384 => 4,
            Hash::Sha512 => 5,
        }
    }

    /// The hash with this code. Code 1, MD5, was never sent and is refused.
    pub(crate) fn from_code(code: u8) -> Option<Hash> {
        Hash::ALL.into_iter().find(|h| h.code() == code)
    }

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Hash::Sha1 => "sha1",
            Hash::Sha256 => "sha256",
            Hash::Sha384 => "sha384",
            Hash::Sha512 => "sha512",
        }
    }

    /// Bytes of a digest, and of a MAC.
    pub(crate) fn digest_len(self) -> usize {
        match self {
            Hash::Sha1 => 20,
            Hash::Sha256 => 32,
            Hash::Sha384 => 48,
            Hash::Sha512 => 64,
        }
    }

    /// Whether collisions can be bought.
    pub(crate) fn is_weak(self) -> bool {
        self == Hash::Sha1
    }
}

/// How sender and receiver come to share a secret.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum KeyExchange {
    /// The receiver sends it encrypted to the sender's RSA key (protocols 3 and 4).
    Rsa,
    /// Ephemeral ECDH, signed by an RSA key (protocol 4).
    EcdhRsa,
    /// Ephemeral ECDH, signed by an EC key (protocol 4).
    EcdhEcdsa,
    /// Ephemeral ECDH, signed by either kind of key (protocol 5).
    Ecdh,
}

impl KeyExchange {
    /// The code on the wire; protocol 5 has none and sends 0.
    pub fn code(self) -> u8 {
        match self {
            KeyExchange::Ecdh => 0,
            KeyExchange::Rsa => 1,
            KeyExchange::EcdhRsa => 2,
            KeyExchange::EcdhEcdsa => 3,
        }
    }

    /// The name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            KeyExchange::Ecdh => "ecdh",
            KeyExchange::Rsa => "rsa",
            KeyExchange::EcdhRsa => "ecdh_rsa",
            KeyExchange::EcdhEcdsa => "ecdh_ecdsa",
        }
    }

    /// Whether both sides bring an ephemeral ECDH key, and the ANNOUNCE is signed.
    pub fn is_ecdh(self) -> bool {
        self != KeyExchange::Rsa
    }

    /// Whether a key that leaks later opens what was recorded before.
    pub(crate) fn is_weak(self) -> bool {
        self == KeyExchange::Rsa
    }
}

/// What authenticates the packets of a session.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SignatureType {
    /// A MAC under the group's key.
    Hmac,
    /// A signature by its sender's private key.
    Keyex,
    /// The cipher itself.
    Aead,
}

impl SignatureType {
    /// The code on the wire in protocols 3 and 4; protocol 5 knows only [`Self::Aead`] and
    /// sends 0.
    pub fn code(self) -> u8 {
        match self {
            SignatureType::Hmac => 1,
            SignatureType::Keyex => 2,
            SignatureType::Aead => 3,
        }
    }

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            SignatureType::Hmac => "hmac",
            SignatureType::Keyex => "keyex",
            SignatureType::Aead => "authenc",
        }
    }
}

/// A word that names no algorithm.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not one of: {1}")]
pub struct UnknownName(String, String);

macro_rules! named {
    ($type:ty, $all:expr) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }

        impl FromStr for $type {
            type Err = UnknownName;

            fn from_str(word: &str) -> Result<Self, UnknownName> {
                let all = $all;
                all.into_iter().find(|x| x.name() == word).ok_or_else(|| {
                    let names: Vec<_> = all.iter().map(|x| x.name()).collect();
                    UnknownName(word.to_owned(), names.join(", "))
                })
            }
        }
    };
}

named!(Cipher, Cipher::ALL);
named!(Hash, Hash::ALL);
named!(
    KeyExchange,
    [
        KeyExchange::Rsa,
        KeyExchange::EcdhRsa,
        KeyExchange::EcdhEcdsa
    ]
);
named!(SignatureType, [SignatureType::Hmac, SignatureType::Keyex]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_names_round_trip() {
        for c in Cipher::ALL {
            assert_eq!(Cipher::from_code(c.code()), Some(c));
            assert_eq!(c.name().parse(), Ok(c));
        }
        for h in Hash::ALL {
            assert_eq!(Hash::from_code(h.code()), Some(h));
            assert_eq!(h.name().parse(), Ok(h));
        }
        assert_eq!(Cipher::from_code(0), None);
        assert_eq!(Hash::from_code(1), None);
        assert!("aes256".parse::<Cipher>().is_err());
    }
}
