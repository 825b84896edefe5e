//! What the packets of a recorded session hide.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use uftp_proto::Uid;
use uftp_proto::crypto::v5::{ClientContext1, Premaster, ProxyContext, ServerContext};
use uftp_proto::crypto::{GroupMaster, KeyKind, Opener, PrivateKey, PublicKey, Suite};
use uftp_proto::wire::{self, BlockRef, Function, Header, Message, Version};

use super::{CLIENT, Case, Drawn, SERVER, said, unhex};
use crate::recorded::pcap::Recorded;
use crate::recorded::three::announced;

/// Looks into what sender and receiver of a session say to each other or to the proxy between them.
pub(super) struct Lens {
    sender: Opener,
    receiver: Opener,
    /// What they sign with, where packets are signed.
    signers: Option<[PublicKey; 2]>,
}

impl Lens {
    /// What opens the packets of a recorded session.
    pub(super) fn new(case: &Case, recorded: &[Recorded]) -> Lens {
        match case.group {
            Some(group) => Lens::of_four(case, recorded, group),
            None => Lens::of_five(case, recorded),
        }
    }

    /// From the secret of the group.
    fn of_four(case: &Case, recorded: &[Recorded], group: &str) -> Lens {
        let (_, header, announce) = announced(recorded);
        let info = announce.encryption.unwrap();
        let suite = Suite::from_wire(header.version, &info).unwrap();
        let group = GroupMaster::from_bytes(&unhex(group).try_into().unwrap());
        let keys = group.group_keys(header.version, &suite, &info.random);
        let opener = || keys.as_ref().unwrap().opener().unwrap();
        Lens {
            sender: opener(),
            receiver: opener(),
            signers: Some([
                PublicKey::from_blob(&info.key).unwrap(),
                case.keys.identity().public().clone(),
            ]),
        }
    }

    /// From the handshake and the secret of the receiver.
    fn of_five(case: &Case, recorded: &[Recorded]) -> Lens {
        let decode = |packet: &Recorded| {
            let header = wire::decode_header(&packet.bytes).unwrap();
            let body = packet.bytes[Header::LEN..].to_vec();
            (header, body)
        };
        let first = |function: u8, source: Uid| {
            let by = |p: &&Recorded| {
                let header = wire::decode_header(&p.bytes).unwrap();
                p.bytes[1] == function && header.src == source
            };
            decode(recorded.iter().find(by).unwrap())
        };
        let (header, body) = first(1, SERVER);
        let announce = wire::decode(Version::V5, Function::Announce, &body);
        let Ok(Message::Announce(announce)) = announce else {
            panic!("no ANNOUNCE");
        };
        let info = announce.encryption.as_ref().unwrap();
        let suite = Suite::from_wire(Version::V5, info).unwrap();
        let sc = ServerContext::new(&header, &announce, &body).unwrap();
        let (dh_key, pc) = match case.proxy {
            None => (info.dh_key.clone(), ProxyContext::default()),
            Some((uid, _)) => {
                let (_, body) = first(17, uid);
                let key = wire::decode(Version::V5, Function::ProxyKey, &body);
                let Ok(Message::ProxyKey(key)) = key else {
                    panic!("no PROXY_KEY");
                };
                let pc = ProxyContext::new(uid, &key, &body).unwrap();
                (key.dh_key, pc)
            }
        };
        let theirs = PublicKey::from_blob(&dh_key).unwrap();
        let KeyKind::Ec(curve) = theirs.kind() else {
            panic!("no key on a curve");
        };
        let Drawn::Scalar(scalar) = case.drawn else {
            panic!("no ephemeral key");
        };
        let ours = PrivateKey::from_ec_scalar(curve, &unhex(scalar)).unwrap();
        let premaster = Premaster::agree(&ours, &theirs).unwrap();
        let said = said(recorded);
        let (_, body) = decode(said[0]);
        let register = wire::decode(Version::V5, Function::Register, &body);
        let Ok(Message::Register(register)) = register else {
            panic!("no REGISTER");
        };
        let cc1 = ClientContext1::new(&sc, &pc, CLIENT, &register.key, &register.random);
        let keys = premaster.handshake_keys(&suite, &cc1);
        let mut packet = said[1].bytes.clone();
        let mut opener = keys.client_opener().unwrap();
        let body = opener.open(&mut packet, None).unwrap().message.to_vec();
        let key = wire::decode(Version::V5, Function::ClientKey, &body);
        let Ok(Message::ClientKey(key)) = key else {
            panic!("no CLIENT_KEY");
        };
        let cc2 = cc1.with_client_key(&key, &body).unwrap();
        let (_, body) = first(5, case.proxy.map_or(SERVER, |(uid, _)| uid));
        let Ok(Message::KeyInfo(info)) = wire::decode(Version::V5, Function::KeyInfo, &body) else {
            panic!("no KEYINFO");
        };
        let (_, wrapped) = info.keys.iter().find(|(uid, _)| *uid == CLIENT).unwrap();
        let master = keys.unwrap(wrapped, &cc2, info.iv_counter).unwrap();
        Lens {
            sender: master.server_keys(&suite, &sc).opener().unwrap(),
            receiver: master.client_keys(&suite, &cc2).keys.opener().unwrap(),
            signers: None,
        }
    }

    /// What a packet says; `None` if it comes in the clear, under other keys or from others.
    fn look(&mut self, packet: &[u8]) -> Option<(Function, Vec<u8>)> {
        let header = wire::decode_header(packet).unwrap();
        let (opener, signer) = match header.src {
            SERVER => (&mut self.sender, 0),
            CLIENT => (&mut self.receiver, 1),
            _ => return None,
        };
        let signer = self.signers.as_ref().map(|signers| &signers[signer]);
        let mut packet = packet.to_vec();
        let message = opener.open(&mut packet, signer).ok()?.message.to_vec();
        Some((
            wire::inner_function(header.version, &message).unwrap(),
            message,
        ))
    }

    /// Positions of the blocks that the receiver asked for again, and of questions that it did not
    /// answer before they were repeated.
    pub(super) fn missed(&mut self, recorded: &[Recorded]) -> BTreeSet<usize> {
        let mut sent = BTreeMap::new();
        let mut missed = BTreeSet::new();
        let mut unanswered = None;
        for (position, packet) in recorded.iter().enumerate() {
            let Some((function, message)) = self.look(&packet.bytes) else {
                continue;
            };
            let version = wire::decode_header(&packet.bytes).unwrap().version;
            match wire::decode(version, function, &message).unwrap() {
                Message::FileSeg(seg) => {
                    let BlockRef::InSection { section, block } = seg.at else {
                        panic!("a block of another protocol");
                    };
                    sent.insert((section, usize::from(block)), position);
                }
                Message::Status(status) => {
                    let set = |bit: &usize| status.naks[bit / 8] & 1 << (bit % 8) != 0;
                    let lacks = (0..status.naks.len() * 8).filter(set);
                    missed.extend(lacks.map(|bit| sent[&(status.section, bit)]));
                    unanswered = None;
                }
                Message::Done(done) if done.clients.contains(&CLIENT) => {
                    missed.extend(unanswered.replace(position));
                }
                Message::Complete(_) => unanswered = None,
                _ => {}
            }
        }
        missed
    }

    /// What the receiver said under the group's keys, without echoed times and reports on congestion:
    /// the recorded receiver takes KEYINFO for lost, and leaves slow start before there are data.
    pub(super) fn answers<'a>(
        &mut self,
        packets: impl Iterator<Item = (Duration, &'a [u8])>,
    ) -> Vec<(Duration, Vec<u8>)> {
        let look = |(at, packet)| {
            let (function, mut message) = self.look(packet)?;
            if function == Function::FileInfoAck {
                message[8..16].fill(0);
            }
            (function != Function::CcAck).then_some((at, message))
        };
        packets.filter_map(look).collect()
    }
}
