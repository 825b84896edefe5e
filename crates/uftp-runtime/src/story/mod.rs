//! Sessions told in the words of the classic log, which wrappers parse (cli §6.5).

mod crowd;
mod heartbeats;
mod proxy;
mod receiver;
mod sender;
mod silence;

pub(crate) use proxy::ProxyStory;
pub(crate) use receiver::ReceiverStory;
pub(crate) use sender::SenderStory;
pub(crate) use sender::speed;

/// Why a session that came in the clear gave way to itself, encrypted.
pub(crate) const UNPROVED: &str = "it is encrypted, what came in the clear was not proved";

#[cfg(test)]
mod tests;
