//! Where a session takes place: its addresses, and the interface they are reached by.

use std::net::SocketAddr;

use rand::rngs::StdRng;
use uftp_net::Interface;
use uftp_proto::Uid;
use uftp_session::policy::{Names, Policy};
use uftp_session::sender::ClientEntry;

use super::Args;
use crate::exit::Failure;
use crate::options::{addresses, hosts};

/// Where a session takes place.
pub(super) struct Place {
    /// Where it is announced.
    pub public: SocketAddr,
    /// Where the rest is said.
    pub private: SocketAddr,
    /// Where multicast leaves.
    pub interface: Interface,
}

impl Place {
    /// The public address is that of a subnet.
    pub(super) fn is_broadcast(&self) -> bool {
        self.interface.broadcasts_to(self.public.ip())
    }

    /// The public address is that of one host.
    pub(super) fn is_one_host(&self) -> bool {
        !self.public.ip().is_multicast() && !self.is_broadcast()
    }

    /// What a sender here is called unless it is told otherwise.
    pub(super) fn own_uid(&self) -> Uid {
        let public = self.public.ip();
        Uid::from_addr(self.interface.first_like(public).unwrap_or(public))
    }

    /// What the socket of a sender here is bound to.
    pub(super) fn bind(&self, port: u16) -> SocketAddr {
        SocketAddr::new(addresses::wildcard(self.public.is_ipv6()), port)
    }
}

impl Args {
    /// Where the session of these `clients`, if they are listed, takes place. Asks the resolver.
    ///
    /// # Errors
    /// Addresses that do not go together, or no interface to reach them by.
    pub(super) async fn place(
        &self,
        policy: Policy,
        clients: Option<&[ClientEntry]>,
        rng: &mut StdRng,
    ) -> Result<Place, Failure> {
        let public = match self.pace.unicast {
            true => {
                let only = hosts::only_address(clients.unwrap_or_default())?;
                SocketAddr::new(only, self.port)
            }
            false => self.announced_at(policy).await?,
        };
        let private = match (&self.private_address, public.ip().is_multicast()) {
            (_, false) => public,
            (Some(text), true) => addresses::private(text, public, rng).await?,
            (None, true) if public.is_ipv6() => {
                return Err(Failure::network(
                    "an IPv6 public address (-M) needs an IPv6 private address too (-P)",
                ));
            }
            (None, true) => addresses::private(addresses::PRIVATE, public, rng).await?,
        };
        Ok(Place {
            public,
            private,
            interface: addresses::outgoing(self.interface.as_deref(), public)?,
        })
    }

    /// Where the session is announced.
    async fn announced_at(&self, policy: Policy) -> Result<SocketAddr, Failure> {
        let text = &self.public_address;
        let public = addresses::host(text, self.port).await.map_err(|why| {
            Failure::network(format!("Invalid public address {text}: {why} (option -M)"))
        })?;
        if policy.names == Names::Addresses && public.is_ipv6() {
            return Err(Failure::network(format!(
                "Invalid public address {}: protocol 3 knows IPv4 only (option -M)",
                public.ip()
            )));
        }
        Ok(public)
    }
}
