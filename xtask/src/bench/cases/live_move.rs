//! Half of a node's state moves to an empty node under a load, and back after a hundredth of it changed.
#![allow(clippy::cast_precision_loss)] // byte counts as rates

use std::time::Duration;

use super::demo;
use crate::bench::Bench;
use crate::bench::cluster::load::{Load, Plan, Seen};
use crate::bench::cluster::nodes::Cluster;
use crate::bench::cluster::waits::{longest_by_fragment, percentile};
use crate::bench::resp::{Client, KEY_BYTES, Random};
use crate::bench::samples::Samples;

const ENTRIES: u64 = 1_000_000;
const VALUE_BYTES: usize = 1024;
const FRAGMENTS: u16 = 64;
/// Half of the slots.
const HALF: &str = "0-8191";
/// Before the move: what requests wait without it.
const BEFORE: Duration = Duration::from_secs(10);

pub(super) fn run(bench: &Bench, samples: &mut Samples) -> Result<(), String> {
    demo::rounds(bench, samples, measure)
}

fn measure(bench: &Bench, samples: &mut Samples, seed: u64) -> Result<(), String> {
    let entries = bench.sized(ENTRIES);
    let mut cluster = Cluster::start(&bench.place(), &["--durability", "interval", "--standbys", "0"])?;
    Client::connect(cluster.nodes[0].resp)?.load(0..entries, VALUE_BYTES, &mut Random(seed))?;
    let target = cluster.join()?;
    let plan = Plan { ports: cluster.ports(), keys: 0..entries, value_bytes: VALUE_BYTES, rate: 10_000, clients: 16, write_every: 2 };
    there(&cluster, samples, &plan, target)?;
    // The load went on after the cutover. Back and there again, so that the former owner lacks nothing but what is changed on purpose.
    cutover(&cluster, target, 0)?;
    cutover(&cluster, 0, target)?;
    let bytes = entries * (KEY_BYTES + VALUE_BYTES as u64) / 2;
    let changed = bytes / 100;
    change(&cluster, entries, seed)?;
    let moved_before = cluster.moved_bytes(0)?;
    let seconds = cutover(&cluster, target, 0)?.as_secs_f64();
    samples.add("back_seconds", seconds);
    samples.add("back_moved_per_changed", cluster.moved_bytes(0)?.saturating_sub(moved_before) as f64 / changed as f64);
    Ok(())
}

/// The move to the empty node, beside the load.
fn there(cluster: &Cluster, samples: &mut Samples, plan: &Plan, target: usize) -> Result<(), String> {
    let load = Load::start(plan);
    std::thread::sleep(BEFORE);
    let begun = load.start.elapsed();
    let moved_before = cluster.moved_bytes(target)?;
    let seconds = cutover(cluster, 0, target)?.as_secs_f64();
    let ended = load.start.elapsed();
    std::thread::sleep(Duration::from_secs(1));
    let seen = load.end()?;
    note(samples, &seen, (begun, ended));
    let moved = (cluster.moved_bytes(target)? - moved_before) as f64;
    samples.add("megabytes_per_second", (plan.keys.end * (KEY_BYTES + VALUE_BYTES as u64) / 2) as f64 / 1e6 / seconds);
    samples.add("there_moved_megabytes", moved / 1e6);
    Ok(())
}

/// From the order until every fragment of the half has its new owner.
fn cutover(cluster: &Cluster, from: usize, to: usize) -> Result<Duration, String> {
    let name = cluster.nodes[to].name.clone();
    let start = std::time::Instant::now();
    cluster.command(from, &["move", "--slots", HALF, "--to", &name])?;
    let is_there = |cell: &crate::bench::cluster::nodes::Cell| {
        cell.moving_to.is_none() && (cell.fragment >= u32::from(FRAGMENTS / 2) || cell.owner.as_deref() == Some(&name))
    };
    cluster.wait(to, "moved", is_there)?;
    Ok(start.elapsed())
}

/// Overwrites every hundredth key, through whoever serves it.
fn change(cluster: &Cluster, entries: u64, seed: u64) -> Result<(), String> {
    use crate::bench::cluster::client::ClusterClient;
    let (mut client, mut random) = (ClusterClient::new(&cluster.ports()), Random(seed ^ 1));
    let mut value = vec![0; VALUE_BYTES];
    for i in (0..entries).step_by(100) {
        let key = crate::bench::resp::key_of(i);
        random.fill(&mut value);
        client.ask(key.as_bytes(), &[b"SET", key.as_bytes(), &value]).map_err(|failed| failed.0)?;
    }
    Ok(())
}

fn note(samples: &mut Samples, seen: &Seen, window: (Duration, Duration)) {
    let (settled, before) = (Duration::from_secs(1), window.0);
    let calm = || seen.requests.iter().filter(move |request| request.sent > settled && request.sent + request.wait < before);
    let moving = || seen.requests.iter().filter(move |request| request.sent >= window.0 && request.sent <= window.1);
    let longest = longest_by_fragment(&seen.requests, window, FRAGMENTS);
    let moved = || longest.iter().filter(|(fragment, _)| **fragment < FRAGMENTS / 2).map(|(_, wait)| *wait);
    let calm_max = percentile(calm().map(|request| request.wait), 1.0);
    samples.add("wait_ms_p99_before", percentile(calm().map(|request| request.wait), 0.99));
    samples.add("wait_ms_p99_while_moving", percentile(moving().map(|request| request.wait), 0.99));
    samples.add("wait_ms_max_before", calm_max);
    samples.add("cutover_wait_ms_median", percentile(moved(), 0.5));
    samples.add("cutover_wait_ms_p99", percentile(moved(), 0.99));
    samples.add("cutover_wait_ms_max_beyond_calm", percentile(moved(), 1.0) - calm_max);
    let length = (window.1 - window.0).as_secs_f64();
    samples.add("requests_per_second_while_moving", moving().count() as f64 / length);
    samples.add("errors", seen.errors as f64);
    samples.add("lost_writes", seen.lost as f64);
    samples.add("redirects", seen.redirects as f64);
    for text in &seen.error_texts {
        println!("  a client saw: {text}");
    }
}
