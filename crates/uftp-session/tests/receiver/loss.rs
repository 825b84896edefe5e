//! Losses, and when and how they are reported (behaviour-sender-receiver §5.6).

use uftp_proto::wire::{self, CcType, CompleteStatus, Header, Message};
use uftp_proto::{BlockMap, FileId, Seq, Uid};
use uftp_session::Refusal;
use uftp_session::files::Offer;
use uftp_session::receiver::{ReceiverConfig, ReceiverEventKind as Kind};

use super::support::{Bench, ME, Script, config, g};

/// Sends the blocks of `range` without those of `lost`.
fn stream(bench: &mut Bench, script: &mut Script, range: std::ops::Range<u32>, lost: &[u32]) {
    for block in range {
        let mut packet = script.seg(block);
        if !lost.contains(&block) {
            bench.feed(script.addr, &mut packet);
        }
    }
}

fn assert_received(bench: &Bench, script: &Script) {
    let name = format!("file{}", script.file.0).into_bytes();
    assert_eq!(bench.store.look().files[&name], script.content);
}

#[test]
fn a_done_is_answered_after_one_round_trip() {
    let mut script = Script::default();
    let mut bench = Bench::receiving(&mut script, 195);
    stream(&mut bench, &mut script, 0..20, &[0, 7, 8, 19]);
    bench.hear(&mut script, |s| s.done(&[ME]));
    bench.pass(g() - std::time::Duration::from_nanos(1));
    assert_eq!(bench.said(), [""; 0]);
    // A second DONE does not move the timer.
    bench.hear(&mut script, |s| s.done(&[ME]));
    bench.pass(g() * 10);
    assert_eq!(
        bench.said_at(),
        [(g(), "STATUS 1/0 [0, 7, 8, 19]".to_owned())]
    );
    let naks = Kind::NaksSent {
        section: 0,
        count: 4,
    };
    assert!(bench.happened().contains(&naks));
    stream(&mut bench, &mut script, 0..9, &[1, 2, 3, 4, 5, 6]);
    stream(&mut bench, &mut script, 19..20, &[]);
    bench.hear(&mut script, |s| s.done(&[ME]));
    assert_eq!(bench.said(), ["COMPLETE 1"]);
    assert_received(&bench, &script);
}

#[test]
fn a_slow_disk_is_waited_for_by_asking_for_the_last_block_again() {
    let mut script = Script::default();
    let mut bench = Bench::receiving(&mut script, 195);
    bench.store.change(|disk| disk.busy = 2);
    stream(&mut bench, &mut script, 0..20, &[]);
    for _ in 0..2 {
        bench.hear(&mut script, |s| s.done(&[ME]));
        bench.pass(g());
        assert_eq!(bench.said(), ["STATUS 1/0 [19]"]);
        assert!(bench.store.look().files.is_empty());
        stream(&mut bench, &mut script, 19..20, &[]);
    }
    bench.hear(&mut script, |s| s.done(&[ME]));
    assert_eq!(bench.said(), ["COMPLETE 1"]);
    assert_received(&bench, &script);

    // A file without blocks has none to ask for.
    let mut script = Script::default();
    let mut bench = Bench::receiving(&mut script, 0);
    bench.store.change(|disk| disk.busy = 1);
    bench.hear(&mut script, |s| s.done(&[ME]));
    assert_eq!(bench.said(), ["COMPLETE 1"]);
}

#[test]
fn bitmaps_have_a_spare_byte_for_whole_bytes_of_blocks() {
    for (size, bytes) in [(150, 2), (160, 3), (170, 3)] {
        let mut script = Script::default();
        let mut bench = Bench::receiving(&mut script, size);
        bench.hear(&mut script, |s| s.done(&[ME]));
        bench.pass(g());
        let (_, _, datagram) = bench.sent.last().expect("a STATUS");
        assert_eq!(datagram.len(), Header::LEN + 8 + bytes, "{size} bytes");
    }
}

/// 2400 bytes in blocks of 10: three sections of 80 blocks.
const THREE_SECTIONS: usize = 2400;

#[test]
fn the_end_of_a_section_shows_in_the_next_one() {
    let mut script = Script::default();
    let mut bench = Bench::receiving(&mut script, THREE_SECTIONS);
    stream(&mut bench, &mut script, 0..80, &[3]);
    bench.pass(g() * 5);
    assert_eq!(bench.said(), [""; 0], "the section may go on");
    let first = g() * 5;
    stream(&mut bench, &mut script, 80..160, &[80, 81, 85]);
    bench.pass(g() * 2);
    let report = |n: u32, words: &str| (first + g() * n, words.to_owned());
    assert_eq!(bench.said_at(), [report(1, "STATUS 1/0 [3]")]);
    stream(&mut bench, &mut script, 160..240, &[]);
    bench.pass(g() * 2);
    assert_eq!(bench.said_at(), [report(3, "STATUS 1/1 [0, 1, 5]")]);
    // Asked at the end of the pass: the last section is whole, so the earlier ones are told.
    bench.hear(&mut script, |s| s.done(&[ME]));
    bench.pass(g() * 2);
    assert_eq!(
        bench.said_at(),
        [
            report(5, "STATUS 1/0 [3]"),
            report(5, "STATUS 1/1 [0, 1, 5]")
        ]
    );
    // The second pass brings all; its sections end as before, but nothing is missing.
    for block in [3, 80, 81, 85] {
        bench.hear(&mut script, |s| s.seg(block));
    }
    bench.pass(g() * 2);
    assert_eq!(bench.said(), ["COMPLETE 1"], "without waiting for a DONE");
    assert_received(&bench, &script);
}

#[test]
fn a_question_in_the_middle_of_a_section_is_answered_at_once() {
    let mut script = Script::default();
    let mut bench = Bench::receiving(&mut script, THREE_SECTIONS);
    let missing = |lost: u32, from: u32| {
        let blocks: Vec<u32> = [lost].into_iter().chain(from..80).collect();
        format!("STATUS 1/0 {blocks:?}")
    };
    for (sent, lost) in [(0..20, 3), (20..30, 3)] {
        let from = sent.end;
        stream(&mut bench, &mut script, sent, &[lost]);
        bench.hear(&mut script, |s| s.done_for(s.file, 0, &[]));
        assert_eq!(bench.said(), [missing(lost, from)]);
    }
    // It is no question to others, nor one about another section.
    bench.hear(&mut script, |s| s.done_for(s.file, 1, &[]));
    assert_eq!(bench.said(), [""; 0]);
    bench.pass(g());
    let all: Vec<u32> = (0..80).collect();
    let both = [missing(3, 30), format!("STATUS 1/1 {all:?}")];
    assert_eq!(bench.said(), both);

    // The end of the section is reported as ever. A deployed sender that has gone through all it has
    // may name nobody either, and takes no report at once.
    let mut script = Script::default();
    let mut bench = Bench::receiving(&mut script, THREE_SECTIONS);
    stream(&mut bench, &mut script, 0..80, &[3]);
    bench.hear(&mut script, |s| s.done_for(s.file, 0, &[]));
    assert_eq!(bench.said(), [""; 0]);
    bench.pass(g());
    assert_eq!(bench.said(), ["STATUS 1/0 [3]"]);
    stream(&mut bench, &mut script, 80..200, &[100]);
    bench.pass(g());
    assert_eq!(bench.said(), ["STATUS 1/1 [20]"]);
    bench.hear(&mut script, |s| s.done_for(s.file, 2, &[]));
    assert_eq!(bench.said(), [""; 0]);
    bench.pass(g());
    let rest: Vec<u32> = (40..80).collect();
    assert_eq!(bench.said(), [format!("STATUS 1/2 {rest:?}")]);
}

#[test]
fn sections_lost_as_a_whole_are_reported() {
    let mut script = Script::default();
    let mut bench = Bench::receiving(&mut script, THREE_SECTIONS);
    stream(&mut bench, &mut script, 0..80, &[]);
    stream(&mut bench, &mut script, 230..240, &[]);
    bench.pass(g());
    let whole: Vec<u32> = (0..80).collect();
    assert_eq!(bench.said(), [format!("STATUS 1/1 {whole:?}")]);
    // The others are asked; we were not, but a section has ended.
    bench.hear(&mut script, |s| s.done(&[Uid(9)]));
    bench.pass(g());
    let most: Vec<u32> = (0..70).collect();
    assert_eq!(bench.said(), [format!("STATUS 1/2 {most:?}")]);
    // The same question once more is no news.
    bench.hear(&mut script, |s| s.done(&[Uid(9)]));
    bench.pass(g() * 3);
    assert_eq!(bench.said(), [""; 0]);
    // To us it is: all there is, for the range is empty.
    bench.hear(&mut script, |s| s.done(&[ME]));
    bench.pass(g());
    assert_eq!(
        bench.said(),
        [
            format!("STATUS 1/1 {whole:?}"),
            format!("STATUS 1/2 {most:?}")
        ]
    );
}

#[test]
fn what_waits_in_the_cache_is_not_missing() {
    let mut script = Script::default();
    let mut bench = Bench::receiving(&mut script, THREE_SECTIONS);
    stream(&mut bench, &mut script, 0..81, &[5]);
    assert_eq!(bench.store.look().writes, 0);
    bench.pass(g());
    assert_eq!(bench.said(), ["STATUS 1/0 [5]"]);
}

#[test]
fn a_small_cache_writes_as_it_goes() {
    let mut script = Script::default();
    let mut bench = Bench::with(ReceiverConfig {
        cache_size: 100,
        ..config()
    });
    bench.hear(&mut script, |s| s.announce(&[]));
    script.next_file(1005);
    bench.hear(&mut script, |s| s.file_info(&[ME]));
    stream(&mut bench, &mut script, 0..101, &[]);
    assert_eq!(bench.store.look().writes, 10);
    bench.hear(&mut script, |s| s.done(&[ME]));
    assert_eq!(bench.store.look().writes, 11);
    assert_received(&bench, &script);
}

#[test]
fn a_resumed_file_says_so_and_reports_at_once() {
    let mut script = Script::default();
    let mut bench = Bench::confirmed(&mut script);
    bench.store.change(|store| {
        store.decide = Box::new(|file| {
            let mut missing = BlockMap::none_missing(file.size.div_ceil(10) as u32);
            missing.set(2);
            missing.set(90);
            Offer::Accept {
                status: CompleteStatus::NORMAL,
                missing: Some(missing),
            }
        });
    });
    script.next_file(1000);
    bench.hear(&mut script, |s| s.file_info(&[ME]));
    assert_eq!(bench.said(), ["FILEINFO_ACK 1 partial"]);
    let asked = bench.now;
    bench.hear(&mut script, |s| s.done(&[ME]));
    assert_eq!(bench.receiver.poll_timeout(), Some(asked));
    bench.pass(std::time::Duration::ZERO);
    assert_eq!(bench.said(), ["STATUS 1/0 [2]", "STATUS 1/1 [40]"]);
    bench.hear(&mut script, |s| s.seg(90));
    bench.hear(&mut script, |s| s.done(&[ME]));
    assert_eq!(bench.receiver.poll_timeout(), Some(asked + g()));
    bench.hear(&mut script, |s| s.seg(2));
    bench.hear(&mut script, |s| s.done(&[ME]));
    assert_eq!(bench.said(), ["COMPLETE 1"]);
}

#[test]
fn a_map_of_another_size_is_not_believed() {
    let mut script = Script::default();
    let mut bench = Bench::confirmed(&mut script);
    bench.store.change(|store| {
        store.decide = Box::new(|_| Offer::Accept {
            status: CompleteStatus::NORMAL,
            missing: Some(BlockMap::none_missing(1)),
        });
    });
    script.next_file(20);
    bench.hear(&mut script, |s| s.file_info(&[ME]));
    assert_eq!(bench.said(), ["FILEINFO_ACK 1"]);
    bench.hear(&mut script, |s| s.done(&[ME]));
    bench.pass(g());
    assert_eq!(bench.said(), ["STATUS 1/0 [0, 1]"]);
}

#[test]
fn duplicates_and_small_swaps_do_no_harm() {
    let mut script = Script::default();
    let mut bench = Bench::receiving(&mut script, 95);
    let mut packets: Vec<_> = (0..10).map(|block| script.seg(block)).collect();
    packets.swap(0, 4);
    packets.swap(8, 9);
    for packet in &mut packets {
        bench.feed(script.addr, packet);
        bench.feed(script.addr, packet);
    }
    bench.hear(&mut script, |s| s.done(&[ME]));
    assert_eq!(bench.said(), ["COMPLETE 1"]);
    assert_received(&bench, &script);
    assert_eq!(bench.receiver.counters().refused_in_all(), 0);
}

#[test]
fn packets_from_too_long_ago_are_dropped() {
    let mut script = Script::default();
    let mut bench = Bench::receiving(&mut script, 100);
    let mut packets: Vec<_> = (0..10).map(|block| script.seg(block)).collect();
    bench.feed(script.addr, &mut packets[8]);
    bench.feed(script.addr, &mut packets[3]);
    assert_eq!(bench.refused_only(Refusal::Stale), 0);
    bench.feed(script.addr, &mut packets[2]);
    assert_eq!(bench.refused_only(Refusal::Stale), 1);
    bench.hear(&mut script, |s| s.done(&[ME]));
    bench.pass(g());
    assert_eq!(bench.said(), ["STATUS 1/0 [0, 1, 2, 4, 5, 6, 7, 9]"]);
}

#[test]
fn a_late_packet_ends_no_section() {
    let mut script = Script::default();
    let mut bench = Bench::receiving(&mut script, THREE_SECTIONS);
    stream(&mut bench, &mut script, 0..79, &[]);
    let mut late = script.seg(79);
    let mut early = script.seg(80);
    bench.feed(script.addr, &mut early);
    bench.feed(script.addr, &mut late);
    stream(&mut bench, &mut script, 81..83, &[]);
    bench.pass(g());
    assert_eq!(bench.said(), [""; 0], "section 0 is whole by then");
}

#[test]
fn sequence_numbers_come_round() {
    let mut script = Script {
        seq: Seq(65_530),
        ..Script::default()
    };
    let mut bench = Bench::receiving(&mut script, 200);
    stream(&mut bench, &mut script, 0..20, &[]);
    bench.hear(&mut script, |s| s.done(&[ME]));
    assert_eq!(bench.said(), ["COMPLETE 1"]);
    assert!(script.seq.0 < 100);
}

#[test]
fn after_a_long_silence_the_count_starts_anew() {
    let mut script = Script {
        robust: 255,
        ..Script::default()
    };
    let mut bench = Bench::receiving(&mut script, 100);
    // 40000 packets were missed: these numbers look old.
    script.seq = Seq(script.seq.0.wrapping_add(40_000));
    bench.hear(&mut script, |s| s.seg(0));
    assert_eq!(bench.refused_only(Refusal::Stale), 1);
    bench.pass(g() * 140);
    stream(&mut bench, &mut script, 0..10, &[]);
    bench.hear(&mut script, |s| s.done(&[ME]));
    assert_eq!(bench.said(), ["COMPLETE 1"]);
    assert_eq!(bench.refused_only(Refusal::Stale), 1);
}

#[test]
fn blocks_that_do_not_fit_the_file_are_refused() {
    let mut script = Script::default();
    let mut bench = Bench::receiving(&mut script, 995); // two sections of 50
    let wrong: [(u16, u16, usize); 8] = [
        (0, 50, 10),
        (0, 65_535, 10),
        (2, 0, 10),
        (65_535, 0, 10),
        (1, 49, 11), // the last block has 5 bytes
        (1, 49, 4),
        (0, 0, 9),
        (0, 0, 11),
    ];
    for (section, block, len) in wrong {
        bench.hear(&mut script, |s| s.seg_at(section, block, &vec![1; len]));
    }
    let file = std::mem::replace(&mut script.file, FileId(2));
    bench.hear(&mut script, |s| s.seg_at(0, 0, &[1; 10]));
    script.file = file;
    bench.hear(&mut script, |s| s.done_for(file, 2, &[ME]));
    assert_eq!(bench.refused_only(Refusal::OutOfRange), 10);
    bench.pass(g() * 2);
    assert_eq!(bench.said(), [""; 0], "none of it started a timer");
    stream(&mut bench, &mut script, 0..100, &[]);
    bench.hear(&mut script, |s| s.done(&[ME]));
    assert_received(&bench, &script);
}

/// The file has grown since it was announced, and the sender reads on.
#[test]
fn a_last_block_that_is_too_long_counts_for_what_the_file_has_of_it() {
    let mut script = Script::default();
    let mut bench = Bench::receiving(&mut script, 995);
    stream(&mut bench, &mut script, 0..99, &[]);
    let mut last = script.content[990..].to_vec();
    last.extend([b'+'; 5]);
    bench.hear(&mut script, |s| s.seg_at(1, 49, &last));
    bench.hear(&mut script, |s| s.done(&[ME]));
    assert_received(&bench, &script);
}

#[test]
fn an_empty_file_has_no_blocks() {
    let mut script = Script::default();
    let mut bench = Bench::receiving(&mut script, 0);
    bench.hear(&mut script, |s| s.seg_at(0, 0, &[]));
    bench.hear(&mut script, |s| s.seg_at(0, 0, &[1; 10]));
    assert_eq!(bench.refused_only(Refusal::OutOfRange), 2);
    // Not asked: it completes all the same.
    bench.hear(&mut script, |s| s.done(&[]));
    bench.pass(g());
    assert_eq!(bench.said(), ["COMPLETE 1"]);
}

#[test]
fn a_huge_file_takes_no_memory_and_its_report_comes_in_parts() {
    let mut script = Script {
        block_size: 512,
        ..Script::default()
    };
    let mut bench = Bench::confirmed(&mut script);
    script.next_file(1);
    let mut info = script.info(&[ME]);
    info.size = 512 * 4096 * 2000;
    bench.store.change(|store| {
        // Do not make that file in memory.
        store.lazy = true;
    });
    bench.hear(&mut script, |s| {
        s.packet(&uftp_proto::wire::Message::FileInfo(info))
    });
    bench.hear(&mut script, |s| s.done_for(FileId(1), 1999, &[ME]));
    bench.pass(g());
    let said = bench.said();
    assert_eq!(
        said.len(),
        1025,
        "an acknowledgment, and a report a section"
    );
    assert!(said[1024].starts_with("STATUS 1/1023 [0, 1,"));
}

/// A deployed proxy that the receiver knows nothing of takes a report on congestion before a bitmap for part
/// of that, so that the sender repeats other blocks for ever (behaviour-proxies §14.2).
#[test]
fn what_is_said_in_vain_is_said_without_a_report_on_congestion() {
    let mut script = Script {
        cc: CcType::TFMCC,
        ..Script::default()
    };
    let mut bench = Bench::receiving(&mut script, 200);
    stream(&mut bench, &mut script, 0..20, &[3, 7, 9]);
    // What the sender repeats each time, and whether a report comes with what is missing then.
    let passes: [(&[u32], bool); 8] = [
        (&[], true),
        (&[8], true),
        (&[3, 8], true),
        (&[8], true),
        (&[8], true),
        (&[8], false),
        (&[7], false),
        (&[8], false),
    ];
    for (n, (repeated, reported)) in passes.into_iter().enumerate() {
        for block in repeated {
            bench.hear(&mut script, |s| s.seg(*block));
        }
        bench.hear(&mut script, |s| s.done(&[ME]));
        bench.sent.clear();
        bench.pass(g() * 2);
        let status = |(_, _, packet): &(_, _, Vec<u8>)| {
            let header = wire::decode_header(packet).unwrap();
            match wire::decode(header.version, header.function, &packet[Header::LEN..]) {
                Ok(Message::Status(m)) => Some(m.tfmcc.is_some()),
                _ => None,
            }
        };
        let told: Vec<_> = bench.sent.iter().filter_map(status).collect();
        assert_eq!(told, [reported], "pass {n}");
    }
    bench.hear(&mut script, |s| s.seg(9));
    bench.sent.clear();
    bench.hear(&mut script, |s| s.done(&[ME]));
    assert_received(&bench, &script);
}
