//! Answers of many clients made into few (behaviour-proxies §14).

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use uftp_proto::wire::{CompleteStatus, TfmccAckInfo};
use uftp_proto::{FileId, Uid, WireTime};

use super::pen::{Pen, Written};

/// Most kinds of answers held at once; one more sends all that are held.
const MOST_LISTS: usize = 16;

/// Most sections whose losses are held at once; one more sends all that is held.
const MOST_MAPS: usize = 4096;

/// Bytes of the entry of one client in a KEYINFO.
const KEY_ENTRY: u16 = 52;

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
pub(super) struct List {
    pub(super) kind: Kind,
    /// The one that answered the oldest stamp first, the others in order of arrival.
    pub(super) members: Vec<Uid>,
    /// To find them.
    seen: HashSet<Uid>,
    /// The oldest stamp echoed and when it came.
    pub(super) oldest: (WireTime, Instant),
    /// All of them said that part of the file is there.
    pub(super) partial: bool,
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
pub(super) enum Ready {
    List(List),
    Map(FileId, u16, Vec<u8>),
    /// A client has left the session.
    Left(Uid, String),
    /// A client is sent away, or all are.
    Expelled(Uid, String),
    /// Who we are, to clients.
    Introduction,
    /// Goes with every REGISTER where it is asked for.
    ClientKey,
    /// We have the group's keys: proof of it.
    KeyInfoAck(Vec<u8>),
    /// The group's keys, to clients.
    KeyInfo(Vec<Uid>),
    /// What a client reports on congestion, in our words.
    CcAck(TfmccAckInfo),
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

    /// Clients shall know who we are.
    pub(super) fn introduce(&mut self) {
        let waits = |r: &Ready| matches!(r, Ready::Introduction);
        if !self.ready.iter().any(waits) {
            self.ready.push_front(Ready::Introduction);
        }
    }

    /// The server has handed us the group's keys.
    pub(super) fn acknowledge(&mut self, proof: Vec<u8>) {
        let waits = |r: &Ready| matches!(r, Ready::KeyInfoAck(p) if *p == proof);
        if !self.ready.iter().any(waits) {
            self.ready.push_back(Ready::KeyInfoAck(proof));
        }
    }

    /// Clients are to be handed the group's keys.
    pub(super) fn hand_out(&mut self, clients: &[Uid]) {
        let most = usize::from(self.block_size / KEY_ENTRY).max(1);
        let parts = clients.chunks(most);
        self.ready
            .extend(parts.map(|part| Ready::KeyInfo(part.to_vec())));
    }

    /// A client reports on congestion.
    pub(super) fn report(&mut self, info: TfmccAckInfo) {
        self.ready.push_back(Ready::CcAck(info));
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
            match pen.write(now, ready) {
                Written::Sent => {}
                Written::SentWithKey => {
                    self.ready.push_front(Ready::ClientKey);
                    self.ready.swap(0, 1);
                }
                Written::NoRoom => break,
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
