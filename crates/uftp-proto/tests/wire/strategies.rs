//! Any message a protocol can carry.

use std::net::{IpAddr, Ipv4Addr};

use proptest::prelude::*;
use uftp_proto::quant::{GroupSizeCode, RateCode, RttCode};
use uftp_proto::wire::*;
use uftp_proto::{FileId, GroupId, Instance, Seq, Uid, WireTime};

/// A header, and a message of the same version with every field the protocol has drawn at
/// random and every other at its neutral value.
pub(crate) fn packet() -> impl Strategy<Value = (Header, Message<'static>)> {
    prop::sample::select(&crate::VERSIONS).prop_flat_map(|version| {
        (any_header(version), any_message(version)).prop_map(|(header, message)| {
            let function = message.function();
            (Header { function, ..header }, message)
        })
    })
}

fn is_v3(version: Version) -> bool {
    matches!(version, Version::V3 | Version::V3Sync)
}

fn any_header(version: Version) -> impl Strategy<Value = Header> {
    any::<(u16, u32, u32, u8, u8, u8, u32)>().prop_map(
        move |(seq, src, group, instance, grtt, size, dest)| {
            let old = is_v3(version);
            Header {
                version,
                function: Function::Abort,
                seq: Seq(if old { 0 } else { seq }),
                src: Uid(src),
                group: GroupId(group),
                instance: Instance(if old { 0 } else { instance }),
                grtt: RttCode(if old { 0 } else { grtt }),
                group_size: GroupSizeCode(if old { 0 } else { size }),
                dest: Uid(if old { dest } else { 0 }),
            }
        },
    )
}

pub(crate) fn any_message(version: Version) -> BoxedStrategy<Message<'static>> {
    let common = prop_oneof![
        announce(version).prop_map(Message::Announce),
        register(version).prop_map(Message::Register),
        (key(version), blob(200))
            .prop_map(|(key, signature)| { Message::ClientKey(ClientKey { key, signature }) }),
        ids().prop_map(|clients| Message::RegConf(RegConf { clients })),
        key_info(version).prop_map(Message::KeyInfo),
        verify_data(version)
            .prop_map(|verify_data| { Message::KeyInfoAck(KeyInfoAck { verify_data }) }),
        file_info(version).prop_map(Message::FileInfo),
        (file_id(), any::<bool>(), time(version), ids()).prop_map(
            |(file, partial, echo, clients)| {
                Message::FileInfoAck(FileInfoAck {
                    file,
                    partial,
                    echo,
                    clients,
                })
            }
        ),
        file_seg(version).prop_map(Message::FileSeg),
        (any_file_id(), v3_byte(version), any::<u16>(), ids()).prop_map(
            move |(file, pass, section, clients)| {
                Message::Done(Done {
                    file,
                    pass,
                    section: section_of(version, section),
                    clients,
                })
            }
        ),
        status(version).prop_map(Message::Status),
        complete(version).prop_map(Message::Complete),
        ids().prop_map(|clients| Message::DoneConf(DoneConf { clients })),
        (any::<u32>(), key(version), blob(200)).prop_map(|(nonce, key, signature)| {
            Message::HbReq(HbReq {
                nonce,
                key,
                signature,
            })
        }),
        any::<(u8, u32)>().prop_map(|(code, nonce)| {
            let code = HbCode(code);
            Message::HbResp(HbResp { code, nonce })
        }),
        proxy_key(version).prop_map(Message::ProxyKey),
        abort().prop_map(Message::Abort),
    ];
    let own = match version {
        Version::V3 | Version::V3Sync => prop_oneof![
            Just(Message::KeyReq),
            pr_status().prop_map(Message::PrStatus)
        ]
        .boxed(),
        Version::V4 => prop_oneof![Just(Message::KeyReq), congestion(version)].boxed(),
        Version::V5 => congestion(version),
    };
    prop_oneof![17 => common, 3 => own].boxed()
}

fn congestion(version: Version) -> BoxedStrategy<Message<'static>> {
    prop_oneof![
        cong_ctrl(version).prop_map(Message::CongCtrl),
        tfmcc_ack(version).prop_map(|info| Message::CcAck(CcAck { info })),
    ]
    .boxed()
}

fn ids() -> impl Strategy<Value = Vec<Uid>> {
    prop::collection::vec((1..=u32::MAX).prop_map(Uid), 0..20)
}

fn any_file_id() -> impl Strategy<Value = FileId> {
    any::<u16>().prop_map(FileId)
}

/// Not [`FileId::SESSION`], which in protocol 3 makes an INFO_ACK answer a KEYINFO.
fn file_id() -> impl Strategy<Value = FileId> {
    (1..=u16::MAX).prop_map(FileId)
}

fn time(version: Version) -> BoxedStrategy<WireTime> {
    match version {
        Version::V3 | Version::V3Sync => Just(WireTime(0)).boxed(),
        Version::V4 => any::<u32>()
            .prop_flat_map(|s| (Just(s), 0..1_000_000u32))
            .prop_map(|(s, us)| WireTime::from_parts(s, us))
            .boxed(),
        Version::V5 => any::<u64>().prop_map(WireTime).boxed(),
    }
}

/// Bytes in whole words, at most `max`.
fn blob(max: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<[u8; 4]>(), 0..max / 4).prop_map(|words| words.concat())
}

/// A key blob, or none.
fn key(version: Version) -> BoxedStrategy<Vec<u8>> {
    if !is_v3(version) {
        return blob(200).boxed();
    }
    let rsa = (any::<u32>(), prop::collection::vec(any::<u8>(), 1..200)).prop_map(
        |(exponent, modulus)| {
            let len = u16::try_from(modulus.len()).unwrap();
            let mut blob = vec![1, 0];
            blob.extend(len.to_be_bytes());
            blob.extend(exponent.to_be_bytes());
            blob.extend(modulus);
            blob
        },
    );
    prop_oneof![Just(Vec::new()), rsa].boxed()
}

/// A key of a kind that only protocols 4 and 5 have.
fn dh_key(version: Version) -> BoxedStrategy<Vec<u8>> {
    match is_v3(version) {
        true => Just(Vec::new()).boxed(),
        false => blob(200).boxed(),
    }
}

fn v3_byte(version: Version) -> BoxedStrategy<u8> {
    match is_v3(version) {
        true => any::<u8>().boxed(),
        false => Just(0).boxed(),
    }
}

fn announce(version: Version) -> impl Strategy<Value = Announce> {
    let flags = match version {
        Version::V3 => AnnounceFlags::RESTART,
        Version::V3Sync => AnnounceFlags::all(),
        _ => AnnounceFlags::SYNC | AnnounceFlags::SYNC_PREVIEW,
    };
    let v4 = any::<[Ipv4Addr; 2]>().prop_map(|[a, b]| (IpAddr::V4(a), IpAddr::V4(b)));
    let v6 = any::<[std::net::Ipv6Addr; 2]>().prop_map(|[a, b]| (a.into(), b.into()));
    let addrs = match is_v3(version) {
        true => v4
            .prop_map(|(_, private)| (Ipv4Addr::UNSPECIFIED.into(), private))
            .boxed(),
        false => prop_oneof![v4, v6].boxed(),
    };
    (
        any::<u8>(),
        pace(version),
        time(version),
        addrs,
        prop::option::of(enc_info(version)),
        ids(),
    )
        .prop_map(
            move |(bits, pace, timestamp, (public, private), encryption, clients)| Announce {
                flags: AnnounceFlags::from_bits_truncate(bits) & flags,
                pace,
                timestamp,
                public,
                private,
                encryption,
                clients,
            },
        )
}

fn pace(version: Version) -> BoxedStrategy<Pace> {
    if is_v3(version) {
        any::<([u16; 4], [u8; 2], u16)>()
            .prop_map(|([a, s, r, d], [announce_time, status_time], mtu)| {
                Pace::Fixed(FixedPace {
                    announce_interval: a,
                    status_interval: s,
                    register_interval: r,
                    done_interval: d,
                    announce_time,
                    status_time,
                    mtu,
                })
            })
            .boxed()
    } else {
        any::<(u8, u8, u16)>()
            .prop_map(|(robust, cc, block_size)| Pace::Adaptive {
                robust,
                cc: CcType(cc),
                block_size,
            })
            .boxed()
    }
}

fn enc_info(version: Version) -> impl Strategy<Value = EncInfo> {
    (
        any::<(bool, u8, u8, u8, u8, [u8; 32])>(),
        key(version),
        dh_key(version),
        dh_key(version),
    )
        .prop_map(
            move |((client_auth, exchange, sig, cipher, hash, random), key, dh_key, signature)| {
                EncInfo {
                    client_auth,
                    key_exchange: match version {
                        Version::V3 | Version::V3Sync => 1,
                        Version::V4 => exchange & 15,
                        Version::V5 => 0,
                    },
                    signature_type: match version {
                        Version::V3 | Version::V3Sync => sig,
                        Version::V4 => sig & 15,
                        Version::V5 => 0,
                    },
                    cipher: match is_v3(version) {
                        true => cipher.max(1),
                        false => cipher,
                    },
                    hash,
                    random,
                    key,
                    dh_key,
                    signature,
                }
            },
        )
}

fn register(version: Version) -> impl Strategy<Value = Register> {
    (time(version), any::<[u8; 32]>(), blob(300), ids()).prop_map(|(echo, random, key, clients)| {
        Register {
            echo,
            random,
            key,
            clients,
        }
    })
}

fn key_info(version: Version) -> impl Strategy<Value = KeyInfo> {
    let secret = any::<[[u8; 24]; 2]>().prop_map(|halves| {
        let mut secret = [0; 48];
        secret.copy_from_slice(halves.as_flattened());
        secret
    });
    let counter = match is_v3(version) {
        true => time(Version::V4).prop_map(|t| t.0).boxed(),
        false => any::<u64>().boxed(),
    };
    let signature = match version {
        Version::V5 => blob(200).boxed(),
        _ => Just(Vec::new()).boxed(),
    };
    let keys = prop::collection::vec((any::<u32>().prop_map(Uid), secret), 0..5);
    (counter, signature, keys).prop_map(|(iv_counter, signature, keys)| KeyInfo {
        iv_counter,
        signature,
        keys,
    })
}

fn verify_data(version: Version) -> BoxedStrategy<Vec<u8>> {
    match version {
        Version::V5 => prop::sample::select(&[32, 48, 64])
            .prop_flat_map(|len| prop::collection::vec(any::<u8>(), len))
            .boxed(),
        _ => prop::collection::vec(any::<u8>(), 12).boxed(),
    }
}

fn name(max: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(1..=u8::MAX, 0..=max)
}

fn file_info(version: Version) -> impl Strategy<Value = FileInfo> {
    let file_type = if is_v3(version) { 0..=2 } else { 0..=u8::MAX };
    let size = if is_v3(version) {
        0..=u64::MAX
    } else {
        0..=(1 << 48) - 1
    };
    let mtime = match version {
        Version::V3 => 0..=0,
        Version::V3Sync | Version::V4 => 0..=i64::from(u32::MAX),
        Version::V5 => -1 << 47..=(1 << 47) - 1,
    };
    let text = if is_v3(version) { 149 } else { 300 };
    (
        (file_id(), file_type, size, mtime),
        any::<(u32, u16)>(),
        time(version),
        name(text),
        name(text),
        ids(),
    )
        .prop_map(
            move |((file, file_type, size, mtime), geometry, timestamp, name, link, clients)| {
                let file_type = FileType(file_type);
                let linked = !is_v3(version) || file_type == FileType::SYMLINK;
                FileInfo {
                    file,
                    file_type,
                    size,
                    mtime,
                    stated_geometry: is_v3(version).then_some(geometry),
                    timestamp,
                    name,
                    link: if linked { link } else { Vec::new() },
                    clients,
                }
            },
        )
}

/// Protocol 3 counts from 1 on the wire, so it has one section less.
fn section_of(version: Version, section: u16) -> u16 {
    match is_v3(version) {
        true => section % u16::MAX,
        false => section,
    }
}

fn file_seg(version: Version) -> impl Strategy<Value = FileSeg<'static>> {
    let at = any::<(u8, u16, u16, u32)>().prop_map(move |(pass, section, block, number)| {
        let section = section_of(version, section);
        if is_v3(version) {
            BlockRef::InFile {
                pass,
                section,
                block: number,
            }
        } else {
            BlockRef::InSection { section, block }
        }
    });
    let tfmcc = any::<Option<[u16; 3]>>().prop_map(move |words| {
        let [send_rate, cc_seq, cc_rate] = words.filter(|_| !is_v3(version))?;
        Some(TfmccDataInfo {
            send_rate: RateCode(send_rate),
            cc_seq,
            cc_rate: RateCode(cc_rate),
        })
    });
    (any_file_id(), at, tfmcc, data(0)).prop_map(|(file, at, tfmcc, data)| FileSeg {
        file,
        at,
        tfmcc,
        data,
    })
}

/// Bytes for a message to borrow, given away for the life of the test.
fn data(least: usize) -> impl Strategy<Value = &'static [u8]> {
    prop::collection::vec(any::<u8>(), least..100).prop_map(|bytes| &*bytes.leak())
}

fn tfmcc_ack(version: Version) -> impl Strategy<Value = TfmccAckInfo> {
    (any::<(u8, u16, u16, u32)>(), time(version)).prop_map(
        |((flags, cc_seq, cc_rate, client), echo)| TfmccAckInfo {
            flags: CcFlags::from_bits_truncate(flags),
            cc_seq,
            cc_rate: RateCode(cc_rate),
            client: Uid(client),
            echo,
        },
    )
}

fn status(version: Version) -> impl Strategy<Value = Status<'static>> {
    let tfmcc = match is_v3(version) {
        true => Just(None).boxed(),
        false => prop::option::of(tfmcc_ack(version)).boxed(),
    };
    let naks = data(1).prop_map(move |naks| {
        // Protocol 3 sends no bitmap without a bit in it.
        let none = is_v3(version) && naks.iter().all(|byte| *byte == 0);
        if none { &[] } else { naks }
    });
    (
        any_file_id(),
        v3_byte(version),
        v3_byte(version),
        any::<u16>(),
        tfmcc,
        naks,
    )
        .prop_map(
            move |(file, pass, proxy_seq, section, tfmcc, naks)| Status {
                file,
                pass,
                proxy_seq,
                section: section_of(version, section),
                tfmcc,
                naks,
            },
        )
}

fn pr_status() -> impl Strategy<Value = PrStatus> {
    (any_file_id(), any::<(u8, u8, u16)>(), ids()).prop_map(
        |(file, (pass, proxy_seq, section), clients)| PrStatus {
            file,
            pass,
            proxy_seq,
            section: section_of(Version::V3, section),
            clients,
        },
    )
}

fn complete(version: Version) -> impl Strategy<Value = Complete> {
    (any_file_id(), any::<u8>(), any::<Option<u64>>(), ids()).prop_map(
        move |(file, status, free_space, clients)| Complete {
            file,
            status: CompleteStatus(status),
            free_space: free_space.filter(|_| !is_v3(version)),
            clients,
        },
    )
}

fn proxy_key(version: Version) -> impl Strategy<Value = ProxyKey> {
    (any::<u32>(), key(version), dh_key(version), blob(200)).prop_map(
        move |(nonce, key, dh_key, signature)| ProxyKey {
            nonce: if version == Version::V5 { 0 } else { nonce },
            key,
            dh_key,
            signature,
        },
    )
}

fn abort() -> impl Strategy<Value = Abort> {
    (any::<bool>(), any::<u32>(), "\\PC{0,70}").prop_map(|(current_file, host, reason)| Abort {
        current_file,
        host: Uid(host),
        reason,
    })
}

fn cong_ctrl(version: Version) -> impl Strategy<Value = CongCtrl> {
    let item = any::<(u32, u8, u8)>().prop_map(|(client, flags, rtt)| CongCtrlItem {
        client: Uid(client),
        flags: CcFlags::from_bits_truncate(flags),
        rtt: RttCode(rtt),
    });
    (
        any::<(u16, u16)>(),
        time(version),
        prop::collection::vec(item, 0..20),
    )
        .prop_map(|((cc_seq, cc_rate), timestamp, items)| CongCtrl {
            cc_seq,
            cc_rate: RateCode(cc_rate),
            timestamp,
            items,
        })
}
