//! The announce phase: who takes part (behaviour-sender-receiver §3.3).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use uftp_proto::Uid;
use uftp_proto::wire::{ClientKey, KeyInfoAck, Message, Register};

use super::clients::{Behind, Client, Clients, State};
use super::course::{Course, Repeated};
use super::event::{Outcome, SenderEvent};
use super::list::ListMessage;
use super::session::Session;
use super::{NOT_LISTED, Next, is_due};
use crate::counters::Refusal;
use crate::grtt::Decay;
use crate::limit::{Bucket, Limit};
use crate::security::gate::Keys;
use crate::security::{Admission, Claim};

/// Where a message comes from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin {
    pub(super) now: Instant,
    pub(super) from: SocketAddr,
    /// The destination it is of.
    pub(super) at: usize,
}

/// The announce phase.
#[derive(Debug)]
pub(super) struct Announcing {
    stage: Stage,
    /// The ANNOUNCE cycles.
    course: Course,
    /// KEYINFO repetitions.
    key_infos: u32,
    /// The cycle was cut short once, so that those who wait for keys do not wait for nobody.
    hurried: bool,
    /// Ends the silence of those who might register once more.
    silence: Option<Instant>,
    /// Messages that cost public key operations.
    handshakes: Bucket,
    /// Places for whom destinations speak that have proved nothing.
    listed: Limit,
}

/// Places taken in [`LISTED_SPAN`] by lists of proxies that have not proved themselves yet: as many as
/// very large ones need at once, and far fewer than there are while announcing lasts.
const MOST_LISTED: u32 = 10_000;
const LISTED_SPAN: Duration = Duration::from_secs(10);

/// Most of those who have proved nothing that are told so in the end.
const MOST_TOLD: usize = 100;

#[derive(Debug)]
enum Stage {
    /// Announcing again and again; the timer ends a cycle.
    Calling,
    /// Everybody is there; the timer ends the wait for late duplicates, which lasts no longer
    /// than to the given instant.
    Lingering(Instant),
    /// The last confirmations are on their way.
    Leaving,
}

impl Announcing {
    pub(super) fn start(s: &mut Session) -> Self {
        let mut phase = Announcing {
            stage: Stage::Calling,
            course: Course::new(s, Repeated::Announce),
            key_infos: 0,
            hurried: false,
            silence: None,
            handshakes: Bucket::of_handshakes(),
            listed: Limit::per(LISTED_SPAN, MOST_LISTED),
        };
        phase.handshakes.expect(s.clients.len());
        phase.call(s);
        phase
    }

    pub(super) fn timer(&self) -> Option<Instant> {
        match self.stage {
            Stage::Calling => self.course.timer(),
            Stage::Lingering(_) | Stage::Leaving => self.silence,
        }
    }

    /// All queued lists are out: the time to wait for answers begins.
    pub(super) fn lists_sent(&mut self, s: &Session, now: Instant) {
        if let Some(time) = s.config.announce_time {
            self.course.end_by(now + time);
        }
        match self.stage {
            Stage::Calling => self.course.wait(s, now),
            Stage::Lingering(limit) => {
                self.silence = Some((now + s.linger(Repeated::Announce)).min(limit));
            }
            Stage::Leaving => self.silence = Some(now),
        }
    }

    /// A message came, in these `bytes`.
    pub(super) fn handle(
        &mut self,
        s: &mut Session,
        origin: Origin,
        message: &Message<'_>,
        bytes: &[u8],
    ) {
        match message {
            Message::Register(register) => self.register(s, origin, register),
            Message::ClientKey(key) => self.client_key(s, origin, key, bytes),
            Message::KeyInfoAck(ack) => self.key_info_ack(s, origin.at, ack),
            _ => s.counters.refuse(Refusal::OutOfPlace),
        }
    }

    pub(super) fn advance(&mut self, s: &mut Session, now: Instant) -> Next {
        if let Some(why) = s.all_or_nothing() {
            return self.fail(s, why);
        }
        match self.stage {
            Stage::Calling if everybody_is_in(s) => {
                s.update_grtt(Decay::FirstFree);
                s.events.push_back(SenderEvent::LateRegisters);
                // What was cut short was not asked twice.
                let asked = self.course.attempt() - u32::from(self.hurried);
                if !s.is_open() && s.nobody_repeats(asked) {
                    return self.end(s);
                }
                self.stage = Stage::Lingering(now + s.longest_linger(Repeated::Announce));
                self.confirm(s);
                Next::Stay
            }
            Stage::Calling if !self.hurried && everybody_has_registered(s) => {
                self.hurried = true;
                s.lists.clear();
                self.call(s);
                Next::Stay
            }
            Stage::Calling if self.course.is_due(now) => {
                s.update_grtt(Decay::FirstFree);
                if self.course.is_last(s, now) {
                    self.end(s)
                } else {
                    self.call(s);
                    Next::Stay
                }
            }
            Stage::Lingering(_) if is_due(self.silence, now) => self.end(s),
            Stage::Leaving if is_due(self.silence, now) => {
                report_connections(s, |state| state == State::Active);
                Next::Item
            }
            _ => Next::Stay,
        }
    }

    /// Begins a cycle.
    fn call(&mut self, s: &mut Session) {
        let attempt = self.course.repeat();
        if attempt > 1 {
            self.hand_out_keys(s);
            self.confirm(s);
        }
        s.send_list(ListMessage::Announce, attempt);
    }

    /// Tells the newly registered that they are known. What is sent when nobody is called any more
    /// counts for the cycle after the last.
    fn confirm(&mut self, s: &mut Session) {
        let attempt = match self.stage {
            Stage::Calling => self.course.attempt(),
            Stage::Lingering(_) | Stage::Leaving => self.course.attempt() + 1,
        };
        self.silence = None;
        s.send_list(ListMessage::RegConf, attempt);
    }

    /// Sends keys to those who wait for them.
    fn hand_out_keys(&mut self, s: &mut Session) {
        if s.clients
            .iter()
            .any(|c| ListMessage::KeyInfo.concerns(s, c))
        {
            self.key_infos += 1;
            s.send_list(ListMessage::KeyInfo, self.key_infos);
        }
    }

    fn register(&mut self, s: &mut Session, origin: Origin, register: &Register) {
        let Origin { now, at, .. } = origin;
        let uid = s.clients.uid(at);
        if !self.registrable(&s.clients, at) || s.is_spoken_for(uid) {
            s.counters.refuse(Refusal::OutOfPlace);
            return;
        }
        let proxy = s.clients.get(at).is_some_and(|c| c.proxy);
        let promoted = !register.clients.is_empty() && !proxy;
        if promoted && (!s.is_open() || s.clients.state(at) != Some(State::Mute)) {
            s.counters.refuse(Refusal::OutOfPlace);
            if s.security.is_none() {
                s.abort_client(at, "Specified multiple clients but not a proxy");
            }
            return;
        }
        let state = match self.judge(s, now, uid, register) {
            Ok(state) => state,
            Err(refusal) => return s.counters.refuse(refusal),
        };
        if promoted {
            s.clients.make_proxy(at);
        }
        s.measure(at, now, register.echo);
        self.admit(s, at, None, state);
        self.register_listed(s, origin, register);
        // Who is handed keys needs no other confirmation, so that nobody waits for one.
        let waits = s.security.is_none() || !register.clients.is_empty();
        if waits && matches!(self.stage, Stage::Lingering(_)) {
            self.confirm(s);
        }
    }

    /// How far a destination comes by this REGISTER.
    fn judge(
        &mut self,
        s: &mut Session,
        now: Instant,
        uid: Uid,
        register: &Register,
    ) -> Result<State, Refusal> {
        let Some(security) = &mut s.security else {
            return Ok(State::Active);
        };
        let dear = !security.recalls(uid, register);
        if dear && !self.handshakes_left(security.keys(uid), now) {
            return Err(Refusal::Limit);
        }
        let admission = security.register(uid, register)?;
        Ok(match security.is_keyed(uid) {
            // What others may have said in its name takes nothing from whom can be handed keys.
            true => State::Registered,
            false => state_of(admission),
        })
    }

    /// Those whom the author of a REGISTER, a proxy, has listed in it have registered.
    fn register_listed(&mut self, s: &mut Session, origin: Origin, register: &Register) {
        let Origin { now, from, at } = origin;
        let proxy = s.clients.uid(at);
        // Whom it speaks for counts as long as it is who it says.
        let security = s.security.as_ref();
        let state = match security.is_none_or(|sec| sec.is_keyed(proxy)) {
            true => State::Active,
            false => State::Registered,
        };
        let proved = s.security.is_none() || s.keys(proxy) == Keys::Ready;
        for &client in &register.clients {
            let may_speak = s.may_speak_for(proxy, client);
            let new = s.is_open() && s.clients.find(client).is_none();
            if new && !proved && !self.listed.allow(now) {
                s.counters.refuse(Refusal::Limit);
                continue;
            }
            match find_or_add(s, client) {
                Some(place) if place != at && may_speak && self.registrable(&s.clients, place) => {
                    s.clients.share_rtt(at, place);
                    self.admit(s, place, Some(at), state);
                }
                Some(_) => s.counters.refuse(Refusal::OutOfPlace),
                None => s.turn_away(now, from, client, NOT_LISTED),
            }
        }
    }

    /// Whether a REGISTER of a stranger would be looked into.
    pub(super) fn looks_into(&mut self, s: &Session, now: Instant) -> bool {
        s.security.is_none() || self.handshakes.has_more(now)
    }

    /// Whether a message of the handshake may be looked into. Those of receivers that have proved
    /// themselves cost nothing.
    fn handshakes_left(&mut self, keys: Keys, now: Instant) -> bool {
        keys == Keys::Ready || self.handshakes.allow(now)
    }

    /// Whether a destination may still register.
    fn registrable(&self, clients: &Clients, at: usize) -> bool {
        let state = clients.state(at);
        state.is_some_and(|s| matches!(s, State::Mute | State::Registered | State::Active))
    }

    /// A destination has registered, by itself or through a proxy.
    fn admit(&self, s: &mut Session, at: usize, via: Option<usize>, state: State) {
        let before = s.clients.state(at);
        let again = before != Some(State::Mute);
        if before != Some(State::Active) {
            s.clients.set_state(at, state);
        }
        let direct = via.is_none() && s.security.is_some();
        let proxy = via.and_then(|via| s.clients.get(via)).map(|c| c.uid);
        if let Some(client) = s.clients.get_mut(at) {
            client.declined = false;
            // Whoever has the keys needs no other confirmation.
            client.confirmed = direct;
            client.behind = via.map(Behind::Registered);
            let client = client.uid;
            s.events.push_back(SenderEvent::Registered {
                client,
                proxy,
                again,
            });
        }
    }

    fn client_key(&mut self, s: &mut Session, origin: Origin, message: &ClientKey, bytes: &[u8]) {
        let Origin { now, at, .. } = origin;
        let uid = s.clients.uid(at);
        let (Some(security), true) = (&mut s.security, self.registrable(&s.clients, at)) else {
            s.counters.refuse(Refusal::OutOfPlace);
            return;
        };
        let dear = !security.recalls_key(uid);
        if dear && !self.handshakes_left(security.keys(uid), now) {
            s.counters.refuse(Refusal::Limit);
            return;
        }
        let again = security.is_keyed(uid);
        match security.client_key(uid, Claim::new(message, bytes)) {
            Ok(admission) => {
                if s.clients.state(at) == Some(State::Mute) {
                    s.clients.set_state(at, state_of(admission));
                }
                if admission == Admission::Ready {
                    s.clients.set_states(|c| {
                        let waits = c.is_behind(at) && c.state() == State::Registered;
                        waits.then_some(State::Active)
                    });
                }
                s.events
                    .push_back(SenderEvent::ClientKeyReceived { client: uid, again });
            }
            Err((refusal, news)) => {
                s.counters.refuse(refusal);
                let rejected = SenderEvent::ClientKeyRejected { client: uid };
                s.events.extend(news.then_some(rejected));
            }
        }
    }

    fn key_info_ack(&mut self, s: &mut Session, at: usize, ack: &KeyInfoAck) {
        let uid = s.clients.uid(at);
        let (Some(security), true) = (&mut s.security, self.registrable(&s.clients, at)) else {
            s.counters.refuse(Refusal::OutOfPlace);
            return;
        };
        match security.acknowledge(uid, ack) {
            Ok(()) => {
                s.clients.set_state(at, State::Active);
                s.events
                    .push_back(SenderEvent::KeyInfoAcked { client: uid });
            }
            Err(refusal) => s.counters.refuse(refusal),
        }
    }

    fn end(&mut self, s: &mut Session) -> Next {
        s.update_grtt(Decay::Gradual);
        s.clients.clear_measured();
        s.part_with_declined();
        let unproved = s.clients.places(|c| c.state() == State::Registered);
        for (n, at) in unproved.into_iter().enumerate() {
            match n < MOST_TOLD {
                true => s.lose(at, "ANNOUNCE"),
                // Who may not be there at all is not told in a packet each.
                false => s.forget(at, "ANNOUNCE"),
            }
        }
        let missing = [State::Mute, State::Lost, State::Aborted];
        s.miss(s.clients.destinations_in(&missing));
        if let Some(why) = s.all_or_nothing() {
            return self.fail(s, why);
        }
        if s.clients.receivers_in(&[State::Active]) == 0 {
            report_connections(s, |_| false);
            return Next::Over(Outcome::NobodyRegistered);
        }
        // Those who came in during the last cycle: while they are not asked for a file yet, as
        // that is not what they registered for.
        self.stage = Stage::Leaving;
        self.confirm(s);
        Next::Stay
    }

    fn fail(&mut self, s: &mut Session, reason: &'static str) -> Next {
        report_connections(s, |_| false);
        s.abort_all(reason);
        Next::Over(Outcome::NobodyRegistered)
    }
}

/// Whether there is nobody left to wait for.
fn everybody_is_in(s: &Session) -> bool {
    if s.is_open() {
        let active = s.clients.receivers_in(&[State::Active]);
        return s.config.min_clients.is_some_and(|min| active >= min.max(1));
    }
    s.clients.destinations_in(&[State::Active, State::Aborted]) == s.clients.len()
}

/// Whether everybody who is waited for has keys or can be handed them, and somebody cannot do
/// anything else.
fn everybody_has_registered(s: &Session) -> bool {
    let in_all = s.clients.receivers_in(&[State::Registered, State::Active]);
    let enough = match s.is_open() {
        true => s.config.min_clients.is_some_and(|min| in_all >= min.max(1)),
        false => s.clients.destinations_in(&[State::Mute]) == 0,
    };
    enough && s.clients.destinations_in(&[State::Registered]) > 0
}

/// Where registering leads.
fn state_of(admission: Admission) -> State {
    match admission {
        Admission::AwaitsKey => State::Mute,
        Admission::Ready => State::Registered,
    }
}

/// The destination of this id; in an open group a new one if need be.
pub(super) fn find_or_add(s: &mut Session, uid: Uid) -> Option<usize> {
    match s.clients.find(uid) {
        None if s.is_open() => s.clients.add_stranger(uid),
        found => found,
    }
}

/// Tells of every destination known whether it is `connected`.
pub(super) fn report_connections(s: &mut Session, connected: impl Fn(State) -> bool) {
    let report = |client: &Client| SenderEvent::Connect {
        client: client.uid,
        proxy: client.proxy,
        connected: connected(client.state()),
    };
    s.events.extend(s.clients.iter().map(report));
}
