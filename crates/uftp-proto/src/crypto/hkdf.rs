//! The key derivation of protocol 5: HKDF (RFC 5869) with UFTP's labels.

use zeroize::Zeroizing;

use super::algorithms::Hash;
use super::digest::{Digest, HmacKey};
use super::secret::Secret;

/// `HMAC(salt, ikm)` (wire-v5 §7.2).
pub fn extract(hash: Hash, salt: &[u8], ikm: &[u8]) -> Secret {
    Secret::copy_of(&HmacKey::new(hash, salt).mac(&[ikm]))
}

/// The first `n` bytes of HKDF-Expand with the info `"UFTP5 " || label || context`. Unlike in
/// TLS 1.3 the info holds no lengths. Never more than 255 digests (wire-v5 §7.2).
pub fn expand_label(hash: Hash, secret: &[u8], label: &str, context: &[u8], n: usize) -> Secret {
    let key = HmacKey::new(hash, secret);
    let mut out = Zeroizing::new(Vec::with_capacity(n));
    let mut block = Digest::from(&[][..]);
    for count in 1..=255u8 {
        if out.len() >= n {
            break;
        }
        block = key.mac(&[&block, b"UFTP5 ", label.as_bytes(), context, &[count]]);
        let wanted = n - out.len();
        out.extend(block.iter().take(wanted));
    }
    Secret::from(out)
}
