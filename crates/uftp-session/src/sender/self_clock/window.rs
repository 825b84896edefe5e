//! What was sent lately, in pieces of which reports can tell how much was lost.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use uftp_proto::nak::{count_naks_in, last_clear};

use super::loss::Sample;

/// Consecutive blocks of one section, sent without a pause. It is closed when receivers are asked
/// what they miss, or at the end of the section, which makes them say so unasked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    /// Counts through the session.
    pub(super) id: u64,
    section: u16,
    /// Blocks of the section from here ...
    first: u32,
    /// ... to before this one.
    end: u32,
    /// Those that were sent.
    pub(super) blocks: u32,
    pub(super) began: Instant,
    last: Instant,
    /// When it was closed.
    closed: Option<Instant>,
    /// How many are to answer; 0 if the section's end closed it, for then only those speak who
    /// miss something.
    asked: u32,
    /// How many have said what they miss of it.
    answers: u32,
    /// Somebody lost too much of it.
    pub(super) trouble: bool,
    /// The highest rate asked for meanwhile, bytes per second.
    pub(super) rate: f64,
    /// Drops of the rate before it began.
    pub(super) drops: u32,
}

/// How a window fared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fate {
    /// Nobody lost too much.
    Good,
    /// Somebody did.
    Bad,
    /// Some of those asked did not answer.
    Unanswered,
}

impl Window {
    /// Bytes per second at which it really went out, each block counting for `charged` bytes.
    pub(super) fn speed(&self, charged: f64) -> f64 {
        f64::from(self.blocks) * charged / self.took().as_secs_f64().max(1e-6)
    }

    /// How long it went out.
    pub(super) fn took(&self) -> Duration {
        self.last.saturating_duration_since(self.began)
    }

    /// What became of its blocks, `charged` bytes each, as a NAK bitmap of its section has it.
    pub(super) fn lost(&self, naks: &[u8], charged: f64) -> Sample {
        let lost = count_naks_in(naks, self.first..self.end);
        let speed = self.speed(charged).min(self.rate);
        Sample::new(lost.min(self.blocks), self.blocks, speed)
    }

    /// The part of it that lies before `known`, if that is most of it.
    fn before(mut self, known: u32) -> Option<Self> {
        let whole = self.end - self.first;
        if known < self.end {
            self.end = known.max(self.first);
            let part = f64::from(self.end - self.first) / f64::from(whole.max(1));
            let took = self.took();
            self.blocks = self.blocks.min(self.end - self.first);
            self.last = self.began + took.mul_f64(part);
        }
        (2 * (self.end - self.first) >= whole).then_some(self)
    }

    fn is_open(&self) -> bool {
        self.closed.is_none()
    }

    /// Of those asked, how many have not answered.
    fn silent(&self) -> u32 {
        self.asked.saturating_sub(self.answers)
    }

    fn was_closed_by(&self, instant: Option<Instant>) -> bool {
        self.closed.is_some() && self.closed <= instant
    }
}

/// What a receiver says it misses.
#[derive(Clone, Copy, Debug)]
pub(super) struct Naks<'a> {
    /// When that arrived.
    pub(super) at: Instant,
    /// How long receivers take to say it.
    pub(super) delay: Duration,
    pub(super) section: u16,
    pub(super) bitmap: &'a [u8],
    /// All of the section is sent for the first time.
    pub(super) fresh: bool,
}

impl Naks<'_> {
    /// What it knows was sent by then; `None` before all time.
    fn made(&self) -> Option<Instant> {
        self.at.checked_sub(self.delay)
    }
}

/// What a receiver's losses in a window say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// No reason not to send faster.
    Fine,
    /// It lost too much.
    TooMuch,
}

/// The windows of a file that may still be reported, oldest first; the last may be open.
#[derive(Debug, Default)]
pub(super) struct Windows {
    list: VecDeque<Window>,
    next_id: u64,
    /// Windows before this one are settled.
    settled: u64,
    /// Of those asked, so many do not answer any more; they are not waited for.
    mute: u32,
    /// Windows in a row that not all answered.
    unanswered: u32,
    last_asked: Option<Instant>,
}

/// What may be believed of a report on a section.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::sender) enum Horizon {
    /// All of it.
    All,
    /// That of the blocks before this one; what comes after it may have been under way.
    Before(u32),
}

impl Windows {
    /// Most windows remembered.
    const MOST: usize = 64;
    /// Who has not answered as often is not waited for.
    const GONE: u32 = 2;
    /// So many times what is usual is waited for answers, with a question each time.
    const PATIENCES: u32 = 4;

    /// Forgets all: a file begins.
    pub(super) fn clear(&mut self) {
        self.list.clear();
        self.settled = self.next_id;
    }

    /// Whether nothing was ever sent.
    pub(super) fn is_untouched(&self) -> bool {
        self.next_id == 0
    }

    /// The window being sent.
    pub(super) fn open(&self) -> Option<&Window> {
        self.list.back().filter(|w| w.is_open())
    }

    /// When the section being sent began, if it is not the first of the pass.
    pub(super) fn section_began(&self) -> Option<Instant> {
        let current = self.list.back()?.section;
        let before = self.list.iter().rev().find(|w| w.section != current);
        before.and_then(|w| w.closed)
    }

    /// Block `offset` of `section` went out at `rate`, after `drops` drops.
    pub(super) fn sent(&mut self, now: Instant, section: u16, offset: u32, rate: f64, drops: u32) {
        let fits = |w: &&mut Window| w.is_open() && w.section == section && w.end <= offset;
        if let Some(window) = self.list.back_mut().filter(fits) {
            window.end = offset + 1;
            window.blocks += 1;
            window.last = now;
            window.rate = window.rate.max(rate);
            return;
        }
        self.close(now, 0);
        if self.list.len() >= Self::MOST {
            self.list.pop_front();
        }
        self.list.push_back(Window {
            id: self.next_id,
            section,
            first: offset,
            end: offset + 1,
            blocks: 1,
            began: now,
            last: now,
            closed: None,
            asked: 0,
            answers: 0,
            trouble: false,
            rate,
            drops,
        });
        self.next_id += 1;
    }

    /// Closes the window being sent, of which `asked` receivers are to say what they miss.
    pub(super) fn close(&mut self, now: Instant, asked: u32) {
        if let Some(window) = self.list.back_mut().filter(|w| w.is_open()) {
            window.closed = Some(now);
            window.asked = asked;
        }
    }

    /// What comes will show another rate than what was sent so far, of which only losses count.
    pub(super) fn begin_anew(&mut self, now: Instant) {
        self.close(now, 0);
        self.settled = self.next_id;
    }

    /// Receivers, `audience` in number, were asked. While answers of another time are to come the
    /// window being sent stays open: whichever question they answer, they know of what was sent
    /// before the first.
    pub(super) fn ask(&mut self, now: Instant, audience: u32) {
        self.last_asked = Some(now);
        if !self.awaits_answers() {
            self.close(now, audience);
        }
    }

    /// Whether an answer is still to come.
    pub(super) fn awaits_answers(&self) -> bool {
        self.awaited().is_some()
    }

    /// Whether the answers that are still to come have taken more than `patience`, and are not to
    /// be made unasked because the section is over.
    pub(super) fn asks_again(&self, now: Instant, patience: Duration) -> bool {
        let current = self.list.back().map(|w| w.section);
        let late = self.last_asked.is_some_and(|at| now >= at + patience);
        late && self.awaited().map(|w| w.section) == current
    }

    fn awaited(&self) -> Option<&Window> {
        let mut unsettled = self.list.iter().filter(|w| w.id >= self.settled);
        unsettled.find(|w| w.closed.is_some() && w.asked > 0)
    }

    /// How far a report can be believed.
    pub(super) fn horizon(&self, report: &Naks<'_>) -> Horizon {
        let section = report.section;
        let mut of_section = self.list.iter().filter(|w| w.section == section);
        let last = self.list.back();
        let under_way = last.is_some_and(|w| w.section == section && (w.is_open() || w.asked > 0));
        match !under_way && of_section.all(|w| w.was_closed_by(report.made())) {
            true => Horizon::All,
            false => Horizon::Before(self.known(report)),
        }
    }

    /// The windows that a report tells of, the last of them only as far as it does.
    pub(super) fn reported(&self, report: &Naks<'_>) -> Vec<Window> {
        let known = self.known(report);
        // How far a report on what is new goes, the report itself says.
        let by = match report.fresh {
            true => Some(report.at),
            false => report.made(),
        };
        self.closed(report, by)
            .filter_map(|window| window.before(known))
            .collect()
    }

    /// What of its section a report knows about: the blocks before this one. If all are sent for
    /// the first time, the last that has arrived says how far the receiver got: queues may hold back
    /// what comes after it for much longer than a receiver takes to report, and it may have reported at
    /// once. If none has, it has come at least as far as what made it speak.
    fn known(&self, report: &Naks<'_>) -> u32 {
        let end = |by| self.closed(report, by).map(|w| w.end).max().unwrap_or(0);
        let sent = end(Some(report.at));
        match last_clear(report.bitmap, 0..sent) {
            Some(last) if report.fresh => last + 1,
            _ => end(report.made()),
        }
    }

    /// The windows of its section that were closed by then.
    fn closed(&self, report: &Naks<'_>, by: Option<Instant>) -> impl Iterator<Item = Window> {
        let section = report.section;
        let closed = move |w: &&Window| w.section == section && w.was_closed_by(by);
        self.list.iter().filter(closed).copied()
    }

    /// One more receiver has said what it misses of a window, and whether that is too much.
    pub(super) fn answered(&mut self, id: u64, verdict: Verdict) {
        let Some(window) = self.list.iter_mut().find(|w| w.id == id) else {
            return;
        };
        window.answers += 1;
        window.trouble |= verdict == Verdict::TooMuch;
        if window.asked > 0 {
            self.mute = self.mute.min(window.silent());
        }
    }

    /// Settles the next window whose time has come: how it fared. Silence for `patience` after
    /// the end of its section means that nothing was lost.
    pub(super) fn settle(&mut self, now: Instant, patience: Duration) -> Option<(Window, Fate)> {
        let at = self.list.iter().position(|w| w.id >= self.settled)?;
        let window = *self.list.get(at)?;
        let fate = self.fate(&window, now, patience)?;
        self.settled = window.id + 1;
        if fate == Fate::Unanswered {
            self.unanswered += 1;
            if self.unanswered >= Self::GONE {
                self.mute = window.silent();
            }
        } else if window.asked > 0 {
            self.unanswered = 0;
        }
        Some((window, fate))
    }

    fn fate(&self, window: &Window, now: Instant, patience: Duration) -> Option<Fate> {
        let closed = window.closed?;
        if window.trouble {
            return Some(Fate::Bad);
        }
        if window.asked > 0 && window.silent() <= self.mute {
            return Some(Fate::Good);
        }
        // Who has the whole section by the time of the answer has nothing to say.
        let silence = match self.end_of(window.section) {
            Some(ended) => (ended + patience, Fate::Good),
            None if window.asked == 0 => (closed + patience, Fate::Good),
            None => (closed + patience * Self::PATIENCES, Fate::Unanswered),
        };
        (now >= silence.0).then_some(silence.1)
    }

    /// When the last of `section` was sent, if another is being sent by now.
    fn end_of(&self, section: u16) -> Option<Instant> {
        let mut latest = self.list.iter().rev();
        let another = latest.next().is_some_and(|w| w.section != section);
        let last = latest.find(|w| w.section == section);
        last.filter(|_| another).and_then(|w| w.closed)
    }
}

#[cfg(test)]
mod tests;
