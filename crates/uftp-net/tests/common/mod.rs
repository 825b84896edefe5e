//! A network of one's own for each test.
#![allow(dead_code)] // every test file uses its part
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // only tests call this

use std::net::{IpAddr, SocketAddr};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, unshare};
use uftp_net::{Interface, Offload, RecvBatch, Socket, SocketConfig, Wake, find_interface};
use uftp_proto::Ecn;

/// Every way to the kernel and back.
pub(crate) const OFFLOADS: [Offload; 3] = [Offload::Auto, Offload::Batched, Offload::Plain];

/// How long a datagram on the loopback interface may take before a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Runs `test` in a thread that has a network namespace to itself, in which `lo` is up and
/// carries multicast. Threads it starts are in there too.
pub(crate) fn in_namespace(test: impl FnOnce() + Send + 'static) {
    let thread = thread::spawn(|| {
        if let Err(error) = unshare(CloneFlags::CLONE_NEWNET) {
            panic!("cannot make a network namespace ({error}): these tests must run as root");
        }
        ip("link set lo up multicast on");
        ip("route add 224.0.0.0/4 dev lo");
        // Of type "local": the kernel does not deliver IPv6 multicast on `lo` by any other.
        ip("-6 route add local ff00::/8 dev lo");
        test();
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// Calls `ip` of iproute2 in the thread's namespace.
pub(crate) fn ip(args: &str) {
    let output = Command::new("ip")
        .args(args.split_whitespace())
        .output()
        .expect("iproute2 must be installed");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {args}: {errors}");
}

pub(crate) fn lo() -> Interface {
    find_interface("lo").unwrap()
}

/// A socket at `bind` whose multicast goes out by `lo`, with room for what a test sends at once.
pub(crate) fn socket(bind: &str, offload: Offload) -> Socket {
    Socket::bind(&SocketConfig {
        multicast_interface: Some(lo()),
        buffer_size: 4 << 20,
        offload,
        ..SocketConfig::new(bind.parse().unwrap())
    })
    .unwrap()
}

/// The port of `socket` at `ip`.
pub(crate) fn at(ip: &str, socket: &Socket) -> SocketAddr {
    SocketAddr::new(group(ip), socket.local_addr().port())
}

pub(crate) fn group(ip: &str) -> IpAddr {
    ip.parse().unwrap()
}

/// A datagram, kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Received {
    pub(crate) from: SocketAddr,
    pub(crate) ecn: Ecn,
    pub(crate) bytes: Vec<u8>,
}

/// Waits for `count` datagrams.
pub(crate) fn receive(socket: &Socket, count: usize) -> Vec<Received> {
    let all = receive_while(socket, |all| all.len() < count);
    assert_eq!(all.len(), count);
    all
}

/// Waits for datagrams up to one with `last` in it.
pub(crate) fn receive_until(socket: &Socket, last: &[u8]) -> Vec<Received> {
    receive_while(socket, |all| all.last().is_none_or(|d| d.bytes != last))
}

fn receive_while(socket: &Socket, unfinished: impl Fn(&[Received]) -> bool) -> Vec<Received> {
    let mut batch = RecvBatch::new();
    let mut all = Vec::new();
    while unfinished(&all) {
        let told = receive_once(socket, &mut batch)
            .unwrap_or_else(|| panic!("only {} datagrams came", all.len()));
        let before = all.len();
        all.extend(batch.datagrams().map(|d| Received {
            from: d.from,
            ecn: d.ecn,
            bytes: d.bytes.to_vec(),
        }));
        assert_eq!(all.len() - before, told);
    }
    all
}

/// Waits for datagrams and receives once; `None` if none came in time.
pub(crate) fn receive_once(socket: &Socket, batch: &mut RecvBatch) -> Option<usize> {
    let deadline = Instant::now() + PATIENCE;
    let ready = socket.wait(&Wake::new().unwrap(), Some(deadline)).unwrap();
    ready.readable.then(|| socket.recv(batch).unwrap())
}

/// Fails if a datagram is waiting. What was sent on `lo` before is there at once.
pub(crate) fn assert_silent(socket: &Socket) {
    let error = socket.recv(&mut RecvBatch::new()).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
}

/// Bytes in which every place is telling.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i % 251) as u8 ^ (i >> 8) as u8).collect()
}

/// Sends all of a run; there must be room.
pub(crate) fn send_all(socket: &Socket, to: SocketAddr, segment_size: usize, bytes: &[u8]) {
    let sent = socket
        .send_run(to, Ecn::NotEct, segment_size, bytes)
        .unwrap();
    assert_eq!(sent, bytes.len());
}
