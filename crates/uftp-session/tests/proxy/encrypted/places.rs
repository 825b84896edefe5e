//! Who takes the places of a session, and for how long.

use uftp_proto::quant::RttCode;

use super::*;

/// Who proves nothing is given up, and so is its place: whatever it said, and whomever it spoke for.
#[test]
fn who_is_given_up_takes_no_place() {
    let mut config = config(client_role());
    config.max_clients = 4;
    let attacks: [fn(&mut Carried, u32) -> Vec<Out>; 4] = [
        |carried, n| carried.register(Uid(0x1000 + n), &[]),
        // No key at all.
        |carried, n| {
            carried.key[5..].fill(0xff);
            carried.register(Uid(0x1000 + n), &[])
        },
        |carried, n| carried.register(Uid(0x1000 + n), &[Uid(0x2000 + n)]),
        |carried, n| carried.register(Uid(0x1000), &[Uid(0x2000 + n)]),
    ];
    for (attack, forged) in attacks.into_iter().enumerate() {
        let mut carried = Carried::new(config.clone());
        let key = carried.key.clone();
        for n in 0..8 {
            forged(&mut carried, n);
        }
        // They are all there until their time is up; the server goes on with the session meanwhile.
        let registration = carried.header.grtt.duration() * 20;
        let second = Duration::from_secs(1);
        carried.bench.pass(registration.max(second));
        carried.key = key;
        for n in 1..=4 {
            carried.register(Uid(n), &[]);
            assert!(carried.registered(Uid(n), None), "attack {attack}, {n}");
        }
        carried.register(Uid(5), &[]);
        assert!(!carried.registered(Uid(5), None), "there are but four");
    }
}

/// Nor is it waited for until then where all places are taken, once it had time to prove itself: who
/// has come last stays.
#[test]
fn who_had_time_to_prove_itself_and_did_not_gives_way() {
    let mut config = config(client_role());
    config.max_clients = 4;
    let mut carried = Carried::new(config);
    for n in 1..=4 {
        carried.register(Uid(0x1000 + n), &[]);
        carried.bench.pass(Duration::from_millis(1));
    }
    let gone = |n: u32| ProxyEventKind::Displaced {
        client: Uid(0x1000 + n),
    };
    carried.register(Uid(1), &[]);
    assert!(!carried.registered(Uid(1), None), "they may still");
    carried.bench.pass(carried.header.grtt.duration() * 3);
    // A list of somebody who has proved nothing drives nobody out but for himself.
    carried.register(Uid(1), &[Uid(11), Uid(12), Uid(13), Uid(14)]);
    assert!(carried.registered(Uid(1), None) || carried.bench.has(&gone(1)));
    assert!(!(2..=4).any(|n| carried.bench.has(&gone(n))));
    carried.register(Uid(2), &[]);
    assert!(carried.registered(Uid(2), None) && carried.bench.has(&gone(2)));
    carried.register(Uid(0x1002), &[]);
    assert!(carried.bench.has(&gone(3)), "and it comes again");
}

/// Those given up are told so, and so is the server, if they are not too many, and not in one burst. The
/// operator is told of all.
#[test]
fn some_who_are_given_up_are_told_little_by_little() {
    const MANY: u32 = 400;
    const TOLD: usize = 150;
    for role in [client_role(), response_role()] {
        let (mut carried, _, trip) = keyed(role);
        for n in 0..MANY {
            carried.register(Uid(0x1000 + n), &[]);
        }
        let registration = trip * 20;
        let mut told = aborts(&carried.bench.pass(registration.max(Duration::from_secs(1))));
        assert!(told <= 2 * 55, "{told} at once");
        let mut steps = 0;
        while told < 2 * TOLD {
            let more = aborts(&carried.bench.pass(Duration::from_millis(100)));
            assert!((1..=2 * 6).contains(&more), "{more} in 100 ms");
            (told, steps) = (told + more, steps + 1);
        }
        assert_eq!(told, 2 * TOLD);
        assert!(steps >= 18, "{steps}");
        assert_eq!(aborts(&carried.bench.pass(Duration::from_secs(60))), 0);
        let gone = |kind: &&ProxyEventKind| matches!(kind, ProxyEventKind::Unregistered { .. });
        let gone = carried.bench.events.iter().filter(gone).count();
        assert_eq!(gone, MANY as usize);
    }
}

/// As long as the server is asked in its place a client is not given up.
#[test]
fn who_is_registered_again_in_its_place_has_as_much_time() {
    let (mut carried, first, trip) = keyed(client_role());
    carried.register(Uid(1), &[]);
    let gone = ProxyEventKind::Unregistered { client: Uid(1) };
    let registration = (trip * 20).max(Duration::from_secs(1));
    let rounds = 2 * registration.as_millis() / (trip * 6).as_millis();
    for _ in 0..rounds {
        carried.bench.pass(trip * 6);
        carried.bench.hand(first.from, Ecn::NotEct, &first.bytes);
    }
    assert!(!carried.bench.has(&gone));
    carried.bench.pass(registration * 2);
    assert!(carried.bench.has(&gone), "nobody asks any more");
}

/// The sender confirms a client once in three of its round trips: when it learns that they are longer, who waits
/// already has more time.
#[test]
fn who_waits_while_round_trips_get_longer_has_as_much_time() {
    let (mut carried, first, trip) = keyed(client_role());
    carried.register(Uid(1), &[]);
    let before = (trip * 20).max(Duration::from_secs(1));
    let mut longer = first.bytes.clone();
    longer[13] = RttCode::from_duration(before).0;
    let longer = open_to_all(&longer);
    carried.bench.hand(first.from, Ecn::NotEct, &longer);
    let gone = ProxyEventKind::Unregistered { client: Uid(1) };
    carried.bench.pass(before * 8);
    assert!(!carried.bench.has(&gone));
    carried.bench.pass(before * 25);
    assert!(carried.bench.has(&gone));
}

/// Nor does one who says who it is, and never registers: in protocol 4 that is in the clear.
#[test]
fn who_says_no_more_than_who_it_is_takes_no_place_for_long() {
    let mut config = config(client_role());
    config.max_clients = 2;
    let first = pcap::read("v4-enc-cbc-keyex.pcap").into_iter().next();
    let first = first.unwrap();
    let message = wire::decode(Version::V4, Function::Announce, &first.bytes[Header::LEN..]);
    let Ok(Message::Announce(announce)) = message else {
        panic!("no ANNOUNCE");
    };
    let mut carried = Carried::announced(config, first);
    let message = Message::ClientKey(wire::ClientKey {
        // Of the right kind.
        key: announce.encryption.unwrap().key,
        signature: vec![7; 64],
    });
    for n in 0..4 {
        carried.say(Uid(0x1000 + n), &message);
    }
    let looked_into = |carried: &Carried| {
        let received =
            |kind: &&ProxyEventKind| matches!(kind, ProxyEventKind::ClientKeyReceived { .. });
        carried.bench.events.iter().filter(received).count()
    };
    assert_eq!(looked_into(&carried), 2, "the others find no place");
    let registration = carried.header.grtt.duration() * 20;
    carried.bench.pass(registration.max(Duration::from_secs(1)));
    carried.say(Uid(1), &message);
    carried.say(Uid(2), &message);
    assert_eq!(looked_into(&carried), 4);
}
