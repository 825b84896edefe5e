//! Sizes of the kernel's socket buffers: `SO_RCVBUF`, `SO_SNDBUF`.

use std::io;

use nix::sys::socket::{setsockopt, sockopt};
use socket2::Socket;

/// Bytes the kernel reserves for a socket's datagrams, counted as one asks for them (the kernel
/// reserves, and reports, twice as much for its own book-keeping).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Buffers {
    /// For datagrams received and not yet read.
    pub recv: usize,
    /// For datagrams accepted and not yet sent.
    pub send: usize,
}

/// Asks for `size` bytes both ways, beyond the system's limit if this process may; 0 asks for
/// nothing.
pub(crate) fn request(socket: &Socket, size: usize) -> io::Result<()> {
    if size == 0 {
        return Ok(());
    }
    let size = size.min(i32::MAX as usize / 2);
    if setsockopt(socket, sockopt::RcvBufForce, &size).is_err() {
        socket.set_recv_buffer_size(size)?;
    }
    if setsockopt(socket, sockopt::SndBufForce, &size).is_err() {
        socket.set_send_buffer_size(size)?;
    }
    Ok(())
}

/// What the kernel has granted.
pub(crate) fn granted(socket: &Socket) -> io::Result<Buffers> {
    Ok(Buffers {
        recv: socket.recv_buffer_size()? / 2,
        send: socket.send_buffer_size()? / 2,
    })
}
