//! Sessions that are announced: which are opened, which stand back for others, which are refused.

use rand::Rng;
use uftp_proto::crypto::{Fingerprint, Suite};
use uftp_proto::wire::{self, Announce, AnnounceFlags, Header, Message};
use uftp_proto::{Instance, Uid};

use super::Receiver;
use super::announce::{self, Terms};
use super::event::{EndReason, ReceiverEventKind};
use super::session::{Accepted, Joining, NamedProxy, Session};
use crate::counters::Refusal;
use crate::files::{FileStore, SessionInfo};
use crate::incoming::{self, Incoming};
use crate::link::{Dest, Link};
use crate::objection::Objection;
use crate::pending_aborts::PendingAbort;
use crate::policy::Policy;
use crate::security::{Client, Declined, Invitation, Own};
use crate::table::SessionId;

impl<F: FileStore> Receiver<F> {
    /// An ANNOUNCE of a session that is not open. Whoever is refused is told why.
    pub(super) fn announced(&mut self, incoming: &Incoming, packet: &[u8]) -> Result<(), Refusal> {
        self.try_open(incoming, packet)
            .or_else(|objection| match objection {
                Objection::Ignore(refusal) => Err(refusal),
                Objection::Abort(words) => self.refuse(incoming, words),
            })
    }

    /// An ANNOUNCE of an encrypted session, which has the place of one in the clear. That its
    /// sender announces the same session both ways somebody must have made up; the signature says
    /// what. Whatever is wrong with it, the sender of what we are in is not told.
    pub(super) fn announced_encrypted(
        &mut self,
        incoming: &Incoming,
        packet: &[u8],
    ) -> Result<(), Refusal> {
        self.try_open(incoming, packet)
            .map_err(Objection::unanswered)
    }

    /// Whether an ANNOUNCE of an open session in the clear says that it is encrypted, and comes from the
    /// same address or under a key that is known: anybody can make a key, and is not to take a session
    /// over with it.
    pub(super) fn is_encrypted_after_all(
        &mut self,
        position: usize,
        incoming: &Incoming,
        packet: &[u8],
    ) -> bool {
        let (from, header) = (incoming.from, &incoming.header);
        let known = self.config.security.knows_key_of(header.src);
        let session = self.sessions.get_mut(position);
        let same = |s: &mut Session<F::Session>| {
            s.is_in_the_clear_of(header.src) && (known || s.is_announced_from(from))
        };
        if !session.is_some_and(same) {
            return false;
        }
        matches!(incoming::decode(header, packet), Ok(Message::Announce(a)) if a.encryption.is_some())
    }

    /// Opens the session of an ANNOUNCE, unless there is something against it.
    fn try_open(&mut self, incoming: &Incoming, packet: &[u8]) -> Result<(), Objection> {
        let header = &incoming.header;
        let announce = self.read_announce(header, packet)?;
        let policy = Policy::of(header.version);
        let terms = announce::consider(&self.config, policy, header.src, &announce)?;
        let info = session_info(incoming, &announce);
        if info.sync && info.resumed && self.store.resumes() {
            // What an earlier run left is no state of the destination to compare with.
            let words = "Sync mode and restart mode incompatible";
            return Err(Objection::Abort(words));
        }
        let id = incoming.session();
        if self.is_full() && self.sessions.find(id).is_none() && self.dismissed().is_none() {
            tracing::debug!(group = %header.group, "too many sessions, announcement ignored");
            return Err(Objection::Ignore(Refusal::Limit));
        }
        let security = self.secure(incoming, &announce, packet)?;
        let suite = security.as_ref().map(|s| *s.client.suite());
        let signature = security.as_ref().map(|s| s.client.signature_len());
        let block_size = wire::block_size(&announce.pace, signature);
        let terms = Terms {
            policy,
            block_size: block_size.ok_or(Objection::Abort("Invalid block size"))?,
            ..terms
        };
        self.make_way(id, &info)?;
        let files = self.store.open_session(&info);
        let accepted = Accepted {
            incoming,
            announce: &announce,
            info: &info,
            terms: &terms,
        };
        let session = Session::open(accepted, security, files);
        let session = self.instruct(session, header, &terms);
        self.sessions.insert(id, session);
        self.tell_opened(id, &info, &terms, suite);
        Ok(())
    }

    /// The ANNOUNCE in a packet of a protocol that we hear.
    fn read_announce(&self, header: &Header, packet: &[u8]) -> Result<Announce, Objection> {
        if !self.config.hears(header.version) {
            return Err(Objection::Ignore(Refusal::OtherVersion));
        }
        match incoming::decode(header, packet) {
            Ok(Message::Announce(announce)) => Ok(announce),
            Ok(_) => Err(Objection::Ignore(Refusal::Malformed)),
            Err(error) => {
                let (message, uid) = (incoming::body(packet), self.config.uid);
                Err(announce::object(header.version, message, uid, &error))
            }
        }
    }

    /// Ends what has to give way to a session that is about to open: its earlier runs, and what has
    /// its place in the clear.
    fn make_way(&mut self, id: SessionId, later: &SessionInfo) -> Result<(), Objection> {
        if self.store.resumes() {
            self.supersede(later);
        }
        let Some(position) = self.sessions.find(id) else {
            self.make_room();
            return Ok(());
        };
        let earlier = self.sessions.get_mut(position);
        if !earlier.is_some_and(|e| e.can_give_way_to(later)) {
            return Err(Objection::Ignore(Refusal::OtherSession));
        }
        self.close(position, EndReason::Encrypted);
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.sessions.len() >= self.config.max_sessions
    }

    /// Where a session stands that we were sent away from without proof.
    fn dismissed(&self) -> Option<usize> {
        self.sessions.position(Session::is_dismissed)
    }

    /// If there is no place left, who was sent away gives way.
    fn make_room(&mut self) {
        if !self.is_full() {
            return;
        }
        let Some(position) = self.dismissed() else {
            return;
        };
        let session = self.sessions.get_mut(position);
        if let Some(words) = session.and_then(Session::take_dismissal) {
            self.close(position, EndReason::AbortedByServer(words));
        }
    }

    /// A session that was just opened learns of us what concerns it: what we may be called, whether
    /// we report rates, and through whom we answer.
    fn instruct(
        &mut self,
        mut session: Session<F::Session>,
        header: &Header,
        terms: &Terms,
    ) -> Session<F::Session> {
        if terms.uid.is_none() {
            session.learn_name_from(self.config.names().collect());
        }
        if terms.controlled {
            session.report_rates(self.rng.next_u64());
        }
        if let Some(proxy) = self.proxies.response_addr(header.version) {
            session.answer_through(proxy);
        }
        if let Some((uid, fingerprint)) = self.named_proxy(header) {
            session.wait_for(NamedProxy::new(uid, fingerprint));
        }
        session
    }

    /// Tells of a session that is open now, and enters its group.
    fn tell_opened(
        &mut self,
        id: SessionId,
        info: &SessionInfo,
        terms: &Terms,
        suite: Option<Suite>,
    ) {
        let announced = ReceiverEventKind::Announced {
            server: info.server,
            from: info.server_addr,
            private: terms.private,
        };
        self.tell(id, announced);
        match suite {
            Some(suite) => self.tell(id, ReceiverEventKind::Secured(suite)),
            None if self.config.security.knows_key_of(info.server) => {
                self.tell(id, ReceiverEventKind::Unproved);
            }
            None => {}
        }
        if let Some(group) = terms.private
            && self.groups.enter(group)
        {
            let kind = match self.config.sources() {
                None => ReceiverEventKind::Join(group),
                Some(sources) => ReceiverEventKind::JoinFrom { group, sources },
            };
            self.tell(id, kind);
        }
    }

    /// Whether an ANNOUNCE of an open session may be that of its next run, in a protocol that does
    /// not number runs, and there is something to go on from.
    pub(super) fn is_of_other_run(
        &mut self,
        position: usize,
        incoming: &Incoming,
        packet: &[u8],
    ) -> bool {
        let (from, header) = (incoming.from, &incoming.header);
        let session = self.sessions.get_mut(position);
        if !self.store.resumes() || session.is_none_or(|s| s.is_announced_from(from)) {
            return false;
        }
        matches!(incoming::decode(header, packet), Ok(Message::Announce(announce))
            if announce.flags.contains(AnnounceFlags::RESTART))
    }

    /// Our end of the handshake, if the announced session is encrypted.
    fn secure(
        &mut self,
        incoming: &Incoming,
        announce: &Announce,
        packet: &[u8],
    ) -> Result<Option<Joining>, Objection> {
        let (now, header) = (incoming.now, &incoming.header);
        let Some(info) = &announce.encryption else {
            return Ok(None);
        };
        if self.proxies.awaits_keys(header.version) {
            // It will be announced again.
            return Err(Objection::Ignore(Refusal::Limit));
        }
        if self.proxies.response_addr(header.version).is_some()
            && self.proxies.response_keys(header.version).is_none()
        {
            return Err(Objection::Abort(
                "Response proxy set but haven't gotten key yet",
            ));
        }
        if !self.judged.allow(now) {
            return Err(Objection::Ignore(Refusal::Limit));
        }
        let expected = self.config.security.server(header.src);
        let proxy = self.named_proxy(header);
        let invitation = Invitation {
            header,
            announce,
            info,
            packet,
            expected: expected.and_then(|entry| entry.fingerprint),
            proxy: proxy.map(|(uid, _)| uid),
            refuse_weak: self.config.security.refuse_weak,
            through: self.proxies.response_keys(header.version),
        };
        let own = Own {
            uid: self.config.uid,
            keyring: &mut self.keyring,
            secrets: &mut *self.secrets,
        };
        let client = Client::accept(&invitation, own, now).map_err(|declined| match declined {
            Declined::Refused(words) => Objection::Abort(words),
            Declined::Later => Objection::Ignore(Refusal::Limit),
        })?;
        Ok(Some(Joining {
            counter: client.counter(self.clock.stamp(now)),
            client: Box::new(client),
            doubt: None,
            dismissal: None,
        }))
    }

    /// The proxy that the operator named for the sender of `header`, and the key it is known by.
    /// Where proxies have one key for all sessions none is named for a sender.
    fn named_proxy(&self, header: &Header) -> Option<(Uid, Option<Fingerprint>)> {
        if Policy::of(header.version).standing_proxy.is_some() {
            return None;
        }
        let security = &self.config.security;
        let uid = security.server(header.src)?.proxy?;
        let known = security.proxies.iter().find(|entry| entry.uid == uid);
        Some((uid, known.and_then(|entry| entry.fingerprint)))
    }

    /// Ends the earlier runs of a session whose next run is announced: whoever led them is gone.
    fn supersede(&mut self, next: &SessionInfo) {
        for instance in 0..next.instance.0 {
            let id = SessionId {
                group: next.group,
                instance: Instance(instance),
            };
            let Some(position) = self.sessions.find(id) else {
                continue;
            };
            let earlier = self.sessions.get_mut(position);
            if earlier.is_some_and(|e| e.can_give_way_to(next)) {
                self.close(position, EndReason::Superseded(next.instance));
            }
        }
    }

    /// Tells a sender why its session is not received here.
    fn refuse(&mut self, incoming: &Incoming, words: &str) -> Result<(), Refusal> {
        let (now, from, header) = (incoming.now, incoming.from, &incoming.header);
        if !self.strangers.allow(now) {
            return Err(Refusal::Limit);
        }
        tracing::info!(group = %header.group, %from, "announcement refused: {words}");
        let (version, uid) = (header.version, self.config.uid);
        let link = Link::new(version, uid, header.group, header.instance);
        let link = link.towards(Dest::Host(header.src));
        let to = self.proxies.response_addr(header.version).unwrap_or(from);
        self.pending_aborts
            .push(PendingAbort::to_server(link, to, words.to_owned()));
        Ok(())
    }
}

/// What files need to know of a session that `announce` opens.
fn session_info(incoming: &Incoming, announce: &Announce) -> SessionInfo {
    let header = &incoming.header;
    SessionInfo {
        group: header.group,
        instance: header.instance,
        resumed: header.instance.0 > 0 || announce.flags.contains(AnnounceFlags::RESTART),
        encrypted: announce.encryption.is_some(),
        server: header.src,
        server_addr: incoming.from,
        sync: announce.flags.contains(AnnounceFlags::SYNC),
        preview: announce.flags.contains(AnnounceFlags::SYNC_PREVIEW),
    }
}
