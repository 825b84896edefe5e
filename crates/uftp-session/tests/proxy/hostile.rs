//! What nobody in his right mind sends.

use std::time::Duration;

use proptest::prelude::*;
use uftp_proto::wire::{Function, Message, Register, Status};
use uftp_proto::{Ecn, FileId, Uid};
use uftp_session::Refusal;
use uftp_session::proxy::{Downstream, ProxyEventKind};

use crate::bench::*;

#[test]
fn strangers_who_complain_are_passed_on_within_limits() {
    let mut bench = Bench::announced(client_role());
    let words = Message::Abort(uftp_proto::wire::Abort {
        current_file: false,
        host: Uid::NONE,
        reason: "no".into(),
    });
    let mut passed = 0;
    for n in 0..10_000u32 {
        let packet = bench.packet(Uid(1000 + n), &words);
        passed += bench.hand(client(1), Ecn::NotEct, &packet).len();
    }
    assert_eq!(passed, 100);
    assert_eq!(bench.refused(Refusal::Limit), 9_900);
}

#[test]
fn sessions_are_limited_and_so_are_the_words_about_it() {
    let mut bench = Bench::new(config(client_role()));
    let mut refusals = 0;
    for n in 1..=1000u32 {
        let mut packet = bench.packet(SERVER, &announce());
        packet[8..12].copy_from_slice(&n.to_be_bytes());
        let out = bench.hand(server(), Ecn::NotEct, &packet);
        refusals += out
            .iter()
            .filter(|o| o.header().function == Function::Abort)
            .count();
    }
    assert_eq!(refusals, 100);
    assert_eq!(bench.refused(Refusal::Limit), 995);
    bench.pass(Duration::from_secs(3));
    assert!(bench.proxy.is_idle());
}

#[test]
fn no_claim_in_a_header_keeps_a_session_for_days() {
    let mut bench = Bench::new(config(client_role()));
    let mut packet = bench.packet(SERVER, &announce());
    packet[13] = 255;
    bench.hand(server(), Ecn::NotEct, &packet);
    assert!(!bench.proxy.is_idle());
    bench.pass(Duration::from_secs(3601));
    assert!(bench.proxy.is_idle());
}

#[test]
fn reports_on_all_sections_of_all_files_take_bounded_room() {
    let mut bench = Bench::announced(client_role());
    bench.client_says(1, &register(STAMP));
    let naks = vec![0xff; 8000];
    let (mut held, mut most, mut sent) = (0, 0, 0);
    for n in 0..60_000u16 {
        let message = Message::Status(Status {
            file: FileId(1 + n / 1000),
            pass: 0,
            proxy_seq: 0,
            section: n,
            tfmcc: None,
            naks: &naks,
        });
        let out = bench.client_says(1, &message);
        for out in &out {
            assert!(out.bytes.len() < 200, "cut to what a section can have");
        }
        sent += out.len();
        held += 1;
        held -= out.len();
        most = most.max(held);
    }
    assert!(sent > 20_000, "{sent}");
    assert!(most * 101 <= 4 << 20, "{most} maps are held");
}

#[test]
fn nobody_registers_as_the_server_or_as_the_proxy() {
    let mut bench = Bench::announced(client_role());
    for uid in [Uid::NONE, SERVER, ME] {
        let packet = bench.packet(uid, &register(STAMP));
        assert_eq!(bench.hand(client(1), Ecn::NotEct, &packet), []);
    }
    assert_eq!(bench.refused(Refusal::UnknownSource), 3);
    let said = bench.pass(Duration::from_millis(50));
    assert_eq!(said, []);
}

#[test]
fn who_is_refused_is_not_remembered() {
    let mut config = config(client_role());
    config.strict = true;
    config.clients = Some([(Uid(2), None)].into());
    let mut bench = Bench::new(config);
    bench.server_says(&announce());
    let both = Message::Register(Register {
        echo: STAMP,
        random: [0; 32],
        key: Vec::new(),
        clients: vec![Uid(1), Uid(2)],
    });
    let registered = |client| ProxyEventKind::Registered {
        client: Uid(client),
        via: (client != 2).then_some(Uid(2)),
        again: false,
    };
    bench.client_says(2, &both);
    assert!(bench.has(&registered(2)) && !bench.has(&registered(1)));
    assert_eq!(bench.refused(Refusal::UnknownSource), 1);
    bench.proxy.set_clients(None);
    bench.client_says(2, &both);
    assert!(bench.has(&registered(1)), "for the first time");
}

/// One thing that happens to a proxy.
#[derive(Clone, Debug)]
enum Input {
    Noise(bool, Vec<u8>),
    /// A message of this number with anything in it.
    Like(bool, u8, u32, Vec<u8>),
    Register(u8),
    Announce,
    Wait(u64),
}

fn input() -> impl Strategy<Value = Input> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..120);
    prop_oneof![
        (any::<bool>(), bytes()).prop_map(|(s, b)| Input::Noise(s, b)),
        (any::<bool>(), 0u8..24, 0u32..4, bytes()).prop_map(|(s, f, u, b)| Input::Like(s, f, u, b)),
        (1u8..4).prop_map(Input::Register),
        Just(Input::Announce),
        (0u64..2000).prop_map(Input::Wait),
    ]
}

proptest! {
    #[test]
    fn any_input_is_survived_and_forgotten(
        role in 0..3,
        inputs in prop::collection::vec(input(), 1..60),
    ) {
        let role = match role {
            0 => client_role(),
            1 => response_role(),
            _ => server_role(Downstream::Fixed(client(1))),
        };
        let mut bench = Bench::announced(role);
        for input in inputs {
            let from = |server_side| if server_side { server() } else { client(1) };
            match input {
                Input::Noise(side, bytes) => {
                    bench.hand(from(side), Ecn::NotEct, &bytes);
                }
                Input::Like(side, function, uid, bytes) => {
                    let uid = if uid == 0 { SERVER } else { Uid(uid) };
                    let mut packet = bench.packet(uid, &register(STAMP));
                    packet[1] = function;
                    packet[16] = function;
                    packet.truncate(17);
                    packet.extend(bytes);
                    bench.hand(from(side), Ecn::NotEct, &packet);
                }
                Input::Register(n) => {
                    bench.client_says(n, &register(STAMP));
                }
                Input::Announce => {
                    bench.server_says(&announce());
                }
                Input::Wait(ms) => {
                    bench.pass(Duration::from_millis(ms));
                }
            }
        }
        // However long the round trips claimed, it ends some time.
        bench.pass(Duration::from_secs(255 * 4 * 1001));
        prop_assert!(bench.proxy.is_idle());
    }
}
