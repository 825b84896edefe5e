//! A datagram.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| uftp_proto_fuzz::packet::receive(bytes));
