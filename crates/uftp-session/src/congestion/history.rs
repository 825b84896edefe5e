//! Which packets of the sender are missing, and how often packets go missing.

use std::time::{Duration, Instant};

use uftp_proto::tfmcc::{LossIntervals, first_interval};
use uftp_proto::{Ecn, Seq};

use super::meter::ReceiveMeter;

/// A packet is lost when a number more than this above its own has arrived (wire-v4 §1.5).
const REORDER: u64 = 5;

/// Numbers that may still be filled in, and the one beyond.
const SLOTS: usize = 8;

/// A packet of the sender that arrived.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packet {
    /// When.
    pub at: Instant,
    /// Its number.
    pub seq: Seq,
    /// Its UDP payload in bytes.
    pub len: usize,
    /// How the network has marked it.
    pub ecn: Ecn,
}

/// The loss history of one session: counts loss events over the numbers of all packets that the
/// sender sends (behaviour-sender-receiver §5.11). Memory is bounded whatever arrives.
#[derive(Clone, Debug)]
pub(crate) struct LossHistory {
    /// What packets add to their UDP payload, bytes.
    overhead: u64,
    meter: ReceiveMeter,
    intervals: LossIntervals,
    /// The round trip time that the made-up first interval was made up with.
    assumed: Option<Duration>,
    /// The current loss event; `None` in slow start.
    event: Option<LossEvent>,
    numbers: Option<Numbers>,
}

/// A loss event: all losses within a round trip of the first.
#[derive(Clone, Copy, Debug)]
struct LossEvent {
    number: u64,
    at: Instant,
}

/// Packet numbers, freed from wrapping.
#[derive(Clone, Copy, Debug)]
struct Numbers {
    newest: u64,
    /// It is settled of all numbers up to this one whether they arrived.
    settled: u64,
    /// The last arrived among those.
    before: (u64, Instant),
    /// The numbers after `settled`, at their number modulo the length.
    slots: [Option<Arrival>; SLOTS],
}

#[derive(Clone, Copy, Debug)]
struct Arrival {
    at: Instant,
    /// The network marked it in place of losing a packet.
    marked: bool,
}

/// Round trip times a receiver knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct RoundTrips {
    /// To the farthest receiver, as headers say.
    pub group: Duration,
    /// Its own, once it was told.
    pub own: Option<Duration>,
}

impl RoundTrips {
    /// Its own, else that of the group (RFC 4654 §2.4).
    pub(crate) fn best(self) -> Duration {
        self.own.unwrap_or(self.group)
    }
}

impl LossHistory {
    /// An empty history; `overhead` is what packets add to their UDP payload, bytes.
    pub(crate) fn new(overhead: u64) -> Self {
        LossHistory {
            overhead,
            meter: ReceiveMeter::default(),
            intervals: LossIntervals::default(),
            assumed: None,
            event: None,
            numbers: None,
        }
    }

    /// A packet arrived.
    pub(crate) fn note(&mut self, packet: Packet, rtt: RoundTrips) {
        let now = packet.at;
        self.meter
            .note(now, packet.len as u64 + self.overhead, rtt.group);
        let arrival = Arrival {
            at: now,
            marked: packet.ecn == Ecn::Ce,
        };
        let Some(numbers) = &mut self.numbers else {
            self.numbers = Some(Numbers::starting_with(packet.seq, arrival));
            return;
        };
        let Some(number) = numbers.unwrapped(packet.seq) else {
            return;
        };
        if number <= numbers.newest {
            numbers.fill(number, arrival);
            return;
        }
        // The gap before this packet lies behind all slots that are filled: what is in the slots
        // is settled first, with this packet as the next known arrival.
        while let Some(numbers) = &mut self.numbers
            && numbers.settled < numbers.newest
            && number > numbers.settled + 1 + REORDER
        {
            let next = numbers.settled + 1;
            let after = numbers.next_arrival(next).unwrap_or((number, now));
            match numbers.take(next) {
                Some(arrival) => {
                    numbers.before = (next, arrival.at);
                    if arrival.marked {
                        self.congestion(next, arrival.at, rtt);
                    }
                }
                None => {
                    let at = interpolate(numbers.before, after, next);
                    self.congestion(next, at, rtt);
                }
            }
        }
        self.skip_gap(number, now, rtt);
        if let Some(numbers) = &mut self.numbers {
            numbers.newest = number;
            numbers.fill(number, arrival);
        }
    }

    /// Settles what no slot holds: numbers between the newest and one so far ahead that they are
    /// lost. Takes a step for each loss event, not for each number.
    fn skip_gap(&mut self, number: u64, now: Instant, rtt: RoundTrips) {
        let Some(Numbers {
            settled, before, ..
        }) = self.numbers
        else {
            return;
        };
        let end = number.saturating_sub(REORDER + 1);
        let after = (number, now);
        let mut lost = settled + 1;
        while lost <= end {
            let at = interpolate(before, after, lost);
            self.congestion(lost, at, rtt);
            let event = self.event.map_or(at, |event| event.at);
            let apart = (event + rtt.best()).saturating_duration_since(before.1);
            let span = now.saturating_duration_since(before.1);
            let step = apart.as_nanos() * u128::from(number - before.0) / span.as_nanos().max(1);
            let next = before
                .0
                .saturating_add(u64::try_from(step).unwrap_or(u64::MAX));
            lost = next.max(lost).saturating_add(1);
        }
        if let Some(numbers) = &mut self.numbers
            && end > numbers.settled
        {
            numbers.settled = end;
        }
    }

    /// Packet `number` was lost, or marked, at this time.
    fn congestion(&mut self, number: u64, at: Instant, rtt: RoundTrips) {
        match self.event {
            Some(event) if at <= event.at + rtt.best() => return,
            Some(event) => self.intervals.close((number - event.number) as f64),
            None => {
                let received = self.meter.within(at, rtt.group);
                let packet = received.bytes as f64 / received.packets.max(1) as f64;
                let rate = received.rate(rtt.group);
                let first = first_interval(rate, rtt.best().as_secs_f64(), packet);
                self.intervals.close(first);
                self.assumed = rtt.own.is_none().then_some(rtt.group);
            }
        }
        self.event = Some(LossEvent { number, at });
    }

    /// The receiver's round trip time became known: what was made up with that of the group is
    /// made up anew.
    pub(crate) fn learn_rtt(&mut self, rtt: Duration) {
        if let Some(assumed) = self.assumed.take() {
            let ratio = rtt.as_secs_f64() / assumed.as_secs_f64().max(1e-6);
            self.intervals.scale_first(ratio * ratio);
        }
    }

    /// Track of the numbers was lost: the next packet has number `seq`, and nothing is known of
    /// those before it. What was counted stays.
    pub(crate) fn lose_track(&mut self, now: Instant, seq: Seq) {
        let Some(numbers) = &mut self.numbers else {
            return;
        };
        let last = numbers.newest;
        let skipped = u64::from(seq.0.wrapping_sub(Seq::from_count(last).next().0));
        *numbers = Numbers {
            newest: last + skipped,
            settled: last + skipped,
            before: (last + skipped, now),
            slots: [None; SLOTS],
        };
        if let Some(event) = &mut self.event {
            event.number += skipped;
        }
    }

    /// Whether a packet with this number comes soon after the newest.
    pub(crate) fn expects(&self, seq: Seq) -> bool {
        self.numbers.is_some_and(|numbers| {
            let ahead = seq.distance_from(Seq::from_count(numbers.newest));
            (1..=REORDER as i16).contains(&ahead)
        })
    }

    /// Whether nothing was lost yet.
    pub(crate) fn in_slow_start(&self) -> bool {
        self.event.is_none()
    }

    /// The loss event rate, 0 in slow start.
    pub(crate) fn loss_event_rate(&self) -> f64 {
        self.intervals.loss_event_rate(self.open_interval() as f64)
    }

    /// What arrives, for slow start.
    pub(crate) fn meter(&self) -> &ReceiveMeter {
        &self.meter
    }

    fn open_interval(&self) -> u64 {
        match (self.event, self.numbers) {
            (Some(event), Some(numbers)) => numbers.newest.saturating_sub(event.number),
            _ => 0,
        }
    }
}

impl Numbers {
    fn starting_with(seq: Seq, arrival: Arrival) -> Self {
        // High enough that what was sent before it has numbers, too.
        let number = (1 << 16) + u64::from(seq.0);
        let mut numbers = Numbers {
            newest: number,
            settled: number - 1,
            before: (number - 1, arrival.at),
            slots: [None; SLOTS],
        };
        numbers.fill(number, arrival);
        numbers
    }

    /// The number that `seq` stands for, unless that is settled.
    fn unwrapped(&self, seq: Seq) -> Option<u64> {
        let ahead = seq.distance_from(Seq::from_count(self.newest));
        let number = self.newest.checked_add_signed(ahead.into())?;
        (number > self.settled).then_some(number)
    }

    fn slot(&mut self, number: u64) -> &mut Option<Arrival> {
        let [first, rest @ ..] = &mut self.slots;
        match (number % SLOTS as u64) as usize {
            0 => first,
            at => rest.get_mut(at - 1).unwrap_or(first),
        }
    }

    fn fill(&mut self, number: u64, arrival: Arrival) {
        self.slot(number).get_or_insert(arrival);
    }

    /// Settles the next number: whether, and how, it arrived.
    fn take(&mut self, number: u64) -> Option<Arrival> {
        self.settled = number;
        self.slot(number).take()
    }

    /// The first arrival after `number` that a slot holds.
    fn next_arrival(&mut self, number: u64) -> Option<(u64, Instant)> {
        (number + 1..=self.newest).find_map(|n| self.slot(n).map(|arrival| (n, arrival.at)))
    }
}

/// When packet `number` would have arrived (RFC 5348 §5.2).
fn interpolate(before: (u64, Instant), after: (u64, Instant), number: u64) -> Instant {
    let span = after.1.saturating_duration_since(before.1);
    let numbers = after.0.saturating_sub(before.0).max(1);
    let part = number.saturating_sub(before.0).min(numbers);
    before.1 + span.mul_f64(part as f64 / numbers as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const G: Duration = Duration::from_millis(10);
    const RTT: RoundTrips = RoundTrips {
        group: G,
        own: Some(G),
    };

    /// Packets `MS` apart to a history, but those for which `lost` holds.
    struct Run {
        history: LossHistory,
        start: Instant,
        /// Number of packet 0.
        seq: u16,
    }

    /// A full packet of file data.
    fn of_data(at: Instant, seq: Seq, ecn: Ecn) -> Packet {
        let len = 1332;
        Packet { at, seq, len, ecn }
    }

    impl Run {
        fn new(seq: u16) -> Self {
            Run {
                history: LossHistory::new(28),
                start: Instant::now(),
                seq,
            }
        }

        fn at(&self, packet: u32) -> Instant {
            self.start + Duration::from_millis(packet.into())
        }

        fn arrive(&mut self, packet: u32, ecn: Ecn) {
            let seq = Seq(self.seq.wrapping_add(packet as u16));
            self.history.note(of_data(self.at(packet), seq, ecn), RTT);
        }

        fn run(&mut self, packets: std::ops::Range<u32>, lost: impl Fn(u32) -> bool) {
            for packet in packets.filter(|p| !lost(*p)) {
                self.arrive(packet, Ecn::Ect0);
            }
        }
    }

    #[test]
    fn no_loss_is_slow_start() {
        let mut run = Run::new(65_000);
        run.run(0..2000, |_| false);
        assert!(run.history.in_slow_start(), "over the wrap");
        assert!(run.history.loss_event_rate() <= 0.0);
    }

    #[test]
    fn lost_once_five_later_ones_are_there() {
        let mut run = Run::new(7);
        run.run(0..106, |p| p == 100);
        assert!(run.history.in_slow_start());
        run.run(106..107, |_| false);
        assert!(!run.history.in_slow_start());
        // A gap at the very end of the window is judged as well, whatever follows it.
        let mut run = Run::new(7);
        run.run(0..101, |p| p == 100);
        run.arrive(200, Ecn::Ect0);
        assert!(!run.history.in_slow_start());
    }

    #[test]
    fn reordered_packets_are_not_lost() {
        let mut run = Run::new(65_530);
        for block in 0..200 {
            for at in [1, 2, 3, 4, 5, 0] {
                run.arrive(block * 6 + at, Ecn::Ect0);
            }
        }
        assert!(run.history.in_slow_start());
    }

    #[test]
    fn losses_within_a_round_trip_are_one_event() {
        // Every 100 packets, ten times, three losses within 10 ms.
        let mut run = Run::new(65_300);
        run.run(0..1050, |p| p > 10 && [0, 4, 9].contains(&(p % 100)));
        let p = run.history.loss_event_rate();
        assert!((p - 0.01).abs() < 0.001, "{p}");
        // And three at 0, 20, 40 ms are three.
        let mut run = Run::new(65_300);
        run.run(0..1050, |p| p > 10 && [0, 20, 40].contains(&(p % 100)));
        let p = run.history.loss_event_rate();
        assert!((0.02..0.04).contains(&p), "{p}");
    }

    #[test]
    fn a_long_gap_is_as_many_events_as_round_trips() {
        let mut run = Run::new(65_000);
        run.run(0..1000, |p| (500..600).contains(&p));
        // 100 ms without a packet: an event every 11 ms, the last one at 99 ms.
        let history = &run.history;
        assert!(history.intervals.loss_event_rate(0.0) > 0.05);
        assert_eq!(history.open_interval(), 999 - 599);
        // The largest gap there can be costs no more than its events.
        let mut run = Run::new(0);
        run.run(0..10, |_| false);
        run.arrive(32_000, Ecn::Ect0);
        assert!(!run.history.in_slow_start());
    }

    #[test]
    fn a_mark_is_a_loss_event() {
        let mut run = Run::new(0);
        run.run(0..100, |_| false);
        run.arrive(100, Ecn::Ce);
        run.run(101..300, |_| false);
        assert!(!run.history.in_slow_start());
        let open = run.history.open_interval();
        assert_eq!(open, 199);
        run.arrive(300, Ecn::Ce);
        run.arrive(301, Ecn::Ce);
        run.run(302..310, |_| false);
        assert_eq!(run.history.open_interval(), 9);
    }

    #[test]
    fn first_interval_is_what_the_rate_received_amounts_to() {
        let mut run = Run::new(0);
        run.run(0..100, |p| p == 80);
        // 10 packets a round trip: 100 / 1.5.
        let p = run.history.loss_event_rate();
        assert!((1.0 / 90.0..1.0 / 50.0).contains(&p), "{p}");
    }

    #[test]
    fn first_interval_is_made_up_anew_for_the_first_round_trip_time() {
        let start = Instant::now();
        let guess = RoundTrips {
            group: G * 10,
            own: None,
        };
        let mut history = LossHistory::new(28);
        for p in (0..220u32).filter(|p| *p != 200) {
            let now = start + Duration::from_millis(p.into());
            history.note(of_data(now, Seq(p as u16), Ecn::Ect0), guess);
        }
        let before = history.loss_event_rate();
        history.learn_rtt(G);
        let after = history.loss_event_rate();
        assert!(after > before * 20.0, "{before} {after}");
        history.learn_rtt(G);
        assert!((history.loss_event_rate() - after).abs() < 1e-12, "once");
    }

    #[test]
    fn track_lost_is_no_loss() {
        let mut run = Run::new(0);
        run.run(0..200, |p| p == 100);
        let before = run.history.open_interval();
        let seq = Seq(50);
        let now = run.at(40_000);
        run.history.lose_track(now, seq);
        run.history.note(of_data(now, seq, Ecn::Ect0), RTT);
        assert_eq!(run.history.open_interval(), before + 1);
    }
}
