//! How the proxy's own messages are written: upstream in its own name, downstream in that of the
//! server.

use std::net::SocketAddr;

use uftp_proto::wire::{
    Abort, CcAck, Complete, FileInfoAck, KeyInfo, KeyInfoAck, Message, PrStatus, ProxyKey,
    Register, Status,
};
use uftp_proto::{Ecn, Seq, Uid, WireTime};

use super::aggregation::{Kind, List, Ready};
use super::event::ProxyEventKind;
use super::keys::Keys;
use super::outlets::Outlets;
use super::session::Surroundings;
use crate::batch::Batch;
use crate::link::{Cover, Dest, Envelope, GroupEstimate, Link};
use crate::policy::KeyGiver;

/// Which way a message goes, and in whose name.
#[derive(Clone, Copy)]
enum Way {
    /// To the server, in ours.
    Up,
    /// To the clients, in the server's.
    Down,
    /// To the clients, in ours.
    Introduced,
    /// To those who listen to announcements, in ours, under this number.
    Public(Seq),
}

/// What became of one message.
pub(super) enum Written {
    /// It is in the batch, or can never be.
    Sent,
    /// It is, and CLIENT_KEY belongs right behind it.
    SentWithKey,
    /// It has to wait for another batch.
    NoRoom,
}

/// How a session's own messages are written.
pub(super) struct Writer<'a, 'e> {
    /// Numbers and seals what goes to the server.
    pub(super) up: &'a mut Link,
    /// What we are called.
    pub(super) uid: Uid,
    /// In whose name we hand out keys.
    pub(super) key_giver: KeyGiver,
    /// Where the server is.
    pub(super) upstream: SocketAddr,
    /// Its name: clients believe nobody else, unless we introduce ourselves.
    pub(super) server: Uid,
    /// Where the clients are.
    pub(super) outlets: Outlets,
    pub(super) estimate: GroupEstimate,
    /// Of an encrypted session.
    pub(super) keys: Option<&'a Keys>,
    pub(super) batch: &'a mut Batch,
    pub(super) around: &'a mut Surroundings<'e>,
}

impl Writer<'_, '_> {
    /// Writes one message.
    pub(super) fn write(&mut self, ready: &Ready) -> Written {
        match ready {
            Ready::List(list) => self.list(list),
            Ready::Map(asked, number, map) => {
                let message = Message::Status(Status {
                    file: asked.file,
                    pass: asked.pass,
                    proxy_seq: *number,
                    section: asked.section,
                    tfmcc: None,
                    naks: map,
                });
                let sent = ProxyEventKind::NaksSent {
                    file: asked.file,
                    section: asked.section,
                    count: map.iter().map(|b| b.count_ones()).sum(),
                };
                self.send(Way::Up, Cover::Session, &message, Some(sent))
            }
            Ready::Left(client, reason) => {
                self.send(Way::Up, Cover::Session, &abort(*client, reason), None)
            }
            Ready::Expelled(client, reason) => {
                // Not in the server's name under the group's keys: its counters are its own.
                self.send(Way::Down, Cover::Clear, &abort(*client, reason), None)
            }
            Ready::Introduction(number) => self.introduce(*number),
            Ready::ClientKey => match self.keys.and_then(|k| k.client().client_key()) {
                Some(key) => {
                    let message = Message::ClientKey(key.clone());
                    self.send(Way::Up, Cover::Handshake, &message, None)
                }
                None => Written::Sent,
            },
            Ready::KeyInfoAck(proof) => {
                let message = Message::KeyInfoAck(KeyInfoAck {
                    verify_data: proof.clone(),
                });
                self.send(Way::Up, Cover::Session, &message, None)
            }
            Ready::KeyInfo(clients) => self.key_info(clients),
            Ready::CcAck(info) => {
                let message = Message::CcAck(CcAck { info: *info });
                self.send(Way::Up, Cover::Session, &message, None)
            }
        }
    }

    /// Hands the group's keys to clients.
    fn key_info(&mut self, clients: &[Uid]) -> Written {
        let Some(keys) = self.keys else {
            return Written::Sent;
        };
        let Some(iv_counter) = self.up.next_iv_counter() else {
            return Written::Sent;
        };
        let (way, src) = match self.key_giver {
            KeyGiver::Server => (Way::Down, self.server),
            KeyGiver::Named | KeyGiver::Anybody => (Way::Introduced, self.uid),
        };
        let entries = keys.server().key_entries(clients, src, iv_counter);
        if entries.is_empty() {
            return Written::Sent;
        }
        let sent = ProxyEventKind::KeyInfoSent(entries.len());
        let message = Message::KeyInfo(KeyInfo {
            iv_counter,
            signature: vec![0; keys.server().key_info_signature_len()],
            keys: entries,
        });
        self.send(way, Cover::Clear, &message, Some(sent))
    }

    /// Says who we are: PROXY_KEY, without keys in a session that has none.
    fn introduce(&mut self, number: Seq) -> Written {
        let known = self.keys.and_then(|keys| keys.server().proxy_key());
        let message = Message::ProxyKey(known.cloned().unwrap_or_else(|| ProxyKey {
            nonce: 0,
            key: Vec::new(),
            dh_key: Vec::new(),
            signature: Vec::new(),
        }));
        let sent = ProxyEventKind::ProxyKeySent;
        self.send(Way::Public(number), Cover::Clear, &message, Some(sent))
    }

    fn list(&mut self, list: &List) -> Written {
        let echo = list.echo;
        let members = list.members.clone();
        let clients = members.len();
        let (message, sent) = match list.kind {
            Kind::Register => return self.register(echo, members),
            Kind::FileInfoAck(file) => (
                Message::FileInfoAck(FileInfoAck {
                    file,
                    partial: list.partial,
                    echo,
                    clients: members,
                }),
                ProxyEventKind::FileInfoAckSent { file, clients },
            ),
            Kind::Status(asked) => {
                let message = Message::PrStatus(PrStatus {
                    file: asked.file,
                    pass: asked.pass,
                    proxy_seq: list.number,
                    section: asked.section,
                    clients: members,
                });
                return self.send(Way::Up, Cover::Session, &message, None);
            }
            Kind::Complete(file, status) => (
                Message::Complete(Complete {
                    file,
                    status,
                    free_space: None,
                    clients: members,
                }),
                ProxyEventKind::CompleteSent {
                    file,
                    status,
                    clients,
                },
            ),
        };
        self.send(Way::Up, Cover::Session, &message, Some(sent))
    }

    /// Registers us for these clients.
    fn register(&mut self, echo: WireTime, clients: Vec<Uid>) -> Written {
        let (random, key) = match self.keys.map(Keys::client) {
            None => ([0; 32], Some(Vec::new())),
            Some(client) => (client.random(), client.register_key()),
        };
        let Some(key) = key else {
            tracing::error!("cannot encrypt to the server's key");
            return Written::Sent;
        };
        let sent = ProxyEventKind::RegisterSent(clients.len());
        let message = Message::Register(Register {
            echo,
            random,
            key,
            clients,
        });
        match self.send(Way::Up, Cover::Clear, &message, Some(sent)) {
            Written::Sent => Written::SentWithKey,
            written => written,
        }
    }

    /// Sends one message.
    fn send(
        &mut self,
        way: Way,
        cover: Cover,
        message: &Message<'_>,
        sent: Option<ProxyEventKind>,
    ) -> Written {
        let id = self.around.id;
        // What is said downstream counts by itself, always from the start (behaviour-proxies
        // §7.3, wire-v5 §2).
        let down = |uid| {
            let link = Link::new(self.up.version(), uid, id.group, id.instance);
            link.towards(Dest::Address(self.upstream.ip()))
        };
        let (mut server, mut introduced) = (down(self.server), down(self.uid));
        let (link, to, estimate) = match way {
            // What we say upstream says nothing about the group.
            Way::Up => (&mut *self.up, Some(self.upstream), GroupEstimate::default()),
            Way::Down => (&mut server, self.outlets.clients, self.estimate),
            Way::Introduced => (&mut introduced, self.outlets.clients, self.estimate),
            Way::Public(number) => {
                introduced = introduced.starting_at(number);
                (&mut introduced, self.outlets.introductions, self.estimate)
            }
        };
        let Some(to) = to else {
            return Written::Sent;
        };
        let batch = &mut *self.batch;
        let envelope = Envelope {
            to,
            ecn: Ecn::NotEct,
            estimate,
        };
        let signer = self.keys.filter(|_| matches!(way, Way::Introduced));
        let written = match signer {
            // behaviour-proxies §7.3
            None if matches!(message, Message::ClientKey(_)) => {
                link.send_unnumbered(batch, envelope, message, cover)
            }
            None => link.send(batch, envelope, message, cover),
            Some(keys) => link.send_signed(batch, envelope, message, |packet| {
                keys.server().sign(message, packet)
            }),
        };
        match written {
            Ok(len) => {
                self.around.counters.sent += 1;
                match way {
                    Way::Up => self.around.traffic.said_up(message, len),
                    Way::Down | Way::Introduced | Way::Public(_) => {
                        self.around.traffic.down.count(len);
                    }
                }
                if let Some(sent) = sent {
                    self.around.tell(sent);
                }
                Written::Sent
            }
            Err(error) if error.is_no_room() && !self.batch.is_empty() => Written::NoRoom,
            Err(error) => {
                tracing::warn!(%error, function = ?message.function(), "cannot send");
                Written::Sent
            }
        }
    }
}

fn abort(host: Uid, reason: &str) -> Message<'static> {
    Message::Abort(Abort {
        current_file: false,
        host,
        reason: reason.to_owned(),
    })
}
