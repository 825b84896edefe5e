//! One session from ANNOUNCE to DONE_CONF (behaviour-sender-receiver §5.2 to §5.7).
//!
//! A packet passes three rooms: `entry` says what of it may be believed, `dispatch` what its
//! message means in the phase the session is in, `item` what becomes of the file. `clockwork` does
//! what is due when no packet comes.

mod clockwork;
mod dispatch;
mod entry;
mod item;
mod proxied;
mod stop;

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use uftp_proto::crypto::IvCounter;
use uftp_proto::quant::GroupSizeCode;
use uftp_proto::wire::{Announce, TfmccAckInfo};
use uftp_proto::{Seq, Uid, WireTime};

pub(super) use proxied::NamedProxy;
pub(super) use stop::{Handled, Stop, Surroundings};

use super::announce::Terms;
use super::event::EndReason;
use super::outbox::{Answer, Outbox, Outgoing, Writer};
use super::timing::Timing;
use super::transfer::Transfer;
use crate::batch::Batch;
use crate::congestion::{Group, Reporter, ip_udp_len};
use crate::files::{SessionEnd, SessionFiles, SessionInfo};
use crate::incoming::Incoming;
use crate::link::{Dest, Link};
use crate::pending_aborts::PendingAbort;
use crate::policy::{PassStyle, Policy};
use crate::security::Client;
use crate::table::SessionId;

/// A session and the disk side of it.
pub(super) struct Session<S> {
    id: SessionId,
    server: Uid,
    /// What we are called; nobody as long as nobody has said so.
    uid: Uid,
    /// What we may be called, until then.
    unnamed: Vec<Uid>,
    /// Where the ANNOUNCE came from.
    announcer: SocketAddr,
    /// It goes on where an earlier run stopped.
    resumed: bool,
    /// Where answers go: to where the ANNOUNCE came from.
    reply_to: SocketAddr,
    private: Option<IpAddr>,
    block_size: u16,
    policy: Policy,
    timing: Timing,
    link: Link,
    /// Our end of the handshake, in an encrypted session.
    security: Option<Joining>,
    /// The proxy that the operator named for the sender.
    proxy: Option<NamedProxy>,
    /// It was told that there is one that nothing names.
    unnamed_proxy_told: bool,
    files: S,
    phase: Phase,
    announced: Instant,
    /// Under congestion control: what we ask for.
    congestion: Option<Box<Reporter>>,
    /// Receivers in the group, as the sender says.
    group_size: GroupSizeCode,
    /// The last answered item, for when the answer was lost.
    answered: Option<Answer>,
    /// The sender's last stamp and when it came.
    stamp: (WireTime, Instant),
    /// Highest packet number so far.
    newest: Seq,
    /// When the last packet was accepted.
    accepted: Instant,
    /// When the sender last showed that it is busy with us: the silence counts from here.
    alive: Instant,
    /// The silence since this instant was [held up](Self::held_up) once already.
    excused: Option<Instant>,
    outbox: Outbox,
}

enum Phase {
    /// The proxy we are to register with has not said its key for this session yet.
    AwaitingProxy {
        /// When to give up.
        until: Instant,
    },
    /// REGISTER is repeated until the sender confirms.
    Registering {
        sent: Instant,
        /// When to give up. Never brought forward: when the sender has measured its first round
        /// trips its estimate drops, and that must not cut off those whose confirmation was lost.
        until: Instant,
    },
    /// Between files.
    MidGroup,
    /// A file is open.
    Receiving(Box<Transfer>),
    /// COMPLETE of the session is repeated until the sender confirms.
    Completing { since: Instant, sent: Instant },
}

/// Where a packet stands among those of the sender.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    /// None with a higher number has come.
    Newest,
    /// Others have overtaken it, or it has a number of its own.
    Late,
}

/// Our end of an encrypted session.
pub(super) struct Joining {
    pub(super) client: Box<Client>,
    /// Where our packets begin to count.
    pub(super) counter: IvCounter,
    /// Set while keys are in use that may be nonsense.
    pub(super) doubt: Option<Doubt>,
    /// Somebody without keys has sent us away, in the sender's name: his words. It is believed when the
    /// time to register is over and no keys have come, which the sender hands to nobody it sends away.
    pub(super) dismissal: Option<String>,
}

/// Keys came, but nothing has proved that they are the group's. A KEYINFO that anybody may have
/// made, or that is for another who claims to be us, makes sense once in 256 times; as long as
/// it may have been such a one we register again and again, ever more seldom.
pub(super) struct Doubt {
    /// When to register again.
    at: Instant,
    /// And how long after that once more.
    wait: Duration,
}

/// An ANNOUNCE that was accepted.
#[derive(Clone, Copy)]
pub(super) struct Accepted<'a> {
    /// What it came in.
    pub(super) incoming: &'a Incoming,
    pub(super) announce: &'a Announce,
    /// The same in the words of the store.
    pub(super) info: &'a SessionInfo,
    /// What it was accepted on.
    pub(super) terms: &'a Terms,
}

impl<S: SessionFiles> Session<S> {
    /// A session in which we are `joining` if it is encrypted, and whose files go to `files`.
    pub(super) fn open(accepted: Accepted<'_>, joining: Option<Joining>, files: S) -> Self {
        let Accepted {
            incoming,
            announce,
            info,
            terms,
        } = accepted;
        let (now, header) = (incoming.now, &incoming.header);
        let policy = terms.policy;
        let timing = Timing::new(policy, &announce.pace, header.grtt);
        let mut outbox = Outbox::default();
        outbox.push(Outgoing::Register);
        outbox.push(Outgoing::ClientKey);
        let mut link = Link::new(header.version, terms.uid, info.group, info.instance)
            .towards(Dest::Host(info.server));
        if let Some(joining) = &joining
            && let Some(sealer) = joining.client.handshake_sealer()
        {
            link.secure_handshake(sealer, joining.counter.clone());
        }
        Session {
            id: SessionId {
                group: info.group,
                instance: info.instance,
            },
            server: info.server,
            uid: terms.uid,
            unnamed: Vec::new(),
            announcer: info.server_addr,
            resumed: info.resumed,
            reply_to: info.server_addr,
            private: terms.private,
            block_size: terms.block_size,
            policy,
            timing,
            link,
            security: joining,
            proxy: None,
            unnamed_proxy_told: false,
            files,
            phase: Phase::Registering {
                sent: now,
                until: now + timing.registration(),
            },
            announced: now,
            congestion: None,
            group_size: header.group_size,
            answered: None,
            stamp: (announce.timestamp, now),
            newest: header.seq,
            accepted: now,
            alive: now,
            excused: None,
            outbox,
        }
    }

    /// The sender's rate is to follow what we report; `seed` makes our waits our own.
    pub(super) fn report_rates(&mut self, seed: u64) {
        let overhead = ip_udp_len(self.reply_to.ip());
        self.congestion = Some(Box::new(Reporter::new(overhead, seed)));
    }

    /// Whether nothing is to be answered for a while, nor measured by when packets arrive.
    pub(super) fn is_patient(&self) -> bool {
        let Phase::Receiving(transfer) = &self.phase else {
            return false;
        };
        self.congestion.is_none()
            && self.policy.passes == PassStyle::Streaming
            && transfer.goes_on()
    }

    /// Whether a session can be a later run of this one: what was encrypted does not go on in the
    /// clear.
    pub(super) fn can_give_way_to(&self, later: &SessionInfo) -> bool {
        self.server == later.server && (later.encrypted || self.security.is_none())
    }

    /// Whether this session of `server` is not encrypted.
    pub(super) fn is_in_the_clear_of(&self, server: Uid) -> bool {
        self.server == server && self.security.is_none()
    }

    /// Whether somebody without keys has sent us away, and no keys have come since.
    pub(super) fn is_dismissed(&self) -> bool {
        self.security
            .as_ref()
            .is_some_and(|s| s.dismissal.is_some())
    }

    /// With which words; counts as heeded.
    pub(super) fn take_dismissal(&mut self) -> Option<String> {
        self.security.as_mut()?.dismissal.take()
    }

    /// We do not know what we are called: by the first of these that a list of the sender holds.
    pub(super) fn learn_name_from(&mut self, names: Vec<Uid>) {
        self.unnamed = names;
    }

    /// Whether a list of the sender names us. The first that does tells us our name.
    fn is_listed(&mut self, list: &[Uid]) -> bool {
        if !self.uid.is_none() {
            return list.contains(&self.uid);
        }
        let Some(name) = self.unnamed.iter().find(|name| list.contains(name)) else {
            return false;
        };
        self.uid = *name;
        self.link.rename(*name);
        true
    }

    /// Whether the ANNOUNCE that began the session came from there.
    pub(super) fn is_announced_from(&self, from: SocketAddr) -> bool {
        from == self.announcer
    }

    /// Whether another run that resumes the session takes its place, where runs have no numbers:
    /// this one was not resumed itself, or has gone silent.
    pub(super) fn is_outlived(&self, now: Instant) -> bool {
        let silence = now.saturating_duration_since(self.accepted);
        !self.resumed || silence > self.timing.silence() / 2
    }

    /// We register with the proxy of this entry, once it has said its key for the session.
    pub(super) fn wait_for(&mut self, proxy: NamedProxy) {
        self.outbox = Outbox::default();
        self.phase = Phase::AwaitingProxy {
            until: self.announced + self.timing.registration(),
        };
        self.proxy = Some(proxy);
    }

    /// Answers go to a response proxy instead.
    pub(super) fn answer_through(&mut self, proxy: SocketAddr) {
        self.reply_to = proxy;
    }

    /// The group that carries the session; `None` in a unicast session.
    pub(super) fn private(&self) -> Option<IpAddr> {
        self.private
    }

    fn group(&self) -> Group {
        Group {
            grtt: self.timing.grtt(),
            size: self.group_size.count(),
        }
    }

    /// Appends what is to be said, as far as the batch has room.
    pub(super) fn poll_transmit(
        &mut self,
        now: Instant,
        batch: &mut Batch,
        around: &mut Surroundings<'_>,
    ) -> Handled {
        if self.outbox.is_empty() {
            return Ok(());
        }
        let group = self.group();
        let transfer = match &mut self.phase {
            Phase::Receiving(transfer) => Some(&mut **transfer),
            _ => None,
        };
        let (stamp, at) = self.stamp;
        let echo = stamp.plus(now.saturating_duration_since(at));
        let report = self.congestion.as_ref().map(|congestion| {
            let (flags, cc_seq, cc_rate) = congestion.report(now, group);
            TfmccAckInfo {
                flags,
                cc_seq,
                cc_rate,
                client: self.uid,
                echo,
            }
        });
        // spec: deployed proxies mistake a report before the bitmap for the bitmap, and pass on none
        // (behaviour-proxies §14.2).
        let through_proxy = self.proxy.is_some() || self.reply_to != self.announcer;
        let mut writer = Writer {
            session: self.id,
            to: self.reply_to,
            echo,
            report,
            reports_with_naks: !through_proxy,
            link: &mut self.link,
            security: self.security.as_ref().map(|s| &*s.client),
            transfer,
            files: &mut self.files,
            batch,
            around,
        };
        self.outbox.write(&mut writer)
    }

    /// The session is over. Returns what must still be said to the sender.
    pub(super) fn close(
        mut self,
        reason: &EndReason,
        around: &mut Surroundings<'_>,
    ) -> Option<PendingAbort> {
        let (end, words) = match reason {
            EndReason::Confirmed | EndReason::Unconfirmed => (SessionEnd::Complete, None),
            EndReason::AbortedByServer(words) | EndReason::Aborted(words) => {
                (SessionEnd::BrokenOff, Some(words))
            }
            EndReason::Superseded(_) | EndReason::Encrypted => (SessionEnd::BrokenOff, None),
        };
        self.give_up_file(words.map_or("the session is over", |w| w), around);
        self.files.end(end);
        match reason {
            EndReason::Aborted(words) => {
                let (link, to) = (self.link, self.reply_to);
                Some(PendingAbort::to_server(link, to, words.clone()))
            }
            _ => None,
        }
    }
}
