//! What a receiver says to proxies outside of sessions: where it is (heartbeats), and that it
//! wants their keys (behaviour-proxies §11, §12).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use uftp_proto::Uid;
use uftp_proto::crypto::PrivateKey;
use uftp_proto::wire::{HbResp, Message, ProxyKey, Version};

use super::config::{ReceiverConfig, ResponseProxy};
use super::event::ReceiverEventKind;
use crate::batch::Batch;
use crate::counters::Refusal;
use crate::heartbeat::{self, Answered, Beats};
use crate::limit::Limit;
use crate::policy::Policy;
use crate::security::ProxyKeys;
use crate::sessionless::SessionlessQueue;

/// Longest time from one KEY_REQ to the next, while there is no answer; the first few follow
/// sooner, as the network may lose them.
const KEY_REQ_INTERVAL: Duration = Duration::from_secs(5);

/// Requests without an answer after which senders are told.
const REQUESTS: u32 = 3;

/// Requests in a protocol in which there is no answer, while there is in another.
const LAST_REQUESTS: u32 = 8;

/// Protocols in which response proxies have standing keys; ours may speak one or both.
const STANDING: [Version; 2] = [Version::V4, Version::V3];

/// Signatures of PROXY_KEYs checked in a second: as many as cost little, lest few forgeries in the name
/// of the proxy hide what it says.
const CHECKS_PER_SECOND: u32 = 200;

/// The proxies a receiver knows.
pub(super) struct Proxies {
    beats: Beats,
    response: Option<Response>,
    sessionless: SessionlessQueue,
}

/// The response proxy, and its keys as far as they are here.
struct Response {
    proxy: ResponseProxy,
    /// One for each protocol that is heard.
    standings: Vec<Standing>,
    checks: Limit,
    /// It was told that there are too many.
    flooded: bool,
}

/// How far its keys are in one protocol.
struct Standing {
    version: Version,
    keys: Option<ProxyKeys>,
    /// When to ask for them, and how often we did.
    ask: Instant,
    asked: u32,
}

impl Response {
    fn new(proxy: ResponseProxy, heard: impl Fn(Version) -> bool, now: Instant) -> Self {
        let standing = |version| Standing {
            version,
            keys: None,
            ask: now,
            asked: 0,
        };
        let heard = STANDING.into_iter().filter(|version| heard(*version));
        Response {
            proxy,
            standings: heard.map(standing).collect(),
            checks: Limit::per_second(CHECKS_PER_SECOND),
            flooded: false,
        }
    }

    /// How often it is asked in each protocol: until there is an answer in one of them, and not for
    /// long after that, as it may speak no other.
    fn most_requests(&self) -> u32 {
        match self.standings.iter().any(|s| s.keys.is_some()) {
            true => LAST_REQUESTS,
            false => u32::MAX,
        }
    }

    /// When to ask again.
    fn deadline(&self) -> Option<Instant> {
        let most = self.most_requests();
        let wanted = self.standings.iter().filter(|s| s.is_wanted(most));
        wanted.map(|s| s.ask).min()
    }
}

impl Standing {
    fn is_wanted(&self, most: u32) -> bool {
        self.keys.is_none() && self.asked < most
    }
}

impl Proxies {
    /// Heartbeats and requests begin at once, requests in protocols that are heard. A heartbeat is
    /// said in all: which one a proxy answers in has nothing to do with its sessions (wire-v5 §10.4).
    pub(super) fn new(config: &ReceiverConfig, now: Instant) -> Self {
        let heard = |version| config.hears(version);
        let response = |proxy| Response::new(proxy, heard, now);
        Proxies {
            beats: Beats::new(&config.heartbeats, now),
            response: config.response_proxy.map(response),
            sessionless: SessionlessQueue::default(),
        }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    pub(super) fn deadline(&self) -> Option<Instant> {
        let ask = self.response.as_ref().and_then(Response::deadline);
        self.beats.deadline().into_iter().chain(ask).min()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.sessionless.is_empty()
    }

    /// Where answers go in sessions of this protocol, if not to senders.
    pub(super) fn response_addr(&self, version: Version) -> Option<SocketAddr> {
        self.standing(version)?;
        self.response.as_ref().map(|r| r.proxy.addr)
    }

    /// Whether the keys of the response proxy are missing, and can be here any time.
    pub(super) fn awaits_keys(&self, version: Version) -> bool {
        let standing = self.standing(version);
        standing.is_some_and(|s| s.is_wanted(REQUESTS))
    }

    /// The keys of the response proxy in sessions of this protocol; `None` as long as they are
    /// not here.
    pub(super) fn response_keys(&self, version: Version) -> Option<&ProxyKeys> {
        self.standing(version)?.keys.as_ref()
    }

    fn standing(&self, version: Version) -> Option<&Standing> {
        let asked = Policy::of(version).standing_proxy?;
        let mut standings = self.response.as_ref()?.standings.iter();
        standings.find(|s| s.version == asked)
    }

    /// Queues what is due.
    pub(super) fn handle_timeout(&mut self, now: Instant, mut tell: impl FnMut(ReceiverEventKind)) {
        let (beats, sessionless) = (&mut self.beats, &mut self.sessionless);
        beats.beat(
            now,
            |to, version| {
                // What finds no room is repeated like what is lost.
                let _ = sessionless.post(to, version, Message::HbReq(heartbeat::request()));
            },
            |from| tell(ReceiverEventKind::HeartbeatUnanswered(from)),
        );
        let Some(response) = &mut self.response else {
            return;
        };
        let (to, most) = (response.proxy.addr, response.most_requests());
        let due = |s: &&mut Standing| s.is_wanted(most) && s.ask <= now;
        let mut asked = false;
        for standing in response.standings.iter_mut().filter(due) {
            let pause = Duration::from_secs(1 << standing.asked.min(8));
            standing.ask = now + pause.min(KEY_REQ_INTERVAL);
            standing.asked = standing.asked.saturating_add(1);
            // What a proxy does not know it drops.
            let _ = self.sessionless.post(to, standing.version, Message::KeyReq);
            asked = true;
        }
        if asked {
            tell(ReceiverEventKind::ProxyKeyRequested(to));
        }
    }

    /// A proxy answers our heartbeat. Returns what there is to tell; `key` proves us.
    ///
    /// # Errors
    /// [`Refusal`] if nothing was asked.
    pub(super) fn answered(
        &mut self,
        now: Instant,
        from: SocketAddr,
        version: Version,
        answer: &HbResp,
        key: Option<&Arc<PrivateKey>>,
    ) -> Result<Option<ReceiverEventKind>, Refusal> {
        Ok(match self.beats.answered(now, from, version, answer) {
            Answered::Stray => return Err(Refusal::OutOfPlace),
            Answered::Accepted => None,
            Answered::Established => Some(ReceiverEventKind::HeartbeatAccepted(from)),
            Answered::Denied => Some(ReceiverEventKind::HeartbeatDenied(from)),
            Answered::Challenged(nonce) => match heartbeat::proof(key, version, nonce) {
                None => Some(ReceiverEventKind::HeartbeatDenied(from)),
                Some(proof) => {
                    self.sessionless
                        .post(from, version, Message::HbReq(proof))?;
                    None
                }
            },
        })
    }

    /// A response proxy shows its keys. Returns what there is to tell.
    ///
    /// # Errors
    /// [`Refusal`] if it is not ours, or does not prove that the keys are its own.
    pub(super) fn proxy_key(
        &mut self,
        now: Instant,
        from: SocketAddr,
        version: Version,
        message: &ProxyKey,
    ) -> Result<Option<ReceiverEventKind>, Refusal> {
        let ours = |r: &&mut Response| r.proxy.addr == from;
        let response = self.response.as_mut().filter(ours);
        let response = response.ok_or(Refusal::UnknownSource)?;
        let asked = Policy::of(version).standing_proxy;
        let mut standings = response.standings.iter_mut();
        let standing = standings.find(|s| Some(s.version) == asked);
        let standing = standing.ok_or(Refusal::OutOfPlace)?;
        if standing.keys.as_ref().is_some_and(|k| k.are(message)) {
            return Ok(None);
        }
        let known = response.proxy.fingerprint;
        if known.is_some_and(|known| !known.names(&message.key)) {
            return Err(Refusal::Unauthentic);
        }
        if !response.checks.allow(now) {
            return match std::mem::replace(&mut response.flooded, true) {
                false => Ok(Some(ReceiverEventKind::ProxyKeysTooMany(from))),
                true => Err(Refusal::Limit),
            };
        }
        let keys = ProxyKeys::accept(message, response.proxy.fingerprint)?;
        let fingerprint = keys.fingerprint();
        standing.keys = Some(keys);
        Ok(Some(ReceiverEventKind::ProxyKeyReceived(fingerprint)))
    }

    /// Writes what is queued, as words of `uid`. Returns how many datagrams that were.
    pub(super) fn write(&mut self, uid: Uid, batch: &mut Batch) -> u64 {
        self.sessionless.write(uid, batch)
    }
}
