//! Whom a receiver trusts, and whom groups are joined for (cli §3.1).

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use clap::Args;
use uftp_session::security::{ReceiverSecurity, is_source_specific, may_be_source_specific};

use super::KeyArgs;
use crate::exit::Failure;
use crate::options::servers;

/// Options of the receiver.
#[derive(Args, Clone, PartialEq, Debug)]
#[command(next_help_heading = "Encryption")]
pub(crate) struct ReceiverArgs {
    #[command(flatten)]
    pub(crate) keys: KeyArgs,

    /// File with the senders to listen to, one a line: uid|address[|fingerprint], or
    /// uid|address|proxy[|fingerprint] with the id of the proxy that the sender is answered
    /// through in protocol 5, or 0. If all groups of -M are source specific and no proxy is
    /// named, they are joined for these senders only
    #[arg(short = 'S', long, value_name = "FILE", action = clap::ArgAction::Append)]
    pub server_list: Vec<PathBuf>,

    /// Join groups for the senders of -S and the proxies of -R only (source specific multicast)
    #[arg(short = 'o', long)]
    pub ssm: bool,

    /// Refuse encrypted sessions of protocols 3 and 4 that 5.x would refuse: all but those with
    /// ECDH, a GCM or CCM cipher, SHA-2 and a curve of protocol 5. They are received otherwise,
    /// and weak algorithms told of
    #[arg(long)]
    pub refuse_weak: bool,
}

impl ReceiverArgs {
    /// Keys and trust; `groups` are those announcements come to, `proxies` are lists of them.
    /// Reads and makes keys, reads the lists, asks the resolver.
    ///
    /// # Errors
    /// A key or list that cannot be had, or groups that are not source specific where they have
    /// to be.
    pub(crate) async fn validate(
        &self,
        groups: &[IpAddr],
        proxies: &[&Path],
    ) -> Result<ReceiverSecurity, Failure> {
        let senders = match self.server_list.is_empty() {
            true => None,
            false => Some(servers::read(&self.server_list).await?),
        };
        let proxies = servers::read_proxies(proxies).await?;
        let source_specific = if self.ssm {
            ensure_source_specific(groups, &self.server_list)?;
            true
        } else {
            // A list of the form of 5.x asks for it by -o alone, as there.
            senders.as_ref().is_some_and(|list| !list.five) && are_source_specific(groups)
        };
        let servers = senders.map(|list| list.entries);
        let mut named = servers.iter().flatten().filter_map(|server| server.proxy);
        let unknown = named.find(|uid| proxies.iter().all(|proxy| proxy.uid != *uid));
        if let (true, Some(uid)) = (source_specific, unknown) {
            return Err(Failure::command_line(format!(
                "the proxy {uid} of a sender is not in the proxy list: expected its address there, \
                 as groups are joined for listed hosts only (options -o, -S, -R)"
            )));
        }
        Ok(ReceiverSecurity {
            keys: self.keys.validate()?,
            servers,
            proxies,
            source_specific,
            refuse_weak: self.refuse_weak,
        })
    }
}

/// Whether groups are made to be joined for listed senders only.
pub(crate) fn are_source_specific(groups: &[IpAddr]) -> bool {
    groups.iter().all(|group| is_source_specific(*group))
}

/// Checks that groups can be joined for listed senders only, as `-o` asks.
///
/// # Errors
/// There is no list (`-S`), or a group that cannot.
pub(crate) fn ensure_source_specific(
    groups: &[IpAddr],
    server_list: &[PathBuf],
) -> Result<(), Failure> {
    if server_list.is_empty() {
        return Err(Failure::command_line(
            "SSM mode enabled but no server list specified (options -o, -S)",
        ));
    }
    match groups.iter().find(|g| !may_be_source_specific(**g)) {
        None => Ok(()),
        Some(group) => Err(Failure::command_line(format!(
            "Invalid source specific multicast address: {group} (options -o, -M): \
             expected one of 232.0.0.0/8, or of IPv6 one with flag T or P like those of ff3x::/32"
        ))),
    }
}
