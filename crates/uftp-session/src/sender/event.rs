//! What a sender tells its driver.

use std::time::Duration;

use uftp_proto::wire::CompleteStatus;
use uftp_proto::{FileId, Uid};

use super::report::Volume;
use crate::files::SendItem;

/// What happened at a sender, for logs, status lines and progress. Clients are named by id;
/// [`Sender::client_name`](super::Sender::client_name) has the name to print.
#[derive(Clone, PartialEq, Debug)]
pub enum SenderEvent {
    /// ANNOUNCE number `attempt` (from 1) went out.
    AnnounceSent {
        /// From 1 to the robustness factor.
        attempt: u32,
        /// Datagram of the list, from 1; `None` for the one that admits anybody.
        part: Option<u32>,
    },
    /// A REGISTER arrived.
    Registered {
        /// Who.
        client: Uid,
        /// The proxy it came through.
        proxy: Option<Uid>,
        /// It had registered before.
        again: bool,
    },
    /// A receiver has proved who it is.
    ClientKeyReceived {
        /// Who.
        client: Uid,
        /// It had done so before.
        again: bool,
    },
    /// A CLIENT_KEY came with another key than the operator has in the list. Told once for each
    /// receiver.
    ClientKeyRejected {
        /// Who.
        client: Uid,
    },
    /// Part `part` (from 1) of KEYINFO number `attempt` went out.
    KeyInfoSent {
        /// Repetition, from 1.
        attempt: u32,
        /// Datagram of the list, from 1.
        part: u32,
    },
    /// A receiver has the keys.
    KeyInfoAcked {
        /// Who.
        client: Uid,
    },
    /// Part `part` (from 1) of REG_CONF number `attempt` went out.
    RegConfSent {
        /// The cycle of ANNOUNCE that it belongs to.
        attempt: u32,
        /// Datagram of the list, from 1.
        part: u32,
    },
    /// All destinations of the list are there; the last they may have to repeat is waited for.
    LateRegisters,
    /// The announce phase is over for this destination, proxies included.
    Connect {
        /// Who.
        client: Uid,
        /// It answers for others and receives nothing itself.
        proxy: bool,
        /// Whether it takes part.
        connected: bool,
    },
    /// A new item begins.
    FileStarted {
        /// Its number.
        file: FileId,
        /// What it is.
        item: SendItem,
        /// Blocks it is cut into.
        blocks: u32,
        /// Sections it is cut into.
        sections: u16,
    },
    /// The item cannot be sent and is left out: why.
    FileSkipped {
        /// What it is.
        item: SendItem,
        /// Why.
        reason: String,
    },
    /// Part `part` (from 1) of FILEINFO number `attempt` went out.
    FileInfoSent {
        /// Repetition, from 1.
        attempt: u32,
        /// Datagram of the list, from 1.
        part: u32,
    },
    /// A receiver is ready for the file.
    FileInfoAcked {
        /// Who.
        client: Uid,
        /// Part of the file is there.
        partial: bool,
    },
    /// Data starts to flow.
    TransferStarted {
        /// Time limit for this file, if any.
        max_time: Option<Duration>,
    },
    /// Pass number `pass` (from 1) over the file begins.
    PassStarted {
        /// From 1.
        pass: u32,
    },
    /// The first block of a section in this pass is about to go out.
    SectionStarted {
        /// From 0.
        section: u16,
    },
    /// Part `part` (from 1) of DONE number `attempt` went out.
    DoneSent {
        /// [`FileId::SESSION`] at the end of the session.
        file: FileId,
        /// Repetition, from 1.
        attempt: u32,
        /// Datagram of the list, from 1.
        part: u32,
    },
    /// A STATUS arrived.
    Naks {
        /// Who.
        client: Uid,
        /// Which section, from 0.
        section: u16,
        /// Blocks missing.
        count: u32,
    },
    /// The loss of a section has changed the rate ([`RateSteps`](super::RateSteps)).
    RateStepped {
        /// Send rate from now on, bytes per second.
        rate: u64,
        /// Blocks of the section missing somewhere.
        lost: u32,
        /// Blocks of it that went out in this pass.
        sent: u32,
    },
    /// Under congestion control: CONG_CTRL went out.
    CongCtrlSent {
        /// Feedback round.
        round: u16,
        /// Send rate, bytes per second.
        rate: u64,
        /// The limiting receiver.
        limiting: Option<Uid>,
    },
    /// Under congestion control: a receiver said what rate it can take.
    RateReported {
        /// Who.
        client: Uid,
        /// Bytes per second.
        rate: u64,
        /// It is the limiting receiver now.
        limiting: bool,
    },
    /// What receivers behind a proxy report on congestion cannot be read, and nothing else says what
    /// the network takes: the rate is the lowest that is allowed. Told once.
    ReportsUnreadable {
        /// The proxy.
        proxy: Uid,
    },
    /// A receiver has finished the current item, or the session ([`FileId::SESSION`]).
    Completed {
        /// Who.
        client: Uid,
        /// What.
        file: FileId,
        /// How.
        status: CompleteStatus,
    },
    /// All receivers have answered the last DONE; what they may have to repeat is waited for.
    LateCompletions,
    /// Part `part` (from 1) of DONE_CONF number `attempt` went out.
    DoneConfSent {
        /// The cycle of DONE that it belongs to.
        attempt: u32,
        /// Datagram of the list, from 1.
        part: u32,
    },
    /// A receiver stopped answering and is given up.
    ClientLost {
        /// Who.
        client: Uid,
        /// During which message exchange: `ANNOUNCE`, `FILEINFO`, `CONG_CTRL`,
        /// `DONE`.
        waiting_for: &'static str,
    },
    /// A receiver ended, or was made to end, its part.
    ClientAborted {
        /// Who.
        client: Uid,
        /// Why.
        reason: String,
        /// Whether the receiver said so, rather than we.
        by_client: bool,
    },
    /// A host that has proved nothing would not register when it was announced. It still may.
    Declined {
        /// Who.
        client: Uid,
        /// Why.
        reason: String,
    },
    /// A host that is to have no part in the session would take part, and was sent away. Told of the
    /// first few, once each.
    TurnedAway {
        /// Who.
        client: Uid,
        /// In the words it was told.
        reason: &'static str,
    },
    /// One id answers from two addresses: two receivers share it.
    DuplicateUid {
        /// The id.
        client: Uid,
    },
    /// The item is over.
    FileFinished {
        /// Its number.
        file: FileId,
        /// What it was.
        item: SendItem,
        /// From the start of the transfer to the last completion.
        elapsed: Duration,
        /// What was sent of it.
        volume: Volume,
        /// How it ended at each receiver (not proxies), in list order.
        results: Vec<FileReport>,
    },
    /// Every file is over; the session is being closed.
    Finishing,
    /// The session is over; nothing follows.
    Finished(Outcome),
}

/// How an item ended at one receiver.
#[derive(Clone, PartialEq, Debug)]
pub struct FileReport {
    /// Who.
    pub client: Uid,
    /// How.
    pub outcome: FileOutcome,
    /// From the start of the transfer to its completion; zero for instant items.
    pub elapsed: Duration,
    /// Answer to a question for free space, bytes.
    pub free_space: Option<u64>,
}

/// How an item ended at one receiver.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FileOutcome {
    /// The receiver answered so.
    Completed(CompleteStatus),
    /// It never registered.
    Mute,
    /// It stopped answering.
    Lost,
    /// It ended or was ended.
    Aborted,
}

/// How a session ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// At least one receiver took at least one item.
    Success,
    /// The user stopped it.
    Interrupted,
    /// The keys of the session could not be made.
    NoKeys,
    /// Nobody registered, or not everybody who had to.
    NobodyRegistered,
    /// Nobody answered a FILEINFO, or not everybody who had to.
    NobodyReady,
    /// Every receiver was lost in the transfer, or one that was needed.
    AllDropped,
    /// The session went well but no receiver took anything.
    NothingAccepted,
}
