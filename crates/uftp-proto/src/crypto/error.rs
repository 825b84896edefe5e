//! What can go wrong when using OpenSSL itself, as opposed to what a peer sent.

use openssl::error::ErrorStack;

/// OpenSSL refused an operation that should have worked: out of memory, a missing algorithm, a
/// policy of the system.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("OpenSSL: {0}")]
pub struct BackendError(String);

impl From<ErrorStack> for BackendError {
    fn from(errors: ErrorStack) -> Self {
        let reason = errors
            .errors()
            .first()
            .and_then(|e| e.reason())
            .unwrap_or("unspecified error");
        BackendError(reason.to_owned())
    }
}
