//! Recorded receivers and proxies agree upon keys with our sender.
//!
//! Where the secret of its ephemeral key was not logged, our sender has another than the recorded one.
//! What is said of that to it is then made again, with the long-term keys of those who said it, which
//! are known; numbers and all that does not follow from these keys are as recorded.

mod hkdf;
mod prf;

pub(super) use hkdf::Proxy;
pub(super) use prf::Receivers;

/// Those who answer a sender whose ephemeral key is another than the recorded one.
pub(super) trait Voices {
    /// They hear our sender: what it signed must be its own, and the secret it hands over the group's.
    fn hear(&mut self, packet: &[u8]);

    /// What one of them says in the place of a recorded packet.
    fn say(&mut self, packet: &[u8]) -> Vec<u8>;
}
