//! What can go wrong with the libraries that do the cryptography, as opposed to what a peer sent.

use openssl::error::ErrorStack;

/// An operation failed that should have worked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BackendError {
    /// OpenSSL refused: out of memory, a missing algorithm, a policy of the system.
    #[error("OpenSSL: {0}")]
    OpenSsl(String),
    /// The library for AES-GCM refused: a key, nonce or message of a length it does not take.
    #[error("AES-GCM: a length that the cipher does not take")]
    Gcm,
    /// A message and its tag or padding do not fill the place they are to be sealed in.
    #[error("{len} bytes are no place to seal a message of {message} bytes in")]
    Place {
        /// Bytes of the place.
        len: usize,
        /// Bytes of the message.
        message: usize,
    },
}

impl From<ErrorStack> for BackendError {
    fn from(errors: ErrorStack) -> Self {
        let reason = errors
            .errors()
            .first()
            .and_then(|e| e.reason())
            .unwrap_or("unspecified error");
        BackendError::OpenSsl(reason.to_owned())
    }
}
