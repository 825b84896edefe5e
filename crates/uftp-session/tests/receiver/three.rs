//! Protocol 3: questions about one section after the other (wire-v3 §6.5, §7.2).

use uftp_proto::Uid;
use uftp_proto::wire::{BlockRef, Done, FileSeg, Message, Version};

use super::support::{Bench, ME, Script};

/// Two sections of 80 blocks and one of 40.
const SIZE: usize = 2000;
const SECTIONS: [std::ops::Range<u32>; 3] = [0..80, 80..160, 160..200];

/// Says these blocks of a section in a pass, and asks about it.
fn ask(
    bench: &mut Bench,
    script: &mut Script,
    pass: u8,
    section: u16,
    blocks: impl IntoIterator<Item = u32>,
) {
    for block in blocks {
        let at = block as usize * 10;
        let data = script.content[at..at + 10].to_vec();
        let seg = FileSeg {
            file: script.file,
            at: BlockRef::InFile {
                pass,
                section,
                block,
            },
            tfmcc: None,
            data: &data,
        };
        bench.hear(script, |s| s.packet(&Message::FileSeg(seg)));
    }
    again(bench, script, pass, section);
}

/// Asks about a section.
fn again(bench: &mut Bench, script: &mut Script, pass: u8, section: u16) {
    let done = Done {
        file: script.file,
        pass,
        section,
        clients: vec![ME],
    };
    bench.hear(script, |s| s.packet(&Message::Done(done)));
}

/// A sender asks about a section only if it has sent something of it, so a gap in another than
/// that in question would stay for ever.
#[test]
fn a_slow_disk_is_waited_for_by_asking_for_a_block_of_the_section_in_question() {
    let mut script = Script {
        version: Version::V3,
        ..Script::default()
    };
    let mut bench = Bench::receiving(&mut script, SIZE);
    bench.store.change(|disk| disk.busy = 1);
    let [first, second, third] = SECTIONS;
    ask(&mut bench, &mut script, 1, 0, first.skip(1));
    assert_eq!(bench.said(), ["STATUS 1/0 [0]"]);
    ask(&mut bench, &mut script, 1, 1, second);
    assert_eq!(bench.said(), ["STATUS 1/1 []"]);
    ask(&mut bench, &mut script, 1, 2, third);
    assert_eq!(bench.said(), ["STATUS 1/2 []"]);
    ask(&mut bench, &mut script, 2, 0, [0]);
    assert_eq!(bench.said(), [""; 0], "the sender asks again later");
    again(&mut bench, &mut script, 2, 0);
    assert_eq!(bench.said(), ["STATUS 1/0 [79]"]);
    ask(&mut bench, &mut script, 3, 0, [79]);
    assert_eq!(bench.said(), ["COMPLETE 1"]);
    let disk = bench.store.look();
    assert_eq!(Vec::from_iter(disk.files.values()), [&script.content]);
}

/// The next COMPLETE of its own may come after the sender has given it up: up to a minute passes from one
/// to the next, and senders may wait for a second.
#[test]
fn who_is_asked_again_for_the_end_of_the_session_says_so_again() {
    let mut script = Script {
        version: Version::V3,
        ..Script::default()
    };
    let mut bench = Bench::confirmed(&mut script);
    bench.hear(&mut script, |s| s.group_done(&[ME]));
    assert_eq!(bench.said(), ["COMPLETE session"]);
    bench.hear(&mut script, |s| s.group_done(&[Uid(0x12)]));
    assert_eq!(bench.said(), [""; 0], "it is known of us");
    bench.hear(&mut script, |s| s.group_done(&[ME]));
    assert_eq!(bench.said(), ["COMPLETE session"]);
}
