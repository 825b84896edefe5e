//! Which generation of the protocol a sender speaks (cli §7).

use uftp_proto::crypto::{Hash, KeySpec};
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
pub fn choose(chosen: Option<Version>, security: &SenderArgs) -> Result<Version, Failure> {
    let Some(alien) = alien_to_5(security) else {
        return Ok(chosen.unwrap_or(DEFAULT));
    };
    match chosen {
        None => {
            say!(
                1,
                "Speaking protocol 4, for {alien} does not exist in protocol 5"
            );
            Ok(Version::V4)
        }
        Some(Version::V5) => Err(Failure::command_line(format!(
            "{alien} does not exist in protocol 5, which was chosen (option --protocol): {}",
            "expected a GCM or CCM cipher for -Y, sha256, sha384 or sha512 for -h, prime256v1, \
             secp384r1 or secp521r1 for -e, rsa:BITS or ec:CURVE for -K, and no -w"
        ))),
        Some(version) => Ok(version),
    }
}

/// The first option that protocol 5 does not know, or not with this value.
fn alien_to_5(args: &SenderArgs) -> Option<String> {
    let cipher = args.cipher.and_then(|choice| choice.0);
    if let Some(cipher) = cipher.filter(|cipher| !cipher.is_aead()) {
        return Some(format!("-Y {cipher}"));
    }
    if args.hash == Some(Hash::Sha1) {
        return Some("-h sha1".to_owned());
    }
    if let Some(signature) = args.signature {
        return Some(format!("-w {signature}"));
    }
    if let Some(exchange) = args.key_exchange {
        match exchange.kind {
            Some(kind) => return Some(format!("-e {kind}")),
            None if !exchange.curve.is_in(Version::V5) => {
                return Some(format!("-e {}", exchange.curve));
            }
            None => {}
        }
    }
    let key = args.new_key.as_deref()?;
    let known = match key.parse() {
        // A key of this size does not fit the messages, or is one nobody should use any more.
        Ok(KeySpec::Rsa(bits)) => (1024..=3072).contains(&bits),
        Ok(KeySpec::Ec(curve)) => curve.is_in(Version::V5),
        // What is no key at all is refused for that.
        Err(_) => key.contains(':'),
    };
    (!known).then(|| format!("-K {key}"))
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
        alien_to_5(&args(words))
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
            ("-e secp256k1", "-e secp256k1"),
            ("-K 2048", "-K 2048"),
            ("-K secp384r1", "-K secp384r1"),
            ("-K rsa:512", "-K rsa:512"),
            ("-K rsa:4096", "-K rsa:4096"),
            ("-K ec:secp256k1", "-K ec:secp256k1"),
        ] {
            assert_eq!(alien(words).as_deref(), Some(named), "{words}");
        }
        for words in [
            "",
            "-Y none",
            "-Y aes128-ccm -h sha512 -e secp521r1 -c -K rsa:3072",
            "-e prime256v1 -K ec:secp384r1",
            "-K rsa:x",
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
