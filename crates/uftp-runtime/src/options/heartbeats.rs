//! Options about heartbeats of both daemons (cli §3.1, §4).

use std::time::Duration;

use clap::Args;
use uftp_session::Heartbeats;

use super::{addresses, values};
use crate::exit::Failure;

/// The port of a proxy if none is given.
const PORT: u16 = 1044;

/// Whom to tell where we are, and how often.
#[derive(Args, Clone, PartialEq, Debug)]
#[command(next_help_heading = "Heartbeats")]
pub(crate) struct HeartbeatArgs {
    /// Proxies upstream to tell where we are, comma separated: host, host:port or
    /// [IPv6 address]:port. Answered through NAT and firewalls, they keep the way back open
    #[arg(short = 'H', long, value_name = "HOSTS", action = clap::ArgAction::Append,
          value_delimiter = ',')]
    pub heartbeat_host: Vec<String>,

    /// Seconds from one heartbeat to the next, 1 to 3600
    #[arg(short = 'h', long, value_name = "SECONDS", default_value = "20",
          value_parser = values::number::<u16>("Invalid heartbeat interval", 1..=3600))]
    pub heartbeat_interval: u16,
}

impl HeartbeatArgs {
    /// What is meant. Asks the resolver.
    ///
    /// # Errors
    /// A host that cannot be found, or no port.
    pub(crate) async fn validate(&self) -> Result<Heartbeats, Failure> {
        let mut upstreams = Vec::new();
        for text in self.heartbeat_host.iter().filter(|text| !text.is_empty()) {
            let host = addresses::endpoint(text, PORT).await.map_err(|why| {
                Failure::command_line(format!(
                    "Invalid heartbeat address {text}: {why} (option -H)"
                ))
            })?;
            if !upstreams.contains(&host) {
                upstreams.push(host);
            }
        }
        Ok(Heartbeats {
            upstreams,
            interval: Duration::from_secs(self.heartbeat_interval.into()),
        })
    }
}
