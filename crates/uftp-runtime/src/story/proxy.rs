//! What the log of a proxy says.

use std::time::Instant;

use uftp_proto::wire::CompleteStatus;
use uftp_session::proxy::{ProxyEvent, ProxyEventKind};

use super::crowd::Crowd;
use super::{UNPROVED, heartbeats};
use crate::log::{Tag, printable};
use crate::names::endpoint;
use crate::{say, tell};

/// Tells what a proxy does.
#[derive(Default)]
pub(crate) struct ProxyStory {
    unregistered: Crowd,
    /// It was said why keys may not be taken.
    keys_explained: bool,
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
        let kind = &event.kind;
        let told = self.crowds(now, tag, kind)
            || letting_in(tag, kind)
            || answers(tag, kind)
            || endings(tag, kind)
            || standing(tag, kind);
        if !told {
            // What has no classic line tells itself.
            tell!(tag, 3, "{kind:?}");
        }
    }

    /// Who is let go because it proved nothing. Whether `kind` is of this.
    fn crowds(&mut self, now: Instant, tag: Option<Tag>, kind: &ProxyEventKind) -> bool {
        use ProxyEventKind as K;
        match kind {
            K::Unregistered { client } if self.unregistered.has_line(now) => {
                tell!(tag, 1, "{client} not fully registered at proxy");
                if !std::mem::replace(&mut self.keys_explained, true) {
                    say!(1, "{CAUSES_OF_NO_KEYS}");
                }
            }
            K::Displaced { client } if self.displaced.has_line(now) => tell!(
                tag,
                1,
                "{client} made room for others: all places taken, and nothing proved in time"
            ),
            K::Unregistered { .. } | K::Displaced { .. } => {}
            _ => return false,
        }
        true
    }
}

/// How a session begins and clients are let in. Whether `kind` is of this.
fn letting_in(tag: Option<Tag>, kind: &ProxyEventKind) -> bool {
    use ProxyEventKind as K;
    match kind {
        K::Announced {
            server,
            from,
            public,
            private,
        } => {
            let from = endpoint(*from);
            tell!(tag, 2, "Received request from {:08X} at {from}", server.0);
            if !public.is_unspecified() {
                tell!(tag, 2, "Using public multicast address {public}");
            }
            if let Some(group) = private {
                tell!(tag, 2, "Using private multicast address {group}");
            }
        }
        K::Join(group) => tell!(tag, 3, "Joining {group}"),
        K::JoinFrom { group, sources } => {
            tell!(tag, 3, "Joining {group} from {sources:?}");
        }
        K::Secured(suite) => {
            let weak = suite.weaknesses();
            if !weak.is_empty() {
                let weak = weak.join(", ");
                tell!(tag, 1, "Weak algorithms in use: {weak}");
            }
        }
        K::KeyInfoReceived => tell!(tag, 2, "Received KEYINFO"),
        K::KeyInfoSent(clients) => {
            tell!(tag, 2, "Sending KEYINFO");
            tell!(tag, 3, "  for {clients} clients");
        }
        K::KeyInfoAcked { client } => {
            tell!(tag, 2, "Received KEYINFO_ACK from {client}");
        }
        K::ClientKeyReceived { client, again } => {
            let plus = if *again { "+" } else { "" };
            tell!(tag, 2, "Received CLIENT_KEY{plus} from {client}");
        }
        K::ClientKeyRejected { client } => tell!(
            tag,
            1,
            "Failed to verify client key fingerprint of {client}"
        ),
        K::Leave(group) => tell!(tag, 3, "Leaving {group}"),
        K::Registered { client, again, .. } => {
            let plus = if *again { "+" } else { "" };
            tell!(tag, 2, "Received REGISTER{plus} from {client}");
        }
        K::RegisterSent(clients) => {
            tell!(tag, 2, "REGISTER sent");
            tell!(tag, 3, "  for {clients} clients");
        }
        _ => return false,
    }
    true
}

/// What is answered for clients. Whether `kind` is of this.
fn answers(tag: Option<Tag>, kind: &ProxyEventKind) -> bool {
    use ProxyEventKind as K;
    match kind {
        K::FileInfoAckSent { clients, .. } => {
            tell!(tag, 2, "FILEINFO_ACK sent");
            tell!(tag, 3, "  for {clients} clients");
        }
        K::NaksSent { section, count, .. } => {
            tell!(tag, 2, "Sent {count} NAKs for section {section}");
        }
        K::CompleteSent {
            status, clients, ..
        } => {
            let status = remark(*status);
            tell!(tag, 2, "Sent COMPLETE{status}");
            tell!(tag, 3, "  for {clients} clients");
        }
        _ => return false,
    }
    true
}

/// Who leaves or is refused, and how a session ends. Whether `kind` is of this.
fn endings(tag: Option<Tag>, kind: &ProxyEventKind) -> bool {
    use ProxyEventKind as K;
    match kind {
        K::AbortedByServer { host, reason } => {
            let reason = printable(reason.as_bytes());
            match host.is_none() {
                true => tell!(tag, 1, "Transfer aborted by server: {reason}"),
                false => tell!(tag, 1, "Transfer of {host} aborted by server: {reason}"),
            }
        }
        K::AbortedByClient { client, reason } => {
            let reason = printable(reason.as_bytes());
            tell!(tag, 1, "Transfer aborted by {client}: {reason}");
        }
        K::ClientRefused(client) => tell!(
            tag,
            1,
            "Rejecting REGISTER from {client}: max destinations exceeded"
        ),
        K::SecondSource(from) => tell!(
            tag,
            1,
            "Rejecting ANNOUNCE from {}: a loop, or a second server",
            endpoint(*from)
        ),
        K::ShutDown => tell!(tag, 1, "Proxy shutting down"),
        K::Superseded => tell!(tag, 1, "Group is resumed by a new run"),
        K::Encrypted => tell!(tag, 1, "Group begins anew: {UNPROVED}"),
        K::TimedOut => tell!(tag, 1, "Group timed out"),
        K::Refused { from, reason } => {
            let from = endpoint(*from);
            tell!(tag, 1, "Rejecting session from {from}: {reason}");
        }
        _ => return false,
    }
    true
}

/// What is said outside of sessions, and of the address behind a server proxy. Whether `kind` is of this.
fn standing(tag: Option<Tag>, kind: &ProxyEventKind) -> bool {
    use ProxyEventKind as K;
    match kind {
        K::NoDownstream(from) => tell!(
            tag,
            1,
            "Rejecting message from {}: downstream address not established; waiting \
                     for a heartbeat with the right key",
            endpoint(*from)
        ),
        K::Downstream(addr) => {
            tell!(tag, 2, "Heartbeat authentication successful");
            let addr = endpoint(*addr);
            tell!(tag, 2, "Using {addr} as downstream address:port");
        }
        K::HeartbeatRefused(from) => tell!(
            tag,
            1,
            "Failed to verify HB_REQ signature or fingerprint from {}",
            endpoint(*from)
        ),
        K::HeartbeatAccepted(by) => tell!(tag, 2, "{}", heartbeats::accepted(*by)),
        K::HeartbeatDenied(by) => tell!(tag, 1, "{}", heartbeats::denied(*by)),
        K::HeartbeatUnanswered(by) => tell!(tag, 1, "{}", heartbeats::unanswered(*by)),
        // In a session of protocol 5; the others have standing keys.
        K::ProxyKeySent if tag.is_some() => {
            tell!(tag, 2, "Sending PROXY_KEY");
        }
        K::ProxyKeySent => tell!(tag, 2, "Sent PROXY_KEY"),
        _ => return false,
    }
    true
}

fn remark(status: CompleteStatus) -> &'static str {
    match status {
        CompleteStatus::SKIPPED => " (skipped)",
        CompleteStatus::OVERWRITE => " (overwritten)",
        CompleteStatus::REJECTED => " (rejected)",
        _ => "",
    }
}

/// Why a receiver may not take the keys that it is handed (wire-v5 §9.6).
const CAUSES_OF_NO_KEYS: &str = "Usual causes: its list of senders (uftpd -S) has another key for this \
     proxy; in protocol 5 its list does not name this proxy; packets are lost";
