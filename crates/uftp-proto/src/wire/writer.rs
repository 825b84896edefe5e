//! Fields written at the front of a buffer, and what is said of those that do not fit.

/// A message that cannot be put on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The buffer is too small.
    #[error("the message needs more than the {0} bytes given")]
    NoRoom(usize),
    /// A value does not fit its field.
    #[error("{field} is {value}, the wire takes at most {max}")]
    TooBig {
        /// Name of the field as in the protocol documents.
        field: &'static str,
        /// What was asked for.
        value: usize,
        /// What fits.
        max: usize,
    },
    /// A part whose length travels in words of four bytes is not made of whole words.
    #[error("{field} is {value} bytes, the wire takes multiples of 4")]
    Unaligned {
        /// Name of the field as in the protocol documents.
        field: &'static str,
        /// What was asked for.
        value: usize,
    },
    /// A part does not have the one length it may have.
    #[error("{field} is {value} bytes, expected {expected}")]
    Length {
        /// Name of the field as in the protocol documents.
        field: &'static str,
        /// What was asked for.
        value: usize,
        /// What it must be.
        expected: usize,
    },
    /// The protocol has no such message or field.
    #[error("this protocol has no {0}")]
    NotInProtocol(&'static str),
}

/// Writes fields at the front of a buffer. Overflow is remembered and reported by
/// [`finish`](Writer::finish), so that a message reads as a plain list of its fields.
pub(super) struct Writer<'a> {
    buf: &'a mut [u8],
    len: usize,
}

impl<'a> Writer<'a> {
    /// Writes into `buf` from its beginning.
    pub(super) fn new(buf: &'a mut [u8]) -> Self {
        Writer { buf, len: 0 }
    }

    /// Appends `bytes`.
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        let end = self.len.saturating_add(bytes.len());
        if let Some(room) = self.buf.get_mut(self.len..end) {
            room.copy_from_slice(bytes);
        }
        self.len = end;
    }

    /// Appends one byte.
    pub(super) fn u8(&mut self, v: u8) {
        self.bytes(&[v]);
    }

    /// Appends a big-endian 16-bit number.
    pub(super) fn u16(&mut self, v: u16) {
        self.bytes(&v.to_be_bytes());
    }

    /// Appends a big-endian 32-bit number.
    pub(super) fn u32(&mut self, v: u32) {
        self.bytes(&v.to_be_bytes());
    }

    /// Appends a big-endian 64-bit number.
    pub(super) fn u64(&mut self, v: u64) {
        self.bytes(&v.to_be_bytes());
    }

    /// Appends `n` zero bytes.
    pub(super) fn zeros(&mut self, n: usize) {
        let end = self.len.saturating_add(n);
        if let Some(room) = self.buf.get_mut(self.len..end) {
            room.fill(0);
        }
        self.len = end;
    }

    /// The number of bytes written.
    ///
    /// # Errors
    /// [`EncodeError::NoRoom`] if they did not all fit.
    pub(super) fn finish(self) -> Result<usize, EncodeError> {
        if self.len > self.buf.len() {
            Err(EncodeError::NoRoom(self.buf.len()))
        } else {
            Ok(self.len)
        }
    }
}
