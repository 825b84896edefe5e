//! The work of `uftp_keymgt` (cli §5): makes keys and shows them.
//!
//! Lines about keys go to standard error, as they always have. Unlike the C program, a key that
//! cannot be read or made ends it with 1.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;

use uftp_proto::crypto::{KeyKind, KeySpec, PrivateKey, PublicKey};

use crate::exit::{Exit, Failure};
use crate::keys::file;
use crate::options::uftp_keymgt::Args;
use crate::options::{Parsed, parse};

/// Reads the command line and does what it asks for.
pub fn main(
    args: impl IntoIterator<Item = OsString>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Exit {
    let done = match parse::<Args>(args) {
        Ok(Parsed::Show(text)) => write!(out, "{text}")
            .map(|()| Exit::Success)
            .map_err(cannot_print),
        Ok(Parsed::Run(args)) => run(&args, out, err),
        Err(failure) => Err(failure),
    };
    done.unwrap_or_else(|failure| {
        // Nowhere is left to tell it if this fails, too.
        let _ = writeln!(err, "{failure}");
        failure.exit
    })
}

fn run(args: &Args, out: &mut dyn Write, err: &mut dyn Write) -> Result<Exit, Failure> {
    let no_file = || Failure::command_line("No keyfile specified");
    match (&args.generate, args.delete) {
        (Some(_), true) => Err(Failure::command_line("Can't specify both -g and -d")),
        (Some(spec), false) => {
            let path = args.files.first().ok_or_else(no_file)?;
            generate(spec, path, args, out, err)
        }
        (None, true) => {
            args.files.first().ok_or_else(no_file)?;
            writeln!(
                err,
                "-d deletes from key stores of Windows only; here a key is a file, delete that"
            )
            .map_err(cannot_print)?;
            Ok(Exit::Success)
        }
        (None, false) if args.files.is_empty() => {
            writeln!(
                err,
                "No key file is named, so there is none to show (--help lists the options)"
            )
            .map_err(cannot_print)?;
            Ok(Exit::Success)
        }
        (None, false) => show_all(args, out, err),
    }
}

fn generate(
    spec: &str,
    path: &Path,
    args: &Args,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<Exit, Failure> {
    let spec: KeySpec = spec
        .parse()
        .map_err(|why| Failure::command_line(format!("{why} (option -g)")))?;
    let failed = |why: &dyn std::fmt::Display| {
        Failure::command_line(format!(
            "{}: {why}\nError generating/storing key",
            path.display()
        ))
    };
    let key = PrivateKey::generate(spec).map_err(|why| failed(&why))?;
    file::save(path, &key).map_err(|why| failed(&why))?;
    show(path, &key, args, out, err).map_err(cannot_print)?;
    if let Some(caution) = spec.caution() {
        writeln!(err, "Warning: {caution}").map_err(cannot_print)?;
    }
    Ok(Exit::Success)
}

fn show_all(args: &Args, out: &mut dyn Write, err: &mut dyn Write) -> Result<Exit, Failure> {
    let mut exit = Exit::Success;
    for path in &args.files {
        match file::load(path) {
            Ok(key) => show(path, &key, args, out, err),
            Err(why) => {
                exit = Exit::CommandLine;
                writeln!(err, "{why}\n{}: no such key", path.display())
            }
        }
        .map_err(cannot_print)?;
    }
    Ok(exit)
}

fn show(
    path: &Path,
    key: &PrivateKey,
    args: &Args,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<()> {
    let public = key.public();
    writeln!(err, "{}: {public:?}", path.display())?;
    if let Err(why) = public.check_words() {
        writeln!(err, "Warning: {}: {why}", path.display())?;
    }
    if args.json {
        writeln!(out, "{}", json(path, public))?;
    }
    if args.public {
        let pem = public.to_pem().map_err(io::Error::other)?;
        out.write_all(&pem)?;
    }
    Ok(())
}

fn json(path: &Path, key: &PublicKey) -> serde_json::Value {
    let file = path.to_string_lossy();
    let fingerprint = key.fingerprint().to_string();
    match key.kind() {
        KeyKind::Rsa { bits } => serde_json::json!({
            "file": file, "type": "RSA", "bits": bits, "fingerprint": fingerprint,
        }),
        KeyKind::Ec(curve) => serde_json::json!({
            "file": file, "type": "ECDSA", "curve": curve.name(), "fingerprint": fingerprint,
        }),
    }
}

fn cannot_print(error: io::Error) -> Failure {
    Failure::command_line(format!("cannot print: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Ran {
        exit: Exit,
        out: String,
        err: String,
    }

    /// Runs in `dir`: words with a dot are files there.
    fn keymgt(dir: &Path, line: &str) -> Ran {
        let args = line.split_whitespace().map(|word| {
            if word.contains('.') {
                dir.join(word).into_os_string()
            } else {
                word.into()
            }
        });
        let args = std::iter::once("uftp_keymgt".into()).chain(args);
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let exit = main(args, &mut out, &mut err);
        let text = |bytes: Vec<u8>| {
            let text = String::from_utf8(bytes).unwrap();
            text.replace(&format!("{}/", dir.display()), "")
        };
        Ran {
            exit,
            out: text(out),
            err: text(err),
        }
    }

    #[test]
    fn makes_a_key_and_shows_it_again() {
        let dir = tempfile::tempdir().unwrap();
        for (spec, kind) in [
            ("rsa:2048", "RSA, 2048 bits"),
            ("ec:secp256r1", "ECDSA, curve prime256v1"),
            ("ec:secp521r1", "ECDSA, curve secp521r1"),
        ] {
            let file = format!("{}.pem", spec.replace(':', "-"));
            let made = keymgt(dir.path(), &format!("-g {spec} {file} more.pem"));
            assert_eq!(made.exit, Exit::Success, "{}", made.err);
            let start = format!("{file}: {kind}, fingerprint: ");
            assert!(made.err.starts_with(&start), "{}", made.err);
            assert_eq!(made.err.len(), start.len() + 60, "20 bytes and a newline");
            assert_eq!(made.out, "");
            assert_eq!(keymgt(dir.path(), &file).err, made.err);
            assert_eq!(keymgt(dir.path(), &format!("-m -- {file}")).err, made.err);
        }
        assert!(!dir.path().join("more.pem").exists());
    }

    #[test]
    fn weak_keys_are_made_with_a_warning() {
        let dir = tempfile::tempdir().unwrap();
        let made = keymgt(dir.path(), "--generate=rsa:1024 a.pem");
        assert_eq!(made.exit, Exit::Success);
        assert!(
            made.err
                .contains("\nWarning: an RSA key of 1024 bits is weak")
        );
    }

    #[test]
    fn failures_end_with_1_and_say_why() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(
            keymgt(dir.path(), "-g ec:prime256v1 a.pem").exit,
            Exit::Success
        );
        std::fs::write(dir.path().join("junk.pem"), "junk").unwrap();
        for (line, says) in [
            (
                "-g ec:prime256v1 a.pem",
                "already exists, won't overwrite\nError generating/storing key\n",
            ),
            (
                "-g ec:prime256v1 none/b.pem",
                "failed to open key file: No such file",
            ),
            ("-g rsa:100 b.pem", "Invalid key size"),
            ("-g rsa:16384 b.pem", "Invalid key size"),
            ("-g rsa:1000 b.pem", "Invalid key size"),
            ("-g ec:foo b.pem", "Invalid curve"),
            ("-g foo b.pem", "Invalid key specification"),
            ("-g rsa b.pem", "Invalid key specification"),
            ("-g rsa:2048", "No keyfile specified\n"),
            ("-d", "No keyfile specified\n"),
            ("-d -g rsa:2048 b.pem", "Can't specify both -g and -d\n"),
            ("gone.pem", "failed to open key file: No such file"),
            ("gone.pem", "\ngone.pem: no such key\n"),
            ("junk.pem", "Failed to read key"),
            ("a.pem junk.pem", "\njunk.pem: no such key\n"),
            ("-q", "unknown option -q\n"),
            ("-g", "option -g (--generate) requires an argument"),
        ] {
            let ran = keymgt(dir.path(), line);
            assert_eq!(ran.exit, Exit::CommandLine, "{line}");
            assert!(ran.err.contains(says), "{line}: {}", ran.err);
        }
        assert!(!dir.path().join("b.pem").exists());
    }

    #[test]
    fn other_keys_are_shown_beside_a_missing_one() {
        let dir = tempfile::tempdir().unwrap();
        keymgt(dir.path(), "-g ec:prime256v1 a.pem");
        let ran = keymgt(dir.path(), "gone.pem a.pem");
        assert!(ran.err.contains("\na.pem: ECDSA, curve prime256v1"));
        assert_eq!(ran.exit, Exit::CommandLine);
    }

    #[test]
    fn what_has_nothing_to_do_succeeds() {
        let dir = tempfile::tempdir().unwrap();
        let ran = keymgt(dir.path(), "");
        assert_eq!(ran.exit, Exit::Success);
        assert!(ran.err.starts_with("No key file is named"), "{}", ran.err);
        assert_eq!(keymgt(dir.path(), "-d x.pem").exit, Exit::Success);
        let help = keymgt(dir.path(), "--help");
        assert_eq!((help.exit, help.err.as_str()), (Exit::Success, ""));
        assert!(help.out.contains("--generate"));
        assert!(keymgt(dir.path(), "--version").out.contains("uftp_keymgt"));
    }

    #[test]
    fn machines_read_standard_output() {
        let dir = tempfile::tempdir().unwrap();
        let made = keymgt(dir.path(), "-g ec:secp384r1 --json a.pem");
        let object: serde_json::Value = serde_json::from_str(&made.out).unwrap();
        assert_eq!(object["type"], "ECDSA");
        assert_eq!(object["curve"], "secp384r1");
        assert!(made.err.contains(object["fingerprint"].as_str().unwrap()));
        let public = keymgt(dir.path(), "--public a.pem");
        assert!(public.out.starts_with("-----BEGIN PUBLIC KEY-----"));
    }
}
