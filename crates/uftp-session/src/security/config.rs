//! What the operator decides about security.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use uftp_proto::crypto::v5::ServerContext;
use uftp_proto::crypto::{
    BackendError, CipherError, Curve, Fingerprint, GroupMaster, KeyError, KeyExchange, KeyKind,
    KeySpec, PrivateKey, SetupError, SignatureType, Suite, SuiteError,
};
use uftp_proto::quant::{GroupSizeCode, RttCode};
use uftp_proto::wire::{
    self, Announce, AnnounceFlags, CcType, EncInfo, EncodeError, Function, Header, Message, Pace,
    Version,
};
use uftp_proto::{Seq, Uid, WireTime};

use super::server::SessionName;

/// Encryption of the sessions of a sender, checked: such a session can be set up here.
#[derive(Clone)]
pub struct SenderSecurity {
    suite: Suite,
    identity: Arc<PrivateKey>,
    curve: Curve,
}

impl SenderSecurity {
    /// Sessions with these algorithms under the key `identity`. `curve` is that of the ephemeral
    /// keys, where the key exchange uses them. Packets signed one by one imply client
    /// authentication (wire-v4 §5.1).
    ///
    /// # Errors
    /// [`SecurityError`] if the algorithms do not go together, do not go with the key, or are
    /// not offered here.
    pub fn new(
        version: Version,
        suite: Suite,
        identity: Arc<PrivateKey>,
        curve: Curve,
    ) -> Result<Self, SecurityError> {
        let suite = Suite {
            client_auth: suite.client_auth || suite.signature == SignatureType::Keyex,
            ..suite
        };
        suite.check(version)?;
        let fits = match (suite.key_exchange, identity.kind()) {
            (KeyExchange::Rsa | KeyExchange::EcdhRsa, kind) => matches!(kind, KeyKind::Rsa { .. }),
            (KeyExchange::EcdhEcdsa, kind) => matches!(kind, KeyKind::Ec(_)),
            (KeyExchange::Ecdh, _) => true,
        };
        if !fits {
            return Err(SecurityError::Identity {
                exchange: suite.key_exchange,
                kind: identity.kind(),
            });
        }
        let of_identity = match identity.kind() {
            KeyKind::Ec(curve) => Some(curve),
            KeyKind::Rsa { .. } => None,
        };
        if let (KeyKind::Rsa { bits }, KeyExchange::Ecdh) = (identity.kind(), suite.key_exchange) {
            let bits = u32::try_from(bits).unwrap_or(u32::MAX);
            if bits < *KeySpec::RSA_BITS_V5.start() {
                let kind = identity.kind();
                return Err(SecurityError::TooSmall { kind });
            }
            if bits > *KeySpec::RSA_BITS_V5.end() {
                return Err(SecurityError::TooLarge(identity.kind()));
            }
        }
        let of_exchange = suite.key_exchange.is_ecdh().then_some(curve);
        let mut curves = of_identity.into_iter().chain(of_exchange);
        if let Some(curve) = curves.find(|curve| !curve.is_in(version)) {
            return Err(SecurityError::Curve(curve));
        }
        let security = SenderSecurity {
            suite,
            identity,
            curve,
        };
        security.try_out(version)?;
        Ok(security)
    }

    /// The algorithms.
    pub fn suite(&self) -> &Suite {
        &self.suite
    }

    /// The sender's key.
    pub fn identity(&self) -> &Arc<PrivateKey> {
        &self.identity
    }

    /// The curve of the ephemeral keys.
    pub fn curve(&self) -> Curve {
        self.curve
    }

    /// What an ANNOUNCE says about it. The signature is zeros.
    pub(super) fn enc_info(&self, random: [u8; 32], dh_key: Vec<u8>) -> EncInfo {
        let signature_len = match self.suite.key_exchange.is_ecdh() {
            true => self.identity.public().signature_len(),
            false => 0,
        };
        EncInfo {
            client_auth: self.suite.client_auth,
            key_exchange: self.suite.key_exchange.code(),
            signature_type: self.suite.signature.code(),
            cipher: self.suite.cipher.code(),
            hash: self.suite.hash.code(),
            random,
            key: self.identity.public().blob().to_vec(),
            dh_key,
            signature: vec![0; signature_len],
        }
    }

    /// Does everything that could fail later.
    fn try_out(&self, version: Version) -> Result<(), SecurityError> {
        self.identity.public().check_words()?;
        let random = [0; 32];
        match self.suite.key_exchange {
            // Its ciphers are such that every OpenSSL has them.
            KeyExchange::Ecdh => {}
            _ => {
                let keys =
                    GroupMaster::generate(version)?.group_keys(version, &self.suite, &random)?;
                keys.sealer(Some(self.identity.clone()))?;
            }
        }
        let form = uftp_proto::crypto::SignatureForm::of(version);
        if self.suite.key_exchange.is_ecdh() || self.suite.signature == SignatureType::Keyex {
            self.identity.sign(self.suite.hash, form, &[&random])?;
        }
        let dh_len = match self.suite.key_exchange.is_ecdh() {
            true => self.curve.blob_len(),
            false => 0,
        };
        let announce = Message::Announce(announcing(self.enc_info(random, vec![0; dh_len])));
        let mut scratch = [0; 4096];
        match wire::encode_message(version, &announce, &mut scratch) {
            Ok(_) | Err(EncodeError::NotInProtocol(_)) => Ok(()),
            Err(_) => Err(SecurityError::TooLarge(self.identity.kind())),
        }
    }

    /// What a session that is announced by `info` binds its keys to.
    pub(super) fn server_context(
        &self,
        session: &SessionName,
        info: &EncInfo,
    ) -> Result<ServerContext, SecurityError> {
        // Of header and message only what never changes takes part.
        let header = Header {
            version: session.version,
            function: Function::Announce,
            seq: Seq(0),
            src: session.server,
            group: session.group,
            instance: session.instance,
            grtt: RttCode::default(),
            group_size: GroupSizeCode::default(),
            dest: Uid::NONE,
        };
        let announce = announcing(info.clone());
        let message = Message::Announce(announce.clone());
        let mut bytes = [0; 4096];
        wire::encode_message(session.version, &message, &mut bytes)
            .ok()
            .and_then(|len| ServerContext::new(&header, &announce, bytes.get(..len)?))
            .ok_or(SecurityError::TooLarge(self.identity.kind()))
    }
}

/// An ANNOUNCE of the largest kind with this part about encryption.
fn announcing(info: EncInfo) -> Announce {
    Announce {
        flags: AnnounceFlags::empty(),
        pace: Pace::Adaptive {
            robust: 1,
            cc: CcType::NONE,
            block_size: 1300,
        },
        timestamp: WireTime(0),
        public: IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        private: IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        encryption: Some(info),
        clients: Vec::new(),
    }
}

/// Names algorithms and key, never a secret.
impl fmt::Debug for SenderSecurity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SenderSecurity")
            .field("suite", &self.suite)
            .field("identity", self.identity.public())
            .field("curve", &self.curve)
            .finish()
    }
}

/// What a receiver trusts, and what it proves itself with.
#[derive(Clone, Default)]
pub struct ReceiverSecurity {
    /// Its keys, in order of preference. When there is none, one that fits is made on demand.
    pub keys: Vec<Arc<PrivateKey>>,
    /// The senders it listens to; `None` for all.
    pub servers: Option<Vec<ServerEntry>>,
    /// The proxies that are named with senders, as far as more is known of them than their ids.
    pub proxies: Vec<ProxyEntry>,
    /// Groups are joined for packets of the listed senders only, and must be of the range for
    /// that.
    pub source_specific: bool,
    /// Older protocols are heard only with algorithms that protocol 5 has too (wire-v5 §13).
    pub refuse_weak: bool,
}

impl ReceiverSecurity {
    /// The entry of a sender, if senders are listed and it is.
    pub(crate) fn server(&self, uid: Uid) -> Option<&ServerEntry> {
        self.servers.iter().flatten().find(|entry| entry.uid == uid)
    }

    /// Whether a sender may be listened to.
    pub(crate) fn admits(&self, uid: Uid) -> bool {
        self.servers.is_none() || self.server(uid).is_some()
    }

    /// Whether the operator has said what the key of a sender is.
    pub(crate) fn knows_key_of(&self, uid: Uid) -> bool {
        self.server(uid).is_some_and(|s| s.fingerprint.is_some())
    }

    /// The addresses groups are joined for; `None` for any.
    pub fn sources(&self) -> Option<Vec<IpAddr>> {
        let servers = self.servers.iter().flatten().map(|entry| &entry.addresses);
        let proxies = self.proxies.iter().map(|entry| &entry.addresses);
        let addresses = servers.chain(proxies).flatten().copied();
        self.source_specific.then(|| addresses.collect())
    }
}

/// Names keys by fingerprint.
impl fmt::Debug for ReceiverSecurity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<_> = self.keys.iter().map(|k| k.public()).collect();
        f.debug_struct("ReceiverSecurity")
            .field("keys", &keys)
            .field("servers", &self.servers)
            .field("proxies", &self.proxies)
            .field("source_specific", &self.source_specific)
            .field("refuse_weak", &self.refuse_weak)
            .finish()
    }
}

/// A sender that a receiver listens to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServerEntry {
    /// Its id.
    pub uid: Uid,
    /// Where its packets come from; used for source specific groups.
    pub addresses: Vec<IpAddr>,
    /// The proxy its sessions are answered through, where proxies have keys for each session.
    pub proxy: Option<Uid>,
    /// Its key in encrypted sessions; `None` for any.
    pub fingerprint: Option<Fingerprint>,
}

/// A proxy that stands before a sender.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProxyEntry {
    /// Its id.
    pub uid: Uid,
    /// Where its packets come from; used for source specific groups.
    pub addresses: Vec<IpAddr>,
    /// Its key in encrypted sessions; `None` for any.
    pub fingerprint: Option<Fingerprint>,
}

/// Whether a group is of the range that is for source specific multicast alone: 232/8 or ff3x::/32
/// (RFC 4607).
pub fn is_source_specific(group: IpAddr) -> bool {
    match group {
        IpAddr::V4(group) => matches!(group.octets(), [232, ..]),
        IpAddr::V6(group) => matches!(group.segments(), [0xff30..=0xff3f, 0, ..]),
    }
}

/// Whether a group may be joined for some sources only, as deployed programs have it: also IPv6 groups
/// that are not well-known or have a network's prefix in them (wire-v5 §11.5).
pub fn may_be_source_specific(group: IpAddr) -> bool {
    match group {
        IpAddr::V4(_) => is_source_specific(group),
        IpAddr::V6(group) => matches!(group.octets(), [0xff, flags, ..] if flags & 0x30 != 0),
    }
}

/// Encryption that cannot be set up, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecurityError {
    /// The algorithms.
    #[error(transparent)]
    Suite(#[from] SuiteError),
    /// The key is of the wrong kind.
    #[error(
        "key exchange {exchange} needs {} key, but the key given is {kind}",
        if matches!(exchange, KeyExchange::EcdhEcdsa) { "an EC" } else { "an RSA" }
    )]
    Identity {
        /// The key exchange.
        exchange: KeyExchange,
        /// The kind of the key.
        kind: KeyKind,
    },
    /// The protocol has no such curve.
    #[error(
        "the curve {0} is not in this protocol; protocol 5 has prime256v1, secp384r1 and secp521r1"
    )]
    Curve(Curve),
    /// The key is weaker than the protocol wants it.
    #[error("the key ({kind}) is too small: protocol 5 wants {} bits at least", KeySpec::RSA_BITS_V5.start())]
    TooSmall {
        /// What it is.
        kind: KeyKind,
    },
    /// The key does not fit an ANNOUNCE.
    #[error(
        "the key ({0}) is too large for the announcement of a session: protocol 5 takes {most} bits at most",
        most = KeySpec::RSA_BITS_V5.end()
    )]
    TooLarge(KeyKind),
    /// The group's secret is not known yet.
    #[error("the secret of the group is not known yet")]
    NoMaster,
    /// The key itself.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Keys that cannot be put to use.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The cipher cannot be set up.
    #[error(transparent)]
    Cipher(#[from] CipherError),
    /// OpenSSL failed.
    #[error(transparent)]
    Backend(#[from] BackendError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_for_some_sources_only() {
        for (group, is, may) in [
            ("232.0.0.1", true, true),
            ("230.4.4.1", false, false),
            ("ff35::8000:1", true, true),
            ("ff15::1", false, true),
            ("ff25::1", false, true),
            // Of a network's prefix (RFC 3306), and with a rendezvous point (RFC 3956).
            ("ff35:40:fd77::1", false, true),
            ("ff75::1", false, true),
            ("ff05::1", false, false),
            ("ff45::1", false, false),
            ("fd30::1", false, false),
        ] {
            let addr = group.parse().unwrap();
            let told = (is_source_specific(addr), may_be_source_specific(addr));
            assert_eq!(told, (is, may), "{group}");
        }
    }
}
