//! One end's way onto the wire: numbering, covering and encoding messages.

use std::net::SocketAddr;

use uftp_proto::quant::{GroupSizeCode, RttCode};
use uftp_proto::wire::{self, EncodeError, Function, Header, Message, Version};
use uftp_proto::{Ecn, GroupId, Instance, Seq, Uid};

use crate::batch::Batch;

/// Whether a message travels under the session's encryption, if it has any.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cover {
    /// Always in the clear: announcements, registrations, refusals.
    Clear,
    /// Encrypted when the session is.
    Session,
}

/// What a sender says about the group in every header. All zero upstream.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct GroupEstimate {
    /// Round trip time to the farthest receiver.
    pub grtt: RttCode,
    /// Number of receivers.
    pub size: GroupSizeCode,
}

/// Numbers and encodes the packets one host sends in one session.
pub struct Link {
    version: Version,
    uid: Uid,
    group: GroupId,
    instance: Instance,
    next_seq: Seq,
}

impl Link {
    /// The packets of `uid` in a session; the first gets number 0.
    pub fn new(version: Version, uid: Uid, group: GroupId, instance: Instance) -> Self {
        Link {
            version,
            uid,
            group,
            instance,
            next_seq: Seq(0),
        }
    }

    /// The protocol spoken.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Bytes that encryption puts between packet header and message.
    pub fn prefix(&self) -> usize {
        0
    }

    /// Bytes that encryption puts behind a message of `len` bytes.
    pub fn suffix(&self, _len: usize) -> usize {
        0
    }

    /// The header of the next packet; takes a sequence number.
    pub fn next_header(&mut self, function: Function, group: GroupEstimate) -> Header {
        let seq = self.next_seq;
        self.next_seq = seq.next();
        Header {
            version: self.version,
            function,
            seq,
            src: self.uid,
            group: self.group,
            instance: self.instance,
            grtt: group.grtt,
            group_size: group.size,
            dest: Uid::NONE,
        }
    }

    /// Appends one message to `batch` as a datagram to `to`. Returns the datagram's length.
    ///
    /// # Errors
    /// [`EncodeError`] if the message cannot be put on the wire or the batch has no room; then no
    /// sequence number is taken.
    pub fn send(
        &mut self,
        batch: &mut Batch,
        to: SocketAddr,
        ecn: Ecn,
        estimate: GroupEstimate,
        message: &Message<'_>,
        _cover: Cover,
    ) -> Result<usize, EncodeError> {
        let seq = self.next_seq;
        let header = self.next_header(message.function(), estimate);
        let sent = batch.push(to, ecn, |buf| wire::encode(&header, message, buf));
        if sent.is_err() {
            self.next_seq = seq;
        }
        sent
    }
}
