//! Sessions of protocol 5 between our programs: there is no packaged program of another hand that
//! speaks it. Where protocol 4 comes in, so does the reference.

use std::{path::PathBuf, time::Duration};

use uftp_tests::{Family, Result, Suite, World, write_file};

/// The longest a run may take; healthy ones take a second or two.
const BOUND: Duration = Duration::from_secs(60);

fn one_file(world: &World, size: u64) -> Result<PathBuf> {
    let content = world.make_dir("content")?;
    write_file(&content.join("file"), size)?;
    Ok(content)
}

/// One session with these options to two receivers, who insist on encryption.
fn session(family: Family, size: u64, options: &[&str], receiver_options: &[&str]) -> Result<()> {
    let world = World::new("five", 3)?;
    let content = one_file(&world, size)?;
    let receiver = |host| {
        let receiver = world.receiver(Suite::Ours, host).family(family);
        receiver.args(&["-E"]).args(receiver_options).start()
    };
    let receivers = [receiver(1)?, receiver(2)?];
    let sent = world
        .sender(Suite::Ours, 0)
        .family(family)
        .default_protocol()
        .invite(&[1, 2])
        .args(options)
        .files_of(&content)?
        .run(BOUND)?;
    sent.ended_with(0)?;
    sent.connected("success", &[1, 2])?;
    sent.resulted("copy", &[1, 2], 1)?;
    for receiver in receivers {
        receiver.holds(&content)?;
        receiver.reported_copied(1)?;
        receiver.stop()?;
    }
    Ok(())
}

#[test]
fn a_session_is_encrypted_unless_told_otherwise() -> Result<()> {
    session(Family::V4, 2_000_000, &[], &[])
}

#[test]
fn every_cipher_hash_and_curve() -> Result<()> {
    for (cipher, hash, curve) in [
        ("aes128-gcm", "sha256", "secp256r1"),
        ("aes256-ccm", "sha384", "secp384r1"),
        ("aes128-ccm", "sha512", "secp521r1"),
    ] {
        let options = ["-Y", cipher, "-h", hash, "-e", curve, "--protocol", "5"];
        session(Family::V4, 100_000, &options, &[])?;
    }
    Ok(())
}

#[test]
fn identities_and_client_authentication() -> Result<()> {
    for (ours, theirs) in [
        ("rsa:2048", "ec:secp256r1"),
        ("ec:secp521r1", "rsa:3072"),
        ("rsa:3072", "ec:secp384r1"),
    ] {
        session(Family::V4, 100_000, &["-c", "-K", ours], &["-K", theirs])?;
    }
    Ok(())
}

#[test]
fn ipv6() -> Result<()> {
    session(Family::V6, 300_000, &["-c"], &[])
}

#[test]
fn congestion_control() -> Result<()> {
    session(Family::V4, 1_000_000, &["-C", "tfmcc"], &[])
}
