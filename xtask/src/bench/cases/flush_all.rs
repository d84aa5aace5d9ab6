//! FLUSHALL of a large state: how long it takes, whom it holds up, what it leaves in memory, and what a standby is sent.
#![allow(clippy::cast_precision_loss)] // times and bytes as figures

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::demo;
use crate::bench::Bench;
use crate::bench::resp::{Client, Random};
use crate::bench::samples::Samples;
use crate::bench::servers::{self, Peer};
use crate::process::output_of;

const ENTRIES: u64 = 10_000_000;
const VALUE_BYTES: usize = 100;
/// A range delete of whole subtrees costs the same whatever lies in them: the standby need not be loaded with all of it.
const ENTRIES_OF_PAIR: u64 = 100_000;
/// How long behind the FLUSHALL clients are watched, and when memory must be back.
const WATCHED: Duration = Duration::from_secs(10);
/// The same before it, for comparison: what the machine itself lets clients wait.
const WATCHED_BEFORE: Duration = Duration::from_secs(5);
/// What a process may hold beside 1.2 times what it held when it was empty: the ring of recent commits (4 MiB), buffers of
/// connections and journal, and what the allocator keeps between them.
const CONSTANT_BYTES: f64 = 64e6;

pub(super) fn run(bench: &Bench, samples: &mut Samples) -> Result<(), String> {
    demo::build(bench)?;
    for round in 0..bench.rounds {
        samples.add("delta_bytes", delta_bytes(bench)?);
        alone(bench, samples, round as u64)?;
    }
    Ok(())
}

fn alone(bench: &Bench, samples: &mut Samples, seed: u64) -> Result<(), String> {
    let peer = servers::limosa(bench, &["--durability", "interval"])?;
    let (mut client, mut random) = (peer.client()?, Random(seed));
    client.ask(&["PING"])?;
    let empty = peer.server.resident_bytes()? as f64;
    client.load(0..bench.sized(ENTRIES), VALUE_BYTES, &mut random)?;
    thread::sleep(WATCHED / 2);
    samples.add("loaded_megabytes", peer.server.resident_bytes()? as f64 / 1e6);

    let before = Pinger::start(&peer)?;
    thread::sleep(WATCHED_BEFORE);
    samples.add("longest_wait_before_milliseconds", before.stop()?.as_secs_f64() * 1e3);

    let watched = Pinger::start(&peer)?;
    let began = Instant::now();
    client.ask(&["FLUSHALL"])?;
    samples.add("flush_milliseconds", began.elapsed().as_secs_f64() * 1e3);
    thread::sleep(WATCHED.saturating_sub(began.elapsed()));
    let left = peer.server.resident_bytes()? as f64;
    samples.add("longest_wait_milliseconds", watched.stop()?.as_secs_f64() * 1e3);
    samples.add("empty_megabytes", empty / 1e6);
    samples.add("left_megabytes", left / 1e6);
    samples.add("left_per_allowed", left / (1.2 * empty + CONSTANT_BYTES));
    let held: u64 = client.ask(&["DBSIZE"])?.parse().map_err(|error| format!("DBSIZE: {error}"))?;
    if held > 1 { Err(format!("{held} keys are left behind FLUSHALL")) } else { Ok(()) }
}

/// Bytes to a connected standby, TLS included, for a FLUSHALL that empties every fragment.
fn delta_bytes(bench: &Bench) -> Result<f64, String> {
    let owner = servers::limosa(bench, &["--durability", "interval", "--name", "a"])?;
    let standby = servers::limosa_standby(bench, &owner, "b")?;
    let mut client = owner.client()?;
    client.load(0..ENTRIES_OF_PAIR, VALUE_BYTES, &mut Random(7))?;
    let before = agreed(bench, &owner)?;
    client.ask(&["FLUSHALL"])?;
    let after = agreed(bench, &owner)?;
    let mut reader = standby.client()?;
    reader.ask(&["READONLY"])?;
    if reader.ask(&["DBSIZE"])? != "0" {
        return Err("the standby still holds keys behind FLUSHALL".into());
    }
    Ok(after as f64 - before as f64)
}

#[derive(Deserialize)]
struct Status {
    head: u64,
    peers: Vec<PeerStatus>,
}

#[derive(Deserialize)]
struct PeerStatus {
    acknowledged: Option<u64>,
    moved_bytes_out: u64,
}

/// Bytes that the owner has sent, once its standby has everything.
fn agreed(bench: &Bench, owner: &Peer) -> Result<u64, String> {
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        let mut command = Command::new(bench.metadata.program("limosa"));
        command.args(["status", "--json", "--node", &format!("127.0.0.1:{}", owner.http)]);
        let text = output_of(command)?;
        let status: Status = serde_json::from_str(&text).map_err(|error| format!("status: {error} in {text}"))?;
        if let Some(peer) = status.peers.iter().find(|peer| peer.acknowledged.is_some_and(|position| position >= status.head)) {
            return Ok(peer.moved_bytes_out);
        }
        if Instant::now() > deadline {
            return Err("the standby does not agree after two minutes".into());
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// A client that writes and reads one key every millisecond and remembers the longest answer.
struct Pinger {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Duration, String>>,
}

impl Pinger {
    fn start(peer: &Peer) -> Result<Self, String> {
        let (client, stop) = (peer.client()?, Arc::new(AtomicBool::new(false)));
        let thread = thread::spawn({
            let stop = stop.clone();
            move || ping(client, &stop)
        });
        Ok(Self { stop, thread })
    }

    fn stop(self) -> Result<Duration, String> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| "the pinging client panicked".to_owned())?
    }
}

fn ping(mut client: Client, stop: &AtomicBool) -> Result<Duration, String> {
    let (mut longest, mut count) = (Duration::ZERO, 0_u64);
    while !stop.load(Ordering::Relaxed) {
        count += 1;
        let began = Instant::now();
        client.ask(&["SET", "ping", &count.to_string()])?;
        let read = client.ask(&["GET", "ping"])?;
        longest = longest.max(began.elapsed());
        // FLUSHALL may come between the two; nothing else may
        if !read.is_empty() && read != count.to_string() {
            return Err(format!("wrote {count}, read {read}"));
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok(longest)
}
