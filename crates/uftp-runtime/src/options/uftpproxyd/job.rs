//! What a command line of `uftpproxyd` means.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use uftp_net::{Interface, SocketConfig, interfaces};
use uftp_proto::crypto::{Curve, Fingerprint, KeySpec, PrivateKey};
use uftp_session::proxy::{Downstream, ProxyConfig, Role};
use uftp_session::security::{ReceiverSecurity, ServerEntry};

use super::Args;
use crate::exit::Failure;
use crate::keys;
use crate::options::clients::{self, Clients};
use crate::options::common::socket_config;
use crate::options::lists::absolute;
use crate::options::security::{are_source_specific, ensure_source_specific};
use crate::options::{addresses, servers};

/// What a fingerprint begins with in `-s`.
const LEARNED: &str = "fp=";

/// A proxy, ready to run.
pub(crate) struct ProxyJob {
    /// What the session machine needs.
    pub config: ProxyConfig,
    /// What the socket needs.
    pub socket: SocketConfig,
    /// Where to listen.
    pub interfaces: Vec<Interface>,
    /// What to listen for.
    pub groups: Vec<IpAddr>,
    /// What can be read again.
    pub lists: Lists,
}

/// Files of `-S` and `-C`.
#[derive(Clone, Default, Debug)]
pub(crate) struct Lists {
    /// Of senders.
    pub servers: Vec<PathBuf>,
    /// Of receivers.
    pub clients: Vec<PathBuf>,
}

impl Lists {
    /// The senders listed; `None` without a list.
    async fn servers(&self) -> Result<Option<Vec<ServerEntry>>, Failure> {
        Ok(match self.servers.is_empty() {
            true => None,
            false => Some(servers::read(&self.servers).await?.entries),
        })
    }

    /// The receivers listed; `None` without a list.
    async fn clients(&self) -> Result<Option<Clients>, Failure> {
        Ok(match self.clients.is_empty() {
            true => None,
            false => Some(clients::read(&self.clients).await?),
        })
    }
}

impl Args {
    /// Turns what was typed into what is meant. Reads and makes keys, reads the lists, asks the
    /// resolver.
    ///
    /// # Errors
    /// A sentence naming what is wrong, with the exit code for it.
    pub(crate) async fn validate(&self) -> Result<ProxyJob, Failure> {
        let kind = self.kind()?;
        let listening = addresses::listening(&self.interface)?;
        let groups = match kind {
            Kind::Client => Vec::new(),
            Kind::Server(_) | Kind::Response => addresses::groups(&self.public_address).await?,
        };
        let lists = Lists {
            servers: absolute(&self.server_list),
            clients: absolute(&self.client_list),
        };
        let (servers, clients) = (lists.servers().await?, lists.clients().await?);
        let source_specific = match kind {
            Kind::Client => false,
            Kind::Server(_) | Kind::Response if self.ssm => {
                ensure_source_specific(&groups, &lists.servers)?;
                true
            }
            Kind::Server(_) | Kind::Response => servers.is_some() && are_source_specific(&groups),
        };
        let out = self.outgoing(&listening)?;
        let keys = self.own_keys(&kind)?;
        let role = self.role(kind, &groups).await?;
        let heartbeats = self.heartbeats.validate().await?;
        let own = interfaces().map_err(|error| Failure::network(error.to_string()))?;
        let both = self.speaks_both(&role, &groups, &heartbeats.upstreams, &out);
        let bind = SocketAddr::new(addresses::wildcard(both), self.port);
        Ok(ProxyJob {
            config: ProxyConfig {
                uid: addresses::own_uid(self.uid, &listening),
                role,
                port: self.port,
                addresses: own.iter().flat_map(|i| i.endpoints(self.port)).collect(),
                max_sessions: self.max_sessions,
                max_clients: self.max_clients,
                hold_percent: self.hold_percent,
                security: ReceiverSecurity {
                    keys,
                    servers,
                    source_specific,
                    refuse_weak: self.refuse_weak,
                    ..ReceiverSecurity::default()
                },
                clients,
                strict: self.strict,
                require_encryption: self.require_encryption,
                heartbeats,
            },
            socket: SocketConfig {
                multicast_interface: Some(out),
                ttl: self.ttl,
                ..socket_config(&self.common.socket, bind)
            },
            interfaces: listening,
            groups,
            lists,
        })
    }

    fn kind(&self) -> Result<Kind, Failure> {
        match (&self.server_proxy, self.client_proxy, self.response_proxy) {
            (Some(dest), false, false) => Ok(Kind::Server(dest.clone())),
            (None, true, false) => Ok(Kind::Client),
            (None, false, true) => Ok(Kind::Response),
            (None, false, false) => Err(Failure::command_line(
                "Either -s, -c, or -r must be specified",
            )),
            _ => Err(Failure::command_line(
                "Only one of -s, -c, -r may be specified",
            )),
        }
    }

    async fn role(&self, kind: Kind, groups: &[IpAddr]) -> Result<Role, Failure> {
        Ok(match kind {
            Kind::Server(dest) => Role::Server {
                downstream: downstream(&dest, self.dest_port).await?,
                admit_anybody: self.admit_anybody,
            },
            Kind::Client => Role::Client {
                port: self.dest_port,
                group: self.client_group().await?,
            },
            Kind::Response => Role::Response {
                publics: groups.to_vec(),
                dh_key: Some(self.agreement_key()?),
            },
        })
    }

    /// The keys given. A response proxy has one in any case: receivers ask for it before any
    /// sender says what it should be like.
    fn own_keys(&self, kind: &Kind) -> Result<Vec<Arc<PrivateKey>>, Failure> {
        let mut keys = self.keys.validate()?;
        if matches!(kind, Kind::Response) && keys.is_empty() {
            keys.push(keys::make(KeySpec::DEFAULT_RSA, None)?);
        }
        Ok(keys)
    }

    /// Where receivers are when a session names no group.
    async fn client_group(&self) -> Result<IpAddr, Failure> {
        let groups = addresses::groups(&self.public_address).await?;
        groups.first().copied().ok_or_else(|| {
            Failure::command_line("the list of groups is empty (option -M): expected an address")
        })
    }

    fn agreement_key(&self) -> Result<Arc<PrivateKey>, Failure> {
        let curve = self.ecdh_curve.unwrap_or(Curve::DEFAULT);
        keys::make(KeySpec::Ec(curve), None)
    }

    /// Where multicast leaves: the option, else the first interface there is, one with an IPv4
    /// address rather than one without.
    fn outgoing(&self, listening: &[Interface]) -> Result<Interface, Failure> {
        if let Some(text) = &self.out_interface {
            return addresses::named(text, "-O");
        }
        let mut all = addresses::usable()?;
        all.sort_by_key(|i| (i.loopback, i.first_v4().is_none()));
        let first = all.into_iter().next();
        first.or_else(|| listening.first().cloned()).ok_or_else(|| {
            Failure::network("no network interface is up and has an address (option -O)")
        })
    }

    /// Whether the socket has to speak IPv6 as well.
    fn speaks_both(
        &self,
        role: &Role,
        groups: &[IpAddr],
        upstreams: &[SocketAddr],
        out: &Interface,
    ) -> bool {
        let role_does = match role {
            Role::Server {
                downstream: Downstream::Fixed(addr),
                ..
            } => addr.is_ipv6(),
            // What it will multicast, and who sends it, is for the sessions to say.
            Role::Client { .. } => out.addrs.iter().any(IpAddr::is_ipv6),
            _ => false,
        };
        role_does || groups.iter().any(IpAddr::is_ipv6) || upstreams.iter().any(SocketAddr::is_ipv6)
    }
}

/// A role without its details.
enum Kind {
    Server(String),
    Client,
    Response,
}

/// `-s`: a host, or `fp=` and a fingerprint.
async fn downstream(text: &str, port: u16) -> Result<Downstream, Failure> {
    if let Some(print) = text.strip_prefix(LEARNED) {
        let print: Fingerprint = print.parse().map_err(|why| {
            Failure::command_line(format!(
                "Failed to parse downstream fingerprint: {why} (option -s)"
            ))
        })?;
        return Ok(Downstream::Learned(print));
    }
    let found = addresses::endpoint(text, port).await;
    found.map(Downstream::Fixed).map_err(|why| {
        Failure::command_line(format!("Invalid host name: {text}: {why} (option -s)"))
    })
}
