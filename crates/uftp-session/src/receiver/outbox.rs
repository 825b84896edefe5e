//! What a session has yet to say to its sender.

use std::collections::VecDeque;
use std::net::SocketAddr;

use uftp_proto::wire::{
    CcAck, Complete, CompleteStatus, FileInfoAck, KeyInfoAck, Message, Register, Status,
    TfmccAckInfo,
};
use uftp_proto::{Ecn, FileId, WireTime};

use super::event::ReceiverEventKind;
use super::nak::NakSweep;
use super::reports::Question;
use super::session::{Stop, Surroundings};
use super::transfer::Transfer;
use crate::batch::Batch;
use crate::files::SessionFiles;
use crate::link::{Cover, Envelope, GroupEstimate, Link};
use crate::security::Client;
use crate::table::SessionId;

/// One answer, or a row of them. They are made when there is room for them, so that a report on
/// thousands of sections takes no memory and echoed times are those of sending.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Outgoing {
    Register,
    /// Goes with every REGISTER; nothing where it is not asked for.
    ClientKey,
    KeyInfoAck(Vec<u8>),
    FileInfoAck,
    Complete(Answer),
    Naks(NakSweep),
    /// What a section misses that is still being sent.
    Interim(u16),
    /// The answer to a question for one section.
    Report(Question),
    CcAck,
}

/// How an item ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Answer {
    pub(super) file: FileId,
    pub(super) status: CompleteStatus,
    pub(super) free_space: Option<u64>,
}

impl Answer {
    /// The whole session is over.
    pub(super) const SESSION: Answer = Answer {
        file: FileId::SESSION,
        status: CompleteStatus::NORMAL,
        free_space: None,
    };
}

/// Answers waiting to be sent, each at most once.
#[derive(Default)]
pub(super) struct Outbox {
    queue: VecDeque<Outgoing>,
    /// Room for a bitmap, kept from STATUS to STATUS.
    bitmap: Vec<u8>,
}

/// All that it takes to write an answer.
pub(super) struct Writer<'a, 'e, S> {
    pub(super) session: SessionId,
    pub(super) to: SocketAddr,
    /// The sender's last stamp plus the time it was held.
    pub(super) echo: WireTime,
    /// Under congestion control: our report, and whether a STATUS carries it.
    pub(super) report: Option<TfmccAckInfo>,
    pub(super) reports_with_naks: bool,
    pub(super) link: &'a mut Link,
    /// Our end of the handshake, in an encrypted session.
    pub(super) security: Option<&'a Client>,
    pub(super) transfer: Option<&'a mut Transfer>,
    pub(super) files: &'a mut S,
    pub(super) batch: &'a mut Batch,
    pub(super) around: &'a mut Surroundings<'e>,
}

/// What became of one message.
enum Written {
    Sent,
    /// It has to wait for another batch.
    NoRoom,
    /// It can never be sent.
    Impossible,
}

impl Outbox {
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Queues an answer unless the same one waits already. Of NAK reports one waits at most: the
    /// sender asks again for what a crowded network leaves out.
    pub(super) fn push(&mut self, answer: Outgoing) {
        let waits = |queued: &Outgoing| match (queued, &answer) {
            (Outgoing::Naks(_), Outgoing::Naks(_)) => true,
            (queued, answer) => queued == answer,
        };
        if !self.queue.iter().any(waits) {
            self.queue.push_back(answer);
        }
    }

    /// Takes back an answer.
    pub(super) fn forget(&mut self, answer: &Outgoing) {
        self.queue.retain(|queued| queued != answer);
    }

    /// Writes as many answers as the batch has room for.
    ///
    /// # Errors
    /// The end of the session if the disk fails: what is in the cache is written before it is
    /// said what is missing.
    pub(super) fn write<S: SessionFiles>(
        &mut self,
        writer: &mut Writer<'_, '_, S>,
    ) -> Result<(), Stop> {
        while let Some(answer) = self.queue.front_mut() {
            let written = match answer {
                Outgoing::Register => writer.register(),
                Outgoing::ClientKey => writer.client_key(),
                Outgoing::KeyInfoAck(proof) => writer.key_info_ack(proof),
                Outgoing::FileInfoAck => writer.file_info_ack(),
                Outgoing::Complete(answer) => writer.complete(*answer),
                Outgoing::CcAck => writer.cc_ack(),
                Outgoing::Report(question) => writer.report(*question, &mut self.bitmap)?,
                Outgoing::Interim(section) => {
                    writer.naks(&mut NakSweep::one(*section), &mut self.bitmap)?
                }
                Outgoing::Naks(sweep) => writer.naks(sweep, &mut self.bitmap)?,
            };
            if let Written::NoRoom = written {
                break;
            }
            self.queue.pop_front();
        }
        Ok(())
    }
}

impl<S: SessionFiles> Writer<'_, '_, S> {
    fn register(&mut self) -> Written {
        let (random, key) = match self.security {
            None => ([0; 32], Some(Vec::new())),
            Some(client) => (client.random(), client.register_key()),
        };
        let Some(key) = key else {
            tracing::error!("cannot encrypt to the sender's key");
            return Written::Impossible;
        };
        let message = Message::Register(Register {
            echo: self.echo,
            random,
            key,
            clients: Vec::new(),
        });
        let sent = ReceiverEventKind::RegisterSent;
        self.write(&message, Cover::Clear, FileId::SESSION, sent)
    }

    fn client_key(&mut self) -> Written {
        let Some(key) = self.security.and_then(Client::client_key) else {
            return Written::Impossible;
        };
        let message = Message::ClientKey(key.clone());
        let sent = ReceiverEventKind::ClientKeySent;
        self.write(&message, Cover::Handshake, FileId::SESSION, sent)
    }

    fn key_info_ack(&mut self, proof: &[u8]) -> Written {
        let message = Message::KeyInfoAck(KeyInfoAck {
            verify_data: proof.to_vec(),
        });
        let sent = ReceiverEventKind::KeyInfoAckSent;
        self.write(&message, Cover::Session, FileId::SESSION, sent)
    }

    fn file_info_ack(&mut self) -> Written {
        let Some(transfer) = &self.transfer else {
            return Written::Impossible;
        };
        let file = transfer.info.file;
        let message = Message::FileInfoAck(FileInfoAck {
            file,
            partial: transfer.resumed,
            echo: self.echo,
            clients: Vec::new(),
        });
        let sent = ReceiverEventKind::FileInfoAckSent;
        self.write(&message, Cover::Session, file, sent)
    }

    fn complete(&mut self, answer: Answer) -> Written {
        let message = Message::Complete(Complete {
            file: answer.file,
            status: answer.status,
            free_space: answer.free_space,
            clients: Vec::new(),
        });
        let sent = ReceiverEventKind::CompleteSent;
        self.write(&message, Cover::Session, answer.file, sent)
    }

    fn cc_ack(&mut self) -> Written {
        let (Some(info), Some(transfer)) = (self.report, &self.transfer) else {
            return Written::Impossible;
        };
        let file = transfer.info.file;
        let rate = info.cc_rate.rate();
        let message = Message::CcAck(CcAck { info });
        let sent = ReceiverEventKind::CcAckSent { rate };
        self.write(&message, Cover::Session, file, sent)
    }

    /// One STATUS for each section of the sweep that misses blocks.
    fn naks(&mut self, sweep: &mut NakSweep, bitmap: &mut Vec<u8>) -> Result<Written, Stop> {
        let Some(transfer) = self.transfer.take() else {
            return Ok(Written::Impossible);
        };
        transfer.flush(self.files)?;
        let file = transfer.info.file;
        let with_report = self.reports_with_naks && !transfer.is_misread();
        let tfmcc = self.report.filter(|_| with_report);
        let (mut written, mut said) = (Written::Sent, false);
        while let Some(section) = sweep.section() {
            bitmap.clear();
            let count = transfer.write_naks(section, bitmap);
            if count == 0 {
                sweep.pass_by();
                continue;
            }
            let message = Message::Status(Status {
                file,
                pass: 0,
                proxy_seq: 0,
                section,
                tfmcc,
                naks: bitmap,
            });
            let sent = ReceiverEventKind::NaksSent { section, count };
            written = self.write(&message, Cover::Session, file, sent);
            if let Written::NoRoom = written {
                break;
            }
            said = true;
            sweep.reported();
        }
        if said {
            transfer.said_what_is_missing();
        }
        self.transfer = Some(transfer);
        Ok(written)
    }

    /// The STATUS that a question asks for.
    fn report(&mut self, question: Question, bitmap: &mut Vec<u8>) -> Result<Written, Stop> {
        let Some(transfer) = &mut self.transfer else {
            return Ok(Written::Impossible);
        };
        transfer.flush(self.files)?;
        let file = transfer.info.file;
        let Question { pass, section } = question;
        bitmap.clear();
        let count = transfer.write_whole_naks(section, bitmap);
        let message = Message::Status(Status {
            file,
            pass,
            proxy_seq: 0,
            section,
            tfmcc: None,
            naks: bitmap,
        });
        let sent = ReceiverEventKind::NaksSent { section, count };
        Ok(self.write(&message, Cover::Session, file, sent))
    }

    fn write(
        &mut self,
        message: &Message<'_>,
        cover: Cover,
        file: FileId,
        sent: ReceiverEventKind,
    ) -> Written {
        let envelope = Envelope {
            to: self.to,
            ecn: Ecn::NotEct,
            estimate: GroupEstimate::default(),
        };
        match self.link.send(self.batch, envelope, message, cover) {
            Ok(_) => {
                self.around.counters.sent += 1;
                self.around.tell(self.session, file, sent);
                Written::Sent
            }
            Err(error) if error.is_no_room() && !self.batch.is_empty() => Written::NoRoom,
            Err(error) => {
                tracing::warn!(%error, function = ?message.function(), "cannot send");
                Written::Impossible
            }
        }
    }
}
