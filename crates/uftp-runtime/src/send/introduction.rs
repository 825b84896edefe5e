//! What the log of a sender says before its session begins.

use uftp_session::security::SenderSecurity;
use uftp_session::sender::Rate;

use crate::keys;
use crate::log::{Tag, time};
use crate::names;
use crate::options::uftp::SendJob;
use crate::{say, tell};

/// Says what will be sent how, and where it leaves.
pub(super) fn tell(job: &SendJob, tag: Tag, stamped: bool) {
    if !stamped {
        tell!(tag, 2, "");
    }
    tell!(tag, 2, "UFTP version {}", env!("CARGO_PKG_VERSION"));
    if !stamped {
        tell!(tag, 2, "Starting at {}", time::ctime());
    }
    let config = &job.config;
    tell_security(config.security.as_ref());
    match config.rate {
        Rate::SelfClocked => tell!(tag, 2, "Transfer rate: full interface speed"),
        Rate::Tfmcc(_) => tell!(tag, 2, "Transfer rate: dynamic via TFMCC"),
        Rate::Fixed(bytes) => {
            tell!(
                tag,
                2,
                "Transfer rate: {} Kbps ({} KB/s)",
                bytes * 8 / 1024,
                bytes / 1024
            );
            let ip = if config.public.is_ipv4() { 20 } else { 40 };
            // IP, UDP, packet header and message header, as the pacing charges them.
            let packet = u128::from(config.block_size) + ip + 8 + 24;
            let wait = packet * 1_000_000_000 / u128::from(bytes.max(1));
            tell!(tag, 2, "Wait between packets: {wait} ns");
        }
    }
    tell!(tag, 2, "Using interface {}", job.interface);
    let group = config.group;
    if config.public.ip().is_multicast() {
        tell!(
            tag,
            2,
            "Using private multicast address {}  Group ID: {group}",
            names::shown(config.private)
        );
    } else {
        tell!(
            tag,
            2,
            "Using unicast address {}  Group ID: {group}",
            names::shown(config.private)
        );
    }
    tell!(tag, 2, "Initializing group");
}

/// Says what protects the session, and what does not.
fn tell_security(security: Option<&SenderSecurity>) {
    let Some(security) = security else {
        say!(2, "Data leaves unencrypted; -Y aes256-gcm encrypts it");
        return;
    };
    let suite = security.suite();
    keys::introduce(security.identity());
    if suite.key_exchange.is_ecdh() {
        say!(2, "Loaded ECDH key with curve {}", security.curve());
    }
    if !suite.client_auth {
        say!(
            2,
            "Receivers are not asked to prove who they are; -c asks them"
        );
    }
    let mut weak: Vec<_> = suite.weaknesses().iter().map(ToString::to_string).collect();
    let kind = security.identity().kind();
    if kind.is_weak() {
        weak.push(format!("key ({kind})"));
    }
    if suite.key_exchange.is_ecdh() && security.curve().is_weak() {
        weak.push(format!("curve {}", security.curve()));
    }
    if !weak.is_empty() {
        say!(
            1,
            "Weak algorithms in use: {}; better are AES, sha256, ecdh_rsa or ecdh_ecdsa, and keys \
             of 2048 bits",
            weak.join(", ")
        );
    }
}
