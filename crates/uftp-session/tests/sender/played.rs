//! The stage on which recorded receivers of protocols 4 and 5 speak to our sender.

mod case;
mod invitation;
mod script;
mod voices;
mod words;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::StdRng;
use uftp_proto::{Ecn, Uid};
use uftp_session::sender::{Sender, SenderEvent};
use uftp_session::{Batch, Clock, Refusal};

use invitation::Invitation;
use script::{Answer, Script, sessions, take_apart};
use voices::Voices;
use words::kind;

use super::lab::Memory;

pub(super) use case::Case;
pub(super) use words::{bare, once};

const SERVER: Uid = Uid(0xAA);

/// Plays the recorded receivers to our sender. Returns what it said, and what the recorded one did.
pub(super) fn play(case: &Case) -> (Vec<String>, Vec<String>) {
    let (ours, theirs, _) = play_and_watch(case);
    (ours, theirs)
}

/// As [`play`], and what our sender told of.
pub(super) fn play_and_watch(case: &Case) -> (Vec<String>, Vec<String>, Vec<SenderEvent>) {
    let recorded = sessions(case.name).swap_remove(case.run);
    let invitation = Invitation::of(&recorded[0].bytes, recorded[0].to);
    let mut theirs = invitation.reader(case.drawn);
    let voices = case.drawn.and_then(|drawn| invitation.voices(drawn));
    let config = invitation.config(case);
    let Script {
        words: said,
        answers,
        items,
    } = take_apart(recorded, config.block_size.into(), &mut theirs);
    let now = Instant::now();
    let clock = Clock::new(now, invitation.announce.timestamp);
    let sender = match case.drawn.map(|drawn| invitation.known(drawn)) {
        Some(mut known) => Sender::with_secrets(config, items, clock, &mut known, now),
        None => Sender::new(config, items, clock, StdRng::seed_from_u64(1), now),
    };
    let (words, events) = converse(case, sender, answers, voices, now);
    (words, said, events)
}

/// Has the recorded receivers, in these voices if not in their own, answer our sender until it is
/// through. Returns what it said, and what it told of.
fn converse(
    case: &Case,
    mut sender: Sender<Memory>,
    answers: Vec<Answer>,
    mut voices: Option<Box<dyn Voices>>,
    mut now: Instant,
) -> (Vec<String>, Vec<SenderEvent>) {
    let mut batch = Batch::new(20_000);
    let mut words = Vec::new();
    let mut reader = None;
    let mut said: BTreeMap<String, usize> = BTreeMap::new();
    let mut answers = answers.into_iter().peekable();
    let mut ended = None;
    let mut events = Vec::new();
    while ended.is_none() || !sender.is_finished() {
        loop {
            batch.clear();
            sender.poll_transmit(now, &mut batch);
            if batch.is_empty() {
                break;
            }
            for (to, _, packet) in batch.datagrams() {
                if let Some(voices) = &mut voices {
                    voices.hear(packet);
                }
                let announced = || Invitation::of(packet, to).reader(case.drawn);
                let reader = reader.get_or_insert_with(announced);
                let clear = reader.clear(packet);
                let word = reader.word(&clear, to);
                *said.entry(kind(&word)).or_default() += 1;
                words.push(word);
            }
        }
        while let Some(event) = sender.poll_event() {
            if let SenderEvent::Finished(outcome) = event {
                ended = Some(outcome);
            }
            events.push(event);
        }
        // Reports come when our rate was another already; before the end, in any case.
        let asked = said.contains_key("DONE 1");
        let due = |answer: &Answer| {
            let (kind, count) = &answer.to;
            said.get(kind) >= Some(count) || (asked && kind == "CONG_CTRL")
        };
        if let Some(answer) = answers.next_if(due) {
            now += Duration::from_micros(100);
            match answer.packet {
                Some(packet) => {
                    let mut bytes = match &mut voices {
                        Some(voices) => voices.say(&packet.bytes),
                        None => packet.bytes,
                    };
                    sender.handle_datagram(now, packet.from, Ecn::NotEct, &mut bytes);
                }
                None => sender.stop(now),
            }
        } else if let Some(next) = sender.poll_timeout() {
            now = now.max(next);
            sender.handle_timeout(now);
        }
        assert!(words.len() < 1000, "{}: {words:?}", case.name);
    }
    assert_eq!(ended, Some(case.outcome), "{}", case.name);
    assert_eq!(answers.count(), 0, "{}: all was heard", case.name);
    for why in [Refusal::Unauthentic, Refusal::Malformed, Refusal::Uncovered] {
        assert_eq!(sender.counters().refused(why), 0, "{}: {why}", case.name);
    }
    (words, events)
}
