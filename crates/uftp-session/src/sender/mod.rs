//! The sending side of a session.

mod config;
mod event;

pub use config::{ClientEntry, GrttBounds, NakLimit, Rate, SenderConfig, SyncMode};
pub use event::{FileOutcome, FileReport, Outcome, SenderEvent};
