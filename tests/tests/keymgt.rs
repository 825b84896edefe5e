//! Key files and fingerprints cross between our `uftp_keymgt` and the reference's: made by one,
//! shown by the other, in the same words.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use uftp_tests::{Failure, Result, Suite};

/// What both can make. The reference's command line does not know secp224k1.
const SPECS: [&str; 28] = [
    "rsa:512",
    "rsa:768",
    "rsa:1024",
    "rsa:2048",
    "ec:sect163k1",
    "ec:sect163r1",
    "ec:sect163r2",
    "ec:sect193r1",
    "ec:sect193r2",
    "ec:sect233k1",
    "ec:sect233r1",
    "ec:sect239k1",
    "ec:sect283k1",
    "ec:sect283r1",
    "ec:sect409k1",
    "ec:sect409r1",
    "ec:sect571k1",
    "ec:sect571r1",
    "ec:secp160k1",
    "ec:secp160r1",
    "ec:secp160r2",
    "ec:secp192k1",
    "ec:secp192r1",
    "ec:secp224r1",
    "ec:secp256k1",
    "ec:secp256r1",
    "ec:secp384r1",
    "ec:secp521r1",
];

/// A directory of its own, gone at the end.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Result<Dir> {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("keymgt-{name}-{}", std::process::id()));
        fs::create_dir_all(&dir)?;
        Ok(Dir(dir))
    }

    /// What `uftp_keymgt` says on standard error, without the warnings that are ours alone.
    fn keymgt(&self, suite: Suite, args: &[&str]) -> Result<String> {
        let output = Command::new(suite.program("uftp_keymgt")?)
            .args(args)
            .current_dir(&self.0)
            .output()?;
        let told = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            return Err(Failure::new(format!(
                "uftp_keymgt {args:?} ({suite:?}) failed: {told}"
            )));
        }
        let lines = told.lines().filter(|line| !line.starts_with("Warning: "));
        Ok(lines.collect::<Vec<_>>().join("\n"))
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn cross(maker: Suite, reader: Suite, name: &str) -> Result<()> {
    let dir = Dir::new(name)?;
    for spec in SPECS {
        let file = spec.replace(':', "-");
        let made = dir.keymgt(maker, &["-g", spec, &file])?;
        let read = dir.keymgt(reader, &[&file])?;
        assert!(made.contains(", fingerprint: "), "{spec}: {made}");
        assert_eq!(made, read, "{spec}");
    }
    Ok(())
}

#[test]
fn ours_is_read_by_theirs() -> Result<()> {
    cross(Suite::Ours, Suite::Reference, "ours")
}

#[test]
fn theirs_is_read_by_ours() -> Result<()> {
    cross(Suite::Reference, Suite::Ours, "theirs")
}

#[test]
fn both_refuse_to_overwrite_a_key() -> Result<()> {
    let dir = Dir::new("overwrite")?;
    dir.keymgt(Suite::Ours, &["-g", "ec:prime256v1", "key"])?;
    let before = fs::read(dir.0.join("key"))?;
    assert!(
        dir.keymgt(Suite::Ours, &["-g", "ec:prime256v1", "key"])
            .is_err()
    );
    // The reference hides its failure behind a 0.
    let told = dir.keymgt(Suite::Reference, &["-g", "ec:prime256v1", "key"])?;
    assert!(told.contains("already exists, won't overwrite"), "{told}");
    assert_eq!(fs::read(dir.0.join("key"))?, before);
    Ok(())
}

/// Key stores are a thing of Windows; a file that is named stays.
#[test]
fn nothing_is_deleted() -> Result<()> {
    let dir = Dir::new("delete")?;
    dir.keymgt(Suite::Ours, &["-g", "ec:prime256v1", "key"])?;
    for suite in [Suite::Reference, Suite::Ours] {
        dir.keymgt(suite, &["-d", "key"])?;
        assert!(dir.0.join("key").is_file(), "{suite:?}");
    }
    Ok(())
}

#[test]
fn the_key_store_of_the_machine_is_no_other() -> Result<()> {
    let dir = Dir::new("machine")?;
    dir.keymgt(Suite::Ours, &["-m", "-g", "ec:prime256v1", "key"])?;
    for suite in [Suite::Reference, Suite::Ours] {
        let shown = dir.keymgt(suite, &["key"])?;
        assert_eq!(dir.keymgt(suite, &["-m", "key"])?, shown, "{suite:?}");
    }
    Ok(())
}

/// JSON and PEM on standard output; the lines on standard error stay as they are.
#[test]
fn what_machines_read() -> Result<()> {
    let dir = Dir::new("machines")?;
    let shown = dir.keymgt(Suite::Ours, &["-g", "ec:prime256v1", "key"])?;
    for (option, begins, has) in [
        ("--json", "{", "\"curve\":\"prime256v1\""),
        (
            "--public",
            "-----BEGIN PUBLIC KEY-----",
            "-----END PUBLIC KEY-----",
        ),
    ] {
        let mut command = Command::new(Suite::Ours.program("uftp_keymgt")?);
        let output = command.args([option, "key"]).current_dir(&dir.0).output()?;
        let out = String::from_utf8_lossy(&output.stdout);
        assert!(out.starts_with(begins) && out.contains(has), "{out}");
        assert_eq!(String::from_utf8_lossy(&output.stderr).trim_end(), shown);
    }
    Ok(())
}
