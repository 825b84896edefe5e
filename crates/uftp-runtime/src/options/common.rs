//! What both programs do with options they share.

use std::ffi::OsString;

use clap::Args;
use rand::SeedableRng;
use rand::rngs::{StdRng, SysRng};
use uftp_net::{Offload, Socket, SocketConfig};

use super::values;
use crate::exit::{Exit, Failure};
use crate::log::Verbosity;
use crate::say;

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

/// Makes the socket, and says so if the kernel grants smaller buffers than asked for.
///
/// # Errors
/// The socket cannot be made or bound.
pub fn bind(config: &SocketConfig) -> Result<Socket, Failure> {
    let socket = Socket::bind(config).map_err(|error| Failure::network(error.to_string()))?;
    let granted = socket.granted_buffers();
    let least = granted.recv.min(granted.send);
    if least < config.buffer_size {
        say!(
            1,
            "The kernel grants socket buffers of {} bytes for receiving and {} for sending \
             instead of {} (-B); raise net.core.rmem_max and net.core.wmem_max",
            granted.recv,
            granted.send,
            config.buffer_size
        );
    }
    Ok(socket)
}

/// How sockets are made, but for address and multicast.
pub fn socket_config(args: &SocketArgs, bind: std::net::SocketAddr) -> SocketConfig {
    SocketConfig {
        dscp: args.dscp,
        buffer_size: args.buffer_size,
        offload: Offload::Auto,
        ..SocketConfig::new(bind)
    }
}

/// Randomness from the operating system.
///
/// # Errors
/// The system has none.
pub fn seeded() -> Result<StdRng, Failure> {
    StdRng::try_from_rng(&mut SysRng).map_err(|error| {
        Failure::new(
            Exit::Resources,
            format!("the system gives no random numbers: {error}"),
        )
    })
}
