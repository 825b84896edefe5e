//! RSA keys: exponent and modulus in fields of their own on the wire, one blob in the
//! vocabulary (wire-v4 §6.1).

use crate::wire::fields::len16;
use crate::wire::reader::{DecodeError, Reader};
use crate::wire::writer::EncodeError;

/// First byte of the blob of an RSA key.
const RSA: u8 = 1;

/// Reads a modulus of `len` bytes and makes the blob; no modulus, no blob.
pub(super) fn read(r: &mut Reader<'_>, exponent: u32, len: u16) -> Result<Vec<u8>, DecodeError> {
    let modulus = r.bytes("public key modulus", len.into())?;
    if modulus.is_empty() {
        return Ok(Vec::new());
    }
    let mut blob = Vec::with_capacity(8 + modulus.len());
    blob.extend([RSA, 0]);
    blob.extend(len.to_be_bytes());
    blob.extend(exponent.to_be_bytes());
    blob.extend(modulus);
    Ok(blob)
}

/// A blob taken apart: modulus length, exponent, modulus. All nothing if there is no key.
pub(super) fn parts(blob: &[u8]) -> Result<(u16, u32, &[u8]), EncodeError> {
    if blob.is_empty() {
        return Ok((0, 0, &[]));
    }
    let ([RSA, 0, _, _, e @ ..], modulus) = blob
        .split_first_chunk::<8>()
        .ok_or(EncodeError::NotInProtocol("key of this kind"))?
    else {
        return Err(EncodeError::NotInProtocol("key of this kind"));
    };
    let len = len16("public key modulus", modulus.len())?;
    Ok((len, u32::from_be_bytes(*e), modulus))
}
