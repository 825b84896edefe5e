//! The key schedule of protocols 3 and 4 (wire-v4 §8.4, §8.5, §8.8; wire-v3 §5.4, §5.5, §5.7).
//!
//! ```text
//!  premaster ──PRF "master secret", R1 R2──▶ master ──PRF "key expansion", R1 R2──▶ client keys
//!  (48 random bytes under the                                                          │ wrap
//!   sender's RSA key, or SHA-1                                                         ▼
//!   of an ECDH secret)             group master ◀──────────────────────────────── KEYINFO
//!                                       │
//!                                       ├──PRF "key expansion", R1──▶ group keys ──▶ Sealer, Opener
//!                                       └──PRF "client finished", hash──▶ verify data
//! ```
//!
//! R1 is the sender's random number, R2 the receiver's. The two protocols differ in the length of
//! the salts and in how IVs are made of them; see [`iv`](super::iv). Each stage is a type of its
//! own, so that no key can be used for what it was not made for.

use std::net::IpAddr;
use std::sync::Arc;

use super::bulk::{CipherError, Direction, bulk};
use super::digest::digest;
use super::error::BackendError;
use super::iv::{IvInput, IvMaker};
use super::key_error::KeyError;
use super::prf::prf;
use super::private_key::PrivateKey;
use super::public_key::PublicKey;
use super::record::{Opener, Sealer, SetupError, TrafficKeys};
use super::secret::{self, Secret};
use super::suite::Suite;
use crate::ids::{GroupId, Uid};
use crate::wire::Version;

/// Bytes of the premaster secret of an RSA exchange, of master secrets and of group masters.
const MASTER_LEN: usize = 48;

/// What the secrets of one receiver in one session are bound to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Binding {
    /// Protocol of the session.
    pub version: Version,
    /// Its algorithms.
    pub suite: Suite,
    /// Its number.
    pub group: GroupId,
    /// The group its packets go to; unspecified in a unicast session.
    pub private: IpAddr,
    /// The sender's random number, R1.
    pub server_random: [u8; 32],
    /// The receiver's random number, R2.
    pub client_random: [u8; 32],
}

impl Binding {
    fn salt_len(&self) -> usize {
        IvMaker::salt_len(self.version, self.suite.cipher.iv_len())
    }
}

/// What sender and receiver share first.
#[derive(Clone)]
pub struct Premaster(Secret);

impl Premaster {
    /// 48 random bytes, for RSA exchange.
    ///
    /// # Errors
    /// [`BackendError`] if OpenSSL has no randomness.
    pub(crate) fn generate() -> Result<Premaster, BackendError> {
        Ok(Premaster(Secret::random(MASTER_LEN)?))
    }

    /// The same for a session of `version`: in protocol 3 the first byte is the version, as its
    /// text wants it although its programs do not (wire-v3 §5.4).
    ///
    /// # Errors
    /// [`BackendError`] if OpenSSL has no randomness.
    pub fn generate_for(version: Version) -> Result<Premaster, BackendError> {
        let mut premaster = Premaster::generate()?;
        if let (Version::V3 | Version::V3Sync, Some(first)) =
            (version, premaster.0.expose_mut().first_mut())
        {
            *first = version.wire_id();
        }
        Ok(premaster)
    }

    /// Encrypts it to the sender's RSA key. Every call gives another ciphertext.
    ///
    /// # Errors
    /// [`KeyError`] if `server` is not an RSA key it fits.
    pub fn encrypt_to(&self, server: &PublicKey) -> Result<Vec<u8>, KeyError> {
        server.encrypt(self.0.expose())
    }

    /// Decrypts what a receiver sent. What does not decrypt becomes a random secret, so that
    /// nobody learns why: the receiver's KEYINFO_ACK will not verify.
    ///
    /// # Errors
    /// [`KeyError`] if `key` is not RSA or the ciphertext not of its length.
    pub fn decrypt(key: &PrivateKey, ciphertext: &[u8]) -> Result<Premaster, KeyError> {
        key.decrypt::<MASTER_LEN>(ciphertext).map(Premaster)
    }

    /// SHA-1, whatever the session's hash, of the x coordinate shared between our ephemeral key
    /// and the peer's.
    ///
    /// # Errors
    /// [`KeyError::CurveMismatch`] if the keys do not go together.
    pub fn agree(own: &PrivateKey, peer: &PublicKey) -> Result<Premaster, KeyError> {
        let x = own.agree(peer)?;
        Ok(Premaster(Secret::copy_of(&openssl::sha::sha1(x.expose()))))
    }

    /// The premaster with these bytes, for tests against recorded sessions.
    pub fn from_bytes(bytes: &[u8]) -> Premaster {
        Premaster(Secret::copy_of(bytes))
    }

    /// Whether two are the same, in constant time.
    pub fn is(&self, other: &Premaster) -> bool {
        secret::same(self.0.expose(), other.0.expose())
    }

    /// The next stage.
    ///
    /// # Errors
    /// [`BackendError`] if OpenSSL fails.
    pub fn master_secret(&self, binding: &Binding) -> Result<MasterSecret, BackendError> {
        prf(
            binding.suite.hash,
            self.0.expose(),
            "master secret",
            &[&binding.server_random, &binding.client_random],
            MASTER_LEN,
        )
        .map(MasterSecret)
    }

    /// What the receiver signs in its CLIENT_KEY. Secret, as it holds the premaster.
    pub fn client_key_input(&self, binding: &Binding) -> Secret {
        let mut v = zeroize::Zeroizing::new(Vec::with_capacity(4 + 16 + 64 + MASTER_LEN));
        v.extend_from_slice(&binding.group.0.to_be_bytes());
        match binding.private {
            IpAddr::V4(addr) => v.extend_from_slice(&addr.octets()),
            IpAddr::V6(addr) => v.extend_from_slice(&addr.octets()),
        }
        v.extend_from_slice(&binding.server_random);
        v.extend_from_slice(&binding.client_random);
        v.extend_from_slice(self.0.expose());
        Secret::from(v)
    }
}

/// Stage two; good for making [`ClientKeys`] only.
#[derive(Clone)]
pub struct MasterSecret(Secret);

impl MasterSecret {
    /// The next stage.
    ///
    /// # Errors
    /// [`BackendError`] if OpenSSL fails.
    pub fn client_keys(&self, binding: &Binding) -> Result<ClientKeys, BackendError> {
        let suite = &binding.suite;
        // The HMAC key at the front is derived but never used.
        let skipped = suite.hash.digest_len();
        let mut block = prf(
            suite.hash,
            self.0.expose(),
            "key expansion",
            &[&binding.server_random, &binding.client_random],
            skipped + suite.cipher.key_len() + binding.salt_len(),
        )?;
        block.take_front(skipped);
        Ok(ClientKeys {
            version: binding.version,
            suite: *suite,
            group: binding.group,
            key: block.take_front(suite.cipher.key_len()),
            salt: block,
        })
    }

    /// The bytes, for tests against recorded sessions.
    pub fn expose(&self) -> &[u8] {
        self.0.expose()
    }
}

/// Keys between the sender and one receiver, good for handing over the group master only.
#[derive(Clone)]
pub struct ClientKeys {
    version: Version,
    suite: Suite,
    group: GroupId,
    key: Secret,
    salt: Secret,
}

impl ClientKeys {
    fn iv(&self, src: Uid, counter: u64) -> super::iv::Iv {
        let iv_len = self.suite.cipher.cbc_form().iv_len();
        IvMaker::new(self.version, &self.salt, iv_len).make(IvInput {
            src,
            group: self.group,
            counter,
        })
    }

    /// Encrypts the group master for this receiver, for a KEYINFO sent by `src` with `counter`.
    ///
    /// # Errors
    /// [`CipherError`] if the cipher is not offered or OpenSSL fails.
    pub fn wrap(
        &self,
        master: &GroupMaster,
        src: Uid,
        counter: u64,
    ) -> Result<[u8; MASTER_LEN], CipherError> {
        let cipher = self.suite.cipher.cbc_form();
        let mut bulk = bulk(cipher, self.key.expose(), Direction::Seal)?;
        let mut out = [0; MASTER_LEN];
        // All but the version byte; one byte of padding fills it up again.
        let len = MASTER_LEN - 1;
        for (to, from) in out.iter_mut().zip(master.0.expose().iter().skip(1)) {
            *to = *from;
        }
        bulk.seal(self.iv(src, counter).as_slice(), &[], &mut out, len)?;
        Ok(out)
    }

    /// Decrypts the group master out of our entry in a KEYINFO sent by `src` with `counter`.
    /// There is no integrity check on it: a wrong key shows in the padding, or later.
    ///
    /// # Errors
    /// [`UnwrapError`] if it does not decrypt to 47 bytes.
    pub fn unwrap(
        &self,
        wrapped: &[u8; MASTER_LEN],
        src: Uid,
        counter: u64,
    ) -> Result<GroupMaster, UnwrapError> {
        let cipher = self.suite.cipher.cbc_form();
        let mut bulk = bulk(cipher, self.key.expose(), Direction::Open)?;
        let mut buf = zeroize::Zeroizing::new(*wrapped);
        let len = bulk.open(self.iv(src, counter).as_slice(), &[], &mut *buf);
        if len != Some(MASTER_LEN - 1) {
            return Err(UnwrapError::Decrypt);
        }
        // The padding byte turns into the version byte in front.
        buf.rotate_right(1);
        if let Some(first) = buf.first_mut() {
            *first = self.version.wire_id();
        }
        Ok(GroupMaster(Secret::copy_of(&*buf)))
    }

    /// Key and salt, for tests against recorded sessions.
    pub fn expose(&self) -> (&[u8], &[u8]) {
        (self.key.expose(), self.salt.expose())
    }
}

/// An entry of a KEYINFO that yields no group master.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnwrapError {
    /// It does not decrypt. The text is the reason of the ABORT deployed receivers send.
    #[error("Decrypt failed for group master")]
    Decrypt,
    /// It cannot be decrypted here.
    #[error(transparent)]
    Cipher(#[from] CipherError),
}

/// The secret of the group, chosen by its sender.
#[derive(Clone)]
pub struct GroupMaster(Secret);

impl GroupMaster {
    /// A new one: the version and 47 random bytes.
    ///
    /// # Errors
    /// [`BackendError`] if OpenSSL has no randomness.
    pub fn generate(version: Version) -> Result<GroupMaster, BackendError> {
        let mut secret = Secret::random(MASTER_LEN)?;
        if let Some(first) = secret.expose_mut().first_mut() {
            *first = version.wire_id();
        }
        Ok(GroupMaster(secret))
    }

    /// The group master with these bytes, for tests against recorded sessions.
    pub fn from_bytes(bytes: &[u8; MASTER_LEN]) -> GroupMaster {
        GroupMaster(Secret::copy_of(bytes))
    }

    /// Whether two are the same, in constant time.
    pub fn is(&self, other: &GroupMaster) -> bool {
        secret::same(self.0.expose(), other.0.expose())
    }

    /// The bytes, for tests against recorded sessions.
    pub fn expose(&self) -> &[u8] {
        self.0.expose()
    }

    /// The keys of the group.
    ///
    /// # Errors
    /// [`BackendError`] if OpenSSL fails.
    pub fn group_keys(
        &self,
        version: Version,
        suite: &Suite,
        server_random: &[u8; 32],
    ) -> Result<GroupKeys, BackendError> {
        let hmac_len = suite.hash.digest_len();
        let key_len = suite.cipher.key_len();
        let salt_len = IvMaker::salt_len(version, suite.cipher.iv_len());
        let mut block = prf(
            suite.hash,
            self.0.expose(),
            "key expansion",
            &[server_random],
            hmac_len + key_len + salt_len,
        )?;
        Ok(GroupKeys(TrafficKeys {
            version,
            cipher: suite.cipher,
            hash: suite.hash,
            signature: suite.signature,
            hmac_key: block.take_front(hmac_len),
            key: block.take_front(key_len),
            salt: block,
        }))
    }

    /// The proof, in a KEYINFO_ACK, that a receiver has the group master. `client_key` is the blob
    /// of its CLIENT_KEY in sessions with client authentication.
    ///
    /// # Errors
    /// [`BackendError`] if OpenSSL fails.
    pub fn verify_data(
        &self,
        binding: &Binding,
        premaster: &Premaster,
        client_key: Option<&PublicKey>,
    ) -> Result<[u8; 12], BackendError> {
        let hash = digest(
            binding.suite.hash,
            &[
                premaster.client_key_input(binding).expose(),
                client_key.map(PublicKey::blob).map_or(&[], |blob| {
                    // Protocol 3 sends exponent and modulus only.
                    match binding.version {
                        Version::V3 | Version::V3Sync => blob.get(4..).unwrap_or_default(),
                        Version::V4 | Version::V5 => blob,
                    }
                }),
                self.0.expose(),
            ],
        );
        let proof = prf(
            binding.suite.hash,
            self.0.expose(),
            "client finished",
            &[&hash],
            12,
        )?;
        Ok(proof.expose().first_chunk().copied().unwrap_or_default())
    }

    /// Whether a KEYINFO_ACK proves it, in constant time.
    ///
    /// # Errors
    /// [`BackendError`] if OpenSSL fails.
    pub fn check_verify_data(
        &self,
        binding: &Binding,
        premaster: &Premaster,
        client_key: Option<&PublicKey>,
        received: &[u8],
    ) -> Result<bool, BackendError> {
        let expected = self.verify_data(binding, premaster, client_key)?;
        Ok(secret::same(&expected, received))
    }
}

/// The keys every packet of the group is sealed with, in both directions.
pub struct GroupKeys(TrafficKeys);

impl GroupKeys {
    /// Seals our packets. `signer` is our private key, needed where every packet is signed.
    ///
    /// # Errors
    /// [`SetupError`] if that key is missing or the cipher is not offered.
    pub fn sealer(&self, signer: Option<Arc<PrivateKey>>) -> Result<Sealer, SetupError> {
        self.0.sealer(signer)
    }

    /// Opens everybody's packets.
    ///
    /// # Errors
    /// [`SetupError`] if the cipher is not offered.
    pub fn opener(&self) -> Result<Opener, SetupError> {
        self.0.opener()
    }

    /// HMAC key, cipher key and salt, for tests against recorded sessions.
    pub fn expose(&self) -> (&[u8], &[u8], &[u8]) {
        (
            self.0.hmac_key.expose(),
            self.0.key.expose(),
            self.0.salt.expose(),
        )
    }
}
