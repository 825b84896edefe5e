//! The receiving side: any number of sessions at once.
//!
//! [`Receiver`] reads packet headers and finds the session a packet belongs to, opens sessions
//! when they are announced (`opening`) and clears away what is left when they end. All the rest is
//! one session's own business: `session` has its phases, `transfer` the file it receives.

mod announce;
mod cache;
mod config;
mod event;
mod nak;
mod opening;
mod outbox;
mod proxies;
mod reports;
mod session;
mod timing;
mod transfer;

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use rand::SeedableRng;
use rand::rngs::StdRng;
use uftp_proto::wire::{Function, Header, Message};
use uftp_proto::{Ecn, FileId, GroupId};

pub use config::{ReceiverConfig, ResponseProxy};
pub use event::{EndReason, ReceiverEvent, ReceiverEventKind};

use proxies::Proxies;
use session::{Session, Stop, Surroundings};

use crate::batch::Batch;
use crate::clock::Clock;
use crate::counters::{Counters, Refusal};
use crate::files::FileStore;
use crate::incoming::{self, Incoming};
use crate::limit::Limit;
use crate::pending_aborts::PendingAborts;
use crate::security::{Fresh, Keyring, Secrets, ServerEntry};
use crate::table::{Groups, SessionId, Table};

/// Announcements refused with an answer in a second; others stay without one, so that nobody
/// turns us on a third party with forged announcements. So many are looked into as well.
const STRANGERS_PER_SECOND: u32 = 100;

/// The receiving side as a machine without I/O. See the [crate documentation](crate) for how to
/// drive it.
pub struct Receiver<F: FileStore> {
    config: ReceiverConfig,
    store: F,
    sessions: Table<Session<F::Session>>,
    groups: Groups,
    /// Last words of sessions that are over.
    pending_aborts: PendingAborts,
    events: VecDeque<ReceiverEvent>,
    counters: Counters,
    /// Time of the last call.
    now: Instant,
    clock: Clock,
    rng: StdRng,
    keyring: Keyring,
    proxies: Proxies,
    secrets: Box<dyn Secrets>,
    /// Refusals that are answered.
    strangers: Limit,
    /// Announcements of encrypted sessions that are looked into, which is dear.
    judged: Limit,
}

impl<F: FileStore> Receiver<F> {
    /// A receiver that waits for announcements.
    pub fn new(
        config: ReceiverConfig,
        store: F,
        clock: Clock,
        mut rng: StdRng,
        now: Instant,
    ) -> Self {
        Receiver {
            secrets: Box::new(Fresh(StdRng::from_rng(&mut rng))),
            keyring: Keyring::new(config.security.keys.clone()),
            proxies: Proxies::new(&config, now),
            clock,
            rng,
            config,
            store,
            sessions: Table::default(),
            groups: Groups::default(),
            pending_aborts: PendingAborts::default(),
            events: VecDeque::new(),
            counters: Counters::default(),
            now,
            strangers: Limit::per_second(STRANGERS_PER_SECOND),
            judged: Limit::per_second(STRANGERS_PER_SECOND),
        }
    }

    /// From now on the secrets of sessions come from here: for tests that play recorded sessions
    /// again.
    pub fn draw_from(&mut self, secrets: Box<dyn Secrets>) {
        self.secrets = secrets;
    }

    /// Listens to these senders from now on; `None` for all. Sessions that are under way go on.
    pub fn set_servers(&mut self, servers: Option<Vec<ServerEntry>>) {
        self.config.security.servers = servers;
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

    /// The driver was held up past a deadline of [`poll_timeout`](Self::poll_timeout), because the machine stood
    /// still or the disk was slow, and has handed in all that had come meanwhile. A sender that was
    /// silent for too long may have been held up, too, and has as much time again, once; deadlines
    /// that have passed all the same are handled as usual.
    pub fn held_up(&mut self, now: Instant) {
        self.sessions
            .iter_mut()
            .for_each(|session| session.held_up(now));
    }

    /// A deadline of [`poll_timeout`](Self::poll_timeout) has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        let events = &mut self.events;
        self.proxies
            .handle_timeout(now, |kind| events.push_back(outside(kind)));
        self.for_each_session(|session, around| match session.deadline() > now {
            true => Ok(()),
            false => session.handle_timeout(now, around),
        });
    }

    /// The next thing that happened.
    pub fn poll_event(&mut self) -> Option<ReceiverEvent> {
        self.events.pop_front()
    }

    /// Appends what may go now.
    pub fn poll_transmit(&mut self, now: Instant, batch: &mut Batch) {
        self.now = now;
        self.counters.sent += self.proxies.write(self.config.uid, batch);
        self.for_each_session(|session, around| session.poll_transmit(now, batch, around));
        self.counters.sent += self.pending_aborts.write(now, batch);
    }

    /// When to call [`handle_timeout`](Self::handle_timeout), if nothing else happens before.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if !self.events.is_empty() {
            // What happened while transmitting has not been looked at yet.
            return Some(self.now);
        }
        let sessions = self.sessions.iter().map(Session::deadline);
        let others = [self.proxies.deadline(), self.pending_aborts.deadline()];
        sessions.chain(others.into_iter().flatten()).min()
    }

    /// The driver could not join `group`: its sessions cannot be received.
    pub fn join_failed(&mut self, _now: Instant, group: IpAddr, reason: &str) {
        tracing::warn!(%group, reason, "cannot join multicast group");
        self.groups.forget(group);
        self.for_each_session(|session, _| match session.private() {
            Some(private) if private == group => Err(Stop::abort("Error joining multicast group")),
            _ => Ok(()),
        });
    }

    /// Ends every open session. What is left to transmit are the farewells.
    pub fn shutdown(&mut self, _now: Instant) {
        self.for_each_session(|_, _| Err(Stop::abort("Client shutting down")));
    }

    /// Whether no session is open and nothing is left to transmit.
    pub fn is_idle(&self) -> bool {
        self.sessions.is_empty() && self.pending_aborts.is_empty() && self.proxies.is_idle()
    }

    /// Whether all sessions are in the middle of a file and nothing depends on when its packets are
    /// handed in: a few milliseconds later will do.
    pub fn is_patient(&self) -> bool {
        self.sessions.iter().all(Session::is_patient)
    }

    /// Datagrams in and out, and those refused.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    fn receive(
        &mut self,
        now: Instant,
        from: SocketAddr,
        ecn: Ecn,
        datagram: &mut [u8],
    ) -> Result<(), Refusal> {
        let header = incoming::read_header(datagram)?;
        if header.group == GroupId(0) && is_for_no_session(header.function) {
            return self.outside_sessions(now, from, &header, datagram);
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
        let Some(position) = self.sessions.find(incoming.session()) else {
            return match header.function {
                Function::Announce => self.announced(&incoming, datagram),
                function if !is_for_receivers(function) => Err(Refusal::OutOfPlace),
                _ => Err(Refusal::OtherSession),
            };
        };
        if header.function == Function::Announce {
            if self.is_of_other_run(position, &incoming, datagram) {
                let session = self.sessions.get_mut(position);
                return match session.is_some_and(|s| s.is_outlived(now)) {
                    true => self.announced(&incoming, datagram),
                    // It must not keep what it is to follow from going silent.
                    false => Err(Refusal::OtherSession),
                };
            }
            if self.is_encrypted_after_all(position, &incoming, datagram) {
                return self.announced_encrypted(&incoming, datagram);
            }
        }
        let Some((session, mut around)) = self.session(position) else {
            return Err(Refusal::OtherSession);
        };
        match session.receive(&incoming, datagram, &mut around) {
            Ok(()) => Ok(()),
            Err(Stop::Refused(refusal)) => Err(refusal),
            Err(Stop::End(reason)) => {
                self.close(position, *reason);
                Ok(())
            }
        }
    }

    /// A message of a proxy that belongs to no session.
    fn outside_sessions(
        &mut self,
        now: Instant,
        from: SocketAddr,
        header: &Header,
        packet: &[u8],
    ) -> Result<(), Refusal> {
        let told = match incoming::decode(header, packet)? {
            Message::HbResp(answer) => {
                let key = self.config.security.keys.first();
                self.proxies
                    .answered(now, from, header.version, &answer, key)?
            }
            Message::ProxyKey(_) if !self.config.hears(header.version) => {
                return Err(Refusal::OtherVersion);
            }
            Message::ProxyKey(keys) => self.proxies.proxy_key(now, from, header.version, &keys)?,
            _ => return Err(Refusal::OutOfPlace),
        };
        self.events.extend(told.map(outside));
        Ok(())
    }

    /// Lets every session do something; those that end by it are closed.
    fn for_each_session(
        &mut self,
        mut act: impl FnMut(&mut Session<F::Session>, &mut Surroundings<'_>) -> Result<(), Stop>,
    ) {
        // Closing moves the last session to the place of the closed one: go backwards.
        for position in (0..self.sessions.len()).rev() {
            let Some((session, mut around)) = self.session(position) else {
                continue;
            };
            if let Err(Stop::End(reason)) = act(session, &mut around) {
                self.close(position, *reason);
            }
        }
    }

    /// The session at a position, and what it is lent.
    fn session(&mut self, position: usize) -> Option<(&mut Session<F::Session>, Surroundings<'_>)> {
        let session = self.sessions.get_mut(position)?;
        let around = Surroundings {
            secrets: &mut *self.secrets,
            cache_size: self.config.cache_size,
            events: &mut self.events,
            counters: &mut self.counters,
        };
        Some((session, around))
    }

    /// Ends a session.
    fn close(&mut self, position: usize, reason: EndReason) {
        let Some((id, session)) = self.sessions.remove(position) else {
            return;
        };
        let private = session.private();
        let mut around = Surroundings {
            secrets: &mut *self.secrets,
            cache_size: self.config.cache_size,
            events: &mut self.events,
            counters: &mut self.counters,
        };
        if let Some(abort) = session.close(&reason, &mut around) {
            self.pending_aborts.push(abort);
        }
        if let Some(group) = private
            && self.groups.exit(group)
        {
            self.tell(id, ReceiverEventKind::Leave(group));
        }
        self.tell(id, ReceiverEventKind::Ended(reason));
    }

    fn tell(&mut self, session: SessionId, kind: ReceiverEventKind) {
        self.events.push_back(ReceiverEvent {
            session: Some(session),
            file: FileId::SESSION,
            kind,
        });
    }
}

fn outside(kind: ReceiverEventKind) -> ReceiverEvent {
    ReceiverEvent {
        session: None,
        file: FileId::SESSION,
        kind,
    }
}

/// Whether a message is one that proxies send to receivers outside of sessions.
fn is_for_no_session(function: Function) -> bool {
    matches!(function, Function::HbResp | Function::ProxyKey)
}

/// Whether a message is one that senders and proxies send to receivers within sessions.
fn is_for_receivers(function: Function) -> bool {
    function.is_downstream() || matches!(function, Function::Abort | Function::Encrypted)
}
