//! Clients on their way to the group's keys.

use std::time::{Duration, Instant};

use uftp_proto::crypto::Fingerprint;
use uftp_proto::wire::{KeyInfoAck, Register};
use uftp_proto::{Uid, WireTime};

use super::{Keys, Times};
use crate::counters::Refusal;
use crate::limit::Limit;
use crate::security::{Admission, Claim, Rejection, gate};

/// Clients in a second that are handed the keys though they have not asked again, and one more for each
/// that has proved that it has them: who never answers may not be there at all.
const REMINDED_PER_SECOND: u32 = 100;

/// If more are to be reminded, the others wait at least so long.
const SHORTEST_WAIT: Duration = Duration::from_millis(20);

/// A client that has not proved yet that it has the group's keys.
pub(super) struct Waiting {
    /// Its REGISTER, while its CLIENT_KEY is missing.
    held: Option<Registration>,
    /// Its latest REGISTER that counts, and when it, or we in its place, last told the server.
    told_of: Option<(Registration, Instant)>,
    /// The server knows it, as far as we know.
    confirmed: bool,
    /// When it was last handed the keys.
    handed: Option<Instant>,
    /// When it, or somebody for it, last asked or was answered.
    since: Instant,
    /// When it is given up. Never brought forward.
    until: Instant,
    /// How many had come before it, so that there is an order to serve them in.
    place: u64,
    came: Instant,
}

impl Waiting {
    fn new(now: Instant, patience: Duration, place: u64) -> Self {
        Waiting {
            place,
            came: now,
            since: now,
            until: now + patience,
            held: None,
            told_of: None,
            confirmed: false,
            handed: None,
        }
    }

    /// As long as it asks, or we do in its place, the server may still confirm it: it is not given up
    /// before `patience` is over.
    fn may_wait(&mut self, now: Instant, patience: Duration) {
        self.since = now;
        self.have(patience);
    }

    /// Who waits already has as much patience as who comes now.
    fn have(&mut self, patience: Duration) {
        self.until = self.until.max(self.since + patience);
    }
}

/// What a REGISTER says beside its keys.
#[derive(Clone)]
pub(in crate::proxy) struct Registration {
    /// The stamp of the server that it echoes.
    pub(in crate::proxy) echo: WireTime,
    /// When it came.
    pub(in crate::proxy) at: Instant,
    /// Whom it is for, if not for its author alone.
    pub(in crate::proxy) clients: Vec<Uid>,
}

impl Registration {
    pub(in crate::proxy) fn of(register: &Register, at: Instant) -> Self {
        Registration {
            echo: register.echo,
            at,
            clients: register.clients.clone(),
        }
    }

    /// The stamp as the server is echoed it `now`: what was held for a while took no longer on its way.
    pub(in crate::proxy) fn echo_at(&self, now: Instant) -> WireTime {
        let held = now.saturating_duration_since(self.at);
        self.echo.plus(held)
    }
}

/// How many are reminded.
pub(super) fn reminders() -> Limit {
    Limit::per_second(REMINDED_PER_SECOND)
}

impl Keys {
    /// How far the keys of a client are.
    pub(in crate::proxy) fn of(&self, client: Uid) -> gate::Keys {
        self.server.keys(client)
    }

    /// Whether a REGISTER says nothing new, and so costs nothing.
    pub(in crate::proxy) fn recalls(&self, client: Uid, register: &Register) -> bool {
        self.server.recall(client, register).is_some()
    }

    /// Whether a CLIENT_KEY would say nothing new.
    pub(in crate::proxy) fn recalls_key(&self, client: Uid) -> bool {
        self.server.recalls_key(client)
    }

    /// A client registers; it is given up in time if nothing comes of it. Returns its registration if
    /// that counts already.
    pub(in crate::proxy) fn register(
        &mut self,
        now: Instant,
        client: Uid,
        register: &Register,
    ) -> Result<Option<Registration>, Refusal> {
        let admission = self.server.register(client, register)?;
        let registration = Registration::of(register, now);
        if self.of(client) == gate::Keys::Ready {
            return Ok(Some(registration));
        }
        let patience = self.times.registration;
        let waiting = self.waiting_place(client, now);
        waiting.may_wait(now, patience);
        match admission {
            Admission::AwaitsKey => {
                waiting.held = Some(registration);
                Ok(None)
            }
            Admission::Ready => {
                // It asks again because it has nothing yet.
                waiting.handed = None;
                waiting.told_of = Some((registration.clone(), now));
                Ok(Some(registration))
            }
        }
    }

    /// A client says who it is; it is given up in time if nothing comes of it. Returns the registration
    /// that counts from now on, if one does.
    pub(in crate::proxy) fn client_key(
        &mut self,
        now: Instant,
        client: Uid,
        claim: Claim,
        expected: Option<Fingerprint>,
    ) -> Result<Option<Registration>, Rejection> {
        match self.server.client_key(client, claim, expected)? {
            Admission::AwaitsKey => {
                self.waiting_place(client, now);
                Ok(None)
            }
            Admission::Ready => {
                let Some(waiting) = self.waiting.get_mut(&client) else {
                    return Ok(None);
                };
                let held = waiting.held.take();
                if let Some(registration) = &held {
                    waiting.told_of = Some((registration.clone(), registration.at));
                }
                Ok(held)
            }
        }
    }

    /// Whether anybody has proved nothing, of those who `may` go.
    pub(in crate::proxy) fn has_unproved(&self, may: impl Fn(Uid) -> bool) -> bool {
        self.unproved(may).next().is_some()
    }

    fn unproved(&self, may: impl Fn(Uid) -> bool) -> impl Iterator<Item = (&Uid, &Waiting)> {
        let unproved = move |uid: Uid| self.of(uid) != gate::Keys::Ready && may(uid);
        self.waiting.iter().filter(move |(uid, _)| unproved(**uid))
    }

    /// Those who had proved that they have the keys have to prove it again, for these are others: they
    /// are handed them, and so is everybody who waits.
    pub(super) fn await_again(&mut self, now: Instant, doubted: Vec<Uid>) {
        let patience = self.times.registration;
        self.waiting.values_mut().for_each(|w| w.handed = None);
        self.waiting.extend(doubted.into_iter().map(|uid| {
            let again = Waiting {
                confirmed: true,
                ..Waiting::new(now, patience, 0)
            };
            (uid, again)
        }));
    }

    /// Where a client waits, from now on if it is new.
    fn waiting_place(&mut self, client: Uid, now: Instant) -> &mut Waiting {
        let patience = self.times.registration;
        let arrivals = &mut self.arrivals;
        let waiting = self.waiting.entry(client).or_insert_with(|| {
            *arrivals += 1;
            Waiting::new(now, patience, *arrivals)
        });
        self.due = self.due.into_iter().chain([waiting.until]).min();
        waiting
    }

    /// Whoever of those who have proved nothing has waited longest, of those who `had_time` since they came
    /// and `may` go: first of those who are not `welcome`. It waits no longer.
    pub(in crate::proxy) fn displace(
        &mut self,
        had_time: impl Fn(Instant) -> bool,
        may: impl Fn(Uid) -> bool,
        welcome: impl Fn(Uid) -> bool,
    ) -> Option<Uid> {
        let unproved = self.unproved(may);
        let waiting = unproved.filter(|(_, w)| had_time(w.came));
        let order = waiting.map(|(uid, waiting)| (welcome(*uid), waiting.place, *uid));
        let (.., displaced) = order.min()?;
        self.waiting.remove(&displaced);
        Some(displaced)
    }

    /// The server knows this client.
    pub(in crate::proxy) fn confirm(&mut self, now: Instant, client: Uid) {
        let patience = self.times.registration;
        if let Some(waiting) = self.waiting.get_mut(&client) {
            waiting.confirmed = true;
            waiting.may_wait(now, patience);
        }
    }

    /// The server knows all of these that there are.
    pub(in crate::proxy) fn confirm_all(&mut self, knows: impl Fn(Uid) -> bool) {
        for (uid, waiting) in &mut self.waiting {
            waiting.confirmed |= knows(*uid);
        }
    }

    /// Those of whom the server has not shown that it heard, though it was told `interval` ago: each
    /// with its registration. It is taken as told now.
    pub(in crate::proxy) fn unheard(
        &mut self,
        now: Instant,
        interval: Duration,
    ) -> Vec<(Uid, Registration)> {
        let patience = self.times.registration;
        let keyless = self.own() != gate::Keys::Ready;
        let waiting = self.waiting.iter_mut();
        let waiting = waiting.filter(|(_, w)| keyless || !w.confirmed);
        let mut unheard: Vec<_> = waiting
            .filter_map(|(uid, w)| {
                let (registration, last) = w.told_of.as_mut()?;
                if *last + interval > now {
                    return None;
                }
                *last = now;
                let registration = registration.clone();
                w.may_wait(now, patience);
                Some((w.place, *uid, registration))
            })
            .collect();
        unheard.sort_unstable_by_key(|(place, uid, _)| (*place, *uid));
        let unheard = unheard.into_iter();
        unheard
            .map(|(_, uid, registration)| (uid, registration))
            .collect()
    }

    /// The clockwork goes like this from now on. A new pause between KEYINFOs is for those who wait
    /// already, too, and so is more patience: the server confirms them in its new round trips.
    pub(in crate::proxy) fn set_times(&mut self, times: Times) {
        let before = std::mem::replace(&mut self.times, times);
        if before.registration < times.registration {
            let waiting = self.waiting.values_mut();
            waiting.for_each(|w| w.have(times.registration));
        }
        if before != times {
            self.set_deadline();
        }
    }

    /// Whether this one is to be handed the keys now; counts as done.
    pub(in crate::proxy) fn is_due(&mut self, now: Instant, client: Uid) -> bool {
        let ready = self.own() == gate::Keys::Ready;
        let keyed = self.server.is_keyed(client);
        let waiting = self.waiting.get_mut(&client);
        let due = |w: &&mut Waiting| ready && keyed && w.confirmed && w.handed.is_none();
        match waiting.filter(due) {
            None => false,
            Some(waiting) => {
                waiting.handed = Some(now);
                let again = waiting.until.min(now + self.times.repeat);
                self.due = self.due.into_iter().chain([again]).min();
                true
            }
        }
    }

    /// Those to be handed the keys now.
    pub(in crate::proxy) fn due_clients(&mut self, now: Instant) -> Vec<Uid> {
        if self.own() != gate::Keys::Ready {
            return Vec::new();
        }
        let mut due = Vec::new();
        for (uid, waiting) in &self.waiting {
            let handed = waiting.handed;
            let again = handed.is_none_or(|handed| handed + self.times.repeat <= now);
            let keyed = self.server.is_keyed(*uid);
            if waiting.confirmed && keyed && again {
                due.push((handed, waiting.place, *uid));
            }
        }
        // Those who have waited longest come first.
        due.sort_unstable();
        let wanted = due.len();
        self.held_back = None;
        due.retain(|(handed, _, _)| handed.is_none() || self.reminders.allow(now));
        if due.len() < wanted {
            self.held_back = Some(now + self.times.repeat.max(SHORTEST_WAIT));
        }
        for (.., uid) in &due {
            if let Some(waiting) = self.waiting.get_mut(uid) {
                waiting.handed = Some(now);
            }
        }
        self.set_deadline();
        due.into_iter().map(|(.., uid)| uid).collect()
    }

    /// Whether a client is on its way to the keys.
    pub(in crate::proxy) fn awaits(&self, client: Uid) -> bool {
        self.waiting.contains_key(&client)
    }

    /// Forgets a client unless it is on its way, or has proved that it has the keys.
    pub(in crate::proxy) fn forget(&mut self, client: Uid) {
        if !self.awaits(client) {
            self.server.forget(client);
        }
    }

    /// Those whose time is up; they are waited for no longer.
    pub(in crate::proxy) fn expired(&mut self, now: Instant) -> Vec<Uid> {
        let gone = self.waiting.extract_if(|_, waiting| waiting.until <= now);
        let mut gone: Vec<_> = gone.map(|(uid, waiting)| (waiting.place, uid)).collect();
        self.set_deadline();
        gone.sort_unstable();
        gone.into_iter().map(|(_, uid)| uid).collect()
    }

    fn set_deadline(&mut self) {
        let keys = self.own() == gate::Keys::Ready;
        let repeat = self.times.repeat;
        let held_back = self.held_back;
        let due = |w: &Waiting| match w.handed {
            Some(handed) if keys && w.confirmed => {
                let again = (handed + repeat).max(held_back.unwrap_or(handed));
                w.until.min(again)
            }
            _ => w.until,
        };
        self.due = self.waiting.values().map(due).min();
    }

    /// A client proves that it has the keys.
    pub(in crate::proxy) fn acknowledge(
        &mut self,
        client: Uid,
        ack: &KeyInfoAck,
    ) -> Result<(), Refusal> {
        self.server.acknowledge(client, ack)?;
        self.proved(client);
        Ok(())
    }

    /// A client has sealed something with the group's keys, so it has them: deployed receivers
    /// acknowledge them no more once a file is announced. Returns whether that is news.
    pub(in crate::proxy) fn prove_by_use(&mut self, client: Uid) -> bool {
        let news = self.server.prove_by_use(client);
        if news {
            self.proved(client);
        }
        news
    }

    fn proved(&mut self, client: Uid) {
        if self.waiting.remove(&client).is_some() {
            self.reminders.raise();
        }
    }

    /// Opens a packet of a client in place.
    pub(in crate::proxy) fn open<'a>(
        &mut self,
        client: Uid,
        packet: &'a mut [u8],
    ) -> Result<&'a mut [u8], Refusal> {
        self.server.open(client, packet)
    }
}
