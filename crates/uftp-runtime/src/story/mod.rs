//! Sessions told in the words of the classic log, which wrappers parse (cli §6.5).

mod heartbeats;
mod proxy;
mod receiver;
mod sender;

pub use proxy::ProxyStory;
pub use receiver::ReceiverStory;
pub use sender::SenderStory;
pub(crate) use sender::speed;

#[cfg(test)]
mod tests;
