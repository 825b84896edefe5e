//! What must hold of sessions whatever is said in them.
//!
//! [`session::attacked`] plays a session in which somebody on the network does what bytes tell him to.
//! `cargo xtask fuzz session` has libFuzzer look for bytes that break a machine; the tests play what
//! has been found.

#![allow(
    clippy::panic,
    reason = "linked into tests only, where stopping at once is the right answer"
)]

mod script;
pub mod session;
