//! `cargo xtask bench`: our programs and the reference's in turn, under the same conditions.

mod floors;
mod plan;
mod scene;

use std::process::ExitCode;

use uftp_tests::{Failure, Result};

use crate::{
    options::Options,
    packages::{Need, install_missing},
    table::{Numbers, table},
};
use plan::{Pair, Plan, Programs};

/// What to measure.
struct Task {
    plan: Plan,
    rounds: u32,
    pairs: Vec<Pair>,
    /// The cases with floors, those whose names contain this.
    table: Option<String>,
}

/// Measures what the options say and prints a table.
pub(crate) fn bench(options: &mut Options) -> Result<ExitCode> {
    let task = read_task(options)?;
    install_missing(Need::Tests)?;
    let programs = Programs::ready()?;
    match &task.table {
        Some(only) => floors::check(&task.plan, task.rounds, only, &programs),
        None => compare(&task, &programs),
    }
}

fn read_task(options: &mut Options) -> Result<Task> {
    let mut task = Task {
        plan: Plan::default(),
        rounds: 3,
        pairs: vec![Pair::REFERENCE, Pair::OURS],
        table: None,
    };
    while let Some(option) = options.next() {
        match option.as_str() {
            "--rounds" => task.rounds = options.value(&option)?,
            "--table" => task.table = Some(String::new()),
            "--only" => task.table = Some(options.value(&option)?),
            "--suites" => {
                let list: String = options.value(&option)?;
                task.pairs = list.split(',').map(Pair::called).collect::<Result<_>>()?;
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

/// Runs each pair in turn under one plan.
fn compare(task: &Task, programs: &Programs) -> Result<ExitCode> {
    let quantities = task.plan.quantities();
    println!("{}", task.plan.told());
    let mut results: Vec<(String, Vec<Numbers>)> = task
        .pairs
        .iter()
        .map(|pair| (pair.name(), vec![Numbers::default(); quantities.len()]))
        .collect();
    for round in 1..=task.rounds {
        for (pair, (name, numbers)) in task.pairs.iter().zip(&mut results) {
            let values = task.plan.run(*pair, programs)?;
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
