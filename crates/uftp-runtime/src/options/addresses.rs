//! Addresses, ports and interfaces as operators write them (cli §1.4).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use rand::{Rng, RngExt};
use uftp_net::{Interface, find_interface, interfaces};
use uftp_proto::Uid;

use crate::exit::Failure;
use crate::say;

/// The announce address of both programs.
pub(crate) const PUBLIC: &str = "230.4.4.1";
/// The data address of senders.
pub(crate) const PRIVATE: &str = "230.5.5.x";

/// An address, or the first address of a host name.
///
/// # Errors
/// The resolver's words.
pub(crate) async fn resolve(text: &str) -> Result<IpAddr, String> {
    host(text, 0).await.map(|addr| addr.ip())
}

/// A `port` at an address, which may say its link (`fe80::1%eth0`), or at the first address of a host
/// name.
///
/// # Errors
/// The resolver's words.
pub(crate) async fn host(text: &str, port: u16) -> Result<SocketAddr, String> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Ok((ip, port).into());
    }
    let mut found = tokio::net::lookup_host((text, port))
        .await
        .map_err(|error| error.to_string())?;
    found
        .next()
        .ok_or_else(|| "the name has no address".to_owned())
}

/// `host`, `host:port` or `[address]:port`.
///
/// # Errors
/// The resolver's words, or that there is no such port.
pub(crate) async fn endpoint(text: &str, default_port: u16) -> Result<SocketAddr, String> {
    if let Ok(addr) = text.parse::<SocketAddr>()
        && addr.port() != 0
    {
        return Ok(addr);
    }
    let (host, port) = match text.rsplit_once(':') {
        // More colons are those of an IPv6 address, unless it stands in brackets.
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
            let number = port.parse().ok().filter(|port| *port != 0);
            (host, number.ok_or("Invalid port: expected 1 to 65535")?)
        }
        _ => (text, default_port),
    };
    self::host(host.trim_start_matches('[').trim_end_matches(']'), port).await
}

/// The private address: each `x` becomes a random number, 0 to 255 in an IPv4 address, 0 to ffff
/// in an IPv6 one. All numbers together stay as unpredictable as the operator left room for.
///
/// # Errors
/// A sentence: not an address of the family of `public`, or not multicast.
pub(crate) async fn private(
    text: &str,
    public: SocketAddr,
    rng: &mut impl Rng,
) -> Result<SocketAddr, Failure> {
    let mut drawn = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            'x' | 'X' if public.is_ipv4() => drawn += &rng.random::<u8>().to_string(),
            'x' | 'X' => drawn += &format!("{:x}", rng.random::<u16>()),
            c => drawn.push(c),
        }
    }
    let addr = host(&drawn, public.port()).await.map_err(|why| {
        Failure::network(format!("Invalid private address {text}: {why} (option -P)"))
    })?;
    if addr.is_ipv4() != public.is_ipv4() {
        return Err(Failure::network(format!(
            "IP version mismatch between public address {} (-M) and private address {} (-P)",
            public.ip(),
            addr.ip()
        )));
    }
    if !addr.ip().is_multicast() {
        return Err(Failure::command_line(format!(
            "Invalid private address {}: expected a multicast address (option -P)",
            addr.ip()
        )));
    }
    Ok(addr)
}

/// Where a sender's multicast leaves: what `-I` says, else the link that `public` is on if it says
/// one, else the first interface that is up, other than loopback if there is one, with an address of
/// the family of `public`.
///
/// # Errors
/// No such interface, or none of that family.
pub(crate) fn outgoing(option: Option<&str>, public: SocketAddr) -> Result<Interface, Failure> {
    let link = link(public);
    let public = public.ip();
    let family = if public.is_ipv4() { "IPv4" } else { "IPv6" };
    if let Some(text) = option {
        let chosen = named(text, "-I")?;
        return match chosen.first_like(public) {
            Some(_) => Ok(chosen),
            None => Err(Failure::network(format!(
                "IP version mismatch: interface {text} (-I) has no {family} address like the public address {public} (-M)"
            ))),
        };
    }
    let mut candidates = usable()?;
    candidates.retain(|i| i.first_like(public).is_some());
    if let Some(at) = candidates.iter().position(|i| Some(i.index) == link) {
        return Ok(candidates.swap_remove(at));
    }
    let others: Vec<_> = candidates
        .iter()
        .filter(|i| !i.loopback)
        .map(ToString::to_string)
        .collect();
    if others.len() > 1 {
        say!(
            2,
            "Several interfaces qualify: {}; -I chooses another than the first",
            others.join(", ")
        );
    }
    candidates
        .into_iter()
        .min_by_key(|i| i.loopback)
        .ok_or_else(|| Failure::network(format!("no network interface found for family {family}")))
}

/// The index of the interface that a link-local address is reached by, if it says.
fn link(addr: SocketAddr) -> Option<u32> {
    match addr {
        SocketAddr::V6(v6) => Some(v6.scope_id()).filter(|index| *index != 0),
        SocketAddr::V4(_) => None,
    }
}

/// Where a receiver listens: what `-I` says, else all interfaces that are up, loopback only if
/// there is no other.
///
/// # Errors
/// No such interface, or none at all.
pub(crate) fn listening(options: &[String]) -> Result<Vec<Interface>, Failure> {
    let mut given = options.iter().filter(|text| !text.is_empty()).peekable();
    if given.peek().is_some() {
        return given.map(|text| named(text, "-I")).collect();
    }
    let all = beyond_this_host(usable()?);
    if all.is_empty() {
        return Err(Failure::network(
            "no network interface is up and has an address",
        ));
    }
    Ok(all)
}

/// As [`listening`] would say now; what is not there at the moment is left out.
pub(crate) fn listening_now(options: &[String]) -> Vec<Interface> {
    let mut given = options.iter().filter(|text| !text.is_empty()).peekable();
    if given.peek().is_some() {
        return given.filter_map(|text| find_interface(text).ok()).collect();
    }
    beyond_this_host(usable().unwrap_or_default())
}

/// Without loopback, unless there is nothing else.
fn beyond_this_host(mut interfaces: Vec<Interface>) -> Vec<Interface> {
    if interfaces.iter().any(|i| !i.loopback) {
        interfaces.retain(|i| !i.loopback);
    }
    interfaces
}

/// The groups of `-M` that announcements come to, each once.
///
/// # Errors
/// A name without an address, or an address that is no group.
pub(crate) async fn groups(options: &[String]) -> Result<Vec<IpAddr>, Failure> {
    let mut groups = Vec::new();
    for text in options.iter().filter(|text| !text.is_empty()) {
        let group = resolve(text).await.map_err(|why| {
            Failure::command_line(format!(
                "Invalid multicast address {text}: {why} (option -M)"
            ))
        })?;
        if !group.is_multicast() {
            return Err(Failure::network(format!(
                "{group} is not a multicast address (option -M)"
            )));
        }
        if !groups.contains(&group) {
            groups.push(group);
        }
    }
    if groups.is_empty() {
        // An empty value is as good as none.
        groups.extend(PUBLIC.parse::<IpAddr>());
    }
    Ok(groups)
}

/// The id of a daemon: the one given, else the first address it listens on.
pub(crate) fn own_uid(given: Option<Uid>, interfaces: &[Interface]) -> Uid {
    let first = interfaces.first().and_then(|i| i.addrs.first()).copied();
    let own = first.map_or(Uid::NONE, Uid::from_addr);
    given.filter(|uid| !uid.is_none()).unwrap_or(own)
}

/// What a host may be called in protocol 3, where hosts are called by their addresses.
pub(crate) fn names(interfaces: &[Interface]) -> Vec<Uid> {
    let addrs = interfaces.iter().flat_map(|i| i.addrs.iter().copied());
    addrs.filter(IpAddr::is_ipv4).map(Uid::from_addr).collect()
}

/// What a socket for both families, or for IPv4 alone, is bound to.
pub(crate) fn wildcard(both: bool) -> IpAddr {
    match both {
        true => Ipv6Addr::UNSPECIFIED.into(),
        false => Ipv4Addr::UNSPECIFIED.into(),
    }
}

/// The interface that `text`, the value of `option`, names.
///
/// # Errors
/// There is none.
pub(crate) fn named(text: &str, option: &str) -> Result<Interface, Failure> {
    find_interface(text).map_err(|error| {
        let here = usable().unwrap_or_default();
        let here: Vec<_> = here.iter().map(ToString::to_string).collect();
        let here = match here.is_empty() {
            true => "none that is up and has an address".to_owned(),
            false => here.join(", "),
        };
        let text = format!("{}; interfaces here: {here}", sentence(error));
        Failure::command_line(text).about(option)
    })
}

/// An error as a sentence begins.
fn sentence(error: impl std::fmt::Display) -> String {
    let text = error.to_string();
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_ascii_uppercase());
    first.into_iter().chain(chars).collect()
}

/// Interfaces that are up and have an address.
///
/// # Errors
/// The system does not tell them.
pub(crate) fn usable() -> Result<Vec<Interface>, Failure> {
    let mut all = interfaces().map_err(|error| Failure::network(error.to_string()))?;
    all.retain(|i| i.up && !i.addrs.is_empty());
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn endpoints_with_and_without_port() {
        for (text, means) in [
            ("10.0.0.1", "10.0.0.1:1044"),
            ("10.0.0.1:99", "10.0.0.1:99"),
            ("fd02::2", "[fd02::2]:1044"),
            ("[fd02::2]", "[fd02::2]:1044"),
            ("[fd02::2]:99", "[fd02::2]:99"),
            ("fe80::1%lo", "[fe80::1%1]:1044"),
            ("[fe80::1%lo]:99", "[fe80::1%1]:99"),
            // A name that the resolver knows without asking anybody.
            ("127.1:7", "127.0.0.1:7"),
        ] {
            let means: SocketAddr = means.parse().unwrap();
            let found = endpoint(text, 1044).await.unwrap();
            assert_eq!(found, means, "{text}");
        }
        for text in [
            "10.0.0.1:0",
            "10.0.0.1:x",
            "10.0.0.1:65536",
            "[fd02::2]:",
            "no such host",
        ] {
            assert!(endpoint(text, 1044).await.is_err(), "{text}");
        }
    }
}
