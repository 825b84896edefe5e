//! How receivers are let in, whatever the key schedule (wire-v4 §8.4, §9.1, wire-v5 §9).
//!
//! ```text
//!              REGISTER                  CLIENT_KEY                 KEYINFO_ACK
//!  unknown ──────────────▶ pending ─────────────────────▶ keyed ──────────────────▶ proven
//!              without client authentication ─────────────▲
//! ```

use std::collections::HashMap;

use uftp_proto::Uid;
use uftp_proto::crypto::{CipherError, Fingerprint, PublicKey};
use uftp_proto::wire::{ClientKey, KeyInfoAck, Register};

use super::gate::Keys;
use super::server::{Admission, Rejection};
use crate::counters::Refusal;

/// What a key schedule makes of the messages of the handshake at the announcing end.
pub(super) trait Schedule {
    /// What a REGISTER makes.
    type Handshake;
    /// A handshake whose other side is as sure as the session asks for.
    type Keyed;
    /// What is remembered of a receiver, whatever it registers with.
    type History;

    /// Of a receiver nothing is known yet.
    fn history(&self) -> Self::History;

    /// Whether there is nothing in it that must not come again.
    fn is_blank(history: &Self::History) -> bool;

    /// What operators call a key.
    fn name(&self, key: &PublicKey) -> Fingerprint;

    /// Whether receivers have to say who they are.
    fn client_auth(&self) -> bool;

    /// Whether a receiver may prove itself with this key.
    fn takes(&self, key: &PublicKey) -> bool;

    /// What a REGISTER makes.
    fn handshake(&self, uid: Uid, register: &Register) -> Result<Self::Handshake, Refusal>;

    /// The handshake that became keys.
    fn origin(keyed: &Self::Keyed) -> &Self::Handshake;

    /// Whether a REGISTER carries the random number of this handshake.
    fn has_random(handshake: &Self::Handshake, random: &[u8; 32]) -> bool;

    /// Whether it was just this REGISTER that made a handshake: no key is worked with to find out.
    fn is_of(&self, handshake: &Self::Handshake, uid: Uid, register: &Register) -> bool;

    /// Whether two handshakes share one secret.
    fn is_same(one: &Self::Handshake, other: &Self::Handshake) -> bool;

    /// Whether `key` signed the claim to be the author of this handshake.
    fn is_proved(&self, handshake: &Self::Handshake, key: &PublicKey, claim: &ClientKey) -> bool;

    /// The keys of a handshake, from the claim that proved it where one is asked for.
    fn key(
        &self,
        handshake: Self::Handshake,
        claim: Option<(PublicKey, &Claim)>,
    ) -> Result<Self::Keyed, Refusal>;

    /// The entry of a KEYINFO with `counter`, sent by `src`.
    fn wrap(
        &self,
        keyed: &Self::Keyed,
        src: Uid,
        counter: u64,
    ) -> Result<Option<[u8; 48]>, CipherError>;

    /// Whether this proves that the receiver has the group's keys.
    fn is_acknowledged(&self, keyed: &Self::Keyed, ack: &KeyInfoAck) -> bool;

    /// Opens a packet of a receiver with this history, that has registered with the proxy that
    /// has these keys, in place. Returns its message.
    fn open_through<'a>(
        &mut self,
        proxy: &Self::Keyed,
        history: &mut Self::History,
        packet: &'a mut [u8],
    ) -> Result<&'a mut [u8], Refusal> {
        let _ = (proxy, history, packet);
        Err(Refusal::Unauthentic)
    }

    /// Opens a packet of a receiver in place. Returns its message.
    fn open<'a>(
        &mut self,
        peer: &mut Peer<Self>,
        packet: &'a mut [u8],
    ) -> Result<&'a mut [u8], Refusal>;
}

/// What a receiver says of itself in a CLIENT_KEY.
#[derive(Clone)]
pub struct Claim {
    pub(super) message: ClientKey,
    pub(super) bytes: Vec<u8>,
}

impl Claim {
    /// A message, and the bytes it was decoded from.
    pub fn new(message: &ClientKey, bytes: &[u8]) -> Self {
        Claim {
            message: message.clone(),
            bytes: bytes.to_vec(),
        }
    }
}

/// One receiver as the announcing end knows it.
pub(super) struct Peer<S: Schedule + ?Sized> {
    /// It has registered but not said yet who it is.
    pub(super) pending: Option<S::Handshake>,
    /// It has said who it is but its REGISTER is not here yet.
    held: Option<Claim>,
    /// It can be handed the group's secret.
    pub(super) keyed: Option<S::Keyed>,
    /// It has shown that it has it.
    pub(super) proven: bool,
    pub(super) history: S::History,
}

impl<S: Schedule> Peer<S> {
    fn new(schedule: &S) -> Self {
        Peer {
            pending: None,
            held: None,
            keyed: None,
            proven: false,
            history: schedule.history(),
        }
    }
}

/// The receivers of a session, and the schedule of its keys.
pub(super) struct Registry<S: Schedule> {
    pub(super) schedule: S,
    peers: HashMap<Uid, Peer<S>>,
}

impl<S: Schedule> Registry<S> {
    pub(super) fn new(schedule: S) -> Self {
        Registry {
            schedule,
            peers: HashMap::new(),
        }
    }

    pub(super) fn keys(&self, uid: Uid) -> Keys {
        match self.peers.get(&uid) {
            Some(peer) if peer.proven => Keys::Ready,
            _ => Keys::Pending,
        }
    }

    /// The group's secret is another one: what receivers have proved counts no more. Returns
    /// those who had.
    pub(super) fn doubt(&mut self) -> Vec<Uid> {
        let proven = self.peers.iter_mut().filter(|(_, peer)| peer.proven);
        let doubted = proven.map(|(uid, peer)| {
            peer.proven = false;
            *uid
        });
        doubted.collect()
    }

    pub(super) fn is_keyed(&self, uid: Uid) -> bool {
        self.peers.get(&uid).is_some_and(|p| p.keyed.is_some())
    }

    /// What is known of a REGISTER that says nothing new: it costs nothing, so it may come as often as
    /// receivers that wait repeat themselves.
    pub(super) fn recall(&self, uid: Uid, register: &Register) -> Option<Admission> {
        let peer = self.peers.get(&uid)?;
        let is_of = |handshake| self.schedule.is_of(handshake, uid, register);
        let keyed = peer.keyed.as_ref().map(S::origin);
        if keyed.is_some_and(is_of) {
            return Some(Admission::Ready);
        }
        let pending = peer.pending.as_ref().filter(|_| !peer.proven);
        pending.is_some_and(is_of).then_some(Admission::AwaitsKey)
    }

    /// Whether a CLIENT_KEY would say nothing new: it comes with every REGISTER.
    pub(super) fn recalls_key(&self, uid: Uid) -> bool {
        let peer = self.peers.get(&uid);
        peer.is_some_and(|peer| peer.pending.is_none() && peer.keyed.is_some())
    }

    pub(super) fn register(&mut self, uid: Uid, register: &Register) -> Result<Admission, Refusal> {
        if let Some(admission) = self.recall(uid, register) {
            return Ok(admission);
        }
        let peer = self.peers.entry(uid);
        let peer = peer.or_insert_with(|| Peer::new(&self.schedule));
        let known = peer.keyed.as_ref().map(S::origin);
        if peer.proven {
            return match known.is_some_and(|known| S::has_random(known, &register.random)) {
                true => Ok(Admission::Ready),
                false => Err(Refusal::OutOfPlace),
            };
        }
        let handshake = self.schedule.handshake(uid, register)?;
        if known.is_some_and(|known| S::is_same(known, &handshake)) {
            return Ok(Admission::Ready);
        }
        let pending = peer.pending.as_ref();
        if pending.is_some_and(|known| S::is_same(known, &handshake)) {
            return Ok(Admission::AwaitsKey);
        }
        if !self.schedule.client_auth() {
            peer.keyed = Some(self.schedule.key(handshake, None)?);
            return Ok(Admission::Ready);
        }
        peer.pending = Some(handshake);
        // Its CLIENT_KEY may have overtaken it.
        match peer.held.take() {
            Some(early) => {
                let identified = PublicKey::from_blob(&early.message.key)
                    .map_err(|_| Refusal::Unauthentic)
                    .and_then(|key| identify(&self.schedule, peer, key, &early));
                identified.or(Ok(Admission::AwaitsKey))
            }
            None => Ok(Admission::AwaitsKey),
        }
    }

    pub(super) fn client_key(
        &mut self,
        uid: Uid,
        claim: Claim,
        expected: Option<Fingerprint>,
    ) -> Result<Admission, Rejection> {
        if !self.schedule.client_auth() {
            return Err(Refusal::OutOfPlace.into());
        }
        if self.recalls_key(uid) {
            return Ok(Admission::Ready);
        }
        let peer = self.peers.entry(uid);
        let peer = peer.or_insert_with(|| Peer::new(&self.schedule));
        let key = PublicKey::from_blob(&claim.message.key).map_err(|_| Refusal::Unauthentic)?;
        if expected.is_some_and(|expected| self.schedule.name(&key) != expected) {
            return Err(Rejection::Fingerprint);
        }
        if !self.schedule.takes(&key) {
            return Err(Refusal::Unauthentic.into());
        }
        if peer.pending.is_some() {
            return Ok(identify(&self.schedule, peer, key, &claim)?);
        }
        peer.held = Some(claim);
        Ok(Admission::AwaitsKey)
    }

    /// A receiver has proved nothing, and is to begin anew if it comes again. What must not be
    /// played back is remembered.
    pub(super) fn forget(&mut self, uid: Uid) {
        let peer = self.peers.get(&uid);
        if peer.is_some_and(|p| !p.proven && S::is_blank(&p.history)) {
            self.peers.remove(&uid);
        }
    }

    pub(super) fn key_entry(
        &self,
        uid: Uid,
        src: Uid,
        counter: u64,
    ) -> Result<Option<[u8; 48]>, CipherError> {
        match self.peers.get(&uid).and_then(|peer| peer.keyed.as_ref()) {
            None => Ok(None),
            Some(keyed) => self.schedule.wrap(keyed, src, counter),
        }
    }

    pub(super) fn acknowledge(&mut self, uid: Uid, ack: &KeyInfoAck) -> Result<(), Refusal> {
        let peer = self.peers.get_mut(&uid).ok_or(Refusal::OutOfPlace)?;
        let keyed = peer.keyed.as_ref().ok_or(Refusal::OutOfPlace)?;
        if !self.schedule.is_acknowledged(keyed, ack) {
            return Err(Refusal::Unauthentic);
        }
        peer.proven = true;
        peer.pending = None;
        peer.held = None;
        Ok(())
    }

    /// Whether what this receiver seals proves that it has the group's keys, which nobody told us
    /// yet; counts as proved.
    pub(super) fn prove_by_use(&mut self, uid: Uid) -> bool {
        let peer = self.peers.get_mut(&uid);
        let Some(peer) = peer.filter(|p| !p.proven && p.keyed.is_some() && p.pending.is_none())
        else {
            return false;
        };
        peer.proven = true;
        peer.held = None;
        true
    }

    pub(super) fn open<'a>(
        &mut self,
        uid: Uid,
        packet: &'a mut [u8],
    ) -> Result<&'a mut [u8], Refusal> {
        let peer = self.peers.get_mut(&uid).ok_or(Refusal::Unauthentic)?;
        self.schedule.open(peer, packet)
    }

    pub(super) fn open_through<'a>(
        &mut self,
        proxy: Uid,
        uid: Uid,
        packet: &'a mut [u8],
    ) -> Result<&'a mut [u8], Refusal> {
        if uid == proxy {
            return Err(Refusal::Unauthentic);
        }
        let peer = self.peers.entry(uid);
        peer.or_insert_with(|| Peer::new(&self.schedule));
        let [Some(proxy), Some(peer)] = self.peers.get_disjoint_mut([&proxy, &uid]) else {
            return Err(Refusal::Unauthentic);
        };
        let keyed = proxy.keyed.as_ref().filter(|_| proxy.proven);
        let keyed = keyed.ok_or(Refusal::Unauthentic)?;
        self.schedule.open_through(keyed, &mut peer.history, packet)
    }
}

/// Lets the pending handshake become the receiver's own if the claim, by `key`, proves that it
/// made it.
fn identify<S: Schedule>(
    schedule: &S,
    peer: &mut Peer<S>,
    key: PublicKey,
    claim: &Claim,
) -> Result<Admission, Refusal> {
    let Some(handshake) = peer
        .pending
        .take_if(|handshake| schedule.is_proved(handshake, &key, &claim.message))
    else {
        return Err(Refusal::Unauthentic);
    };
    peer.keyed = Some(schedule.key(handshake, Some((key, claim)))?);
    Ok(Admission::Ready)
}
