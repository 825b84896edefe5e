//! A rate that answers to loss in steps (protocol 3; wire-v3 §12.1).

use std::fmt::Debug;

use super::event::SenderEvent;
use super::session::Session;

/// Where the steps are written down. They are asked for after every section.
pub trait RateSteps: Send + Sync + Debug {
    /// As they stand now; `None` leaves the rate as it is.
    fn table(&self) -> Option<RateTable>;
}

/// The least rate there is, bytes per second: 1 Kbps, as for the rate of the command line.
const LEAST_RATE: u64 = 1024 / 8;

/// How much the rate changes by how much is lost.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct RateTable {
    /// Up to this percentage of loss the rate is multiplied by this factor; rising.
    pub steps: Vec<(f64, f64)>,
    /// Least rate, bytes per second; what is below 1 Kbps counts as that.
    pub min: u64,
    /// Greatest rate, bytes per second; `None` is the one that was asked for.
    pub max: Option<u64>,
}

impl RateTable {
    /// What becomes of `rate` when so many percent are lost; `most` is the rate asked for.
    pub(crate) fn next(&self, rate: u64, percent: f64, most: u64) -> u64 {
        let step = self.steps.iter().find(|(limit, _)| *limit >= percent);
        let factor = step.map_or(1.0, |(_, factor)| *factor);
        let most = self.max.unwrap_or(most).max(LEAST_RATE);
        let least = self.min.clamp(LEAST_RATE, most);
        // Rates are far below what a double counts exactly.
        ((rate as f64 * factor) as u64).clamp(least, most)
    }
}

impl Session {
    /// Of `sent` blocks of a section `lost` are missing somewhere.
    pub(super) fn step_rate(&mut self, lost: u32, sent: u32) {
        let Some(steps) = self.config.rate_steps.clone() else {
            return;
        };
        let Some(table) = steps.table().filter(|_| sent > 0) else {
            return;
        };
        let percent = f64::from(lost) * 100.0 / f64::from(sent);
        let before = self.rate.bytes_per_second();
        if let Some(most) = self.config.rate.fixed() {
            let rate = table.next(before, percent, most);
            if rate != before {
                self.events
                    .push_back(SenderEvent::RateStepped { rate, lost, sent });
            }
            self.rate.set_fixed(rate);
            self.obey_rate();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_reaches_the_loss_counts() {
        let table = RateTable {
            steps: vec![(0.0, 1.5), (5.0, 1.0), (100.0, 0.5)],
            ..RateTable::default()
        };
        assert_eq!(table.next(1000, 0.0, 4000), 1500);
        assert_eq!(
            table.next(1000, 0.0, 1200),
            1200,
            "never above what was asked for"
        );
        assert_eq!(table.next(1000, 4.9, 4000), 1000);
        assert_eq!(table.next(1000, 5.1, 4000), 500);
        assert_eq!(table.next(200, 50.0, 4000), 128, "never nothing");
        let bounded = RateTable {
            min: 800,
            max: Some(1100),
            ..table.clone()
        };
        assert_eq!(bounded.next(1000, 0.0, 4000), 1100);
        assert_eq!(bounded.next(1000, 50.0, 4000), 800);
        let contradictory = RateTable {
            min: 2000,
            max: Some(0),
            ..table
        };
        assert_eq!(contradictory.next(1000, 50.0, 4000), 128);
        assert_eq!(RateTable::default().next(1000, 50.0, 4000), 1000);
    }
}
