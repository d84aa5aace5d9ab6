//! A value of 512 MB through a client's socket, beside clients with small ones: memory, latency, and what small edits of it touch.
#![allow(clippy::cast_precision_loss)] // byte counts and microseconds as ratios

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::demo;
use crate::bench::Bench;
use crate::bench::resp::{Client, Random};
use crate::bench::samples::Samples;
use crate::bench::servers::{self, Peer};

/// A KiB short of the longest value: there is room for an APPEND.
const VALUE_BYTES: usize = (512 << 20) - (1 << 10);
/// Of a quick run.
const QUICK_BYTES: usize = 64 << 20;
/// Clients with small values, and the length of those.
const OTHERS: u64 = 4;
const SMALL_BYTES: usize = 100;
/// How long the others are measured with nothing beside them.
const IDLE: Duration = Duration::from_secs(3);
const KEY: &str = "large";

pub(super) fn run(bench: &Bench, samples: &mut Samples) -> Result<(), String> {
    demo::build(bench)?;
    let value_bytes = if bench.quick { QUICK_BYTES } else { VALUE_BYTES };
    for round in 0..bench.rounds {
        let peer = servers::limosa(bench, &["--durability", "interval"])?;
        measure(&peer, value_bytes, round as u64, samples)?;
    }
    Ok(())
}

fn measure(peer: &Peer, value_bytes: usize, seed: u64, samples: &mut Samples) -> Result<(), String> {
    let mut value = vec![0; value_bytes];
    Random(seed).fill(&mut value);
    let mut client = peer.client()?;
    client.load(0..10_000, SMALL_BYTES, &mut Random(seed))?;
    let idle = with_others(peer, || {
        std::thread::sleep(IDLE);
        Ok(())
    })?;
    let before = peer.server.resident_bytes()? as f64;
    let started = Instant::now();
    let set = with_others(peer, || client.set_bytes(KEY, &value))?;
    samples.add("set_megabytes_per_s", value_bytes as f64 / 1e6 / started.elapsed().as_secs_f64());
    samples.add("set_peak_beside_value_megabytes", (peer.server.peak_bytes()? as f64 - before - value_bytes as f64) / 1e6);
    let before = peer.server.resident_bytes()? as f64;
    peer.server.reset_peak()?;
    let started = Instant::now();
    let get = with_others(peer, || client.expect_bytes(KEY, &value))?;
    samples.add("get_megabytes_per_s", value_bytes as f64 / 1e6 / started.elapsed().as_secs_f64());
    samples.add("get_peak_beside_value_megabytes", (peer.server.peak_bytes()? as f64 - before) / 1e6);
    for (name, latencies) in [("idle", &idle), ("set", &set), ("get", &get)] {
        samples.add(format!("others_p99_ms_{name}"), percentile(latencies, 99));
        samples.add(format!("others_most_ms_{name}"), percentile(latencies, 100));
    }
    edits(&mut client, value_bytes, samples)
}

/// What small edits write into the journal, and how long a small read in the middle takes.
fn edits(client: &mut Client, value_bytes: usize, samples: &mut Samples) -> Result<(), String> {
    let middle = (value_bytes / 2).to_string();
    let last = (value_bytes / 2 + 49).to_string();
    let fifty = "x".repeat(50);
    let written = |client: &mut Client, args: &[&str]| -> Result<f64, String> {
        let before = journal_bytes(client)?;
        client.ask(args)?;
        client.ask(&["SET", "flushed", "1"])?;
        Ok((journal_bytes(client)? - before) / 1e3)
    };
    samples.add("append_10_bytes_journal_kilobytes", written(client, &["APPEND", KEY, "0123456789"])?);
    samples.add("setrange_50_bytes_journal_kilobytes", written(client, &["SETRANGE", KEY, &middle, &fifty])?);
    let started = Instant::now();
    if client.ask(&["GETRANGE", KEY, &middle, &last])? != fifty {
        return Err("GETRANGE did not give back what SETRANGE wrote".into());
    }
    samples.add("getrange_50_bytes_ms", started.elapsed().as_secs_f64() * 1e3);
    Ok(())
}

/// What INFO says that the journal has taken.
fn journal_bytes(client: &mut Client) -> Result<f64, String> {
    let info = client.ask(&["INFO", "persistence"])?;
    let line = info.lines().find_map(|line| line.strip_prefix("aof_current_size:"));
    line.and_then(|size| size.trim().parse().ok()).ok_or_else(|| "INFO names no aof_current_size".to_owned())
}

/// Latencies in milliseconds of small SETs and GETs of other clients while `beside` runs, sorted.
fn with_others(peer: &Peer, beside: impl FnOnce() -> Result<(), String>) -> Result<Vec<f64>, String> {
    let is_over = Arc::new(AtomicBool::new(false));
    let mut threads = Vec::new();
    for number in 0..OTHERS {
        let (mut client, is_over) = (peer.client()?, is_over.clone());
        threads.push(std::thread::spawn(move || small_commands(&mut client, number, &is_over)));
    }
    let done = beside();
    is_over.store(true, Ordering::Relaxed);
    let mut all = Vec::new();
    for thread in threads {
        all.extend(thread.join().map_err(|_| "a client's thread panicked".to_owned())??);
    }
    done?;
    all.sort_by(f64::total_cmp);
    Ok(all)
}

fn small_commands(client: &mut Client, number: u64, is_over: &AtomicBool) -> Result<Vec<f64>, String> {
    let (mut latencies, key, value) = (Vec::new(), format!("other:{number}"), "v".repeat(SMALL_BYTES));
    while !is_over.load(Ordering::Relaxed) {
        for args in [&["SET", &key, &value][..], &["GET", &key]] {
            let started = Instant::now();
            client.ask(args)?;
            latencies.push(started.elapsed().as_secs_f64() * 1e3);
        }
        std::thread::sleep(Duration::from_millis(1)); // a client that waits now and then: the machine's cores are not what is measured
    }
    Ok(latencies)
}

fn percentile(sorted: &[f64], percent: usize) -> f64 {
    sorted.get((sorted.len() * percent / 100).min(sorted.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}
