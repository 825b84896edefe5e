//! One session as it passes through a proxy (behaviour-proxies §5 to §7, §13).

use std::collections::{HashSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use uftp_proto::wire::{self, Function, Header, Message, Version};
use uftp_proto::{Ecn, FileId, Uid, WireTime};

use super::announce::Terms;
use super::config::{ProxyConfig, Role};
use super::event::{ProxyEvent, ProxyEventKind};
use super::gather::{Answer, Gather, Kind, Pen};
use super::relay::Relay;
use crate::batch::Batch;
use crate::counters::{Counters, Refusal};
use crate::limit::Limit;
use crate::link::{GroupEstimate, Link};
use crate::receiver::SessionId;
use crate::security::gate::{self, Form, Keys};

/// Silence in round trips times the robustness factor after which a session is forgotten.
const PATIENCE: u32 = 4;

/// No session is forgotten sooner, however short its round trips.
const SHORTEST_PATIENCE: Duration = Duration::from_secs(1);

/// Nothing is held for less, whatever round trip time a header claims.
const SHORTEST_HOLD: Duration = Duration::from_millis(1);

/// What the machine lends its sessions.
pub(super) struct Surroundings<'a> {
    pub(super) id: SessionId,
    pub(super) config: &'a ProxyConfig,
    /// Where a server proxy passes things on to.
    pub(super) downstream: Option<SocketAddr>,
    pub(super) relay: &'a mut Relay,
    pub(super) events: &'a mut VecDeque<ProxyEvent>,
    pub(super) counters: &'a mut Counters,
    /// Words to those who have no part in a session.
    pub(super) strangers: &'a mut Limit,
}

impl Surroundings<'_> {
    pub(super) fn tell(&mut self, kind: ProxyEventKind) {
        let session = Some(self.id);
        self.events.push_back(ProxyEvent { session, kind });
    }
}

type Handled = Result<(), Refusal>;

/// A session.
pub(super) struct Session {
    version: Version,
    server: Uid,
    /// Where the first ANNOUNCE came from. What comes from here goes downstream, all else up.
    upstream: SocketAddr,
    robust: u8,
    /// As the last packet from upstream says.
    estimate: GroupEstimate,
    private: Option<IpAddr>,
    /// When anything was last heard, from either side.
    heard: Instant,
    /// The operator was told of a second source.
    doubled: bool,
    /// A server proxy has none.
    assembly: Option<Assembly>,
}

/// The part of a proxy that speaks for clients.
struct Assembly {
    clients: HashSet<Uid>,
    gather: Gather,
    up: Link,
    down: Link,
    /// Where clients hear ANNOUNCE, and where all else; `None` where nothing is forwarded.
    forward: Option<(SocketAddr, SocketAddr)>,
    /// Where our own words to clients go.
    to_clients: Option<SocketAddr>,
    /// The server has ended the session: only its ABORTs still pass.
    over: bool,
}

impl Session {
    /// A session announced by `header`, accepted on `terms`.
    pub(super) fn open(
        now: Instant,
        from: SocketAddr,
        header: &Header,
        terms: &Terms,
        config: &ProxyConfig,
    ) -> Self {
        let link = |uid| Link::new(header.version, uid, header.group, header.instance);
        let assembly = |forward, to_clients| Assembly {
            clients: HashSet::new(),
            gather: Gather::new(terms.block_size, terms.stamp, now),
            up: link(config.uid),
            down: link(header.src),
            forward,
            to_clients,
            over: false,
        };
        let assembly = match &config.role {
            Role::Server { .. } => None,
            Role::Client { port, group } => {
                let place = |ip: IpAddr| match ip.is_unspecified() {
                    true => SocketAddr::new(*group, *port),
                    false => SocketAddr::new(ip, *port),
                };
                let private = place(terms.private.unwrap_or(terms.public));
                let forward = (place(terms.public), private);
                Some(assembly(Some(forward), Some(private)))
            }
            Role::Response { .. } => {
                let private = terms.private.map(|ip| SocketAddr::new(ip, config.port));
                Some(assembly(None, private))
            }
        };
        Session {
            version: header.version,
            server: header.src,
            upstream: from,
            robust: terms.robust,
            estimate: estimate(header),
            private: terms.private,
            heard: now,
            doubled: false,
            assembly,
        }
    }

    /// The group that carries the session.
    pub(super) fn private(&self) -> Option<IpAddr> {
        self.private
    }

    /// Where it was announced from.
    pub(super) fn upstream_addr(&self) -> SocketAddr {
        self.upstream
    }

    /// Numbers what the proxy says upstream, and where that goes: for its last words.
    pub(super) fn farewell(self, id: SessionId, uid: Uid) -> (Link, SocketAddr) {
        let fresh = || Link::new(self.version, uid, id.group, id.instance);
        (self.assembly.map_or_else(fresh, |a| a.up), self.upstream)
    }

    /// Takes in a packet of this session.
    pub(super) fn receive(
        &mut self,
        now: Instant,
        from: SocketAddr,
        ecn: Ecn,
        header: &Header,
        packet: &[u8],
        around: &mut Surroundings<'_>,
    ) -> Handled {
        if header.version != self.version {
            return Err(Refusal::OtherVersion);
        }
        if from == self.upstream {
            self.downstream(now, ecn, header, packet, around)
        } else if header.function == Function::Announce {
            if !std::mem::replace(&mut self.doubled, true) {
                around.tell(ProxyEventKind::SecondSource(from));
            }
            Err(Refusal::UnknownSource)
        } else {
            self.upstream(now, from, ecn, header, packet, around)
        }
    }

    /// A packet on its way to clients.
    fn downstream(
        &mut self,
        now: Instant,
        ecn: Ecn,
        header: &Header,
        packet: &[u8],
        around: &mut Surroundings<'_>,
    ) -> Handled {
        let Some(assembly) = &mut self.assembly else {
            let to = around.downstream.ok_or(Refusal::OutOfPlace)?;
            self.estimate = estimate(header);
            self.heard = now;
            return around.relay.push(to, ecn, packet);
        };
        if header.src != self.server {
            return Err(Refusal::UnknownSource);
        }
        gate::downstream(Form::Clear, header.function, Keys::None)?;
        if header.function == Function::Abort {
            return self.aborted(ecn, header, packet, around);
        }
        if assembly.over {
            return Err(Refusal::OutOfPlace);
        }
        self.estimate = estimate(header);
        self.heard = now;
        match (assembly.forward, header.function) {
            (None, _) => Ok(()),
            (Some((public, _)), Function::Announce) => around.relay.push(public, ecn, packet),
            (Some((_, private)), _) => around.relay.push(private, ecn, packet),
        }
    }

    /// The server ends the session, for all or for one.
    fn aborted(
        &mut self,
        ecn: Ecn,
        header: &Header,
        packet: &[u8],
        around: &mut Surroundings<'_>,
    ) -> Handled {
        let Some(assembly) = &mut self.assembly else {
            return Err(Refusal::OutOfPlace);
        };
        let Message::Abort(abort) = decode(header, packet)? else {
            return Err(Refusal::Malformed);
        };
        let for_us = abort.host == around.config.uid;
        match (for_us, assembly.forward) {
            // It concerns all who are behind us.
            (true, _) => assembly.gather.expel(Uid::NONE, abort.reason.clone()),
            (false, Some((_, private))) => around.relay.push(private, ecn, packet)?,
            // They hear it themselves, unless it was for us alone to hear.
            (false, None) if assembly.clients.contains(&abort.host) => {
                assembly.gather.expel(abort.host, abort.reason.clone());
            }
            (false, None) => {}
        }
        if for_us || (abort.host.is_none() && !abort.current_file) {
            assembly.over = true;
            assembly.gather.forget();
        }
        around.tell(ProxyEventKind::AbortedByServer {
            host: abort.host,
            reason: abort.reason,
        });
        Ok(())
    }

    /// A packet on its way to the server.
    fn upstream(
        &mut self,
        now: Instant,
        from: SocketAddr,
        ecn: Ecn,
        header: &Header,
        packet: &[u8],
        around: &mut Surroundings<'_>,
    ) -> Handled {
        let Some(assembly) = &mut self.assembly else {
            if !may_answer(from, around) {
                return Err(Refusal::UnknownSource);
            }
            self.heard = now;
            return around.relay.push(self.upstream, ecn, packet);
        };
        gate::upstream(Form::Clear, header.function, Keys::None, Form::Clear)?;
        if assembly.over {
            return Err(Refusal::OutOfPlace);
        }
        let known = assembly.clients.contains(&header.src);
        let stranger = !known && !matches!(header.function, Function::Register | Function::Abort);
        if stranger || header.src.is_none() || header.src == self.server {
            return Err(Refusal::UnknownSource);
        }
        let message = decode(header, packet)?;
        let hold = self.estimate.grtt.duration().max(SHORTEST_HOLD);
        let mut turn = Turn {
            now,
            hold,
            author: header.src,
            assembly,
            around,
        };
        match message {
            Message::Register(m) => turn.register(self.server, m.echo, &m.clients)?,
            Message::FileInfoAck(m) => {
                let answer = Answer {
                    kind: Kind::FileInfoAck(m.file),
                    echo: Some(m.echo),
                    partial: m.partial,
                };
                turn.answer(&m.clients, answer);
            }
            Message::Complete(m) if m.free_space.is_some() => {
                // Its number would be lost in a list.
                around.relay.push(self.upstream, ecn, packet)?;
            }
            Message::Complete(m) => {
                let answer = Answer {
                    kind: Kind::Complete(m.file, m.status),
                    echo: None,
                    partial: false,
                };
                turn.answer(&m.clients, answer);
            }
            Message::Status(m) => {
                if m.file == FileId::SESSION {
                    return Err(Refusal::OutOfRange);
                }
                let place = (m.file, m.section);
                assembly.gather.naks(now, hold, place, m.naks);
            }
            Message::CcAck(_) => around.relay.push(self.upstream, ecn, packet)?,
            Message::Abort(m) => turn.left(known, m.host, m.reason)?,
            _ => return Err(Refusal::OutOfPlace),
        }
        self.heard = now;
        Ok(())
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    pub(super) fn deadline(&self) -> Instant {
        let assembly = self.assembly.as_ref();
        let due = assembly.and_then(|a| a.gather.due());
        due.unwrap_or(self.heard + self.silence())
    }

    /// Does what is due. Returns whether the session is to be forgotten.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> bool {
        if let Some(assembly) = &mut self.assembly
            && assembly.gather.due().is_some_and(|due| due <= now)
        {
            assembly.gather.flush();
            self.heard = now;
        }
        now >= self.heard + self.silence()
            && self.assembly.as_ref().is_none_or(|a| a.gather.is_empty())
    }

    /// Appends what is to be said, as far as the batch has room.
    pub(super) fn poll_transmit(
        &mut self,
        now: Instant,
        batch: &mut Batch,
        around: &mut Surroundings<'_>,
    ) {
        let Some(assembly) = &mut self.assembly else {
            return;
        };
        let mut pen = Pen {
            up: &mut assembly.up,
            server: self.upstream,
            down: &mut assembly.down,
            clients: assembly.to_clients,
            estimate: self.estimate,
            batch,
            around,
        };
        assembly.gather.write(now, &mut pen);
    }

    fn silence(&self) -> Duration {
        let patience = PATIENCE * u32::from(self.robust);
        (self.estimate.grtt.duration() * patience).max(SHORTEST_PATIENCE)
    }
}

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
    fn register(&mut self, server: Uid, echo: WireTime, listed: &[Uid]) -> Handled {
        let own = self.around.config.uid;
        let answer = Answer {
            kind: Kind::Register,
            echo: Some(echo),
            partial: false,
        };
        let mut refused = Ok(());
        if !listed.is_empty() && !self.admit(self.author) {
            return Err(Refusal::Limit);
        }
        for client in speakers(self.author, listed) {
            if client.is_none() || client == server || client == own {
                refused = Err(Refusal::UnknownSource);
                continue;
            }
            let again = self.assembly.clients.contains(&client);
            if !again && !self.admit(client) {
                refused = Err(Refusal::Limit);
                continue;
            }
            self.around
                .tell(ProxyEventKind::Registered { client, again });
            let (now, hold) = (self.now, self.hold);
            self.assembly.gather.answer(now, hold, client, answer);
        }
        refused
    }

    /// Takes a client into the table, or sends it away.
    fn admit(&mut self, client: Uid) -> bool {
        let clients = &mut self.assembly.clients;
        if clients.contains(&client) {
            return true;
        }
        if clients.len() < self.around.config.max_clients {
            clients.insert(client);
            return true;
        }
        if self.around.strangers.allow(self.now) {
            let words = "Max destinations exceeded".to_owned();
            self.assembly.gather.expel(client, words);
            self.around.tell(ProxyEventKind::ClientRefused(client));
        }
        false
    }

    /// The author answers, or all it speaks for do.
    fn answer(&mut self, listed: &[Uid], answer: Answer) {
        for client in speakers(self.author, listed) {
            if self.assembly.clients.contains(&client) {
                let (now, hold) = (self.now, self.hold);
                self.assembly.gather.answer(now, hold, client, answer);
            }
        }
    }

    /// The author leaves, or somebody it speaks for does. One who never came may say why.
    fn left(&mut self, known: bool, host: Uid, reason: String) -> Handled {
        if !known && !self.around.strangers.allow(self.now) {
            return Err(Refusal::Limit);
        }
        let behind = known && self.assembly.clients.contains(&host);
        let client = if behind { host } else { self.author };
        self.assembly.gather.left(client, reason.clone());
        self.around
            .tell(ProxyEventKind::AbortedByClient { client, reason });
        Ok(())
    }
}

/// Whom a message speaks for.
fn speakers(author: Uid, listed: &[Uid]) -> impl Iterator<Item = Uid> {
    let alone = listed.is_empty().then_some(author);
    alone.into_iter().chain(listed.iter().copied())
}

/// Whether a server proxy takes packets for the server from this host.
fn may_answer(from: SocketAddr, around: &Surroundings<'_>) -> bool {
    let anybody = matches!(
        around.config.role,
        Role::Server {
            admit_anybody: true,
            ..
        }
    );
    anybody || around.downstream.is_some_and(|d| d.ip() == from.ip())
}

fn decode<'a>(header: &Header, packet: &'a [u8]) -> Result<Message<'a>, Refusal> {
    let body = packet.get(Header::LEN..).unwrap_or_default();
    wire::decode(header.version, header.function, body).map_err(|_| Refusal::Malformed)
}

fn estimate(header: &Header) -> GroupEstimate {
    GroupEstimate {
        grtt: header.grtt,
        size: header.group_size,
    }
}
