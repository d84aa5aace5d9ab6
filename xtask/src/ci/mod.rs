//! `cargo xtask ci`: every check and test, in the order in which failures are cheapest to find.

mod arrows;
mod clients;
mod cluster_clients;
mod demo;
mod faults;
mod shape;
mod tools;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::process::run_logged;
use crate::workspace::{Metadata, cargo};

/// What every step may use.
struct Context {
    metadata: Metadata,
    /// Logs and reports of the steps.
    folder: PathBuf,
}

type Step = (&'static str, fn(&Context) -> Result<(), String>);

const STEPS: &[Step] = &[
    ("tools", tools::check),
    ("format", |context| cargo_step(context, "format", &["fmt", "--all", "--", "--check"])),
    ("arrows between crates", arrows::check),
    ("shape of files", shape::check),
    ("faults and their tests", faults::check),
    ("generated code", |_| crate::proto::generate(true)),
    ("clippy", |context| cargo_step(context, "clippy", &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])),
    ("docs", docs),
    ("tests", |context| cargo_step(context, "tests", &["test", "--workspace", "--release", "--all-targets"])),
    ("doctests", |context| cargo_step(context, "doctests", &["test", "--workspace", "--release", "--doc"])),
    ("program", |context| cargo_step(context, "program", &["build", "--release", "--workspace", "--bins"])),
    ("simulation", |context| crate::sim::check(&context.metadata, &context.folder)),
    ("planted bugs", |context| crate::sim::check_planted(&context.folder)),
    ("demo", demo::small),
    ("faults of links and disks", |context| crate::soak::check_faults(&context.metadata, &context.metadata.folder("soak")?)),
    ("kills", |context| crate::soak::check(&context.metadata, &context.metadata.folder("soak")?)),
    ("redis clients", clients::check),
    ("cluster clients", cluster_clients::check),
];

/// What `--long` adds.
const LONG_STEPS: &[Step] = &[
    ("long tests", |context| cargo_step(context, "long-tests", &["test", "--workspace", "--release", "--all-targets", "--", "--ignored"])),
    ("demo at its default size", demo::default_size),
    ("200 kills", |context| crate::soak::check_long(&context.metadata, &context.metadata.folder("soak")?)),
];

enum Outcome {
    Passed(Duration),
    Failed(Duration),
    NotRun,
}

/// Runs the steps, the long ones too if asked; stops at the first failure and says what was not run.
pub(crate) fn run(long: bool, only: &[String]) -> Result<(), String> {
    let metadata = Metadata::read()?;
    let context = Context { folder: metadata.folder("ci")?, metadata };
    let start = Instant::now();
    let chosen = |name: &str| only.is_empty() || only.iter().any(|part| name.contains(part.as_str()));
    let steps = STEPS.iter().chain(if long { LONG_STEPS } else { &[] }).filter(|(name, _)| chosen(name));
    let mut outcomes = Vec::new();
    let mut failure = None;
    for (name, step) in steps {
        let outcome = if failure.is_some() { Outcome::NotRun } else { run_step(name, *step, &context, &mut failure) };
        outcomes.push((*name, outcome));
    }
    if outcomes.is_empty() {
        return Err(format!("no step has one of these in its name: {}", only.join(", ")));
    }
    print_summary(&outcomes, start.elapsed());
    failure.map_or(Ok(()), |name| Err(format!("ci failed at: {name}")))
}

fn run_step(
    name: &'static str,
    step: fn(&Context) -> Result<(), String>,
    context: &Context,
    failure: &mut Option<&'static str>,
) -> Outcome {
    println!("step {name} ...");
    let start = Instant::now();
    let result = step(context);
    let took = start.elapsed();
    match result {
        Ok(()) => {
            println!("step {name}: ok, {:.1} s", took.as_secs_f64());
            Outcome::Passed(took)
        }
        Err(error) => {
            println!("step {name}: FAILED after {:.1} s\n{error}", took.as_secs_f64());
            *failure = Some(name);
            Outcome::Failed(took)
        }
    }
}

fn print_summary(outcomes: &[(&str, Outcome)], took: Duration) {
    println!("\nsummary");
    for (name, outcome) in outcomes {
        match outcome {
            Outcome::Passed(took) => println!("  ok       {:>7.1} s  {name}", took.as_secs_f64()),
            Outcome::Failed(took) => println!("  FAILED   {:>7.1} s  {name}", took.as_secs_f64()),
            Outcome::NotRun => println!("  not run            {name}"),
        }
    }
    let passed = outcomes.iter().filter(|(_, outcome)| matches!(outcome, Outcome::Passed(_))).count();
    println!("{passed} of {} steps passed in {:.1} s", outcomes.len(), took.as_secs_f64());
}

fn cargo_step(context: &Context, log: &str, args: &[&str]) -> Result<(), String> {
    run_logged(cargo(args), &context.folder.join(format!("{log}.log")))
}

fn docs(context: &Context) -> Result<(), String> {
    let mut command = cargo(&["doc", "--no-deps", "--workspace"]);
    command.env("RUSTDOCFLAGS", "-D warnings");
    run_logged(command, &context.folder.join("docs.log"))
}
