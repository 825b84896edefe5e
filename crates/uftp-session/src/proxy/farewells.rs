//! Those who are sent away, many perhaps in one instant: each is told in a packet of its own, and they
//! are told little by little.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use uftp_proto::Uid;

use crate::limit::Bucket;

/// Those who have proved nothing and may not be there at all: so many are told at once, how often one
/// more is, and how many wait for that. To tell somebody takes more bytes than to register in his name;
/// the others find out by themselves, as the server does.
const UNPROVED_AT_ONCE: u32 = 50;
const UNPROVED_PAUSE: Duration = Duration::from_millis(20);
const MOST_UNPROVED: usize = 100;

/// Those who wait to be told.
pub(super) struct Farewells {
    known: Row<(Uid, Arc<str>)>,
    unproved: Row<Uid>,
}

/// Whom to tell what.
pub(super) enum Farewell {
    /// It is sent away, in these words.
    Known(Uid, Arc<str>),
    /// It has proved nothing in time, which the server is told, too.
    Unproved(Uid),
}

struct Row<T> {
    waiting: VecDeque<T>,
    pace: Bucket,
    /// When the first is to be told.
    due: Option<Instant>,
}

impl<T> Row<T> {
    fn new(pace: Bucket) -> Self {
        Row {
            waiting: VecDeque::new(),
            pace,
            due: None,
        }
    }

    fn add(&mut self, now: Instant, more: impl IntoIterator<Item = T>) {
        self.waiting.extend(more);
        if !self.waiting.is_empty() {
            self.due.get_or_insert(now);
        }
    }

    fn next(&mut self, now: Instant) -> Option<T> {
        if self.waiting.is_empty() || !self.pace.allow(now) {
            self.due = self.pace.next().filter(|_| !self.waiting.is_empty());
            return None;
        }
        self.waiting.pop_front()
    }
}

impl Default for Farewells {
    fn default() -> Self {
        Farewells {
            known: Row::new(Bucket::of_farewells()),
            unproved: Row::new(Bucket::new(UNPROVED_AT_ONCE, UNPROVED_PAUSE)),
        }
    }
}

impl Farewells {
    /// All these are sent away.
    pub(super) fn send_away(
        &mut self,
        now: Instant,
        hosts: impl IntoIterator<Item = Uid>,
        words: &str,
    ) {
        let words: Arc<str> = words.into();
        let told = hosts.into_iter().map(|host| (host, words.clone()));
        self.known.add(now, told);
    }

    /// This one is given up, and told so if few are.
    pub(super) fn give_up(&mut self, now: Instant, client: Uid) {
        let room = self.unproved.waiting.len() < UNPROVED_AT_ONCE as usize + MOST_UNPROVED;
        self.unproved.add(now, room.then_some(client));
    }

    /// When the next one is to be told; `None` if nobody waits.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.known.due.into_iter().chain(self.unproved.due).min()
    }

    /// The next one to be told now. Ask until there is none.
    pub(super) fn next(&mut self, now: Instant) -> Option<Farewell> {
        let known = self.known.next(now);
        let known = known.map(|(host, words)| Farewell::Known(host, words));
        known.or_else(|| self.unproved.next(now).map(Farewell::Unproved))
    }
}
