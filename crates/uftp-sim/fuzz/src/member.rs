//! Somebody who has the keys of the group, like an honest receiver, and says with them what bytes tell
//! him to: what he says is bent before it is sealed.

use std::sync::Arc;

use uftp_proto::crypto::{PrivateKey, Sealer, Suite, v5};
use uftp_proto::wire::{self, Announce, Function, Header, KeyInfoAck, Message, Register, Version};
use uftp_proto::{Ecn, Uid, WireTime};
use uftp_session::security::{Client, Introduction, Invitation, Keyring, Own, Secrets};
use uftp_sim::{NodeId, Seeded, World};

use crate::script::Script;
use crate::session::Seen;

/// The number of his generator.
const HOST: u64 = 0x0bad;

/// Room for the longest packet there is.
const PACKET: usize = 1500;

/// Who he is, and what he has found out.
pub(crate) struct Member {
    keyring: Keyring,
    secrets: Seeded,
    joined: Option<Joined>,
    /// Each of his packets is sealed under the next.
    counter: u64,
}

/// The session he has been invited to.
struct Joined {
    /// What his packets begin with.
    header: Header,
    client: Client,
    /// Whom he answers, and from where.
    to: NodeId,
    from: NodeId,
    echo: WireTime,
    /// He has said who he is.
    proved: bool,
    /// That he has keys, once he has.
    proof: Vec<u8>,
    /// What seals his own words, and what those of the sender.
    own: Option<Sealer>,
    senders: Option<Sealer>,
}

/// Under which keys something is said.
enum Cover {
    Clear,
    Handshake,
    Own,
    Senders,
}

/// What he says.
struct Said {
    to: NodeId,
    from: NodeId,
    header: Header,
    message: Vec<u8>,
    cover: Cover,
}

impl Member {
    pub(crate) fn new(world: &World, key: Arc<PrivateKey>) -> Self {
        Member {
            keyring: Keyring::new(vec![key]),
            secrets: Seeded::new(world, HOST),
            joined: None,
            counter: 1 << 40,
        }
    }

    /// Does the next thing, if he can.
    pub(crate) fn act(&mut self, world: &mut World, seen: &[Seen], script: &mut Script) {
        let said = match script.byte() % 6 {
            0 | 1 => self.proceed(world, seen, script),
            2 => self.join(world, seen, script),
            3 => self.register(script),
            4 => self.answer(seen, script),
            _ => self.pose_as_sender(seen, script),
        };
        let Some(mut said) = said else {
            return;
        };
        bend(&mut said.message, script);
        if let Some(packet) = self.wrap(&said) {
            let from = world.addr(said.from);
            world.inject(said.to, from, Ecn::NotEct, &packet);
        }
    }

    /// Does what an honest receiver would do next.
    fn proceed(&mut self, world: &World, seen: &[Seen], script: &mut Script) -> Option<Said> {
        match &mut self.joined {
            None => self.join(world, seen, script),
            Some(joined) if !joined.proved && joined.client.client_key().is_some() => {
                joined.proved = true;
                joined.prove()
            }
            Some(_) => self.take_keys(seen),
        }
    }

    /// Takes an ANNOUNCE at its word, and registers.
    fn join(&mut self, world: &World, seen: &[Seen], script: &mut Script) -> Option<Said> {
        let invitation = *script.choose(&of(seen, Function::Announce))?;
        let header = wire::decode_header(&invitation.bytes).ok()?;
        let Message::Announce(announce) = decode(&header, &invitation.bytes)? else {
            return None;
        };
        let names = [Uid(0x0a01_00ff), Uid(0x0a01_0001), Uid(0x0a01_0002)];
        let uid = script.choose(&names).copied()?;
        let proxy = match script.byte() & 1 {
            0 => None,
            _ => introduction(*script.choose(&of(seen, Function::ProxyKey))?),
        };
        let named = proxy.as_ref().filter(|_| header.version == Version::V5);
        let invited = Invitation {
            header: &header,
            announce: &announce,
            info: announce.encryption.as_ref()?,
            packet: &invitation.bytes,
            expected: None,
            through: None,
            refuse_weak: false,
            proxy: named.map(|proxy| proxy.uid),
        };
        let own = Own {
            uid,
            keyring: &mut self.keyring,
            secrets: &mut self.secrets,
        };
        let mut client = Client::accept(&invited, own, world.now()).ok()?;
        if let Some(proxy) = named {
            let introduction = Introduction {
                src: proxy.uid,
                message: &proxy.key,
                packet: &proxy.seen.bytes,
                expected: None,
            };
            let heard = client.proxy_key(&introduction, uid, &mut self.secrets);
            heard.ok()?;
        }
        self.joined = Some(Joined {
            header: Header { src: uid, ..header },
            client,
            to: proxy.as_ref().map_or(invitation.from, |p| p.seen.from),
            from: invitation.to,
            echo: announce.timestamp,
            proved: false,
            proof: Vec::new(),
            own: None,
            senders: self.sealer_of_sender(&header, &announce, &invitation.bytes),
        });
        self.register(script)
    }

    /// What seals packets of the sender in protocol 5: all of the group can make it. In the others it is
    /// what seals those of a member.
    fn sealer_of_sender(
        &mut self,
        header: &Header,
        announce: &Announce,
        packet: &[u8],
    ) -> Option<Sealer> {
        let suite = Suite::from_wire(header.version, announce.encryption.as_ref()?).ok()?;
        let context = v5::ServerContext::new(header, announce, packet.get(Header::LEN..)?)?;
        let master = self.secrets.master().ok()?;
        master.server_keys(&suite, &context).sealer().ok()
    }

    fn register(&self, script: &mut Script) -> Option<Said> {
        let joined = self.joined.as_ref()?;
        let names = [Uid(0x0a01_0001), Uid(0x0a01_0002), Uid(0x0a01_00fe)];
        let listed = script.byte();
        let clients = names.iter().enumerate();
        let clients = clients.filter(|(bit, _)| listed >> bit & 1 == 1);
        let message = Message::Register(Register {
            echo: joined.echo,
            random: joined.client.random(),
            key: joined.client.register_key()?,
            clients: clients.map(|(_, uid)| *uid).collect(),
        });
        joined.say(&message, Cover::Clear)
    }

    /// Takes keys that were handed to him, and says so.
    fn take_keys(&mut self, seen: &[Seen]) -> Option<Said> {
        let joined = self.joined.as_mut()?;
        for packet in of(seen, Function::KeyInfo).into_iter().rev() {
            let header = wire::decode_header(&packet.bytes).ok()?;
            let Some(Message::KeyInfo(keys)) = decode(&header, &packet.bytes) else {
                continue;
            };
            let uid = joined.header.src;
            let taken = joined
                .client
                .key_info(header.src, uid, &keys, &packet.bytes);
            if let Ok(Some(answer)) = taken {
                joined.proof = answer.proof;
                joined.own = answer.sealer.or(joined.own.take());
                break;
            }
        }
        let verify_data = joined.proof.clone();
        let proof = Message::KeyInfoAck(KeyInfoAck { verify_data });
        joined.say(&proof, Cover::Own)
    }

    /// Says anything in his own name, or what the sender has said.
    fn answer(&mut self, seen: &[Seen], script: &mut Script) -> Option<Said> {
        let joined = self.joined.as_mut()?;
        Some(Said {
            to: joined.to,
            from: joined.from,
            header: joined.header,
            message: joined.words(seen, script)?,
            cover: Cover::Own,
        })
    }

    /// Says anything, or what the sender has said, in somebody else's name.
    fn pose_as_sender(&mut self, seen: &[Seen], script: &mut Script) -> Option<Said> {
        let model = script.choose(seen)?;
        let joined = self.joined.as_mut()?;
        Some(Said {
            to: model.to,
            from: model.from,
            header: wire::decode_header(&model.bytes).ok()?,
            message: joined.words(seen, script)?,
            cover: match joined.header.version {
                Version::V5 => Cover::Senders,
                _ => Cover::Own,
            },
        })
    }

    /// The packet of what he says.
    fn wrap(&mut self, said: &Said) -> Option<Vec<u8>> {
        let joined = self.joined.as_mut()?;
        let mut handshake = joined.client.handshake_sealer();
        let sealer = match said.cover {
            Cover::Clear => None,
            Cover::Handshake => Some(handshake.as_mut()?),
            Cover::Own => Some(joined.own.as_mut()?),
            Cover::Senders => Some(joined.senders.as_mut()?),
        };
        let mut packet = vec![0; PACKET];
        let at = Header::LEN + sealer.as_ref().map_or(0, |s| s.overhead().prefix);
        let place = packet.get_mut(at..)?.get_mut(..said.message.len())?;
        place.copy_from_slice(&said.message);
        let len = match sealer {
            None => {
                wire::encode_header(&said.header, said.message.len(), &mut packet).ok()?;
                at + said.message.len()
            }
            Some(sealer) => {
                self.counter += 1;
                let len = said.message.len();
                sealer
                    .seal(&said.header, self.counter, &mut packet, len)
                    .ok()?
            }
        };
        packet.truncate(len);
        Some(packet)
    }
}

impl Joined {
    /// Says who he is.
    fn prove(&self) -> Option<Said> {
        let claim = Message::ClientKey(self.client.client_key()?.clone());
        let cover = match self.header.version {
            Version::V5 => Cover::Handshake,
            _ => Cover::Clear,
        };
        self.say(&claim, cover)
    }

    fn say(&self, message: &Message<'_>, cover: Cover) -> Option<Said> {
        let mut bytes = vec![0; PACKET];
        let version = self.header.version;
        let len = wire::encode_message(version, message, &mut bytes).ok()?;
        bytes.truncate(len);
        let function = message.function();
        Some(Said {
            to: self.to,
            from: self.from,
            header: Header {
                function,
                ..self.header
            },
            message: bytes,
            cover,
        })
    }

    /// Something to say: made up, or out of a packet that he can read.
    fn words(&mut self, seen: &[Seen], script: &mut Script) -> Option<Vec<u8>> {
        if script.byte() & 1 == 0 {
            return Some(script.text());
        }
        let mut packet = script.choose(seen)?.bytes.clone();
        let (message, _) = self.client.open(&mut packet).ok()?;
        Some(message.to_vec())
    }
}

/// A proxy that has said its key.
struct Introduced<'a> {
    uid: Uid,
    key: uftp_proto::wire::ProxyKey,
    seen: &'a Seen,
}

fn introduction(seen: &Seen) -> Option<Introduced<'_>> {
    let header = wire::decode_header(&seen.bytes).ok()?;
    let Message::ProxyKey(key) = decode(&header, &seen.bytes)? else {
        return None;
    };
    let uid = header.src;
    Some(Introduced { uid, key, seen })
}

fn of(seen: &[Seen], function: Function) -> Vec<&Seen> {
    let is = |seen: &&Seen| {
        wire::decode_header(&seen.bytes).is_ok_and(|header| header.function == function)
    };
    seen.iter().filter(is).collect()
}

fn decode<'a>(header: &Header, packet: &'a [u8]) -> Option<Message<'a>> {
    let body = packet.get(Header::LEN..)?;
    wire::decode(header.version, header.function, body).ok()
}

/// Up to three bytes are others.
fn bend(bytes: &mut [u8], script: &mut Script) {
    let count = Some(script.byte() & 7).filter(|count| *count < 4);
    for _ in 0..count.unwrap_or(0) {
        let at = script.short();
        let value = script.byte();
        if let Some(byte) = bytes.get_mut(usize::from(at)) {
            *byte = value;
        }
    }
}
