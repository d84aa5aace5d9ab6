//! The hunt for planted bugs: worlds run with one bug in them until a rule is broken.
#![expect(clippy::print_stdout, reason = "the program's output")]

use std::panic;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use limosa_core::planted::{Bug, plant};

use crate::Failure;
use crate::program::{Kind, run};

/// Plants bugs, one at a time, and looks for each.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// Look for these only, by name. May be repeated.
    #[arg(long, value_name = "NAME")]
    bug: Vec<String>,
    /// Look for five only, other ones for each number.
    #[arg(long, value_name = "NUMBER")]
    turn: Option<u64>,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Longest hunt for one bug, seconds.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
}

/// Bugs of a rotating run.
const ROTATING: usize = 5;
/// Bugs that a minute does not find: `docs/faults.md` says so. They are hunted, and take no turns.
const HARD: &[Bug] = &[
    Bug::CompareSeqOnly,
    Bug::KeepStageOverEpoch,
    Bug::ForgetStage,
    Bug::SkipLiveCommit,
    Bug::UnsealAfterCommit,
    Bug::ServeBeforeRow,
    Bug::IgnoreLease,
    Bug::ServeInDoubt,
];

/// Runs the program.
pub fn main() -> ExitCode {
    let args = Args::parse();
    let named = |bug: &Bug| args.bug.is_empty() || args.bug.iter().any(|name| *name == bug.to_string());
    let mut bugs: Vec<Bug> = Bug::ALL.iter().copied().filter(named).collect();
    if let Some(turn) = args.turn {
        bugs.retain(|bug| !HARD.contains(bug));
        let turn = usize::try_from(turn % bugs.len() as u64).expect("below a length");
        bugs.rotate_left(turn);
        bugs.truncate(ROTATING);
    }
    panic::set_hook(Box::new(|_| {})); // a panic is one of the ways to be found
    let missed: Vec<String> = bugs.iter().filter(|bug| !hunt(**bug, &args)).map(ToString::to_string).collect();
    if missed.is_empty() {
        println!("{} planted bugs, every one found", bugs.len());
        return ExitCode::SUCCESS;
    }
    println!("not found: {}", missed.join(", "));
    ExitCode::FAILURE
}

/// Found: a rule does not hold in a world with the bug in it, and every one holds in the same world without it.
fn hunt(bug: Bug, args: &Args) -> bool {
    let (began, limit) = (Instant::now(), Duration::from_secs(args.seconds));
    let mut from = args.from;
    while began.elapsed() < limit {
        let (failure, next) = search(bug, from, began + limit);
        let Some(failure) = failure else {
            from = next;
            break;
        };
        if run(failure.seed, Kind::Both, false).is_ok() {
            let (seconds, worlds) = (began.elapsed().as_secs_f64(), next - args.from);
            println!("{bug}: found in {seconds:.1} s, by world {} of {worlds}: {}", failure.seed, failure.broken.rule);
            return true;
        }
        println!("{bug}: world {} fails without it, too: not counted", failure.seed);
        from = next;
    }
    println!("{bug}: NOT FOUND in {} worlds", from - args.from);
    false
}

/// Runs worlds with `bug` in them until a rule does not hold in one; that, and the first seed that was not run.
fn search(bug: Bug, from: u64, until: Instant) -> (Option<Box<Failure>>, u64) {
    plant(Some(bug));
    let (next, is_found, found) = (AtomicU64::new(from), AtomicBool::new(false), Mutex::new(None::<Box<Failure>>));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, std::num::NonZero::get) {
            scope.spawn(|| {
                while Instant::now() < until && !is_found.load(Ordering::Relaxed) {
                    if let Err((_, failure)) = run(next.fetch_add(1, Ordering::Relaxed), Kind::Both, false) {
                        is_found.store(true, Ordering::Relaxed);
                        found.lock().expect("nothing panics while it holds this lock").get_or_insert(failure);
                    }
                }
            });
        }
    });
    plant(None);
    (found.into_inner().expect("no thread panics"), next.into_inner())
}
