//! A key, as a blob off the network, as a file, or named by its fingerprint.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| uftp_proto_fuzz::key::anything(bytes));
