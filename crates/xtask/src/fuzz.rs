//! `cargo xtask fuzz`: libFuzzer looks for bytes that break a law.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use uftp_tests::{Failure, Result, target_dir};

use crate::{
    options::Options,
    packages::{Need, install_missing},
    programs::{cargo_with, host_tuple, root},
};

/// Where there is a law to break.
#[derive(Clone, Copy)]
struct Target {
    name: &'static str,
    /// The package that has it, in `DIRECTORY/fuzz`.
    directory: &'static str,
    /// Longest input worth trying, in bytes.
    longest: usize,
}

const TARGETS: [Target; 4] = [
    Target {
        name: "packet",
        directory: "crates/uftp-proto",
        longest: 1500,
    },
    Target {
        name: "key",
        directory: "crates/uftp-proto",
        longest: 4096,
    },
    Target {
        name: "session",
        directory: "crates/uftp-sim",
        longest: 1000,
    },
    Target {
        name: "encrypted",
        directory: "crates/uftp-sim",
        longest: 1000,
    },
];

/// Has the compiler count which edges are taken, as cargo-fuzz does; none of it needs a nightly one.
const COUNT_EDGES: &str = "-Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares \
    -Ccodegen-units=16 --cfg fuzzing";

/// Looks for a minute, or for as many seconds as are given, or plays the files that are given.
///
/// # Errors
/// When the target is unknown, cannot be built, or a law was broken.
pub(crate) fn fuzz(options: &mut Options) -> Result<ExitCode> {
    let wanted = options.next();
    let target = TARGETS
        .iter()
        .find(|target| Some(target.name) == wanted.as_deref())
        .ok_or_else(|| {
            let names = names().join(", ");
            Failure::new(format!("fuzz what? There are {names}"))
        })?;
    let more = options.rest();
    install_missing(Need::Fuzz)?;
    let program = build(target)?;
    let finds = fuzz_dir().join("finds").join(target.name);
    let mut command = Command::new(program);
    command.arg(format!("-artifact_prefix={}/", make(&finds)?.display()));
    match more.as_slice() {
        [] => search(&mut command, target, "60")?,
        [seconds] if seconds.parse::<u32>().is_ok() => search(&mut command, target, seconds)?,
        files => {
            command.args(files);
        }
    }
    println!("$ {command:?}");
    let status = command
        .status()
        .map_err(|error| Failure::io("cannot start the fuzzer", error))?;
    if status.success() {
        return Ok(ExitCode::SUCCESS);
    }
    Err(Failure::new(format!(
        "a law is broken ({status}); when it is mended, keep the bytes named above in {}",
        kept(target).display()
    )))
}

/// What targets are called.
pub(crate) fn names() -> [&'static str; TARGETS.len()] {
    TARGETS.map(|target| target.name)
}

/// Builds a target and returns its program.
fn build(target: &Target) -> Result<PathBuf> {
    let host = host_tuple()?;
    let manifest = format!("{}/fuzz/Cargo.toml", target.directory);
    let bin = format!("fuzz-{}", target.name);
    let args = [
        "build",
        "--locked",
        "--profile=fuzz",
        "--features=libfuzzer",
        "--manifest-path",
        &manifest,
        "--bin",
        &bin,
        // Named, so that what runs while building is built as usual.
        "--target",
        &host,
    ];
    let directory = fuzz_dir();
    cargo_with(
        &args,
        &[
            ("RUSTFLAGS", COUNT_EDGES.as_ref()),
            ("CARGO_TARGET_DIR", directory.as_os_str()),
        ],
    )?;
    Ok(directory.join(host).join("fuzz").join(bin))
}

/// Has a target begin with what was found before and what was once on a network.
fn search(command: &mut Command, target: &Target, seconds: &str) -> Result<()> {
    let corpus = fuzz_dir().join("corpus").join(target.name);
    make(&corpus)?;
    if target.name == "packet" {
        plant_recorded_packets(&corpus)?;
    }
    command
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-max_len={}", target.longest))
        .args(["-timeout=20", "-rss_limit_mb=2048", "-len_control=0"])
        .arg("-print_final_stats=1")
        .arg(corpus)
        .args(Some(kept(target)).filter(|kept| kept.exists()));
    Ok(())
}

/// Lays the packets of the golden vectors into `corpus`, a file for each.
fn plant_recorded_packets(corpus: &Path) -> Result<()> {
    for version in ["v3", "v4", "v5"] {
        let path = root().join(format!(
            "crates/uftp-proto/tests/vectors/codec/{version}.json"
        ));
        let text = fs::read_to_string(&path)
            .map_err(|error| Failure::io(format!("cannot read {}", path.display()), error))?;
        let packets = text.split(r#""hex":""#).skip(1);
        for (number, packet) in packets
            .filter_map(|rest| rest.split('"').next())
            .enumerate()
        {
            let seed = corpus.join(format!("{version}-{number}"));
            fs::write(&seed, unhex(packet))
                .map_err(|error| Failure::io(format!("cannot write {}", seed.display()), error))?;
        }
    }
    Ok(())
}

/// The bytes of pairs of hexadecimal digits.
fn unhex(text: &str) -> Vec<u8> {
    let pairs = text.as_bytes().chunks(2);
    pairs
        .filter_map(|pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

/// What was found before and is mended, for tests and as a start.
fn kept(target: &Target) -> PathBuf {
    let package = root().join(target.directory);
    package.join("fuzz/corpus").join(target.name)
}

/// Where targets are built, and what they find is laid.
fn fuzz_dir() -> PathBuf {
    target_dir().join("fuzz")
}

fn make(directory: &Path) -> Result<&Path> {
    fs::create_dir_all(directory)
        .map_err(|error| Failure::io(format!("cannot make {}", directory.display()), error))?;
    Ok(directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_read_from_their_digits() {
        assert_eq!(unhex("4013ff00"), [0x40, 0x13, 0xff, 0]);
    }
}
