//! Encryption of messages in place, by contexts keyed once.
//!
//! The one place to bring in another library for the authenticated ciphers: give it a type that
//! implements [`Bulk`] and choose it in [`bulk`].

use openssl::cipher_ctx::{CipherCtx, CipherCtxRef};
use openssl::error::ErrorStack;

use super::error::BackendError;
use super::suite::{Cipher, SuiteError, TAG_LEN};

/// A cipher and a key, for one direction.
pub(super) trait Bulk: Send {
    /// Encrypts the first `len` bytes of `buf` and fills the rest with tag or padding. `buf` is
    /// [`Cipher::sealed_len`] bytes long.
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
    let fetched = cipher.fetch()?;
    let mut ctx = CipherCtx::new().map_err(BackendError::from)?;
    let init = match direction {
        Direction::Seal => CipherCtxRef::encrypt_init,
        Direction::Open => CipherCtxRef::decrypt_init,
    };
    let mut keyed = || -> Result<(), ErrorStack> {
        init(&mut ctx, Some(&fetched), None, None)?;
        if matches!(cipher, Cipher::Aes128Ccm | Cipher::Aes256Ccm) {
            ctx.set_iv_length(cipher.iv_len())?;
            ctx.set_tag_length(TAG_LEN)?;
        }
        init(&mut ctx, None, Some(key), None)
    };
    keyed().map_err(BackendError::from)?;
    Ok(match cipher {
        Cipher::Aes128Gcm | Cipher::Aes256Gcm => Box::new(Gcm(ctx)),
        Cipher::Aes128Ccm | Cipher::Aes256Ccm => Box::new(Ccm(ctx)),
        Cipher::Des | Cipher::TripleDes | Cipher::Aes128Cbc | Cipher::Aes256Cbc => {
            ctx.set_padding(false);
            Box::new(Cbc {
                ctx,
                block: cipher.block_len(),
            })
        }
    })
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
    /// OpenSSL failed.
    #[error(transparent)]
    Backend(#[from] BackendError),
}

struct Gcm(CipherCtx);

impl Bulk for Gcm {
    fn seal(
        &mut self,
        iv: &[u8],
        aad: &[u8],
        buf: &mut [u8],
        len: usize,
    ) -> Result<(), BackendError> {
        self.0.encrypt_init(None, None, Some(iv))?;
        self.0.cipher_update(aad, None)?;
        if let Some((text, tag)) = buf.split_at_mut_checked(len) {
            self.0.cipher_update_inplace(text, len)?;
            self.0.cipher_final(&mut [])?;
            self.0.tag(tag)?;
        }
        Ok(())
    }

    fn open(&mut self, iv: &[u8], aad: &[u8], buf: &mut [u8]) -> Option<usize> {
        let (text, tag) = buf.split_last_chunk_mut::<TAG_LEN>()?;
        let ctx = &mut self.0;
        let len = text.len();
        ctx.decrypt_init(None, None, Some(iv)).ok()?;
        ctx.cipher_update(aad, None).ok()?;
        ctx.cipher_update_inplace(text, len).ok()?;
        ctx.set_tag(tag).ok()?;
        ctx.cipher_final(&mut []).ok()?;
        Some(len)
    }
}

/// Unlike GCM it must know the length beforehand, and the tag before it decrypts.
struct Ccm(CipherCtx);

impl Bulk for Ccm {
    fn seal(
        &mut self,
        iv: &[u8],
        aad: &[u8],
        buf: &mut [u8],
        len: usize,
    ) -> Result<(), BackendError> {
        self.0.encrypt_init(None, None, Some(iv))?;
        self.0.set_data_len(len)?;
        self.0.cipher_update(aad, None)?;
        if let Some((text, tag)) = buf.split_at_mut_checked(len) {
            self.0.cipher_update_inplace(text, len)?;
            self.0.cipher_final(&mut [])?;
            self.0.tag(tag)?;
        }
        Ok(())
    }

    fn open(&mut self, iv: &[u8], aad: &[u8], buf: &mut [u8]) -> Option<usize> {
        let (text, tag) = buf.split_last_chunk_mut::<TAG_LEN>()?;
        let ctx = &mut self.0;
        let len = text.len();
        ctx.decrypt_init(None, None, Some(iv)).ok()?;
        ctx.set_tag(tag).ok()?;
        ctx.set_data_len(len).ok()?;
        ctx.cipher_update(aad, None).ok()?;
        ctx.cipher_update_inplace(text, len).ok()?;
        Some(len)
    }
}

/// Padding is ours (PKCS#7), so that OpenSSL works on whole blocks only.
struct Cbc {
    ctx: CipherCtx,
    block: usize,
}

impl Cbc {
    fn run(&mut self, buf: &mut [u8]) -> Result<(), ErrorStack> {
        // For working in place OpenSSL's wrapper wants room for a block more than there is
        // input; so the last block takes a detour.
        let at = buf.len().saturating_sub(self.block);
        if at > 0 {
            self.ctx.cipher_update_inplace(buf, at)?;
        }
        let mut last = [0; 32];
        let tail = buf.get_mut(at..).unwrap_or_default();
        for (to, from) in last.iter_mut().zip(tail.iter()) {
            *to = *from;
        }
        self.ctx.cipher_update_inplace(&mut last, self.block)?;
        for (to, from) in tail.iter_mut().zip(last) {
            *to = from;
        }
        Ok(())
    }
}

impl Bulk for Cbc {
    fn seal(
        &mut self,
        iv: &[u8],
        _aad: &[u8],
        buf: &mut [u8],
        len: usize,
    ) -> Result<(), BackendError> {
        if let Some(padding) = buf.get_mut(len..) {
            // At most a block.
            padding.fill(padding.len() as u8);
        }
        self.ctx.encrypt_init(None, None, Some(iv))?;
        Ok(self.run(buf)?)
    }

    fn open(&mut self, iv: &[u8], _aad: &[u8], buf: &mut [u8]) -> Option<usize> {
        self.ctx.decrypt_init(None, None, Some(iv)).ok()?;
        self.run(buf).ok()?;
        unpadded_len(buf, self.block)
    }
}

/// Length of the message before its PKCS#7 padding. Looks at every byte of the last block
/// whatever it finds.
fn unpadded_len(buf: &[u8], block: usize) -> Option<usize> {
    let pad = usize::from(*buf.last()?);
    let mut wrong = u8::from(pad == 0) | u8::from(pad > block) | u8::from(pad > buf.len());
    for (i, byte) in buf.iter().rev().take(block).enumerate() {
        wrong |= u8::from(i < pad) & u8::from(usize::from(*byte) != pad);
    }
    if wrong == 0 {
        buf.len().checked_sub(pad)
    } else {
        None
    }
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
    fn padding_must_be_whole() {
        assert_eq!(unpadded_len(&[1, 2, 3, 4, 5, 6, 7, 1], 8), Some(7));
        assert_eq!(unpadded_len(&[8; 8], 8), Some(0));
        assert_eq!(unpadded_len(&[1, 2, 3, 4, 5, 3, 3, 3], 8), Some(5));
        assert_eq!(unpadded_len(&[1, 2, 3, 4, 5, 3, 2, 3], 8), None);
        assert_eq!(unpadded_len(&[0; 8], 8), None);
        assert_eq!(unpadded_len(&[9; 16], 8), None);
        assert_eq!(unpadded_len(&[], 8), None);
    }

    #[test]
    fn keys_of_wrong_length_are_refused() {
        assert_eq!(
            bulk(Cipher::Aes256Gcm, &[0; 16], Direction::Seal).err(),
            Some(CipherError::KeyLength)
        );
    }
}
