//! Heartbeats: a host behind NAT tells upstream proxies where it is (behaviour-proxies §11,
//! wire-v4 §9.4). The end that is told is [`proxy`](crate::proxy).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use uftp_proto::crypto::{Hash, KeyError, PrivateKey, SignatureForm};
use uftp_proto::wire::{HbCode, HbReq, HbResp, Version};

/// Heartbeats sent (behaviour-proxies §11).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Heartbeats {
    /// Whom to.
    pub upstreams: Vec<SocketAddr>,
    /// From one to the next.
    pub interval: Duration,
}

impl Default for Heartbeats {
    /// None, every 20 s.
    fn default() -> Self {
        Heartbeats {
            upstreams: Vec::new(),
            interval: Duration::from_secs(20),
        }
    }
}

/// Answers that may fail to come before another protocol is tried and the operator told.
const PATIENCE: u32 = 3;

/// Spoken until one of them is answered: what a proxy does not know it drops.
const SPOKEN: [Version; 3] = [Version::V4, Version::V5, Version::V3];

/// The sending end: tells upstream proxies where we are.
pub(crate) struct Beats {
    interval: Duration,
    upstreams: Vec<Upstream>,
}

struct Upstream {
    addr: SocketAddr,
    next: Instant,
    /// Sent since the last answer.
    unanswered: u32,
    /// The protocol it answers in.
    version: Option<Version>,
    /// A challenge may be answered: one for each request.
    provable: bool,
    accepted: bool,
}

/// What an answer to a heartbeat means.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Answered {
    /// It is not one of ours to have.
    Stray,
    /// All is well, and was before.
    Accepted,
    /// All is well now.
    Established,
    /// This nonce is to be signed.
    Challenged(u32),
    /// We are not believed.
    Denied,
}

impl Beats {
    /// The first beat is due at once.
    pub(crate) fn new(config: &Heartbeats, now: Instant) -> Self {
        let upstream = |addr: &SocketAddr| Upstream {
            addr: *addr,
            next: now,
            unanswered: 0,
            version: None,
            provable: false,
            accepted: false,
        };
        Beats {
            interval: config.interval.max(Duration::from_secs(1)),
            upstreams: config.upstreams.iter().map(upstream).collect(),
        }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.upstreams.iter().map(|u| u.next).min()
    }

    /// Calls `send` for each request that is due, and `silent` for upstreams that have just been
    /// silent for too long.
    pub(crate) fn beat(
        &mut self,
        now: Instant,
        mut send: impl FnMut(SocketAddr, Version),
        mut silent: impl FnMut(SocketAddr),
    ) {
        for upstream in self.upstreams.iter_mut().filter(|u| u.next <= now) {
            if upstream.unanswered == PATIENCE {
                upstream.version = None;
                if std::mem::take(&mut upstream.accepted) {
                    silent(upstream.addr);
                }
            }
            match upstream.version {
                Some(version) => send(upstream.addr, version),
                None => SPOKEN.into_iter().for_each(|v| send(upstream.addr, v)),
            }
            let retry = Duration::from_secs(1 << upstream.unanswered.min(12));
            upstream.unanswered = upstream.unanswered.saturating_add(1);
            upstream.provable = true;
            upstream.next = now + retry.min(self.interval);
        }
    }

    /// An answer came.
    pub(crate) fn answered(
        &mut self,
        now: Instant,
        from: SocketAddr,
        version: Version,
        answer: &HbResp,
    ) -> Answered {
        let mut upstreams = self.upstreams.iter_mut();
        let Some(upstream) = upstreams.find(|u| u.addr == from && u.unanswered > 0) else {
            return Answered::Stray;
        };
        match answer.code {
            HbCode::OK => {
                upstream.version = Some(version);
                upstream.unanswered = 0;
                upstream.next = now + self.interval;
                match std::mem::replace(&mut upstream.accepted, true) {
                    true => Answered::Accepted,
                    false => Answered::Established,
                }
            }
            HbCode::CHALLENGE if upstream.provable => {
                upstream.version = Some(version);
                upstream.provable = false;
                Answered::Challenged(answer.nonce)
            }
            HbCode::FAILED => {
                upstream.unanswered = 1;
                upstream.accepted = false;
                upstream.next = now + self.interval;
                Answered::Denied
            }
            _ => Answered::Stray,
        }
    }
}

/// A heartbeat that asks.
pub(crate) fn request() -> HbReq {
    HbReq {
        nonce: 0,
        key: Vec::new(),
        signature: Vec::new(),
    }
}

/// A heartbeat that answers a challenge; `None` without a key that can.
pub(crate) fn proof(key: Option<&Arc<PrivateKey>>, version: Version, nonce: u32) -> Option<HbReq> {
    let key = key.filter(|key| key.kind().is_in(version))?;
    let signature = sign_nonce(key, version, nonce).ok()?;
    Some(HbReq {
        nonce,
        key: key.public().blob().to_vec(),
        signature,
    })
}

/// Signs a nonce.
///
/// # Errors
/// [`KeyError`] if the key cannot.
pub(crate) fn sign_nonce(
    key: &PrivateKey,
    version: Version,
    nonce: u32,
) -> Result<Vec<u8>, KeyError> {
    let form = SignatureForm::of(version);
    key.sign(Hash::Sha1, form, &[&nonce.to_be_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;

    const FROM: ([u8; 4], u16) = ([10, 0, 0, 9], 1044);

    #[test]
    fn unanswered_beats_are_repeated_in_all_protocols_and_answered_ones_in_one() {
        let now = Instant::now();
        let from = SocketAddr::from(FROM);
        let config = Heartbeats {
            upstreams: vec![from],
            interval: Duration::from_secs(20),
        };
        let mut beats = Beats::new(&config, now);
        let ok = HbResp {
            code: HbCode::OK,
            nonce: 0,
        };
        assert_eq!(
            beats.answered(now, from, Version::V4, &ok),
            Answered::Stray,
            "nothing was asked"
        );
        let mut at = now;
        let mut sent = Vec::new();
        let mut seconds = Vec::new();
        for _ in 0..7 {
            beats.beat(at, |_, v| sent.push(v), |_| panic!("never heard of"));
            let next = beats.deadline().unwrap();
            seconds.push((next - at).as_secs());
            at = next;
        }
        assert_eq!(seconds, [1, 2, 4, 8, 16, 20, 20]);
        assert_eq!(sent.len(), 21);
        assert_eq!(
            beats.answered(at, from, Version::V5, &ok),
            Answered::Established
        );
        let mut silent = 0;
        sent.clear();
        for _ in 0..4 {
            at = beats.deadline().unwrap();
            beats.beat(at, |_, v| sent.push(v), |_| silent += 1);
        }
        assert_eq!(
            sent,
            [
                Version::V5,
                Version::V5,
                Version::V5,
                Version::V4,
                Version::V5,
                Version::V3
            ]
        );
        assert_eq!(silent, 1);
    }

    #[test]
    fn one_request_makes_one_signature() {
        let now = Instant::now();
        let from = SocketAddr::from(FROM);
        let config = Heartbeats {
            upstreams: vec![from],
            ..Heartbeats::default()
        };
        let mut beats = Beats::new(&config, now);
        beats.beat(now, |_, _| {}, |_| {});
        let challenge = HbResp {
            code: HbCode::CHALLENGE,
            nonce: 5,
        };
        let mut answer = || beats.answered(now, from, Version::V4, &challenge);
        assert_eq!(answer(), Answered::Challenged(5));
        assert_eq!(answer(), Answered::Stray);
    }
}
