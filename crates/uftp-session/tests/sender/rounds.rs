//! Passes in lock-step (wire-v3 §6.5, §6.7).

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::StdRng;
use uftp_proto::quant::{GroupSizeCode, RttCode};
use uftp_proto::wire::{
    self, CompleteStatus, Done, FileInfoAck, Header, Message, PrStatus, Status, Version,
};
use uftp_proto::{Ecn, FileId, Instance, Seq, Uid, WireTime};
use uftp_session::sender::{ClientEntry, FileOutcome, Sender, SenderConfig, SenderEvent};
use uftp_session::{Batch, Clock};

use super::lab::{self, GROUP, Memory, complete, noise, register};

const ONE: Uid = Uid(1);
const TWO: Uid = Uid(2);
const PROXY: Uid = Uid(3);

/// A sender of protocol 3, and whoever the test speaks for.
struct Talk {
    sender: Sender<Memory>,
    now: Instant,
    heard: VecDeque<Vec<u8>>,
    events: Vec<SenderEvent>,
}

impl Talk {
    /// In the middle of the first round, which asks about a file of two blocks.
    fn asked(proxy: bool) -> Talk {
        let mut clients = vec![ClientEntry::receiver(ONE)];
        if proxy {
            clients.extend([ClientEntry::receiver(TWO), ClientEntry::proxy(PROXY)]);
        }
        let speaker = if proxy { PROXY } else { ONE };
        let config = SenderConfig {
            version: Version::V3,
            clients: Some(clients),
            shortest_max_time: Some(Duration::from_secs(100_000)),
            ..lab::config(None)
        };
        let now = Instant::now();
        let clock = Clock::new(now, WireTime(1_700_000_000_000_000));
        let source = Memory::default().file("f", noise(2000));
        let mut talk = Talk {
            sender: Sender::new(config, source, clock, StdRng::seed_from_u64(1), now),
            now,
            heard: VecDeque::new(),
            events: Vec::new(),
        };
        let listed = if proxy { vec![ONE, TWO] } else { Vec::new() };
        let Message::Register(mut registered) = register(WireTime(0)) else {
            unreachable!()
        };
        registered.clients = listed.clone();
        talk.say(speaker, &Message::Register(registered));
        talk.until(|message| matches!(message, Message::FileInfo(_)));
        let ready = FileInfoAck {
            file: FileId(1),
            partial: false,
            echo: WireTime(0),
            clients: listed,
        };
        talk.say(speaker, &Message::FileInfoAck(ready));
        talk
    }

    fn say(&mut self, uid: Uid, message: &Message<'_>) {
        let header = Header {
            version: Version::V3,
            function: message.function(),
            seq: Seq(0),
            src: uid,
            group: GROUP,
            instance: Instance(0),
            grtt: RttCode(0),
            group_size: GroupSizeCode(0),
            dest: lab::SERVER,
        };
        let mut packet = vec![0; 9000];
        let len = wire::encode(&header, message, &mut packet).unwrap();
        let from = SocketAddr::from((uid.0.to_be_bytes(), 1044));
        self.sender
            .handle_datagram(self.now, from, Ecn::NotEct, &mut packet[..len]);
    }

    /// Lets the sender speak, and time pass, until it says that. `None` if it falls silent.
    fn until(&mut self, wanted: impl Fn(&Message<'_>) -> bool) -> Option<Vec<u8>> {
        let mut batch = Batch::new(20_000);
        loop {
            while let Some(packet) = self.heard.pop_front() {
                if wanted(&decode(&packet)) {
                    return Some(packet);
                }
            }
            batch.clear();
            self.sender.poll_transmit(self.now, &mut batch);
            self.events
                .extend(std::iter::from_fn(|| self.sender.poll_event()));
            if batch.is_empty() {
                self.now = self.now.max(self.sender.poll_timeout()?);
                self.sender.handle_timeout(self.now);
            }
            let said = batch.datagrams().map(|(_, _, datagram)| datagram.to_vec());
            self.heard.extend(said);
        }
    }

    /// The next question.
    fn question(&mut self) -> Option<Done> {
        let packet = self.until(|message| matches!(message, Message::Done(_)))?;
        match decode(&packet) {
            Message::Done(done) => Some(done),
            _ => None,
        }
    }

    /// Who is asked next about the first pass; after that pass, the pass.
    fn asked_again(&mut self) -> Result<Vec<Uid>, u8> {
        let done = self.question().unwrap();
        match done.pass {
            1 => Ok(done.clients),
            pass => Err(pass),
        }
    }
}

fn decode(packet: &[u8]) -> Message<'_> {
    let header = wire::decode_header(packet).unwrap();
    wire::decode(header.version, header.function, &packet[Header::LEN..]).unwrap()
}

/// The first block is missing, as a report has to say.
fn naks() -> Vec<u8> {
    let mut naks = vec![0; 1444];
    naks[0] = 1;
    naks
}

fn status(pass: u8, section: u16, proxy_seq: u8, naks: &[u8]) -> Message<'_> {
    Message::Status(Status {
        file: FileId(1),
        pass,
        proxy_seq,
        section,
        tfmcc: None,
        naks,
    })
}

fn speaks_for(pass: u8, proxy_seq: u8, clients: &[Uid]) -> Message<'static> {
    Message::PrStatus(PrStatus {
        file: FileId(1),
        pass,
        proxy_seq,
        section: 0,
        clients: clients.to_vec(),
    })
}

#[test]
fn reports_on_another_pass_or_section_do_not_count() {
    let mut talk = Talk::asked(false);
    assert_eq!(talk.asked_again(), Ok(vec![ONE]));
    let naks = naks();
    for (pass, section) in [(2, 0), (1, 1)] {
        talk.say(ONE, &status(pass, section, 0, &naks));
        assert_eq!(talk.asked_again(), Ok(vec![ONE]), "{pass} {section}");
    }
    talk.say(ONE, &status(1, 0, 0, &naks));
    assert_eq!(talk.asked_again(), Err(2));
}

#[test]
fn the_two_halves_of_a_proxys_report_come_in_any_order() {
    let naks = naks();
    for names_first in [true, false] {
        let mut talk = Talk::asked(true);
        assert_eq!(talk.asked_again(), Ok(vec![ONE, TWO]));
        let mut halves = [status(1, 0, 7, &naks), speaks_for(1, 7, &[ONE, TWO])];
        if names_first {
            halves.reverse();
        }
        let [first, second] = halves;
        talk.say(PROXY, &first);
        assert_eq!(talk.asked_again(), Ok(vec![ONE, TWO]), "half says nothing");
        talk.say(PROXY, &second);
        assert_eq!(talk.asked_again(), Err(2), "names first: {names_first}");
    }
}

#[test]
fn halves_belong_together_by_their_number_and_names_may_come_in_parts() {
    let naks = naks();
    let mut talk = Talk::asked(true);
    assert_eq!(talk.asked_again(), Ok(vec![ONE, TWO]));
    talk.say(PROXY, &speaks_for(1, 1, &[ONE]));
    talk.say(PROXY, &status(1, 0, 2, &naks));
    assert_eq!(talk.asked_again(), Ok(vec![ONE, TWO]));
    talk.say(PROXY, &speaks_for(1, 2, &[TWO]));
    assert_eq!(talk.asked_again(), Ok(vec![ONE]));
    talk.say(PROXY, &speaks_for(1, 2, &[ONE]));
    assert_eq!(talk.asked_again(), Err(2));
}

#[test]
fn nobody_but_a_proxy_speaks_for_others() {
    let naks = naks();
    let mut talk = Talk::asked(true);
    assert_eq!(talk.asked_again(), Ok(vec![ONE, TWO]));
    talk.say(ONE, &status(1, 0, 0, &naks));
    talk.say(ONE, &speaks_for(1, 0, &[TWO]));
    assert_eq!(talk.asked_again(), Ok(vec![TWO]));
}

/// The wire has 8 bits for the number of a pass: who has not got the file after 255 is sent away.
#[test]
fn there_are_255_passes_at_most() {
    let naks = naks();
    let mut talk = Talk::asked(false);
    for pass in 1..=255 {
        let done = talk.question().unwrap();
        assert_eq!((done.file, done.pass), (FileId(1), pass));
        talk.say(ONE, &status(pass, 0, 0, &naks));
    }
    let last = talk.until(|message| matches!(message, Message::Abort(_)));
    let last = last.unwrap();
    let Message::Abort(abort) = decode(&last) else {
        unreachable!()
    };
    assert!(abort.current_file && abort.host.is_none());
    assert_eq!(abort.reason, "Max passes exceeded");
    talk.say(ONE, &complete(FileId(1), CompleteStatus::NORMAL));
    talk.question();
    let ended = talk.events.iter().find_map(|event| match event {
        SenderEvent::FileFinished { results, .. } => Some(results[0].outcome),
        _ => None,
    });
    assert_eq!(ended, Some(FileOutcome::Aborted));
}

/// Receivers up to 3.5 leave by any ABORT for all, whether they have the file or not.
#[test]
fn who_has_the_file_hears_no_abort_when_others_are_given_up() {
    let naks = naks();
    let mut talk = Talk::asked(true);
    let Message::Complete(mut has_it) = complete(FileId(1), CompleteStatus::NORMAL) else {
        unreachable!()
    };
    has_it.clients = vec![TWO];
    for pass in 1..=255 {
        let done = talk.question().unwrap();
        assert_eq!((done.file, done.pass), (FileId(1), pass));
        if pass == 1 {
            talk.say(PROXY, &Message::Complete(has_it.clone()));
        }
        talk.say(PROXY, &status(pass, 0, 0, &naks));
        talk.say(PROXY, &speaks_for(pass, 0, &[ONE]));
    }
    let told = |message: &Message<'_>| match message {
        Message::Abort(abort) => Some((abort.host, abort.current_file)),
        _ => None,
    };
    let next =
        |message: &Message<'_>| told(message).is_some() || matches!(message, Message::Done(_));
    let packet = talk.until(next).unwrap();
    assert_eq!(told(&decode(&packet)), Some((ONE, false)));
    let packet = talk.until(next).unwrap();
    let Message::Done(done) = decode(&packet) else {
        panic!("{:?} is told, too", told(&decode(&packet)));
    };
    assert_eq!((done.file, done.clients), (FileId::SESSION, vec![TWO]));
}
