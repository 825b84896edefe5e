//! The command line of `uftpproxyd` (cli §4, behaviour-proxies §2.1).

mod job;

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::Parser;
use uftp_proto::Uid;
use uftp_proto::crypto::Curve;
use uftp_session::proxy::ProxyConfig;

use super::common::{CommonArgs, log_of_daemon};
use super::heartbeats::HeartbeatArgs;
use super::process::ProcessArgs;
use super::security::KeyArgs;
use super::{Order, Program, addresses, command, letters, values};

pub(crate) use job::ProxyJob;

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

fn curve(text: &str) -> Result<Curve, String> {
    text.parse().map_err(|why| format!("Invalid curve: {why}"))
}
