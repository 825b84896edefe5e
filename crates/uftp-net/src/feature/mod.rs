//! One file for each feature of a socket: how it is asked for, and how it shows on a datagram.

pub(crate) mod buffers;
pub(crate) mod cmsg;
pub(crate) mod fragments;
pub(crate) mod gro;
pub(crate) mod gso;
pub(crate) mod multicast;
pub(crate) mod traffic_class;
