//! Options that several programs have.

use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;

use clap::{Arg, Args, ValueEnum};
use uftp_net::{Offload, SocketConfig};

use super::values;
use crate::log::{Look, Rolling, Sink, Verbosity};

/// Options that all programs with a session have.
#[derive(Args, Clone, PartialEq, Debug)]
pub(crate) struct CommonArgs {
    #[command(flatten)]
    pub socket: SocketArgs,

    #[command(flatten)]
    pub log: LogArgs,

    #[command(flatten)]
    pub events: EventArgs,

    #[command(flatten)]
    pub general: GeneralArgs,
}

/// Options about options.
#[derive(Args, Clone, PartialEq, Debug)]
#[command(next_help_heading = "Help")]
pub(crate) struct GeneralArgs {
    /// Read options from this file too, after /etc/uftp/PROGRAM.toml. A line is like
    /// log-level = 3: a long name without its dashes. Variables like UFTP_LOG_LEVEL of the
    /// environment beat files, and what is typed beats all
    #[arg(long, value_name = "FILE")]
    pub config: Option<OsString>,

    /// Look whether options, lists, keys, directories, interfaces and files to write are in order,
    /// and exit
    #[arg(long)]
    pub check: bool,
}

/// Options about the log.
#[derive(Args, Clone, PartialEq, Debug)]
#[command(next_help_heading = "Log")]
pub(crate) struct LogArgs {
    /// How much to log: 0 the worst news only, 2 the usual story, 5 every packet
    #[arg(short = 'x', long, value_name = "LEVEL", default_value = "2", value_parser = values::verbosity)]
    pub log_level: Verbosity,

    /// Append the log to this file, with time stamps [default: standard error]
    #[arg(short = 'L', long, value_name = "FILE")]
    pub log_file: Option<OsString>,

    /// With -L: above so many megabytes the log becomes an archive, 1 to 1024 [default: never]
    #[arg(short = 'g', long, value_name = "MB",
          value_parser = values::number::<u64>("Invalid max log size", 1..=1024))]
    pub max_log_size: Option<u64>,

    /// With -g: archives kept, FILE.1 the youngest, 1 to 1000
    #[arg(short = 'n', long, value_name = "COUNT", default_value = "5",
          value_parser = values::number::<usize>("Invalid max log count", 1..=1000))]
    pub max_log_count: usize,

    /// How log lines look: text, or one JSON object a line
    #[arg(
        long,
        value_name = "FORMAT",
        default_value = "text",
        hide_possible_values = false
    )]
    pub log_format: LogFormat,

    /// Colour of bad news on a terminal; auto heeds NO_COLOR and TERM
    #[arg(
        long,
        value_name = "WHEN",
        default_value = "auto",
        hide_possible_values = false
    )]
    pub color: ColorMode,
}

/// The option `-L` of a daemon whose log in the background is `file` by default.
pub(crate) fn log_of_daemon(arg: Arg, file: &str) -> Arg {
    arg.help(format!(
        "Append the log to this file, with time stamps [default: {file}; with -d standard error]"
    ))
}

/// How log lines look.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum LogFormat {
    /// As 4.10.2 writes them.
    Text,
    /// One object a line.
    Json,
}

/// When log lines are coloured.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum ColorMode {
    /// If standard error is a terminal that can, and nobody objects.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl LogArgs {
    /// How lines look on standard error, with the time in front if `timestamps`.
    pub(crate) fn look(&self, timestamps: bool) -> Look {
        let color = match self.color {
            ColorMode::Always => true,
            ColorMode::Never => false,
            ColorMode::Auto => {
                let unwanted = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
                self.file().is_none() && !unwanted && Sink::stderr_can_draw()
            }
        };
        match self.log_format {
            LogFormat::Json => Look::Json,
            LogFormat::Text => Look::Text { timestamps, color },
        }
    }

    /// The file of the log, if it goes to one. An empty name is as good as none.
    pub(crate) fn file(&self) -> Option<&OsStr> {
        self.log_file.as_deref().filter(|path| !path.is_empty())
    }

    /// When the log is rolled, if ever.
    pub(crate) fn rolling(&self) -> Option<Rolling> {
        self.max_log_size.map(|megabytes| Rolling {
            size: megabytes * 1_000_000,
            keep: self.max_log_count,
        })
    }
}

/// Where events go.
#[derive(Args, Clone, PartialEq, Debug)]
#[command(next_help_heading = "Log")]
pub(crate) struct EventArgs {
    /// Append what happens to this file, one JSON object a line; - is standard output
    #[arg(long, value_name = "FILE|-")]
    pub events: Option<OsString>,
}

/// Bytes of a socket's buffers if the user asks for none: what arrives at 1 GB/s while a receiver
/// writes for a few milliseconds.
pub(crate) const DEFAULT_BUFFER_SIZE: usize = 16 << 20;

/// Options about sockets.
#[derive(Args, Clone, PartialEq, Debug)]
#[command(next_help_heading = "Network")]
pub(crate) struct SocketArgs {
    /// Bytes of the kernel's socket buffers; the default may quietly become less
    #[arg(short = 'B', long, value_name = "BYTES", default_value_t = DEFAULT_BUFFER_SIZE,
          value_parser = values::number::<usize>("Invalid buffer size", 65_536..=104_857_600))]
    pub buffer_size: usize,

    /// Differentiated services code point of all packets, 0 to 63
    #[arg(short = 'Q', long, value_name = "DSCP", default_value = "0",
          value_parser = values::c_number::<u8>("Invalid dscp", 0..=63))]
    pub dscp: u8,

    /// What the kernel may do for many datagrams at once: auto (whatever it can), batch (take
    /// many in a call) or off; for drivers that do it wrong
    #[arg(long, value_name = "HOW", default_value = "auto", value_parser = values::offload)]
    pub offload: Offload,
}

/// How sockets are made, but for address and multicast.
pub(crate) fn socket_config(args: &SocketArgs, bind: SocketAddr) -> SocketConfig {
    SocketConfig {
        dscp: args.dscp,
        buffer_size: args.buffer_size,
        offload: args.offload,
        ..SocketConfig::new(bind)
    }
}
