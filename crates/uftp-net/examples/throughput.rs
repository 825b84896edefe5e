//! What the offload is worth: multicast from one network namespace to another over a veth pair,
//! for every combination of the two sides' offload and two datagram sizes.
//!
//! ```text
//! cargo run --release -p uftp-net --example throughput [SECONDS PER ROW]
//! ```
//!
//! Needs root and iproute2; no datagram leaves the namespaces. The sender keeps at most
//! [`WINDOW`] bytes ahead of the receiver, so that nothing is lost and the slower side sets the
//! pace. On veth most of the kernel's receiving work is done in, and charged to, the sender's
//! system call.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a measurement that fails may say so rudely

use std::net::SocketAddr;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, unshare};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use nix::unistd::gettid;
use uftp_net::{Interest, Offload, RecvBatch, Socket, SocketConfig, Wake, find_interface};
use uftp_proto::Ecn;

const GROUP: [u8; 4] = [230, 5, 5, 1];
const PORT: u16 = 1044;
const OFFLOADS: [Offload; 3] = [Offload::Plain, Offload::Batched, Offload::Auto];
const SEGMENT_SIZES: [usize; 2] = [1328, 8828];
/// Bytes handed over at once.
const RUN: usize = 64_000;
/// Bytes under way at most.
const WINDOW: u64 = 4 << 20;
const BUFFER: usize = 32 << 20;
/// A window that does not move for so long has lost something.
const STALL: Duration = Duration::from_secs(1);

fn main() {
    let seconds = std::env::args()
        .nth(1)
        .map_or(1.0, |s| s.parse().expect("seconds"));
    let duration = Duration::from_secs_f64(seconds);
    let link = Arc::new(Link {
        received: AtomicU64::new(0),
        moved: Wake::new().unwrap(),
        stop: Wake::new().unwrap(),
    });
    let (jobs, todo) = mpsc::channel();
    let (reports, done) = mpsc::channel();

    unshare(CloneFlags::CLONE_NEWNET).expect("root");
    ip("link add near mtu 9000 type veth peer name far mtu 9000");
    let receiver = thread::spawn({
        let link = link.clone();
        move || receive_all(&link, &todo, &reports)
    });
    let Report::Ready(thread) = done.recv().unwrap() else {
        return;
    };
    ip(&format!("link set far netns {thread}"));
    ip("addr add 10.9.0.1/24 dev near");
    ip("link set near up");

    println!("datagram  sending       receiving      MB/s  CPU s/GB: sender  receiver  lost");
    for segment_size in SEGMENT_SIZES {
        for sending in OFFLOADS {
            for receiving in OFFLOADS {
                jobs.send(receiving).unwrap();
                let Ok(Report::Ready(_)) = done.recv() else {
                    return;
                };
                let sent = send(&link, sending, segment_size, duration);
                link.stop.wake();
                let Ok(Report::Received(far)) = done.recv() else {
                    return;
                };
                println!(
                    "{segment_size:8}  {:12}  {:12} {:6.0} {:17.2} {:9.2} {:5}",
                    format!("{sending:?}"),
                    format!("{receiving:?}"),
                    far.bytes as f64 / 1e6 / sent.elapsed.as_secs_f64(),
                    sent.cpu_per_gb(),
                    far.cpu_per_gb(),
                    (sent.bytes - far.bytes) / segment_size as u64,
                );
            }
        }
    }
    drop(jobs);
    receiver.join().expect("the receiver");
}

/// What both sides know of each other.
struct Link {
    received: AtomicU64,
    moved: Wake,
    stop: Wake,
}

enum Report {
    /// From this thread.
    Ready(i32),
    Received(Work),
}

/// What one side did.
struct Work {
    bytes: u64,
    elapsed: Duration,
    cpu: Duration,
}

impl Work {
    fn cpu_per_gb(&self) -> f64 {
        self.cpu.as_secs_f64() / (self.bytes as f64 / 1e9)
    }
}

fn send(link: &Link, offload: Offload, segment_size: usize, duration: Duration) -> Work {
    let socket = Socket::bind(&SocketConfig {
        multicast_interface: Some(find_interface("near").unwrap()),
        buffer_size: BUFFER,
        offload,
        ..SocketConfig::new(SocketAddr::from(([0; 4], 0)))
    })
    .unwrap();
    let to = SocketAddr::from((GROUP, PORT));
    let run = vec![0x5a; RUN / segment_size * segment_size];
    let (start, cpu) = (Instant::now(), cpu());
    let mut bytes = 0;
    while start.elapsed() < duration {
        let received = link.received.load(Ordering::Acquire);
        if bytes - received.min(bytes) > WINDOW {
            let ready = socket
                .wait(&link.moved, Some(Instant::now() + STALL))
                .unwrap();
            if !ready.woken && link.received.load(Ordering::Acquire) == received {
                break;
            }
            continue;
        }
        match socket.send_run(to, Ecn::NotEct, segment_size, &run) {
            Ok(sent) => bytes += sent as u64,
            Err(error) => {
                assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock, "{error}");
                socket
                    .wait_for(Interest::SendOrReceive, &link.moved, None)
                    .unwrap();
            }
        }
    }
    assert_eq!(socket.transmission(), offload, "the kernel would not");
    Work {
        bytes,
        elapsed: start.elapsed(),
        cpu: self::cpu() - cpu,
    }
}

fn receive_all(link: &Link, todo: &mpsc::Receiver<Offload>, reports: &mpsc::Sender<Report>) {
    unshare(CloneFlags::CLONE_NEWNET).expect("root");
    let ready = || reports.send(Report::Ready(gettid().as_raw())).unwrap();
    ready();
    while let Ok(offload) = todo.recv() {
        // By now the other thread has moved the link here.
        ip("addr replace 10.9.0.2/24 dev far");
        ip("link set far up");
        let socket = Socket::bind(&SocketConfig {
            buffer_size: BUFFER,
            offload,
            ..SocketConfig::new(SocketAddr::from(([0; 4], PORT)))
        })
        .unwrap();
        let far = find_interface("far").unwrap();
        socket.join(GROUP.into(), &far).unwrap();
        link.received.store(0, Ordering::Release);
        ready();
        reports
            .send(Report::Received(receive(link, &socket)))
            .unwrap();
    }
}

fn receive(link: &Link, socket: &Socket) -> Work {
    let mut batch = RecvBatch::new();
    let (start, cpu) = (Instant::now(), cpu());
    let (mut bytes, mut told, mut stopped) = (0, 0, false);
    loop {
        match socket.recv(&mut batch) {
            Ok(_) => bytes += batch.datagrams().map(|d| d.bytes.len() as u64).sum::<u64>(),
            Err(_) => {
                // The sender's last datagrams may come with its word that they were the last.
                let ready = socket.wait(&link.stop, stopped.then(Instant::now)).unwrap();
                if stopped && !ready.readable {
                    break;
                }
                stopped |= ready.woken;
            }
        }
        link.received.store(bytes, Ordering::Release);
        if bytes - told >= WINDOW / 4 {
            told = bytes;
            link.moved.wake();
        }
    }
    Work {
        bytes,
        elapsed: start.elapsed(),
        cpu: self::cpu() - cpu,
    }
}

/// Processor time of this thread so far.
fn cpu() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_THREAD).unwrap();
    let micros = (usage.user_time() + usage.system_time()).num_microseconds();
    Duration::from_micros(micros.unsigned_abs())
}

fn ip(args: &str) {
    let status = Command::new("ip").args(args.split_whitespace()).status();
    assert!(status.expect("iproute2").success(), "ip {args}");
}
