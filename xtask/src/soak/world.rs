//! A cluster of three processes under random faults: what is broken now, until when, and what happened so far.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::{FLAGS, STANDBYS, VALUE_BYTES, calm};
use crate::cluster::etcd::Etcd;
use crate::cluster::nodes::{Cluster, Options, Place};
use crate::cluster::proxy::{Fault, Proxy};
use crate::history::{Operation, Probe, Recording, Workload};
use crate::resp::Random;

/// Nodes of the cluster.
pub(super) const NODES: usize = 3;

/// Something that is broken until it is mended.
pub(super) enum Broken {
    /// A node was killed.
    Dead(usize),
    /// A node is paused. Requests wait at it.
    Paused(usize, Box<Probe>),
    /// Proxies do something: which (the one before etcd behind those before nodes), and the number of each fault.
    Links(Vec<(usize, u64)>),
    EtcdDead,
    EtcdPaused,
}

/// What a soak owns.
pub(super) struct World {
    pub(super) cluster: Cluster,
    pub(super) etcd: Option<Etcd>,
    /// Between the nodes and etcd.
    pub(super) etcd_proxy: Option<Proxy>,
    pub(super) random: Random,
    pub(super) recording: Option<Recording>,
    broken: Vec<(Instant, Broken)>,
    probed: Vec<Operation>,
    start: Instant,
    timeline: Vec<String>,
    counts: BTreeMap<String, u64>,
}

impl World {
    /// Three nodes that reach each other through proxies, whole, and clients at work.
    pub(super) fn start(place: &Place, seed: u64, with_etcd: bool) -> Result<Self, String> {
        let etcd = if with_etcd { Some(Etcd::start(&place.folder)?) } else { None };
        let mut options = Options { flags: FLAGS.map(str::to_owned).to_vec(), with_proxies: true, ..Options::default() };
        let mut etcd_proxy = None;
        if let Some(etcd) = &etcd {
            let proxy = Proxy::start(etcd.port(), options.dialers.clone())?;
            options.manifest = Some(format!("http://127.0.0.1:{}", proxy.port()));
            etcd_proxy = Some(proxy);
        }
        let mut cluster = Cluster::start_with(place, options)?;
        for _ in 1..NODES {
            cluster.join()?;
        }
        cluster.wait(0, "whole", |cell| calm::is_whole(cell, STANDBYS))?;
        let pause = Duration::from_millis(5);
        let workload = Workload { ports: cluster.ports(), clients: 16, keys_a_group: 60, value_bytes: VALUE_BYTES, pause, copy_every: 10 };
        let (recording, start) = (Some(Recording::start(&workload)), Instant::now());
        let (broken, probed, timeline, counts) = (Vec::new(), Vec::new(), Vec::new(), BTreeMap::new());
        Ok(Self { cluster, etcd, etcd_proxy, random: Random(seed), recording, broken, probed, start, timeline, counts })
    }

    /// Below `bound`.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.random.next() % bound as u64).expect("below a usize")
    }

    /// Between the two.
    pub(super) fn time(&mut self, least_ms: usize, most_ms: usize) -> Duration {
        Duration::from_millis((least_ms + self.below(most_ms - least_ms)) as u64)
    }

    /// A line of the timeline.
    pub(super) fn note(&mut self, line: &str) {
        self.timeline.push(format!("{:8.2} s  {line}", self.start.elapsed().as_secs_f64()));
    }

    pub(super) fn count(&mut self, kind: &str) {
        *self.counts.entry(kind.to_owned()).or_default() += 1;
    }

    /// Breaks something until `time` has passed.
    pub(super) fn breaks(&mut self, broken: Broken, time: Duration) {
        self.broken.push((Instant::now() + time, broken));
    }

    /// Those before nodes, then the one before etcd.
    pub(super) fn proxies(&self) -> impl Iterator<Item = &Proxy> {
        self.cluster.proxies.iter().chain(&self.etcd_proxy)
    }

    /// Between the two; one time in twenty for up to half a minute.
    pub(super) fn long_time(&mut self, least_ms: usize, most_ms: usize) -> Duration {
        if self.below(20) == 0 { self.time(most_ms, 30_000) } else { self.time(least_ms, most_ms) }
    }

    /// Whether a node runs and is not paused.
    pub(super) fn is_up(&self, node: usize) -> bool {
        !self.broken.iter().any(|(_, broken)| matches!(broken, Broken::Dead(other) | Broken::Paused(other, _) if *other == node))
    }

    pub(super) fn is_etcd_up(&self) -> bool {
        !self.broken.iter().any(|(_, broken)| matches!(broken, Broken::EtcdDead | Broken::EtcdPaused))
    }

    /// A while in which nothing new goes wrong; what is over is mended, and no node may have ended by itself.
    pub(super) fn rest(&mut self) -> Result<(), String> {
        let until = Instant::now() + self.time(20, 800);
        while Instant::now() < until {
            self.mend(false)?;
            for node in 0..NODES {
                let server = &mut self.cluster.nodes[node].server;
                if let Some(ended) = server.as_mut().and_then(|server| server.ended()) {
                    return Err(format!("n{}: {ended}", node + 1));
                }
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Mends what is over, or everything.
    fn mend(&mut self, all: bool) -> Result<(), String> {
        let now = Instant::now();
        while let Some(at) = self.broken.iter().position(|(until, _)| all || *until <= now) {
            match self.broken.remove(at).1 {
                Broken::Dead(node) => {
                    self.note(&format!("n{} starts again", node + 1));
                    self.cluster.restart(node)?;
                }
                Broken::Paused(node, mut probe) => {
                    probe.send();
                    self.note(&format!("n{} goes on", node + 1));
                    self.cluster.signal(node, "CONT")?;
                    self.probed.extend(probe.read());
                }
                Broken::Links(faults) => {
                    let over: Vec<String> = faults.iter().map(|(proxy, number)| format!("{}/{number}", proxy + 1)).collect();
                    self.note(&format!("over: {}", over.join(" ")));
                    for (proxy, number) in faults {
                        self.proxies().nth(proxy).expect("it was used").lift(number);
                    }
                }
                Broken::EtcdDead => {
                    self.note("etcd starts again");
                    self.etcd.as_mut().map_or(Ok(()), Etcd::resume)?;
                }
                Broken::EtcdPaused => {
                    self.note("etcd goes on");
                    self.etcd.as_ref().map_or(Ok(()), |etcd| etcd.pause(false))?;
                }
            }
        }
        Ok(())
    }

    /// Calm, and everything that must then hold.
    pub(super) fn end(&mut self) -> Result<String, String> {
        self.mend(true)?;
        self.proxies().for_each(Proxy::clear);
        self.note("calm");
        let recording = self.recording.take().ok_or("it has ended already")?;
        calm::end(&self.cluster, recording, std::mem::take(&mut self.probed), STANDBYS)
    }

    /// Faults by kind: how often they were begun, and of those of links how many pieces of bytes met them.
    pub(super) fn counts(&self) -> String {
        let mut hits = [0; Fault::KINDS];
        for proxy in self.proxies() {
            proxy.hits().iter().zip(&mut hits).for_each(|(one, all)| *all += one);
        }
        let begun: Vec<String> = self.counts.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        let met: Vec<String> = Fault::NAMES.iter().zip(hits).map(|(name, count)| format!("{name} {count}")).collect();
        format!("{}; pieces of bytes that met one: {}", begun.join(", "), met.join(", "))
    }

    pub(super) fn timeline(&self) -> &[String] {
        &self.timeline
    }
}
