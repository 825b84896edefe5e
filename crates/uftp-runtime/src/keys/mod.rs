//! The private keys of a program: read, made, and told of (cli §1.7).

pub(crate) mod file;

use std::path::Path;
use std::sync::Arc;

use uftp_proto::crypto::{KeyKind, KeySpec, PrivateKey};

use crate::exit::{Exit, Failure};
use crate::say;

/// The key in a file.
///
/// # Errors
/// It cannot be read, or holds no key for us.
pub(crate) fn read(path: &Path) -> Result<Arc<PrivateKey>, Failure> {
    let key = file::load(path).map_err(|why| failure(path, &why))?;
    Ok(Arc::new(key))
}

/// Makes a key, and stores it if there is a place for it. A weak one only if it was asked for, and
/// with a warning.
///
/// # Errors
/// It cannot be made or stored.
pub(crate) fn make(spec: KeySpec, path: Option<&Path>) -> Result<Arc<PrivateKey>, Failure> {
    if let Some(caution) = spec.caution() {
        say!(1, "Warning: {caution}");
    }
    let key = PrivateKey::generate(spec).map_err(|why| {
        Failure::new(
            Exit::Keys,
            format!("Error generating the key {spec}: {why}"),
        )
    })?;
    if let Some(path) = path {
        file::save(path, &key).map_err(|why| failure(path, &why))?;
    }
    Ok(Arc::new(key))
}

/// Says which key is in use.
pub(crate) fn introduce(key: &PrivateKey) {
    let fingerprint = key.public().fingerprint();
    match key.kind() {
        KeyKind::Rsa { bits } => {
            say!(
                2,
                "Loaded {bits} bit RSA key with fingerprint {fingerprint}"
            );
        }
        KeyKind::Ec(curve) => say!(
            2,
            "Loaded ECDSA key with curve {curve} and fingerprint {fingerprint}"
        ),
    }
}

fn failure(path: &Path, why: &dyn std::fmt::Display) -> Failure {
    Failure::new(Exit::Keys, format!("{}: {why}", path.display())).about("-k")
}
