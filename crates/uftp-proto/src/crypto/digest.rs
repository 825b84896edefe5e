//! Hashes and HMAC over several pieces of input.

use std::ops::Deref;

use openssl::hash::{Hasher, MessageDigest};
use openssl::md::{Md, MdRef};
use openssl::sha;
use zeroize::Zeroizing;

use super::algorithms::Hash;
use super::error::BackendError;
use super::secret;

/// The result of a hash or a MAC.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Digest {
    bytes: [u8; 64],
    len: usize,
}

impl Deref for Digest {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&self.bytes)
    }
}

impl From<&[u8]> for Digest {
    fn from(input: &[u8]) -> Digest {
        let mut bytes = [0; 64];
        for (to, from) in bytes.iter_mut().zip(input) {
            *to = *from;
        }
        Digest {
            bytes,
            len: input.len().min(64),
        }
    }
}

/// The hash of all `parts` in a row.
pub(super) fn digest(hash: Hash, parts: &[&[u8]]) -> Digest {
    let mut state = State::of(hash);
    for part in parts {
        state.update(part);
    }
    state.finish()
}

/// For use with keys of OpenSSL.
pub(super) fn md(hash: Hash) -> &'static MdRef {
    match hash {
        Hash::Sha1 => Md::sha1(),
        Hash::Sha256 => Md::sha256(),
        Hash::Sha384 => Md::sha384(),
        Hash::Sha512 => Md::sha512(),
    }
}

/// An HMAC key, digested once: a MAC costs only the hashing of its message.
#[derive(Clone)]
pub(super) struct HmacKey {
    inner: State,
    outer: State,
}

impl HmacKey {
    pub(super) fn new(hash: Hash, key: &[u8]) -> HmacKey {
        let state = State::of(hash);
        if key.len() <= block_len(hash) {
            HmacKey::padded(&state, block_len(hash), key)
        } else {
            HmacKey::padded(&state, block_len(hash), &digest(hash, &[key]))
        }
    }

    /// `key` must not be longer than `block` bytes.
    fn padded(fresh: &State, block: usize, key: &[u8]) -> HmacKey {
        let keyed = |pad: u8| {
            let mut bytes = Zeroizing::new([pad; 128]);
            for (b, k) in bytes.iter_mut().zip(key) {
                *b ^= k;
            }
            let mut state = fresh.clone();
            state.update(bytes.get(..block).unwrap_or(&*bytes));
            state
        };
        HmacKey {
            inner: keyed(0x36),
            outer: keyed(0x5c),
        }
    }

    /// The MAC of all `parts` in a row.
    pub(super) fn mac(&self, parts: &[&[u8]]) -> Digest {
        let mut inner = self.inner.clone();
        for part in parts {
            inner.update(part);
        }
        let mut outer = self.outer.clone();
        outer.update(&inner.finish());
        outer.finish()
    }

    /// Whether `mac` is the MAC of `parts`, in constant time.
    pub(super) fn verify(&self, parts: &[&[u8]], mac: &[u8]) -> bool {
        secret::same(&self.mac(parts), mac)
    }
}

/// HMAC with MD5, which lives on in one half of the SHA-1 key derivation of protocols 3 and 4.
pub(super) struct HmacMd5 {
    inner: Hasher,
    outer: Hasher,
}

impl HmacMd5 {
    /// `key` must not be longer than 64 bytes.
    pub(super) fn new(key: &[u8]) -> Result<HmacMd5, BackendError> {
        let keyed = |pad: u8| {
            let mut bytes = Zeroizing::new([pad; 64]);
            for (b, k) in bytes.iter_mut().zip(key) {
                *b ^= k;
            }
            let mut state = Hasher::new(MessageDigest::md5())?;
            state.update(&*bytes)?;
            Ok::<_, BackendError>(state)
        };
        Ok(HmacMd5 {
            inner: keyed(0x36)?,
            outer: keyed(0x5c)?,
        })
    }

    pub(super) fn mac(&self, parts: &[&[u8]]) -> Result<Digest, BackendError> {
        let mut inner = self.inner.clone();
        for part in parts {
            inner.update(part)?;
        }
        let mut outer = self.outer.clone();
        outer.update(&inner.finish()?)?;
        Ok(Digest::from(&*outer.finish()?))
    }
}

fn block_len(hash: Hash) -> usize {
    match hash {
        Hash::Sha1 | Hash::Sha256 => 64,
        Hash::Sha384 | Hash::Sha512 => 128,
    }
}

/// A hash in progress: a plain value, copied without allocation.
#[derive(Clone)]
enum State {
    Sha1(sha::Sha1),
    Sha256(sha::Sha256),
    Sha384(sha::Sha384),
    Sha512(sha::Sha512),
}

impl State {
    fn of(hash: Hash) -> State {
        match hash {
            Hash::Sha1 => State::Sha1(sha::Sha1::new()),
            Hash::Sha256 => State::Sha256(sha::Sha256::new()),
            Hash::Sha384 => State::Sha384(sha::Sha384::new()),
            Hash::Sha512 => State::Sha512(sha::Sha512::new()),
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            State::Sha1(s) => s.update(bytes),
            State::Sha256(s) => s.update(bytes),
            State::Sha384(s) => s.update(bytes),
            State::Sha512(s) => s.update(bytes),
        }
    }

    fn finish(self) -> Digest {
        match self {
            State::Sha1(s) => Digest::from(&s.finish()[..]),
            State::Sha256(s) => Digest::from(&s.finish()[..]),
            State::Sha384(s) => Digest::from(&s.finish()[..]),
            State::Sha512(s) => Digest::from(&s.finish()[..]),
        }
    }
}

impl Drop for HmacKey {
    fn drop(&mut self) {
        // A digested key is as good as the key. `black_box` keeps the overwriting from being
        // optimised away.
        self.inner = State::of(Hash::Sha1);
        self.outer = State::of(Hash::Sha1);
        std::hint::black_box(self);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 2202 case 2 and RFC 4231 case 2; RFC 2202 case 6 and RFC 4231 case 6 (long key).
    #[test]
    fn hmac_known_answers() {
        let hex = |d: Digest| d.iter().map(|b| format!("{b:02x}")).collect::<String>();
        let short = |h| hex(HmacKey::new(h, b"Jefe").mac(&[b"what do ya want ", b"for nothing?"]));
        assert_eq!(
            short(Hash::Sha1),
            "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"
        );
        assert_eq!(
            short(Hash::Sha256),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        assert!(short(Hash::Sha384).starts_with("af45d2e376484031617f78d2b58a6b1b"));
        assert!(short(Hash::Sha512).starts_with("164b7a7bfcf819e2e395fbe73b56e0a3"));
        let md5 = HmacMd5::new(b"Jefe").unwrap();
        assert_eq!(
            hex(md5.mac(&[b"what do ya want for nothing?"]).unwrap()),
            "750c783e6ab0b503eaa86e310a5db738"
        );
        let long = b"Test Using Larger Than Block-Size Key - Hash Key First";
        assert_eq!(
            hex(HmacKey::new(Hash::Sha1, &[0xaa; 80]).mac(&[long])),
            "aa4ae5e15272d00e95705637ce8a3b55ed402112"
        );
        assert!(
            hex(HmacKey::new(Hash::Sha512, &[0xaa; 131]).mac(&[long]))
                .starts_with("80b24263c7c1a3ebb71493c1dd7be8b4")
        );
    }
}
