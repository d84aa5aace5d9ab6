//! The program: its arguments, worlds on every core, and what it prints.
#![expect(clippy::print_stdout, reason = "the program's output")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use rustix::time::{ClockId, clock_gettime};

use crate::check::Broken;
use crate::{Failure, Report, World};

/// Lines of a failure's story that are printed.
const LINES_TOLD: usize = 120;
/// Worlds from which on every fault and every crash point must have been seen.
const WORLDS_FOR_ALL: u64 = 150;

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
    /// Go on behind a seed that fails, and name each.
    #[arg(long)]
    all: bool,
    /// Worlds at once; by default one a core.
    #[arg(long)]
    threads: Option<usize>,
}

/// Runs the program.
pub fn main() -> ExitCode {
    let args = Args::parse();
    match args.seed {
        Some(seed) => one(seed),
        None => many(&args),
    }
}

fn one(seed: u64) -> ExitCode {
    match run(seed, true) {
        Ok((report, hash)) => {
            println!("{report}\nseed {seed}: every rule held; trace {hash:016x}");
            ExitCode::SUCCESS
        }
        Err(failure) => {
            failure.story.iter().for_each(|line| println!("{line}"));
            tell(&failure);
            ExitCode::FAILURE
        }
    }
}

fn many(args: &Args) -> ExitCode {
    let started = Instant::now();
    let limit = args.minutes.map_or(Duration::MAX, |minutes| Duration::from_secs(60 * minutes));
    let threads = args.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get));
    let (next, end) = (AtomicU64::new(args.from), args.from + args.seeds);
    let (sum, failed) = (Mutex::new(Report::default()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while started.elapsed() < limit {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        break;
                    }
                    match run(seed, false) {
                        Ok((report, _)) => sum.lock().expect("adding does not panic").add(&report),
                        Err(failure) => {
                            if !args.all {
                                next.store(end, Ordering::Relaxed); // no more seeds; those below this one still run
                            }
                            failed.lock().expect("pushing does not panic").push(failure);
                        }
                    }
                }
            });
        }
    });
    let sum = sum.into_inner().expect("adding does not panic");
    let failed = failed.into_inner().expect("pushing does not panic");
    if let Some(first) = failed.iter().min_by_key(|failure| failure.seed) {
        failed.iter().filter(|_| args.all).for_each(|failure| tell(failure));
        if !args.all {
            tell_again(first);
        }
        return ExitCode::FAILURE;
    }
    conclude(&sum, started.elapsed())
}

fn conclude(sum: &Report, took: Duration) -> ExitCode {
    let cpu = cpu_seconds().max(0.001);
    let speed = Duration::from_micros(sum.simulated_us).as_secs_f64() / cpu;
    println!("{sum}\n{:.0} s, {cpu:.0} CPU seconds: {speed:.0} times faster than real time a core; every rule held", took.as_secs_f64());
    let (faults, points) = (sum.missing(), sum.points_missing());
    if sum.worlds >= WORLDS_FOR_ALL && !(faults.is_empty() && points.is_empty()) {
        let points: Vec<String> = points.iter().map(ToString::to_string).collect();
        println!("but no world had these faults: {faults:?}; these crash points: {points:?}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// User and system time of this process.
fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap_or(0), time.tv_nsec.try_into().unwrap_or(0)).as_secs_f64()
}

/// Runs a world; a panic in it is a failure like any other.
fn run(seed: u64, is_told: bool) -> Result<(Report, u64), Box<Failure>> {
    let lived = catch_unwind(AssertUnwindSafe(|| World::new(seed, is_told).run()));
    lived.unwrap_or_else(|_| {
        let broken = Broken { rule: "nothing panics", what: "see the panic above".to_owned() };
        Err(Box::new(Failure { seed, step: 0, broken, story: Vec::new() }))
    })
}

/// Runs the seed once more, this time with its story.
fn tell_again(failure: &Failure) {
    if let Err(told) = run(failure.seed, true) {
        told.story.iter().skip(told.story.len().saturating_sub(LINES_TOLD)).for_each(|line| println!("{line}"));
    }
    tell(failure);
}

fn tell(failure: &Failure) {
    println!("seed {}, event {}: {}", failure.seed, failure.step, failure.broken.rule);
    println!("  {}", failure.broken.what);
    println!("again: cargo run --release -p limosa-sim -- --seed {}", failure.seed);
}
