//! Answers of many clients made into few (behaviour-proxies §14).

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use uftp_proto::wire::{
    self, CompleteStatus, FileInfoAck, Header, Message, Register, TfmccAckInfo,
};
use uftp_proto::{FileId, Seq, Uid, WireTime};

use super::keys::Keys;
use super::writer::{Writer, Written};
use crate::link::Link;
use crate::policy::{Policy, ProxyLists};

/// Most kinds of answers held at once; one more sends all that are held.
const MOST_LISTS: usize = 16;

/// Most bytes of losses held at once; more sends all that is held.
const MOST_MAP_BYTES: usize = 4 << 20;

/// Bytes of the entry of one client in a KEYINFO.
const KEY_ENTRY: u16 = 52;

/// How much goes into one message.
pub(super) struct Room {
    /// Bytes of file data in a packet; lists and maps are measured by it.
    block_size: u16,
    /// What of that REGISTER and FILEINFO_ACK take from their lists, bytes.
    taken: [usize; 2],
}

impl Room {
    /// In a session with blocks of this size whose messages to the server leave by `up`.
    pub(super) fn new(policy: Policy, block_size: u16, up: &Link, keys: Option<&Keys>) -> Self {
        let taken = match policy.proxy_lists {
            ProxyLists::Block => [0; 2],
            ProxyLists::Datagram => {
                let (echo, clients) = (WireTime(0), Vec::new());
                let key = keys.and_then(|keys| keys.client().register_key());
                let register = Message::Register(Register {
                    echo,
                    random: [0; 32],
                    key: key.unwrap_or_default(),
                    clients: clients.clone(),
                });
                let ack = Message::FileInfoAck(FileInfoAck {
                    file: FileId::SESSION,
                    partial: false,
                    echo,
                    clients,
                });
                let data = wire::fileseg_head_len(up.version(), false);
                [register, ack].map(|message| {
                    let fixed = up.plain_len(&message).unwrap_or_default();
                    fixed.saturating_sub(Header::LEN + data)
                })
            }
        };
        Room { block_size, taken }
    }

    /// Most members of a list that goes in one message (behaviour-proxies §3, wire-v3 §3).
    fn most_members(&self, kind: Kind) -> usize {
        let [register, ack] = self.taken;
        let taken = match kind {
            Kind::Register => register,
            Kind::FileInfoAck(_) => ack,
            Kind::Complete(..) | Kind::Status(_) => 0,
        };
        (usize::from(self.block_size).saturating_sub(taken) / 4).max(1)
    }
}

/// What is held for a while, and what is ready to go.
pub(super) struct Aggregation {
    room: Room,
    /// First stamp of the server and when it came: no honest echo is older or, time having
    /// passed, newer.
    first: (WireTime, Instant),
    /// The latest stamp each client has echoed. One that comes again says nothing of a round trip:
    /// the network, or somebody who means to slow us down, has held it up.
    echoed: HashMap<Uid, WireTime>,
    /// The latest stamp echoed to the server.
    told: WireTime,
    lists: Vec<List>,
    /// Blocks missing somewhere, by file and section.
    maps: BTreeMap<Asked, Vec<u8>>,
    /// Bytes of them.
    mapped: usize,
    /// When all that is held goes.
    due: Option<Instant>,
    ready: VecDeque<Ready>,
    /// Number of the next report that says whom it counts for.
    number: u8,
}

/// Clients that say the same.
pub(super) struct List {
    pub(super) kind: Kind,
    /// The one that answered the oldest stamp first, the others in order of arrival.
    pub(super) members: Vec<Uid>,
    /// To find them.
    seen: HashSet<Uid>,
    /// The oldest stamp echoed and when it came; `None` if all were echoed before.
    oldest: Option<(WireTime, Instant)>,
    /// What the server is echoed for them.
    pub(super) echo: WireTime,
    /// All of them said that part of the file is there.
    pub(super) partial: bool,
    /// Blocks missing at any of them.
    naks: Vec<u8>,
    /// Number of the report of these.
    pub(super) number: u8,
}

/// What clients say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Register,
    FileInfoAck(FileId),
    Complete(FileId, CompleteStatus),
    /// What they miss, where the server wants to know of whom.
    Status(Asked),
}

impl Kind {
    /// Whether the message has a stamp of the server.
    fn echoes(self) -> bool {
        matches!(self, Kind::Register | Kind::FileInfoAck(_))
    }
}

/// What of a file the server has asked about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Asked {
    pub(super) file: FileId,
    /// After which pass, where that is said.
    pub(super) pass: u8,
    pub(super) section: u16,
}

impl Asked {
    pub(super) fn by(file: FileId, pass: u8, section: u16) -> Self {
        Asked {
            file,
            pass,
            section,
        }
    }
}

/// One answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer<'a> {
    pub(super) kind: Kind,
    /// The stamp it echoes, if it echoes one.
    pub(super) echo: Option<WireTime>,
    /// Part of the file is there.
    pub(super) partial: bool,
    /// What is missing of the section in question.
    pub(super) naks: &'a [u8],
}

/// A message that only needs room.
pub(super) enum Ready {
    List(List),
    /// Blocks missing somewhere, under this number.
    Map(Asked, u8, Vec<u8>),
    /// A client has left the session.
    Left(Uid, String),
    /// A client is sent away, or all are.
    Expelled(Uid, String),
    /// Who we are, to clients, under this number.
    Introduction(Seq),
    /// Goes with every REGISTER where it is asked for.
    ClientKey,
    /// We have the group's keys: proof of it.
    KeyInfoAck(Vec<u8>),
    /// The group's keys, to clients.
    KeyInfo(Vec<Uid>),
    /// What a client reports on congestion, in our words.
    CcAck(TfmccAckInfo),
}

impl Aggregation {
    pub(super) fn new(room: Room, first: WireTime, now: Instant) -> Self {
        Aggregation {
            room,
            first: (first, now),
            echoed: HashMap::new(),
            told: first,
            lists: Vec::new(),
            maps: BTreeMap::new(),
            mapped: 0,
            due: None,
            ready: VecDeque::new(),
            number: 0,
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
    pub(super) fn answer(&mut self, now: Instant, hold: Duration, client: Uid, answer: Answer<'_>) {
        let news = answer.echo.is_none_or(|echo| self.is_news(client, echo));
        let stamp = news.then(|| (self.plausible(now, answer.echo), now));
        let at = self.lists.iter().position(|l| l.kind == answer.kind);
        let at = at.unwrap_or_else(|| {
            if self.lists.len() >= MOST_LISTS {
                self.flush();
            }
            self.lists.push(List {
                kind: answer.kind,
                members: Vec::new(),
                seen: HashSet::new(),
                oldest: None,
                echo: WireTime(0),
                partial: true,
                naks: Vec::new(),
                number: 0,
            });
            self.lists.len() - 1
        });
        let most = self.room.most_members(answer.kind);
        let Some(list) = self.lists.get_mut(at) else {
            return;
        };
        list.add(client, stamp, answer.partial);
        merge(&mut list.naks, answer.naks);
        if list.members.len() >= most {
            let full = self.lists.remove(at);
            self.release(full);
            self.due = (!self.lists.is_empty() || !self.maps.is_empty()).then_some(now + hold);
        } else {
            self.due.get_or_insert(now + hold);
        }
    }

    /// A client misses blocks of a section: `naks` as in its STATUS.
    pub(super) fn naks(&mut self, now: Instant, hold: Duration, place: Asked, naks: &[u8]) {
        // No section has more blocks than this has bits.
        let most = usize::from(self.room.block_size) + 1;
        let naks = naks.get(..most).unwrap_or(naks);
        // What the tree needs for an entry counts, too.
        let more = naks.len() + size_of::<(Asked, Vec<u8>)>();
        if self.mapped + more > MOST_MAP_BYTES {
            self.flush();
        }
        let map = self.maps.entry(place).or_default();
        self.mapped += match map.is_empty() {
            true => more,
            false => naks.len().saturating_sub(map.len()),
        };
        merge(map, naks);
        self.due.get_or_insert(now + hold);
    }

    /// A client has left. What it said before, and others with it, goes first.
    pub(super) fn left(&mut self, client: Uid, reason: String) {
        if self.lists.iter().any(|list| list.seen.contains(&client)) {
            self.flush();
        }
        self.ready.push_back(Ready::Left(client, reason));
    }

    /// A client has gone as if it had never come.
    pub(super) fn part_with(&mut self, client: Uid) {
        self.echoed.remove(&client);
    }

    /// A client is to be sent away; all are if it is [`Uid::NONE`].
    pub(super) fn expel(&mut self, client: Uid, reason: String) {
        self.ready.push_back(Ready::Expelled(client, reason));
    }

    /// Clients shall know who we are, in a packet with this number.
    pub(super) fn introduce(&mut self, number: Seq) {
        self.ready.retain(|r| !matches!(r, Ready::Introduction(_)));
        self.ready.push_front(Ready::Introduction(number));
    }

    /// The server has handed us the group's keys.
    pub(super) fn acknowledge(&mut self, proof: Vec<u8>) {
        let waits = |r: &Ready| matches!(r, Ready::KeyInfoAck(p) if *p == proof);
        if !self.ready.iter().any(waits) {
            self.ready.push_back(Ready::KeyInfoAck(proof));
        }
    }

    /// Clients are to be handed the group's keys, as many as can be with one message.
    pub(super) fn hand_out(&mut self, clients: &[Uid]) {
        let most = usize::from(self.room.block_size / KEY_ENTRY).max(1);
        let room = match self.ready.back_mut() {
            Some(Ready::KeyInfo(before)) => {
                let room = most.saturating_sub(before.len()).min(clients.len());
                before.extend(clients.iter().take(room));
                room
            }
            _ => 0,
        };
        let parts = clients.get(room..).unwrap_or_default().chunks(most);
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
        self.mapped = 0;
        self.due = None;
        self.ready.retain(|r| matches!(r, Ready::Expelled(..)));
    }

    /// All that is held shall go.
    pub(super) fn flush(&mut self) {
        self.due = None;
        for list in std::mem::take(&mut self.lists) {
            self.release(list);
        }
        self.mapped = 0;
        let maps = std::mem::take(&mut self.maps).into_iter();
        self.ready
            .extend(maps.map(|(asked, map)| Ready::Map(asked, 0, map)));
    }

    /// A list shall go. Behind one of those who report goes what they do, under the same number
    /// (wire-v3 §8.4).
    fn release(&mut self, mut list: List) {
        let report = match list.kind {
            Kind::Status(asked) => {
                list.number = self.number;
                self.number = self.number.wrapping_add(1);
                let naks = std::mem::take(&mut list.naks);
                Some(Ready::Map(asked, list.number, naks))
            }
            _ => None,
        };
        self.ready.push_back(Ready::List(list));
        self.ready.extend(report);
    }

    /// Writes what is ready as far as the batch has room.
    pub(super) fn write(&mut self, now: Instant, writer: &mut Writer<'_, '_>) {
        while let Some(ready) = self.ready.front_mut() {
            if let Ready::List(list) = ready {
                let (stamp, at) = list.oldest.unwrap_or((self.told, now));
                list.echo = stamp.plus(now.saturating_duration_since(at));
                if list.kind.echoes() {
                    self.told = self.told.max(list.echo);
                }
            }
            match writer.write(ready) {
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

    /// Whether a client has not echoed this stamp, or a later one, before.
    fn is_news(&mut self, client: Uid, echo: WireTime) -> bool {
        let latest = self.echoed.entry(client).or_default();
        let news = echo > *latest;
        *latest = echo.max(*latest);
        news
    }

    /// An echo as far as it can be true: one client must not spoil the round trip time of all.
    fn plausible(&self, now: Instant, echo: Option<WireTime>) -> WireTime {
        let (first, at) = self.first;
        let last = first.plus(now.saturating_duration_since(at));
        echo.map_or(last, |echo| echo.clamp(first, last))
    }
}

/// Adds what somebody misses to what others do.
fn merge(map: &mut Vec<u8>, naks: &[u8]) {
    if map.len() < naks.len() {
        map.resize(naks.len(), 0);
    }
    for (byte, more) in map.iter_mut().zip(naks) {
        *byte |= more;
    }
}

impl List {
    fn add(&mut self, client: Uid, stamp: Option<(WireTime, Instant)>, partial: bool) {
        if !self.seen.insert(client) {
            return;
        }
        self.members.push(client);
        self.partial &= partial;
        let Some((stamp, now)) = stamp else {
            return;
        };
        let older =
            |(echo, at): (WireTime, Instant)| stamp < echo.plus(now.saturating_duration_since(at));
        if self.oldest.is_none_or(older) {
            self.oldest = Some((stamp, now));
            let last = self.members.len() - 1;
            self.members.swap(0, last);
        }
    }
}
