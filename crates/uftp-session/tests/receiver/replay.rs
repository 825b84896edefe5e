//! Sessions of the deployed programs: given what their receivers heard, ours must say what they
//! said, byte for byte but for the echoed times, and at about the same time.

mod session;

use std::collections::BTreeMap;
use std::time::Duration;

use uftp_proto::wire::{self, Function, Header, Message, Version};
use uftp_proto::{Instance, Uid};
use uftp_session::Refusal;
use uftp_session::receiver::ReceiverConfig;

use session::{Blocks, PROXY, RESPONSE_PROXY, Session, asked};

use super::recorded::none_is_forgotten;
use super::recorded::pcap::{self, Recorded};
use super::support::{Bench, config};

const SERVER: Uid = Uid(0xAA);

/// A packet without the times it echoes.
fn timeless(function: Function, packet: &[u8]) -> Vec<u8> {
    let mut packet = packet.to_vec();
    let echo = match function {
        Function::Register => 4..12,
        Function::FileInfoAck => 8..16,
        Function::CcAck => 16..24,
        _ => 0..0,
    };
    packet[Header::LEN..][echo].fill(0);
    packet
}

/// Times differ by what the recording machine took, at most.
const SLACK: Duration = Duration::from_millis(15);

/// Plays a capture to one receiver for each of its clients.
fn replay(name: &str) {
    let recorded = pcap::read(&format!("{name}.pcap"));
    replay_packets(name, &recorded, &Blocks::new());
}

/// Plays the sessions of a capture one by one. A run of a session is one, too; what is asked for
/// again in the next is what the network lost in this.
fn replay_each(name: &str) {
    let mut sessions: BTreeMap<_, Vec<Recorded>> = BTreeMap::new();
    for packet in pcap::read(&format!("{name}.pcap")) {
        let header = wire::decode_header(&packet.bytes).unwrap();
        let session = sessions.entry((header.group, header.instance)).or_default();
        session.push(packet);
    }
    for session in sessions.values_mut() {
        let start = session[0].at;
        session.iter_mut().for_each(|packet| packet.at -= start);
    }
    assert!(sessions.len() > 1);
    for ((group, instance), session) in &sessions {
        let next = sessions.get(&(*group, Instance(instance.0 + 1)));
        replay_packets(
            name,
            session,
            &next.map_or_else(BTreeMap::new, |run| asked(run)),
        );
    }
}

/// Clients for which there is such a block hear nothing from there on.
fn replay_packets(name: &str, recorded: &[Recorded], lost: &Blocks) {
    let session = Session::of(recorded);
    let clients = session.clients();
    assert!(!clients.is_empty());
    for client in clients {
        let deaf = lost.get(&client).map(|blocks| session.first_of(blocks));
        replay_client(name, &session, client, deaf);
    }
}

/// Plays a session to the place of one of its clients.
fn replay_client(name: &str, session: &Session<'_>, client: Uid, deaf: Option<usize>) {
    let block_size = session.block_size();
    let mut bench = play(session, client, block_size, deaf);
    let sent = std::mem::take(&mut bench.sent);
    let version = session.packets[0].1.version;
    // A proxy is asked for its key in all protocols.
    let mut ours = sent
        .iter()
        .filter(|(_, _, packet)| wire::decode_header(packet).unwrap().version == version);
    for (theirs, header, message) in session.said_by(client) {
        let context = format!("{name}, {client} at {:?}: {message:?}", theirs.at);
        let (at, to, packet) = ours.next().unwrap_or_else(|| panic!("{context}: silent"));
        let function = wire::decode_header(packet).unwrap().function;
        assert_eq!(function, header.function, "{context}");
        assert_eq!(
            timeless(function, packet),
            timeless(function, &theirs.bytes),
            "{context}"
        );
        assert_eq!(*to, theirs.to, "{context}");
        // The first question is said as soon as a client starts.
        let alike = at.abs_diff(theirs.at) < SLACK || function == Function::KeyReq;
        assert!(alike, "{context}: ours at {at:?}");
    }
    assert_eq!(ours.count(), 0, "{name}, {client} says more than recorded");
    assert!(bench.receiver.is_idle(), "{name}, {client}");
    let contents = session.contents(block_size);
    for (file, content) in &bench.store.look().files {
        assert_eq!(content, &contents[file], "{name}, {client}");
    }
    // Once it is over for one, the session goes on for others. Who does not wait for a proxy does
    // not listen to one.
    let refused = |why| bench.receiver.counters().refused(why);
    let in_all = bench.receiver.counters().refused_in_all();
    let proxies = refused(Refusal::UnknownSource);
    assert_eq!(refused(Refusal::OtherSession) + proxies, in_all);
    let by_proxy = |(_, header, _): &&(_, Header, _)| {
        header.src == PROXY
            || (header.src == RESPONSE_PROXY && session.response_proxy(client).is_none())
    };
    assert_eq!(
        session.packets.iter().filter(by_proxy).count() as u64,
        proxies
    );
}

/// From the position `deaf` on the client hears nothing.
fn play(session: &Session<'_>, client: Uid, block_size: u16, deaf: Option<usize>) -> Bench {
    let mut bench = Bench::with(ReceiverConfig {
        uid: client,
        // What a client is set to shows in what it refuses.
        require_encryption: session.said_by(client).any(|(_, _, message)| {
            matches!(message, Message::Abort(m) if m.reason == "No unencrypted transfers allowed")
        }),
        response_proxy: session.response_proxy(client),
        ..config()
    });
    let mut decisions = session.decisions(client);
    bench.store.change(|store| {
        store.decide = Box::new(move |file| {
            let decision = decisions.remove(&file.file);
            decision.expect("each file is offered once")
        });
    });
    let address = session.said_by(client).next().unwrap().0.from;
    let missed = session.missed(client, block_size);
    let start = bench.now;
    for (position, (packet, header, message)) in session.packets.iter().enumerate() {
        bench.pass(start + packet.at - bench.now);
        let for_us = packet.to.ip().is_multicast() || packet.to == address;
        let heard = deaf.is_none_or(|from| position < from) && !missed.contains(&position);
        if for_us && heard {
            bench.feed(packet.from, &mut packet.bytes.clone());
        }
        if let Message::Abort(abort) = message
            && header.src == client
            && abort.reason == "Client shutting down"
        {
            // Its user stopped it.
            bench.receiver.shutdown(bench.now);
            bench.drain();
        }
    }
    bench.pass(SLACK);
    bench
}

#[test]
fn one_file_two_clients() {
    replay("v4-plain-2clients");
}

#[test]
fn many_files() {
    replay("v4-plain-files");
}

#[test]
fn closed_group() {
    replay("v4-closed3");
}

#[test]
fn closed_group_with_one_missing() {
    replay("v4-closed3-missing");
}

#[test]
fn directories_and_links() {
    replay("v4-dirs");
}

#[test]
fn rejected_path() {
    replay("v4-rejected");
}

#[test]
fn losses() {
    replay("v4-loss");
}

#[test]
fn deletion_and_free_space() {
    replay("v4-meta");
}

#[test]
fn unicast() {
    replay("v4-unicast");
}

#[test]
fn ipv6() {
    replay("v4-ipv6");
}

#[test]
fn abort_by_the_server() {
    replay("v4-abort-server");
}

#[test]
fn abort_by_a_client() {
    replay("v4-abort-client");
}

#[test]
fn preview() {
    replay("v4-sync-preview");
}

#[test]
fn more_in_the_clear() {
    for name in [
        "v4-abort-quit-on-error",
        "v4-meta-b",
        "v4-mixed-srv410-cl501",
        "v4-resp-proxy",
        "v4-unicast-b",
    ] {
        replay(name);
    }
}

#[test]
fn protocol_5_in_the_clear() {
    for name in [
        "v5-plain-files",
        "v5-closed3",
        "v5-loss",
        "v5-unicast",
        "v5-ipv6",
        "v5-abort-server",
        "v5-abort-client",
        "v5-abort-server-b",
        "v5-abort-quit-on-error",
        "v5-abort-enc-required",
        "v5-closed3-missing",
        "v5-ipv6-b",
        "v5-meta-b",
        "v5-rejected",
        "v5-rejected-b",
    ] {
        replay(name);
    }
}

#[test]
fn behind_a_client_proxy_in_the_clear() {
    for name in [
        "v4-proxy",
        "v4-heartbeat",
        "v4-heartbeat-b",
        "v4-heartbeat-rsa",
        "v5-proxy",
        "v5-proxy-loss",
        "v5-heartbeat",
        "v5-heartbeat-b",
    ] {
        let mut recorded = pcap::read(&format!("{name}.pcap"));
        recorded.retain(|packet| packet.from.ip().to_string().starts_with("10.66.2."));
        replay_packets(name, &recorded, &Blocks::new());
    }
}

/// A receiver of 4.10.2 says nothing to a sender of protocol 5; nor does ours if it hears no more than
/// that.
#[test]
fn a_protocol_that_is_not_heard() {
    let recorded = pcap::read("v5-cl410-refuses.pcap");
    let mut bench = Bench::with(ReceiverConfig {
        protocols: Some(vec![Version::V4]),
        ..config()
    });
    for packet in &recorded {
        bench.feed(packet.from, &mut packet.bytes.clone());
    }
    bench.pass(SLACK);
    assert_eq!(bench.said(), [""; 0]);
    let refused = bench.refused_only(Refusal::OtherVersion);
    assert_eq!(refused, recorded.len() as u64);
}

#[test]
fn sync_mode() {
    replay_each("v4-sync-b");
    replay_each("v5-sync");
    replay_each("v5-sync-b");
}

#[test]
fn resumed() {
    replay_each("v4-restart");
    replay_each("v5-restart");
    replay_each("v5-restart-b");
}

/// The limiting receiver reports, to the byte, what the recorded one did. The other one waits for as
/// long as chance has it; what it lost before the file does not count here.
#[test]
fn congestion_control() {
    let recorded = pcap::read("v5-tfmcc.pcap");
    let session = Session::of(&recorded);
    let [limiting, other] = [Uid(0x11), Uid(0x12)];
    replay_client("v5-tfmcc", &session, limiting, None);

    let bench = play(&session, other, session.block_size(), None);
    let body = |packet: &[u8]| {
        let function = wire::decode_header(packet).unwrap().function;
        let body = timeless(function, packet).split_off(Header::LEN);
        (function != Function::CcAck).then_some((function, body))
    };
    let ours = bench.sent.iter().filter_map(|(_, _, said)| body(said));
    let theirs = session.said_by(other);
    let theirs = theirs.filter_map(|(said, _, _)| body(&said.bytes));
    assert_eq!(Vec::from_iter(ours), Vec::from_iter(theirs));
    let reported = |(_, _, said): &&(_, _, Vec<u8>)| body(said).is_none();
    assert!(bench.sent.iter().filter(reported).count() > 0);
}

/// Receivers behind proxies, or those proxies.
#[test]
fn every_recorded_session_of_protocol_4_is_played() {
    let code = [
        include_str!("replay.rs"),
        include_str!("replay_encrypted.rs"),
        include_str!("../proxy/replay.rs"),
        include_str!("../proxy/replay/heartbeats.rs"),
    ];
    none_is_forgotten(&["v4-"], &code.concat(), &[]);
}

#[test]
fn every_recorded_session_of_protocol_5_is_played() {
    let code = [
        include_str!("replay.rs"),
        include_str!("replay_encrypted.rs"),
    ]
    .concat();
    none_is_forgotten(&["v5-"], &code, &[]);
}
