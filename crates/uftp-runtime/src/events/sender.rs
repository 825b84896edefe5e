//! The events of a sender as JSON objects.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use uftp_proto::{GroupId, Instance, Uid};
use uftp_session::files::SendItem;
use uftp_session::sender::{
    FileOutcome, FileReport, Outcome, Progress, SenderConfig, SenderEvent, Volume,
};

use super::{EventOut, add_name, id, object};
use crate::exit::Exit;
use crate::status::{file_type_word, receiver_word};

/// Between two events of progress.
const PROGRESS: Duration = Duration::from_secs(1);

/// Events of a sender.
pub(crate) struct SenderEvents {
    out: EventOut,
    group: GroupId,
    instance: Instance,
    next_progress: Instant,
}

impl SenderEvents {
    /// Those of a session go to `out`, the first at once: it begins.
    pub(crate) fn begin(out: EventOut, config: &SenderConfig, now: Instant) -> Self {
        let mut events = SenderEvents {
            out,
            group: config.group,
            instance: config.instance,
            next_progress: now + PROGRESS,
        };
        let (public, private) = (config.public, config.private);
        let members = json!({"public": public.to_string(), "private": private.to_string()});
        events.write("session_started", members);
        events
    }

    /// Time passes; now and then this writes how far things are.
    pub(crate) fn turn(&mut self, now: Instant, progress: impl FnOnce() -> Progress) {
        if self.out.is_none() || now < self.next_progress {
            return;
        }
        self.next_progress = now + PROGRESS;
        let p = progress();
        if p.pass == 0 {
            return;
        }
        let mut members = json!({
            "file": p.file.0, "size": p.size, "sent": p.volume.sent, "repaired": p.volume.repaired,
            "pass": p.pass, "rate": p.rate,
            "clients_done": p.clients_done, "clients_active": p.clients_active,
        });
        add_name(&mut members, &p.name);
        self.write("progress", members);
    }

    /// Writes what an event means to programs; `name` says what the operator calls a client.
    pub(crate) fn event(&mut self, event: &SenderEvent, name: impl Fn(Uid) -> String) {
        if self.out.is_none() {
            return;
        }
        let told = match event {
            SenderEvent::Finished(outcome) => Some(finished(*outcome)),
            _ => of_client(event, &name).or_else(|| of_item(event, &name)),
        };
        if let Some((word, members)) = told {
            self.write(word, members);
        }
    }

    fn write(&mut self, word: &str, members: Value) {
        if !self.out.is_none() {
            let session = Some((self.group, self.instance));
            let object = object(word, session, members);
            self.out.write(object);
        }
    }
}

fn finished(outcome: Outcome) -> (&'static str, Value) {
    let code = Exit::from(outcome) as u8;
    let members = json!({"outcome": ending(outcome), "exit_code": code});
    ("session_finished", members)
}

/// What there is to write of a receiver or proxy.
fn of_client(event: &SenderEvent, name: impl Fn(Uid) -> String) -> Option<(&'static str, Value)> {
    use SenderEvent as E;
    let client = |uid: Uid| json!({"client": id(uid), "client_name": name(uid)});
    let with = |uid: Uid, more: Value| {
        let mut members = client(uid);
        if let (Value::Object(members), Value::Object(more)) = (&mut members, more) {
            members.extend(more);
        }
        members
    };
    Some(match event {
        E::Registered {
            client: uid,
            proxy,
            again: false,
        } => (
            "client_registered",
            with(*uid, json!({"proxy": proxy.map(id)})),
        ),
        E::ClientKeyRejected { client: uid } => (
            "client_refused",
            with(*uid, json!({"reason": "key fingerprint mismatch"})),
        ),
        E::TurnedAway {
            client: uid,
            reason,
        } => ("client_refused", with(*uid, json!({"reason": reason}))),
        E::Declined {
            client: uid,
            reason,
        } => ("client_declined", with(*uid, json!({"reason": reason}))),
        E::DuplicateUid { client: uid } => ("client_doubled", client(*uid)),
        E::ReportsUnreadable { proxy } => ("reports_unreadable", json!({"proxy": id(*proxy)})),
        E::Connect {
            client: uid,
            connected,
            ..
        } => (
            "client_connected",
            with(*uid, json!({"connected": connected})),
        ),
        E::ClientLost {
            client: uid,
            waiting_for,
        } => (
            "client_lost",
            with(*uid, json!({"waiting_for": waiting_for})),
        ),
        E::ClientAborted {
            client: uid,
            reason,
            by_client,
        } => (
            "client_aborted",
            with(*uid, json!({"reason": reason, "by_client": by_client})),
        ),
        _ => return None,
    })
}

/// What there is to write of a file, a directory or whatever else is sent.
fn of_item(event: &SenderEvent, name: impl Fn(Uid) -> String) -> Option<(&'static str, Value)> {
    use SenderEvent as E;
    Some(match event {
        E::FileStarted {
            file,
            item,
            blocks,
            sections,
        } => {
            let more = json!({"file": file.0, "blocks": blocks, "sections": sections});
            ("file_started", described(item, more))
        }
        E::FileSkipped { item, reason } => {
            ("file_skipped", described(item, json!({"reason": reason})))
        }
        E::PassStarted { pass } => ("pass_started", json!({"pass": pass})),
        E::RateStepped { rate, lost, sent } => (
            "rate_stepped",
            json!({"rate": rate, "lost": lost, "sent": sent}),
        ),
        E::FileFinished {
            file,
            item,
            elapsed,
            volume: Volume { sent, repaired },
            results,
        } => {
            let results: Vec<_> = results.iter().map(|r| result(r, &name)).collect();
            let seconds = elapsed.as_secs_f64();
            let more = json!({
                "file": file.0, "seconds": seconds, "sent": sent, "repaired": repaired,
                "results": results,
            });
            ("file_finished", described(item, more))
        }
        _ => return None,
    })
}

fn described(item: &SendItem, mut members: Value) -> Value {
    if let Value::Object(members) = &mut members {
        members.insert("source".to_owned(), item.source.clone().into());
        members.insert("type".to_owned(), file_type_word(item.file_type).into());
        members.insert("size".to_owned(), item.size.into());
    }
    add_name(&mut members, &item.name);
    members
}

fn result(report: &FileReport, name: impl Fn(Uid) -> String) -> Value {
    json!({
        "client": id(report.client),
        "client_name": name(report.client),
        "status": match report.outcome {
            FileOutcome::Mute => "mute",
            FileOutcome::Lost => "lost",
            FileOutcome::Aborted => "aborted",
            FileOutcome::Completed(status) => receiver_word(status),
        },
        "seconds": report.elapsed.as_secs_f64(),
        "free_space": report.free_space,
    })
}

fn ending(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Success => "success",
        Outcome::Interrupted => "interrupted",
        Outcome::NoKeys => "no_keys",
        Outcome::NobodyRegistered => "nobody_registered",
        Outcome::NobodyReady => "nobody_ready",
        Outcome::AllDropped => "all_dropped",
        Outcome::NothingAccepted => "nothing_accepted",
    }
}
