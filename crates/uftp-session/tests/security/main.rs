//! Encrypted sessions between our machines, in a simulated network and hand to hand.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // these are tests

mod attacks;
mod generation_five;
mod generation_three;
mod identities;
mod pair;
mod scene;
mod standing_in;
mod suites;
