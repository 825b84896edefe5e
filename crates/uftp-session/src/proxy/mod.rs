//! The proxy: sessions that pass from one network to another, or whose answers are gathered.
//!
//! ```text
//!          server proxy                      client proxy
//! network A ── as it is ──▶ one address ─────▶ forwards by multicast ──▶ network B
//!           ◀── as it is ──                ◀── answers gathered ──────
//!
//!          response proxy: hears the same as its clients, and gathers their answers
//! ```
//!
//! [`Proxy`] reads packet headers, finds the session a packet belongs to, and owns what belongs
//! to none. `opening` takes sessions on and ends them, `session` says which way a packet goes, `relay`
//! holds what passes through unchanged, `standing` is what is said outside sessions, `traffic` counts
//! what goes through.
//!
//! Where a proxy speaks for clients `assembly` says what becomes of a packet: it knows the clients,
//! hands them `keys`, makes few answers of many (`aggregation`) after a while (`timing`), and has its own
//! words written (`writer`) to where they belong (`outlets`).
//!
//! Which way a packet goes is told by its source alone: what comes from where the first ANNOUNCE
//! came from goes downstream, all else goes up.

mod aggregation;
mod announce;
mod assembly;
mod config;
mod destination;
mod event;
mod farewells;
mod introductions;
mod keys;
mod opening;
mod outlets;
mod relay;
mod session;
mod standing;
mod timing;
mod traffic;
mod writer;

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use rand::SeedableRng;
use rand::rngs::StdRng;
use uftp_proto::crypto::Fingerprint;
use uftp_proto::wire::{Function, Message};
use uftp_proto::{Ecn, GroupId, Uid};

pub use config::{Downstream, ProxyConfig, Role};
pub use event::{ProxyEvent, ProxyEventKind};
pub use traffic::{Flow, Traffic};

use destination::Destination;
use relay::Relay;
use session::{Session, Surroundings};
use standing::KeyTurn;

use crate::batch::Batch;
use crate::clock::Clock;
use crate::counters::{Counters, Refusal};
use crate::heartbeat::Beats;
use crate::incoming::{self, Incoming};
use crate::limit::Limit;
use crate::pending_aborts::PendingAborts;
use crate::security::{Fresh, Keyring, Secrets, ServerEntry};
use crate::sessionless::SessionlessQueue;
use crate::table::{Groups, SessionId, Table};

/// Words to those who have no part in a session, or whose session we do not carry, in a second.
const STRANGERS_PER_SECOND: u32 = 100;

/// Clients in a second that are handed PROXY_KEY alone.
const ASKERS_PER_SECOND: u32 = 20;

/// A proxy as a machine without I/O. See the [crate documentation](crate) for how to drive it.
pub struct Proxy {
    config: ProxyConfig,
    sessions: Table<Session>,
    groups: Groups,
    relay: Relay,
    /// Where a learned downstream proves itself.
    destination: Option<Destination>,
    beats: Beats,
    /// The operator was told that there is no downstream.
    missed_downstream: bool,
    key_turns: [KeyTurn; 3],
    sessionless: SessionlessQueue,
    /// Last words of sessions that are over.
    pending_aborts: PendingAborts,
    strangers: Limit,
    /// Announcements looked into, which is dear.
    judged: Limit,
    /// Clients that are handed PROXY_KEY alone.
    askers: Limit,
    keyring: Keyring,
    events: VecDeque<ProxyEvent>,
    counters: Counters,
    traffic: Traffic,
    /// Time of the last call.
    now: Instant,
    clock: Clock,
    rng: StdRng,
    secrets: Box<dyn Secrets>,
}

impl Proxy {
    /// A proxy that waits for announcements. Its first heartbeats are due at once.
    pub fn new(config: ProxyConfig, clock: Clock, mut rng: StdRng, now: Instant) -> Self {
        let destination = match &config.role {
            Role::Server {
                downstream: Downstream::Learned(wanted),
                ..
            } => Some(Destination::new(*wanted, &mut rng)),
            _ => None,
        };
        Proxy {
            secrets: Box::new(Fresh(StdRng::from_rng(&mut rng))),
            beats: Beats::new(&config.heartbeats, now),
            sessions: Table::default(),
            groups: Groups::default(),
            relay: Relay::default(),
            destination,
            missed_downstream: false,
            key_turns: KeyTurn::all(),
            sessionless: SessionlessQueue::default(),
            pending_aborts: PendingAborts::default(),
            strangers: Limit::per_second(STRANGERS_PER_SECOND),
            judged: Limit::per_second(STRANGERS_PER_SECOND),
            askers: Limit::per_second(ASKERS_PER_SECOND),
            keyring: Keyring::new(config.security.keys.clone()),
            events: VecDeque::new(),
            counters: Counters::default(),
            traffic: Traffic::default(),
            now,
            clock,
            rng,
            config,
        }
    }

    /// From now on the secrets of sessions come from here: for tests that play recorded sessions
    /// again.
    pub fn draw_from(&mut self, secrets: Box<dyn Secrets>) {
        self.secrets = secrets;
    }

    /// Carries encrypted sessions of these servers only from now on; `None` for all. Sessions
    /// under way go on.
    pub fn set_servers(&mut self, servers: Option<Vec<ServerEntry>>) {
        self.config.security.servers = servers;
    }

    /// Takes these clients only from now on, where clients must prove themselves; `None` for
    /// all.
    pub fn set_clients(&mut self, clients: Option<HashMap<Uid, Option<Fingerprint>>>) {
        self.config.clients = clients;
    }

    /// A datagram arrived.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        from: SocketAddr,
        ecn: Ecn,
        datagram: &mut [u8],
    ) {
        self.now = now;
        self.counters.received += 1;
        if let Err(refusal) = self.receive(now, from, ecn, datagram) {
            self.counters.refuse(refusal);
            tracing::trace!(%from, %refusal, "datagram refused");
        }
    }

    /// The driver was held up past a deadline of [`poll_timeout`](Self::poll_timeout) and has handed in all that
    /// had come meanwhile. Sessions in which all were silent for too long go on for as long again, once.
    pub fn held_up(&mut self, now: Instant) {
        self.sessions
            .iter_mut()
            .for_each(|session| session.held_up(now));
    }

    /// A deadline of [`poll_timeout`](Self::poll_timeout) has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        self.beat(now);
        self.show_keys(now);
        // Closing moves the last session to the place of the closed one: go backwards.
        for position in (0..self.sessions.len()).rev() {
            let Some((session, mut around)) = self.session(position) else {
                continue;
            };
            if session.deadline() <= now && session.handle_timeout(now, &mut around) {
                self.close(position, None, ProxyEventKind::TimedOut);
            }
        }
    }

    /// The next thing that happened.
    pub fn poll_event(&mut self) -> Option<ProxyEvent> {
        self.events.pop_front()
    }

    /// Appends what may go now.
    pub fn poll_transmit(&mut self, now: Instant, batch: &mut Batch) {
        self.now = now;
        self.counters.sent += self.relay.write(batch);
        if !self.relay.is_empty() {
            return;
        }
        for position in 0..self.sessions.len() {
            if let Some((session, mut around)) = self.session(position) {
                session.poll_transmit(now, batch, &mut around);
            }
        }
        self.counters.sent += self.sessionless.write(self.config.uid, batch);
        self.counters.sent += self.pending_aborts.write(now, batch);
    }

    /// When to call [`handle_timeout`](Self::handle_timeout), if nothing else happens before.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if !self.events.is_empty() {
            // What happened while transmitting has not been looked at yet.
            return Some(self.now);
        }
        let sessions = self.sessions.iter().map(Session::deadline);
        let farewells = self.pending_aborts.deadline();
        let others = [self.beats.deadline(), self.keys_due(), farewells];
        sessions.chain(others.into_iter().flatten()).min()
    }

    /// The driver could not join `group`: its sessions cannot be carried.
    pub fn join_failed(&mut self, _now: Instant, group: IpAddr, reason: &str) {
        tracing::warn!(%group, reason, "cannot join multicast group");
        self.groups.forget(group);
        for position in (0..self.sessions.len()).rev() {
            let session = self.sessions.get_mut(position);
            if session.is_some_and(|s| s.private() == Some(group)) {
                let words = "Error joining multicast group";
                self.refuse_open(position, words);
            }
        }
    }

    /// Ends every open session. Where we speak for clients, both sides are told.
    pub fn shutdown(&mut self, now: Instant) {
        self.now = now;
        let words = "Proxy shutting down";
        let told = self.config.role.gathers().then_some(words);
        for position in (0..self.sessions.len()).rev() {
            self.close(position, told, ProxyEventKind::ShutDown);
        }
    }

    /// Where packets are passed on to; `None` if that is not known yet, and in proxies that
    /// have no such place.
    pub fn downstream(&self) -> Option<SocketAddr> {
        match (&self.config.role, &self.destination) {
            (_, Some(destination)) => destination.downstream(),
            (
                Role::Server {
                    downstream: Downstream::Fixed(addr),
                    ..
                },
                _,
            ) => Some(*addr),
            _ => None,
        }
    }

    /// Bytes taken in that wait to be passed on. There is room for a few megabytes; more is lost.
    pub fn backlog(&self) -> usize {
        self.relay.backlog()
    }

    /// Whether no session is open and nothing is left to transmit.
    pub fn is_idle(&self) -> bool {
        self.sessions.is_empty()
            && self.relay.is_empty()
            && self.sessionless.is_empty()
            && self.pending_aborts.is_empty()
    }

    /// Datagrams in and out, and those refused.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// What went through, each way.
    pub fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    fn receive(
        &mut self,
        now: Instant,
        from: SocketAddr,
        ecn: Ecn,
        packet: &mut [u8],
    ) -> Result<(), Refusal> {
        let header = incoming::read_header(packet)?;
        if self.config.addresses.contains(&from) {
            return Err(Refusal::OutOfPlace);
        }
        match header.function {
            Function::HbReq | Function::HbResp | Function::KeyReq => {
                return match incoming::decode(&header, packet)? {
                    Message::HbReq(request) => self.heartbeat(now, from, header.version, &request),
                    Message::HbResp(answer) => self.answered(now, from, header.version, answer),
                    _ => self.key_requested(now, from, header.version),
                };
            }
            Function::ProxyKey => return Err(Refusal::OutOfPlace),
            _ => {}
        }
        if header.group == GroupId(0) {
            return Err(Refusal::OtherSession);
        }
        let incoming = Incoming {
            now,
            from,
            ecn,
            header,
        };
        let position = match self.sessions.find(incoming.session()) {
            Some(position) if self.is_next_run(position, &incoming, packet) => {
                self.close(position, None, ProxyEventKind::Superseded);
                self.announced(&incoming, packet)?
            }
            Some(position) if self.is_encrypted_after_all(position, &incoming, packet) => {
                self.announced_encrypted(&incoming, packet)?
            }
            Some(position) => position,
            None if header.function == Function::Announce => self.announced(&incoming, packet)?,
            None => return Err(Refusal::OtherSession),
        };
        match self.session(position) {
            Some((session, mut around)) => session.receive(&incoming, packet, &mut around),
            None => Err(Refusal::OtherSession),
        }
    }

    /// The session at a position, and what it is lent.
    fn session(&mut self, position: usize) -> Option<(&mut Session, Surroundings<'_>)> {
        let downstream = self.downstream();
        let (id, session) = self.sessions.entry_mut(position)?;
        let around = Surroundings {
            id,
            config: &self.config,
            downstream,
            relay: &mut self.relay,
            events: &mut self.events,
            counters: &mut self.counters,
            traffic: &mut self.traffic,
            strangers: &mut self.strangers,
        };
        Some((session, around))
    }

    fn tell(&mut self, session: Option<SessionId>, kind: ProxyEventKind) {
        self.events.push_back(ProxyEvent { session, kind });
    }
}
