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
use crate::cluster::{ClusterWorld, Tally};
use crate::{Failure, Report, World};

/// Lines of a failure's story that are printed.
const LINES_TOLD: usize = 120;
/// Worlds from which on every fault must have been seen.
const WORLDS_FOR_FAULTS: u64 = 150;
/// Worlds with stores, and of clusters, from which on every crash point must have been hit: the rarest are met once in hundreds.
const WORLDS_FOR_POINTS: (u64, u64) = (600, 1_500);

/// Worlds under faults, each ruled by a seed: an owner and its standbys with real stores, and a cluster whose fragments move.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// Run this one seed and print its whole story.
    #[arg(long, conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,
    /// Which worlds of a seed.
    #[arg(long, value_enum, default_value_t = Kind::Both)]
    kind: Kind,
    /// How many seeds.
    #[arg(long, default_value_t = 200)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Leave this one out. May be repeated.
    #[arg(long, value_name = "SEED")]
    without: Vec<u64>,
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

/// Which worlds of a seed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(crate) enum Kind {
    /// An owner and its standbys, with real stores.
    Stores,
    /// Three nodes, with real ownership machines.
    Cluster,
    /// One after the other.
    Both,
}

/// What worlds came to.
#[derive(Clone, Default)]
pub(crate) struct Lived {
    report: Report,
    tally: Tally,
    /// Traces, mixed.
    hash: u64,
}

impl Lived {
    fn add(&mut self, other: &Self) {
        self.report.add(&other.report);
        self.tally.add(&other.tally);
    }
}

/// Runs the program.
pub fn main() -> ExitCode {
    let args = Args::parse();
    match args.seed {
        Some(seed) => one(seed, args.kind),
        None => many(&args),
    }
}

fn one(seed: u64, kind: Kind) -> ExitCode {
    match run(seed, kind, true) {
        Ok(lived) => {
            println!("{}\n{}\nseed {seed}: every rule held; trace {:016x}", lived.report, lived.tally, lived.hash);
            ExitCode::SUCCESS
        }
        Err((kind, failure)) => {
            failure.story.iter().for_each(|line| println!("{line}"));
            tell(kind, &failure);
            ExitCode::FAILURE
        }
    }
}

fn many(args: &Args) -> ExitCode {
    let started = Instant::now();
    let limit = args.minutes.map_or(Duration::MAX, |minutes| Duration::from_secs(60 * minutes));
    let threads = args.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get));
    let (next, end) = (AtomicU64::new(args.from), args.from + args.seeds);
    let (sum, failed) = (Mutex::new(Lived::default()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while started.elapsed() < limit {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        break;
                    }
                    if args.without.contains(&seed) {
                        continue;
                    }
                    match run(seed, args.kind, false) {
                        Ok(lived) => sum.lock().expect("adding does not panic").add(&lived),
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
    if let Some((kind, first)) = failed.iter().min_by_key(|(_, failure)| failure.seed) {
        failed.iter().filter(|_| args.all).for_each(|(kind, failure)| tell(*kind, failure));
        if !args.all {
            tell_again(*kind, first);
        }
        return ExitCode::FAILURE;
    }
    conclude(&sum, started.elapsed())
}

fn conclude(sum: &Lived, took: Duration) -> ExitCode {
    let cpu = cpu_seconds().max(0.001);
    let simulated = Duration::from_micros(sum.report.simulated_us + sum.tally.simulated_us);
    let speed = simulated.as_secs_f64() / cpu;
    println!("{}\n{}", sum.report, sum.tally);
    let hours = simulated.as_secs_f64() / 3_600.0;
    println!(
        "{hours:.1} simulated hours in {:.0} s, {cpu:.0} CPU seconds: {speed:.0} times faster than real time a core; every rule held",
        took.as_secs_f64()
    );
    let mut missing: Vec<String> = Vec::new();
    if sum.report.worlds >= WORLDS_FOR_FAULTS {
        missing.extend(sum.report.missing().iter().map(ToString::to_string));
    }
    if sum.tally.worlds >= WORLDS_FOR_FAULTS {
        missing.extend(sum.tally.missing().iter().map(ToString::to_string));
    }
    if sum.report.worlds >= WORLDS_FOR_POINTS.0 {
        missing.extend(sum.report.points_missing().iter().map(ToString::to_string));
    }
    if sum.tally.worlds >= WORLDS_FOR_POINTS.1 {
        missing.extend(sum.tally.points_missing());
    }
    if missing.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!("but no world had these: {}", missing.join(", "));
    ExitCode::FAILURE
}

/// User and system time of this process.
fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap_or(0), time.tv_nsec.try_into().unwrap_or(0)).as_secs_f64()
}

/// Runs the worlds of a seed; a panic in one is a failure like any other.
pub(crate) fn run(seed: u64, kind: Kind, is_told: bool) -> Result<Lived, (Kind, Box<Failure>)> {
    let mut lived = Lived::default();
    if kind != Kind::Cluster {
        let (report, hash) = caught(seed, || World::new(seed, is_told).run()).map_err(|failure| (Kind::Stores, failure))?;
        (lived.report, lived.hash) = (report, hash);
    }
    if kind != Kind::Stores {
        let (tally, hash) = caught(seed, || ClusterWorld::new(seed, is_told).run()).map_err(|failure| (Kind::Cluster, failure))?;
        (lived.tally, lived.hash) = (tally, lived.hash.rotate_left(1) ^ hash);
    }
    Ok(lived)
}

fn caught<T>(seed: u64, world: impl FnOnce() -> Result<T, Box<Failure>>) -> Result<T, Box<Failure>> {
    catch_unwind(AssertUnwindSafe(world)).unwrap_or_else(|_| {
        let broken = Broken { rule: "nothing panics", what: "see the panic above".to_owned() };
        Err(Box::new(Failure { seed, step: 0, broken, story: Vec::new() }))
    })
}

/// Runs the seed once more, this time with its story.
fn tell_again(kind: Kind, failure: &Failure) {
    if let Err((_, told)) = run(failure.seed, kind, true) {
        told.story.iter().skip(told.story.len().saturating_sub(LINES_TOLD)).for_each(|line| println!("{line}"));
    }
    tell(kind, failure);
}

fn tell(kind: Kind, failure: &Failure) {
    let kind = if kind == Kind::Cluster { "cluster" } else { "stores" };
    println!("seed {}, event {}: {}", failure.seed, failure.step, failure.broken.rule);
    println!("  {}", failure.broken.what);
    println!("again: cargo run --release -p limosa-sim --bin limosa-sim -- --kind {kind} --seed {}", failure.seed);
}
