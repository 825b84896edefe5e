//! The command line of `uftpproxyd` (cli §4, behaviour-proxies §2.1).

use std::ffi::{OsStr, OsString};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use clap::Parser;
use uftp_net::{Interface, SocketConfig, interfaces};
use uftp_proto::Uid;
use uftp_proto::crypto::{Curve, Fingerprint, KeySpec, PrivateKey};
use uftp_session::proxy::{Downstream, ProxyConfig, Role};
use uftp_session::security::{ReceiverSecurity, ServerEntry};

use super::clients::Clients;
use super::common::{CommonArgs, log_of_daemon, socket_config};
use super::heartbeats::HeartbeatArgs;
use super::lists::absolute;
use super::process::ProcessArgs;
use super::security::{KeyArgs, are_source_specific, ensure_source_specific};
use super::{Order, Program, addresses, clients, command, letters, servers, values};
use crate::exit::Failure;
use crate::keys;

/// What a fingerprint begins with in `-s`.
const LEARNED: &str = "fp=";

/// Letters that may stand before the `r` of `-r:CURVE`.
const FLAGS: &str = "dmo";

/// Where a daemon in the background logs without `-L`.
pub(crate) const DEFAULT_LOG: &str = "/tmp/uftpproxyd.log";

/// Carry the sessions of uftp to other networks, or gather the answers of its receivers.
///
/// A server proxy (-s) beside the sender passes everything on to one address; a client proxy (-c)
/// there multicasts it and gathers the answers. A response proxy (-r) gathers the answers of
/// receivers that hear the sender themselves. Without -d it goes into the background.
#[derive(Parser, Clone, PartialEq, Debug)]
#[command(name = "uftpproxyd", version, max_term_width = 100,
          mut_arg("log_file", |arg| log_of_daemon(arg, DEFAULT_LOG)))]
pub struct Args {
    /// Words that are no options mean nothing
    #[arg(hide = true)]
    pub ignored: Vec<OsString>,

    /// Server proxy: pass on to this host, or with fp=FINGERPRINT to whoever sends heartbeats
    /// signed with the key of that fingerprint
    #[arg(
        short = 's',
        long,
        value_name = "DEST|fp=FINGERPRINT",
        help_heading = "Role"
    )]
    pub server_proxy: Option<String>,

    /// Client proxy: multicast what comes from server proxies
    #[arg(short = 'c', long, help_heading = "Role")]
    pub client_proxy: bool,

    /// Response proxy: gather answers only. Also as -r:CURVE for -r -e CURVE
    #[arg(short = 'r', long, help_heading = "Role")]
    pub response_proxy: bool,

    /// Most receivers of one session
    #[arg(long, value_name = "COUNT", default_value_t = ProxyConfig::DEFAULT_MAX_CLIENTS, help_heading = "Role",
          value_parser = values::number::<usize>("Invalid number of clients", 1..=1_000_000))]
    pub max_clients: usize,

    /// Most sessions at once
    #[arg(long, value_name = "COUNT", default_value_t = ProxyConfig::DEFAULT_MAX_SESSIONS, help_heading = "Role",
          value_parser = values::number::<usize>("Invalid number of sessions", 1..=100_000))]
    pub max_sessions: usize,

    /// Server proxy: pass on answers of any host, not of DEST alone
    #[arg(long, help_heading = "Role")]
    pub admit_anybody: bool,

    /// In protocol 3: hold answers for this part of the time from one question of the sender to the
    /// next, in percent, 10 to 99
    #[arg(short = 'T', long, value_name = "PERCENT", default_value_t = ProxyConfig::DEFAULT_HOLD_PERCENT,
          help_heading = "Role", value_parser = values::number::<u8>("Invalid hold percentage", 10..=99))]
    pub hold_percent: u8,

    #[command(flatten)]
    pub(crate) process: ProcessArgs,

    #[command(flatten)]
    pub(crate) heartbeats: HeartbeatArgs,

    /// Interfaces to listen on, comma separated: name, name/6, index, address or host name
    /// [default: all but loopback]
    #[arg(short = 'I', long, value_name = "INTERFACES", help_heading = "Network",
          action = clap::ArgAction::Append, value_delimiter = ',')]
    pub interface: Vec<String>,

    /// Interface that multicast leaves by [default: the first but loopback]
    #[arg(short = 'O', long, value_name = "INTERFACE", help_heading = "Network")]
    pub out_interface: Option<String>,

    /// Multicast groups to listen on, comma separated; not for client proxies
    #[arg(short = 'M', long, value_name = "ADDRESSES", default_value = addresses::PUBLIC,
          help_heading = "Network", action = clap::ArgAction::Append, value_delimiter = ',')]
    pub public_address: Vec<String>,

    /// UDP port to listen on
    #[arg(short = 'p', long, value_name = "PORT", default_value = "1044", help_heading = "Network",
          value_parser = values::number::<u16>("Invalid port", 1..=65535))]
    pub port: u16,

    /// UDP port of DEST, or of the receivers of a client proxy. Those of a response proxy have
    /// its own
    #[arg(short = 'q', long, value_name = "PORT", default_value = "1044", help_heading = "Network",
          value_parser = values::number::<u16>("Invalid outgoing port", 1..=65535))]
    pub dest_port: u16,

    /// Time to live of multicast, 1 to 255
    #[arg(short = 't', long, value_name = "TTL", default_value = "1", help_heading = "Network",
          value_parser = values::number::<u8>("Invalid ttl", 1..=255))]
    pub ttl: u8,

    /// Own id in hexadecimal [default: the first interface's address]
    #[arg(short = 'U', long, value_name = "UID", help_heading = "Network", value_parser = values::uid)]
    pub uid: Option<Uid>,

    #[command(flatten)]
    pub(crate) keys: KeyArgs,

    /// Curve of a response proxy's key agreement with receivers [default: prime256v1]
    #[arg(short = 'e', long, value_name = "CURVE", help_heading = "Encryption",
          value_parser = curve)]
    pub ecdh_curve: Option<Curve>,

    /// File with the senders whose encrypted sessions are carried, one a line:
    /// uid|address[|fingerprint]; of the form that uftpd takes, too, without regard to the proxy.
    /// If all groups of -M are source specific, they are joined for these senders only
    #[arg(short = 'S', long, value_name = "FILE", help_heading = "Encryption",
          action = clap::ArgAction::Append)]
    pub server_list: Vec<PathBuf>,

    /// File with the receivers to serve where they must prove themselves, one a line:
    /// uid[|fingerprint]
    #[arg(short = 'C', long, value_name = "FILE", help_heading = "Encryption",
          action = clap::ArgAction::Append)]
    pub client_list: Vec<PathBuf>,

    /// The lists of -S and -C hold in sessions without encryption or client authentication, too
    #[arg(long, help_heading = "Encryption")]
    pub strict: bool,

    /// Refuse sessions that are not encrypted
    #[arg(long, help_heading = "Encryption")]
    pub require_encryption: bool,

    /// Refuse encrypted sessions of protocols 3 and 4 that 5.x would refuse: all but those with
    /// ECDH, a GCM or CCM cipher, SHA-2 and a curve of protocol 5
    #[arg(long, help_heading = "Encryption")]
    pub refuse_weak: bool,

    /// Join groups for the senders of -S only (source specific multicast)
    #[arg(short = 'o', long, help_heading = "Encryption")]
    pub ssm: bool,

    #[command(flatten)]
    pub(crate) common: CommonArgs,
}

impl Program for Args {
    const OPERANDS: &'static str = "{-s DEST | -c | -r} ";

    /// `-r:CURVE` of the manual is `-r -e CURVE`.
    fn adapt(word: &str) -> Option<Vec<String>> {
        let (flags, curve) = word.split_once("r:")?;
        let flags = flags.strip_prefix('-')?;
        let takes_none = flags.chars().all(|c| FLAGS.contains(c));
        takes_none.then(|| vec![format!("-{flags}r"), "-e".to_owned(), curve.to_owned()])
    }

    fn translate(words: &mut Vec<OsString>, _: Option<&OsStr>, order: Order) {
        // No name is looked up but those it is given.
        let of_3 = |letter, value: &str| letters::no_names(letter, value, None);
        letters::translate(words, &command::<Args>(), order, &of_3);
    }
}

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
                addresses: own.into_iter().flat_map(|i| i.addrs).collect(),
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

fn curve(text: &str) -> Result<Curve, String> {
    text.parse().map_err(|why| format!("Invalid curve: {why}"))
}
