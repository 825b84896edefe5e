//! One end's way onto the wire: numbering, covering and encoding messages.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

use uftp_proto::crypto::{IvCounter, SealError, Sealer, SelfSignError};
use uftp_proto::quant::{GroupSizeCode, RttCode};
use uftp_proto::wire::{self, EncodeError, FileSeg, Function, Header, Message, Version};
use uftp_proto::{Ecn, GroupId, Instance, Seq, Uid};

use crate::batch::Batch;

/// Whether a message travels under the session's encryption, if it has any.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Cover {
    /// Always in the clear: announcements, registrations, refusals.
    Clear,
    /// Under the keys of the handshake, where it has any, else in the clear: CLIENT_KEY.
    Handshake,
    /// Encrypted when the session is.
    Session,
}

/// What a sender says about the group in every header. All zero upstream.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct GroupEstimate {
    /// Round trip time to the farthest receiver.
    pub grtt: RttCode,
    /// Number of receivers.
    pub size: GroupSizeCode,
}

/// What is written around a message, besides what the session says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Envelope {
    /// Where the datagram goes.
    pub(crate) to: SocketAddr,
    /// Its congestion mark.
    pub(crate) ecn: Ecn,
    /// What the header says about the group.
    pub(crate) estimate: GroupEstimate,
}

/// Numbers, encodes and seals the packets one host sends in one session.
pub(crate) struct Link {
    version: Version,
    uid: Uid,
    group: GroupId,
    instance: Instance,
    next_seq: Seq,
    dest: Dest,
    /// What covers packets. There is none without real keys.
    sealer: Option<Sealer>,
    /// What covers those of the handshake.
    handshake: Option<Sealer>,
    /// One row for all that is sealed, under whichever key.
    counter: Option<IvCounter>,
}

/// Whom the headers of packets name as their destination, where they do (wire-v3 §2.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Dest {
    /// One host, wherever packets go.
    Host(Uid),
    /// The address they go to; that of file data is this.
    Address(IpAddr),
}

/// A packet that cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SendError {
    /// It cannot be encoded, or the batch has no room.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// It cannot be sealed.
    #[error(transparent)]
    Seal(SealError),
    /// It cannot be signed.
    #[error(transparent)]
    Sign(#[from] SelfSignError),
}

impl SendError {
    /// Whether another batch will do.
    pub(crate) fn is_no_room(&self) -> bool {
        matches!(self, SendError::Encode(EncodeError::NoRoom(_)))
    }
}

impl From<SealError> for SendError {
    fn from(error: SealError) -> Self {
        match error {
            SealError::Encode(error) => SendError::Encode(error),
            error => SendError::Seal(error),
        }
    }
}

impl Link {
    /// The packets of `uid` in a session; the first gets number 0. Their headers name nobody as
    /// their destination.
    pub(crate) fn new(version: Version, uid: Uid, group: GroupId, instance: Instance) -> Self {
        Link {
            version,
            uid,
            group,
            instance,
            next_seq: Seq(0),
            dest: Dest::Host(Uid::NONE),
            sealer: None,
            handshake: None,
            counter: None,
        }
    }

    /// The same, to `dest`.
    #[must_use]
    pub(crate) fn towards(self, dest: Dest) -> Self {
        Link { dest, ..self }
    }

    /// The same, whose next packet has this number.
    #[must_use]
    pub(crate) fn starting_at(self, next_seq: Seq) -> Self {
        Link { next_seq, ..self }
    }

    /// From now on packets are those of `uid`.
    pub(crate) fn rename(&mut self, uid: Uid) {
        self.uid = uid;
    }

    /// From now on packets are sealed. `counter` is where counting starts; under another sealer
    /// it goes on.
    pub(crate) fn secure(&mut self, sealer: Sealer, counter: IvCounter) {
        self.sealer = Some(sealer);
        self.counter.get_or_insert(counter);
    }

    /// As [`secure`](Self::secure), for the packets of the handshake alone.
    pub(crate) fn secure_handshake(&mut self, sealer: Sealer, counter: IvCounter) {
        self.handshake = Some(sealer);
        self.counter.get_or_insert(counter);
    }

    /// A counter for keys to be wrapped under; `None` in a session without.
    pub(crate) fn next_iv_counter(&mut self) -> Option<u64> {
        self.counter.as_mut().map(IvCounter::advance)
    }

    /// The protocol spoken.
    pub(crate) fn version(&self) -> Version {
        self.version
    }

    /// Bytes that encryption puts between packet header and message.
    pub(crate) fn prefix(&self) -> usize {
        let sealer = self.sealer.as_ref();
        sealer.map_or(0, |sealer| sealer.overhead().prefix)
    }

    /// Bytes that encryption puts behind a message of `len` bytes.
    pub(crate) fn suffix(&self, len: usize) -> usize {
        let sealer = self.sealer.as_ref();
        sealer.map_or(0, |sealer| sealer.suffix(len))
    }

    /// The header of the next packet; takes a sequence number.
    pub(crate) fn next_header(&mut self, function: Function, group: GroupEstimate) -> Header {
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
            dest: match self.dest {
                Dest::Host(uid) => uid,
                Dest::Address(addr) => Uid::from_addr(addr),
            },
        }
    }

    /// The header of a message in this envelope.
    fn header_in(&mut self, envelope: Envelope, function: Function) -> Header {
        let header = self.next_header(function, envelope.estimate);
        match self.dest {
            Dest::Host(_) => header,
            Dest::Address(_) => Header {
                dest: Uid::from_addr(envelope.to.ip()),
                ..header
            },
        }
    }

    /// Appends one message to `batch` as a datagram. Returns the datagram's length.
    ///
    /// # Errors
    /// [`SendError`] if the message cannot be put on the wire or the batch has no room; then no
    /// sequence number is taken.
    pub(crate) fn send(
        &mut self,
        batch: &mut Batch,
        envelope: Envelope,
        message: &Message<'_>,
        cover: Cover,
    ) -> Result<usize, SendError> {
        let seq = self.next_seq;
        let header = self.header_in(envelope, message.function());
        let sealer = match cover {
            Cover::Clear => None,
            Cover::Handshake => self.handshake.as_mut(),
            Cover::Session => self.sealer.as_mut(),
        };
        let sent = batch.push(envelope.to, envelope.ecn, |buf| {
            match (sealer, &mut self.counter) {
                (Some(sealer), Some(counter)) => {
                    let counter = counter.advance();
                    Ok(sealer.seal_message(&header, counter, message, buf)?)
                }
                _ => Ok(wire::encode(&header, message, buf)?),
            }
        });
        if sent.is_err() {
            self.next_seq = seq;
        }
        sent
    }

    /// As [`send`](Self::send), out of turn: the packet's number is 0, and the next one has that which
    /// this would have had.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub(crate) fn send_unnumbered(
        &mut self,
        batch: &mut Batch,
        envelope: Envelope,
        message: &Message<'_>,
        cover: Cover,
    ) -> Result<usize, SendError> {
        let next = std::mem::replace(&mut self.next_seq, Seq(0));
        let sent = self.send(batch, envelope, message, cover);
        self.next_seq = next;
        sent
    }

    /// Appends one message in the clear that carries a signature over its whole packet, which
    /// `sign` puts in. Returns the datagram's length.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub(crate) fn send_signed(
        &mut self,
        batch: &mut Batch,
        envelope: Envelope,
        message: &Message<'_>,
        sign: impl FnOnce(&mut [u8]) -> Result<(), SelfSignError>,
    ) -> Result<usize, SendError> {
        let seq = self.next_seq;
        let header = self.header_in(envelope, message.function());
        let sent = batch.push(envelope.to, envelope.ecn, |buf| {
            let len = wire::encode(&header, message, buf)?;
            sign(buf.get_mut(..len).unwrap_or_default())?;
            Ok(len)
        });
        if sent.is_err() {
            self.next_seq = seq;
        }
        sent
    }

    /// Length of a message in the clear, header included.
    ///
    /// # Errors
    /// [`EncodeError`] if the message cannot be put on the wire.
    pub(crate) fn plain_len(&self, message: &Message<'_>) -> Result<usize, EncodeError> {
        let mut scratch = [0; 4096];
        wire::encode_message(self.version, message, &mut scratch).map(|len| Header::LEN + len)
    }

    /// Where things lie in a packet of file data, `data_len` bytes of it, like `segment`.
    pub(crate) fn frame(&self, segment: &FileSeg<'_>, data_len: usize) -> Frame {
        let head = wire::fileseg_head_len(self.version, segment.tfmcc.is_some());
        let from = Header::LEN + self.prefix() + head;
        Frame {
            len: from + data_len + self.suffix(head + data_len),
            data: from..from + data_len,
        }
    }

    /// Finishes a packet of file data laid out as `frame`, whose data lie in their place already:
    /// everything around them is written, and the whole is sealed if the session is encrypted.
    ///
    /// # Errors
    /// [`SendError`] if the segment cannot be put on the wire.
    pub(crate) fn finish(
        &mut self,
        packet: &mut [u8],
        frame: &Frame,
        estimate: GroupEstimate,
        segment: &FileSeg<'_>,
    ) -> Result<(), SendError> {
        let too_short = EncodeError::NoRoom(packet.len());
        let tfmcc = segment.tfmcc.as_ref();
        let at = Header::LEN + self.prefix();
        let message = packet.get_mut(at..frame.data.end).ok_or(too_short)?;
        let len = message.len();
        wire::encode_fileseg_head(self.version, segment.file, segment.at, tfmcc, message)?;
        let header = self.next_header(Function::FileSeg, estimate);
        let (Some(sealer), Some(counter)) = (&mut self.sealer, &mut self.counter) else {
            wire::encode_header(&header, len, packet)?;
            return Ok(());
        };
        sealer.seal(&header, counter.advance(), packet, len)?;
        Ok(())
    }
}

/// The layout of a packet of file data.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Frame {
    /// Length of the packet.
    pub len: usize,
    /// Where the file data lie in it.
    pub data: Range<usize>,
}
