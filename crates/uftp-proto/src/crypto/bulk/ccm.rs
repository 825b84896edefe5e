//! AES-CCM by OpenSSL.

use openssl::cipher_ctx::CipherCtx;

use super::{Bulk, text_and_tag};
use crate::crypto::algorithms::TAG_LEN;
use crate::crypto::error::BackendError;

/// A keyed context. Unlike GCM it must know the length beforehand, and the tag before it decrypts.
pub(super) struct Ccm(pub(super) CipherCtx);

impl Bulk for Ccm {
    fn seal(
        &mut self,
        iv: &[u8],
        aad: &[u8],
        buf: &mut [u8],
        len: usize,
    ) -> Result<(), BackendError> {
        let (text, tag) = text_and_tag(buf, len)?;
        let ctx = &mut self.0;
        ctx.encrypt_init(None, None, Some(iv))?;
        ctx.set_data_len(len)?;
        ctx.cipher_update(aad, None)?;
        ctx.cipher_update_inplace(text, len)?;
        ctx.cipher_final(&mut [])?;
        ctx.tag(tag)?;
        Ok(())
    }

    fn open(&mut self, iv: &[u8], aad: &[u8], buf: &mut [u8]) -> Option<usize> {
        let (text, tag) = buf.split_last_chunk_mut::<TAG_LEN>()?;
        let len = text.len();
        let ctx = &mut self.0;
        ctx.decrypt_init(None, None, Some(iv)).ok()?;
        ctx.set_tag(tag).ok()?;
        ctx.set_data_len(len).ok()?;
        ctx.cipher_update(aad, None).ok()?;
        ctx.cipher_update_inplace(text, len).ok()?;
        Some(len)
    }
}
