//! The ENCRYPTED wrapper: sealing and opening packets in place.
//!
//! How it is laid out is said by [`Encrypted`]; here its signature and payload are made and
//! checked.

use std::sync::Arc;

use super::algorithms::{Cipher, Hash, SignatureType};
use super::bulk::{Bulk, CipherError, Direction, bulk};
use super::digest::HmacKey;
use super::ecdsa::SignatureForm;
use super::error::BackendError;
use super::iv::{IvInput, IvMaker};
use super::key_error::KeyError;
use super::private_key::PrivateKey;
use super::public_key::PublicKey;
use super::secret::Secret;
use super::self_signed::ZEROS;
use crate::wire::{self, EncodeError, Encrypted, Header, Message, Version};

/// Packet header, counter and lengths: what an authenticated cipher covers beside the message.
const HEAD: usize = Encrypted::HEAD_LEN;

/// Bytes by which a sealed packet is longer than the same message in the clear.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Overhead {
    /// Between packet header and message: lay the message at [`Header::LEN`] plus this.
    pub prefix: usize,
    /// After the message, at most.
    pub suffix: usize,
}

impl Overhead {
    /// All of it.
    pub fn total(self) -> usize {
        self.prefix + self.suffix
    }
}

/// The keys of one direction or of a whole group, before any context is made of them.
pub(super) struct TrafficKeys {
    pub(super) version: Version,
    pub(super) cipher: Cipher,
    pub(super) hash: Hash,
    pub(super) signature: SignatureType,
    pub(super) hmac_key: Secret,
    pub(super) key: Secret,
    pub(super) salt: Secret,
}

impl TrafficKeys {
    fn ivs(&self) -> IvMaker {
        IvMaker::new(self.version, &self.salt, self.cipher.iv_len())
    }

    fn hmac(&self) -> Box<HmacKey> {
        Box::new(HmacKey::new(self.hash, self.hmac_key.expose()))
    }

    pub(super) fn sealer(&self, signer: Option<Arc<PrivateKey>>) -> Result<Sealer, SetupError> {
        let auth = match (self.signature, signer) {
            (SignatureType::Hmac, _) => Seal::Hmac(self.hmac()),
            (SignatureType::Aead, _) => Seal::Aead,
            (SignatureType::Keyex, Some(key)) => Seal::Sign(key),
            (SignatureType::Keyex, None) => return Err(SetupError::NoSigner),
        };
        Ok(Sealer {
            version: self.version,
            cipher: self.cipher,
            hash: self.hash,
            ivs: self.ivs(),
            bulk: bulk(self.cipher, self.key.expose(), Direction::Seal)?,
            auth,
        })
    }

    pub(super) fn opener(&self) -> Result<Opener, SetupError> {
        Ok(Opener {
            version: self.version,
            cipher: self.cipher,
            hash: self.hash,
            ivs: self.ivs(),
            bulk: bulk(self.cipher, self.key.expose(), Direction::Open)?,
            auth: match self.signature {
                SignatureType::Hmac => Open::Hmac(self.hmac()),
                SignatureType::Keyex => Open::Signature,
                SignatureType::Aead => Open::Aead,
            },
        })
    }
}

/// Keys that cannot be put to use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// The session signs every packet, and there is no key to sign with.
    #[error("the session signs every packet (keyex), which needs a private key")]
    NoSigner,
    /// The cipher cannot be set up.
    #[error(transparent)]
    Cipher(#[from] CipherError),
}

/// Seals outgoing packets. Keyed once; nothing is allocated per packet (but for `keyex`
/// signatures).
pub struct Sealer {
    version: Version,
    cipher: Cipher,
    hash: Hash,
    ivs: IvMaker,
    bulk: Box<dyn Bulk>,
    auth: Seal,
}

enum Seal {
    Hmac(Box<HmacKey>),
    Sign(Arc<PrivateKey>),
    Aead,
}

impl Sealer {
    /// How much longer sealing makes a packet.
    pub fn overhead(&self) -> Overhead {
        Overhead {
            prefix: HEAD - Header::LEN + self.signature_len(),
            suffix: self.cipher.growth(),
        }
    }

    /// Bytes that sealing puts after a message of `len` bytes, exactly.
    pub fn suffix(&self, len: usize) -> usize {
        self.cipher.sealed_len(len) - len
    }

    fn signature_len(&self) -> usize {
        match &self.auth {
            Seal::Hmac(_) => self.hash.digest_len(),
            Seal::Sign(key) => key.public().signature_len(),
            Seal::Aead => 0,
        }
    }

    /// Seals the message of `len` bytes that lies at [`Header::LEN`] plus
    /// [`prefix`](Overhead::prefix) in `packet`, and writes `header` and everything else around
    /// it. Returns the length of the packet.
    ///
    /// `counter` must never repeat under the same keys and sender: take it from
    /// [`IvCounter`](super::IvCounter). The function of `header` is replaced.
    ///
    /// # Errors
    /// [`SealError`] if `packet` has no room for [`suffix`](Overhead::suffix), the message is
    /// empty or too long for its field, or OpenSSL fails.
    pub fn seal(
        &mut self,
        header: &Header,
        counter: u64,
        packet: &mut [u8],
        len: usize,
    ) -> Result<usize, SealError> {
        let signature_len = self.signature_len();
        let sealed_len = self.cipher.sealed_len(len);
        let total = HEAD + signature_len + sealed_len;
        if len == 0 {
            return Err(SealError::Empty);
        }
        let have = packet.len();
        let no_room = || SealError::Encode(EncodeError::NoRoom(have));
        let packet = packet.get_mut(..total).ok_or_else(no_room)?;
        let header = Header {
            version: self.version,
            ..*header
        };
        Encrypted::encode_head(&header, counter, signature_len, sealed_len, packet)?;
        let (head, rest) = packet.split_first_chunk_mut::<HEAD>().ok_or_else(no_room)?;
        let (signature, body) = rest
            .split_at_mut_checked(signature_len)
            .ok_or_else(no_room)?;

        let iv = self.ivs.make(IvInput {
            src: header.src,
            group: header.group,
            counter,
        });
        self.bulk.seal(iv.as_slice(), head, body, len)?;
        let zeros = ZEROS.get(..signature_len).unwrap_or_default();
        match &self.auth {
            Seal::Hmac(key) => signature.copy_from_slice(&key.mac(&[head, zeros, body])),
            Seal::Sign(key) => {
                let form = SignatureForm::of(self.version);
                signature.copy_from_slice(&key.sign(self.hash, form, &[head, zeros, body])?);
            }
            Seal::Aead => {}
        }
        Ok(total)
    }

    /// Encodes `message` into `packet` and seals it: [`seal`](Self::seal) for messages that are
    /// not laid in place. Returns the length of the packet.
    ///
    /// # Errors
    /// As [`seal`](Self::seal), and if the message cannot be encoded.
    pub fn seal_message(
        &mut self,
        header: &Header,
        counter: u64,
        message: &Message<'_>,
        packet: &mut [u8],
    ) -> Result<usize, SealError> {
        let at = Header::LEN + self.overhead().prefix;
        let place = packet.get_mut(at..).unwrap_or_default();
        let len = wire::encode_message(self.version, message, place)?;
        self.seal(header, counter, packet, len)
    }
}

/// A packet that cannot be sealed: always a mistake or a lack on our side.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// There is no message.
    #[error("an empty message cannot be sealed")]
    Empty,
    /// The packet cannot be encoded, or the buffer is too small for it.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// Signing failed.
    #[error(transparent)]
    Sign(#[from] KeyError),
    /// Encryption failed.
    #[error(transparent)]
    Backend(#[from] BackendError),
}

/// Opens incoming packets. Keyed once; nothing is allocated per packet (but for `keyex`
/// signatures).
pub struct Opener {
    version: Version,
    cipher: Cipher,
    hash: Hash,
    ivs: IvMaker,
    bulk: Box<dyn Bulk>,
    auth: Open,
}

enum Open {
    Hmac(Box<HmacKey>),
    Signature,
    Aead,
}

/// A packet that proved authentic.
pub struct Opened<'a> {
    /// Its counter, to be checked against replay. In protocol 3 its sender's clock.
    pub counter: u64,
    /// The message in the clear, in the packet's own bytes.
    pub message: &'a mut [u8],
}

impl Opener {
    /// Checks and decrypts an ENCRYPTED packet in place. `signer` is the key of the host the
    /// packet header names, needed where every packet is signed (`keyex`), else ignored.
    ///
    /// # Errors
    /// [`OpenError`]; the message is garbage then.
    pub fn open<'a>(
        &mut self,
        packet: &'a mut [u8],
        signer: Option<&PublicKey>,
    ) -> Result<Opened<'a>, OpenError> {
        let header = wire::decode_header(packet).map_err(|_| OpenError::Length)?;
        if header.version != self.version {
            return Err(OpenError::Version);
        }
        let parts = Encrypted::decode(self.version, packet).map_err(|_| OpenError::Length)?;
        let signature_len = match (&self.auth, signer) {
            (Open::Hmac(_), _) => self.hash.digest_len(),
            (Open::Aead, _) => 0,
            (Open::Signature, Some(key)) => key.signature_len(),
            (Open::Signature, None) => return Err(OpenError::NoSigner),
        };
        if parts.signature.len() != signature_len {
            return Err(OpenError::SignatureLength);
        }
        if !self.cipher.is_sealed_len(parts.payload.len()) {
            return Err(OpenError::Length);
        }
        let (head, rest) = packet
            .split_first_chunk_mut::<HEAD>()
            .ok_or(OpenError::Length)?;
        let (signature, body) = rest
            .split_at_mut_checked(signature_len)
            .ok_or(OpenError::Length)?;
        let zeros = ZEROS.get(..signature_len).unwrap_or_default();
        let signed = [&head[..], zeros, body];
        let (authentic, damage) = match &self.auth {
            Open::Hmac(key) => (key.verify(&signed, signature), OpenError::Padding),
            Open::Signature => {
                let by = |key: &PublicKey| key.verify(self.hash, &signed, signature);
                (signer.is_some_and(by), OpenError::Padding)
            }
            // It opens nothing that is not.
            Open::Aead => (true, OpenError::Tag),
        };
        if !authentic {
            return Err(OpenError::Signature);
        }
        let counter = parts.iv_counter;
        let iv = self.ivs.make(IvInput {
            src: header.src,
            group: header.group,
            counter,
        });
        let len = self.bulk.open(iv.as_slice(), head, body).ok_or(damage)?;
        let message = body.get_mut(..len).ok_or(damage)?;
        if message.is_empty() {
            return Err(damage);
        }
        Ok(Opened { counter, message })
    }
}

/// Puts our signature in the place of another's in a packet of a session that signs every packet
/// (`keyex`), after checking that: what a proxy does that is known to its clients in place of the
/// sender (wire-v4 §9.2). Nothing is decrypted.
///
/// # Errors
/// [`OpenError`] if the packet is not signed by `theirs`, or `ours` makes signatures of another
/// length.
pub fn resign(
    packet: &mut [u8],
    hash: Hash,
    theirs: &PublicKey,
    ours: &PrivateKey,
) -> Result<(), OpenError> {
    let header = wire::decode_header(packet).map_err(|_| OpenError::Length)?;
    let parts = Encrypted::decode(header.version, packet).map_err(|_| OpenError::Length)?;
    let (signature, payload) = (parts.signature, parts.payload);
    let zeros = ZEROS.get(..signature.len()).ok_or(OpenError::Length)?;
    let head = packet.get(..signature.start).unwrap_or_default();
    let body = packet.get(payload).unwrap_or_default();
    let signed = [head, zeros, body];
    let before = packet.get(signature.clone()).unwrap_or_default();
    if before.len() != theirs.signature_len() {
        return Err(OpenError::SignatureLength);
    }
    if !theirs.verify(hash, &signed, before) {
        return Err(OpenError::Signature);
    }
    let form = SignatureForm::of(header.version);
    let fresh = ours
        .sign(hash, form, &signed)
        .map_err(|_| OpenError::NoSigner)?;
    match packet.get_mut(signature) {
        Some(place) if place.len() == fresh.len() => {
            place.copy_from_slice(&fresh);
            Ok(())
        }
        _ => Err(OpenError::SignatureLength),
    }
}

/// Why a packet was refused, for counters. Never told to its sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum OpenError {
    /// It is of another protocol than its session.
    #[error("encrypted packet of another protocol than its session's")]
    Version,
    /// The lengths in it do not add up.
    #[error("encrypted packet with inconsistent lengths")]
    Length,
    /// Its signature has not the length this session uses.
    #[error("encrypted packet with a signature of the wrong length")]
    SignatureLength,
    /// The key of its sender is not known.
    #[error("signed packet from a host whose key is not known")]
    NoSigner,
    /// The signature or MAC is wrong.
    #[error("encrypted packet with a wrong signature")]
    Signature,
    /// The tag is wrong.
    #[error("encrypted packet with a wrong authentication tag")]
    Tag,
    /// The padding is wrong although the signature is right.
    #[error("encrypted packet with wrong padding")]
    Padding,
}
