//! What the programs of 5.x take and refuse where those of 4.x do otherwise, and how the spellings of
//! both are told apart: command lines of ours, each with the code it ends with and what it says.

use std::{fs, process::Command};

use uftp_tests::{Result, Suite, World, patience, write_file};

/// A command line, the code it ends with, and what is said of it. `PRINT` stands for a fingerprint,
/// `HERE` for the directory of the lists.
type Line = (&'static str, i32, &'static str);

const FOUR: &str = "Speaking protocol 4, for";
const PLAIN: &str = "Nothing is encrypted there without -Y";
const FINE: &str = "everything is in order";

/// Of the sender: nothing else is said than this and that all is well.
const UFTP: &[Line] = &[
    ("", 0, ""),
    ("-Y none", 0, ""),
    ("-Y aes128-gcm", 0, ""),
    ("-Y aes256-gcm", 0, ""),
    ("-Y aes128-ccm", 0, ""),
    ("-Y aes256-ccm", 0, ""),
    ("-h sha256", 0, ""),
    ("-h sha384", 0, ""),
    ("-h sha512", 0, ""),
    ("-e secp256r1", 0, ""),
    ("-e prime256v1", 0, ""),
    ("-e secp384r1", 0, ""),
    ("-e secp521r1", 0, ""),
    ("-K rsa:2048", 0, ""),
    ("-K rsa:1024", 0, "weak"),
    ("-K rsa:3072", 0, "more than UFTP 4.x peers take"),
    ("-K ec:secp256r1", 0, ""),
    ("-K ec:secp384r1", 0, ""),
    ("-K ec:secp521r1", 0, ""),
    ("-c", 0, ""),
    ("-Y none -c", 0, ""),
    // What 5.x has a spelling for and does not take: it must not lead to a session of 4, in the clear.
    (
        "-K rsa:512",
        1,
        "Invalid new key length: 512: expected 1024",
    ),
    ("-K rsa:3104", 1, "Invalid new key length: 3104"),
    ("-K rsa:2049", 1, "Invalid key size"),
    ("-K rsa:", 1, "Invalid key size"),
    ("-K ec:", 1, "Invalid curve"),
    ("-K ec:secp256k1", 1, "Invalid curve: secp256k1"),
    ("-e secp256k1", 1, "Invalid curve: secp256k1"),
    ("-Y none -e secp256k1", 1, "Invalid curve: secp256k1"),
    ("-e P-256", 1, "Invalid keyextype"),
    ("-K rsa", 1, "Invalid new key length"),
    ("-K ec", 1, "Invalid new key length"),
    ("-K junk", 1, "Invalid new key length"),
    ("-Y AES256-GCM", 1, "Invalid keytype"),
    ("-h md5", 1, "Invalid hashtype"),
    ("-k /no/key", 3, "failed to open key file"),
    ("-k file", 3, "Failed to read key"),
    ("-k large", 3, "too large"),
    ("-k small", 3, "too small"),
    ("-k other", 3, "secp256k1 is not in this protocol"),
    // Without encryption keys mean nothing.
    ("-Y none -k /no/key", 0, ""),
    ("-Y none -K junk", 0, ""),
    ("-Y none -K rsa:512", 0, ""),
];

/// What only 4.x has: by itself it selects protocol 4, which is said once; beside the choice of
/// protocol 5 it is refused.
const OF_4: &[&str] = &[
    "-Y des",
    "-Y 3des",
    "-Y aes128-cbc",
    "-Y aes256-cbc",
    "-h sha1",
    "-h sha1 -Y aes256-gcm",
    "-w hmac",
    "-w keyex",
    "-w keyex -Y aes256-cbc -h sha1 -e rsa -K 1024",
    "-e rsa",
    "-e ecdh_rsa",
    "-e ecdh_ecdsa",
    "-e ecdh_rsa:secp384r1 -Y aes256-gcm",
    "-e ecdh_ecdsa:secp256k1",
    "-K 1024",
    "-K secp384r1",
    "-K 2048 -Y aes256-gcm",
    "-Y none -K 512",
    "-Y none -h sha1",
];

/// Of the receiver; `-D` and `-I lo` go before them.
const UFTPD: &[Line] = &[
    ("-E", 0, FINE),
    ("--require-encryption --refuse-weak", 0, FINE),
    ("-S five", 0, FINE),
    ("-S four", 0, FINE),
    ("-S four -M 232.4.4.4", 0, FINE),
    ("-S five -S four", 0, FINE),
    ("-S noip", 1, "Missing IP in server config"),
    ("-o", 1, "SSM mode enabled but no server list specified"),
    ("-o -M 232.4.4.4", 1, "SSM mode enabled but no server list"),
    (
        "-o -S four",
        1,
        "Invalid source specific multicast address: 230.4.4.1",
    ),
    ("-o -S direct -M 232.4.4.4", 0, FINE),
    (
        "-o -S five -M 232.4.4.4",
        1,
        "0x000000B3 of a sender is not in the proxy list",
    ),
    (
        "-o -S five -M 232.4.4.4 -R others",
        1,
        "not in the proxy list",
    ),
    ("-o -S five -M 232.4.4.4 -R proxies", 0, FINE),
    // Lists add up.
    ("-o -S five -M 232.4.4.4 -R proxies -R others", 0, FINE),
    ("-S five -R proxies -r 127.0.0.1", 0, FINE),
    ("-S five -R proxies -R 127.0.0.1", 0, FINE),
    ("-R five", 1, "is not a key fingerprint"),
    ("-R noip", 1, "Missing IP in proxy config"),
    ("-R /no/list", 1, "Invalid proxy address /no/list"),
    ("-R 127.0.0.1", 0, FINE),
    ("-R 127.0.0.1/PRINT", 0, FINE),
    ("-r 127.0.0.1", 0, FINE),
    ("-r 127.0.0.1/PRINT", 0, FINE),
    ("-r 127.0.0.1/zz", 1, "expected 20 bytes in hex"),
    (
        "-r /",
        1,
        "Invalid proxy address /: Invalid host name (option -r)",
    ),
    ("-r proxies", 1, "(option -r)"),
    ("-k key,large", 0, FINE),
    ("-k key -k large", 0, FINE),
    ("-k nokey", 3, "failed to open key file"),
    ("-K rsa:3072", 0, "more than UFTP 4.x peers take"),
    ("-K rsa:2048,ec:secp384r1", 0, FINE),
    (
        "-K rsa:3104",
        0,
        "more than the messages of protocol 5 have room for",
    ),
    ("-K rsa", 1, "Invalid keyinfo entry"),
    ("-K ec", 1, "Invalid keyinfo entry"),
    ("-K rsa:100", 1, "Invalid RSA key size"),
    ("-K ec:P-256", 1, "Invalid EC curve"),
    ("--protocols 4,5", 0, FINE),
    ("--protocols 6", 1, "expected 3, 4 or 5"),
];

/// Of the proxy; `-I lo` goes before them.
const UFTPPROXYD: &[Line] = &[
    ("", 1, "Either -s, -c, or -r must be specified"),
    ("-c -r", 1, "Only one of -s, -c, -r may be specified"),
    ("-c", 0, FINE),
    ("-r", 0, FINE),
    ("-r:secp384r1", 0, FINE),
    ("-r -e secp384r1", 0, FINE),
    ("-r -e junk", 1, "Invalid curve"),
    ("-c -e junk", 1, "Invalid curve"),
    ("-s 127.0.0.1 -M 230.9.9.9,ff15::1", 0, FINE),
    ("-s fp=PRINT", 0, FINE),
    ("-s fp=zz", 1, "Failed to parse downstream fingerprint"),
    ("-s /", 1, "Invalid host name"),
    (
        "-r -o -M 232.1.1.1",
        1,
        "SSM mode enabled but no server list",
    ),
    ("-r -o -S four -M 232.1.1.1", 0, FINE),
    (
        "-r -o -S four",
        1,
        "Invalid source specific multicast address",
    ),
    ("-s 127.0.0.1 -o -S four -M 232.1.1.1", 0, FINE),
    ("-r -S four", 0, FINE),
    ("-r -S five", 0, FINE),
    ("-r -S noip", 1, "Missing IP"),
    ("-c -C four", 1, "is not a key fingerprint"),
    ("-c -C clients", 0, FINE),
    ("-c -k key,large", 0, FINE),
    ("-c -k nokey", 3, "failed to open key file"),
    ("-c -K ec:secp256r1,rsa:1024", 0, "weak"),
    ("-c -K junk", 1, "Invalid keyinfo entry"),
    ("-c --refuse-weak --require-encryption", 0, FINE),
];

struct Place {
    world: World,
    print: String,
}

impl Place {
    fn new(label: &str) -> Result<Self> {
        let world = World::new(label, 1)?;
        let mut place = Place {
            world,
            print: String::new(),
        };
        for (name, spec) in [
            ("key", "ec:secp256r1"),
            ("small", "rsa:512"),
            ("large", "rsa:3104"),
            ("other", "ec:secp256k1"),
        ] {
            let (_, told) = place.run("uftp_keymgt", None, &format!("-g {spec} {name}"))?;
            let print = told.split("fingerprint: ").nth(1);
            let print = print.and_then(|print| print.split_whitespace().next());
            print.unwrap_or_default().clone_into(&mut place.print);
        }
        let print = &place.print;
        for (name, text) in [
            (
                "five",
                format!("0xA1|10.0.0.1|0\n\n# a remark\n0xA2|10.0.0.2|0xB3|{print}\n"),
            ),
            ("direct", "0xA1|10.0.0.1|0\n".to_owned()),
            ("four", format!("0xA1|10.0.0.1\n0xA2|10.0.0.2|{print}\n")),
            ("noip", "0xA1\n".to_owned()),
            ("proxies", format!("0xB3|10.0.0.3|{print}\n\n# a remark\n")),
            ("others", "0xB4|10.0.0.3\n".to_owned()),
            ("clients", format!("0x11|{print}\n0x12\n")),
        ] {
            fs::write(place.world.dir().join(name), text)?;
        }
        place.world.make_dir("dest")?;
        write_file(&place.world.dir().join("file"), 100)?;
        Ok(place)
    }

    /// Exit code and words of a program; `protocol` is in its environment.
    fn run(
        &self,
        program: &str,
        protocol: Option<&str>,
        line: &str,
    ) -> Result<(Option<i32>, String)> {
        let dir = self.world.dir();
        let here = dir.display().to_string();
        let line = line.replace("PRINT", &self.print).replace("HERE", &here);
        let mut command: Command = self.world.command(0, &Suite::Ours.program(program)?);
        command.current_dir(dir);
        command.envs(protocol.map(|protocol| ("UFTP_PROTOCOL", protocol)));
        let output = command.args(line.split_whitespace()).output()?;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        Ok((output.status.code(), said))
    }

    fn expect(&self, program: &str, before: &str, lines: &[Line]) -> Result<()> {
        let mut wrong = String::new();
        for (line, code, words) in lines {
            let (ended, said) = self.run(program, None, &format!("{before} {line}"))?;
            let all_is_well = said.contains(FINE) == (*code == 0);
            if ended != Some(*code) || !said.contains(words) || !all_is_well {
                wrong += &format!("{program} {line}: {ended:?}: {said}\n");
            }
        }
        assert!(wrong.is_empty(), "{wrong}");
        Ok(())
    }
}

#[test]
fn of_the_sender() -> Result<()> {
    let place = Place::new("spell5")?;
    place.expect("uftp", "-I lo --check file", UFTP)?;
    for (line, code, words) in UFTP {
        let (_, said) = place.run("uftp", None, &format!("-I lo --check file {line}"))?;
        assert!(!said.contains(FOUR), "{line}: {said}");
        let warned = said.contains("Warning");
        assert_eq!(warned, *code == 0 && !words.is_empty(), "{line}: {said}");
    }
    Ok(())
}

/// The command line comes before the environment.
#[test]
fn what_only_4_has() -> Result<()> {
    let place = Place::new("spell4")?;
    for line in OF_4 {
        let line = format!("-I lo --check file {line}");
        let first = |said: &str| said.matches(FOUR).count();
        let (code, said) = place.run("uftp", None, &line)?;
        assert_eq!((code, first(&said)), (Some(0), 1), "{line}: {said}");
        assert_eq!(said.contains(PLAIN), !line.contains("-Y"), "{line}: {said}");
        for (environment, option, taken) in [
            (Some("4"), "", true),
            (None, "--protocol 4", true),
            (Some("5"), "--protocol 4", true),
            (Some("5"), "", false),
            (None, "--protocol 5", false),
            (Some("4"), "--protocol 5", false),
        ] {
            let line = format!("{option} {line}");
            let (code, said) = place.run("uftp", environment, &line)?;
            assert_eq!(code, Some(i32::from(!taken)), "{line}: {said}");
            assert_eq!(first(&said), 0, "{line}: {said}");
            let refused = said.contains("does not exist in protocol 5, which was chosen");
            assert_eq!(refused, !taken, "{line}: {said}");
        }
    }
    Ok(())
}

/// `UFTP_PROTOCOL` is the sender's; nothing in it is nothing said.
#[test]
fn the_environment() -> Result<()> {
    let place = Place::new("spellenv")?;
    for (value, code, words) in [
        ("3", 0, FINE),
        ("4", 0, FINE),
        ("5", 0, FINE),
        ("", 0, FINE),
        ("6", 1, "environment: Invalid protocol: expected 3, 4 or 5"),
        ("five", 1, "environment: Invalid protocol"),
    ] {
        let (ended, said) = place.run("uftp", Some(value), "-I lo --check file")?;
        assert_eq!(ended, Some(code), "{value}: {said}");
        assert!(said.contains(words), "{value}: {said}");
    }
    for line in ["uftpd -I lo -D HERE/dest", "uftpproxyd -I lo -c"] {
        let (program, line) = line.split_once(' ').unwrap_or((line, ""));
        let (ended, said) = place.run(program, Some("junk"), &format!("--check {line}"))?;
        assert_eq!(ended, Some(0), "{said}");
    }
    Ok(())
}

#[test]
fn of_the_receiver() -> Result<()> {
    Place::new("spelld")?.expect("uftpd", "-I lo -D HERE/dest --check", UFTPD)
}

#[test]
fn of_the_proxy() -> Result<()> {
    Place::new("spellp")?.expect("uftpproxyd", "-I lo --check", UFTPPROXYD)
}

/// What is in force when nobody says anything, as the sender tells it.
#[test]
fn defaults() -> Result<()> {
    let world = World::new("spelldef", 1)?;
    let file = world.dir().join("file");
    write_file(&file, 100)?;
    for (protocol, told, untold) in [
        (
            None,
            &[
                "Loaded ECDSA key with curve prime256v1",
                "Loaded ECDH key with curve prime256v1",
            ][..],
            "unencrypted",
        ),
        (Some("4"), &["Data leaves unencrypted"], "Loaded"),
    ] {
        let sender = world.sender(Suite::Ours, 0);
        let sender = match protocol {
            None => sender.default_protocol(),
            Some(protocol) => sender.protocol(protocol),
        };
        let mut sender = sender.invite(&[1]).file(&file).start()?;
        let exit = sender.program().wait(patience())?;
        let said = sender.program().output();
        assert_eq!(exit.code, Some(7), "{said}");
        for words in told {
            assert!(said.contains(words), "{said}");
        }
        assert!(!said.contains(untold), "{said}");
    }
    Ok(())
}
