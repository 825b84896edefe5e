//! Whatever comes over the wire or out of a key file, the answer is an error, never a panic.

use proptest::collection::vec;
use proptest::prelude::*;
use uftp_proto::crypto::{Cipher, GroupMaster, Hash, KeyExchange, Opener, SignatureType, Suite};
use uftp_proto::wire::Version;
use uftp_proto_fuzz::key;

use super::vectors::{keys, private_key};

fn opener(version: Version, cipher: Cipher, signature: SignatureType) -> Opener {
    let suite = Suite {
        cipher,
        hash: Hash::Sha256,
        key_exchange: KeyExchange::Rsa,
        signature,
        client_auth: false,
    };
    GroupMaster::from_bytes(&[7; 48])
        .group_keys(version, &suite, &[1; 32])
        .unwrap()
        .opener()
        .unwrap()
}

/// An ENCRYPTED frame whose lengths are near to right, of random content.
fn packets() -> impl Strategy<Value = Vec<u8>> {
    let lens = prop_oneof![Just(0usize), Just(32), Just(128), 0usize..200];
    (
        prop_oneof![Just((0x40u8, 18u8)), Just((0x50, 18)), Just((0x30, 80))],
        lens,
        vec(any::<u8>(), 0..300),
        -1i32..=1,
    )
        .prop_map(|((version, function), signature, content, off)| {
            let payload = content.len().saturating_sub(signature) as i32 + off;
            let mut p = vec![version, function];
            p.extend(((content.len() + 12) as u16).to_be_bytes());
            p.extend([5; 20]);
            p.extend((signature as u16).to_be_bytes());
            p.extend((payload.max(0) as u16).to_be_bytes());
            p.extend(content);
            p
        })
}

proptest! {
    #[test]
    fn openers_take_anything(mut packet in prop_oneof![packets(), vec(any::<u8>(), 0..200)]) {
        let signer = private_key("rsa1024");
        for (version, cipher, signature) in [
            (Version::V4, Cipher::Aes128Gcm, SignatureType::Aead),
            (Version::V4, Cipher::Aes256Ccm, SignatureType::Aead),
            (Version::V4, Cipher::Aes128Cbc, SignatureType::Hmac),
            (Version::V4, Cipher::TripleDes, SignatureType::Keyex),
            (Version::V3, Cipher::Aes256Cbc, SignatureType::Hmac),
        ] {
            let mut opener = opener(version, cipher, signature);
            prop_assert!(opener.open(&mut packet, Some(signer.public())).is_err());
        }
    }

    #[test]
    fn blobs_of_any_bytes(blob in vec(any::<u8>(), 0..200)) {
        key::blob(&blob);
    }

    #[test]
    fn damaged_blobs(at in any::<proptest::sample::Index>(), bit in 0..8, cut in 0usize..4) {
        for key in keys().values() {
            let mut blob = key.blob.to_vec();
            let at = at.index(blob.len());
            blob[at] ^= 1u8 << bit;
            blob.truncate(blob.len() - cut);
            key::blob(&blob);
        }
    }

    #[test]
    fn damaged_key_files(at in any::<proptest::sample::Index>(), byte in any::<u8>()) {
        for id in ["rsa512", "ec_prime256v1", "ec_sect163k1"] {
            let mut pem = keys()[id].pem.clone().into_bytes();
            let at = at.index(pem.len());
            pem[at] = byte;
            key::file(&pem);
        }
    }

    #[test]
    fn fingerprints_of_any_text(text in ".{0,80}") {
        key::fingerprint(&text);
    }
}
