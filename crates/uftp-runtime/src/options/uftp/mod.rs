//! The command line of `uftp` (cli §2).

mod job;
mod letters;
mod place;

use std::ffi::{OsStr, OsString};
use std::time::Duration;

use clap::{Parser, ValueEnum};
use uftp_proto::Uid;
use uftp_proto::wire::Version;
use uftp_session::sender::{GrttBounds, NakLimit, Rate, SenderConfig};

use super::common::CommonArgs;
use super::congestion::{self, CongestionControl};
use super::protocol3::PaceArgs;
use super::security::SenderArgs;
use super::{Order, Program, addresses, command, values};

pub(crate) use job::SendJob;

/// Send files to many receivers at once over UDP multicast.
///
/// Files, directories with all below them, and symbolic links are sent in the order given.
/// @DELETE:NAME deletes at the receivers, @FREESPACE asks them for their free disk space.
#[derive(Parser, Clone, PartialEq, Debug)]
#[command(name = "uftp", version, max_term_width = 100)]
pub struct Args {
    /// What to send
    #[arg(value_name = "FILE")]
    pub files: Vec<OsString>,

    /// Send rate in Kbps (1024 bits per second), or like 50M in bits per second; -1 is as fast as
    /// the receivers can take
    #[arg(short = 'R', long, visible_alias = "kbps", value_name = "KBPS", default_value = "1000",
          help_heading = "Transfer", value_parser = values::rate)]
    pub rate: Rate,

    /// Congestion control: none, or tfmcc, by which the rate follows what the network and the
    /// receivers can take; then -R means nothing. Bounds in Kbps may follow:
    /// tfmcc:max=RATE:min=RATE:init=RATE, or tfmcc:MAX
    #[arg(short = 'C', long, value_name = "TYPE", default_value = "none", help_heading = "Transfer",
          value_parser = congestion::congestion_control)]
    pub(crate) congestion_control: CongestionControl,

    /// Bytes of file data in a packet, 512 to 8800 [default: 1300]
    #[arg(short = 'b', long, value_name = "BYTES", help_heading = "Transfer",
          value_parser = values::number::<u16>("Invalid blocksize", 512..=8800))]
    pub block_size: Option<u16>,

    /// Round trip time in seconds that is assumed at first, and its bounds [default: 0.5]
    #[arg(short = 'r', long, value_name = "INITIAL[:MIN:MAX]", help_heading = "Transfer",
          value_parser = values::grtt)]
    pub grtt: Option<GrttBounds>,

    /// How often a message is repeated before a receiver is given up, 10 to 50 [default: 20]
    #[arg(short = 's', long, value_name = "COUNT", help_heading = "Transfer",
          value_parser = values::number::<u8>("Invalid robustness factor", 10..=50))]
    pub robust: Option<u8>,

    /// Give up on receivers that are not done after so many passes over a file
    #[arg(short = 'a', long, value_name = "COUNT", help_heading = "Transfer",
          default_value_t = SenderConfig::DEFAULT_MAX_PASSES,
          value_parser = values::number::<u16>("Invalid max passes", 1..=65535))]
    pub max_passes: u16,

    /// Percentage of a section that a receiver may miss before a strike is counted; 100 never
    #[arg(short = 'N', long, value_name = "PERCENT", help_heading = "Transfer",
          default_value_t = NakLimit::default().percent,
          value_parser = values::number::<u8>("Invalid max_nak_pct", 0..=100))]
    pub max_nak_percent: u8,

    /// Strikes before a receiver is aborted, 1 to 1000
    #[arg(short = 'm', long, value_name = "COUNT", help_heading = "Transfer",
          default_value_t = NakLimit::default().strikes,
          value_parser = values::number::<u32>("Invalid max nak count", 1..=1000))]
    pub max_nak_count: u32,

    /// Most time for a file, in percent of what it takes at the rate, 110 to 10000 [default: none; 300 in
    /// protocol 3]
    #[arg(short = 'W', long, value_name = "PERCENT", help_heading = "Transfer",
          value_parser = values::number::<u32>("Invalid txweight", 110..=10000))]
    pub tx_weight: Option<u32>,

    /// Stop all as soon as one receiver fails or never answers
    #[arg(short = 'q', long, help_heading = "Transfer")]
    pub quit_on_error: bool,

    /// Receivers skip files that they have
    #[arg(short = 'z', long, help_heading = "Transfer")]
    pub sync: bool,

    /// Receivers only say what --sync would do
    #[arg(short = 'Z', long, help_heading = "Transfer")]
    pub sync_preview: bool,

    /// Count a receiver that failed (exit status 9) and an item that could not be sent or was
    /// rejected (10) as failures of the whole, even if others fared well
    #[arg(long, help_heading = "Transfer")]
    pub strict: bool,

    /// Show what would be sent, and send nothing: what it is, its size in bytes, and its name at
    /// the receivers
    #[arg(long, help_heading = "Files")]
    pub dry_run: bool,

    /// Generation of the protocol to speak, or a version of the programs that hear it, like 3.6;
    /// also from the environment variable UFTP_PROTOCOL
    #[arg(long, value_name = "3|4|5", help_heading = "Transfer", value_parser = values::protocol)]
    pub protocol: Option<Version>,

    /// Receivers, comma separated: addresses, host names or ids like 0x0A; or @FILE with one a line:
    /// host[|fingerprint]. Without it and -j anybody may register
    #[arg(short = 'H', long, value_name = "HOSTS|@FILE", help_heading = "Receivers",
          action = clap::ArgAction::Append)]
    pub hosts: Vec<String>,

    /// File with proxies that are expected besides the receivers of -H, one a line:
    /// host[|fingerprint]. Without -H only they may register
    #[arg(short = 'j', long, value_name = "FILE", help_heading = "Receivers",
          action = clap::ArgAction::Append)]
    pub proxy_list: Vec<OsString>,

    /// Without -H: go on as soon as so many receivers have registered
    #[arg(long, visible_alias = "wait-clients", value_name = "COUNT", help_heading = "Receivers",
          value_parser = values::number::<usize>("Invalid number of clients", 1..=100_000))]
    pub min_clients: Option<usize>,

    /// Announce for so many seconds, rather than -s times, to those who are missing
    #[arg(long, value_name = "SECONDS", help_heading = "Receivers", value_parser = values::seconds)]
    pub announce_timeout: Option<Duration>,

    /// File with files to send, one a line; - is standard input
    #[arg(short = 'i', long, value_name = "FILE", help_heading = "Files",
          action = clap::ArgAction::Append)]
    pub files_from: Vec<OsString>,

    /// If a receiver fails, leave a file _group_ID_restart in the working directory, for -F
    #[arg(short = 'f', long, help_heading = "Files")]
    pub restartable: bool,

    /// Resume the session that left this file, with its files and the receivers that failed
    #[arg(short = 'F', long, value_name = "FILE", help_heading = "Files")]
    pub restart: Option<OsString>,

    /// Name at the receivers (one file), or directory there (several)
    #[arg(short = 'D', long, value_name = "NAME", help_heading = "Files")]
    pub dest_name: Option<OsString>,

    /// -D is a directory even for one file
    #[arg(short = 'o', long, help_heading = "Files")]
    pub dest_is_dir: bool,

    /// Keep the part of a file's path that is below one of these directories
    #[arg(short = 'E', long, value_name = "DIRS", help_heading = "Files",
          action = clap::ArgAction::Append)]
    pub base_dir: Vec<OsString>,

    /// File with paths that are not sent, one a line
    #[arg(short = 'X', long, value_name = "FILE", help_heading = "Files",
          action = clap::ArgAction::Append)]
    pub exclude_from: Vec<OsString>,

    /// Send what symbolic links point to
    #[arg(short = 'l', long, help_heading = "Files")]
    pub follow_links: bool,

    /// Append status lines to this file; @LOG puts them into the log
    #[arg(short = 'S', long, value_name = "FILE", help_heading = "Log")]
    pub status_file: Option<OsString>,

    /// Accepted for the sake of old command lines; means nothing here
    #[arg(short = 'y', long, help_heading = "Network")]
    pub system_keys: bool,

    /// Put the time in front of log lines
    #[arg(short = 'T', long, help_heading = "Log")]
    pub timestamps: bool,

    /// Progress on standard error; auto is a bar if that is a terminal
    #[arg(
        long,
        value_name = "WHEN",
        default_value = "auto",
        help_heading = "Log",
        hide_possible_values = false
    )]
    pub(crate) progress: ProgressMode,

    /// Where to announce; a unicast address makes the whole session unicast
    #[arg(short = 'M', long, value_name = "ADDRESS", default_value = addresses::PUBLIC,
          help_heading = "Network")]
    pub public_address: String,

    /// Where to send the rest; each x becomes a random number [default: 230.5.5.x]
    #[arg(short = 'P', long, value_name = "ADDRESS", help_heading = "Network")]
    pub private_address: Option<String>,

    /// UDP port of the receivers
    #[arg(short = 'p', long, value_name = "PORT", default_value = "1044", help_heading = "Network",
          value_parser = values::number::<u16>("Invalid port", 1..=65535))]
    pub port: u16,

    /// Own UDP port; 0 is any
    #[arg(short = 'u', long, value_name = "PORT", default_value = "0", help_heading = "Network",
          value_parser = values::number::<u16>("Invalid source port", 0..=65535))]
    pub source_port: u16,

    /// Interface that multicast leaves by: name, name/6, index, address or host name
    #[arg(short = 'I', long, value_name = "INTERFACE", help_heading = "Network")]
    pub interface: Option<String>,

    /// Own id in hexadecimal [default: the interface's address]
    #[arg(short = 'U', long, value_name = "UID", help_heading = "Network", value_parser = values::uid)]
    pub uid: Option<Uid>,

    /// Time to live of multicast, 1 to 255
    #[arg(short = 't', long, value_name = "TTL", default_value = "1", help_heading = "Network",
          value_parser = values::number::<u8>("Invalid ttl", 1..=255))]
    pub ttl: u8,

    #[command(flatten)]
    pub(crate) pace: PaceArgs,

    #[command(flatten)]
    pub(crate) security: SenderArgs,

    #[command(flatten)]
    pub(crate) common: CommonArgs,
}

/// How progress is shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum ProgressMode {
    /// A bar if standard error is a terminal, `-x` at most 2 and no `-L`; else nothing.
    Auto,
    /// A bar that is redrawn in place.
    Bar,
    /// A line now and then.
    Lines,
    /// Nothing.
    None,
}

impl Program for Args {
    const OPERANDS: &'static str = "FILE... ";

    fn translate(words: &mut Vec<OsString>, environment: Option<&OsStr>, order: Order) {
        letters::translate(words, &command::<Args>(), environment, order);
    }
}
