use super::*;

const MS: fn(u64) -> Duration = Duration::from_millis;
const TIMES: Times = Times {
    grtt: Duration::from_millis(10),
    advertised: Duration::from_millis(10),
};
const FLOOR: u64 = 136_000;

/// A controller with data flowing for long enough, receiver 0 limiting.
struct Bench {
    c: Controller,
    now: Instant,
}

impl Bench {
    fn new(limits: Limits) -> Self {
        let now = Instant::now();
        let mut c = Controller::new(limits, 1360, 20, now);
        c.start_file(now, Some(0), TIMES);
        c.flows(now);
        let mut bench = Bench { c, now };
        bench.pass(MS(1));
        bench
    }

    fn pass(&mut self, time: Duration) -> Due {
        self.now += time;
        self.c.poll(self.now, TIMES)
    }

    fn hear(&mut self, from: usize, flags: CcFlags, rate: u64) {
        let report = Report {
            from,
            flags,
            rate,
            rtt: MS(10),
        };
        self.c.report(self.now, report, TIMES);
    }
}

const START: CcFlags = CcFlags::START;
const RTT: CcFlags = CcFlags::RTT;

#[test]
fn begins_with_a_packet_a_round_trip() {
    let bench = Bench::new(Limits::default());
    assert_eq!(bench.c.rate(), FLOOR);
    assert!(bench.c.in_slow_start());
    let init = Limits {
        init: Some(500_000),
        ..Limits::default()
    };
    assert_eq!(Bench::new(init).c.rate(), 500_000);
}

#[test]
fn slow_start_follows_the_limiting_receiver() {
    let mut bench = Bench::new(Limits::default());
    for rate in [300_000, 700_000, 2_000_000] {
        bench.hear(0, START, rate);
        assert_eq!(bench.c.rate(), rate);
    }
    bench.hear(0, RTT, 900_000);
    assert_eq!(bench.c.rate(), 900_000);
    assert!(!bench.c.in_slow_start());
}

#[test]
fn rises_by_a_packet_a_round_trip_and_falls_at_once() {
    let mut bench = Bench::new(Limits::default());
    bench.hear(0, START, 600_000);
    bench.hear(0, RTT, 500_000);
    let before = bench.c.rate();
    for _ in 0..3 {
        bench.hear(0, RTT, 5_000_000);
    }
    assert_eq!(bench.c.rate(), before + FLOOR, "reports of one round trip");
    bench.pass(MS(10));
    bench.hear(0, RTT, 5_000_000);
    assert_eq!(bench.c.rate(), before + 2 * FLOOR);
    bench.hear(0, RTT, 200_000);
    assert_eq!(bench.c.rate(), 200_000);
}

#[test]
fn a_slower_receiver_takes_over() {
    let mut bench = Bench::new(Limits::default());
    bench.hear(0, START, 1_000_000);
    bench.hear(1, RTT, 2_000_000);
    assert_eq!(bench.c.clr(), Some(0));
    let (_, lowest) = bench.c.round();
    assert_eq!(lowest, RateCode::from_rate(1_800_000));
    bench.hear(2, RTT, 600_000);
    assert_eq!((bench.c.clr(), bench.c.rate()), (Some(2), 600_000));
    let round = bench.c.round().0;
    assert!(bench.pass(MS(60)).round);
    assert_eq!(
        bench.c.round(),
        (round + 1, RateCode::from_rate(UNLIMITED_RATE))
    );
}

#[test]
fn a_report_without_own_round_trip_is_scaled() {
    let mut bench = Bench::new(Limits::default());
    bench.c.report(
        bench.now,
        Report {
            from: 0,
            flags: CcFlags::empty(),
            rate: 200_000,
            rtt: MS(5),
        },
        TIMES,
    );
    assert_eq!(bench.c.rate(), 400_000 - 128_000);
}

#[test]
fn silence_halves_then_forgets_then_gives_up() {
    let mut bench = Bench::new(Limits::default());
    bench.hear(0, START, 64_000_000);
    let heard = bench.now;
    while bench.now < heard + MS(40) {
        assert!(!bench.pass(MS(1)).abandon);
    }
    assert_eq!(bench.c.rate(), 64_000_000);
    while bench.now < heard + MS(85) {
        bench.pass(MS(1));
    }
    let rate = bench.c.rate();
    assert!((2_000_000..=8_000_000).contains(&rate), "{rate}");
    assert_eq!(bench.c.clr(), Some(0));
    while bench.now < heard + MS(215) {
        bench.pass(MS(1));
    }
    assert_eq!((bench.c.clr(), bench.c.rate()), (None, FLOOR));
    assert!(bench.c.in_slow_start());
    // Somebody else speaks: what it asks for counts at the end of the round.
    bench.hear(4, RTT, 1_000_000);
    assert_eq!((bench.c.clr(), bench.c.rate()), (Some(4), FLOOR));
    while !bench.pass(MS(1)).round {}
    assert_eq!(bench.c.rate(), 1_000_000);
    let heard = bench.now;
    while bench.now < heard + MS(4_900) {
        assert!(!bench.pass(MS(10)).abandon);
    }
    assert!(bench.pass(MS(200)).abandon);
}

#[test]
fn a_silence_in_which_the_sender_did_not_run_is_forgiven_once() {
    let mut bench = Bench::new(Limits::default());
    bench.hear(0, START, 64_000_000);
    bench.now += MS(30_000);
    bench.c.held_up(bench.now, TIMES);
    assert!(!bench.pass(MS(1)).abandon);
    assert_eq!((bench.c.clr(), bench.c.rate()), (Some(0), 64_000_000));
    bench.now += MS(30_000);
    bench.c.held_up(bench.now, TIMES);
    assert!(bench.pass(MS(1)).abandon);
}

#[test]
fn stays_within_its_limits() {
    let limits = Limits {
        max: Some(1_000_000),
        min: Some(400_000),
        init: None,
    };
    let mut bench = Bench::new(limits);
    assert_eq!(bench.c.rate(), 400_000);
    bench.hear(0, START, 9_000_000);
    assert_eq!(bench.c.rate(), 1_000_000);
    assert!(!bench.c.in_slow_start());
    bench.hear(0, RTT, 1);
    assert_eq!(bench.c.rate(), 400_000);
    assert!(bench.c.in_slow_start());
}

#[test]
fn what_is_measured_while_nothing_flows_is_no_reason_to_slow_down() {
    let mut bench = Bench::new(Limits::default());
    bench.hear(0, START, 3_000_000);
    bench.c.ceases();
    bench.pass(MS(30));
    bench.hear(0, START, 10_000);
    bench.hear(1, START, 10_000);
    assert_eq!((bench.c.clr(), bench.c.rate()), (Some(0), 3_000_000));
    bench.c.flows(bench.now);
    bench.pass(MS(30));
    bench.hear(0, START, 10_000);
    assert_eq!(bench.c.rate(), 3_000_000);
    bench.pass(MS(31));
    bench.hear(0, START, 1_000_000);
    assert_eq!(bench.c.rate(), 1_000_000);
    bench.c.ceases();
    bench.hear(0, RTT, 500_000);
    assert_eq!(bench.c.rate(), 500_000, "loss counts always");
}

#[test]
fn rounds_and_rate_go_on_with_the_next_file() {
    let mut bench = Bench::new(Limits::default());
    for _ in 0..30 {
        bench.pass(MS(10));
        bench.hear(0, START, 4_000_000);
    }
    let round = bench.c.round().0;
    assert!(round >= 4);
    bench.c.end_file(bench.now);
    bench.now += MS(20);
    bench.c.start_file(bench.now, Some(1), TIMES);
    assert_eq!(bench.c.round().0, round);
    assert_eq!(bench.c.clr(), Some(1));
    let rate = bench.c.rate();
    assert!((2_800_000..2_900_000).contains(&rate), "{rate}");
    bench.c.end_file(bench.now);
    bench.now += MS(10_000);
    bench.c.start_file(bench.now, Some(1), TIMES);
    assert_eq!(bench.c.rate(), FLOOR);
}
