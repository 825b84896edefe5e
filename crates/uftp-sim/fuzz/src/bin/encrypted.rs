//! An encrypted session, and what is done to it.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| uftp_sim_fuzz::session::attacked_under_keys(bytes));
