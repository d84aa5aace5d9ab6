//! An owner is killed under a load at ack level `standby`: what is lost, how long nobody serves, and what its return moves.
#![allow(clippy::cast_precision_loss)] // byte counts as ratios

use std::time::Duration;

use super::demo;
use crate::bench::Bench;
use crate::bench::cluster::client::ClusterClient;
use crate::bench::cluster::load::{Load, Plan};
use crate::bench::cluster::nodes::Cluster;
use crate::bench::cluster::waits::percentile;
use crate::bench::resp::{Client, KEY_BYTES, Random, key_of};
use crate::bench::samples::Samples;

const ENTRIES: u64 = 200_000;
const VALUE_BYTES: usize = 1024;
/// As the product's default.
const LEASE: Duration = Duration::from_secs(3);

pub(super) fn run(bench: &Bench, samples: &mut Samples) -> Result<(), String> {
    demo::rounds(bench, samples, measure)
}

/// The manifest lives at the first node, which owns nothing when the kill comes: the second does.
fn measure(bench: &Bench, samples: &mut Samples, seed: u64) -> Result<(), String> {
    let entries = bench.sized(ENTRIES);
    let mut cluster = Cluster::start(&bench.place(), &["--durability", "interval", "--standbys", "2", "--ack", "standby"])?;
    Client::connect(cluster.nodes[0].resp)?.load(0..entries, VALUE_BYTES, &mut Random(seed))?;
    let (victim, third) = (cluster.join()?, cluster.join()?);
    cluster.wait(0, "complete at two standbys", |cell| cell.sync_set.len() == 2)?;
    cluster.command(0, &["move", "--slots", "0-16383", "--to", &cluster.nodes[victim].name])?;
    let owner = cluster.nodes[victim].name.clone();
    cluster.wait(0, "owned by the second node", |cell| cell.owner.as_deref() == Some(&owner) && cell.sync_set.len() == 2)?;
    let plan = Plan { ports: cluster.ports(), keys: 0..entries, value_bytes: VALUE_BYTES, rate: 4_000, clients: 16, write_every: 2 };
    let load = Load::start(&plan);
    std::thread::sleep(Duration::from_secs(3));
    let killed = load.start.elapsed();
    cluster.kill(victim);
    cluster.wait(0, "promoted elsewhere", |cell| cell.owner.as_ref().is_some_and(|now| *now != owner))?;
    std::thread::sleep(Duration::from_secs(3));
    let seen = load.end()?;
    // The first write that was sent behind the kill and answered: its answer's moment, whoever asked.
    let served = |slots: std::ops::RangeInclusive<u16>| {
        let writes = seen.requests.iter().filter(move |r| r.is_write && r.sent + r.wait > killed && slots.contains(&r.slot));
        writes.map(|request| request.sent + request.wait).min().map_or(f64::NAN, |at| (at - killed).as_secs_f64())
    };
    let by_fragment = (0..64u16).map(|fragment| served(fragment * 256..=fragment * 256 + 255));
    samples.add("seconds_to_first_write", by_fragment.clone().fold(f64::INFINITY, f64::min));
    samples.add("seconds_to_last_fragments_first_write", by_fragment.fold(0.0, f64::max));
    samples.add("longest_wait_seconds", percentile(seen.requests.iter().map(|request| request.wait), 1.0) / 1e3);
    samples.add("lost_writes", seen.lost as f64);
    samples.add("errors", seen.errors as f64);
    for text in &seen.error_texts {
        println!("  a client saw: {text}");
    }
    returns(&mut cluster, samples, victim, third, entries, seed)
}

/// The killed node comes back after a hundredth of the state has changed.
fn returns(cluster: &mut Cluster, samples: &mut Samples, victim: usize, third: usize, entries: u64, seed: u64) -> Result<(), String> {
    let (mut client, mut random) = (ClusterClient::new(&[cluster.nodes[0].resp, cluster.nodes[third].resp]), Random(seed ^ 2));
    let (mut value, mut changed) = (vec![0; VALUE_BYTES], 0);
    for i in (0..entries).step_by(100) {
        let key = key_of(i);
        random.fill(&mut value);
        client.ask(key.as_bytes(), &[b"SET", key.as_bytes(), &value]).map_err(|failed| failed.0)?;
        changed += KEY_BYTES + VALUE_BYTES as u64;
    }
    cluster.restart(victim)?;
    let name = cluster.nodes[victim].name.clone();
    let back =
        cluster.wait(0, "held by the node that returned", |cell| cell.sync_set.contains(&name) || cell.owner.as_deref() == Some(&name))?;
    samples.add("return_seconds", back.as_secs_f64());
    samples.add("return_moved_megabytes", cluster.moved_bytes(victim)? as f64 / 1e6);
    samples.add("return_changed_megabytes", changed as f64 / 1e6);
    samples.add("lease_seconds", LEASE.as_secs_f64());
    Ok(())
}
