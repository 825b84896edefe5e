//! What goes through unchanged, and where to.

use std::time::Duration;

use uftp_proto::wire::{
    Abort, CcAck, CcFlags, DoneConf, HbCode, HbReq, KeyInfoAck, Message, RegConf, TfmccAckInfo,
};
use uftp_proto::{Ecn, Uid};
use uftp_session::Refusal;
use uftp_session::proxy::{Downstream, Flow, ProxyConfig, ProxyEventKind, Traffic};

use crate::bench::*;

fn confirmation() -> Message<'static> {
    Message::RegConf(RegConf {
        clients: vec![Uid(1)],
    })
}

fn abort(host: Uid, reason: &str) -> Message<'static> {
    Message::Abort(Abort {
        current_file: false,
        host,
        reason: reason.into(),
    })
}

#[test]
fn a_server_proxy_changes_no_byte_in_either_direction() {
    let below = addr("10.8.0.1:3000");
    let mut bench = Bench::new(config(server_role(Downstream::Fixed(below))));
    let packet = bench.packet(SERVER, &announce());
    let out = bench.hand(server(), Ecn::NotEct, &packet);
    assert_eq!(out.len(), 1);
    assert_eq!((out[0].to, &out[0].bytes), (below, &packet));
    assert!(bench.has(&ProxyEventKind::Join(addr(PRIVATE).ip())));

    // Encrypted or not, it does not look.
    let mut sealed = bench.packet(SERVER, &confirmation());
    sealed[1] = 18;
    let down = (packet.len() + sealed.len()) as u64;
    let out = bench.hand(server(), Ecn::Ce, &sealed);
    assert_eq!((out[0].to, out[0].ecn), (below, Ecn::Ce));
    assert_eq!(out[0].bytes, sealed);

    let packet = bench.packet(Uid(1), &register(STAMP));
    let out = bench.hand(addr("10.8.0.1:999"), Ecn::NotEct, &packet);
    assert_eq!((out[0].to, &out[0].bytes), (server(), &packet));
    // The server is not to be reached by everybody.
    assert_eq!(bench.hand(client(1), Ecn::NotEct, &packet), []);
    assert_eq!(bench.refused(Refusal::UnknownSource), 1);
    let flow = |datagrams, bytes| Flow { datagrams, bytes };
    let passed = Traffic {
        down: flow(2, down),
        up: flow(1, packet.len() as u64),
        ..Traffic::default()
    };
    assert_eq!(
        bench.proxy.traffic(),
        &passed,
        "what is refused is not in it"
    );
}

#[test]
fn a_link_local_address_is_another_hosts_on_another_link() {
    let (own, there) = (addr("[fe80::2%2]:1044"), addr("[fe80::2%3]:1044"));
    let mut bench = Bench::new(ProxyConfig {
        addresses: vec![own],
        ..config(client_role())
    });
    let packet = bench.packet(SERVER, &announce());
    assert_eq!(bench.hand(own, Ecn::NotEct, &packet), []);
    assert_eq!(bench.refused(Refusal::OutOfPlace), 1, "its own");
    assert_ne!(bench.hand(there, Ecn::NotEct, &packet), []);

    // And so it is downstream, unless the operator left the link to the system.
    for (below, passed) in [
        ("[fe80::3%2]:1044", 0),
        ("[fe80::3%3]:1044", 1),
        ("[fe80::3]:1044", 1),
    ] {
        let mut bench = Bench::announced(server_role(Downstream::Fixed(addr(below))));
        let packet = bench.packet(Uid(1), &register(STAMP));
        let out = bench.hand(addr("[fe80::3%3]:1044"), Ecn::NotEct, &packet);
        assert_eq!(out.len(), passed, "{below}");
    }
}

#[test]
fn a_server_proxy_forgets_a_silent_session_and_leaves_its_group() {
    let below = addr("10.8.0.1:3000");
    let mut bench = Bench::announced(server_role(Downstream::Fixed(below)));
    assert_eq!(bench.pass(Duration::from_millis(900)), []);
    assert!(!bench.proxy.is_idle());
    bench.pass(Duration::from_millis(200));
    assert!(bench.proxy.is_idle());
    assert!(bench.has(&ProxyEventKind::Leave(addr(PRIVATE).ip())));
    assert_eq!(bench.server_says(&confirmation()), []);
    assert_eq!(bench.refused(Refusal::OtherSession), 1);
}

#[test]
fn without_a_downstream_no_session_begins() {
    let wanted = key().public().fingerprint();
    let mut bench = Bench::new(config(server_role(Downstream::Learned(wanted))));
    for _ in 0..3 {
        assert_eq!(bench.server_says(&announce()), []);
    }
    assert_eq!(bench.events, [ProxyEventKind::NoDownstream(server())]);
    assert!(bench.proxy.is_idle());
}

/// A client proxy in the network that the server proxy hears multicasts the session there, too.
#[test]
fn what_its_downstream_multicasts_does_not_go_back_to_the_server() {
    let below = addr("10.8.0.1:3000");
    let mut bench = Bench::announced(server_role(Downstream::Fixed(below)));
    let confirmation = bench.packet(SERVER, &confirmation());
    let mut sealed = confirmation.clone();
    sealed[1] = 18;
    let ended = bench.packet(SERVER, &abort(Uid::NONE, "over"));
    for packet in [&confirmation, &sealed, &ended] {
        assert_eq!(bench.hand(below, Ecn::NotEct, packet), []);
    }
    assert_eq!(bench.refused(Refusal::OutOfPlace), 3);

    // An answer of who has the server's id by chance.
    sealed[13..15].fill(0);
    let out = bench.hand(below, Ecn::NotEct, &sealed);
    assert_eq!((out[0].to, &out[0].bytes), (server(), &sealed));
}

#[test]
fn a_client_proxy_sends_announcements_to_the_public_group_and_the_rest_to_the_private() {
    let mut bench = Bench::new(config(client_role()));
    let packet = bench.packet(SERVER, &announce());
    let out = bench.hand(server(), Ecn::NotEct, &packet);
    assert_eq!((out[0].to, &out[0].bytes), (addr(PUBLIC), &packet));
    assert!(!bench.has(&ProxyEventKind::Join(addr(PRIVATE).ip())));
    let packet = bench.packet(SERVER, &confirmation());
    let out = bench.hand(server(), Ecn::Ect0, &packet);
    assert_eq!((out[0].to, &out[0].bytes), (addr(PRIVATE), &packet));
    assert_eq!(out[0].ecn, Ecn::Ect0);
}

#[test]
fn a_session_without_groups_goes_to_the_group_the_clients_hear() {
    let mut bench = Bench::new(config(client_role()));
    let mut body = announce_body();
    (body.public, body.private) = ([0; 4].into(), [0; 4].into());
    assert_eq!(
        bench.server_says(&Message::Announce(body))[0].to,
        addr(PUBLIC)
    );
    assert_eq!(bench.server_says(&confirmation())[0].to, addr(PUBLIC));
}

#[test]
fn what_does_not_come_from_the_server_is_not_forwarded() {
    let mut bench = Bench::announced(client_role());
    let impostor = bench.packet(Uid(66), &confirmation());
    assert_eq!(bench.hand(server(), Ecn::NotEct, &impostor), []);
    let elsewhere = bench.packet(SERVER, &confirmation());
    assert_eq!(bench.hand(client(9), Ecn::NotEct, &elsewhere), []);
    let second = bench.packet(SERVER, &announce());
    for _ in 0..2 {
        assert_eq!(bench.hand(client(9), Ecn::NotEct, &second), []);
    }
    let told = bench
        .events
        .iter()
        .filter(|e| matches!(e, ProxyEventKind::SecondSource(_)));
    assert_eq!(told.count(), 1);
    // Its own multicast, come back.
    let own = addr("10.9.0.1:1044");
    assert_eq!(bench.hand(own, Ecn::NotEct, &second), []);
}

#[test]
fn a_response_proxy_forwards_nothing() {
    let mut bench = Bench::new(config(response_role()));
    assert_eq!(bench.server_says(&announce()), []);
    assert!(bench.has(&ProxyEventKind::Join(addr(PRIVATE).ip())));
    assert_eq!(bench.server_says(&confirmation()), []);
    assert_eq!(
        bench.server_says(&Message::DoneConf(DoneConf {
            clients: Vec::new()
        })),
        []
    );
}

#[test]
fn a_report_on_congestion_goes_on_at_once_in_the_clients_name() {
    let mut bench = Bench::announced(response_role());
    let report = Message::CcAck(CcAck {
        info: TfmccAckInfo {
            flags: CcFlags::RTT,
            cc_seq: 3,
            cc_rate: uftp_proto::quant::RateCode(0),
            client: Uid(1),
            echo: STAMP,
        },
    });
    let packet = bench.packet(Uid(1), &report);
    assert_eq!(bench.hand(client(1), Ecn::NotEct, &packet), []);
    assert_eq!(bench.refused(Refusal::UnknownSource), 1);
    bench.client_says(1, &register(STAMP));
    let out = bench.hand(client(1), Ecn::NotEct, &packet);
    assert_eq!((out[0].to, &out[0].bytes), (server(), &packet));
}

#[test]
fn the_servers_abort_reaches_the_clients_in_the_servers_name() {
    for role in [client_role(), response_role()] {
        let forwards = matches!(role, uftp_session::proxy::Role::Client { .. });
        let mut bench = Bench::announced(role);
        bench.client_says(1, &register(STAMP));
        let words = abort(Uid(1), "too slow");
        let out = bench.server_says(&words);
        assert_eq!(out.len(), 1);
        assert_eq!((out[0].to, out[0].header().src), (addr(PRIVATE), SERVER));
        assert_eq!(out[0].message(), words);

        // Against the proxy: none of its clients can go on.
        bench.client_says(2, &register(STAMP));
        let out = bench.server_says(&abort(ME, "not a proxy"));
        let told: Vec<_> = out.iter().map(Out::message).collect();
        // Others hear a response proxy, too, who have nothing to do with it.
        let all = match forwards {
            true => vec![abort(Uid::NONE, "not a proxy")],
            false => [1, 2].map(|n| abort(Uid(n), "not a proxy")).to_vec(),
        };
        assert_eq!(told, all);
        assert_eq!(out[0].header().src, SERVER);
        assert_ne!(out[0].header().grtt, Default::default());
        // Nothing follows, whatever is still said.
        assert_eq!(bench.server_says(&abort(ME, "not a proxy")), []);
        assert_eq!(bench.server_says(&announce()), []);
        assert_eq!(bench.client_says(1, &register(STAMP)), []);
        assert_eq!(bench.pass(Duration::from_secs(2)), []);
        assert!(bench.proxy.is_idle());

        let mut bench = Bench::announced(match forwards {
            true => client_role(),
            false => response_role(),
        });
        let out = bench.server_says(&abort(Uid::NONE, "over"));
        assert_eq!(out.len(), usize::from(forwards));
    }
}

/// A response proxy that ends sends away who answers through it, not those who hear the same server
/// and answer themselves.
#[test]
fn a_proxy_that_ends_tells_its_own_clients() {
    let words = "Proxy shutting down";
    for (role, named) in [
        (client_role(), vec![Uid::NONE]),
        (response_role(), vec![Uid(1), Uid(2)]),
    ] {
        let mut bench = Bench::announced(role);
        bench.client_says(2, &register(STAMP));
        bench.client_says(1, &register(STAMP));
        bench.pass(Duration::from_millis(20));
        bench.proxy.shutdown(bench.now);
        let out = bench.pass(Duration::ZERO);
        let (down, up): (Vec<_>, Vec<_>) = out.iter().partition(|o| o.to == addr(PRIVATE));
        let told: Vec<_> = down.iter().map(|o| o.message()).collect();
        let expected: Vec<_> = named.into_iter().map(|host| abort(host, words)).collect();
        assert_eq!(told, expected);
        let told: Vec<_> = up.iter().map(|o| (o.to, o.message())).collect();
        assert_eq!(told, [(server(), abort(Uid::NONE, words))]);
    }
}

#[test]
fn a_clients_abort_reaches_the_server_in_the_proxys_name_and_after_its_answers() {
    let mut bench = Bench::announced(client_role());
    bench.client_says(1, &register(STAMP));
    let out = bench.client_says(1, &abort(Uid::NONE, "disk full"));
    let names: Vec<_> = out.iter().map(|o| o.header().function).collect();
    use uftp_proto::wire::Function;
    assert_eq!(names, [Function::Register, Function::Abort]);
    assert_eq!(out[1].message(), abort(Uid(1), "disk full"));
    assert_eq!(out[1].header().src, ME);
    assert_eq!(out[1].to, server());
    // One who does not want to register may say why.
    let out = bench.client_says(2, &abort(Uid::NONE, "no"));
    assert_eq!(out[0].message(), abort(Uid(2), "no"));
}

#[test]
fn sessions_that_cannot_be_carried_are_refused_with_a_reason() {
    let mut bench = Bench::new(config(client_role()));
    let refusal = |bench: &mut Bench, change: fn(&mut uftp_proto::wire::Announce)| {
        let mut body = announce_body();
        change(&mut body);
        let out = bench.server_says(&Message::Announce(body));
        assert_eq!(out.len(), 1);
        let Message::Abort(abort) = out[0].message() else {
            panic!("{out:?}");
        };
        assert_eq!((out[0].to, abort.host), (server(), Uid::NONE));
        abort.reason
    };
    let words = refusal(&mut bench, |a| a.private = [10, 0, 0, 7].into());
    assert_eq!(words, "Invalid multicast address");
    let words = refusal(&mut bench, |a| a.public = [10, 0, 0, 7].into());
    assert_eq!(words, "Invalid multicast address");
    let words = refusal(&mut bench, |a| {
        if let uftp_proto::wire::Pace::Adaptive { block_size, .. } = &mut a.pace {
            *block_size = 0;
        }
    });
    assert_eq!(words, "Invalid block size");
    assert!(bench.proxy.is_idle());
}

#[test]
fn a_group_that_cannot_be_joined_ends_its_session() {
    let mut bench = Bench::announced(response_role());
    let now = bench.now;
    let group = addr(PRIVATE).ip();
    bench.proxy.join_failed(now, group, "too many");
    let out = bench.pass(Duration::ZERO);
    assert_eq!(
        out[0].message(),
        abort(Uid::NONE, "Error joining multicast group")
    );
    assert!(bench.proxy.is_idle());
    assert!(!bench.has(&ProxyEventKind::Leave(group)));
}

#[test]
fn every_kind_of_proxy_answers_a_heartbeat_in_its_own_protocol() {
    for role in [client_role(), response_role()] {
        let mut bench = Bench::new(config(role));
        let request = Message::HbReq(HbReq {
            nonce: 0,
            key: Vec::new(),
            signature: Vec::new(),
        });
        let mut packet = bench.packet(Uid(5), &request);
        packet[8..12].fill(0);
        for id in [0x40, 0x50] {
            packet[0] = id;
            let out = bench.hand(client(5), Ecn::NotEct, &packet);
            assert_eq!(out[0].bytes[0], id);
            let Message::HbResp(answer) = out[0].message() else {
                panic!("{out:?}");
            };
            assert_eq!((out[0].to, answer.code), (client(5), HbCode::OK));
        }
    }
}

#[test]
fn keys_are_sent_to_all_once_in_five_seconds_and_to_a_few_alone() {
    let identity = key();
    let mut settings = config(response_role());
    settings.security.keys.push(identity.clone());
    let mut bench = Bench::new(settings);
    let packet = bench.packet(Uid(1), &Message::KeyReq);
    let out = bench.hand(client(1), Ecn::NotEct, &packet);
    let Message::ProxyKey(sent) = out[0].message() else {
        panic!("{out:?}");
    };
    assert_eq!(out[0].to, addr(PUBLIC));
    assert_eq!(sent.key, identity.public().blob());
    let nonce = sent.nonce.to_be_bytes();
    let hash = uftp_proto::crypto::Hash::Sha1;
    assert!(identity.public().verify(hash, &[&nonce], &sent.signature));
    let asked = (0..100).flat_map(|_| bench.hand(client(2), Ecn::NotEct, &packet));
    let alone: Vec<_> = asked.map(|out| out.to).collect();
    assert_eq!(alone, [client(2); 20]);
    assert_eq!(bench.pass(Duration::from_millis(4900)), []);
    assert_eq!(bench.pass(Duration::from_millis(200)).len(), 1);
    assert_eq!(bench.pass(Duration::from_secs(60)), []);
    // Others have no business answering.
    let mut settings = config(client_role());
    settings.security.keys.push(identity);
    let mut bench = Bench::new(settings);
    assert_eq!(bench.hand(client(1), Ecn::NotEct, &packet), []);
}

#[test]
fn a_plain_session_takes_no_handshake() {
    let mut bench = Bench::announced(client_role());
    bench.client_says(1, &register(STAMP));
    let out = bench.client_says(
        1,
        &Message::KeyInfoAck(KeyInfoAck {
            verify_data: vec![0; 12],
        }),
    );
    assert_eq!(out, []);
    assert_eq!(bench.refused(Refusal::OutOfPlace), 1);
}

#[test]
fn sessions_in_the_clear_are_refused_where_encryption_is_required() {
    for role in [
        client_role(),
        response_role(),
        server_role(Downstream::Fixed(client(1))),
    ] {
        let mut bench = Bench::new(ProxyConfig {
            require_encryption: true,
            ..config(role)
        });
        let out = bench.server_says(&announce());
        assert_eq!((out.len(), out[0].to), (1, server()));
        let Message::Abort(abort) = out[0].message() else {
            panic!("{:?}", out[0]);
        };
        assert_eq!(abort.reason, "No unencrypted transfers allowed");
        assert!(bench.proxy.is_idle());
    }
}

/// A host that a lower proxy has not registered with us is behind it all the same.
#[test]
fn who_leaves_is_named_by_the_proxy_it_is_behind() {
    let mut bench = Bench::announced(client_role());
    let listed = Message::Register(uftp_proto::wire::Register {
        echo: STAMP,
        random: [0; 32],
        key: Vec::new(),
        clients: vec![Uid(11), Uid(12)],
    });
    bench.client_says(1, &listed);
    bench.client_says(2, &register(STAMP));
    bench.pass(Duration::from_millis(100));
    // It has no say in others that we know, nor has anybody else in its clients.
    for (author, host) in [(1, Uid(2)), (2, Uid(12))] {
        assert_eq!(bench.client_says(author, &abort(host, "enough")), []);
    }
    assert_eq!(bench.refused(Refusal::OutOfPlace), 2);
    for (author, host, named) in [
        (1, Uid(11), Uid(11)),
        (1, Uid(13), Uid(13)),
        (2, Uid(13), Uid(2)),
        (1, Uid::NONE, Uid(1)),
    ] {
        let out = bench.client_says(author, &abort(host, "enough"));
        let said = out.iter().map(Out::message).collect::<Vec<_>>();
        assert_eq!(said, [abort(named, "enough")], "{author} of {host}");
        let told = ProxyEventKind::AbortedByClient {
            client: named,
            reason: "enough".to_owned(),
        };
        assert_eq!(bench.events.last(), Some(&told));
    }
}

/// Everybody who leaves is passed on, however many do at once; who says so for ever is not.
#[test]
fn who_leaves_again_and_again_is_passed_on_within_limits() {
    const MANY: u32 = 300;
    let mut bench = Bench::announced(client_role());
    for n in 0..MANY {
        let packet = bench.packet(Uid(0x1000 + n), &register(STAMP));
        bench.hand(client(7), Ecn::NotEct, &packet);
    }
    bench.pass(Duration::from_millis(100));
    let mut leave = |n| {
        let packet = bench.packet(Uid(0x1000 + n), &abort(Uid::NONE, "enough"));
        bench.hand(client(7), Ecn::NotEct, &packet).len()
    };
    assert_eq!((0..MANY).map(&mut leave).sum::<usize>(), MANY as usize);
    assert_eq!((0..1000).map(|_| leave(5)).sum::<usize>(), 100);
    let told = |kind: &&ProxyEventKind| matches!(kind, ProxyEventKind::AbortedByClient { .. });
    let told = bench.events.iter().filter(told).count();
    assert_eq!(told, MANY as usize + 100);
}
