//! Who takes part: the destinations of a session in list order, found by id.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use uftp_proto::wire::CompleteStatus;
use uftp_proto::{Uid, WireTime};

use super::config::ClientEntry;

/// Most destinations of one session, proxies included (behaviour-sender-receiver §1.3).
pub(super) const MAX_DESTINATIONS: usize = 100_000;

/// How far a destination has come (behaviour-sender-receiver §3.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    /// Listed, nothing heard.
    Mute,
    /// Expected to answer: to the keys while announcing, to FILEINFO later.
    Registered,
    /// Takes part.
    Active,
    /// Takes part and has sent NAKs since the last pass began.
    ActiveNak,
    /// Has finished the current item.
    Done,
    /// Stopped answering. For good.
    Lost,
    /// Ended or was ended. For good.
    Aborted,
}

impl State {
    const COUNT: usize = 7;

    /// Whether the destination is out of the session.
    pub(super) fn is_error(self) -> bool {
        matches!(self, State::Mute | State::Lost | State::Aborted)
    }

    /// Whether the destination may be at the current item: it is, or has not answered FILEINFO yet.
    pub(super) fn is_expected(self) -> bool {
        self == State::Registered || self.is_receiving()
    }

    /// Whether the destination is still at the current item.
    pub(super) fn is_receiving(self) -> bool {
        matches!(self, State::Active | State::ActiveNak)
    }
}

/// How the current item ended at a receiver.
#[derive(Clone, Copy, Debug)]
pub(super) struct ItemResult {
    pub(super) status: CompleteStatus,
    pub(super) free_space: Option<u64>,
    pub(super) at: Instant,
}

/// The proxy that a destination is behind, and how that is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Behind {
    /// By REGISTERs, which prove nothing.
    Registered(usize),
    /// The proxy has proved itself, and said so under keys.
    Vouched(usize),
}

/// One destination.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) uid: Uid,
    /// What the operator called it.
    pub(super) name: Option<String>,
    /// It speaks for others and receives nothing itself.
    pub(super) proxy: bool,
    /// The proxy it is behind, if any.
    pub(super) behind: Option<Behind>,
    state: State,
    /// It said that it would not come, but proved nothing: anybody may have said so.
    pub(super) declined: bool,
    /// It was told that its registration (or, at the end, its completion) arrived.
    pub(super) confirmed: bool,
    /// Where it last spoke from.
    pub(super) addr: Option<SocketAddr>,
    /// The operator was told that two hosts share its id.
    pub(super) shared: bool,
    /// Last measured round trip, and whether that was since measurements were cleared.
    rtt: Option<Duration>,
    measured: bool,
    /// The stamp it echoed when that was measured.
    pub(super) echoed: WireTime,
    /// The last pass over the current item at whose end it said what it misses.
    pub(super) reported: u32,
    /// STATUS messages over the NAK limit.
    pub(super) strikes: u32,
    /// How the current item ended there.
    pub(super) result: Option<ItemResult>,
    /// When it was last told that it is out of the session.
    pub(super) told_off: Option<Instant>,
}

impl Client {
    pub(super) fn state(&self) -> State {
        self.state
    }

    /// Where the proxy stands that it is behind; `None` if it is behind none.
    pub(super) fn via(&self) -> Option<usize> {
        self.behind.map(|behind| match behind {
            Behind::Registered(proxy) | Behind::Vouched(proxy) => proxy,
        })
    }

    /// Whether the destination at this place speaks for it.
    pub(super) fn is_behind(&self, proxy: usize) -> bool {
        self.via() == Some(proxy)
    }
}

/// All destinations.
#[derive(Debug, Default)]
pub(super) struct Clients {
    list: Vec<Client>,
    by_uid: HashMap<Uid, usize>,
    /// How many are in each state: receivers, proxies.
    counts: [[usize; State::COUNT]; 2],
}

impl Clients {
    /// Appends a destination that is listed. `None` if the table is full or the id is in it already.
    pub(super) fn add_listed(&mut self, entry: &ClientEntry) -> Option<usize> {
        self.add(entry.uid, Some(entry.name.clone()), entry.proxy)
    }

    /// Appends a receiver that is not listed. `None` as above.
    pub(super) fn add_stranger(&mut self, uid: Uid) -> Option<usize> {
        self.add(uid, None, false)
    }

    fn add(&mut self, uid: Uid, name: Option<String>, proxy: bool) -> Option<usize> {
        if uid.is_none() || self.list.len() >= MAX_DESTINATIONS || self.by_uid.contains_key(&uid) {
            return None;
        }
        let at = self.list.len();
        self.by_uid.insert(uid, at);
        self.list.push(Client {
            uid,
            name,
            proxy,
            behind: None,
            state: State::Mute,
            declined: false,
            confirmed: false,
            addr: None,
            shared: false,
            rtt: None,
            measured: false,
            echoed: WireTime::default(),
            reported: 0,
            strikes: 0,
            result: None,
            told_off: None,
        });
        *self.count_mut(State::Mute, proxy) += 1;
        Some(at)
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    pub(super) fn find(&self, uid: Uid) -> Option<usize> {
        self.by_uid.get(&uid).copied()
    }

    pub(super) fn get(&self, at: usize) -> Option<&Client> {
        self.list.get(at)
    }

    pub(super) fn get_mut(&mut self, at: usize) -> Option<&mut Client> {
        self.list.get_mut(at)
    }

    /// The id of a destination; [`Uid::NONE`] if there is none there.
    pub(super) fn uid(&self, at: usize) -> Uid {
        self.list.get(at).map_or(Uid::NONE, |c| c.uid)
    }

    pub(super) fn state(&self, at: usize) -> Option<State> {
        self.list.get(at).map(|c| c.state)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Client> {
        self.list.iter()
    }

    /// Places of the destinations in list order that satisfy `test`.
    pub(super) fn places(&self, test: impl Fn(&Client) -> bool) -> Vec<usize> {
        let found = self.list.iter().enumerate().filter(|(_, c)| test(c));
        found.map(|(at, _)| at).collect()
    }

    /// Moves a destination to another state.
    pub(super) fn set_state(&mut self, at: usize, state: State) {
        let Some(client) = self.list.get_mut(at) else {
            return;
        };
        let (old, proxy) = (client.state, client.proxy);
        client.state = state;
        *self.count_mut(old, proxy) -= 1;
        *self.count_mut(state, proxy) += 1;
    }

    /// Moves every destination to the state `next` gives for it, if any.
    pub(super) fn set_states(&mut self, next: impl Fn(&Client) -> Option<State>) {
        for at in 0..self.list.len() {
            if let Some(state) = self.list.get(at).and_then(&next) {
                self.set_state(at, state);
            }
        }
    }

    /// Turns a destination into a proxy.
    pub(super) fn make_proxy(&mut self, at: usize) {
        let Some(client) = self.list.get_mut(at) else {
            return;
        };
        if !client.proxy {
            client.proxy = true;
            let state = client.state;
            *self.count_mut(state, false) -= 1;
            *self.count_mut(state, true) += 1;
        }
    }

    /// Receivers (not proxies) in any of these states.
    pub(super) fn receivers_in(&self, states: &[State]) -> usize {
        states.iter().map(|s| self.count(*s, false)).sum()
    }

    /// Destinations, proxies included, in any of these states.
    pub(super) fn destinations_in(&self, states: &[State]) -> usize {
        let both = |s: &State| self.count(*s, false) + self.count(*s, true);
        states.iter().map(both).sum()
    }

    /// Whether a receiver is still at the current item.
    pub(super) fn any_receiving(&self) -> bool {
        self.receivers_in(&[State::Active, State::ActiveNak]) > 0
    }

    /// Whether somebody answers for others.
    pub(super) fn any_proxy(&self) -> bool {
        self.list.iter().any(|c| c.proxy)
    }

    /// Whether a receiver is still at the current item, or has not said whether it is.
    pub(super) fn any_expected(&self) -> bool {
        self.receivers_in(&[State::Registered]) > 0 || self.any_receiving()
    }

    /// The last measured round trip of a destination.
    pub(super) fn rtt(&self, at: usize) -> Option<Duration> {
        self.list.get(at).and_then(|c| c.rtt)
    }

    /// Whether a destination is a receiver, not a proxy, that is still at the current item.
    pub(super) fn is_receiving(&self, at: usize) -> bool {
        let client = self.list.get(at);
        client.is_some_and(|c| !c.proxy && c.state.is_receiving())
    }

    /// Notes the round trip of the stamp `echoed`.
    pub(super) fn set_rtt(&mut self, at: usize, rtt: Duration, echoed: WireTime) {
        if let Some(client) = self.list.get_mut(at) {
            client.rtt = Some(rtt);
            client.echoed = echoed;
            client.measured = true;
        }
    }

    /// Who answers through a proxy has its round trip: of a stamp that the proxy has echoed before, the
    /// answer says no more than when the proxy got round to it (behaviour-proxies §14.1).
    pub(super) fn share_rtt(&mut self, proxy: usize, at: usize) {
        let measured = self.list.get(proxy).filter(|c| c.measured);
        let measured = measured.and_then(|c| Some((c.rtt?, c.echoed)));
        if let (Some((rtt, echoed)), Some(client)) = (measured, self.list.get(at)) {
            self.set_rtt(at, rtt, echoed.max(client.echoed));
        }
    }

    /// The longest round trip measured since [`clear_measured`](Self::clear_measured), of those
    /// who take part.
    pub(super) fn longest_rtt(&self) -> Option<Duration> {
        let measured = self
            .list
            .iter()
            .filter(|c| c.measured && !c.state.is_error());
        measured.filter_map(|c| c.rtt).max()
    }

    /// Forgets which round trips are fresh.
    pub(super) fn clear_measured(&mut self) {
        for client in &mut self.list {
            client.measured = false;
        }
    }

    /// Forgets who was told that its message arrived, and how the last item ended.
    pub(super) fn clear_item(&mut self) {
        for client in &mut self.list {
            client.confirmed = false;
            client.result = None;
            client.reported = 0;
        }
    }

    fn count(&self, state: State, proxy: bool) -> usize {
        let row = self.counts.get(usize::from(proxy));
        row.and_then(|row| row.get(state as usize))
            .copied()
            .unwrap_or(0)
    }

    fn count_mut(&mut self, state: State, proxy: bool) -> &mut usize {
        let [receivers, proxies] = &mut self.counts;
        let [mute, registered, active, nak, done, lost, aborted] =
            if proxy { proxies } else { receivers };
        match state {
            State::Mute => mute,
            State::Registered => registered,
            State::Active => active,
            State::ActiveNak => nak,
            State::Done => done,
            State::Lost => lost,
            State::Aborted => aborted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_follow_the_states() {
        let mut clients = Clients::default();
        let a = clients.add_stranger(Uid(1)).unwrap();
        let b = clients.add_stranger(Uid(2)).unwrap();
        let p = clients.add_listed(&ClientEntry::proxy(Uid(3))).unwrap();
        assert_eq!(clients.add_stranger(Uid(2)), None, "an id stands once");
        assert_eq!(clients.add_stranger(Uid::NONE), None);
        clients.set_state(a, State::Active);
        clients.set_state(p, State::Active);
        assert_eq!(clients.receivers_in(&[State::Active, State::Mute]), 2);
        assert_eq!(clients.destinations_in(&[State::Active]), 2);
        clients.set_states(|c| (c.state() == State::Active).then_some(State::Done));
        assert_eq!(clients.destinations_in(&[State::Done]), 2);
        assert!(!clients.any_receiving());
        clients.make_proxy(b);
        assert_eq!(clients.receivers_in(&[State::Mute]), 0);
        assert_eq!(clients.destinations_in(&[State::Mute]), 1);
        assert_eq!(clients.find(Uid(3)), Some(p));
    }
}
