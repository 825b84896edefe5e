//! A receiver under congestion control: what rate it asks for and when it says so
//! (behaviour-sender-receiver §5.11).

use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use uftp_proto::quant::RateCode;
use uftp_proto::tfmcc::{back_off, throughput};
use uftp_proto::wire::{CcFlags, CongCtrl, TfmccDataInfo};
use uftp_proto::{Seq, Uid};

use super::history::{LossHistory, Packet, RoundTrips};

/// Round trips over which the rate of arrival is measured in slow start.
const WINDOW: u32 = 4;

/// Length of a feedback round in round trips.
pub(super) const ROUND: u32 = 6;

/// What headers say about the group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Group {
    /// Round trip time to the farthest receiver.
    pub grtt: Duration,
    /// Receivers in it.
    pub size: u32,
}

/// The receiving side of congestion control in one session.
#[derive(Debug)]
pub(crate) struct Reporter {
    history: LossHistory,
    /// Bytes a data packet counts for.
    packet: f64,
    /// The last packet before the first file, which begins it when it does, and the round trip times
    /// as they were then.
    first: Option<(Packet, RoundTrips)>,
    /// Our round trip time as the sender told it, smoothed, and as it last did.
    rtt: Option<Duration>,
    last_rtt: Option<Duration>,
    /// Highest feedback round heard of since the file began.
    round: Option<u16>,
    /// The round that reports name.
    current: u16,
    waiting: Option<Waiting>,
    rng: StdRng,
}

/// What the sender makes of a receiver.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Role {
    /// It is the one that the rate follows (the CLR).
    Limiting,
    /// It is one of the others.
    Other,
}

/// A feedback round as the sender tells of it.
#[derive(Clone, Copy, Debug)]
struct Round {
    number: u16,
    /// The lowest rate asked for in it.
    lowest: RateCode,
}

/// A report is to be made unless somebody slower is heard of before.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    until: Instant,
    /// The rate asked for when the round began.
    rate: f64,
}

impl Reporter {
    /// A receiver that has heard nothing yet. `overhead` is what packets add to their UDP payload,
    /// bytes; `seed` makes its waits its own.
    pub(crate) fn new(overhead: u64, seed: u64) -> Self {
        Reporter {
            history: LossHistory::new(overhead),
            packet: 0.0,
            first: None,
            rtt: None,
            last_rtt: None,
            round: None,
            current: 0,
            waiting: None,
            rng: StdRng::seed_from_u64(seed),
        }
    }

    /// Whether a packet with this number may be the sender's next, or nearly so.
    pub(crate) fn expects(&self, seq: Seq) -> bool {
        self.history.expects(seq)
    }

    /// A packet of the sender arrived; any packet that has a number in its row. What comes before
    /// the FILEINFO of the first file does not count: some of it went to others, or to the group
    /// before we had joined it, or in the clear.
    pub(crate) fn arrived(&mut self, packet: Packet, group: Group) {
        let rtt = self.round_trips(group);
        match self.packet > 0.0 {
            true => self.history.note(packet, rtt),
            false => self.first = Some((packet, rtt)),
        }
    }

    /// Track of the sender's numbers was lost; the next one is `seq`.
    pub(crate) fn lose_track(&mut self, now: Instant, seq: Seq) {
        self.history.lose_track(now, seq);
    }

    /// A file begins with the last packet, whose data packets count for `packet` bytes. Deployed
    /// senders count rounds anew with each.
    pub(crate) fn start_file(&mut self, packet: u64) {
        if let Some((first, rtt)) = self.first.take() {
            self.history.note(first, rtt);
        }
        self.packet = packet as f64;
        self.round = None;
        self.waiting = None;
    }

    /// Takes in a CONG_CTRL. Whether it must be answered at once.
    pub(crate) fn cong_ctrl(
        &mut self,
        now: Instant,
        uid: Uid,
        ctrl: &CongCtrl,
        group: Group,
    ) -> bool {
        let item = ctrl.items.iter().find(|item| item.client == uid);
        let role = match item {
            Some(item) if item.flags.contains(CcFlags::CLR) => Role::Limiting,
            _ => Role::Other,
        };
        if let Some(item) = item
            && item.flags.intersects(CcFlags::RTT | CcFlags::CLR)
        {
            self.told_rtt(item.rtt.duration(), role);
        }
        let round = Round {
            number: ctrl.cc_seq,
            lowest: ctrl.cc_rate,
        };
        self.heard(now, round, group, role);
        role == Role::Limiting
    }

    /// Takes in what a block says.
    pub(crate) fn data_info(&mut self, now: Instant, info: &TfmccDataInfo, group: Group) {
        let round = Round {
            number: info.cc_seq,
            lowest: info.cc_rate,
        };
        self.heard(now, round, group, Role::Other);
    }

    /// When to call [`due`](Self::due).
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.waiting.map(|waiting| waiting.until)
    }

    /// Whether a report is due.
    pub(crate) fn due(&mut self, now: Instant) -> bool {
        self.waiting.take_if(|w| w.until <= now).is_some()
    }

    /// What a report says now: state, round and rate.
    pub(crate) fn report(&self, now: Instant, group: Group) -> (CcFlags, u16, RateCode) {
        let mut flags = CcFlags::empty();
        flags.set(CcFlags::START, self.history.in_slow_start());
        flags.set(CcFlags::RTT, self.rtt.is_some());
        let rate = self.rate(now, group);
        (flags, self.current, RateCode::from_rate(rate as u64))
    }

    /// The rate to ask for, bytes per second: that of a TCP connection; before the first loss,
    /// twice what arrives.
    fn rate(&self, now: Instant, group: Group) -> f64 {
        let p = self.history.loss_event_rate();
        if p > 0.0 {
            let rtt = self.rtt.unwrap_or(group.grtt);
            return throughput(self.packet, rtt.as_secs_f64(), p);
        }
        let window = group.grtt * WINDOW;
        2.0 * self.history.meter().within(now, window).rate(window)
    }

    /// Round trip times for the history of losses. When packets get lost queues are full, and
    /// who reacts to that does so a round trip of the moment later, not of the mean: what is lost
    /// until then is the same event.
    fn round_trips(&self, group: Group) -> RoundTrips {
        RoundTrips {
            group: group.grtt,
            own: self.rtt.max(self.last_rtt),
        }
    }

    /// The first value is taken whole, later ones in part: less of it by the limiting receiver,
    /// which is told often.
    fn told_rtt(&mut self, told: Duration, role: Role) {
        let part = match role {
            Role::Limiting => 0.1,
            Role::Other => 0.5,
        };
        self.last_rtt = Some(told);
        match &mut self.rtt {
            Some(rtt) => *rtt = rtt.mul_f64(1.0 - part) + told.mul_f64(part),
            None => {
                self.rtt = Some(told);
                self.history.learn_rtt(told);
            }
        }
    }

    /// The sender tells of a round to one that has this role.
    fn heard(&mut self, now: Instant, round: Round, group: Group, role: Role) {
        let Round { number, lowest } = round;
        let newer = |known| Seq(number).is_newer_than(Seq(known));
        if role == Role::Limiting {
            self.waiting = None;
        }
        if self.round.is_none_or(newer) {
            self.round = Some(number);
            // As deployed receivers have it, the limiting one's answer to the CONG_CTRL that begins
            // a round still names the one before.
            if role == Role::Other {
                self.current = number;
                self.start_waiting(now, group);
            }
        } else if self.round == Some(number) {
            self.current = number;
            self.hush(now, lowest, group);
        }
    }

    fn start_waiting(&mut self, now: Instant, group: Group) {
        let u = 1.0 - self.rng.random_range(0.0..1.0);
        let longest = group.grtt * ROUND;
        self.waiting = Some(Waiting {
            until: now + longest.mul_f64(back_off(u, group.size)),
            rate: self.rate(now, group),
        });
    }

    /// Gives up a report that would tell the sender nothing new.
    fn hush(&mut self, now: Instant, lowest: RateCode, group: Group) {
        let Some(waiting) = self.waiting else {
            return;
        };
        let lowest = lowest.rate() as f64;
        let slower = lowest < waiting.rate || lowest < self.rate(now, group);
        // Who is farther away than the sender knows is to be heard. A step of the coded round trip
        // time is less than a tenth.
        let farthest = group.grtt.mul_f64(1.1);
        if slower && self.rtt.is_none_or(|rtt| rtt < farthest) {
            self.waiting = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uftp_proto::Ecn;
    use uftp_proto::WireTime;
    use uftp_proto::quant::{RttCode, UNLIMITED_RATE};
    use uftp_proto::wire::CongCtrlItem;

    const ME: Uid = Uid(7);
    const GROUP: Group = Group {
        grtt: Duration::from_millis(10),
        size: 50,
    };

    fn ctrl(round: u16, rate: u64, me: Option<(CcFlags, u64)>) -> CongCtrl {
        CongCtrl {
            cc_seq: round,
            cc_rate: RateCode::from_rate(rate),
            timestamp: WireTime::default(),
            items: me
                .into_iter()
                .map(|(flags, ms)| CongCtrlItem {
                    client: ME,
                    flags,
                    rtt: RttCode::from_duration(Duration::from_millis(ms)),
                })
                .collect(),
        }
    }

    fn data(round: u16, rate: u64) -> TfmccDataInfo {
        TfmccDataInfo {
            send_rate: RateCode::from_rate(1_000_000),
            cc_seq: round,
            cc_rate: RateCode::from_rate(rate),
        }
    }

    /// 1000 packets of 1360 bytes, one a millisecond.
    fn streamed(seed: u64, lost: impl Fn(u16) -> bool) -> (Reporter, Instant) {
        let mut reporter = Reporter::new(28, seed);
        reporter.start_file(1360);
        let start = Instant::now();
        for i in (0..1000).filter(|i| !lost(*i)) {
            let now = start + Duration::from_millis(i.into());
            let packet = Packet {
                at: now,
                seq: Seq(i),
                len: 1332,
                ecn: Ecn::Ect0,
            };
            reporter.arrived(packet, GROUP);
        }
        (reporter, start + Duration::from_millis(999))
    }

    #[test]
    fn asks_for_twice_what_arrives_before_the_first_loss() {
        let (reporter, now) = streamed(1, |_| false);
        let (flags, _, rate) = reporter.report(now, GROUP);
        assert_eq!(flags, CcFlags::START);
        let rate = rate.rate();
        assert!((2_600_000..2_800_000).contains(&rate), "{rate}");
    }

    #[test]
    fn asks_for_the_rate_of_tcp_after_it() {
        let (mut reporter, now) = streamed(1, |i| i % 100 == 50);
        reporter.cong_ctrl(
            now,
            ME,
            &ctrl(1, UNLIMITED_RATE, Some((CcFlags::RTT, 10))),
            GROUP,
        );
        let (flags, round, rate) = reporter.report(now, GROUP);
        assert_eq!((flags, round), (CcFlags::RTT, 1));
        let want = throughput(1360.0, 0.010_5, 0.01);
        let rate = rate.rate() as f64;
        assert!((0.9..1.1).contains(&(rate / want)), "{rate} {want}");
    }

    #[test]
    fn takes_the_first_round_trip_time_whole() {
        let (mut reporter, now) = streamed(1, |_| false);
        let told = |ms| ctrl(1, 0, Some((CcFlags::CLR | CcFlags::RTT, ms)));
        assert!(reporter.cong_ctrl(now, ME, &told(100), GROUP));
        let first = reporter.rtt.unwrap();
        assert!((100..108).contains(&first.as_millis()));
        reporter.cong_ctrl(now, ME, &told(200), GROUP);
        let second = reporter.rtt.unwrap();
        assert!((109..120).contains(&second.as_millis()), "{second:?}");
    }

    #[test]
    fn waits_once_a_round_and_not_beyond_its_end() {
        let mut waits = Vec::new();
        for seed in 0..200 {
            let (mut reporter, now) = streamed(seed, |_| false);
            reporter.data_info(now, &data(3, UNLIMITED_RATE), GROUP);
            let until = reporter.deadline().unwrap();
            waits.push(until - now);
            assert!(reporter.due(until));
            assert!(!reporter.due(until), "once");
            reporter.data_info(now, &data(3, UNLIMITED_RATE), GROUP);
            reporter.data_info(now, &data(2, UNLIMITED_RATE), GROUP);
            assert_eq!(reporter.deadline(), None, "not for this round again");
            reporter.data_info(now, &data(4, UNLIMITED_RATE), GROUP);
            assert!(reporter.deadline().is_some());
        }
        let longest = GROUP.grtt * ROUND;
        assert!(waits.iter().all(|w| *w <= longest));
        let early = waits.iter().filter(|w| **w < longest / 2).count();
        assert!((5..60).contains(&early), "{early} of 200 in the first half");
    }

    #[test]
    fn answers_at_once_when_alone_or_limiting() {
        let (mut reporter, now) = streamed(1, |_| false);
        let alone = Group { size: 1, ..GROUP };
        reporter.data_info(now, &data(1, UNLIMITED_RATE), alone);
        assert!(reporter.due(now));
        let limiting = ctrl(2, UNLIMITED_RATE, Some((CcFlags::CLR, 10)));
        assert!(reporter.cong_ctrl(now, ME, &limiting, GROUP));
        assert_eq!(reporter.deadline(), None);
        let other = ctrl(2, UNLIMITED_RATE, None);
        assert!(!reporter.cong_ctrl(now, ME, &other, GROUP));
    }

    #[test]
    fn keeps_quiet_when_somebody_is_slower() {
        let (mut reporter, now) = streamed(1, |_| false);
        let nobody = Group { size: 0, ..GROUP };
        reporter.data_info(now, &data(1, UNLIMITED_RATE), nobody);
        reporter.data_info(now, &data(1, 5_000_000), nobody);
        assert!(reporter.deadline().is_some(), "we are slower");
        reporter.data_info(now, &data(1, 1_000_000), nobody);
        assert_eq!(reporter.deadline(), None);
    }

    #[test]
    fn who_is_farther_away_than_is_known_speaks() {
        let (mut reporter, now) = streamed(1, |_| false);
        let nobody = Group { size: 0, ..GROUP };
        let told = ctrl(1, UNLIMITED_RATE, Some((CcFlags::RTT, 30)));
        reporter.cong_ctrl(now, ME, &told, nobody);
        reporter.data_info(now, &data(1, 1), nobody);
        assert!(reporter.deadline().is_some());
    }

    #[test]
    fn rounds_that_start_again_with_a_file_are_heard() {
        let (mut reporter, now) = streamed(1, |_| false);
        reporter.data_info(now, &data(9, UNLIMITED_RATE), GROUP);
        reporter.start_file(1360);
        assert_eq!(reporter.deadline(), None);
        reporter.data_info(now, &data(0, UNLIMITED_RATE), GROUP);
        assert!(reporter.deadline().is_some());
        assert_eq!(reporter.report(now, GROUP).1, 0);
    }
}
