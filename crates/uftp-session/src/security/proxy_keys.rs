//! The keys of a response proxy.

use uftp_proto::crypto::{Fingerprint, Hash, PublicKey};
use uftp_proto::wire::ProxyKey;

use crate::counters::Refusal;

/// The keys of a response proxy, which stand in for the sender's where something is to be
/// encrypted to it (wire-v4 §9.3).
#[derive(Clone)]
pub struct ProxyKeys {
    key: PublicKey,
    /// For key agreement, if it has one.
    dh_key: Option<PublicKey>,
}

impl ProxyKeys {
    /// Takes the keys out of a PROXY_KEY of protocol 3 or 4.
    ///
    /// # Errors
    /// [`Refusal::Unauthentic`] if they are not those expected, or the proxy does not prove that
    /// it has them.
    pub(crate) fn accept(
        message: &ProxyKey,
        expected: Option<Fingerprint>,
    ) -> Result<Self, Refusal> {
        let key = PublicKey::from_blob(&message.key).map_err(|_| Refusal::Unauthentic)?;
        if expected.is_some_and(|expected| !expected.names(key.blob())) {
            return Err(Refusal::Unauthentic);
        }
        let nonce = message.nonce.to_be_bytes();
        if !key.verify(Hash::Sha1, &[&nonce], &message.signature) {
            return Err(Refusal::Unauthentic);
        }
        let dh_key = match message.dh_key.is_empty() {
            true => None,
            false => Some(PublicKey::from_blob(&message.dh_key).map_err(|_| Refusal::Unauthentic)?),
        };
        Ok(ProxyKeys { key, dh_key })
    }

    /// What receivers pass premasters to.
    pub(crate) fn key(&self) -> &PublicKey {
        &self.key
    }

    /// What receivers agree upon premasters with in place of the sender's ephemeral key; `None`
    /// if the proxy has no key of that curve.
    pub(crate) fn standing_in_for(&self, ephemeral: &PublicKey) -> Option<PublicKey> {
        let same = |key: &&PublicKey| key.kind() == ephemeral.kind();
        self.dh_key.as_ref().filter(same).cloned()
    }

    /// The fingerprint of the key.
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        self.key.fingerprint()
    }

    /// Whether a PROXY_KEY shows these same keys.
    pub(crate) fn are(&self, message: &ProxyKey) -> bool {
        let dh_key = self.dh_key.as_ref().map(PublicKey::blob);
        self.key.blob() == message.key && dh_key.unwrap_or_default() == message.dh_key
    }
}
