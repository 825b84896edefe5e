//! Cryptography: algorithms, keys, key schedules and the sealing of packets, by OpenSSL, and by *ring*
//! where AES-GCM is concerned.
//!
//! - [`Suite`] names a session's algorithms; [`Curve`], [`Cipher`], [`Hash`](enum@Hash) know their codes,
//!   names and lengths.
//! - [`PrivateKey`], [`PublicKey`], [`Fingerprint`] are identities and ephemeral ECDH keys alike.
//! - The key schedule of protocols 3 and 4 runs from [`Premaster`] by [`MasterSecret`] to
//!   [`ClientKeys`], and from [`GroupMaster`] to [`GroupKeys`].
//! - The key schedule of protocol 5 is in [`v5`].
//! - [`Sealer`] and [`Opener`] protect packets in place.
//!
//! Secrets are overwritten when dropped, have no text form and are compared in constant time.
//! Errors about what a peer sent ([`OpenError`], [`KeyError`], [`SuiteError`]) are kept apart
//! from errors of ours ([`SealError`], [`SetupError`], [`BackendError`]).

mod algorithms;
mod bulk;
mod curve;
mod digest;
mod ecdsa;
mod error;
mod fingerprint;
mod hkdf;
mod iv;
mod key_error;
mod key_spec;
mod pem;
mod prf;
mod prf_schedule;
mod private_key;
mod provider;
mod public_key;
mod record;
mod rsa_padding;
mod secret;
mod self_signed;
mod suite;
pub mod v5;

pub use algorithms::{Cipher, Hash, KeyExchange, SignatureType, TAG_LEN, UnknownName};
pub use bulk::CipherError;
pub use curve::{Curve, UnknownCurve};
pub use ecdsa::SignatureForm;
pub use error::BackendError;
pub use fingerprint::{BadFingerprint, Fingerprint};
pub use hkdf::{expand_label, extract};
pub use iv::IvCounter;
pub use key_error::KeyError;
pub use key_spec::{BadKeySpec, KeySpec};
pub use pem::LoadError;
pub use prf::prf;
pub use prf_schedule::{
    Binding, ClientKeys, GroupKeys, GroupMaster, MasterSecret, Premaster, UnwrapError,
};
pub use private_key::PrivateKey;
pub use public_key::{KeyKind, PublicKey};
pub use record::{OpenError, Opened, Opener, Overhead, SealError, Sealer, SetupError, resign};
pub use secret::Secret;
pub use self_signed::{SelfSignError, SelfSigned};
pub use suite::{Suite, SuiteError};
