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
//! affairs and the time call for. What outlives a phase is in `session`.

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
use uftp_proto::wire::{self, Abort, Function, Header, Message};
use uftp_proto::{Ecn, FileId, Uid};

use self::announce::{Announcing, Origin};
use self::clients::State;
use self::completion::Closing;
use self::fileinfo::Informing;
use self::session::{Data, Session};
use self::transfer::Transfer;
use crate::batch::Batch;
use crate::clock::Clock;
use crate::counters::{Counters, Refusal};
use crate::files::FileSource;
use crate::incoming;
use crate::policy::Policy;
use crate::security::gate::{self, Form, Keys};
use crate::security::{Fresh, Secrets};

pub use config::{ClientEntry, GrttBounds, NakLimit, Rate, SenderConfig, SyncMode};
pub use event::{FileOutcome, FileReport, Outcome, SenderEvent};
pub use report::Progress;
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
            Phase::Transfer(phase) => {
                let (sent, repaired) = phase.bytes_sent();
                Progress {
                    file: phase.file(),
                    name: phase.item().name.clone(),
                    size: phase.item().size,
                    sent,
                    repaired,
                    pass: phase.pass(),
                    ..base
                }
            }
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

    /// Finds out who speaks, and lets the phase listen.
    fn receive(
        &mut self,
        now: Instant,
        from: SocketAddr,
        datagram: &mut [u8],
    ) -> Result<(), Refusal> {
        if matches!(self.phase, Phase::Over) {
            return Err(Refusal::OutOfPlace);
        }
        let s = &mut self.session;
        let header = wire::decode_header(datagram)?;
        if header.version != s.config.version {
            return Err(Refusal::OtherVersion);
        }
        if header.group != s.config.group {
            return Err(Refusal::OtherSession);
        }
        let author = s.author(header.src, from);
        // A receiver on the sender's own host has the same id by default; before it registers,
        // what carries that id is the sender's own voice.
        let own_voice = author == s.config.uid
            && header.function != Function::Register
            && s.clients.find(author).is_none();
        if author.is_none() || own_voice {
            return Err(Refusal::UnknownSource);
        }
        let keys = match (&self.phase, s.keys(author)) {
            (Phase::Announcing(_), keys) if !s.is_spoken_for(author) => keys,
            (_, keys @ Keys::None) => keys,
            // Whoever has none by now is not taken at its word any more.
            _ => Keys::Ready,
        };
        let (function, body) = uncover(s, &header, author, keys, datagram)?;
        let message = wire::decode(header.version, function, body)?;
        let at = self.author(now, from, author, &message)?;
        let s = &mut self.session;
        if let Message::Abort(abort) = &message {
            let form = match header.function {
                Function::Encrypted => Form::Sealed,
                _ => Form::Clear,
            };
            return self.aborted(at, abort, form);
        }
        if s.clients
            .state(at)
            .is_some_and(|s| matches!(s, State::Lost | State::Aborted))
        {
            s.remind(at, now);
            return Err(Refusal::OutOfPlace);
        }
        s.note_address(at, from);
        match &mut self.phase {
            Phase::Announcing(phase) => phase.handle(s, Origin { now, from, at }, &message, body),
            Phase::Informing(phase) => phase.handle(s, now, at, &message),
            Phase::Transfer(phase) => phase.handle(s, now, at, &message),
            Phase::Closing(phase) => phase.handle(s, now, at, &message),
            Phase::Over => {}
        }
        Ok(())
    }

    /// A destination leaves, or says that another does. While keys are handed out, what is said without
    /// them, or for somebody who has not registered, need not be true.
    fn aborted(&mut self, at: usize, abort: &Abort, form: Form) -> Result<(), Refusal> {
        let announcing = matches!(self.phase, Phase::Announcing(_));
        let s = &mut self.session;
        let (leaver, state) = s.leaver(at, abort)?;
        let unproved = form == Form::Clear || state == State::Mute;
        match announcing && s.security.is_some() && unproved {
            true => s.note_doubtful_abort(leaver, &abort.reason),
            false => s.note_departure(leaver, &abort.reason),
        }
        Ok(())
    }

    /// The destination a message comes from. Strangers may register in an open group while it is
    /// announced; in a closed group they are sent away.
    fn author(
        &mut self,
        now: Instant,
        from: SocketAddr,
        uid: Uid,
        message: &Message<'_>,
    ) -> Result<usize, Refusal> {
        let s = &mut self.session;
        if let Some(at) = s.clients.find(uid) {
            return Ok(at);
        }
        if let Message::Abort(abort) = message {
            if s.is_open() && matches!(self.phase, Phase::Announcing(_)) {
                s.note_declined(uid, &abort.reason);
            }
            return Err(Refusal::UnknownSource);
        }
        if !s.is_open() {
            match message {
                Message::Register(_) => s.turn_away(now, from, uid, NOT_LISTED),
                _ => s.refuse(now, from, uid, NOT_LISTED),
            }
            return Err(Refusal::UnknownSource);
        }
        match (&mut self.phase, message) {
            (Phase::Announcing(phase), Message::Register(_)) => {
                if !phase.looks_into(s, now) {
                    // It takes no place.
                    return Err(Refusal::Limit);
                }
                announce::find_or_add(s, uid).ok_or_else(|| {
                    s.turn_away(now, from, uid, "Max destinations exceeded");
                    Refusal::Limit
                })
            }
            _ => Err(Refusal::UnknownSource),
        }
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

/// The message in a packet of `author`, whose keys are `keys`: what it is and its bytes, opened if
/// it is sealed. Refuses what must not travel as it does.
fn uncover<'a>(
    s: &mut Session,
    header: &Header,
    author: Uid,
    keys: Keys,
    packet: &'a mut [u8],
) -> Result<(Function, &'a [u8]), Refusal> {
    let client_key = s.policy.client_key;
    gate::upstream(Form::Clear, header.function, keys, client_key)?;
    let proxy = s.proxy_of(author);
    let (Some(security), Function::Encrypted) = (&mut s.security, header.function) else {
        return Ok((header.function, incoming::body(packet)));
    };
    let body = match proxy {
        None => security.open(author, packet)?,
        Some(proxy) => security.open_through(proxy, author, packet)?,
    };
    let function = wire::inner_function(header.version, body)?;
    gate::upstream(Form::Sealed, function, keys, client_key)?;
    if proxy.is_some() && function != Function::CcAck {
        // The proxy says it, or nobody does.
        return Err(Refusal::OutOfPlace);
    }
    Ok((function, body))
}
