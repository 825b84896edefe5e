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
//! to none: heartbeats, PROXY_KEY and the downstream address. `session` says what becomes of a
//! packet, `gather` makes few answers of many, `relay` holds what passes through unchanged.
//!
//! Which way a packet goes is told by its source alone: what comes from where the first ANNOUNCE
//! came from goes downstream, all else goes up.

mod announce;
mod assembly;
mod config;
mod door;
mod event;
mod gather;
mod keys;
mod pen;
mod relay;
mod session;

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use uftp_proto::crypto::Fingerprint;
use uftp_proto::wire::{
    self, Abort, Announce, Function, HbReq, HbResp, Header, Message, ProxyKey, Version,
};
use uftp_proto::{Ecn, GroupId, Uid};

pub use crate::heartbeat::Heartbeats;
pub use config::{DEFAULT_MAX_CLIENTS, DEFAULT_MAX_SESSIONS, Downstream, ProxyConfig, Role};
pub use event::{ProxyEvent, ProxyEventKind};

use announce::Objection;
use door::Door;
use keys::{Keys, Means};
use relay::Relay;
use session::{Session, Surroundings};

use crate::batch::Batch;
use crate::clock::Clock;
use crate::counters::{Counters, Refusal};
use crate::heartbeat::{self, Answered, Beats};
use crate::letters::Letters;
use crate::limit::Limit;
use crate::link::{Cover, GroupEstimate, Link};
use crate::receiver::SessionId;
use crate::receiver::table::{Groups, Table};
use crate::security::{Fresh, Invitation, Keyring, ServerEntry};

/// Words to those who have no part in a session, or whose session we do not carry, in a second.
const STRANGERS_PER_SECOND: u32 = 100;

/// From one PROXY_KEY to the next (behaviour-proxies §12).
const PROXY_KEY_PAUSE: Duration = Duration::from_secs(5);

/// Clients in a second that are handed PROXY_KEY alone.
const ASKERS_PER_SECOND: u32 = 20;

/// The protocol of KEY_REQ and of its answer.
const STANDING: Version = Version::V4;

/// A proxy as a machine without I/O. See the [crate documentation](crate) for how to drive it.
pub struct Proxy {
    config: ProxyConfig,
    sessions: Table<Session>,
    groups: Groups,
    relay: Relay,
    /// Where a learned downstream proves itself.
    door: Option<Door>,
    beats: Beats,
    /// The operator was told that there is no downstream.
    missed_downstream: bool,
    /// When PROXY_KEY last went out, and when it is to go again.
    key_sent: Option<Instant>,
    key_due: Option<Instant>,
    letters: Letters,
    /// Last words of sessions that are over.
    partings: VecDeque<Parting>,
    strangers: Limit,
    /// Announcements looked into, which is dear.
    judged: Limit,
    /// Clients that are handed PROXY_KEY alone.
    askers: Limit,
    keyring: Keyring,
    events: VecDeque<ProxyEvent>,
    counters: Counters,
    /// Time of the last call.
    now: Instant,
    clock: Clock,
    rng: StdRng,
}

/// An ABORT that ends a session that is not carried, or not any more.
struct Parting {
    link: Link,
    to: SocketAddr,
    estimate: GroupEstimate,
    cover: Cover,
    reason: &'static str,
}

impl Proxy {
    /// A proxy that waits for announcements. Its first heartbeats are due at once.
    pub fn new(config: ProxyConfig, clock: Clock, mut rng: StdRng, now: Instant) -> Self {
        let door = match &config.role {
            Role::Server {
                downstream: Downstream::Learned(wanted),
                ..
            } => Some(Door::new(*wanted, &mut rng)),
            _ => None,
        };
        Proxy {
            beats: Beats::new(&config.heartbeats, now),
            sessions: Table::default(),
            groups: Groups::default(),
            relay: Relay::default(),
            door,
            missed_downstream: false,
            key_sent: None,
            key_due: None,
            letters: Letters::default(),
            partings: VecDeque::new(),
            strangers: Limit::per_second(STRANGERS_PER_SECOND),
            judged: Limit::per_second(STRANGERS_PER_SECOND),
            askers: Limit::per_second(ASKERS_PER_SECOND),
            keyring: Keyring::new(config.security.keys.clone()),
            events: VecDeque::new(),
            counters: Counters::default(),
            now,
            clock,
            rng,
            config,
        }
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

    /// A deadline of [`poll_timeout`](Self::poll_timeout) has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        self.beat(now);
        if self.key_due.is_some_and(|due| due <= now) {
            self.send_proxy_key(now);
        }
        // Closing moves the last session to the place of the closed one: go backwards.
        for position in (0..self.sessions.len()).rev() {
            let Some((id, session)) = self.sessions.entry_mut(position) else {
                continue;
            };
            if session.deadline() > now {
                continue;
            }
            let mut around = Surroundings {
                id,
                config: &self.config,
                downstream: None,
                relay: &mut self.relay,
                events: &mut self.events,
                counters: &mut self.counters,
                strangers: &mut self.strangers,
            };
            if session.handle_timeout(now, &mut around) {
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
        let downstream = self.downstream();
        for position in 0..self.sessions.len() {
            let Some((id, session)) = self.sessions.entry_mut(position) else {
                continue;
            };
            let mut around = Surroundings {
                id,
                config: &self.config,
                downstream,
                relay: &mut self.relay,
                events: &mut self.events,
                counters: &mut self.counters,
                strangers: &mut self.strangers,
            };
            session.poll_transmit(now, batch, &mut around);
        }
        self.counters.sent += self.letters.write(self.config.uid, batch);
        self.write_partings(batch);
    }

    /// When to call [`handle_timeout`](Self::handle_timeout), if nothing else happens before.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if !self.events.is_empty() {
            // What happened while transmitting has not been looked at yet.
            return Some(self.now);
        }
        let sessions = self.sessions.iter().map(Session::deadline);
        let others = [self.beats.deadline(), self.key_due];
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
        let speaks = !matches!(self.config.role, Role::Server { .. });
        for position in (0..self.sessions.len()).rev() {
            let told = speaks.then_some(words);
            self.close(position, told, ProxyEventKind::ShutDown);
        }
    }

    /// Where packets are passed on to; `None` if that is not known yet, and in proxies that
    /// have no such place.
    pub fn downstream(&self) -> Option<SocketAddr> {
        match (&self.config.role, &self.door) {
            (_, Some(door)) => door.downstream(),
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
            && self.letters.is_empty()
            && self.partings.is_empty()
    }

    /// Datagrams in and out, and those refused.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    // ----- in ---------------------------------------------------------------------------------

    fn receive(
        &mut self,
        now: Instant,
        from: SocketAddr,
        ecn: Ecn,
        packet: &mut [u8],
    ) -> Result<(), Refusal> {
        let known = |id: &u8| Version::from_wire_id(*id).is_some();
        if packet.first().is_some_and(|id| !known(id)) {
            return Err(Refusal::OtherVersion);
        }
        let header = wire::decode_header(packet).map_err(|_| Refusal::Malformed)?;
        if from.port() == self.config.port && self.config.addresses.contains(&from.ip()) {
            return Err(Refusal::OutOfPlace);
        }
        let body = packet.get(Header::LEN..).unwrap_or_default();
        match header.function {
            Function::HbReq | Function::HbResp | Function::KeyReq => {
                let message = wire::decode(header.version, header.function, body);
                return match message.map_err(|_| Refusal::Malformed)? {
                    Message::HbReq(request) => self.heartbeat(now, from, header.version, &request),
                    Message::HbResp(answer) => self.answered(now, from, header.version, answer),
                    _ => self.key_requested(now, from),
                };
            }
            Function::ProxyKey => return Err(Refusal::OutOfPlace),
            _ => {}
        }
        if header.group == GroupId(0) {
            return Err(Refusal::OtherSession);
        }
        let id = SessionId {
            group: header.group,
            instance: header.instance,
        };
        let position = match self.sessions.find(id) {
            Some(position) => position,
            None if header.function == Function::Announce => {
                self.announced(now, from, id, &header, packet)?
            }
            None => return Err(Refusal::OtherSession),
        };
        let downstream = self.downstream();
        let session = self.sessions.get_mut(position);
        let mut around = Surroundings {
            id,
            config: &self.config,
            downstream,
            relay: &mut self.relay,
            events: &mut self.events,
            counters: &mut self.counters,
            strangers: &mut self.strangers,
        };
        match session {
            Some(session) => session.receive(now, from, ecn, &header, packet, &mut around),
            None => Err(Refusal::OtherSession),
        }
    }

    /// An ANNOUNCE of a session that is not open. Returns the position of the one it opens.
    fn announced(
        &mut self,
        now: Instant,
        from: SocketAddr,
        id: SessionId,
        header: &Header,
        packet: &[u8],
    ) -> Result<usize, Refusal> {
        let forwards_to_one = matches!(self.config.role, Role::Server { .. });
        if forwards_to_one && self.downstream().is_none() {
            if !std::mem::replace(&mut self.missed_downstream, true) {
                self.tell(None, ProxyEventKind::NoDownstream(from));
            }
            return Err(Refusal::OutOfPlace);
        }
        let body = packet.get(Header::LEN..).unwrap_or_default();
        let message = wire::decode(header.version, header.function, body);
        let Ok(Message::Announce(announce)) = message else {
            return Err(Refusal::Malformed);
        };
        let terms = match announce::consider(&self.config, header, &announce) {
            Ok(terms) => terms,
            Err(Objection::Ignore(refusal)) => return Err(refusal),
            Err(Objection::Abort(words)) => return Err(self.refuse(now, from, header, words)),
        };
        if self.sessions.len() >= self.config.max_sessions {
            let words = "Too many sessions at proxy";
            self.refuse(now, from, header, words);
            return Err(Refusal::Limit);
        }
        let keys = match self.secure(now, header, &announce, packet) {
            Ok(keys) => keys,
            Err(Objection::Ignore(refusal)) => return Err(refusal),
            Err(Objection::Abort(words)) => return Err(self.refuse(now, from, header, words)),
        };
        let suite = keys.as_ref().map(|keys| *keys.suite());
        let session = Session::open(now, from, header, &terms, &self.config, keys);
        let position = self.sessions.insert(id, session);
        let announced = ProxyEventKind::Announced {
            server: header.src,
            from,
            public: terms.public,
            private: terms.private,
        };
        self.tell(Some(id), announced);
        if let Some(suite) = suite {
            self.tell(Some(id), ProxyEventKind::Secured(suite));
        }
        if let Some(group) = terms.private
            && self.joins()
            && self.groups.enter(group)
        {
            let join = match self.config.security.sources() {
                None => ProxyEventKind::Join(group),
                Some(sources) => ProxyEventKind::JoinFrom { group, sources },
            };
            self.tell(Some(id), join);
        }
        Ok(position)
    }

    /// Our ends of the handshakes, where we take part in them.
    fn secure(
        &mut self,
        now: Instant,
        header: &Header,
        announce: &Announce,
        packet: &[u8],
    ) -> Result<Option<Keys>, Objection> {
        let speaks = !matches!(self.config.role, Role::Server { .. });
        let Some(info) = announce.encryption.as_ref().filter(|_| speaks) else {
            return Ok(None);
        };
        if !self.judged.allow(now) {
            return Err(Objection::Ignore(Refusal::Limit));
        }
        let invitation = Invitation {
            header,
            announce,
            info,
            packet,
            expected: self
                .config
                .security
                .server(header.src)
                .and_then(|s| s.fingerprint),
            through: None,
            refuse_weak: self.config.security.refuse_weak,
            proxy: None,
        };
        let mut means = Means {
            config: &self.config,
            keyring: &mut self.keyring,
            clock: self.clock,
            secrets: &mut Fresh(StdRng::from_rng(&mut self.rng)),
        };
        Keys::accept(now, &invitation, &mut means).map(Some)
    }

    /// Whether sessions reach us by multicast. A client proxy is sent to.
    fn joins(&self) -> bool {
        !matches!(self.config.role, Role::Client { .. })
    }

    /// Tells a server why its session is not carried.
    fn refuse(
        &mut self,
        now: Instant,
        from: SocketAddr,
        header: &Header,
        reason: &'static str,
    ) -> Refusal {
        if !self.strangers.allow(now) {
            return Refusal::Limit;
        }
        let id = SessionId {
            group: header.group,
            instance: header.instance,
        };
        self.partings.push_back(Parting {
            link: Link::new(header.version, self.config.uid, id.group, id.instance),
            to: from,
            estimate: GroupEstimate::default(),
            cover: Cover::Clear,
            reason,
        });
        self.tell(Some(id), ProxyEventKind::Refused { from, reason });
        Refusal::OutOfPlace
    }

    /// A session that was accepted cannot be carried after all.
    fn refuse_open(&mut self, position: usize, reason: &'static str) {
        let Some((_, session)) = self.sessions.entry_mut(position) else {
            return;
        };
        let from = session.upstream_addr();
        self.close(
            position,
            Some(reason),
            ProxyEventKind::Refused { from, reason },
        );
    }

    /// Forgets a session, with these last words to its server if any.
    fn close(&mut self, position: usize, words: Option<&'static str>, kind: ProxyEventKind) {
        let Some((id, session)) = self.sessions.remove(position) else {
            return;
        };
        if let Some(group) = session.private()
            && self.groups.exit(group)
        {
            self.tell(Some(id), ProxyEventKind::Leave(group));
        }
        if let Some(reason) = words {
            let to_server = session.upstream_addr();
            if let Some((down, to, estimate)) = session.farewell_to_clients(id) {
                self.partings.push_back(Parting {
                    link: down,
                    to,
                    estimate,
                    cover: Cover::Clear,
                    reason,
                });
            }
            self.partings.push_back(Parting {
                link: session.into_link(id, self.config.uid),
                to: to_server,
                estimate: GroupEstimate::default(),
                cover: Cover::Session,
                reason,
            });
        }
        self.tell(Some(id), kind);
    }

    fn tell(&mut self, session: Option<SessionId>, kind: ProxyEventKind) {
        self.events.push_back(ProxyEvent { session, kind });
    }

    // ----- outside sessions -------------------------------------------------------------------

    /// Somebody downstream tells where it is.
    fn heartbeat(
        &mut self,
        now: Instant,
        from: SocketAddr,
        version: Version,
        request: &HbReq,
    ) -> Result<(), Refusal> {
        let before = self.downstream();
        let answer = match &mut self.door {
            None => HbResp {
                code: wire::HbCode::OK,
                nonce: 0,
            },
            Some(door) => door
                .judge(now, from, request, &mut self.rng)
                .ok_or(Refusal::Limit)?,
        };
        if answer.code == wire::HbCode::FAILED {
            self.tell(None, ProxyEventKind::HeartbeatRefused(from));
        }
        let after = self.downstream();
        if after != before
            && let Some(addr) = after
        {
            self.missed_downstream = false;
            self.tell(None, ProxyEventKind::Downstream(addr));
        }
        self.letters.post(from, version, Message::HbResp(answer))
    }

    /// An upstream proxy answers our heartbeat.
    fn answered(
        &mut self,
        now: Instant,
        from: SocketAddr,
        version: Version,
        answer: HbResp,
    ) -> Result<(), Refusal> {
        match self.beats.answered(now, from, version, &answer) {
            Answered::Stray => return Err(Refusal::OutOfPlace),
            Answered::Accepted => {}
            Answered::Established => self.tell(None, ProxyEventKind::HeartbeatAccepted(from)),
            Answered::Denied => self.tell(None, ProxyEventKind::HeartbeatDenied(from)),
            Answered::Challenged(nonce) => {
                let key = self.config.security.keys.first();
                let Some(proof) = heartbeat::proof(key, version, nonce) else {
                    self.tell(None, ProxyEventKind::HeartbeatDenied(from));
                    return Ok(());
                };
                return self.letters.post(from, version, Message::HbReq(proof));
            }
        }
        Ok(())
    }

    /// Sends the heartbeats that are due.
    fn beat(&mut self, now: Instant) {
        let (mut due, mut silent) = (Vec::new(), Vec::new());
        self.beats.beat(
            now,
            |to, version| due.push((to, version)),
            |from| silent.push(from),
        );
        for from in silent {
            self.tell(None, ProxyEventKind::HeartbeatUnanswered(from));
        }
        for (to, version) in due {
            // What finds no room is repeated like what is lost.
            let _ = self
                .letters
                .post(to, version, Message::HbReq(heartbeat::request()));
        }
    }

    /// A client wants our keys. All get them at once, but that not more often than makes sense:
    /// who asks in between, and cannot wait, gets them alone. If too many ask they all wait.
    fn key_requested(&mut self, now: Instant, from: SocketAddr) -> Result<(), Refusal> {
        if !matches!(self.config.role, Role::Response { .. })
            || self.config.security.keys.is_empty()
        {
            return Err(Refusal::OutOfPlace);
        }
        let last = self.key_sent.map(|sent| sent + PROXY_KEY_PAUSE);
        match last.filter(|next| *next > now) {
            None => self.send_proxy_key(now),
            Some(_) if self.askers.allow(now) => {
                let message = self.proxy_key().ok_or(Refusal::OutOfPlace)?;
                let message = Message::ProxyKey(message);
                self.letters.post(from, STANDING, message)?;
            }
            Some(next) => {
                self.key_due.get_or_insert(next);
            }
        }
        Ok(())
    }

    /// Our keys, signed.
    fn proxy_key(&mut self) -> Option<ProxyKey> {
        let Role::Response { dh_key, .. } = &self.config.role else {
            return None;
        };
        let key = self.config.security.keys.first()?;
        let nonce = self.rng.next_u32();
        let signature = match heartbeat::sign_nonce(key, STANDING, nonce) {
            Ok(signature) => signature,
            Err(error) => {
                tracing::error!(%error, "cannot sign PROXY_KEY");
                return None;
            }
        };
        let dh_key = dh_key.as_ref().map(|dh| dh.public().blob().to_vec());
        Some(ProxyKey {
            nonce,
            key: key.public().blob().to_vec(),
            dh_key: dh_key.unwrap_or_default(),
            signature,
        })
    }

    fn send_proxy_key(&mut self, now: Instant) {
        self.key_due = None;
        let Some(message) = self.proxy_key() else {
            return;
        };
        let Role::Response { publics, .. } = &self.config.role else {
            return;
        };
        for group in publics.clone() {
            let to = SocketAddr::new(group, self.config.port);
            let message = Message::ProxyKey(message.clone());
            // What finds no room is asked for again.
            let _ = self.letters.post(to, STANDING, message);
        }
        self.key_sent = Some(now);
        self.tell(None, ProxyEventKind::ProxyKeySent);
    }

    // ----- out --------------------------------------------------------------------------------

    fn write_partings(&mut self, batch: &mut Batch) {
        while let Some(parting) = self.partings.front_mut() {
            let words = Message::Abort(Abort {
                current_file: false,
                host: Uid::NONE,
                reason: parting.reason.to_owned(),
            });
            let Parting {
                link,
                to,
                estimate,
                cover,
                ..
            } = parting;
            match link.send(batch, *to, Ecn::NotEct, *estimate, &words, *cover) {
                Ok(_) => self.counters.sent += 1,
                Err(error) if error.is_no_room() && !batch.is_empty() => break,
                Err(error) => tracing::warn!(%error, "cannot send ABORT"),
            }
            self.partings.pop_front();
        }
    }
}
