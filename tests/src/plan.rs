//! Which networks there are, and who is on them, before a world is made of it.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use crate::Family;

/// Number of a host in its world, from 0.
pub type HostId = u8;

/// Number of a network in its world, from 0.
pub type NetworkId = u8;

/// Longest way of multicast through routers, in hops.
const MOST_HOPS: u8 = 8;

/// Bytes of an IP packet that Ethernet carries.
const USUAL_MTU: u16 = 1500;

/// The same where there are jumbo frames, the usual measure of switches and network cards.
const JUMBO_MTU: u16 = 9000;

/// Hosts and the networks they are on.
#[derive(Clone, Debug)]
pub struct Plan {
    stations: Vec<Station>,
    /// Bytes of an IP packet that a network carries in one piece.
    pub(crate) mtu: u16,
}

impl Default for Plan {
    fn default() -> Self {
        Plan {
            stations: Vec::new(),
            mtu: USUAL_MTU,
        }
    }
}

/// A host of a plan.
#[derive(Clone, Debug)]
pub(crate) struct Station {
    /// Its networks; the interface on the n-th is `eth`n.
    pub(crate) networks: Vec<NetworkId>,
    role: Role,
}

/// What a host is there for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Role {
    /// Its programs.
    Programs,
    /// Passing packets between its networks; multicast, too, if that is told.
    Routing { multicast: bool },
    /// Hiding its first network from its second one.
    Hiding,
}

impl Plan {
    /// So many hosts on one network.
    pub fn one_network(hosts: HostId) -> Self {
        let mut plan = Plan::default();
        for _ in 0..hosts {
            plan.host(0);
        }
        plan
    }

    /// The networks carry jumbo frames.
    pub fn jumbo(&mut self) {
        self.mtu = JUMBO_MTU;
    }

    /// Adds a host on a network.
    pub fn host(&mut self, network: NetworkId) -> HostId {
        self.add(&[network], Role::Programs)
    }

    /// Adds a router between networks. Hosts send by it what is for other networks, but
    /// multicast does not pass.
    pub fn router(&mut self, networks: &[NetworkId]) -> HostId {
        self.add(networks, Role::Routing { multicast: false })
    }

    /// Adds a router that multicast passes as well, one off its time to live.
    pub fn multicast_router(&mut self, networks: &[NetworkId]) -> HostId {
        self.add(networks, Role::Routing { multicast: true })
    }

    /// Adds a router that hides the hosts of network `inside` behind its own address on network
    /// `outside`, where nobody may begin a conversation with them.
    pub fn nat(&mut self, inside: NetworkId, outside: NetworkId) -> HostId {
        self.add(&[inside, outside], Role::Hiding)
    }

    fn add(&mut self, networks: &[NetworkId], role: Role) -> HostId {
        let host = HostId::try_from(self.stations.len()).unwrap_or(HostId::MAX);
        self.stations.push(Station {
            networks: networks.to_vec(),
            role,
        });
        host
    }

    pub(crate) fn stations(&self) -> impl Iterator<Item = (HostId, &Station)> {
        (0..).zip(&self.stations)
    }

    pub(crate) fn networks(&self) -> BTreeSet<NetworkId> {
        let all = self.stations.iter().flat_map(|s| &s.networks);
        all.copied().collect()
    }

    /// The networks of a host.
    pub(crate) fn networks_of(&self, host: HostId) -> &[NetworkId] {
        let station = self.stations.get(usize::from(host));
        station.map_or(&[], |s| &s.networks)
    }

    /// The first network of a host.
    pub(crate) fn network_of(&self, host: HostId) -> NetworkId {
        self.networks_of(host).first().copied().unwrap_or(0)
    }

    pub(crate) fn address(&self, host: HostId, network: NetworkId, family: Family) -> IpAddr {
        let net = u16::from(network);
        match family {
            Family::V4 => Ipv4Addr::new(10, 77, network, host + 1).into(),
            Family::V6 => Ipv6Addr::new(0xfd77, 0, 0, net, 0, 0, 0, u16::from(host) + 1).into(),
        }
    }

    /// Where a host sends what is for other networks.
    pub(crate) fn gateway_of(&self, host: HostId, family: Family) -> Option<IpAddr> {
        let station = self.stations.get(usize::from(host))?;
        let network = match station.role {
            Role::Programs => station.networks.first(),
            Role::Hiding => station.networks.get(1),
            Role::Routing { .. } => None,
        }?;
        let leads_on = |(number, other): &(HostId, &Station)| {
            *number != host
                && match other.role {
                    Role::Programs => false,
                    Role::Routing { .. } => other.networks.contains(network),
                    Role::Hiding => other.networks.first() == Some(network),
                }
        };
        let (gateway, _) = self.stations().find(leads_on)?;
        Some(self.address(gateway, *network, family))
    }
}

impl Station {
    /// The rules of `nft` by which it plays its role, if it passes packets at all.
    pub(crate) fn rules(&self) -> Option<String> {
        match self.role {
            Role::Programs => None,
            Role::Routing { multicast: false } => Some(String::new()),
            Role::Routing { multicast: true } => Some(self.multicast_routes()),
            Role::Hiding => Some(
                "table ip nat {\n\
                 chain postrouting {\n\
                 type nat hook postrouting priority 100; policy accept;\n\
                 oifname \"eth1\" meta l4proto udp masquerade to :20000-30000\n\
                 }\n}\n\
                 table ip filter {\n\
                 chain forward {\n\
                 type filter hook forward priority 0; policy drop;\n\
                 ct state established,related accept\n\
                 iifname \"eth0\" oifname \"eth1\" accept\n\
                 }\n}\n"
                    .to_owned(),
            ),
        }
    }

    /// Multicast goes from each network to all others.
    fn multicast_routes(&self) -> String {
        let count = self.networks.len();
        let mut rules = String::from("table netdev multicast {\n");
        for from in 0..count {
            let _ = write!(
                rules,
                "chain from{from} {{\n\
                 type filter hook ingress device \"eth{from}\" priority 0; policy accept;\n"
            );
            let others: String = (0..count)
                .filter(|to| *to != from)
                .map(|to| format!(" dup to \"eth{to}\""))
                .collect();
            for hops in 2..=MOST_HOPS {
                let less = hops - 1;
                let _ = writeln!(
                    rules,
                    "ip daddr 225.0.0.0-239.255.255.255 ip ttl {hops} ip ttl set {less}{others}"
                );
            }
            rules += "}\n";
        }
        rules + "}\n"
    }
}
