//! ECDSA signatures as they stand on the wire (wire-v4 §6.5, wire-v5 §4.3).

use openssl::bn::{BigNum, BigNumRef};
use openssl::ec::EcKey;
use openssl::ecdsa::EcdsaSig;
use openssl::error::ErrorStack;
use openssl::pkey::{Private, Public};

use super::curve::Curve;
use crate::wire::Version;

/// How `r` and `s` of an ECDSA signature are laid out. Every reader takes both.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SignatureForm {
    /// At their natural length, zeros after them.
    Natural,
    /// Zeros before each of them.
    Padded,
}

impl SignatureForm {
    /// The form programs of this protocol write.
    pub fn of(version: Version) -> SignatureForm {
        match version {
            Version::V5 => SignatureForm::Padded,
            _ => SignatureForm::Natural,
        }
    }
}

/// Signs a digest with a key on `curve`.
pub(super) fn sign(
    ec: &EcKey<Private>,
    curve: Curve,
    form: SignatureForm,
    digest: &[u8],
) -> Result<Vec<u8>, ErrorStack> {
    let sig = EcdsaSig::sign(digest, ec)?;
    join(curve, form, sig.r(), sig.s())
}

/// Whether a signature on the wire is that of a digest by the private half of this key.
pub(super) fn verify(ec: &EcKey<Public>, digest: &[u8], sig: &[u8]) -> Result<bool, ErrorStack> {
    let Some((r, s)) = split(sig) else {
        return Ok(false);
    };
    let sig = EcdsaSig::from_private_components(BigNum::from_slice(r)?, BigNum::from_slice(s)?)?;
    sig.verify(digest, ec)
}

/// A signature for the wire.
fn join(
    curve: Curve,
    form: SignatureForm,
    r: &BigNumRef,
    s: &BigNumRef,
) -> Result<Vec<u8>, ErrorStack> {
    let bytes = |n: &BigNumRef| match form {
        SignatureForm::Natural => Ok(n.to_vec()),
        SignatureForm::Padded => n.to_vec_padded(i32::try_from(curve.width()).unwrap_or(i32::MAX)),
    };
    let (r, s) = (bytes(r)?, bytes(s)?);
    let len = |bytes: &[u8]| u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_be_bytes();
    let mut out = Vec::with_capacity(curve.signature_len());
    out.extend_from_slice(&len(&r));
    out.extend_from_slice(&len(&s));
    out.extend_from_slice(&r);
    out.extend_from_slice(&s);
    out.resize(curve.signature_len(), 0);
    Ok(out)
}

/// `r` and `s` of a signature on the wire, of whatever lengths it states, with nothing but zeros
/// after them. `None` if they do not fit.
fn split(signature: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&[a, b, c, d], rest) = signature.split_first_chunk::<4>()?;
    let (r, rest) = rest.split_at_checked(u16::from_be_bytes([a, b]).into())?;
    let (s, tail) = rest.split_at_checked(u16::from_be_bytes([c, d]).into())?;
    tail.iter().all(|&b| b == 0).then_some((r, s))
}
