//! A UDP socket, made and given its groups.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};

use socket2::{Domain, Protocol, Type};

use crate::config::{Offload, SocketConfig};
use crate::error::NetError;
use crate::feature::buffers::{self, Buffers};
use crate::feature::multicast::{self, Membership, Memberships};
use crate::feature::{fragments, gro, gso, traffic_class};
use crate::interface::Interface;
use crate::send::Transmission;

/// A UDP socket that never blocks. An IPv6 one bound to the wildcard speaks IPv4 as well.
///
/// All methods take `&self`; one thread may send while another receives.
pub struct Socket {
    pub(crate) io: socket2::Socket,
    pub(crate) local: SocketAddr,
    pub(crate) dscp: u8,
    pub(crate) transmission: Transmission,
    pub(crate) reception: Offload,
    buffers: Buffers,
    memberships: Memberships,
}

impl Socket {
    /// Makes a socket.
    ///
    /// # Errors
    /// [`NetError::Bind`] if the address is not this host's or the port is taken,
    /// [`NetError::Value`], [`NetError::Open`], [`NetError::Option`], [`NetError::LocalAddr`].
    pub fn bind(config: &SocketConfig) -> Result<Socket, NetError> {
        config.check()?;
        let addr = config.bind;
        let open = |source| NetError::Open { addr, source };
        let option = |option| {
            move |source| NetError::Option {
                option,
                addr,
                source,
            }
        };
        let io = socket2::Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))
            .map_err(open)?;
        io.set_nonblocking(true).map_err(open)?;
        io.set_broadcast(true).map_err(option("SO_BROADCAST"))?;
        buffers::request(&io, config.buffer_size).map_err(option("the buffer size"))?;

        let dual = addr.is_ipv6() && addr.ip().is_unspecified();
        let interface = config.multicast_interface.as_ref();
        if addr.is_ipv6() {
            io.set_only_v6(!dual).map_err(option("IPV6_V6ONLY"))?;
            fragments::allow_v6(&io).map_err(option("IPV6_MTU_DISCOVER"))?;
            traffic_class::setup_v6(&io, config.dscp).map_err(option("the IPv6 traffic class"))?;
            multicast::setup_v6(&io, config.ttl, interface).map_err(option("IPv6 multicast"))?;
        }
        if addr.is_ipv4() || dual {
            fragments::allow_v4(&io).map_err(option("IP_MTU_DISCOVER"))?;
            traffic_class::setup_v4(&io, config.dscp)
                .map_err(option("the IPv4 type of service"))?;
            multicast::setup_v4(&io, config.ttl, interface).map_err(option("IPv4 multicast"))?;
        }
        let transmission = config.offload.if_supported(|| gso::probe(&io));
        let reception = config.offload.if_supported(|| gro::enable(&io));

        io.bind(&addr.into())
            .map_err(|source| NetError::Bind { addr, source })?;
        let local = io
            .local_addr()
            .and_then(|local| local.as_socket().ok_or(io::ErrorKind::Unsupported.into()))
            .map_err(|source| NetError::LocalAddr { addr, source })?;
        let buffers = buffers::granted(&io).map_err(option("the buffer size"))?;
        tracing::debug!(
            "UDP socket at {local}: sends {}, receives {}, buffers {} bytes received and {} bytes \
             to be sent",
            transmission.manner(),
            reception.manner(),
            buffers.recv,
            buffers.send
        );
        Ok(Socket {
            io,
            local,
            dscp: config.dscp,
            transmission: Transmission::new(transmission),
            reception,
            buffers,
            memberships: Memberships::default(),
        })
    }

    /// Where the socket is bound; the port is the one chosen if 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// The buffers the kernel granted, to be compared with [`SocketConfig::buffer_size`].
    pub fn granted_buffers(&self) -> Buffers {
        self.buffers
    }

    /// What of the kernel's short cuts is in use for receiving.
    pub fn reception(&self) -> Offload {
        self.reception
    }

    /// Joins `group` on one interface. Joining again is counted and needs as many leaves.
    ///
    /// # Errors
    /// [`NetError::Group`], [`NetError::Join`].
    pub fn join(&self, group: IpAddr, on: &Interface) -> Result<(), NetError> {
        self.join_for(None, group, on)
    }

    /// Joins `group` on one interface for datagrams of one sender only.
    ///
    /// # Errors
    /// As [`join`](Self::join).
    pub fn join_source(
        &self,
        group: IpAddr,
        sender: IpAddr,
        on: &Interface,
    ) -> Result<(), NetError> {
        self.join_for(Some(sender), group, on)
    }

    /// Takes back one [`join`](Self::join); without one, does nothing.
    ///
    /// # Errors
    /// [`NetError::Leave`], also if the interface is gone; the join is forgotten all the same.
    pub fn leave(&self, group: IpAddr, on: &Interface) -> Result<(), NetError> {
        self.leave_for(None, group, on)
    }

    /// Takes back one [`join_source`](Self::join_source); without one, does nothing.
    ///
    /// # Errors
    /// As [`leave`](Self::leave).
    pub fn leave_source(
        &self,
        group: IpAddr,
        sender: IpAddr,
        on: &Interface,
    ) -> Result<(), NetError> {
        self.leave_for(Some(sender), group, on)
    }

    fn join_for(
        &self,
        sender: Option<IpAddr>,
        group: IpAddr,
        on: &Interface,
    ) -> Result<(), NetError> {
        if let Some(reason) = self.objection(group, sender) {
            return Err(NetError::Group {
                group,
                interface: on.name.clone(),
                reason,
            });
        }
        let membership = Membership::new(group, sender, on);
        self.memberships
            .join(&self.io, membership)
            .map_err(|source| NetError::Join {
                group,
                interface: on.name.clone(),
                sender,
                source,
            })
    }

    fn leave_for(
        &self,
        sender: Option<IpAddr>,
        group: IpAddr,
        on: &Interface,
    ) -> Result<(), NetError> {
        let membership = Membership::new(group, sender, on);
        self.memberships
            .leave(&self.io, membership)
            .map_err(|source| NetError::Leave {
                group,
                interface: on.name.clone(),
                source,
            })
    }

    /// What there is against joining a group, if anything.
    fn objection(&self, group: IpAddr, sender: Option<IpAddr>) -> Option<&'static str> {
        if !group.is_multicast() {
            return Some("it is no multicast address");
        }
        if group.is_ipv6() && self.local.is_ipv4() {
            return Some("the socket speaks IPv4 only");
        }
        if group.is_ipv4() && self.local.is_ipv6() && !self.local.ip().is_unspecified() {
            return Some("the socket speaks IPv6 only");
        }
        if sender.is_some_and(|s| s.is_ipv4() != group.is_ipv4()) {
            return Some("its sender's address is of the other family");
        }
        None
    }
}

impl Offload {
    /// This, or one step less if it is the last step that the kernel turns out not to have.
    fn if_supported(self, probe: impl FnOnce() -> io::Result<()>) -> Offload {
        match self {
            Offload::Auto if probe().is_err() => Offload::Batched,
            _ => self,
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.io.as_fd()
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket")
            .field("local", &self.local)
            .finish_non_exhaustive()
    }
}
