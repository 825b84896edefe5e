//! The announce phase: who takes part (behaviour-sender-receiver §3.3).

use std::net::SocketAddr;
use std::time::Instant;

use uftp_proto::Uid;
use uftp_proto::wire::{Message, Register};

use super::clients::State;
use super::event::{Outcome, SenderEvent};
use super::list::ListMessage;
use super::session::Session;
use super::{DROPPED_OUT, Next, until};
use crate::counters::Refusal;
use crate::grtt::Decay;

/// The announce phase.
#[derive(Debug)]
pub(super) struct Announcing {
    stage: Stage,
    /// ANNOUNCE cycle, from 1.
    attempt: u32,
    /// REG_CONF repetitions.
    confirmations: u32,
    timer: Option<Instant>,
}

#[derive(Debug)]
enum Stage {
    /// Announcing again and again; the timer ends a cycle.
    Calling,
    /// Everybody is there; the timer ends the wait for late duplicates, which lasts no longer
    /// than to the given instant.
    Lingering(Instant),
}

impl Announcing {
    pub(super) fn start(s: &mut Session) -> Self {
        let mut phase = Announcing {
            stage: Stage::Calling,
            attempt: 0,
            confirmations: 0,
            timer: None,
        };
        phase.call(s);
        phase
    }

    pub(super) fn timer(&self) -> Option<Instant> {
        self.timer
    }

    /// All queued lists are out: the time to wait for answers begins.
    pub(super) fn lists_sent(&mut self, s: &Session, now: Instant) {
        self.timer = Some(match self.stage {
            Stage::Calling => now + s.cycle(),
            Stage::Lingering(limit) => (now + s.advertised_grtt()).min(limit),
        });
    }

    pub(super) fn handle(
        &mut self,
        s: &mut Session,
        now: Instant,
        from: SocketAddr,
        at: usize,
        message: &Message<'_>,
    ) {
        match message {
            Message::Register(register) => self.register(s, now, from, at, register),
            _ => s.counters.refuse(Refusal::OutOfPlace),
        }
    }

    pub(super) fn advance(&mut self, s: &mut Session, now: Instant) -> Next {
        if s.config.quit_on_error && s.lost_one {
            return self.fail(s, "A client aborted, aborting all");
        }
        match self.stage {
            Stage::Calling if everybody_is_in(s) => {
                s.update_grtt(Decay::FirstFree);
                self.stage = Stage::Lingering(now + s.cycle() * s.robust());
                self.confirm(s);
                Next::Stay
            }
            Stage::Calling if until(self.timer, now) => {
                s.update_grtt(Decay::FirstFree);
                if self.attempt < s.robust() {
                    self.call(s);
                    Next::Stay
                } else {
                    self.end(s)
                }
            }
            Stage::Lingering(_) if until(self.timer, now) => self.end(s),
            _ => Next::Stay,
        }
    }

    /// Begins a cycle.
    fn call(&mut self, s: &mut Session) {
        self.attempt += 1;
        self.timer = None;
        if self.attempt > 1 {
            self.confirm(s);
        }
        s.send_list(ListMessage::Announce, self.attempt);
    }

    /// Tells the newly registered that they are known.
    fn confirm(&mut self, s: &mut Session) {
        self.confirmations += 1;
        self.timer = None;
        s.send_list(ListMessage::RegConf, self.confirmations);
    }

    fn register(
        &mut self,
        s: &mut Session,
        now: Instant,
        from: SocketAddr,
        at: usize,
        register: &Register,
    ) {
        if !self.registrable(s, at) {
            s.counters.refuse(Refusal::OutOfPlace);
            return;
        }
        let proxy = s.clients.get(at).is_some_and(|c| c.proxy);
        if !register.clients.is_empty() && !proxy {
            if !s.is_open() || s.clients.state(at) != Some(State::Mute) {
                s.counters.refuse(Refusal::OutOfPlace);
                s.abort_client(at, "Specified multiple clients but not a proxy");
                return;
            }
            s.clients.make_proxy(at);
        }
        s.measure(at, now, register.echo);
        self.admit(s, at, None);
        for &uid in &register.clients {
            match find_or_add(s, uid) {
                Some(client) if client != at && self.registrable(s, client) => {
                    s.measure(client, now, register.echo);
                    self.admit(s, client, Some(at));
                }
                Some(_) => s.counters.refuse(Refusal::OutOfPlace),
                None => s.refuse(now, from, uid, "Not in host list"),
            }
        }
        if let Stage::Lingering(_) = self.stage {
            self.confirm(s);
        }
    }

    /// Whether a destination may still register.
    fn registrable(&self, s: &Session, at: usize) -> bool {
        let state = s.clients.state(at);
        state.is_some_and(|s| matches!(s, State::Mute | State::Registered | State::Active))
    }

    /// A destination has registered, by itself or through a proxy.
    fn admit(&self, s: &mut Session, at: usize, via: Option<usize>) {
        let again = s.clients.state(at) != Some(State::Mute);
        s.clients.set_state(at, State::Active);
        let proxy = via.and_then(|via| s.clients.get(via)).map(|c| c.uid);
        if let Some(client) = s.clients.get_mut(at) {
            client.confirmed = false;
            client.via = via;
            let client = client.uid;
            s.events.push_back(SenderEvent::Registered {
                client,
                proxy,
                again,
            });
        }
    }

    fn end(&mut self, s: &mut Session) -> Next {
        s.update_grtt(Decay::Gradual);
        s.clients.clear_measured();
        for at in s.clients.places(|c| c.state() == State::Registered) {
            s.lose(at, "ANNOUNCE");
        }
        let missing = [State::Mute, State::Lost, State::Aborted];
        if s.config.quit_on_error && s.clients.destinations_in(&missing) > 0 {
            return self.fail(s, DROPPED_OUT);
        }
        if s.clients.receivers_in(&[State::Active]) == 0 {
            report_connections(s, |_| false);
            return Next::Over(Outcome::NobodyRegistered);
        }
        // Those who came in during the last cycle.
        self.confirm(s);
        report_connections(s, |state| state == State::Active);
        Next::Item
    }

    fn fail(&mut self, s: &mut Session, reason: &'static str) -> Next {
        report_connections(s, |_| false);
        s.abort_all(reason);
        Next::Over(Outcome::NobodyRegistered)
    }
}

/// Whether there is nobody left to wait for.
fn everybody_is_in(s: &Session) -> bool {
    if s.is_open() {
        let active = s.clients.receivers_in(&[State::Active]);
        return s.config.min_clients.is_some_and(|min| active >= min.max(1));
    }
    s.clients.destinations_in(&[State::Active, State::Aborted]) == s.clients.len()
}

/// The destination of this id; in an open group a new one if need be.
pub(super) fn find_or_add(s: &mut Session, uid: Uid) -> Option<usize> {
    match s.clients.find(uid) {
        None if s.is_open() => s.clients.add(uid, None, false),
        found => found,
    }
}

fn report_connections(s: &mut Session, connected: impl Fn(State) -> bool) {
    let report = |client: &super::clients::Client| SenderEvent::Connect {
        client: client.uid,
        connected: connected(client.state()),
    };
    s.events.extend(s.clients.iter().map(report));
}
