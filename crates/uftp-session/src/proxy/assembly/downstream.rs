//! Packets on their way from the server to clients.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use uftp_proto::Uid;
use uftp_proto::wire::{Abort, Announce, Function, Header, KeyInfo, Message, RegConf};

use super::clients::Standing;
use super::{Assembly, Course, Dismissal, invites, speakers};
use crate::counters::Refusal;
use crate::incoming::{Incoming, decode};
use crate::proxy::aggregation::{Answer, Kind};
use crate::proxy::announce::called;
use crate::proxy::config::ProxyConfig;
use crate::proxy::event::ProxyEventKind;
use crate::proxy::keys::Keys;
use crate::proxy::session::{Handled, Surroundings, estimate};
use crate::security::gate::{self, Form};

/// Most of those named in announcements that are remembered: as many as senders have receivers.
const MOST_INVITED: usize = 100_000;

/// Longest packet that is looked into lest it be an ABORT: that is 308 bytes, and so much is put
/// around it at most.
const LONGEST_ABORT: usize = Header::LEN + 308 + 12 + 512 + 16;

impl Assembly {
    /// A packet of the server. Nothing of it is believed, its header included, before it has
    /// proved authentic or is one that comes in the clear.
    pub(in crate::proxy) fn downstream(
        &mut self,
        incoming: &Incoming,
        packet: &mut [u8],
        around: &mut Surroundings<'_>,
    ) -> Handled {
        let header = &incoming.header;
        if header.src != self.server {
            return Err(Refusal::UnknownSource);
        }
        if header.function == Function::Abort {
            return self.abort_in_the_clear(incoming, packet, around);
        }
        let keys = self.own_keys();
        gate::downstream(Form::Clear, header.function, keys)?;
        if self.is_over() {
            return Err(Refusal::OutOfPlace);
        }
        if keys == gate::Keys::None {
            return self.in_the_clear(incoming, packet, around);
        }
        if header.function == Function::Encrypted {
            return self.sealed(incoming, packet, around);
        }
        match decode(header, packet)? {
            Message::Announce(message) => self.announced_on(incoming, packet, &message, around),
            Message::RegConf(message) => self.confirmed(incoming, packet, &message, around),
            Message::KeyInfo(message) => self.key_info(incoming, packet, &message, around),
            _ => Err(Refusal::OutOfPlace),
        }
    }

    /// A packet of a session that is not encrypted.
    fn in_the_clear(
        &mut self,
        incoming: &Incoming,
        packet: &[u8],
        around: &mut Surroundings<'_>,
    ) -> Handled {
        let header = &incoming.header;
        self.heed(header);
        if header.function == Function::Announce {
            if let Message::Announce(announce) = decode(header, packet)? {
                self.learn_name(&announce, around.config);
            }
            if self.outlets.introductions.is_some() {
                self.aggregation.introduce(header.seq);
            }
        }
        self.pass(incoming, packet, around)
    }

    /// The server announces an encrypted session on.
    fn announced_on(
        &mut self,
        incoming: &Incoming,
        packet: &[u8],
        announce: &Announce,
        around: &mut Surroundings<'_>,
    ) -> Handled {
        let (now, header) = (incoming.now, &incoming.header);
        let keys = self.keys.as_ref().ok_or(Refusal::OutOfPlace)?;
        if !keys.recognizes(announce, packet) {
            return Err(Refusal::Unauthentic);
        }
        if self.course == Course::Announcing {
            // Else it may have been kept, and sealed packets say it better.
            self.heed(header);
        }
        self.learn_name(announce, around.config);
        if self.invited.len() < MOST_INVITED {
            self.invited.extend(&announce.clients);
            self.handshakes.expect(self.invited.len());
        }
        if self.outlets.introductions.is_some() {
            if self.introductions.follow(now, self.register_interval()) {
                self.aggregation.introduce(header.seq);
            }
            self.register_again(now);
            return self.pass(incoming, packet, around);
        }
        let Some(forward) = self.outlets.forward else {
            return Ok(());
        };
        // Clients take us for the server, and are to see our keys.
        let keys = self.keys.as_ref().ok_or(Refusal::OutOfPlace)?;
        let ours = keys.announcement(header, announce);
        let ours = ours.ok_or(Refusal::Malformed)?;
        around.pass_down(forward.public, incoming.ecn, &ours)
    }

    /// From one REGISTER of a client to the next.
    fn register_interval(&self) -> Duration {
        self.estimate.grtt.duration() * self.policy.register_interval
    }

    /// Clients repeat a REGISTER only in the pauses between our introductions, and those may end before
    /// they do. What we told the server of them may be lost: of whom it has not heard it is told again,
    /// as they would do it.
    fn register_again(&mut self, now: Instant) {
        let interval = self.register_interval();
        let Some(keys) = &mut self.keys else {
            return;
        };
        let hold = self.timing.hold(self.estimate, Kind::Register);
        for (author, registration) in keys.unheard(now, interval) {
            let answer = Answer {
                kind: Kind::Register,
                echo: Some(registration.echo_at(now)),
                partial: false,
                naks: &[],
            };
            for client in speakers(author, &registration.clients) {
                if self.clients.is_registered(client) {
                    self.aggregation.answer(now, hold, client, answer);
                }
            }
        }
    }

    /// The list of an ANNOUNCE may hold one of our names; the first that does tells us which is
    /// ours here (wire-v3 §8.3).
    fn learn_name(&mut self, announce: &Announce, config: &ProxyConfig) {
        if self.listed {
            return;
        }
        if let Some(uid) = called(config, self.policy, announce) {
            self.listed = true;
            self.uid = uid;
            self.up.rename(uid);
        }
    }

    /// Forwards a packet as it is.
    fn pass(
        &mut self,
        incoming: &Incoming,
        packet: &[u8],
        around: &mut Surroundings<'_>,
    ) -> Handled {
        match self.outlets.forward {
            None => Ok(()),
            Some(forward) => {
                let to = forward.to(incoming.header.function);
                around.pass_down(to, incoming.ecn, packet)
            }
        }
    }

    /// The server knows these clients: they may be handed the group's keys.
    fn confirmed(
        &mut self,
        incoming: &Incoming,
        packet: &[u8],
        message: &RegConf,
        around: &mut Surroundings<'_>,
    ) -> Handled {
        let now = incoming.now;
        self.believe_while_joining(&incoming.header);
        let keys = self.keys.as_mut().ok_or(Refusal::OutOfPlace)?;
        let mut others = false;
        for client in &message.clients {
            match self.clients.standing(*client) {
                Standing::Stranger => {}
                Standing::Alone => keys.confirm(now, *client),
                Standing::Behind(proxy) => {
                    others = true;
                    keys.confirm(now, proxy);
                }
            }
        }
        self.aggregation.hand_out(&keys.due_clients(now));
        // A proxy below us waits for it in its turn.
        match others {
            true => self.pass(incoming, packet, around),
            false => Ok(()),
        }
    }

    /// The server hands out the group's keys.
    fn key_info(
        &mut self,
        incoming: &Incoming,
        packet: &[u8],
        message: &KeyInfo,
        around: &mut Surroundings<'_>,
    ) -> Handled {
        let (now, header) = (incoming.now, &incoming.header);
        let keys = self.keys.as_mut().ok_or(Refusal::OutOfPlace)?;
        let answer = keys.key_info(incoming, self.uid, message, packet)?;
        let Some(answer) = answer else {
            return Ok(());
        };
        if let Some(sealer) = answer.sealer {
            self.up.secure(sealer, keys.counter());
            around.tell(ProxyEventKind::KeyInfoReceived);
        }
        self.aggregation.acknowledge(answer.proof);
        self.aggregation.hand_out(&keys.due_clients(now));
        match message.signature.is_empty() {
            true => self.believe_while_joining(header),
            // The signature covers the header.
            false => self.heed(header),
        }
        Ok(())
    }

    /// An encrypted packet. It passes as it is; we look into those that tell something new, and
    /// those that may be an ABORT.
    fn sealed(
        &mut self,
        incoming: &Incoming,
        packet: &mut [u8],
        around: &mut Surroundings<'_>,
    ) -> Handled {
        let (now, header) = (incoming.now, &incoming.header);
        let keys = self.keys.as_mut().ok_or(Refusal::OutOfPlace)?;
        let news = estimate(header) != self.estimate || self.course == Course::Announcing;
        if news || packet.len() <= LONGEST_ABORT {
            let news = keys.look(incoming, packet)?;
            self.heed(header);
            let keys = self.keys.as_mut().ok_or(Refusal::OutOfPlace)?;
            if let Some(sealer) = news.sealer {
                self.up.secure(*sealer, keys.counter());
            }
            match news.abort {
                Some(abort) => self.note_abort(now, abort, around),
                None if self.course == Course::Announcing => self.flow(now),
                None => {}
            }
        }
        let Some(forward) = self.outlets.forward else {
            return Ok(());
        };
        if let Some(keys) = &self.keys {
            keys.pass_on(packet)?;
        }
        around.pass_down(forward.private, incoming.ecn, packet)
    }

    /// The server has done with announcing: whoever it has invited and has come counts as confirmed.
    fn flow(&mut self, now: Instant) {
        self.course = Course::Flowing;
        let Some(keys) = &mut self.keys else {
            return;
        };
        let invited = |client| invites(&self.invited, client);
        // Who invites a client does not name the proxies that speak for it below us.
        let known = self.clients.iter().filter(|(client, _)| invited(*client));
        let speaking: HashSet<Uid> = known
            .filter_map(|(_, standing)| match standing {
                Standing::Behind(proxy) => Some(proxy),
                _ => None,
            })
            .collect();
        keys.confirm_all(|client| invited(client) || speaking.contains(&client));
        self.aggregation.hand_out(&keys.due_clients(now));
    }

    /// Takes the header of a message in the clear at its word as long as there is nothing
    /// better, but for round trips longer than those we know of: anybody can have us wait with them.
    fn believe_while_joining(&mut self, header: &Header) {
        let longer = header.grtt.duration() > self.estimate.grtt.duration();
        if !longer && self.keys.as_ref().is_none_or(|k| !k.are_proven()) {
            self.heed(header);
        }
    }

    /// An ABORT in the clear. Once we have keys it says nothing to us, but clients may have none.
    fn abort_in_the_clear(
        &mut self,
        incoming: &Incoming,
        packet: &[u8],
        around: &mut Surroundings<'_>,
    ) -> Handled {
        let (now, header) = (incoming.now, &incoming.header);
        let keys = self.own_keys();
        let believed = gate::downstream(Form::Clear, Function::Abort, keys);
        let Message::Abort(abort) = decode(header, packet)? else {
            return Err(Refusal::Malformed);
        };
        let for_us = abort.host == self.uid;
        let concerns_keyless = |keys: &Keys| keys.of(abort.host) == gate::Keys::Pending;
        match (&self.keys, believed) {
            (Some(keys), Err(refusal)) if for_us || !concerns_keyless(keys) => return Err(refusal),
            _ => {}
        }
        if !for_us {
            self.pass(incoming, packet, around)?;
        }
        let ends = for_us || (abort.host.is_none() && !abort.current_file);
        match (believed, keys) {
            (Err(_), _) => {}
            // Anybody may have said so; it counts if the server sends no keys in the time it has for that.
            (Ok(()), gate::Keys::Pending) if ends => {
                let due = now + self.timing.registration(self.estimate);
                self.dismissal.get_or_insert(Dismissal { abort, due });
            }
            (Ok(()), _) => self.note_abort(now, abort, around),
        }
        Ok(())
    }

    /// The server ends the session, for all or for one. Clients hear it themselves, unless it is
    /// for us to hear.
    pub(super) fn note_abort(&mut self, now: Instant, abort: Abort, around: &mut Surroundings<'_>) {
        let for_us = abort.host == self.uid;
        if for_us && self.is_over() {
            // Clients have been told, perhaps each by itself.
            return;
        }
        if for_us {
            // It concerns all who are behind us.
            let audience = self.audience();
            self.farewells.send_away(now, audience, &abort.reason);
        } else if self.outlets.forward.is_none() && self.clients.contains(abort.host) {
            self.aggregation.expel(abort.host, abort.reason.clone());
        }
        if for_us || (abort.host.is_none() && !abort.current_file) {
            self.course = Course::Over;
            self.aggregation.forget();
        }
        around.tell(ProxyEventKind::AbortedByServer {
            host: abort.host,
            reason: abort.reason,
        });
    }
}
