//! Control data beside a datagram (`cmsg(3)`), written and read without pointers.
//!
//! An entry is a header of length (a machine word, counting the header), level and type, then the
//! data; the next entry starts at the next multiple of a word.

use std::mem::size_of;

use nix::libc::{c_int, cmsghdr};

const WORD: usize = size_of::<usize>();
const HEADER: usize = size_of::<cmsghdr>();

/// Control data of one message.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
pub(crate) struct ControlBuf {
    bytes: [u8; Self::LEN],
}

impl ControlBuf {
    /// Room for five entries of a number each; no message has more than two.
    pub(crate) const LEN: usize = 5 * (HEADER + WORD);

    pub(crate) fn new() -> Self {
        ControlBuf {
            bytes: [0; Self::LEN],
        }
    }

    /// The room, for the kernel to write to.
    pub(crate) fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// The entries the kernel has written in the first `len` bytes.
    pub(crate) fn received(&self, len: usize) -> Controls<'_> {
        Controls {
            rest: self.bytes.get(..len).unwrap_or(&self.bytes),
        }
    }

    /// The first `len` bytes, as [`put`](Self::put) returned it.
    pub(crate) fn up_to(&self, len: usize) -> &[u8] {
        self.bytes.get(..len).unwrap_or_default()
    }

    /// Writes an entry behind the first `used` bytes; returns the bytes used then. Without room
    /// nothing is written.
    pub(crate) fn put<const N: usize>(
        &mut self,
        used: usize,
        level: c_int,
        kind: c_int,
        data: [u8; N],
    ) -> usize {
        let space = HEADER + N.next_multiple_of(WORD);
        let Some(entry) = self.bytes.get_mut(used..).and_then(|b| b.get_mut(..space)) else {
            return used;
        };
        entry.fill(0);
        let fields = (HEADER + N)
            .to_ne_bytes()
            .into_iter()
            .chain(level.to_ne_bytes())
            .chain(kind.to_ne_bytes())
            .chain(data);
        for (place, byte) in entry.iter_mut().zip(fields) {
            *place = byte;
        }
        used + space
    }
}

/// The entries beside a received message.
#[derive(Clone)]
pub(crate) struct Controls<'a> {
    rest: &'a [u8],
}

/// One entry beside a received message.
pub(crate) struct Control<'a> {
    pub(crate) level: c_int,
    pub(crate) kind: c_int,
    data: &'a [u8],
}

impl Control<'_> {
    /// The data as a number: an `int`, or a byte where the kernel writes one (`IP_TOS`).
    pub(crate) fn number(&self) -> Option<c_int> {
        match *self.data {
            [byte] => Some(byte.into()),
            _ => self.data.first_chunk().map(|b| c_int::from_ne_bytes(*b)),
        }
    }
}

impl<'a> Iterator for Controls<'a> {
    type Item = Control<'a>;

    fn next(&mut self) -> Option<Control<'a>> {
        let (len, after) = self.rest.split_first_chunk()?;
        let (level, after) = after.split_first_chunk()?;
        let (kind, _) = after.split_first_chunk()?;
        let len = usize::from_ne_bytes(*len);
        let data = self.rest.get(HEADER..len)?;
        self.rest = self
            .rest
            .get(len.next_multiple_of(WORD)..)
            .unwrap_or_default();
        Some(Control {
            level: c_int::from_ne_bytes(*level),
            kind: c_int::from_ne_bytes(*kind),
            data,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_is_read_back() {
        let mut buf = ControlBuf::new();
        let used = buf.put(0, 1, 2, 77i32.to_ne_bytes());
        let used = buf.put(used, 3, 4, [5u8]);
        let used = buf.put(used, 6, 7, 0x1234u16.to_ne_bytes());
        let seen: Vec<_> = buf
            .received(used)
            .map(|c| (c.level, c.kind, c.number(), c.data.len()))
            .collect();
        assert_eq!(
            seen,
            [(1, 2, Some(77), 4), (3, 4, Some(5), 1), (6, 7, None, 2)]
        );
    }

    #[test]
    fn it_is_what_the_system_calls_a_control_message() {
        let mut buf = ControlBuf::new();
        let used = buf.put(0, 41, 67, 8i32.to_ne_bytes());
        assert_eq!(used, nix::cmsg_space!(i32).capacity());
        assert_eq!(buf.bytes[..HEADER], {
            let mut header = vec![0; HEADER];
            header[..WORD].copy_from_slice(&(HEADER + 4).to_ne_bytes());
            header[WORD..WORD + 4].copy_from_slice(&41i32.to_ne_bytes());
            header[WORD + 4..WORD + 8].copy_from_slice(&67i32.to_ne_bytes());
            header
        });
    }

    #[test]
    fn a_full_buffer_takes_no_more_and_broken_lengths_end_the_list() {
        let mut buf = ControlBuf::new();
        let used = (0..9).fold(0, |used, _| buf.put(used, 1, 1, [0u8; 4]));
        assert_eq!(used, ControlBuf::LEN);
        assert_eq!(buf.received(used).count(), 5);
        for len in [0, 1, HEADER - 1, ControlBuf::LEN + 1, usize::MAX] {
            buf.bytes[..WORD].copy_from_slice(&len.to_ne_bytes());
            assert_eq!(buf.received(used).count(), 0, "length {len}");
        }
        assert_eq!(buf.received(HEADER - 1).count(), 0);
    }
}
