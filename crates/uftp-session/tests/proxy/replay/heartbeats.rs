//! Proxies that prove themselves by heartbeat, and those they prove themselves to.

use std::time::Duration;

use uftp_proto::crypto::{Fingerprint, PrivateKey};
use uftp_session::Heartbeats;
use uftp_session::proxy::Downstream;

use super::{Proxy, RSA1024, client_proxy, p256, p384, replay, server_proxy};
use crate::bench::{addr, server_role};

/// A client proxy that a server proxy knows by its key, and nothing else.
struct Acquaintance {
    name: &'static str,
    key: PrivateKey,
    print: &'static str,
}

/// On curves, and RSA.
fn acquaintances() -> [Acquaintance; 5] {
    let p256_print = "60:65:4F:1C:60:60:71:33:59:C9:C9:D6:C7:40:C5:A3:0D:E8:91:EF";
    let rsa = |pem: &[u8]| PrivateKey::from_pem(pem).unwrap();
    let of = |name, key, print| Acquaintance { name, key, print };
    [
        of("v4-heartbeat", p256(), p256_print),
        of(
            "v4-heartbeat-b",
            p384(),
            "B1:B1:C4:86:67:25:4A:4C:C3:D6:F7:02:03:73:B5:85:5F:97:0A:24",
        ),
        of(
            "v4-heartbeat-rsa",
            rsa(RSA1024),
            "92:89:B6:67:3C:20:92:6E:38:3C:38:9F:6A:ED:61:B5:61:2F:A8:C5",
        ),
        of("v5-heartbeat", p256(), p256_print),
        of(
            "v5-heartbeat-b",
            rsa(include_bytes!("../../vectors/rsa2048b.pem")),
            "AB:F3:03:78:39:7D:D8:2A:AF:03:6F:9C:72:F8:44:F7:41:7F:47:F8",
        ),
    ]
}

/// A client proxy that proves itself to the server proxy of the recordings.
fn proving(key: PrivateKey) -> Proxy {
    Proxy {
        key: Some(key),
        beats: Heartbeats {
            upstreams: vec![addr("10.66.3.2:1044")],
            interval: Duration::from_secs(2),
        },
        ..client_proxy()
    }
}

/// A server proxy whose downstream has to prove itself; `prover` speaks to it.
fn learning(print: &str, prover: PrivateKey) -> Proxy {
    let known: Fingerprint = print.parse().unwrap();
    Proxy {
        role: server_role(Downstream::Learned(known)),
        prover: Some(prover),
        ..server_proxy()
    }
}

#[test]
fn a_client_proxy_that_proves_itself_by_heartbeat() {
    for Acquaintance { name, key, .. } in acquaintances() {
        replay(name, &proving(key));
    }
}

#[test]
fn a_server_proxy_that_learns_its_downstream_by_heartbeat() {
    for Acquaintance { name, key, print } in acquaintances() {
        replay(name, &learning(print, key));
    }
}

/// The key is another than the one expected.
#[test]
fn a_proof_that_fails() {
    let print = "93:0B:97:B5:C8:04:8C:D6:B2:98:74:D9:28:1C:48:13:98:2E:00:A1";
    replay("v4-heartbeat-fail", &proving(p256()));
    replay("v4-heartbeat-fail", &learning(print, p256()));
}
