//! A standby behind a link with a hundredth of the write rate: what its owner's memory does, how the standby comes back, and what that moves.
#![allow(clippy::cast_precision_loss)] // byte counts as ratios

use std::process::Command;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::demo;
use crate::bench::Bench;
use crate::bench::resp::{KEY_BYTES, Random};
use crate::bench::samples::Samples;
use crate::bench::servers::{self, Peer};
use crate::bench::throttle::Throttle;
use crate::process::output_of;

const ENTRIES: u64 = 200_000;
const VALUE_BYTES: usize = 1024;
/// Every write overwrites one of so many keys: what changed stays a twentieth of a full copy, however long it goes on.
const HOT_SHARE: u64 = 20;
/// Writes between two looks at the clock, and looks a second.
const BATCH: u64 = 500;
const BATCHES_PER_SECOND: u64 = 20;
const WRITE_BYTES_PER_SECOND: u64 = BATCH * BATCHES_PER_SECOND * (KEY_BYTES + VALUE_BYTES as u64);
/// Share of that which the link passes.
const LINK_SHARE: u64 = 100;
const SLOW: Duration = Duration::from_secs(60);
const SLOW_QUICK: Duration = Duration::from_secs(8);
/// Writes at full link speed before the owner's memory is noted: ring, journal tail and buffers have then the size that they keep.
const WARM: Duration = Duration::from_secs(5);
const CAUGHT_UP_MAX: Duration = Duration::from_secs(120);

pub(super) fn run(bench: &Bench, samples: &mut Samples) -> Result<(), String> {
    demo::rounds(bench, samples, measure)
}

fn measure(bench: &Bench, samples: &mut Samples, seed: u64) -> Result<(), String> {
    let (entries, mut random) = (bench.sized(ENTRIES), Random(seed));
    let owner = servers::limosa(bench, &["--durability", "interval"])?;
    owner.client()?.load(0..entries, VALUE_BYTES, &mut random)?;
    let link = Throttle::start(owner.peer)?;
    let standby = servers::limosa_standby_through(bench, &owner, "slow", link.port)?;
    wait_until_equal(bench, &owner, &standby)?;
    let hot = entries / HOT_SHARE;
    write_for(WARM, &owner, hot, &mut random)?;
    wait_until_equal(bench, &owner, &standby)?;

    let moved_before = moved(bench, &owner)?;
    let before = owner.server.resident_bytes()?;
    link.limit(Some(WRITE_BYTES_PER_SECOND / LINK_SHARE));
    let (highest, written) = write_for(if bench.quick { SLOW_QUICK } else { SLOW }, &owner, hot, &mut random)?;
    link.limit(None);
    let start = Instant::now();
    wait_until_equal(bench, &owner, &standby)?;
    let moved = moved(bench, &owner)?;
    let full_copy = entries * (KEY_BYTES + VALUE_BYTES as u64);
    samples.add("owner_grew_megabytes", highest.saturating_sub(before) as f64 / 1e6);
    samples.add("owner_before_megabytes", before as f64 / 1e6);
    samples.add("written_megabytes", written as f64 / 1e6);
    samples.add("caught_up_seconds", start.elapsed().as_secs_f64());
    let sent = moved.bytes.saturating_sub(moved_before.bytes) as f64;
    samples.add("moved_per_written", sent / written as f64);
    samples.add("moved_per_full_copy", sent / full_copy as f64);
    samples.add("copies", moved.copies.saturating_sub(moved_before.copies) as f64);
    samples.add("unequal_ends", 0.0); // else waiting for equal ends would have failed
    Ok(())
}

/// Overwrites hot keys at the chosen rate. Answers the most memory that the owner had, and the bytes written.
fn write_for(time: Duration, owner: &Peer, hot: u64, random: &mut Random) -> Result<(u64, u64), String> {
    let (mut client, start) = (owner.client()?, Instant::now());
    let (mut highest, mut batches) = (0, 0u64);
    while start.elapsed() < time {
        let first = batches * BATCH % hot;
        client.load(first..(first + BATCH).min(hot), VALUE_BYTES, random)?;
        batches += 1;
        highest = highest.max(owner.server.resident_bytes()?);
        let due = Duration::from_millis(batches * 1000 / BATCHES_PER_SECOND);
        std::thread::sleep(due.saturating_sub(start.elapsed()));
    }
    Ok((highest, batches * BATCH * (KEY_BYTES + VALUE_BYTES as u64)))
}

/// `limosa verify` compares the digests of both at one version; it says no as long as one is behind.
fn wait_until_equal(bench: &Bench, owner: &Peer, standby: &Peer) -> Result<(), String> {
    let start = Instant::now();
    loop {
        let [owner, standby] = [owner, standby].map(|peer| format!("127.0.0.1:{}", peer.http));
        let mut verify = Command::new(bench.metadata.program("limosa"));
        verify.args(["verify", "--node", &owner, "--with", &standby]);
        match output_of(verify) {
            Ok(_) => return Ok(()),
            Err(error) if start.elapsed() > CAUGHT_UP_MAX => {
                return Err(format!("the ends are not equal after {CAUGHT_UP_MAX:?}: {error}"));
            }
            Err(_) => std::thread::sleep(Duration::from_millis(200)),
        }
    }
}

/// What the owner has sent so far.
struct Moved {
    bytes: u64,
    copies: u64,
}

#[derive(Deserialize)]
struct Status {
    peers: Vec<PeerBytes>,
}

#[derive(Deserialize)]
struct PeerBytes {
    moved_bytes_out: u64,
}

#[derive(Deserialize)]
struct Transfer {
    method: String,
}

fn moved(bench: &Bench, owner: &Peer) -> Result<Moved, String> {
    let ask = |command: &str| {
        let mut limosa = Command::new(bench.metadata.program("limosa"));
        limosa.args([command, "--json", "--node", &format!("127.0.0.1:{}", owner.http)]);
        output_of(limosa)
    };
    let status: Status = serde_json::from_str(&ask("status")?).map_err(|error| format!("status: {error}"))?;
    let transfers: Vec<Transfer> = serde_json::from_str(&ask("transfers")?).map_err(|error| format!("transfers: {error}"))?;
    Ok(Moved {
        bytes: status.peers.iter().map(|peer| peer.moved_bytes_out).sum(),
        copies: transfers.iter().filter(|transfer| transfer.method == "copy").count() as u64,
    })
}
