//! The pseudo-random function of protocols 3 and 4.

use zeroize::Zeroizing;

use super::algorithms::Hash;
use super::digest::{Digest, HmacKey, HmacMd5};
use super::error::BackendError;
use super::secret::Secret;

/// Makes `n` bytes out of a secret, a label and a seed (wire-v4 §8.3, wire-v3 §5.3).
///
/// It looks like TLS's but is not: from the second block on the seed takes part in the chaining,
/// so that each output block is `HMAC(secret, block before || label || seed)`.
///
/// ```text
/// S = label || seed      T = HMAC(S)      out[1] = HMAC(T || S)      out[i+1] = HMAC(out[i] || S)
/// ```
///
/// With SHA-1 two such streams are combined as in TLS 1.1: MD5 keyed with the first half of the
/// secret, SHA-1 keyed with the second; the halves share the middle byte of an odd length.
///
/// # Errors
/// [`BackendError`] if OpenSSL has no MD5, which only SHA-1 needs.
pub fn prf(
    hash: Hash,
    secret: &[u8],
    label: &str,
    seed: &[&[u8]],
    n: usize,
) -> Result<Secret, BackendError> {
    let mut s = label.as_bytes().to_vec();
    for part in seed {
        s.extend_from_slice(part);
    }
    if hash != Hash::Sha1 {
        let key = HmacKey::new(hash, secret);
        return stream(&s, n, |parts| Ok(key.mac(parts))).map(Secret::from);
    }
    let half = secret.len().div_ceil(2);
    let first = secret.get(..half).unwrap_or(secret);
    let last = secret.get(secret.len() - half..).unwrap_or(secret);
    let md5 = HmacMd5::new(first)?;
    let sha1 = HmacKey::new(Hash::Sha1, last);
    let mut out = stream(&s, n, |parts| md5.mac(parts))?;
    let other = stream(&s, n, |parts| Ok(sha1.mac(parts)))?;
    for (a, b) in out.iter_mut().zip(other.iter()) {
        *a ^= b;
    }
    Ok(Secret::from(out))
}

fn stream(
    s: &[u8],
    n: usize,
    mac: impl Fn(&[&[u8]]) -> Result<Digest, BackendError>,
) -> Result<Zeroizing<Vec<u8>>, BackendError> {
    // Reserved at once: growing would leave copies behind.
    let mut out = Zeroizing::new(Vec::with_capacity(n));
    let mut block = mac(&[s])?;
    while out.len() < n {
        block = mac(&[&block, s])?;
        let wanted = n - out.len();
        out.extend(block.iter().take(wanted));
    }
    Ok(out)
}
