//! Header extensions nobody knows are skipped by their length (wire-v4 §1.3).

use proptest::prelude::*;
use uftp_proto::wire::{self, Message, Problem, Version};

use crate::strategies::any_message;

/// Puts an extension behind the header of a message of protocol 4 or 5.
fn with_extension(message: &[u8], extension: &[u8]) -> Option<Vec<u8>> {
    let len = usize::from(message[1]) * 4;
    let words = u8::try_from((len + extension.len()) / 4).ok()?;
    let mut out = [&message[..len], extension, &message[len..]].concat();
    out[1] = words;
    Some(out)
}

fn modern() -> impl Strategy<Value = (Version, Message<'static>)> {
    prop::sample::select(&[Version::V4, Version::V5])
        .prop_flat_map(|version| (Just(version), any_message(version)))
}

/// Whether extensions are one behind the other, to the end.
fn is_filled(mut extensions: &[u8]) -> bool {
    while let [_, words, ..] = *extensions {
        let len = usize::from(words) * 4;
        if len == 0 || len > extensions.len() {
            return false;
        }
        extensions = &extensions[len..];
    }
    extensions.is_empty()
}

proptest! {
    #[test]
    fn unknown_ones_are_skipped(
        (version, message) in modern(),
        kind in prop::sample::select(&[0u8, 4, 5, 6, 8, 200]),
        words in 1usize..5,
        rest in any::<[u8; 16]>(),
        says in prop::sample::select(&[0u8, 1, 2, 3, 4, 255]),
    ) {
        let mut plain = [0; 4096];
        let len = wire::encode_message(version, &message, &mut plain).unwrap();
        // The length of an extension that is not looked into is not looked at.
        let mut extension = [&[kind, says], &rest[..]].concat();
        extension.truncate(words * 4);
        let Some(bytes) = with_extension(&plain[..len], &extension) else {
            return Ok(());
        };
        let decoded = wire::decode(version, message.function(), &bytes);
        match (&message, decoded) {
            // In an ANNOUNCE in the clear they must have their lengths: see `announce`.
            (Message::Announce(m), decoded) if m.encryption.is_none() => {
                match is_filled(&extension) {
                    true => prop_assert_eq!(&decoded.unwrap(), &message),
                    // Not as a known one that is damaged: that a receiver answers.
                    false => {
                        let problem = decoded.unwrap_err().problem;
                        prop_assert!(matches!(problem, Problem::Length { .. }), "{}", problem);
                    }
                }
            }
            // FILEINFO tolerates none.
            (Message::FileInfo(_), decoded) => {
                let problem = decoded.unwrap_err().problem;
                prop_assert!(matches!(problem, Problem::HeaderSize { .. }), "{}", problem);
            }
            // In protocol 5 the proof has no length of its own: it begins what is there.
            (Message::KeyInfoAck(m), Ok(Message::KeyInfoAck(longer))) => {
                prop_assert!(longer.verify_data.starts_with(&m.verify_data));
            }
            (_, decoded) => prop_assert_eq!(&decoded.unwrap(), &message),
        }
    }
}

#[test]
fn reserved_ones_do_not_pass_for_those_we_know() {
    // FILESEG with PGMCC_DATA_INFO (4) and a byte of data.
    let bytes = [9, 4, 0, 1, 0, 2, 0, 3, 4, 2, 0, 0, 1, 2, 3, 4, 0xDA];
    for version in [Version::V4, Version::V5] {
        let message = wire::decode(version, wire::Function::FileSeg, &bytes).unwrap();
        let Message::FileSeg(m) = message else {
            panic!("{message:?}");
        };
        assert_eq!((m.tfmcc, m.data), (None, &[0xDA][..]));
    }
}

#[test]
fn known_ones_must_have_their_length() {
    // FILESEG with TFMCC_DATA_INFO; its length in words, and whether that will do.
    for (words, good) in [(0, false), (1, false), (2, true), (3, false), (255, false)] {
        let bytes = [9, 4, 0, 1, 0, 2, 0, 3, 2, words, 0, 5, 0, 6, 0, 7, 0xDA];
        let decoded = wire::decode(Version::V4, wire::Function::FileSeg, &bytes);
        match decoded {
            Ok(_) => assert!(good, "{words} words"),
            Err(error) => {
                assert!(!good, "{words} words: {error}");
                assert!(
                    matches!(error.problem, Problem::ExtensionSize { .. }),
                    "{error}"
                );
            }
        }
    }
}
