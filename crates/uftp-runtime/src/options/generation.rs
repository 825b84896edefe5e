//! Which generation of the protocol a sender speaks (cli §7).

use uftp_proto::crypto::{Curve, Hash};
use uftp_proto::wire::Version;

use super::security::SenderArgs;
use crate::exit::Failure;
use crate::say;

/// What is spoken unless somebody says otherwise.
const DEFAULT: Version = Version::V5;

/// The generation to speak: the one that was `chosen`, else the default, unless an option has a
/// value that only protocol 4 knows. That selects protocol 4 then, and is said once.
///
/// # Errors
/// Protocol 5 was chosen, and an option has a value that it does not know.
pub(super) fn choose(chosen: Option<Version>, security: &SenderArgs) -> Result<Version, Failure> {
    let Some(Alien { words, expected }) = alien_to_5(security) else {
        return Ok(chosen.unwrap_or(DEFAULT));
    };
    match chosen {
        None => {
            let plain = match security.cipher {
                None => ". Nothing is encrypted there without -Y",
                Some(_) => "",
            };
            say!(
                1,
                "Speaking protocol 4, for {words} does not exist in protocol 5{plain}"
            );
            Ok(Version::V4)
        }
        Some(Version::V5) => Err(Failure::command_line(format!(
            "{words} does not exist in protocol 5, which was chosen (option --protocol): {expected}"
        ))),
        Some(version) => Ok(version),
    }
}

/// What protocol 5 does not know.
#[derive(PartialEq, Debug)]
struct Alien {
    /// Option and value.
    words: String,
    /// What the programs of 5.x say to it, and what it could be.
    expected: &'static str,
}

/// The first option with a value that only the programs of 4.x have. Spellings of 5.x that are out
/// of its bounds are not among them: they must not turn encryption off.
fn alien_to_5(args: &SenderArgs) -> Option<Alien> {
    let alien = |words, expected| Some(Alien { words, expected });
    let cipher = args.cipher.and_then(|choice| choice.0);
    if let Some(cipher) = cipher.filter(|cipher| !cipher.is_aead()) {
        let expected = "Invalid keytype: expected a GCM or CCM cipher, or none";
        return alien(format!("-Y {cipher}"), expected);
    }
    if args.hash == Some(Hash::Sha1) {
        let expected = "Invalid hashtype: expected sha256, sha384 or sha512";
        return alien("-h sha1".to_owned(), expected);
    }
    if let Some(signature) = args.signature {
        let expected = "packets carry the seal of their cipher";
        return alien(format!("-w {signature}"), expected);
    }
    if let Some(kind) = args.key_exchange.and_then(|exchange| exchange.kind) {
        let expected = "Invalid curve: expected prime256v1, secp384r1 or secp521r1";
        return alien(format!("-e {kind}"), expected);
    }
    let key = args.new_key.as_deref()?;
    let of_4 = key.parse::<u32>().is_ok() || key.parse::<Curve>().is_ok();
    match of_4 {
        true => alien(format!("-K {key}"), "expected rsa:BITS or ec:CURVE"),
        false => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;
    use crate::options::{Parsed, parse, uftp::Args};

    fn args(words: &str) -> SenderArgs {
        let words = format!("uftp {words} file");
        match parse::<Args>(words.split_whitespace().map(Into::into)) {
            Ok(Parsed::Run(args)) => args.security,
            other => panic!("{words}: {other:?}"),
        }
    }

    fn alien(words: &str) -> Option<String> {
        alien_to_5(&args(words)).map(|alien| alien.words)
    }

    #[test]
    fn what_only_protocol_4_knows() {
        for (words, named) in [
            ("-Y des", "-Y des"),
            ("-Y aes256-cbc -h sha1", "-Y aes256-cbc"),
            ("-Y aes256-gcm -h sha1", "-h sha1"),
            ("-w keyex", "-w keyex"),
            ("-e rsa", "-e rsa"),
            ("-e ecdh_ecdsa:secp384r1", "-e ecdh_ecdsa"),
            ("-K 2048", "-K 2048"),
            ("-K secp384r1", "-K secp384r1"),
        ] {
            assert_eq!(alien(words).as_deref(), Some(named), "{words}");
        }
        for words in [
            "",
            "-Y none",
            "-Y aes128-ccm -h sha512 -e secp521r1 -c -K rsa:3072",
            "-e prime256v1 -K ec:secp384r1",
            "-K rsa:x",
            // Of 5.x, or of nobody.
            "-e secp256k1",
            "-K rsa:512",
            "-K rsa:4096",
            "-K ec:secp256k1",
            "-K rsa",
            "-K junk",
        ] {
            assert_eq!(alien(words), None, "{words}");
        }
    }

    #[test]
    fn the_choice_of_the_user_counts_most() {
        let (old, new) = (args("-Y des"), args("-Y aes256-gcm"));
        assert_eq!(choose(None, &old).unwrap(), Version::V4);
        assert_eq!(choose(Some(Version::V4), &old).unwrap(), Version::V4);
        assert_eq!(choose(Some(Version::V4), &new).unwrap(), Version::V4);
        assert_eq!(choose(Some(Version::V5), &new).unwrap(), Version::V5);
        assert_eq!(choose(None, &new).unwrap(), DEFAULT);
        let refused = choose(Some(Version::V5), &old).unwrap_err();
        assert_eq!(refused.exit, Exit::CommandLine);
    }
}
