//! The packet codec against recorded packets, against itself, and against nonsense.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod announce;
mod extensions;
mod golden;
mod hostile;
mod round_trip;
mod seams;
mod specimens;
mod strategies;
mod vectors;

use uftp_proto::wire::Version;

const VERSIONS: [Version; 4] = [Version::V3, Version::V3Sync, Version::V4, Version::V5];
