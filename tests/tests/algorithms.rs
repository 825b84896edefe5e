//! Every combination of algorithms that a session can have, between our programs: one world, one
//! receiver, and a session for each. And which of the reference's sender a receiver takes.

use std::{path::PathBuf, time::Duration};

use uftp_tests::{Failure, Receiver, Result, Suite, World, write_file};

/// The longest a session may take; healthy ones take a tenth of a second.
const BOUND: Duration = Duration::from_secs(60);

const AEAD: [&str; 4] = ["aes128-gcm", "aes256-gcm", "aes128-ccm", "aes256-ccm"];
const CBC: [&str; 4] = ["des", "3des", "aes128-cbc", "aes256-cbc"];
const SHA_2: [&str; 3] = ["sha256", "sha384", "sha512"];
const CURVES_OF_5: [&str; 3] = ["secp256r1", "secp384r1", "secp521r1"];
const CURVES_OF_4: [&str; 25] = [
    "sect163k1",
    "sect163r1",
    "sect163r2",
    "sect193r1",
    "sect193r2",
    "sect233k1",
    "sect233r1",
    "sect239k1",
    "sect283k1",
    "sect283r1",
    "sect409k1",
    "sect409r1",
    "sect571k1",
    "sect571r1",
    "secp160k1",
    "secp160r1",
    "secp160r2",
    "secp192k1",
    "prime192v1",
    "secp224k1",
    "secp224r1",
    "secp256k1",
    "prime256v1",
    "secp384r1",
    "secp521r1",
];

/// A receiver that refuses what is plain, to whom sessions are sent one after the other.
struct Series<'w> {
    world: &'w World,
    content: PathBuf,
    receiver: Receiver,
    /// A configuration of OpenSSL that has DES.
    legacy: PathBuf,
    done: u64,
}

impl<'w> Series<'w> {
    fn new(world: &'w World) -> Result<Self> {
        let legacy = world.openssl_with_des()?;
        let receiver = world.receiver(Suite::Ours, 1).args(&["-E"]);
        Ok(Self {
            world,
            content: world.make_dir("content")?,
            receiver: receiver.environment("OPENSSL_CONF", &legacy).start()?,
            legacy,
            done: 0,
        })
    }

    /// A key on a file, so that not every session makes one.
    fn key(&self, spec: &str) -> Result<String> {
        let (path, _) = self.world.make_key(&spec.replace(':', "-"), spec)?;
        Ok(path)
    }

    /// One session with these options, which replaces the file by another.
    fn carries(&mut self, protocol: &'static str, options: &[&str]) -> Result<()> {
        self.done += 1;
        write_file(&self.content.join("file"), 5000 + self.done)?;
        let sent = self
            .world
            .sender(Suite::Ours, 0)
            .protocol(protocol)
            .environment("OPENSSL_CONF", &self.legacy)
            .invite(&[1])
            .args(options)
            .files_of(&self.content)?
            .run(BOUND)?;
        sent.ended_with(0)
            .and_then(|()| self.receiver.holds(&self.content))
            .map_err(|failure| Failure::new(format!("{options:?}: {failure}")))
    }

    /// Goes on with a receiver that has this key.
    fn towards(mut self, key: &str) -> Result<Self> {
        self.receiver.stop()?;
        let receiver = self.world.receiver(Suite::Ours, 1).args(&["-E", "-k", key]);
        self.receiver = receiver.start()?;
        Ok(self)
    }

    fn over(self, sessions: usize) -> Result<()> {
        self.receiver.reported_copied(sessions)?;
        self.receiver.stop().map(drop)
    }
}

#[test]
fn protocol_5() -> Result<()> {
    let world = World::new("product5", 2)?;
    let mut series = Series::new(&world)?;
    let key = series.key("ec:secp256r1")?;
    for cipher in AEAD {
        for hash in SHA_2 {
            for curve in CURVES_OF_5 {
                let suite = ["-Y", cipher, "-h", hash, "-e", curve, "-k", &key];
                series.carries("5", &suite)?;
            }
        }
    }
    series.over(4 * 3 * 3)
}

/// Whatever kind of key the sender has, and whatever kind the receiver's.
#[test]
fn identities_of_protocol_5() -> Result<()> {
    let kinds = [
        "rsa:1024",
        "rsa:2048",
        "rsa:3072",
        "ec:secp256r1",
        "ec:secp384r1",
        "ec:secp521r1",
    ];
    let world = World::new("identities5", 2)?;
    let mut series = Series::new(&world)?;
    let keys: Vec<_> = kinds
        .iter()
        .map(|kind| series.key(kind))
        .collect::<Result<_>>()?;
    for theirs in &keys {
        series = series.towards(theirs)?;
        for ours in &keys {
            series.carries("5", &["-c", "-k", ours])?;
        }
    }
    series.over(6 * 6)
}

/// With a MAC for each packet, or a seal; and the other ciphers with a signature for each.
#[test]
fn protocol_4() -> Result<()> {
    let world = World::new("product4", 2)?;
    let mut series = Series::new(&world)?;
    let rsa = series.key("rsa:2048")?;
    let ec = series.key("ec:prime256v1")?;
    for cipher in [&AEAD[..], &CBC].concat() {
        for hash in [&["sha1"][..], &SHA_2].concat() {
            for (exchange, key) in [("rsa", &rsa), ("ecdh_rsa", &rsa), ("ecdh_ecdsa", &ec)] {
                let suite = ["-Y", cipher, "-h", hash, "-e", exchange, "-k", key];
                series.carries("4", &suite)?;
                if CBC.contains(&cipher) {
                    series.carries("4", &[&suite[..], &["-w", "keyex"]].concat())?;
                }
            }
        }
    }
    series.over(8 * 4 * 3 + 4 * 4 * 3)
}

#[test]
fn curves_of_protocol_4() -> Result<()> {
    let world = World::new("curves4", 2)?;
    let mut series = Series::new(&world)?;
    let rsa = series.key("rsa:2048")?;
    for curve in CURVES_OF_4 {
        let ec = series.key(&format!("ec:{curve}"))?;
        for (exchange, key) in [("ecdh_rsa", &rsa), ("ecdh_ecdsa", &ec)] {
            let exchange = format!("{exchange}:{curve}");
            series.carries("4", &["-Y", "aes256-gcm", "-e", &exchange, "-k", key, "-c"])?;
        }
    }
    series.over(25 * 2)
}

/// What the reference's sender is told, and the words of a refusal by 5.0.1's rule; `None` if that
/// lets it pass.
const OF_4: [(&str, Option<&str>); 14] = [
    ("-Y none", None),
    ("-Y aes256-gcm -h sha256 -e ecdh_ecdsa", None),
    ("-Y aes128-ccm -h sha512 -e ecdh_ecdsa:secp384r1 -c", None),
    (
        "-Y aes128-gcm -h sha384 -e ecdh_ecdsa:secp521r1 -K secp384r1",
        None,
    ),
    ("-Y aes256-ccm -h sha256 -e ecdh_rsa -K 2048 -c", None),
    ("-Y aes256-gcm -h sha256 -e ecdh_rsa -K 512", None),
    (
        "-Y aes256-gcm -h sha1 -e ecdh_ecdsa",
        Some("Hashtype invalid or not supported here"),
    ),
    // What comes first is said.
    (
        "-Y aes256-cbc -h sha1 -e rsa",
        Some("Hashtype invalid or not supported here"),
    ),
    (
        "-Y aes256-cbc -h sha256 -e ecdh_ecdsa",
        Some("Invalid sigtype specified"),
    ),
    (
        "-Y aes128-cbc -h sha256 -w keyex -e ecdh_ecdsa",
        Some("Invalid sigtype specified"),
    ),
    (
        "-Y aes256-gcm -h sha256 -e rsa -K 1024",
        Some("Invalid keyextype specified"),
    ),
    (
        "-Y 3des -h sha256 -e rsa -K 1024",
        Some("Keytype invalid or not supported here"),
    ),
    (
        "-Y aes256-gcm -h sha256 -e ecdh_ecdsa:secp256k1 -K prime256v1",
        Some("Failed to load server public ECDH key"),
    ),
    (
        "-Y aes256-gcm -h sha256 -e ecdh_ecdsa -K secp256k1",
        Some("Failed to load server public key"),
    ),
];

/// What a receiver takes from a sender of 4.x: all of it by default, what 5.x takes under
/// `--refuse-weak`, and under `-E` nothing plain.
#[test]
fn the_rules_for_senders_of_4() -> Result<()> {
    let world = World::new("rules", 2)?;
    let content = world.make_dir("content")?;
    write_file(&content.join("file"), 10_000)?;
    for (rule, encrypted, strict) in [
        (&[][..], false, false),
        (&["-E"], true, false),
        (&["--refuse-weak"], false, true),
        (&["--require-encryption", "--refuse-weak"], true, true),
    ] {
        let receiver = world.receiver(Suite::Ours, 1).args(rule).start()?;
        for (options, refusal) in OF_4 {
            let expected = match options {
                "-Y none" => encrypted.then_some("No unencrypted transfers allowed"),
                _ => refusal.filter(|_| strict),
            };
            let options: Vec<_> = options.split(' ').collect();
            let mut sender = world
                .sender(Suite::Reference, 0)
                .invite(&[1])
                .args(&options)
                .files_of(&content)?
                .start()?;
            let exit = sender.program().wait(BOUND)?;
            let said = sender.program().output();
            let ended = match expected {
                None => exit.code == Some(0),
                Some(words) => exit.code == Some(7) && said.contains(words),
            };
            if !ended {
                return Err(Failure::new(format!(
                    "{options:?} under {rule:?}: {exit:?} instead of {expected:?}"
                )));
            }
        }
        receiver.holds(&content)?;
        receiver.stop()?;
    }
    Ok(())
}

/// A cipher that OpenSSL lacks at one end, where nothing finds the provider that has it.
#[test]
fn what_openssl_lacks_is_named() -> Result<()> {
    const LACKS: &str = "this system's OpenSSL does not offer des";
    let world = World::new("lacks", 2)?;
    let content = world.make_dir("content")?;
    write_file(&content.join("file"), 10_000)?;
    let nowhere = world.dir().join("nowhere");
    let receiver = world.receiver(Suite::Ours, 1);
    let mut receiver = receiver.environment("OPENSSL_MODULES", &nowhere).start()?;
    let sender = || {
        let sender = world.sender(Suite::Ours, 0).invite(&[1]);
        sender.args(&["-Y", "des", "-K", "1024"]).files_of(&content)
    };

    let mut able = sender()?.start()?;
    let exit = able.program().wait(BOUND)?;
    let told = able.program().output();
    assert_eq!(exit.code, Some(7), "{told}");
    let refusal = "Transfer aborted by 0x00000001: Keytype invalid or not supported here";
    assert!(told.contains(refusal), "{told}");
    receiver.program().says(LACKS)?;
    receiver.stop()?;

    let mut unable = sender()?.environment("OPENSSL_MODULES", &nowhere).start()?;
    let exit = unable.program().wait(BOUND)?;
    let told = unable.program().output();
    assert!(exit.code == Some(1) && told.contains(LACKS), "{told}");
    Ok(())
}
