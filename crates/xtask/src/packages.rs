//! The system packages that building and testing need, installed when they are missing.

use std::process::{Command, Stdio};

use nix::unistd::geteuid;
use uftp_tests::{Failure, Result};

/// A Debian package and the command that succeeds when what it brings is there.
struct Package {
    name: &'static str,
    probe: &'static [&'static str],
}

const PKG_CONFIG: Package = Package {
    name: "pkg-config",
    probe: &["pkg-config", "--version"],
};
const OPENSSL: Package = Package {
    name: "libssl-dev",
    probe: &["pkg-config", "--exists", "openssl"],
};
const IPROUTE: Package = Package {
    name: "iproute2",
    probe: &["ip", "-V"],
};
const NFTABLES: Package = Package {
    name: "nftables",
    probe: &["nft", "--version"],
};
/// Checks the units of our package, and runs them apart from the machine's own, if it has any.
const SYSTEMD: Package = Package {
    name: "systemd",
    probe: &["systemd-analyze", "--version"],
};
/// The disk of the tests that cut its power.
const EXT4: Package = Package {
    name: "e2fsprogs",
    probe: &["mkfs.ext4", "-V"],
};
/// Sets the clock of one program.
const FAKETIME: Package = Package {
    name: "libfaketime",
    probe: &["dpkg", "-L", "libfaketime"],
};

/// Builds libFuzzer.
const CXX: Package = Package {
    name: "g++",
    probe: &["c++", "--version"],
};

/// What a task needs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// Building the programs.
    Build,
    /// Also building libFuzzer.
    Fuzz,
    /// Also one network namespace.
    Demo,
    /// Also the worlds of the whole-suite tests.
    Tests,
}

/// Installs the missing ones of the packages that `need` names; does nothing when none is missing.
///
/// # Errors
/// When some are missing and cannot be installed, naming them.
pub(crate) fn install_missing(need: Need) -> Result<()> {
    let mut wanted = vec![PKG_CONFIG, OPENSSL];
    match need {
        Need::Build => {}
        Need::Fuzz => wanted.push(CXX),
        Need::Demo => wanted.push(IPROUTE),
        Need::Tests => wanted.extend([IPROUTE, NFTABLES, SYSTEMD, EXT4, FAKETIME]),
    }
    let missing: Vec<&str> = wanted
        .iter()
        .filter(|package| !is_there(package))
        .map(|package| package.name)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let missing = missing.join(" ");
    let by_hand = format!(
        "as root: apt-get install --no-install-recommends {missing} (or what your system calls these), \
         and try again"
    );
    if !may_install() {
        return Err(Failure::new(format!(
            "system packages are missing, and you are neither root nor may use sudo without a password; {by_hand}"
        )));
    }
    println!("installing system packages: {missing}");
    update_lists();
    let mut install = vec!["install", "-y", "-q", "--no-install-recommends"];
    install.extend(missing.split(' '));
    if apt_get(&install) {
        Ok(())
    } else {
        Err(Failure::new(format!(
            "system packages are missing, and apt-get did not install them; {by_hand}"
        )))
    }
}

/// Whether apt-get can be run with the rights it needs, without asking anybody.
fn may_install() -> bool {
    geteuid().is_root() || succeeds("sudo", &["-n", "true"])
}

/// Fetches the lists of packages anew.
pub(crate) fn update_lists() {
    if !apt_get(&["update", "-q"]) {
        eprintln!("apt-get update did not succeed, trying with the lists that are there");
    }
}

fn is_there(package: &Package) -> bool {
    let Some((program, args)) = package.probe.split_first() else {
        return true;
    };
    succeeds(program, args)
}

/// Whether a program is there and ends well; what it says is not shown.
fn succeeds(program: &str, args: &[&str]) -> bool {
    Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn apt_get(args: &[&str]) -> bool {
    let mut command = if geteuid().is_root() {
        Command::new("apt-get")
    } else {
        let mut sudo = Command::new("sudo");
        sudo.args(["-n", "apt-get"]);
        sudo
    };
    command
        .args(args)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
