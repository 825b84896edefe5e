//! Sessions of protocol 5 as the deployed programs played them: our sender, with the secrets of
//! theirs, hears what their receivers and proxies said, each word when it has said what that was an
//! answer to. It must open all of it, say the same things, and end as theirs did.

use uftp_session::congestion::Limits;
use uftp_session::sender::{Outcome, Rate, SenderEvent};

use super::played::{Case, once, play, play_and_watch};
use super::recorded::none_is_forgotten;

const OPEN: Case = Case::encrypted(
    "v5-enc-gcm",
    "073c1fd817b7fcf3644d83979b2a414edc4e39dd4987890ac48ad600f6ce9b86",
    "9f8e45e28cd7d8d15703569039ee8081085537404b58e6a5b982ecd834800c0d",
);

#[test]
fn an_open_group_is_sent_a_tree_in_the_same_words() {
    let (ours, theirs) = play(&OPEN);
    assert_eq!(once(&ours), once(&theirs));
}

#[test]
fn a_closed_group_is_sent_a_file_in_the_same_words() {
    let (ours, theirs) = play(&Case::encrypted(
        "v5-closed3-enc",
        "e5a537a6961d623e286dcf27586be8b63f3db3a2438dc68eafdbe8751af3d05c",
        "ffdd9d74c2f332e93532e98b03bba66897333fca2f3893504874d58347826b5f",
    ));
    assert_eq!(ours, theirs, "not a word more or less");
}

#[test]
fn over_ipv6() {
    let (ours, theirs) = play(&Case::encrypted(
        "v5-ipv6-enc",
        "992776fc4ac61d69bd914dd1b90a2d8214266b4bcb7568053b9e1f65ff5d1951",
        "2d6f03dc901c449dcf4acc71961441d55273679a6dc8674256c2b95d3a28bba2",
    ));
    assert_eq!(once(&ours), once(&theirs));
}

/// The blocks a sender sent, each as often as it did.
fn blocks(words: &[String]) -> Vec<&String> {
    let is_block = |word: &&String| word.starts_with("FILESEG");
    let mut blocks: Vec<_> = words.iter().filter(is_block).collect();
    blocks.sort_unstable();
    blocks
}

#[test]
fn what_receivers_missed_is_sent_again() {
    let (ours, theirs) = play(&Case {
        rate: Rate::Fixed(1_024_000),
        ..Case::encrypted(
            "v5-loss-enc",
            "c154b5665fc35334a118eae356307cf39ee1a9080e5670c3cf7cf50b033fc14f",
            "2f944f236bc79b5f9b9aeab2df943ce5c6944d7039a8431c0d4becdb37cae51a",
        )
    });
    assert_eq!(blocks(&ours), blocks(&theirs));
}

/// In the clear, alone, beside others and through proxies.
#[test]
fn sessions_in_the_clear_are_led_in_the_same_words() {
    let slow = Rate::Fixed(51_200);
    for case in [
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
        Case {
            run: 1,
            ..Case::plain("v5-sync")
        },
        Case {
            run: 2,
            ..Case::plain("v5-sync")
        },
        Case::plain("v5-sync-b"),
        Case {
            run: 1,
            ..Case::plain("v5-sync-b")
        },
        Case {
            outcome: Outcome::NothingAccepted,
            ..Case::plain("v5-rejected")
        },
        Case {
            outcome: Outcome::NothingAccepted,
            ..Case::plain("v5-rejected-b")
        },
        Case {
            outcome: Outcome::NobodyRegistered,
            ..Case::plain("v5-abort-enc-required")
        },
        Case {
            outcome: Outcome::NobodyRegistered,
            ..Case::plain("v5-cl410-refuses")
        },
        Case {
            rate: slow,
            ..Case::plain("v5-abort-client")
        },
        Case {
            rate: slow,
            outcome: Outcome::Interrupted,
            ..Case::plain("v5-abort-server")
        },
        Case {
            rate: slow,
            outcome: Outcome::Interrupted,
            ..Case::plain("v5-abort-server-b")
        },
        Case {
            rate: slow,
            quit_on_error: true,
            outcome: Outcome::AllDropped,
            ..Case::plain("v5-abort-quit-on-error")
        },
    ] {
        let (ours, theirs) = play(&case);
        assert_eq!(once(&ours), once(&theirs), "{} {}", case.name, case.run);
    }
}

/// Lost blocks are sent again in the same passes; of what receivers behind proxies lost nobody
/// says whose it is. A DONE that lists nobody may be left out, as the next pass begins when all have
/// said what they miss.
#[test]
fn what_is_missed_in_the_clear_is_sent_again() {
    for case in [
        Case {
            rate: Rate::Fixed(1_024_000),
            ..Case::plain("v5-loss")
        },
        Case::plain("v5-proxy-loss"),
        Case {
            rate: Rate::Fixed(102_400),
            outcome: Outcome::AllDropped,
            ..Case::plain("v5-restart")
        },
        Case {
            run: 1,
            ..Case::plain("v5-restart")
        },
        Case {
            rate: Rate::Fixed(102_400),
            ..Case::plain("v5-restart-b")
        },
        Case {
            run: 1,
            ..Case::plain("v5-restart-b")
        },
    ] {
        let (ours, theirs) = play(&case);
        let asked = |words: &[String]| -> Vec<String> {
            let all = once(words).into_iter();
            all.filter(|w| !(w.starts_with("DONE") && w.ends_with("[]")))
                .cloned()
                .collect()
        };
        assert_eq!(asked(&ours), asked(&theirs), "{} {}", case.name, case.run);
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
    let kbps = |rate: u64| Some(rate * 1024 / 8);
    let within = |init| {
        Rate::Tfmcc(Limits {
            min: kbps(200),
            init: kbps(init),
            max: kbps(6000),
        })
    };
    for (case, reports) in [
        (
            Case {
                rate: within(1000),
                ..Case::plain("v5-tfmcc")
            },
            20,
        ),
        (
            Case {
                rate: within(2000),
                ..Case::encrypted(
                    "v5-tfmcc-enc",
                    "09e9073f3712d419f1a3a512fb2a20610ada4b81361f225d2d190710c26a6300",
                    "cba3a747b5e178a8a0854565a42a29b2565b8e9358a34015116ce08f96535fe5",
                )
            },
            7,
        ),
    ] {
        let (ours, theirs, events) = play_and_watch(&case);
        let lasting = |words: &[String]| -> Vec<String> {
            let all = once(words).into_iter();
            all.filter(|w| !w.starts_with("CONG_CTRL"))
                .cloned()
                .collect()
        };
        assert_eq!(lasting(&ours), lasting(&theirs), "{}", case.name);
        let told = |e: &&SenderEvent| matches!(e, SenderEvent::RateReported { .. });
        assert_eq!(events.iter().filter(told).count(), reports, "{}", case.name);
        assert!(ours.iter().any(|w| w.starts_with("CONG_CTRL")));
    }
}

/// The secrets of the senders of the two that have proxies and are encrypted are not known.
#[test]
fn every_recorded_session_is_played() {
    let others = ["v5-proxy-enc", "v5-resp-proxy-enc"];
    none_is_forgotten("v5-", include_str!("replay.rs"), &others);
}
