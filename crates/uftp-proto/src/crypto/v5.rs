//! The key schedule of protocol 5 (wire-v5 §7, §8).
//!
//! ```text
//!  ECDH x ──SHA-256──▶ premaster ──Extract──▶ ──ExpandLabel, H(CC1)──▶ handshake keys ─┬▶ CLIENT_KEY
//!                                                                                      │ wrap
//!                         group master ◀────────────────────────────────────────── KEYINFO
//!                              │
//!                              └──Extract──▶ app secret ─┬─ExpandLabel, H(SC)───▶ server app keys
//!                                                        └─ExpandLabel, H(CC2)──▶ client app keys
//!                                                                                 and verify data
//! ```
//!
//! What a key is made for is bound into it by a context, a transcript of the messages both sides
//! have seen: [`ServerContext`] (SC), [`ProxyContext`] (PC), [`ClientContext1`] (CC1),
//! [`ClientContext2`] (CC2). Each stage is a type of its own.

use zeroize::Zeroizing;

use super::algorithms::{Hash, SignatureType, TAG_LEN};
use super::bulk::{CipherError, Direction, bulk};
use super::digest::{Digest, HmacKey, digest};
use super::error::BackendError;
use super::hkdf::{expand_label, extract};
use super::iv::{IvInput, IvMaker};
use super::key_error::KeyError;
use super::private_key::PrivateKey;
use super::public_key::PublicKey;
use super::record::{Opener, Sealer, SetupError, TrafficKeys};
use super::secret::{self, Secret};
use super::suite::Suite;
use crate::ids::{GroupId, Uid};
use crate::wire::{self, Announce, ClientKey, Header, Message, ProxyKey, Version};

/// Bytes of the group master.
const MASTER_LEN: usize = 32;
/// The group master as KEYINFO carries it, with its tag.
const WRAPPED_LEN: usize = MASTER_LEN + TAG_LEN;
/// Bytes of every IV.
const IV_LEN: usize = 12;

/// SC: the session and its ENC_INFO. The same for all repetitions of the ANNOUNCE.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServerContext(Vec<u8>);

impl ServerContext {
    /// From an ANNOUNCE as sent or received: its header, the message, and the bytes of the
    /// message. `None` if it has no ENC_INFO.
    pub fn new(header: &Header, announce: &Announce, bytes: &[u8]) -> Option<ServerContext> {
        let message = unsigned(bytes, &Message::Announce(announce.clone()))?;
        let info = message.get(wire::enc_info_range(announce)?)?;
        let mut sc = header.group.0.to_be_bytes().to_vec();
        sc.push(header.instance.0);
        sc.extend_from_slice(&header.src.0.to_be_bytes());
        sc.extend_from_slice(info);
        Some(ServerContext(sc))
    }

    /// The bytes, as they enter signatures.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// PC: the proxy a receiver registers with. Empty without one.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ProxyContext(Vec<u8>);

impl ProxyContext {
    /// From a PROXY_KEY of `proxy` as sent or received: the message and its bytes. `None` if they
    /// do not go together.
    pub fn new(proxy: Uid, key: &ProxyKey, bytes: &[u8]) -> Option<ProxyContext> {
        let message = unsigned(bytes, &Message::ProxyKey(key.clone()))?;
        let mut pc = proxy.0.to_be_bytes().to_vec();
        pc.extend_from_slice(&message);
        Some(ProxyContext(pc))
    }

    /// The bytes, as they enter signatures.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// What a proxy's signature in its PROXY_KEY covers (wire-v5 §8.5).
pub fn proxy_key_input<'a>(sc: &'a ServerContext, pc: &'a ProxyContext) -> [&'a [u8]; 3] {
    [b"UFTP 5, PROXY_KEY", &sc.0, &pc.0]
}

/// What the signature in a KEYINFO covers before the packet itself (wire-v5 §8.4).
pub fn key_info_context<'a>(sc: &'a ServerContext, pc: &'a ProxyContext) -> [&'a [u8]; 3] {
    [b"UFTP 5, KEYINFO", &sc.0, &pc.0]
}

/// CC1: the contexts before it and the REGISTER.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClientContext1(Vec<u8>);

impl ClientContext1 {
    /// From the parts of the REGISTER of `client`: its ECDH key blob and random number.
    pub fn new(
        sc: &ServerContext,
        pc: &ProxyContext,
        client: Uid,
        dh_key: &[u8],
        random: &[u8; 32],
    ) -> ClientContext1 {
        ClientContext1([&sc.0, &pc.0, &client.0.to_be_bytes()[..], dh_key, random].concat())
    }

    /// What the signature in a CLIENT_KEY covers (wire-v5 §8.3).
    pub fn client_key_input(&self) -> [&[u8]; 2] {
        [b"UFTP 5, CLIENT_KEY", &self.0]
    }

    /// The next context where receivers need no CLIENT_KEY.
    pub fn without_client_key(self) -> ClientContext2 {
        ClientContext2(self.0)
    }

    /// The next context, from the CLIENT_KEY as sent or received: the message and its bytes.
    /// `None` if they do not go together.
    pub fn with_client_key(self, key: &ClientKey, bytes: &[u8]) -> Option<ClientContext2> {
        let message = unsigned(bytes, &Message::ClientKey(key.clone()))?;
        let mut cc = self.0;
        cc.extend_from_slice(&message);
        Some(ClientContext2(cc))
    }
}

/// CC2: all there is to a handshake.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClientContext2(Vec<u8>);

/// A message up to the end of its header, its signature zeroed.
fn unsigned(bytes: &[u8], message: &Message<'_>) -> Option<Vec<u8>> {
    let len = usize::from(*bytes.get(1)?) * 4;
    let mut copy = bytes.get(..len)?.to_vec();
    if let Some(at) = wire::signature_range(Version::V5, message) {
        copy.get_mut(at)?.fill(0);
    }
    Some(copy)
}

/// What sender (or proxy) and receiver share first.
#[derive(Clone)]
pub struct Premaster(Secret);

impl Premaster {
    /// SHA-256, whatever the session's hash, of the x coordinate shared between our ephemeral
    /// key and the peer's.
    ///
    /// # Errors
    /// [`KeyError::CurveMismatch`] if the keys do not go together.
    pub fn agree(own: &PrivateKey, peer: &PublicKey) -> Result<Premaster, KeyError> {
        let x = own.agree(peer)?;
        Ok(Premaster(Secret::copy_of(&openssl::sha::sha256(
            x.expose(),
        ))))
    }

    /// The next stage.
    pub fn handshake_keys(&self, suite: &Suite, context: &ClientContext1) -> HandshakeKeys {
        let secret = extract(suite.hash, zeros(suite.hash), self.0.expose());
        let keys = |label| traffic_keys(suite, secret.expose(), label, &context.0).1;
        HandshakeKeys {
            server: keys("s hs traffic"),
            client: keys("c hs traffic"),
        }
    }

    /// The bytes, for tests against recorded sessions.
    pub fn expose(&self) -> &[u8] {
        self.0.expose()
    }
}

/// The traffic secret with this label, and its keys.
fn traffic_keys(
    suite: &Suite,
    secret: &[u8],
    label: &str,
    context: &[u8],
) -> (Secret, TrafficKeys) {
    let Suite { hash, cipher, .. } = *suite;
    let context = digest(hash, &[context]);
    let secret = expand_label(hash, secret, label, &context, hash.digest_len());
    let part = |label, n| expand_label(hash, secret.expose(), label, &[], n);
    let keys = TrafficKeys {
        version: Version::V5,
        cipher,
        hash,
        signature: SignatureType::Aead,
        hmac_key: Secret::copy_of(&[]),
        key: part("key", cipher.key_len()),
        salt: part("iv", IV_LEN),
    };
    (secret, keys)
}

/// Keys between the upstream party and one receiver, good for CLIENT_KEY and for handing over the
/// group master only.
pub struct HandshakeKeys {
    server: TrafficKeys,
    client: TrafficKeys,
}

impl HandshakeKeys {
    /// Seals the receiver's CLIENT_KEY.
    ///
    /// # Errors
    /// [`SetupError`] if the cipher is not offered.
    pub fn client_sealer(&self) -> Result<Sealer, SetupError> {
        self.client.sealer(None)
    }

    /// Opens the receiver's CLIENT_KEY.
    ///
    /// # Errors
    /// [`SetupError`] if the cipher is not offered.
    pub fn client_opener(&self) -> Result<Opener, SetupError> {
        self.client.opener()
    }

    /// Encrypts the group master for this receiver, for a KEYINFO with this `counter`.
    ///
    /// # Errors
    /// [`CipherError`] if the cipher is not offered or OpenSSL fails.
    pub fn wrap(
        &self,
        master: &GroupMaster,
        context: &ClientContext2,
        counter: u64,
    ) -> Result<[u8; WRAPPED_LEN], CipherError> {
        let mut bulk = bulk(
            self.server.cipher,
            self.server.key.expose(),
            Direction::Seal,
        )?;
        let mut out = [0; WRAPPED_LEN];
        for (to, from) in out.iter_mut().zip(master.0.expose()) {
            *to = *from;
        }
        let aad = wrap_aad(context);
        bulk.seal(self.iv(counter).as_slice(), &aad, &mut out, MASTER_LEN)?;
        Ok(out)
    }

    /// Decrypts the group master out of our entry in a KEYINFO with this `counter`.
    ///
    /// # Errors
    /// [`UnwrapError`](super::UnwrapError) if it was not made for us.
    pub fn unwrap(
        &self,
        wrapped: &[u8; WRAPPED_LEN],
        context: &ClientContext2,
        counter: u64,
    ) -> Result<GroupMaster, super::UnwrapError> {
        let mut bulk = bulk(
            self.server.cipher,
            self.server.key.expose(),
            Direction::Open,
        )?;
        let mut buf = Zeroizing::new(*wrapped);
        bulk.open(self.iv(counter).as_slice(), &wrap_aad(context), &mut *buf)
            .and_then(|len| buf.get(..len))
            .filter(|master| master.len() == MASTER_LEN)
            .map(|master| GroupMaster(Secret::copy_of(master)))
            .ok_or(super::UnwrapError::Decrypt)
    }

    fn iv(&self, counter: u64) -> super::iv::Iv {
        // Sender and session take no part in it.
        IvMaker::new(Version::V5, &self.server.salt, IV_LEN).make(IvInput {
            src: Uid::NONE,
            group: GroupId(0),
            counter,
        })
    }

    /// Key and IV of sender and receiver, for tests against recorded sessions.
    pub fn expose(&self) -> [&[u8]; 4] {
        let (s, c) = (&self.server, &self.client);
        [&s.key, &s.salt, &c.key, &c.salt].map(Secret::expose)
    }
}

fn wrap_aad(context: &ClientContext2) -> Vec<u8> {
    [b"UFTP 5, group master", &context.0[..]].concat()
}

/// The secret of the group, chosen by its sender.
#[derive(Clone)]
pub struct GroupMaster(Secret);

impl GroupMaster {
    /// A new one.
    ///
    /// # Errors
    /// [`BackendError`] if OpenSSL has no randomness.
    pub fn generate() -> Result<GroupMaster, BackendError> {
        Ok(GroupMaster(Secret::random(MASTER_LEN)?))
    }

    /// The group master with these bytes, for tests against recorded sessions.
    pub fn from_bytes(bytes: &[u8; MASTER_LEN]) -> GroupMaster {
        GroupMaster(Secret::copy_of(bytes))
    }

    /// The bytes, for tests against recorded sessions.
    pub fn expose(&self) -> &[u8] {
        self.0.expose()
    }

    /// The keys of what the sender sends to the group.
    pub fn server_keys(&self, suite: &Suite, context: &ServerContext) -> AppKeys {
        self.app_keys(suite, "s app traffic", &context.0).1
    }

    /// The keys of what one receiver (or proxy) sends upstream, and of its proof.
    pub fn client_keys(&self, suite: &Suite, context: &ClientContext2) -> ClientAppKeys {
        let (secret, keys) = self.app_keys(suite, "c app traffic", &context.0);
        let n = suite.hash.digest_len();
        let finished = expand_label(suite.hash, secret.expose(), "finished", &[], n);
        let verify_data =
            HmacKey::new(suite.hash, finished.expose()).mac(&[&context.0, self.0.expose()]);
        ClientAppKeys { keys, verify_data }
    }

    fn app_keys(&self, suite: &Suite, label: &str, context: &[u8]) -> (Secret, AppKeys) {
        let secret = extract(suite.hash, zeros(suite.hash), self.0.expose());
        let (secret, keys) = traffic_keys(suite, secret.expose(), label, context);
        (secret, AppKeys(keys))
    }
}

/// The salt of every extraction.
fn zeros(hash: Hash) -> &'static [u8] {
    super::self_signed::ZEROS
        .get(..hash.digest_len())
        .unwrap_or_default()
}

/// Keys of one direction.
pub struct AppKeys(TrafficKeys);

impl AppKeys {
    /// Seals packets of this direction.
    ///
    /// # Errors
    /// [`SetupError`] if the cipher is not offered.
    pub fn sealer(&self) -> Result<Sealer, SetupError> {
        self.0.sealer(None)
    }

    /// Opens packets of this direction.
    ///
    /// # Errors
    /// [`SetupError`] if the cipher is not offered.
    pub fn opener(&self) -> Result<Opener, SetupError> {
        self.0.opener()
    }

    /// Key and IV, for tests against recorded sessions.
    pub fn expose(&self) -> (&[u8], &[u8]) {
        (self.0.key.expose(), self.0.salt.expose())
    }
}

/// Keys of what one receiver sends upstream.
pub struct ClientAppKeys {
    /// The keys.
    pub keys: AppKeys,
    verify_data: Digest,
}

impl ClientAppKeys {
    /// The proof, in a KEYINFO_ACK, that the receiver has the group master.
    pub fn verify_data(&self) -> &[u8] {
        &self.verify_data
    }

    /// Whether a KEYINFO_ACK proves it, in constant time. Nothing on the wire says how long the
    /// proof is; what follows it is none of it (wire-v5 §5.7).
    pub fn check_verify_data(&self, received: &[u8]) -> bool {
        let proof = received.get(..self.verify_data.len());
        proof.is_some_and(|proof| secret::same(&self.verify_data, proof))
    }
}
