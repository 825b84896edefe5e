//! Reception of runs: with `UDP_GRO` the kernel hands over many datagrams of one sender as one
//! message, and says how long each was.

use std::io;
use std::os::fd::AsFd;

use nix::libc::{self, c_int};
use socket2::Socket;

use super::cmsg::Control;
use crate::sys;

/// Asks for runs. Fails if the kernel (before 5.0) cannot.
pub(crate) fn enable(socket: &Socket) -> io::Result<()> {
    let on: c_int = 1;
    sys::set_option(socket.as_fd(), libc::SOL_UDP, libc::UDP_GRO, &on)
}

/// Bytes in each datagram of the run but the last, if that is what the entry tells.
pub(crate) fn segment_size(control: &Control<'_>) -> Option<usize> {
    ((control.level, control.kind) == (libc::SOL_UDP, libc::UDP_GRO))
        .then(|| control.number())
        .flatten()
        .and_then(|size| usize::try_from(size).ok())
        .filter(|&size| size > 0)
}
