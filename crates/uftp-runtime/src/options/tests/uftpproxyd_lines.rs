//! Command lines of `uftpproxyd`.

use std::time::Duration;

use uftp_session::proxy::{Downstream, Role};

use super::super::uftpproxyd::{Args, ProxyJob};
use super::*;

const PRINT: &str = "66:1E:C9:1D:FC:99:DB:60:B0:1A:F0:8F:CA:F4:28:27:A6:BE:94:BC";

fn read(line: &str) -> Args {
    match parse_as(words(line), Order::Permute) {
        Ok(Parsed::Run(args)) => args,
        other => panic!("{line}: {other:?}"),
    }
}

async fn job(line: &str) -> ProxyJob {
    let job = read(line).validate().await;
    job.unwrap_or_else(|failure| panic!("{line}: {failure}"))
}

#[test]
fn the_curve_may_follow_the_r() {
    for (line, foreground) in [
        ("uftpproxyd -r:secp384r1", false),
        ("uftpproxyd -dr:secp384r1", true),
        ("uftpproxyd -d -r -e secp384r1", true),
    ] {
        let args = read(line);
        assert!(args.response_proxy, "{line}");
        assert_eq!(args.process.foreground, foreground, "{line}");
        let curve = args.ecdh_curve.map(|c| c.to_string());
        assert_eq!(curve.as_deref(), Some("secp384r1"), "{line}");
    }
    for line in [
        "uftpproxyd -c -L -r:secp384r1",
        "uftpproxyd -c -L-r:secp384r1",
        "uftpproxyd -c -Lr:secp384r1",
        "uftpproxyd -c -- -r:secp384r1",
    ] {
        assert!(!read(line).response_proxy, "{line}");
    }
    let complaint = complaint_about("uftpproxyd -r:P-256");
    assert!(complaint.contains("Invalid curve"), "{complaint}");
}

#[tokio::test]
async fn one_role_and_its_particulars() {
    let lo = "-I lo -O lo -U 7";
    let server = job(&format!("uftpproxyd -s 10.0.0.9 -q 99 {lo}")).await;
    let fixed = Downstream::Fixed("10.0.0.9:99".parse().unwrap());
    assert!(
        matches!(server.config.role, Role::Server { downstream, admit_anybody: false } if downstream == fixed)
    );
    assert!(server.socket.bind.is_ipv4());
    assert_eq!(server.groups.len(), 1);

    let learned = job(&format!("uftpproxyd -s fp={PRINT} --admit-anybody {lo}")).await;
    let wanted = Downstream::Learned(PRINT.parse().unwrap());
    assert!(
        matches!(learned.config.role, Role::Server { downstream, admit_anybody: true } if downstream == wanted)
    );

    let over_v6 = job(&format!("uftpproxyd -s fd02::2 {lo}")).await;
    assert!(over_v6.socket.bind.is_ipv6());

    let client = job(&format!("uftpproxyd -c -p 99 -q 98 -M 239.1.1.1 {lo}")).await;
    assert!(
        matches!(client.config.role, Role::Client { port: 98, group } if group.to_string() == "239.1.1.1")
    );
    assert_eq!((client.config.port, client.config.uid), (99, Uid(7)));
    assert!(client.groups.is_empty());

    let response = job(&format!("uftpproxyd -r -p 99 -M 239.1.1.1 {lo}")).await;
    let Role::Response { publics, dh_key } = response.config.role else {
        panic!("not a response proxy");
    };
    assert_eq!(publics, response.groups);
    assert!(dh_key.is_some(), "receivers may want to agree on keys");
}

/// `-n` before another option is the flag of 3.x, by which no names are looked up.
#[tokio::test]
async fn what_only_3_has() {
    let usual = job("uftpproxyd -c -I lo -O lo").await;
    assert_eq!(usual.config.hold_percent, 50);
    let line = job("uftpproxyd -n -c -T 99 -dn -I lo -O lo").await;
    assert_eq!(line.config.hold_percent, 99);
    assert!(read("uftpproxyd -dn -T 10 -c").process.foreground);
    for (line, flag) in [
        ("uftpd -n -x 1", true),
        ("uftpd -dn -I lo", true),
        ("uftpd -n 5 -d", false),
    ] {
        match parse_as::<uftpd::Args>(words(line), Order::Permute) {
            Ok(Parsed::Run(args)) => assert_eq!(args.no_name_lookup, flag, "{line}"),
            other => panic!("{line}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn heartbeats_limits_and_sockets() {
    let line = "uftpproxyd -c -I lo -O lo -H 10.0.0.1,10.0.0.2:99 -H [fd02::2]:98,10.0.0.1 -h 5 -t 255 \
                -Q 0x2e -B 1000000 --max-clients 5 --max-sessions 6 -K ec:secp256r1";
    let job = job(line).await;
    let upstreams: Vec<_> = job
        .config
        .heartbeats
        .upstreams
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(upstreams, ["10.0.0.1:1044", "10.0.0.2:99", "[fd02::2]:98"]);
    assert_eq!(job.config.heartbeats.interval, Duration::from_secs(5));
    assert_eq!((job.socket.ttl, job.socket.dscp), (255, 0x2e));
    assert_eq!(job.socket.buffer_size, 1_000_000);
    assert!(job.socket.bind.is_ipv6(), "a heartbeat goes over IPv6");
    assert_eq!((job.config.max_clients, job.config.max_sessions), (5, 6));
    assert_eq!(job.config.security.keys.len(), 1);
}

#[test]
fn bad_values_are_named() {
    for (line, want) in [
        ("uftpproxyd -c -p 0", "Invalid port"),
        ("uftpproxyd -c -q 65536", "Invalid outgoing port"),
        ("uftpproxyd -c -t 256", "Invalid ttl"),
        ("uftpproxyd -c -Q 64", "Invalid dscp"),
        ("uftpproxyd -c -B 1", "Invalid buffer size"),
        ("uftpproxyd -c -N 30", "Invalid priority value"),
        ("uftpproxyd -c -U xyz", "Invalid UID"),
        (
            "uftpproxyd -c -h 0",
            "Invalid heartbeat interval: expected a number from 1 to 3600",
        ),
        ("uftpproxyd -c -h 3601", "Invalid heartbeat interval"),
        ("uftpproxyd -c -x -1", "Invalid log level"),
        ("uftpproxyd -c -g 0", "Invalid max log size"),
        ("uftpproxyd -c -n 1001", "Invalid max log count"),
        ("uftpproxyd -c -n abc", "Invalid max log count"),
        ("uftpproxyd -c -n -5", "Invalid max log count"),
        ("uftpproxyd -c -n", "option -n (--max-log-count) requires"),
        ("uftpproxyd -c -T 9", "Invalid hold percentage"),
        ("uftpproxyd -c -T 100", "Invalid hold percentage"),
        ("uftpproxyd -r -e P-256", "Invalid curve"),
        ("uftpproxyd -c --max-clients 0", "Invalid number of clients"),
        (
            "uftpproxyd -c --max-sessions 0",
            "Invalid number of sessions",
        ),
        (
            "uftpproxyd -s",
            "option -s (--server-proxy) requires an argument",
        ),
        ("uftpproxyd -z", "unknown option -z"),
    ] {
        let message = complaint_about(line);
        let want = format!("uftpproxyd: {want}");
        assert!(message.starts_with(&want), "{line}: {message}");
        assert!(
            message.contains("\nUsage: uftpproxyd [options] {-s DEST | -c | -r} "),
            "{message}"
        );
    }
}

#[tokio::test]
async fn what_is_meant_is_checked_as_a_whole() {
    for (line, code, want) in [
        ("uftpproxyd", 1, "Either -s, -c, or -r must be specified"),
        (
            "uftpproxyd -c -r",
            1,
            "Only one of -s, -c, -r may be specified",
        ),
        (
            "uftpproxyd -s a -c",
            1,
            "Only one of -s, -c, -r may be specified",
        ),
        (
            "uftpproxyd -s fp=zz -I lo",
            1,
            "Failed to parse downstream fingerprint",
        ),
        (
            "uftpproxyd -s 10.0.0.1:0 -I lo",
            1,
            "Invalid host name: 10.0.0.1:0",
        ),
        (
            "uftpproxyd -r -M 10.0.0.1 -I lo",
            2,
            "10.0.0.1 is not a multicast address",
        ),
        (
            "uftpproxyd -c -I nosuch0",
            1,
            "Invalid name/address nosuch0",
        ),
        (
            "uftpproxyd -c -I lo -O nosuch0",
            1,
            "Invalid name/address nosuch0",
        ),
        (
            "uftpproxyd -c -I lo -H 10.0.0.1:0",
            1,
            "Invalid heartbeat address 10.0.0.1:0",
        ),
        (
            "uftpproxyd -c -I lo -S /no/list",
            1,
            "Couldn't open server list /no/list",
        ),
        (
            "uftpproxyd -c -I lo -C /no/list",
            1,
            "Couldn't open client list /no/list",
        ),
        (
            "uftpproxyd -c -I lo -k /no/key",
            3,
            "/no/key: failed to open key file",
        ),
        (
            "uftpproxyd -c -I lo -k /no/a,/no/b -K ec:secp256r1",
            1,
            "1 keys are to be made",
        ),
        (
            "uftpproxyd -r -o -I lo",
            1,
            "SSM mode enabled but no server list",
        ),
        (
            "uftpproxyd -r -o -I lo -S /dev/null",
            1,
            "Invalid source specific multicast address: 230.4.4.1",
        ),
    ] {
        let failure = read(line).validate().await.err().unwrap();
        assert!(failure.message.starts_with(want), "{line}: {failure}");
        assert_eq!(failure.exit as u8, code, "{line}: {failure}");
    }
}
