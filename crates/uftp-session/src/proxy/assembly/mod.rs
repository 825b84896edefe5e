//! The part of a proxy that speaks for clients: client and response proxies (behaviour-proxies
//! §5, §7, §8, §13). What becomes of packets: of the server's in `downstream`, of those of clients
//! in `upstream`, and what is made of what clients say in `turn`. `clients` knows who they are.

mod clients;
mod downstream;
mod turn;
mod upstream;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Instant;

use uftp_proto::Uid;
use uftp_proto::wire::{Abort, Header};

use clients::Clients;

use super::aggregation::{Aggregation, Asked, Room};
use super::announce::Terms;
use super::config::ProxyConfig;
use super::event::ProxyEventKind;
use super::farewells::{Farewell, Farewells};
use super::introductions::Introductions;
use super::keys::{Keys, Times};
use super::outlets::Outlets;
use super::session::{Surroundings, estimate};
use super::timing::Timing;
use super::writer::Writer;
use crate::batch::Batch;
use crate::halves::Halves;
use crate::limit::Bucket;
use crate::link::{Dest, GroupEstimate, Link};
use crate::policy::Policy;
use crate::security::gate;

/// Clients of a session, what they say, and the keys they are handed.
pub(super) struct Assembly {
    server: Uid,
    policy: Policy,
    timing: Timing,
    block_size: u16,
    /// What we are called, and whether a list of the server says so.
    uid: Uid,
    listed: bool,
    /// As the last packet of the server that is to be believed says.
    estimate: GroupEstimate,
    clients: Clients,
    /// Those named in announcements; empty if anybody may come.
    invited: HashSet<Uid>,
    course: Course,
    /// Messages of the handshake looked into; those of clients that have proved themselves cost
    /// nothing.
    handshakes: Bucket,
    aggregation: Aggregation,
    farewells: Farewells,
    /// What proxies below us report.
    halves: Halves<(Uid, Asked), Uid>,
    up: Link,
    /// Of an encrypted session.
    keys: Option<Box<Keys>>,
    outlets: Outlets,
    introductions: Introductions,
    dismissal: Option<Dismissal>,
}

/// How far the server has come with the session, as far as we know.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Course {
    /// It announces.
    Announcing,
    /// It has done with announcing. It repeats no REG_CONF then that was lost: whoever was invited and
    /// has registered is as good as confirmed. Seen in encrypted sessions only.
    Flowing,
    /// It has ended the session: only its ABORTs still pass.
    Over,
}

/// Somebody has ended the session in the server's name, while we had no keys.
struct Dismissal {
    /// His words.
    abort: Abort,
    /// When they count, if no keys have come.
    due: Instant,
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
        let outlets = Outlets::new(config, terms)?;
        let mut up = Link::new(header.version, terms.uid, header.group, header.instance)
            .towards(Dest::Host(header.src));
        if let Some(keys) = &keys
            && let Some(sealer) = keys.handshake_sealer()
        {
            up.secure_handshake(sealer, keys.counter());
        }
        let policy = terms.policy;
        let room = Room::new(policy, terms.block_size, &up, keys.as_ref());
        let mut assembly = Assembly {
            server: header.src,
            policy,
            timing: terms.timing,
            block_size: terms.block_size,
            uid: terms.uid,
            listed: false,
            estimate: estimate(header),
            clients: Clients::default(),
            invited: HashSet::new(),
            course: Course::Announcing,
            handshakes: Bucket::of_handshakes(),
            aggregation: Aggregation::new(room, terms.stamp, now),
            farewells: Farewells::default(),
            halves: Halves::default(),
            up,
            keys: keys.map(Box::new),
            outlets,
            introductions: Introductions::default(),
            dismissal: None,
        };
        assembly.heed(header);
        Some(assembly)
    }

    /// Whether the server has ended the session.
    pub(super) fn is_over(&self) -> bool {
        self.course == Course::Over
    }

    /// How far our keys are.
    fn own_keys(&self) -> gate::Keys {
        let keys = self.keys.as_ref();
        keys.map_or(gate::Keys::None, |keys| keys.own())
    }

    /// How far the keys of a client are, or where it is behind a proxy below us that has proved
    /// itself those of that: what is said in its own name without proof is not its own.
    fn keys_of(&self, client: Uid) -> gate::Keys {
        let Some(keys) = &self.keys else {
            return gate::Keys::None;
        };
        let via = self.clients.via(client);
        match via.map(|via| keys.of(via)) {
            Some(ready @ gate::Keys::Ready) => ready,
            _ => keys.of(client),
        }
    }

    /// What the server says about the group.
    pub(super) fn estimate(&self) -> GroupEstimate {
        self.estimate
    }

    /// In whose name clients are spoken to, and where; `None` if there are none to be told.
    pub(super) fn voice(&self) -> Option<(Uid, SocketAddr)> {
        let to = self.outlets.clients.filter(|_| !self.clients.is_empty());
        Some((self.server, to?))
    }

    /// Whom to name to send all clients away. Where we forward nothing others hear us, too, who answer
    /// the server themselves or other proxies: it is no matter of theirs.
    pub(super) fn audience(&self) -> Vec<Uid> {
        if self.outlets.forward.is_some() {
            return vec![Uid::NONE];
        }
        let mut clients: Vec<_> = self.clients.iter().map(|(client, _)| client).collect();
        clients.sort_unstable();
        clients
    }

    /// Numbers and seals what we say upstream.
    pub(super) fn into_link(self) -> Link {
        self.up
    }

    /// When to call [`handle_timeout`](Self::handle_timeout); `None` if nothing is pending.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let keys = self.keys.as_ref().and_then(|k| k.deadline());
        let dismissal = self.dismissal.as_ref().map(|dismissal| dismissal.due);
        let others = [keys, dismissal, self.farewells.deadline()];
        let all = others.into_iter().chain([self.aggregation.due()]);
        all.flatten().min()
    }

    /// Whether nothing is held or waited for.
    pub(super) fn is_idle(&self) -> bool {
        self.aggregation.is_empty()
            && self.dismissal.is_none()
            && self.farewells.deadline().is_none()
            && self.keys.as_ref().is_none_or(|k| k.deadline().is_none())
    }

    /// Does what is due. Whether that was anything.
    pub(super) fn handle_timeout(&mut self, now: Instant, around: &mut Surroundings<'_>) -> bool {
        let mut busy = false;
        if self.aggregation.due().is_some_and(|due| due <= now) {
            self.aggregation.flush();
            busy = true;
        }
        let keys = self.keys.as_mut();
        if let Some(keys) = keys.filter(|k| k.deadline().is_some_and(|due| due <= now)) {
            let expired = keys.expired(now);
            let due = keys.due_clients(now);
            for client in expired {
                self.farewells.give_up(now, client);
                around.tell(ProxyEventKind::Unregistered { client });
                self.part_with(client);
            }
            self.aggregation.hand_out(&due);
            busy = true;
        }
        if let Some(dismissal) = self.dismissal.take_if(|dismissal| dismissal.due <= now)
            && self.own_keys() != gate::Keys::Ready
        {
            self.note_abort(now, dismissal.abort, around);
            busy = true;
        }
        busy
    }

    /// Who has proved nothing in time makes room for others, and so do those it spoke for. But those
    /// behind a proxy below us stay with that.
    fn part_with(&mut self, client: Uid) {
        let via = self.clients.via(client);
        if via.is_none_or(|via| !self.clients.contains(via)) {
            self.clients.remove(client);
            self.aggregation.part_with(client);
        }
        let Some(keys) = &mut self.keys else {
            return;
        };
        keys.forget(client);
        let may_stay = |behind| keys.awaits(behind) || keys.of(behind) == gate::Keys::Ready;
        for gone in self.clients.disband(client, may_stay) {
            self.aggregation.part_with(gone);
        }
    }

    /// Appends what is to be said, as far as the batch has room.
    pub(super) fn poll_transmit(
        &mut self,
        now: Instant,
        upstream: SocketAddr,
        batch: &mut Batch,
        around: &mut Surroundings<'_>,
    ) {
        self.say_farewell(now);
        let mut writer = Writer {
            up: &mut self.up,
            uid: self.uid,
            key_giver: self.policy.key_giver,
            upstream,
            server: self.server,
            outlets: self.outlets,
            estimate: self.estimate,
            keys: self.keys.as_deref(),
            batch,
            around,
        };
        self.aggregation.write(now, &mut writer);
    }

    /// Those sent away are told so, as many as may be for now.
    fn say_farewell(&mut self, now: Instant) {
        while let Some(farewell) = self.farewells.next(now) {
            match farewell {
                Farewell::Known(host, words) => self.aggregation.expel(host, words.to_string()),
                // It has come again.
                Farewell::Unproved(client) if self.clients.contains(client) => {}
                Farewell::Unproved(client) => {
                    let words = "Client not fully registered at proxy".to_owned();
                    self.aggregation.expel(client, words.clone());
                    if !self.is_over() {
                        self.aggregation.left(client, words);
                    }
                }
            }
        }
    }

    /// A header is to be believed.
    fn heed(&mut self, header: &Header) {
        self.estimate = estimate(header);
        if let Some(keys) = &mut self.keys {
            keys.set_times(Times {
                repeat: self.timing.key_info_repeat(self.estimate),
                registration: self.timing.registration(self.estimate),
            });
        }
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
