//! Why a session does not simply go on, and what it is lent.

use std::collections::VecDeque;
use std::io;

use uftp_proto::FileId;

use crate::counters::{Counters, Refusal};
use crate::receiver::event::{EndReason, ReceiverEvent, ReceiverEventKind};
use crate::security::Secrets;
use crate::table::SessionId;

/// What the machine lends its sessions.
pub(in crate::receiver) struct Surroundings<'a> {
    pub(in crate::receiver) secrets: &'a mut dyn Secrets,
    pub(in crate::receiver) cache_size: usize,
    pub(in crate::receiver) events: &'a mut VecDeque<ReceiverEvent>,
    pub(in crate::receiver) counters: &'a mut Counters,
}

impl Surroundings<'_> {
    pub(in crate::receiver) fn tell(
        &mut self,
        session: SessionId,
        file: FileId,
        kind: ReceiverEventKind,
    ) {
        self.events.push_back(ReceiverEvent {
            session: Some(session),
            file,
            kind,
        });
    }
}

/// Why a session did not simply go on.
#[derive(Debug)]
pub(in crate::receiver) enum Stop {
    /// The packet is not acted upon.
    Refused(Refusal),
    /// The session is over. Boxed, so that [`Handled`], which every packet has one of, is small.
    End(Box<EndReason>),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Stop::Refused(refusal)
    }
}

impl From<EndReason> for Stop {
    fn from(reason: EndReason) -> Self {
        Stop::End(Box::new(reason))
    }
}

impl Stop {
    /// We end the session; the sender is told why.
    pub(in crate::receiver) fn abort(reason: impl Into<String>) -> Self {
        EndReason::Aborted(reason.into()).into()
    }

    /// The disk fails: nothing more can be received, and nothing reported that is not there.
    pub(in crate::receiver) fn disk(error: &io::Error) -> Self {
        Stop::abort(match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => NO_SPACE.to_owned(),
            _ => format!("Error writing file: {error}"),
        })
    }
}

const NO_SPACE: &str = "Not enough disk space";

/// What becomes of a message, or of a deadline.
pub(in crate::receiver) type Handled = Result<(), Stop>;
