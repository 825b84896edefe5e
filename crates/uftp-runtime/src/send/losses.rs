//! What goes wrong in a session that goes well for somebody.

use std::collections::HashSet;

use uftp_proto::Uid;
use uftp_proto::wire::CompleteStatus;
use uftp_session::sender::{FileOutcome, SenderEvent};

use crate::exit::Exit;
use crate::source::Skipped;

/// What `--strict` counts as a failure though others fared well.
#[derive(Clone, Default)]
pub(super) struct Losses {
    /// A receiver never came, was lost or aborted.
    client: bool,
    /// Those who would not come, and have not come since.
    declined: HashSet<Uid>,
    /// An item could not be sent, or was rejected.
    item: bool,
}

impl Losses {
    /// Takes in what has happened.
    pub(super) fn note(&mut self, event: &SenderEvent) {
        use SenderEvent as E;
        match event {
            E::Connect {
                connected: false, ..
            }
            | E::ClientLost { .. }
            | E::ClientAborted { .. }
            | E::ClientKeyRejected { .. } => self.client = true,
            E::Declined { client, .. } => {
                self.declined.insert(*client);
            }
            E::Registered { client, .. } => {
                self.declined.remove(client);
            }
            E::FileSkipped { .. } => self.item = true,
            E::FileFinished { results, .. } => {
                for report in results {
                    match report.outcome {
                        FileOutcome::Completed(
                            CompleteStatus::NORMAL
                            | CompleteStatus::OVERWRITE
                            | CompleteStatus::SKIPPED,
                        ) => {}
                        // Rejected, or nobody knows what.
                        FileOutcome::Completed(_) => self.item = true,
                        _ => self.client = true,
                    }
                }
            }
            _ => {}
        }
    }

    /// The exit code of a session that went well for some, `skipped` items of which were never
    /// offered.
    pub(super) fn exit(&self, skipped: &Skipped) -> Exit {
        if self.client || !self.declined.is_empty() {
            Exit::AllDropped
        } else if self.item || skipped.count() > 0 {
            Exit::NothingAccepted
        } else {
            Exit::Success
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declined(client: u32) -> SenderEvent {
        SenderEvent::Declined {
            client: Uid(client),
            reason: String::new(),
        }
    }

    fn registered(client: u32) -> SenderEvent {
        SenderEvent::Registered {
            client: Uid(client),
            proxy: None,
            again: false,
        }
    }

    fn lost(client: u32) -> SenderEvent {
        SenderEvent::ClientLost {
            client: Uid(client),
            waiting_for: "FILEINFO",
        }
    }

    #[test]
    fn who_comes_after_all_is_no_loss() {
        for (events, exit) in [
            (&[registered(1)][..], Exit::Success),
            (&[declined(1), registered(2)], Exit::AllDropped),
            (&[declined(1), registered(1)], Exit::Success),
            (&[registered(1), declined(1)], Exit::AllDropped),
            (&[registered(1), lost(1), registered(1)], Exit::AllDropped),
        ] {
            let mut losses = Losses::default();
            events.iter().for_each(|event| losses.note(event));
            assert_eq!(losses.exit(&Skipped::default()), exit, "{events:?}");
        }
    }
}
