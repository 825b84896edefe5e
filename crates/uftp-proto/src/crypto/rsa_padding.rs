//! What stands beside secret or digest in a block of RSA (RFC 8017), and how it is taken off without
//! telling anybody whether it was right.

use openssl::rsa::Padding;

use super::algorithms::Hash;

/// How a premaster secret is padded for an RSA key of `bits` (wire-v4 §8.2).
pub(super) fn premaster_padding(bits: usize) -> Padding {
    if bits >= 768 {
        Padding::PKCS1_OAEP
    } else {
        Padding::PKCS1
    }
}

/// Bytes a modulus must have for a signature over `hash`: digest, what names the hash before it, and 11
/// bytes of padding at least (RFC 8017 §9.2, EMSA-PKCS1-v1_5).
pub(super) fn signature_room(hash: Hash) -> usize {
    let name = match hash {
        Hash::Sha1 => 15,
        Hash::Sha256 | Hash::Sha384 | Hash::Sha512 => 19,
    };
    11 + name + hash.digest_len()
}

/// Overwrites `to` with `from` if `choice` is 1, in constant time; lets it be if 0 or if `from`
/// is of another length.
pub(super) fn select(choice: u8, from: &[u8], to: &mut [u8]) {
    let choice = choice & u8::from(from.len() == to.len());
    let mask = std::hint::black_box(0u8.wrapping_sub(choice));
    for (t, f) in to.iter_mut().zip(from) {
        *t ^= mask & (*t ^ *f);
    }
}

/// Checks PKCS#1 v1.5 encryption padding around a secret of known length, without a branch on
/// any byte: `00 02 (8 or more non-zero bytes) 00 secret`. Returns 1 or 0, and the last `N` bytes.
pub(super) fn strip_pkcs1<const N: usize>(block: &[u8]) -> (u8, &[u8]) {
    let Some((padding, secret)) = block.split_last_chunk::<N>() else {
        return (0, &[]);
    };
    let [zero, two, filler @ .., end] = padding else {
        return (0, &[]);
    };
    // Gathers a set bit for anything that is not as it must be.
    let mut wrong = zero | (two ^ 2) | end;
    for byte in filler {
        // 1 only if the byte is 0.
        wrong |= ((u16::from(*byte).wrapping_sub(1)) >> 8) as u8;
    }
    let wrong = std::hint::black_box(u16::from(wrong));
    let good = (wrong.wrapping_sub(1) >> 8) as u8 & 1;
    (good & u8::from(filler.len() >= 8), secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pkcs1_padding_byte_by_byte() {
        let mut good = vec![0, 2];
        good.extend_from_slice(&[9; 13]);
        good.push(0);
        good.extend_from_slice(&[7; 48]);
        assert_eq!(strip_pkcs1::<48>(&good), (1, &[7; 48][..]));
        for at in 0..16 {
            let mut bad = good.clone();
            bad[at] = if at == 0 || at == 15 { 1 } else { 0 };
            assert_eq!(strip_pkcs1::<48>(&bad).0, 0, "byte {at}");
            if at == 0 || at == 1 || at == 15 {
                bad[at] = 0x82;
                assert_eq!(strip_pkcs1::<48>(&bad).0, 0, "byte {at}");
            }
        }
        assert_eq!(strip_pkcs1::<48>(&good[..40]).0, 0);
        assert_eq!(
            strip_pkcs1::<57>(&good).0,
            0,
            "fewer than 8 bytes of padding"
        );
    }
}
