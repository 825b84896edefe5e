//! The system packages that building and testing need, installed when they are missing. What this
//! program itself is linked with, `.cargo/cc` installs.

use std::process::Stdio;

use nix::unistd::geteuid;
use uftp_tests::{Failure, Result, command};

use crate::rights::may_be_root;

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
    if !may_be_root() {
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
pub(crate) fn succeeds(program: &str, args: &[&str]) -> bool {
    command(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn apt_get(args: &[&str]) -> bool {
    let mut apt_get = if geteuid().is_root() {
        command("apt-get")
    } else {
        let mut sudo = command("sudo");
        sudo.args(["-n", "apt-get"]);
        sudo
    };
    apt_get
        .args(args)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use std::{
        env, fs,
        os::unix::fs::symlink,
        path::PathBuf,
        process::{Command, Output},
    };

    use super::*;

    /// The linker of this workspace, on a machine that has few programs.
    struct Machine(PathBuf);

    impl Machine {
        fn new(label: &str) -> Self {
            let dir = env::temp_dir().join(format!("uftp-cc-{label}-{}", std::process::id()));
            fs::create_dir_all(dir.join("bin")).unwrap();
            let machine = Machine(dir);
            let found = env::split_paths(&env::var_os("PATH").unwrap()).collect::<Vec<_>>();
            for tool in ["sh", "sed", "tr", "id", "flock", "unshare", "chmod"] {
                let path = found
                    .iter()
                    .map(|dir| dir.join(tool))
                    .find(|path| path.exists());
                symlink(path.unwrap(), machine.0.join("bin").join(tool)).unwrap();
            }
            // Installs a compiler.
            let cc = machine.0.join("bin/cc").display().to_string();
            machine.script(
                "bin/apt-get",
                &format!(
                    "echo \"$@\" >>{}\n[ $1 = update ] || echo 'echo linked \"$@\"' >{cc}; chmod +x {cc}",
                    machine.0.join("asked").display()
                ),
            );
            machine
        }

        fn script(&self, name: &str, text: &str) {
            let path = self.0.join(name);
            fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
            assert!(succeeds("chmod", &["+x", &path.to_string_lossy()]));
        }

        /// Runs the linker behind these words.
        fn links(&self, before: &[&str]) -> Output {
            let linker = concat!(env!("CARGO_MANIFEST_DIR"), "/../../.cargo/cc");
            let path = format!("PATH={}", self.0.join("bin").display());
            let mut command = Command::new("/usr/bin/env");
            command
                .args(["-i", &path])
                .args(before)
                .args([linker, "-o", "out"]);
            command.output().unwrap()
        }

        fn asked(&self) -> String {
            fs::read_to_string(self.0.join("asked")).unwrap_or_default()
        }
    }

    impl Drop for Machine {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_task_installs_what_it_is_linked_with() {
        let machine = Machine::new("task");
        machine.script("cargo", "shift 2; \"$@\"");
        let cargo = machine.0.join("cargo").display().to_string();
        let linked = machine.links(&["sh", &cargo, "xtask", "demo"]);
        let said = String::from_utf8_lossy(&linked.stdout);
        assert!(said.ends_with("linked -o out\n"), "{linked:?}");
        assert_eq!(
            machine.asked(),
            "update -q\ninstall -y -q --no-install-recommends gcc libc6-dev\n"
        );
    }

    #[test]
    fn other_builds_only_say_what_they_are_linked_with() {
        let machine = Machine::new("other");
        // As if nobody had started it: these tests may be run by a task.
        let alone = ["unshare", "--pid", "--fork", "--mount-proc", "sh"];
        let linked = machine.links(&alone);
        assert_eq!(linked.status.code(), Some(1), "{linked:?}");
        let said = String::from_utf8_lossy(&linked.stderr);
        let advice = "apt-get install --no-install-recommends gcc libc6-dev";
        assert!(said.contains(advice), "{said}");
        assert_eq!(machine.asked(), "");
    }

    #[test]
    fn what_the_compiler_says_is_what_counts() {
        let machine = Machine::new("says");
        machine.script("bin/cc", "[ $1 = -o ] && exit 3; echo /usr/lib/crt1.o");
        assert_eq!(machine.links(&["sh"]).status.code(), Some(3));
        assert_eq!(machine.asked(), "");
    }
}
