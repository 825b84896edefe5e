//! A response proxy with one key for all sessions, at a receiver that hears some protocols only.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use uftp_proto::crypto::{Curve, Fingerprint, Hash, KeySpec, PrivateKey, SignatureForm};
use uftp_proto::quant::{GroupSizeCode, RttCode};
use uftp_proto::wire::{self, CcType, Function, Header, Message, ProxyKey, Version};
use uftp_proto::{GroupId, Instance, Seq, Uid};
use uftp_session::Refusal;
use uftp_session::receiver::{ReceiverConfig, ReceiverEventKind, ResponseProxy};

use super::support::{Bench, ME, Script, config};

/// A receiver that hears these, and its proxy.
fn bench(protocols: Option<&[Version]>) -> (Bench, SocketAddr) {
    bench_knowing(None, protocols)
}

/// The same, if it knows the key of the proxy.
fn bench_knowing(
    fingerprint: Option<Fingerprint>,
    protocols: Option<&[Version]>,
) -> (Bench, SocketAddr) {
    let addr = SocketAddr::from(([10, 66, 0, 20], 1044));
    let bench = Bench::with(ReceiverConfig {
        protocols: protocols.map(<[_]>::to_vec),
        response_proxy: Some(ResponseProxy { addr, fingerprint }),
        ..config()
    });
    (bench, addr)
}

/// In which protocols the proxy is asked for its keys in a minute.
fn asked(bench: &mut Bench, proxy: SocketAddr) -> BTreeSet<u8> {
    bench.pass(Duration::from_secs(60));
    let sent = std::mem::take(&mut bench.sent);
    let asked = |(_, to, packet): (_, _, Vec<u8>)| {
        let header = wire::decode_header(&packet).unwrap();
        assert_eq!((header.function, to), (Function::KeyReq, proxy));
        header.version.wire_id()
    };
    sent.into_iter().map(asked).collect()
}

/// The proxy's keys, with the proof that they are its own.
fn proxy_key(key: &PrivateKey, version: Version) -> Vec<u8> {
    let header = Header {
        version,
        function: Function::ProxyKey,
        seq: Seq(0),
        src: Uid(0xB3),
        group: GroupId(0),
        instance: Instance(0),
        grtt: RttCode::default(),
        group_size: GroupSizeCode::default(),
        dest: Uid::NONE,
    };
    let (nonce, form) = (7u32, SignatureForm::of(version));
    let signature = key.sign(Hash::Sha1, form, &[&nonce.to_be_bytes()]);
    let message = Message::ProxyKey(ProxyKey {
        nonce,
        key: key.public().blob().to_vec(),
        dh_key: Vec::new(),
        signature: signature.unwrap(),
    });
    let mut bytes = vec![0; 2000];
    let len = wire::encode(&header, &message, &mut bytes).unwrap();
    bytes.truncate(len);
    bytes
}

#[test]
fn is_asked_for_its_keys_in_protocols_that_are_heard() {
    let (three, four) = (Version::V3.wire_id(), Version::V4.wire_id());
    let cases: [(Option<&[Version]>, &[u8]); 5] = [
        (None, &[three, four]),
        (Some(&[Version::V4]), &[four]),
        (Some(&[Version::V3, Version::V3Sync]), &[three]),
        (Some(&[Version::V4, Version::V5]), &[four]),
        (Some(&[Version::V5]), &[]),
    ];
    for (heard, expected) in cases {
        let (mut bench, proxy) = bench(heard);
        let asked = asked(&mut bench, proxy);
        assert_eq!(Vec::from_iter(asked), expected, "{heard:?}");
    }
}

#[test]
fn is_believed_in_protocols_that_are_heard() {
    let key = PrivateKey::from_pem(include_bytes!("../vectors/rsa1024b.pem")).unwrap();
    let cases = [
        (Version::V4, Version::V4),
        (Version::V3, Version::V3),
        (Version::V4, Version::V3),
        (Version::V3, Version::V4),
        (Version::V5, Version::V4),
    ];
    for (heard, said) in cases {
        let (mut bench, proxy) = bench(Some(&[heard]));
        bench.feed(proxy, &mut proxy_key(&key, said));
        let received = ReceiverEventKind::ProxyKeyReceived(key.public().fingerprint());
        let believed = bench.happened().contains(&received);
        assert_eq!(believed, heard == said, "{heard:?} {said:?}");
        assert_eq!(
            bench.refused_only(Refusal::OtherVersion),
            u64::from(heard != said),
            "{heard:?} {said:?}"
        );
        // Who has answered is not asked any more.
        assert_eq!(
            asked(&mut bench, proxy).is_empty(),
            believed || heard == Version::V5
        );
    }
}

/// Not even in the proxy's own name does anybody without its key keep it from being heard where that
/// is known; else it takes more than few who try.
#[test]
fn is_heard_among_forgeries() {
    let key = PrivateKey::generate(KeySpec::Ec(Curve::DEFAULT)).unwrap();
    let another = PrivateKey::generate(KeySpec::Ec(Curve::DEFAULT)).unwrap();
    let received = ReceiverEventKind::ProxyKeyReceived(key.public().fingerprint());
    for (known, forged) in [(true, 1000), (false, 100)] {
        let print = known.then(|| key.public().fingerprint());
        let (mut bench, proxy) = bench_knowing(print, Some(&[Version::V4]));
        let mut packet = proxy_key(&another, Version::V4);
        // Of its signature.
        *packet.last_mut().unwrap() ^= 1;
        for _ in 0..forged {
            bench.feed(proxy, &mut packet.clone());
        }
        bench.feed(proxy, &mut proxy_key(&key, Version::V4));
        assert!(bench.happened().contains(&received), "known: {known}");
    }
}

/// More than that is told, once: the operator can give the fingerprint of the proxy's key.
#[test]
fn more_forgeries_than_are_looked_into_are_told() {
    let another = PrivateKey::generate(KeySpec::Ec(Curve::DEFAULT)).unwrap();
    let (mut bench, proxy) = bench_knowing(None, Some(&[Version::V4]));
    let mut packet = proxy_key(&another, Version::V4);
    *packet.last_mut().unwrap() ^= 1;
    for _ in 0..1000 {
        bench.feed(proxy, &mut packet.clone());
    }
    let flooded = ReceiverEventKind::ProxyKeysTooMany(proxy);
    let told = bench.happened();
    assert_eq!(told.iter().filter(|kind| **kind == flooded).count(), 1);
}

/// Deployed proxies take a report in front of a bitmap for part of it (behaviour-proxies §14.2). They pass on
/// CC_ACKs, which say the same.
#[test]
fn is_told_what_is_missing_without_a_report_on_congestion() {
    for through in [true, false] {
        let (mut bench, proxy) = match through {
            true => bench(Some(&[Version::V4])),
            false => (Bench::new(), Script::default().addr),
        };
        let mut script = Script {
            cc: CcType::TFMCC,
            ..Script::default()
        };
        bench.hear(&mut script, |s| s.announce(&[]));
        bench.hear(&mut script, |s| s.reg_conf(&[ME]));
        script.next_file(40);
        bench.hear(&mut script, |s| s.file_info(&[ME]));
        for block in [0, 2, 3] {
            bench.hear(&mut script, |s| s.seg(block));
        }
        bench.hear(&mut script, |s| s.done(&[ME]));
        bench.pass(Duration::from_millis(100));
        let mut told = Vec::new();
        for (_, to, packet) in &bench.sent {
            let header = wire::decode_header(packet).unwrap();
            let body = &packet[Header::LEN..];
            if let Ok(Message::Status(m)) = wire::decode(Version::V4, header.function, body) {
                told.push((*to, m.tfmcc.is_some(), m.naks.to_vec()));
            }
        }
        assert_eq!(told, [(proxy, !through, vec![2])]);
    }
}
