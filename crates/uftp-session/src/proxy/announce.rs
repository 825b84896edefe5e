//! Which sessions a proxy carries (behaviour-proxies §6, §8.1).

use std::net::IpAddr;

use uftp_proto::WireTime;
use uftp_proto::wire::{Announce, Header, Pace, Version};

use super::config::{ProxyConfig, Role};
use crate::counters::Refusal;
use crate::security::is_source_specific;

/// Protocols in which we can speak for clients; what only passes through may be any.
const SPOKEN: [Version; 2] = [Version::V4, Version::V5];

/// What an ANNOUNCE settles for the whole session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Terms {
    /// How often the sender repeats a message before it gives up.
    pub(super) robust: u8,
    /// Bytes of file data in a packet, at least 1.
    pub(super) block_size: u16,
    /// Group it is announced on; unspecified if there is none.
    pub(super) public: IpAddr,
    /// The group that carries the session; `None` if there is none.
    pub(super) private: Option<IpAddr>,
    /// The server's clock.
    pub(super) stamp: WireTime,
}

/// Why a session is not carried.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Objection {
    /// The server is not told.
    Ignore(Refusal),
    /// The server is told so.
    Abort(&'static str),
}

/// The terms of an ANNOUNCE, or what is wrong with it.
pub(super) fn consider(
    config: &ProxyConfig,
    header: &Header,
    announce: &Announce,
) -> Result<Terms, Objection> {
    let speaks = !matches!(config.role, Role::Server { .. });
    if speaks && !SPOKEN.contains(&header.version) {
        return Err(Objection::Ignore(Refusal::OtherVersion));
    }
    let Pace::Adaptive {
        robust, block_size, ..
    } = announce.pace
    else {
        return Err(Objection::Ignore(Refusal::OtherVersion));
    };
    if block_size == 0 {
        return Err(Objection::Abort("Invalid block size"));
    }
    let listed = config.security.admits(header.src);
    if config.strict && !listed {
        return Err(Objection::Abort("Server not in server list"));
    }
    let public = announce.public;
    if !public.is_unspecified() && !public.is_multicast() {
        return Err(Objection::Abort("Invalid multicast address"));
    }
    let joins = !matches!(config.role, Role::Client { .. });
    let private = match announce.private {
        group if group.is_unspecified() => None,
        group if joins && config.security.source_specific && !is_source_specific(group) => {
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
        public,
        private,
        stamp: announce.timestamp,
    })
}
