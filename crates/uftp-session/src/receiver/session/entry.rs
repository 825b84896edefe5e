//! What of a packet may be believed.

use std::time::Instant;

use uftp_proto::wire::{self, Announce, DecodeError, Function, Header, KeyInfo, Message, Problem};
use uftp_proto::{FileId, Seq, Uid};

use super::{Doubt, Handled, Order, Phase, Session, Stop, Surroundings};
use crate::congestion::Packet;
use crate::counters::Refusal;
use crate::files::SessionFiles;
use crate::incoming::{self, Incoming};
use crate::policy::KeyGiver;
use crate::receiver::event::ReceiverEventKind;
use crate::receiver::outbox::Outgoing;
use crate::security::gate::{self, Form, Keys};

/// Packets more than this many numbers behind the newest are dropped (wire-v4 §1.5).
const REORDER_WINDOW: i16 = 5;

impl<S: SessionFiles> Session<S> {
    /// Takes in a packet of this session. Nothing of it is believed, its header included, before
    /// it has proved authentic or is one that comes in the clear.
    pub(in crate::receiver) fn receive(
        &mut self,
        incoming: &Incoming,
        packet: &mut [u8],
        around: &mut Surroundings<'_>,
    ) -> Handled {
        let (now, header) = (incoming.now, &incoming.header);
        if header.version != self.link.version() {
            return Err(Refusal::OtherVersion.into());
        }
        if self.is_proxy(header.src) {
            return self.proxy_speaks(incoming, packet, around);
        }
        if header.src != self.server && !self.may_hand_out_keys(header) {
            self.stranger_speaks(incoming, around);
            return Err(Refusal::UnknownSource.into());
        }
        let keys = self
            .security
            .as_ref()
            .map_or(Keys::None, |s| s.client.keys());
        gate::downstream(Form::Clear, header.function, keys)?;
        let len = packet.len();
        let Some(security) = &mut self.security else {
            self.arrived(incoming, len);
            return match &incoming::decode(header, packet) {
                Ok(message) => self.handle(now, header, message, around),
                Err(error) => Err(self.malformed(header.function, error)),
            };
        };
        if header.function != Function::Encrypted {
            let message = incoming::decode(header, packet).map_err(Refusal::from)?;
            return self.handle_clear(now, header, &message, packet, around);
        }
        let (body, sealer) = security.client.open(packet)?;
        if let Some(sealer) = sealer {
            self.link.secure(*sealer, security.counter.clone());
        }
        if security.doubt.take().is_some() {
            self.outbox.forget(&Outgoing::Register);
            self.outbox.forget(&Outgoing::ClientKey);
        }
        self.arrived(incoming, len);
        let function = wire::inner_function(header.version, body).map_err(Refusal::from)?;
        gate::downstream(Form::Sealed, function, keys)?;
        let header = Header {
            function,
            ..*header
        };
        match &wire::decode(header.version, function, body) {
            Ok(message) => self.handle(now, &header, message, around),
            Err(error) => Err(self.malformed(function, error)),
        }
    }

    /// Whether a packet that is not the server's brings keys, and nobody can say of whom: those
    /// that can be used are right.
    fn may_hand_out_keys(&self, header: &Header) -> bool {
        let anybody = self.policy.key_giver == KeyGiver::Anybody;
        anybody && header.function == Function::KeyInfo
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
            Message::KeyInfo(keys) => self.key_info(now, header, keys, packet, around),
            Message::Abort(abort) => self.dismissed(now, abort, around),
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
    pub(super) fn key_info(
        &mut self,
        now: Instant,
        header: &Header,
        message: &KeyInfo,
        packet: &[u8],
        around: &mut Surroundings<'_>,
    ) -> Handled {
        let listed: Vec<Uid> = message.keys.iter().map(|(uid, _)| *uid).collect();
        self.is_listed(&listed);
        let Some(security) = &mut self.security else {
            return Err(Refusal::OutOfPlace.into());
        };
        let client = &mut security.client;
        let Some(answer) = client.key_info(header.src, self.uid, message, packet)? else {
            if let Phase::MidGroup = self.phase {
                self.alive = now;
            }
            return Ok(());
        };
        if let Some(sealer) = answer.sealer {
            self.link.secure(sealer, security.counter.clone());
        }
        security.dismissal = None;
        let heard = ReceiverEventKind::KeyInfoReceived;
        match self.phase {
            Phase::Registering { .. } => {
                let wait = self.timing.doubt();
                let doubt = Doubt {
                    at: now + wait,
                    wait,
                };
                security.doubt = (!security.client.is_proven()).then_some(doubt);
                around.tell(self.id, FileId::SESSION, heard);
                self.confirmed(now, around);
            }
            Phase::MidGroup => {
                around.tell(self.id, FileId::SESSION, heard);
                self.alive = now;
            }
            // Our answer was lost, and the sender went on with those whose answers were not.
            Phase::Receiving(_) | Phase::Completing { .. } => {}
            Phase::AwaitingProxy { .. } => return Ok(()),
        }
        self.outbox.push(Outgoing::KeyInfoAck(answer.proof));
        Ok(())
    }

    /// What follows from a message of the sender that cannot be decoded. A FILEINFO whose names
    /// do not fit its header will not be better the next time; a packet cut short may.
    fn malformed(&self, function: Function, error: &DecodeError) -> Stop {
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
    fn arrived(&mut self, incoming: &Incoming, len: usize) {
        if self.congestion.is_none() {
            return;
        }
        let (now, header) = (incoming.now, &incoming.header);
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
        let packet = Packet {
            at: now,
            seq: header.seq,
            len,
            ecn: incoming.ecn,
        };
        congestion.arrived(packet, group);
    }

    /// Acts on a message from the sender.
    fn handle(
        &mut self,
        now: Instant,
        header: &Header,
        message: &Message<'_>,
        around: &mut Surroundings<'_>,
    ) -> Handled {
        let order = self.check_window(now, header)?;
        let timing = self.timing;
        self.timing.set_grtt(header.grtt);
        if let Err(stop) = self.dispatch(now, order, message, around) {
            self.timing = timing;
            return Err(stop);
        }
        self.accepted = now;
        self.group_size = header.group_size;
        if order == Order::Newest {
            self.newest = header.seq;
        }
        if let Phase::Registering { until, .. } = &mut self.phase {
            *until = (*until).max(self.announced + self.timing.registration());
        }
        Ok(())
    }

    /// Where the packet stands among those of the sender (wire-v4 §1.5). Keys and aborts may be made
    /// by others than the sender and carry numbers of their own.
    fn check_window(&self, now: Instant, header: &Header) -> Result<Order, Refusal> {
        if matches!(header.function, Function::KeyInfo | Function::Abort) {
            return Ok(Order::Late);
        }
        if self.is_out_of_step(now, header.seq) {
            return Ok(Order::Newest);
        }
        let ahead = header.seq.distance_from(self.newest);
        if ahead < -REORDER_WINDOW {
            return Err(Refusal::Stale);
        }
        Ok(match ahead > 0 {
            true => Order::Newest,
            false => Order::Late,
        })
    }

    /// Whether a number seems old only because so many packets were missed that the count came
    /// round: nothing was accepted for half the time after which we would give up.
    fn is_out_of_step(&self, now: Instant, seq: Seq) -> bool {
        seq.distance_from(self.newest) < -REORDER_WINDOW
            && now.saturating_duration_since(self.accepted) > self.timing.silence() / 2
    }
}
