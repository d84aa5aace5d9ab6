//! Resident memory of the same entries, in the server alone.
#![allow(clippy::cast_precision_loss)] // byte counts as ratios

use std::time::Duration;

use super::demo;
use crate::bench::Bench;
use crate::bench::resp::Random;
use crate::bench::samples::Samples;
use crate::bench::servers::{self, Peer};

const ENTRIES: u64 = 1_000_000;
const VALUE_BYTES: usize = 100;
/// What a server may do behind its last answer before it is looked at: journals, checkpoints, returning memory.
const SETTLE: Duration = Duration::from_secs(5);

pub(super) fn run(bench: &Bench, samples: &mut Samples) -> Result<(), String> {
    demo::build(bench)?;
    for round in 0..bench.rounds {
        let seed = round as u64;
        let redis = measure(bench, &servers::redis(bench, &["--appendonly", "yes", "--appendfsync", "everysec"])?, seed)?;
        let ours = measure(bench, &servers::limosa(bench, &["--durability", "interval"])?, seed)?;
        for (index, name) in ["loaded", "overwritten"].iter().enumerate() {
            samples.add(format!("{name}_redis_megabytes"), redis[index] / 1e6);
            samples.add(format!("{name}_limosa_megabytes"), ours[index] / 1e6);
            samples.add(format!("{name}_per_redis"), ours[index] / redis[index]);
        }
    }
    Ok(())
}

/// Bytes after load, and after 10 % was overwritten: ten runs of 1 %, spread over the keys.
fn measure(bench: &Bench, peer: &Peer, seed: u64) -> Result<[f64; 2], String> {
    let (entries, mut client, mut random) = (bench.sized(ENTRIES), peer.client()?, Random(seed));
    client.load(0..entries, VALUE_BYTES, &mut random)?;
    std::thread::sleep(SETTLE);
    let loaded = peer.server.resident_bytes()? as f64;
    for part in 0..10 {
        let start = part * (entries / 10);
        client.load(start..start + entries / 100, VALUE_BYTES, &mut random)?;
    }
    std::thread::sleep(SETTLE);
    Ok([loaded, peer.server.resident_bytes()? as f64])
}
