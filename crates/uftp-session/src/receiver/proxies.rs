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
use crate::letters::Letters;
use crate::limit::Limit;
use crate::policy::Policy;
use crate::security::ProxyKeys;

/// Longest time from one KEY_REQ to the next, while there is no answer; the first few follow
/// sooner, as the network may lose them.
const KEY_REQ_INTERVAL: Duration = Duration::from_secs(5);

/// Requests without an answer after which senders are told.
const REQUESTS: u32 = 3;

/// Signatures of PROXY_KEYs checked in a second.
const CHECKS_PER_SECOND: u32 = 20;

/// The proxies a receiver knows.
pub(super) struct Proxies {
    beats: Beats,
    response: Option<Response>,
    letters: Letters,
}

/// The response proxy, and its keys once they are here.
struct Response {
    proxy: ResponseProxy,
    keys: Option<ProxyKeys>,
    /// When to ask for them, and how often we did.
    ask: Instant,
    asked: u32,
    checks: Limit,
}

impl Proxies {
    /// Heartbeats and requests begin at once.
    pub(super) fn new(config: &ReceiverConfig, now: Instant) -> Self {
        Proxies {
            beats: Beats::new(&config.heartbeats, now),
            response: config.response_proxy.map(|proxy| Response {
                proxy,
                keys: None,
                ask: now,
                asked: 0,
                checks: Limit::per_second(CHECKS_PER_SECOND),
            }),
            letters: Letters::default(),
        }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    pub(super) fn deadline(&self) -> Option<Instant> {
        let keyless = self.response.as_ref().filter(|r| r.keys.is_none());
        let ask = keyless.map(|r| r.ask);
        self.beats.deadline().into_iter().chain(ask).min()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.letters.is_empty()
    }

    /// Where answers go in sessions of this protocol, if not to senders.
    pub(super) fn response_addr(&self, version: Version) -> Option<SocketAddr> {
        self.standing_for(version).map(|r| r.proxy.addr)
    }

    /// Whether the keys of the response proxy are missing, and can be here any time.
    pub(super) fn awaits_keys(&self, version: Version) -> bool {
        let waits = |r: &Response| r.keys.is_none() && r.asked < REQUESTS;
        self.standing_for(version).is_some_and(waits)
    }

    /// The keys of the response proxy in sessions of this protocol; `None` as long as they are
    /// not here.
    pub(super) fn response_keys(&self, version: Version) -> Option<&ProxyKeys> {
        self.standing_for(version)?.keys.as_ref()
    }

    fn standing_for(&self, version: Version) -> Option<&Response> {
        let speaks = Policy::of(version).standing_proxy;
        self.response.as_ref().filter(|_| speaks)
    }

    /// Queues what is due.
    pub(super) fn handle_timeout(&mut self, now: Instant, mut tell: impl FnMut(ReceiverEventKind)) {
        let (beats, letters) = (&mut self.beats, &mut self.letters);
        beats.beat(
            now,
            |to, version| {
                // What finds no room is repeated like what is lost.
                let _ = letters.post(to, version, Message::HbReq(heartbeat::request()));
            },
            |from| tell(ReceiverEventKind::HeartbeatUnanswered(from)),
        );
        if let Some(response) = &mut self.response
            && response.keys.is_none()
            && response.ask <= now
        {
            let pause = Duration::from_secs(1 << response.asked.min(8));
            response.ask = now + pause.min(KEY_REQ_INTERVAL);
            response.asked = response.asked.saturating_add(1);
            let to = response.proxy.addr;
            let _ = self.letters.post(to, Version::V4, Message::KeyReq);
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
                    self.letters.post(from, version, Message::HbReq(proof))?;
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
        message: &ProxyKey,
    ) -> Result<Option<ReceiverEventKind>, Refusal> {
        let ours = |r: &&mut Response| r.proxy.addr == from;
        let response = self.response.as_mut().filter(ours);
        let response = response.ok_or(Refusal::UnknownSource)?;
        if response.keys.as_ref().is_some_and(|k| k.are(message)) {
            return Ok(None);
        }
        if !response.checks.allow(now) {
            return Err(Refusal::Limit);
        }
        let keys = ProxyKeys::accept(message, response.proxy.fingerprint)?;
        let fingerprint = keys.fingerprint();
        response.keys = Some(keys);
        Ok(Some(ReceiverEventKind::ProxyKeyReceived(fingerprint)))
    }

    /// Writes what is queued, as words of `uid`. Returns how many datagrams that were.
    pub(super) fn write(&mut self, uid: Uid, batch: &mut Batch) -> u64 {
        self.letters.write(uid, batch)
    }
}
