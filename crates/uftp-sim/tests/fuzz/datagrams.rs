//! Hostile datagrams.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, RngExt};
use uftp_proto::wire::{self, Function};
use uftp_proto::{Ecn, GroupId, Uid};
use uftp_session::sender::{Outcome, SenderEvent};
use uftp_sim::scenario::{self, PORT};
use uftp_sim::{MemStore, NodeId, ReceiverNode, Scenario, SenderNode, Stage, World, seeds};

use crate::forging::{Seen, Tape, flipped, harmless, random_bytes, record, recording, with_header};
use crate::{items, lossy, ms, secs};

/// Until the sender closes the session, makes datagrams out of what was seen and throws them at
/// whoever got the original.
fn storm(
    world: &mut World,
    sender: NodeId,
    tape: Tape,
    mut rng: StdRng,
    make: fn(&Seen, &mut StdRng) -> Vec<u8>,
) {
    let closing = |e: &SenderEvent| matches!(e, SenderEvent::Finishing | SenderEvent::Finished(_));
    if world.get::<SenderNode>(sender).events().any(closing) {
        return;
    }
    for _ in 0..rng.random_range(0..10) {
        let seen = tape.borrow().choose(&mut rng).cloned();
        let Some(seen) = seen else { continue };
        let bytes = make(&seen, &mut rng);
        let from = world.addr(seen.from);
        world.inject(seen.to, from, Ecn::NotEct, &bytes);
        // A host that never took part, too.
        if rng.random_bool(0.1) {
            let stranger = SocketAddr::from(([10, 9, 9, 9], 5));
            world.inject(seen.to, stranger, Ecn::Ce, &random_bytes(&mut rng));
        }
    }
    let pause = Duration::from_micros(rng.random_range(0..2000));
    world.after(pause, move |world| storm(world, sender, tape, rng, make));
}

fn stormy(seed: u64, make: fn(&Seen, &mut StdRng) -> Vec<u8>) -> Stage {
    let scenario = Scenario::new(seed, 4, items()).paths(lossy(0.1), lossy(0.1));
    let mut stage = scenario.stage();
    let tape = record(&mut stage.world);
    let (sender, rng) = (stage.sender, stage.world.rng(9));
    stage
        .world
        .after(ms(0), move |world| storm(world, sender, tape, rng, make));
    stage
}

#[test]
fn garbage_in_a_session_changes_nothing() {
    seeds::each(60, |seed| {
        let stage = stormy(seed, harmless).play(secs(60));
        stage.assert_all_whole();
    });
}

#[test]
fn replays_in_a_session_change_nothing() {
    seeds::each(60, |seed| {
        let stage = stormy(seed, |seen, _| seen.bytes.clone()).play(secs(60));
        stage.assert_all_whole();
    });
}

/// Without authentication a flipped bit can mean anything, also "I have it all". What it can not
/// do is break a machine, keep it busy or make it break its own rules.
#[test]
fn flipped_bits_in_a_session_break_no_machine() {
    seeds::each(100, |seed| {
        let mut stage = stormy(seed, flipped);
        // A header may claim a round trip of 1000 s, which the receiver will wait 4 * 255 times.
        stage.world.run(secs(2_000_000));
        stage.assert_quiet();
        for node in stage.receiver_nodes() {
            node.store.assert_lawful();
        }
    });
}

#[test]
fn idle_receivers_are_deaf_to_all_but_announcements() {
    let tape = recording(1);
    seeds::each(20, |seed| {
        let mut world = World::new(seed);
        let id = scenario::add_receiver(&mut world, 0, MemStore::default());
        world.run(secs(1));
        let mut rng = world.rng(1);
        let from = SocketAddr::from(([10, 0, 0, 1], 40_000));
        for _ in 0..3000 {
            let seen = tape.choose(&mut rng).unwrap();
            let bytes = match rng.random_range(0..3) {
                0 => random_bytes(&mut rng),
                1 => flipped(seen, &mut rng),
                _ => seen.bytes.clone(),
            };
            let announce =
                wire::decode_header(&bytes).is_ok_and(|h| h.function == Function::Announce);
            if !announce {
                world.inject(id, from, Ecn::NotEct, &bytes);
            }
        }
        assert_eq!(world.sent(id).total().datagrams, 0);
        let node: &ReceiverNode = world.get(id);
        assert!(node.events.is_empty());
        assert!(node.machine.is_idle());
        assert_eq!(node.machine.poll_timeout(), None);
        assert_eq!(node.store.look().ended, []);
    });
}

#[test]
fn senders_answer_strangers_with_a_refusal_at_most() {
    let tape = recording(1);
    seeds::each(20, |seed| {
        // Nobody it invites ever answers.
        let mut stage = Scenario::new(seed, 2, items()).stage();
        for id in stage.receivers.clone() {
            stage.world.kill(id);
        }
        stage.world.run_for(ms(10));
        let mut rng = stage.world.rng(1);
        let before = stage.sender().events.len();
        let said = stage.world.sent(stage.sender).total().datagrams;
        let from = SocketAddr::from(([10, 9, 9, 9], PORT));
        let count = 2000;
        for _ in 0..count {
            let seen = tape.choose(&mut rng).unwrap();
            let mut bytes = harmless(seen, &mut rng);
            if let Some(id) = bytes.get_mut(4..8) {
                id.copy_from_slice(&[0xee, 0, 0, rng.random()]);
            }
            stage.world.inject(stage.sender, from, Ecn::NotEct, &bytes);
        }
        let mut told = HashSet::new();
        for (_, event) in &stage.sender().events[before..] {
            let SenderEvent::TurnedAway { client, .. } = event else {
                panic!("garbage made {event:?}");
            };
            assert!(told.insert(*client), "{client} is told of twice");
        }
        assert!(told.len() <= 16, "{} strangers are told of", told.len());
        let sent = stage.world.sent(stage.sender);
        let refusals = sent.of(Function::Abort).datagrams;
        assert_eq!(
            sent.total().datagrams - said,
            refusals,
            "more than refusals"
        );
        assert!(refusals <= count);
        let stage = stage.play(secs(100));
        assert_eq!(stage.sender().outcome(), Some(Outcome::NobodyRegistered));
    });
}

#[test]
fn a_flood_of_announcements_opens_a_bounded_number_of_sessions() {
    let tape = recording(1);
    let announce = tape.iter().find(|s| s.is(Function::Announce)).unwrap();
    seeds::each(4, |seed| {
        let mut stage = Scenario::new(seed, 2, items()).stage();
        stage.world.kill(stage.sender);
        let victim = stage.receivers[0];
        let mut rng = stage.world.rng(1);
        let from = SocketAddr::from(([10, 9, 9, 9], 7));
        for _ in 0..5000 {
            let forged = with_header(announce.bytes.clone(), |h| {
                h.group = GroupId(rng.next_u32() | 1);
                h.src = Uid(rng.next_u32() | 1);
            });
            stage.world.inject(victim, from, Ecn::NotEct, &forged);
            let sessions = stage.receiver(0).store.look().sessions;
            assert!(sessions <= 100, "{sessions} sessions");
        }
        let sessions = stage.receiver(0).store.look().sessions;
        assert_eq!(sessions, 100, "the limit can be reached");
        stage.world.run(secs(200));
        assert!(stage.receiver(0).machine.is_idle());
        assert_eq!(stage.receiver(0).store.look().sessions, 0);
        // It serves again.
        let before = stage.receiver(0).events.len();
        let sender = scenario::add_sender(&mut stage.world, scenario::sender_config(1), &items());
        stage.world.run(secs(200));
        let outcome = stage.world.get::<SenderNode>(sender).outcome();
        assert_eq!(outcome, Some(Outcome::Success));
        stage.receiver(0).store.assert_holds(&items());
        assert!(stage.receiver(0).events.len() > before);
    });
}

#[test]
fn a_flood_of_registrations_delays_but_does_not_harm() {
    let tape = recording(1);
    let register = tape.iter().find(|s| s.is(Function::Register)).unwrap();
    let mut stage = Scenario::new(1, 3, items()).open().stage();
    stage.world.run_for(ms(20));
    let mut rng = stage.world.rng(1);
    for i in 0..3000u32 {
        let forged = with_header(register.bytes.clone(), |h| h.src = Uid(0xee00_0000 + i));
        let from = SocketAddr::from(([10, 9, 9, rng.random()], PORT));
        stage.world.inject(stage.sender, from, Ecn::NotEct, &forged);
    }
    let stage = stage.play(secs(60));
    stage.assert_all_whole();
}
