//! Options about encryption, keys and trust of the programs (cli §1.7, §2.1, §3.1).

mod keys;
mod receiver;
mod sender;

pub use keys::KeyArgs;
pub use receiver::{ReceiverArgs, is_ssm};
pub use sender::{CipherChoice, Exchange, SenderArgs};
