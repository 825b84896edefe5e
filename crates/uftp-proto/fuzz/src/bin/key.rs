//! A key, as a blob off the network, as a file, or named by its fingerprint.
#![no_main]

use uftp_proto_fuzz::key;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    key::blob(bytes);
    key::file(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        key::fingerprint(text);
    }
});
