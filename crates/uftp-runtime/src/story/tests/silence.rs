//! Too few have registered.

use std::sync::Arc;

use uftp_proto::crypto::{
    Cipher, Curve, Hash, KeyExchange, KeySpec, PrivateKey, SignatureType, Suite,
};
use uftp_session::security::SenderSecurity;
use uftp_session::sender::ClientEntry;

use super::*;

/// In the words of 4.10.2, which says of `-q` alone that it aborts, and that it waited in vain only if
/// it did so for all.
#[test]
fn who_registered_is_not_forgotten_when_others_are_missing() {
    let registered = SenderEvent::Registered {
        client: Uid(1),
        proxy: None,
        again: false,
    };
    let [missing, unready, lost] = [
        Outcome::NobodyRegistered,
        Outcome::NobodyReady,
        Outcome::AllDropped,
    ]
    .map(SenderEvent::Finished);
    let some = vec![registered, missing.clone()];
    let told = |all_or_nobody, events: &[SenderEvent]| {
        logged(0, || {
            let config = SenderConfig {
                quit_on_error: all_or_nobody,
                ..sender_config(Version::V4)
            };
            let mut story = SenderStory::new(&config, 0);
            for event in events {
                story.event(event, |uid| uid.to_string());
            }
        })
    };
    for (told, words) in [
        (
            told(true, &some),
            "Aborting all clients\nNot everybody registered, so nothing is sent. Usual causes: no",
        ),
        (
            told(true, &[missing]),
            "Aborting all clients\nAnnounce timed out\nNobody registered. Usual causes: no",
        ),
        (
            told(false, &some),
            "Announce timed out\nNot everybody registered, so nothing is sent. Usual causes: no",
        ),
        (
            told(true, &[unready]),
            "Aborting all clients\nAnnounce timed out\n",
        ),
        (
            told(true, std::slice::from_ref(&lost)),
            "Aborting all clients\n",
        ),
    ] {
        assert!(told.starts_with(words), "{told}");
    }
    assert_eq!(told(false, &[lost]), "");
}

#[test]
fn what_the_network_refused_has_one_cause() {
    let told = |words: &[Option<&str>]| {
        logged(0, || {
            let mut story = SenderStory::new(&sender_config(Version::V4), 0);
            words.iter().for_each(|words| story.silenced(*words));
            let nobody = SenderEvent::Finished(Outcome::NobodyRegistered);
            story.event(&nobody, |uid| uid.to_string());
        })
    };
    assert_eq!(
        told(&[Some("no way"), Some("no route")]),
        "Announce timed out\nNothing could be sent: no route; is there a route, is -I right, does a \
         firewall here forbid it?\n"
    );
    // What came later went out.
    assert!(told(&[Some("no route"), None]).contains("Usual causes: no uftpd"));
}

#[test]
fn who_refuses_is_not_taken_for_silent() {
    let declined = SenderEvent::Declined {
        client: Uid(1),
        reason: "why".to_owned(),
    };
    let nobody = SenderEvent::Finished(Outcome::NobodyRegistered);
    let told = sender(1, vec![declined, nobody]);
    assert!(
        told.starts_with(
            "Transfer aborted by 127.0.0.1: why\nAnnounce timed out\nNobody registered: who \
             answered refused, see above. Usual causes if others are silent: no uftpd"
        ),
        "{told}"
    );
}

/// A closed group that receivers register for through a proxy which is in no list.
#[test]
fn who_is_not_in_the_list_is_a_cause() {
    let announced = SenderEvent::AnnounceSent {
        attempt: 1,
        part: Some(1),
    };
    let turned_away = SenderEvent::TurnedAway {
        client: Uid(1),
        reason: "Not in host list",
    };
    let nobody = SenderEvent::Finished(Outcome::NobodyRegistered);
    let told = sender(1, vec![announced, turned_away, nobody]);
    assert!(
        told.starts_with(
            "Turning away 127.0.0.1: Not in host list\nAnnounce timed out\nNobody registered but \
             who is not in the host list (-H), see above. A proxy"
        ),
        "{told}"
    );
}

/// Without `-e` ours agrees upon keys, which response proxies of 4.10.2 refuse, or die of.
#[test]
fn response_proxies_of_4_that_cannot_agree_upon_keys_are_a_cause() {
    let declined = SenderEvent::Declined {
        client: Uid(1),
        reason: "Proxy ECDH key not compatible with server key".to_owned(),
    };
    let told = sender(1, vec![declined.clone(), declined]);
    assert_eq!(told.matches("else send with -e rsa").count(), 1, "{told}");
    let key = Arc::new(PrivateKey::generate(KeySpec::Rsa(1024)).unwrap());
    for (key_exchange, clients, may_die) in [
        (KeyExchange::EcdhRsa, vec![ClientEntry::proxy(Uid(7))], true),
        (
            KeyExchange::EcdhRsa,
            vec![ClientEntry::receiver(Uid(7))],
            false,
        ),
        (KeyExchange::Rsa, vec![ClientEntry::proxy(Uid(7))], false),
    ] {
        let suite = Suite {
            cipher: Cipher::Aes128Cbc,
            hash: Hash::Sha1,
            key_exchange,
            signature: SignatureType::Hmac,
            client_auth: false,
        };
        let security = SenderSecurity::new(Version::V4, suite, key.clone(), Curve::DEFAULT);
        let config = SenderConfig {
            clients: Some(clients),
            security: Some(security.unwrap()),
            ..sender_config(Version::V4)
        };
        let told = logged(0, || {
            let nobody = SenderEvent::Finished(Outcome::NobodyRegistered);
            SenderStory::new(&config, 0).event(&nobody, |uid| uid.to_string());
        });
        assert_eq!(
            told.contains("dies of ECDH (send with -e rsa)"),
            may_die,
            "{told}"
        );
    }
}

#[test]
fn who_has_another_key_than_listed_is_not_taken_for_silent() {
    let rejected = SenderEvent::ClientKeyRejected { client: Uid(1) };
    let nobody = SenderEvent::Finished(Outcome::NobodyRegistered);
    let told = sender(1, vec![rejected, nobody]);
    let words = "Rejecting CLIENT_KEY from 127.0.0.1: key fingerprint mismatch\nAnnounce timed out\n\
                 Not everybody proved to have the key";
    assert!(told.starts_with(words), "{told}");
    assert!(told.contains("uftp_keymgt"), "{told}");
}

#[test]
fn only_a_closed_group_lacks_receivers_in_its_list() {
    for part in [None, Some(1)] {
        let announced = SenderEvent::AnnounceSent { attempt: 1, part };
        let nobody = SenderEvent::Finished(Outcome::NobodyRegistered);
        let told = sender(0, vec![announced, nobody]);
        assert_eq!(told.contains("(-H)"), part.is_some(), "{told}");
    }
}

#[test]
fn receivers_that_cannot_hear_are_a_cause_of_silence() {
    let nobody = SenderEvent::Finished(Outcome::NobodyRegistered);
    for (version, cause) in [
        (
            Version::V3,
            Some("protocol 3 (send with --protocol 4 or 5)"),
        ),
        (Version::V4, None),
        (Version::V5, Some("protocol 5 (send with --protocol 4)")),
    ] {
        let told = sender_of(version, 0, vec![nobody.clone()]);
        let all = cause.is_none_or(|cause| told.contains(cause));
        assert!(all, "{told}");
        assert_eq!(told.contains("do not hear"), cause.is_some(), "{told}");
    }
}
