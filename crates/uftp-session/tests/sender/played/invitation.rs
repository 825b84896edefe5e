//! What a recorded session was announced as.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use uftp_proto::crypto::{Curve, KeyExchange, KeyKind, PrivateKey, PublicKey, Suite, v5};
use uftp_proto::wire::{self, Announce, AnnounceFlags, Header, Message, Pace};
use uftp_session::security::{Secrets, SenderSecurity};
use uftp_session::sender::{ClientEntry, GrttBounds, SenderConfig, SyncMode};

use super::SERVER;
use super::case::{Case, Drawn, Known, unhex};
use super::voices::Voices;
use super::words::Reader;
use crate::lab;
use crate::recorded::pcap::Recorded;
use crate::recorded::three;

/// The key with which recorded senders proved themselves, where it is on a curve.
const IDENTITY: &str = "3c17ecd65491093d593ca45ecd3120434f4c48842b5cf82aecea89eaa76704d1";

/// The ANNOUNCE that a recorded session begins with.
pub(super) struct Invitation {
    pub(super) header: Header,
    pub(super) announce: Announce,
    /// The message in bytes.
    body: Vec<u8>,
    /// Where it was sent.
    to: SocketAddr,
}

impl Invitation {
    pub(super) fn of(first: &Recorded) -> Invitation {
        let header = wire::decode_header(&first.bytes).unwrap();
        let body = first.bytes[Header::LEN..].to_vec();
        let Ok(Message::Announce(announce)) = wire::decode(header.version, header.function, &body)
        else {
            panic!("no ANNOUNCE");
        };
        Invitation {
            header,
            announce,
            body,
            to: first.to,
        }
    }

    pub(super) fn known(&self, drawn: Drawn) -> Known {
        let random = self.announce.encryption.as_ref().unwrap().random;
        Known { random, drawn }
    }

    /// The algorithms of an encrypted session.
    fn suite(&self) -> Option<Suite> {
        let info = self.announce.encryption.as_ref()?;
        Some(Suite::from_wire(self.header.version, info).unwrap())
    }

    /// What reads the words of a sender that drew this.
    pub(super) fn reader(&self, known: Option<&mut Known>) -> Reader {
        let (Some(suite), Some(known)) = (self.suite(), known) else {
            return Reader::default();
        };
        let (
            Invitation {
                header,
                announce,
                body,
                ..
            },
            random,
        ) = (self, known.random);
        let opener = match known.drawn {
            Drawn::Four { .. } => {
                let group = known.group_master(header.version).unwrap();
                let keys = group.group_keys(header.version, &suite, &random);
                keys.unwrap().opener()
            }
            Drawn::Five { .. } => {
                let context = v5::ServerContext::new(header, announce, body).unwrap();
                let group = known.master().unwrap();
                group.server_keys(&suite, &context).opener()
            }
        };
        Reader {
            opener: Some(opener.unwrap()),
            signer: Some(self.identity().public().clone()),
            rekeyed: self.is_agreed_anew(),
        }
    }

    /// Whether keys were agreed upon with an ephemeral key that is not known.
    fn is_agreed_anew(&self) -> bool {
        self.suite().is_some_and(|suite| match suite.key_exchange {
            KeyExchange::EcdhRsa | KeyExchange::EcdhEcdsa => true,
            KeyExchange::Rsa | KeyExchange::Ecdh => false,
        })
    }

    /// Those who agree upon other keys, if they have to.
    pub(super) fn voices(&self, known: Option<&mut Known>) -> Option<Voices> {
        let known = known.filter(|_| self.is_agreed_anew())?;
        let group = known.group_master(self.header.version).unwrap();
        Some(Voices::new(self.header, self.announce.clone(), group))
    }

    /// The key the recorded sender proved itself with.
    fn identity(&self) -> PrivateKey {
        let info = self.announce.encryption.as_ref().unwrap();
        match PublicKey::from_blob(&info.key).unwrap().kind() {
            KeyKind::Rsa { .. } => three::sender_key(),
            KeyKind::Ec(_) => PrivateKey::from_ec_scalar(Curve::DEFAULT, &unhex(IDENTITY)).unwrap(),
        }
    }

    /// What our sender is told to lead such a session.
    pub(super) fn config(&self, case: &Case) -> SenderConfig {
        let Invitation {
            header, announce, ..
        } = self;
        let Pace::Adaptive {
            robust, block_size, ..
        } = announce.pace
        else {
            panic!("a pace of another protocol");
        };
        let security = self.suite().map(|suite| {
            let identity = Arc::new(self.identity());
            SenderSecurity::new(header.version, suite, identity, Curve::DEFAULT).unwrap()
        });
        let listed = announce.clients.iter().copied();
        let sync = if announce.flags.contains(AnnounceFlags::SYNC_PREVIEW) {
            SyncMode::Preview
        } else if announce.flags.contains(AnnounceFlags::SYNC) {
            SyncMode::Sync
        } else {
            SyncMode::Off
        };
        let ms = Duration::from_millis;
        SenderConfig {
            version: header.version,
            uid: SERVER,
            group: header.group,
            instance: header.instance,
            public: self.to,
            private: match announce.private {
                unicast if unicast.is_unspecified() => self.to,
                group => SocketAddr::new(group, self.to.port()),
            },
            clients: (listed.len() > 0).then(|| listed.map(ClientEntry::receiver).collect()),
            block_size,
            robust,
            grtt: GrttBounds {
                initial: ms(50),
                min: ms(20),
                max: ms(500),
            },
            rate: case.rate,
            sync,
            quit_on_error: case.quit_on_error,
            security,
            ..lab::config(None)
        }
    }
}
