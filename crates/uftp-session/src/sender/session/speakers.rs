//! Who speaks for whom.

use uftp_proto::Uid;

use super::Session;
use crate::security::gate::Keys;
use crate::sender::clients::{Behind, Client};

impl Session {
    /// Those a message speaks for: its author, or the clients listed if a proxy sent it.
    /// `None` if the author may not speak for others.
    pub(in crate::sender) fn speakers(&self, author: usize, listed: &[Uid]) -> Option<Vec<usize>> {
        if listed.is_empty() {
            return Some(vec![author]);
        }
        if !self.clients.get(author)?.proxy {
            return None;
        }
        let behind = |at: &usize| self.clients.get(*at).is_some_and(|c| c.is_behind(author));
        let known = listed.iter().filter_map(|uid| self.clients.find(*uid));
        Some(known.filter(behind).collect())
    }

    /// A proxy that has proved itself names its clients in an answer under keys. Where REGISTERs, which prove
    /// nothing, have them elsewhere, this counts.
    pub(in crate::sender) fn vouch(&mut self, proxy: usize, listed: &[Uid]) {
        let speaks = self.clients.get(proxy).filter(|author| author.proxy);
        if speaks.is_none_or(|author| self.keys(author.uid) != Keys::Ready) {
            return;
        }
        for uid in listed {
            let alone = self.has_proved_itself(*uid);
            let client = self.clients.find(*uid).filter(|at| *at != proxy && !alone);
            let client = client.and_then(|at| self.clients.get_mut(at));
            let vouched = |client: &Client| matches!(client.behind, Some(Behind::Vouched(_)));
            if let Some(client) = client.filter(|client| !vouched(client) && !client.proxy) {
                client.behind = Some(Behind::Vouched(proxy));
            }
        }
    }

    /// Whether a host has proved who it is, or that it has the keys: nobody else speaks for it.
    fn has_proved_itself(&self, uid: Uid) -> bool {
        let security = self.security.as_ref();
        security.is_some_and(|s| s.is_identified(uid)) || self.keys(uid) == Keys::Ready
    }

    /// Whether a proxy may register a client: not one that has proved itself, nor, unless it has
    /// itself, one that is behind another proxy that has.
    pub(in crate::sender) fn may_speak_for(&self, proxy: Uid, client: Uid) -> bool {
        let elsewhere = self.is_spoken_for(client) && self.proxy_of(client) != Some(proxy);
        !self.has_proved_itself(client) && (!elsewhere || self.keys(proxy) == Keys::Ready)
    }

    /// The proxy a client has registered with.
    pub(in crate::sender) fn proxy_of(&self, client: Uid) -> Option<Uid> {
        let client = self.clients.get(self.clients.find(client)?)?;
        Some(self.clients.uid(client.via()?))
    }

    /// Whether a client is behind a proxy that has proved itself: what is said in its own name
    /// without proof is not its own.
    pub(in crate::sender) fn is_spoken_for(&self, client: Uid) -> bool {
        let proxy = self.proxy_of(client);
        proxy.is_some_and(|proxy| self.keys(proxy) == Keys::Ready)
    }
}
