//! `limosa-sim`: runs worlds by their seeds, and says which rule did not hold.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use limosa_sim::{Failure, Report, World};

/// Worlds of an owner and its standbys under faults, each ruled by a seed.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// Run this one seed and print its whole story.
    #[arg(long, conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,
    /// How many seeds.
    #[arg(long, default_value_t = 200)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Stop after so many minutes, however many seeds are left.
    #[arg(long)]
    minutes: Option<u64>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match args.seed {
        Some(seed) => one(seed),
        None => many(&args),
    }
}

#[expect(clippy::print_stdout, reason = "the program's output")]
fn one(seed: u64) -> ExitCode {
    match run(seed, true) {
        Ok((report, hash)) => {
            println!("{report}\nseed {seed}: every rule held; trace {hash:016x}");
            ExitCode::SUCCESS
        }
        Err(failure) => {
            tell(&failure);
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "the program's output")]
fn many(args: &Args) -> ExitCode {
    let started = Instant::now();
    let limit = args.minutes.map_or(Duration::MAX, |minutes| Duration::from_secs(60 * minutes));
    let mut sum = Report::default();
    for seed in args.from..args.from + args.seeds {
        if started.elapsed() > limit {
            break;
        }
        match run(seed, false) {
            Ok((report, _)) => sum.add(&report),
            Err(failure) => {
                tell(&failure);
                return ExitCode::FAILURE;
            }
        }
    }
    let took = started.elapsed();
    let speed = Duration::from_millis(sum.simulated_ms).as_secs_f64() / took.as_secs_f64().max(0.001);
    println!("{sum}\n{:.0} s, {speed:.0} times faster than real time; every rule held", took.as_secs_f64());
    let missing = sum.missing();
    if !missing.is_empty() && sum.worlds >= 50 {
        println!("but no world had these faults: {missing:?}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// Runs a world; a panic in it is a failure like any other.
fn run(seed: u64, is_kept_whole: bool) -> Result<(Report, u64), Box<Failure>> {
    let lived = catch_unwind(AssertUnwindSafe(|| World::new(seed, is_kept_whole).run()));
    lived.unwrap_or_else(|_| {
        let broken = limosa_sim::check::Broken { rule: "nothing panics", what: "see the panic above".to_owned() };
        Err(Box::new(Failure { seed, step: 0, broken, story: Vec::new() }))
    })
}

#[expect(clippy::print_stdout, reason = "the program's output")]
fn tell(failure: &Failure) {
    failure.story.iter().for_each(|line| println!("{line}"));
    println!("seed {}, step {}: {}", failure.seed, failure.step, failure.broken.rule);
    println!("  {}", failure.broken.what);
    println!("again: cargo run --release -p limosa-sim -- --seed {}", failure.seed);
}
