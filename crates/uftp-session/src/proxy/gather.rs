//! Answers of many clients made into few (behaviour-proxies §14).

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use uftp_proto::wire::{Abort, Complete, CompleteStatus, FileInfoAck, Message, Register, Status};
use uftp_proto::{Ecn, FileId, Uid, WireTime};

use super::event::ProxyEventKind;
use super::session::Surroundings;
use crate::batch::Batch;
use crate::link::{Cover, GroupEstimate, Link};

/// Most kinds of answers held at once; one more sends all that are held.
const MOST_LISTS: usize = 16;

/// Most sections whose losses are held at once; one more sends all that is held.
const MOST_MAPS: usize = 4096;

/// What is held for a while, and what is ready to go.
pub(super) struct Gather {
    /// Bytes of file data in a packet; lists and maps are measured by it.
    block_size: u16,
    /// First stamp of the server and when it came: no honest echo is older or, time having
    /// passed, newer.
    first: (WireTime, Instant),
    lists: Vec<List>,
    /// Blocks missing somewhere, by file and section.
    maps: BTreeMap<(FileId, u16), Vec<u8>>,
    /// When all that is held goes.
    due: Option<Instant>,
    ready: VecDeque<Ready>,
}

/// Clients that say the same.
struct List {
    kind: Kind,
    /// The one that answered the oldest stamp first, the others in order of arrival.
    members: Vec<Uid>,
    /// To find them.
    seen: HashSet<Uid>,
    /// The oldest stamp echoed and when it came.
    oldest: (WireTime, Instant),
    /// All of them said that part of the file is there.
    partial: bool,
}

/// What clients say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Register,
    FileInfoAck(FileId),
    Complete(FileId, CompleteStatus),
}

/// One answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer {
    pub(super) kind: Kind,
    /// The stamp it echoes, if it echoes one.
    pub(super) echo: Option<WireTime>,
    /// Part of the file is there.
    pub(super) partial: bool,
}

/// A message that only needs room.
enum Ready {
    List(List),
    Map(FileId, u16, Vec<u8>),
    /// A client has left the session.
    Left(Uid, String),
    /// A client is sent away, or all are.
    Expelled(Uid, String),
}

/// Which way a message goes.
#[derive(Clone, Copy)]
enum Way {
    Up,
    Down,
}

/// How a session's own messages are written.
pub(super) struct Pen<'a, 'e> {
    /// Numbers what goes to the server.
    pub(super) up: &'a mut Link,
    pub(super) server: SocketAddr,
    /// Numbers what goes to the clients, in the server's name: they believe nobody else.
    pub(super) down: &'a mut Link,
    /// Where the clients are.
    pub(super) clients: Option<SocketAddr>,
    pub(super) estimate: GroupEstimate,
    pub(super) batch: &'a mut Batch,
    pub(super) around: &'a mut Surroundings<'e>,
}

impl Gather {
    pub(super) fn new(block_size: u16, first: WireTime, now: Instant) -> Self {
        Gather {
            block_size,
            first: (first, now),
            lists: Vec::new(),
            maps: BTreeMap::new(),
            due: None,
            ready: VecDeque::new(),
        }
    }

    /// When [`flush`](Self::flush) is due; `None` if nothing is held.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Whether nothing is held or ready.
    pub(super) fn is_empty(&self) -> bool {
        self.due.is_none() && self.ready.is_empty()
    }

    /// A client answers. The first answer waits for `hold`, and with it all that follow.
    pub(super) fn answer(&mut self, now: Instant, hold: Duration, client: Uid, answer: Answer) {
        let oldest = (self.plausible(now, answer.echo), now);
        let at = self.lists.iter().position(|l| l.kind == answer.kind);
        let at = at.unwrap_or_else(|| {
            if self.lists.len() >= MOST_LISTS {
                self.flush();
            }
            self.lists.push(List {
                kind: answer.kind,
                members: Vec::new(),
                seen: HashSet::new(),
                oldest,
                partial: true,
            });
            self.lists.len() - 1
        });
        let most = self.most_members();
        let Some(list) = self.lists.get_mut(at) else {
            return;
        };
        list.add(client, oldest, answer.partial);
        if list.members.len() >= most {
            let full = self.lists.remove(at);
            self.ready.push_back(Ready::List(full));
            self.due = (!self.lists.is_empty() || !self.maps.is_empty()).then_some(now + hold);
        } else {
            self.due.get_or_insert(now + hold);
        }
    }

    /// A client misses blocks of a section: `naks` as in its STATUS.
    pub(super) fn naks(&mut self, now: Instant, hold: Duration, place: (FileId, u16), naks: &[u8]) {
        // No section has more blocks than this has bits.
        let naks = naks.get(..usize::from(self.block_size) + 1).unwrap_or(naks);
        if self.maps.len() >= MOST_MAPS && !self.maps.contains_key(&place) {
            self.flush();
        }
        let map = self.maps.entry(place).or_default();
        if map.len() < naks.len() {
            map.resize(naks.len(), 0);
        }
        for (byte, more) in map.iter_mut().zip(naks) {
            *byte |= more;
        }
        self.due.get_or_insert(now + hold);
    }

    /// A client has left. What it and others said before goes first.
    pub(super) fn left(&mut self, client: Uid, reason: String) {
        self.flush();
        self.ready.push_back(Ready::Left(client, reason));
    }

    /// A client is to be sent away; all are if it is [`Uid::NONE`].
    pub(super) fn expel(&mut self, client: Uid, reason: String) {
        self.ready.push_back(Ready::Expelled(client, reason));
    }

    /// Nothing is to be said to the server any more.
    pub(super) fn forget(&mut self) {
        self.lists.clear();
        self.maps.clear();
        self.due = None;
        self.ready.retain(|r| matches!(r, Ready::Expelled(..)));
    }

    /// All that is held shall go.
    pub(super) fn flush(&mut self) {
        self.due = None;
        self.ready.extend(self.lists.drain(..).map(Ready::List));
        let maps = std::mem::take(&mut self.maps).into_iter();
        self.ready
            .extend(maps.map(|((file, section), map)| Ready::Map(file, section, map)));
    }

    /// Writes what is ready as far as the batch has room.
    pub(super) fn write(&mut self, now: Instant, pen: &mut Pen<'_, '_>) {
        while let Some(ready) = self.ready.front() {
            if !pen.write(now, ready) {
                break;
            }
            self.ready.pop_front();
        }
    }

    /// Most members of a list that goes in one message (behaviour-proxies §3).
    fn most_members(&self) -> usize {
        usize::from(self.block_size / 4).max(1)
    }

    /// An echo as far as it can be true: one client must not spoil the round trip time of all.
    fn plausible(&self, now: Instant, echo: Option<WireTime>) -> WireTime {
        let (first, at) = self.first;
        let last = first.plus(now.saturating_duration_since(at));
        echo.map_or(last, |echo| echo.clamp(first, last))
    }
}

impl List {
    fn add(&mut self, client: Uid, stamp: (WireTime, Instant), partial: bool) {
        if !self.seen.insert(client) {
            return;
        }
        self.members.push(client);
        self.partial &= partial;
        let (echo, at) = self.oldest;
        if stamp.0 < echo.plus(stamp.1.saturating_duration_since(at)) {
            self.oldest = stamp;
            let last = self.members.len() - 1;
            self.members.swap(0, last);
        }
    }
}

impl Pen<'_, '_> {
    /// Writes one message. False if it has to wait for another batch.
    fn write(&mut self, now: Instant, ready: &Ready) -> bool {
        match ready {
            Ready::List(list) => self.list(now, list),
            Ready::Map(file, section, map) => {
                let message = Message::Status(Status {
                    file: *file,
                    pass: 0,
                    proxy_seq: 0,
                    section: *section,
                    tfmcc: None,
                    naks: map,
                });
                let sent = ProxyEventKind::NaksSent {
                    file: *file,
                    section: *section,
                    count: map.iter().map(|b| b.count_ones()).sum(),
                };
                self.send(Way::Up, &message, Some(sent))
            }
            Ready::Left(client, reason) => self.send(Way::Up, &abort(*client, reason), None),
            Ready::Expelled(client, reason) => self.send(Way::Down, &abort(*client, reason), None),
        }
    }

    fn list(&mut self, now: Instant, list: &List) -> bool {
        let (stamp, at) = list.oldest;
        let echo = stamp.plus(now.saturating_duration_since(at));
        let members = list.members.clone();
        let clients = members.len();
        let (message, sent) = match list.kind {
            Kind::Register => (
                Message::Register(Register {
                    echo,
                    random: [0; 32],
                    key: Vec::new(),
                    clients: members,
                }),
                ProxyEventKind::RegisterSent(clients),
            ),
            Kind::FileInfoAck(file) => (
                Message::FileInfoAck(FileInfoAck {
                    file,
                    partial: list.partial,
                    echo,
                    clients: members,
                }),
                ProxyEventKind::FileInfoAckSent { file, clients },
            ),
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
        self.send(Way::Up, &message, Some(sent))
    }

    /// Sends one message. False if it has to wait for another batch.
    fn send(&mut self, way: Way, message: &Message<'_>, sent: Option<ProxyEventKind>) -> bool {
        let (link, to, estimate) = match way {
            // What we say upstream says nothing about the group.
            Way::Up => (&mut *self.up, Some(self.server), GroupEstimate::default()),
            Way::Down => (&mut *self.down, self.clients, self.estimate),
        };
        let Some(to) = to else {
            return true;
        };
        let (batch, ecn) = (&mut *self.batch, Ecn::NotEct);
        match link.send(batch, to, ecn, estimate, message, Cover::Session) {
            Ok(_) => {
                self.around.counters.sent += 1;
                if let Some(sent) = sent {
                    self.around.tell(sent);
                }
                true
            }
            Err(error) if error.is_no_room() && !self.batch.is_empty() => false,
            Err(error) => {
                tracing::warn!(%error, function = ?message.function(), "cannot send");
                true
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
