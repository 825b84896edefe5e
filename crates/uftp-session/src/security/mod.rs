//! Encrypted sessions: the two ends of the handshake, and what guards them afterwards.
//!
//! - [`Server`] is the end that announces, and hands the group's secret to one receiver after
//!   another; [`Client`] is the end that registers and is handed it. A proxy is a client to the
//!   one side and a server to the other.
//! - [`gate`] says what may travel in the clear, `replay` what was here before.
//! - [`SenderSecurity`] and [`ReceiverSecurity`] are what the operator decides.
//!
//! All protocols go through the same stages (wire-v4 §9.1, wire-v5 §9):
//!
//! ```text
//! ANNOUNCE ─▶ REGISTER [and CLIENT_KEY, in any order] ─▶ KEYINFO ─▶ KEYINFO_ACK
//! Server              a peer: registered, identified        a peer: proven
//!          Client: joining                       Client: keys offered, then proven
//! ```
//!
//! What a message of the handshake means is decided in [`Server`] and [`Client`] alone: the
//! machines hand them whole packets and take what they say. Their bodies are the key schedules:
//! `prf` for protocols 3 and 4, `hkdf` for protocol 5. How receivers are let in is the same for
//! both and stands in `peers`; a schedule says what it makes of each message. Upstream packets are
//! opened as their author's, whose own keys they may be sealed with.

mod client;
mod config;
pub mod gate;
mod hkdf;
mod keyring;
mod peers;
mod prf;
mod proxy_keys;
mod replay;
mod secrets;
mod server;

pub use client::{Answer, Client, Declined, Introduction, Invitation, Own};
pub use config::{
    ProxyEntry, ReceiverSecurity, SecurityError, SenderSecurity, ServerEntry, is_source_specific,
    may_be_source_specific,
};
pub use keyring::Keyring;
pub(crate) use keyring::{NoKey, same_type};
pub use peers::Claim;
pub use proxy_keys::ProxyKeys;
pub use secrets::{Fresh, Secrets};
pub use server::{Admission, Rejection, Server, SessionName, StandIn};
