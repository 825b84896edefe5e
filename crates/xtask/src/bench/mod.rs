//! `cargo xtask bench`: our programs and the reference's in turn, under the same conditions.

mod floors;
mod plan;
mod scene;
mod table;

use std::process::ExitCode;

use uftp_tests::{Failure, Parties, Result};

use crate::{
    options::Options,
    packages::{Need, install_missing},
    rights::{need_root, run_again_as_root},
};
use plan::{Plan, Programs, name, parties_called};
use table::{Numbers, table};

/// What to measure.
struct Task {
    plan: Plan,
    rounds: u32,
    parties: Vec<Parties>,
    /// The cases with floors, those whose names contain this.
    table: Option<String>,
}

/// Measures what the options say and prints a table.
pub(crate) fn bench(options: &mut Options) -> Result<ExitCode> {
    let task = read_task(options)?;
    need_root("bench")?;
    install_missing(Need::Tests)?;
    // Built by the user, if it is one.
    let programs = Programs::ready()?;
    if let Some(code) = run_again_as_root()? {
        return Ok(code);
    }
    match &task.table {
        Some(only) => floors::check(&task.plan, task.rounds, only, &programs),
        None => compare(&task, &programs),
    }
}

fn read_task(options: &mut Options) -> Result<Task> {
    let mut task = Task {
        plan: Plan::default(),
        rounds: 3,
        parties: vec![Parties::REFERENCE, Parties::OURS],
        table: None,
    };
    while let Some(option) = options.next() {
        match option.as_str() {
            "--rounds" => task.rounds = options.value(&option)?,
            "--table" => drop(task.table.get_or_insert_default()),
            "--only" => task.table = Some(options.value(&option)?),
            "--suites" => {
                let list: String = options.value(&option)?;
                task.parties = list.split(',').map(parties_called).collect::<Result<_>>()?;
            }
            other if task.plan.take(other, options)? => {}
            other => return Err(Failure::new(format!("bench has no option {other:?}"))),
        }
    }
    task.plan.check()?;
    if task.rounds == 0 {
        return Err(Failure::new("bench wants at least one round"));
    }
    Ok(task)
}

/// Has all parties play in turn under one plan.
fn compare(task: &Task, programs: &Programs) -> Result<ExitCode> {
    let quantities = task.plan.quantities();
    println!("{}", task.plan.told());
    let mut results: Vec<(String, Vec<Numbers>)> = task
        .parties
        .iter()
        .map(|parties| (name(*parties), vec![Numbers::default(); quantities.len()]))
        .collect();
    for round in 1..=task.rounds {
        for (parties, (name, numbers)) in task.parties.iter().zip(&mut results) {
            let values = task.plan.run(*parties, programs)?;
            println!("round {round}, {name}: {}", told(quantities, &values));
            for (numbers, value) in numbers.iter_mut().zip(values) {
                numbers.add(value);
            }
        }
    }
    let results: Vec<(&str, Vec<Numbers>)> = results
        .iter()
        .map(|(name, numbers)| (name.as_str(), numbers.clone()))
        .collect();
    println!(
        "\nmedian (least–most) of {} rounds\n\n{}",
        task.rounds,
        table(quantities, &results)
    );
    Ok(ExitCode::SUCCESS)
}

fn told(quantities: &[&str], values: &[f64]) -> String {
    quantities
        .iter()
        .zip(values)
        .map(|(quantity, value)| format!("{quantity} {value:.2}"))
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(line: &str) -> Task {
        read_task(&mut Options::new(line.split(' ').map(str::to_owned))).unwrap()
    }

    #[test]
    fn the_cases_wanted_are_those_named_wherever_that_stands() {
        assert_eq!(task("--rounds 1").table, None);
        assert_eq!(task("--table").table.as_deref(), Some(""));
        for line in ["--only loss", "--table --only loss", "--only loss --table"] {
            assert_eq!(task(line).table.as_deref(), Some("loss"), "{line}");
        }
    }
}
