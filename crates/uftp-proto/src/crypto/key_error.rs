//! What can be wrong with a key.

use openssl::error::ErrorStack;

use super::algorithms::Hash;
use super::curve::Curve;
use super::error::BackendError;

/// A key that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The blob's lengths disagree.
    #[error("key blob: says {says} bytes, expected {expected}")]
    Length {
        /// What it says, or is.
        says: usize,
        /// What it must be.
        expected: usize,
    },
    /// The blob is neither RSA nor EC.
    #[error("key blob: type {0} is neither RSA (1) nor EC (2)")]
    Kind(u8),
    /// The blob names no curve.
    #[error("key blob: curve id {0} is not defined")]
    CurveId(u8),
    /// The bytes after the key are not zero.
    #[error("key blob: padding is not zero")]
    Padding,
    /// This system cannot use the curve.
    #[error("this system's OpenSSL does not offer the curve {0}")]
    CurveUnavailable(Curve),
    /// The coordinates are no public key.
    #[error("the point is not a public key on {0}")]
    Point(Curve),
    /// Modulus or exponent cannot belong to an RSA key.
    #[error("modulus or exponent is not that of an RSA key UFTP can carry")]
    Rsa,
    /// An RSA key too small or too large.
    #[error("an RSA key of {0} bits cannot be used; expected 512 to 8192 bits")]
    Size(usize),
    /// An RSA key whose signatures have no room for the hash.
    #[error(
        "an RSA key of {bits} bits is too small to sign with {hash}; take a larger key, or sha256 or \
         sha1"
    )]
    TooSmallToSign {
        /// Of the key.
        bits: usize,
        /// What was to be signed with.
        hash: Hash,
    },
    /// An RSA key that protocol headers cannot carry.
    #[error(
        "an RSA key of {0} bits cannot be carried by protocol headers; its size must be a \
         multiple of 32 bits"
    )]
    NotWords(usize),
    /// An EC key where only RSA will do.
    #[error("an RSA key is needed here")]
    NotRsa,
    /// Keys of different curves, or not EC keys at all.
    #[error("both ECDH keys must be on the same curve")]
    CurveMismatch,
    /// OpenSSL failed.
    #[error(transparent)]
    Backend(#[from] BackendError),
}

impl From<ErrorStack> for KeyError {
    fn from(errors: ErrorStack) -> Self {
        KeyError::Backend(errors.into())
    }
}
