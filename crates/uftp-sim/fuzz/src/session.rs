//! A session, some of it behind a proxy, with an attacker who hears all and can say anything in anybody's
//! name; if it is encrypted he may also be one of its members.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use uftp_proto::Ecn;
use uftp_proto::wire::{Header, Version};
use uftp_session::congestion::Limits;
use uftp_session::files::SendItem;
use uftp_session::sender::{Rate, SyncMode};
use uftp_sim::proxies::Reach;
use uftp_sim::{Figure, Networks, NodeId, ReceiverNode, Verdict, World, source};

use crate::keys;
use crate::member::Member;
use crate::script::Script;

/// What was on the network, oldest first, and what becomes of what comes next.
#[derive(Default)]
struct Wire {
    seen: Vec<Seen>,
    /// So many datagrams more are lost.
    cut: u8,
}

#[derive(Clone)]
pub(crate) struct Seen {
    pub(crate) from: NodeId,
    pub(crate) to: NodeId,
    pub(crate) bytes: Vec<u8>,
}

/// Plays a session in the clear to its end while the attacker does what `bytes` tell him to.
///
/// # Panics
///
/// If a machine panics, breaks a rule of the disk, is kept busy for ever, or more than it should.
pub fn attacked(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let figure = figure(&mut script);
    play(figure, script, false);
}

/// The same of an encrypted session. The attacker has a key of his own, which receivers' keys cannot be
/// told from where the sender does not know them.
///
/// # Panics
///
/// As [`attacked`].
pub fn attacked_under_keys(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let suite = script.byte();
    let figure = figure(&mut script).with(|f| keys::encrypt(f, suite));
    play(figure, script, true);
}

fn play(figure: Figure, script: Script, encrypted: bool) -> Networks {
    let mut networks = figure.stage();
    let wire = Rc::new(RefCell::new(Wire::default()));
    let world = &mut networks.world;
    tap(world, Rc::clone(&wire));
    let attacker = Attacker {
        wire,
        script,
        member: encrypted.then(|| Member::new(world, keys::of_receivers())),
    };
    world.after(Duration::ZERO, move |world| attacker.attack(world));
    // A header may claim round trips of 1000 s, which are waited for many times.
    let networks = networks.play(Duration::from_secs(3_000_000));
    for id in &networks.receivers {
        networks
            .world
            .get::<ReceiverNode>(*id)
            .store
            .assert_lawful();
    }
    networks
}

fn figure(script: &mut Script) -> Figure {
    let version = [Version::V3, Version::V3Sync, Version::V4, Version::V5];
    let reach = [Reach::Tunnel, Reach::Response];
    let version = script.choose(&version).copied().unwrap_or(Version::V4);
    let reach = script.choose(&reach).copied().unwrap_or(Reach::Response);
    let options = script.byte();
    Figure::new(1, reach, 1, &[1], items()).with(|f| {
        f.closed = options & 1 == 0;
        f.config.version = version;
        if options & 2 != 0 {
            f.config.sync = SyncMode::Sync;
        }
        if options & 4 != 0 && matches!(version, Version::V4 | Version::V5) {
            f.config.rate = Rate::Tfmcc(Limits::default());
        }
    })
}

/// One of each kind, and a file of several sections where sections are short.
fn items() -> [SendItem; 3] {
    [
        source::directory("d"),
        source::file("d/long", 30_000),
        source::file("short", 100),
    ]
}

/// Has the attacker hear everything.
fn tap(world: &mut World, wire: Rc<RefCell<Wire>>) {
    world.set_filter(move |passing| {
        let mut wire = wire.borrow_mut();
        wire.seen.push(Seen {
            from: passing.from,
            to: passing.to,
            bytes: passing.datagram.to_vec(),
        });
        if wire.cut > 0 {
            wire.cut -= 1;
            return Verdict::Drop;
        }
        Verdict::Pass
    });
}

struct Attacker {
    wire: Rc<RefCell<Wire>>,
    script: Script,
    member: Option<Member>,
}

impl Attacker {
    /// Does the next thing, and the rest after it.
    fn attack(mut self, world: &mut World) {
        if self.script.is_over() {
            return;
        }
        let deed = self.script.byte();
        let mut pause = Duration::from_micros(u64::from(deed >> 3) * 200);
        match (deed & 7, &mut self.member) {
            // Handing out keys takes its time.
            (6, Some(_)) => pause *= 200,
            (7, Some(member)) if self.script.byte() & 7 != 0 => {
                let seen = self.wire.borrow().seen.clone();
                member.act(world, &seen, &mut self.script);
            }
            (7, _) => self.wire.borrow_mut().cut = self.script.byte(),
            (how, _) => {
                let forgery = forge(&self.wire.borrow().seen, how, &mut self.script);
                if let Some((seen, bytes)) = forgery {
                    let from = world.addr(seen.from);
                    world.inject(seen.to, from, Ecn::NotEct, &bytes);
                }
            }
        }
        world.after(pause, move |world| self.attack(world));
    }
}

/// A datagram made of one that was there, and in whose place.
fn forge(seen: &[Seen], how: u8, script: &mut Script) -> Option<(Seen, Vec<u8>)> {
    let one = script.choose(seen)?.clone();
    let mut bytes = one.bytes.clone();
    match how {
        // Once more.
        0 => {}
        // Some bytes are others.
        1..=3 => {
            for _ in 0..how {
                let at = script.short();
                let value = script.byte();
                if let Some(byte) = bytes.get_mut(usize::from(at)) {
                    *byte = value;
                }
            }
        }
        // Cut off.
        4 => bytes.truncate(script.short().into()),
        // The words of another.
        5 => {
            let other = script.choose(seen)?;
            bytes.truncate(Header::LEN);
            bytes.extend(other.bytes.get(Header::LEN..)?);
        }
        // Words of his own.
        _ => {
            if let Some(function) = bytes.get_mut(1) {
                *function = script.byte();
            }
            bytes.truncate(Header::LEN);
            bytes.extend(script.text());
        }
    }
    Some((one, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is attacked is a session that works.
    #[test]
    fn who_is_left_alone_receives_everything() {
        for version in 0..4 {
            for reach in 0..2 {
                // Protocol 3.0 has no sync mode, and 3 says times in that alone.
                for options in 0..if version == 0 { 2 } else { 4 } {
                    let what = [0, version, 0, reach, options];
                    let figure = || {
                        let figure = figure(&mut Script::new(&what));
                        let undated = |f: &mut Figure| {
                            f.items.iter_mut().for_each(|item| item.mtime = 0);
                        };
                        match version {
                            0 | 1 => figure.with(undated),
                            _ => figure,
                        }
                    };
                    play(figure(), Script::new(&[]), false).assert_all_whole();
                    for suite in 0..5 {
                        println!("{what:?} {suite}");
                        let figure = figure().with(|f| keys::encrypt(f, suite));
                        play(figure, Script::new(&[]), true).assert_all_whole();
                    }
                }
            }
        }
    }
}
