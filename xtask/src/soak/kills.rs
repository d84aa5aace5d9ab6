//! The kill loop: owners end by SIGKILL under a load at ack level `standby`, are paused for longer than their lease, and come back, again and again.

use std::path::Path;
use std::time::{Duration, Instant};

use super::{FLAGS, STANDBYS, VALUE_BYTES, calm};
use crate::cluster::etcd::Etcd;
use crate::cluster::nodes::{Cluster, Options, Place};
use crate::history::{Operation, Probe, Recording, Workload};
use crate::resp::Random;
use crate::workspace::Metadata;

/// Every so many-th round pauses an owner instead of killing it.
const PAUSE_EVERY: u32 = 7;
/// And every so many-th gives everybody its share again, so that kills meet owners of few and of many fragments.
const REBALANCE_EVERY: u32 = 5;
/// Keys that a paused node finds requests for.
const PROBED_KEYS: u32 = 12;
/// How long others write while a node is paused, once they own what it owned.
const WRITTEN_MEANWHILE: Duration = Duration::from_millis(200);

/// The step of every run.
pub(crate) fn check(metadata: &Metadata, folder: &Path) -> Result<(), String> {
    run(metadata, folder, 20)
}

/// The step of a long run.
pub(crate) fn check_long(metadata: &Metadata, folder: &Path) -> Result<(), String> {
    run(metadata, folder, 200)
}

fn run(metadata: &Metadata, folder: &Path, kills: u32) -> Result<(), String> {
    let place = Place { program: metadata.program("limosa"), folder: folder.to_owned() };
    let etcd = Etcd::start(folder)?;
    let manifest = Some(format!("http://127.0.0.1:{}", etcd.port()));
    let flags = FLAGS.map(str::to_owned).to_vec();
    let mut cluster = Cluster::start_with(&place, Options { flags, manifest, ..Options::default() })?;
    cluster.join()?;
    cluster.join()?;
    cluster.wait(0, "whole", |cell| calm::is_whole(cell, STANDBYS))?;
    let pause = Duration::from_millis(3);
    let workload = Workload { ports: cluster.ports(), clients: 16, keys_a_group: 40, value_bytes: VALUE_BYTES, pause, copy_every: 10 };
    let recording = Recording::start(&workload);
    let mut rounds = Rounds { random: Random(u64::from(kills)), probed: Vec::new(), longest: Duration::ZERO, kills: 0, pauses: 0 };
    let mut round = 0;
    while rounds.kills < kills {
        round += 1;
        if round % REBALANCE_EVERY == 1 {
            cluster.command_soon(0, &["rebalance", "--wait"])?;
        }
        if round % PAUSE_EVERY == 0 {
            rounds.pause(&mut cluster, &recording)?;
        } else {
            rounds.kill(&mut cluster)?;
        }
    }
    let told = calm::end(&cluster, recording, rounds.probed, STANDBYS)?;
    println!(
        "  {} kills and {} pauses of owners; the longest time until others owned everything {:.2} s",
        rounds.kills,
        rounds.pauses,
        rounds.longest.as_secs_f64()
    );
    println!("  {told}");
    Ok(())
}

/// What the rounds have done.
struct Rounds {
    random: Random,
    /// What paused nodes answered.
    probed: Vec<Operation>,
    longest: Duration,
    kills: u32,
    pauses: u32,
}

impl Rounds {
    /// An owner, and who can be asked while it is away.
    fn victim(&mut self, cluster: &Cluster) -> Result<(usize, usize), String> {
        cluster.wait_for(0, "owned", calm::PATIENCE, |cell| cell.owner.is_some())?; // it may have come back a moment ago
        let cells = cluster.cells(0)?;
        let mut owners: Vec<usize> = cells.iter().filter_map(|cell| cluster.by_name(cell.owner.as_deref()?)).collect();
        owners.sort_unstable();
        owners.dedup();
        let at = usize::try_from(self.random.next() % owners.len().max(1) as u64).expect("few nodes");
        let victim = *owners.get(at).ok_or("no fragment has an owner")?;
        Ok((victim, (victim + 1) % cluster.nodes.len()))
    }

    fn kill(&mut self, cluster: &mut Cluster) -> Result<(), String> {
        let (victim, other) = self.victim(cluster)?;
        cluster.kill(victim);
        self.taken_over(cluster, victim, other)?;
        cluster.restart(victim)?;
        self.kills += 1;
        cluster.wait_for(other, "whole again", calm::PATIENCE, |cell| calm::is_whole(cell, STANDBYS)).map(|_| ())
    }

    /// An owner is paused until others own what it owned and have written; then it finds requests in its sockets, and goes on.
    fn pause(&mut self, cluster: &mut Cluster, recording: &Recording) -> Result<(), String> {
        let (victim, other) = self.victim(cluster)?;
        let keys = 0..PROBED_KEYS;
        let mut probe = Probe::open(cluster.nodes[victim].resp, keys, recording.start, u64::from(self.pauses), VALUE_BYTES)?;
        cluster.signal(victim, "STOP")?;
        self.taken_over(cluster, victim, other)?;
        std::thread::sleep(WRITTEN_MEANWHILE);
        probe.send();
        cluster.signal(victim, "CONT")?;
        self.probed.extend(probe.read());
        self.pauses += 1;
        cluster.wait_for(other, "whole again", calm::PATIENCE, |cell| calm::is_whole(cell, STANDBYS)).map(|_| ())
    }

    fn taken_over(&mut self, cluster: &Cluster, victim: usize, other: usize) -> Result<(), String> {
        let (name, began) = (cluster.nodes[victim].name.clone(), Instant::now());
        cluster.wait_for(other, "taken over", calm::PATIENCE, |cell| cell.owner.as_ref().is_some_and(|owner| *owner != name))?;
        self.longest = self.longest.max(began.elapsed());
        Ok(())
    }
}
