//! The receiving side: any number of sessions at once.

mod config;
mod event;

pub use config::ReceiverConfig;
pub use event::{EndReason, ReceiverEvent, ReceiverEventKind, SessionId};
