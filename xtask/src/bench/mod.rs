//! `cargo xtask bench`: runs cases and holds what they measure against the bars of `bench/bars.toml`.

mod bars;
mod cases;
mod samples;
mod servers;
mod throttle;

use std::fs;
use std::path::{Path, PathBuf};

use crate::cluster::nodes::Place;
use crate::process::run_logged;
use crate::workspace::{Metadata, cargo};
use crate::{cluster, resp};
use bars::{Bar, Row};
use cases::{CASES, Case};
use samples::Samples;

/// What is run, and how.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only this case. May be repeated.
    #[arg(long, value_name = "NAME")]
    case: Vec<String>,
    /// At a twentieth of the size, in one round: a look, not a measurement.
    #[arg(long)]
    quick: bool,
    /// Rounds of each case; values are their medians.
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
    /// Writes the rows here as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Prints the cases and their bars, runs nothing.
    #[arg(long)]
    list: bool,
}

/// What every case may use.
struct Bench {
    metadata: Metadata,
    folder: PathBuf,
    quick: bool,
    rounds: usize,
}

impl Bench {
    /// `full`, or a twentieth of it in a quick run.
    fn sized(&self, full: u64) -> u64 {
        if self.quick { full / 20 } else { full }
    }

    /// Where a case's cluster runs.
    fn place(&self) -> Place {
        Place { program: self.metadata.program("limosa"), folder: self.folder.clone() }
    }

    /// Builds programs or examples of the release profile, as `cargo build` arguments say.
    fn build(&self, what: &[&str]) -> Result<(), String> {
        let args: Vec<&str> = ["build", "--release"].iter().chain(what).copied().collect();
        run_logged(cargo(&args), &self.folder.join("build.log"))
    }
}

/// Runs the chosen cases. Fails on wrong use and when a file can't be read or written; what misses its bar is a row, not an error.
pub(crate) fn run(args: &Args) -> Result<(), String> {
    let bars = bars::read()?;
    let chosen = choose(&args.case)?;
    if args.list {
        print_list(&chosen, &bars);
        return Ok(());
    }
    let metadata = Metadata::read()?;
    let rounds = args.rounds.unwrap_or(if args.quick { 1 } else { 3 }).max(1);
    let bench = Bench { folder: metadata.folder("bench")?, metadata, quick: args.quick, rounds };
    let mut rows = Vec::new();
    for case in chosen {
        let new = run_case(case, &bench, &bars);
        rows.extend(new);
        if let Some(path) = &args.json {
            write_json(path, &rows)?; // after each case: what was measured survives what comes
        }
    }
    println!();
    bars::print(&rows);
    Ok(())
}

fn choose(names: &[String]) -> Result<Vec<&'static Case>, String> {
    if let Some(unknown) = names.iter().find(|name| CASES.iter().all(|case| case.name != **name)) {
        let known: Vec<&str> = CASES.iter().map(|case| case.name).collect();
        return Err(format!("no case is called {unknown}; there are: {}", known.join(", ")));
    }
    Ok(CASES.iter().filter(|case| names.is_empty() || names.iter().any(|name| name == case.name)).collect())
}

fn run_case(case: &Case, bench: &Bench, bars: &[Bar]) -> Vec<Row> {
    println!("case {}: {}", case.name, case.about);
    let mut samples = Samples::default();
    let result = (case.run)(bench, &mut samples);
    if let Err(error) = &result {
        println!("  not measured to its end: {error}");
    }
    for (metric, values) in samples.iter().filter(|(metric, _)| !bars.iter().any(|bar| bar.case == case.name && bar.metric == *metric)) {
        println!("  {metric}: {}", samples::number(samples::median(values)));
    }
    let rows: Vec<Row> = bars.iter().filter(|bar| bar.case == case.name).map(|bar| bar.judge(&samples, !bench.quick)).collect();
    bars::print(&rows);
    rows
}

fn print_list(cases: &[&Case], bars: &[Bar]) {
    for case in cases {
        println!("{}: {}", case.name, case.about);
        for bar in bars.iter().filter(|bar| bar.case == case.name) {
            println!("  {} {}  {}", bar.metric, bar.limit(), bar.says);
        }
    }
}

fn write_json(path: &Path, rows: &[Row]) -> Result<(), String> {
    let text = serde_json::to_string_pretty(rows).map_err(|error| error.to_string())?;
    fs::write(path, text + "\n").map_err(|error| format!("can't write {}: {error}", path.display()))
}
