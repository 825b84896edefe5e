//! The events of a receiver as JSON objects.

use std::collections::HashMap;

use serde_json::{Value, json};
use uftp_proto::FileId;
use uftp_session::SessionId;
use uftp_session::receiver::{EndReason, ReceiverEvent, ReceiverEventKind};

use super::{EventOut, add_name, id, object};
use crate::status::{file_type_word, receiver_word, was_received};
use crate::story::UNPROVED;

/// Events of a receiver.
pub(crate) struct ReceiverEvents {
    out: EventOut,
    /// Bytes received in each session.
    received: HashMap<SessionId, u64>,
}

impl ReceiverEvents {
    /// They go to `out`.
    pub(crate) fn new(out: EventOut) -> Self {
        ReceiverEvents {
            out,
            received: HashMap::new(),
        }
    }

    /// Opens the file anew.
    pub(crate) fn reopen(&mut self) {
        self.out.reopen();
    }

    /// Writes what an event means to programs; `host` is the name of the sender's host, if it
    /// says where that is.
    pub(crate) fn event(&mut self, event: &ReceiverEvent, host: &str) {
        use ReceiverEventKind as K;
        let Some(session) = event.session.filter(|_| !self.out.is_none()) else {
            return;
        };
        let (word, mut members) = match &event.kind {
            K::Announced {
                server,
                from,
                private,
            } => {
                self.received.insert(session, 0);
                let address = from.ip().to_canonical();
                let members = json!({"server": id(*server), "address": address, "host": host, "private": private});
                ("session_started", members)
            }
            K::Confirmed => ("session_confirmed", json!({})),
            K::FileStarted {
                name,
                file_type,
                size,
                blocks,
                sections,
            } => {
                let kind = file_type_word(*file_type);
                let mut members =
                    json!({"type": kind, "size": size, "blocks": blocks, "sections": sections});
                add_name(&mut members, name);
                ("file_started", members)
            }
            K::NaksSent { section, count } => {
                ("naks_sent", json!({"section": section, "blocks": count}))
            }
            K::FileFinished {
                name,
                file_type,
                size,
                status,
                note,
            } => {
                if was_received(*status)
                    && let Some(received) = self.received.get_mut(&session)
                {
                    *received = received.saturating_add(*size);
                }
                let kind = file_type_word(*file_type);
                let word = receiver_word(*status);
                let mut members =
                    json!({"type": kind, "size": size, "status": word, "reason": note});
                add_name(&mut members, name);
                ("file_finished", members)
            }
            K::FileFailed { name, reason } => {
                let mut members = json!({"reason": reason});
                add_name(&mut members, name);
                ("file_failed", members)
            }
            K::Ended(reason) => {
                let (word, detail) = ending(reason);
                let bytes = self.received.remove(&session).unwrap_or(0);
                let members = json!({"outcome": word, "reason": detail, "bytes": bytes});
                ("session_finished", members)
            }
            _ => return,
        };
        if event.file != FileId::SESSION
            && let Value::Object(members) = &mut members
        {
            members.insert("file".to_owned(), event.file.0.into());
        }
        let SessionId { group, instance } = session;
        self.out
            .write(object(word, Some((group, instance)), members));
    }
}

fn ending(reason: &EndReason) -> (&'static str, Option<String>) {
    match reason {
        EndReason::Confirmed => ("confirmed", None),
        EndReason::Unconfirmed => ("unconfirmed", None),
        EndReason::AbortedByServer(why) => ("aborted_by_sender", Some(why.clone())),
        EndReason::Aborted(why) => ("aborted", Some(why.clone())),
        EndReason::Superseded(instance) => {
            let later = format!("the sender has begun instance {}", instance.0);
            ("superseded", Some(later))
        }
        EndReason::Encrypted => ("superseded", Some(UNPROVED.to_owned())),
    }
}
