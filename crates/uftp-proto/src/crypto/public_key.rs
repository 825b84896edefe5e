//! Public keys as they travel: blobs, fingerprints, verification, premaster encryption.

use std::fmt;

use openssl::bn::{BigNum, BigNumContext, BigNumRef};
use openssl::ec::{EcKey, EcPoint};
use openssl::error::ErrorStack;
use openssl::pkey::{PKey, Public};
use openssl::pkey_ctx::PkeyCtx;
use openssl::rsa::{Padding, Rsa};

use super::algorithms::Hash;
use super::curve::Curve;
use super::digest;
use super::ecdsa;
use super::error::BackendError;
use super::fingerprint::Fingerprint;
use super::key_error::KeyError;
use super::rsa_padding::premaster_padding;
use crate::wire::Version;

/// Largest RSA modulus taken, bytes (8192 bits).
pub(super) const MAX_MODULUS: usize = 1024;
/// Smallest RSA modulus taken, bytes (512 bits): what deployed receivers make by default.
pub(super) const MIN_MODULUS: usize = 64;

const RSA_BLOB: u8 = 1;
const EC_BLOB: u8 = 2;

/// What kind of key, and how large.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum KeyKind {
    /// RSA, with the bits of the whole bytes of its modulus: what programs print.
    Rsa {
        /// Eight times the bytes of the modulus.
        bits: usize,
    },
    /// A point on a curve, for ECDSA or ECDH.
    Ec(Curve),
}

impl KeyKind {
    /// Bytes of a signature by such a key.
    pub(crate) fn signature_len(self) -> usize {
        match self {
            KeyKind::Rsa { bits } => bits / 8,
            KeyKind::Ec(curve) => curve.signature_len(),
        }
    }

    /// Whether messages of a protocol can carry such a key.
    pub fn is_in(self, version: Version) -> bool {
        match self {
            KeyKind::Rsa { .. } => true,
            KeyKind::Ec(curve) => curve.is_in(version),
        }
    }

    /// Whether it can be broken with known means.
    pub fn is_weak(self) -> bool {
        match self {
            KeyKind::Rsa { bits } => bits < 2048,
            KeyKind::Ec(curve) => curve.is_weak(),
        }
    }
}

/// As `uftp_keymgt` prints it: `RSA, 2048 bits` or `ECDSA, curve prime256v1`.
impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyKind::Rsa { bits } => write!(f, "RSA, {bits} bits"),
            KeyKind::Ec(curve) => write!(f, "ECDSA, curve {curve}"),
        }
    }
}

/// Somebody's public key, checked.
#[derive(Clone)]
pub struct PublicKey {
    kind: KeyKind,
    blob: Vec<u8>,
    pkey: PKey<Public>,
    ec: Option<EcKey<Public>>,
}

impl PublicKey {
    /// Reads a key blob (wire-v4 §6.1, §6.2). Trusts nothing: every length must be exact, a
    /// modulus must be of a size that is in use, a point must be on its curve and of its order.
    ///
    /// # Errors
    /// [`KeyError`] saying what is wrong with it.
    pub fn from_blob(blob: &[u8]) -> Result<PublicKey, KeyError> {
        match blob.split_first_chunk::<4>() {
            Some((&[RSA_BLOB, _, hi, lo], rest)) => {
                PublicKey::rsa_from_wire(blob, usize::from(u16::from_be_bytes([hi, lo])), rest)
            }
            Some((&[EC_BLOB, curve, hi, lo], rest)) => {
                let curve = Curve::from_id(curve).ok_or(KeyError::CurveId(curve))?;
                PublicKey::ec_from_wire(
                    blob,
                    curve,
                    usize::from(u16::from_be_bytes([hi, lo])),
                    rest,
                )
            }
            Some((&[kind, ..], _)) => Err(KeyError::Kind(kind)),
            None => Err(KeyError::Length {
                says: blob.len(),
                expected: 4,
            }),
        }
    }

    fn rsa_from_wire(blob: &[u8], len: usize, rest: &[u8]) -> Result<PublicKey, KeyError> {
        let (exponent, modulus) = rest.split_first_chunk::<4>().ok_or(KeyError::Length {
            says: blob.len(),
            expected: 8,
        })?;
        if modulus.len() != len {
            return Err(KeyError::Length {
                says: len,
                expected: modulus.len(),
            });
        }
        if !(MIN_MODULUS..=MAX_MODULUS).contains(&len) {
            return Err(KeyError::Size(len * 8));
        }
        let leading = modulus.first().copied().unwrap_or(0);
        let odd = |bytes: &[u8]| bytes.last().is_some_and(|b| b % 2 == 1);
        let exponent = u32::from_be_bytes(*exponent);
        if leading == 0 || !odd(modulus) || exponent < 3 || exponent.is_multiple_of(2) {
            return Err(KeyError::Rsa);
        }
        let rsa =
            Rsa::from_public_components(BigNum::from_slice(modulus)?, BigNum::from_u32(exponent)?)?;
        Ok(PublicKey {
            kind: KeyKind::Rsa { bits: len * 8 },
            blob: blob.to_vec(),
            pkey: PKey::from_rsa(rsa)?,
            ec: None,
        })
    }

    fn ec_from_wire(
        blob: &[u8],
        curve: Curve,
        len: usize,
        rest: &[u8],
    ) -> Result<PublicKey, KeyError> {
        if len != 2 * curve.width() {
            return Err(KeyError::Length {
                says: len,
                expected: 2 * curve.width(),
            });
        }
        if blob.len() != curve.blob_len() {
            return Err(KeyError::Length {
                says: blob.len(),
                expected: curve.blob_len(),
            });
        }
        let (point, padding) = rest.split_at_checked(len).ok_or(KeyError::Point(curve))?;
        if padding.iter().any(|&b| b != 0) {
            return Err(KeyError::Padding);
        }
        let group = curve
            .group()
            .map_err(|_| KeyError::CurveUnavailable(curve))?;
        let mut encoded = vec![4];
        encoded.extend_from_slice(point);
        let mut ctx = BigNumContext::new()?;
        let key = EcPoint::from_bytes(&group, &encoded, &mut ctx)
            .and_then(|point| EcKey::from_public_key(&group, &point))
            .map_err(|_| KeyError::Point(curve))?;
        // That the point is on the curve was seen to; that it is not one of small order costs
        // as much as using it.
        if curve.has_cofactor() {
            key.check_key().map_err(|_| KeyError::Point(curve))?;
        }
        Ok(PublicKey {
            kind: KeyKind::Ec(curve),
            blob: blob.to_vec(),
            pkey: PKey::from_ec_key(key.clone())?,
            ec: Some(key),
        })
    }

    pub(super) fn from_rsa_parts(n: &BigNumRef, e: &BigNumRef) -> Result<PublicKey, KeyError> {
        let modulus = n.to_vec();
        if !(MIN_MODULUS..=MAX_MODULUS).contains(&modulus.len()) {
            return Err(KeyError::Size(modulus.len() * 8));
        }
        let exponent = e.to_vec_padded(4).map_err(|_| KeyError::Rsa)?;
        let len = u16::try_from(modulus.len()).map_err(|_| KeyError::Size(modulus.len() * 8))?;
        let mut blob = vec![RSA_BLOB, 0];
        blob.extend_from_slice(&len.to_be_bytes());
        blob.extend_from_slice(&exponent);
        blob.extend_from_slice(&modulus);
        PublicKey::from_blob(&blob)
    }

    pub(super) fn from_ec_point(
        curve: Curve,
        group: &openssl::ec::EcGroupRef,
        point: &openssl::ec::EcPointRef,
    ) -> Result<PublicKey, KeyError> {
        let (mut x, mut y) = (BigNum::new()?, BigNum::new()?);
        let mut ctx = BigNumContext::new()?;
        point.affine_coordinates(group, &mut x, &mut y, &mut ctx)?;
        let width = i32::try_from(curve.width()).unwrap_or(i32::MAX);
        let len = u16::try_from(2 * curve.width()).unwrap_or(u16::MAX);
        let mut blob = vec![EC_BLOB, curve.id()];
        blob.extend_from_slice(&len.to_be_bytes());
        blob.extend_from_slice(&x.to_vec_padded(width)?);
        blob.extend_from_slice(&y.to_vec_padded(width)?);
        blob.resize(curve.blob_len(), 0);
        PublicKey::from_blob(&blob)
    }

    /// What kind of key it is.
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The key as on the wire, padding included.
    pub fn blob(&self) -> &[u8] {
        &self.blob
    }

    /// Its name in lists of protocols 4 and 5 (wire-v4 §6.3); [`Fingerprint::of_key`] has that of
    /// protocol 3.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.blob)
    }

    /// Whether the blob fills whole words, as the headers of protocols 4 and 5 need it
    /// (wire-v4 §6.1).
    ///
    /// # Errors
    /// [`KeyError::NotWords`] for RSA keys whose size is not a multiple of 32 bits.
    pub fn check_words(&self) -> Result<(), KeyError> {
        match self.kind {
            KeyKind::Rsa { bits } if bits % 32 != 0 => Err(KeyError::NotWords(bits)),
            _ => Ok(()),
        }
    }

    /// Bytes of a signature by this key.
    pub fn signature_len(&self) -> usize {
        self.kind.signature_len()
    }

    /// Whether `signature` was made with the private half of this key over all `parts` in a row
    /// (wire-v4 §6.4, §6.5). Anything unexpected counts as no.
    pub fn verify(&self, hash: Hash, parts: &[&[u8]], signature: &[u8]) -> bool {
        if signature.len() != self.signature_len() {
            return false;
        }
        let digest = digest::digest(hash, parts);
        match &self.ec {
            Some(ec) => ecdsa::verify(ec, &digest, signature),
            None => self.verify_rsa(hash, &digest, signature),
        }
        .unwrap_or(false)
    }

    fn verify_rsa(&self, hash: Hash, digest: &[u8], sig: &[u8]) -> Result<bool, ErrorStack> {
        let mut ctx = PkeyCtx::new(&self.pkey)?;
        ctx.verify_init()?;
        ctx.set_rsa_padding(Padding::PKCS1)?;
        ctx.set_signature_md(digest::md(hash))?;
        ctx.verify(digest, sig)
    }

    /// Encrypts a premaster secret to this RSA key: OAEP with SHA-1, or PKCS#1 v1.5 for keys
    /// of fewer than 768 bits (wire-v4 §8.2).
    ///
    /// # Errors
    /// [`KeyError::NotRsa`], [`KeyError::Size`] if it does not fit.
    pub(super) fn encrypt(&self, secret: &[u8]) -> Result<Vec<u8>, KeyError> {
        let KeyKind::Rsa { bits } = self.kind else {
            return Err(KeyError::NotRsa);
        };
        let rsa = self.pkey.rsa()?;
        let mut out = vec![0; rsa.size() as usize];
        let len = rsa
            .public_encrypt(secret, &mut out, premaster_padding(bits))
            .map_err(|_| KeyError::Size(bits))?;
        out.truncate(len);
        Ok(out)
    }

    /// The key as a PEM file for other programs (SubjectPublicKeyInfo).
    ///
    /// # Errors
    /// [`BackendError`] if OpenSSL fails.
    pub fn to_pem(&self) -> Result<Vec<u8>, BackendError> {
        Ok(self.pkey.public_key_to_pem()?)
    }

    pub(super) fn pkey(&self) -> &PKey<Public> {
        &self.pkey
    }
}

/// Two keys are the same if they look the same on the wire.
impl PartialEq for PublicKey {
    fn eq(&self, other: &PublicKey) -> bool {
        self.blob == other.blob
    }
}

impl Eq for PublicKey {}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, fingerprint: {}", self.kind, self.fingerprint())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::{KeySpec, PrivateKey};

    fn p256() -> PublicKey {
        PrivateKey::generate(KeySpec::Ec(Curve::DEFAULT))
            .unwrap()
            .public()
            .clone()
    }

    #[test]
    fn blobs_of_wrong_lengths_are_refused() {
        let good = p256().blob().to_vec();
        assert_eq!(PublicKey::from_blob(&good).unwrap().blob(), good);
        for n in 0..good.len() {
            assert!(PublicKey::from_blob(&good[..n]).is_err(), "{n} bytes");
        }
        assert!(PublicKey::from_blob(&[&good[..], &[0; 4]].concat()).is_err());
    }

    #[test]
    fn points_off_the_curve_are_refused() {
        let mut blob = p256().blob().to_vec();
        *blob.last_mut().unwrap() ^= 1;
        assert_eq!(
            PublicKey::from_blob(&blob),
            Err(KeyError::Point(Curve::DEFAULT))
        );
        let zero = [&blob[..4], &[0; 64]].concat();
        assert!(PublicKey::from_blob(&zero).is_err());
    }

    #[test]
    fn points_of_small_order_are_refused() {
        // (0, sqrt(b)) has order 2 on a binary curve; b is 1 on sect163k1.
        let mut blob = vec![2, 1, 0, 42];
        blob.resize(48, 0);
        blob[45] = 1;
        let curve = Curve::from_id(1).unwrap();
        if curve.group().is_ok() {
            assert_eq!(PublicKey::from_blob(&blob), Err(KeyError::Point(curve)));
        }
    }

    #[test]
    fn moduli_must_make_sense() {
        let blob = |n: usize, e: u32, first: u8, last: u8| {
            let mut b = vec![1, 0];
            b.extend_from_slice(&(n as u16).to_be_bytes());
            b.extend_from_slice(&e.to_be_bytes());
            b.resize(8 + n, 0x55);
            b[8] = first;
            b[7 + n] = last;
            PublicKey::from_blob(&b)
        };
        assert!(blob(64, 65537, 0x80, 1).is_ok());
        assert_eq!(blob(64, 65537, 0, 1), Err(KeyError::Rsa));
        assert_eq!(blob(64, 65537, 0x80, 2), Err(KeyError::Rsa));
        assert_eq!(blob(64, 1, 0x80, 1), Err(KeyError::Rsa));
        assert_eq!(blob(64, 65536, 0x80, 1), Err(KeyError::Rsa));
        assert_eq!(blob(60, 65537, 0x80, 1), Err(KeyError::Size(480)));
        assert_eq!(blob(1028, 65537, 0x80, 1), Err(KeyError::Size(8224)));
        assert_eq!(
            blob(125, 65537, 0x80, 1).unwrap().check_words(),
            Err(KeyError::NotWords(1000))
        );
    }

    #[test]
    fn odd_ecdsa_lengths_are_refused() {
        let key = p256();
        let mut sig = vec![0; 68];
        for (r, s) in [(0, 0), (0xffff, 0xffff), (64, 1), (65, 0), (1, 64)] {
            sig[..2].copy_from_slice(&u16::to_be_bytes(r));
            sig[2..4].copy_from_slice(&u16::to_be_bytes(s));
            assert!(!key.verify(Hash::Sha256, &[b"x"], &sig));
        }
        assert!(!key.verify(Hash::Sha256, &[b"x"], &[]));
    }
}
