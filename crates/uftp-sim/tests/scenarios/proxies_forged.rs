//! Somebody without keys speaks in the names of clients that are behind proxies.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use uftp_proto::crypto::{Curve, KeySpec, PrivateKey};
use uftp_proto::quant::RateCode;
use uftp_proto::wire::{
    self, Abort, CcAck, CcFlags, Function, Header, Message, Register, TfmccAckInfo,
};
use uftp_proto::{Ecn, Uid, WireTime};
use uftp_session::Refusal;
use uftp_session::congestion::Limits;
use uftp_session::proxy::ProxyEventKind;
use uftp_session::sender::{Rate, SenderEvent};
use uftp_sim::proxies::{Networks, ProxyNode, Reach, proxy_addr, uid};
use uftp_sim::scenario::{receiver_addr, receiver_uid};
use uftp_sim::{Figure, NodeId, Verdict, seeds};

use super::proxies_encrypted::{encrypted, five, suites};
use super::{delayed, ms, secs, two_files};

/// A figure with somebody on its networks who heard the first ANNOUNCE.
pub(super) struct Forger {
    pub(super) networks: Networks,
    pub(super) heard: Rc<Cell<Option<Header>>>,
}

impl Forger {
    pub(super) fn new(figure: Figure) -> Self {
        let mut networks = figure.stage();
        let heard = Rc::new(Cell::new(None));
        let first = Rc::clone(&heard);
        networks.world.set_filter(move |passing| {
            if passing.is(Function::Announce) {
                let header = wire::decode_header(passing.datagram).unwrap();
                first.set(first.get().or(Some(header)));
            }
            Verdict::Pass
        });
        Forger { networks, heard }
    }

    /// The same at an open group whose sender is `way` off and encrypts: in protocol 5 if `modern`, else
    /// in 4.
    pub(super) fn at_open_group(figure: Figure, modern: bool, way: Duration) -> Self {
        let figure = figure.with(|f| {
            f.closed = false;
            f.up = delayed(way);
        });
        Forger::new(match modern {
            false => figure.with(encrypted(suites()[1])),
            true => figure.with(five(false)),
        })
    }

    /// Has `to` hear something in the clear, as if `src` had said it.
    ///
    /// Returns how long it was, bytes.
    pub(super) fn say(&mut self, to: NodeId, src: Uid, message: &Message<'_>) -> u64 {
        let header = Header {
            function: message.function(),
            src,
            ..self.heard.get().unwrap()
        };
        let mut packet = [0; 1500];
        let len = wire::encode(&header, message, &mut packet).unwrap();
        let from = receiver_addr(77);
        let world = &mut self.networks.world;
        world.inject(to, from, Ecn::NotEct, &packet[..len]);
        len as u64
    }

    pub(super) fn run_until(&mut self, mut over: impl FnMut(&Networks) -> bool) {
        for _ in 0..20_000 {
            if over(&self.networks) {
                return;
            }
            self.networks.world.run_for(ms(1));
        }
        panic!("it never comes to that");
    }
}

pub(super) fn register(random: u16, clients: Vec<Uid>) -> Message<'static> {
    let key = PrivateKey::generate(KeySpec::Ec(Curve::DEFAULT)).unwrap();
    let [high, low] = random.to_be_bytes();
    Message::Register(Register {
        echo: WireTime(1),
        random: [[high, low]; 16].concat().try_into().unwrap(),
        key: key.public().blob().to_vec(),
        clients,
    })
}

fn abort() -> Message<'static> {
    Message::Abort(Abort {
        current_file: false,
        host: Uid::NONE,
        reason: "forged".to_owned(),
    })
}

/// Nobody is taken off a proxy that has proved itself but by one that has, too, and nobody leaves
/// on a stranger's word.
#[test]
fn who_is_behind_a_proven_proxy_stays_there() {
    for reach in [Reach::Tunnel, Reach::Response] {
        // Two are missing, so that it is announced for long.
        let figure = Figure::new(seeds::one(1), reach, 1, &[2, 0], two_files(100_000));
        let mut forger = Forger::new(figure.with(encrypted(suites()[1])));
        let networks = &mut forger.networks;
        let (sender, client) = (networks.sender, receiver_uid(1));
        networks.world.kill(networks.receivers[0]);
        networks.world.kill(networks.proxies[1]);
        let proxy = uid(proxy_addr(0));
        forger.run_until(|networks| {
            let acked = |e: &SenderEvent| *e == SenderEvent::KeyInfoAcked { client: proxy };
            networks.sender().events().any(acked)
        });
        for n in 0..20 {
            forger.say(sender, client, &register(n, Vec::new()));
            let absent = uid(proxy_addr(1));
            forger.say(sender, absent, &register(n, vec![client]));
            forger.say(sender, client, &abort());
            forger.networks.world.run_for(ms(5));
        }
        let refused = |why| {
            let sender = forger.networks.sender();
            sender.machine.counters().refused(why)
        };
        assert_eq!(refused(Refusal::OutOfPlace), 40, "{reach:?}");
        assert_eq!(refused(Refusal::Uncovered), 20, "{reach:?}");
        let networks = forger.networks.play(secs(600));
        assert!(networks.is_whole(1) && networks.is_whole(2), "{reach:?}");
    }
}

#[test]
fn registrations_at_proxies_are_looked_into_within_limits() {
    for reach in [Reach::Tunnel, Reach::Response] {
        let figure = Figure::new(seeds::one(1), reach, 0, &[2], two_files(100_000));
        let figure = figure.with(|f| f.up = delayed(ms(20)));
        let mut forger = Forger::new(figure.with(encrypted(suites()[1])));
        let proxy = forger.networks.proxies[0];
        forger.run_until(is_announced);
        for n in 0..2100 {
            forger.say(proxy, receiver_uid(1), &register(n, Vec::new()));
        }
        let counters = forger.networks.proxy(0).machine.counters();
        assert_eq!(counters.refused(Refusal::Limit), 100, "{reach:?}");
        forger.networks.play(secs(600)).assert_all_whole();
    }
}

/// A registration that nobody follows up is answered with about as much as it was long: the keys are
/// handed out less and less often to who does not say that it has them, and not many are told that
/// they are given up.
#[test]
fn registrations_of_nobody_are_answered_with_little() {
    const FORGED: u16 = 1000;
    for reach in [Reach::Tunnel, Reach::Response] {
        for modern in [false, true] {
            let figure = Figure::new(seeds::one(1), reach, 0, &[2], two_files(4_000_000));
            let mut forger = Forger::at_open_group(figure, modern, ms(20));
            let proxy = forger.networks.proxies[0];
            let acked =
                |kind: &&ProxyEventKind| matches!(kind, ProxyEventKind::KeyInfoAcked { .. });
            // Whoever comes now is handed keys at once.
            forger.run_until(|networks| networks.proxy(0).kinds().filter(acked).count() == 2);
            let said = move |networks: &Networks| {
                let sent = networks.world.sent(networks.proxies[0]);
                // A client proxy passes on those of the sender.
                let aborts = (reach == Reach::Response).then(|| sent.of(Function::Abort).bytes);
                sent.of(Function::KeyInfo).bytes + aborts.unwrap_or(0)
            };
            let before = said(&forger.networks);
            let mut heard = 0;
            for n in 0..FORGED {
                heard += forger.say(
                    proxy,
                    receiver_uid(100 + usize::from(n)),
                    &register(n, Vec::new()),
                );
            }
            let networks = forger.networks.play(secs(600));
            networks.assert_all_whole();
            let answers = said(&networks) - before;
            assert!(answers > 0);
            assert!(
                answers < 2 * heard,
                "{reach:?}: {answers} bytes for {heard}"
            );
        }
    }
}

/// They are not what a proxy's operator wants, so they take nobody's place.
#[test]
fn unlisted_clients_take_no_places() {
    for reach in [Reach::Tunnel, Reach::Response] {
        let figure = Figure::new(seeds::one(1), reach, 0, &[2], two_files(100_000));
        let figure = figure.with(|f| {
            f.up = delayed(ms(20));
            f.max_clients = 2;
        });
        let mut forger = Forger::new(figure.with(encrypted(suites()[3])));
        let proxy = forger.networks.proxies[0];
        let listed = [0, 1].map(|i| (receiver_uid(i), None)).into();
        let name = |node: &mut ProxyNode, _| node.machine.set_clients(Some(listed));
        forger.networks.world.with(proxy, name);
        forger.run_until(is_announced);
        for n in 0..10 {
            let stranger = receiver_uid(50 + usize::from(n));
            forger.say(proxy, stranger, &register(n, Vec::new()));
        }
        let rejected =
            |kind: &&ProxyEventKind| matches!(kind, ProxyEventKind::ClientKeyRejected { .. });
        let count = forger.networks.proxy(0).kinds().filter(rejected).count();
        assert_eq!(count, 10, "{reach:?}");
        forger.networks.play(secs(600)).assert_all_whole();
    }
}

pub(super) fn is_announced(networks: &Networks) -> bool {
    let announced = |kind: &ProxyEventKind| matches!(kind, ProxyEventKind::Announced { .. });
    networks.proxy(0).kinds().any(announced)
}

/// Somebody registers with the lower of two proxies in the name of a client of the upper one, before
/// that has registered, before it has its keys, or after. The lower proxy tells the upper one of it, and in the end that it has
/// left: that is not its to say, and it has not left itself.
#[test]
fn no_proxy_says_that_others_have_left() {
    for heard in 0..3 {
        let figure = Figure::new(seeds::one(1), Reach::Nested, 0, &[1], two_files(12_000_000));
        let figure = figure.with(|f| {
            f.halfway = 1;
            f.closed = false;
            f.up = delayed(ms(20));
        });
        let mut forger = Forger::new(figure.with(encrypted(suites()[1])));
        let (lower, halfway) = (forger.networks.proxies[0], receiver_uid(1));
        let first = ProxyEventKind::Registered {
            client: halfway,
            via: None,
            again: false,
        };
        let last = ProxyEventKind::KeyInfoAcked { client: halfway };
        forger.run_until(is_announced);
        let has = |networks: &Networks, told| networks.upper(0).kinds().any(|kind| kind == told);
        if heard > 0 {
            forger.run_until(|networks| has(networks, &first));
        }
        if heard == 2 {
            forger.run_until(|networks| has(networks, &last));
        }
        for _ in 0..1000 {
            forger.say(lower, halfway, &register(1, Vec::new()));
            forger.networks.world.run_for(ms(2));
            if heard != 1 || has(&forger.networks, &last) {
                break;
            }
        }
        let via = Some(uid(proxy_addr(0)));
        let taken = |kind: &&ProxyEventKind| {
            matches!(kind, ProxyEventKind::Registered { client, via: by, .. }
                if *client == halfway && *by == via)
        };
        let networks = forger.networks.play(secs(600));
        let upper = networks.upper(0);
        assert_eq!(upper.kinds().any(|kind| taken(&kind)), heard < 2);
        let gone = ProxyEventKind::Unregistered { client: halfway };
        assert!(networks.proxy(0).kinds().any(|kind| *kind == gone));
        let left = |kind: &ProxyEventKind| matches!(kind, ProxyEventKind::AbortedByClient { .. });
        assert!(!upper.kinds().any(left), "after {heard}");
        networks.assert_all_whole();
    }
}

/// Who says under congestion control that it takes next to nothing sets the rate for all, down to the
/// floor that the operator has set.
#[test]
fn one_that_lies_slows_down_no_further_than_the_floor() {
    let report = Message::CcAck(CcAck {
        info: TfmccAckInfo {
            client: receiver_uid(0),
            flags: CcFlags::RTT,
            cc_seq: 0,
            cc_rate: RateCode::from_rate(1),
            echo: WireTime(0),
        },
    });
    for (floor, finished) in [(None, false), (Some(200_000), true)] {
        let figure = Figure::new(seeds::one(1), Reach::Tunnel, 3, &[], two_files(1_000_000));
        let mut forger = Forger::new(figure.with(|f| {
            (f.up, f.down) = (delayed(ms(20)), delayed(ms(20)));
            f.config.rate = Rate::Tfmcc(Limits {
                min: floor,
                ..Limits::default()
            });
        }));
        let sender = forger.networks.sender;
        let heard = forger.heard.clone();
        forger.run_until(|_| heard.get().is_some());
        for _ in 0..1500 {
            forger.say(sender, receiver_uid(0), &report);
            forger.networks.world.run_for(ms(10));
        }
        let done = forger.networks.sender().machine.is_finished();
        assert_eq!(done, finished, "floor {floor:?}");
        if finished {
            forger.networks.play(secs(600)).assert_all_whole();
        }
    }
}
