//! What arrives: who speaks, whether it may be believed, and whom it concerns.

use std::net::SocketAddr;
use std::time::Instant;

use uftp_proto::Uid;
use uftp_proto::wire::{self, Abort, Function, Header, Message};

use super::announce::{self, Origin};
use super::clients::State;
use super::session::Session;
use super::{NOT_LISTED, Phase, Sender};
use crate::counters::Refusal;
use crate::files::FileSource;
use crate::incoming;
use crate::security::gate::{self, Form, Keys};

impl<S: FileSource> Sender<S> {
    /// Finds out who speaks, and lets the phase listen.
    pub(super) fn receive(
        &mut self,
        now: Instant,
        from: SocketAddr,
        datagram: &mut [u8],
    ) -> Result<(), Refusal> {
        if matches!(self.phase, Phase::Over) {
            return Err(Refusal::OutOfPlace);
        }
        let s = &mut self.session;
        let header = wire::decode_header(datagram)?;
        if header.version != s.config.version {
            return Err(Refusal::OtherVersion);
        }
        if header.group != s.config.group {
            return Err(Refusal::OtherSession);
        }
        let author = s.author(header.src, from);
        // A receiver on the sender's own host has the same id by default; before it registers,
        // what carries that id is the sender's own voice.
        let own_voice = author == s.config.uid
            && header.function != Function::Register
            && s.clients.find(author).is_none();
        if author.is_none() || own_voice {
            return Err(Refusal::UnknownSource);
        }
        let keys = match (&self.phase, s.keys(author)) {
            (Phase::Announcing(_), keys) if !s.is_spoken_for(author) => keys,
            (_, keys @ Keys::None) => keys,
            // Whoever has none by now is not taken at its word any more.
            _ => Keys::Ready,
        };
        let (function, body) = uncover(s, &header, author, keys, datagram)?;
        let message = wire::decode(header.version, function, body)?;
        let at = self.author(now, from, author, &message)?;
        let s = &mut self.session;
        if let Message::Abort(abort) = &message {
            let form = match header.function {
                Function::Encrypted => Form::Sealed,
                _ => Form::Clear,
            };
            return self.aborted(at, abort, form);
        }
        if s.clients
            .state(at)
            .is_some_and(|s| matches!(s, State::Lost | State::Aborted))
        {
            s.remind(at, now);
            return Err(Refusal::OutOfPlace);
        }
        s.note_address(at, from);
        match &mut self.phase {
            Phase::Announcing(phase) => phase.handle(s, Origin { now, from, at }, &message, body),
            Phase::Informing(phase) => phase.handle(s, now, at, &message),
            Phase::Transfer(phase) => phase.handle(s, now, at, &message),
            Phase::Closing(phase) => phase.handle(s, now, at, &message),
            Phase::Over => {}
        }
        Ok(())
    }

    /// A destination leaves, or says that another does. While keys are handed out, what is said without
    /// them, or for somebody who has not registered, need not be true.
    fn aborted(&mut self, at: usize, abort: &Abort, form: Form) -> Result<(), Refusal> {
        let announcing = matches!(self.phase, Phase::Announcing(_));
        let s = &mut self.session;
        let (leaver, state) = s.leaver(at, abort)?;
        let unproved = form == Form::Clear || state == State::Mute;
        match announcing && s.security.is_some() && unproved {
            true => s.note_doubtful_abort(leaver, &abort.reason),
            false => s.note_departure(leaver, &abort.reason),
        }
        Ok(())
    }

    /// The destination a message comes from. Strangers may register in an open group while it is
    /// announced; in a closed group they are sent away.
    fn author(
        &mut self,
        now: Instant,
        from: SocketAddr,
        uid: Uid,
        message: &Message<'_>,
    ) -> Result<usize, Refusal> {
        let s = &mut self.session;
        if let Some(at) = s.clients.find(uid) {
            return Ok(at);
        }
        if let Message::Abort(abort) = message {
            if s.is_open() && matches!(self.phase, Phase::Announcing(_)) {
                s.note_declined(uid, &abort.reason);
            }
            return Err(Refusal::UnknownSource);
        }
        if !s.is_open() {
            match message {
                Message::Register(_) => s.turn_away(now, from, uid, NOT_LISTED),
                _ => s.refuse(now, from, uid, NOT_LISTED),
            }
            return Err(Refusal::UnknownSource);
        }
        match (&mut self.phase, message) {
            (Phase::Announcing(phase), Message::Register(_)) => {
                if !phase.looks_into(s, now) {
                    // It takes no place.
                    return Err(Refusal::Limit);
                }
                announce::find_or_add(s, uid).ok_or_else(|| {
                    s.turn_away(now, from, uid, "Max destinations exceeded");
                    Refusal::Limit
                })
            }
            _ => Err(Refusal::UnknownSource),
        }
    }
}

/// The message in a packet of `author`, whose keys are `keys`: what it is and its bytes, opened if
/// it is sealed. Refuses what must not travel as it does.
fn uncover<'a>(
    s: &mut Session,
    header: &Header,
    author: Uid,
    keys: Keys,
    packet: &'a mut [u8],
) -> Result<(Function, &'a [u8]), Refusal> {
    let client_key = s.policy.client_key;
    gate::upstream(Form::Clear, header.function, keys, client_key)?;
    let proxy = s.proxy_of(author);
    let (Some(security), Function::Encrypted) = (&mut s.security, header.function) else {
        return Ok((header.function, incoming::body(packet)));
    };
    let body = match proxy {
        None => security.open(author, packet)?,
        Some(proxy) => security.open_through(proxy, author, packet)?,
    };
    let function = wire::inner_function(header.version, body)?;
    gate::upstream(Form::Sealed, function, keys, client_key)?;
    if proxy.is_some() && function != Function::CcAck {
        // The proxy says it, or nobody does.
        return Err(Refusal::OutOfPlace);
    }
    Ok((function, body))
}
