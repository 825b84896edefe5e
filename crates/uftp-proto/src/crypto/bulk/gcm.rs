//! AES-GCM by *ring*.

use std::hint::black_box;

use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use super::{Bulk, text_and_tag};
use crate::crypto::error::BackendError;

/// A key with its round keys and tables. "Less safe" because counters are not the library's: they
/// are the protocol's, and checked against replay by it.
pub(super) struct Gcm(LessSafeKey);

impl Gcm {
    /// # Errors
    /// The key has neither 16 nor 32 bytes.
    pub(super) fn new(key: &[u8]) -> Result<Self, BackendError> {
        let algorithm = match key.len() {
            16 => &AES_128_GCM,
            _ => &AES_256_GCM,
        };
        let key = UnboundKey::new(algorithm, key).map_err(|_| BackendError::Gcm)?;
        Ok(Gcm(LessSafeKey::new(key)))
    }
}

/// The library does not wipe its keys: another one is laid over them.
impl Drop for Gcm {
    fn drop(&mut self) {
        let algorithm = self.0.algorithm();
        let blank = [0; 32];
        let blank = blank.get(..algorithm.key_len()).unwrap_or_default();
        if let Ok(blank) = UnboundKey::new(algorithm, blank) {
            self.0 = LessSafeKey::new(blank);
            black_box(&mut self.0);
        }
    }
}

impl Bulk for Gcm {
    fn seal(
        &mut self,
        iv: &[u8],
        aad: &[u8],
        buf: &mut [u8],
        len: usize,
    ) -> Result<(), BackendError> {
        let (text, tag) = text_and_tag(buf, len)?;
        let nonce = Nonce::try_assume_unique_for_key(iv).map_err(|_| BackendError::Gcm)?;
        let made = self
            .0
            .seal_in_place_separate_tag(nonce, Aad::from(aad), text)
            .map_err(|_| BackendError::Gcm)?;
        for (to, from) in tag.iter_mut().zip(made.as_ref()) {
            *to = *from;
        }
        Ok(())
    }

    fn open(&mut self, iv: &[u8], aad: &[u8], buf: &mut [u8]) -> Option<usize> {
        let nonce = Nonce::try_assume_unique_for_key(iv).ok()?;
        let text = self.0.open_in_place(nonce, Aad::from(aad), buf).ok()?;
        Some(text.len())
    }
}
