//! Four times as much state as memory: what the process holds at most, how a hot set fares during a scan, what a cold write costs.
#![allow(clippy::cast_precision_loss)] // byte counts and times as ratios

use std::time::Instant;

use super::demo;
use crate::bench::Bench;
use crate::bench::resp::{Client, Random, key_of};
use crate::bench::samples::Samples;
use crate::bench::servers::{self, Peer};

/// The budget at full size.
const MEMORY_MIB: u64 = 256;
const VALUE_BYTES: usize = 1024;
/// Reads and writes of random keys.
const COMMANDS: u64 = 40_000;
/// Of each ten commands, so many go to the hot set.
const HOT_OF_TEN: u64 = 8;
/// Keys of the hot set, each in a block of its own, more or less: a tenth of the blocks that fit.
const HOT_KEYS: u64 = 400;

pub(super) fn run(bench: &Bench, samples: &mut Samples) -> Result<(), String> {
    demo::build(bench)?;
    for round in 0..bench.rounds {
        // no smaller than a quarter: below it, the process itself is what is measured
        let mib = bench.sized(MEMORY_MIB).max(MEMORY_MIB / 4);
        let peer = servers::limosa(bench, &["--durability", "interval", "--memory-max", &format!("{mib}MiB")])?;
        measure(&peer, mib, samples, round as u64)?;
    }
    Ok(())
}

fn measure(peer: &Peer, mib: u64, samples: &mut Samples, seed: u64) -> Result<(), String> {
    let (mut client, mut random) = (peer.client()?, Random(seed));
    let keys = 4 * (mib << 20) / VALUE_BYTES as u64;
    client.load(0..keys, VALUE_BYTES, &mut random)?;
    let (mut reads, mut writes) = (Vec::new(), Vec::new());
    let value = "v".repeat(VALUE_BYTES);
    for command in 0..COMMANDS {
        let key = key_of(random.next() % keys);
        match command % 10 {
            hot if hot < HOT_OF_TEN => drop(client.ask(&["GET", &hot_key(random.next() % HOT_KEYS, keys)])?),
            8 => reads.push(timed(&mut client, &["GET", &key])?),
            _ => writes.push(timed(&mut client, &["SET", &key, &value])?),
        }
    }
    let (read, write) = (p99(&mut reads), p99(&mut writes));
    samples.add("cold_read_p99_milliseconds", read * 1e3);
    samples.add("cold_write_p99_milliseconds", write * 1e3);
    samples.add("cold_write_per_read_p99", write / read);
    samples.add("hot_share_found_behind_scan", hot_behind_scan(&mut client, keys)?);
    samples.add("peak_per_memory_max", peer.server.peak_bytes()? as f64 / (mib << 20) as f64);
    Ok(())
}

/// The share of the hot set that is still in memory when every key was scanned.
fn hot_behind_scan(client: &mut Client, keys: u64) -> Result<f64, String> {
    client.ask(&["KEYS", "no-such-key*"]).map(drop).or_else(|error| if error.ends_with("*0") { Ok(()) } else { Err(error) })?;
    let before = blocks_read(client)?;
    for hot in 0..HOT_KEYS {
        client.ask(&["GET", &hot_key(hot, keys)])?;
    }
    Ok(1.0 - (blocks_read(client)? - before) as f64 / HOT_KEYS as f64)
}

/// Blocks that the node has read from the disk.
fn blocks_read(client: &mut Client) -> Result<u64, String> {
    let info = client.ask(&["INFO", "memory"])?;
    let line = info.lines().find_map(|line| line.strip_prefix("limosa_blocks_read:"));
    line.and_then(|count| count.trim().parse().ok()).ok_or_else(|| "INFO does not tell the blocks read".to_owned())
}

fn hot_key(hot: u64, keys: u64) -> String {
    key_of(hot * (keys / HOT_KEYS))
}

/// Seconds that a command takes.
fn timed(client: &mut Client, args: &[&str]) -> Result<f64, String> {
    let began = Instant::now();
    client.ask(args)?;
    Ok(began.elapsed().as_secs_f64())
}

fn p99(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() * 99 / 100]
}
