//! Short names of public keys.

use std::fmt;
use std::str::FromStr;

use crate::wire::Version;

/// SHA-1 of a public key blob: how operators name keys in lists and on the command line
/// (wire-v4 §6.3).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; 20]);

impl Fingerprint {
    /// The name of the key with this blob, whether or not it is one.
    pub fn of(bytes: &[u8]) -> Fingerprint {
        Fingerprint(openssl::sha::sha1(bytes))
    }

    /// The name of the key with this blob among users of `version`: those of protocol 3 name
    /// exponent and modulus only (wire-v3 §5.2).
    pub fn of_key(version: Version, blob: &[u8]) -> Fingerprint {
        Fingerprint::of(match version {
            Version::V3 | Version::V3Sync => blob.get(4..).unwrap_or_default(),
            Version::V4 | Version::V5 => blob,
        })
    }

    /// Whether it is a name of the key with this blob, among the users of whichever protocol.
    pub fn names(&self, blob: &[u8]) -> bool {
        [Version::V3, Version::V4]
            .map(|version| Fingerprint::of_key(version, blob))
            .contains(self)
    }
}

/// Twenty upper-case hex pairs joined by colons.
impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, byte) in self.0.iter().enumerate() {
            let colon = if i == 0 { "" } else { ":" };
            write!(f, "{colon}{byte:02X}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Takes exactly twenty bytes in hex of any case, with all colons or none, after blanks.
///
/// Deployed programs treat what they cannot parse as "any key"; we refuse it (cli §1.6).
impl FromStr for Fingerprint {
    type Err = BadFingerprint;

    fn from_str(text: &str) -> Result<Fingerprint, BadFingerprint> {
        let bad = || BadFingerprint(text.to_owned());
        let word = text.trim_start();
        let mut bytes = [0; 20];
        let mut rest = word;
        for (i, byte) in bytes.iter_mut().enumerate() {
            if i > 0 && word.contains(':') {
                rest = rest.strip_prefix(':').ok_or_else(bad)?;
            }
            let (pair, tail) = rest.split_at_checked(2).ok_or_else(bad)?;
            if !pair.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(bad());
            }
            *byte = u8::from_str_radix(pair, 16).map_err(|_| bad())?;
            rest = tail;
        }
        if rest.is_empty() {
            Ok(Fingerprint(bytes))
        } else {
            Err(bad())
        }
    }
}

/// A text that is not a fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a key fingerprint; expected 20 bytes in hex as uftp_keymgt prints them, \
     XX:XX:...:XX"
)]
pub struct BadFingerprint(String);

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "C9:85:9F:3F:E4:08:7D:83:AD:CB:FC:A8:02:27:7F:51:18:50:1F:23";

    #[test]
    fn text_forms() {
        let print: Fingerprint = TEXT.parse().unwrap();
        assert_eq!(print.to_string(), TEXT);
        assert_eq!(TEXT.to_lowercase().parse(), Ok(print));
        assert_eq!(TEXT.replace(':', "").parse(), Ok(print));
        assert_eq!(format!(" {TEXT}").parse(), Ok(print));
    }

    #[test]
    fn anything_else_is_refused() {
        let refused = |text: &str| text.parse::<Fingerprint>().is_err();
        assert!(refused(""));
        assert!(refused(&TEXT[3..]));
        assert!(refused(&format!("{TEXT}:00")));
        assert!(refused(&format!("{TEXT} ")));
        assert!(refused(&format!("{TEXT}0")));
        assert!(refused(&TEXT.replace("C9", "ZZ")));
        assert!(refused(&TEXT.replace("C9", "+9")));
        assert!(refused(&TEXT.replacen(':', "", 1)));
        assert!(refused(&TEXT.replace("C9", "é")));
        assert!(refused(&TEXT.replace("C9", "9")));
    }
}
