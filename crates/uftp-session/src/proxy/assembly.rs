//! The part of a proxy that speaks for clients: client and response proxies (behaviour-proxies
//! §5, §7, §8, §13).

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use uftp_proto::wire::{
    self, Abort, ClientKey, Function, Header, KeyInfo, Message, RegConf, Register,
};
use uftp_proto::{Ecn, FileId, Uid};

use super::announce::Terms;
use super::config::{ProxyConfig, Role};
use super::event::ProxyEventKind;
use super::gather::{Answer, Gather, Kind};
use super::keys::{Held, Keys};
use super::pen::Pen;
use super::session::{Handled, Surroundings, decode, estimate};
use crate::batch::Batch;
use crate::counters::Refusal;
use crate::link::{GroupEstimate, Link};
use crate::policy::Policy;
use crate::security::Rejection;
use crate::security::gate::{self, Form};

/// Nothing is held for less, whatever round trip time a header claims.
const SHORTEST_HOLD: Duration = Duration::from_millis(1);

/// Most of those named in announcements that are remembered: as many as senders have receivers.
const MOST_INVITED: usize = 100_000;

/// No client is given up sooner, however short the round trips (behaviour-proxies §3).
const SHORTEST_REGISTRATION: Duration = Duration::from_secs(1);

/// Clients of a session, what they say, and the keys they are handed.
pub(super) struct Assembly {
    server: Uid,
    robust: u8,
    /// As the last packet of the server that is to be believed says.
    estimate: GroupEstimate,
    /// Each with the proxy that speaks for it, if that is below us.
    clients: HashMap<Uid, Option<Uid>>,
    /// Those told to the server.
    registered: HashSet<Uid>,
    /// Those named in announcements; empty if anybody may come.
    invited: HashSet<Uid>,
    /// The server has done with announcing. It repeats no REG_CONF then that was lost: whoever was
    /// invited and has registered is as good as confirmed.
    flowing: bool,
    gather: Gather,
    up: Link,
    /// Of an encrypted session.
    keys: Option<Box<Keys>>,
    /// Where clients hear ANNOUNCE, and where all else; `None` where nothing is forwarded.
    forward: Option<(SocketAddr, SocketAddr)>,
    /// Where our own words to clients go.
    to_clients: Option<SocketAddr>,
    /// Where we introduce ourselves; `None` where we pass for the server.
    public: Option<SocketAddr>,
    /// The server has ended the session: only its ABORTs still pass.
    over: bool,
}

impl Assembly {
    /// For a session announced by `header` and accepted on `terms`; `None` in a server proxy.
    pub(super) fn new(
        now: Instant,
        header: &Header,
        terms: &Terms,
        config: &ProxyConfig,
        keys: Option<Keys>,
    ) -> Option<Self> {
        let (forward, public, to_clients) = match &config.role {
            Role::Server { .. } => return None,
            Role::Client { port, group } => {
                let place = |ip: IpAddr| match ip.is_unspecified() {
                    true => SocketAddr::new(*group, *port),
                    false => SocketAddr::new(ip, *port),
                };
                let private = place(terms.private.unwrap_or(terms.public));
                let public = place(terms.public);
                (Some((public, private)), Some(public), Some(private))
            }
            Role::Response { .. } => {
                let group = |ip| SocketAddr::new(ip, config.port);
                let public = Some(terms.public).filter(IpAddr::is_multicast);
                (None, public.map(group), terms.private.map(group))
            }
        };
        let mut up = Link::new(header.version, config.uid, header.group, header.instance);
        if let Some(keys) = &keys
            && let Some(sealer) = keys.handshake_sealer()
        {
            up.secure_handshake(sealer, keys.counter());
        }
        let introduces = !Policy::of(header.version).standing_proxy;
        Some(Assembly {
            server: header.src,
            robust: terms.robust,
            estimate: estimate(header),
            clients: HashMap::new(),
            registered: HashSet::new(),
            invited: HashSet::new(),
            flowing: false,
            gather: Gather::new(terms.block_size, terms.stamp, now),
            up,
            keys: keys.map(Box::new),
            forward,
            to_clients,
            public: public.filter(|_| introduces),
            over: false,
        })
    }

    /// What the server says about the group.
    pub(super) fn estimate(&self) -> GroupEstimate {
        self.estimate
    }

    /// In whose name clients are spoken to, and where; `None` if there are none to be told.
    pub(super) fn voice(&self) -> Option<(Uid, SocketAddr)> {
        let to = self.to_clients.filter(|_| !self.clients.is_empty());
        Some((self.server, to?))
    }

    /// Numbers and seals what we say upstream.
    pub(super) fn into_link(self) -> Link {
        self.up
    }

    /// When to call [`handle_timeout`](Self::handle_timeout); `None` if nothing is pending.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let keys = self.keys.as_ref().and_then(|k| k.deadline());
        self.gather.due().into_iter().chain(keys).min()
    }

    /// Whether nothing is held or waited for.
    pub(super) fn is_idle(&self) -> bool {
        self.gather.is_empty() && self.keys.as_ref().is_none_or(|k| k.deadline().is_none())
    }

    /// Does what is due. Whether that was anything.
    pub(super) fn handle_timeout(&mut self, now: Instant, around: &mut Surroundings<'_>) -> bool {
        let mut busy = false;
        if self.gather.due().is_some_and(|due| due <= now) {
            self.gather.flush();
            busy = true;
        }
        let grtt = self.hold();
        let keys = self.keys.as_mut();
        if let Some(keys) = keys.filter(|k| k.deadline().is_some_and(|due| due <= now)) {
            for client in keys.expired(now, grtt) {
                let words = "Client not fully registered at proxy".to_owned();
                self.gather.expel(client, words.clone());
                self.gather.left(client, words);
                around.tell(ProxyEventKind::Unregistered { client });
            }
            self.gather.hand_out(&keys.due_clients(now, grtt));
            busy = true;
        }
        busy
    }

    /// Appends what is to be said, as far as the batch has room.
    pub(super) fn poll_transmit(
        &mut self,
        now: Instant,
        upstream: SocketAddr,
        batch: &mut Batch,
        around: &mut Surroundings<'_>,
    ) {
        let mut pen = Pen {
            up: &mut self.up,
            upstream,
            server: self.server,
            public: self.public,
            clients: self.to_clients,
            estimate: self.estimate,
            keys: self.keys.as_deref(),
            batch,
            around,
        };
        self.gather.write(now, &mut pen);
    }

    fn hold(&self) -> Duration {
        self.estimate.grtt.duration().max(SHORTEST_HOLD)
    }

    /// When a client that registers now is given up.
    fn registration_ends(&self, now: Instant) -> Instant {
        let limit = self.estimate.grtt.duration() * u32::from(self.robust);
        now + limit.max(SHORTEST_REGISTRATION)
    }

    // ----- from the server --------------------------------------------------------------------

    /// A packet of the server. Nothing of it is believed, its header included, before it has
    /// proved authentic or is one that comes in the clear.
    pub(super) fn downstream(
        &mut self,
        now: Instant,
        ecn: Ecn,
        header: &Header,
        packet: &mut [u8],
        around: &mut Surroundings<'_>,
    ) -> Handled {
        if header.src != self.server {
            return Err(Refusal::UnknownSource);
        }
        if header.function == Function::Abort {
            return self.abort_in_the_clear(ecn, header, packet, around);
        }
        let keys = self.keys.as_ref().map_or(gate::Keys::None, |k| k.own());
        gate::downstream(Form::Clear, header.function, keys)?;
        if self.over {
            return Err(Refusal::OutOfPlace);
        }
        if keys == gate::Keys::None {
            self.estimate = estimate(header);
            if header.function == Function::Announce && self.public.is_some() {
                self.gather.introduce();
            }
            return self.pass(ecn, header, packet, around);
        }
        match decode_handshake(header, packet)? {
            Some(Message::Announce(announce)) => {
                let keys = self.keys.as_ref().ok_or(Refusal::OutOfPlace)?;
                if !keys.recognizes(&announce, packet) {
                    return Err(Refusal::Unauthentic);
                }
                self.estimate = estimate(header);
                if self.invited.len() < MOST_INVITED {
                    self.invited.extend(&announce.clients);
                }
                let Some((public, _)) = self.forward else {
                    if self.public.is_some() {
                        self.gather.introduce();
                    }
                    return Ok(());
                };
                if self.public.is_some() {
                    self.gather.introduce();
                    return around.relay.push(public, ecn, packet);
                }
                let ours = keys.announcement(header, &announce);
                let ours = ours.ok_or(Refusal::Malformed)?;
                around.relay.push(public, ecn, &ours)
            }
            Some(Message::RegConf(message)) => {
                self.confirmed(now, ecn, header, packet, &message, around)
            }
            Some(Message::KeyInfo(message)) => self.key_info(now, header, packet, &message, around),
            Some(_) => Err(Refusal::OutOfPlace),
            None => self.sealed(now, ecn, header, packet, around),
        }
    }

    /// Forwards a packet as it is.
    fn pass(
        &mut self,
        ecn: Ecn,
        header: &Header,
        packet: &[u8],
        around: &mut Surroundings<'_>,
    ) -> Handled {
        match (self.forward, header.function) {
            (None, _) => Ok(()),
            (Some((public, _)), Function::Announce) => around.relay.push(public, ecn, packet),
            (Some((_, private)), _) => around.relay.push(private, ecn, packet),
        }
    }

    /// The server knows these clients: they may be handed the group's keys.
    fn confirmed(
        &mut self,
        now: Instant,
        ecn: Ecn,
        header: &Header,
        packet: &[u8],
        message: &RegConf,
        around: &mut Surroundings<'_>,
    ) -> Handled {
        self.believe_while_joining(header);
        let until = self.registration_ends(now);
        let grtt = self.hold();
        let keys = self.keys.as_mut().ok_or(Refusal::OutOfPlace)?;
        let mut others = false;
        for client in &message.clients {
            let Some(via) = self.clients.get(client) else {
                continue;
            };
            others |= via.is_some();
            keys.confirm(via.unwrap_or(*client), until);
        }
        self.gather.hand_out(&keys.due_clients(now, grtt));
        // A proxy below us waits for it in its turn.
        match others {
            true => self.pass(ecn, header, packet, around),
            false => Ok(()),
        }
    }

    /// The server hands out the group's keys.
    fn key_info(
        &mut self,
        now: Instant,
        header: &Header,
        packet: &[u8],
        message: &KeyInfo,
        around: &mut Surroundings<'_>,
    ) -> Handled {
        let (grtt, until) = (self.hold(), self.registration_ends(now));
        let keys = self.keys.as_mut().ok_or(Refusal::OutOfPlace)?;
        let answer = keys.key_info(header.src, around.config.uid, message, packet, until)?;
        let Some(answer) = answer else {
            return Ok(());
        };
        if let Some(sealer) = answer.sealer {
            self.up.secure(sealer, keys.counter());
            around.tell(ProxyEventKind::KeyInfoReceived);
        }
        self.gather.acknowledge(answer.proof);
        self.gather.hand_out(&keys.due_clients(now, grtt));
        self.believe_while_joining(header);
        Ok(())
    }

    /// An encrypted packet. It passes as it is; we look into those that tell something new, and
    /// those that may be an ABORT.
    fn sealed(
        &mut self,
        now: Instant,
        ecn: Ecn,
        header: &Header,
        packet: &mut [u8],
        around: &mut Surroundings<'_>,
    ) -> Handled {
        let (grtt, until) = (self.hold(), self.registration_ends(now));
        let keys = self.keys.as_mut().ok_or(Refusal::OutOfPlace)?;
        let news = estimate(header) != self.estimate || !self.flowing;
        if news || packet.len() <= LONGEST_ABORT {
            let news = keys.look(header.version, packet, until)?;
            self.estimate = estimate(header);
            if let Some(sealer) = news.sealer {
                self.up.secure(sealer, keys.counter());
            }
            if !self.flowing && news.abort.is_none() {
                self.flowing = true;
                keys.confirm_all(|client| invites(&self.invited, client));
                self.gather.hand_out(&keys.due_clients(now, grtt));
            }
            if let Some(abort) = news.abort {
                self.note_abort(abort, around);
            }
        }
        let Some((_, private)) = self.forward else {
            return Ok(());
        };
        if let Some(keys) = &self.keys {
            keys.pass_on(packet)?;
        }
        around.relay.push(private, ecn, packet)
    }

    /// Takes the header of a message in the clear at its word as long as there is nothing
    /// better.
    fn believe_while_joining(&mut self, header: &Header) {
        if self.keys.as_ref().is_none_or(|k| !k.are_proven()) {
            self.estimate = estimate(header);
        }
    }

    /// An ABORT in the clear. Once we have keys it says nothing to us, but clients may have none.
    fn abort_in_the_clear(
        &mut self,
        ecn: Ecn,
        header: &Header,
        packet: &[u8],
        around: &mut Surroundings<'_>,
    ) -> Handled {
        let keys = self.keys.as_ref().map_or(gate::Keys::None, |k| k.own());
        let believed = gate::downstream(Form::Clear, Function::Abort, keys);
        let Message::Abort(abort) = decode(header, packet)? else {
            return Err(Refusal::Malformed);
        };
        let for_us = abort.host == around.config.uid;
        let concerns_keyless = |keys: &Keys| keys.of(abort.host) == gate::Keys::Pending;
        match (&self.keys, believed) {
            (Some(keys), Err(refusal)) if for_us || !concerns_keyless(keys) => return Err(refusal),
            _ => {}
        }
        if let (false, Some((_, private))) = (for_us, self.forward) {
            around.relay.push(private, ecn, packet)?;
        }
        if believed.is_ok() {
            self.note_abort(abort, around);
        }
        Ok(())
    }

    /// The server ends the session, for all or for one. Clients hear it themselves, unless it is
    /// for us to hear.
    fn note_abort(&mut self, abort: Abort, around: &mut Surroundings<'_>) {
        let for_us = abort.host == around.config.uid;
        if for_us {
            // It concerns all who are behind us.
            self.gather.expel(Uid::NONE, abort.reason.clone());
        } else if self.forward.is_none() && self.clients.contains_key(&abort.host) {
            self.gather.expel(abort.host, abort.reason.clone());
        }
        if for_us || (abort.host.is_none() && !abort.current_file) {
            self.over = true;
            self.gather.forget();
        }
        around.tell(ProxyEventKind::AbortedByServer {
            host: abort.host,
            reason: abort.reason,
        });
    }

    // ----- from clients -----------------------------------------------------------------------

    /// A packet of a client.
    pub(super) fn upstream(
        &mut self,
        now: Instant,
        ecn: Ecn,
        header: &Header,
        packet: &mut [u8],
        upstream: SocketAddr,
        around: &mut Surroundings<'_>,
    ) -> Handled {
        let author = header.src;
        let keys = self.keys.as_ref();
        let keys_of_author = keys.map_or(gate::Keys::None, |k| k.of(author));
        let client_key = Policy::of(header.version).client_key;
        gate::upstream(Form::Clear, header.function, keys_of_author, client_key)?;
        if self.over {
            return Err(Refusal::OutOfPlace);
        }
        let known = self.clients.contains_key(&author);
        let may_be_new = matches!(
            header.function,
            Function::Register | Function::ClientKey | Function::Abort
        );
        if !(known || may_be_new) || author.is_none() || author == self.server {
            return Err(Refusal::UnknownSource);
        }
        let (function, body) = match (&mut self.keys, header.function) {
            (Some(keys), Function::Encrypted) => {
                let body = keys.open(author, packet)?;
                let inner = wire::inner_function(header.version, body);
                let function = inner.map_err(|_| Refusal::Malformed)?;
                gate::upstream(Form::Sealed, function, keys_of_author, client_key)?;
                (function, &*body)
            }
            (_, function) => (function, packet.get(Header::LEN..).unwrap_or_default()),
        };
        let message =
            wire::decode(header.version, function, body).map_err(|_| Refusal::Malformed)?;
        let mut turn = Turn {
            now,
            hold: self.hold(),
            author,
            assembly: self,
            around,
        };
        match message {
            Message::Register(m) => turn.register(&m),
            Message::ClientKey(m) => turn.client_key(&m, body),
            Message::KeyInfoAck(m) => {
                let keys = turn.assembly.keys.as_mut().ok_or(Refusal::OutOfPlace)?;
                keys.acknowledge(author, &m)?;
                turn.around
                    .tell(ProxyEventKind::KeyInfoAcked { client: author });
                Ok(())
            }
            Message::FileInfoAck(m) => {
                let answer = Answer {
                    kind: Kind::FileInfoAck(m.file),
                    echo: Some(m.echo),
                    partial: m.partial,
                };
                turn.answer(&m.clients, answer);
                Ok(())
            }
            // Its number would be lost in a list.
            Message::Complete(m) if m.free_space.is_some() && turn.assembly.keys.is_none() => {
                around.relay.push(upstream, ecn, packet)
            }
            Message::Complete(m) => {
                let answer = Answer {
                    kind: Kind::Complete(m.file, m.status),
                    echo: None,
                    partial: false,
                };
                turn.answer(&m.clients, answer);
                Ok(())
            }
            Message::Status(m) => {
                if m.file == FileId::SESSION {
                    return Err(Refusal::OutOfRange);
                }
                let (hold, place) = (turn.hold, (m.file, m.section));
                self.gather.naks(now, hold, place, m.naks);
                Ok(())
            }
            // Sealed by a client it crashes deployed servers (behaviour-proxies §14.3).
            Message::CcAck(m) if turn.assembly.keys.is_some() => {
                if !turn.speaks_for(m.info.client) {
                    return Err(Refusal::UnknownSource);
                }
                self.gather.report(m.info);
                Ok(())
            }
            Message::CcAck(_) => around.relay.push(upstream, ecn, packet),
            Message::Abort(m) => turn.left(known, m.host, m.reason),
            _ => Err(Refusal::OutOfPlace),
        }
    }
}

/// Longest packet that is looked into lest it be an ABORT: that is 308 bytes, and so much is put
/// around it at most.
const LONGEST_ABORT: usize = Header::LEN + 308 + 12 + 512 + 16;

/// One message of a client, being acted upon.
struct Turn<'a, 'e> {
    now: Instant,
    hold: Duration,
    author: Uid,
    assembly: &'a mut Assembly,
    around: &'a mut Surroundings<'e>,
}

impl Turn<'_, '_> {
    /// Registers the author, or if it is a proxy itself all it lists.
    fn register(&mut self, message: &Register) -> Handled {
        self.admit(self.author, None)?;
        let (now, until) = (self.now, self.assembly.registration_ends(self.now));
        let confirmed = self.assembly.flowing && invites(&self.assembly.invited, self.author);
        let said = match &mut self.assembly.keys {
            Some(keys) => keys.register(self.author, message, now, until, confirmed)?,
            None => Some(Held {
                echo: message.echo,
                at: now,
                clients: message.clients.clone(),
            }),
        };
        said.map_or(Ok(()), |said| self.registered(&said))
    }

    /// The author says who it is.
    fn client_key(&mut self, message: &ClientKey, bytes: &[u8]) -> Handled {
        self.admit(self.author, None)?;
        let keys = self.assembly.keys.as_mut().ok_or(Refusal::OutOfPlace)?;
        let client = self.author;
        let listed = match &self.around.config.clients {
            None => Some(None),
            Some(list) => list.get(&client).copied(),
        };
        let again = keys.of(client) == gate::Keys::Ready;
        let told = match listed {
            None => Err(Rejection::Fingerprint),
            Some(expected) => keys.client_key(client, message, bytes, expected),
        };
        match told {
            Ok(said) => {
                self.around
                    .tell(ProxyEventKind::ClientKeyReceived { client, again });
                said.map_or(Ok(()), |said| self.registered(&said))
            }
            Err(Rejection::Refused(refusal)) => Err(refusal),
            Err(Rejection::Fingerprint) => {
                if self.around.strangers.allow(self.now) {
                    let words = "Failed to verify client key fingerprint".to_owned();
                    self.assembly.gather.expel(client, words);
                    self.around
                        .tell(ProxyEventKind::ClientKeyRejected { client });
                }
                Err(Refusal::Unauthentic)
            }
        }
    }

    /// A registration counts: the server is to know.
    fn registered(&mut self, said: &Held) -> Handled {
        let (now, hold) = (self.now, self.hold);
        let held = now.saturating_duration_since(said.at);
        let answer = Answer {
            kind: Kind::Register,
            echo: Some(said.echo.plus(held)),
            partial: false,
        };
        let mut refused = Ok(());
        for client in speakers(self.author, &said.clients) {
            let via = (client != self.author).then_some(self.author);
            if let Err(refusal) = self.admit(client, via) {
                refused = Err(refusal);
                continue;
            }
            let again = !self.assembly.registered.insert(client);
            self.around
                .tell(ProxyEventKind::Registered { client, again });
            self.assembly.gather.answer(now, hold, client, answer);
        }
        let author = self.author;
        if let Some(keys) = &mut self.assembly.keys
            && keys.is_due(now, author)
        {
            self.assembly.gather.hand_out(&[author]);
        }
        refused
    }

    /// Takes a client into the table, or sends it away. `via` speaks for it, if it does not
    /// itself.
    fn admit(&mut self, client: Uid, via: Option<Uid>) -> Handled {
        let own = self.around.config.uid;
        if client.is_none() || client == self.assembly.server || client == own {
            return Err(Refusal::UnknownSource);
        }
        let listed = |list: &HashMap<Uid, _>| list.contains_key(&client);
        let config = self.around.config;
        if config.strict && !config.clients.as_ref().is_none_or(listed) {
            return Err(Refusal::UnknownSource);
        }
        let encrypted = self.assembly.keys.is_some();
        let clients = &mut self.assembly.clients;
        let room = clients.len() < self.around.config.max_clients;
        match clients.entry(client) {
            // Who proves itself is not spoken for by others.
            Entry::Occupied(known) if encrypted && *known.get() != via => {
                Err(Refusal::UnknownSource)
            }
            Entry::Occupied(mut known) => {
                known.insert(via);
                Ok(())
            }
            Entry::Vacant(place) if room => {
                place.insert(via);
                Ok(())
            }
            Entry::Vacant(_) => {
                if self.around.strangers.allow(self.now) {
                    let words = "Max destinations exceeded".to_owned();
                    self.assembly.gather.expel(client, words);
                    self.around.tell(ProxyEventKind::ClientRefused(client));
                }
                Err(Refusal::Limit)
            }
        }
    }

    /// The author answers, or all it speaks for do.
    fn answer(&mut self, listed: &[Uid], answer: Answer) {
        let (now, hold) = (self.now, self.hold);
        for client in speakers(self.author, listed) {
            if self.speaks_for(client) {
                self.assembly.gather.answer(now, hold, client, answer);
            }
        }
    }

    /// Whether the author may speak for a client.
    fn speaks_for(&self, client: Uid) -> bool {
        let via = self.assembly.clients.get(&client);
        via.is_some_and(|via| client == self.author || *via == Some(self.author))
    }

    /// The author leaves, or somebody it speaks for does. One who never came may say why.
    fn left(&mut self, known: bool, host: Uid, reason: String) -> Handled {
        if !known && !self.around.strangers.allow(self.now) {
            return Err(Refusal::Limit);
        }
        let client = match known && self.speaks_for(host) {
            true => host,
            false => self.author,
        };
        self.assembly.gather.left(client, reason.clone());
        self.around
            .tell(ProxyEventKind::AbortedByClient { client, reason });
        Ok(())
    }
}

fn invites(named: &HashSet<Uid>, client: Uid) -> bool {
    named.is_empty() || named.contains(&client)
}

/// Whom a message speaks for.
fn speakers(author: Uid, listed: &[Uid]) -> impl Iterator<Item = Uid> {
    let alone = listed.is_empty().then_some(author);
    alone.into_iter().chain(listed.iter().copied())
}

/// A message of the handshake, which is in the clear; `None` if it is an encrypted one.
fn decode_handshake<'a>(header: &Header, packet: &'a [u8]) -> Result<Option<Message<'a>>, Refusal> {
    match header.function {
        Function::Encrypted => Ok(None),
        _ => decode(header, packet).map(Some),
    }
}
