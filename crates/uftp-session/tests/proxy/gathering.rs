//! Answers of many clients made into few.

use std::time::Duration;

use uftp_proto::wire::{
    Abort, CcFlags, Complete, CompleteStatus, Function, Message, Status, TfmccAckInfo,
};
use uftp_proto::{Ecn, FileId, Uid, WireTime};
use uftp_session::Refusal;

use crate::bench::*;

/// The hold of the tests: the round trip time of their headers, and a bit.
const HOLD: Duration = Duration::from_micros(10_600);

fn complete(file: u16, status: CompleteStatus) -> Message<'static> {
    Message::Complete(Complete {
        file: FileId(file),
        status,
        free_space: None,
        clients: Vec::new(),
    })
}

fn status(section: u16, naks: &[u8]) -> Message<'_> {
    Message::Status(Status {
        file: FileId(1),
        pass: 0,
        proxy_seq: 0,
        section,
        tfmcc: None,
        naks,
    })
}

fn registered(clients: u8) -> Bench {
    let mut bench = Bench::announced(client_role());
    for n in 1..=clients {
        bench.client_says(n, &register(STAMP));
    }
    bench.pass(HOLD);
    bench
}

fn listed(message: &Message<'_>) -> Vec<u32> {
    let uids = match message {
        Message::Register(m) => &m.clients,
        Message::FileInfoAck(m) => &m.clients,
        Message::Complete(m) => &m.clients,
        m => panic!("{m:?}"),
    };
    uids.iter().map(|u| u.0).collect()
}

/// What somebody has kept and sends again must not pass for a long way to the client.
#[test]
fn an_answer_that_comes_again_says_nothing_of_round_trips() {
    let mut bench = Bench::announced(client_role());
    let after = |time: Duration| WireTime(STAMP.0 + time.as_micros() as u64);
    let mut echoed = |pause: Duration, echo| {
        bench.pass(pause);
        bench.client_says(1, &register(echo));
        let out = bench.pass(HOLD);
        let Message::Register(sent) = out[0].message() else {
            panic!("{out:?}");
        };
        sent.echo
    };
    let ms = Duration::from_millis;
    let first = echoed(ms(5), after(ms(1)));
    assert_eq!(echoed(ms(500), after(ms(1))), first);
    assert_eq!(
        echoed(ms(500), after(ms(1))),
        first,
        "nothing newer than before"
    );
    let again = echoed(ms(500), after(ms(1500)));
    assert!(again >= after(ms(1500)), "it has registered once more");
}

#[test]
fn registrations_are_held_and_said_once_with_the_slowest_first() {
    let mut bench = Bench::announced(client_role());
    let ms = |n: u64| WireTime(STAMP.0 + n * 1000);
    bench.pass(Duration::from_millis(8));
    assert_eq!(bench.client_says(1, &register(ms(5))), []);
    bench.pass(Duration::from_millis(2));
    // Behind by 3 ms, and again: nothing is added.
    bench.client_says(2, &register(ms(4)));
    bench.client_says(2, &register(ms(4)));
    bench.client_says(3, &register(ms(9)));
    let held = Duration::from_micros(8_528);
    let out = bench.pass(held);
    assert_eq!(out.len(), 1, "{out:?}");
    assert_eq!(out[0].to, server());
    let header = out[0].header();
    assert_eq!((header.src, header.seq.0, header.grtt.0), (ME, 0, 0));
    let Message::Register(sent) = out[0].message() else {
        panic!("{out:?}");
    };
    assert_eq!(listed(&out[0].message()), [2, 1, 3]);
    // The stamp of client 2 and the time from its REGISTER to ours.
    let moved = sent.echo.since(ms(4));
    assert!(
        moved <= held && moved + Duration::from_micros(10) > held,
        "{moved:?}"
    );
}

#[test]
fn a_stamp_the_server_never_made_does_not_spoil_the_round_trip() {
    let mut bench = Bench::announced(client_role());
    bench.pass(Duration::from_millis(4));
    bench.client_says(1, &register(WireTime(STAMP.0 + 4000)));
    bench.client_says(2, &register(WireTime(0)));
    bench.client_says(3, &register(WireTime(u64::MAX / 2)));
    let out = bench.pass(HOLD);
    let Message::Register(sent) = out[0].message() else {
        panic!("{out:?}");
    };
    assert!(sent.echo >= STAMP && sent.echo.since(STAMP) < Duration::from_millis(15));
}

#[test]
fn full_lists_go_at_once_and_the_rest_after_the_hold() {
    let mut bench = Bench::announced(client_role());
    let mut sizes = Vec::new();
    for n in 1..=60 {
        let out = bench.client_says(n, &register(STAMP));
        sizes.extend(out.iter().map(|o| listed(&o.message()).len()));
    }
    assert_eq!(sizes, [25, 25]);
    let rest = bench.pass(HOLD);
    assert_eq!(listed(&rest[0].message()).len(), 10);
    assert_eq!(bench.pass(HOLD * 10), []);
}

#[test]
fn kinds_go_together_and_leave_nothing_behind() {
    let mut bench = registered(2);
    // The second answer while the first is still held made deployed proxies babble on.
    bench.client_says(1, &file_info_ack(1, false));
    bench.client_says(1, &complete(1, CompleteStatus::SKIPPED));
    bench.client_says(2, &complete(1, CompleteStatus::NORMAL));
    let out = bench.pass(HOLD);
    let said: Vec<_> = out
        .iter()
        .map(|o| (o.header().function, listed(&o.message())))
        .collect();
    assert_eq!(
        said,
        [
            (Function::FileInfoAck, vec![1]),
            (Function::Complete, vec![1]),
            (Function::Complete, vec![2]),
        ]
    );
    let traffic = bench.proxy.traffic();
    assert_eq!(
        (traffic.gathered, traffic.gatherings, traffic.up.datagrams),
        (5, 4, 4),
        "two registrations made one, and what is above"
    );
    assert_eq!(bench.pass(Duration::from_secs(3)), []);
    assert!(bench.proxy.is_idle());
}

#[test]
fn a_file_is_partly_there_only_if_it_is_everywhere() {
    for (second, both) in [(true, true), (false, false)] {
        let mut bench = registered(2);
        bench.client_says(1, &file_info_ack(1, true));
        bench.client_says(2, &file_info_ack(1, second));
        let out = bench.pass(HOLD);
        let Message::FileInfoAck(sent) = out[0].message() else {
            panic!("{out:?}");
        };
        assert_eq!((sent.partial, sent.file), (both, FileId(1)));
    }
}

#[test]
fn losses_are_united_section_by_section() {
    let mut bench = registered(3);
    bench.client_says(1, &status(0, &[0b0001, 0, 0]));
    bench.client_says(2, &status(0, &[0b0100, 0, 0, 0x80]));
    bench.client_says(3, &status(2, &[1]));
    let out = bench.pass(HOLD);
    let maps: Vec<_> = out
        .iter()
        .map(|o| match o.message() {
            Message::Status(s) => (s.section, s.naks.to_vec()),
            m => panic!("{m:?}"),
        })
        .collect();
    assert_eq!(maps, [(0, vec![0b0101, 0, 0, 0x80]), (2, vec![1])]);
}

#[test]
fn losses_are_read_behind_a_report_on_congestion() {
    let mut bench = registered(1);
    let reporting = Message::Status(Status {
        file: FileId(1),
        pass: 0,
        proxy_seq: 0,
        section: 7,
        tfmcc: Some(TfmccAckInfo {
            flags: CcFlags::CLR,
            cc_seq: 0xffff,
            cc_rate: uftp_proto::quant::RateCode(0xffff),
            client: Uid(1),
            echo: WireTime(u64::MAX / 4),
        }),
        naks: &[0, 0b10],
    });
    bench.client_says(1, &reporting);
    let out = bench.pass(HOLD);
    let Message::Status(sent) = out[0].message() else {
        panic!("{out:?}");
    };
    assert_eq!((sent.tfmcc, sent.naks), (None, &[0, 0b10][..]));
}

#[test]
fn free_space_is_everybodys_own() {
    let mut bench = registered(2);
    for n in [1, 2] {
        let message = Message::Complete(Complete {
            file: FileId(3),
            status: CompleteStatus::NORMAL,
            free_space: Some(1000 + u64::from(n)),
            clients: Vec::new(),
        });
        let out = bench.client_says(n, &message);
        assert_eq!(out[0].header().src, Uid(n.into()));
        assert_eq!(out[0].message(), message);
    }
}

#[test]
fn a_full_table_still_knows_those_in_it() {
    let mut settings = config(client_role());
    settings.max_clients = 2;
    let mut bench = Bench::new(settings);
    bench.server_says(&announce());
    bench.client_says(1, &register(STAMP));
    bench.client_says(2, &register(STAMP));
    let out = bench.client_says(3, &register(STAMP));
    let Message::Abort(abort) = out[0].message() else {
        panic!("{out:?}");
    };
    assert_eq!(
        (out[0].to, abort.host, &*abort.reason),
        (addr(PRIVATE), Uid(3), "Max destinations exceeded")
    );
    assert_eq!(out[0].header().src, SERVER);
    assert_eq!(bench.refused(Refusal::Limit), 1);
    bench.pass(HOLD);
    assert_eq!(bench.client_says(1, &register(STAMP)), []);
    assert_eq!(listed(&bench.pass(HOLD)[0].message()), [1]);
    assert_eq!(bench.client_says(3, &file_info_ack(1, false)), []);
    assert_eq!(bench.refused(Refusal::UnknownSource), 1);
    assert_eq!(bench.proxy.traffic().gathered, 3, "not of who is sent away");
}

#[test]
fn a_proxy_below_a_proxy_speaks_for_its_own() {
    let mut bench = Bench::announced(client_role());
    let Message::Register(mut message) = register(STAMP) else {
        panic!();
    };
    message.clients = vec![Uid(11), Uid(12)];
    bench.client_says(100, &Message::Register(message));
    bench.client_says(1, &register(STAMP));
    assert_eq!(listed(&bench.pass(HOLD)[0].message()), [11, 12, 1]);
    let Message::Complete(mut message) = complete(1, CompleteStatus::NORMAL) else {
        panic!();
    };
    // Of whom it speaks now and never spoke before, nothing is said.
    message.clients = vec![Uid(12), Uid(99)];
    bench.client_says(100, &Message::Complete(message));
    assert_eq!(listed(&bench.pass(HOLD)[0].message()), [12]);
}

/// In a network of thousands a packet to each would be lost in the burst.
#[test]
fn clients_of_a_proxy_that_ends_or_is_sent_away_are_told_little_by_little() {
    const MANY: u32 = 900;
    let to_clients = |out: &[Out]| {
        let abort = |o: &&Out| o.header().function == Function::Abort && o.to == addr(PRIVATE);
        out.iter().filter(abort).count()
    };
    for by_server in [false, true] {
        let mut bench = Bench::announced(response_role());
        for n in 0..MANY {
            let packet = bench.packet(Uid(0x1000 + n), &register(STAMP));
            bench.hand(client(7), Ecn::NotEct, &packet);
        }
        let mut out = match by_server {
            true => bench.server_says(&Message::Abort(Abort {
                current_file: false,
                host: ME,
                reason: "enough".to_owned(),
            })),
            false => {
                bench.proxy.shutdown(bench.now);
                bench.pass(Duration::ZERO)
            }
        };
        let told = to_clients(&out);
        assert!((1..=100).contains(&told), "{told} at once");
        if !by_server {
            assert_eq!(out[0].to, server(), "first of all");
        }
        let more = bench.pass(Duration::from_millis(10));
        assert!((1..=100).contains(&to_clients(&more)));
        out.extend(more);
        out.extend(bench.pass(Duration::from_millis(80)));
        assert_eq!(to_clients(&out), MANY as usize);
        assert!(by_server || bench.proxy.is_idle());
    }
}
