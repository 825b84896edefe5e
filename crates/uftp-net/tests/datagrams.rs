//! Datagrams out and in again, by every way the kernel offers.
#![allow(clippy::unwrap_used, clippy::expect_used)] // also in what the tests call

mod common;

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::Instant;

use common::*;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrIn6, recvmsg, setsockopt, sockopt};
use uftp_net::{Interest, Offload, RecvBatch, Socket, SocketConfig, Wake};
use uftp_proto::Ecn;

#[test]
fn multicast_over_both_families_with_every_offload() {
    in_namespace(|| {
        for (wildcard, to, from) in [
            ("0.0.0.0:0", "230.4.4.1", "127.0.0.1"),
            ("[::]:0", "ff15::4:4:1", "::1"),
        ] {
            for sending in OFFLOADS {
                for receiving in OFFLOADS {
                    let receiver = socket(wildcard, receiving);
                    receiver.join(group(to), &lo()).unwrap();
                    let sender = socket(wildcard, sending);
                    let bytes = pattern(150 * 1328 + 5);
                    send_all(&sender, at(to, &receiver), 1328, &bytes);

                    let all = receive(&receiver, 151);
                    let case = format!("{to}, {sending:?} to {receiving:?}");
                    assert!(all.iter().all(|d| d.from == at(from, &sender)), "{case}");
                    assert!(all[..150].iter().all(|d| d.bytes.len() == 1328), "{case}");
                    let whole: Vec<_> = all.into_iter().flat_map(|d| d.bytes).collect();
                    assert!(whole == bytes, "{case}: bytes differ");
                    assert_silent(&receiver);
                }
            }
        }
    });
}

#[test]
fn an_ipv6_wildcard_speaks_ipv4_and_shows_plain_addresses() {
    in_namespace(|| {
        for offload in OFFLOADS {
            let dual = socket("[::]:0", offload);
            let other = socket("0.0.0.0:0", offload);
            let bytes = pattern(3 * 500);

            dual.join(group("230.4.4.1"), &lo()).unwrap();
            send_all(&other, at("230.4.4.1", &dual), 500, &bytes);
            for datagram in receive(&dual, 3) {
                assert_eq!(datagram.from, at("127.0.0.1", &other));
            }

            other.join(group("230.4.4.2"), &lo()).unwrap();
            let to = at("230.4.4.2", &other);
            assert_eq!(dual.send_run(to, Ecn::Ect0, 500, &bytes).unwrap(), 1500);
            for datagram in receive(&other, 3) {
                assert_eq!(datagram.from, at("127.0.0.1", &dual));
                assert_eq!(datagram.ecn, Ecn::Ect0);
            }
        }
    });
}

#[test]
fn an_ipv4_socket_says_that_it_cannot_send_to_ipv6() {
    in_namespace(|| {
        let sender = socket("127.0.0.1:0", Offload::Auto);
        let to = "[::1]:9".parse().unwrap();
        let error = sender.send_run(to, Ecn::NotEct, 1, b"x").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        let words = error.to_string();
        assert!(words.ends_with("speaks IPv4 only"), "{words}");
    });
}

#[test]
fn every_mark_is_received() {
    in_namespace(|| {
        for ip in ["127.0.0.1", "::1"] {
            for offload in OFFLOADS {
                let receiver = socket(&SocketAddr::new(group(ip), 0).to_string(), offload);
                let sender = socket(&SocketAddr::new(group(ip), 0).to_string(), offload);
                let marks = [Ecn::Ect0, Ecn::NotEct, Ecn::Ect1, Ecn::Ce];
                for ecn in marks {
                    let to = receiver.local_addr();
                    assert_eq!(sender.send_run(to, ecn, 600, &[7; 900]).unwrap(), 900);
                }
                let seen: Vec<_> = receive(&receiver, 8).iter().map(|d| d.ecn).collect();
                let sent: Vec<_> = marks.into_iter().flat_map(|ecn| [ecn; 2]).collect();
                assert_eq!(seen, sent, "{ip} {offload:?}");
            }
        }
    });
}

#[test]
fn the_code_point_survives_every_mark() {
    in_namespace(|| {
        for (receiver, wildcard) in [
            ("127.0.0.1:0", "0.0.0.0:0"),
            ("[::1]:0", "[::]:0"),
            ("127.0.0.1:0", "[::]:0"),
        ] {
            for offload in OFFLOADS {
                let receiver = UdpSocket::bind(receiver).unwrap();
                receiver.set_read_timeout(Some(PATIENCE)).unwrap();
                if receiver.local_addr().unwrap().is_ipv4() {
                    setsockopt(&receiver, sockopt::IpRecvTos, &true).unwrap();
                } else {
                    setsockopt(&receiver, sockopt::Ipv6RecvTClass, &true).unwrap();
                }
                let sender = Socket::bind(&SocketConfig {
                    dscp: 46,
                    offload,
                    ..SocketConfig::new(wildcard.parse().unwrap())
                })
                .unwrap();
                let to = receiver.local_addr().unwrap();
                for ecn in [Ecn::NotEct, Ecn::Ect0, Ecn::Ect1, Ecn::Ce, Ecn::NotEct] {
                    assert_eq!(sender.send_run(to, ecn, 10, &[0; 15]).unwrap(), 15);
                    for _ in 0..2 {
                        let byte = traffic_class(&receiver);
                        assert_eq!(byte, 46 << 2 | ecn.bits(), "{to} {offload:?} {ecn:?}");
                    }
                }
            }
        }
    });
}

/// The traffic class of the next datagram, read without our own code.
fn traffic_class(socket: &UdpSocket) -> u8 {
    use std::os::fd::AsRawFd;
    let mut space = nix::cmsg_space!(i32, i32);
    let mut byte = [0];
    let mut iov = [io::IoSliceMut::new(&mut byte)];
    let fd = socket.as_raw_fd();
    let message =
        recvmsg::<SockaddrIn6>(fd, &mut iov, Some(&mut space), MsgFlags::empty()).unwrap();
    let mut found = message.cmsgs().unwrap().filter_map(|c| match c {
        ControlMessageOwned::Ipv4Tos(byte) => Some(byte),
        ControlMessageOwned::Ipv6TClass(class) => u8::try_from(class).ok(),
        _ => None,
    });
    found.next().expect("a traffic class")
}

#[test]
fn a_run_comes_in_one_call_and_is_taken_apart_with_its_short_end() {
    in_namespace(|| {
        let receiver = socket("127.0.0.1:0", Offload::Auto);
        let sender = socket("127.0.0.1:0", Offload::Auto);
        assert_eq!(sender.transmission(), Offload::Auto);
        assert_eq!(receiver.reception(), Offload::Auto);
        let mut batch = RecvBatch::new();
        for (size, len, count) in [
            (1328, 48 * 1328, 48),
            (1328, 47 * 1328 + 1, 48),
            (1328, 48 * 1328 - 1, 48),
            (1328, 1328, 1),
            (1328, 77, 1),
            (8828, 7 * 8828, 7),
            (8828, 3 * 8828 + 100, 4),
            (30_000, 60_000, 2),
            (1, 64, 64),
            (1, 65, 65),
            (65_507, 65_507, 1),
        ] {
            let bytes = pattern(len);
            send_all(&sender, receiver.local_addr(), size, &bytes);
            let told = receive_once(&receiver, &mut batch);
            assert_eq!(told, Some(count), "{len} bytes by {size}");
            let cut: Vec<_> = batch.datagrams().map(|d| d.bytes.to_vec()).collect();
            let wanted: Vec<_> = bytes.chunks(size).map(<[u8]>::to_vec).collect();
            assert!(cut == wanted, "{len} bytes by {size}");
            assert_silent(&receiver);
        }
    });
}

#[test]
fn datagrams_may_be_changed_in_place() {
    in_namespace(|| {
        let receiver = socket("127.0.0.1:0", Offload::Auto);
        send_all(&receiver, receiver.local_addr(), 4, b"abcdefghij");
        let mut batch = RecvBatch::new();
        assert_eq!(receive_once(&receiver, &mut batch), Some(3));
        for datagram in batch.datagrams() {
            datagram.bytes.reverse();
        }
        let all: Vec<_> = batch.datagrams().map(|d| d.bytes.to_vec()).collect();
        assert_eq!(all, [&b"dcba"[..], b"hgfe", b"ji"]);
    });
}

#[test]
fn datagrams_beyond_the_mtu_go_in_fragments_and_small_runs_stay_runs() {
    in_namespace(|| {
        ip("link set lo mtu 1500");
        for (loopback, wildcard) in [("127.0.0.1", "0.0.0.0:0"), ("::1", "[::]:0")] {
            let receiver = socket(wildcard, Offload::Auto);
            let sender = socket(wildcard, Offload::Auto);
            let to = at(loopback, &receiver);
            for size in [8828, 9000, 8828, 1501] {
                let bytes = pattern(9 * size + 3);
                send_all(&sender, to, size, &bytes);
                let all = receive(&receiver, 10);
                let whole: Vec<_> = all.into_iter().flat_map(|d| d.bytes).collect();
                assert!(whole == bytes, "{loopback}, {size} bytes");
            }
            assert_eq!(sender.transmission(), Offload::Auto);

            send_all(&sender, to, 1328, &pattern(40 * 1328));
            let mut batch = RecvBatch::new();
            assert_eq!(receive_once(&receiver, &mut batch), Some(40));
        }
    });
}

#[test]
fn a_real_refusal_is_told_and_not_blamed_on_the_offload() {
    in_namespace(|| {
        let sender = socket("0.0.0.0:0", Offload::Auto);
        let nowhere = "203.0.113.1:9".parse().unwrap();
        for to in [nowhere, "127.0.0.1:0".parse().unwrap()] {
            let error = sender.send_run(to, Ecn::NotEct, 10, &[0; 100]).unwrap_err();
            assert_ne!(error.kind(), io::ErrorKind::WouldBlock, "{to}");
        }
        let to = "127.0.0.1:9".parse().unwrap();
        let error = sender.send_run(to, Ecn::NotEct, 65_508, &[0; 70_000]);
        assert_eq!(error.unwrap_err().raw_os_error(), Some(nix::libc::EMSGSIZE));
        let error = sender.send_run(to, Ecn::NotEct, 0, b"x").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert_eq!(sender.transmission(), Offload::Auto);

        let receiver = socket("127.0.0.1:0", Offload::Auto);
        send_all(&sender, receiver.local_addr(), 10, &[0; 100]);
        assert_eq!(receive_once(&receiver, &mut RecvBatch::new()), Some(10));
        assert_eq!(sender.send_run(to, Ecn::NotEct, 10, &[]).unwrap(), 0);
    });
}

#[test]
fn a_full_send_buffer_takes_part_of_a_run_then_none_then_makes_room() {
    in_namespace(|| {
        ip("link add left type veth peer name right");
        ip("link set right up");
        ip("link set left up");
        ip("addr add 10.77.0.1/24 dev left");
        for (offload, host) in OFFLOADS
            .into_iter()
            .zip(["10.77.0.7", "10.77.0.8", "10.77.0.9"])
        {
            let sender = Socket::bind(&SocketConfig {
                buffer_size: 16_000,
                offload,
                ..SocketConfig::new("0.0.0.0:0".parse().unwrap())
            })
            .unwrap();
            // Nobody tells the link address of `host`, so the kernel keeps what is sent there.
            let to = SocketAddr::new(group(host), 9);
            let bytes = pattern(200 * 1000);
            let taken = sender.send_run(to, Ecn::NotEct, 1000, &bytes).unwrap();
            assert!(
                taken < bytes.len() && taken.is_multiple_of(1000),
                "{offload:?}: {taken}"
            );
            let error = sender
                .send_run(to, Ecn::NotEct, 1000, &bytes[taken..])
                .unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "{offload:?}");

            let wake = Wake::new().unwrap();
            let wait = |until| {
                sender
                    .wait_for(Interest::SendOrReceive, &wake, until)
                    .unwrap()
            };
            assert!(!wait(Some(Instant::now())).writable, "{offload:?}");
            ip(&format!(
                "neigh replace {host} lladdr 02:00:00:00:00:09 dev left nud permanent"
            ));
            assert!(
                wait(Some(Instant::now() + PATIENCE)).writable,
                "{offload:?}"
            );
            assert!(
                sender
                    .send_run(to, Ecn::NotEct, 1000, &bytes[taken..])
                    .unwrap()
                    > 0
            );
            assert_eq!(sender.transmission(), offload);
        }
    });
}

#[test]
fn a_burst_of_mixed_sizes_arrives_in_order_and_intact() {
    in_namespace(|| {
        for offload in OFFLOADS {
            let receiver = Socket::bind(&SocketConfig {
                buffer_size: 128 << 20,
                offload,
                ..SocketConfig::new("127.0.0.1:0".parse().unwrap())
            })
            .unwrap();
            let sender = socket("127.0.0.1:0", offload);
            let runs = runs(20_000);
            for (size, bytes) in &runs {
                send_all(&sender, receiver.local_addr(), *size, bytes);
            }
            let mut sent = runs.iter().flat_map(|(size, bytes)| bytes.chunks(*size));
            for (i, datagram) in receive(&receiver, 20_000).iter().enumerate() {
                assert!(
                    Some(&datagram.bytes[..]) == sent.next(),
                    "{offload:?}, datagram {i}"
                );
            }
            assert_silent(&receiver);
        }
    });
}

/// `count` datagrams in runs of every length from 1 to 150, with and without a short end, and a
/// number in front of each datagram that has room for it.
fn runs(count: usize) -> Vec<(usize, Vec<u8>)> {
    let mut random = 20_000_u32;
    let mut draw = |below: usize| {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (random >> 8) as usize % below
    };
    let mut runs = Vec::new();
    let mut number = 0;
    while number < count {
        let size = 1 + draw(1500);
        let datagrams = (1 + draw(150)).min(count - number);
        let mut bytes = pattern(datagrams * size - draw(size));
        for datagram in bytes.chunks_mut(size) {
            let label = (number as u32).to_be_bytes();
            for (place, byte) in datagram.iter_mut().zip(label) {
                *place = byte;
            }
            number += 1;
        }
        runs.push((size, bytes));
    }
    runs
}
