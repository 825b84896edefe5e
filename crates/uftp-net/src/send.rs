//! Datagrams on their way out: a run for each system call where the kernel can, and a step down
//! where it cannot.

use std::io;
use std::net::{SocketAddr, SocketAddrV6};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use nix::libc;
use socket2::SockAddr;
use uftp_proto::Ecn;

use crate::config::Offload;
use crate::feature::cmsg::ControlBuf;
use crate::feature::gso::{self, Refusal};
use crate::feature::traffic_class;
use crate::socket::Socket;
use crate::sys::{self, Outgoing};

impl Socket {
    /// Sends a run of datagrams to one place: `bytes` cut into datagrams of `segment_size` bytes,
    /// the last of which may be shorter.
    ///
    /// Returns the bytes accepted: all, or whole datagrams from the front if the kernel stopped
    /// taking more. Send the rest again after [`wait_for`](Self::wait_for) room; if there was
    /// another reason the next call tells it.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if nothing was accepted for want of room, else the system's
    /// reason; [`io::ErrorKind::InvalidInput`] for a segment size of 0 or an IPv6 destination on
    /// an IPv4 socket.
    pub fn send_run(
        &self,
        to: SocketAddr,
        ecn: Ecn,
        segment_size: usize,
        bytes: &[u8],
    ) -> io::Result<usize> {
        let run = Run::new(self, to, ecn, segment_size)?;
        let mut sent = 0;
        while let Some(rest) = bytes.get(sent..).filter(|rest| !rest.is_empty()) {
            match run.send_some(rest) {
                Ok(taken) => sent += taken,
                Err(_) if sent > 0 => break,
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                Err(error) => return Err(error),
            }
        }
        Ok(sent)
    }

    /// What of the kernel's short cuts is in use for sending at the moment.
    pub fn transmission(&self) -> Offload {
        self.transmission.mode()
    }

    fn destination(&self, to: SocketAddr) -> io::Result<SockAddr> {
        match (self.local.is_ipv4(), to) {
            (false, SocketAddr::V4(to)) => {
                let mapped = SocketAddrV6::new(to.ip().to_ipv6_mapped(), to.port(), 0, 0);
                Ok(mapped.into())
            }
            (true, SocketAddr::V6(_)) => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("the socket at {} speaks IPv4 only", self.local),
            )),
            _ => Ok(to.into()),
        }
    }
}

/// Everything but the bytes.
struct Run<'s> {
    socket: &'s Socket,
    to: SockAddr,
    segment_size: usize,
    /// Congestion mark, then the order to cut.
    control: ControlBuf,
    /// Control bytes for a single datagram.
    mark_len: usize,
    /// Control bytes for a message to be cut.
    cut_len: usize,
}

impl<'s> Run<'s> {
    fn new(socket: &'s Socket, to: SocketAddr, ecn: Ecn, segment_size: usize) -> io::Result<Self> {
        if segment_size == 0 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a run of datagrams of 0 bytes",
            ));
        }
        let mut control = ControlBuf::new();
        let mark_len = match (ecn, to.ip().to_canonical().is_ipv4()) {
            // The socket's own traffic class says it already.
            (Ecn::NotEct, _) => 0,
            (_, true) => traffic_class::put_v4(&mut control, 0, socket.dscp, ecn),
            (_, false) => traffic_class::put_v6(&mut control, 0, socket.dscp, ecn),
        };
        let cut_len = match u16::try_from(segment_size) {
            Ok(size) => gso::put(&mut control, mark_len, size),
            Err(_) => mark_len,
        };
        Ok(Run {
            to: socket.destination(to)?,
            socket,
            segment_size,
            control,
            mark_len,
            cut_len,
        })
    }

    /// Sends as much of `bytes` as one call takes. Returns the bytes taken, never 0.
    fn send_some(&self, bytes: &[u8]) -> io::Result<usize> {
        let transmission = &self.socket.transmission;
        if bytes.len() > self.segment_size && transmission.may_cut(self.segment_size) {
            let result = self.send_messages(bytes, gso::message_len(self.segment_size));
            let refusal = result.as_ref().err().and_then(gso::refused);
            let Some(refusal) = refusal else {
                return result;
            };
            // Only if the datagrams go singly was it the cutting that the kernel minded.
            let taken = self.send_datagrams(bytes)?;
            transmission.refuse(refusal, self.segment_size);
            return Ok(taken);
        }
        self.send_datagrams(bytes)
    }

    fn send_datagrams(&self, bytes: &[u8]) -> io::Result<usize> {
        if self.socket.transmission.mode() > Offload::Plain {
            let result = self.send_messages(bytes, self.segment_size);
            if result.as_ref().err().and_then(io::Error::raw_os_error) != Some(libc::ENOSYS) {
                return result;
            }
            self.socket.transmission.step_down_to(Offload::Plain);
        }
        let end = bytes.len().min(self.segment_size);
        self.send_messages(bytes.get(..end).unwrap_or_default(), end)
    }

    /// Sends `bytes` as messages of `message_len`, a multiple of the segment size. Returns the
    /// bytes taken, never 0.
    fn send_messages(&self, bytes: &[u8], message_len: usize) -> io::Result<usize> {
        let fd = self.socket.io.as_fd();
        if bytes.len() <= message_len {
            sys::send_one(fd, &self.to, &self.message(bytes))?;
            return Ok(bytes.len());
        }
        let messages = bytes.chunks(message_len).map(|bytes| self.message(bytes));
        let taken = sys::send_many(fd, &self.to, messages)?;
        Ok(bytes.len().min(taken * message_len))
    }

    fn message<'a>(&'a self, bytes: &'a [u8]) -> Outgoing<'a> {
        let control_len = if bytes.len() > self.segment_size {
            self.cut_len
        } else {
            self.mark_len
        };
        Outgoing {
            bytes,
            control: self.control.up_to(control_len),
        }
    }
}

/// What the kernel is still trusted with. Only ever gets less.
pub(crate) struct Transmission {
    mode: AtomicU8,
    /// Datagrams smaller than this may be cut from one message.
    cut_below: AtomicUsize,
}

impl Transmission {
    pub(crate) fn new(mode: Offload) -> Self {
        Transmission {
            mode: AtomicU8::new(mode as u8),
            cut_below: AtomicUsize::new(usize::MAX),
        }
    }

    fn mode(&self) -> Offload {
        match self.mode.load(Ordering::Relaxed) {
            0 => Offload::Plain,
            1 => Offload::Batched,
            _ => Offload::Auto,
        }
    }

    /// Whether datagrams of `segment_size` bytes may be cut from one message, and two or more fit.
    fn may_cut(&self, segment_size: usize) -> bool {
        self.mode() == Offload::Auto
            && segment_size < self.cut_below.load(Ordering::Relaxed)
            && gso::message_len(segment_size) > segment_size
    }

    /// Remembers what the kernel would not do, and says so the first time.
    fn refuse(&self, refusal: Refusal, segment_size: usize) {
        match refusal {
            Refusal::Always => self.step_down_to(Offload::Batched),
            Refusal::SegmentSize => {
                let before = self.cut_below.fetch_min(segment_size, Ordering::Relaxed);
                if before == usize::MAX {
                    tracing::info!(
                        "datagrams of {segment_size} bytes exceed the link's MTU: sending them \
                         singly, in fragments"
                    );
                }
            }
        }
    }

    fn step_down_to(&self, mode: Offload) {
        if self.mode.fetch_min(mode as u8, Ordering::Relaxed) > mode as u8 {
            tracing::info!(
                "the kernel refuses to send runs of datagrams: sending {} from now on",
                mode.manner()
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_size_stops_that_size_and_larger_ones_only() {
        let transmission = Transmission::new(Offload::Auto);
        assert!(transmission.may_cut(9000));
        transmission.refuse(Refusal::SegmentSize, 8828);
        transmission.refuse(Refusal::SegmentSize, 9000);
        assert!(!transmission.may_cut(9000));
        assert!(!transmission.may_cut(8828));
        assert!(transmission.may_cut(8827));
        assert_eq!(transmission.mode(), Offload::Auto);
    }

    #[test]
    fn a_device_that_cannot_cut_is_remembered_and_nothing_comes_back() {
        let transmission = Transmission::new(Offload::Auto);
        transmission.refuse(Refusal::Always, 1328);
        assert_eq!(transmission.mode(), Offload::Batched);
        assert!(!transmission.may_cut(100));
        transmission.step_down_to(Offload::Plain);
        transmission.refuse(Refusal::Always, 1328);
        assert_eq!(transmission.mode(), Offload::Plain);
    }
}
