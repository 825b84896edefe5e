//! A sender that says what the test wants.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use uftp_proto::quant::{GroupSizeCode, RttCode};
use uftp_proto::wire::{
    self, Abort, Announce, AnnounceFlags, BlockRef, CcType, Done, DoneConf, FileInfo, FileSeg,
    FileType, FixedPace, Function, Header, Message, Pace, RegConf, Version,
};
use uftp_proto::{FileId, Geometry, GroupId, Instance, Seq, Uid, WireTime};

/// The receiver under test.
pub(crate) const ME: Uid = Uid(0x11);

/// Round trip time code in every header.
const GRTT: RttCode = RttCode(106);

/// The time it stands for: 10.5 ms.
pub(crate) fn g() -> Duration {
    GRTT.duration()
}

/// The sender's side of one session.
#[derive(Clone)]
pub(crate) struct Script {
    pub(crate) version: Version,
    pub(crate) uid: Uid,
    pub(crate) group: GroupId,
    pub(crate) instance: Instance,
    pub(crate) addr: SocketAddr,
    pub(crate) private: IpAddr,
    pub(crate) block_size: u16,
    pub(crate) robust: u8,
    pub(crate) cc: CcType,
    pub(crate) grtt: RttCode,
    /// Number of the next packet.
    pub(crate) seq: Seq,
    /// Contents and layout of the current file.
    pub(crate) content: Vec<u8>,
    pub(crate) file: FileId,
}

impl Default for Script {
    fn default() -> Self {
        Script {
            version: Version::V4,
            uid: Uid(0xAA),
            group: GroupId(0x1234_5678),
            instance: Instance(0),
            addr: SocketAddr::from(([10, 66, 0, 1], 50_000)),
            private: IpAddr::from([230, 5, 5, 7]),
            block_size: 10,
            robust: 10,
            cc: CcType::NONE,
            grtt: GRTT,
            seq: Seq(0),
            content: Vec::new(),
            file: FileId(0),
        }
    }
}

/// Sender's clock in every message.
pub(crate) const STAMP: WireTime = WireTime(1_700_000_000_500_000);

impl Script {
    /// The next packet. Takes a number.
    pub(crate) fn packet(&mut self, message: &Message<'_>) -> Vec<u8> {
        let header = Header {
            version: self.version,
            function: Function::Announce,
            seq: self.seq,
            src: self.uid,
            group: self.group,
            instance: self.instance,
            grtt: self.grtt,
            group_size: GroupSizeCode(24),
            dest: Uid::NONE,
        };
        self.seq = self.seq.next();
        let mut packet = vec![0; 9000];
        let len = wire::encode(&header, message, &mut packet).expect("encodes");
        packet.truncate(len);
        packet
    }

    pub(crate) fn announcement(&self, clients: &[Uid]) -> Announce {
        let unspecified = match self.private {
            IpAddr::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(_) => IpAddr::from([0; 16]),
        };
        let public = match self.private {
            private if private.is_unspecified() => unspecified,
            IpAddr::V4(_) => IpAddr::from([230, 4, 4, 1]),
            IpAddr::V6(_) => "ff12::1".parse().expect("an address"),
        };
        Announce {
            flags: AnnounceFlags::empty(),
            pace: self.pace(),
            timestamp: STAMP,
            public,
            private: self.private,
            encryption: None,
            clients: clients.to_vec(),
        }
    }

    fn pace(&self) -> Pace {
        if self.version == Version::V3 {
            return Pace::Fixed(FixedPace {
                announce_interval: 500,
                status_interval: 500,
                register_interval: 900,
                done_interval: 900,
                announce_time: 2,
                status_time: 3,
                mtu: self.block_size + 56, // headers of IP, UDP, UFTP and FILESEG
            });
        }
        Pace::Adaptive {
            robust: self.robust,
            cc: self.cc,
            block_size: self.block_size,
        }
    }

    pub(crate) fn announce(&mut self, clients: &[Uid]) -> Vec<u8> {
        let announce = self.announcement(clients);
        self.packet(&Message::Announce(announce))
    }

    pub(crate) fn reg_conf(&mut self, clients: &[Uid]) -> Vec<u8> {
        let clients = clients.to_vec();
        self.packet(&Message::RegConf(RegConf { clients }))
    }

    /// Goes on to the next file, of `size` bytes.
    pub(crate) fn next_file(&mut self, size: usize) {
        self.file = self.file.next();
        let salt = self.file.0 as usize;
        self.content = (0..size).map(|i| (i * 7 + i / 251 + salt) as u8).collect();
    }

    pub(crate) fn info(&self, clients: &[Uid]) -> FileInfo {
        FileInfo {
            file: self.file,
            file_type: FileType::REGULAR,
            size: self.content.len() as u64,
            mtime: 1_700_000_000,
            stated_geometry: (self.version == Version::V3).then(|| {
                let geometry = self.geometry();
                (geometry.blocks(), geometry.sections())
            }),
            timestamp: STAMP,
            name: format!("file{}", self.file.0).into_bytes(),
            link: Vec::new(),
            clients: clients.to_vec(),
        }
    }

    pub(crate) fn file_info(&mut self, clients: &[Uid]) -> Vec<u8> {
        let info = self.info(clients);
        self.packet(&Message::FileInfo(info))
    }

    pub(crate) fn geometry(&self) -> Geometry {
        let size = self.content.len() as u64;
        let sectioning = uftp_session::policy::Policy::of(self.version).sectioning;
        Geometry::new(size, self.block_size, sectioning).expect("fits")
    }

    /// Block `block` of the current file.
    pub(crate) fn seg(&mut self, block: u32) -> Vec<u8> {
        let geometry = self.geometry();
        let (section, index) = geometry.locate(block).expect("a block of the file");
        let from = geometry.offset(block) as usize;
        let data = self.content[from..from + geometry.block_len(block)].to_vec();
        self.seg_at(section, index as u16, &data)
    }

    /// Any data anywhere.
    pub(crate) fn seg_at(&mut self, section: u16, block: u16, data: &[u8]) -> Vec<u8> {
        let file = self.file;
        self.packet(&Message::FileSeg(FileSeg {
            file,
            at: BlockRef::InSection { section, block },
            tfmcc: None,
            data,
        }))
    }

    /// Asks for the current file.
    pub(crate) fn done(&mut self, clients: &[Uid]) -> Vec<u8> {
        let section = self.geometry().last_section();
        self.done_for(self.file, section, clients)
    }

    pub(crate) fn done_for(&mut self, file: FileId, section: u16, clients: &[Uid]) -> Vec<u8> {
        self.packet(&Message::Done(Done {
            file,
            pass: 0,
            section,
            clients: clients.to_vec(),
        }))
    }

    pub(crate) fn group_done(&mut self, clients: &[Uid]) -> Vec<u8> {
        self.done_for(FileId::SESSION, 0, clients)
    }

    pub(crate) fn done_conf(&mut self, clients: &[Uid]) -> Vec<u8> {
        let clients = clients.to_vec();
        self.packet(&Message::DoneConf(DoneConf { clients }))
    }

    pub(crate) fn abort(&mut self, host: Uid, current_file: bool) -> Vec<u8> {
        self.packet(&Message::Abort(Abort {
            current_file,
            host,
            reason: "enough".to_owned(),
        }))
    }
}
