//! Datagrams on their way in: many for each system call, runs taken apart again.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::AsFd;

use nix::libc;
use uftp_proto::Ecn;

use crate::config::Offload;
use crate::feature::{gro, traffic_class};
use crate::socket::Socket;
use crate::sys::{self, Incoming};

/// Bytes kept for one message: more than a datagram or a run can have.
const PLACE_LEN: usize = 1 << 16;

/// Datagrams received with one call of [`Socket::recv`]. Made once and reused; memory is
/// touched only as far as datagrams fill it.
pub struct RecvBatch {
    places: Box<[u8]>,
    messages: Vec<Message>,
    /// Messages the last call could have taken.
    most: usize,
}

/// One datagram received.
#[derive(PartialEq, Eq, Debug)]
pub struct Datagram<'a> {
    /// Who sent it; a sender over IPv4 always has an IPv4 address here.
    pub from: SocketAddr,
    /// Its congestion mark.
    pub ecn: Ecn,
    /// What is in it, for decryption in place.
    pub bytes: &'a mut [u8],
}

/// What is known of the bytes in one place: a datagram or a run of equal ones.
struct Message {
    from: SocketAddr,
    ecn: Ecn,
    len: usize,
    segment_size: usize,
}

impl Default for RecvBatch {
    fn default() -> Self {
        Self::new()
    }
}

impl RecvBatch {
    /// An empty batch.
    pub fn new() -> Self {
        RecvBatch {
            places: vec![0; sys::MESSAGES * PLACE_LEN].into(),
            messages: Vec::with_capacity(sys::MESSAGES),
            most: 0,
        }
    }

    /// Whether the last call took as much as one call can, so that there may be more. If not,
    /// another call would only be told that there is nothing.
    pub fn is_full(&self) -> bool {
        self.messages.len() >= self.most
    }

    /// Single datagrams and runs of datagrams: what the kernel handed over as one.
    pub fn arrivals(&self) -> usize {
        self.messages.len()
    }

    /// How many datagrams there are.
    pub fn datagram_count(&self) -> usize {
        self.messages.iter().map(Message::datagrams).sum()
    }

    /// Bytes of all datagrams.
    pub fn bytes(&self) -> usize {
        self.messages.iter().map(|message| message.len).sum()
    }

    /// The datagrams, each its own, in order of arrival. Empty ones are not shown.
    pub fn datagrams(&mut self) -> impl Iterator<Item = Datagram<'_>> {
        let places = self.places.chunks_exact_mut(PLACE_LEN);
        self.messages
            .iter()
            .zip(places)
            .flat_map(|(message, place)| {
                let run = place.get_mut(..message.len).unwrap_or_default();
                run.chunks_mut(message.segment_size).map(|bytes| Datagram {
                    from: message.from,
                    ecn: message.ecn,
                    bytes,
                })
            })
    }
}

impl Socket {
    /// Replaces what is in `batch` by datagrams that have arrived. Returns how many.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if nothing has arrived, else the system's reason. The batch
    /// is empty then.
    pub fn recv(&self, batch: &mut RecvBatch) -> io::Result<usize> {
        let RecvBatch {
            places,
            messages,
            most,
        } = batch;
        messages.clear();
        *most = match self.reception {
            Offload::Plain => 1,
            Offload::Batched | Offload::Auto => sys::MESSAGES,
        };
        sys::receive(self.io.as_fd(), places, PLACE_LEN, *most, |incoming| {
            messages.push(Message::new(&incoming));
        })?;
        Ok(batch.datagram_count())
    }
}

impl Message {
    fn new(incoming: &Incoming<'_>) -> Self {
        let from = source(incoming.name);
        let mut message = Message {
            from: from.unwrap_or(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0)),
            ecn: Ecn::NotEct,
            // Cut short or from nowhere: not worth showing.
            len: match from {
                Some(_) if !incoming.truncated => incoming.len,
                _ => 0,
            },
            segment_size: PLACE_LEN,
        };
        for control in incoming.controls.clone() {
            if let Some(byte) = traffic_class::received(&control) {
                message.ecn = Ecn::from_traffic_class(byte);
            } else if let Some(size) = gro::segment_size(&control) {
                message.segment_size = size;
            }
        }
        message
    }

    fn datagrams(&self) -> usize {
        self.len.div_ceil(self.segment_size)
    }
}

/// The address in a `sockaddr_in` or `sockaddr_in6`; IPv4 written as IPv6 becomes IPv4 again.
fn source(name: &[u8]) -> Option<SocketAddr> {
    let (family, rest) = name.split_first_chunk()?;
    let (port, rest) = rest.split_first_chunk()?;
    let port = u16::from_be_bytes(*port);
    match u16::from_ne_bytes(*family).into() {
        libc::AF_INET => {
            let (ip, _) = rest.split_first_chunk::<4>()?;
            Some((Ipv4Addr::from(*ip), port).into())
        }
        libc::AF_INET6 => {
            let (_flow, rest) = rest.split_first_chunk::<4>()?;
            let (ip, rest) = rest.split_first_chunk::<16>()?;
            let (scope, _) = rest.split_first_chunk()?;
            let ip = Ipv6Addr::from(*ip);
            Some(match ip.to_ipv4_mapped() {
                Some(ip) => (ip, port).into(),
                None => SocketAddrV6::new(ip, port, 0, u32::from_ne_bytes(*scope)).into(),
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use socket2::SockAddr;

    use super::*;

    /// The bytes the kernel writes for `addr`.
    fn name(family: i32, port: u16, rest: &[&[u8]]) -> Vec<u8> {
        let mut bytes = u16::try_from(family).unwrap().to_ne_bytes().to_vec();
        bytes.extend(port.to_be_bytes());
        bytes.extend(rest.concat());
        assert!(bytes.len() <= SockAddr::from(SocketAddr::from(([0; 8], 0))).len() as usize);
        bytes
    }

    #[test]
    fn sources_of_both_families_are_read_and_mapped_ones_unmapped() {
        let v4 = name(libc::AF_INET, 1044, &[&[10, 0, 0, 1], &[0; 8]]);
        assert_eq!(source(&v4), Some("10.0.0.1:1044".parse().unwrap()));

        let ip: Ipv6Addr = "fe80::1".parse().unwrap();
        let v6 = name(
            libc::AF_INET6,
            7,
            &[&[0; 4], &ip.octets(), &3u32.to_ne_bytes()],
        );
        assert_eq!(source(&v6), Some("[fe80::1%3]:7".parse().unwrap()));

        let ip = Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped();
        let mapped = name(libc::AF_INET6, 7, &[&[0; 4], &ip.octets(), &[0; 4]]);
        assert_eq!(source(&mapped), Some("10.0.0.1:7".parse().unwrap()));

        for len in 0..mapped.len() {
            assert_eq!(source(&mapped[..len]), None, "{len} bytes");
        }
        assert_eq!(source(&name(libc::AF_UNIX, 0, &[&[0; 24]])), None);
    }
}
