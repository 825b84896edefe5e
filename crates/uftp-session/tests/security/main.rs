//! Encrypted sessions between our machines, in a simulated network.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // these are tests

mod scene;
mod suites;
