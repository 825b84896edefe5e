//! Options that both programs have.

use std::ffi::OsString;
use std::net::SocketAddr;

use clap::Args;
use uftp_net::{Offload, SocketConfig};

use super::values;
use crate::log::{Rolling, Verbosity};

/// Options about the log.
#[derive(Args, Clone, PartialEq, Debug)]
#[command(next_help_heading = "Log")]
pub struct LogArgs {
    /// How much to log: 0 the worst news only, 2 the usual story, 5 every packet
    #[arg(short = 'x', long, value_name = "LEVEL", default_value = "2", value_parser = values::verbosity)]
    pub log_level: Verbosity,

    /// Append the log to this file, with time stamps; standard error otherwise
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
}

impl LogArgs {
    /// When the log is rolled, if ever.
    pub fn rolling(&self) -> Option<Rolling> {
        self.max_log_size.map(|megabytes| Rolling {
            size: megabytes * 1_000_000,
            keep: self.max_log_count,
        })
    }
}

/// Options about sockets.
#[derive(Args, Clone, PartialEq, Debug)]
#[command(next_help_heading = "Network")]
pub struct SocketArgs {
    /// Bytes of the kernel's socket buffers
    #[arg(short = 'B', long, value_name = "BYTES", default_value = "262144",
          value_parser = values::number::<usize>("Invalid buffer size", 65_536..=104_857_600))]
    pub buffer_size: usize,

    /// Differentiated services code point of all packets, 0 to 63
    #[arg(short = 'Q', long, value_name = "DSCP", default_value = "0",
          value_parser = values::c_number::<u8>("Invalid dscp", 0..=63))]
    pub dscp: u8,
}

/// How sockets are made, but for address and multicast.
pub fn socket_config(args: &SocketArgs, bind: SocketAddr) -> SocketConfig {
    SocketConfig {
        dscp: args.dscp,
        buffer_size: args.buffer_size,
        offload: Offload::Auto,
        ..SocketConfig::new(bind)
    }
}
