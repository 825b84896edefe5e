//! Network interfaces of this host, and what an operator may call them.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6, ToSocketAddrs};

use nix::ifaddrs::getifaddrs;
use nix::net::if_::{InterfaceFlags, if_nametoindex};
use nix::sys::socket::SockaddrStorage;

use crate::error::NetError;

/// A network interface.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Interface {
    /// The system's name of it.
    pub name: String,
    /// The system's number for it.
    pub index: u32,
    /// Its addresses, IPv4 before IPv6, else in the system's order. Found by address or host
    /// name: only the ones meant.
    pub addrs: Vec<IpAddr>,
    /// What reaches all hosts of its networks, beside 255.255.255.255.
    pub broadcasts: Vec<Ipv4Addr>,
    /// Whether it is in use.
    pub up: bool,
    /// Whether it only leads back to this host.
    pub loopback: bool,
    /// Whether it can carry multicast.
    pub multicast: bool,
}

impl Interface {
    /// The first IPv4 address.
    pub fn first_v4(&self) -> Option<Ipv4Addr> {
        self.addrs.iter().find_map(|addr| match addr {
            IpAddr::V4(addr) => Some(*addr),
            IpAddr::V6(_) => None,
        })
    }

    /// The first address of the family of `like`.
    pub fn first_like(&self, like: IpAddr) -> Option<IpAddr> {
        let mut addrs = self.addrs.iter().copied();
        addrs.find(|addr| addr.is_ipv4() == like.is_ipv4())
    }

    /// Its addresses with a port, as a socket tells where a datagram comes from: link-local ones with
    /// their link.
    pub fn endpoints(&self, port: u16) -> impl Iterator<Item = SocketAddr> {
        self.addrs.iter().map(move |addr| match *addr {
            IpAddr::V6(ip) if ip.is_unicast_link_local() => {
                SocketAddrV6::new(ip, port, 0, self.index).into()
            }
            ip => SocketAddr::new(ip, port),
        })
    }

    /// Whether what is sent to `addr` reaches all hosts of a network of the interface.
    pub fn broadcasts_to(&self, addr: IpAddr) -> bool {
        match addr {
            IpAddr::V4(addr) => addr.is_broadcast() || self.broadcasts.contains(&addr),
            IpAddr::V6(_) => false,
        }
    }

    /// The same interface with only those addresses that `keep` wants.
    fn narrowed(mut self, keep: impl FnMut(&IpAddr) -> bool) -> Self {
        self.addrs.retain(keep);
        self
    }
}

/// Name and addresses.
impl fmt::Display for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut about: Vec<_> = self.addrs.iter().map(IpAddr::to_string).collect();
        about.extend((!self.up).then(|| "down".to_owned()));
        f.write_str(&self.name)?;
        if !about.is_empty() {
            write!(f, " ({})", about.join(", "))?;
        }
        Ok(())
    }
}

/// All interfaces, by index.
///
/// # Errors
/// [`NetError::Interfaces`].
pub fn interfaces() -> Result<Vec<Interface>, NetError> {
    let entries = getifaddrs().map_err(|e| NetError::Interfaces(e.into()))?;
    let mut found = BTreeMap::new();
    for entry in entries {
        // A second IPv4 address may carry a label, `eth0:1`, instead of the name.
        let name = match entry.interface_name.split_once(':') {
            Some((name, _)) => name,
            None => entry.interface_name.as_str(),
        };
        // An interface may vanish while we look.
        let Ok(index) = if_nametoindex(name) else {
            continue;
        };
        let interface = found.entry(index).or_insert_with(|| Interface {
            name: name.to_owned(),
            index,
            addrs: Vec::new(),
            broadcasts: Vec::new(),
            up: entry.flags.contains(InterfaceFlags::IFF_UP),
            loopback: entry.flags.contains(InterfaceFlags::IFF_LOOPBACK),
            multicast: entry.flags.contains(InterfaceFlags::IFF_MULTICAST),
        });
        if let Some(addr) = entry.address.as_ref().and_then(ip_addr)
            && !interface.addrs.contains(&addr)
        {
            interface.addrs.push(addr);
        }
        if let Some(IpAddr::V4(addr)) = entry.broadcast.as_ref().and_then(ip_addr) {
            interface.broadcasts.push(addr);
        }
    }
    let mut list: Vec<_> = found.into_values().collect();
    for interface in &mut list {
        interface.addrs.sort_by_key(IpAddr::is_ipv6);
    }
    Ok(list)
}

/// The interface an operator means by `text`: its name; `name/4` or `name/6` for its addresses of
/// one family; its index; one of its addresses (`fe80::1%eth0` where several interfaces have the
/// same); or a host name that resolves to such an address.
///
/// A name or index stands for all addresses of the interface, an address or host name only for
/// the ones it says.
///
/// # Errors
/// [`NetError::Resolve`], [`NetError::NotFound`], [`NetError::Ambiguous`] if host name or address
/// belong to several interfaces, [`NetError::Interfaces`].
pub fn find_interface(text: &str) -> Result<Interface, NetError> {
    find_among(interfaces()?, text, |host| {
        let addrs = (host, 0).to_socket_addrs()?;
        Ok(addrs.map(|addr| addr.ip()).collect())
    })
}

fn find_among(
    list: Vec<Interface>,
    text: &str,
    resolve: impl FnOnce(&str) -> io::Result<Vec<IpAddr>>,
) -> Result<Interface, NetError> {
    if let Some(found) = list.iter().find(|i| i.name == text) {
        return Ok(found.clone());
    }
    if let Some((name, family @ ("4" | "6"))) = text.rsplit_once('/')
        && let Some(found) = list.iter().find(|i| i.name == name)
    {
        let found = found.clone().narrowed(|a| a.is_ipv6() == (family == "6"));
        return match found.addrs.is_empty() {
            true => Err(not_found(
                text,
                format!("{name} has no IPv{family} address"),
            )),
            false => Ok(found),
        };
    }
    if let Ok(index) = text.parse() {
        let mut list = list.into_iter();
        return list
            .find(|i| i.index == index)
            .ok_or_else(|| not_found(text, format!("no interface has the index {index}")));
    }
    find_by_address(list, text, resolve)
}

/// The one interface with an address that `text` says, or that its host name resolves to.
fn find_by_address(
    list: Vec<Interface>,
    text: &str,
    resolve: impl FnOnce(&str) -> io::Result<Vec<IpAddr>>,
) -> Result<Interface, NetError> {
    let (host, zone) = match text.split_once('%') {
        Some((host, zone)) => (host, Some(zone)),
        None => (text, None),
    };
    let wanted = match host.parse() {
        Ok(addr) => vec![addr],
        Err(_) => resolve(text).map_err(|source| NetError::Resolve {
            text: text.to_owned(),
            source,
        })?,
    };
    let mut found: Vec<_> = list
        .into_iter()
        .filter(|i| zone.is_none_or(|zone| i.name == zone || i.index.to_string() == zone))
        .map(|i| i.narrowed(|addr| wanted.contains(addr)))
        .filter(|i| !i.addrs.is_empty())
        .collect();
    match (found.pop(), found.as_slice()) {
        (Some(only), []) => Ok(only),
        (Some(last), others) => Err(NetError::Ambiguous {
            text: text.to_owned(),
            candidates: others
                .iter()
                .chain([&last])
                .map(Interface::to_string)
                .collect(),
        }),
        (None, _) => {
            let wanted: Vec<_> = wanted.iter().map(IpAddr::to_string).collect();
            let reason = format!("no interface has the address {}", wanted.join(" or "));
            Err(not_found(text, reason))
        }
    }
}

fn not_found(text: &str, reason: String) -> NetError {
    NetError::NotFound {
        text: text.to_owned(),
        reason,
    }
}

fn ip_addr(addr: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = addr.as_sockaddr_in().map(|a| IpAddr::from(a.ip()));
    v4.or_else(|| addr.as_sockaddr_in6().map(|a| IpAddr::from(a.ip())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(index: u32, name: &str, addrs: &[&str]) -> Interface {
        Interface {
            name: name.to_owned(),
            index,
            addrs: addrs.iter().map(|a| a.parse().unwrap()).collect(),
            broadcasts: Vec::new(),
            up: true,
            loopback: index == 1,
            multicast: true,
        }
    }

    fn host() -> Vec<Interface> {
        vec![
            interface(1, "lo", &["127.0.0.1", "::1"]),
            interface(2, "eth0", &["10.0.0.5", "10.0.0.6", "fd77::5", "fe80::1"]),
            interface(3, "eth1", &["10.1.0.5", "fe80::1"]),
            interface(9, "7", &["10.2.0.5"]),
        ]
    }

    fn resolve(name: &str) -> io::Result<Vec<IpAddr>> {
        match name {
            "here" => Ok(vec![[10, 1, 0, 5].into()]),
            "both" => Ok(vec![[10, 0, 0, 6].into(), [10, 1, 0, 5].into()]),
            "away" => Ok(vec![[192, 0, 2, 1].into()]),
            _ => Err(io::Error::other("no such host")),
        }
    }

    #[test]
    fn an_interface_shows_what_it_has_and_lacks() {
        let mut shown = interface(2, "eth0", &["10.0.0.5", "fd77::5"]);
        assert_eq!(shown.to_string(), "eth0 (10.0.0.5, fd77::5)");
        shown.up = false;
        assert_eq!(shown.to_string(), "eth0 (10.0.0.5, fd77::5, down)");
        shown.addrs.clear();
        assert_eq!(shown.to_string(), "eth0 (down)");
        shown.up = true;
        assert_eq!(shown.to_string(), "eth0");
    }

    #[test]
    fn where_datagrams_of_an_interface_come_from() {
        let here = interface(2, "eth0", &["10.0.0.5", "fd77::5", "fe80::5"]);
        let from: Vec<_> = here.endpoints(1044).map(|addr| addr.to_string()).collect();
        assert_eq!(
            from,
            ["10.0.0.5:1044", "[fd77::5]:1044", "[fe80::5%2]:1044"]
        );
    }

    #[test]
    fn every_way_to_name_an_interface() {
        for (text, name, addrs) in [
            ("eth0", "eth0", "10.0.0.5 10.0.0.6 fd77::5 fe80::1"),
            ("eth0/4", "eth0", "10.0.0.5 10.0.0.6"),
            ("eth0/6", "eth0", "fd77::5 fe80::1"),
            ("2", "eth0", "10.0.0.5 10.0.0.6 fd77::5 fe80::1"),
            ("7", "7", "10.2.0.5"),
            ("10.0.0.6", "eth0", "10.0.0.6"),
            ("fd77::5", "eth0", "fd77::5"),
            ("fe80::1%eth1", "eth1", "fe80::1"),
            ("fe80::1%2", "eth0", "fe80::1"),
            ("here", "eth1", "10.1.0.5"),
        ] {
            let found = find_among(host(), text, resolve).unwrap();
            assert_eq!(found.name, name, "{text}");
            let shown: Vec<_> = found.addrs.iter().map(IpAddr::to_string).collect();
            assert_eq!(shown.join(" "), addrs, "{text}");
        }
    }

    #[test]
    fn what_names_none_or_several_is_refused_and_says_why() {
        for (text, message) in [
            ("eth9", "invalid name/address eth9: no such host"),
            ("", "invalid name/address : no such host"),
            ("7/6", "interface 7/6 not found: 7 has no IPv6 address"),
            (
                "77",
                "interface 77 not found: no interface has the index 77",
            ),
            (
                "192.0.2.9",
                "interface 192.0.2.9 not found: no interface has the address 192.0.2.9",
            ),
            (
                "away",
                "interface away not found: no interface has the address 192.0.2.1",
            ),
            (
                "fe80::1%eth9",
                "interface fe80::1%eth9 not found: no interface has the address fe80::1",
            ),
            (
                "fe80::1",
                "interface fe80::1 is ambiguous: it may mean eth0 (fe80::1) or eth1 (fe80::1); \
                 name one of them",
            ),
            (
                "both",
                "interface both is ambiguous: it may mean eth0 (10.0.0.6) or eth1 (10.1.0.5); \
                 name one of them",
            ),
        ] {
            let error = find_among(host(), text, resolve).unwrap_err();
            assert_eq!(error.to_string(), message);
        }
    }
}
