//! What sealing and opening a packet of 1300 bytes costs, with contexts keyed once (what sessions
//! do) and with one-shot calls that key a context for every packet.
//!
//! `cargo run --release -p uftp-proto --example seal_bench`

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use openssl::cipher_ctx::CipherCtx;
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::sign::Signer;
use openssl::symm;
use uftp_proto::crypto::{Cipher, GroupMaster, Hash, KeyExchange, SignatureType, Suite};
use uftp_proto::quant::{GroupSizeCode, RttCode};
use uftp_proto::wire::{Function, Header, Version};
use uftp_proto::{GroupId, Instance, Seq, Uid};

const MESSAGE: usize = 1300;
const SPELL: Duration = Duration::from_millis(300);

fn main() {
    println!("ns per packet of {MESSAGE} bytes; best of 3 runs of {SPELL:?}");
    println!(
        "{:24} {:>10} {:>10} {:>12} {:>12}",
        "", "seal", "open", "seal 1-shot", "open 1-shot"
    );
    for (cipher, hash) in [
        (Cipher::Aes128Gcm, Hash::Sha256),
        (Cipher::Aes256Gcm, Hash::Sha256),
        (Cipher::Aes128Ccm, Hash::Sha256),
        (Cipher::Aes256Ccm, Hash::Sha256),
        (Cipher::Aes128Cbc, Hash::Sha1),
        (Cipher::Aes128Cbc, Hash::Sha256),
        (Cipher::Aes256Cbc, Hash::Sha256),
        (Cipher::Aes256Cbc, Hash::Sha512),
        (Cipher::TripleDes, Hash::Sha1),
    ] {
        let name = if cipher.is_aead() {
            cipher.to_string()
        } else {
            format!("{cipher} hmac-{hash}")
        };
        let (seal, open) = reused(cipher, hash);
        let (seal1, open1) = one_shot(cipher, hash);
        println!("{name:24} {seal:>10.0} {open:>10.0} {seal1:>12.0} {open1:>12.0}");
    }
}

/// Nanoseconds a call of `f`, in the best of three runs.
fn time(mut f: impl FnMut()) -> f64 {
    let mut best = f64::MAX;
    for _ in 0..3 {
        let start = Instant::now();
        let mut calls = 0u32;
        while start.elapsed() < SPELL {
            for _ in 0..64 {
                f();
            }
            calls += 64;
        }
        best = best.min(start.elapsed().as_nanos() as f64 / f64::from(calls));
    }
    best
}

fn reused(cipher: Cipher, hash: Hash) -> (f64, f64) {
    let suite = Suite {
        cipher,
        hash,
        key_exchange: KeyExchange::Rsa,
        signature: if cipher.is_aead() {
            SignatureType::Aead
        } else {
            SignatureType::Hmac
        },
        client_auth: false,
    };
    let keys = GroupMaster::generate(Version::V4)
        .unwrap()
        .group_keys(Version::V4, &suite, &[1; 32])
        .unwrap();
    let header = Header {
        version: Version::V4,
        function: Function::FileSeg,
        seq: Seq(1),
        src: Uid(2),
        group: GroupId(3),
        instance: Instance(0),
        grtt: RttCode(0),
        group_size: GroupSizeCode(0),
        dest: Uid::NONE,
    };
    let mut sealer = keys.sealer(None).unwrap();
    let mut packet = vec![7; Header::LEN + sealer.overhead().total() + MESSAGE];
    let mut counter = 0;
    let seal = time(|| {
        counter += 1;
        let n = sealer.seal(&header, counter, &mut packet, MESSAGE).unwrap();
        black_box(n);
    });
    let n = sealer.seal(&header, 1, &mut packet, MESSAGE).unwrap();
    let sealed = packet[..n].to_vec();
    let mut opener = keys.opener().unwrap();
    let mut copy = sealed.clone();
    let open = time(|| {
        copy.copy_from_slice(&sealed);
        black_box(opener.open(&mut copy, None).unwrap().message.len());
    });
    (seal, open)
}

fn one_shot(cipher: Cipher, hash: Hash) -> (f64, f64) {
    let md = match hash {
        Hash::Sha1 => MessageDigest::sha1(),
        Hash::Sha256 => MessageDigest::sha256(),
        Hash::Sha384 => MessageDigest::sha384(),
        Hash::Sha512 => MessageDigest::sha512(),
    };
    let key = vec![1; cipher.key_len()];
    let iv = vec![2; cipher.iv_len()];
    let (aad, text) = ([3; 28], [7; MESSAGE]);
    let mac = |body: &[u8]| {
        let key = PKey::hmac(&[4; 32]).unwrap();
        let mut signer = Signer::new(md, &key).unwrap();
        signer.update(&aad).unwrap();
        signer.update(body).unwrap();
        signer.sign_to_vec().unwrap()
    };
    if cipher.is_aead() {
        let evp = match cipher {
            Cipher::Aes128Gcm => openssl::cipher::Cipher::aes_128_gcm(),
            Cipher::Aes256Gcm => openssl::cipher::Cipher::aes_256_gcm(),
            Cipher::Aes128Ccm => openssl::cipher::Cipher::aes_128_ccm(),
            _ => openssl::cipher::Cipher::aes_256_ccm(),
        };
        let ccm = matches!(cipher, Cipher::Aes128Ccm | Cipher::Aes256Ccm);
        let (mut body, mut tag) = (vec![0; MESSAGE], [0; 16]);
        let seal = time(|| {
            let mut c = CipherCtx::new().unwrap();
            c.encrypt_init(Some(evp), None, None).unwrap();
            if ccm {
                c.set_iv_length(12).unwrap();
                c.set_tag_length(16).unwrap();
            }
            c.encrypt_init(None, Some(&key), Some(&iv)).unwrap();
            if ccm {
                c.set_data_len(MESSAGE).unwrap();
            }
            c.cipher_update(&aad, None).unwrap();
            c.cipher_update(&text, Some(&mut body)).unwrap();
            c.cipher_final(&mut []).unwrap();
            c.tag(&mut tag).unwrap();
        });
        let mut out = vec![0; MESSAGE];
        let open = time(|| {
            let mut c = CipherCtx::new().unwrap();
            c.decrypt_init(Some(evp), None, None).unwrap();
            if ccm {
                c.set_iv_length(12).unwrap();
            }
            c.set_tag(&tag).unwrap();
            c.decrypt_init(None, Some(&key), Some(&iv)).unwrap();
            if ccm {
                c.set_data_len(MESSAGE).unwrap();
            }
            c.cipher_update(&aad, None).unwrap();
            c.cipher_update(&body, Some(&mut out)).unwrap();
            if !ccm {
                c.cipher_final(&mut []).unwrap();
            }
        });
        (seal, open)
    } else {
        let evp = match cipher {
            Cipher::Aes128Cbc => symm::Cipher::aes_128_cbc(),
            Cipher::Aes256Cbc => symm::Cipher::aes_256_cbc(),
            _ => symm::Cipher::des_ede3_cbc(),
        };
        let seal = time(|| {
            let body = symm::encrypt(evp, &key, Some(&iv), &text).unwrap();
            black_box(mac(&body));
        });
        let body = symm::encrypt(evp, &key, Some(&iv), &text).unwrap();
        let open = time(|| {
            black_box(mac(&body));
            black_box(symm::decrypt(evp, &key, Some(&iv), &body).unwrap());
        });
        (seal, open)
    }
}
