//! The status lines of a sender (cli §6.3).

use std::collections::HashMap;
use std::time::Duration;

use uftp_proto::Uid;
use uftp_proto::wire::CompleteStatus;
use uftp_session::files::SendItem;
use uftp_session::sender::{
    FileOutcome, FileReport, Outcome, Rate, SenderConfig, SenderEvent, SyncMode,
};

use super::{StatusOut, line_about};
use crate::log::printable;
use crate::story::speed;

/// Status lines of a sender.
pub(crate) struct SenderStatus {
    out: StatusOut,
    /// In the order in which they were first told of.
    clients: Vec<Totals>,
    index: HashMap<Uid, usize>,
    /// Lines on an item that nobody has taken: not written if nobody was ready for it.
    held: Vec<Vec<u8>>,
    /// Bytes per second that are told of all items, which are only previewed.
    preview: Option<u64>,
}

/// What one receiver has taken.
struct Totals {
    client: Uid,
    copied: u64,
    overwritten: u64,
    skipped: u64,
    bytes: u64,
    time: Duration,
}

impl SenderStatus {
    /// Lines go to `out`.
    pub(crate) fn new(out: StatusOut) -> Self {
        SenderStatus {
            out,
            clients: Vec::new(),
            index: HashMap::new(),
            held: Vec::new(),
            preview: None,
        }
    }

    /// If nothing is really sent (`-Z`), the rate it would be sent at is told.
    #[must_use]
    pub(crate) fn of_session(mut self, config: &SenderConfig) -> Self {
        self.preview = match (config.sync, config.rate) {
            (SyncMode::Preview, Rate::Fixed(rate)) => Some(rate),
            _ => None,
        };
        self
    }

    /// Writes what an event means; `name` says what the operator calls a client.
    pub(crate) fn event(&mut self, event: &SenderEvent, name: impl Fn(Uid) -> String) {
        if matches!(self.out, StatusOut::None) {
            return;
        }
        let name = |uid| printable(name(uid).as_bytes());
        match event {
            SenderEvent::Connect {
                client,
                proxy,
                connected,
            } => {
                if !proxy {
                    self.totals(*client);
                }
                let word = if *connected { "success" } else { "failed" };
                let line = format!("CONNECT;{word};{}", name(*client));
                self.out.write_line(line);
            }
            SenderEvent::FileFinished { item, results, .. } => {
                let mut taken = false;
                for report in results {
                    self.result(item, report, name(report.client));
                    taken |= matches!(report.outcome, FileOutcome::Completed(_));
                }
                if taken {
                    self.write_held();
                }
            }
            SenderEvent::FileStarted { .. } | SenderEvent::Finishing => self.write_held(),
            // The exit code says it all, as in 4.10.2 (cli §6.3).
            SenderEvent::Finished(Outcome::NobodyReady) => self.held.clear(),
            // Scripts take these lines for the proof that the session ended well.
            SenderEvent::Finished(Outcome::Success | Outcome::NothingAccepted) => {
                self.write_held();
                self.out.write_line(
                    "HSTATS;target;copy;overwrite;skip;totalMB;time;speedKB/s".to_owned(),
                );
                for totals in &self.clients {
                    let speed = self.speed(totals.bytes, totals.time);
                    self.out
                        .write_line(totals.line(&name(totals.client), &speed));
                }
            }
            SenderEvent::Finished(_) => self.write_held(),
            _ => {}
        }
    }

    /// Writes the lines on the last item, after all.
    fn write_held(&mut self) {
        for line in self.held.drain(..) {
            self.out.write_line(line);
        }
    }

    fn speed(&self, bytes: u64, time: Duration) -> String {
        let speed = match self.preview {
            Some(rate) => speed(rate, 1.0),
            None => speed(bytes, time.as_secs_f64()),
        };
        format!("{speed:.2}KB/s")
    }

    /// What this receiver has taken so far.
    fn totals(&mut self, client: Uid) -> Option<&mut Totals> {
        let at = *self.index.entry(client).or_insert_with(|| {
            self.clients.push(Totals::new(client));
            self.clients.len() - 1
        });
        self.clients.get_mut(at)
    }

    fn result(&mut self, item: &SendItem, report: &FileReport, client: String) {
        if let Some(totals) = self.totals(report.client) {
            totals.add(item.size, report);
        }
        let rate = || self.speed(item.size, report.elapsed);
        let (word, rate) = match report.outcome {
            FileOutcome::Mute => ("mute", String::new()),
            FileOutcome::Lost => ("lost", String::new()),
            FileOutcome::Aborted => ("aborted", String::new()),
            FileOutcome::Completed(CompleteStatus::NORMAL) => ("copy", rate()),
            FileOutcome::Completed(CompleteStatus::OVERWRITE) => ("overwritten", rate()),
            FileOutcome::Completed(CompleteStatus::SKIPPED) => ("skipped", String::new()),
            FileOutcome::Completed(CompleteStatus::REJECTED) => ("rejected", String::new()),
            FileOutcome::Completed(_) => ("Unknown", String::new()),
        };
        let before = format!("RESULT;{client};");
        let after = format!(";{}KB;{word};{rate}", item.size / 1024);
        self.held.push(line_about(&before, &item.name, &after));
        if let Some(free) = report.free_space {
            let after = format!(";{free}");
            self.held.push(line_about("FREESPACE;", &item.name, &after));
        }
    }
}

/// A session that ends without a word of it has lines, too.
impl Drop for SenderStatus {
    fn drop(&mut self) {
        self.write_held();
    }
}

impl Totals {
    fn new(client: Uid) -> Self {
        Totals {
            client,
            copied: 0,
            overwritten: 0,
            skipped: 0,
            bytes: 0,
            time: Duration::ZERO,
        }
    }

    fn add(&mut self, size: u64, report: &FileReport) {
        let FileOutcome::Completed(status) = report.outcome else {
            return;
        };
        let taken = match status {
            CompleteStatus::NORMAL => &mut self.copied,
            CompleteStatus::OVERWRITE => &mut self.overwritten,
            CompleteStatus::SKIPPED => {
                self.skipped += 1;
                return;
            }
            _ => return,
        };
        *taken += 1;
        self.bytes = self.bytes.saturating_add(size);
        self.time = self.time.saturating_add(report.elapsed);
    }

    fn line(&self, name: &str, speed: &str) -> String {
        let seconds = self.time.as_secs_f64();
        format!(
            "STATS;{name};{};{};{};{}MB;{seconds:.3};{speed}",
            self.copied,
            self.overwritten,
            self.skipped,
            self.bytes / 1_048_576,
        )
    }
}
