//! The command line of `uftpd` (cli §3).

use std::ffi::{OsStr, OsString};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::Parser;
use ipnet::IpNet;
use uftp_net::{Interface, SocketConfig};
use uftp_proto::Uid;
use uftp_proto::wire::Version;
use uftp_session::receiver::ReceiverConfig;

use super::common::{CommonArgs, log_of_daemon, socket_config};
use super::files::FileArgs;
use super::heartbeats::HeartbeatArgs;
use super::lists::absolute;
use super::process::ProcessArgs;
use super::response_proxy::ResponseProxyArgs;
use super::security::ReceiverArgs;
use super::{Order, Program, addresses, command, letters, values};
use crate::exit::Failure;
use crate::store::StoreConfig;

/// Where a daemon in the background logs without `-L`.
pub(crate) const DEFAULT_LOG: &str = "/tmp/uftpd.log";

/// Receive files that uftp sends over UDP multicast.
///
/// Without -d it goes into the background.
#[derive(Parser, Clone, PartialEq, Debug)]
#[command(name = "uftpd", version, max_term_width = 100,
          mut_arg("log_file", |arg| log_of_daemon(arg, DEFAULT_LOG)))]
pub struct Args {
    /// Words that are no options mean nothing
    #[arg(hide = true)]
    pub ignored: Vec<OsString>,

    #[command(flatten)]
    pub(crate) process: ProcessArgs,

    #[command(flatten)]
    pub(crate) files: FileArgs,

    /// Bytes gathered before they are written to disk, 10240 to 20971520
    #[arg(short = 'c', long, value_name = "BYTES", help_heading = "Files",
          default_value_t = ReceiverConfig::DEFAULT_CACHE_SIZE,
          value_parser = values::number::<usize>("Invalid cache size", 10_240..=20_971_520))]
    pub cache_size: usize,

    /// Refuse sessions that are not encrypted
    #[arg(short = 'E', long, help_heading = "Encryption")]
    pub require_encryption: bool,

    /// Protocols to hear, comma separated: 3, 4, 5 [default: all]
    #[arg(long, visible_alias = "protocol", value_name = "PROTOCOLS", help_heading = "Sessions",
          value_delimiter = ',', action = clap::ArgAction::Append, value_parser = values::protocol)]
    pub protocols: Vec<Version>,

    /// Most sessions at once
    #[arg(long, value_name = "COUNT", help_heading = "Sessions",
          default_value_t = ReceiverConfig::DEFAULT_MAX_SESSIONS,
          value_parser = values::number::<usize>("Invalid number of sessions", 1..=10_000))]
    pub max_sessions: usize,

    /// Hear only what comes from these networks, comma separated, like 10.0.0.0/8
    #[arg(long, value_name = "NETWORKS", help_heading = "Sessions", value_delimiter = ',',
          action = clap::ArgAction::Append, value_parser = values::network)]
    pub allow_from: Vec<IpNet>,

    /// Append status lines to this file; @LOG puts them into the log
    #[arg(short = 'F', long, value_name = "FILE", help_heading = "Log")]
    pub status_file: Option<OsString>,

    /// Do not look up the names of senders for log and status file
    #[arg(short = 'q', long, help_heading = "Log")]
    pub no_name_lookup: bool,

    /// Interfaces to listen on, comma separated: name, name/6, index, address or host name
    /// [default: all but loopback]
    #[arg(short = 'I', long, value_name = "INTERFACES", help_heading = "Network",
          action = clap::ArgAction::Append, value_delimiter = ',')]
    pub interface: Vec<String>,

    /// Multicast groups to listen on, comma separated
    #[arg(short = 'M', long, value_name = "ADDRESSES", default_value = addresses::PUBLIC,
          help_heading = "Network", action = clap::ArgAction::Append, value_delimiter = ',')]
    pub public_address: Vec<String>,

    /// UDP port to listen on
    #[arg(short = 'p', long, value_name = "PORT", default_value = "1044", help_heading = "Network",
          value_parser = values::number::<u16>("Invalid port", 1..=65535))]
    pub port: u16,

    /// Own id in hexadecimal [default: the first interface's address]
    #[arg(short = 'U', long, value_name = "UID", help_heading = "Network", value_parser = values::uid)]
    pub uid: Option<Uid>,

    #[command(flatten)]
    pub(crate) response_proxy: ResponseProxyArgs,

    #[command(flatten)]
    pub(crate) heartbeats: HeartbeatArgs,

    #[command(flatten)]
    pub(crate) security: ReceiverArgs,

    #[command(flatten)]
    pub(crate) common: CommonArgs,
}

impl Program for Args {
    const OPERANDS: &'static str = "";

    fn translate(words: &mut Vec<OsString>, _: Option<&OsStr>, order: Order) {
        let of_3 = |letter, value: &str| letters::no_names(letter, value, Some("no-name-lookup"));
        letters::translate(words, &command::<Args>(), order, &of_3);
    }
}

/// A receiver, ready to run.
#[derive(Debug)]
pub(crate) struct ReceiveJob {
    /// What the session machine needs.
    pub config: ReceiverConfig,
    /// What the socket needs.
    pub socket: SocketConfig,
    /// Where to listen.
    pub interfaces: Vec<Interface>,
    /// What to listen for.
    pub groups: Vec<IpAddr>,
    /// Where files go.
    pub store: StoreConfig,
    /// Lists of senders, which can be read again.
    pub servers: Vec<PathBuf>,
}

impl Args {
    /// Turns what was typed into what is meant. Asks the resolver.
    ///
    /// # Errors
    /// A sentence naming what is wrong, with the exit code for it.
    pub(crate) async fn validate(&self) -> Result<ReceiveJob, Failure> {
        let store = self.files.validate()?;
        let interfaces = addresses::listening(&self.interface)?;
        let groups = addresses::groups(&self.public_address).await?;
        let wildcard = addresses::wildcard(groups.iter().any(IpAddr::is_ipv6));
        Ok(ReceiveJob {
            config: ReceiverConfig {
                uid: addresses::own_uid(self.uid, &interfaces),
                addresses: addresses::names(&interfaces),
                cache_size: self.cache_size,
                max_sessions: self.max_sessions,
                protocols: heard(&self.protocols),
                require_encryption: self.require_encryption,
                security: self
                    .security
                    .validate(&groups, &self.response_proxy.lists())
                    .await?,
                heartbeats: self.heartbeats.validate().await?,
                response_proxy: self.response_proxy.validate(self.port).await?,
            },
            socket: socket_config(&self.common.socket, SocketAddr::new(wildcard, self.port)),
            interfaces,
            groups,
            store,
            servers: absolute(&self.security.server_list),
        })
    }
}

/// What of the protocols named is heard; `None` for all. Protocol 3 has two wire ids.
fn heard(named: &[Version]) -> Option<Vec<Version>> {
    const THREE: [Version; 2] = [Version::V3, Version::V3Sync];
    let mut heard = named.to_vec();
    if named.iter().any(|version| THREE.contains(version)) {
        heard.extend(THREE);
    }
    (!heard.is_empty()).then_some(heard)
}
