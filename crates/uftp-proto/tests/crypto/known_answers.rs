//! The known answers of wire-v4 §14.

use uftp_proto::crypto::{
    Binding, Cipher, GroupMaster, Hash, KeyExchange, Premaster, SignatureType, Suite,
};
use uftp_proto::quant::{GroupSizeCode, RttCode};
use uftp_proto::wire::{Function, Header, Version};
use uftp_proto::{GroupId, Instance, Seq, Uid};

use super::vectors::{ip, unhex};

fn range(from: u8, n: u8) -> Vec<u8> {
    (from..from + n).collect()
}

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().unwrap()
}

fn suite(hash: Hash, cipher: Cipher) -> Suite {
    Suite {
        cipher,
        hash,
        key_exchange: KeyExchange::Rsa,
        signature: if cipher.is_aead() {
            SignatureType::Aead
        } else {
            SignatureType::Hmac
        },
        client_auth: false,
    }
}

fn binding(suite: Suite) -> Binding {
    Binding {
        version: Version::V4,
        suite,
        group: GroupId(0x1234_5678),
        private: ip(&[0xe6, 5, 5, 0x62]),
        server_random: array(&range(0, 32)),
        client_random: array(&range(0x20, 32)),
    }
}

fn group_master() -> GroupMaster {
    let mut bytes = vec![0x40];
    bytes.extend(range(0x80, 47));
    GroupMaster::from_bytes(&array(&bytes))
}

struct Row {
    hash: Hash,
    master48: &'static str,
    master20: &'static str,
    client_key: &'static str,
    client_salt: &'static str,
    group_key: &'static str,
    group_salt: &'static str,
    verify_data: &'static str,
    hmac_key: &'static str,
}

const ROWS: [Row; 4] = [
    Row {
        hash: Hash::Sha1,
        master48: "706a960db2344f0dd9e798cae4eb6e4c7590e903624e7e5fb1e820b429be9e44f58ae95c296138b9f73bd79e8e577e10",
        master20: "03f42b3d74ee4b54b816498a312161b51c8f784c33fe165c26a4757990581236bd80efd6e888f256a9565287f6522c77",
        client_key: "c2bf122e9338718c018e487f76263ce5",
        client_salt: "4e950fe7",
        group_key: "79d309db578f733818d60ac3b61ecb8e",
        group_salt: "808071d1",
        verify_data: "34f5ffbc78f4e98dc1431df8",
        hmac_key: "5872acebb9848f1f11b952dd0d0488f72170255c",
    },
    Row {
        hash: Hash::Sha256,
        master48: "b7276583292f1c56bdad491e16167fb49309b0ec6bec9eb056534d90deebf7f1de24a6f5966ba1083c185809e880e519",
        master20: "c99a64d2ae6bc949168cf4e66d1570e2855be2759fe092a29ffce4ca5d6a2ebef471e36e5ae16e70cd17be106aa1b639",
        client_key: "f6a4cd0b56cec7f5e4194288d6cdb6d7",
        client_salt: "f40f631b",
        group_key: "f5cb348fbdaaa55da35ed6eee3a4e007",
        group_salt: "a0d737b3",
        verify_data: "5bafa71fa279949a4e0b63e9",
        hmac_key: "c0d3fe2f11b1c6bd65f9ce762cf103e9e893f2d192b6207f4db200f9a6e295fa",
    },
    Row {
        hash: Hash::Sha384,
        master48: "318f1538f383c73abd78027c0fa723a4e577d92aa4863f45039532a42f6b70b5c14b0a6da5168543fac8c0875dff411f",
        master20: "74344522392762db3837c2908c152156fc52bd0378128e55c0e2a9595fd288fd3fc388c8c43e7526ae389f102dcca37b",
        client_key: "c3703249731e88afbad2dcbab07dcbf2",
        client_salt: "d8ecadae",
        group_key: "01daedfb0fc9b7ff860e9683cfe56d2c",
        group_salt: "70551781",
        verify_data: "eaad751c7be9efdb646c5c2b",
        hmac_key: "128fb2705e3bea15a7de1ac75326d1a16fe0adaf3a4bb7341200b4a0ad64b781ebf9231700bb0a9b112cb67a38376764",
    },
    Row {
        hash: Hash::Sha512,
        master48: "3b42bdba8dcdc0d09a0885a3f98190b2ad87e78abf4edb66b79b31cce6cd4dc6752028874a584d8ca98a97cc56b7ab77",
        master20: "e2f840e2eb8af5b571bdf3dbff32f1ff883f4c6ee0ad44c7abf853a0bfb90b152847b6d440acd9e95004b466dde126a6",
        client_key: "f04a9d44804a18ebaecd639d121fc593",
        client_salt: "dad9281f",
        group_key: "e2681a418b9555ea0eca5322218397aa",
        group_salt: "78588d3a",
        verify_data: "bac6a140f351fd58c938ee22",
        hmac_key: "6a15319525a3e3f6a8df7cad15ff91b3cb0ae8a9d0cd78412fd66153a5b75aa10c1a7ccfa567f62748d74b8ffe3685f6e9a01eabed7142801fc06c776869e631",
    },
];

#[test]
fn schedules() {
    for row in ROWS {
        let b = binding(suite(row.hash, Cipher::Aes128Cbc));
        let premaster = Premaster::from_bytes(&range(0x40, 48));
        let master = premaster.master_secret(&b).unwrap();
        assert_eq!(master.expose(), unhex(row.master48));
        let short = Premaster::from_bytes(&range(0x40, 20));
        assert_eq!(
            short.master_secret(&b).unwrap().expose(),
            unhex(row.master20)
        );
        let client = master.client_keys(&b).unwrap();
        assert_eq!(client.expose().0, unhex(row.client_key));
        assert_eq!(client.expose().1, unhex(row.client_salt));
        let group = group_master()
            .group_keys(b.version, &b.suite, &b.server_random)
            .unwrap();
        assert_eq!(group.expose().0, unhex(row.hmac_key));
        assert_eq!(group.expose().1, unhex(row.group_key));
        assert_eq!(group.expose().2, unhex(row.group_salt));
        assert_eq!(
            group_master()
                .verify_data(&b, &premaster, None)
                .unwrap()
                .to_vec(),
            unhex(row.verify_data)
        );
    }
}

#[test]
fn keyinfo_entry() {
    // The cipher of a GCM session's KEYINFO is CBC all the same.
    for cipher in [Cipher::Aes128Cbc, Cipher::Aes128Gcm, Cipher::Aes128Ccm] {
        let b = binding(suite(Hash::Sha256, cipher));
        let premaster = Premaster::from_bytes(&range(0x40, 48));
        let client = premaster
            .master_secret(&b)
            .unwrap()
            .client_keys(&b)
            .unwrap();
        let wrapped = client.wrap(&group_master(), Uid(0xa000_0001), 1).unwrap();
        assert_eq!(
            wrapped.to_vec(),
            unhex(
                "050fc16e265411b49e1ece005f9cd69c2f146498c847fe9b79001dbff7e520156fba7a65f7bab3ff2ac95504cb5a96f9"
            )
        );
        let group = client.unwrap(&wrapped, Uid(0xa000_0001), 1).unwrap();
        assert_eq!(group.expose(), group_master().expose());
        // Another sender or counter damages the first block only: it shows later, in KEYINFO_ACK.
        let other = client.unwrap(&wrapped, Uid(0xa000_0002), 1).unwrap();
        assert_ne!(other.expose(), group_master().expose());
        let mut bad = wrapped;
        bad[47] ^= 1;
        assert!(client.unwrap(&bad, Uid(0xa000_0001), 1).is_err());
    }
}

#[test]
fn sealed_packets() {
    let header = Header {
        version: Version::V4,
        function: Function::Done,
        seq: Seq(7),
        src: Uid(0xa000_0001),
        group: GroupId(0x1234_5678),
        instance: Instance(0),
        grtt: RttCode(106),
        group_size: GroupSizeCode(24),
        dest: Uid::NONE,
    };
    let plain = unhex("0a02000100000000c0000001");
    for (cipher, expected) in [
        (
            Cipher::Aes128Cbc,
            "40120007a000000112345678006a180000000000000000020020001048b7ef665ba710fb7aceb1fa0a080a226b67ffd7bd7f92783f9cf509de9d48de1d45f97797ecd717f47e160768808413",
        ),
        (
            Cipher::Aes128Gcm,
            "40120007a000000112345678006a180000000000000000020000001c8221ba1ae7863d76525cabd2ac18bf3e0ea0bd907bf8f1ff1803830c",
        ),
        (
            Cipher::Aes128Ccm,
            "40120007a000000112345678006a180000000000000000020000001c55c4be5cb7a542e019332f6db908676ca92000d452e77b0ed9986b6a",
        ),
    ] {
        let b = binding(suite(Hash::Sha256, cipher));
        let keys = group_master()
            .group_keys(b.version, &b.suite, &b.server_random)
            .unwrap();
        let mut sealer = keys.sealer(None).unwrap();
        let at = Header::LEN + sealer.overhead().prefix;
        let mut packet = vec![0; at + plain.len() + sealer.overhead().suffix];
        packet[at..at + plain.len()].copy_from_slice(&plain);
        let n = sealer.seal(&header, 2, &mut packet, plain.len()).unwrap();
        assert_eq!(packet[..n], unhex(expected), "{cipher}");
        let mut opener = keys.opener().unwrap();
        let opened = opener.open(&mut packet[..n], None).unwrap();
        assert_eq!(*opened.message, plain);
        assert_eq!(opened.counter, 2);
    }
}

#[test]
fn sealing_refuses_what_it_cannot_do() {
    let header = Header {
        version: Version::V4,
        function: Function::Done,
        seq: Seq(0),
        src: Uid(1),
        group: GroupId(2),
        instance: Instance(0),
        grtt: RttCode(0),
        group_size: GroupSizeCode(0),
        dest: Uid::NONE,
    };
    for cipher in [Cipher::Aes256Gcm, Cipher::Aes256Ccm, Cipher::Aes256Cbc] {
        let b = binding(suite(Hash::Sha256, cipher));
        let keys = group_master()
            .group_keys(b.version, &b.suite, &b.server_random)
            .unwrap();
        let mut sealer = keys.sealer(None).unwrap();
        let room = Header::LEN + sealer.overhead().total();
        assert!(sealer.seal(&header, 1, &mut vec![0; room], 0).is_err());
        assert!(sealer.seal(&header, 1, &mut vec![0; room], 32).is_err());
        assert!(sealer.seal(&header, 1, &mut [], 1).is_err());
        assert!(
            sealer
                .seal(&header, 1, &mut vec![0; 70_000], 65_536)
                .is_err()
        );
        assert!(sealer.seal(&header, 1, &mut vec![0; room + 1], 1).is_ok());
    }
    let mut keyex = suite(Hash::Sha256, Cipher::Aes256Cbc);
    keyex.signature = SignatureType::Keyex;
    let keys = group_master()
        .group_keys(Version::V4, &keyex, &[1; 32])
        .unwrap();
    assert!(keys.sealer(None).is_err());
}
