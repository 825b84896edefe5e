//! The events of a proxy as JSON objects.

use std::net::SocketAddr;

use serde_json::{Value, json};
use uftp_session::proxy::{ProxyEvent, ProxyEventKind};

use super::{EventOut, id, object};
use crate::proxy_sessions::Closed;
use crate::status::receiver_word;

/// Events of a proxy.
pub(crate) struct ProxyEvents {
    out: EventOut,
}

impl ProxyEvents {
    /// They go to `out`.
    pub(crate) fn new(out: EventOut) -> Self {
        ProxyEvents { out }
    }

    /// Opens the file anew.
    pub(crate) fn reopen(&mut self) {
        self.out.reopen();
    }

    /// Writes what an event means to programs; `closed` is the session that is over by it.
    pub(crate) fn event(&mut self, event: &ProxyEvent, closed: Option<&Closed>) {
        if self.out.is_none() {
            return;
        }
        let told = match closed {
            Some(closed) => Some(finished(closed)),
            None => happened(&event.kind),
        };
        if let Some((word, members)) = told {
            let session = event.session.map(|id| (id.group, id.instance));
            self.out.write(object(word, session, members));
        }
    }
}

fn finished(closed: &Closed) -> (&'static str, Value) {
    let Closed {
        outcome,
        reason,
        clients,
    } = closed;
    let members = json!({"outcome": outcome, "reason": reason, "clients": clients});
    ("session_finished", members)
}

fn happened(kind: &ProxyEventKind) -> Option<(&'static str, Value)> {
    use ProxyEventKind as K;
    Some(match kind {
        K::Announced {
            server,
            from,
            public,
            private,
        } => {
            let address = from.ip().to_canonical();
            let public = Some(public).filter(|group| !group.is_unspecified());
            let members = json!({"server": id(*server), "address": address, "public": public, "private": private});
            ("session_started", members)
        }
        K::Refused { from, reason } => {
            let address = from.ip().to_canonical();
            let members = json!({"address": address, "reason": reason});
            ("session_refused", members)
        }
        K::Registered {
            client,
            again: false,
            ..
        } => ("client_registered", json!({"client": id(*client)})),
        K::ClientKeyRejected { client } => {
            let reason = "key fingerprint mismatch";
            let members = json!({"client": id(*client), "reason": reason});
            ("client_refused", members)
        }
        K::ClientRefused(client) => {
            let members = json!({"client": id(*client), "reason": "too many receivers"});
            ("client_refused", members)
        }
        K::Unregistered { client } => {
            let members = json!({"client": id(*client), "waiting_for": "KEYINFO_ACK"});
            ("client_lost", members)
        }
        K::Displaced { client } => {
            let members = json!({"client": id(*client), "waiting_for": "a place"});
            ("client_lost", members)
        }
        K::AbortedByClient { client, reason } => {
            let members = json!({"client": id(*client), "reason": reason, "by_client": true});
            ("client_aborted", members)
        }
        K::AbortedByServer { host, reason } if !host.is_none() => {
            let members = json!({"client": id(*host), "reason": reason, "by_client": false});
            ("client_aborted", members)
        }
        K::NaksSent {
            file,
            section,
            count,
        } => {
            let members = json!({"file": file.0, "section": section, "blocks": count});
            ("naks_sent", members)
        }
        K::CompleteSent {
            file,
            status,
            clients,
        } => {
            let status = receiver_word(*status);
            let members = json!({"file": file.0, "status": status, "clients": clients});
            ("complete_sent", members)
        }
        K::Downstream(addr) => ("downstream_found", place(addr)),
        K::HeartbeatRefused(from) => ("heartbeat_refused", place(from)),
        K::HeartbeatAccepted(by) => ("heartbeat_accepted", place(by)),
        K::HeartbeatDenied(by) => ("heartbeat_denied", place(by)),
        K::HeartbeatUnanswered(by) => ("heartbeat_unanswered", place(by)),
        _ => return None,
    })
}

fn place(addr: &SocketAddr) -> Value {
    json!({"address": addr.ip().to_canonical(), "port": addr.port()})
}
