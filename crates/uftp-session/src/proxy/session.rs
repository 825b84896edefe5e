//! One session as it passes through a proxy (behaviour-proxies §5 to §7, §13).

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use uftp_proto::quant::RttCode;
use uftp_proto::wire::{Function, Header, Version};
use uftp_proto::{Ecn, Uid};

use super::announce::Terms;
use super::assembly::Assembly;
use super::config::{ProxyConfig, Role};
use super::event::{ProxyEvent, ProxyEventKind};
use super::keys::Keys;
use super::relay::Relay;
use super::timing::Timing;
use super::traffic::Traffic;
use crate::batch::Batch;
use crate::counters::{Counters, Refusal};
use crate::incoming::Incoming;
use crate::limit::Limit;
use crate::link::{Dest, GroupEstimate, Link};
use crate::policy::{Policy, Runs};
use crate::table::SessionId;

/// What the machine lends its sessions.
pub(super) struct Surroundings<'a> {
    pub(super) id: SessionId,
    pub(super) config: &'a ProxyConfig,
    /// Where a server proxy passes things on to.
    pub(super) downstream: Option<SocketAddr>,
    pub(super) relay: &'a mut Relay,
    pub(super) events: &'a mut VecDeque<ProxyEvent>,
    pub(super) counters: &'a mut Counters,
    pub(super) traffic: &'a mut Traffic,
    /// Words to those who have no part in a session.
    pub(super) strangers: &'a mut Limit,
}

impl Surroundings<'_> {
    pub(super) fn tell(&mut self, kind: ProxyEventKind) {
        let session = Some(self.id);
        self.events.push_back(ProxyEvent { session, kind });
    }

    /// Passes a packet on towards clients.
    pub(super) fn pass_down(&mut self, to: SocketAddr, ecn: Ecn, packet: &[u8]) -> Handled {
        self.relay.push(to, ecn, packet)?;
        self.traffic.down.count(packet.len());
        Ok(())
    }

    /// Passes a packet on towards the server.
    pub(super) fn pass_up(&mut self, to: SocketAddr, ecn: Ecn, packet: &[u8]) -> Handled {
        self.relay.push(to, ecn, packet)?;
        self.traffic.up.count(packet.len());
        Ok(())
    }
}

pub(super) type Handled = Result<(), Refusal>;

/// A session.
pub(super) struct Session {
    version: Version,
    /// Where the first ANNOUNCE came from. What comes from here goes downstream, all else up.
    upstream: SocketAddr,
    timing: Timing,
    /// As the last packet from upstream says.
    estimate: GroupEstimate,
    private: Option<IpAddr>,
    server: Uid,
    encrypted: bool,
    /// When anything was last heard, from either side, and from the server.
    heard: Instant,
    led: Instant,
    /// The silence since this instant was [held up](Self::held_up) once already.
    excused: Option<Instant>,
    /// The operator was told of a second source.
    doubled: bool,
    /// A server proxy has none.
    assembly: Option<Assembly>,
}

impl Session {
    /// A session whose ANNOUNCE has arrived, accepted on `terms`.
    pub(super) fn open(
        incoming: &Incoming,
        terms: &Terms,
        config: &ProxyConfig,
        keys: Option<Keys>,
    ) -> Self {
        let (now, from, header) = (incoming.now, incoming.from, &incoming.header);
        Session {
            version: header.version,
            upstream: from,
            timing: terms.timing,
            estimate: estimate(header),
            private: terms.private,
            server: header.src,
            encrypted: terms.encrypted,
            heard: now,
            led: now,
            excused: None,
            doubled: false,
            assembly: Assembly::new(now, header, terms, config, keys),
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

    /// Whether the ANNOUNCE that has arrived, on `terms`, is that of a later run of the session where
    /// runs have no numbers: whoever led this one has ended it or fallen silent. What was encrypted
    /// does not go on in the clear.
    pub(super) fn is_outlived(&self, incoming: &Incoming, terms: &Terms) -> bool {
        let (now, from, header) = (incoming.now, incoming.from, &incoming.header);
        let over = self.assembly.as_ref().is_some_and(Assembly::is_over);
        let silent = now.saturating_duration_since(self.led) > self.timing.lull(self.estimate);
        let same = (header.version, header.src) == (self.version, self.server);
        let flagged = terms.resumed && terms.policy.runs == Runs::Flagged;
        flagged
            && same
            && from != self.upstream
            && (over || silent)
            && terms.encrypted >= self.encrypted
    }

    /// Whether this session of `server` is not encrypted.
    pub(super) fn is_in_the_clear_of(&self, server: Uid) -> bool {
        self.server == server && !self.encrypted
    }

    /// Numbers and seals what the proxy says upstream: for its last words.
    pub(super) fn into_link(self, id: SessionId, uid: Uid) -> Link {
        let fresh = || Link::new(self.version, uid, id.group, id.instance);
        self.assembly.map_or_else(fresh, Assembly::into_link)
    }

    /// What numbers last words to clients: for whom, where they go, and what their header says.
    pub(super) fn farewells_to_clients(
        &self,
        id: SessionId,
    ) -> Vec<(Uid, Link, SocketAddr, GroupEstimate)> {
        let Some(assembly) = &self.assembly else {
            return Vec::new();
        };
        let Some((server, to)) = assembly.voice() else {
            return Vec::new();
        };
        let hosts = assembly.audience().into_iter();
        let farewell = |host| {
            let link = Link::new(self.version, server, id.group, id.instance);
            let link = link.towards(Dest::Address(to.ip()));
            (host, link, to, self.estimate)
        };
        hosts.map(farewell).collect()
    }

    /// Takes in a packet of this session.
    pub(super) fn receive(
        &mut self,
        incoming: &Incoming,
        packet: &mut [u8],
        around: &mut Surroundings<'_>,
    ) -> Handled {
        let (from, header) = (incoming.from, &incoming.header);
        if header.version != self.version {
            return Err(Refusal::OtherVersion);
        }
        if from == self.upstream {
            self.downstream(incoming, packet, around)
        } else if header.function == Function::Announce {
            if !std::mem::replace(&mut self.doubled, true) {
                around.tell(ProxyEventKind::SecondSource(from));
            }
            Err(Refusal::UnknownSource)
        } else {
            self.upstream(incoming, packet, around)
        }
    }

    /// A packet on its way to clients.
    fn downstream(
        &mut self,
        incoming: &Incoming,
        packet: &mut [u8],
        around: &mut Surroundings<'_>,
    ) -> Handled {
        let now = incoming.now;
        let Some(assembly) = &mut self.assembly else {
            let to = around.downstream.ok_or(Refusal::OutOfPlace)?;
            self.estimate = estimate(&incoming.header);
            (self.heard, self.led) = (now, now);
            return around.pass_down(to, incoming.ecn, packet);
        };
        assembly.downstream(incoming, packet, around)?;
        self.estimate = assembly.estimate();
        (self.heard, self.led) = (now, now);
        Ok(())
    }

    /// A packet on its way to the server.
    fn upstream(
        &mut self,
        incoming: &Incoming,
        packet: &mut [u8],
        around: &mut Surroundings<'_>,
    ) -> Handled {
        let (now, from, ecn, header) =
            (incoming.now, incoming.from, incoming.ecn, &incoming.header);
        let Some(assembly) = &mut self.assembly else {
            if !may_answer(from, around) {
                return Err(Refusal::UnknownSource);
            }
            // What a client proxy multicasts where we hear it is no answer (behaviour-proxies §4.2).
            if is_for_clients(header, self.server) {
                return Err(Refusal::OutOfPlace);
            }
            self.heard = now;
            return around.pass_up(self.upstream, ecn, packet);
        };
        let author = Policy::of(self.version).names.author(header.src, from);
        let authored = Incoming {
            header: Header {
                src: author,
                ..*header
            },
            ..*incoming
        };
        assembly.upstream(&authored, packet, self.upstream, around)?;
        self.heard = now;
        Ok(())
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    pub(super) fn deadline(&self) -> Instant {
        let due = self.assembly.as_ref().and_then(Assembly::deadline);
        due.unwrap_or(self.heard + self.timing.silence(self.estimate))
    }

    /// This program did not run for a while, and nothing has come meanwhile: if the session would be over for
    /// silence it goes on for once as long, as both sides may have been held up by the same.
    pub(super) fn held_up(&mut self, now: Instant) {
        let silent = now >= self.heard + self.timing.silence(self.estimate);
        if silent && self.excused != Some(self.heard) {
            self.heard = now;
            self.excused = Some(now);
        }
    }

    /// Does what is due. Returns whether the session is to be forgotten.
    pub(super) fn handle_timeout(&mut self, now: Instant, around: &mut Surroundings<'_>) -> bool {
        if let Some(assembly) = &mut self.assembly
            && assembly.handle_timeout(now, around)
        {
            self.heard = now;
        }
        now >= self.heard + self.timing.silence(self.estimate)
            && self.assembly.as_ref().is_none_or(Assembly::is_idle)
    }

    /// Appends what is to be said, as far as the batch has room.
    pub(super) fn poll_transmit(
        &mut self,
        now: Instant,
        batch: &mut Batch,
        around: &mut Surroundings<'_>,
    ) {
        if let Some(assembly) = &mut self.assembly {
            assembly.poll_transmit(now, self.upstream, batch, around);
        }
    }
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
    anybody || around.downstream.is_some_and(|d| is_on_one_host(d, from))
}

/// Whether two addresses are of one host, whatever their ports. The same link-local address is another
/// host's on another link; without a link it is what the system took it for.
fn is_on_one_host(a: SocketAddr, b: SocketAddr) -> bool {
    let link = |addr| match addr {
        SocketAddr::V6(v6) => v6.scope_id(),
        SocketAddr::V4(_) => 0,
    };
    let (one, other) = (link(a), link(b));
    a.ip() == b.ip() && (one == other || one == 0 || other == 0)
}

/// Whether a packet is on its way to clients, of whomever it comes from. Whether one that does not say what it is has
/// come from the server, a client of the same id does not tell: what goes up names no round trip time.
fn is_for_clients(header: &Header, server: Uid) -> bool {
    match header.function {
        Function::Encrypted | Function::Abort => {
            header.src == server && header.grtt != RttCode::default()
        }
        Function::ProxyKey => true,
        function => function.is_downstream(),
    }
}

pub(super) fn estimate(header: &Header) -> GroupEstimate {
    GroupEstimate {
        grtt: header.grtt,
        size: header.group_size,
    }
}
