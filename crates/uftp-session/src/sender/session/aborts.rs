//! Giving up receivers, and turning strangers away.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use uftp_proto::Uid;
use uftp_proto::wire::Abort;

use super::Session;
use crate::counters::Refusal;
use crate::link::Cover;
use crate::policy::Farewell;
use crate::security::gate::Keys;
use crate::sender::clients::{Client, State};
use crate::sender::course::Repeated;
use crate::sender::event::SenderEvent;

/// Most hosts told of as having declined the announcement of an open group, or been turned away from
/// a session.
const MOST_OUTSIDERS: usize = 16;

/// If as many ABORTs wait, nobody is told again that it has been given up.
const MOST_WAITING: usize = 64;

/// What everybody is told if the operator wants all or nothing, and one would not take part (any
/// more), or was lost.
const ABORTED: &str = "A client aborted, aborting all";
const DROPPED_OUT: &str = "A client dropped out, aborting all";

/// An ABORT on its way out.
pub(super) struct OutgoingAbort {
    pub(super) to: SocketAddr,
    pub(super) host: Uid,
    pub(super) reason: Cow<'static, str>,
    pub(super) cover: Cover,
    /// Goes out whatever the rate says.
    pub(super) at_once: bool,
    /// Spares those who have finished the file.
    pub(super) current_file: bool,
}

/// Whose doing it is that a destination is out of the session.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    /// It left.
    Itself,
    /// It was given up.
    Us,
}

impl Session {
    /// Who leaves by an ABORT of the destination `at`, if it may: itself, or if it is a proxy one of
    /// its clients; and how far that has come.
    pub(in crate::sender) fn leaver(
        &self,
        at: usize,
        abort: &Abort,
    ) -> Result<(usize, State), Refusal> {
        let clients = &self.clients;
        let author = clients.get(at).ok_or(Refusal::UnknownSource)?;
        let leaver = if abort.host.is_none() || abort.host == author.uid {
            at
        } else {
            let client = clients.find(abort.host).ok_or(Refusal::OutOfRange)?;
            let unheard = clients.state(client) == Some(State::Mute);
            let behind = clients.get(client).is_some_and(|c| c.is_behind(at));
            if !(author.proxy && (behind || unheard)) {
                return Err(Refusal::OutOfPlace);
            }
            client
        };
        match clients.state(leaver) {
            Some(State::Lost | State::Aborted) | None => Err(Refusal::OutOfPlace),
            Some(state) => Ok((leaver, state)),
        }
    }

    /// A destination leaves, and with it those for whom nobody else speaks.
    pub(in crate::sender) fn note_departure(&mut self, leaver: usize, reason: &str) {
        self.note_abort(leaver, reason, By::Itself);
        let behind = |c: &Client| c.is_behind(leaver) && !c.state().is_error();
        for client in self.clients.places(behind) {
            self.note_abort(client, reason, By::Itself);
        }
    }

    /// What everybody is told if the session is to end because a receiver is lost.
    pub(in crate::sender) fn all_or_nothing(&self) -> Option<&'static str> {
        self.lost_one.filter(|_| self.config.quit_on_error)
    }

    /// Notes that a receiver is lost, or has left. The first says why.
    fn note_loss(&mut self, why: &'static str) {
        self.lost_one.get_or_insert(why);
    }

    /// Those who never came are lost.
    pub(in crate::sender) fn miss(&mut self, missing: usize) {
        if missing > 0 {
            self.note_loss(DROPPED_OUT);
        }
    }

    /// Gives up a destination that does not answer. It is told, so that it does not take the end
    /// of the session for the end of its file (behaviour-sender-receiver §5.7).
    pub(in crate::sender) fn lose(&mut self, at: usize, waiting_for: &'static str) {
        self.tell_off(at, "Lost connection");
        self.forget(at, waiting_for);
    }

    /// Gives up a destination that does not answer, without a word.
    pub(in crate::sender) fn forget(&mut self, at: usize, waiting_for: &'static str) {
        self.clients.set_state(at, State::Lost);
        if let Some(client) = self.clients.get(at) {
            let (client, proxy) = (client.uid, client.proxy);
            if !proxy {
                self.note_loss(DROPPED_OUT);
            }
            self.events.push_back(SenderEvent::ClientLost {
                client,
                waiting_for,
            });
        }
    }

    /// Ends the part of one destination and tells it why.
    pub(in crate::sender) fn abort_client(&mut self, at: usize, reason: &'static str) {
        self.tell_off(at, reason);
        self.note_abort(at, reason, By::Us);
    }

    /// Gives up all receivers that have not finished the current file.
    pub(in crate::sender) fn abort_unfinished(&mut self, reason: &'static str) {
        let receivers: &[usize] = &self.clients.places(|c| !c.proxy && !c.state().is_error());
        let (unfinished, finished): (Vec<usize>, Vec<usize>) = receivers
            .iter()
            .partition(|&&at| self.clients.is_receiving(at));
        if self.policy.farewell == Farewell::ToEach || !finished.is_empty() {
            for at in unfinished {
                self.abort_client(at, reason);
            }
            return;
        }
        self.aborts.push_back(OutgoingAbort {
            current_file: true,
            ..self.abort(Uid::NONE, reason, Cover::Session)
        });
        for at in unfinished {
            self.note_abort(at, reason, By::Us);
        }
    }

    /// Notes that a destination says that it will not come, on the word of somebody without keys. As
    /// a forged ANNOUNCE makes an honest receiver say so it is called as before, and out of the
    /// session only if it stays away ([`part_with_declined`](Self::part_with_declined)).
    pub(in crate::sender) fn note_doubtful_abort(&mut self, at: usize, reason: &str) {
        if let Some(client) = self.clients.get_mut(at)
            && !std::mem::replace(&mut client.declined, true)
        {
            let client = client.uid;
            self.events.push_back(SenderEvent::Declined {
                client,
                reason: reason.to_owned(),
            });
        }
    }

    /// Those who have declined and never came are out of the session.
    pub(in crate::sender) fn part_with_declined(&mut self) {
        let away = [State::Mute, State::Registered];
        let gone = |c: &Client| c.declined && away.contains(&c.state());
        let gone = self.clients.places(gone);
        let now = self.now;
        for &at in &gone {
            self.clients.set_state(at, State::Aborted);
            if let Some(client) = self.clients.get_mut(at) {
                client.told_off = Some(now);
                if !client.proxy {
                    self.note_loss(ABORTED);
                }
            }
        }
    }

    /// Marks a destination as out of the session.
    fn note_abort(&mut self, at: usize, reason: &str, by: By) {
        self.clients.set_state(at, State::Aborted);
        let now = self.now;
        if let Some(client) = self.clients.get_mut(at) {
            // What it sent before it knew is no reason to tell it.
            client.told_off = Some(now);
            let (client, proxy) = (client.uid, client.proxy);
            if !proxy {
                self.note_loss(match by {
                    By::Itself => ABORTED,
                    By::Us => DROPPED_OUT,
                });
            }
            self.events.push_back(SenderEvent::ClientAborted {
                client,
                reason: reason.to_owned(),
                by_client: by == By::Itself,
            });
        }
    }

    /// Notes that a host would not even register; the first few times, for anybody can say so.
    pub(in crate::sender) fn note_declined(&mut self, client: Uid, reason: &str) {
        if is_news(&mut self.declined, client) {
            self.events.push_back(SenderEvent::Declined {
                client,
                reason: reason.to_owned(),
            });
        }
    }

    /// Tells a destination that has been given up, but talks on, once more: the first ABORT may
    /// have been lost.
    pub(in crate::sender) fn remind(&mut self, at: usize, now: Instant) {
        if self.aborts.len() >= MOST_WAITING {
            return;
        }
        let pause = self.linger(Repeated::Done);
        let told = self.clients.get(at).and_then(|c| c.told_off);
        if told.is_none_or(|then| now.saturating_duration_since(then) >= pause) {
            self.tell_off(at, "No longer part of the session");
        }
    }

    /// Sends everybody away; nothing else goes out any more.
    pub(in crate::sender) fn abort_all(&mut self, reason: &'static str) {
        self.lists.clear();
        self.aborts.clear();
        let keyless = |s: &Session| {
            let keys = |c: &Client| s.keys(c.uid);
            s.clients.iter().any(|c| keys(c) == Keys::Pending)
        };
        let both = self.security.is_some() && (self.is_open() || keyless(self));
        let covers: &[Cover] = match both {
            true => &[Cover::Session, Cover::Clear],
            false => &[Cover::Session],
        };
        for cover in covers {
            self.aborts.push_back(OutgoingAbort {
                at_once: true,
                ..self.abort(Uid::NONE, reason, *cover)
            });
        }
    }

    /// Tells a host that would take part that it may not, within a limit, and notes it the first few times.
    pub(in crate::sender) fn turn_away(
        &mut self,
        now: Instant,
        to: SocketAddr,
        client: Uid,
        reason: &'static str,
    ) {
        if is_news(&mut self.turned_away, client) {
            self.events
                .push_back(SenderEvent::TurnedAway { client, reason });
        }
        self.refuse(now, to, client, reason);
    }

    /// Tells a host that has no part in the session so, within a limit.
    pub(in crate::sender) fn refuse(
        &mut self,
        now: Instant,
        to: SocketAddr,
        host: Uid,
        reason: &'static str,
    ) {
        let gap = self.pacer.cost(self.rate.charged());
        if self.refusals.allow(now, gap) {
            self.aborts.push_back(OutgoingAbort {
                to,
                ..self.abort(host, reason, Cover::Clear)
            });
        } else {
            self.counters.refuse(Refusal::Limit);
        }
    }

    fn tell_off(&mut self, at: usize, reason: &'static str) {
        let now = self.now;
        let Some(client) = self.clients.get_mut(at) else {
            return;
        };
        client.told_off = Some(now);
        let uid = client.uid;
        self.aborts
            .push_back(self.abort(uid, reason, Cover::Session));
        if self.keys(uid) == Keys::Pending {
            // It may have no keys to read that with.
            self.aborts.push_back(self.abort(uid, reason, Cover::Clear));
        }
    }

    /// An ABORT to the group that waits its turn.
    fn abort(&self, host: Uid, reason: &'static str, cover: Cover) -> OutgoingAbort {
        OutgoingAbort {
            to: self.config.private,
            host,
            reason: reason.into(),
            cover,
            at_once: false,
            current_file: false,
        }
    }
}

/// Bounds the answers to strangers, and with that what forged datagrams can make us send and how
/// much they can take from the session.
pub(super) struct RefusalLimit {
    left: u32,
    refilled: Instant,
}

impl RefusalLimit {
    /// Answers after a long silence.
    const BURST: u32 = 8;
    /// Shortest time between answers, and the number of data packets there must be for each.
    const INTERVAL: Duration = Duration::from_millis(20);
    const PACKETS: u32 = 20;

    pub(super) fn new(now: Instant) -> Self {
        RefusalLimit {
            left: Self::BURST,
            refilled: now,
        }
    }

    /// Whether one more is allowed; `gap` is the time between data packets.
    fn allow(&mut self, now: Instant, gap: Duration) -> bool {
        let interval = Self::INTERVAL.max(gap * Self::PACKETS);
        let passed = now.saturating_duration_since(self.refilled);
        let fresh = passed.as_nanos() / interval.as_nanos();
        if fresh > 0 {
            let fresh = u32::try_from(fresh).unwrap_or(u32::MAX);
            self.left = self.left.saturating_add(fresh).min(Self::BURST);
            self.refilled = now;
        }
        let allowed = self.left > 0;
        self.left = self.left.saturating_sub(1);
        allowed
    }
}

/// Whether `host` is new to the few that are told of, and may join them: anybody can claim any id.
fn is_news(told: &mut Vec<Uid>, host: Uid) -> bool {
    let new = told.len() < MOST_OUTSIDERS && !told.contains(&host);
    if new {
        told.push(host);
    }
    new
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_are_answered_at_times() {
        let start = Instant::now();
        let mut limit = RefusalLimit::new(start);
        let mut answered = |from: u64, to: u64, gap: u64| {
            let at = |ms| start + Duration::from_millis(ms);
            let gap = Duration::from_millis(gap);
            (from..to).filter(|ms| limit.allow(at(*ms), gap)).count()
        };
        assert_eq!(answered(0, 1000, 0), 8 + 49);
        assert_eq!(answered(1000, 2000, 10), 5, "one in twenty packets at most");
        assert_eq!(answered(600_000, 600_001, 10), 1);
        assert_eq!(
            answered(600_001, 600_020, 10),
            7,
            "no more than a burst is saved"
        );
    }
}
