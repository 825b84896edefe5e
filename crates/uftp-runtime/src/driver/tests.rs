use std::net::{IpAddr, SocketAddr};
use std::process::Command;
use std::sync::mpsc;
use std::thread;

use nix::sched::{CloneFlags, unshare};
use uftp_net::SocketConfig;
use uftp_proto::Ecn;
use uftp_session::Batch;

use super::*;

/// Longest time anything here may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs `test` in a network namespace of its own; `lo` is down at first.
fn in_namespace<T: Send + 'static>(test: impl FnOnce() -> T + Send + 'static) -> T {
    let thread = thread::spawn(|| {
        if let Err(error) = unshare(CloneFlags::CLONE_NEWNET) {
            panic!("cannot make a network namespace ({error}): these tests must run as root");
        }
        test()
    });
    thread
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn ip(args: &str) {
    let done = Command::new("ip").args(args.split(' ')).status().unwrap();
    assert!(done.success(), "ip {args}");
}

/// Sends `left` runs of ten datagrams to `to`, counts what it gets, and ends when both are done.
struct Talker {
    to: SocketAddr,
    /// Before each run one datagram goes here.
    nowhere: Option<SocketAddr>,
    left: usize,
    expected: usize,
    got: Vec<usize>,
    stopped: bool,
    events: Vec<&'static str>,
}

impl Talker {
    fn new(to: SocketAddr, left: usize, expected: usize) -> Self {
        Talker {
            to,
            nowhere: None,
            left,
            expected,
            got: Vec::new(),
            stopped: false,
            events: vec!["started"],
        }
    }
}

impl Machine for Talker {
    type Event = &'static str;

    fn handle_datagram(&mut self, _: Instant, _: SocketAddr, _: Ecn, datagram: &mut [u8]) {
        self.got.push(datagram.len());
    }

    fn held_up(&mut self, _: Instant) {}

    fn handle_timeout(&mut self, _: Instant) {}

    fn poll_event(&mut self) -> Option<&'static str> {
        self.events.pop()
    }

    fn poll_transmit(&mut self, _: Instant, batch: &mut Batch) {
        if self.left > 0 {
            self.left -= 1;
            if let Some(nowhere) = self.nowhere {
                let one = batch.push(nowhere, Ecn::NotEct, |_| Ok::<_, ()>(100));
                one.unwrap();
            }
            for _ in 0..10 {
                batch
                    .push(self.to, Ecn::NotEct, |_| Ok::<_, ()>(1300))
                    .unwrap();
            }
            if self.left == 0 {
                self.events.push("all sent");
            }
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    fn stop(&mut self, _: Instant) {
        self.stopped = true;
    }

    fn is_over(&self) -> bool {
        self.stopped || (self.left == 0 && self.got.len() >= self.expected)
    }
}

/// Keeps what it is told, and the lengths of what arrived.
struct Notes(mpsc::Sender<(&'static str, usize)>);

impl Watcher<Talker> for Notes {
    fn event(&mut self, _: Instant, machine: &mut Talker, _: &Socket, event: &'static str) {
        // Not every test listens.
        let _ = self.0.send((event, machine.left));
    }
}

fn drive(
    socket: Socket,
    talker: Talker,
) -> (
    Control,
    mpsc::Receiver<Tally>,
    mpsc::Receiver<(&'static str, usize)>,
) {
    let (notes, told) = mpsc::channel();
    let (done, ended) = mpsc::channel();
    let control = Control::new().unwrap();
    let driver = Driver::new(socket, control.clone(), talker, Notes(notes));
    thread::spawn(move || done.send(driver.run().unwrap()));
    (control, ended, told)
}

fn socket(bind: &str) -> Socket {
    Socket::bind(&SocketConfig {
        buffer_size: 1 << 20,
        ..SocketConfig::new(bind.parse().unwrap())
    })
    .unwrap()
}

#[test]
fn all_is_sent_and_received_and_events_are_told_in_order() {
    in_namespace(|| {
        ip("link set lo up");
        let (a, b) = (socket("127.0.0.1:0"), socket("127.0.0.1:0"));
        let (to_a, to_b) = (a.local_addr(), b.local_addr());
        let (_, a_ended, a_told) = drive(a, Talker::new(to_b, 8, 0));
        let (_, b_ended, _) = drive(b, Talker::new(to_a, 0, 80));
        assert_eq!(a_ended.recv_timeout(PATIENCE).unwrap().sent, 8 * 10 * 1300);
        assert_eq!(b_ended.recv_timeout(PATIENCE).unwrap().sent, 0);
        assert_eq!(
            a_told.iter().collect::<Vec<_>>(),
            [("started", 8), ("all sent", 0)]
        );
    });
}

#[test]
fn a_network_that_refuses_is_counted_and_does_not_hold_the_session() {
    in_namespace(|| {
        // Nothing is up: there is no way to anywhere.
        let to = "10.99.0.1:1044".parse().unwrap();
        let (_, ended, _) = drive(socket("0.0.0.0:0"), Talker::new(to, 5, 0));
        let tally = ended.recv_timeout(PATIENCE).unwrap();
        assert_eq!((tally.sent, tally.refused), (0, 5));
        assert!(tally.last_refusal.unwrap().contains("unreachable"));
    });
}

/// Anybody can have us answer a host there is no way to.
#[test]
fn what_cannot_go_to_one_host_holds_up_no_other() {
    in_namespace(|| {
        ip("link set lo up");
        let (a, b) = (socket("127.0.0.1:0"), socket("127.0.0.1:0"));
        let mut talker = Talker::new(b.local_addr(), 50, 0);
        talker.nowhere = Some("10.99.0.1:1044".parse().unwrap());
        let mut outbox = Outbox::new();
        let now = Instant::now();
        for _ in 0..50 {
            assert_eq!(outbox.send(&a, &mut talker, now), Flow::Sent);
        }
        let tally = outbox.tally();
        assert_eq!((tally.sent, tally.refused), (50 * 10 * 1300, 50));
        assert_eq!(outbox.send(&a, &mut talker, now), Flow::Idle);
        // Where nothing gets through it rests.
        let mut lost = Talker::new("10.99.0.2:1044".parse().unwrap(), 2, 0);
        assert!(matches!(outbox.send(&a, &mut lost, now), Flow::Held(_)));
        assert!(matches!(outbox.send(&a, &mut lost, now), Flow::Held(_)));
        assert_eq!(lost.left, 1);
    });
}

/// Has waited too long for somebody to speak, and notes what it hears of until its time is up.
#[derive(Default)]
struct Patient {
    heard: Vec<&'static str>,
}

impl Machine for Patient {
    type Event = ();

    fn handle_datagram(&mut self, _: Instant, _: SocketAddr, _: Ecn, _: &mut [u8]) {
        self.heard.push("datagram");
    }

    fn held_up(&mut self, _: Instant) {
        self.heard.push("hold-up");
    }

    fn handle_timeout(&mut self, _: Instant) {
        self.heard.push("timeout");
    }

    fn poll_event(&mut self) -> Option<()> {
        None
    }

    fn poll_transmit(&mut self, _: Instant, _: &mut Batch) {}

    fn poll_timeout(&self) -> Option<Instant> {
        Instant::now().checked_sub(Duration::from_secs(1))
    }

    fn stop(&mut self, _: Instant) {}

    fn is_over(&self) -> bool {
        self.heard.contains(&"timeout")
    }
}

/// Tells what it has heard of, one after another.
struct Heard(mpsc::Sender<Vec<&'static str>>);

impl Watcher<Patient> for Heard {
    fn event(&mut self, _: Instant, _: &mut Patient, _: &Socket, (): ()) {}

    fn turn(&mut self, _: Instant, machine: &Patient) {
        let mut heard = machine.heard.clone();
        heard.dedup();
        let _ = self.0.send(heard);
    }
}

/// A disk that writes for longer than a sender may be silent is no silent sender.
#[test]
fn what_came_while_we_were_held_up_is_heard_before_deadlines_are_judged() {
    in_namespace(|| {
        ip("link set lo up");
        let judged = &["hold-up", "timeout"][..];
        for (spoken, expected) in [
            (true, [&["datagram"], judged].concat()),
            (false, judged.to_vec()),
        ] {
            let (a, b) = (socket("127.0.0.1:0"), socket("127.0.0.1:0"));
            if spoken {
                let mut talker = Talker::new(a.local_addr(), 1, 0);
                Outbox::new().send(&b, &mut talker, Instant::now());
            }
            let (tell, told) = mpsc::channel();
            let control = Control::new().unwrap();
            let driver = Driver::new(a, control, Patient::default(), Heard(tell));
            driver.run().unwrap();
            assert_eq!(told.iter().last(), Some(expected));
        }
    });
}

#[test]
fn a_sleeping_driver_can_be_stopped() {
    in_namespace(|| {
        let to = "127.0.0.1:9".parse().unwrap();
        let (control, ended, told) = drive(socket("0.0.0.0:0"), Talker::new(to, 0, 1));
        told.recv_timeout(PATIENCE).unwrap();
        control.stop();
        ended.recv_timeout(PATIENCE).unwrap();
    });
}

/// A whole session with files on disk, over multicast.
mod session {
    use std::fs;
    use std::path::PathBuf;

    use rand::SeedableRng;
    use rand::rngs::StdRng;
    use uftp_net::find_interface;
    use uftp_proto::wire::Version;
    use uftp_proto::{GroupId, Instance, Uid, WireTime};
    use uftp_session::Clock;
    use uftp_session::receiver::{Receiver, ReceiverConfig, ReceiverEvent, ReceiverEventKind};
    use uftp_session::sender::{Outcome, Sender, SenderEvent};

    use super::*;
    use crate::options::uftp::Args;
    use crate::options::{Parsed, parse};
    use crate::source::DiskSource;
    use crate::store::{DiskStore, StoreConfig};

    struct Outcomes(mpsc::Sender<Outcome>);

    impl Watcher<Sender<DiskSource>> for Outcomes {
        fn event(
            &mut self,
            _: Instant,
            _: &mut Sender<DiskSource>,
            _: &Socket,
            event: SenderEvent,
        ) {
            if let SenderEvent::Finished(outcome) = event {
                self.0.send(outcome).unwrap();
            }
        }
    }

    struct Joiner;

    impl Watcher<Daemon<DiskStore>> for Joiner {
        fn event(
            &mut self,
            _: Instant,
            _: &mut Daemon<DiskStore>,
            socket: &Socket,
            event: ReceiverEvent,
        ) {
            if let ReceiverEventKind::Join(group) = event.kind {
                socket.join(group, &find_interface("lo").unwrap()).unwrap();
            }
        }
    }

    fn receive(dest: PathBuf) -> (Control, mpsc::Receiver<Tally>) {
        let socket = socket("0.0.0.0:1044");
        let group: IpAddr = "230.4.4.1".parse().unwrap();
        socket.join(group, &find_interface("lo").unwrap()).unwrap();
        let config = ReceiverConfig::new(Uid(5));
        let now = Instant::now();
        let store = DiskStore::open(&StoreConfig {
            dest_dirs: vec![dest],
            ..StoreConfig::default()
        })
        .unwrap();
        let rng = StdRng::seed_from_u64(1);
        let receiver = Receiver::new(config, store, Clock::new(now, WireTime(0)), rng, now);
        let control = Control::new().unwrap();
        let driver = Driver::new(socket, control.clone(), Daemon::new(receiver), Joiner);
        let (done, ended) = mpsc::channel();
        thread::spawn(move || done.send(driver.run().unwrap()));
        (control, ended)
    }

    fn send(words: &[&str]) -> Outcome {
        let Ok(Parsed::Run(args)) = parse::<Args>(words.iter().map(Into::into)) else {
            panic!("refused");
        };
        let mut rng = StdRng::seed_from_u64(2);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let job = runtime.unwrap().block_on(args.validate(&mut rng)).unwrap();
        assert_eq!(
            (
                job.config.version,
                job.config.instance,
                job.config.clients.as_ref().map(Vec::len)
            ),
            (Version::V5, Instance(0), Some(1))
        );
        assert_ne!(job.config.group, GroupId(0));
        let now = Instant::now();
        let source = DiskSource::new(job.files, job.source, None);
        let machine = Sender::new(job.config, source, Clock::new(now, WireTime(0)), rng, now);
        let (told, outcomes) = mpsc::channel();
        let socket = Socket::bind(&job.socket).unwrap();
        let driver = Driver::new(socket, Control::new().unwrap(), machine, Outcomes(told));
        thread::spawn(move || driver.run().unwrap());
        outcomes.recv_timeout(PATIENCE).unwrap()
    }

    #[test]
    fn files_arrive_and_the_receiver_goes_on_until_it_is_stopped() {
        in_namespace(|| {
            ip("link set lo up multicast on");
            ip("route add 224.0.0.0/4 dev lo");
            let temp = tempfile::tempdir().unwrap();
            let (dest, tree) = (temp.path().join("dest"), temp.path().join("tree"));
            fs::create_dir(&dest).unwrap();
            fs::create_dir_all(tree.join("empty")).unwrap();
            let content: Vec<u8> = (0..700_000_u32).map(|i| (i * 31 / 8) as u8).collect();
            fs::write(tree.join("file"), &content).unwrap();
            fs::write(tree.join("nothing"), b"").unwrap();
            let (control, ended) = receive(dest.clone());
            let tree = tree.to_str().unwrap();
            for name in ["once", "twice"] {
                let words = [
                    "uftp", "-I", "lo", "-H", "0x5", "-R", "200000", "-D", name, tree,
                ];
                assert_eq!(send(&words), Outcome::Success);
                assert_eq!(fs::read(dest.join(name).join("file")).unwrap(), content);
                assert_eq!(fs::read(dest.join(name).join("nothing")).unwrap(), b"");
                assert!(dest.join(name).join("empty").is_dir());
            }
            control.stop();
            assert!(ended.recv_timeout(PATIENCE).unwrap().sent > 0);
        });
    }
}
