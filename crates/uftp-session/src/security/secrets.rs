//! Where the secrets of sessions come from.

use rand::Rng;
use rand::rngs::StdRng;
use uftp_proto::crypto::{
    BackendError, Curve, GroupMaster, KeyError, KeySpec, Premaster, PrivateKey, v5,
};
use uftp_proto::wire::Version;

/// What senders, receivers and proxies draw anew for every session. Programs use [`Fresh`]; a test
/// that plays a recorded session again has the secrets of the record.
pub trait Secrets: Send {
    /// The random number of an ANNOUNCE or a REGISTER.
    fn random(&mut self) -> [u8; 32];

    /// An ephemeral ECDH key.
    ///
    /// # Errors
    /// [`KeyError`] if there is none on this curve.
    fn ephemeral(&mut self, curve: Curve) -> Result<PrivateKey, KeyError>;

    /// What the keys of a receiver are made of, where it is sent to the server and not agreed upon.
    ///
    /// # Errors
    /// [`BackendError`] if OpenSSL has no randomness.
    fn premaster(&mut self, version: Version) -> Result<Premaster, BackendError> {
        Premaster::generate_for(version)
    }

    /// The secret of a group of protocol 3 or 4.
    ///
    /// # Errors
    /// [`BackendError`] if OpenSSL has no randomness.
    fn group_master(&mut self, version: Version) -> Result<GroupMaster, BackendError> {
        GroupMaster::generate(version)
    }

    /// The secret of a group of protocol 5.
    ///
    /// # Errors
    /// [`BackendError`] if OpenSSL has no randomness.
    fn master(&mut self) -> Result<v5::GroupMaster, BackendError> {
        v5::GroupMaster::generate()
    }
}

/// Secrets nobody has seen before. Keys are OpenSSL's, whatever the generator.
pub struct Fresh(pub StdRng);

impl Secrets for Fresh {
    fn random(&mut self) -> [u8; 32] {
        let mut random = [0; 32];
        self.0.fill_bytes(&mut random);
        random
    }

    fn ephemeral(&mut self, curve: Curve) -> Result<PrivateKey, KeyError> {
        PrivateKey::generate(KeySpec::Ec(curve))
    }
}
