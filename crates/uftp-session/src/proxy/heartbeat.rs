//! Heartbeats, both ends of them (behaviour-proxies §11, wire-v4 §9.4).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::Rng;
use rand::rngs::StdRng;
use uftp_proto::crypto::{Fingerprint, Hash, KeyError, PrivateKey, PublicKey, SignatureForm};
use uftp_proto::wire::{HbCode, HbReq, HbResp, Version};

use super::config::Heartbeats;
use super::limit::Limit;

/// Signatures checked in a second: a nonce is anybody's for the asking.
const CHECKS_PER_SECOND: u32 = 20;

/// Answers that may fail to come before another protocol is tried and the operator told.
const PATIENCE: u32 = 3;

/// Spoken until one of them is answered: what a proxy does not know it drops.
const SPOKEN: [Version; 2] = [Version::V4, Version::V5];

/// The sending end: tells upstream proxies where we are.
pub(super) struct Beats {
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
pub(super) enum Answered {
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
    pub(super) fn new(config: &Heartbeats, now: Instant) -> Self {
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

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.upstreams.iter().map(|u| u.next).min()
    }

    /// Calls `send` for each request that is due, and `silent` for upstreams that have just been
    /// silent for too long.
    pub(super) fn beat(
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
    pub(super) fn answered(
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

/// A heartbeat that asks, or with `proof` answers a challenge.
pub(super) fn request(proof: Option<(u32, &PrivateKey, Vec<u8>)>) -> HbReq {
    match proof {
        None => HbReq {
            nonce: 0,
            key: Vec::new(),
            signature: Vec::new(),
        },
        Some((nonce, key, signature)) => HbReq {
            nonce,
            key: key.public().blob().to_vec(),
            signature,
        },
    }
}

/// Signs a nonce.
///
/// # Errors
/// [`KeyError`] if the key cannot.
pub(super) fn sign_nonce(
    key: &Arc<PrivateKey>,
    version: Version,
    nonce: u32,
) -> Result<Vec<u8>, KeyError> {
    let form = SignatureForm::of(version);
    key.sign(Hash::Sha1, form, &[&nonce.to_be_bytes()])
}

/// The receiving end of a server proxy whose downstream must prove itself.
pub(super) struct Door {
    wanted: Fingerprint,
    /// Changes with every success, so that no proof counts twice.
    nonce: u32,
    downstream: Option<SocketAddr>,
    checks: Limit,
}

impl Door {
    pub(super) fn new(wanted: Fingerprint, rng: &mut StdRng) -> Self {
        Door {
            wanted,
            nonce: draw(rng),
            downstream: None,
            checks: Limit::per_second(CHECKS_PER_SECOND),
        }
    }

    pub(super) fn downstream(&self) -> Option<SocketAddr> {
        self.downstream
    }

    /// Judges a heartbeat; `None` if there are too many to judge.
    pub(super) fn judge(
        &mut self,
        now: Instant,
        from: SocketAddr,
        request: &HbReq,
        rng: &mut StdRng,
    ) -> Option<HbResp> {
        let verdict = |code| Some(HbResp { code, nonce: 0 });
        if self.downstream == Some(from) {
            return verdict(HbCode::OK);
        }
        if request.nonce != self.nonce {
            return Some(HbResp {
                code: HbCode::CHALLENGE,
                nonce: self.nonce,
            });
        }
        if !self.checks.allow(now) {
            return None;
        }
        if !self.is_proved(request) {
            return verdict(HbCode::FAILED);
        }
        self.downstream = Some(from);
        self.nonce = draw(rng);
        verdict(HbCode::OK)
    }

    fn is_proved(&self, request: &HbReq) -> bool {
        Fingerprint::of(&request.key) == self.wanted
            && PublicKey::from_blob(&request.key).is_ok_and(|key| {
                let nonce = request.nonce.to_be_bytes();
                key.verify(Hash::Sha1, &[&nonce], &request.signature)
            })
    }
}

/// A nonce; never 0, which asks for one.
fn draw(rng: &mut StdRng) -> u32 {
    rng.next_u32().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use uftp_proto::crypto::{Curve, KeySpec};

    const FROM: ([u8; 4], u16) = ([10, 0, 0, 9], 1044);

    fn key() -> Arc<PrivateKey> {
        Arc::new(PrivateKey::generate(KeySpec::Ec(Curve::DEFAULT)).unwrap())
    }

    fn proof(key: &Arc<PrivateKey>, nonce: u32) -> HbReq {
        let signature = sign_nonce(key, Version::V4, nonce).unwrap();
        request(Some((nonce, key, signature)))
    }

    #[test]
    fn only_the_holder_of_the_key_becomes_downstream_and_a_proof_counts_once() {
        let (right, wrong) = (key(), key());
        let mut rng = StdRng::seed_from_u64(1);
        let now = Instant::now();
        let mut door = Door::new(right.public().fingerprint(), &mut rng);
        let from = SocketAddr::from(FROM);
        let other = SocketAddr::from(([10, 0, 0, 8], 1044));
        let mut ask = |from, req: &HbReq| door.judge(now, from, req, &mut rng).unwrap();

        let challenge = ask(from, &request(None));
        assert_eq!(challenge.code, HbCode::CHALLENGE);
        assert_eq!(
            ask(from, &proof(&wrong, challenge.nonce)).code,
            HbCode::FAILED
        );
        let mut forged = proof(&wrong, challenge.nonce);
        forged.key = right.public().blob().to_vec();
        assert_eq!(ask(from, &forged).code, HbCode::FAILED);
        let good = proof(&right, challenge.nonce);
        assert_eq!(ask(from, &good).code, HbCode::OK);
        assert_eq!(
            ask(from, &request(None)).code,
            HbCode::OK,
            "needs no proof again"
        );
        assert_eq!(
            ask(other, &good).code,
            HbCode::CHALLENGE,
            "a proof is used up"
        );
        assert_eq!(door.downstream(), Some(from));
    }

    #[test]
    fn guesses_are_not_all_checked() {
        let mut rng = StdRng::seed_from_u64(1);
        let now = Instant::now();
        let (right, wrong) = (key(), key());
        let mut door = Door::new(right.public().fingerprint(), &mut rng);
        let guess = proof(&wrong, door.nonce);
        let checked = (0..100)
            .filter(|_| {
                door.judge(now, SocketAddr::from(FROM), &guess, &mut rng)
                    .is_some()
            })
            .count();
        assert_eq!(checked as u32, CHECKS_PER_SECOND);
    }

    #[test]
    fn unanswered_beats_are_repeated_in_both_protocols_and_answered_ones_in_one() {
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
        assert_eq!(sent.len(), 14);
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
                Version::V5
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
