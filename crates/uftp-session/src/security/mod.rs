//! Encrypted sessions: the two ends of the handshake, and what guards them afterwards.
//!
//! - [`Server`] is the end that announces, and hands the group's secret to one [`Peer`] after
//!   another; [`Client`] is the end that registers and is handed it. A proxy is a client to the
//!   one side and a server to the other.
//! - [`gate`] says what may travel in the clear, [`ReplayWindow`] what was here before.
//! - [`SenderSecurity`] and [`ReceiverSecurity`] are what the operator decides.
//!
//! Protocols 3 and 4 go through the same stages (wire-v4 §9.1):
//!
//! ```text
//! ANNOUNCE ─▶ REGISTER [and CLIENT_KEY, in any order] ─▶ KEYINFO ─▶ KEYINFO_ACK
//! Server              Peer: registered, identified        Peer: proven
//!          Client: joining                       Client: keys offered, then proven
//! ```
//!
//! What a message of the handshake means is decided in [`Server`] and [`Client`] alone, so that
//! another key schedule (protocol 5, wire-v5 §7) is another body of their methods: the machines
//! hand them whole packets and take what they say. Upstream packets are opened with the [`Peer`]
//! at hand, whose own keys they may be sealed with.

mod client;
mod config;
pub mod gate;
mod keyring;
mod proxy_keys;
mod replay;
mod server;

pub use client::{Answer, Client, Declined, Invitation};
pub use config::{
    ReceiverSecurity, SecurityError, SenderSecurity, ServerEntry, is_source_specific,
};
pub use keyring::{Keyring, NoKey};
pub use proxy_keys::ProxyKeys;
pub use replay::ReplayWindow;
pub use server::{Admission, Peer, Rejection, Server};
