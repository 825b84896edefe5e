//! Response proxies with keys of several kinds. PROXY_KEY has room for one (wire-v4 §9.3).

use std::sync::Arc;

use uftp_proto::Ecn;
use uftp_proto::crypto::{
    Cipher, Curve, Hash, KeyExchange, KeyKind, KeySpec, PrivateKey, PublicKey, SelfSigned,
    SignatureType,
};
use uftp_proto::wire::{Announce, EncInfo, Message, Version};
use uftp_session::proxy::{ProxyConfig, ProxyEventKind, Role};
use uftp_session::security::ReceiverSecurity;

use crate::bench::*;

fn made(spec: KeySpec) -> Arc<PrivateKey> {
    Arc::new(PrivateKey::generate(spec).unwrap())
}

/// Announces a session under a server's key, in which secrets are agreed upon or encrypted to it.
fn announces(bench: &mut Bench, server_key: &PrivateKey, agrees: bool) -> Vec<Out> {
    let (exchange, dh_key, signature_len) = match agrees {
        true => {
            let dh_key = made(KeySpec::Ec(Curve::DEFAULT));
            let blob = dh_key.public().blob().to_vec();
            (
                match server_key.kind() {
                    KeyKind::Ec(_) => KeyExchange::EcdhEcdsa,
                    KeyKind::Rsa { .. } => KeyExchange::EcdhRsa,
                },
                blob,
                server_key.public().signature_len(),
            )
        }
        false => (KeyExchange::Rsa, Vec::new(), 0),
    };
    let message = Message::Announce(Announce {
        encryption: Some(EncInfo {
            client_auth: false,
            key_exchange: exchange.code(),
            signature_type: SignatureType::Hmac.code(),
            cipher: Cipher::Aes128Cbc.code(),
            hash: Hash::Sha1.code(),
            random: [7; 32],
            key: server_key.public().blob().to_vec(),
            dh_key,
            signature: vec![0; signature_len],
        }),
        ..announce_body()
    });
    let mut packet = bench.packet(SERVER, &message);
    if agrees {
        let signed = SelfSigned::new(Version::V4, Hash::Sha1, &message);
        signed.sign(server_key, &mut packet).unwrap();
    }
    bench.hand(server(), Ecn::NotEct, &packet)
}

#[test]
fn the_server_is_answered_under_a_key_like_its_own() {
    let (ec, small, large) = (
        KeySpec::Ec(Curve::DEFAULT),
        KeySpec::Rsa(512),
        KeySpec::Rsa(1024),
    );
    let other = KeySpec::Ec("secp384r1".parse().unwrap());
    // The keys of the proxy, the server's, whether it agrees upon secrets, whether that goes.
    for (ours, theirs, agrees, goes) in [
        (&[small, ec][..], ec, true, true),
        (&[ec, small], small, true, true),
        (&[ec, small], small, false, false),
        (&[small, ec], small, false, true),
        (&[small], ec, true, false),
        (&[ec], large, true, false),
        (&[other, small], ec, true, true),
        (&[small, large], large, true, true),
    ] {
        let role = Role::Response {
            publics: vec![addr(PUBLIC).ip()],
            dh_key: Some(made(ec)),
        };
        let mut bench = Bench::new(ProxyConfig {
            security: ReceiverSecurity {
                keys: ours.iter().copied().map(made).collect(),
                ..ReceiverSecurity::default()
            },
            ..config(role)
        });
        let told = bench.client_says(1, &Message::KeyReq);
        let Message::ProxyKey(shown) = told[0].message() else {
            panic!("{told:?}");
        };
        let shown = PublicKey::from_blob(&shown.key).unwrap();
        assert_eq!(
            shown.kind(),
            made(ours[0]).kind(),
            "receivers know it by the first"
        );
        let out = announces(&mut bench, &made(theirs), agrees);
        let secured = |kind: &ProxyEventKind| matches!(kind, ProxyEventKind::Secured(_));
        let open = bench.events.iter().any(secured);
        assert_eq!(open, goes, "{ours:?} for {theirs:?}: {:?}", bench.events);
        let reason = out.iter().find_map(|out| match out.message() {
            Message::Abort(abort) => Some(abort.reason.to_string()),
            _ => None,
        });
        let words = "No proxy key compatible with server key";
        assert_eq!(reason.as_deref(), (!goes).then_some(words));
    }
}
