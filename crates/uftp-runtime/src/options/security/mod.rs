//! Options about encryption, keys and trust of the programs (cli §1.7, §2.1, §3.1).

mod keys;
mod receiver;
mod sender;

pub(super) use keys::KeyArgs;
pub(super) use receiver::{ReceiverArgs, are_source_specific, ensure_source_specific};
pub(super) use sender::SenderArgs;
