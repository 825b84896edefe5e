//! What a line means as a whole.

use uftp_proto::Uid;
use uftp_proto::wire::FileType;

use super::{uftp, uftpd};
use crate::options::uftp::SendJob;
use crate::options::uftpd::ReceiveJob;

#[tokio::test]
async fn what_is_meant_is_checked_as_a_whole() {
    let mut rng = crate::common::seeded().unwrap();
    for (line, code, want) in [
        ("uftp", 1, "there is nothing to send"),
        ("uftp f -H ", 1, "the host list '' is empty"),
        ("uftp f -H ,", 1, "the host list ',' is empty"),
        ("uftp f -H @/no/list", 1, "Couldn't open destination list"),
        ("uftp -i /no/list", 1, "Couldn't open file list"),
        ("uftp f -X /no/list", 1, "Couldn't open exclude list"),
        ("uftp f -H 1 -j /no/list", 1, "Couldn't open proxy list"),
        (
            "uftp -F /no/file",
            1,
            "Failed to open restart file: /no/file",
        ),
        ("uftp -F x -H 1", 1, "Can't specify both -H and -F"),
        ("uftp -H 1 -F x", 1, "Can't specify both -H and -F"),
        ("uftp -F x -j y", 1, "Can't specify both -j and -F"),
        ("uftp -F x -i y", 1, "Can't specify both -i and -F"),
        ("uftp -i y -F x", 1, "Can't specify both -i and -F"),
        ("uftp -i x -i y", 1, "Can't specify both -i and -F"),
        (
            "uftp -f -z f",
            1,
            "Cannot use restart mode and sync mode together",
        ),
        (
            "uftp -Z -F x",
            1,
            "Cannot use restart mode and sync mode together",
        ),
        (
            "uftp f --protocol 5 -Y des",
            1,
            "-Y des does not exist in protocol 5, which was chosen (option --protocol)",
        ),
        ("uftp f --protocol 5 -w hmac", 1, "-w hmac does not exist"),
        ("uftp f --protocol 5 -e rsa", 1, "-e rsa does not exist"),
        (
            "uftp f -K rsa:4096",
            1,
            "Invalid new key length: 4096: expected 1024 to 3072 bits in protocol 5",
        ),
        ("uftp f -e secp256k1", 1, "Invalid curve: secp256k1"),
        ("uftp @DELETE:", 1, "@DELETE: would delete everything"),
        ("uftp @DELETE:.", 1, "@DELETE:. would delete everything"),
        ("uftp f -I nosuch0", 1, "Invalid name/address nosuch0"),
        ("uftp f -M 230.4.4.1 -P ff15::1", 2, "IP version mismatch"),
        ("uftp f -M ff15::1", 2, "an IPv6 public address"),
        (
            "uftp f -Y aes256-gcm -k /no/key",
            3,
            "/no/key: failed to open key file",
        ),
        ("uftp f -Y aes256-gcm -K 100", 1, "Invalid new key length"),
        (
            "uftp f -Y aes256-gcm -e ecdh_rsa -K ec:secp256r1",
            3,
            "the session cannot be encrypted: key exchange ecdh_rsa needs an RSA key",
        ),
        (
            "uftp f -Y aes256-gcm -h sha512 -K 512 -e ecdh_rsa",
            3,
            "the session cannot be encrypted: an RSA key of 512 bits is too small to sign with sha512",
        ),
        ("uftp f -P 10.0.0.x", 1, "Invalid private address 10.0.0."),
        (
            "uftp f --protocol 3 -U",
            1,
            "Must specify exactly one host with -H for a unicast session: there are 0",
        ),
        (
            "uftp f --protocol 3 -U -H 10.0.0.1,10.0.0.2",
            1,
            "Must specify exactly one host with -H for a unicast session: there are 2",
        ),
        (
            "uftp f --protocol 3 -U -H 0.0.18.52",
            1,
            "Must specify exactly one host with -H for a unicast session: 0.0.18.52 is an id",
        ),
        (
            "uftp f --protocol 4 --unicast -H 10.0.0.1",
            1,
            "--unicast has a meaning in protocol 3 only",
        ),
        (
            "uftp f -I 127.0.0.1 -M ff15::1 -P ff15::x",
            2,
            "IP version mismatch",
        ),
    ] {
        let failure = uftp(line).validate(&mut rng).await.unwrap_err();
        assert!(failure.message.starts_with(want), "{line}: {failure}");
        assert_eq!(failure.exit as u8, code, "{line}: {failure}");
    }
    for (line, code, want) in [
        (
            "uftpd -M 10.0.0.1 -I lo",
            2,
            "10.0.0.1 is not a multicast address",
        ),
        ("uftpd -I lo -t -T /t", 1, "Cannot specify both -t and -T"),
        (
            "uftpd -I lo -s relative",
            1,
            "must specify absolute pathname for postreceive script",
        ),
        ("uftpd -I nosuch0", 1, "Invalid name/address nosuch0"),
        (
            "uftpd -I lo -k /no/key",
            3,
            "/no/key: failed to open key file",
        ),
        (
            "uftpd -I lo -k /no/a,/no/b -K ec:secp256r1",
            1,
            "1 keys are to be made",
        ),
        ("uftpd -I lo -K rsa:100", 1, "Invalid RSA key size"),
        ("uftpd -I lo -o", 1, "SSM mode enabled but no server list"),
        (
            "uftpd -I lo -S /no/list",
            1,
            "Couldn't open server list /no/list",
        ),
        (
            "uftpd -I lo -o -S /dev/null",
            1,
            "Invalid source specific multicast address: 230.4.4.1",
        ),
        (
            "uftpd -I lo -o -S /dev/null -M ff15::1,ff05::1",
            1,
            "Invalid source specific multicast address: ff05::1",
        ),
    ] {
        let failure = uftpd(line).validate().await.unwrap_err();
        assert!(failure.message.starts_with(want), "{line}: {failure}");
        assert_eq!(failure.exit as u8, code, "{line}: {failure}");
    }
}

async fn sending(line: &str) -> SendJob {
    let mut rng = crate::common::seeded().unwrap();
    uftp(line).validate(&mut rng).await.unwrap()
}

async fn receiving(line: &str) -> ReceiveJob {
    uftpd(line).validate().await.unwrap()
}

#[tokio::test]
async fn addresses_and_ids_of_a_sender_get_their_defaults() {
    let job = sending("uftp f -I 127.0.0.1 -p 99").await;
    assert_eq!(job.config.uid, Uid(0x7F00_0001));
    assert_eq!(job.config.public, "230.4.4.1:99".parse().unwrap());
    assert!(job.config.private.to_string().starts_with("230.5.5."));
    assert_ne!(job.config.group.0, 0);
    assert_eq!(job.config.clients, None);

    let job = sending("uftp f -I 127.0.0.1 -M 10.0.0.9 -U 7").await;
    assert_eq!(job.config.private, job.config.public);
    assert_eq!(job.config.uid, Uid(7));
    assert_eq!(job.config.clients, None);
}

#[tokio::test]
async fn a_link_local_address_says_its_link() {
    for (line, public, private) in [
        ("-M fe80::9%lo", "[fe80::9%1]:1044", "[fe80::9%1]:1044"),
        (
            "-M ff12::9%lo -P ff12::5",
            "[ff12::9%1]:1044",
            "[ff12::5]:1044",
        ),
        (
            "-M ff15::9 -P ff12::5%lo",
            "[ff15::9]:1044",
            "[ff12::5%1]:1044",
        ),
    ] {
        let job = sending(&format!("uftp f {line}")).await;
        let (at, then) = (job.config.public, job.config.private);
        assert_eq!(
            (at, then),
            (public.parse().unwrap(), private.parse().unwrap())
        );
        assert!(
            job.interface.name == "lo" || public.starts_with("[ff15"),
            "{line}"
        );
    }
}

#[tokio::test]
async fn a_single_host_of_protocol_3_is_listed_by_its_address() {
    for (line, listed) in [
        ("-M 10.0.0.9", Some(Uid(0x0A00_0009))),
        ("-M 10.0.0.9 -H 0x9", Some(Uid(9))),
        ("-M 10.0.0.9 --min-clients 1", None),
        ("-M 255.255.255.255", None),
        ("-M 230.1.1.1", None),
    ] {
        let line = format!("uftp f --protocol 3 -I 127.0.0.1 {line}");
        let clients = sending(&line).await.config.clients;
        let uids = clients.map(|c| Vec::from_iter(c.iter().map(|c| c.uid)));
        assert_eq!(uids, listed.map(|uid| vec![uid]), "{line}");
    }
}

#[tokio::test]
async fn a_unicast_session_of_protocol_3_goes_to_the_receiver_of_the_list() {
    for letter in ["-U", "--unicast"] {
        let line = format!("uftp f --protocol 3 -I 127.0.0.1 {letter} -H 127.0.0.9");
        let config = sending(&line).await.config;
        assert_eq!(config.public.ip().to_string(), "127.0.0.9");
        assert_eq!(config.private, config.public);
        assert_eq!(config.clients.unwrap()[0].uid, Uid(0x7F00_0009));
    }
}

/// It closes the group as a list of receivers does, unless it is empty.
#[tokio::test]
async fn a_list_of_proxies_may_stand_alone() {
    let dir = tempfile::tempdir().unwrap();
    for (list, listed) in [
        ("0xf0\n", Some(vec![(Uid(0xF0), true)])),
        ("# none\n", None),
    ] {
        let file = dir.path().join("proxies");
        std::fs::write(&file, list).unwrap();
        let line = format!("uftp f -I 127.0.0.1 -j {}", file.display());
        let clients = sending(&line).await.config.clients;
        let clients = clients.map(|c| Vec::from_iter(c.iter().map(|c| (c.uid, c.proxy))));
        assert_eq!(clients, listed, "{list}");
    }
}

#[tokio::test]
async fn each_x_of_a_private_address_becomes_a_number() {
    let mut drawn = std::collections::HashSet::new();
    for _ in 0..20 {
        let job = sending("uftp f -I 127.0.0.1 -P 239.x.x.x -H 0x9").await;
        assert!(job.config.private.to_string().starts_with("239."));
        assert_eq!(job.config.clients.unwrap()[0].uid, Uid(9));
        drawn.insert(job.config.private);
    }
    assert!(drawn.len() > 10);
}

#[tokio::test]
async fn a_receiver_knows_where_files_go() {
    let job = receiving("uftpd -I lo -D /a,/b -D /c -M 230.4.4.1,230.4.4.1").await;
    assert_eq!(job.config.uid, Uid(0x7F00_0001));
    assert_eq!(job.groups.len(), 1);
    assert_eq!(job.store.dest_dirs.len(), 3);
    let job = receiving("uftpd -I lo -D ").await;
    assert_eq!(job.store.dest_dirs, [std::path::PathBuf::from("/tmp")]);

    let line = "uftpd -I lo -D /d -A /a, -A /b -i -s /bin/true -T /t -T /u -N -5 -c 20971520";
    let args = uftpd(line);
    assert_eq!(args.process.priority, -5);
    let job = args.validate().await.unwrap();
    assert_eq!(job.config.cache_size, 20_971_520);
    let store = crate::store::StoreConfig {
        dest_dirs: vec!["/d".into()],
        backup_dirs: vec!["/a".into(), "/b".into()],
        temp_file: false,
        temp_dir: Some("/u".into()),
        move_individually: true,
        post_receive: Some("/bin/true".into()),
        fsync: crate::store::Fsync::File,
        rejected: Vec::new(),
    };
    assert_eq!(job.store, store);
    let job = receiving("uftpd -I lo --no-links --no-delete").await;
    assert_eq!(job.store.rejected, [FileType::SYMLINK, FileType::DELETE]);
    let job = receiving("uftpd -I lo -A  -t -T  -s ").await;
    assert!(job.store.backup_dirs.is_empty() && job.store.temp_dir.is_none());
    assert!(job.store.temp_file);
}
