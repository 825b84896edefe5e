//! Protocol 3, packet by packet.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use uftp_proto::quant::{GroupSizeCode, RttCode};
use uftp_proto::wire::{
    self, Abort, Announce, AnnounceFlags, FixedPace, Function, Header, Message, Pace, PrStatus,
    Register, Status, Version,
};
use uftp_proto::{Ecn, FileId, GroupId, Instance, Seq, Uid, WireTime};
use uftp_session::Refusal;
use uftp_session::proxy::ProxyEventKind;

use crate::bench::{Bench, ME, Out, SERVER, addr, client_role, config, server};

/// Half of the intervals of announcements and of questions.
const JOINING: Duration = Duration::from_millis(500);
const REPORTING: Duration = Duration::from_millis(1000);

const PACE: FixedPace = FixedPace {
    announce_interval: 1000,
    status_interval: 2000,
    register_interval: 3000,
    done_interval: 3000,
    announce_time: 10,
    status_time: 12,
    mtu: 300,
};

/// Bytes of file data in such datagrams.
const BLOCK: usize = 300 - 28 - 16 - 12;

fn packet(src: Uid, dest: IpAddr, message: &Message<'_>) -> Vec<u8> {
    let header = Header {
        version: Version::V3,
        function: message.function(),
        seq: Seq(0),
        src,
        group: GroupId(0x1234),
        instance: Instance(0),
        grtt: RttCode::default(),
        group_size: GroupSizeCode::default(),
        dest: Uid::from_addr(dest),
    };
    let mut packet = vec![0; 9000];
    let len = wire::encode(&header, message, &mut packet).unwrap();
    packet.truncate(len);
    packet
}

fn public() -> IpAddr {
    addr("230.4.4.1:1044").ip()
}

fn announce(flags: AnnounceFlags, clients: &[Uid]) -> Vec<u8> {
    let message = Message::Announce(Announce {
        flags,
        pace: Pace::Fixed(PACE),
        timestamp: WireTime(0),
        public: [0; 4].into(),
        private: addr("230.5.5.1:1044").ip(),
        encryption: None,
        clients: clients.to_vec(),
    });
    packet(SERVER, public(), &message)
}

/// A client proxy to which the session has been announced.
fn announced() -> Bench {
    let mut bench = Bench::new(config(client_role()));
    let out = bench.hand(
        server(),
        Ecn::NotEct,
        &announce(AnnounceFlags::empty(), &[]),
    );
    assert_eq!(out[0].to, addr("230.4.4.1:1044"), "as its header says");
    bench
}

fn client(n: u16) -> SocketAddr {
    let [high, low] = n.to_be_bytes();
    SocketAddr::from(([10, 1, high, low], 1044))
}

/// A client called by its address says something.
fn says(bench: &mut Bench, n: u16, message: &Message<'_>) -> Vec<Out> {
    let from = client(n);
    let packet = packet(Uid::from_addr(from.ip()), server().ip(), message);
    bench.hand(from, Ecn::NotEct, &packet)
}

fn register(clients: &[Uid]) -> Message<'static> {
    Message::Register(Register {
        echo: WireTime(0),
        random: [0; 32],
        key: Vec::new(),
        clients: clients.to_vec(),
    })
}

fn status(pass: u8, number: u8, naks: &[u8]) -> Message<'_> {
    Message::Status(Status {
        file: FileId(1),
        pass,
        proxy_seq: number,
        section: 0,
        tfmcc: None,
        naks,
    })
}

fn naks(missing: &[usize]) -> Vec<u8> {
    let mut map = vec![0; BLOCK];
    for block in missing {
        map[block / 8] |= 1 << (block % 8);
    }
    map
}

fn uid(n: u16) -> Uid {
    Uid::from_addr(client(n).ip())
}

fn registered(clients: u16) -> Bench {
    let mut bench = announced();
    for n in 1..=clients {
        says(&mut bench, n, &register(&[]));
    }
    bench.pass(JOINING);
    bench
}

/// For whom a pair of messages reports under which number, and what.
fn report(out: &[Out]) -> (u8, Vec<Uid>, Vec<u8>) {
    let (Message::PrStatus(names), Message::Status(status)) = (out[0].message(), out[1].message())
    else {
        panic!("{out:?}");
    };
    assert_eq!(
        (names.file, names.pass, names.section, names.proxy_seq),
        (status.file, status.pass, status.section, status.proxy_seq)
    );
    (status.proxy_seq, names.clients, status.naks.to_vec())
}

#[test]
fn no_list_makes_a_datagram_longer_than_those_of_file_data() {
    let mut bench = announced();
    let mut out = Vec::new();
    for n in 1..=200 {
        out.extend(says(&mut bench, n, &register(&[])));
    }
    out.extend(bench.pass(JOINING));
    for n in 1..=200 {
        out.extend(says(&mut bench, n, &status(1, 0, &naks(&[usize::from(n)]))));
    }
    out.extend(bench.pass(REPORTING));
    let longest = usize::from(PACE.mtu) - 28;
    let mut listed = [0, 0];
    for out in &out {
        assert!(out.bytes.len() <= longest, "{out:?}");
        match out.message() {
            Message::Register(m) => listed[0] += m.clients.len(),
            Message::PrStatus(m) => listed[1] += m.clients.len(),
            _ => {}
        }
    }
    assert_eq!(listed, [200, 200]);
    let longest_list = out.iter().map(|out| out.bytes.len()).max();
    assert!(longest_list > Some(longest - 4));
}

#[test]
fn reports_on_a_section_count_for_those_who_make_them() {
    let mut bench = registered(3);
    let (one, two) = (naks(&[3, 9]), naks(&[9, 1000]));
    assert_eq!(says(&mut bench, 1, &status(1, 0, &one)), []);
    says(&mut bench, 2, &status(1, 0, &two));
    // Who misses nothing is one of them, and who says it twice is once.
    says(&mut bench, 3, &status(1, 0, &[]));
    says(&mut bench, 1, &status(1, 0, &one));
    assert_eq!(bench.pass(REPORTING - Duration::from_millis(1)), []);
    let out = bench.pass(Duration::from_millis(1));
    let all = vec![uid(1), uid(2), uid(3)];
    assert_eq!(report(&out), (0, all, naks(&[3, 9, 1000])));
    // Another pass is another report, of the next number.
    says(&mut bench, 1, &status(2, 0, &[]));
    let out = bench.pass(REPORTING);
    assert_eq!(report(&out), (1, vec![uid(1)], Vec::new()));
    assert_eq!(out[1].bytes.len(), Header::LEN + 12);
}

#[test]
fn a_map_of_another_length_is_no_report() {
    let mut bench = registered(1);
    says(&mut bench, 1, &status(1, 0, &[1]));
    says(&mut bench, 1, &status(1, 0, &vec![1; BLOCK + 1]));
    assert_eq!(bench.pass(REPORTING), []);
    assert_eq!(bench.refused(Refusal::Malformed), 2);
}

#[test]
fn what_a_proxy_below_reports_is_said_for_its_clients() {
    let mut bench = announced();
    let (below, others) = (7, [uid(1), uid(2)]);
    says(&mut bench, below, &register(&others));
    says(&mut bench, 3, &register(&[]));
    bench.pass(JOINING);
    let names = Message::PrStatus(PrStatus {
        file: FileId(1),
        pass: 1,
        proxy_seq: 5,
        section: 0,
        // Not all of them are its own to speak for.
        clients: vec![uid(1), uid(2), uid(3)],
    });
    for first in [true, false] {
        let map = naks(&[8]);
        let map = status(1, 5, &map);
        let (one, other) = if first {
            (&names, &map)
        } else {
            (&map, &names)
        };
        says(&mut bench, below, one);
        says(&mut bench, below, other);
        let out = bench.pass(REPORTING);
        let (_, clients, said) = report(&out);
        assert_eq!((clients, said), (others.to_vec(), naks(&[8])));
    }
    // Nobody else may.
    says(&mut bench, 3, &names);
    assert_eq!(bench.refused(Refusal::OutOfPlace), 1);
}

#[test]
fn nobody_is_whom_the_address_says_and_we_what_the_list_does() {
    let mut bench = announced();
    let packet = packet(Uid::NONE, server().ip(), &register(&[]));
    bench.hand(client(9), Ecn::NotEct, &packet);
    let ours = config(client_role()).addresses;
    let listed = [uid(9), Uid::from_addr(ours[0].ip())];
    bench.hand(
        server(),
        Ecn::NotEct,
        &announce(AnnounceFlags::empty(), &listed),
    );
    let out = bench.pass(JOINING);
    let Message::Register(sent) = out[0].message() else {
        panic!("{out:?}")
    };
    assert_eq!(sent.clients, [uid(9)]);
    let header = out[0].header();
    assert_eq!((header.src, header.dest), (listed[1], SERVER));
    assert_ne!(header.src, ME);
}

#[test]
fn a_later_run_takes_over_when_the_earlier_is_silent() {
    let mut bench = registered(1);
    let resumed = announce(AnnounceFlags::RESTART, &[]);
    let elsewhere = addr("10.0.0.1:50000");
    let passed = |out: &[Out]| {
        out.iter()
            .any(|o| o.header().function == Function::Announce)
    };
    let out = bench.hand(elsewhere, Ecn::NotEct, &resumed);
    assert!(!passed(&out) && bench.has(&ProxyEventKind::SecondSource(elsewhere)));
    bench.pass(Duration::from_millis(2_000));
    let anew = announce(AnnounceFlags::empty(), &[]);
    assert!(!passed(&bench.hand(elsewhere, Ecn::NotEct, &anew)));
    assert!(passed(&bench.hand(elsewhere, Ecn::NotEct, &resumed)));
    assert!(bench.has(&ProxyEventKind::Superseded));
    says(&mut bench, 1, &register(&[]));
    let out = bench.pass(JOINING);
    assert_eq!(out[0].to, elsewhere);
}

#[test]
fn an_abort_of_the_file_leaves_the_session_to_those_who_have_it() {
    for (current_file, goes_on) in [(true, true), (false, false)] {
        let mut bench = registered(1);
        let abort = Message::Abort(Abort {
            current_file,
            host: Uid::NONE,
            reason: "Max file transfer time exceeded".to_owned(),
        });
        let private = addr("230.5.5.1:1044");
        let out = bench.hand(server(), Ecn::NotEct, &packet(SERVER, private.ip(), &abort));
        assert_eq!(out[0].to, private);
        says(&mut bench, 1, &status(1, 0, &[]));
        assert_eq!(!bench.pass(REPORTING).is_empty(), goes_on);
    }
}

#[test]
fn a_session_outlives_the_wait_for_others() {
    let mut bench = registered(1);
    let patience = u64::from(PACE.announce_time) + u64::from(PACE.status_time);
    bench.pass(Duration::from_secs(patience) - JOINING - Duration::from_secs(1));
    assert!(!bench.has(&ProxyEventKind::TimedOut));
    bench.pass(Duration::from_secs(2));
    assert!(bench.has(&ProxyEventKind::TimedOut));
}

/// What holds up a proxy may hold up those on both sides of it.
#[test]
fn a_session_outlives_one_time_in_which_the_machine_stood_still() {
    let mut bench = registered(1);
    for over in [false, true] {
        bench.stand_still(Duration::from_secs(600));
        assert_eq!(bench.has(&ProxyEventKind::TimedOut), over);
    }
}

#[test]
fn datagrams_too_small_for_file_data_are_refused() {
    let mut bench = Bench::new(config(client_role()));
    let message = Message::Announce(Announce {
        flags: AnnounceFlags::empty(),
        pace: Pace::Fixed(FixedPace { mtu: 56, ..PACE }),
        timestamp: WireTime(0),
        public: [0; 4].into(),
        private: addr("230.5.5.1:1044").ip(),
        encryption: None,
        clients: Vec::new(),
    });
    let out = bench.hand(server(), Ecn::NotEct, &packet(SERVER, public(), &message));
    let Message::Abort(abort) = out[0].message() else {
        panic!("{out:?}")
    };
    assert_eq!(
        (abort.reason.as_str(), out.len()),
        ("Invalid block size", 1)
    );
}
