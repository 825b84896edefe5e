//! Registrations in the names of very many hosts, none of which is there: true receivers are served, and
//! what is kept and said of the others is bounded.

use uftp_proto::Uid;
use uftp_proto::wire::Function;
use uftp_session::Refusal;
use uftp_session::proxy::ProxyEventKind;
use uftp_session::sender::SenderEvent;
use uftp_sim::proxies::{Networks, Reach};
use uftp_sim::{Figure, NodeId, seeds};

use super::proxies_forged::{Forger, is_announced, register};
use super::{ms, secs, two_files};

/// Hosts that are not there.
const FORGED: u32 = 100_000;

/// Has `to` hear registrations in all their names at once. Returns how many bytes that were.
fn flood(forger: &mut Forger, to: NodeId) -> u64 {
    let message = register(7, Vec::new());
    let hosts = (0..FORGED).map(|n| Uid(0x7700_0000 + n));
    hosts.map(|host| forger.say(to, host, &message)).sum()
}

fn bytes(networks: &Networks, from: NodeId, function: Function) -> u64 {
    networks.world.sent(from).of(function).bytes
}

/// Those looked into in a second have places, for the sender to hand them keys; nobody else has.
#[test]
fn of_registrations_at_an_encrypting_sender() {
    for modern in [false, true] {
        let figure = Figure::new(seeds::one(1), Reach::Tunnel, 3, &[], two_files(500_000));
        let mut forger = Forger::at_open_group(figure, modern, ms(10));
        let sender = forger.networks.sender;
        let heard = forger.heard.clone();
        forger.run_until(|_| heard.get().is_some());
        let heard = flood(&mut forger, sender);
        let networks = forger.networks.play(secs(2000));
        for i in 0..3 {
            assert!(networks.is_whole(i), "receiver {i}");
        }
        let machine = &networks.sender().machine;
        let refused = machine.counters().refused(Refusal::Limit);
        assert!(refused >= u64::from(FORGED) - 2000, "{refused}");
        let places = machine.unfinished().len();
        assert!(places <= 2000, "{places} places");
        let lost = |e: &&SenderEvent| matches!(e, SenderEvent::ClientLost { .. });
        let lost = networks.sender().events().filter(lost).count();
        let said = [Function::KeyInfo, Function::Abort].map(|f| bytes(&networks, sender, f));
        assert_eq!(lost, places);
        // Each is handed the keys as often as the group is called, and few are told that they are lost.
        let said = said[0] + said[1];
        assert!(said < heard / 5, "{said} bytes for {heard}");
    }
}

/// Nor has everybody on a list who has not shown that he is a proxy.
#[test]
fn of_lists_at_an_encrypting_sender() {
    const LISTS: u32 = 60;
    const LISTED: u32 = 300;
    let figure = Figure::new(seeds::one(1), Reach::Tunnel, 3, &[], two_files(500_000));
    let mut forger = Forger::at_open_group(figure, false, ms(10));
    let sender = forger.networks.sender;
    let heard = forger.heard.clone();
    forger.run_until(|_| heard.get().is_some());
    for list in 0..LISTS {
        let first = 0x7700_0000 + 1000 * list;
        let listed = (1..=LISTED).map(|n| Uid(first + n)).collect();
        forger.say(sender, Uid(first), &register(7, listed));
    }
    let networks = forger.networks.play(secs(2000));
    for i in 0..3 {
        assert!(networks.is_whole(i), "receiver {i}");
    }
    let places = networks.sender().machine.unfinished().len();
    assert!(places <= 10_000 + LISTS as usize, "{places} places");
}

/// They do not keep true receivers from a place where there are few: who has proved nothing in time
/// gives way, and who has stays.
#[test]
fn of_registrations_where_places_are_few() {
    for reach in [Reach::Tunnel, Reach::Response] {
        for modern in [false, true] {
            let figure = Figure::new(seeds::one(1), reach, 0, &[3], two_files(500_000));
            let figure = figure.with(|f| f.max_clients = 200);
            let mut forger = Forger::at_open_group(figure, modern, ms(20));
            let proxy = forger.networks.proxies[0];
            forger.run_until(is_announced);
            let message = register(7, Vec::new());
            for n in 0..40_000 {
                forger.say(proxy, Uid(0x7700_0000 + n), &message);
                if n % 10 == 9 {
                    forger.networks.world.run_for(ms(2));
                }
            }
            let networks = forger.networks.play(secs(2000));
            networks.assert_all_whole();
            let displaced =
                |kind: &&ProxyEventKind| matches!(kind, ProxyEventKind::Displaced { .. });
            let displaced = networks.proxy(0).kinds().filter(displaced).count();
            assert!(displaced >= 3, "{reach:?}: {displaced}");
        }
    }
}

/// So have those looked into at a response proxy, until they are given up.
#[test]
fn of_registrations_at_a_response_proxy() {
    for modern in [false, true] {
        let figure = Figure::new(seeds::one(1), Reach::Response, 0, &[3], two_files(500_000));
        let mut forger = Forger::at_open_group(figure, modern, ms(10));
        let proxy = forger.networks.proxies[0];
        forger.run_until(is_announced);
        let heard = flood(&mut forger, proxy);
        let networks = forger.networks.play(secs(2000));
        networks.assert_all_whole();
        let refused = networks.proxy(0).machine.counters().refused(Refusal::Limit);
        assert!(refused >= u64::from(FORGED) - 2000, "{refused}");
        let count = |of: fn(&&ProxyEventKind) -> bool| networks.proxy(0).kinds().filter(of).count();
        let registered =
            count(|kind| matches!(kind, ProxyEventKind::Registered { again: false, .. }));
        assert!(registered <= 2000 + 3, "{registered} places");
        let given_up = count(|kind| matches!(kind, ProxyEventKind::Unregistered { .. }));
        assert_eq!(given_up, registered - 3);
        let said = networks.world.sent(proxy).total().bytes;
        assert!(said < heard / 10, "{said} bytes for {heard}");
    }
}
