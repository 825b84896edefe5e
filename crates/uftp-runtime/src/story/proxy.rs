//! What the log of a proxy says.

use std::fmt::Arguments;
use std::time::Instant;

use uftp_proto::wire::CompleteStatus;
use uftp_session::proxy::{ProxyEvent, ProxyEventKind};

use super::crowd::Crowd;
use super::{UNPROVED, heartbeats};
use crate::log::{self, Tag, Verbosity, printable};
use crate::say;

/// Tells what a proxy does.
#[derive(Default)]
pub(crate) struct ProxyStory {
    unregistered: Crowd,
    displaced: Crowd,
}

impl ProxyStory {
    /// Logs how many of those had no line of their own who come in crowds, when it is time.
    pub(crate) fn turn(&mut self, now: Instant) {
        if let Some(more) = self.unregistered.untold(now) {
            say!(1, "{more} more not fully registered at proxy");
        }
        if let Some(more) = self.displaced.untold(now) {
            say!(
                1,
                "{more} more made room for others: nothing proved in time"
            );
        }
    }

    /// Logs one event.
    pub(crate) fn event(&mut self, now: Instant, event: &ProxyEvent) {
        use ProxyEventKind as K;
        let tag = event.session.map(|id| Tag {
            group: id.group,
            instance: id.instance,
            file: match &event.kind {
                K::FileInfoAckSent { file, .. }
                | K::NaksSent { file, .. }
                | K::CompleteSent { file, .. } => *file,
                _ => uftp_proto::FileId::SESSION,
            },
        });
        let say = |verbosity: Verbosity, text: Arguments<'_>| log::line(verbosity, tag, text);
        match &event.kind {
            K::Announced {
                server,
                from,
                public,
                private,
            } => {
                say(
                    2,
                    format_args!("Received request from {:08X} at {from}", server.0),
                );
                if !public.is_unspecified() {
                    say(2, format_args!("Using public multicast address {public}"));
                }
                if let Some(group) = private {
                    say(2, format_args!("Using private multicast address {group}"));
                }
            }
            K::Join(group) => say(3, format_args!("Joining {group}")),
            K::JoinFrom { group, sources } => {
                say(3, format_args!("Joining {group} from {sources:?}"));
            }
            K::Secured(suite) => {
                let weak = suite.weaknesses();
                if !weak.is_empty() {
                    let weak = weak.join(", ");
                    say(1, format_args!("Weak algorithms in use: {weak}"));
                }
            }
            K::KeyInfoReceived => say(2, format_args!("Received KEYINFO")),
            K::KeyInfoSent(clients) => {
                say(2, format_args!("Sending KEYINFO"));
                say(3, format_args!("  for {clients} clients"));
            }
            K::KeyInfoAcked { client } => {
                say(2, format_args!("Received KEYINFO_ACK from {client}"));
            }
            K::ClientKeyReceived { client, again } => {
                let plus = if *again { "+" } else { "" };
                say(2, format_args!("Received CLIENT_KEY{plus} from {client}"));
            }
            K::ClientKeyRejected { client } => say(
                1,
                format_args!("Failed to verify client key fingerprint of {client}"),
            ),
            K::Unregistered { client } if self.unregistered.has_line(now) => {
                say(1, format_args!("{client} not fully registered at proxy"));
            }
            K::Displaced { client } if self.displaced.has_line(now) => say(
                1,
                format_args!(
                    "{client} made room for others: all places taken, and nothing proved in time"
                ),
            ),
            K::Unregistered { .. } | K::Displaced { .. } => {}
            K::Leave(group) => say(3, format_args!("Leaving {group}")),
            K::Registered { client, again, .. } => {
                let plus = if *again { "+" } else { "" };
                say(2, format_args!("Received REGISTER{plus} from {client}"));
            }
            K::RegisterSent(clients) => {
                say(2, format_args!("REGISTER sent"));
                say(3, format_args!("  for {clients} clients"));
            }
            K::FileInfoAckSent { clients, .. } => {
                say(2, format_args!("FILEINFO_ACK sent"));
                say(3, format_args!("  for {clients} clients"));
            }
            K::NaksSent { section, count, .. } => {
                say(2, format_args!("Sent {count} NAKs for section {section}"));
            }
            K::CompleteSent {
                status, clients, ..
            } => {
                let status = remark(*status);
                say(2, format_args!("Sent COMPLETE{status}"));
                say(3, format_args!("  for {clients} clients"));
            }
            K::AbortedByServer { host, reason } => {
                let reason = printable(reason.as_bytes());
                match host.is_none() {
                    true => say(1, format_args!("Transfer aborted by server: {reason}")),
                    false => say(
                        1,
                        format_args!("Transfer of {host} aborted by server: {reason}"),
                    ),
                }
            }
            K::AbortedByClient { client, reason } => {
                let reason = printable(reason.as_bytes());
                say(1, format_args!("Transfer aborted by {client}: {reason}"));
            }
            K::ClientRefused(client) => say(
                1,
                format_args!("Rejecting REGISTER from {client}: max destinations exceeded"),
            ),
            K::SecondSource(from) => say(
                1,
                format_args!("Rejecting ANNOUNCE from {from}: a loop, or a second server"),
            ),
            K::ShutDown => say(1, format_args!("Proxy shutting down")),
            K::Superseded => say(1, format_args!("Group is resumed by a new run")),
            K::Encrypted => say(1, format_args!("Group begins anew: {UNPROVED}")),
            K::TimedOut => say(1, format_args!("Group timed out")),
            K::Refused { from, reason } => {
                say(1, format_args!("Rejecting session from {from}: {reason}"));
            }
            K::NoDownstream(from) => say(
                1,
                format_args!(
                    "Rejecting message from {from}: downstream address not established; waiting \
                     for a heartbeat with the right key"
                ),
            ),
            K::Downstream(addr) => {
                say(2, format_args!("Heartbeat authentication successful"));
                say(2, format_args!("Using {addr} as downstream address:port"));
            }
            K::HeartbeatRefused(from) => say(
                1,
                format_args!("Failed to verify HB_REQ signature or fingerprint from {from}"),
            ),
            K::HeartbeatAccepted(by) => say(2, format_args!("{}", heartbeats::accepted(*by))),
            K::HeartbeatDenied(by) => say(1, format_args!("{}", heartbeats::denied(*by))),
            K::HeartbeatUnanswered(by) => say(1, format_args!("{}", heartbeats::unanswered(*by))),
            // In a session of protocol 5; the others have standing keys.
            K::ProxyKeySent if event.session.is_some() => {
                say(2, format_args!("Sending PROXY_KEY"));
            }
            K::ProxyKeySent => say(2, format_args!("Sent PROXY_KEY")),
            // What has no classic line, and what is added later, tells itself.
            #[allow(unreachable_patterns)]
            other => say(3, format_args!("{other:?}")),
        }
    }
}

fn remark(status: CompleteStatus) -> &'static str {
    match status {
        CompleteStatus::SKIPPED => " (skipped)",
        CompleteStatus::OVERWRITE => " (overwritten)",
        CompleteStatus::REJECTED => " (rejected)",
        _ => "",
    }
}
