//! Sessions of protocols 4 and 5 as the deployed programs played them: our sender, with the secrets of
//! theirs, hears what their receivers and proxies said, each word when it has said what that was an
//! answer to. It must open all of it, say the same things, and end as theirs did.

use uftp_session::congestion::Limits;
use uftp_session::sender::{Outcome, Rate, SenderEvent};

use super::played::{Case, bare, once, play, play_and_watch};
use super::recorded::none_is_forgotten;

/// Rates other than the usual one, in bytes per second.
const CRAWLING: Rate = Rate::Fixed(51_200);
const SLOW: Rate = Rate::Fixed(102_400);
const FAST: Rate = Rate::Fixed(1_024_000);

/// Sessions in which nothing was lost but whole receivers.
const CALM: &[Case] = &[
    Case::plain("v4-plain-files"),
    Case::plain("v4-plain-2clients"),
    Case::plain("v4-closed3"),
    Case::plain("v4-closed3-missing"),
    Case::plain("v4-dirs"),
    Case::plain("v4-unicast"),
    Case::plain("v4-unicast-b"),
    Case::plain("v4-ipv6"),
    Case::plain("v4-meta"),
    Case::plain("v4-meta-b"),
    Case::plain("v4-mixed-srv410-cl501"),
    Case::plain("v4-proxy"),
    Case::plain("v4-resp-proxy"),
    Case::plain("v4-heartbeat"),
    Case::plain("v4-heartbeat-b"),
    Case::plain("v4-heartbeat-rsa"),
    Case::plain("v4-heartbeat-fail").ends(Outcome::NobodyRegistered),
    Case::plain("v4-sync-preview"),
    Case::plain("v4-sync-b"),
    Case::plain("v4-sync-b").run(1),
    Case::plain("v4-rejected").ends(Outcome::NothingAccepted),
    Case::plain("v4-abort-client").at(CRAWLING),
    Case::plain("v4-abort-server")
        .at(CRAWLING)
        .ends(Outcome::Interrupted),
    Case {
        quit_on_error: true,
        ..Case::plain("v4-abort-quit-on-error")
            .at(CRAWLING)
            .ends(Outcome::AllDropped)
    },
    Case::plain("v4-restart").at(SLOW).ends(Outcome::AllDropped),
    Case::four(
        "v4-enc-cbc-hmac",
        "4033a2367d3269344c3488beb91b9a2327bf3f44ecd8d937\
         a0b95d894f4fc8457762959729ad46f99710e82b05cf6476",
    ),
    Case::four(
        "v4-enc-cbc-keyex",
        "4002efeb0146d560f2f54976381a986b15cc6138da34b16d\
         90bdf0b90d91059018efb433a32aeff82e73019e31bc9326",
    ),
    Case::four(
        "v4-enc-gcm",
        "4044f89c23aff0fa2a10a857d60e83f762883c0a63e423fd\
         8fdf27d517f2290e3b6e44ce4870f3bfbd38fe61774d1794",
    ),
    Case::four(
        "v4-ipv6-enc",
        "406bd047e685f639b8cd57328da4cdad1173d0cb1dba46ef\
         5f336ce3f69b3b81d2611e3bec486bd848f25edf472a338f",
    ),
    Case::four(
        "v4-proxy-enc",
        "40ef60dfe428078af1342f681037be0f9bdd511114848f70\
         3d2c937e9c60eb65c6466ea613e3df958765d67706616ad8",
    ),
    Case::four(
        "v4-proxy-enc-rsa",
        "40d0131963ac57e543f13f35617a818c007c7ed527445356\
         f996f2484495373d2b15d472dcedfe14760739fa150e769b",
    ),
    Case::four(
        "v4-mixed-proxies501",
        "40b1326ef29001c288b111c9817b3ae488575df86b12c42a\
         5c9dc40be838274a891f6496abce9c3aab6a4b9db998ec00",
    ),
    Case::four(
        "v4-resp-proxy-enc",
        "406d2f4578bdbe5c502ade6aa9749918cb944de2fc1d9ea7\
         ea860bfe1cb5600a42851f7f267616f7b4735972c8d17ad5",
    ),
    Case::plain("v5-plain-files"),
    Case::plain("v5-closed3"),
    Case::plain("v5-closed3-missing"),
    Case::plain("v5-unicast"),
    Case::plain("v5-ipv6"),
    Case::plain("v5-ipv6-b"),
    Case::plain("v5-meta-b"),
    Case::plain("v5-proxy"),
    Case::plain("v5-heartbeat"),
    Case::plain("v5-heartbeat-b"),
    Case::plain("v5-sync"),
    Case::plain("v5-sync").run(1),
    Case::plain("v5-sync").run(2),
    Case::plain("v5-sync-b"),
    Case::plain("v5-sync-b").run(1),
    Case::plain("v5-rejected").ends(Outcome::NothingAccepted),
    Case::plain("v5-rejected-b").ends(Outcome::NothingAccepted),
    Case::plain("v5-abort-enc-required").ends(Outcome::NobodyRegistered),
    Case::plain("v5-cl410-refuses").ends(Outcome::NobodyRegistered),
    Case::plain("v5-abort-client").at(CRAWLING),
    Case::plain("v5-abort-server")
        .at(CRAWLING)
        .ends(Outcome::Interrupted),
    Case::plain("v5-abort-server-b")
        .at(CRAWLING)
        .ends(Outcome::Interrupted),
    Case {
        quit_on_error: true,
        ..Case::plain("v5-abort-quit-on-error")
            .at(CRAWLING)
            .ends(Outcome::AllDropped)
    },
    Case::plain("v5-restart").at(SLOW).ends(Outcome::AllDropped),
    Case::plain("v5-restart-b").at(SLOW),
    Case::five(
        "v5-enc-gcm",
        "073c1fd817b7fcf3644d83979b2a414edc4e39dd4987890ac48ad600f6ce9b86",
        "9f8e45e28cd7d8d15703569039ee8081085537404b58e6a5b982ecd834800c0d",
    ),
    Case::five(
        "v5-closed3-enc",
        "e5a537a6961d623e286dcf27586be8b63f3db3a2438dc68eafdbe8751af3d05c",
        "ffdd9d74c2f332e93532e98b03bba66897333fca2f3893504874d58347826b5f",
    ),
    Case::five(
        "v5-ipv6-enc",
        "992776fc4ac61d69bd914dd1b90a2d8214266b4bcb7568053b9e1f65ff5d1951",
        "2d6f03dc901c449dcf4acc71961441d55273679a6dc8674256c2b95d3a28bba2",
    ),
    Case::through(
        "v5-proxy-enc",
        "3f19cb6cd3e2dc3ff516d2faec48d15132e47d44d465b7f44885eafa9e463b02",
        "f7a180858a5962402d766ac25c017c53be7376a63d9eb8278605ed149d530a4e",
    ),
    Case::through(
        "v5-resp-proxy-enc",
        "a009e3cb15334722b4b603ba5f52f7533758025c87127b5a03c9ad441bce26cc\
         70f707e8db565758cb9d41222ffc45ee",
        "1904a2d58cfea28c00c29848af46d0d1fa8a021707185959beb36868b9545c33",
    ),
];

/// Sessions in which blocks are sent again.
const LOSSY: &[Case] = &[
    Case::plain("v4-loss").at(FAST),
    Case::plain("v4-restart").run(1),
    Case::four(
        "v4-loss-enc",
        "409dadd3733e11950b3e0abe951c9c4f92e7648f5a9657fa\
         45a17976eed342800431d76623cfa25162a307dddffda6ae",
    )
    .at(FAST),
    Case::four(
        "v4-resp-proxy-rsa-enc",
        "40188d64688209d7e94886fdc3f7f8868b0f8279f068689f\
         3fab0540f840300b94637cfc15fa7f4b771069af4e312820",
    ),
    Case::plain("v5-loss").at(FAST),
    Case::plain("v5-proxy-loss"),
    Case::plain("v5-restart").run(1),
    Case::plain("v5-restart-b").run(1),
    Case::five(
        "v5-loss-enc",
        "c154b5665fc35334a118eae356307cf39ee1a9080e5670c3cf7cf50b033fc14f",
        "2f944f236bc79b5f9b9aeab2df943ce5c6944d7039a8431c0d4becdb37cae51a",
    )
    .at(FAST),
];

/// Sessions under congestion control, and how many reports each has.
const CONTROLLED: &[(Case, usize)] = &[
    (Case::plain("v4-proxy-tfmcc").at(within(None, 1000)), 13),
    (
        Case::four(
            "v4-tfmcc-enc",
            "40d72baabdb806c7b1883bdb3a91fcdb3e551a6aac5821bd\
             46af83666e8fbbc10232e8cf91e22d9c625f460e51784662",
        )
        .at(within(Some(200), 2000)),
        7,
    ),
    (Case::plain("v5-tfmcc").at(within(Some(200), 1000)), 20),
    (
        Case::five(
            "v5-tfmcc-enc",
            "09e9073f3712d419f1a3a512fb2a20610ada4b81361f225d2d190710c26a6300",
            "cba3a747b5e178a8a0854565a42a29b2565b8e9358a34015116ce08f96535fe5",
        )
        .at(within(Some(200), 2000)),
        7,
    ),
];

/// In kilobits per second.
const fn within(min: Option<u64>, init: u64) -> Rate {
    const KBPS: u64 = 1024 / 8;
    Rate::Tfmcc(Limits {
        min: match min {
            Some(min) => Some(min * KBPS),
            None => None,
        },
        init: Some(init * KBPS),
        max: Some(6000 * KBPS),
    })
}

#[test]
fn not_a_word_more_or_less() {
    for case in CALM {
        let (ours, theirs) = play(case);
        assert_eq!(ours, theirs, "{} {}", case.name, case.run);
    }
}

/// The blocks a sender sent, each as often as it did.
fn blocks(words: &[String]) -> Vec<&str> {
    let is_block = |word: &&str| word.starts_with("FILESEG");
    let mut blocks: Vec<_> = words
        .iter()
        .map(|word| bare(word))
        .filter(is_block)
        .collect();
    blocks.sort_unstable();
    blocks
}

/// Lost blocks are sent again in the same passes; of what receivers behind proxies lost nobody
/// says whose it is. A DONE that lists nobody may be left out, as the next pass begins when all have
/// said what they miss.
#[test]
fn what_was_missed_is_sent_again() {
    for case in LOSSY {
        let (ours, theirs) = play(case);
        let [asked, recorded] = [&ours, &theirs].map(|words| {
            let mut all = once(words);
            all.retain(|w| !(w.starts_with("DONE") && w.contains("[]")));
            all
        });
        assert_eq!(asked, recorded, "{} {}", case.name, case.run);
        let mut sent = blocks(&ours);
        if case.run > 0 {
            // The recorded sender did not hear the first answer and asked again: there is a second.
            sent.dedup();
        }
        assert_eq!(sent, blocks(&theirs), "{} {}", case.name, case.run);
    }
}

/// How fast it goes, and how often receivers are called on the way, depends on when each packet came;
/// all else is the same, and what receivers report is taken in.
#[test]
fn under_congestion_control() {
    for (case, reports) in CONTROLLED {
        let (ours, theirs, events) = play_and_watch(case);
        let [lasting, recorded] = [&ours, &theirs].map(|words| {
            let mut all = once(words);
            all.retain(|w| !w.starts_with("CONG_CTRL"));
            all
        });
        assert_eq!(lasting, recorded, "{}", case.name);
        let told = |e: &&SenderEvent| matches!(e, SenderEvent::RateReported { .. });
        assert_eq!(
            events.iter().filter(told).count(),
            *reports,
            "{}",
            case.name
        );
        assert!(ours.iter().any(|w| w.starts_with("CONG_CTRL")));
    }
}

#[test]
fn every_recorded_session_is_played() {
    none_is_forgotten(&["v4-", "v5-"], include_str!("replay.rs"), &[]);
}
