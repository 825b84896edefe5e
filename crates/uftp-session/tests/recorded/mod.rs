//! Sessions of the deployed programs.

// Senders and receivers need different parts of it.
#![allow(dead_code)]

pub(crate) mod pcap;
pub(crate) mod three;
