//! Keys: a blob is what it says it is, or an error; so is a key file.

use uftp_proto::crypto::{Fingerprint, Hash, PrivateKey, PublicKey};

/// Bytes that may be any of these.
///
/// # Panics
///
/// Where they break a law of one.
pub fn anything(bytes: &[u8]) {
    blob(bytes);
    file(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        fingerprint(text);
    }
}

/// A key off the network.
///
/// # Panics
///
/// If a key is not the bytes it came from, or proves what was never signed.
pub fn blob(bytes: &[u8]) {
    let Ok(key) = PublicKey::from_blob(bytes) else {
        return;
    };
    assert_eq!(key.blob(), bytes);
    assert!(key.fingerprint().names(key.blob()));
    let never_made = vec![9; key.signature_len()];
    assert!(!key.verify(Hash::Sha256, &[b"x"], &never_made));
}

/// What is on a disk under a key's name.
///
/// # Panics
///
/// If what was read as a key has none that could be shown.
pub fn file(bytes: &[u8]) {
    if let Ok(key) = PrivateKey::from_pem(bytes) {
        assert!(key.public().blob().len() > 8);
    }
}

/// A fingerprint as people write it.
///
/// # Panics
///
/// If one does not survive being written.
pub fn fingerprint(text: &str) {
    if let Ok(print) = text.parse::<Fingerprint>() {
        assert_eq!(print.to_string().parse::<Fingerprint>(), Ok(print));
    }
}
