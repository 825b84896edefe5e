//! What a recorded session was announced as.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use uftp_proto::crypto::{Curve, KeyExchange, KeyKind, PrivateKey, PublicKey, Suite, v5};
use uftp_proto::wire::{self, Announce, AnnounceFlags, Header, Message, Pace};
use uftp_session::security::SenderSecurity;
use uftp_session::sender::{ClientEntry, GrttBounds, SenderConfig, SyncMode};

use super::SERVER;
use super::case::{Case, Drawn, Ephemeral, Known, unhex};
use super::voices::{Proxy, Receivers, Voices};
use super::words::Reader;
use crate::lab;
use crate::recorded::three;

/// The key with which recorded senders proved themselves, where it is on a curve.
const IDENTITY: &str = "3c17ecd65491093d593ca45ecd3120434f4c48842b5cf82aecea89eaa76704d1";

/// The ANNOUNCE that a session begins with.
pub(super) struct Invitation {
    pub(super) header: Header,
    pub(super) announce: Announce,
    /// The message in bytes.
    body: Vec<u8>,
    /// Where it was sent.
    to: SocketAddr,
}

impl Invitation {
    /// Of a session whose first packet this is, sent to this address.
    pub(super) fn of(packet: &[u8], to: SocketAddr) -> Invitation {
        let header = wire::decode_header(packet).unwrap();
        let body = packet[Header::LEN..].to_vec();
        let Ok(Message::Announce(announce)) = wire::decode(header.version, header.function, &body)
        else {
            panic!("no ANNOUNCE");
        };
        Invitation {
            header,
            announce,
            body,
            to,
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

    /// What reads the words of a sender that announced this, having drawn that.
    pub(super) fn reader(&self, drawn: Option<Drawn>) -> Reader {
        let (Some(suite), Some(drawn)) = (self.suite(), drawn) else {
            return Reader::default();
        };
        let Invitation {
            header,
            announce,
            body,
            ..
        } = self;
        let opener = match drawn {
            Drawn::Four { .. } => {
                let group = drawn.group_of_four();
                let random = &announce.encryption.as_ref().unwrap().random;
                let keys = group.group_keys(header.version, &suite, random);
                keys.unwrap().opener()
            }
            Drawn::Five { .. } => {
                let context = v5::ServerContext::new(header, announce, body).unwrap();
                drawn.group_of_five().server_keys(&suite, &context).opener()
            }
        };
        Reader {
            opener: Some(opener.unwrap()),
            signer: Some(self.identity().public().clone()),
            rekeyed: self.voices(drawn).is_some(),
        }
    }

    /// Those who agree upon other keys, if they have to.
    pub(super) fn voices(&self, drawn: Drawn) -> Option<Box<dyn Voices>> {
        let Invitation {
            header,
            announce,
            body,
            ..
        } = self;
        match drawn {
            Drawn::Four { .. } => match self.suite()?.key_exchange {
                KeyExchange::EcdhRsa | KeyExchange::EcdhEcdsa => {
                    let group = drawn.group_of_four();
                    let receivers = Receivers::new(*header, announce.clone(), group);
                    Some(Box::new(receivers))
                }
                KeyExchange::Rsa | KeyExchange::Ecdh => None,
            },
            Drawn::Five { ephemeral, .. } => match ephemeral {
                Ephemeral::Senders(_) => None,
                Ephemeral::Proxys(scalar) => {
                    let secrets = (scalar, drawn.group_of_five());
                    Some(Box::new(Proxy::new(header, announce, body, secrets)))
                }
            },
        }
    }

    /// The curve of its ephemeral key.
    fn curve(&self) -> Curve {
        let info = self.announce.encryption.as_ref().unwrap();
        match PublicKey::from_blob(&info.dh_key).map(|key| key.kind()) {
            Ok(KeyKind::Ec(curve)) => curve,
            _ => Curve::DEFAULT,
        }
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
            SenderSecurity::new(header.version, suite, identity, self.curve()).unwrap()
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
