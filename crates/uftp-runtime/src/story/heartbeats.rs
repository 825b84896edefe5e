//! What is said of heartbeats by whoever sends them.

use std::net::SocketAddr;

use crate::names::endpoint;

pub(super) fn accepted(by: SocketAddr) -> String {
    format!("Heartbeats are answered by {}", endpoint(by))
}

pub(super) fn denied(by: SocketAddr) -> String {
    format!("Heartbeat authentication failed at {}", endpoint(by))
}

pub(super) fn unanswered(by: SocketAddr) -> String {
    format!("Heartbeats are not answered by {}", endpoint(by))
}
