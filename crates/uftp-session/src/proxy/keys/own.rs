//! What a proxy stands in for a server with.

use std::sync::Arc;
use std::time::Instant;

use uftp_proto::crypto::{
    Curve, KeyExchange, KeyKind, PrivateKey, PublicKey, SignatureType, Suite,
};
use uftp_proto::wire::{EncInfo, Version};

use super::Means;
use crate::counters::Refusal;
use crate::objection::Objection;
use crate::proxy::config::Role;
use crate::security::{NoKey, same_type};

pub(super) const NO_OWN_KEY: &str = "No proxy key compatible with server key";
const BAD_KEY: &str = "Failed to load server public key";
const BAD_DH_KEY: &str = "Failed to load server public ECDH key";
const OTHER_CURVE: &str = "Proxy ECDH key not compatible with server key";

/// The keys of a server as its ANNOUNCE shows them.
pub(super) struct ServerKeys {
    kind: KeyKind,
    /// That of its ECDH key, where the key exchange uses one.
    pub(super) curve: Option<Curve>,
}

impl ServerKeys {
    pub(super) fn read(suite: &Suite, info: &EncInfo) -> Result<Self, Objection> {
        let key = PublicKey::from_blob(&info.key).map_err(|_| Objection::Abort(BAD_KEY))?;
        let curve = match suite.key_exchange.is_ecdh() {
            false => None,
            true => Some(curve_of(&info.dh_key).ok_or(Objection::Abort(BAD_DH_KEY))?),
        };
        Ok(ServerKeys {
            kind: key.kind(),
            curve,
        })
    }
}

fn curve_of(blob: &[u8]) -> Option<Curve> {
    match PublicKey::from_blob(blob).ok()?.kind() {
        KeyKind::Ec(curve) => Some(curve),
        KeyKind::Rsa { .. } => None,
    }
}

/// The keys of a proxy in one session.
pub(super) struct OwnKeys {
    /// What clients know us by.
    pub(super) identity: Arc<PrivateKey>,
    /// What they agree upon premasters with, if they know that from PROXY_KEY; else it is drawn for
    /// the session.
    pub(super) dh_key: Option<Arc<PrivateKey>>,
}

impl OwnKeys {
    /// Those that go with the algorithms of a session and the keys of its server.
    pub(super) fn choose(
        now: Instant,
        version: Version,
        suite: &Suite,
        theirs: &ServerKeys,
        means: &mut Means<'_>,
    ) -> Result<Self, Objection> {
        let own = means.config.identity(version);
        if suite.key_exchange == KeyExchange::Ecdh
            && let Some(own) = own
        {
            // Keys are everybody's own choice; clients know us by the first.
            return Ok(OwnKeys::without_dh_key(own.clone()));
        }
        let Role::Response { dh_key, .. } = &means.config.role else {
            return match means.keyring.standing_in(now, suite, theirs.kind) {
                Ok(key) => Ok(OwnKeys::without_dh_key(key)),
                Err(NoKey::None) => Err(Objection::Abort(NO_OWN_KEY)),
                Err(NoKey::Later) => Err(Objection::Ignore(Refusal::Limit)),
            };
        };
        let signs_each = suite.signature == SignatureType::Keyex;
        let alike = |key: &&Arc<PrivateKey>| key.kind() == theirs.kind;
        let akin = |key: &&Arc<PrivateKey>| !signs_each && same_type(key.kind(), theirs.kind);
        if suite.key_exchange == KeyExchange::Rsa {
            // Premasters come under the key that PROXY_KEY shows, whatever others there are.
            let own = own.filter(|key| alike(key) || akin(key));
            let own = own.ok_or(Objection::Abort(NO_OWN_KEY))?;
            return Ok(OwnKeys::without_dh_key(own.clone()));
        }
        // Clients agree with the other key that it shows; the server wants one like its own.
        let keys = || means.config.security.keys.iter();
        let own = keys().find(alike).or_else(|| keys().find(akin));
        let own = own.ok_or(Objection::Abort(NO_OWN_KEY))?;
        let on_curve = |key: &&Arc<PrivateKey>| Some(key.kind()) == theirs.curve.map(KeyKind::Ec);
        let dh_key = dh_key.as_ref().filter(on_curve);
        Ok(OwnKeys {
            identity: own.clone(),
            dh_key: Some(dh_key.ok_or(Objection::Abort(OTHER_CURVE))?.clone()),
        })
    }

    fn without_dh_key(identity: Arc<PrivateKey>) -> Self {
        OwnKeys {
            identity,
            dh_key: None,
        }
    }
}
