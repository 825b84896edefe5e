//! Packets of 4.10.2 that the description of protocol 4 prints (wire-v4 §14).

use uftp_proto::FileId;
use uftp_proto::quant::{RateCode, UNLIMITED_RATE};
use uftp_proto::wire::{self, BlockRef, CcFlags, Header, Message, Pace};

use crate::vectors::unhex;

/// A session in the clear in which a file of 5000 bytes goes to one receiver, but for its data.
const SESSION: [&str; 8] = [
    "40010000a0000001e5af0166007f00000106000a000005146b013ee10005a2c6e6040401e6050562",
    "40020000c0000001e5af016600000000020b00006b013ee10005a313\
     0000000000000000000000000000000000000000000000000000000000000000",
    "40040001a0000001e5af0166006a180004010000c0000001",
    "4007000ba0000001e5af0166006a1800070900010000000002000000000013886b013ee06b013ee1000c126f\
     612e62696e000000c0000001",
    "40080001c0000001e5af01660000000008040001000000006b013ee1000c1352",
    "400a0010a0000001e5af0166006a18000a02000100000000c0000001",
    "400c0002c0000001e5af0166000000000c02000100000000",
    "400d0012a0000001e5af0166006a18000d010000c0000001",
];

/// One under congestion control: how its data begin, and what is said of the rate.
const DATA_HEAD: &str = "4009000ca00000014441128e006a180009040001000000000202a3d50000481e";
const CONTROL: [&str; 2] = [
    "4014000da00000014441128e006a1800140400000000481e6b01406b00001997c0000001076a0000",
    "40150002c00000014441128e0000000015060000030506000000b7d4c00000016b01406b0000199a",
];

fn decode(packet: &[u8]) -> (Header, Message<'_>) {
    let header = wire::decode_header(packet).unwrap();
    let message = wire::decode(header.version, header.function, &packet[Header::LEN..]);
    (header, message.unwrap())
}

#[test]
fn they_are_read_and_written_again() {
    for packet in SESSION.iter().chain(&CONTROL).map(|hex| unhex(hex)) {
        let (header, message) = decode(&packet);
        let mut again = vec![0; packet.len()];
        let len = wire::encode(&header, &message, &mut again).unwrap();
        assert_eq!(again[..len], packet, "{message:?}");
    }
}

#[test]
fn they_say_what_the_description_says() {
    let [announce, .., info, _, _, _, _] = SESSION.map(unhex);
    let Message::Announce(announce) = decode(&announce).1 else {
        panic!("no ANNOUNCE");
    };
    assert!(matches!(
        announce.pace,
        Pace::Adaptive {
            robust: 10,
            block_size: 1300,
            ..
        }
    ));
    let Message::FileInfo(info) = decode(&info).1 else {
        panic!("no FILEINFO");
    };
    assert_eq!((info.name.as_slice(), info.size), (&b"a.bin"[..], 5000));

    let data = [unhex(DATA_HEAD), vec![7; 1300]].concat();
    let Message::FileSeg(data) = decode(&data).1 else {
        panic!("no FILESEG");
    };
    assert_eq!((data.file, data.data.len()), (FileId(1), 1300));
    assert_eq!(
        data.at,
        BlockRef::InSection {
            section: 0,
            block: 0
        }
    );
    let rates = data.tfmcc.unwrap();
    assert_eq!(rates.cc_rate, RateCode::from_rate(UNLIMITED_RATE));

    let [control, report] = CONTROL.map(unhex);
    let Message::CongCtrl(control) = decode(&control).1 else {
        panic!("no CONG_CTRL");
    };
    assert!(control.items[0].flags.contains(CcFlags::CLR));
    let Message::CcAck(report) = decode(&report).1 else {
        panic!("no CC_ACK");
    };
    assert!(report.info.flags.contains(CcFlags::START));
}
