//! How sessions are taken on, and how they end.

use uftp_proto::wire::{self, Announce, Function, Message};

use super::announce::{self, Terms};
use super::keys::{Keys, Means};
use super::session::Session;
use super::{Proxy, ProxyEventKind};
use crate::counters::Refusal;
use crate::incoming::{Incoming, decode};
use crate::link::{Cover, Dest, Link};
use crate::objection::Objection;
use crate::pending_aborts::PendingAbort;
use crate::security::Invitation;

impl Proxy {
    /// An ANNOUNCE of a session that is not open. Returns the position of the one it opens.
    pub(super) fn announced(
        &mut self,
        incoming: &Incoming,
        packet: &[u8],
    ) -> Result<usize, Refusal> {
        if !self.config.role.gathers() && self.downstream().is_none() {
            if !std::mem::replace(&mut self.missed_downstream, true) {
                self.tell(None, ProxyEventKind::NoDownstream(incoming.from));
            }
            return Err(Refusal::OutOfPlace);
        }
        self.try_open(incoming, packet)
            .map_err(|objection| match objection {
                Objection::Ignore(refusal) => refusal,
                Objection::Abort(words) => self.refuse(incoming, words),
            })
    }

    /// An ANNOUNCE of an encrypted session, which has the place of one in the clear. That its server
    /// announces the same session both ways somebody must have made up; the signature says what.
    /// Whatever is wrong with it, the server of what we carry is not told.
    pub(super) fn announced_encrypted(
        &mut self,
        incoming: &Incoming,
        packet: &[u8],
    ) -> Result<usize, Refusal> {
        self.try_open(incoming, packet)
            .map_err(Objection::unanswered)
    }

    /// Whether a packet announces as encrypted an open session in the clear of the same server, from
    /// the same address or under a key that is known: anybody can make a key, and is not to take a
    /// session over with it.
    pub(super) fn is_encrypted_after_all(
        &mut self,
        position: usize,
        incoming: &Incoming,
        packet: &[u8],
    ) -> bool {
        let (from, header) = (incoming.from, &incoming.header);
        if header.function != Function::Announce || !self.config.role.gathers() {
            return false;
        }
        let known = self.config.security.knows_key_of(header.src);
        let session = self.sessions.get_mut(position);
        let same = |s: &mut Session| {
            s.is_in_the_clear_of(header.src) && (known || s.upstream_addr() == from)
        };
        session.is_some_and(same)
            && matches!(decode(header, packet), Ok(Message::Announce(a)) if a.encryption.is_some())
    }

    /// Opens the session of an ANNOUNCE, in place of the one of this name, unless there is something
    /// against it.
    fn try_open(&mut self, incoming: &Incoming, packet: &[u8]) -> Result<usize, Objection> {
        let (from, header) = (incoming.from, &incoming.header);
        let id = incoming.session();
        let Ok(Message::Announce(announce)) = decode(header, packet) else {
            return Err(Objection::Ignore(Refusal::Malformed));
        };
        let terms = announce::consider(&self.config, header, &announce)?;
        let earlier = self.sessions.find(id);
        if self.sessions.len() >= self.config.max_sessions && earlier.is_none() {
            self.refuse(incoming, "Too many sessions at proxy");
            return Err(Objection::Ignore(Refusal::Limit));
        }
        let keys = self.secure(incoming, &announce, packet)?;
        let signature = keys.as_ref().map(|keys| keys.client().signature_len());
        let block_size = wire::block_size(&announce.pace, signature);
        let block_size = block_size.ok_or(Objection::Abort("Invalid block size"))?;
        if let Some(position) = earlier {
            self.close(position, None, ProxyEventKind::Encrypted);
        }
        let terms = Terms {
            block_size,
            ..terms
        };
        let suite = keys.as_ref().map(|keys| *keys.suite());
        let session = Session::open(incoming, &terms, &self.config, keys);
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
            && self.config.role.joins()
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

    /// Whether a packet announces the next run of an open session.
    pub(super) fn is_next_run(
        &mut self,
        position: usize,
        incoming: &Incoming,
        packet: &[u8],
    ) -> bool {
        let header = &incoming.header;
        if header.function != Function::Announce {
            return false;
        }
        let (Some(session), Ok(Message::Announce(announce))) =
            (self.sessions.get_mut(position), decode(header, packet))
        else {
            return false;
        };
        let terms = announce::consider(&self.config, header, &announce);
        terms.is_ok_and(|terms| session.is_outlived(incoming, &terms))
    }

    /// Our ends of the handshakes, where we take part in them.
    fn secure(
        &mut self,
        incoming: &Incoming,
        announce: &Announce,
        packet: &[u8],
    ) -> Result<Option<Keys>, Objection> {
        let (now, header) = (incoming.now, &incoming.header);
        let Some(info) = announce.encryption.as_ref() else {
            return Ok(None);
        };
        if !self.config.role.gathers() {
            return Ok(None);
        }
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
            secrets: &mut *self.secrets,
        };
        Keys::accept(now, &invitation, &mut means).map(Some)
    }

    /// Tells a server why its session is not carried.
    fn refuse(&mut self, incoming: &Incoming, reason: &'static str) -> Refusal {
        let (now, from, header) = (incoming.now, incoming.from, &incoming.header);
        if !self.strangers.allow(now) {
            return Refusal::Limit;
        }
        let id = incoming.session();
        let link = Link::new(header.version, self.config.uid, id.group, id.instance)
            .towards(Dest::Host(header.src));
        self.pending_aborts
            .push(PendingAbort::to_server(link, from, reason));
        self.tell(Some(id), ProxyEventKind::Refused { from, reason });
        Refusal::OutOfPlace
    }

    /// A session that was accepted cannot be carried after all.
    pub(super) fn refuse_open(&mut self, position: usize, reason: &'static str) {
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
    pub(super) fn close(
        &mut self,
        position: usize,
        words: Option<&'static str>,
        kind: ProxyEventKind,
    ) {
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
            let farewells = session.farewells_to_clients(id);
            let link = session.into_link(id, self.config.uid);
            self.pending_aborts
                .push(PendingAbort::to_server(link, to_server, reason));
            for (host, link, to, estimate) in farewells {
                self.pending_aborts.push(PendingAbort {
                    link,
                    to,
                    host,
                    estimate,
                    cover: Cover::Clear,
                    reason: reason.into(),
                });
            }
        }
        self.tell(Some(id), kind);
    }
}
