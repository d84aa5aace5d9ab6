//! `cargo xtask sim`: simulated worlds, many in a row.

use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args as ClapArgs;

use crate::process::run_logged;
use crate::workspace::{Metadata, cargo};

/// Seeds whose worlds, of both kinds, live in every run.
const KEPT_SEEDS: u64 = 200;
/// Of those, and of the clusters below, the ones that are known to fail: `docs/faults.md` says why. Each leaves this list with its cause.
const KNOWN: &[u64] = &[128, 265, 471, 472, 648, 981, 1122];
/// Worlds of clusters in every run: so many that every crash point is hit.
const CLUSTER_SEEDS: u64 = 1_500;

/// What `cargo xtask sim` may be told.
#[derive(ClapArgs)]
pub(crate) struct Args {
    /// How many seeds.
    #[arg(long, default_value_t = 500)]
    seeds: u64,
    /// The first of them; without it one that was not used before.
    #[arg(long)]
    from: Option<u64>,
    /// Stop after so many minutes.
    #[arg(long)]
    minutes: Option<u64>,
    /// Plant bugs, one after the other, and look whether each is found.
    #[arg(long, conflicts_with_all = ["seeds", "minutes"])]
    planted: bool,
}

/// Builds the simulator and runs it, its output on the terminal.
pub(crate) fn run(args: &Args) -> Result<(), String> {
    if args.planted {
        let from = args.from.unwrap_or(1).to_string();
        let status = planted_program()?.args(["--from", &from]).status().map_err(|error| format!("the hunt: {error}"))?;
        return if status.success() { Ok(()) } else { Err("a planted bug was not found: the line above names it".into()) };
    }
    let status = cargo(&["build", "--release", "-p", "limosa-sim"]).status().map_err(|error| format!("cargo: {error}"))?;
    if !status.success() {
        return Err("the simulator does not build".into());
    }
    let mut command = worlds(&Metadata::read()?, args.from.unwrap_or_else(fresh_seed), args.seeds);
    if let Some(minutes) = args.minutes {
        command.args(["--minutes", &minutes.to_string()]);
    }
    let status = command.status().map_err(|error| format!("the simulator: {error}"))?;
    if status.success() { Ok(()) } else { Err("a rule did not hold: the line above says how to see it again".into()) }
}

/// The step of `cargo xtask ci`: kept seeds, with the program that an earlier step built. No fresh ones while some seeds are known to fail:
/// CI would fail by chance for a cause that is known.
pub(crate) fn check(metadata: &Metadata, folder: &std::path::Path) -> Result<(), String> {
    let mut kept = worlds(metadata, 1, KEPT_SEEDS);
    let mut clusters = worlds(metadata, 1, CLUSTER_SEEDS);
    clusters.args(["--kind", "cluster"]);
    for command in [&mut kept, &mut clusters] {
        command.args(KNOWN.iter().flat_map(|seed| ["--without".to_owned(), seed.to_string()]));
    }
    println!("  seeds 1 to {KEPT_SEEDS}, clusters 1 to {CLUSTER_SEEDS}");
    for (what, command) in [("kept", kept), ("clusters", clusters)] {
        let log = folder.join(format!("sim-{what}.log"));
        run_logged(command, &log)?;
        std::fs::read_to_string(&log).unwrap_or_default().lines().for_each(|line| println!("  {line}"));
    }
    Ok(())
}

/// The step of `cargo xtask ci` that plants five bugs, other ones in each run, and looks whether each is found.
pub(crate) fn check_planted(folder: &std::path::Path) -> Result<(), String> {
    let log = folder.join("sim-planted.log");
    let mut command = planted_program()?;
    // Patience for a busy machine: a minute is enough on an idle one.
    command.args(["--seconds", "180", "--turn", &(fresh_seed() >> 20).to_string()]);
    run_logged(command, &log)?;
    std::fs::read_to_string(&log).unwrap_or_default().lines().for_each(|line| println!("  {line}"));
    Ok(())
}

/// A build of its own: a program with bugs in it never lies where the others do.
fn planted_program() -> Result<Command, String> {
    let target = Metadata::read()?.folder("planted")?;
    let args = ["build", "--release", "-p", "limosa-sim", "--features", "planted", "--bin", "limosa-sim-planted", "--target-dir"];
    let status = cargo(&args).arg(&target).status().map_err(|error| format!("cargo: {error}"))?;
    if status.success() {
        Ok(Command::new(target.join("release").join("limosa-sim-planted")))
    } else {
        Err("the simulator with planted bugs does not build".into())
    }
}

fn worlds(metadata: &Metadata, from: u64, count: u64) -> Command {
    let mut command = Command::new(metadata.program("limosa-sim"));
    command.args(["--from", &from.to_string(), "--seeds", &count.to_string()]);
    command
}

/// Above every kept seed, and not twice.
fn fresh_seed() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_secs() << 20
}
