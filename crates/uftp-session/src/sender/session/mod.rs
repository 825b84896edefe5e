//! What all phases of a sender share.

mod aborts;
mod sending;
mod speakers;
mod times;

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use uftp_proto::quant::{GroupSizeCode, RttCode};
use uftp_proto::wire::{self, CcType, CompleteStatus, Pace};
use uftp_proto::{FileId, Uid, WireTime};

use aborts::{OutgoingAbort, RefusalLimit};
pub(super) use sending::Data;

use super::ahead::Ahead;
use super::clients::{Client, Clients, ItemResult, State};
use super::config::{Rate, SenderConfig};
use super::congestion::Rotation;
use super::event::{FileOutcome, FileReport, SenderEvent};
use super::list::ListRun;
use super::rate::RateControl;
use super::report::Volume;
use super::security::Security;
use crate::clock::Clock;
use crate::congestion;
use crate::counters::Counters;
use crate::files::SendItem;
use crate::grtt::Grtt;
use crate::link::{Dest, GroupEstimate, Link};
use crate::pacing::Pacer;
use crate::policy::{Clockwork, PassStyle, Policy};
use crate::security::gate::Keys;
use crate::security::{Secrets, SecurityError, SessionName};

/// Everything that outlives a phase.
pub(super) struct Session {
    pub(super) config: SenderConfig,
    /// Bytes of file data in a packet.
    pub(super) block_size: u16,
    pub(super) policy: Policy,
    pub(super) clock: Clock,
    pub(super) link: Link,
    /// Keys, if the session is encrypted.
    pub(super) security: Option<Security>,
    pub(super) clients: Clients,
    pub(super) grtt: Grtt,
    pub(super) rate: RateControl,
    pub(super) pacer: Pacer,
    pub(super) rotation: Rotation,
    pub(super) events: VecDeque<SenderEvent>,
    pub(super) counters: Counters,
    /// The latest time anybody told us.
    pub(super) now: Instant,
    /// Lists going out, first to last.
    pub(super) lists: VecDeque<ListRun>,
    /// ABORTs going out, in turn with all else: many at once must not silence the session for
    /// those who stay in it.
    aborts: VecDeque<OutgoingAbort>,
    /// The last control message was an ABORT: the next packet is anything else there is.
    aborted_last: bool,
    /// What to say if a receiver that was lost, or has left, is fatal.
    lost_one: Option<&'static str>,
    /// Hosts told of as having declined the announcement.
    declined: Vec<Uid>,
    /// Hosts told of as having been turned away.
    turned_away: Vec<Uid>,
    /// Some receiver took some item.
    pub(super) accepted: bool,
    /// Whether data may go before answers to FILEINFO are in.
    pub(super) ahead: Ahead,
    /// Echoes older than this were never ours.
    first_stamp: WireTime,
    refusals: RefusalLimit,
}

impl Session {
    /// A session, and what went wrong with its keys: then it must not begin.
    pub(super) fn new(
        config: SenderConfig,
        policy: Policy,
        clock: Clock,
        secrets: &mut dyn Secrets,
        now: Instant,
    ) -> (Self, Option<SecurityError>) {
        let mut link = Link::new(config.version, config.uid, config.group, config.instance)
            .towards(Dest::Address(config.private.ip()));
        let name = SessionName {
            version: config.version,
            server: config.uid,
            group: config.group,
            instance: config.instance,
            private: stated(&config, policy, config.private),
        };
        let started = Security::start(&config, &name, &mut link, clock, secrets, now);
        let (security, failed) = match started {
            Ok(security) => (security, None),
            Err(error) => (None, Some(error)),
        };
        let grtt = Grtt::new(config.grtt.initial, config.grtt.min, config.grtt.max);
        let ip = config.private.ip();
        let signature = config.security.as_ref();
        let signature = signature.map(|s| s.suite().signature_len(s.identity().kind()));
        // Programs see to it that there is room.
        let block_size = wire::block_size(&pace(&config, policy), signature).unwrap_or(1);
        let charged = congestion::charged_size(&link, block_size, ip, cc_type(config.rate));
        let rate = RateControl::new(config.rate, charged, config.robust, now);
        let mut clients = Clients::default();
        for entry in config.clients.iter().flatten() {
            // A name that stands twice is one destination.
            let _ = clients.add_listed(entry);
        }
        let session = Session {
            pacer: Pacer::new(rate.bytes_per_second()),
            rotation: Rotation::default(),
            rate,
            link,
            security,
            policy,
            block_size,
            grtt,
            clients,
            first_stamp: clock.stamp(now),
            clock,
            config,
            events: VecDeque::new(),
            counters: Counters::default(),
            now,
            lists: VecDeque::new(),
            aborts: VecDeque::new(),
            aborted_last: false,
            lost_one: None,
            declined: Vec::new(),
            turned_away: Vec::new(),
            accepted: false,
            ahead: Ahead::default(),
            refusals: RefusalLimit::new(now),
        };
        (session, failed)
    }

    /// How many would answer a question to all: receivers at the current item that no proxy
    /// answers for, and proxies.
    pub(super) fn audience(&self) -> u32 {
        let proxies = self
            .clients
            .destinations_in(&[State::Active, State::ActiveNak])
            - self
                .clients
                .receivers_in(&[State::Active, State::ActiveNak]);
        let receivers = match proxies {
            0 => self
                .clients
                .receivers_in(&[State::Active, State::ActiveNak]),
            _ => {
                let alone =
                    |c: &&Client| c.state().is_receiving() && !c.proxy && c.behind.is_none();
                self.clients.iter().filter(alone).count()
            }
        };
        u32::try_from(receivers + proxies).unwrap_or(u32::MAX)
    }

    /// Whether anybody may register.
    pub(super) fn is_open(&self) -> bool {
        self.config.clients.is_none()
    }

    /// A group address as ANNOUNCE states it.
    pub(super) fn stated(&self, addr: SocketAddr) -> IpAddr {
        stated(&self.config, self.policy, addr)
    }

    /// What ANNOUNCE says of times and sizes.
    pub(super) fn pace(&self) -> Pace {
        pace(&self.config, self.policy)
    }

    /// What every header says about the group.
    pub(super) fn estimate(&self) -> GroupEstimate {
        GroupEstimate {
            grtt: RttCode::from_duration(self.advertised_grtt()),
            size: GroupSizeCode::from_count(self.clients.len()),
        }
    }

    /// Who a packet of `uid` comes from.
    pub(super) fn author(&self, uid: Uid, from: SocketAddr) -> Uid {
        self.policy.names.author(uid, from)
    }

    /// Everybody who takes part is expected to answer. Where each question has its answer, proxies
    /// are not asked: their clients are.
    pub(super) fn await_answers(&mut self) {
        let style = self.policy.passes;
        self.clients.set_states(|c| {
            match (style, c.proxy) {
                (PassStyle::LockStep, true) => Some(State::ActiveNak),
                _ => Some(State::Active),
            }
            .filter(|_| c.state().is_receiving())
        });
    }

    /// Notes where a destination speaks from; two addresses taking turns are two hosts.
    pub(super) fn note_address(&mut self, at: usize, from: SocketAddr) {
        let Some(client) = self.clients.get_mut(at) else {
            return;
        };
        let before = client.addr.replace(from);
        if before.is_some_and(|addr| addr != from) && !client.shared {
            client.shared = true;
            let client = client.uid;
            self.events.push_back(SenderEvent::DuplicateUid { client });
        }
    }

    /// The receiver has finished the current item.
    pub(super) fn complete(
        &mut self,
        at: usize,
        now: Instant,
        file: FileId,
        status: CompleteStatus,
        free_space: Option<u64>,
    ) {
        self.clients.set_state(at, State::Done);
        let Some(client) = self.clients.get_mut(at) else {
            return;
        };
        client.result = Some(ItemResult {
            status,
            free_space,
            at: now,
        });
        let taken = status != CompleteStatus::REJECTED && file != FileId::SESSION;
        self.accepted |= taken && !client.proxy;
        let client = client.uid;
        self.events.push_back(SenderEvent::Completed {
            client,
            file,
            status,
        });
    }

    /// How far the keys of a host are.
    pub(super) fn keys(&self, uid: Uid) -> Keys {
        let security = self.security.as_ref();
        security.map_or(Keys::None, |s| s.keys(uid))
    }

    /// An item is over: reports how it ended at each receiver. `flowed` is when its data began
    /// to flow, if it did, and how much that was.
    pub(super) fn finish_item(
        &mut self,
        file: FileId,
        item: SendItem,
        flowed: Option<(Instant, Volume)>,
    ) {
        let (started, volume) = flowed.unzip();
        let since = |at: Instant| {
            started.map_or(Duration::ZERO, |start| at.saturating_duration_since(start))
        };
        let report = |client: &Client| FileReport {
            client: client.uid,
            outcome: match (client.result, client.state()) {
                (Some(result), _) => FileOutcome::Completed(result.status),
                (None, State::Mute) => FileOutcome::Mute,
                (None, State::Aborted) => FileOutcome::Aborted,
                (None, _) => FileOutcome::Lost,
            },
            elapsed: client.result.map_or(Duration::ZERO, |r| since(r.at)),
            free_space: client.result.and_then(|r| r.free_space),
        };
        let receivers = self.clients.iter().filter(|c| !c.proxy);
        let results: Vec<_> = receivers.map(report).collect();
        let elapsed = results.iter().map(|r| r.elapsed).max();
        self.events.push_back(SenderEvent::FileFinished {
            file,
            item,
            elapsed: elapsed.unwrap_or_default(),
            volume: volume.unwrap_or_default(),
            results,
        });
    }
}

/// What ANNOUNCE says of times and sizes.
fn pace(config: &SenderConfig, policy: Policy) -> Pace {
    match policy.clockwork {
        Clockwork::RoundTrips => Pace::Adaptive {
            robust: config.robust,
            cc: cc_type(config.rate),
            block_size: config.block_size,
        },
        Clockwork::Fixed => Pace::Fixed(config.fixed),
    }
}

/// The congestion control that a rate means.
fn cc_type(rate: Rate) -> CcType {
    match rate {
        Rate::Tfmcc(_) => CcType::TFMCC,
        Rate::Fixed(_) | Rate::SelfClocked => CcType::NONE,
    }
}

/// A group address as ANNOUNCE states it: unspecified in a unicast session.
fn stated(config: &SenderConfig, policy: Policy, addr: SocketAddr) -> IpAddr {
    match addr.ip() {
        ip if config.public.ip().is_multicast() => ip,
        _ if config.broadcast => policy.names.group_of_all(),
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}
