//! Packets on their way from clients to the server: what of them may be believed, and what goes on as
//! it is. The rest is acted upon in `turn`.

use std::net::SocketAddr;

use uftp_proto::wire::{self, Function, Header, Message};

use super::Assembly;
use super::turn::Turn;
use crate::counters::Refusal;
use crate::incoming::{self, Incoming};
use crate::proxy::event::ProxyEventKind;
use crate::proxy::session::{Handled, Surroundings};
use crate::security::gate::{self, Form};

impl Assembly {
    /// A packet of a client.
    pub(in crate::proxy) fn upstream(
        &mut self,
        incoming: &Incoming,
        packet: &mut [u8],
        upstream: SocketAddr,
        around: &mut Surroundings<'_>,
    ) -> Handled {
        let header = &incoming.header;
        let author = header.src;
        let client_key = self.policy.client_key;
        let keys = self.keys_of(author);
        gate::upstream(Form::Clear, header.function, keys, client_key)?;
        if self.is_over() {
            return Err(Refusal::OutOfPlace);
        }
        let known = self.clients.contains(author);
        let may_be_new = matches!(
            header.function,
            Function::Register | Function::ClientKey | Function::Abort
        );
        if !(known || may_be_new) || author.is_none() || author == self.server {
            return Err(Refusal::UnknownSource);
        }
        let (function, body) = match (&self.keys, header.function) {
            (Some(_), Function::Encrypted) => self.opened(header, packet, around)?,
            (_, function) => (function, incoming::body(packet)),
        };
        let message = wire::decode(header.version, function, body)?;
        if self.keys.is_none() && is_for_the_server_alone(&message) {
            return around.pass_up(upstream, incoming.ecn, packet);
        }
        let turn = Turn {
            now: incoming.now,
            author,
            known,
            assembly: self,
            around,
        };
        turn.hear(message, body)
    }

    /// What a client has sealed.
    fn opened<'p>(
        &mut self,
        header: &Header,
        packet: &'p mut [u8],
        around: &mut Surroundings<'_>,
    ) -> Result<(Function, &'p [u8]), Refusal> {
        let author = header.src;
        let keys_of_author = self.keys_of(author);
        let client_key = self.policy.client_key;
        let keys = self.keys.as_mut().ok_or(Refusal::OutOfPlace)?;
        let body = keys.open(author, packet)?;
        let function = wire::inner_function(header.version, body)?;
        gate::upstream(Form::Sealed, function, keys_of_author, client_key)?;
        let told = matches!(function, Function::ClientKey | Function::KeyInfoAck);
        if !told && keys.prove_by_use(author) {
            around.tell(ProxyEventKind::KeyInfoAcked { client: author });
        }
        Ok((function, body))
    }
}

/// Whether a message in the clear goes on as it is: the free space of a COMPLETE would be lost in a
/// list, and the reports of congestion control are each receiver's own.
fn is_for_the_server_alone(message: &Message<'_>) -> bool {
    match message {
        Message::Complete(complete) => complete.free_space.is_some(),
        Message::CcAck(_) => true,
        _ => false,
    }
}
