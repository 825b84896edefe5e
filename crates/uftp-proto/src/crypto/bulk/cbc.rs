//! DES, Triple DES and AES in CBC mode by OpenSSL.

use openssl::cipher_ctx::CipherCtx;
use openssl::error::ErrorStack;

use super::Bulk;
use crate::crypto::error::BackendError;

/// Padding is ours (PKCS#7), so that OpenSSL works on whole blocks only.
pub(super) struct Cbc {
    ctx: CipherCtx,
    block: usize,
}

impl Cbc {
    /// A keyed context of a cipher with blocks of `block` bytes, at most 32.
    pub(super) fn new(mut ctx: CipherCtx, block: usize) -> Self {
        ctx.set_padding(false);
        Cbc { ctx, block }
    }

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
        let place = BackendError::Place {
            len: buf.len(),
            message: len,
        };
        let padding = buf.get_mut(len..).ok_or_else(|| place.clone())?;
        if padding.len() != self.block - len % self.block {
            return Err(place);
        }
        // At most a block.
        padding.fill(padding.len() as u8);
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
    fn padding_must_be_whole() {
        assert_eq!(unpadded_len(&[1, 2, 3, 4, 5, 6, 7, 1], 8), Some(7));
        assert_eq!(unpadded_len(&[8; 8], 8), Some(0));
        assert_eq!(unpadded_len(&[1, 2, 3, 4, 5, 3, 3, 3], 8), Some(5));
        assert_eq!(unpadded_len(&[1, 2, 3, 4, 5, 3, 2, 3], 8), None);
        assert_eq!(unpadded_len(&[0; 8], 8), None);
        assert_eq!(unpadded_len(&[9; 16], 8), None);
        assert_eq!(unpadded_len(&[], 8), None);
    }
}
