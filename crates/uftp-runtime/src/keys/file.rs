//! Private keys on disk: unencrypted PEM files (wire-v4 §11).

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use uftp_proto::crypto::{BackendError, LoadError, PrivateKey};
use zeroize::Zeroizing;

/// More than any key file holds, bytes.
const MAX_FILE: u64 = 64 * 1024;

/// Reads the private key in a file.
///
/// # Errors
/// [`KeyFileError`]: the file cannot be read, or holds no key UFTP can use.
pub(crate) fn load(path: &Path) -> Result<PrivateKey, KeyFileError> {
    let file = File::open(path).map_err(KeyFileError::Open)?;
    let mut pem = Zeroizing::new(Vec::new());
    file.take(MAX_FILE)
        .read_to_end(&mut pem)
        .map_err(KeyFileError::Read)?;
    Ok(PrivateKey::from_pem(&pem)?)
}

/// Writes a private key to a new file that only its owner can read. A file that is there already
/// is never touched.
///
/// # Errors
/// [`KeyFileError::Exists`], or that it cannot be written; then there is no file.
pub(crate) fn save(path: &Path, key: &PrivateKey) -> Result<(), KeyFileError> {
    let pem = key.to_pem().map_err(KeyFileError::Encode)?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => KeyFileError::Exists,
            _ => KeyFileError::Open(error),
        })?;
    file.write_all(&pem)
        .and_then(|()| file.sync_all())
        .map_err(|error| {
            // Half a key is of no use, and would be in the way of the next attempt.
            let _ = std::fs::remove_file(path);
            KeyFileError::Write(error)
        })
}

/// A key file that cannot be read or written. The first words are those of deployed programs.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyFileError {
    /// The file cannot be opened or created.
    #[error("failed to open key file: {0}")]
    Open(#[source] io::Error),
    /// The file cannot be read.
    #[error("Failed to read key: {0}")]
    Read(#[source] io::Error),
    /// What is in the file is no key for us.
    #[error("Failed to read key: {0}")]
    Load(#[from] LoadError),
    /// The file is there already.
    #[error("Private key file already exists, won't overwrite")]
    Exists,
    /// The key has no PEM form.
    #[error("Failed to write key: {0}")]
    Encode(#[source] BackendError),
    /// The file cannot be written.
    #[error("Failed to write key: {0}")]
    Write(#[source] io::Error),
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use uftp_proto::crypto::{Curve, KeySpec};

    use super::*;

    #[test]
    fn what_is_saved_can_be_loaded_by_its_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.pem");
        let key = PrivateKey::generate(KeySpec::Ec(Curve::DEFAULT)).unwrap();
        save(&path, &key).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(load(&path).unwrap().public(), key.public());
    }

    #[test]
    fn files_that_are_there_stay_as_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.pem");
        std::fs::write(&path, "precious").unwrap();
        let key = PrivateKey::generate(KeySpec::Ec(Curve::DEFAULT)).unwrap();
        assert!(matches!(save(&path, &key), Err(KeyFileError::Exists)));
        let link = dir.path().join("link.pem");
        std::os::unix::fs::symlink(dir.path().join("nowhere"), &link).unwrap();
        assert!(matches!(save(&link, &key), Err(KeyFileError::Exists)));
        assert_eq!(std::fs::read(&path).unwrap(), b"precious");
    }

    #[test]
    fn unreadable_files_say_why() {
        let dir = tempfile::tempdir().unwrap();
        let gone = load(&dir.path().join("gone")).err().unwrap();
        assert!(matches!(gone, KeyFileError::Open(_)), "{gone}");
        let is_dir = load(dir.path()).err().unwrap();
        assert!(matches!(is_dir, KeyFileError::Read(_)), "{is_dir}");
        let junk = dir.path().join("junk");
        std::fs::write(&junk, "junk").unwrap();
        let junk = load(&junk).err().unwrap();
        assert!(matches!(junk, KeyFileError::Load(_)), "{junk}");
        assert!(junk.to_string().starts_with("Failed to read key"));
    }
}
