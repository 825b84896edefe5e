//! The vocabulary: one type per meaning, whatever the protocol.
//!
//! Names are those of the protocol documents. File data and NAK bitmaps are borrowed from the
//! packet; everything else is owned. Fields that a protocol does not have are said so and hold
//! the given neutral value there.

use std::net::IpAddr;

use super::header::Function;
use crate::ids::{FileId, Uid};
use crate::quant::{RateCode, RttCode};
use crate::time::WireTime;

/// One message in the clear.
#[derive(Clone, PartialEq, Debug)]
#[allow(missing_docs)] // each variant is documented at its type
pub enum Message<'a> {
    Announce(Announce),
    Register(Register),
    ClientKey(ClientKey),
    RegConf(RegConf),
    KeyInfo(KeyInfo),
    KeyInfoAck(KeyInfoAck),
    FileInfo(FileInfo),
    FileInfoAck(FileInfoAck),
    FileSeg(FileSeg<'a>),
    Done(Done),
    Status(Status<'a>),
    PrStatus(PrStatus),
    Complete(Complete),
    DoneConf(DoneConf),
    HbReq(HbReq),
    HbResp(HbResp),
    KeyReq,
    ProxyKey(ProxyKey),
    Abort(Abort),
    CongCtrl(CongCtrl),
    CcAck(CcAck),
}

bitflags::bitflags! {
    /// What kind of session an ANNOUNCE opens.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct AnnounceFlags: u8 {
        /// Receivers skip files they have.
        const SYNC = 1;
        /// Receivers only say what they would do; always with `SYNC`.
        const SYNC_PREVIEW = 2;
        /// Resumes an earlier session. Protocol 3 only; later ones count instances.
        const RESTART = 4;
    }
}

/// Opens a session. Sender to public address, again and again while receivers register.
#[derive(Clone, PartialEq, Debug)]
pub struct Announce {
    /// Kind of session.
    pub flags: AnnounceFlags,
    /// The session's clockwork and packet size.
    pub pace: Pace,
    /// Sender's clock. Protocol 3 has none: 0.
    pub timestamp: WireTime,
    /// Group the session is announced on; unspecified in a unicast session.
    /// In protocol 3 it is not part of the message: unspecified.
    pub public: IpAddr,
    /// Group that carries the rest of the session; unspecified in a unicast session.
    pub private: IpAddr,
    /// Present when the session is encrypted.
    pub encryption: Option<EncInfo>,
    /// Invited receivers; none means anybody may register.
    pub clients: Vec<Uid>,
}

/// How a session times its messages and how large its packets are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pace {
    /// Protocols 4 and 5: times are multiples of the measured round trip.
    Adaptive {
        /// How often a message is repeated before its addressee is given up.
        robust: u8,
        /// Congestion control type, see [`CcType`].
        cc: CcType,
        /// Bytes of file data in a packet.
        block_size: u16,
    },
    /// Protocol 3: times are fixed by the sender.
    Fixed(FixedPace),
}

/// The clockwork of a protocol 3 session (wire-v3 §4.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FixedPace {
    /// Between announcements, ms.
    pub announce_interval: u16,
    /// Between requests for status, ms.
    pub status_interval: u16,
    /// Between registrations of a receiver, ms.
    pub register_interval: u16,
    /// Between a receiver's completions, ms.
    pub done_interval: u16,
    /// Length of the announce phase, s.
    pub announce_time: u8,
    /// Length of a status round, s.
    pub status_time: u8,
    /// Size of the largest IP datagram, bytes.
    pub mtu: u16,
}

/// What deployed senders use unless told otherwise (wire-v3 §12.1).
impl Default for FixedPace {
    fn default() -> Self {
        FixedPace {
            announce_interval: 2500,
            status_interval: 4000,
            register_interval: 4000,
            done_interval: 4000,
            announce_time: 10,
            status_time: 12,
            mtu: 1500,
        }
    }
}

/// Congestion control type of a session.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct CcType(pub u8);

impl CcType {
    /// Fixed rate.
    pub const NONE: CcType = CcType(0);
    /// TCP-friendly multicast congestion control, RFC 4654.
    pub const TFMCC: CcType = CcType(2);
}

/// Encryption of a session: the ENC_INFO extension, or the key fields of a protocol 3 ANNOUNCE.
///
/// Codes are as on the wire; whether they make sense is for `crypto` to say.
#[derive(Clone, PartialEq, Debug)]
pub struct EncInfo {
    /// Receivers must prove an identity with CLIENT_KEY.
    pub client_auth: bool,
    /// Key exchange code: 1 RSA, 2 ECDH_RSA, 3 ECDH_ECDSA. Protocol 3: 1. Protocol 5: 0.
    pub key_exchange: u8,
    /// Signature code: 1 HMAC, 2 by key exchange key, 3 AEAD. Protocol 5: 0.
    pub signature_type: u8,
    /// Cipher code.
    pub cipher: u8,
    /// Hash code.
    pub hash: u8,
    /// Sender's random number.
    pub random: [u8; 32],
    /// Sender's public key blob. Protocol 3: exponent and modulus in the same blob form.
    pub key: Vec<u8>,
    /// Sender's ephemeral ECDH key blob; empty with RSA key exchange.
    pub dh_key: Vec<u8>,
    /// Signature over the packet; empty with RSA key exchange.
    pub signature: Vec<u8>,
}

/// A receiver (or a proxy for many) joins. Receiver to the source of the ANNOUNCE.
#[derive(Clone, PartialEq, Debug)]
pub struct Register {
    /// Last sender time heard plus the time it was held. Protocol 3 has none: 0.
    pub echo: WireTime,
    /// Receiver's random number; zero in a plain session.
    pub random: [u8; 32],
    /// Encrypted premaster or ephemeral ECDH key blob; empty in a plain session.
    pub key: Vec<u8>,
    /// From a proxy: whom it registers.
    pub clients: Vec<Uid>,
}

/// A receiver's public key, and proof that it holds the private one.
#[derive(Clone, PartialEq, Debug)]
pub struct ClientKey {
    /// Public key blob.
    pub key: Vec<u8>,
    /// Signature over the handshake.
    pub signature: Vec<u8>,
}

/// Names receivers whose REGISTER arrived.
#[derive(Clone, PartialEq, Debug)]
pub struct RegConf {
    /// The receivers.
    pub clients: Vec<Uid>,
}

/// Hands the group master secret to receivers, wrapped for each.
#[derive(Clone, PartialEq, Debug)]
pub struct KeyInfo {
    /// Protocols 4 and 5: IV counter. Protocol 3: the sender's clock, as [`WireTime`].
    pub iv_counter: u64,
    /// Signature over the packet. Protocol 5 only: else empty.
    pub signature: Vec<u8>,
    /// Receiver and wrapped secret (48 bytes) each.
    pub keys: Vec<(Uid, [u8; 48])>,
}

/// A receiver has the group master secret. In protocol 3 an INFO_ACK for file 0.
#[derive(Clone, PartialEq, Debug)]
pub struct KeyInfoAck {
    /// Proof: 12 bytes in protocols 3 and 4, a hash length in protocol 5, where whoever checks
    /// it takes that many bytes from the front: the wire does not say how long it is.
    pub verify_data: Vec<u8>,
}

/// What a file is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FileType(pub u8);

impl FileType {
    /// A regular file.
    pub const REGULAR: FileType = FileType(0);
    /// An empty directory.
    pub const DIRECTORY: FileType = FileType(1);
    /// A symbolic link.
    pub const SYMLINK: FileType = FileType(2);
    /// A request to delete (protocols 4 and 5).
    pub const DELETE: FileType = FileType(3);
    /// A question for free disk space (protocols 4 and 5).
    pub const FREESPACE: FileType = FileType(4);
}

/// Announces a file.
#[derive(Clone, PartialEq, Debug)]
pub struct FileInfo {
    /// Its number in the session.
    pub file: FileId,
    /// What it is.
    pub file_type: FileType,
    /// Size in bytes; 0 for all but regular files. 48 bits on the wire.
    pub size: u64,
    /// Modification time, seconds since 1970, 0 if unknown. Protocol 3 (0x31) and 4 send 32
    /// bits, protocol 5 sends 48; a time that does not fit is sent as unknown.
    pub mtime: i64,
    /// Protocol 3 says its geometry: total blocks and sections. Else `None`.
    pub stated_geometry: Option<(u32, u16)>,
    /// Sender's clock. Protocol 3 has none: 0.
    pub timestamp: WireTime,
    /// Name at the receiver, with `/` between components. At most 300 bytes.
    pub name: Vec<u8>,
    /// Target of a symbolic link; else empty. At most 300 bytes.
    pub link: Vec<u8>,
    /// Receivers still expected to answer.
    pub clients: Vec<Uid>,
}

/// A receiver is ready for the file. In protocol 3 an INFO_ACK.
#[derive(Clone, PartialEq, Debug)]
pub struct FileInfoAck {
    /// The file.
    pub file: FileId,
    /// Part of it is there from an earlier run.
    pub partial: bool,
    /// Last sender time heard plus the time it was held. Protocol 3 has none: 0.
    pub echo: WireTime,
    /// From a proxy: whom it answers for.
    pub clients: Vec<Uid>,
}

/// Where in the file a block lies, as the protocol names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BlockRef {
    /// Protocols 4 and 5: block `block` of section `section`, both from 0.
    InSection {
        /// Section, from 0.
        section: u16,
        /// Block within the section, from 0.
        block: u16,
    },
    /// Protocol 3: block `block` of the file, from 0, sent in pass `pass`.
    InFile {
        /// Pass, from 1.
        pass: u8,
        /// Section, from 0.
        section: u16,
        /// Block within the file, from 0.
        block: u32,
    },
}

/// A block of file data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileSeg<'a> {
    /// The file.
    pub file: FileId,
    /// Which block.
    pub at: BlockRef,
    /// Present under TFMCC.
    pub tfmcc: Option<TfmccDataInfo>,
    /// The data: a block size of bytes, fewer in the last block.
    pub data: &'a [u8],
}

/// TFMCC_DATA_INFO: the sender's side of congestion control, in every block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TfmccDataInfo {
    /// Current send rate.
    pub send_rate: RateCode,
    /// Feedback round.
    pub cc_seq: u16,
    /// Lowest rate reported this round, scaled down; receivers above it stay silent.
    pub cc_rate: RateCode,
}

/// TFMCC_ACK_INFO: a receiver's side of congestion control.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TfmccAckInfo {
    /// State of the receiver.
    pub flags: CcFlags,
    /// Feedback round it answers.
    pub cc_seq: u16,
    /// Rate the receiver computed.
    pub cc_rate: RateCode,
    /// The receiver.
    pub client: Uid,
    /// Last sender time heard plus the time it was held.
    pub echo: WireTime,
}

bitflags::bitflags! {
    /// State of a receiver under congestion control.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct CcFlags: u8 {
        /// It is the current limiting receiver.
        const CLR = 1;
        /// Its round trip time is known.
        const RTT = 2;
        /// Slow start.
        const START = 4;
        /// It leaves. Never sent by deployed programs.
        const LEAVE = 8;
    }
}

/// Asks receivers for the state of a file ([`FileId::SESSION`]: of the session).
#[derive(Clone, PartialEq, Debug)]
pub struct Done {
    /// The file.
    pub file: FileId,
    /// Protocol 3: pass, from 1. Else 0.
    pub pass: u8,
    /// Protocols 4 and 5: last section sent. Protocol 3: the section asked about. From 0; 0 also
    /// for an empty file and for the session.
    pub section: u16,
    /// Receivers asked.
    pub clients: Vec<Uid>,
}

/// What is missing of a section.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Status<'a> {
    /// The file.
    pub file: FileId,
    /// Protocol 3: pass answered, from 1. Else 0.
    pub pass: u8,
    /// Protocol 3: pairs a proxy's STATUS with its PRSTATUS. Else 0.
    pub proxy_seq: u8,
    /// Section, from 0.
    pub section: u16,
    /// Present under TFMCC.
    pub tfmcc: Option<TfmccAckInfo>,
    /// NAK bitmap, see [`BlockMap::write_naks`](crate::nak::BlockMap::write_naks).
    /// Protocol 3: empty when nothing is missing.
    pub naks: &'a [u8],
}

/// Protocol 3: receivers for whom the STATUS with the same file, pass, section and number speaks.
#[derive(Clone, PartialEq, Debug)]
pub struct PrStatus {
    /// The file.
    pub file: FileId,
    /// Pass, from 1.
    pub pass: u8,
    /// Number of the STATUS.
    pub proxy_seq: u8,
    /// Section, from 0.
    pub section: u16,
    /// The receivers.
    pub clients: Vec<Uid>,
}

/// How a file ended at a receiver.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct CompleteStatus(pub u8);

impl CompleteStatus {
    /// Received, or done.
    pub const NORMAL: CompleteStatus = CompleteStatus(0);
    /// Already there (sync mode).
    pub const SKIPPED: CompleteStatus = CompleteStatus(1);
    /// An older file was replaced (sync mode).
    pub const OVERWRITE: CompleteStatus = CompleteStatus(2);
    /// Refused.
    pub const REJECTED: CompleteStatus = CompleteStatus(3);
}

/// A receiver has finished a file ([`FileId::SESSION`]: the session).
#[derive(Clone, PartialEq, Debug)]
pub struct Complete {
    /// The file.
    pub file: FileId,
    /// How it ended.
    pub status: CompleteStatus,
    /// Answer to [`FileType::FREESPACE`]: bytes available.
    pub free_space: Option<u64>,
    /// From a proxy: whom it answers for.
    pub clients: Vec<Uid>,
}

/// Names receivers whose completion of the session arrived.
#[derive(Clone, PartialEq, Debug)]
pub struct DoneConf {
    /// The receivers.
    pub clients: Vec<Uid>,
}

/// A heartbeat towards a proxy; with nonce, key and signature when it answers a challenge.
#[derive(Clone, PartialEq, Debug)]
pub struct HbReq {
    /// Nonce of the challenge, else 0.
    pub nonce: u32,
    /// Public key blob, else empty.
    pub key: Vec<u8>,
    /// Signature over the nonce (SHA-1), else empty.
    pub signature: Vec<u8>,
}

/// Verdict on a heartbeat.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct HbCode(pub u8);

impl HbCode {
    /// Authentication failed.
    pub const FAILED: HbCode = HbCode(0);
    /// Accepted.
    pub const OK: HbCode = HbCode(1);
    /// Prove yourself with the nonce.
    pub const CHALLENGE: HbCode = HbCode(2);
}

/// Answer to a heartbeat.
#[derive(Clone, PartialEq, Debug)]
pub struct HbResp {
    /// The verdict.
    pub code: HbCode,
    /// With [`HbCode::CHALLENGE`]: the nonce to sign, else 0.
    pub nonce: u32,
}

/// A proxy's keys for its clients.
#[derive(Clone, PartialEq, Debug)]
pub struct ProxyKey {
    /// Nonce under the signature. Protocol 5 has none: 0.
    pub nonce: u32,
    /// Public key blob.
    pub key: Vec<u8>,
    /// ECDH key blob, or empty.
    pub dh_key: Vec<u8>,
    /// Signature.
    pub signature: Vec<u8>,
}

/// Ends a session, or the current file, for one host or for all.
#[derive(Clone, PartialEq, Debug)]
pub struct Abort {
    /// Spare hosts that have finished the current file.
    pub current_file: bool,
    /// From a sender: the receiver meant, [`Uid::NONE`] for all. From a proxy: its client.
    pub host: Uid,
    /// Why, for people; at most 299 bytes.
    pub reason: String,
}

/// Congestion control of the group.
#[derive(Clone, PartialEq, Debug)]
pub struct CongCtrl {
    /// Feedback round.
    pub cc_seq: u16,
    /// Lowest rate reported this round, scaled down.
    pub cc_rate: RateCode,
    /// Sender's clock.
    pub timestamp: WireTime,
    /// Receivers told their round trip time.
    pub items: Vec<CongCtrlItem>,
}

/// One receiver in a CONG_CTRL.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CongCtrlItem {
    /// The receiver.
    pub client: Uid,
    /// Its state as the sender sees it.
    pub flags: CcFlags,
    /// Its round trip time.
    pub rtt: RttCode,
}

/// A receiver's congestion report.
#[derive(Clone, PartialEq, Debug)]
pub struct CcAck {
    /// The report.
    pub info: TfmccAckInfo,
}

impl Message<'_> {
    /// What it is, for the packet header.
    pub fn function(&self) -> Function {
        match self {
            Message::Announce(_) => Function::Announce,
            Message::Register(_) => Function::Register,
            Message::ClientKey(_) => Function::ClientKey,
            Message::RegConf(_) => Function::RegConf,
            Message::KeyInfo(_) => Function::KeyInfo,
            Message::KeyInfoAck(_) => Function::KeyInfoAck,
            Message::FileInfo(_) => Function::FileInfo,
            Message::FileInfoAck(_) => Function::FileInfoAck,
            Message::FileSeg(_) => Function::FileSeg,
            Message::Done(_) => Function::Done,
            Message::Status(_) => Function::Status,
            Message::PrStatus(_) => Function::PrStatus,
            Message::Complete(_) => Function::Complete,
            Message::DoneConf(_) => Function::DoneConf,
            Message::HbReq(_) => Function::HbReq,
            Message::HbResp(_) => Function::HbResp,
            Message::KeyReq => Function::KeyReq,
            Message::ProxyKey(_) => Function::ProxyKey,
            Message::Abort(_) => Function::Abort,
            Message::CongCtrl(_) => Function::CongCtrl,
            Message::CcAck(_) => Function::CcAck,
        }
    }
}
