//! Which sessions a proxy carries (behaviour-proxies §6, §8.1).

use std::net::{IpAddr, Ipv4Addr};

use uftp_proto::wire::{Announce, AnnounceFlags, Header};
use uftp_proto::{Uid, WireTime};

use super::config::ProxyConfig;
use super::timing::Timing;
use crate::objection::Objection;
use crate::policy::{Names, Policy};
use crate::security::may_be_source_specific;

/// What an ANNOUNCE settles for the whole session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Terms {
    /// The behaviour of its protocol.
    pub(super) policy: Policy,
    /// Its clockwork.
    pub(super) timing: Timing,
    /// Bytes of file data in a packet, at least 1; set once the keys are known.
    pub(super) block_size: u16,
    /// What we are called in it.
    pub(super) uid: Uid,
    /// It goes on with an earlier run, and tells so by a flag alone.
    pub(super) resumed: bool,
    /// What is said in it is encrypted.
    pub(super) encrypted: bool,
    /// Group it is announced on; unspecified if there is none.
    pub(super) public: IpAddr,
    /// The group that carries the session; `None` if there is none.
    pub(super) private: Option<IpAddr>,
    /// The server's clock.
    pub(super) stamp: WireTime,
}

/// The terms of an ANNOUNCE, or what is wrong with it.
pub(super) fn consider(
    config: &ProxyConfig,
    header: &Header,
    announce: &Announce,
) -> Result<Terms, Objection> {
    let listed = config.security.admits(header.src);
    if config.strict && !listed {
        return Err(Objection::Abort("Server not in server list"));
    }
    if config.require_encryption && announce.encryption.is_none() {
        return Err(Objection::Abort("No unencrypted transfers allowed"));
    }
    let public = stated(header, announce);
    if !public.is_unspecified() && !public.is_multicast() {
        return Err(Objection::Abort("Invalid multicast address"));
    }
    let policy = Policy::of(header.version);
    let private = match announce.private {
        group if group.is_unspecified() || group == policy.names.group_of_all() => None,
        group
            if config.role.joins()
                && config.security.source_specific
                && !may_be_source_specific(group) =>
        {
            return Err(Objection::Abort(
                "Invalid source specific multicast address",
            ));
        }
        group if group.is_multicast() => Some(group),
        _ => return Err(Objection::Abort("Invalid multicast address")),
    };
    Ok(Terms {
        policy,
        timing: Timing::new(&announce.pace, config.hold_percent),
        block_size: 0,
        resumed: announce.flags.contains(AnnounceFlags::RESTART),
        encrypted: announce.encryption.is_some(),
        uid: called(config, policy, announce).unwrap_or(config.uid),
        public,
        private,
        stamp: announce.timestamp,
    })
}

/// The group a session is announced on; unspecified if there is none. Where ANNOUNCE does not say,
/// the header of its packet does (wire-v3 §2.1).
fn stated(header: &Header, announce: &Announce) -> IpAddr {
    let addr = IpAddr::from(Ipv4Addr::from_bits(header.dest.0));
    match announce.public.is_unspecified() && addr.is_multicast() {
        true => addr,
        false => announce.public,
    }
}

/// Which of our names the list of an ANNOUNCE holds (wire-v3 §8.3).
pub(super) fn called(config: &ProxyConfig, policy: Policy, announce: &Announce) -> Option<Uid> {
    let mut names = std::iter::once(config.uid).chain(
        match policy.names {
            Names::Ids => [].iter(),
            Names::Addresses => config.addresses.iter(),
        }
        .map(|own| Uid::from_addr(own.ip())),
    );
    names.find(|name| announce.clients.contains(name))
}
