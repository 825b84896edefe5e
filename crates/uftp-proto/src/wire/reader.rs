//! Fields read from the front of a message, and what is said of those that cannot be.

use super::header::Function;

/// A packet that cannot be understood: which message, which field, and what is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{}: {field}: {problem}", Name(*.message))]
pub struct DecodeError {
    /// The message being read, `None` for the packet header.
    pub message: Option<Function>,
    /// Name of the field as in the protocol documents.
    pub field: &'static str,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The packet ends before the field does.
    #[error("needs {need} bytes, {have} left")]
    Short {
        /// Bytes wanted.
        need: usize,
        /// Bytes there are.
        have: usize,
    },
    /// A length field disagrees with the lengths it covers.
    #[error("says {says} bytes, expected {expected}")]
    Length {
        /// What the field says.
        says: usize,
        /// What it must say, or the most it may.
        expected: usize,
    },
    /// The fields do not fit the length of the header: "invalid header size" of an ANNOUNCE,
    /// "invalid message size" of a FILEINFO.
    #[error("header has {says} bytes, its fields need {need}")]
    HeaderSize {
        /// What the header length says.
        says: usize,
        /// What the fields need.
        need: usize,
    },
    /// A known extension has a length that does not fit its parts or the header: "invalid
    /// extension size".
    #[error("extension says {says} bytes, expected {expected}")]
    ExtensionSize {
        /// What its length field says.
        says: usize,
        /// What it must say, or the most or least it may.
        expected: usize,
    },
    /// A value outside the protocol.
    #[error("value {0} is not defined")]
    Value(u32),
}

struct Name(Option<Function>);

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(function) => write!(f, "{function:?}"),
            None => f.write_str("packet header"),
        }
    }
}

/// Reads fields from the front of a message. Every method fails, naming the field, rather than
/// read past the end.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    message: Option<Function>,
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads `bytes` as (part of) `message`.
    pub(super) fn new(message: Option<Function>, bytes: &'a [u8]) -> Self {
        Reader { message, bytes }
    }

    /// Bytes not yet read.
    pub(super) fn left(&self) -> usize {
        self.bytes.len()
    }

    /// All bytes not yet read.
    pub(super) fn rest(self) -> &'a [u8] {
        self.bytes
    }

    /// An error about `field` of this message.
    pub(super) fn error(&self, field: &'static str, problem: Problem) -> DecodeError {
        DecodeError {
            message: self.message,
            field,
            problem,
        }
    }

    /// The next `n` bytes.
    ///
    /// # Errors
    /// [`Problem::Short`] if there are fewer.
    pub(super) fn bytes(&mut self, field: &'static str, n: usize) -> Result<&'a [u8], DecodeError> {
        let short = self.error(
            field,
            Problem::Short {
                need: n,
                have: self.left(),
            },
        );
        let (head, tail) = self.bytes.split_at_checked(n).ok_or(short)?;
        self.bytes = tail;
        Ok(head)
    }

    /// The next `N` bytes as an array.
    ///
    /// # Errors
    /// [`Problem::Short`] if there are fewer.
    pub(super) fn array<const N: usize>(
        &mut self,
        field: &'static str,
    ) -> Result<[u8; N], DecodeError> {
        let short = self.error(
            field,
            Problem::Short {
                need: N,
                have: self.left(),
            },
        );
        let (head, tail) = self.bytes.split_first_chunk::<N>().ok_or(short)?;
        self.bytes = tail;
        Ok(*head)
    }

    /// The next `n` bytes as a reader of their own.
    ///
    /// # Errors
    /// [`Problem::Short`] if there are fewer.
    pub(super) fn sub(&mut self, field: &'static str, n: usize) -> Result<Reader<'a>, DecodeError> {
        Ok(Reader {
            message: self.message,
            bytes: self.bytes(field, n)?,
        })
    }

    /// One byte.
    ///
    /// # Errors
    /// [`Problem::Short`] at the end.
    pub(super) fn u8(&mut self, field: &'static str) -> Result<u8, DecodeError> {
        let [b] = self.array(field)?;
        Ok(b)
    }

    /// A big-endian 16-bit number.
    ///
    /// # Errors
    /// [`Problem::Short`] at the end.
    pub(super) fn u16(&mut self, field: &'static str) -> Result<u16, DecodeError> {
        Ok(u16::from_be_bytes(self.array(field)?))
    }

    /// A big-endian 32-bit number.
    ///
    /// # Errors
    /// [`Problem::Short`] at the end.
    pub(super) fn u32(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        Ok(u32::from_be_bytes(self.array(field)?))
    }

    /// A big-endian 64-bit number.
    ///
    /// # Errors
    /// [`Problem::Short`] at the end.
    pub(super) fn u64(&mut self, field: &'static str) -> Result<u64, DecodeError> {
        Ok(u64::from_be_bytes(self.array(field)?))
    }
}
