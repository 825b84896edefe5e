//! Whether an ANNOUNCE is answered, and with what (behaviour-sender-receiver §5.3).

use std::net::IpAddr;

use uftp_proto::Uid;
use uftp_proto::wire::{self, Announce, CcType, DecodeError, Pace, Problem, Version};

use super::config::ReceiverConfig;
use crate::counters::Refusal;
use crate::objection::Objection;
use crate::policy::{Names, Policy};
use crate::security::may_be_source_specific;

/// What an ANNOUNCE settles for the whole session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Terms {
    /// The behaviour of its protocol.
    pub(super) policy: Policy,
    /// Bytes of file data in a packet, at least 1; set once the keys are known.
    pub(super) block_size: u16,
    /// What we are called in it; nobody as long as nobody has said so.
    pub(super) uid: Uid,
    /// The sender's rate follows what receivers report.
    pub(super) controlled: bool,
    /// The group that carries the session; `None` in a unicast session.
    pub(super) private: Option<IpAddr>,
}

/// The terms of an ANNOUNCE that invites us, or what is wrong with it.
pub(super) fn consider(
    config: &ReceiverConfig,
    policy: Policy,
    server: Uid,
    announce: &Announce,
) -> Result<Terms, Objection> {
    let uid = match announce.clients.is_empty() {
        true => Some(config.uid),
        false => invited_as(config, policy, announce),
    };
    let uid = uid.ok_or(Objection::Ignore(Refusal::OtherSession))?;
    if !config.security.admits(server) {
        return Err(Objection::Abort("Server not in server list"));
    }
    if announce.encryption.is_none() && config.require_encryption {
        return Err(Objection::Abort("No unencrypted transfers allowed"));
    }
    let private = match announce.private {
        group if group.is_unspecified() || group == policy.names.group_of_all() => None,
        group if config.security.source_specific && !may_be_source_specific(group) => {
            return Err(Objection::Abort(
                "Invalid source specific multicast address",
            ));
        }
        group if group.is_multicast() => Some(group),
        _ => return Err(Objection::Abort("Invalid multicast address")),
    };
    Ok(Terms {
        policy,
        block_size: 0,
        uid,
        controlled: matches!(
            announce.pace,
            Pace::Adaptive {
                cc: CcType::TFMCC,
                ..
            }
        ),
        private,
    })
}

/// Under which of our names the list of an ANNOUNCE invites us. A unicast session is meant for us
/// whatever name its sender, beyond a translation of addresses, knows us by (wire-v3 §7.2, §9.3).
fn invited_as(config: &ReceiverConfig, policy: Policy, announce: &Announce) -> Option<Uid> {
    let listed = |uid: &Uid| announce.clients.contains(uid);
    match policy.names {
        Names::Ids => Some(config.uid).filter(listed),
        Names::Addresses => config.names().find(listed).or_else(|| {
            let unicast = announce.private.is_unspecified();
            announce.clients.first().copied().filter(|_| unicast)
        }),
    }
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
