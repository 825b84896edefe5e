//! The sending side of a session.
//!
//! [`Sender`] goes through phases, each a type of its own in a module of its own:
//!
//! ```text
//! Announcing ─▶ Informing ─▶ Transfer ─▶ … next item … ─▶ Closing ─▶ over
//!                   └── nothing to transfer ──▶ next item
//! ```
//!
//! The data of small files goes before FILEINFO is answered (`ahead`); if somebody lost that, the
//! transfer leads back to it.
//!
//! A phase has three entrances: `handle` takes in a message of a known destination, `lists_sent`
//! starts the wait for answers once all queued messages are out, `advance` does what the state of
//! affairs and the time call for. Who it is that speaks, and whether it may be believed, is found out
//! before (`receive`). What outlives a phase is in `session`.

mod ahead;
mod announce;
mod clients;
mod completion;
mod config;
mod congestion;
mod course;
mod event;
mod fileinfo;
mod list;
mod rate;
mod receive;
mod report;
mod rounds;
mod security;
mod self_clock;
mod session;
mod steps;
mod time_limit;
mod transfer;
mod unfinished;

use std::net::SocketAddr;
use std::time::Instant;

use rand::rngs::StdRng;
use uftp_proto::{Ecn, FileId, Uid};

use self::announce::Announcing;
use self::clients::State;
use self::completion::Closing;
use self::fileinfo::Informing;
use self::session::{Data, Session};
use self::transfer::Transfer;
use crate::batch::Batch;
use crate::clock::Clock;
use crate::counters::Counters;
use crate::files::FileSource;
use crate::policy::Policy;
use crate::security::{Fresh, Secrets};

pub use config::{ClientEntry, GrttBounds, NakLimit, Rate, SenderConfig, SyncMode};
pub use event::{FileOutcome, FileReport, Outcome, SenderEvent};
pub use report::{Progress, Volume};
pub use steps::{RateSteps, RateTable};

/// What a host is told that a closed group does not name.
const NOT_LISTED: &str = "Not in host list";

/// The sending side of one session.
pub struct Sender<S> {
    session: Session,
    source: S,
    phase: Phase,
    /// Number of the last item.
    file: FileId,
    /// Every item is over.
    all_sent: bool,
}

enum Phase {
    Announcing(Announcing),
    Informing(Box<Informing>),
    Transfer(Box<Transfer>),
    Closing(Closing),
    Over,
}

/// Where a phase leads.
enum Next {
    /// Nowhere yet.
    Stay,
    /// To the next item, or to the end if there is none.
    Item,
    /// To the data of this item.
    Transfer(Box<Transfer>),
    /// Back to those who have not answered FILEINFO.
    Inform(Box<Informing>),
    /// Nowhere any more.
    Over(Outcome),
}

impl<S: FileSource> Sender<S> {
    /// A sender that begins to announce at once.
    pub fn new(config: SenderConfig, source: S, clock: Clock, rng: StdRng, now: Instant) -> Self {
        Sender::with_secrets(config, source, clock, &mut Fresh(rng), now)
    }

    /// As [`new`](Self::new), with the secrets of the session from here: for tests that play
    /// recorded sessions again.
    pub fn with_secrets(
        config: SenderConfig,
        source: S,
        clock: Clock,
        secrets: &mut dyn Secrets,
        now: Instant,
    ) -> Self {
        let policy = Policy::of(config.version);
        let (mut session, failed) = Session::new(config, policy, clock, secrets, now);
        let phase = Phase::Announcing(Announcing::start(&mut session));
        let mut sender = Sender {
            session,
            source,
            phase,
            file: FileId::SESSION,
            all_sent: false,
        };
        if let Some(error) = failed {
            tracing::error!(%error, "cannot encrypt the session");
            sender.end(Outcome::NoKeys);
        }
        sender
    }

    /// Takes in a datagram that arrived at `now`.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        from: SocketAddr,
        _ecn: Ecn,
        datagram: &mut [u8],
    ) {
        self.session.now = self.session.now.max(now);
        self.session.counters.received += 1;
        if let Err(why) = self.receive(now, from, datagram) {
            self.session.counters.refuse(why);
        }
        self.advance(now);
    }

    /// The driver was held up past a deadline of [`poll_timeout`](Self::poll_timeout) and has handed in all that
    /// had come meanwhile.
    pub fn held_up(&mut self, now: Instant) {
        self.session.held_up(now);
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.session.now = self.session.now.max(now);
        self.advance(now);
    }

    /// The next thing that happened.
    pub fn poll_event(&mut self) -> Option<SenderEvent> {
        self.session.events.pop_front()
    }

    /// Appends what may go now. The driver sends it and asks again until nothing is appended.
    pub fn poll_transmit(&mut self, now: Instant, batch: &mut Batch) {
        let s = &mut self.session;
        s.now = s.now.max(now);
        s.transmit_cong_ctrl(now, batch);
        loop {
            let had_lists = !s.lists.is_empty();
            let data = match &self.phase {
                Phase::Transfer(phase) if phase.data_ready_at(s).is_some() => Data::Waits,
                _ => Data::None,
            };
            if !s.transmit_control(now, batch, data) {
                break;
            }
            if had_lists {
                match &mut self.phase {
                    Phase::Announcing(phase) => phase.lists_sent(s, now),
                    Phase::Informing(phase) => phase.lists_sent(s, now),
                    Phase::Transfer(phase) => phase.lists_sent(s, now),
                    Phase::Closing(phase) => phase.lists_sent(s, now),
                    Phase::Over => {}
                }
            }
            if let Phase::Transfer(phase) = &mut self.phase {
                phase.transmit(s, &mut self.source, now, batch);
            }
            if s.lists.is_empty() {
                break;
            }
        }
        self.advance(now);
        if self.packet_ready_at().is_none() {
            self.session.pacer.rest();
        }
    }

    /// When to wake the sender if nothing arrives before. `None` when it is through.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if !self.session.events.is_empty() {
            // What happened while transmitting, perhaps without anything to transmit.
            return Some(self.session.now);
        }
        let timer = match &self.phase {
            Phase::Announcing(phase) => phase.timer(),
            Phase::Informing(phase) => phase.timer(),
            Phase::Transfer(phase) => phase.timer(&self.session),
            Phase::Closing(phase) => phase.timer(),
            Phase::Over => None,
        };
        timer.into_iter().chain(self.packet_ready_at()).min()
    }

    /// The user wants it to end: everybody is sent away. Who has come so far is told, and how the file
    /// ends whose data flow.
    pub fn stop(&mut self, now: Instant) {
        self.session.now = self.session.now.max(now);
        let s = &mut self.session;
        match &self.phase {
            Phase::Over => return,
            Phase::Announcing(_) => announce::report_connections(s, |state| state == State::Active),
            Phase::Transfer(phase) => phase.interrupted(s),
            Phase::Informing(_) | Phase::Closing(_) => {}
        }
        self.session.abort_all("Server quit, aborting all");
        self.end(Outcome::Interrupted);
    }

    /// Whether the session is over and nothing is left to send.
    pub fn is_finished(&self) -> bool {
        matches!(self.phase, Phase::Over)
            && self.session.events.is_empty()
            && !self.session.has_control()
    }

    /// What the operator calls a receiver, else its id.
    pub fn client_name(&self, uid: Uid) -> String {
        let clients = &self.session.clients;
        let client = clients.find(uid).and_then(|at| clients.get(at));
        let name = client.and_then(|c| c.name.clone());
        name.unwrap_or_else(|| uid.to_string())
    }

    /// Receivers that, as things stand, have not got everything, and the proxies they need.
    pub fn unfinished(&self) -> Vec<ClientEntry> {
        unfinished::unfinished(&self.session, self.all_sent)
    }

    /// How far the session has come.
    pub fn progress(&self) -> Progress {
        let clients = &self.session.clients;
        let base = Progress {
            rate: self.session.rate.bytes_per_second(),
            clients_done: clients.receivers_in(&[State::Done]),
            clients_active: clients.receivers_in(&[
                State::Registered,
                State::Active,
                State::ActiveNak,
            ]),
            clients_missing: clients.receivers_in(&[State::Mute, State::Lost, State::Aborted]),
            announcing: matches!(self.phase, Phase::Announcing(_)),
            ..Progress::default()
        };
        match &self.phase {
            Phase::Informing(phase) => Progress {
                file: phase.file(),
                name: phase.item().name.clone(),
                size: phase.item().size,
                ..base
            },
            Phase::Transfer(phase) => Progress {
                file: phase.file(),
                name: phase.item().name.clone(),
                size: phase.item().size,
                volume: phase.volume(),
                pass: phase.pass(),
                ..base
            },
            _ => base,
        }
    }

    /// Bytes of file data in a packet.
    pub fn block_size(&self) -> u16 {
        self.session.block_size
    }

    /// Datagrams in, out and refused.
    pub fn counters(&self) -> &Counters {
        &self.session.counters
    }

    /// When the next packet may go, if there is one.
    fn packet_ready_at(&self) -> Option<Instant> {
        let s = &self.session;
        match &self.phase {
            _ if s.has_control() => Some(s.control_ready_at()),
            Phase::Transfer(phase) => phase.data_ready_at(s),
            _ => None,
        }
    }

    /// Does all that is due.
    fn advance(&mut self, now: Instant) {
        loop {
            let s = &mut self.session;
            let next = match &mut self.phase {
                Phase::Announcing(phase) => phase.advance(s, now),
                Phase::Informing(phase) => phase.advance(s, now),
                Phase::Transfer(phase) => phase.advance(s, now),
                Phase::Closing(phase) => phase.advance(s, now),
                Phase::Over => Next::Stay,
            };
            match next {
                Next::Stay => return,
                Next::Item => self.next_item(),
                Next::Transfer(transfer) => self.phase = Phase::Transfer(transfer),
                Next::Inform(informing) => self.phase = Phase::Informing(informing),
                Next::Over(outcome) => self.end(outcome),
            }
        }
    }

    /// Begins with the next item that can be sent, or with the end.
    fn next_item(&mut self) {
        while let Some(item) = self.source.next_item() {
            match Informing::start(&mut self.session, self.file.next(), item) {
                Ok(phase) => {
                    self.file = phase.file();
                    self.phase = Phase::Informing(Box::new(phase));
                    return;
                }
                Err((item, reason)) => {
                    let skipped = SenderEvent::FileSkipped { item, reason };
                    self.session.events.push_back(skipped);
                }
            }
        }
        self.all_sent = true;
        self.phase = Phase::Closing(Closing::start(&mut self.session));
    }

    fn end(&mut self, outcome: Outcome) {
        self.phase = Phase::Over;
        self.session.lists.clear();
        self.session
            .events
            .push_back(SenderEvent::Finished(outcome));
    }
}

/// Whether a timer has run out.
fn is_due(timer: Option<Instant>, now: Instant) -> bool {
    timer.is_some_and(|timer| timer <= now)
}
