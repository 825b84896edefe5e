//! What a lossy network takes from encrypted sessions through proxies costs time, and no client.

use std::cell::Cell;
use std::rc::Rc;

use uftp_proto::crypto::{KeyExchange, SignatureType, Suite};
use uftp_proto::wire::{self, Function, Header, Message, Version};
use uftp_session::congestion::Limits;
use uftp_session::receiver::{ReceiverEvent, ReceiverEventKind};
use uftp_session::sender::Rate;
use uftp_sim::proxies::Reach;
use uftp_sim::{Figure, Verdict, seeds, source};

use super::proxies_encrypted::{encrypted, in_protocol_5, suite, suites};
use super::{lossy, ms, secs};

/// A figure encrypted in protocol 4, or in protocol 5.
fn secured(figure: Figure, five: bool, seed: u64) -> Figure {
    let default = Suite {
        client_auth: seed % 4 < 2,
        ..suite(KeyExchange::Ecdh, SignatureType::Aead)
    };
    match five {
        true => figure.with(encrypted(default)).with(in_protocol_5),
        false => figure.with(encrypted(suites()[seed as usize % 6])),
    }
}

/// Any session, with and without congestion control, under 4 to 10 % loss everywhere.
#[test]
fn every_client_completes_whatever_is_lost() {
    seeds::each(80, |seed| {
        let reach = [Reach::Tunnel, Reach::Response][seed as usize % 2];
        let five = seed / 2 % 2 == 0;
        let loss = 0.04 + 0.02 * (seed / 4 % 4) as f64;
        let items = [source::file("f", 1_000_000)];
        let figure = Figure::new(seed, reach, 1, &[2, 2], items).with(|f| {
            f.closed = seed % 3 != 0;
            (f.up, f.down, f.between) = (lossy(loss), lossy(loss), lossy(loss));
            f.between.delay = ms(3 * (seed % 4));
            if seed / 16 % 3 != 0 {
                f.config.rate = Rate::Tfmcc(Limits::default());
            }
        });
        let networks = secured(figure, five, seed / 4).stage().play(secs(600));
        networks.assert_all_whole();
    });
}

/// What a client that was handed its keys seals is lost up to the `heard`th KEYINFO, and no more
/// than so many reach it; the session goes on meanwhile, for longer than a client may take to
/// register. Returns how often the client acknowledged its keys.
fn losing_proof(reach: Reach, five: bool, heard: usize) -> usize {
    // Twenty seconds of it: a client may take ten to register.
    let items = [source::file("f", 4_000_000)];
    let figure = Figure::new(seeds::one(1), reach, 0, &[3], items);
    let figure = figure.with(|f| f.config.rate = Rate::Fixed(200_000));
    let mut networks = secured(figure, five, 1).stage();
    let (unlucky, proxy) = (networks.receivers[1], networks.proxies[0]);
    let (told, lost) = (Cell::new(0), Cell::new(0));
    networks.world.set_filter(move |passing| {
        let keys = passing.is(Function::KeyInfo) && passing.from == proxy;
        let sealed = passing.is(Function::Encrypted) && passing.from == unlucky;
        if keys && passing.to == unlucky {
            told.set(told.get() + 1);
            if told.get() > heard {
                return Verdict::Drop;
            }
        } else if sealed && (1..=heard).contains(&told.get()) && lost.get() < heard {
            lost.set(lost.get() + 1);
            return Verdict::Drop;
        }
        Verdict::Pass
    });
    let networks = networks.play(secs(600));
    networks.assert_all_whole();
    let acked = |e: &&(_, ReceiverEvent)| e.1.kind == ReceiverEventKind::KeyInfoAckSent;
    networks.receiver(1).events.iter().filter(acked).count()
}

#[test]
fn a_client_says_again_that_it_has_keys_while_data_flow() {
    for reach in [Reach::Tunnel, Reach::Response] {
        for five in [false, true] {
            assert!(losing_proof(reach, five, 5) > 1, "{reach:?}");
        }
    }
}

/// Deployed receivers do not say it again then.
#[test]
fn a_client_that_uses_its_keys_has_them() {
    for reach in [Reach::Tunnel, Reach::Response] {
        for five in [false, true] {
            assert_eq!(losing_proof(reach, five, 1), 1, "{reach:?}");
        }
    }
}

/// Deployed proxies hand a client its keys when REG_CONF names it and not before, whatever else they
/// hear, and a sender that waits for FILEINFO_ACK announces no more.
#[test]
fn a_lost_confirmation_comes_again_while_a_file_is_announced() {
    for (reach, five) in [Reach::Tunnel, Reach::Response]
        .map(|r| [(r, false), (r, true)])
        .concat()
    {
        let items = [source::file("f", 50_000)];
        let figure = Figure::new(seeds::one(1), reach, 0, &[2], items);
        let mut networks = secured(figure, five, 1).stage();
        let (server, proxy) = (networks.sender, networks.proxies[0]);
        let handed = Rc::new(Cell::new(false));
        let (confirmations, handed_out) = (Cell::new(0), handed.clone());
        networks.world.set_filter(move |passing| {
            // Until it has handed out keys the proxy hears nothing but the handshake.
            let heard = passing.to == proxy && passing.from != proxy;
            if heard && passing.is(Function::RegConf) {
                confirmations.set(confirmations.get() + 1);
                let lost = confirmations.get() == 1;
                return if lost { Verdict::Drop } else { Verdict::Pass };
            }
            if passing.from == proxy && passing.is(Function::KeyInfo) {
                handed_out.set(true);
            }
            let data = passing.from == server && passing.is(Function::Encrypted);
            match data && !handed_out.get() {
                true => Verdict::Drop,
                false => Verdict::Pass,
            }
        });
        networks.play(secs(600)).assert_all_whole();
        assert!(handed.get(), "{reach:?}, five: {five}");
    }
}

/// Those behind a proxy that has not proved itself yet have nothing to be handed.
#[test]
fn no_keys_are_handed_out_to_nobody() {
    let suite = Suite {
        client_auth: true,
        ..suite(KeyExchange::Ecdh, SignatureType::Aead)
    };
    for reach in [Reach::Tunnel, Reach::Response] {
        let items = [source::file("f", 50_000)];
        let figure = Figure::new(seeds::one(1), reach, 0, &[2], items);
        let mut networks = figure.with(encrypted(suite)).with(in_protocol_5).stage();
        let (server, proxy) = (networks.sender, networks.proxies[0]);
        let proofs = Cell::new(0);
        let handed = Rc::new(Cell::new(0));
        let empty = Rc::new(Cell::new(0));
        let (to_some, to_nobody) = (handed.clone(), empty.clone());
        networks.world.set_filter(move |passing| {
            if passing.from == server && passing.is(Function::KeyInfo) {
                let body = &passing.datagram[Header::LEN..];
                let Ok(Message::KeyInfo(keys)) = wire::decode(Version::V5, Function::KeyInfo, body)
                else {
                    panic!("not a KEYINFO");
                };
                let count = if keys.keys.is_empty() {
                    &to_nobody
                } else {
                    &to_some
                };
                count.set(count.get() + 1);
            }
            // CLIENT_KEY.
            if passing.from == proxy && passing.is(Function::Encrypted) && proofs.get() < 1 {
                proofs.set(proofs.get() + 1);
                return Verdict::Drop;
            }
            Verdict::Pass
        });
        networks.play(secs(600)).assert_all_whole();
        assert!(handed.get() > 0, "{reach:?}");
        assert_eq!(empty.get(), 0, "{reach:?}");
    }
}
