//! Signatures over the whole packet that carries them, such as that of an ANNOUNCE
//! (wire-v4 §8.5, wire-v5 §8.2, §8.4).
//!
//! The signature itself counts as zeros. So it can only be made when everything else is in place,
//! and be checked while the packet is still whole.

use std::ops::Range;

use super::algorithms::Hash;
use super::ecdsa::SignatureForm;
use super::key_error::KeyError;
use super::private_key::PrivateKey;
use super::public_key::{MAX_MODULUS, PublicKey};
use crate::wire::{self, Header, Message, Version};

/// What a signature of any length stands for while it is being made or checked.
pub(super) static ZEROS: [u8; MAX_MODULUS] = [0; MAX_MODULUS];

/// A message whose packet is signed as a whole.
#[derive(Clone, Copy)]
pub struct SelfSigned<'a> {
    version: Version,
    hash: Hash,
    message: &'a Message<'a>,
    context: &'a [&'a [u8]],
}

impl<'a> SelfSigned<'a> {
    /// What a packet was encoded from or decoded to, which says where the signature is and how long.
    pub fn new(version: Version, hash: Hash, message: &'a Message<'a>) -> Self {
        SelfSigned {
            version,
            hash,
            message,
            context: &[],
        }
    }

    /// The same, with these bytes hashed before the packet: the contexts of wire-v5 §8.4 for a KEYINFO.
    #[must_use]
    pub fn after(self, context: &'a [&'a [u8]]) -> Self {
        SelfSigned { context, ..self }
    }

    /// Signs an encoded packet in place.
    ///
    /// # Errors
    /// [`SelfSignError`] if the message has no place for this key's signature or signing fails.
    pub fn sign(&self, key: &PrivateKey, packet: &mut [u8]) -> Result<(), SelfSignError> {
        let at = self
            .range()
            .filter(|at| at.len() == key.public().signature_len())
            .ok_or(SelfSignError::NoPlace)?;
        let form = SignatureForm::of(self.version);
        let parts = self.parts(packet, &at).ok_or(SelfSignError::NoPlace)?;
        let signature = key.sign(self.hash, form, &parts)?;
        match packet.get_mut(at) {
            Some(place) if place.len() == signature.len() => {
                place.copy_from_slice(&signature);
                Ok(())
            }
            _ => Err(SelfSignError::NoPlace),
        }
    }

    /// Whether a packet was signed with `key`.
    pub fn verify(&self, key: &PublicKey, packet: &[u8]) -> bool {
        let check = || {
            let at = self.range()?;
            let parts = self.parts(packet, &at)?;
            Some(key.verify(self.hash, &parts, packet.get(at)?))
        };
        check().unwrap_or(false)
    }

    /// Where the signature is in the packet.
    fn range(&self) -> Option<Range<usize>> {
        let at = wire::signature_range(self.version, self.message)?;
        Some(at.start + Header::LEN..at.end + Header::LEN)
    }

    /// What is signed, piece by piece.
    fn parts<'p>(&self, packet: &'p [u8], signature: &Range<usize>) -> Option<Vec<&'p [u8]>>
    where
        'a: 'p,
    {
        let mut parts: Vec<&'p [u8]> = self.context.to_vec();
        parts.push(packet.get(..signature.start)?);
        parts.push(ZEROS.get(..signature.len())?);
        parts.push(packet.get(signature.end..)?);
        Some(parts)
    }
}

/// A packet that cannot be signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelfSignError {
    /// It leaves no room of the right size.
    #[error("the message has no place for this key's signature")]
    NoPlace,
    /// Signing failed.
    #[error(transparent)]
    Key(#[from] KeyError),
}
