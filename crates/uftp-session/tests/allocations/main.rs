//! Once file data flow, no machine allocates: not the sender, not the proxies, not the receiver.
//!
//! Allocations of Rust code are counted; what a library written in C does is not seen. Sessions in
//! which every packet is signed (`keyex`) are left out: each signature is
//! allocated, which is nothing beside making it.

#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)] // these are tests

mod counted;

use std::sync::Arc;
use std::time::Duration;

use uftp_proto::crypto::{
    Cipher, Curve, Hash, KeyExchange, KeySpec, PrivateKey, SignatureType, Suite,
};
use uftp_proto::wire::Version;
use uftp_session::congestion::Limits;
use uftp_session::files::SendItem;
use uftp_session::security::{ReceiverSecurity, SenderSecurity, ServerEntry};
use uftp_session::sender::Rate;
use uftp_sim::proxies::{Networks, Reach, proxy_addr, uid};
use uftp_sim::scenario::{PUBLIC, proxied_receiver_node, sender_node};
use uftp_sim::source::file;
use uftp_sim::{Figure, MemSource, MemStore, Node, NodeId, ProxyNode, ReceiverNode, SenderNode};

use counted::{COUNTED, Counted, WARM_UP};

/// One file from a sender through a server proxy and a client proxy to a receiver.
fn figure(version: Version, block_size: u16) -> Figure {
    let blocks = WARM_UP + COUNTED + 1000;
    let item = SendItem {
        // Protocol 3 has none.
        mtime: 0,
        ..file("file", blocks * u64::from(block_size))
    };
    Figure::new(1, Reach::Tunnel, 0, &[1], [item]).with(|f| {
        f.closed = false;
        f.config.version = version;
        f.config.block_size = block_size;
        // Protocol 3 makes its blocks as large as this allows, which is a little larger.
        f.config.fixed.mtu = block_size + 200;
        // Some forty datagrams in each turn of the sender.
        f.config.rate = Rate::Fixed(50_000_000);
    })
}

/// The same, encrypted.
fn encrypted(version: Version, block_size: u16, suite: Suite) -> Figure {
    let spec = match suite.key_exchange {
        KeyExchange::Rsa | KeyExchange::EcdhRsa => KeySpec::Rsa(1024),
        KeyExchange::EcdhEcdsa | KeyExchange::Ecdh => KeySpec::Ec(Curve::DEFAULT),
    };
    let key = || Arc::new(PrivateKey::generate(spec).unwrap());
    let security = SenderSecurity::new(version, suite, key(), Curve::DEFAULT).unwrap();
    figure(version, block_size).with(|f| {
        f.config.security = Some(security);
        let holding = || ReceiverSecurity {
            keys: vec![key()],
            ..ReceiverSecurity::default()
        };
        let knows_proxy = ServerEntry {
            uid: f.config.uid,
            addresses: Vec::new(),
            proxy: Some(uid(proxy_addr(0))),
            fingerprint: None,
        };
        f.proxy_securities = vec![holding()];
        f.securities = vec![ReceiverSecurity {
            servers: (version == Version::V5).then(|| vec![knows_proxy]),
            ..holding()
        }];
    })
}

fn suite(cipher: Cipher, key_exchange: KeyExchange) -> Suite {
    Suite {
        cipher,
        hash: Hash::Sha256,
        key_exchange,
        signature: match cipher.is_aead() {
            true => SignatureType::Aead,
            false => SignatureType::Hmac,
        },
        client_auth: false,
    }
}

fn assert_none(figure: &Figure) {
    assert_at_most(0, figure);
}

/// Plays a figure to its end. Panics unless the file arrived, every machine had its part of it,
/// and meanwhile proxies allocated nothing and the ends no more often than `often`.
fn assert_at_most(often: u64, figure: &Figure) {
    let block = usize::from(figure.config.block_size);
    let mut networks = figure.clone().stage();
    let store = MemStore::default();
    let (sender, server_proxy) = (networks.sender, networks.server_proxies[0]);
    let (client_proxy, receiver) = (networks.proxies[0], networks.receivers[0]);

    let source = MemSource::new(figure.items.iter().cloned());
    let node = sender_node(&networks.world, figure.config.clone(), source);
    count(&mut networks, sender, node, block);
    let node = networks.server_proxy_node(0);
    count(&mut networks, server_proxy, node, block);
    let node = networks.proxy_node(0);
    count(&mut networks, client_proxy, node, block);
    let security = figure.securities.first().cloned().unwrap_or_default();
    let node = proxied_receiver_node(&networks.world, 0, store.clone(), security, None);
    count(&mut networks, receiver, node, block);
    let world = &mut networks.world;
    world.join(server_proxy, PUBLIC);
    world.join(receiver, PUBLIC);
    let over = world.run_until(Duration::from_secs(60), |world| {
        let sender: &Counted<SenderNode> = world.get(sender);
        sender.node.machine.is_finished()
    });
    assert!(over, "the session does not end");
    store.assert_holds(&figure.items);
    let context = format!("{:?}, blocks of {block}", figure.config.version);
    let tally = |id| &world.get::<Counted<ProxyNode>>(id).tally;
    let sender: &Counted<SenderNode> = world.get(sender);
    let receiver: &Counted<ReceiverNode> = world.get(receiver);
    for (who, tally, most) in [
        ("sender", &sender.tally, often),
        ("server proxy", tally(server_proxy), 0),
        ("client proxy", tally(client_proxy), 0),
        ("receiver", &receiver.tally, often),
    ] {
        tally.assert_at_most(most, &format!("{who}, {context}"));
    }
}

/// Puts a node that is counted in the place of one.
fn count(networks: &mut Networks, id: NodeId, node: impl Node, block: usize) {
    networks.world.kill(id);
    networks.world.revive(id, Counted::boxed(node, block));
}

#[test]
fn nothing_is_allocated_for_packets_in_the_clear() {
    for version in [Version::V3, Version::V4, Version::V5] {
        for block_size in [1300, 600] {
            assert_none(&figure(version, block_size));
        }
    }
}

#[test]
fn nothing_is_allocated_for_encrypted_packets() {
    for (version, cipher, exchange) in [
        (Version::V3, Cipher::Aes256Cbc, KeyExchange::Rsa),
        (Version::V4, Cipher::Aes256Cbc, KeyExchange::Rsa),
        (Version::V4, Cipher::Aes128Gcm, KeyExchange::EcdhEcdsa),
        (Version::V5, Cipher::Aes256Gcm, KeyExchange::Ecdh),
    ] {
        // Client proxies look into short packets.
        for block_size in [1300, 600] {
            assert_none(&encrypted(version, block_size, suite(cipher, exchange)));
        }
    }
}

/// Reports go up once a round trip, and those are allocated at both ends.
#[test]
fn congestion_control_allocates_for_its_reports_alone() {
    let limits = Limits {
        init: Some(10_000_000),
        ..Limits::default()
    };
    for version in [Version::V4, Version::V5] {
        let figure = figure(version, 1300).with(|f| f.config.rate = Rate::Tfmcc(limits));
        assert_at_most(COUNTED / 50, &figure);
    }
}
