//! The machine under test, driven as a driver does, in virtual time.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::StdRng;
use uftp_proto::wire::{self, Header, Message};
use uftp_proto::{Ecn, FileId, Seq, Uid, WireTime};
use uftp_session::receiver::{Receiver, ReceiverConfig, ReceiverEvent, ReceiverEventKind};
use uftp_session::{Batch, Clock, Refusal, SessionId};

use super::script::{ME, STAMP, Script};
use super::store::MemStore;

pub(crate) struct Bench {
    pub(crate) receiver: Receiver<MemStore>,
    pub(crate) store: MemStore,
    pub(crate) now: Instant,
    start: Instant,
    /// All events so far.
    pub(crate) events: Vec<ReceiverEvent>,
    /// Packets not yet looked at: when, where to, what.
    pub(crate) sent: Vec<(Duration, SocketAddr, Vec<u8>)>,
    seqs: Vec<(SessionId, Seq)>,
}

pub(crate) fn config() -> ReceiverConfig {
    ReceiverConfig {
        cache_size: 65536,
        max_sessions: 3,
        ..ReceiverConfig::new(ME)
    }
}

impl Bench {
    pub(crate) fn new() -> Self {
        Bench::with(config())
    }

    pub(crate) fn with(config: ReceiverConfig) -> Self {
        let start = Instant::now();
        let store = MemStore::default();
        let clock = Clock::new(start, WireTime(0));
        let rng = StdRng::seed_from_u64(1);
        Bench {
            receiver: Receiver::new(config, store.clone(), clock, rng, start),
            store,
            now: start,
            start,
            events: Vec::new(),
            sent: Vec::new(),
            seqs: Vec::new(),
        }
    }

    /// A bench whose receiver is confirmed in the session of `script`.
    pub(crate) fn confirmed(script: &mut Script) -> Self {
        let mut bench = Bench::new();
        bench.hear(script, |s| s.announce(&[]));
        bench.hear(script, |s| s.reg_conf(&[ME]));
        assert_eq!(bench.said(), ["REGISTER"]);
        bench
    }

    /// A bench whose receiver awaits a file of `size` bytes.
    pub(crate) fn receiving(script: &mut Script, size: usize) -> Self {
        let mut bench = Bench::confirmed(script);
        script.next_file(size);
        bench.hear(script, |s| s.file_info(&[ME]));
        assert_eq!(bench.said(), ["FILEINFO_ACK 1"]);
        bench
    }

    /// Hands in a packet of `script`.
    pub(crate) fn hear(&mut self, script: &mut Script, make: impl FnOnce(&mut Script) -> Vec<u8>) {
        let mut packet = make(script);
        self.feed(script.addr, &mut packet);
    }

    /// Hands in any datagram.
    pub(crate) fn feed(&mut self, from: SocketAddr, datagram: &mut [u8]) {
        self.receiver
            .handle_datagram(self.now, from, Ecn::NotEct, datagram);
        self.drain();
    }

    /// Lets time pass; what falls due on the way happens on time.
    pub(crate) fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(due) = self.receiver.poll_timeout().filter(|due| *due <= until) {
            // A deadline may jump into the past when the sender's round trips become shorter.
            self.now = self.now.max(due);
            self.receiver.handle_timeout(self.now);
            self.drain();
        }
        self.now = until;
    }

    /// Time passes in which the machine stands still: what falls due on the way is late.
    pub(crate) fn stand_still(&mut self, time: Duration) {
        self.now += time;
        if self
            .receiver
            .poll_timeout()
            .is_some_and(|due| due <= self.now)
        {
            self.receiver.held_up(self.now);
            self.receiver.handle_timeout(self.now);
            self.drain();
        }
    }

    pub(crate) fn drain(&mut self) {
        self.take_events();
        let mut batch = Batch::new(20_000);
        loop {
            batch.clear();
            self.receiver.poll_transmit(self.now, &mut batch);
            if batch.is_empty() {
                break;
            }
            for (to, _, datagram) in batch.datagrams() {
                let at = self.now - self.start;
                self.sent.push((at, to, datagram.to_vec()));
            }
        }
        self.take_events();
    }

    fn take_events(&mut self) {
        while let Some(event) = self.receiver.poll_event() {
            self.events.push(event);
        }
    }

    /// What was said since last asked, in words. Checks what all answers have in common.
    pub(crate) fn said(&mut self) -> Vec<String> {
        self.said_at().into_iter().map(|(_, words)| words).collect()
    }

    /// What was said since last asked, with the time since the bench was made.
    pub(crate) fn said_at(&mut self) -> Vec<(Duration, String)> {
        let mut said = Vec::new();
        for (at, _, datagram) in std::mem::take(&mut self.sent) {
            let header = wire::decode_header(&datagram).expect("a header");
            self.check_header(&header);
            let message = wire::decode(header.version, header.function, &datagram[Header::LEN..]);
            said.push((at, describe(&message.expect("a message"))));
        }
        said
    }

    fn check_header(&mut self, header: &Header) {
        assert_eq!(header.src, ME);
        assert_eq!((header.grtt.0, header.group_size.0), (0, 0));
        let id = SessionId {
            group: header.group,
            instance: header.instance,
        };
        match self.seqs.iter_mut().find(|(known, _)| *known == id) {
            Some((_, seq)) if header.seq != Seq(0) => {
                assert_eq!(header.seq, seq.next(), "one number after the other");
                *seq = header.seq;
            }
            Some((_, seq)) => *seq = header.seq,
            None => {
                assert_eq!(header.seq, Seq(0), "numbers begin with 0");
                self.seqs.push((id, header.seq));
            }
        }
    }

    /// Kinds of the events so far; the list is emptied.
    pub(crate) fn happened(&mut self) -> Vec<ReceiverEventKind> {
        self.events.drain(..).map(|event| event.kind).collect()
    }

    /// How many datagrams were refused for a reason; checks that there were no others.
    pub(crate) fn refused_only(&self, why: Refusal) -> u64 {
        let counters = self.receiver.counters();
        assert_eq!(counters.refused(why), counters.refused_in_all());
        counters.refused(why)
    }
}

fn describe(message: &Message<'_>) -> String {
    let held = |echo: WireTime| match echo.since(STAMP).as_micros() {
        0 => String::new(),
        held => format!(" after {held} us"),
    };
    match message {
        Message::Register(m) => {
            assert_eq!((m.random, m.key.len(), m.clients.len()), ([0; 32], 0, 0));
            format!("REGISTER{}", held(m.echo))
        }
        Message::FileInfoAck(m) => {
            let partial = if m.partial { " partial" } else { "" };
            format!("FILEINFO_ACK {}{partial}{}", m.file.0, held(m.echo))
        }
        Message::Status(m) => {
            let missing: Vec<_> = (0..m.naks.len() * 8)
                .filter(|i| m.naks[i / 8] & 1 << (i % 8) != 0)
                .collect();
            format!("STATUS {}/{} {missing:?}", m.file.0, m.section)
        }
        Message::Complete(m) => {
            let what = match m.file {
                FileId::SESSION => "session".to_owned(),
                file => file.0.to_string(),
            };
            let space = m.free_space.map(|s| format!(" {s} free"));
            let status = ["", " skipped", " overwrite", " rejected"];
            let status = status[usize::from(m.status.0)];
            format!("COMPLETE {what}{status}{}", space.unwrap_or_default())
        }
        Message::Abort(m) => {
            assert_eq!((m.host, m.current_file), (Uid::NONE, false));
            format!("ABORT {}", m.reason)
        }
        other => panic!("a receiver does not say {other:?}"),
    }
}
