//! What a proxy says outside sessions: heartbeats both ways, and its keys.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::Rng;
use uftp_proto::wire::{self, HbReq, HbResp, Message, ProxyKey, Version};

use super::{Proxy, ProxyEventKind, Role};
use crate::counters::Refusal;
use crate::heartbeat::{self, Answered};

/// From one PROXY_KEY to the next (behaviour-proxies §12).
const PROXY_KEY_PAUSE: Duration = Duration::from_secs(5);

/// When those who speak one protocol were last shown our keys, and when they are to be again.
pub(super) struct KeyTurn {
    version: Version,
    sent: Option<Instant>,
    due: Option<Instant>,
}

impl KeyTurn {
    /// Of every protocol that knows KEY_REQ.
    pub(super) fn all() -> [KeyTurn; 3] {
        [Version::V3, Version::V3Sync, Version::V4].map(|version| KeyTurn {
            version,
            sent: None,
            due: None,
        })
    }
}

impl Proxy {
    /// Somebody downstream tells where it is.
    pub(super) fn heartbeat(
        &mut self,
        now: Instant,
        from: SocketAddr,
        version: Version,
        request: &HbReq,
    ) -> Result<(), Refusal> {
        let before = self.downstream();
        let answer = match &mut self.destination {
            None => HbResp {
                code: wire::HbCode::OK,
                nonce: 0,
            },
            Some(destination) => destination
                .judge(now, from, request, &mut self.rng)
                .ok_or(Refusal::Limit)?,
        };
        if answer.code == wire::HbCode::FAILED {
            self.tell(None, ProxyEventKind::HeartbeatRefused(from));
        }
        let after = self.downstream();
        if after != before
            && let Some(addr) = after
        {
            self.missed_downstream = false;
            self.tell(None, ProxyEventKind::Downstream(addr));
        }
        self.sessionless
            .post(from, version, Message::HbResp(answer))
    }

    /// An upstream proxy answers our heartbeat.
    pub(super) fn answered(
        &mut self,
        now: Instant,
        from: SocketAddr,
        version: Version,
        answer: HbResp,
    ) -> Result<(), Refusal> {
        match self.beats.answered(now, from, version, &answer) {
            Answered::Stray => return Err(Refusal::OutOfPlace),
            Answered::Accepted => {}
            Answered::Established => self.tell(None, ProxyEventKind::HeartbeatAccepted(from)),
            Answered::Denied => self.tell(None, ProxyEventKind::HeartbeatDenied(from)),
            Answered::Challenged(nonce) => {
                let key = self.config.identity(version);
                let Some(proof) = heartbeat::proof(key, version, nonce) else {
                    self.tell(None, ProxyEventKind::HeartbeatDenied(from));
                    return Ok(());
                };
                return self.sessionless.post(from, version, Message::HbReq(proof));
            }
        }
        Ok(())
    }

    /// Sends the heartbeats that are due.
    pub(super) fn beat(&mut self, now: Instant) {
        let (mut due, mut silent) = (Vec::new(), Vec::new());
        self.beats.beat(
            now,
            |to, version| due.push((to, version)),
            |from| silent.push(from),
        );
        for from in silent {
            self.tell(None, ProxyEventKind::HeartbeatUnanswered(from));
        }
        for (to, version) in due {
            // What finds no room is repeated like what is lost.
            let _ = self
                .sessionless
                .post(to, version, Message::HbReq(heartbeat::request()));
        }
    }

    /// A client wants our keys. All get them at once, but that not more often than makes sense:
    /// who asks in between, and cannot wait, gets them alone. If too many ask they all wait. Each
    /// protocol has its turn, for its clients hear no other.
    pub(super) fn key_requested(
        &mut self,
        now: Instant,
        from: SocketAddr,
        version: Version,
    ) -> Result<(), Refusal> {
        if !matches!(self.config.role, Role::Response { .. }) {
            return Err(Refusal::OutOfPlace);
        }
        let spoken = |turn: &&mut KeyTurn| turn.version == version;
        let turn = self.key_turns.iter_mut().find(spoken);
        let turn = turn.ok_or(Refusal::OutOfPlace)?;
        let last = turn.sent.map(|sent| sent + PROXY_KEY_PAUSE);
        match last.filter(|next| *next > now) {
            None => self.send_proxy_key(now, version),
            Some(_) if self.askers.allow(now) => {
                let message = self.proxy_key(version).ok_or(Refusal::OutOfPlace)?;
                let message = Message::ProxyKey(message);
                self.sessionless.post(from, version, message)
            }
            Some(next) => {
                turn.due.get_or_insert(next);
                Ok(())
            }
        }
    }

    /// When our keys are to be shown again, to those who wait.
    pub(super) fn keys_due(&self) -> Option<Instant> {
        self.key_turns.iter().filter_map(|turn| turn.due).min()
    }

    /// Shows our keys where that is due.
    pub(super) fn show_keys(&mut self, now: Instant) {
        let due = |turn: &&mut KeyTurn| turn.due.is_some_and(|due| due <= now);
        let turns = self.key_turns.iter_mut().filter(due);
        let versions: Vec<_> = turns
            .map(|turn| {
                turn.due = None;
                turn.version
            })
            .collect();
        for version in versions {
            // What fails is asked for again.
            let _ = self.send_proxy_key(now, version);
        }
    }

    /// Our keys, signed, as far as the protocol can say them.
    fn proxy_key(&mut self, version: Version) -> Option<ProxyKey> {
        let Role::Response { dh_key, .. } = &self.config.role else {
            return None;
        };
        let key = self.config.identity(version)?;
        let nonce = self.rng.next_u32();
        let signature = match heartbeat::sign_nonce(key, version, nonce) {
            Ok(signature) => signature,
            Err(error) => {
                tracing::error!(%error, "cannot sign PROXY_KEY");
                return None;
            }
        };
        let dh_key = dh_key.as_ref().filter(|dh| dh.kind().is_in(version));
        let dh_key = dh_key.map(|dh| dh.public().blob().to_vec());
        Some(ProxyKey {
            nonce,
            key: key.public().blob().to_vec(),
            dh_key: dh_key.unwrap_or_default(),
            signature,
        })
    }

    fn send_proxy_key(&mut self, now: Instant, version: Version) -> Result<(), Refusal> {
        let message = self.proxy_key(version).ok_or(Refusal::OutOfPlace)?;
        let Role::Response { publics, .. } = &self.config.role else {
            return Err(Refusal::OutOfPlace);
        };
        for group in publics.iter() {
            let to = SocketAddr::new(*group, self.config.port);
            let message = Message::ProxyKey(message.clone());
            // What finds no room is asked for again.
            let _ = self.sessionless.post(to, version, message);
        }
        for turn in &mut self.key_turns {
            if turn.version == version {
                turn.sent = Some(now);
            }
        }
        self.tell(None, ProxyEventKind::ProxyKeySent);
        Ok(())
    }
}
