//! Private keys in PEM files: where they are, and why some cannot be used.

use zeroize::Zeroizing;

use super::key_error::KeyError;

/// A key file that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// No private key in it.
    #[error("it holds no PEM block with a private key; expected a file made by uftp_keymgt -g")]
    NotPem,
    /// Protected by a passphrase.
    #[error(
        "it is protected by a passphrase, which UFTP programs cannot ask for; take the \
         passphrase off (openssl pkey) and protect the file by its mode"
    )]
    Passphrase,
    /// The block is damaged.
    #[error("its PEM block is damaged or not a private key")]
    Unreadable,
    /// Neither RSA nor EC.
    #[error("it is neither an RSA nor an EC key; UFTP knows no other kind")]
    Algorithm,
    /// A curve without a number on the wire.
    #[error("its curve is not one UFTP has a number for")]
    Curve,
    /// The key itself is no good.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// The first block of a PEM file that holds a private key.
pub(super) fn private_block(text: &str) -> Result<Zeroizing<String>, LoadError> {
    let mut inside = false;
    let mut block = Zeroizing::new(String::with_capacity(text.len() + 1));
    for line in text.lines().map(str::trim_end) {
        if let Some(label) = label_of(line, "-----BEGIN ") {
            match label {
                "ENCRYPTED PRIVATE KEY" => return Err(LoadError::Passphrase),
                "RSA PRIVATE KEY" | "EC PRIVATE KEY" | "PRIVATE KEY" => inside = true,
                _ => {}
            }
        }
        if inside {
            if line.starts_with("Proc-Type:") && line.contains("ENCRYPTED") {
                return Err(LoadError::Passphrase);
            }
            block.push_str(line);
            block.push('\n');
            if label_of(line, "-----END ").is_some() {
                return Ok(block);
            }
        }
    }
    Err(if inside {
        LoadError::Unreadable
    } else {
        LoadError::NotPem
    })
}

fn label_of<'a>(line: &'a str, start: &str) -> Option<&'a str> {
    line.strip_prefix(start)?.strip_suffix("-----")
}
