//! ENCRYPTED, the wrapper around a sealed message (wire-v4 §4.1, wire-v5 §5.1, wire-v3 §4.2).

use std::ops::Range;

use super::codec::encode_header;
use super::fields::len16;
use super::header::{Function, Header, Version};
use super::reader::{DecodeError, Problem, Reader};
use super::writer::{EncodeError, Writer};
use crate::time::WireTime;

/// The parts of an ENCRYPTED packet. Ranges are places in the datagram.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Encrypted {
    /// Protocols 4 and 5: IV counter. Protocol 3: the sender's clock, as
    /// [`WireTime`](crate::WireTime).
    pub iv_counter: u64,
    /// Signature over the datagram with these bytes zero; empty under AEAD.
    pub signature: Range<usize>,
    /// Ciphertext, and under AEAD its tag.
    pub payload: Range<usize>,
}

impl Encrypted {
    /// Bytes before the signature: packet header, IV counter and two lengths. Also the
    /// additional data of AEAD ciphers.
    pub const HEAD_LEN: usize = Header::LEN + 12;

    /// Reads the parts of a datagram whose header says [`Function::Encrypted`].
    ///
    /// # Errors
    /// [`DecodeError`] if the parts do not add up to the datagram exactly.
    pub fn decode(version: Version, datagram: &[u8]) -> Result<Encrypted, DecodeError> {
        let mut r = Reader::new(Some(Function::Encrypted), datagram);
        r.bytes("packet header", Header::LEN)?;
        let iv_counter = read_iv_counter(version, &mut r)?;
        let sig_len = usize::from(r.u16("sig_len")?);
        let payload_len = usize::from(r.u16("payload_len")?);
        let says = Self::HEAD_LEN + sig_len + payload_len;
        if says != datagram.len() {
            let expected = datagram.len();
            return Err(r.error("payload_len", Problem::Length { says, expected }));
        }
        let payload = Self::HEAD_LEN + sig_len;
        Ok(Encrypted {
            iv_counter,
            signature: Self::HEAD_LEN..payload,
            payload: payload..datagram.len(),
        })
    }

    /// Writes everything before the signature; signature and payload follow at
    /// [`HEAD_LEN`](Self::HEAD_LEN). `header` is that of the sealed message: its function is
    /// replaced.
    ///
    /// # Errors
    /// [`EncodeError`] if it does not fit `out` or a length does not fit its field.
    pub fn encode_head(
        header: &Header,
        iv_counter: u64,
        sig_len: usize,
        payload_len: usize,
        out: &mut [u8],
    ) -> Result<usize, EncodeError> {
        let header = Header {
            function: Function::Encrypted,
            ..*header
        };
        let len = encode_header(&header, 12 + sig_len + payload_len, out)?;
        let mut w = Writer::new(out.get_mut(len..).unwrap_or_default());
        write_iv_counter(header.version, &mut w, iv_counter);
        w.u16(len16("sig_len", sig_len)?);
        w.u16(len16("payload_len", payload_len)?);
        Ok(len + w.finish()?)
    }
}

/// Reads an IV counter. In protocol 3 it is a clock, whose two words both enter the IV: a number
/// of microseconds that could be written in another way is refused.
pub(super) fn read_iv_counter(version: Version, r: &mut Reader<'_>) -> Result<u64, DecodeError> {
    match version {
        Version::V4 | Version::V5 => r.u64("iv_ctr"),
        Version::V3 | Version::V3Sync => {
            let seconds = r.u32("tstamp_sec")?;
            let micros = r.u32("tstamp_usec")?;
            if micros >= 1_000_000 {
                return Err(r.error("tstamp_usec", Problem::Value(micros)));
            }
            Ok(WireTime::from_parts(seconds, micros).0)
        }
    }
}

pub(super) fn write_iv_counter(version: Version, w: &mut Writer<'_>, iv_counter: u64) {
    match version {
        Version::V4 | Version::V5 => w.u64(iv_counter),
        Version::V3 | Version::V3Sync => {
            let (seconds, micros) = WireTime(iv_counter).to_parts();
            w.u32(seconds);
            w.u32(micros);
        }
    }
}
