//! What a socket is given when it is made, and the groups it joins.

mod common;

use common::*;
use socket2::SockRef;
use uftp_net::{Offload, Socket, SocketConfig, find_interface, interfaces};
use uftp_proto::Ecn;

#[test]
fn a_second_socket_on_a_port_is_refused_with_address_and_port() {
    in_namespace(|| {
        // Each on a port of its own: a program that another test is starting may hold what was
        // closed here until it is running.
        for (addr, port, first, second) in [
            ("127.0.0.1", 1044, "127.0.0.1:1044", "127.0.0.1:1044"),
            ("0.0.0.0", 1045, "0.0.0.0:1045", "0.0.0.0:1045"),
            ("::", 1046, "[::]:1046", "[::]:1046"),
            ("0.0.0.0", 1047, "[::]:1047", "0.0.0.0:1047"),
        ] {
            let _first = Socket::bind(&SocketConfig::new(first.parse().unwrap())).unwrap();
            let error = Socket::bind(&SocketConfig::new(second.parse().unwrap())).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!(
                    "cannot bind UDP address {addr} port {port}: Address already in use (os error 98)"
                )
            );
        }
    });
}

#[test]
fn an_address_of_another_host_is_refused() {
    in_namespace(|| {
        let error = Socket::bind(&SocketConfig::new("192.0.2.1:7".parse().unwrap())).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot bind UDP address 192.0.2.1 port 7: Cannot assign requested address (os error 99)"
        );
    });
}

#[test]
fn numbers_out_of_range_are_refused() {
    let config = SocketConfig::new("127.0.0.1:0".parse().unwrap());
    let ttl = Socket::bind(&SocketConfig {
        ttl: 0,
        ..config.clone()
    });
    assert_eq!(
        ttl.unwrap_err().to_string(),
        "TTL 0 is out of range: expected 1 to 255"
    );
    let dscp = Socket::bind(&SocketConfig { dscp: 64, ..config });
    assert_eq!(
        dscp.unwrap_err().to_string(),
        "DSCP 64 is out of range: expected 0 to 63"
    );
}

#[test]
fn any_range_can_be_given_to_multicast_of_both_families() {
    in_namespace(|| {
        for ttl in [1, 64, 127, 128, 254, 255] {
            let socket = Socket::bind(&SocketConfig {
                ttl,
                multicast_interface: Some(lo()),
                ..SocketConfig::new("[::]:0".parse().unwrap())
            })
            .unwrap();
            let options = SockRef::from(&socket);
            assert_eq!(options.multicast_ttl_v4().unwrap(), ttl.into());
            assert_eq!(options.multicast_hops_v6().unwrap(), ttl.into());
            assert_eq!(options.multicast_if_v6().unwrap(), lo().index);
            assert!(options.multicast_loop_v4().unwrap());
            assert!(options.multicast_loop_v6().unwrap());
            assert!(options.broadcast().unwrap());
            assert!(!options.reuse_address().unwrap());
        }
    });
}

#[test]
fn the_kernel_grants_root_any_buffer_and_says_so() {
    in_namespace(|| {
        let mut config = SocketConfig::new("127.0.0.1:0".parse().unwrap());
        let system = Socket::bind(&config).unwrap().granted_buffers();
        assert!(system.recv > 0 && system.send > 0);
        for size in [300_000, 64 << 20] {
            config.buffer_size = size;
            let granted = Socket::bind(&config).unwrap().granted_buffers();
            assert_eq!((granted.recv, granted.send), (size, size));
        }
    });
}

#[test]
fn joining_twice_counts_and_the_last_leave_ends_it() {
    in_namespace(|| {
        for (bind, to, own) in [
            ("0.0.0.0:0", "230.4.4.1", "127.0.0.1"),
            ("[::]:0", "ff15::4", "::1"),
            ("[::]:0", "230.4.4.1", "127.0.0.1"),
        ] {
            let receiver = socket(bind, Offload::Auto);
            let sender = socket(bind, Offload::Auto);
            // The second datagram comes in any case, and after the first.
            let heard = || {
                send_all(&sender, at(to, &receiver), 1, b"x");
                send_all(&sender, at(own, &receiver), 1, b".");
                let heard = receive_until(&receiver, b".").len() - 1;
                assert_silent(&receiver);
                heard
            };
            assert_eq!(heard(), 0, "{to} before the join");
            receiver.join(group(to), &lo()).unwrap();
            assert_eq!(heard(), 1, "{to} joined");
            receiver.join(group(to), &lo()).unwrap();
            assert_eq!(heard(), 1, "{to} joined twice");
            receiver.leave(group(to), &lo()).unwrap();
            assert_eq!(heard(), 1, "{to} left once");
            receiver.leave(group(to), &lo()).unwrap();
            assert_eq!(heard(), 0, "{to} left");
            receiver.leave(group(to), &lo()).unwrap();
            receiver.join(group(to), &lo()).unwrap();
            assert_eq!(heard(), 1, "{to} joined anew");
        }
    });
}

#[test]
fn a_group_that_only_another_socket_has_joined_is_not_heard() {
    in_namespace(|| {
        for (bind, to) in [("0.0.0.0:0", "230.4.4.1"), ("[::]:0", "ff15::4")] {
            let (member, stranger) = (socket(bind, Offload::Auto), socket(bind, Offload::Auto));
            member.join(group(to), &lo()).unwrap();
            send_all(&member, at(to, &stranger), 1, b"x");
            assert_silent(&stranger);
        }
    });
}

#[test]
fn a_source_join_lets_only_that_sender_through() {
    in_namespace(|| {
        ip("-6 addr add fd77::9/128 dev lo nodad");
        for (bind, to, sender, other) in [
            ("0.0.0.0:0", "232.4.4.1", "127.0.0.1", "127.0.0.9"),
            ("[::]:0", "232.4.4.1", "127.0.0.1", "127.0.0.9"),
            ("[::]:0", "ff35::4", "::1", "fd77::9"),
        ] {
            let receiver = socket(bind, Offload::Auto);
            let [wanted, unwanted] = [sender, other].map(|ip| {
                let bind = std::net::SocketAddr::new(group(ip), 0).to_string();
                socket(&bind, Offload::Auto)
            });
            let send_both = || {
                send_all(&unwanted, at(to, &receiver), 1, b"n");
                send_all(&wanted, at(to, &receiver), 1, b"y");
            };
            for _ in 0..2 {
                receiver
                    .join_source(group(to), group(sender), &lo())
                    .unwrap();
            }
            send_both();
            let all = receive(&receiver, 1);
            assert_eq!(all[0].from, at(sender, &wanted));
            assert_silent(&receiver);

            receiver
                .join_source(group(to), group(other), &lo())
                .unwrap();
            send_both();
            assert_eq!(receive(&receiver, 2)[1].bytes, b"y");

            for _ in 0..2 {
                receiver
                    .leave_source(group(to), group(sender), &lo())
                    .unwrap();
            }
            send_both();
            assert_eq!(receive(&receiver, 1)[0].bytes, b"n");
            assert_silent(&receiver);
        }
    });
}

#[test]
fn what_cannot_be_joined_is_refused_and_says_why() {
    in_namespace(|| {
        let v4 = socket("0.0.0.0:0", Offload::Auto);
        let v6 = socket("[::1]:0", Offload::Auto);
        for (error, message) in [
            (
                v4.join(group("10.0.0.1"), &lo()),
                "cannot join 10.0.0.1 on lo: it is no multicast address",
            ),
            (
                v4.join(group("ff15::1"), &lo()),
                "cannot join ff15::1 on lo: the socket speaks IPv4 only",
            ),
            (
                v6.join(group("230.4.4.1"), &lo()),
                "cannot join 230.4.4.1 on lo: the socket speaks IPv6 only",
            ),
            (
                v4.join_source(group("232.4.4.1"), group("::1"), &lo()),
                "cannot join 232.4.4.1 on lo: its sender's address is of the other family",
            ),
        ] {
            assert_eq!(error.unwrap_err().to_string(), message);
        }
        let mut gone = lo();
        gone.name = "gone".to_owned();
        gone.index = 4711;
        let error = v4.join(group("230.4.4.1"), &gone).unwrap_err().to_string();
        let start = "cannot join multicast group 230.4.4.1 on gone: ";
        assert!(error.starts_with(start), "{error}");
    });
}

#[test]
fn too_many_groups_name_the_limit() {
    in_namespace(|| {
        let receiver = socket("0.0.0.0:0", Offload::Auto);
        let error = (1..=255)
            .find_map(|i| receiver.join([230, 1, 1, i].into(), &lo()).err())
            .expect("a limit");
        let error = error.to_string();
        assert!(error.contains("net.ipv4.igmp_max_memberships"), "{error}");
    });
}

#[test]
fn too_many_senders_of_a_group_name_the_limit() {
    in_namespace(|| {
        for (bind, channel, sender, limit) in [
            ("0.0.0.0:0", "232.1.1.1", "10.0.0.", "igmp_max_msf"),
            ("[::]:0", "ff3e::8000:1", "fd00::", "net.ipv6.mld_max_msf"),
        ] {
            let receiver = socket(bind, Offload::Auto);
            let error = (1..=200)
                .map(|i| group(&format!("{sender}{i}")))
                .find_map(|sender| receiver.join_source(group(channel), sender, &lo()).err())
                .expect("a limit");
            assert!(error.to_string().contains(limit), "{error}");
        }
    });
}

#[test]
fn multicast_carries_the_address_the_interface_was_named_by() {
    in_namespace(|| {
        ip("addr add 10.77.0.1/32 dev lo");
        ip("addr add 10.77.0.2/32 dev lo");
        let receiver = socket("0.0.0.0:0", Offload::Auto);
        receiver.join(group("230.4.4.1"), &lo()).unwrap();
        for address in ["10.77.0.2", "10.77.0.1"] {
            let sender = Socket::bind(&SocketConfig {
                multicast_interface: Some(find_interface(address).unwrap()),
                ..SocketConfig::new("0.0.0.0:0".parse().unwrap())
            })
            .unwrap();
            let to = at("230.4.4.1", &receiver);
            assert_eq!(sender.send_run(to, Ecn::NotEct, 1, b"x").unwrap(), 1);
            assert_eq!(receive(&receiver, 1)[0].from, at(address, &sender));
        }
    });
}

#[test]
fn the_interfaces_of_the_host_are_listed_and_found() {
    in_namespace(|| {
        ip("link add left type veth peer name right");
        ip("addr add 10.77.0.1/24 brd + dev left");
        ip("addr add 10.77.0.2/24 dev left label left:1");
        ip("-6 addr add fd77::1/64 dev left nodad");
        ip("link set left up");

        let list = interfaces().unwrap();
        let names: Vec<_> = list.iter().map(|i| i.name.as_str()).collect();
        assert!(names.starts_with(&["lo"]), "{names:?}");
        assert_eq!(names.iter().filter(|n| n.starts_with("left")).count(), 1);
        let lo = &list[0];
        assert!(lo.loopback && lo.up);
        assert_eq!(lo.addrs, [group("127.0.0.1"), group("::1")]);
        let right = list.iter().find(|i| i.name == "right").unwrap();
        assert!(!right.loopback && !right.up && right.multicast && right.addrs.is_empty());

        let left = find_interface("left").unwrap();
        let wanted = ["10.77.0.1", "10.77.0.2", "fd77::1"].map(group);
        assert_eq!(left.addrs[..3], wanted);
        assert!(left.up && left.multicast && !left.loopback);
        let all = |addr| left.broadcasts_to(group(addr));
        assert!(all("10.77.0.255") && all("255.255.255.255"));
        assert!(!all("10.77.0.1") && !all("10.77.1.255") && !all("fd77::1"));
        assert_eq!(find_interface(&left.index.to_string()).unwrap(), left);
        assert_eq!(find_interface("left/6").unwrap().addrs[0], wanted[2]);
        assert_eq!(find_interface("left/4").unwrap().addrs, wanted[..2]);
        for address in wanted {
            let found = find_interface(&address.to_string()).unwrap();
            assert_eq!((found.index, found.addrs), (left.index, vec![address]));
        }
        // To the resolver a name like others, but one that it knows without asking anybody.
        assert_eq!(find_interface("127.1").unwrap().name, "lo");
        let error = find_interface("no.such.host.invalid")
            .unwrap_err()
            .to_string();
        let start = "invalid name/address no.such.host.invalid: ";
        assert!(error.starts_with(start), "{error}");
    });
}
