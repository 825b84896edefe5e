//! Options about the process of a daemon (cli §3.1, §8).

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::Path;

use clap::Args;

use super::values;

/// How a daemon lives.
#[derive(Args, Clone, PartialEq, Debug)]
#[command(next_help_heading = "Process")]
pub(crate) struct ProcessArgs {
    /// Stay in the foreground and log to standard error; -L and -P have no effect
    #[arg(short = 'd', long, visible_alias = "debug")]
    pub foreground: bool,

    /// Started by ourselves in the background
    #[arg(long, hide = true)]
    pub detached_child: bool,

    /// Write the process id to this file
    #[arg(short = 'P', long, value_name = "FILE")]
    pub pid_file: Option<OsString>,

    /// Add this to the niceness of the process: up to 19 more patient, down to -20 more urgent
    #[arg(short = 'N', long, value_name = "NICENESS", default_value = "0",
          value_parser = values::number::<i32>("Invalid priority value", -20..=19))]
    pub priority: i32,

    /// Go on as this user, without privileges, when sockets are bound, groups joined, keys read and
    /// files of log and events opened
    #[arg(long, value_name = "NAME")]
    pub user: Option<OsString>,

    /// Serve counters to Prometheus over HTTP at this port of the loopback interface, or at this
    /// address
    #[arg(long, value_name = "PORT|ADDRESS:PORT", value_parser = values::listening_address)]
    pub metrics: Option<SocketAddr>,
}

impl ProcessArgs {
    /// Where the process id is to be written; an empty name means nowhere.
    pub(crate) fn pid_file(&self) -> Option<&Path> {
        let path = self.pid_file.as_ref().filter(|path| !path.is_empty());
        path.map(Path::new)
    }

    /// Whether this process does the work, and not one in the background.
    pub(crate) fn runs_here(&self) -> bool {
        self.foreground || self.detached_child
    }
}
