//! Sessions through server, client and response proxies.

use std::cell::Cell;
use std::rc::Rc;

use uftp_proto::wire::{self, Function};
use uftp_session::congestion::Limits;
use uftp_session::proxy::ProxyEventKind;
use uftp_session::receiver::EndReason;
use uftp_session::sender::{FileOutcome, Outcome, Rate};
use uftp_sim::proxies::Reach;
use uftp_sim::{Figure, NodeId, SenderNode, Verdict, seeds, source};

use super::{delayed, lossy, ms, secs, two_files};

#[test]
fn figure_1_two_tunnels_and_a_client_beside_the_server() {
    for closed in [true, false] {
        let figure = Figure::new(seeds::one(1), Reach::Tunnel, 1, &[2, 2], two_files(300_000))
            .with(|f| f.closed = closed);
        let networks = figure.stage().play(secs(100));
        networks.assert_all_whole();
        for k in 0..2 {
            let up = networks.world.sent(networks.proxies[k]);
            // What two clients say is said once.
            assert_eq!(up.of(Function::Register).datagrams, 1, "closed: {closed}");
            assert_eq!(up.of(Function::FileInfoAck).datagrams, 2);
            assert_eq!(up.of(Function::Complete).datagrams, 3);
            // And nobody knows that there is a server proxy.
            let sender = networks.world.sent(networks.sender).total();
            let passed = networks.world.sent(networks.server_proxies[k]).total();
            let up = up.of(Function::Register).datagrams
                + up.of(Function::FileInfoAck).datagrams
                + up.of(Function::Complete).datagrams;
            assert_eq!(passed.datagrams, sender.datagrams + up);
        }
    }
}

#[test]
fn tunnels_under_loss_and_delay() {
    seeds::each(40, |seed| {
        let figure = Figure::new(seed, Reach::Tunnel, 2, &[5, 5], two_files(200_000)).with(|f| {
            f.closed = seed.is_multiple_of(2);
            (f.up, f.down) = (lossy(0.04), lossy(0.04));
            f.between = lossy(0.01);
            f.between.delay = ms(5 * (seed % 3));
        });
        figure.stage().play(secs(600)).assert_all_whole();
    });
}

#[test]
fn the_way_to_a_client_proxy_is_learned_by_heartbeat() {
    seeds::each(10, |seed| {
        let figure = Figure::new(seed, Reach::LearnedTunnel, 0, &[3], two_files(100_000));
        let figure = figure.with(|f| f.between = lossy(0.1));
        let networks = figure.stage().play(secs(600));
        networks.assert_all_whole();
        let learned = |kind: &ProxyEventKind| {
            *kind == ProxyEventKind::Downstream(uftp_sim::proxies::proxy_addr(0))
        };
        assert!(networks.server_proxy(0).kinds().any(learned));
    });
}

#[test]
fn two_server_proxies_in_a_row_with_both_ends_hidden() {
    seeds::each(10, |seed| {
        // One site alone: others would not wait until its first heartbeat has got through.
        let figure = Figure::new(seed, Reach::Chain, 0, &[3], two_files(100_000));
        let figure = figure.with(|f| {
            f.closed = seed.is_multiple_of(2);
            f.between = lossy(0.03);
        });
        figure.stage().play(secs(600)).assert_all_whole();
    });
}

#[test]
fn response_proxies_under_loss() {
    seeds::each(40, |seed| {
        let items = two_files(200_000);
        let figure = Figure::new(seed, Reach::Response, 1, &[20, 20], items).with(|f| {
            f.closed = seed.is_multiple_of(2);
            (f.up, f.down) = (lossy(0.04), lossy(0.04));
        });
        figure.stage().play(secs(600)).assert_all_whole();
    });
}

#[test]
fn congestion_control_with_loss_through_proxies_completes() {
    seeds::each(6, |seed| {
        let reach = [Reach::Tunnel, Reach::Response][seed as usize % 2];
        let items = [source::file("f", 3_000_000)];
        let figure = Figure::new(seed, reach, 0, &[2, 2], items).with(|f| {
            f.config.rate = Rate::Tfmcc(Limits::default());
            (f.up, f.down) = (delayed(ms(5)), lossy(0.03));
        });
        figure.stage().play(secs(600)).assert_all_whole();
    });
}

/// What arrives at the sender of a figure: messages, and how many a second over the session.
fn load(figure: Figure) -> (u64, f64) {
    let mut networks = figure.stage();
    let sender = networks.sender;
    let heard = Rc::new(Cell::new(0u64));
    let count = Rc::clone(&heard);
    networks.world.set_filter(move |passing| {
        count.set(count.get() + u64::from(passing.to == sender));
        Verdict::Pass
    });
    let networks = networks.play(secs(600));
    networks.assert_all_whole();
    let times = || networks.sender().events.iter().map(|(at, _)| *at);
    let (Some(first), Some(last)) = (times().min(), times().max()) else {
        panic!("the sender told nothing");
    };
    let seconds = (last - first).as_secs_f64();
    (heard.get(), heard.get() as f64 / seconds)
}

/// The table of docs/scaling.md.
#[test]
fn proxies_take_the_answers_of_a_crowd_off_the_sender() {
    println!("receivers: messages at the sender (a second), and with 20 response proxies");
    for n in [100, 1_000, 10_000] {
        let items = [source::file("f", 200_000)];
        let figure = |local, remote: &[usize]| {
            let seed = seeds::one(3);
            let figure = Figure::new(seed, Reach::Response, local, remote, items.clone());
            figure.with(|f| f.down = lossy(0.01))
        };
        let (direct, rate) = load(figure(n, &[]));
        let (proxied, eased) = load(figure(0, &[n / 20; 20]));
        println!("{n:6}: {direct:6} ({rate:7.1})  {proxied:6} ({eased:6.1})");
        assert!(
            proxied * (n as u64 / 100) < direct * 2,
            "{proxied} against {direct}"
        );
    }
}

#[test]
fn round_trips_do_not_count_what_a_proxy_holds() {
    for reach in [Reach::Tunnel, Reach::Response] {
        let figure = Figure::new(seeds::one(1), reach, 0, &[3], two_files(100_000));
        let figure = figure.with(|f| f.between = delayed(ms(20)));
        let mut networks = figure.stage();
        let stated = Rc::new(Cell::new(secs(0)));
        let latest = Rc::clone(&stated);
        networks.world.set_filter(move |passing| {
            if passing.is(Function::FileInfo) {
                let header = wire::decode_header(passing.datagram).unwrap();
                latest.set(header.grtt.duration());
            }
            Verdict::Pass
        });
        networks.play(secs(100)).assert_all_whole();
        // Every way to a proxy takes 20 ms: four in a tunnel, one without. Half a second was held.
        let stated = stated.get();
        let (least, most) = match reach {
            Reach::Response => (ms(20), ms(23)),
            _ => (ms(80), ms(87)),
        };
        assert!(stated >= least && stated < most, "{reach:?}: {stated:?}");
    }
}

#[test]
fn a_proxy_that_dies_takes_its_clients_along_and_nobody_else() {
    seeds::each(30, |seed| {
        let reach = [Reach::Tunnel, Reach::Response][seed as usize % 2];
        let at = ms(100 + 97 * seed);
        let restarted = seed % 3 == 0;
        let figure = Figure::new(seed, reach, 1, &[3, 3], two_files(2_000_000));
        let mut networks = figure.with(|f| f.down = lossy(0.01)).stage();
        let victim = networks.proxies[1];
        networks.world.run_for(at);
        networks.world.kill(victim);
        if restarted {
            let node = networks.proxy_node(1);
            networks.world.revive(victim, Box::new(node));
            if reach == Reach::Response {
                networks.world.join(victim, uftp_sim::scenario::PUBLIC);
            }
        }
        let networks = networks.play(secs(600));
        for i in (0..1).chain(networks.behind(0)) {
            assert!(
                networks.is_whole(i),
                "receiver {i} has nothing to do with it"
            );
        }
        for i in networks.behind(1) {
            let whole = networks.is_whole(i);
            let verdict = networks.verdict(2, i);
            let told = match verdict {
                Some(FileOutcome::Completed(_)) => true,
                _ => !whole,
            };
            assert!(told, "receiver {i}: {verdict:?}");
            assert_eq!(networks.receiver(i).ends().len().max(1), 1, "receiver {i}");
        }
    });
}

#[test]
fn after_a_restart_a_new_session_works_at_once() {
    let figure = Figure::new(seeds::one(1), Reach::Tunnel, 0, &[3], two_files(2_000_000));
    let mut networks = figure.stage();
    networks.world.run_for(secs(2));
    let victim = networks.proxies[0];
    networks.world.kill(victim);
    let node = networks.proxy_node(0);
    networks.world.revive(victim, Box::new(node));
    let second = uftp_sim::scenario::add_sender(
        &mut networks.world,
        uftp_sim::scenario::sender_config(1),
        &[source::file("later", 50_000)],
    );
    let networks = networks.play(secs(600));
    let outcome = |id: NodeId| networks.world.get::<SenderNode>(id).outcome();
    assert_eq!(outcome(second), Some(Outcome::Success));
    for i in 0..3 {
        let ends = networks.receiver(i).ends();
        assert_eq!(ends.len(), 2, "{ends:?}");
        assert!(ends.iter().any(|e| matches!(e, EndReason::Confirmed)));
        assert!(ends.iter().any(|e| matches!(e, EndReason::Aborted(_))));
    }
}

#[test]
fn clients_beyond_the_limit_are_sent_away_and_counted() {
    let figure = Figure::new(seeds::one(1), Reach::Tunnel, 0, &[5], two_files(50_000));
    let figure = figure.with(|f| {
        f.max_clients = 3;
        f.closed = false;
    });
    let networks = figure.stage().play(secs(100));
    let whole = (0..5).filter(|i| networks.is_whole(*i)).count();
    assert_eq!(whole, 3);
    let away = |kind: &&ProxyEventKind| matches!(kind, ProxyEventKind::ClientRefused(_));
    assert!(networks.proxy(0).kinds().filter(away).count() >= 2);
    let refused = networks
        .proxy(0)
        .machine
        .counters()
        .refused(uftp_session::Refusal::Limit);
    assert!(refused >= 2);
    for i in (0..5).filter(|i| !networks.is_whole(*i)) {
        let ends = networks.receiver(i).ends();
        let words = EndReason::AbortedByServer("Max destinations exceeded".into());
        assert_eq!(ends[0], words);
    }
}

#[test]
fn an_interrupted_server_ends_the_session_behind_a_tunnel_at_once() {
    for reach in [Reach::Tunnel, Reach::Response] {
        let figure = Figure::new(seeds::one(1), reach, 0, &[3], two_files(5_000_000));
        let mut networks = figure.stage();
        networks.world.run_for(secs(2));
        let sender = networks.sender;
        networks
            .world
            .with(sender, |node: &mut SenderNode, now| node.machine.stop(now));
        networks.world.run_for(ms(10));
        for i in 0..3 {
            let ends = networks.receiver(i).ends();
            assert!(
                matches!(&ends[..], [EndReason::AbortedByServer(_)]),
                "{reach:?}: {ends:?}"
            );
        }
        let _ = networks.play(secs(100));
    }
}

#[test]
fn a_client_that_leaves_is_reported_by_its_proxy() {
    for reach in [Reach::Tunnel, Reach::Response] {
        let figure = Figure::new(seeds::one(1), reach, 0, &[3], two_files(2_000_000));
        let mut networks = figure.stage();
        networks.world.run_for(secs(2));
        let leaver = networks.receivers[1];
        networks
            .world
            .with(leaver, |node: &mut uftp_sim::ReceiverNode, now| {
                node.machine.shutdown(now);
            });
        let networks = networks.play(secs(100));
        assert_eq!(networks.verdict(2, 1), Some(FileOutcome::Aborted));
        assert!(networks.is_whole(0) && networks.is_whole(2));
    }
}
