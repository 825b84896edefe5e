use super::*;
use crate::path::Loss;

const GROUP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(230, 0, 0, 1));

/// Says its word every `period` to `to`, `left` times; keeps what it hears.
struct Talker {
    to: SocketAddr,
    period: Duration,
    next: Option<Instant>,
    left: u32,
    due: bool,
    asks: Vec<Membership>,
    heard: Vec<(Instant, SocketAddr, Vec<u8>)>,
    echoes: bool,
    echo_to: Vec<SocketAddr>,
}

impl Talker {
    fn new(to: SocketAddr, period: Duration, times: u32, now: Instant) -> Self {
        Talker {
            to,
            period,
            next: (times > 0).then_some(now + period),
            left: times,
            due: false,
            asks: Vec::new(),
            heard: Vec::new(),
            echoes: false,
            echo_to: Vec::new(),
        }
    }

    fn listener(now: Instant) -> Self {
        Talker::new(addr(0), Duration::ZERO, 0, now)
    }

    fn echoing(now: Instant) -> Self {
        Talker {
            echoes: true,
            ..Talker::listener(now)
        }
    }
}

impl Node for Talker {
    fn handle_datagram(&mut self, now: Instant, from: SocketAddr, _: Ecn, datagram: &mut [u8]) {
        self.heard.push((now, from, datagram.to_vec()));
        datagram.fill(0); // nobody else may notice
        if self.echoes {
            self.echo_to.push(from);
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.due = self.left > 0;
        self.left = self.left.saturating_sub(1);
        self.next = (self.left > 0).then_some(now + self.period);
    }

    fn poll_membership(&mut self, _: Instant) -> Option<Membership> {
        self.asks.pop()
    }

    fn poll_transmit(&mut self, _: Instant, batch: &mut Batch) {
        let mut put = |to, word: &[u8]| {
            let word = word.to_vec();
            let write = |buf: &mut [u8]| {
                buf[..word.len()].copy_from_slice(&word);
                Ok::<_, ()>(word.len())
            };
            batch.push(to, Ecn::NotEct, write).unwrap();
        };
        if std::mem::take(&mut self.due) {
            put(self.to, b"word");
        }
        for to in self.echo_to.drain(..) {
            put(to, b"echo");
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.next
    }
}

fn addr(host: u8) -> SocketAddr {
    ([10, 0, 0, host], 1044).into()
}

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// A talker to the group and two members.
fn trio(seed: u64, times: u32) -> (World, NodeId, [NodeId; 2]) {
    let mut world = World::new(seed);
    let now = world.now();
    let group = SocketAddr::new(GROUP, 1044);
    let talker = Talker::new(group, ms(10), times, now);
    let talker = world.add(addr(1), Box::new(talker));
    let ears = [2, 3].map(|host| {
        let id = world.add(addr(host), Box::new(Talker::echoing(now)));
        world.join(id, GROUP);
        id
    });
    (world, talker, ears)
}

fn heard(world: &World, id: NodeId) -> usize {
    world.get::<Talker>(id).heard.len()
}

#[test]
fn multicast_reaches_members_and_unicast_its_addressee() {
    let (mut world, talker, ears) = trio(1, 5);
    for id in ears {
        world.up(id).config.delay = ms(3);
        world.down(id).config.delay = ms(2);
    }
    let deaf = world.add(addr(4), Box::new(Talker::listener(world.now())));
    world.run(ms(1000));
    assert_eq!(ears.map(|id| heard(&world, id)), [5, 5]);
    assert_eq!((heard(&world, talker), heard(&world, deaf)), (10, 0));
    assert_eq!(world.elapsed(), ms(55));
    let (at, from, word) = &world.get::<Talker>(talker).heard[0];
    assert_eq!((*at - world.base, *from), (ms(15), addr(2)));
    assert_eq!(word, b"echo");
    assert_eq!(world.sent(talker).total().datagrams, 5);
    assert_eq!(world.wakeups(talker), (5, 5));
}

#[test]
fn ports_partitions_and_death_keep_datagrams_away() {
    let (mut world, talker, [a, b]) = trio(1, 100);
    let other_port = SocketAddr::from(([10, 0, 0, 9], 9));
    let other = world.add(other_port, Box::new(Talker::listener(world.now())));
    world.join(other, GROUP);
    world.run_for(ms(100));
    world.cut_off(&[a]);
    world.run_for(ms(200));
    world.heal();
    world.kill(b);
    world.run_for(ms(100));
    world.revive(b, Box::new(Talker::listener(world.now())));
    world.join(b, GROUP);
    world.run_for(ms(100));
    assert_eq!((heard(&world, a), heard(&world, b)), (10 + 20, 10));
    assert_eq!((heard(&world, other), world.astray), (0, 50));
    assert_eq!(heard(&world, talker), 10 + 30 + 10 + 10);
}

#[test]
fn membership_is_counted() {
    let (mut world, _, [a, _]) = trio(1, 3);
    let ask = |asks: &[Membership]| {
        let asks = asks.to_vec();
        move |t: &mut Talker, _: Instant| t.asks.extend(asks)
    };
    world.with(a, ask(&[Membership::Join(GROUP)]));
    world.with(a, ask(&[Membership::Leave(GROUP)]));
    assert!(world.is_member(a, GROUP), "the operator's join stays");
    world.with(a, ask(&[Membership::Leave(GROUP)]));
    assert!(!world.is_member(a, GROUP));
    world.run(ms(1000));
    assert_eq!(heard(&world, a), 0);
}

#[test]
fn same_seed_same_history_other_seed_other_history() {
    let history = |seed| {
        let (mut world, talker, ears) = trio(seed, 200);
        for id in ears {
            let config = PathConfig {
                loss: Loss::Random(0.2),
                delay: ms(20),
                jitter: ms(50),
                duplicate: 0.1,
                ..PathConfig::default()
            };
            world.set_paths(id, config, config);
        }
        world.run(ms(10_000));
        let heard = &world.get::<Talker>(talker).heard;
        let heard = heard.iter().map(|(at, from, _)| (*at - world.base, *from));
        heard.collect::<Vec<_>>()
    };
    assert_eq!(history(1), history(1));
    assert_ne!(history(1), history(2));
}

#[test]
fn filters_see_each_way_down() {
    let (mut world, talker, [a, b]) = trio(1, 4);
    world.set_filter(move |p| {
        if p.to == b && p.time > ms(25) {
            Verdict::Drop
        } else {
            Verdict::Pass
        }
    });
    world.run(ms(1000));
    assert_eq!((heard(&world, a), heard(&world, b)), (4, 2));
    assert_eq!(heard(&world, talker), 6);
}

#[test]
fn scripts_run_at_their_time_and_waiting_stops_when_it_may() {
    let (mut world, _, [a, b]) = trio(1, 10);
    world.after(ms(35), move |world| world.kill(a));
    assert!(world.run_until(ms(1000), |world| heard(world, b) == 7));
    assert_eq!((world.elapsed(), heard(&world, a)), (ms(70), 3));
    assert!(!world.run_until(ms(1000), |world| heard(world, b) == 11));
}

#[test]
#[should_panic(expected = "wakes without end")]
fn livelock_is_noticed() {
    let mut world = World::new(1);
    let now = world.now();
    let spinner = Talker::new(addr(7), Duration::ZERO, u32::MAX, now);
    world.add(addr(1), Box::new(spinner));
    world.run(ms(1));
}
