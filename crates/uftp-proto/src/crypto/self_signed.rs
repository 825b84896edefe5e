//! Signatures over the whole packet that carries them, such as that of an ANNOUNCE
//! (wire-v4 §8.5, wire-v5 §8.2, §8.4).
//!
//! The signature itself counts as zeros. So it can only be made when everything else is in place,
//! and be checked while the packet is still whole.

use std::ops::Range;

use super::algorithms::Hash;
use super::private_key::{PrivateKey, SignatureForm};
use super::public_key::{KeyError, MAX_MODULUS, PublicKey};
use crate::wire::{self, Header, Message, Version};

/// What a signature of any length stands for while it is being made or checked.
pub(super) static ZEROS: [u8; MAX_MODULUS] = [0; MAX_MODULUS];

/// Signs an encoded packet in place. `message` is the message it was encoded from, which says
/// where the signature goes and how long it is. `context` is hashed before the packet: nothing
/// for an ANNOUNCE, the contexts of wire-v5 §8.4 for a KEYINFO.
///
/// # Errors
/// [`SelfSignError`] if the message has no place for this key's signature or signing fails.
pub fn sign_packet(
    key: &PrivateKey,
    hash: Hash,
    version: Version,
    message: &Message<'_>,
    context: &[&[u8]],
    packet: &mut [u8],
) -> Result<(), SelfSignError> {
    let at = range(version, message)
        .filter(|at| at.len() == key.public().signature_len())
        .ok_or(SelfSignError::NoPlace)?;
    let form = SignatureForm::of(version);
    let parts = signed_parts(context, packet, &at).ok_or(SelfSignError::NoPlace)?;
    let signature = key.sign(hash, form, &parts)?;
    match packet.get_mut(at) {
        Some(place) if place.len() == signature.len() => {
            place.copy_from_slice(&signature);
            Ok(())
        }
        _ => Err(SelfSignError::NoPlace),
    }
}

/// Whether a packet was signed with `key`. `message` is what it was decoded to.
pub fn verify_packet(
    key: &PublicKey,
    hash: Hash,
    version: Version,
    message: &Message<'_>,
    context: &[&[u8]],
    packet: &[u8],
) -> bool {
    let check = || {
        let at = range(version, message)?;
        let parts = signed_parts(context, packet, &at)?;
        Some(key.verify(hash, &parts, packet.get(at)?))
    };
    check().unwrap_or(false)
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

fn range(version: Version, message: &Message<'_>) -> Option<Range<usize>> {
    let at = wire::signature_range(version, message)?;
    Some(at.start + Header::LEN..at.end + Header::LEN)
}

fn signed_parts<'a>(
    context: &[&'a [u8]],
    packet: &'a [u8],
    at: &Range<usize>,
) -> Option<Vec<&'a [u8]>> {
    let mut parts = context.to_vec();
    parts.push(packet.get(..at.start)?);
    parts.push(ZEROS.get(..at.len())?);
    parts.push(packet.get(at.end..)?);
    Some(parts)
}
