//! What is said of keys through proxies in protocol 5 comes again, cut, altered, from an earlier session
//! or under an attacker's key. Nobody misses anything for it, and nobody says more than without it.

use std::collections::HashSet;
use std::sync::Arc;

use rand::RngExt;
use rand::rngs::StdRng;
use uftp_proto::crypto::v5::{ProxyContext, ServerContext, proxy_key_input};
use uftp_proto::crypto::{Curve, Hash, KeySpec, PrivateKey, SignatureForm};
use uftp_proto::quant::{GroupSizeCode, RttCode};
use uftp_proto::wire::{self, ClientKey, Function, Header, KeyInfoAck, Message, ProxyKey, Version};
use uftp_proto::{GroupId, Instance, Seq, Uid};
use uftp_session::Refusal;
use uftp_session::receiver::ReceiverEventKind;
use uftp_sim::proxies::{Networks, Reach};
use uftp_sim::scenario::{receiver_addr, receiver_uid};
use uftp_sim::{Figure, seeds};

use super::proxies_attacker::{
    REACHES, figure, fresh, hops, play, play_losing, proxy, said, said_in_peace, withstands,
};
use super::proxies_encrypted::{bend, five};
use super::{lossy, ms, two_files};

/// PROXY_KEYs that are lost, so that what an attacker makes of them comes before any true one.
const LOST: usize = 2;

#[test]
fn bent_datagrams_break_no_proxy_of_protocol_5() {
    seeds::each(24, |seed| {
        let reach = REACHES[seed as usize % 3];
        let figure = Figure::new(seed, reach, 0, &[2, 1], two_files(60_000));
        let figure = figure.with(|f| (f.up, f.down) = (lossy(0.05), lossy(0.05)));
        bend(figure.with(five(seed % 4 < 2)).stage(), ms(4));
    });
}

/// To whom it went, and to everybody else.
#[test]
fn what_is_said_of_keys_comes_again() {
    seeds::each(12, |seed| {
        let reach = REACHES[seed as usize % 3];
        let mut known = HashSet::new();
        let mut again = 0;
        let networks = withstands(0, figure(seed, reach), |attacked, passed| {
            for seen in fresh(&mut known, passed) {
                if seen.is_answered() {
                    continue;
                }
                let Networks {
                    receivers,
                    proxies,
                    sender,
                    ..
                } = &attacked.networks;
                let everybody = [&receivers[..], proxies, &[*sender]];
                for to in everybody.concat() {
                    if to != seen.from {
                        attacked.inject(seen.from, to, &seen.bytes);
                        attacked.inject(seen.from, to, &seen.bytes);
                        again += 2;
                    }
                }
            }
        });
        assert!(again > 40, "{again}");
        let replayed = networks
            .proxy(0)
            .machine
            .counters()
            .refused(Refusal::Replayed);
        assert!(replayed > 0);
    });
}

#[test]
fn what_is_said_of_keys_comes_cut_and_altered() {
    seeds::each(12, |seed| {
        let reach = REACHES[seed as usize % 3];
        let mut known = HashSet::new();
        let mut rng: Option<StdRng> = None;
        let mut tried = 0;
        withstands(LOST, figure(seed, reach), |attacked, passed| {
            let rng = rng.get_or_insert_with(|| attacked.networks.world.rng(99));
            for seen in fresh(&mut known, passed) {
                if seen.is_answered() {
                    continue;
                }
                for len in 0..seen.bytes.len() {
                    attacked.inject(seen.from, seen.to, &seen.bytes[..len]);
                }
                // What follows a PROXY_KEY means nothing.
                if seen.function() != Function::ProxyKey {
                    let mut longer = seen.bytes.clone();
                    longer.extend([0; 4]);
                    attacked.inject(seen.from, seen.to, &longer);
                }
                // Wrong bits behind the header: another version, group or author is another matter.
                for _ in 0..3 {
                    let mut altered = seen.bytes.clone();
                    let at = rng.random_range(Header::LEN..altered.len());
                    altered[at] ^= 1 << rng.random_range(0..8);
                    attacked.inject(seen.from, seen.to, &altered);
                }
                tried += seen.bytes.len() + 4;
            }
        });
        assert!(tried > 1000, "{tried}");
    });
}

/// A session of the same name was recorded before: other keys, though the same people.
#[test]
fn what_was_said_of_keys_in_an_earlier_session_comes_again() {
    seeds::each(9, |seed| {
        let reach = REACHES[seed as usize % 3];
        let mut known = HashSet::new();
        let mut earlier = Vec::new();
        // A multiple of four later: all else is the same.
        play(figure(seed + 100, reach), |_, passed| {
            earlier.extend(fresh(&mut known, passed));
        });
        // REGISTER is not protected; whoever comes first is heard.
        earlier.retain(|seen| seen.function() != Function::Register);
        let of = |function| {
            earlier
                .iter()
                .filter(move |seen| seen.function() == function)
        };
        assert!(of(Function::ProxyKey).count() > 0 && of(Function::Encrypted).count() > 3);
        let mut step = 0;
        withstands(LOST, figure(seed, reach), |attacked, _| {
            step += 1;
            if step % 7 == 1 && step < 150 {
                for seen in &earlier {
                    attacked.inject(seen.from, seen.to, &seen.bytes);
                }
            }
        });
    });
}

/// An attacker with a key of his own.
struct Forger {
    key: Arc<PrivateKey>,
    dh_key: Arc<PrivateKey>,
}

impl Forger {
    fn new() -> Self {
        let key = || Arc::new(PrivateKey::generate(KeySpec::Ec(Curve::DEFAULT)).unwrap());
        Forger {
            key: key(),
            dh_key: key(),
        }
    }

    /// A message in the name of `src`, in the session of `header`.
    fn packet(header: &Header, src: Uid, message: &Message<'_>) -> Vec<u8> {
        let header = Header {
            function: message.function(),
            src,
            seq: Seq(0),
            ..*header
        };
        let mut packet = vec![0; 1500];
        let len = wire::encode(&header, message, &mut packet).unwrap();
        packet.truncate(len);
        packet
    }

    /// PROXY_KEY in the proxy's name, rightly signed by us with our key in it; and with the proxy's
    /// key, but our ECDH key or our signature.
    fn proxy_keys(&self, header: &Header, announce: &[u8], theirs: &ProxyKey) -> Vec<Vec<u8>> {
        let Ok(Message::Announce(message)) =
            wire::decode(Version::V5, Function::Announce, &announce[Header::LEN..])
        else {
            panic!("no ANNOUNCE");
        };
        let (ours, our_dh) = (self.key.public().blob(), self.dh_key.public().blob());
        let variants = [
            (ours.to_vec(), our_dh.to_vec()),
            (theirs.key.clone(), our_dh.to_vec()),
            (theirs.key.clone(), theirs.dh_key.clone()),
        ];
        let sign = |(key, dh_key)| {
            let mut forged = ProxyKey {
                nonce: 0,
                key,
                dh_key,
                signature: vec![0; self.key.public().signature_len()],
            };
            let unsigned = Message::ProxyKey(forged.clone());
            let packet = Self::packet(header, proxy(), &unsigned);
            let announced = wire::decode_header(announce).unwrap();
            let sc = ServerContext::new(&announced, &message, &announce[Header::LEN..]).unwrap();
            let pc = ProxyContext::new(proxy(), &forged, &packet[Header::LEN..]).unwrap();
            let form = SignatureForm::of(Version::V5);
            let signature = self
                .key
                .sign(Hash::Sha256, form, &proxy_key_input(&sc, &pc));
            forged.signature = signature.unwrap();
            Self::packet(header, proxy(), &Message::ProxyKey(forged))
        };
        variants.map(sign).to_vec()
    }

    /// CLIENT_KEY and KEYINFO_ACK, in the clear, in the name of `src`.
    fn client_words(&self, header: &Header, src: Uid) -> Vec<Vec<u8>> {
        let form = SignatureForm::of(Version::V5);
        let signature = self.key.sign(Hash::Sha256, form, &[b"UFTP 5, CLIENT_KEY"]);
        let client_key = Message::ClientKey(ClientKey {
            key: self.key.public().blob().to_vec(),
            signature: signature.unwrap(),
        });
        let ack = Message::KeyInfoAck(KeyInfoAck {
            verify_data: [7; 32].to_vec(),
        });
        [client_key, ack]
            .map(|message| Self::packet(header, src, &message))
            .to_vec()
    }
}

/// Before and after the true ones, which follow every announcement.
#[test]
fn a_foreign_key_does_not_stand_in_for_the_proxy() {
    for reach in [Reach::Tunnel, Reach::Response] {
        let forger = Forger::new();
        let mut announce: Option<Vec<u8>> = None;
        let mut true_key: Option<ProxyKey> = None;
        let (mut tried, mut step) = (0, 0);
        // What the true PROXY_KEY says is known from the first, which reaches nobody.
        let figure = figure(seeds::one(1), reach);
        let peace = said_in_peace(LOST, &figure);
        let attacked = play_losing(LOST, figure, |attacked, passed| {
            step += 1;
            for seen in passed {
                let header = wire::decode_header(&seen.bytes).unwrap();
                let message = wire::decode(Version::V5, header.function, &seen.bytes[16..]);
                match message {
                    Ok(Message::Announce(_)) => {
                        announce.get_or_insert(seen.bytes);
                    }
                    Ok(Message::ProxyKey(key)) => {
                        true_key.get_or_insert(key);
                    }
                    _ => {}
                }
            }
            let (Some(announce), Some(theirs)) = (&announce, &true_key) else {
                return;
            };
            if step % 10 == 0 && tried < 15 {
                let header = wire::decode_header(announce).unwrap();
                let (sender, proxy) = (attacked.networks.sender, attacked.networks.proxies[0]);
                for packet in forger.proxy_keys(&header, announce, theirs) {
                    for to in attacked.networks.receivers.clone() {
                        attacked.inject_from(receiver_addr(77), to, &packet);
                    }
                    attacked.inject(proxy, sender, &packet);
                    attacked.inject(sender, proxy, &packet);
                    tried += 1;
                }
            }
        });
        attacked.assert_unimpressed(peace, 0);
        assert!(tried >= 15, "{reach:?}: {tried}");
        let rejected =
            |kind: &&ReceiverEventKind| matches!(kind, ReceiverEventKind::ProxyKeyRejected(_));
        let before = attacked
            .networks
            .receiver(0)
            .kinds()
            .filter(rejected)
            .count();
        assert!(before > 0, "{reach:?}: none came before the true one");
    }
}

#[test]
fn nobody_s_keys_are_said_or_acknowledged_in_the_clear() {
    for reach in REACHES {
        let forger = Forger::new();
        let mut header: Option<Header> = None;
        let (mut tried, mut step) = (0, 0);
        let networks = withstands(0, figure(seeds::one(1), reach), |attacked, passed| {
            step += 1;
            let mut announced = passed.iter().filter(|s| s.function() == Function::Announce);
            let first = announced.next();
            header = header.or(first.map(|s| wire::decode_header(&s.bytes).unwrap()));
            let Some(header) = header.filter(|_| step % 5 == 0) else {
                return;
            };
            let (sender, near) = (attacked.networks.sender, attacked.networks.proxies[0]);
            let [first, second] = attacked.networks.receivers[..] else {
                panic!("two receivers");
            };
            for (from, to, name) in [
                (first, near, receiver_uid(0)),
                (second, near, receiver_uid(1)),
                (near, sender, proxy()),
                (first, sender, receiver_uid(0)),
            ] {
                for packet in forger.client_words(&header, name) {
                    attacked.inject(from, to, &packet);
                    tried += 1;
                }
            }
        });
        assert!(tried > 100, "{tried}");
        for counters in [
            networks.proxy(0).machine.counters(),
            networks.sender().machine.counters(),
        ] {
            let refused = [Refusal::Uncovered, Refusal::OtherSession];
            let refused: u64 = refused.iter().map(|why| counters.refused(*why)).sum();
            assert!(refused > 20, "{reach:?}: {refused}");
        }
    }
}

/// KEY_REQ of a protocol; 5 has none, but its number.
fn key_req(version: Version) -> Vec<u8> {
    let header = Header {
        version: match version {
            Version::V5 => Version::V4,
            version => version,
        },
        function: Function::KeyReq,
        seq: Seq(0),
        src: receiver_uid(50),
        group: GroupId(0),
        instance: Instance(0),
        grtt: RttCode::default(),
        group_size: GroupSizeCode::default(),
        dest: Uid::NONE,
    };
    let mut packet = vec![0; 100];
    let len = wire::encode(&header, &Message::KeyReq, &mut packet).unwrap();
    packet.truncate(len);
    packet[0] = version.wire_id();
    packet
}

/// Protocol 5 has no KEY_REQ; what is asked in another is answered by those who have standing keys,
/// to all once in five seconds, and alone to 20 in a second.
#[test]
fn requests_for_keys_are_answered_within_limits() {
    for reach in REACHES {
        let figure = figure(seeds::one(1), reach);
        let peace = said_in_peace(0, &figure);
        let mut asked = 0;
        let attacked = play(figure, |attacked, _| {
            let proxy = attacked.networks.proxies[0];
            for version in [Version::V5, Version::V4, Version::V3] {
                if asked < 600 {
                    attacked.inject_from(receiver_addr(50), proxy, &key_req(version));
                    asked += 1;
                }
            }
        });
        assert_eq!(asked, 600);
        attacked.networks.assert_all_whole();
        let more = said(&attacked.networks).0 - peace.0;
        let answered = match reach {
            // To all in two protocols, and to twenty.
            Reach::Response => 2..=22,
            _ => 0..=0,
        };
        assert!(answered.contains(&more), "{reach:?}: {more} answers");
        let counters = attacked.networks.proxy(0).machine.counters();
        let refused = [Refusal::OutOfPlace, Refusal::Malformed];
        let refused: u64 = refused.iter().map(|why| counters.refused(*why)).sum();
        assert!(refused >= 200, "{reach:?}: {refused}");
    }
}

/// REGISTER and KEYINFO that were heard come again and again. They are answered, for it may be that
/// the answer was lost: by whom they are sent to, in no more bytes than they have.
#[test]
fn what_is_answered_comes_again() {
    seeds::each(6, |seed| {
        let reach = REACHES[seed as usize % 3];
        let figure = figure(seed, reach);
        let peace = said_in_peace(0, &figure);
        let mut known = HashSet::new();
        let attacked = play(figure, |attacked, passed| {
            for seen in fresh(&mut known, passed) {
                for _ in 0..20 * u32::from(seen.is_answered()) {
                    attacked.inject(seen.from, seen.to, &seen.bytes);
                }
            }
        });
        attacked.networks.assert_all_whole();
        assert!(attacked.datagrams >= 100, "{}", attacked.datagrams);
        attacked.assert_unimpressed(peace, 1 + hops(reach));
    });
}
