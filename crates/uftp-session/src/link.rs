//! One end's way onto the wire: numbering, covering and encoding messages.

use std::net::SocketAddr;
use std::ops::Range;

use uftp_proto::quant::{GroupSizeCode, RttCode};
use uftp_proto::wire::{self, EncodeError, FileSeg, Function, Header, Message, Version};
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

    /// Length of a message in the clear, header included.
    ///
    /// # Errors
    /// [`EncodeError`] if the message cannot be put on the wire.
    pub fn plain_len(&self, message: &Message<'_>) -> Result<usize, EncodeError> {
        let mut scratch = [0; 4096];
        wire::encode_message(self.version, message, &mut scratch).map(|len| Header::LEN + len)
    }

    /// Where things lie in a packet of file data, `data_len` bytes of it, like `segment`.
    pub fn frame(&self, segment: &FileSeg<'_>, data_len: usize) -> Frame {
        let head = wire::fileseg_head_len(self.version, segment.tfmcc.is_some());
        let from = Header::LEN + self.prefix() + head;
        Frame {
            len: from + data_len + self.suffix(head + data_len),
            data: from..from + data_len,
        }
    }

    /// Finishes a packet of file data whose data lie in their place already: everything around
    /// them is written, and the whole is sealed if the session is encrypted.
    ///
    /// # Errors
    /// [`EncodeError`] if the segment cannot be put on the wire.
    pub fn finish(
        &mut self,
        packet: &mut [u8],
        estimate: GroupEstimate,
        segment: &FileSeg<'_>,
    ) -> Result<(), EncodeError> {
        let too_short = EncodeError::NoRoom(packet.len());
        let (head, message) = packet.split_at_mut_checked(Header::LEN).ok_or(too_short)?;
        let tfmcc = segment.tfmcc.as_ref();
        let len = message.len();
        wire::encode_fileseg_head(self.version, segment.file, segment.at, tfmcc, message)?;
        let header = self.next_header(Function::FileSeg, estimate);
        wire::encode_header(&header, len, head)?;
        Ok(())
    }
}

/// The layout of a packet of file data.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Frame {
    /// Length of the packet.
    pub len: usize,
    /// Where the file data lie in it.
    pub data: Range<usize>,
}
