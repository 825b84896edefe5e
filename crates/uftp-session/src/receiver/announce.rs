//! Whether an ANNOUNCE is answered, and with what (behaviour-sender-receiver §5.3).

use std::net::IpAddr;

use uftp_proto::Uid;
use uftp_proto::wire::{self, Announce, CcType, DecodeError, Pace, Problem, Version};

use super::config::ReceiverConfig;
use crate::counters::Refusal;
use crate::security::is_source_specific;

/// What an ANNOUNCE settles for the whole session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Terms {
    /// How often the sender repeats a message before it gives up.
    pub(super) robust: u8,
    /// Bytes of file data in a packet, at least 1.
    pub(super) block_size: u16,
    /// The sender's rate follows what receivers report.
    pub(super) controlled: bool,
    /// The group that carries the session; `None` in a unicast session.
    pub(super) private: Option<IpAddr>,
}

/// Why no session comes of an ANNOUNCE.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Objection {
    /// It does not concern us; no answer.
    Ignore(Refusal),
    /// We are meant but cannot take part: the sender is told so.
    Abort(&'static str),
}

/// The terms of an ANNOUNCE that invites us, or what is wrong with it.
pub(super) fn consider(
    config: &ReceiverConfig,
    server: Uid,
    announce: &Announce,
) -> Result<Terms, Objection> {
    if !announce.clients.is_empty() && !announce.clients.contains(&config.uid) {
        return Err(Objection::Ignore(Refusal::OtherSession));
    }
    let Pace::Adaptive {
        robust,
        cc,
        block_size,
    } = announce.pace
    else {
        return Err(Objection::Ignore(Refusal::OtherVersion));
    };
    if block_size == 0 {
        return Err(Objection::Abort("Invalid block size"));
    }
    if !config.security.admits(server) {
        return Err(Objection::Abort("Server not in server list"));
    }
    if announce.encryption.is_none() && config.require_encryption {
        return Err(Objection::Abort("No unencrypted transfers allowed"));
    }
    let private = match announce.private {
        group if group.is_unspecified() => None,
        group if config.security.source_specific && !is_source_specific(group) => {
            return Err(Objection::Abort(
                "Invalid source specific multicast address",
            ));
        }
        group if group.is_multicast() => Some(group),
        _ => return Err(Objection::Abort("Invalid multicast address")),
    };
    Ok(Terms {
        robust,
        block_size,
        controlled: cc == CcType::TFMCC,
        private,
    })
}

/// What to do about an ANNOUNCE that cannot be decoded. If its list names us, the sender learns
/// what is wrong with the rest.
pub(super) fn object(version: Version, message: &[u8], uid: Uid, error: &DecodeError) -> Objection {
    let invited = wire::announce_invites(version, message, uid).unwrap_or(false);
    match error.problem {
        Problem::HeaderSize { .. } if invited => Objection::Abort("Invalid header size"),
        Problem::ExtensionSize { .. } if invited => Objection::Abort("Invalid extension size"),
        _ => Objection::Ignore(Refusal::Malformed),
    }
}
