//! What a message of a client comes to.

use std::time::Instant;

use uftp_proto::crypto::Fingerprint;
use uftp_proto::wire::{ClientKey, KeyInfoAck, Message, PrStatus, Register, Status};
use uftp_proto::{FileId, Uid, WireTime};

use super::clients::Standing;
use super::{Assembly, Course, invites, speakers};
use crate::counters::Refusal;
use crate::policy::{Clockwork, PassStyle};
use crate::proxy::aggregation::{Answer, Asked, Kind};
use crate::proxy::event::ProxyEventKind;
use crate::proxy::keys::{Keys, Registration};
use crate::proxy::session::{Handled, Surroundings};
use crate::security::{Claim, Rejection, gate};

/// One message of a client, being acted upon.
pub(super) struct Turn<'a, 'e> {
    pub(super) now: Instant,
    pub(super) author: Uid,
    /// The author has a place among the clients already.
    pub(super) known: bool,
    pub(super) assembly: &'a mut Assembly,
    pub(super) around: &'a mut Surroundings<'e>,
}

/// Whether there is a place for one more client.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Free,
    /// Whoever asks again may find one.
    Later,
    Never,
}

impl Turn<'_, '_> {
    /// Acts on what the author says; `body` is that as it came.
    pub(super) fn hear(mut self, message: Message<'_>, body: &[u8]) -> Handled {
        match message {
            Message::Register(m) => self.register(&m),
            Message::ClientKey(m) => self.client_key(&m, body),
            Message::KeyInfoAck(m) => self.key_info_ack(&m),
            Message::FileInfoAck(m) => {
                let answer = Answer {
                    kind: Kind::FileInfoAck(m.file),
                    echo: self.echo(m.echo),
                    partial: m.partial,
                    naks: &[],
                };
                self.answer(&m.clients, answer);
                Ok(())
            }
            Message::Complete(m) => {
                let answer = Answer {
                    kind: Kind::Complete(m.file, m.status),
                    echo: None,
                    partial: false,
                    naks: &[],
                };
                self.answer(&m.clients, answer);
                Ok(())
            }
            Message::Status(m) => self.status(&m),
            Message::PrStatus(m) => self.answerers(&m),
            // Passed on sealed by a client it crashes deployed servers (behaviour-proxies §14.3).
            Message::CcAck(m) if self.speaks_for(m.info.client) => {
                self.assembly.aggregation.report(m.info);
                Ok(())
            }
            Message::CcAck(_) => Err(Refusal::UnknownSource),
            Message::Abort(m) => self.left(m.host, m.reason),
            _ => Err(Refusal::OutOfPlace),
        }
    }

    /// The author proves that it has the keys.
    fn key_info_ack(&mut self, message: &KeyInfoAck) -> Handled {
        let client = self.author;
        let keys = self.assembly.keys.as_mut().ok_or(Refusal::OutOfPlace)?;
        keys.acknowledge(client, message)?;
        self.around.tell(ProxyEventKind::KeyInfoAcked { client });
        Ok(())
    }

    /// Registers the author, or if it is a proxy itself all it lists.
    fn register(&mut self, message: &Register) -> Handled {
        self.listed()?;
        self.handshake(|keys, author| keys.recalls(author, message))?;
        let before = self.assembly.clients.standing(self.author);
        self.admit(self.author, None)?;
        let now = self.now;
        let confirmed = self.is_confirmed(message);
        let Some(keys) = &mut self.assembly.keys else {
            return self.registered(&Registration::of(message, now));
        };
        match keys.register(now, self.author, message) {
            Ok(None) => Ok(()),
            Ok(Some(registration)) => {
                if confirmed {
                    keys.confirm(now, self.author);
                }
                self.registered(&registration)
            }
            Err(refusal) => {
                self.leave_as(before);
                Err(refusal)
            }
        }
    }

    /// Whether a REGISTER of the author need not wait for the server to confirm it.
    fn is_confirmed(&self, message: &Register) -> bool {
        let assembly = &*self.assembly;
        let mut named = speakers(self.author, &message.clients).chain([self.author]);
        assembly.course == Course::Flowing && named.any(|client| invites(&assembly.invited, client))
    }

    /// The author says who it is.
    fn client_key(&mut self, message: &ClientKey, bytes: &[u8]) -> Handled {
        let expected = self.listed()?;
        self.handshake(|keys, author| keys.recalls_key(author))?;
        let before = self.assembly.clients.standing(self.author);
        self.admit(self.author, None)?;
        let keys = self.assembly.keys.as_mut().ok_or(Refusal::OutOfPlace)?;
        let client = self.author;
        let again = keys.of(client) == gate::Keys::Ready;
        match keys.client_key(self.now, client, Claim::new(message, bytes), expected) {
            Ok(registration) => {
                self.around
                    .tell(ProxyEventKind::ClientKeyReceived { client, again });
                registration.map_or(Ok(()), |registration| self.registered(&registration))
            }
            Err(rejection) => {
                self.leave_as(before);
                Err(match rejection {
                    Rejection::Refused(refusal) => refusal,
                    Rejection::Fingerprint => self.unproved(),
                })
            }
        }
    }

    /// What the author said of itself was nothing: it is where it was `before`.
    fn leave_as(&mut self, before: Standing) {
        self.assembly.clients.set(self.author, before);
        if let Some(keys) = &mut self.assembly.keys {
            keys.forget(self.author);
        }
    }

    /// The key that the author must have, where clients must prove themselves and we were told
    /// who may come. Whoever is not among them takes no place.
    fn listed(&mut self) -> Result<Option<Fingerprint>, Refusal> {
        let keys = self.assembly.keys.as_ref();
        let proves = keys.is_some_and(|keys| keys.suite().client_auth);
        match self.around.config.clients.as_ref().filter(|_| proves) {
            None => Ok(None),
            Some(list) => match list.get(&self.author) {
                Some(expected) => Ok(*expected),
                None => Err(self.unproved()),
            },
        }
    }

    /// The author is not who may come.
    fn unproved(&mut self) -> Refusal {
        if self.around.strangers.allow(self.now) {
            let (client, words) = (self.author, "Failed to verify client key fingerprint");
            self.assembly.aggregation.expel(client, words.to_owned());
            self.around
                .tell(ProxyEventKind::ClientKeyRejected { client });
        }
        Refusal::Unauthentic
    }

    /// A message of the handshake is to be looked into, unless it `is_known`.
    fn handshake(&mut self, is_known: impl Fn(&Keys, Uid) -> bool) -> Handled {
        let assembly = &mut *self.assembly;
        let pending = assembly.keys_of(self.author) == gate::Keys::Pending;
        let keys = assembly.keys.as_ref().filter(|_| pending);
        let dear = keys.is_some_and(|keys| !is_known(keys, self.author));
        match dear && !assembly.handshakes.allow(self.now) {
            true => Err(Refusal::Limit),
            false => Ok(()),
        }
    }

    /// A registration counts: the server is to know.
    fn registered(&mut self, registration: &Registration) -> Handled {
        let now = self.now;
        let answer = Answer {
            kind: Kind::Register,
            echo: self.echo(registration.echo_at(now)),
            partial: false,
            naks: &[],
        };
        let mut refused = Ok(());
        for client in speakers(self.author, &registration.clients) {
            let via = (client != self.author).then_some(self.author);
            if let Err(refusal) = self.admit(client, via) {
                refused = Err(refusal);
                continue;
            }
            let again = self.assembly.clients.register(client);
            self.around
                .tell(ProxyEventKind::Registered { client, via, again });
            self.say(client, answer);
        }
        let author = self.author;
        if let Some(keys) = &mut self.assembly.keys
            && keys.is_due(now, author)
        {
            self.assembly.aggregation.hand_out(&[author]);
        }
        refused
    }

    /// Takes a client into the table, or sends it away. `via` speaks for it, if it does not
    /// itself.
    fn admit(&mut self, client: Uid, via: Option<Uid>) -> Handled {
        let own = self.assembly.uid;
        if client.is_none() || client == self.assembly.server || client == own {
            return Err(Refusal::UnknownSource);
        }
        let config = self.around.config;
        let listed = config.clients.as_ref();
        if config.strict && listed.is_some_and(|list| !list.contains_key(&client)) {
            return Err(Refusal::UnknownSource);
        }
        let (before, wanted) = (
            self.assembly.clients.standing(client),
            Standing::of_client(via),
        );
        if before == Standing::Stranger {
            self.find_place(client, via)?;
        } else if before != wanted && self.assembly.keys_of(client) == gate::Keys::Ready {
            // Who has keys is not spoken for by others, nor is who is behind a proxy that has. What is
            // said without proof keeps nobody out.
            return Err(Refusal::UnknownSource);
        }
        self.assembly.clients.set(client, wanted);
        Ok(())
    }

    /// Sees to it that the table has a place for a client that `via` speaks for, if it does not itself.
    /// If there is none the client is sent away.
    fn find_place(&mut self, client: Uid, via: Option<Uid>) -> Handled {
        let place = match self.assembly.clients.len() < self.around.config.max_clients {
            true => Place::Free,
            false => self.make_room(via),
        };
        if place == Place::Free {
            return Ok(());
        }
        if self.around.strangers.allow(self.now) {
            if place == Place::Never {
                let words = "Max destinations exceeded".to_owned();
                self.assembly.aggregation.expel(client, words);
            }
            self.around.tell(ProxyEventKind::ClientRefused(client));
        }
        Err(Refusal::Limit)
    }

    /// There is no place left for a client, unless somebody gives way who has proved nothing though it had
    /// time to: places are taken in any name. Who is listed by a proxy that has proved nothing itself
    /// drives nobody out.
    fn make_room(&mut self, via: Option<Uid>) -> Place {
        let (timing, estimate) = (self.assembly.timing, self.assembly.estimate);
        let handshake = timing.hold(estimate, Kind::Register) + timing.key_info_repeat(estimate);
        let Assembly {
            keys: Some(keys),
            clients,
            invited,
            ..
        } = &mut *self.assembly
        else {
            return Place::Never;
        };
        let speaks = via.is_none_or(|via| keys.of(via) == gate::Keys::Ready);
        let author = self.author;
        let now = self.now;
        let had_time = |came| came + handshake <= now;
        let may_go = |uid| uid != author && clients.standing(uid) == Standing::Alone;
        let welcome = |uid| invites(invited, uid);
        let displaced = match speaks {
            true => keys.displace(had_time, may_go, welcome),
            false => None,
        };
        let Some(client) = displaced else {
            return match keys.has_unproved(may_go) {
                true => Place::Later,
                false => Place::Never,
            };
        };
        self.around.tell(ProxyEventKind::Displaced { client });
        self.assembly.part_with(client);
        Place::Free
    }

    /// The author says what it misses. Where each question has its answer that is one also if it
    /// misses nothing, and counts for those whom a proxy says it counts for (wire-v3 §8.4).
    fn status(&mut self, message: &Status<'_>) -> Handled {
        if message.file == FileId::SESSION {
            return Err(Refusal::OutOfRange);
        }
        let assembly = &mut *self.assembly;
        let asked = Asked::by(message.file, message.pass, message.section);
        if let PassStyle::Streaming = assembly.policy.passes {
            let hold = assembly.timing.hold(assembly.estimate, Kind::Status(asked));
            assembly
                .aggregation
                .naks(self.now, hold, asked, message.naks);
            self.around.traffic.gathered += 1;
            return Ok(());
        }
        let whole = usize::from(assembly.block_size);
        if !message.naks.is_empty() && message.naks.len() != whole {
            return Err(Refusal::Malformed);
        }
        let clients = match assembly.clients.is_proxy(self.author) {
            false => vec![self.author],
            true => {
                let (halves, of) = (&mut assembly.halves, (self.author, asked));
                let clients = halves.missing(of, message.proxy_seq, message.naks);
                clients.into_iter().collect()
            }
        };
        self.report(&clients, asked, message.naks);
        Ok(())
    }

    /// The author, a proxy, says for whom its report counts.
    fn answerers(&mut self, message: &PrStatus) -> Handled {
        let assembly = &mut *self.assembly;
        if !assembly.clients.is_proxy(self.author) || message.file == FileId::SESSION {
            return Err(Refusal::OutOfPlace);
        }
        let asked = Asked::by(message.file, message.pass, message.section);
        let (halves, of) = (&mut assembly.halves, (self.author, asked));
        if let Some(naks) = halves.named(of, message.proxy_seq, &message.clients) {
            self.report(&message.clients, asked, &naks);
        }
        Ok(())
    }

    fn report(&mut self, clients: &[Uid], asked: Asked, naks: &[u8]) {
        for client in clients {
            if self.speaks_for(*client) {
                let answer = Answer {
                    kind: Kind::Status(asked),
                    echo: None,
                    partial: false,
                    naks,
                };
                self.say(*client, answer);
            }
        }
    }

    /// The author answers, or all it speaks for do.
    fn answer(&mut self, listed: &[Uid], answer: Answer<'_>) {
        for client in speakers(self.author, listed) {
            if self.speaks_for(client) {
                self.say(client, answer);
            }
        }
    }

    /// A stamp of the server that an answer echoes, where servers have stamps.
    fn echo(&self, stamp: WireTime) -> Option<WireTime> {
        match self.assembly.policy.clockwork {
            Clockwork::RoundTrips => Some(stamp),
            Clockwork::Fixed => None,
        }
    }

    /// What one client says is held, and goes to the server with what others say.
    fn say(&mut self, client: Uid, answer: Answer<'_>) {
        let Assembly {
            timing,
            estimate,
            aggregation,
            ..
        } = &mut *self.assembly;
        let hold = timing.hold(*estimate, answer.kind);
        aggregation.answer(self.now, hold, client, answer);
        self.around.traffic.gathered += 1;
    }

    /// Whether the author may speak for a client. Nobody does for one that has keys of its own.
    fn speaks_for(&self, client: Uid) -> bool {
        let keys = self.assembly.keys.as_ref();
        let proved = keys.is_some_and(|keys| keys.of(client) == gate::Keys::Ready);
        match self.assembly.clients.standing(client) {
            Standing::Stranger => false,
            _ if client == self.author => true,
            standing => standing == Standing::Behind(self.author) && !proved,
        }
    }

    /// The author leaves, or somebody it speaks for does, or who is behind a proxy below us and never
    /// came that far, as long as that has keys. One who never came may say why; that one
    /// who came leaves before it had keys, anybody may say, and it is not passed on in our name.
    fn left(&mut self, host: Uid, reason: String) -> Handled {
        let clients = &self.assembly.clients;
        let keyless = self.assembly.keys_of(self.author) == gate::Keys::Pending;
        if keyless && (clients.is_registered(self.author) || clients.is_registered(host)) {
            return Err(Refusal::Uncovered);
        }
        let unheard =
            !host.is_none() && !clients.contains(host) && clients.is_proxy(self.author) && !keyless;
        let other = host != self.author && clients.contains(host);
        let client = match self.known && (unheard || self.speaks_for(host)) {
            true => host,
            // It is not the author's to say, and nothing about the author.
            false if other => return Err(Refusal::OutOfPlace),
            false => self.author,
        };
        // Once is enough: what comes again and again is told to the server and the operator within limits.
        let most = 2 * self.around.config.max_clients;
        let first = self.known && self.assembly.clients.depart(client, most);
        if !first && !self.around.strangers.allow(self.now) {
            return Err(Refusal::Limit);
        }
        self.assembly.aggregation.left(client, reason.clone());
        self.around
            .tell(ProxyEventKind::AbortedByClient { client, reason });
        Ok(())
    }
}
