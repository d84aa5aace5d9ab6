//! What all connections of one front door share: the node, the settings, the counters, the list of clients.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use limosa_core::limits::CLIENTS_MAX;

use super::cluster::{AckGate, Cluster, Parking};
use super::node::Node;
use super::read_budget::ReadBudget;
use super::registry::Registry;
use super::server::Options;
use crate::metrics::ClientCounts;

/// Settings that CONFIG SET changes while the node runs.
#[derive(Debug)]
pub(crate) struct Settings {
    /// Most connections; at most [`CLIENTS_MAX`].
    pub(crate) clients_max: AtomicUsize,
    /// An idle connection is closed after so many seconds; 0 never.
    pub(crate) timeout_s: AtomicU64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { clients_max: AtomicUsize::new(CLIENTS_MAX), timeout_s: AtomicU64::new(0) }
    }
}

/// Counters since the start, or since CONFIG RESETSTAT.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    /// Connections accepted.
    pub(crate) connections: AtomicU64,
    /// Connections refused because there were too many.
    pub(crate) rejected: AtomicU64,
    /// Commands executed, refused ones included.
    pub(crate) commands: AtomicU64,
    /// Replies that were errors.
    pub(crate) errors: AtomicU64,
    /// Bytes read from clients.
    pub(crate) read_bytes: AtomicU64,
    /// Bytes written to clients.
    pub(crate) written_bytes: AtomicU64,
    /// Keys that reads found.
    pub(crate) hits: AtomicU64,
    /// Keys that reads did not find.
    pub(crate) misses: AtomicU64,
    /// Group commits that the front door drove.
    pub(crate) flushes: AtomicU64,
}

impl Stats {
    /// Adds to a counter that only the connections' thread writes (all but `errors`), so a plain load and store do.
    pub(crate) fn add(counter: &AtomicU64, count: u64) {
        counter.store(counter.load(Ordering::Relaxed) + count, Ordering::Relaxed);
    }

    /// Hits and misses so far.
    pub(crate) fn found(&self) -> [u64; 2] {
        [&self.hits, &self.misses].map(|counter| counter.load(Ordering::Relaxed))
    }

    /// Takes hits and misses back to `found`. Only one thread counts them.
    pub(crate) fn set_found(&self, [hits, misses]: [u64; 2]) {
        self.hits.store(hits, Ordering::Relaxed);
        self.misses.store(misses, Ordering::Relaxed);
    }

    /// All of them, for `/metrics`; `connections` are open now.
    pub(crate) fn counts(&self, connections: usize) -> ClientCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ClientCounts {
            connections: connections as u64,
            accepted: read(&self.connections),
            rejected: read(&self.rejected),
            commands: read(&self.commands),
            errors: read(&self.errors),
            received_bytes: read(&self.read_bytes),
            sent_bytes: read(&self.written_bytes),
            hits: read(&self.hits),
            misses: read(&self.misses),
        }
    }

    /// CONFIG RESETSTAT.
    pub(crate) fn reset(&self) {
        let all = [&self.connections, &self.rejected, &self.commands, &self.errors, &self.read_bytes, &self.written_bytes];
        all.into_iter().chain([&self.hits, &self.misses, &self.flushes]).for_each(|counter| counter.store(0, Ordering::Relaxed));
    }
}

/// What all connections share.
pub(crate) struct Shared {
    /// The node around the front door.
    pub(crate) node: Arc<dyn Node>,
    /// The cluster around that, if it is or may become part of one.
    pub(crate) cluster: Option<Arc<dyn Cluster>>,
    /// Where replies wait for standbys.
    pub(crate) acks: Option<Arc<AckGate>>,
    /// Where requests wait for cutovers.
    pub(crate) parking: Arc<Parking>,
    /// Decisions that were made when the front door opened.
    pub(crate) options: Options,
    /// Changed by CONFIG SET.
    pub(crate) settings: Settings,
    /// Counted by connections.
    pub(crate) stats: Stats,
    /// For the read buffers of all connections.
    pub(crate) read_budget: Arc<ReadBudget>,
    /// Open connections.
    pub(crate) registry: Registry,
    /// When the front door opened.
    pub(crate) started: Instant,
}

impl Shared {
    pub(crate) fn new(node: Arc<dyn Node>, options: Options) -> Self {
        let cluster = node.cluster();
        let gate = |cluster: &Arc<dyn Cluster>| Arc::new(AckGate::new(cluster.clone(), options.ack, options.ack_timeout));
        Self {
            acks: cluster.as_ref().map(gate),
            node,
            cluster,
            parking: Arc::default(),
            options,
            settings: Settings::default(),
            stats: Stats::default(),
            read_budget: Arc::default(),
            registry: Registry::default(),
            started: Instant::now(),
        }
    }

    /// Milliseconds since the Unix epoch, by the machine's clock: what deadlines are compared with.
    pub(crate) fn now_ms(&self) -> u64 {
        u64::try_from(self.now_us() / 1000).expect("the clock is before the year 292 million")
    }

    /// Microseconds since the Unix epoch.
    pub(crate) fn now_us(&self) -> u128 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros())
    }
}
