//! Real processes under faults: `cargo xtask soak`, and what of it every `cargo xtask ci` runs.

mod actions;
mod calm;
mod faults;
mod full;
mod kills;
mod world;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::cluster::nodes::Place;
use crate::process::run_logged;
use crate::workspace::{Metadata, cargo};
use world::World;

pub(crate) use faults::check as check_faults;
pub(crate) use kills::{check, check_long};

/// Copies beside the owner: with three nodes, everywhere.
const STANDBYS: usize = 2;
const VALUE_BYTES: usize = 64;
/// Of every node. The lease is short, so that much happens in a minute.
const FLAGS: [&str; 14] = [
    "--durability",
    "interval",
    "--standbys",
    "2",
    "--ack",
    "standby",
    "--lease",
    "1s",
    "--fragments",
    "12",
    "--ack-timeout",
    "2s",
    "--stop-timeout",
    "5s",
];
/// Lines of the timeline that a failure prints; all of it is in a file.
const TOLD_LINES: usize = 60;

/// Where a soak's manifest lives.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
enum Manifest {
    /// At the first node.
    Embedded,
    /// In a real etcd, which is ended, paused and started again, too.
    Etcd,
}

/// What `cargo xtask soak` may be told.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How long faults go on.
    #[arg(long, default_value_t = 5)]
    minutes: u64,
    /// What decides about faults and their order; without it one that was not used before.
    #[arg(long)]
    seed: Option<u64>,
    /// Where the manifest lives.
    #[arg(long, value_enum, default_value_t = Manifest::Embedded)]
    manifest: Manifest,
}

/// Builds the program, and runs faults at random against three of its processes, with a load; then everything must be whole and explained.
pub(crate) fn run(args: &Args) -> Result<(), String> {
    let metadata = Metadata::read()?;
    let folder = metadata.folder("soak")?;
    run_logged(cargo(&["build", "--release", "-p", "limosa-cli"]), &folder.join("build.log"))?;
    let fresh = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let seed = args.seed.unwrap_or_else(fresh);
    println!("soak: {} min, seed {seed}, manifest {:?}", args.minutes, args.manifest);
    let place = Place { program: metadata.program("limosa"), folder };
    let mut world = World::start(&place, seed, args.manifest == Manifest::Etcd)?;
    let outcome = chaos(&mut world, Duration::from_secs(60 * args.minutes)).and_then(|()| world.end());
    println!("faults: {}", world.counts());
    let lines = world.timeline();
    std::fs::write(place.folder.join("timeline.txt"), lines.join("\n") + "\n").map_err(|error| format!("the timeline: {error}"))?;
    match outcome {
        Ok(told) => {
            println!("{told}");
            Ok(())
        }
        Err(error) => {
            let told = lines[lines.len().saturating_sub(TOLD_LINES)..].join("\n");
            let (minutes, manifest) = (args.minutes, if args.manifest == Manifest::Etcd { "etcd" } else { "embedded" });
            let again = format!("cargo xtask soak --minutes {minutes} --seed {seed} --manifest {manifest}");
            Err(format!("{told}\n{error}\nthe same faults again (the machine's timing is its own): {again}"))
        }
    }
}

fn chaos(world: &mut World, time: Duration) -> Result<(), String> {
    let start = Instant::now();
    while start.elapsed() < time {
        world.act()?;
        world.rest()?;
    }
    Ok(())
}
