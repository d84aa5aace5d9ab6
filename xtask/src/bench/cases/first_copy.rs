//! The first copy beside what others need for the same bytes on the same machine, in the same round.
#![allow(clippy::cast_precision_loss)] // byte counts as rates

use std::process::Command;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::demo;
use crate::bench::resp::{KEY_BYTES, Random};
use crate::bench::samples::Samples;
use crate::bench::{Bench, servers};
use crate::process::{Scratch, output_of};

const ENTRIES: u64 = 1_000_000;
const VALUE_BYTES: u64 = 1024;

pub(super) fn run(bench: &Bench, samples: &mut Samples) -> Result<(), String> {
    let entries = bench.sized(ENTRIES);
    let bytes = entries * (KEY_BYTES + VALUE_BYTES);
    bench.build(&["-p", "limosa-node", "--example", "tls_copy"])?;
    demo::build(bench)?;
    for round in 0..bench.rounds {
        let tls = tls_copy(bench, bytes)?;
        samples.add("tls_copy_megabytes_per_second", tls / 1e6);
        let redis = redis_resync(bench, entries, round as u64);
        if let Ok(rate) = redis {
            samples.add("redis_megabytes_per_second", rate / 1e6);
        }
        let first = demo::run(bench, entries, VALUE_BYTES, "1")?;
        let ours = first.scene(1)?.changed_bytes as f64 / first.scene(1)?.seconds;
        for (end, stages) in &first.scene(1)?.cpu_seconds {
            let gigabytes = first.scene(1)?.changed_bytes as f64 / 1e9;
            for (stage, seconds) in stages {
                samples.add(format!("cpu_seconds_per_gb_{end}_{stage}"), seconds / gigabytes);
            }
            samples.add(format!("cpu_seconds_per_gb_{end}_all"), stages.values().sum::<f64>() / gigabytes);
        }
        samples.add("limosa_megabytes_per_second", ours / 1e6);
        samples.add("rate_per_tls_copy", ours / tls);
        samples.add("rate_per_redis", ours / redis?);
    }
    Ok(())
}

#[derive(Deserialize)]
struct TlsCopy {
    bytes: u64,
    seconds: f64,
}

/// Bytes a second over TLS on loopback into a file, flushed at the end.
fn tls_copy(bench: &Bench, bytes: u64) -> Result<f64, String> {
    let folder = Scratch::new(&bench.folder)?;
    let mut command = Command::new(bench.metadata.example("tls_copy"));
    command.args(["--bytes", &bytes.to_string(), "--out"]).arg(folder.path().join("copy"));
    let text = output_of(command)?;
    let copy: TlsCopy = serde_json::from_str(&text).map_err(|error| format!("tls_copy: {error} in {text}"))?;
    Ok(copy.bytes as f64 / copy.seconds)
}

/// Bytes of keys and values a second, from `REPLICAOF` until the replica has them all and follows.
fn redis_resync(bench: &Bench, entries: u64, seed: u64) -> Result<f64, String> {
    // the default waits five seconds for more replicas: nothing that a user who has one would keep
    let settings = ["--repl-diskless-sync-delay", "0"];
    let (master, replica) = (servers::redis(bench, &settings)?, servers::redis(bench, &settings)?);
    master.client()?.load(0..entries, VALUE_BYTES as usize, &mut Random(seed))?;
    let mut client = replica.client()?;
    let start = Instant::now();
    client.ask(&["REPLICAOF", "127.0.0.1", &master.port.to_string()])?;
    while !client.ask(&["INFO", "replication"]).is_ok_and(|facts| facts.contains("master_link_status:up")) {
        if start.elapsed() > Duration::from_secs(600) {
            return Err("Redis did not finish its full resync in ten minutes".into());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let seconds = start.elapsed().as_secs_f64();
    let held = client.ask(&["DBSIZE"])?;
    if held != entries.to_string() {
        return Err(format!("the Redis replica holds {held} keys instead of {entries}"));
    }
    Ok((entries * (KEY_BYTES + VALUE_BYTES)) as f64 / seconds)
}
