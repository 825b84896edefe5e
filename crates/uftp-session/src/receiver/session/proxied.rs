//! A session with a proxy that the operator named for its sender: it says its key for each session
//! after every ANNOUNCE, and is whom we register with and answer (wire-v5 §9.3 to §9.5, §10.1).

use uftp_proto::crypto::Fingerprint;
use uftp_proto::wire::{Function, Message, ProxyKey};
use uftp_proto::{FileId, Uid};

use super::{Handled, Phase, Session, Surroundings};
use crate::counters::Refusal;
use crate::files::SessionFiles;
use crate::incoming::{self, Incoming};
use crate::limit::{Limit, Shares};
use crate::policy::KeyGiver;
use crate::receiver::event::ReceiverEventKind;
use crate::receiver::outbox::Outgoing;
use crate::security::Introduction;
use crate::security::gate::{self, Form, Keys};

/// Signatures of PROXY_KEYs checked in a second, of those that come from one part of the network.
const CHECKS_PER_SECOND: u32 = 20;

/// PROXY_KEYs with another key than the proxy's looked into in a second, and rejections told of.
const OTHERS_PER_SECOND: u32 = 20;

/// A proxy as the operator names it.
pub(in crate::receiver) struct NamedProxy {
    uid: Uid,
    /// Its key; `None` for any.
    fingerprint: Option<Fingerprint>,
    checks: Shares,
    /// What has another key takes no place of what may have the right one.
    others: Limit,
    told: Limit,
    /// It was told that there are too many.
    flooded: bool,
}

impl NamedProxy {
    pub(in crate::receiver) fn new(uid: Uid, fingerprint: Option<Fingerprint>) -> Self {
        NamedProxy {
            uid,
            fingerprint,
            checks: Shares::per_second(CHECKS_PER_SECOND),
            others: Limit::per_second(OTHERS_PER_SECOND),
            told: Limit::per_second(OTHERS_PER_SECOND),
            flooded: false,
        }
    }
}

impl<S: SessionFiles> Session<S> {
    /// Whether a packet of this host comes from the session's proxy.
    pub(super) fn is_proxy(&self, host: Uid) -> bool {
        self.proxy.as_ref().is_some_and(|proxy| proxy.uid == host)
    }

    /// The proxy speaks for itself. Its packets have no numbers to go by.
    pub(super) fn proxy_speaks(
        &mut self,
        incoming: &Incoming,
        packet: &[u8],
        around: &mut Surroundings<'_>,
    ) -> Handled {
        let (now, header) = (incoming.now, &incoming.header);
        let keys = self.security.as_ref();
        let keys = keys.map_or(Keys::None, |s| s.client.keys());
        if header.function != Function::ProxyKey {
            gate::downstream(Form::Clear, header.function, keys)?;
        }
        match incoming::decode(header, packet).map_err(Refusal::from)? {
            Message::ProxyKey(key) => self.proxy_key(incoming, &key, packet, around),
            Message::KeyInfo(keys) => self.key_info(now, header, &keys, packet, around),
            Message::Abort(abort) => self.dismissed(now, &abort, around),
            _ => Err(Refusal::OutOfPlace.into()),
        }
    }

    /// Tells why no keys come: who hears the announcement by way of a client proxy that nothing names
    /// registers with it as if it were the sender (wire-v5 §9.5). With a response proxy, which is not where
    /// announcements come from, he registers with the sender, and all is well.
    pub(super) fn stranger_speaks(&mut self, incoming: &Incoming, around: &mut Surroundings<'_>) {
        let (from, header) = (incoming.from, &incoming.header);
        let waits_for_keys =
            self.security.is_some() && matches!(self.phase, Phase::Registering { .. });
        let carried = header.function == Function::ProxyKey && from.ip() == self.announcer.ip();
        if self.policy.key_giver == KeyGiver::Named
            && self.proxy.is_none()
            && waits_for_keys
            && carried
            && !std::mem::replace(&mut self.unnamed_proxy_told, true)
        {
            let unnamed = ReceiverEventKind::ProxyUnnamed {
                server: self.server,
                proxy: header.src,
                address: from.ip(),
            };
            around.tell(self.id, FileId::SESSION, unnamed);
        }
    }

    /// The proxy says its key. Only when that is proved do we answer to where it came from.
    fn proxy_key(
        &mut self,
        incoming: &Incoming,
        message: &ProxyKey,
        packet: &[u8],
        around: &mut Surroundings<'_>,
    ) -> Handled {
        let (now, from, header) = (incoming.now, incoming.from, &incoming.header);
        let (Phase::AwaitingProxy { .. }, Some(proxy)) = (&self.phase, &mut self.proxy) else {
            // It follows every ANNOUNCE.
            return Ok(());
        };
        let print = Fingerprint::of(&message.key);
        let allowed = match proxy.fingerprint.is_some_and(|expected| expected != print) {
            true => proxy.others.allow(now),
            false => proxy.checks.allow(now, from.ip()),
        };
        if !allowed {
            if !std::mem::replace(&mut proxy.flooded, true) {
                let flooded = ReceiverEventKind::ProxyKeysTooMany(from);
                around.tell(self.id, FileId::SESSION, flooded);
            }
            return Err(Refusal::Limit.into());
        }
        if let Some(security) = &mut self.security {
            let client = &mut security.client;
            let introduction = Introduction {
                src: header.src,
                message,
                packet,
                expected: proxy.fingerprint,
            };
            if let Err(why) = client.proxy_key(&introduction, self.uid, around.secrets) {
                if proxy.told.allow(now) {
                    let rejected = ReceiverEventKind::ProxyKeyRejected(why);
                    around.tell(self.id, FileId::SESSION, rejected);
                }
                return Err(Refusal::Unauthentic.into());
            }
            let received = ReceiverEventKind::ProxyKeyReceived(print);
            around.tell(self.id, FileId::SESSION, received);
            if let Some(sealer) = client.handshake_sealer() {
                self.link.secure_handshake(sealer, security.counter.clone());
            }
        }
        self.reply_to = from;
        self.phase = Phase::Registering {
            sent: now,
            until: now + self.timing.registration(),
        };
        self.outbox.push(Outgoing::Register);
        self.outbox.push(Outgoing::ClientKey);
        Ok(())
    }
}
