//! The harness itself: the reference sends to the reference, and what the harness claims holds.

use std::{path::Path, time::Duration};

use uftp_tests::{Result, Suite, World, compare_trees, write_file};

const SOON: Duration = Duration::from_secs(30);

#[test]
fn reference_sends_to_reference() -> Result<()> {
    let world = World::new("sanity", 2)?;
    let content = world.make_dir("content")?;
    write_file(&content.join("million"), 1_000_000)?;
    let receiver = world.receiver(Suite::Reference, 1).start()?;
    let sent = world
        .sender(Suite::Reference, 0)
        .files_of(&content)?
        .run(SOON)?;
    sent.ended_with(0)?;
    sent.connected("success", &[1])?;
    sent.resulted("copy", &[1], 1)?;
    receiver.reported_copied(1)?;
    receiver.holds(&content)
}

#[test]
fn loss_takes_single_datagrams() -> Result<()> {
    let world = World::new("loss", 2)?;
    world.lose_incoming(1, 9, 500)?;
    let before = world.received_bytes(1)?;
    let mut script = world.command(0, Path::new("bash"));
    let address = world.address(1, uftp_tests::Family::V4);
    script.args([
        "-c",
        &format!("for i in $(seq 200); do echo $i > /dev/udp/{address}/9; done"),
    ]);
    let mut sending =
        uftp_tests::Program::start("datagrams", script, &world.log_path("datagrams"))?;
    assert_eq!(sending.wait(SOON)?.code, Some(0));
    assert!(
        world.received_bytes(1)? > before,
        "the datagrams reach the interface"
    );
    let lost = world.lost(1)?;
    assert!(
        (60..=140).contains(&lost),
        "{lost} of 200 datagrams lost instead of about 100"
    );
    Ok(())
}

#[test]
fn comparison_sees_a_changed_byte_and_a_missing_and_an_extra_file() -> Result<()> {
    let world = World::new("compare", 0)?;
    let (left, right) = (world.make_dir("left")?, world.make_dir("right")?);
    for dir in [&left, &right] {
        write_file(&dir.join("file"), 10_000)?;
    }
    assert_eq!(compare_trees(&left, &right), Ok(()));

    let time = std::fs::metadata(right.join("file"))
        .and_then(|meta| meta.modified())
        .unwrap();
    let mut bytes = std::fs::read(right.join("file")).unwrap();
    bytes[9_000] ^= 1;
    std::fs::write(right.join("file"), bytes).unwrap();
    let file = std::fs::File::options()
        .write(true)
        .open(right.join("file"))
        .unwrap();
    file.set_modified(time).unwrap();
    let said = compare_trees(&left, &right).unwrap_err();
    assert!(said.contains("file differs at byte 9000"), "{said}");

    std::fs::rename(right.join("file"), right.join("other")).unwrap();
    let said = compare_trees(&left, &right).unwrap_err();
    assert!(said.contains("file did not arrive"), "{said}");
    assert!(said.contains("other arrived and was never sent"), "{said}");
    Ok(())
}

#[test]
fn a_program_that_overstays_is_killed() -> Result<()> {
    let world = World::new("overstay", 1)?;
    let mut command = world.command(0, Path::new("sleep"));
    command.arg("600");
    let mut program = uftp_tests::Program::start("sleep", command, &world.log_path("sleep"))?;
    let failure = program.wait(Duration::from_millis(50)).unwrap_err();
    assert!(
        failure.to_string().contains("did not end within"),
        "{failure}"
    );
    assert_eq!(program.wait(SOON)?.signal, Some(9));
    Ok(())
}
