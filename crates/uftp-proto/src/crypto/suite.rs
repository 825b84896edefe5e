//! The algorithms of a session, in the combinations there are.

use super::algorithms::{Cipher, Hash, KeyExchange, SignatureType};
use super::public_key::KeyKind;
use crate::wire::{EncInfo, Version};

/// The algorithms of one session, in a combination its protocol has.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Suite {
    /// Encrypts messages.
    pub cipher: Cipher,
    /// Derives keys, and authenticates and signs where the cipher does not.
    pub hash: Hash,
    /// Makes the shared secret.
    pub key_exchange: KeyExchange,
    /// Authenticates packets.
    pub signature: SignatureType,
    /// Whether receivers prove an identity with CLIENT_KEY.
    pub client_auth: bool,
}

impl Suite {
    /// Reads the codes of an ANNOUNCE, in the order in which deployed receivers complain.
    ///
    /// # Errors
    /// [`SuiteError`] if a code is unknown, is not in this protocol, does not go with the
    /// others, or names something this system's OpenSSL lacks.
    pub fn from_wire(version: Version, info: &EncInfo) -> Result<Suite, SuiteError> {
        let cipher = Cipher::from_code(info.cipher).ok_or(SuiteError::CipherCode(info.cipher))?;
        let hash = Hash::from_code(info.hash).ok_or(SuiteError::HashCode(info.hash))?;
        let (key_exchange, signature) = match version {
            Version::V5 => (KeyExchange::Ecdh, SignatureType::Aead),
            _ => (
                [
                    KeyExchange::Rsa,
                    KeyExchange::EcdhRsa,
                    KeyExchange::EcdhEcdsa,
                ]
                .into_iter()
                .find(|k| k.code() == info.key_exchange)
                .ok_or(SuiteError::KeyExchangeCode(info.key_exchange))?,
                [
                    SignatureType::Hmac,
                    SignatureType::Keyex,
                    SignatureType::Aead,
                ]
                .into_iter()
                .find(|s| s.code() == info.signature_type)
                .ok_or(SuiteError::SignatureCode(info.signature_type))?,
            ),
        };
        let suite = Suite {
            cipher,
            hash,
            key_exchange,
            signature,
            client_auth: info.client_auth,
        };
        suite.check(version)?;
        cipher.ensure_available()?;
        Ok(suite)
    }

    /// Bytes of the signature of every packet, where keys are of the size of `key`.
    pub fn signature_len(&self, key: KeyKind) -> usize {
        match self.signature {
            SignatureType::Hmac => self.hash.digest_len(),
            SignatureType::Keyex => key.signature_len(),
            SignatureType::Aead => 0,
        }
    }

    /// Whether this combination exists in `version`.
    ///
    /// # Errors
    /// [`SuiteError`] naming the part that does not.
    pub fn check(&self, version: Version) -> Result<(), SuiteError> {
        let (cipher, hash, exchange) = match version {
            Version::V3 | Version::V3Sync => (
                !self.cipher.is_aead(),
                matches!(self.hash, Hash::Sha1 | Hash::Sha256),
                self.key_exchange == KeyExchange::Rsa,
            ),
            Version::V4 => (true, true, self.key_exchange != KeyExchange::Ecdh),
            Version::V5 => (
                self.cipher.is_aead(),
                self.hash != Hash::Sha1,
                self.key_exchange == KeyExchange::Ecdh,
            ),
        };
        if !cipher {
            return Err(SuiteError::CipherCode(self.cipher.code()));
        }
        if !hash {
            return Err(SuiteError::HashCode(self.hash.code()));
        }
        if !exchange {
            return Err(SuiteError::KeyExchangeCode(self.key_exchange.code()));
        }
        // A 4.10.2 receiver lets a signature beside an AEAD cipher pass, but nobody sends it
        // and its meaning is open (wire-v4 §8.6).
        if self.cipher.is_aead() != (self.signature == SignatureType::Aead) {
            return Err(SuiteError::SignatureCode(self.signature.code()));
        }
        Ok(())
    }

    /// Whether protocol 5 has these algorithms too, whatever protocol they are used in
    /// (wire-v5 §13). The parts are looked at in the order in which 5.0.1 complains.
    ///
    /// # Errors
    /// [`SuiteError`] naming the part that it left behind.
    pub fn check_modern(&self) -> Result<(), SuiteError> {
        if matches!(self.cipher, Cipher::Des | Cipher::TripleDes) {
            return Err(SuiteError::CipherCode(self.cipher.code()));
        }
        if self.hash == Hash::Sha1 {
            return Err(SuiteError::HashCode(self.hash.code()));
        }
        if self.signature != SignatureType::Aead {
            return Err(SuiteError::SignatureCode(self.signature.code()));
        }
        if !self.key_exchange.is_ecdh() {
            return Err(SuiteError::KeyExchangeCode(self.key_exchange.code()));
        }
        Ok(())
    }

    /// Names of the parts that are weak, for one line in the log.
    pub fn weaknesses(&self) -> Vec<&'static str> {
        let mut weak = Vec::new();
        if self.cipher.is_weak() {
            weak.push(self.cipher.name());
        }
        if self.hash.is_weak() {
            weak.push(self.hash.name());
        }
        if self.key_exchange.is_weak() {
            weak.push("rsa key exchange");
        }
        weak
    }
}

/// Algorithms that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SuiteError {
    /// No such cipher in this protocol.
    #[error("cipher code {0} is not in this protocol")]
    CipherCode(u8),
    /// This system cannot do it.
    #[error(
        "this system's OpenSSL does not offer {}{}", .0.name(),
        if *.0 == Cipher::Des {
            "; install or enable OpenSSL's legacy provider, or use another cipher"
        } else {
            "; use another cipher"
        }
    )]
    CipherUnavailable(Cipher),
    /// No such hash in this protocol.
    #[error("hash code {0} is not in this protocol")]
    HashCode(u8),
    /// No such key exchange in this protocol.
    #[error("key exchange code {0} is not in this protocol")]
    KeyExchangeCode(u8),
    /// No such signature type in this protocol, or not with this cipher.
    #[error("signature type code {0} is not in this protocol or does not go with the cipher")]
    SignatureCode(u8),
}

impl SuiteError {
    /// The reason of the ABORT with which deployed receivers refuse such an ANNOUNCE
    /// (wire-v4 §10.1).
    pub fn abort_reason(&self) -> &'static str {
        match self {
            SuiteError::CipherCode(_) | SuiteError::CipherUnavailable(_) => {
                "Keytype invalid or not supported here"
            }
            SuiteError::HashCode(_) => "Hashtype invalid or not supported here",
            SuiteError::KeyExchangeCode(_) => "Invalid keyextype specified",
            SuiteError::SignatureCode(_) => "Invalid sigtype specified",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(cipher: u8, hash: u8, key_exchange: u8, signature_type: u8) -> EncInfo {
        EncInfo {
            client_auth: false,
            key_exchange,
            signature_type,
            cipher,
            hash,
            random: [0; 32],
            key: vec![],
            dh_key: vec![],
            signature: vec![],
        }
    }

    #[test]
    fn refusals_use_the_deployed_texts() {
        let reason =
            |i: &EncInfo| Suite::from_wire(Version::V4, i).map_err(|e| e.abort_reason().to_owned());
        assert!(reason(&info(6, 3, 3, 3)).is_ok());
        for (i, text) in [
            (info(9, 3, 3, 3), "Keytype invalid or not supported here"),
            (info(0, 3, 3, 3), "Keytype invalid or not supported here"),
            (info(6, 1, 3, 3), "Hashtype invalid or not supported here"),
            (info(6, 3, 4, 3), "Invalid keyextype specified"),
            (info(6, 3, 0, 3), "Invalid keyextype specified"),
            (info(6, 3, 1, 1), "Invalid sigtype specified"),
            (info(4, 3, 1, 3), "Invalid sigtype specified"),
            (info(4, 3, 1, 0), "Invalid sigtype specified"),
        ] {
            assert_eq!(reason(&i), Err(text.to_owned()));
        }
    }

    #[test]
    fn protocols_have_their_own_suites() {
        assert!(Suite::from_wire(Version::V3, &info(4, 3, 1, 2)).is_ok());
        assert!(Suite::from_wire(Version::V3, &info(4, 4, 1, 2)).is_err());
        assert!(Suite::from_wire(Version::V3, &info(6, 3, 1, 3)).is_err());
        assert!(Suite::from_wire(Version::V5, &info(6, 3, 0, 0)).is_ok());
        assert!(Suite::from_wire(Version::V5, &info(4, 3, 0, 0)).is_err());
        assert!(Suite::from_wire(Version::V5, &info(6, 2, 0, 0)).is_err());
    }

    #[test]
    fn what_protocol_5_left_behind() {
        let told = |cipher, hash, exchange, signature| {
            let suite = Suite::from_wire(Version::V4, &info(cipher, hash, exchange, signature));
            suite.unwrap().check_modern().map_err(|e| e.abort_reason())
        };
        assert_eq!(told(6, 3, 2, 3), Ok(()));
        assert_eq!(told(7, 5, 3, 3), Ok(()));
        let cipher = "Keytype invalid or not supported here";
        assert_eq!(told(2, 2, 1, 1), Err(cipher));
        let hash = "Hashtype invalid or not supported here";
        assert_eq!(told(4, 2, 1, 1), Err(hash));
        assert_eq!(told(6, 2, 1, 3), Err(hash));
        assert_eq!(told(4, 3, 1, 1), Err("Invalid sigtype specified"));
        assert_eq!(told(4, 3, 3, 2), Err("Invalid sigtype specified"));
        assert_eq!(told(6, 3, 1, 3), Err("Invalid keyextype specified"));
    }

    #[test]
    fn weak_parts_are_named() {
        let suite = Suite {
            cipher: Cipher::TripleDes,
            hash: Hash::Sha1,
            key_exchange: KeyExchange::Rsa,
            signature: SignatureType::Hmac,
            client_auth: false,
        };
        assert_eq!(suite.weaknesses(), ["3des", "sha1", "rsa key exchange"]);
    }
}
