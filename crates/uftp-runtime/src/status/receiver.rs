//! The status lines of a receiver (cli §6.3).

use std::collections::HashMap;

use uftp_proto::Uid;
use uftp_proto::wire::CompleteStatus;
use uftp_session::SessionId;
use uftp_session::receiver::{ReceiverEvent, ReceiverEventKind};

use super::{StatusOut, line_about};
use crate::log::time;
use crate::names::shown;

/// Status lines of a receiver.
pub(crate) struct ReceiverStatus {
    out: StatusOut,
    pub(super) servers: HashMap<SessionId, Uid>,
}

impl ReceiverStatus {
    /// Lines go to `out`.
    pub(crate) fn new(out: StatusOut) -> Self {
        ReceiverStatus {
            out,
            servers: HashMap::new(),
        }
    }

    /// Opens the file anew.
    pub(crate) fn reopen(&mut self) {
        self.out.reopen();
    }

    /// Writes what an event means; `host` is the name of the sender's host, if it says where
    /// that is.
    pub(crate) fn event(&mut self, event: &ReceiverEvent, host: &str) {
        let wanted = !matches!(self.out, StatusOut::None);
        let Some(session) = event.session.filter(|_| wanted) else {
            return;
        };
        let group = session.group;
        match &event.kind {
            ReceiverEventKind::Announced { server, from, .. } => {
                self.servers.insert(session, *server);
                let ip = shown(*from);
                self.out.write_line(format!(
                    "CONNECT;{};{:08X};{group};{ip};{host}",
                    time::status_stamp(),
                    server.0
                ));
            }
            ReceiverEventKind::FileFinished {
                name, size, status, ..
            } => {
                let server = self.servers.get(&session).copied();
                let (stamp, server) = (time::status_stamp(), server.unwrap_or_default().0);
                let before = format!("RESULT;{stamp};{server:08X};{group};");
                let after = format!(";{}KB;{}", size / 1024, receiver_word(*status));
                self.out.write_line(line_about(&before, name, &after));
            }
            ReceiverEventKind::Ended(_) => {
                self.servers.remove(&session);
            }
            _ => {}
        }
    }
}

/// Whether an item that ended so was received, and not there before or refused.
pub(crate) fn was_received(status: CompleteStatus) -> bool {
    matches!(status, CompleteStatus::NORMAL | CompleteStatus::OVERWRITE)
}

/// What a receiver calls the end of an item.
pub(crate) fn receiver_word(status: CompleteStatus) -> &'static str {
    match status {
        CompleteStatus::OVERWRITE => "overwritten",
        CompleteStatus::SKIPPED => "skipped",
        CompleteStatus::REJECTED => "rejected",
        CompleteStatus::NORMAL => "copied",
        _ => "unknown",
    }
}
