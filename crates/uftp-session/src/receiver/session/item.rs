//! What becomes of a file: offered, received, asked about, finished or given up.

use std::time::{Duration, Instant};

use uftp_proto::wire::{CcType, CompleteStatus, Done, FileInfo, FileSeg, FileType};
use uftp_proto::{FileId, Geometry, Seq};

use super::{Handled, Order, Phase, Session, Stop, Surroundings};
use crate::congestion;
use crate::counters::Refusal;
use crate::files::{IncomingFile, Offer, SessionFiles};
use crate::receiver::event::ReceiverEventKind;
use crate::receiver::outbox::{Answer, Outgoing};
use crate::receiver::transfer::Transfer;

/// How long the disk is waited for when the sender asks no more.
const LAST_PATIENCE: Duration = Duration::from_secs(10);

impl<S: SessionFiles> Session<S> {
    pub(super) fn file_info(
        &mut self,
        now: Instant,
        order: Order,
        info: &FileInfo,
        around: &mut Surroundings<'_>,
    ) -> Handled {
        if !self.is_listed(&info.clients) {
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
        } else if order == Order::Late && self.is_behind(info.file) {
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
    pub(super) fn give_up_file(&mut self, reason: &str, around: &mut Surroundings<'_>) {
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
            let packet = congestion::charged_size(&self.link, self.block_size, ip, CcType::TFMCC);
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
        let geometry = match self.check_offer(&file, info.stated_geometry)? {
            Ok(geometry) => geometry,
            Err(note) => {
                self.answer(&file, CompleteStatus::REJECTED, None, Some(note), around);
                return Ok(());
            }
        };
        match self.files.offer(&file) {
            Offer::Accept { status, missing } => {
                let transfer = Transfer::new(
                    file,
                    status,
                    geometry,
                    missing,
                    self.policy.passes,
                    around.cache_size,
                );
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
            Offer::Abort(reason) => {
                // The ABORT does not name the file.
                let (name, why) = (file.name, reason.clone());
                let kind = ReceiverEventKind::FileFailed { name, reason: why };
                around.tell(self.id, file.file, kind);
                Err(Stop::abort(reason))
            }
        }
    }

    /// What can be said of an offered file without the disk (behaviour-sender-receiver §5.5):
    /// its layout, or why it is rejected.
    fn check_offer(
        &self,
        file: &IncomingFile,
        stated: Option<(u32, u16)>,
    ) -> Result<Result<Geometry, String>, Stop> {
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
        let geometry = match Geometry::new(size, self.block_size, self.policy.sectioning) {
            Ok(geometry) => geometry,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let (blocks, sections) = (geometry.blocks(), geometry.sections());
        Ok(match stated {
            Some(stated) if stated != (blocks, sections) => Err(format!(
                "it is said to have {} blocks in {} sections, expected {blocks} in {sections}",
                stated.0, stated.1
            )),
            _ => Ok(geometry),
        })
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

    pub(super) fn file_seg(&mut self, now: Instant, order: Order, seg: &FileSeg<'_>) -> Handled {
        let Phase::Receiving(transfer) = &mut self.phase else {
            return Err(Refusal::OutOfPlace.into());
        };
        let section = transfer.take(seg, &mut self.files)?;
        if order == Order::Newest {
            transfer.newest_data(now, self.timing.nak_delay(), section);
            if let Some(info) = &seg.tfmcc {
                let group = self.group();
                if let Some(congestion) = &mut self.congestion {
                    congestion.data_info(now, info, group);
                }
            }
        }
        self.alive = now;
        Ok(())
    }

    pub(super) fn done(
        &mut self,
        now: Instant,
        done: &Done,
        around: &mut Surroundings<'_>,
    ) -> Handled {
        let asked = self.is_listed(&done.clients);
        if done.file == FileId::SESSION {
            self.finish_last_file(around)?;
            self.alive = now;
            return match asked {
                true => self.complete_session(now, around),
                false => Ok(()),
            };
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
                    let patience = self.timing.disk_patience();
                    if transfer.is_complete(&mut self.files, patience, done.section)? {
                        return self.finish_file(around);
                    }
                }
                if done.clients.is_empty() && transfer.is_amid(done.section) {
                    self.outbox.push(Outgoing::Interim(done.section));
                    return Ok(());
                }
                let answer = transfer.done(now, self.timing.nak_delay(), done, asked);
                if let Some(question) = answer {
                    self.outbox.push(Outgoing::Report(question));
                }
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

    /// The sender has no more files. An unfinished one is never taken for a finished one.
    fn finish_last_file(&mut self, around: &mut Surroundings<'_>) -> Handled {
        let Phase::Receiving(transfer) = &mut self.phase else {
            return Ok(());
        };
        if !transfer.is_complete(&mut self.files, LAST_PATIENCE, transfer.last_section())? {
            return Err(Stop::abort("Session ended before the file was complete"));
        }
        self.finish_file(around)
    }

    /// The sender asks whether we have all: says so, once it is true of the disk.
    fn complete_session(&mut self, now: Instant, around: &mut Surroundings<'_>) -> Handled {
        self.files.commit().map_err(|error| Stop::disk(&error))?;
        around.tell(self.id, FileId::SESSION, ReceiverEventKind::GroupDone);
        self.phase = Phase::Completing {
            since: now,
            sent: now,
        };
        self.outbox.push(Outgoing::Complete(Answer::SESSION));
        Ok(())
    }

    /// All of the file is on disk: puts it in its place, and only then says so.
    pub(super) fn finish_file(&mut self, around: &mut Surroundings<'_>) -> Handled {
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
}
