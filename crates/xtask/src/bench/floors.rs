//! `cargo xtask bench --table`: what we owe the user beyond the reference, case by case.

use std::process::ExitCode;

use uftp_tests::{Failure, Parties, Result};

use super::{
    plan::{Plan, Programs},
    table::{Numbers, render, significant},
    told,
};

/// A transfer, and what of it is held against the reference's among themselves.
struct Case {
    name: &'static str,
    /// What is different from the plan of the command line.
    conditions: fn(&mut Plan),
    parties: Parties,
    floors: &'static [Floor],
}

/// A bound on one of [`Plan::quantities`]: ours as a multiple of the reference's.
struct Floor {
    quantity: usize,
    bound: Bound,
}

#[derive(Clone, Copy)]
enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

const fn goodput(times: f64) -> Floor {
    Floor {
        quantity: 0,
        bound: Bound::AtLeast(times),
    }
}

const fn sender_cpu(part: f64) -> Floor {
    Floor {
        quantity: 1,
        bound: Bound::AtMost(part),
    }
}

const fn receiver_cpu(part: f64) -> Floor {
    Floor {
        quantity: 2,
        bound: Bound::AtMost(part),
    }
}

const CASES: [Case; 9] = [
    Case {
        name: "1 receiver",
        conditions: |_| {},
        parties: Parties::OURS,
        floors: &[goodput(8.0), sender_cpu(1.0 / 8.0), receiver_cpu(1.0 / 5.0)],
    },
    Case {
        name: "3 receivers",
        conditions: |plan| plan.receivers = 3,
        parties: Parties::OURS,
        floors: &[goodput(5.0)],
    },
    Case {
        name: "1 receiver, aes256-gcm",
        conditions: |plan| plan.cipher = Some("aes256-gcm".to_owned()),
        parties: Parties::OURS,
        floors: &[goodput(5.0), sender_cpu(1.0 / 5.0), receiver_cpu(1.0 / 5.0)],
    },
    Case {
        name: "1 receiver, 1 % loss",
        conditions: |plan| plan.loss = 10,
        parties: Parties::OURS,
        floors: &[goodput(2.0)],
    },
    Case {
        name: "3 receivers, 2 % loss",
        conditions: |plan| (plan.receivers, plan.loss) = (3, 20),
        parties: Parties::OURS,
        floors: &[goodput(2.0)],
    },
    Case {
        name: "ours → reference",
        conditions: |_| {},
        parties: Parties::OURS_TO_THEIRS,
        floors: &[goodput(1.0), sender_cpu(1.0 / 2.0)],
    },
    Case {
        name: "reference → ours",
        conditions: |_| {},
        parties: Parties::THEIRS_TO_OURS,
        floors: &[goodput(1.0), receiver_cpu(1.0 / 2.0)],
    },
    Case {
        // The same goodput, but for the hundredth that a measurement may be off.
        name: "1 receiver, -R 1000000",
        conditions: |plan| plan.rate = 1_000_000,
        parties: Parties::OURS,
        floors: &[
            goodput(0.99),
            sender_cpu(1.0 / 4.0),
            receiver_cpu(1.0 / 4.0),
        ],
    },
    Case {
        // At most half of the time.
        name: "500 files of 4 KiB",
        conditions: |plan| (plan.files, plan.size) = (500, 4096),
        parties: Parties::OURS,
        floors: &[goodput(2.0)],
    },
];

/// Numbers of the same quantities in several runs.
#[derive(Clone, Default)]
struct Runs(Vec<Numbers>);

impl Runs {
    fn add(&mut self, values: &[f64]) {
        self.0.resize(values.len(), Numbers::default());
        for (numbers, value) in self.0.iter_mut().zip(values) {
            numbers.add(*value);
        }
    }

    fn median(&self, quantity: usize) -> Option<f64> {
        self.0.get(quantity)?.median()
    }
}

/// Runs the cases whose names contain `only`, the reference and ours in turn, and prints medians,
/// ratios and whether each floor is met. The exit code says whether all are.
///
/// # Errors
/// When a transfer fails, or no case is called so.
pub(super) fn check(plan: &Plan, rounds: u32, only: &str, programs: &Programs) -> Result<ExitCode> {
    let cases: Vec<&Case> = CASES.iter().filter(|c| c.name.contains(only)).collect();
    if cases.is_empty() {
        return Err(Failure::new(format!("--only: no case contains {only:?}")));
    }
    println!("{}, unless the case says otherwise", plan.told());
    let plans: Vec<Plan> = cases
        .iter()
        .map(|case| {
            let mut plan = plan.clone();
            (case.conditions)(&mut plan);
            plan
        })
        .collect();
    let mut references = vec![Runs::default(); cases.len()];
    let mut ours = vec![Runs::default(); cases.len()];
    for round in 1..=rounds {
        for (at, (case, plan)) in cases.iter().zip(&plans).enumerate() {
            // Cases with the same conditions share the reference's runs.
            let twin = plans.iter().position(|other| other == plan).unwrap_or(at);
            if twin == at {
                let values = plan.run(Parties::REFERENCE, programs)?;
                println!(
                    "round {round}, {}, reference: {}",
                    case.name,
                    told(plan.quantities(), &values)
                );
                let same = plans.iter().zip(&mut references);
                for (_, runs) in same.filter(|(other, _)| *other == plan) {
                    runs.add(&values);
                }
            }
            let values = plan.run(case.parties, programs)?;
            println!(
                "round {round}, {}, ours: {}",
                case.name,
                told(plan.quantities(), &values)
            );
            if let Some(runs) = ours.get_mut(at) {
                runs.add(&values);
            }
        }
    }
    let (text, met) = report(&cases, &references, &ours);
    println!("\nmedians of {rounds} rounds\n\n{text}");
    Ok(if met {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The table, and whether all floors are met.
fn report(cases: &[&Case], references: &[Runs], ours: &[Runs]) -> (String, bool) {
    let titles = [
        "case",
        "quantity",
        "reference",
        "ours",
        "ratio",
        "floor",
        "",
    ];
    let mut rows = vec![titles.map(str::to_owned).to_vec()];
    let quantities = Plan::default().quantities();
    let mut all_met = true;
    for ((case, reference), ours) in cases.iter().zip(references).zip(ours) {
        for floor in case.floors {
            let reference = reference.median(floor.quantity).unwrap_or(f64::NAN);
            let ours = ours.median(floor.quantity).unwrap_or(f64::NAN);
            let met = floor.bound.holds(ours / reference);
            all_met &= met;
            rows.push(vec![
                case.name.to_owned(),
                (*quantities.get(floor.quantity).unwrap_or(&"")).to_owned(),
                significant(reference),
                significant(ours),
                significant(ours / reference),
                floor.bound.told(),
                if met { "met" } else { "MISSED" }.to_owned(),
            ]);
        }
    }
    (render(&rows), all_met)
}

impl Bound {
    /// False for what is not a number.
    fn holds(self, ratio: f64) -> bool {
        match self {
            Bound::AtLeast(least) => ratio >= least,
            Bound::AtMost(most) => ratio <= most,
        }
    }

    fn told(self) -> String {
        match self {
            Bound::AtLeast(least) => format!("≥ {}", significant(least)),
            Bound::AtMost(most) => format!("≤ {}", significant(most)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(goodput: f64, cpu: f64) -> Runs {
        let mut runs = Runs::default();
        runs.add(&[goodput, cpu, cpu, 1.0, 1.0]);
        runs
    }

    #[test]
    fn a_floor_is_met_on_its_own_side_only() {
        const FLOORS: [Floor; 2] = [goodput(8.0), sender_cpu(0.125)];
        let case = Case {
            name: "case",
            conditions: |_| {},
            parties: Parties::OURS,
            floors: &FLOORS,
        };
        let reference = [runs(100.0, 8.0)];
        let (text, met) = report(&[&case], &reference, &[runs(800.0, 1.0)]);
        assert!(met && !text.contains("MISSED"), "{text}");
        let (text, met) = report(&[&case], &reference, &[runs(799.0, 1.0)]);
        assert!(!met && text.matches("MISSED").count() == 1, "{text}");
        let (text, met) = report(&[&case], &reference, &[runs(900.0, 1.01)]);
        assert!(!met && text.matches("MISSED").count() == 1, "{text}");
        assert!(!report(&[&case], &[Runs::default()], &[runs(1.0, 1.0)]).1);
    }
}
