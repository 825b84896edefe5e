use super::*;

const MS: fn(u64) -> Duration = Duration::from_millis;
const DELAY: Duration = Duration::from_millis(10);
const PATIENCE: Duration = Duration::from_millis(30);

/// Sends `blocks` of `section`, one a millisecond from `start + from` on.
fn send(windows: &mut Windows, start: Instant, from: u64, section: u16, blocks: u64) {
    for i in 0..blocks {
        let offset = (from + i) as u32;
        windows.sent(start + MS(from + i), section, offset, 1e6, 0);
    }
}

/// A report on what is sent for the first time.
fn first(at: Instant, section: u16, bitmap: &[u8]) -> Naks<'_> {
    Naks {
        at,
        delay: DELAY,
        section,
        bitmap,
        fresh: true,
    }
}

/// A report on repairs.
fn repairs(at: Instant, section: u16, bitmap: &[u8]) -> Naks<'_> {
    Naks {
        fresh: false,
        ..first(at, section, bitmap)
    }
}

#[test]
fn a_report_is_believed_as_far_as_it_can_know() {
    let start = Instant::now();
    let mut windows = Windows::default();
    assert_eq!(windows.horizon(&first(start, 3, &[])), Horizon::All);
    send(&mut windows, start, 0, 0, 50);
    assert_eq!(
        windows.horizon(&first(start + MS(50), 0, &[])),
        Horizon::Before(0)
    );
    windows.close(start + MS(50), 2);
    send(&mut windows, start, 50, 0, 10);
    let at = |ms| start + MS(ms);
    let none = [0xff; 8];
    assert_eq!(
        windows.horizon(&first(at(59), 0, &none)),
        Horizon::Before(0)
    );
    assert_eq!(
        windows.horizon(&first(at(60), 0, &none)),
        Horizon::Before(50)
    );
    // What has come was sent before.
    let some = [0, 0, 0, 0, 0, 0xff, 0xff, 0xff];
    assert_eq!(
        windows.horizon(&first(at(51), 0, &some)),
        Horizon::Before(40)
    );
    windows.sent(at(70), 1, 0, 1e6, 0);
    assert_eq!(
        windows.horizon(&first(at(75), 0, &none)),
        Horizon::Before(50)
    );
    assert_eq!(windows.horizon(&first(at(80), 0, &none)), Horizon::All);
    assert_eq!(windows.horizon(&first(at(80), 1, &[])), Horizon::Before(0));
    // The end of a pass makes everybody speak.
    windows.close(at(90), 0);
    assert_eq!(
        windows.horizon(&first(at(99), 1, &none)),
        Horizon::Before(0)
    );
    assert_eq!(windows.horizon(&first(at(100), 1, &none)), Horizon::All);
}

#[test]
fn what_queues_hold_back_is_not_lost() {
    let start = Instant::now();
    let at = |ms| start + MS(ms);
    let mut windows = Windows::default();
    for from in [0, 16] {
        send(&mut windows, start, from, 0, 16);
        windows.close(at(from + 16), 1);
    }
    // Block 25 is the last that has come.
    let naks = [0, 0b1, 0, 0b1111_1100];
    let known = Horizon::Before(26);
    assert_eq!(windows.horizon(&first(at(50), 0, &naks)), known);
    let told = windows.reported(&first(at(50), 0, &naks));
    let lost: Vec<_> = told.iter().map(|w| w.lost(&naks, 1000.0)).collect();
    assert_eq!(lost, [Sample::new(1, 16, 1e6), Sample::new(0, 10, 1e6)]);
    let less = [0, 0b1, 0b1111_0000, 0xff];
    let little = windows.reported(&first(at(50), 0, &less));
    assert_eq!(little.len(), 1, "most of the second is still to come");
    // Of blocks sent again nothing is known but when they were.
    let all = Horizon::Before(32);
    assert_eq!(windows.horizon(&repairs(at(50), 0, &naks)), all);
}

#[test]
fn what_is_lost_is_counted_by_window() {
    let start = Instant::now();
    let mut windows = Windows::default();
    send(&mut windows, start, 0, 0, 16);
    windows.close(start + MS(16), 1);
    send(&mut windows, start, 16, 0, 8);
    windows.close(start + MS(24), 1);
    let naks = [0xff, 0x01, 0xf0];
    let told = windows.reported(&repairs(start + MS(40), 0, &naks));
    let lost: Vec<_> = told.iter().map(|w| w.lost(&naks, 1000.0)).collect();
    assert_eq!(lost, [Sample::new(9, 16, 1e6), Sample::new(4, 8, 1e6)]);
    assert!(
        windows
            .reported(&repairs(start + MS(40), 1, &naks))
            .is_empty()
    );
}

#[test]
fn answers_settle_a_window_and_silence_does_in_the_end() {
    let start = Instant::now();
    let at = |ms| start + MS(ms);
    let mut windows = Windows::default();
    send(&mut windows, start, 0, 0, 10);
    windows.close(at(10), 2);
    assert!(windows.awaits_answers());
    windows.answered(0, Verdict::Fine);
    assert!(windows.settle(at(20), PATIENCE).is_none());
    windows.answered(0, Verdict::Fine);
    let fate = windows.settle(at(20), PATIENCE).map(|(_, fate)| fate);
    assert_eq!(fate, Some(Fate::Good));
    assert!(!windows.awaits_answers());
    // Silence in the middle of a section means nothing; once the section is over, consent.
    send(&mut windows, start, 20, 0, 10);
    windows.ask(at(30), 2);
    send(&mut windows, start, 30, 0, 10);
    assert!(!windows.asks_again(at(50), PATIENCE));
    assert!(windows.asks_again(at(60), PATIENCE));
    windows.ask(at(60), 2);
    assert!(
        windows.open().is_some(),
        "another question, the same window"
    );
    assert!(windows.settle(at(149), PATIENCE).is_none());
    let fate = windows.settle(at(150), PATIENCE).map(|(_, fate)| fate);
    assert_eq!(fate, Some(Fate::Unanswered));
    windows.sent(at(160), 1, 0, 1e6, 0);
    let fate = windows.settle(at(190), PATIENCE).map(|(_, fate)| fate);
    assert_eq!(fate, Some(Fate::Good));
}

#[test]
fn the_dead_are_not_waited_for_for_ever() {
    let start = Instant::now();
    let mut windows = Windows::default();
    let mut fates = Vec::new();
    for round in 0..10 {
        let from = round * 10;
        send(&mut windows, start, from, 0, 9);
        windows.close(start + MS(from + 9), 2);
        windows.answered(round, Verdict::Fine);
        fates.extend(windows.settle(start + MS(from + 9) + PATIENCE * 4, PATIENCE));
    }
    let good = fates.iter().filter(|(_, fate)| *fate == Fate::Good).count();
    assert_eq!(good, 10 - Windows::GONE as usize);
    // When they speak again, they count again.
    windows.answered(9, Verdict::Fine);
    assert_eq!(windows.mute, 0);
}

#[test]
fn memory_is_bounded() {
    let start = Instant::now();
    let mut windows = Windows::default();
    for section in 0..1000 {
        windows.sent(start, section, 0, 1e6, 0);
    }
    assert_eq!(windows.list.len(), Windows::MOST);
    assert!(windows.settle(start + PATIENCE, PATIENCE).is_some());
}
