//! How a server proxy learns where its downstream is (behaviour-proxies §11, wire-v4 §9.4).

use std::net::SocketAddr;
use std::time::Instant;

use rand::Rng;
use rand::rngs::StdRng;
use uftp_proto::crypto::{Fingerprint, Hash, PublicKey};
use uftp_proto::wire::{HbCode, HbReq, HbResp};

use crate::limit::Limit;

/// Signatures checked in a second: a nonce is anybody's for the asking, and so is the key. As many as
/// cost little, lest few forgeries hide the true proof.
const CHECKS_PER_SECOND: u32 = 200;

/// Heartbeats under another key answered in a second.
const OTHERS_PER_SECOND: u32 = 20;

/// The receiving end of a server proxy whose downstream must prove itself.
pub(super) struct Destination {
    wanted: Fingerprint,
    /// Changes with every success, so that no proof counts twice. A proof that fails does not change it:
    /// it shows nothing that helps a forger, and anybody could change it under the true proof's feet
    /// (behaviour-proxies §11).
    nonce: u32,
    downstream: Option<SocketAddr>,
    checks: Limit,
    others: Limit,
}

impl Destination {
    pub(super) fn new(wanted: Fingerprint, rng: &mut StdRng) -> Self {
        Destination {
            wanted,
            nonce: draw(rng),
            downstream: None,
            checks: Limit::per_second(CHECKS_PER_SECOND),
            others: Limit::per_second(OTHERS_PER_SECOND),
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
        if !self.wanted.names(&request.key) {
            return self.others.allow(now).then_some(HbResp {
                code: HbCode::FAILED,
                nonce: 0,
            });
        }
        if !self.checks.allow(now) {
            return None;
        }
        if !is_proved(request) {
            return verdict(HbCode::FAILED);
        }
        self.downstream = Some(from);
        self.nonce = draw(rng);
        verdict(HbCode::OK)
    }
}

/// Whether a heartbeat is signed with the key it shows.
fn is_proved(request: &HbReq) -> bool {
    PublicKey::from_blob(&request.key).is_ok_and(|key| {
        let nonce = request.nonce.to_be_bytes();
        key.verify(Hash::Sha1, &[&nonce], &request.signature)
    })
}

/// A nonce; never 0, which asks for one.
fn draw(rng: &mut StdRng) -> u32 {
    rng.next_u32().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heartbeat::{proof, request};
    use rand::SeedableRng;
    use std::sync::Arc;
    use uftp_proto::crypto::{Curve, KeySpec, PrivateKey};
    use uftp_proto::wire::Version;

    const FROM: ([u8; 4], u16) = ([10, 0, 0, 9], 1044);

    fn key() -> Arc<PrivateKey> {
        Arc::new(PrivateKey::generate(KeySpec::Ec(Curve::DEFAULT)).unwrap())
    }

    fn proved(key: &Arc<PrivateKey>, nonce: u32) -> HbReq {
        proof(Some(key), Version::V4, nonce).unwrap()
    }

    #[test]
    fn only_the_holder_of_the_key_becomes_downstream_and_a_proof_counts_once() {
        let (right, wrong) = (key(), key());
        let mut rng = StdRng::seed_from_u64(1);
        let now = Instant::now();
        let mut destination = Destination::new(right.public().fingerprint(), &mut rng);
        let from = SocketAddr::from(FROM);
        let other = SocketAddr::from(([10, 0, 0, 8], 1044));
        let mut ask = |from, req: &HbReq| destination.judge(now, from, req, &mut rng).unwrap();

        let challenge = ask(from, &request());
        assert_eq!(challenge.code, HbCode::CHALLENGE);
        assert_eq!(
            ask(from, &proved(&wrong, challenge.nonce)).code,
            HbCode::FAILED
        );
        let mut forged = proved(&wrong, challenge.nonce);
        forged.key = right.public().blob().to_vec();
        assert_eq!(ask(from, &forged).code, HbCode::FAILED);
        let good = proved(&right, challenge.nonce);
        assert_eq!(ask(from, &good).code, HbCode::OK);
        assert_eq!(
            ask(from, &request()).code,
            HbCode::OK,
            "needs no proof again"
        );
        assert_eq!(
            ask(other, &good).code,
            HbCode::CHALLENGE,
            "a proof is used up"
        );
        assert_eq!(destination.downstream(), Some(from));
    }

    #[test]
    fn a_key_is_known_by_its_name_in_either_protocol() {
        let key = Arc::new(PrivateKey::generate(KeySpec::Rsa(1024)).unwrap());
        let (now, from) = (Instant::now(), SocketAddr::from(FROM));
        for named in [Version::V3, Version::V4] {
            for spoken in [Version::V3, Version::V4] {
                let mut rng = StdRng::seed_from_u64(1);
                let print = Fingerprint::of_key(named, key.public().blob());
                let mut destination = Destination::new(print, &mut rng);
                let proof = proof(Some(&key), spoken, destination.nonce).unwrap();
                let verdict = destination.judge(now, from, &proof, &mut rng).unwrap();
                assert_eq!(verdict.code, HbCode::OK, "{named:?} {spoken:?}");
            }
        }
    }

    #[test]
    fn guesses_are_not_all_checked() {
        let mut rng = StdRng::seed_from_u64(1);
        let now = Instant::now();
        let (right, wrong) = (key(), key());
        let mut destination = Destination::new(right.public().fingerprint(), &mut rng);
        let other = proved(&wrong, destination.nonce);
        let guess = HbReq {
            key: right.public().blob().to_vec(),
            ..other.clone()
        };
        let good = proved(&right, destination.nonce);
        let mut answered = |request: &HbReq, times| {
            let from = SocketAddr::from(FROM);
            let answers =
                (0..times).filter_map(|_| destination.judge(now, from, request, &mut rng));
            answers.map(|answer| answer.code).collect::<Vec<_>>()
        };
        assert_eq!(answered(&other, 1000).len() as u32, OTHERS_PER_SECOND);
        assert_eq!(answered(&guess, 100), [HbCode::FAILED; 100]);
        assert_eq!(answered(&good, 1), [HbCode::OK], "among few forgeries");
        let (mut rng, mut destination) = (StdRng::seed_from_u64(1), destination);
        let elsewhere = SocketAddr::from(([10, 0, 0, 8], 1044));
        let guess = HbReq {
            nonce: destination.nonce,
            ..guess
        };
        let checked = (0..1000).filter(|_| {
            let judged = destination.judge(now, elsewhere, &guess, &mut rng);
            judged.is_some()
        });
        assert_eq!(checked.count() as u32, CHECKS_PER_SECOND - 101);
    }
}
