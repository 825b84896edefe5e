//! How a sender's session is encrypted, and by which key (cli §2.1).

use std::ffi::OsString;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use clap::Args;
use uftp_proto::crypto::{
    BadKeySpec, Cipher, Curve, Hash, KeyError, KeyExchange, KeyKind, KeySpec, PrivateKey,
    SignatureForm, SignatureType, Suite,
};
use uftp_proto::wire::Version;
use uftp_session::security::SenderSecurity;

use crate::exit::{Exit, Failure};
use crate::keys;

/// Options of the sender.
#[derive(Args, Clone, PartialEq, Debug)]
#[command(next_help_heading = "Encryption")]
pub(crate) struct SenderArgs {
    /// Cipher: none, aes128-gcm, aes256-gcm, aes128-ccm, aes256-ccm; in protocols 3 and 4 also
    /// des, 3des, aes128-cbc, aes256-cbc [default: aes256-gcm in protocol 5, else none]
    #[arg(short = 'Y', long, value_name = "CIPHER", value_parser = cipher)]
    pub cipher: Option<CipherChoice>,

    /// Hash: sha256, sha384, sha512; in protocols 3 and 4 also sha1 [default: sha256]
    #[arg(short = 'h', long, value_name = "HASH",
          value_parser = word::<Hash>("Invalid hashtype"))]
    pub hash: Option<Hash>,

    /// What authenticates packets of the CBC ciphers of protocols 3 and 4: hmac, or keyex for a
    /// signature on each [default: hmac]
    #[arg(short = 'w', long, value_name = "TYPE",
          value_parser = signature)]
    pub signature: Option<SignatureType>,

    /// Curve of the key exchange: secp256r1, secp384r1, secp521r1. In protocol 4 the exchange:
    /// rsa, ecdh_rsa, ecdh_ecdsa, the latter two also with :CURVE, or a curve alone [default:
    /// secp256r1; in protocol 4 ecdh_rsa or ecdh_ecdsa, as the key is]
    #[arg(short = 'e', long, value_name = "EXCHANGE", value_parser = exchange)]
    pub key_exchange: Option<Exchange>,

    /// Receivers must prove an identity; fingerprints in host lists are compared with it
    #[arg(short = 'c', long)]
    pub client_auth: bool,

    /// File with our private key; with -K it is made and stored there
    #[arg(short = 'k', long, value_name = "FILE")]
    pub key_file: Option<OsString>,

    /// Make a new key: rsa:BITS or ec:CURVE; in protocols 3 and 4 also bits or a curve alone
    /// [default: ec:secp256r1 in protocol 5, else rsa:2048]
    #[arg(short = 'K', long, value_name = "KEY")]
    pub new_key: Option<String>,
}

/// A cipher, or none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct CipherChoice(pub Option<Cipher>);

/// What `-e` says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Exchange {
    /// `None` if the key decides.
    pub kind: Option<KeyExchange>,
    /// Of the ephemeral keys.
    pub curve: Curve,
}

impl SenderArgs {
    /// How sessions are encrypted, if they are. Reads or makes the key.
    ///
    /// # Errors
    /// A key or an algorithm that cannot be had, or that do not go together.
    pub(crate) fn validate(&self, version: Version) -> Result<Option<SenderSecurity>, Failure> {
        let secure = version == Version::V5;
        if secure {
            self.check_curve()?;
        }
        let choice = self.cipher.unwrap_or(match secure {
            true => CipherChoice(Some(Cipher::Aes256Gcm)),
            false => CipherChoice(None),
        });
        let rsa_only = matches!(version, Version::V3 | Version::V3Sync);
        let Some(cipher) = choice.0 else {
            return Ok(None);
        };
        cipher.ensure_available().map_err(|why| {
            Failure::command_line(format!("Keytype not supported: {why} (option -Y)"))
        })?;
        if secure {
            self.check_new_key()?;
        }
        let asked = self.key_exchange.and_then(|e| e.kind);
        let key = self.key(asked, default_key(version, asked))?;
        let hash = self.hash.unwrap_or(Hash::Sha256);
        let suite = Suite {
            cipher,
            hash,
            key_exchange: match asked {
                Some(asked) => asked,
                None if secure => KeyExchange::Ecdh,
                None if rsa_only => KeyExchange::Rsa,
                None => fitting(&key, hash),
            },
            signature: match cipher.is_aead() {
                true => SignatureType::Aead,
                false => self.signature.unwrap_or(SignatureType::Hmac),
            },
            client_auth: self.client_auth,
        };
        let curve = self.key_exchange.map_or(Curve::DEFAULT, |e| e.curve);
        SenderSecurity::new(version, suite, key, curve)
            .map(Some)
            .map_err(|why| {
                Failure::new(
                    Exit::Keys,
                    format!("the session cannot be encrypted: {why} (options -Y -h -w -e -k)"),
                )
            })
    }

    /// Protocol 5 has three curves.
    fn check_curve(&self) -> Result<(), Failure> {
        let curve = self.key_exchange.map(|exchange| exchange.curve);
        match curve.filter(|curve| !curve.is_in(Version::V5)) {
            None => Ok(()),
            Some(curve) => Err(out_of_bounds(&foreign(curve)).about("-e")),
        }
    }

    /// And bounds for keys.
    fn check_new_key(&self) -> Result<(), Failure> {
        let spec = self.new_key.as_deref().and_then(|text| text.parse().ok());
        let why = match spec {
            Some(KeySpec::Rsa(bits)) if !KeySpec::RSA_BITS_V5.contains(&bits) => {
                let (least, most) = (KeySpec::RSA_BITS_V5.start(), KeySpec::RSA_BITS_V5.end());
                format!("Invalid new key length: {bits}: expected {least} to {most} bits")
            }
            Some(KeySpec::Ec(curve)) if !curve.is_in(Version::V5) => foreign(curve),
            _ => return Ok(()),
        };
        Err(out_of_bounds(&why).about("-K"))
    }

    fn key(
        &self,
        asked: Option<KeyExchange>,
        default: KeySpec,
    ) -> Result<Arc<PrivateKey>, Failure> {
        let new = self.new_key.as_deref().filter(|new| !new.is_empty());
        let file = self.key_file.as_deref().filter(|file| !file.is_empty());
        match (new, file.map(Path::new)) {
            (Some(text), path) => keys::make(new_key(text, asked)?, path),
            (None, Some(path)) => keys::read(path),
            (None, None) => keys::make(default, None),
        }
    }
}

fn foreign(curve: Curve) -> String {
    format!("Invalid curve: {curve}: expected prime256v1, secp384r1 or secp521r1")
}

fn out_of_bounds(why: &str) -> Failure {
    Failure::command_line(format!(
        "{why} in protocol 5 (--protocol 4 has others, and encrypts with -Y only)"
    ))
}

/// The key exchange of protocol 4 for a key, if none is named. To an RSA key that is too small to sign
/// with `hash` secrets can only be encrypted, as 4.10.2 has it by default.
fn fitting(key: &PrivateKey, hash: Hash) -> KeyExchange {
    match key.kind() {
        KeyKind::Ec(_) => KeyExchange::EcdhEcdsa,
        KeyKind::Rsa { .. } => match key.sign(hash, SignatureForm::Natural, &[]) {
            Err(KeyError::TooSmallToSign { .. }) => KeyExchange::Rsa,
            _ => KeyExchange::EcdhRsa,
        },
    }
}

/// The key that is made when none is given.
fn default_key(version: Version, asked: Option<KeyExchange>) -> KeySpec {
    match (version, asked) {
        (Version::V5, _) | (_, Some(KeyExchange::EcdhEcdsa)) => KeySpec::Ec(Curve::DEFAULT),
        _ => KeySpec::DEFAULT_RSA,
    }
}

/// `-Y`.
fn cipher(text: &str) -> Result<CipherChoice, String> {
    match text {
        "none" => Ok(CipherChoice(None)),
        // The names of the programs of protocol 3.
        "aes128" => Ok(CipherChoice(Some(Cipher::Aes128Cbc))),
        "aes256" => Ok(CipherChoice(Some(Cipher::Aes256Cbc))),
        _ => text
            .parse()
            .map(|cipher| CipherChoice(Some(cipher)))
            .map_err(|why| format!("Invalid keytype: {why}, none")),
    }
}

/// `-w`; the programs of protocol 3 call a signature on each packet rsa.
fn signature(text: &str) -> Result<SignatureType, String> {
    match text {
        "rsa" => Ok(SignatureType::Keyex),
        _ => word("Invalid sigtype")(text),
    }
}

/// One of the names of an algorithm; `phrase` begins the complaint.
fn word<T>(phrase: &'static str) -> impl Fn(&str) -> Result<T, String> + Clone
where
    T: FromStr,
    T::Err: std::fmt::Display,
{
    move |text| text.parse().map_err(|why| format!("{phrase}: {why}"))
}

/// `-e`: of protocol 4, or a bare curve as in protocol 5.
fn exchange(text: &str) -> Result<Exchange, String> {
    if let Ok(curve) = text.parse() {
        return Ok(Exchange { kind: None, curve });
    }
    let (kind, curve) = match text.split_once(':') {
        None => (text, None),
        Some((kind, curve)) => (kind, Some(curve).filter(|curve| !curve.is_empty())),
    };
    let kind: KeyExchange = kind
        .parse()
        .map_err(|why| format!("Invalid keyextype: {why}, or a curve"))?;
    match (kind, curve) {
        (_, None) => Ok(Curve::DEFAULT),
        (KeyExchange::Rsa, Some(_)) => {
            return Err("Invalid keyextype: rsa takes no curve".to_owned());
        }
        (_, Some(curve)) => curve.parse(),
    }
    .map(|curve| Exchange {
        kind: Some(kind),
        curve,
    })
    .map_err(|why| format!("Invalid curve: {why}"))
}

/// `-K` of the sender: as `-e` has it, or with its kind in front.
fn new_key(text: &str, asked: Option<KeyExchange>) -> Result<KeySpec, Failure> {
    const NO_LENGTH: &str = "Invalid new key length: expected 512 to 8192 bits, in steps of 32";
    let spec = if text.contains(':') {
        text.parse().map_err(|why: BadKeySpec| why.to_string())
    } else if let (Ok(bits), true) = (text.parse(), asked != Some(KeyExchange::EcdhEcdsa)) {
        KeySpec::rsa(bits).map_err(|_| NO_LENGTH.to_owned())
    } else {
        match (text.parse(), asked) {
            (Ok(curve), None | Some(KeyExchange::EcdhEcdsa)) => Ok(KeySpec::Ec(curve)),
            (Err(why), Some(KeyExchange::EcdhEcdsa)) => Err(format!("Invalid curve: {why}")),
            _ => Err(NO_LENGTH.to_owned()),
        }
    };
    spec.map_err(|why| Failure::command_line(format!("{why} (option -K, value '{text}')")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exchanges_of_both_generations() {
        let curve = |name: &str| name.parse::<Curve>().unwrap();
        for (text, kind, name) in [
            ("rsa", Some(KeyExchange::Rsa), "prime256v1"),
            ("ecdh_rsa", Some(KeyExchange::EcdhRsa), "prime256v1"),
            ("ecdh_rsa:", Some(KeyExchange::EcdhRsa), "prime256v1"),
            (
                "ecdh_rsa:secp384r1",
                Some(KeyExchange::EcdhRsa),
                "secp384r1",
            ),
            (
                "ecdh_ecdsa:secp521r1",
                Some(KeyExchange::EcdhEcdsa),
                "secp521r1",
            ),
            ("secp384r1", None, "secp384r1"),
        ] {
            let expected = Exchange {
                kind,
                curve: curve(name),
            };
            assert_eq!(exchange(text), Ok(expected), "{text}");
        }
        for (text, says) in [
            ("", "Invalid keyextype"),
            (":", "Invalid keyextype"),
            ("dh", "Invalid keyextype"),
            ("rsa:junk", "Invalid keyextype: rsa takes no curve"),
            ("ecdh_rsa:P-256", "Invalid curve"),
        ] {
            let told = exchange(text).unwrap_err();
            assert!(told.starts_with(says), "{text}: {told}");
        }
    }

    #[test]
    fn a_key_too_small_to_sign_is_encrypted_to() {
        for (spec, hash, expected) in [
            (KeySpec::Rsa(512), Hash::Sha256, KeyExchange::EcdhRsa),
            (KeySpec::Rsa(512), Hash::Sha384, KeyExchange::Rsa),
            (KeySpec::Rsa(768), Hash::Sha512, KeyExchange::EcdhRsa),
            (
                KeySpec::Ec(Curve::DEFAULT),
                Hash::Sha512,
                KeyExchange::EcdhEcdsa,
            ),
        ] {
            let key = keys::make(spec, None).unwrap();
            assert_eq!(fitting(&key, hash), expected, "{spec} {hash}");
        }
    }

    #[test]
    fn new_keys_of_both_generations() {
        let (rsa, ecdsa) = (Some(KeyExchange::EcdhRsa), Some(KeyExchange::EcdhEcdsa));
        let p384 = KeySpec::Ec("secp384r1".parse().unwrap());
        for (text, asked, spec) in [
            ("1024", rsa, KeySpec::Rsa(1024)),
            ("2048", None, KeySpec::Rsa(2048)),
            ("rsa:2048", rsa, KeySpec::Rsa(2048)),
            ("secp384r1", ecdsa, p384),
            ("secp384r1", None, p384),
            ("ec:secp384r1", ecdsa, p384),
        ] {
            assert_eq!(new_key(text, asked).unwrap(), spec, "{text}");
        }
        for (text, asked, says) in [
            ("511", rsa, "Invalid new key length"),
            ("1000", rsa, "Invalid new key length"),
            ("secp384r1", rsa, "Invalid new key length"),
            ("2048", ecdsa, "Invalid curve"),
            ("rsa:", rsa, "Invalid key size"),
            ("ec:x", ecdsa, "Invalid curve"),
        ] {
            let told = new_key(text, asked).unwrap_err();
            assert!(told.message.starts_with(says), "{text}: {told}");
            assert_eq!(told.exit, Exit::CommandLine);
        }
    }
}
