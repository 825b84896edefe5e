//! Where things leave a proxy on its clients' side.

use std::net::{IpAddr, SocketAddr};

use uftp_proto::wire::Function;

use super::announce::Terms;
use super::config::{ProxyConfig, Role};

/// Where the packets of one session go, and what is said in it by a proxy that speaks for clients.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outlets {
    /// Where packets of the server are passed on; `None` if clients hear them themselves.
    pub(super) forward: Option<Forward>,
    /// Where our own words to clients go; `None` if there is no such place.
    pub(super) clients: Option<SocketAddr>,
    /// Where we introduce ourselves; `None` if we pass for the server, or cannot.
    pub(super) introductions: Option<SocketAddr>,
}

/// Where packets of the server are passed on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Forward {
    /// Where clients hear ANNOUNCE.
    pub(super) public: SocketAddr,
    /// Where they hear all else.
    pub(super) private: SocketAddr,
}

impl Outlets {
    /// Those of a session accepted on `terms`; `None` in a server proxy.
    pub(super) fn new(config: &ProxyConfig, terms: &Terms) -> Option<Self> {
        // Where proxies are known beforehand they need no introduction.
        let introduces = terms.policy.standing_proxy.is_none();
        match &config.role {
            Role::Server { .. } => None,
            Role::Client { port, group } => {
                let place = |ip: IpAddr| match ip.is_unspecified() {
                    true => SocketAddr::new(*group, *port),
                    false => SocketAddr::new(ip, *port),
                };
                let private = place(terms.private.unwrap_or(terms.public));
                let public = place(terms.public);
                Some(Outlets {
                    forward: Some(Forward { public, private }),
                    clients: Some(private),
                    introductions: Some(public).filter(|_| introduces),
                })
            }
            Role::Response { .. } => {
                let group = |ip| SocketAddr::new(ip, config.port);
                let public = Some(terms.public).filter(IpAddr::is_multicast);
                Some(Outlets {
                    forward: None,
                    clients: terms.private.map(group),
                    introductions: public.filter(|_| introduces).map(group),
                })
            }
        }
    }
}

impl Forward {
    /// Where a packet with this message goes.
    pub(super) fn to(&self, function: Function) -> SocketAddr {
        match function {
            Function::Announce => self.public,
            _ => self.private,
        }
    }
}
