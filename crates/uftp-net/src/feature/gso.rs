//! Sending of runs: with `UDP_SEGMENT` the kernel takes many datagrams as one message and cuts it
//! as late as it can, at best in the network card.

use std::io;
use std::os::fd::AsFd;

use nix::libc::{self, c_int};
use socket2::Socket;

use super::cmsg::ControlBuf;
use crate::sys;

/// Datagrams in one message; the limit of all kernels before 6.9.
const MOST_SEGMENTS: usize = 64;

/// Bytes in one message: what a single UDP datagram over IPv4 can hold.
const MOST_BYTES: usize = 65_507;

/// Asks whether the kernel (since 4.18) can; changes nothing.
pub(crate) fn probe(socket: &Socket) -> io::Result<()> {
    let off: c_int = 0;
    sys::set_option(socket.as_fd(), libc::SOL_UDP, libc::UDP_SEGMENT, &off)
}

/// How many bytes of a run of datagrams of `segment_size` bytes fit in one message.
pub(crate) fn message_len(segment_size: usize) -> usize {
    let fit = MOST_BYTES.checked_div(segment_size).unwrap_or(0);
    fit.min(MOST_SEGMENTS) * segment_size
}

/// Says that the message is to be cut.
pub(crate) fn put(control: &mut ControlBuf, used: usize, segment_size: u16) -> usize {
    control.put(
        used,
        libc::SOL_UDP,
        libc::UDP_SEGMENT,
        segment_size.to_ne_bytes(),
    )
}

/// Whether a kernel's refusal may be about the cutting and not about the datagrams.
pub(crate) fn refused(error: &io::Error) -> Option<Refusal> {
    match error.raw_os_error()? {
        // The device cannot checksum, or the path is encrypted.
        libc::EIO | libc::EOPNOTSUPP | libc::ENOPROTOOPT => Some(Refusal::Always),
        // Segments must fit the link's MTU; kernels before 6.9 answer EINVAL.
        libc::EMSGSIZE | libc::EINVAL => Some(Refusal::SegmentSize),
        _ => None,
    }
}

/// What the kernel will not cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refusal {
    /// Anything.
    Always,
    /// Segments of this size or larger.
    SegmentSize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_holds_whole_datagrams_up_to_both_limits() {
        for (segment_size, segments) in [
            (1, 64),
            (1023, 64),
            (1024, 63),
            (1328, 49),
            (8828, 7),
            (32_753, 2),
            (32_754, 1),
            (65_507, 1),
            (65_508, 0),
        ] {
            assert_eq!(
                message_len(segment_size),
                segments * segment_size,
                "segments of {segment_size}"
            );
        }
        assert_eq!(message_len(0), 0);
    }
}
