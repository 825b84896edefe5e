//! `cargo xtask dist`: a tree to install, and a Debian package that takes the place of Debian's.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use nix::sys::stat::{Mode, umask};
use uftp_tests::{Failure, PROGRAMS, Result, reference_package, run, target_dir};

use crate::options::Options;
use crate::packages::{Need, install_missing};
use crate::programs::{build, cargo, root};
use crate::rights::{need_root, run_as_root};

/// Greater than that of Debian's package, which this one replaces.
const VERSION: &str = concat!("1:", env!("CARGO_PKG_VERSION"), "-1");

/// Where completions go, and what they are called there.
const COMPLETIONS: [(&str, &str, &str, &str); 3] = [
    ("bash", "usr/share/bash-completion/completions", "", ""),
    ("zsh", "usr/share/zsh/vendor-completions", "_", ""),
    ("fish", "usr/share/fish/vendor_completions.d", "", ".fish"),
];

/// Files of the workspace: where they go, and with which rights.
const FILES: &[(&str, &str, u32)] = &[
    (
        "packaging/systemd/uftp.service",
        "usr/lib/systemd/system/uftp.service",
        0o644,
    ),
    (
        "packaging/systemd/uftpd.service",
        "usr/lib/systemd/system/uftpd.service",
        0o644,
    ),
    (
        "packaging/systemd/uftpproxyd.service",
        "usr/lib/systemd/system/uftpproxyd.service",
        0o644,
    ),
    ("packaging/debian/init", "etc/init.d/uftp", 0o755),
    ("packaging/debian/logrotate", "etc/logrotate.d/uftp", 0o644),
    (
        "docs/operations.md",
        "usr/share/doc/uftp/operations.md",
        0o644,
    ),
    ("docs/proxies.md", "usr/share/doc/uftp/proxies.md", 0o644),
    (
        "docs/differences.md",
        "usr/share/doc/uftp/differences.md",
        0o644,
    ),
    (
        "packaging/debian/copyright",
        "usr/share/doc/uftp/copyright",
        0o644,
    ),
];

/// Scripts of the package, in the order in which they run, and what they ask.
const CONTROL: [(&str, u32); 6] = [
    ("config", 0o755),
    ("templates", 0o644),
    ("preinst", 0o755),
    ("postinst", 0o755),
    ("prerm", 0o755),
    ("postrm", 0o755),
];

/// Files whose changes by the machine's owner outlive the package.
const CONFFILES: &str = "/etc/init.d/uftp\n/etc/logrotate.d/uftp\n";

/// Tries a package out; see there.
const TRY_PACKAGE: &str = "packaging/debian/try-package";

/// Tries the units of a tree out; see there.
const TRY_UNITS: &str = "packaging/systemd/try-units";

/// Makes the tree and the package.
pub(crate) fn dist(options: &mut Options) -> Result<ExitCode> {
    no_more("dist", options)?;
    install_missing(Need::Build)?;
    make(Profile::Release)?;
    Ok(ExitCode::SUCCESS)
}

/// Makes the package and installs it in a throw-away root in the place of Debian's.
pub(crate) fn try_package(options: &mut Options) -> Result<ExitCode> {
    no_more("try-package", options)?;
    need_root("try-package")?;
    let made = make(Profile::Release)?;
    try_out(TRY_PACKAGE, &[&made.package, &reference_package()?])?;
    Ok(ExitCode::SUCCESS)
}

/// Makes the tree and has its units run by a service manager of their own.
pub(crate) fn try_units(options: &mut Options) -> Result<ExitCode> {
    no_more("try-units", options)?;
    need_root("try-units")?;
    try_out(TRY_UNITS, &[&make(Profile::Release)?.tree])?;
    Ok(ExitCode::SUCCESS)
}

fn no_more(task: &str, options: &mut Options) -> Result<()> {
    options.next().map_or(Ok(()), |word| {
        Err(Failure::new(format!("{task} takes no argument: {word}")))
    })
}

/// How the programs are built.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Profile {
    /// To be used.
    Release,
    /// To try it out: what the tests have built already.
    #[cfg(test)]
    Debug,
}

/// Runs a script of the workspace as root, with these paths.
fn try_out(script: &str, paths: &[&Path]) -> Result<()> {
    let script = root().join(script);
    let words = std::iter::once(script.as_path()).chain(paths.iter().copied());
    let words: Vec<_> = words.map(|path| path.to_string_lossy()).collect();
    let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
    // What is installed has the rights that files have by it.
    umask(Mode::from_bits_truncate(0o022));
    print!("{}", run_as_root(&[&["sh"], &words[..]].concat())?);
    Ok(())
}

/// What there is to install.
#[derive(Clone)]
struct Made {
    tree: PathBuf,
    package: PathBuf,
}

/// Makes the tree and the package.
fn make(profile: Profile) -> Result<Made> {
    let (release, name) = match profile {
        Profile::Release => (true, "dist"),
        #[cfg(test)]
        Profile::Debug => (false, "dist-debug"),
    };
    let out = target_dir().join(name);
    if out.exists() {
        fs::remove_dir_all(&out).map_err(|e| Failure::io(told("removing", &out), e))?;
    }
    let programs = build(release)?;
    let pages = make_pages(&out)?;
    let tree = out.join("tree");
    for program in PROGRAMS {
        install_program(program, &programs, &tree)?;
        install_pages(program, &pages, &tree)?;
    }
    for (from, to, mode) in FILES {
        install(&root().join(from), &tree.join(to), *mode)?;
    }
    let changes = tree.join("usr/share/doc/uftp/changelog");
    install(&root().join("docs/CHANGELOG.md"), &changes, 0o644)?;
    compress(&changes)?;
    open_to_all(&tree)?;
    println!("tree to install: {}", tree.display());

    let package = package(&out, &tree)?;
    println!("package: {}", package.display());
    Ok(Made { tree, package })
}

/// Makes man pages and completions below `out`, and says where.
fn make_pages(out: &Path) -> Result<PathBuf> {
    let pages = out.join("pages");
    let example = ["-p", "uftp-runtime", "--example", "man"];
    let made = [&["run", "-q", "--locked"], &example[..]].concat();
    cargo(&[&made[..], &["--", &pages.to_string_lossy()]].concat())?;
    Ok(pages)
}

fn install_program(program: &str, programs: &Path, tree: &Path) -> Result<()> {
    let to = tree.join("usr/bin").join(program);
    install(&programs.join(program), &to, 0o755)?;
    run("strip", &["--strip-unneeded", &to.to_string_lossy()], "")?;
    // Daemons were in /usr/sbin before 4.9.5; units and scripts may still look there.
    if program.ends_with('d') {
        let link = tree.join("usr/sbin").join(program);
        let made = fs::create_dir_all(tree.join("usr/sbin"))
            .and_then(|()| symlink(Path::new("../bin").join(program), &link));
        made.map_err(|e| Failure::io(told("linking", &link), e))?;
    }
    Ok(())
}

/// Installs the man page of a program and its completions.
fn install_pages(program: &str, pages: &Path, tree: &Path) -> Result<()> {
    let page = format!("{program}.1");
    let to = tree.join("usr/share/man/man1").join(&page);
    install(&pages.join("man1").join(&page), &to, 0o644)?;
    compress(&to)?;
    for (shell, dir, before, after) in COMPLETIONS {
        let from = pages.join("completions").join(format!("{program}.{shell}"));
        let to = tree.join(dir).join(format!("{before}{program}{after}"));
        install(&from, &to, 0o644)?;
    }
    Ok(())
}

fn compress(file: &Path) -> Result<()> {
    run("gzip", &["-9n", &file.to_string_lossy()], "").map(drop)
}

/// Makes the package of `tree`.
fn package(out: &Path, tree: &Path) -> Result<PathBuf> {
    let architecture = run("dpkg", &["--print-architecture"], "")?;
    let architecture = architecture.trim();
    let libc = run("dpkg-query", &["-W", "-f", "${Version}", "libc6"], "")?;
    let libc = libc.split(['-', '+']).next().unwrap_or_default();
    let size = run("du", &["-sk", &tree.to_string_lossy()], "")?;
    let size = size.split_whitespace().next().unwrap_or("0").to_owned();
    let control = format!(
        "Package: uftp\n\
         Version: {VERSION}\n\
         Architecture: {architecture}\n\
         Maintainer: UFTP maintainers <maintainers@localhost>\n\
         Installed-Size: {size}\n\
         Depends: libc6 (>= {libc}), libgcc-s1, libssl3t64 | libssl3, debconf (>= 0.5) | debconf-2.0, \
         init-system-helpers (>= 1.54), sysvinit-utils (>= 3.05-3) | lsb-base\n\
         Section: net\n\
         Priority: optional\n\
         Description: encrypted multicast file transfer\n \
         uftp sends files to many receivers at once over UDP multicast, uftpd receives\n \
         them. They speak with the programs of UFTP 4.10.2 and have their command lines.\n"
    );
    let staging = out.join("package");
    run(
        "cp",
        &["-a", &tree.to_string_lossy(), &staging.to_string_lossy()],
        "",
    )?;
    let debian = staging.join("DEBIAN");
    for (name, mode) in CONTROL {
        let from = root().join("packaging/debian").join(name);
        install(&from, &debian.join(name), mode)?;
    }
    let sums = "find . -type f ! -path './DEBIAN/*' -printf '%P\\0' | sort -z | xargs -0 md5sum";
    let staging_text = staging.to_string_lossy();
    let sums = format!("cd \"$1\" && {sums}");
    let sums = run("sh", &["-c", &sums, "sums", &staging_text], "")?;
    for (name, text) in [
        ("control", control.as_str()),
        ("conffiles", CONFFILES),
        ("md5sums", &sums),
    ] {
        let path = debian.join(name);
        fs::write(&path, text).map_err(|e| Failure::io(told("writing", &path), e))?;
    }
    open_to_all(&staging)?;
    let version = env!("CARGO_PKG_VERSION");
    let package = out.join(format!("uftp_{version}-1_{architecture}.deb"));
    let package_text = package.to_string_lossy();
    run(
        "dpkg-deb",
        &[
            "--root-owner-group",
            "--build",
            &staging_text,
            &package_text,
        ],
        "",
    )?;
    Ok(package)
}

/// Directories are made as the umask has them, which may keep others out.
fn open_to_all(dir: &Path) -> Result<()> {
    run("chmod", &["-R", "a+rX,go-w", &dir.to_string_lossy()], "").map(drop)
}

fn install(from: &Path, to: &Path, mode: u32) -> Result<()> {
    let installed = to
        .parent()
        .map_or(Ok(()), fs::create_dir_all)
        .and_then(|()| fs::copy(from, to))
        .and_then(|_| fs::set_permissions(to, Permissions::from_mode(mode)));
    installed.map_err(|e| {
        Failure::io(
            format!("installing {} as {}", from.display(), to.display()),
            e,
        )
    })
}

fn told(what: &str, path: &Path) -> String {
    format!("{what} {}", path.display())
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;

    /// Made once for all tests.
    fn made() -> Result<Made> {
        static MADE: LazyLock<std::result::Result<Made, String>> =
            LazyLock::new(|| make(Profile::Debug).map_err(|failure| failure.to_string()));
        MADE.clone().map_err(Failure::new)
    }

    #[test]
    fn the_package_takes_the_place_of_debians() -> Result<()> {
        try_out(TRY_PACKAGE, &[&made()?.package, &reference_package()?])
    }
}
