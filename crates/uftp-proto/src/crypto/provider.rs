//! OpenSSL's legacy provider, home of single DES since OpenSSL 3.

use std::sync::OnceLock;

use openssl::provider::Provider;

/// Loads the legacy provider, once a process, beside the default one. Tells whether it is there.
pub(super) fn load_legacy() -> bool {
    // Kept for ever: unloading it would pull the ground from under fetched ciphers.
    static LEGACY: OnceLock<Option<Provider>> = OnceLock::new();
    LEGACY
        .get_or_init(|| Provider::try_load(None, "legacy", true).ok())
        .is_some()
}
