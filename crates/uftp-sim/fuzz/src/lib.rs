//! What must hold of sessions whatever is said in them.
//!
//! [`session::attacked`] plays a session in which somebody on the network does what bytes tell him to, and
//! [`session::attacked_under_keys`] an encrypted one. `cargo xtask fuzz session` and `encrypted` have libFuzzer look for bytes that break a machine; the tests play what
//! has been found.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "linked into tests only, where stopping at once is the right answer"
)]

mod keys;
mod member;
mod script;
pub mod session;
