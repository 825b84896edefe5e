//! Single calls of PRF and HKDF, and the recorded identities.

use serde::Deserialize;
use uftp_proto::crypto::{
    Curve, Fingerprint, Hash, KeyKind, PrivateKey, PublicKey, expand_label, extract, prf,
};
use uftp_proto::wire::Version;

use super::vectors::{Hex, keys, private_key};

#[derive(Deserialize)]
struct PrfCall {
    source: String,
    hash: String,
    secret: Hex,
    label: String,
    seed: Hex,
    bytes: usize,
    out: Hex,
}

#[test]
fn prf_calls() {
    let all: Vec<PrfCall> =
        serde_json::from_str(include_str!("../vectors/primitives/prf.json")).unwrap();
    assert_eq!(all.len(), 34);
    for c in all {
        let hash: Hash = c.hash.parse().unwrap();
        let (front, back) = c.seed.split_at(c.seed.len() / 3);
        let out = prf(hash, &c.secret, &c.label, &[front, back], c.bytes).unwrap();
        assert_eq!(out.expose(), &c.out[..], "{} {}", c.source, c.label);
    }
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum HkdfStep {
    Extract {
        hash: String,
        salt: Hex,
        ikm: Hex,
        prk: Hex,
    },
    ExpandLabel {
        hash: String,
        secret: Hex,
        label: String,
        context: Hex,
        out_full_block: Hex,
    },
}

#[test]
fn hkdf_steps() {
    let all: Vec<HkdfStep> =
        serde_json::from_str(include_str!("../vectors/primitives/hkdf.json")).unwrap();
    assert_eq!(all.len(), 24);
    for step in all {
        match step {
            HkdfStep::Extract {
                hash,
                salt,
                ikm,
                prk,
            } => {
                let out = extract(hash.parse().unwrap(), &salt, &ikm);
                assert_eq!(out.expose(), &prk[..]);
            }
            HkdfStep::ExpandLabel {
                hash,
                secret,
                label,
                context,
                out_full_block,
            } => {
                let hash = hash.parse().unwrap();
                for n in [12, 16, out_full_block.len()] {
                    let out = expand_label(hash, &secret, &label, &context, n);
                    assert_eq!(out.expose(), &out_full_block[..n], "{label}");
                }
            }
        }
    }
}

#[test]
fn identities() {
    assert_eq!(keys().len(), 38);
    for k in keys().values() {
        let key = private_key(&k.id);
        let public = key.public();
        assert_eq!(public.blob(), &k.blob[..], "{}", k.id);
        assert_eq!(&PublicKey::from_blob(&k.blob).unwrap(), public, "{}", k.id);
        assert_eq!(
            public.fingerprint().to_string(),
            k.fingerprint_sha1_of_blob,
            "{}",
            k.id
        );
        assert_eq!(
            matches!(public.kind(), KeyKind::Rsa { .. }).then(|| Fingerprint::of_key(
                Version::V3,
                public.blob()
            )
            .to_string()),
            k.fingerprint_v3,
            "{}",
            k.id
        );
        // The programs wrote the PEM; ours is the same to the byte.
        assert_eq!(*key.to_pem().unwrap(), k.pem.as_bytes(), "{}", k.id);
        let again = match (&k.curve, &k.private_scalar, &k.n, &k.d) {
            (Some(curve), Some(scalar), _, _) => {
                let curve: Curve = curve.parse().unwrap();
                PrivateKey::from_ec_scalar(curve, scalar)
            }
            (_, _, Some(n), Some(d)) => PrivateKey::from_rsa_numbers(n, k.e.unwrap(), d),
            _ => panic!("{} has no numbers", k.id),
        };
        assert_eq!(again.unwrap().public(), public, "{}", k.id);
    }
}
