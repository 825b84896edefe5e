//! One session from ANNOUNCE to DONE_CONF (behaviour-sender-receiver §5.2 to §5.7).

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use uftp_proto::crypto::IvCounter;
use uftp_proto::wire::{
    self, Abort, Announce, CompleteStatus, CongCtrl, DecodeError, Done, FileInfo, FileSeg,
    FileType, Function, Header, KeyInfo, Message, Problem, TfmccAckInfo,
};
use uftp_proto::{Ecn, FileId, Geometry, Seq, Uid, WireTime};

use super::announce::Terms;
use super::event::{EndReason, ReceiverEvent, ReceiverEventKind, SessionId};
use super::outbox::{Answer, Outbox, Outgoing};
use super::timing::Timing;
use super::transfer::Transfer;
use crate::batch::Batch;
use crate::congestion::{self, Group, Reporter, ip_udp_len};
use crate::counters::{Counters, Refusal};
use crate::files::{IncomingFile, Offer, SessionFiles, SessionInfo};
use crate::link::Link;
use crate::policy::Policy;
use crate::security::Client;
use crate::security::gate::{self, Form, Keys};

/// Packets more than this many numbers behind the newest are dropped (wire-v4 §1.5).
const REORDER_WINDOW: i16 = 5;

/// What the machine lends its sessions.
pub(super) struct Surroundings<'a> {
    pub(super) uid: Uid,
    pub(super) cache_size: usize,
    pub(super) events: &'a mut VecDeque<ReceiverEvent>,
    pub(super) counters: &'a mut Counters,
}

impl Surroundings<'_> {
    pub(super) fn tell(&mut self, session: SessionId, file: FileId, kind: ReceiverEventKind) {
        self.events.push_back(ReceiverEvent {
            session,
            file,
            kind,
        });
    }
}

/// Why a session did not simply go on.
#[derive(Debug)]
pub(super) enum Stop {
    /// The packet is not acted upon.
    Refused(Refusal),
    /// The session is over.
    End(EndReason),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Stop::Refused(refusal)
    }
}

impl Stop {
    /// We end the session; the sender is told why.
    fn abort(reason: impl Into<String>) -> Self {
        Stop::End(EndReason::Aborted(reason.into()))
    }

    /// The disk fails: nothing more can be received, and nothing reported that is not there.
    pub(super) fn disk(error: &io::Error) -> Self {
        Stop::abort(match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => NO_SPACE.to_owned(),
            _ => format!("Error writing file: {error}"),
        })
    }
}

const NO_SPACE: &str = "Not enough disk space";

type Handled = Result<(), Stop>;

/// A session and the disk side of it.
pub(super) struct Session<S> {
    id: SessionId,
    server: Uid,
    /// Where answers go: to where the ANNOUNCE came from.
    reply_to: SocketAddr,
    private: Option<IpAddr>,
    block_size: u16,
    policy: Policy,
    timing: Timing,
    link: Link,
    /// Our end of the handshake, in an encrypted session.
    security: Option<Joining>,
    files: S,
    phase: Phase,
    announced: Instant,
    /// Under congestion control: what we ask for.
    congestion: Option<Box<Reporter>>,
    /// Receivers in the group, as the sender says.
    group_size: u32,
    /// The last answered item, for when the answer was lost.
    answered: Option<Answer>,
    /// The sender's last stamp and when it came.
    stamp: (WireTime, Instant),
    /// Highest packet number so far.
    newest: Seq,
    /// When the last packet was accepted.
    accepted: Instant,
    /// When the sender last showed that it is busy with us: the silence counts from here.
    alive: Instant,
    outbox: Outbox,
}

enum Phase {
    /// REGISTER is repeated until the sender confirms.
    Registering {
        sent: Instant,
        /// When to give up. Never brought forward: when the sender has measured its first round
        /// trips its estimate drops, and that must not cut off those whose confirmation was lost.
        until: Instant,
    },
    /// Between files.
    MidGroup,
    /// A file is open.
    Receiving(Box<Transfer>),
    /// COMPLETE of the session is repeated until the sender confirms.
    Completing { since: Instant, sent: Instant },
}

/// Our end of an encrypted session.
pub(super) struct Joining {
    pub(super) client: Box<Client>,
    /// Where our packets begin to count.
    pub(super) counter: IvCounter,
}

/// What is left of a session that must still tell its sender why it ended.
pub(super) struct Parting {
    pub(super) link: Link,
    pub(super) to: SocketAddr,
    pub(super) reason: String,
}

impl<S: SessionFiles> Session<S> {
    /// A session that was announced by `header` and `announce`, and accepted on `terms`.
    #[expect(clippy::too_many_arguments, reason = "everything an ANNOUNCE brings")]
    pub(super) fn open(
        now: Instant,
        info: &SessionInfo,
        header: &Header,
        announce: &Announce,
        terms: &Terms,
        uid: Uid,
        security: Option<Joining>,
        files: S,
    ) -> Self {
        let policy = Policy::of(header.version);
        let timing = Timing::new(policy, terms.robust, header.grtt);
        let mut outbox = Outbox::default();
        outbox.push(Outgoing::Register);
        outbox.push(Outgoing::ClientKey);
        Session {
            id: SessionId {
                group: info.group,
                instance: info.instance,
            },
            server: info.server,
            reply_to: info.server_addr,
            private: terms.private,
            block_size: terms.block_size,
            policy,
            timing,
            link: Link::new(header.version, uid, info.group, info.instance),
            security,
            files,
            phase: Phase::Registering {
                sent: now,
                until: now + timing.registration(),
            },
            announced: now,
            congestion: None,
            group_size: header.group_size.count(),
            answered: None,
            stamp: (announce.timestamp, now),
            newest: header.seq,
            accepted: now,
            alive: now,
            outbox,
        }
    }

    /// The sender's rate is to follow what we report; `seed` makes our waits our own.
    pub(super) fn report_rates(&mut self, seed: u64) {
        let overhead = ip_udp_len(self.reply_to.ip());
        self.congestion = Some(Box::new(Reporter::new(overhead, seed)));
    }

    /// Whether a session with this sender's number, encrypted or not, can be a later run of this
    /// one: what was encrypted does not go on in the clear.
    pub(super) fn can_give_way_to(&self, server: Uid, encrypted: bool) -> bool {
        self.server == server && (encrypted || self.security.is_none())
    }

    /// Answers go to a response proxy instead.
    pub(super) fn answer_through(&mut self, proxy: SocketAddr) {
        self.reply_to = proxy;
    }

    /// The group that carries the session; `None` in a unicast session.
    pub(super) fn private(&self) -> Option<IpAddr> {
        self.private
    }

    /// Takes in a packet of this session. Nothing of it is believed, its header included, before
    /// it has proved authentic or is one that comes in the clear.
    pub(super) fn receive(
        &mut self,
        now: Instant,
        header: &Header,
        ecn: Ecn,
        packet: &mut [u8],
        around: &mut Surroundings<'_>,
    ) -> Handled {
        if header.version != self.link.version() {
            return Err(Refusal::OtherVersion.into());
        }
        if header.src != self.server {
            return Err(Refusal::UnknownSource.into());
        }
        let keys = self
            .security
            .as_ref()
            .map_or(Keys::None, |s| s.client.keys());
        gate::downstream(Form::Clear, header.function, keys)?;
        let len = packet.len();
        let Some(security) = &mut self.security else {
            self.arrived(now, header, len, ecn);
            let body = packet.get(Header::LEN..).unwrap_or_default();
            return match wire::decode(header.version, header.function, body) {
                Ok(message) => self.handle(now, header, &message, around),
                Err(error) => Err(self.malformed(header.function, &error)),
            };
        };
        if header.function != Function::Encrypted {
            let body = packet.get(Header::LEN..).unwrap_or_default();
            let message = wire::decode(header.version, header.function, body)
                .map_err(|_| Refusal::Malformed)?;
            return self.handle_clear(now, header, &message, packet, around);
        }
        let (body, sealer) = security.client.open(packet)?;
        if let Some(sealer) = sealer {
            self.link.secure(sealer, security.counter.clone());
        }
        self.arrived(now, header, len, ecn);
        let function =
            wire::inner_function(header.version, body).map_err(|_| Refusal::Malformed)?;
        gate::downstream(Form::Sealed, function, keys)?;
        let header = Header {
            function,
            ..*header
        };
        match wire::decode(header.version, function, body) {
            Ok(message) => self.handle(now, &header, &message, around),
            Err(error) => Err(self.malformed(function, &error)),
        }
    }

    /// Acts on a message that comes in the clear in an encrypted session. Its header may be
    /// anybody's: packet numbers and round trip times are not taken from it, but while we
    /// register, when there is nothing better than an ANNOUNCE.
    fn handle_clear(
        &mut self,
        now: Instant,
        header: &Header,
        message: &Message<'_>,
        packet: &[u8],
        around: &mut Surroundings<'_>,
    ) -> Handled {
        match message {
            Message::Announce(announce) if self.keeps_time(header, announce, packet) => {
                self.timing.set_grtt(header.grtt);
                if let Phase::Registering { until, .. } = &mut self.phase {
                    *until = (*until).max(self.announced + self.timing.registration());
                }
                Ok(())
            }
            Message::KeyInfo(keys) => self.key_info(now, header, keys, around),
            Message::Abort(abort) => self.aborted(now, abort, around.uid),
            _ => {
                // The sender may still be busy with others.
                if let Phase::MidGroup = self.phase {
                    self.alive = now;
                }
                Ok(())
            }
        }
    }

    /// Whether a repeated ANNOUNCE tells us a new round trip time.
    fn keeps_time(&self, header: &Header, announce: &Announce, packet: &[u8]) -> bool {
        let registering = matches!(self.phase, Phase::Registering { .. });
        registering
            && self.timing.differs(header.grtt)
            && self
                .security
                .as_ref()
                .is_some_and(|s| s.client.recognizes(announce, packet))
    }

    /// Keys arrive, perhaps again.
    fn key_info(
        &mut self,
        now: Instant,
        header: &Header,
        message: &KeyInfo,
        around: &mut Surroundings<'_>,
    ) -> Handled {
        let Some(security) = &mut self.security else {
            return Err(Refusal::OutOfPlace.into());
        };
        let Some(answer) = security.client.key_info(header.src, around.uid, message)? else {
            if let Phase::MidGroup = self.phase {
                self.alive = now;
            }
            return Ok(());
        };
        if let Some(sealer) = answer.sealer {
            self.link.secure(sealer, security.counter.clone());
        }
        let heard = ReceiverEventKind::KeyInfoReceived;
        match self.phase {
            Phase::Registering { .. } => {
                around.tell(self.id, FileId::SESSION, heard);
                self.confirmed(now, around);
            }
            Phase::MidGroup => {
                around.tell(self.id, FileId::SESSION, heard);
                self.alive = now;
            }
            Phase::Receiving(_) | Phase::Completing { .. } => return Ok(()),
        }
        self.outbox.push(Outgoing::KeyInfoAck(answer.proof));
        Ok(())
    }

    /// What follows from a message of the sender that cannot be decoded. A FILEINFO whose names
    /// do not fit its header will not be better the next time; a packet cut short may.
    pub(super) fn malformed(&self, function: Function, error: &DecodeError) -> Stop {
        let misfit = match error.problem {
            Problem::HeaderSize { .. } => true,
            Problem::Length { .. } => error.field != "hlen",
            _ => false,
        };
        match (function, &self.phase) {
            (_, Phase::Completing { .. }) => Refusal::Malformed.into(),
            (Function::FileInfo, _) if misfit => {
                Stop::abort("Rejecting FILEINFO: invalid message size")
            }
            _ => Refusal::Malformed.into(),
        }
    }

    /// A packet of the sender arrived, `len` bytes with its header: whatever it says, it counts for
    /// congestion control, but that aborts and keys may be others' and have their numbers.
    fn arrived(&mut self, now: Instant, header: &Header, len: usize, ecn: Ecn) {
        let out_of_step = self.is_out_of_step(now, header.seq);
        let group = self.group();
        let Some(congestion) = &mut self.congestion else {
            return;
        };
        let ours = match header.function {
            Function::KeyInfo => false,
            Function::Abort => congestion.expects(header.seq),
            _ => true,
        };
        if !ours {
            return;
        }
        if out_of_step {
            congestion.lose_track(now, header.seq);
        }
        congestion.arrived(now, header.seq, len, ecn, group);
    }

    fn group(&self) -> Group {
        Group {
            grtt: self.timing.grtt(),
            size: self.group_size,
        }
    }

    /// Acts on a message from the sender.
    pub(super) fn handle(
        &mut self,
        now: Instant,
        header: &Header,
        message: &Message<'_>,
        around: &mut Surroundings<'_>,
    ) -> Handled {
        let newest = self.check_window(now, header)?;
        let timing = self.timing;
        self.timing.set_grtt(header.grtt);
        let handled = self.dispatch(now, newest, message, around);
        match handled {
            Err(Stop::Refused(_)) => self.timing = timing,
            _ => {
                self.accepted = now;
                self.group_size = header.group_size.count();
                if newest {
                    self.newest = header.seq;
                }
                if let Phase::Registering { until, .. } = &mut self.phase {
                    *until = (*until).max(self.announced + self.timing.registration());
                }
            }
        }
        handled
    }

    /// Whether the packet is the newest so far (wire-v4 §1.5). Keys and aborts may be made by
    /// others than the sender and carry numbers of their own.
    fn check_window(&self, now: Instant, header: &Header) -> Result<bool, Refusal> {
        if matches!(header.function, Function::KeyInfo | Function::Abort) {
            return Ok(false);
        }
        if self.is_out_of_step(now, header.seq) {
            return Ok(true);
        }
        let ahead = header.seq.distance_from(self.newest);
        if ahead < -REORDER_WINDOW {
            return Err(Refusal::Stale);
        }
        Ok(ahead > 0)
    }

    /// Whether a number seems old only because so many packets were missed that the count came
    /// round: nothing was accepted for half the time after which we would give up.
    fn is_out_of_step(&self, now: Instant, seq: Seq) -> bool {
        seq.distance_from(self.newest) < -REORDER_WINDOW
            && now.saturating_duration_since(self.accepted) > self.timing.silence() / 2
    }

    fn dispatch(
        &mut self,
        now: Instant,
        newest: bool,
        message: &Message<'_>,
        around: &mut Surroundings<'_>,
    ) -> Handled {
        if let Message::Abort(abort) = message {
            return self.aborted(now, abort, around.uid);
        }
        if let Message::FileInfo(info) = message
            && info.file == FileId::SESSION
        {
            return Err(Refusal::OutOfRange.into());
        }
        match (&mut self.phase, message) {
            (Phase::Receiving(_), Message::FileSeg(seg)) => self.file_seg(now, newest, seg),
            (Phase::Receiving(_) | Phase::MidGroup, Message::FileInfo(info)) => {
                self.file_info(now, newest, info, around)
            }
            (Phase::Receiving(_) | Phase::MidGroup, Message::Done(done)) => {
                self.done(now, done, around)
            }
            (Phase::Receiving(_), Message::CongCtrl(ctrl)) => {
                self.cong_ctrl(now, newest, ctrl, around.uid);
                Ok(())
            }
            // The others may be served while we wait for our turn, or lag behind.
            (Phase::MidGroup, _) => {
                self.alive = now;
                Ok(())
            }
            (Phase::Receiving(_), _) => Ok(()),
            (Phase::Registering { .. }, Message::RegConf(conf)) => {
                if conf.clients.contains(&around.uid) {
                    self.confirmed(now, around);
                }
                Ok(())
            }
            (Phase::Registering { .. }, Message::FileInfo(info)) => {
                if info.clients.contains(&around.uid) {
                    // The confirmation was lost, but we are counted in.
                    self.confirmed(now, around);
                    return self.file_info(now, newest, info, around);
                }
                Ok(())
            }
            (Phase::Registering { .. }, Message::Announce(_)) => Ok(()),
            (Phase::Registering { .. }, _) => Err(Refusal::OutOfPlace.into()),
            (Phase::Completing { .. }, Message::DoneConf(conf)) => {
                if conf.clients.contains(&around.uid) {
                    return Err(Stop::End(EndReason::Confirmed));
                }
                Ok(())
            }
            (Phase::Completing { .. }, _) => Ok(()),
        }
    }

    fn confirmed(&mut self, now: Instant, around: &mut Surroundings<'_>) {
        self.phase = Phase::MidGroup;
        self.alive = now;
        self.outbox.forget(&Outgoing::Register);
        self.outbox.forget(&Outgoing::ClientKey);
        around.tell(self.id, FileId::SESSION, ReceiverEventKind::Confirmed);
    }

    fn aborted(&mut self, now: Instant, abort: &Abort, uid: Uid) -> Handled {
        let everybody = abort.host.is_none();
        if !everybody && abort.host != uid {
            // The sender sends away others, perhaps very many.
            self.alive = now;
            return Ok(());
        }
        let done_with_file = matches!(self.phase, Phase::MidGroup | Phase::Completing { .. });
        if everybody && abort.current_file && done_with_file {
            return Ok(());
        }
        Err(Stop::End(EndReason::AbortedByServer(abort.reason.clone())))
    }

    fn file_info(
        &mut self,
        now: Instant,
        newest: bool,
        info: &FileInfo,
        around: &mut Surroundings<'_>,
    ) -> Handled {
        if !info.clients.contains(&around.uid) {
            self.alive = now;
            return Ok(());
        }
        let current = match &self.phase {
            Phase::Receiving(transfer) => Some(transfer.info.file),
            _ => None,
        };
        if current == Some(info.file) {
            self.outbox.push(Outgoing::FileInfoAck);
        } else if let Some(answer) = self.answered.filter(|a| a.file == info.file) {
            self.outbox.push(Outgoing::Complete(answer));
        } else if !newest && self.is_behind(info.file) {
            // Taking a late copy for a new file would destroy what was received.
            return Err(Refusal::Stale.into());
        } else {
            self.stamp = (info.timestamp, now);
            self.alive = now;
            self.give_up_file("the sender went on to the next file", around);
            return self.offer(info, around);
        }
        self.stamp = (info.timestamp, now);
        self.alive = now;
        Ok(())
    }

    /// Whether `file` comes before the file we are at, in the circle of file numbers.
    fn is_behind(&self, file: FileId) -> bool {
        let at = match &self.phase {
            Phase::Receiving(transfer) => Some(transfer.info.file),
            _ => self.answered.map(|a| a.file),
        };
        at.is_some_and(|at| !Seq(file.0).is_newer_than(Seq(at.0)))
    }

    /// Leaves an unfinished file, if there is one.
    fn give_up_file(&mut self, reason: &str, around: &mut Surroundings<'_>) {
        if let Phase::Receiving(transfer) = std::mem::replace(&mut self.phase, Phase::MidGroup) {
            let (file, name) = (transfer.info.file, transfer.info.name.clone());
            transfer.discard(&mut self.files);
            let reason = reason.to_owned();
            let kind = ReceiverEventKind::FileFailed { name, reason };
            around.tell(self.id, file, kind);
        }
    }

    /// Considers a new file.
    fn offer(&mut self, info: &FileInfo, around: &mut Surroundings<'_>) -> Handled {
        if let Some(congestion) = &mut self.congestion {
            let ip = self.reply_to.ip();
            let packet = congestion::charged_size(&self.link, self.block_size, ip, true);
            congestion.start_file(packet);
        }
        let file = IncomingFile {
            file: info.file,
            file_type: info.file_type,
            name: info.name.clone(),
            link: info.link.clone(),
            size: info.size,
            mtime: info.mtime,
            block_size: self.block_size,
        };
        let geometry = match self.check_offer(&file)? {
            Ok(geometry) => geometry,
            Err(note) => {
                self.answer(&file, CompleteStatus::REJECTED, None, Some(note), around);
                return Ok(());
            }
        };
        match self.files.offer(&file) {
            Offer::Accept { status, missing } => {
                let transfer = Transfer::new(file, status, geometry, missing, around.cache_size);
                let started = ReceiverEventKind::FileStarted {
                    name: transfer.info.name.clone(),
                    file_type: transfer.info.file_type,
                    size: transfer.info.size,
                    blocks: transfer.blocks(),
                    sections: transfer.sections(),
                };
                around.tell(self.id, transfer.info.file, started);
                self.phase = Phase::Receiving(Box::new(transfer));
                self.outbox.push(Outgoing::FileInfoAck);
                Ok(())
            }
            Offer::Done {
                status,
                free_space,
                note,
            } => {
                self.answer(&file, status, free_space, note, around);
                Ok(())
            }
            Offer::Abort(reason) => Err(Stop::abort(reason)),
        }
    }

    /// What can be said of an offered file without the disk (behaviour-sender-receiver §5.5):
    /// its layout, or why it is rejected.
    fn check_offer(&self, file: &IncomingFile) -> Result<Result<Geometry, String>, Stop> {
        if file.name.is_empty() {
            return Ok(Err("its name is empty".to_owned()));
        }
        match file.file_type {
            FileType::SYMLINK if file.link.is_empty() => {
                return Ok(Err("it is a link to nowhere".to_owned()));
            }
            FileType::REGULAR
            | FileType::DIRECTORY
            | FileType::SYMLINK
            | FileType::DELETE
            | FileType::FREESPACE => {}
            _ => return Err(Stop::abort("Invalid file type")),
        }
        let size = match file.file_type {
            FileType::REGULAR => file.size,
            _ => 0,
        };
        Ok(Geometry::new(size, self.block_size, self.policy.sectioning).map_err(|e| e.to_string()))
    }

    /// An item is over: remembers the answer, sends it and says so.
    fn answer(
        &mut self,
        file: &IncomingFile,
        status: CompleteStatus,
        free_space: Option<u64>,
        note: Option<String>,
        around: &mut Surroundings<'_>,
    ) {
        let answer = Answer {
            file: file.file,
            status,
            free_space,
        };
        self.answered = Some(answer);
        self.outbox.push(Outgoing::Complete(answer));
        let finished = ReceiverEventKind::FileFinished {
            name: file.name.clone(),
            file_type: file.file_type,
            size: file.size,
            status,
            note,
        };
        around.tell(self.id, file.file, finished);
    }

    fn file_seg(&mut self, now: Instant, newest: bool, seg: &FileSeg<'_>) -> Handled {
        let Phase::Receiving(transfer) = &mut self.phase else {
            return Err(Refusal::OutOfPlace.into());
        };
        let section = transfer.take(seg, &mut self.files)?;
        let group = Group {
            grtt: self.timing.grtt(),
            size: self.group_size,
        };
        if newest && let (Some(congestion), Some(info)) = (&mut self.congestion, &seg.tfmcc) {
            congestion.data_info(now, info, group);
        }
        if newest {
            transfer.newest_data(now, self.timing.nak_delay(), section);
        }
        self.alive = now;
        Ok(())
    }

    /// The limiting receiver answers at once, the others when their time comes.
    fn cong_ctrl(&mut self, now: Instant, newest: bool, ctrl: &CongCtrl, uid: Uid) {
        let group = self.group();
        let Some(congestion) = &mut self.congestion else {
            return;
        };
        if newest {
            self.stamp = (ctrl.timestamp, now);
        }
        if congestion.cong_ctrl(now, uid, ctrl, group) {
            self.alive = now;
            self.outbox.push(Outgoing::CcAck);
        }
    }

    fn done(&mut self, now: Instant, done: &Done, around: &mut Surroundings<'_>) -> Handled {
        let asked = done.clients.contains(&around.uid);
        if done.file == FileId::SESSION {
            return self.group_done(now, asked, around);
        }
        let heard = ReceiverEventKind::DoneReceived {
            section: done.section,
        };
        match &mut self.phase {
            Phase::Receiving(transfer) if transfer.info.file == done.file => {
                if !transfer.has_section(done.section) {
                    return Err(Refusal::OutOfRange.into());
                }
                self.alive = now;
                if asked {
                    around.tell(self.id, done.file, heard);
                    if transfer.flush(&mut self.files)? {
                        return self.finish_file(around);
                    }
                }
                transfer.done(now, self.timing.nak_delay(), done.section, asked);
            }
            Phase::Receiving(_) => {}
            _ => {
                self.alive = now;
                if asked && let Some(answer) = self.answered.filter(|a| a.file == done.file) {
                    around.tell(self.id, done.file, heard);
                    self.outbox.push(Outgoing::Complete(answer));
                }
            }
        }
        Ok(())
    }

    /// The sender ends the session. An unfinished file is never taken for a finished one.
    fn group_done(&mut self, now: Instant, asked: bool, around: &mut Surroundings<'_>) -> Handled {
        if let Phase::Receiving(transfer) = &mut self.phase {
            if !transfer.flush(&mut self.files)? {
                return Err(Stop::abort("Session ended before the file was complete"));
            }
            self.finish_file(around)?;
        }
        self.alive = now;
        if asked {
            self.files.commit().map_err(|error| Stop::disk(&error))?;
            around.tell(self.id, FileId::SESSION, ReceiverEventKind::GroupDone);
            self.phase = Phase::Completing {
                since: now,
                sent: now,
            };
            self.outbox.push(Outgoing::Complete(Answer::SESSION));
        }
        Ok(())
    }

    /// All of the file is on disk: puts it in its place, and only then says so.
    fn finish_file(&mut self, around: &mut Surroundings<'_>) -> Handled {
        let Phase::Receiving(transfer) = &self.phase else {
            return Ok(());
        };
        let (info, status) = (transfer.info.clone(), transfer.status);
        if let Err(error) = self.files.finish() {
            self.give_up_file(&error.to_string(), around);
            return Err(Stop::disk(&error));
        }
        self.phase = Phase::MidGroup;
        self.answer(&info, status, None, None, around);
        Ok(())
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    pub(super) fn deadline(&self) -> Instant {
        let silence = self.alive + self.timing.silence();
        match &self.phase {
            Phase::Registering { sent, until } => {
                (*until).min(*sent + self.timing.register_repeat())
            }
            Phase::MidGroup => silence,
            Phase::Receiving(transfer) => {
                let report = self.congestion.as_ref().and_then(|c| c.deadline());
                let earlier = transfer.deadline().into_iter().chain(report).min();
                earlier.map_or(silence, |earlier| earlier.min(silence))
            }
            Phase::Completing { since, sent } => {
                let give_up = *since + self.timing.confirmation();
                give_up.min(*sent + self.timing.complete_repeat())
            }
        }
    }

    /// Does what is due.
    pub(super) fn handle_timeout(
        &mut self,
        now: Instant,
        around: &mut Surroundings<'_>,
    ) -> Handled {
        let timing = self.timing;
        let over = |since: Instant, time: Duration| now >= since + time;
        match &mut self.phase {
            Phase::Registering { until, .. } if now >= *until => {
                return Err(Stop::abort("Registration unconfirmed"));
            }
            Phase::Registering { sent, .. } => {
                if over(*sent, timing.register_repeat()) {
                    *sent = now;
                    self.outbox.push(Outgoing::Register);
                    self.outbox.push(Outgoing::ClientKey);
                }
            }
            Phase::Completing { since, .. } if over(*since, timing.confirmation()) => {
                return Err(Stop::End(EndReason::Unconfirmed));
            }
            Phase::Completing { sent, .. } => {
                if over(*sent, timing.complete_repeat()) {
                    *sent = now;
                    self.outbox.push(Outgoing::Complete(Answer::SESSION));
                }
            }
            Phase::MidGroup | Phase::Receiving(_) if over(self.alive, timing.silence()) => {
                return Err(Stop::abort("Transfer timed out"));
            }
            Phase::MidGroup => {}
            Phase::Receiving(transfer) => {
                if self.congestion.as_mut().is_some_and(|c| c.due(now)) {
                    self.outbox.push(Outgoing::CcAck);
                    self.alive = now;
                }
                if let Some(sweep) = transfer.naks_due(now) {
                    if transfer.flush(&mut self.files)? {
                        return self.finish_file(around);
                    }
                    self.outbox.push(Outgoing::Naks(sweep));
                }
            }
        }
        Ok(())
    }

    /// Appends what is to be said, as far as the batch has room.
    pub(super) fn poll_transmit(
        &mut self,
        now: Instant,
        batch: &mut Batch,
        around: &mut Surroundings<'_>,
    ) -> Handled {
        if self.outbox.is_empty() {
            return Ok(());
        }
        let group = self.group();
        let transfer = match &mut self.phase {
            Phase::Receiving(transfer) => Some(&mut **transfer),
            _ => None,
        };
        let (stamp, at) = self.stamp;
        let echo = stamp.plus(now.saturating_duration_since(at));
        let report = self.congestion.as_ref().map(|congestion| {
            let (flags, cc_seq, cc_rate) = congestion.report(now, group);
            TfmccAckInfo {
                flags,
                cc_seq,
                cc_rate,
                client: around.uid,
                echo,
            }
        });
        let mut pen = super::outbox::Pen {
            session: self.id,
            to: self.reply_to,
            echo,
            report,
            link: &mut self.link,
            security: self.security.as_ref().map(|s| &*s.client),
            transfer,
            files: &mut self.files,
            batch,
            around,
        };
        self.outbox.write(&mut pen)
    }

    /// The session is over. Returns what must still be said to the sender.
    pub(super) fn close(
        mut self,
        reason: &EndReason,
        around: &mut Surroundings<'_>,
    ) -> Option<Parting> {
        let (complete, words) = match reason {
            EndReason::Confirmed | EndReason::Unconfirmed => (true, None),
            EndReason::AbortedByServer(words) => (false, Some(words)),
            EndReason::Aborted(words) => (false, Some(words)),
            EndReason::Superseded(_) => (false, None),
        };
        self.give_up_file(words.map_or("the session is over", |w| w), around);
        self.files.end(complete);
        match reason {
            EndReason::Aborted(words) => Some(Parting {
                link: self.link,
                to: self.reply_to,
                reason: words.clone(),
            }),
            _ => None,
        }
    }
}
