//! Header and body of a message (wire-v4 §1.2).

use crate::wire::header::Function;
use crate::wire::reader::{DecodeError, Problem, Reader};
use crate::wire::writer::EncodeError;

/// Longest header, in bytes: its length travels as words in one byte.
const MAX_HEADER: usize = 255 * 4;

/// A message cut in two.
#[derive(Clone, Copy)]
pub(super) struct Head<'a> {
    /// The header behind function and length.
    pub(super) head: Reader<'a>,
    /// What follows the header.
    pub(super) body: Reader<'a>,
}

impl<'a> Head<'a> {
    /// Cuts `bytes` where its header length says. The header must have `fixed` bytes at least
    /// and lie within the message.
    #[inline] // by way of memory it costs each block more than it does
    pub(super) fn split(
        function: Function,
        bytes: &'a [u8],
        fixed: usize,
    ) -> Result<Self, DecodeError> {
        let mut body = Reader::new(Some(function), bytes);
        let mut start = body;
        start.u8("func")?;
        let len = usize::from(start.u8("hlen")?) * 4;
        let wrong = |expected| {
            let says = len;
            Err(start.error("hlen", Problem::Length { says, expected }))
        };
        if len > bytes.len() {
            return wrong(bytes.len());
        }
        if len < fixed {
            return wrong(fixed);
        }
        let mut head = body.sub("hlen", len)?;
        head.u16("func and hlen")?;
        Ok(Head { head, body })
    }
}

/// `len` bytes as the number of words that travels.
pub(super) fn words(field: &'static str, len: usize) -> Result<u8, EncodeError> {
    let too_big = EncodeError::TooBig {
        field,
        value: len,
        max: MAX_HEADER,
    };
    if !len.is_multiple_of(4) {
        return Err(EncodeError::Unaligned { field, value: len });
    }
    u8::try_from(len / 4).map_err(|_| too_big)
}
