//! Sessions of protocol 3 between our programs: there is no packaged program of another hand that
//! speaks it. What its programs put on the wire is replayed in the tests of the machines.

mod restart;

use std::{fs, net::IpAddr, time::Duration};

use uftp_tests::{Family, Result, Suite, World, write_file};

/// The longest a run may take; healthy ones take a few seconds.
const BOUND: Duration = Duration::from_secs(120);

/// The shortest intervals there are, for short runs; and all the time for files that the machine
/// may need.
const QUICK: [&str; 10] = [
    "-W",
    "10000",
    "--announce-interval",
    "500",
    "--register-interval",
    "500",
    "--status-interval",
    "500",
    "--done-interval",
    "500",
];

/// Receivers by their ids, as status files have them.
const ONE: &str = "0x00000001";
const TWO: &str = "0x00000001,0x00000002";
const ALL: &str = "0x00000001,0x00000002,0x00000003";

/// One session of so many bytes with these options to so many receivers, who lose `permille` of
/// what comes in.
fn session(
    receivers: u8,
    size: u64,
    permille: u16,
    options: &[&str],
    receiver_options: &[&str],
) -> Result<()> {
    let world = World::new("three", receivers + 1)?;
    let content = world.one_file(size)?;
    let hosts: Vec<u8> = (1..=receivers).collect();
    let mut running = Vec::new();
    for &host in &hosts {
        let receiver = world.receiver(Suite::Ours, host).args(receiver_options);
        running.push(receiver.start()?);
        if permille > 0 {
            world.lose_incoming(host, 1044, permille)?;
        }
    }
    let sent = world
        .sender(Suite::Ours, 0)
        .protocol("3")
        .default_timing()
        .args(&QUICK)
        .args(options)
        .files_of(&content)?
        .run(BOUND)?;
    sent.ended_with(0)?;
    sent.connected("success", &hosts)?;
    sent.resulted("copy", &hosts, 1)?;
    for receiver in running {
        receiver.holds_undated(&content)?;
        receiver.reported_copied(1)?;
        receiver.stop()?;
    }
    Ok(())
}

#[test]
fn closed_and_open_groups() -> Result<()> {
    session(2, 2_000_000, 0, &["-H", TWO], &[])?;
    // Receivers of an open group, which waits its full time, have ids that are no addresses.
    session(2, 2_000_000, 0, &["--announce-time", "2"], &[])
}

#[test]
fn three_receivers_lose_packets_over_several_sections_and_passes() -> Result<()> {
    let small = ["-H", ALL, "--mtu", "576", "--status-time", "60"];
    session(3, 5_000_003, 50, &small, &[])
}

#[test]
fn every_cipher_hash_and_signature() -> Result<()> {
    let world = World::new("ciphers", 2)?;
    let content = world.one_file(30_000)?;
    // One key for all; what it is made of is of no matter here.
    let receiver = world
        .receiver(Suite::Ours, 1)
        .args(&["-E", "-K", "rsa:1024"]);
    let receiver = receiver.start()?;
    let mut sessions = 0;
    for cipher in ["des", "3des", "aes128", "aes256"] {
        for hash in ["sha1", "sha256"] {
            for signature in ["hmac", "rsa"] {
                let sent = world
                    .sender(Suite::Ours, 0)
                    .protocol("3")
                    .default_timing()
                    .args(&QUICK)
                    .args(&["-H", ONE, "-Y", cipher, "-h", hash, "-w", signature])
                    .args(&["-K", "1024"])
                    .files_of(&content)?
                    .run(BOUND)?;
                sent.ended_with(0)?;
                receiver.holds_undated(&content)?;
                fs::remove_file(receiver.dest().join("file")).unwrap();
                sessions += 1;
            }
        }
    }
    assert_eq!(sessions, 16);
    receiver.reported_copied(sessions)?;
    receiver.stop().map(drop)
}

/// Keys of both ends, known by fingerprint or not, and lists of ids that are addresses.
#[test]
fn client_authentication() -> Result<()> {
    let auth = ["-H", ONE, "-Y", "aes256", "-c", "-K", "512"];
    session(1, 300_000, 0, &auth, &["-E"])
}

/// The broadcast address of a network is no host: whoever is there, or of those the listed ones, takes part.
#[test]
fn all_of_a_network_by_its_broadcast_address() -> Result<()> {
    for (options, taking_part) in [
        (&["--announce-time", "2"][..], [1, 2].as_slice()),
        (&["-H", ONE], &[1]),
    ] {
        let world = World::new("all", 3)?;
        let IpAddr::V4(ours) = world.address(0, Family::V4) else {
            unreachable!()
        };
        let [a, b, c, _] = ours.octets();
        let content = world.one_file(100_000)?;
        let one = world.receiver(Suite::Ours, 1).start()?;
        let two = world.receiver(Suite::Ours, 2).start()?;
        let sent = world
            .sender(Suite::Ours, 0)
            .protocol("3")
            .default_timing()
            .args(&QUICK)
            .args(&["-M", &format!("{a}.{b}.{c}.255")])
            .args(options)
            .files_of(&content)?
            .run(BOUND)?;
        sent.ended_with(0)?;
        sent.connected("success", taking_part)?;
        sent.resulted("copy", taking_part, 1)?;
        one.holds_undated(&content)?;
        let has_it = two.dest().join("file").exists();
        assert_eq!(has_it, taking_part.contains(&2), "{options:?}");
        one.stop()?;
        two.stop()?;
    }
    Ok(())
}

/// Receivers without ids are known by their addresses, in open groups by what the sender sees.
#[test]
fn addresses_for_names() -> Result<()> {
    let world = World::new("names", 2)?;
    let content = world.one_file(30_000)?;
    let receiver = world.receiver(Suite::Ours, 1).by_itself().start()?;
    let address = world.address(1, Family::V4).to_string();
    for options in [vec!["-H", &address], vec!["--announce-time", "1"]] {
        let sent = world
            .sender(Suite::Ours, 0)
            .protocol("3")
            .default_timing()
            .args(&QUICK)
            .args(&options)
            .files_of(&content)?
            .run(BOUND)?;
        sent.ended_with(0)?;
        receiver.holds_undated(&content)?;
        fs::remove_file(receiver.dest().join("file")).unwrap();
    }
    receiver.stop().map(drop)
}

#[test]
fn unicast() -> Result<()> {
    let world = World::new("one", 2)?;
    let content = world.one_file(300_000)?;
    let receiver = world.receiver(Suite::Ours, 1).start()?;
    // ANNOUNCEs that list one host, and none.
    let listing = ["1", "0"].map(|hosts| format!("@th,64,16 0x3001 @th,208,16 {hosts}"));
    world.count_incoming(1, &listing.each_ref().map(String::as_str))?;
    for listed in [&["-H", ONE][..], &[]] {
        let sent = world
            .sender(Suite::Ours, 0)
            .protocol("3")
            .default_timing()
            .to(world.address(1, Family::V4))
            .args(&QUICK)
            .args(listed)
            .files_of(&content)?
            .run(BOUND)?;
        sent.ended_with(0)?;
        receiver.holds_undated(&content)?;
        fs::remove_file(receiver.dest().join("file")).unwrap();
    }
    let announced = world.counted(1)?;
    assert!(announced[0] >= 2 && announced[1] == 0, "{announced:?}");
    receiver.stop().map(drop)
}

#[test]
fn what_is_there_already_is_skipped() -> Result<()> {
    let world = World::new("sync", 2)?;
    let content = world.one_file(300_000)?;
    let receiver = world.receiver(Suite::Ours, 1).start()?;
    let there = receiver.dest().join("file");
    let mut told = Vec::new();
    let mut run = |option: &str| -> Result<Vec<String>> {
        let sent = world
            .sender(Suite::Ours, 0)
            .protocol("3")
            .default_timing()
            .args(&QUICK)
            .args(&["-H", ONE, option])
            .files_of(&content)?
            .run(BOUND)?;
        sent.ended_with(0)?;
        // The status file grows from run to run.
        let all = sent.results();
        let new = all[told.len()..].to_vec();
        told = all;
        Ok(new)
    };
    assert_eq!(run("-Z")?, ["copy"]);
    assert!(!there.exists(), "a preview changes nothing");
    assert_eq!(run("-z")?, ["copy"]);
    receiver.holds_undated(&content)?;
    assert_eq!(run("-z")?, ["skipped"]);
    let old = std::time::SystemTime::UNIX_EPOCH;
    fs::write(&there, "of old").unwrap();
    fs::File::open(&there).unwrap().set_modified(old).unwrap();
    assert_eq!(run("-Z")?, ["overwritten"]);
    assert_eq!(fs::read(&there).unwrap(), b"of old");
    assert_eq!(run("-z")?, ["overwritten"]);
    receiver.holds_undated(&content)?;
    receiver.stop().map(drop)
}

#[test]
fn one_receiver_serves_senders_of_3_4_and_5_at_once() -> Result<()> {
    let world = World::new("all", 4)?;
    let receiver = world.receiver(Suite::Ours, 3).start()?;
    let mut senders = Vec::new();
    for (host, protocol) in [(0, "3"), (1, "4"), (2, "5")] {
        let content = world.make_dir(&format!("content{protocol}"))?;
        write_file(&content.join(format!("of{protocol}")), 3_000_000)?;
        let mut setup = world.sender(Suite::Ours, host).protocol(protocol);
        if protocol == "3" {
            setup = setup.default_timing().args(&QUICK);
        }
        let setup = setup.rate("8000").invite(&[3]).files_of(&content)?;
        senders.push(setup.start()?);
    }
    for sender in senders {
        let sent = sender.finish(BOUND)?;
        sent.ended_with(0)?;
        sent.resulted("copy", &[3], 1)?;
    }
    receiver.reported_copied(3)?;
    receiver.stop().map(drop)
}

/// What a sender of protocol 3 with these options announces: 24 bytes behind the packet header.
#[test]
fn announcements_say_what_the_options_say() -> Result<()> {
    let world = World::new("said", 2)?;
    let content = world.one_file(10)?;
    // ANNOUNCE interval, STATUS, REGISTER, DONE (ms), ANNOUNCE and STATUS time (s), MTU; each at
    // its place in the datagram behind the headers of IP and UDP.
    let expected = [
        "@th,224,16 600",
        "@th,240,16 700",
        "@th,256,16 800",
        "@th,272,16 900",
        "@th,288,8 1",
        "@th,296,8 2",
        "@th,304,16 1400",
        "@th,64,8 48",
    ];
    let long = [
        ["--announce-interval", "600"],
        ["--status-interval", "700"],
        ["--register-interval", "800"],
        ["--done-interval", "900"],
        ["--announce-time", "1"],
        ["--status-time", "2"],
        ["--mtu", "1400"],
    ];
    let of_3 = ["-a600", "-s700", "-r800", "-d900", "-A1", "-S2", "-b1400"];
    for options in [&long.concat()[..], &of_3] {
        world.count_incoming(1, &expected)?;
        let sent = world
            .sender(Suite::Ours, 0)
            .protocol("3")
            .default_timing()
            .args(options)
            .args(&["-H", ONE])
            .files_of(&content)?
            .run(BOUND)?;
        sent.ended_with(7)?;
        for (what, count) in expected.iter().zip(world.counted(1)?) {
            assert!(count > 0, "{options:?}: no packet with {what}");
        }
    }
    Ok(())
}

/// As `uftp -U -H HOST` of 3.x: no group, everything goes to the one receiver.
#[test]
fn one_receiver_is_sent_to_alone() -> Result<()> {
    let world = World::new("alone", 2)?;
    let content = world.one_file(100_000)?;
    let receiver = world.receiver(Suite::Ours, 1).start()?;
    let address = world.address(1, Family::V4).to_string();
    // ANNOUNCE, by its place and its private address.
    let expected = format!("ip daddr {address} @th,64,16 12289 @th,320,32 0");
    world.count_incoming(1, &[&expected])?;
    let sent = world
        .sender(Suite::Ours, 0)
        .protocol("3")
        .default_timing()
        .args(&QUICK)
        .args(&["-U", "-H", &address])
        .files_of(&content)?
        .run(BOUND)?;
    sent.ended_with(0)?;
    receiver.holds_undated(&content)?;
    receiver.stop()?;
    assert!(world.counted(1)?[0] > 0, "no packet with {expected}");
    Ok(())
}

/// What `-W` makes of a small file is less than a second; such a file has the least time.
#[test]
fn small_files_have_the_least_time() -> Result<()> {
    for (options, seconds) in [(&[][..], 10), (&["--least-time", "2"], 2)] {
        let world = World::new("least", 2)?;
        let content = world.one_file(1_000)?;
        let receiver = world.receiver(Suite::Ours, 1).start()?;
        let sent = world
            .sender(Suite::Ours, 0)
            .protocol("3")
            .default_timing()
            .args(&QUICK)
            .args(&["-H", ONE])
            .args(options)
            .files_of(&content)?
            .run(BOUND)?;
        sent.ended_with(0)?;
        receiver.holds_undated(&content)?;
        receiver.stop()?;
        let log = fs::read_to_string(world.log_path("sender0"))?;
        let line = format!("Maximum file transfer time: {seconds} seconds\n");
        assert!(log.contains(&line), "{options:?}: no {line:?} in\n{log}");
    }
    Ok(())
}

#[test]
fn the_rate_answers_to_loss_in_steps() -> Result<()> {
    let world = World::new("steps", 2)?;
    let content = world.one_file(3_000_000)?;
    let steps = world.dir().join("steps");
    fs::write(&steps, "1;1\n100;0.8\n").map_err(|e| uftp_tests::Failure::io("writing", e))?;
    let steps = steps.to_string_lossy().into_owned();
    let receiver = world.receiver(Suite::Ours, 1).start()?;
    world.lose_incoming_data(1, 1044, 300)?;
    let sent = world
        .sender(Suite::Ours, 0)
        .protocol("3")
        .default_timing()
        .rate("16000")
        .args(&QUICK)
        .args(&["-H", ONE, "--mtu", "576", "--status-time", "60"])
        .args(&["--rate-steps", &steps])
        .files_of(&content)?
        .run(BOUND)?;
    sent.ended_with(0)?;
    let log = fs::read_to_string(world.log_path("sender0"))?;
    let rates = log.lines().filter_map(|line| {
        let (rate, _) = line.strip_prefix("Transfer rate: ")?.split_once(" Kbps")?;
        rate.parse().ok()
    });
    let rates: Vec<u64> = rates.collect();
    // Three tenths are lost of each section that is not short.
    assert!(rates.starts_with(&[16000, 12800, 10240]), "{rates:?}");
    receiver.stop().map(drop)
}
