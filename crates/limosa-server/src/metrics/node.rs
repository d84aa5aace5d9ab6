//! What a node counted since it started, and how that becomes families of samples.

use std::fmt;
use std::ops::{Index, IndexMut};
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::http::api::Method;

/// One number for each method.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ByMethod([u64; Method::ALL.len()]);

impl Index<Method> for ByMethod {
    type Output = u64;

    fn index(&self, method: Method) -> &u64 {
        &self.0[method as usize]
    }
}

impl IndexMut<Method> for ByMethod {
    fn index_mut(&mut self, method: Method) -> &mut u64 {
        &mut self.0[method as usize]
    }
}

/// How far one standby is behind.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PeerLag {
    /// Its name.
    pub peer: String,
    /// Commits that it lacks.
    pub commits: u64,
    /// Bytes of those commits.
    pub bytes: u64,
}

/// What a node counted since it started (`…` counters) and what holds now (gauges).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NodeCounts {
    /// Transfers that ended with both ends agreeing.
    pub transfers: ByMethod,
    /// Bytes of those over the socket, both directions.
    pub transfer_bytes: ByMethod,
    /// Entries of those, deletions included.
    pub transfer_entries: ByMethod,
    /// Transfers that were cut.
    pub transfers_cut: u64,
    /// Frames sent and received.
    pub frames: [u64; 2],
    /// Bytes to and from peers, handshakes included: sent and received.
    pub peer_bytes: [u64; 2],
    /// Bytes of TLS handshakes and introductions, both directions.
    pub handshake_bytes: u64,
    /// Bytes sent again after a cut (same key and version).
    pub sent_again_bytes: u64,
    /// Frames that a target refused.
    pub refusals: u64,
    /// Times that a live stream's digest did not match.
    pub drifts: u64,
    /// Peer connections open now.
    pub peers_connected: u64,
    /// Each standby.
    pub peers: Vec<PeerLag>,
    /// Commits of this node, replicated ones included.
    pub commits: u64,
    /// Newest position that readers see.
    pub horizon: u64,
    /// Newest position that is flushed.
    pub durable: u64,
    /// Journal bytes on disk now.
    pub journal_bytes: u64,
    /// Journal bytes written.
    pub journal_written_bytes: u64,
    /// Journal flushes.
    pub journal_flushes: u64,
    /// Checkpoints written.
    pub checkpoints: u64,
    /// Bytes of those.
    pub checkpoint_bytes: u64,
    /// Live entries.
    pub entries: u64,
    /// Bytes of their keys and values.
    pub live_bytes: u64,
    /// Deletions remembered.
    pub tombstones: u64,
    /// Files in the quarantine folder.
    pub quarantined: u64,
    /// Seconds until the node's certificate ends; 0 when it has ended.
    pub certificate_expiry_s: u64,
}

/// The counts of the newest scrape.
#[derive(Clone, Default)]
pub(super) struct Scraped(Arc<Mutex<(NodeCounts, bool)>>);

impl fmt::Debug for Scraped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scraped")
    }
}

impl Scraped {
    /// Two scrapes at once may show each other's counts: both are of this moment.
    pub(super) fn replace(&self, counts: NodeCounts, ready: bool) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (counts, ready);
    }
}

impl Collector for Scraped {
    fn encode(&self, encoder: DescriptorEncoder) -> fmt::Result {
        let (counts, ready) = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut families = Families(encoder);
        families.gauge("ready", "1 when the node can do its work", u64::from(ready))?;
        families.transfers(&counts)?;
        families.peers(&counts)?;
        families.store(&counts)
    }
}

/// Writes families of samples.
struct Families<'a>(DescriptorEncoder<'a>);

impl Families<'_> {
    fn transfers(&mut self, counts: &NodeCounts) -> fmt::Result {
        self.by_method("transfers", "Transfers that ended with both ends agreeing", counts.transfers)?;
        self.by_method("transfer_bytes", "Bytes that those moved over the socket, both directions", counts.transfer_bytes)?;
        self.by_method("transfer_entries", "Entries that those moved, deletions included", counts.transfer_entries)?;
        self.counter("transfers_cut", "Transfers that were cut", counts.transfers_cut)?;
        self.by_direction("frames", "Frames of state", counts.frames)?;
        self.counter("sent_again_bytes", "Bytes sent again after a cut", counts.sent_again_bytes)?;
        self.counter("refusals", "Frames that a target refused", counts.refusals)?;
        self.counter("drifts", "Times that the digest of a live stream did not match", counts.drifts)
    }

    fn peers(&mut self, counts: &NodeCounts) -> fmt::Result {
        let worst = |of: fn(&PeerLag) -> u64| counts.peers.iter().map(of).max().unwrap_or(0);
        self.by_direction("peer_bytes", "Bytes to and from peers, TLS included", counts.peer_bytes)?;
        self.counter("handshake_bytes", "Bytes of TLS handshakes and introductions", counts.handshake_bytes)?;
        self.gauge("peers_connected", "Peer connections open now", counts.peers_connected)?;
        self.gauge("lag_commits", "Commits that the slowest standby lacks", worst(|peer| peer.commits))?;
        self.gauge("lag_bytes", "Bytes of commits that the slowest standby lacks", worst(|peer| peer.bytes))?;
        let each = |of: fn(&PeerLag) -> u64| counts.peers.iter().map(move |peer| (peer.peer.as_str(), of(peer)));
        self.family("peer_lag_commits", "Commits that a standby lacks", MetricType::Gauge, "peer", each(|peer| peer.commits))?;
        self.family("peer_lag_bytes", "Bytes of commits that a standby lacks", MetricType::Gauge, "peer", each(|peer| peer.bytes))
    }

    fn store(&mut self, counts: &NodeCounts) -> fmt::Result {
        self.counter("commits", "Commits, replicated ones included", counts.commits)?;
        self.gauge("horizon", "Newest commit that readers see", counts.horizon)?;
        self.gauge("durable", "Newest commit that is flushed", counts.durable)?;
        self.gauge("journal_bytes", "Journal bytes on disk", counts.journal_bytes)?;
        self.counter("journal_written_bytes", "Journal bytes written", counts.journal_written_bytes)?;
        self.counter("journal_flushes", "Journal flushes", counts.journal_flushes)?;
        self.counter("checkpoints", "Checkpoints written", counts.checkpoints)?;
        self.counter("checkpoint_bytes", "Bytes of checkpoints written", counts.checkpoint_bytes)?;
        self.gauge("entries", "Live entries", counts.entries)?;
        self.gauge("live_bytes", "Bytes of keys and values of live entries", counts.live_bytes)?;
        self.gauge("tombstones", "Deletions remembered", counts.tombstones)?;
        self.gauge("quarantine_files", "Files in the quarantine folder", counts.quarantined)?;
        self.gauge("certificate_expiry_seconds", "Seconds until the node's certificate ends", counts.certificate_expiry_s)
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let encoder = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        ConstCounter::new(value).encode(encoder)
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let encoder = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        ConstGauge::new(value).encode(encoder)
    }

    fn by_method(&mut self, name: &str, help: &str, values: ByMethod) -> fmt::Result {
        let samples = Method::ALL.into_iter().map(|method| (method.word(), values[method]));
        self.family(name, help, MetricType::Counter, "method", samples)
    }

    fn by_direction(&mut self, name: &str, help: &str, [sent, received]: [u64; 2]) -> fmt::Result {
        self.family(name, help, MetricType::Counter, "direction", [("sent", sent), ("received", received)])
    }

    fn family<'s>(
        &mut self,
        name: &str,
        help: &str,
        kind: MetricType,
        label: &'static str,
        samples: impl IntoIterator<Item = (&'s str, u64)>,
    ) -> fmt::Result {
        let mut encoder = self.0.encode_descriptor(name, help, None, kind)?;
        for (value, number) in samples {
            let labels = [(label, value)];
            let sample = encoder.encode_family(&labels)?;
            match kind {
                MetricType::Counter => ConstCounter::new(number).encode(sample)?,
                _ => ConstGauge::new(number).encode(sample)?,
            }
        }
        Ok(())
    }
}
