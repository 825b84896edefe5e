//! Encryption of messages in place, by contexts keyed once.
//!
//! GCM is *ring*'s: a packet of 1300 bytes costs it a third of what it costs OpenSSL 3, most of
//! whose time goes into setting up each packet (`examples/seal_bench.rs`). It has neither CCM nor
//! CBC; those are OpenSSL's.

mod cbc;
mod ccm;
mod gcm;

use openssl::cipher_ctx::{CipherCtx, CipherCtxRef};
use openssl::error::ErrorStack;

use super::algorithms::{Cipher, TAG_LEN};
use super::error::BackendError;
use super::suite::SuiteError;

/// A cipher and a key, for one direction.
pub(super) trait Bulk: Send {
    /// Encrypts the first `len` bytes of `buf` and fills the rest with tag or padding. `buf` is
    /// [`Cipher::sealed_len`] bytes long.
    ///
    /// # Errors
    /// `buf` is not as long as that, or the library fails; `buf` is garbage then.
    fn seal(
        &mut self,
        iv: &[u8],
        aad: &[u8],
        buf: &mut [u8],
        len: usize,
    ) -> Result<(), BackendError>;

    /// Decrypts `buf`, whose length passed [`Cipher::is_sealed_len`], and returns how many bytes
    /// of message are at its front. `None` if tag or padding are wrong; `buf` is garbage then.
    fn open(&mut self, iv: &[u8], aad: &[u8], buf: &mut [u8]) -> Option<usize>;
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Direction {
    Seal,
    Open,
}

/// Keys a context. `key` is as long as the cipher says.
pub(super) fn bulk(
    cipher: Cipher,
    key: &[u8],
    direction: Direction,
) -> Result<Box<dyn Bulk>, CipherError> {
    if key.len() != cipher.key_len() {
        return Err(CipherError::KeyLength);
    }
    Ok(match cipher {
        Cipher::Aes128Gcm | Cipher::Aes256Gcm => {
            // Not used, but a system whose policy forbids the cipher is obeyed.
            cipher.ensure_available()?;
            Box::new(gcm::Gcm::new(key)?)
        }
        Cipher::Aes128Ccm | Cipher::Aes256Ccm => {
            let set_lengths = |ctx: &mut CipherCtx| {
                ctx.set_iv_length(cipher.iv_len())?;
                ctx.set_tag_length(TAG_LEN)
            };
            let ctx = context(cipher, key, direction, set_lengths)?;
            Box::new(ccm::Ccm(ctx))
        }
        Cipher::Des | Cipher::TripleDes | Cipher::Aes128Cbc | Cipher::Aes256Cbc => {
            let ctx = context(cipher, key, direction, |_| Ok(()))?;
            Box::new(cbc::Cbc::new(ctx, cipher.block_len()))
        }
    })
}

/// A context of OpenSSL's. `prepare` sets what must be known before the key.
fn context(
    cipher: Cipher,
    key: &[u8],
    direction: Direction,
    prepare: impl FnOnce(&mut CipherCtx) -> Result<(), ErrorStack>,
) -> Result<CipherCtx, CipherError> {
    let fetched = cipher.fetch()?;
    let init = match direction {
        Direction::Seal => CipherCtxRef::encrypt_init,
        Direction::Open => CipherCtxRef::decrypt_init,
    };
    let keyed = || -> Result<CipherCtx, BackendError> {
        let mut ctx = CipherCtx::new()?;
        init(&mut ctx, Some(&fetched), None, None)?;
        prepare(&mut ctx)?;
        init(&mut ctx, None, Some(key), None)?;
        Ok(ctx)
    };
    Ok(keyed()?)
}

/// The message of `len` bytes in `buf`, and the place for its tag, which is all the rest.
fn text_and_tag(
    buf: &mut [u8],
    len: usize,
) -> Result<(&mut [u8], &mut [u8; TAG_LEN]), BackendError> {
    let error = BackendError::Place {
        len: buf.len(),
        message: len,
    };
    buf.split_at_mut_checked(len)
        .and_then(|(text, tag)| Some((text, tag.try_into().ok()?)))
        .ok_or(error)
}

/// A cipher that cannot be set up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CipherError {
    /// This system's OpenSSL does not offer it.
    #[error(transparent)]
    Suite(#[from] SuiteError),
    /// The key is not as long as the cipher needs it.
    #[error("the key does not have the length of the cipher's keys")]
    KeyLength,
    /// The library failed.
    #[error(transparent)]
    Backend(#[from] BackendError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contexts_are_reused_for_all_lengths() {
        for cipher in Cipher::ALL {
            if cipher.ensure_available().is_err() {
                continue;
            }
            let key = vec![3; cipher.key_len()];
            let mut seal = bulk(cipher, &key, Direction::Seal).unwrap();
            let mut open = bulk(cipher, &key, Direction::Open).unwrap();
            for len in 1..70 {
                let iv = vec![len as u8; cipher.iv_len()];
                let mut buf = vec![0x55; cipher.sealed_len(len)];
                seal.seal(&iv, b"header", &mut buf, len).unwrap();
                assert!(cipher.is_sealed_len(buf.len()));
                assert_ne!(buf[..len], vec![0x55; len], "{cipher}");
                let mut copy = buf.clone();
                assert_eq!(open.open(&iv, b"header", &mut copy), Some(len), "{cipher}");
                assert_eq!(copy[..len], vec![0x55; len]);
                if cipher.is_aead() {
                    // A failure must not spoil the context for the next packet.
                    let mut copy = buf.clone();
                    assert_eq!(open.open(&iv, b"leader", &mut copy), None, "{cipher}");
                }
            }
        }
    }

    #[test]
    fn keys_of_wrong_length_are_refused() {
        assert_eq!(
            bulk(Cipher::Aes256Gcm, &[0; 16], Direction::Seal).err(),
            Some(CipherError::KeyLength)
        );
    }
    #[test]
    fn a_buffer_of_the_wrong_length_is_an_error() {
        for cipher in Cipher::ALL {
            if cipher.ensure_available().is_err() {
                continue;
            }
            let key = vec![3; cipher.key_len()];
            let iv = vec![1; cipher.iv_len()];
            let mut seal = bulk(cipher, &key, Direction::Seal).unwrap();
            let right = cipher.sealed_len(40);
            for len in [0, 39, 40, right - 1, right + 1, right + 40] {
                let sealed = seal.seal(&iv, b"header", &mut vec![7; len], 40);
                assert!(sealed.is_err(), "{cipher}, {len} bytes");
            }
            assert_eq!(seal.seal(&iv, b"header", &mut vec![7; right], 40), Ok(()));
        }
    }
}
