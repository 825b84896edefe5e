//! Reading the recorded vectors.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::OnceLock;

use serde::Deserialize;
use serde::de::{Deserializer, Error};
use uftp_proto::crypto::{Curve, PrivateKey};

/// Bytes written in hex.
#[derive(Clone, PartialEq, Eq, Default)]
pub(crate) struct Hex(pub(crate) Vec<u8>);

impl std::fmt::Debug for Hex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl std::ops::Deref for Hex {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(2), "{text}");
    (0..text.len() / 2)
        .map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap())
        .collect()
}

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Hex, D::Error> {
        let mut text = String::deserialize(d)?;
        if !text.len().is_multiple_of(2) {
            // A number, written without its leading zero.
            text.insert(0, '0');
        }
        if text.bytes().all(|b| b.is_ascii_hexdigit()) {
            Ok(Hex(unhex(&text)))
        } else {
            Err(D::Error::custom(format!("not hex: {text}")))
        }
    }
}

/// A key schedule, with the packets around it.
#[derive(Deserialize)]
pub(crate) struct Vector<S> {
    pub(crate) id: String,
    pub(crate) cipher: String,
    pub(crate) hash: String,
    pub(crate) signature: String,
    pub(crate) client_auth: bool,
    pub(crate) server_key: String,
    pub(crate) client_key: String,
    pub(crate) handshake: Handshake,
    pub(crate) schedule: S,
    #[serde(default)]
    pub(crate) ecdh: Option<Ecdh>,
    pub(crate) packets: Vec<Packet>,
}

#[derive(Deserialize)]
pub(crate) struct Handshake {
    pub(crate) announce: Hex,
    pub(crate) register: Hex,
    pub(crate) client_key: Option<Hex>,
    pub(crate) keyinfo: Hex,
}

#[derive(Deserialize)]
pub(crate) struct Ecdh {
    pub(crate) curve: String,
    pub(crate) private_scalar: Hex,
    pub(crate) own_blob: Hex,
    pub(crate) peer_blob: Hex,
}

impl Ecdh {
    pub(crate) fn own(&self) -> PrivateKey {
        let curve: Curve = self.curve.parse().unwrap();
        PrivateKey::from_ec_scalar(curve, &self.private_scalar).unwrap()
    }
}

#[derive(Deserialize)]
pub(crate) struct Packet {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) sender: String,
    pub(crate) key_ref: String,
    pub(crate) plaintext: Hex,
    pub(crate) packet: Hex,
    pub(crate) sig_kind: Option<String>,
}

/// The schedule of protocols 3 and 4.
#[derive(Deserialize)]
pub(crate) struct PrfSchedule {
    pub(crate) premaster: Hex,
    pub(crate) master_secret: Hex,
    pub(crate) client_key: Hex,
    pub(crate) client_salt: Hex,
    pub(crate) keyinfo_encrypted: Hex,
    pub(crate) group_master: Hex,
    pub(crate) group_hmac_key: Hex,
    pub(crate) group_key: Hex,
    pub(crate) group_salt: Hex,
    pub(crate) client_key_signed_data: Option<Hex>,
    pub(crate) verify_data: Hex,
}

/// One of the recorded identities.
#[derive(Deserialize)]
pub(crate) struct Key {
    pub(crate) id: String,
    pub(crate) pem: String,
    pub(crate) blob: Hex,
    pub(crate) fingerprint_sha1_of_blob: String,
    pub(crate) fingerprint_v3: Option<String>,
    pub(crate) private_scalar: Option<Hex>,
    pub(crate) curve: Option<String>,
    pub(crate) n: Option<Hex>,
    pub(crate) e: Option<u32>,
    pub(crate) d: Option<Hex>,
}

pub(crate) fn keys() -> &'static HashMap<String, Key> {
    static KEYS: OnceLock<HashMap<String, Key>> = OnceLock::new();
    KEYS.get_or_init(|| {
        let all: Vec<Key> =
            serde_json::from_str(include_str!("../vectors/keys/keys.json")).unwrap();
        all.into_iter().map(|k| (k.id.clone(), k)).collect()
    })
}

pub(crate) fn private_key(id: &str) -> PrivateKey {
    PrivateKey::from_pem(keys()[id].pem.as_bytes()).unwrap()
}

pub(crate) fn ip(bytes: &[u8]) -> IpAddr {
    IpAddr::from(<[u8; 4]>::try_from(bytes).unwrap())
}
