//! The sleep of a driver and what ends it.

mod common;

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use common::*;
use uftp_net::{Interest, Offload, Ready, RecvBatch, Wake};

const WOKEN: Ready = Ready {
    readable: false,
    writable: false,
    woken: true,
};

#[test]
fn a_call_from_another_thread_ends_the_wait() {
    in_namespace(|| {
        let socket = socket("127.0.0.1:0", Offload::Auto);
        let wake = Wake::new().unwrap();
        let (go, gone) = mpsc::channel();
        let caller = wake.clone();
        let thread = thread::spawn(move || {
            for () in gone {
                caller.wake();
            }
        });
        for _ in 0..100 {
            go.send(()).unwrap();
            assert_eq!(socket.wait(&wake, None).unwrap(), WOKEN);
        }
        drop(go);
        thread.join().unwrap();
    });
}

#[test]
fn a_call_before_the_wait_counts_once() {
    in_namespace(|| {
        let socket = socket("127.0.0.1:0", Offload::Auto);
        let wake = Wake::new().unwrap();
        wake.wake();
        wake.wake();
        assert_eq!(socket.wait(&wake, None).unwrap(), WOKEN);
        let ready = socket.wait(&wake, Some(Instant::now())).unwrap();
        assert_eq!(ready, Ready::default());
    });
}

#[test]
fn a_datagram_ends_the_wait_until_it_is_taken() {
    in_namespace(|| {
        let socket = socket("127.0.0.1:0", Offload::Auto);
        let wake = Wake::new().unwrap();
        send_all(&socket, socket.local_addr(), 1, b"x");
        for _ in 0..2 {
            let ready = socket.wait(&wake, None).unwrap();
            assert!(ready.readable && !ready.woken && !ready.writable);
        }
        wake.wake();
        let ready = socket.wait(&wake, None).unwrap();
        assert!(ready.readable && ready.woken);
        assert_eq!(socket.recv(&mut RecvBatch::new()).unwrap(), 1);
        let ready = socket.wait(&wake, Some(Instant::now())).unwrap();
        assert_eq!(ready, Ready::default());
    });
}

#[test]
fn the_instant_ends_the_wait_and_not_before() {
    in_namespace(|| {
        let socket = socket("127.0.0.1:0", Offload::Auto);
        let wake = Wake::new().unwrap();
        for micros in [0, 1, 150, 2_500, 30_000] {
            let until = Instant::now() + Duration::from_micros(micros);
            let ready = socket.wait(&wake, Some(until)).unwrap();
            assert_eq!(ready, Ready::default());
            assert!(Instant::now() >= until, "{micros} µs");
        }
        let past = Instant::now() - Duration::from_secs(1);
        assert_eq!(socket.wait(&wake, Some(past)).unwrap(), Ready::default());
    });
}

#[test]
fn room_to_send_ends_the_wait_if_asked_for() {
    in_namespace(|| {
        let socket = socket("127.0.0.1:0", Offload::Auto);
        let wake = Wake::new().unwrap();
        let ready = socket
            .wait_for(Interest::SendOrReceive, &wake, None)
            .unwrap();
        assert!(ready.writable && !ready.readable && !ready.woken);
    });
}
