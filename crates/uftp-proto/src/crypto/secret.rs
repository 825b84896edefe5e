//! Bytes that nobody may see.

use openssl::error::ErrorStack;
use zeroize::Zeroizing;

/// Secret bytes: overwritten when dropped, without a text form.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// `len` bytes from OpenSSL's generator.
    pub(super) fn random(len: usize) -> Result<Secret, ErrorStack> {
        let mut bytes = Zeroizing::new(vec![0; len]);
        openssl::rand::rand_bytes(&mut bytes)?;
        Ok(Secret(bytes))
    }

    /// A copy of `bytes`.
    pub(crate) fn copy_of(bytes: &[u8]) -> Secret {
        Secret(Zeroizing::new(bytes.to_vec()))
    }

    /// The bytes.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn expose_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }

    /// Cuts off the first `n` bytes (or all there are).
    pub(super) fn take_front(&mut self, n: usize) -> Secret {
        let n = n.min(self.0.len());
        let rest = self.0.split_off(n);
        let front = std::mem::replace(&mut *self.0, rest);
        Secret(Zeroizing::new(front))
    }
}

impl From<Zeroizing<Vec<u8>>> for Secret {
    fn from(bytes: Zeroizing<Vec<u8>>) -> Secret {
        Secret(bytes)
    }
}

/// Compares without telling by time where the difference lies.
pub(super) fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && openssl::memcmp::eq(a, b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taking_more_than_there_is() {
        let mut s = Secret::copy_of(b"abc");
        assert_eq!(s.take_front(2).expose(), b"ab");
        assert_eq!(s.take_front(2).expose(), b"c");
        assert_eq!(s.take_front(2).expose(), b"");
    }

    #[test]
    fn comparison() {
        assert!(same(b"ab", b"ab"));
        assert!(!same(b"ab", b"ac"));
        assert!(!same(b"ab", b"abc"));
    }
}
