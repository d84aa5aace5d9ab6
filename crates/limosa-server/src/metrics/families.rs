//! Turns counts into families of samples.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::counts::{ByMethod, ClientCounts, Counts, PeerLag};
use crate::http::api::Method;

/// One scrape.
#[derive(Debug)]
pub(super) struct Scrape {
    pub(super) counts: Counts,
    pub(super) ready: bool,
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut families = Families(encoder);
        families.gauge("ready", "1 when the node can do its work", u64::from(self.ready))?;
        families.clients(&self.counts.clients)?;
        families.transfers(&self.counts)?;
        families.peers(&self.counts)?;
        families.store(&self.counts)
    }
}

/// Writes families of samples.
struct Families<'a>(DescriptorEncoder<'a>);

impl Families<'_> {
    fn clients(&mut self, counts: &ClientCounts) -> fmt::Result {
        self.gauge("client_connections", "Client connections open now", counts.connections)?;
        self.counter("client_connections_accepted", "Client connections accepted", counts.accepted)?;
        self.counter("client_connections_rejected", "Client connections refused because there were too many", counts.rejected)?;
        self.counter("commands", "Commands answered", counts.commands)?;
        self.counter("command_errors", "Commands answered with an error", counts.errors)?;
        self.by_direction("client_bytes", "Bytes to and from clients", [counts.sent_bytes, counts.received_bytes])?;
        self.counter("key_hits", "Keys that reads found", counts.hits)?;
        self.counter("key_misses", "Keys that reads did not find", counts.misses)
    }

    fn transfers(&mut self, counts: &Counts) -> fmt::Result {
        self.by_method("transfers", "Transfers that ended with both ends agreeing", counts.transfers)?;
        self.by_method("transfer_bytes", "Bytes that those moved over the socket, both directions", counts.transfer_bytes)?;
        self.by_method("transfer_entries", "Entries that those moved, deletions included", counts.transfer_entries)?;
        self.counter("transfers_cut", "Transfers that were cut", counts.transfers_cut)?;
        self.by_direction("frames", "Frames of state", counts.frames)?;
        self.counter("sent_again_bytes", "Key and value bytes sent again (same key and version) after a cut", counts.sent_again_bytes)?;
        self.counter("refusals", "Frames, seals and commits that a target refused", counts.refusals)?;
        self.counter("stale_frames", "Frames that came for what the journal had already", counts.stale_frames)?;
        self.counter("drifts", "Times that the digest of a live stream did not match", counts.drifts)?;
        self.gauge("damaged_blocks", "Damaged blocks on disk that have not been fetched again yet", counts.damaged_blocks)?;
        self.counter("repaired_blocks", "Damaged blocks that were fetched again from a peer", counts.repaired_blocks)?;
        self.counter("repaired_bytes", "Key and value bytes of those", counts.repaired_bytes)
    }

    fn peers(&mut self, counts: &Counts) -> fmt::Result {
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

    fn store(&mut self, counts: &Counts) -> fmt::Result {
        self.counter("commits", "Commits, replicated ones included", counts.commits)?;
        self.gauge("horizon", "Newest commit that readers see", counts.horizon)?;
        self.gauge("durable", "Newest commit that is flushed", counts.durable)?;
        self.gauge("journal_bytes", "Journal bytes on disk", counts.journal_bytes)?;
        self.counter("journal_written_bytes", "Journal bytes written", counts.journal_written_bytes)?;
        self.counter("journal_flushes", "Journal flushes", counts.journal_flushes)?;
        self.counter("checkpoints", "Checkpoints written", counts.checkpoints)?;
        self.gauge("checkpoint_bytes", "Size of the checkpoint on disk", counts.checkpoint_bytes)?;
        self.gauge("entries", "Live entries", counts.entries)?;
        self.gauge("live_bytes", "Bytes of keys and values of live entries", counts.live_bytes)?;
        self.gauge("tombstones", "Deletions remembered", counts.tombstones)?;
        self.gauge("leases", "Standbys for which deletions are remembered", counts.leases)?;
        self.counter("splits", "Fragments parted, here or after an owner", counts.reframes[0])?;
        self.counter("merges", "Fragments put together, here or after an owner", counts.reframes[1])?;
        self.gauge(
            "last_reframe_timestamp_seconds",
            "When the newest split or merge happened; 0: none since the start",
            counts.reframed_s,
        )?;
        self.memory(counts)?;
        self.gauge("quarantine_files", "Files in the quarantine folder", counts.quarantined)?;
        self.gauge("certificate_expiry_seconds", "Seconds until the node's certificate ends", counts.certificate_expiry_s)
    }

    fn memory(&mut self, counts: &Counts) -> fmt::Result {
        self.gauge("memory_max_bytes", "Most memory for state and caches", counts.memory_max)?;
        let samples = ["blocks", "places", "pending", "ring", "cache"].into_iter().zip(counts.memory);
        self.family("memory_bytes", "Memory by what it is for, as the store counts it", MetricType::Gauge, "of", samples)?;
        self.gauge("memory_dirty_bytes", "Memory of blocks that no checkpoint has", counts.memory_dirty)?;
        self.gauge("blocks_resident", "Blocks in memory", counts.blocks_resident)?;
        self.counter("blocks_dropped", "Blocks dropped from memory", counts.blocks_dropped)?;
        self.counter("blocks_read", "Blocks read into memory", counts.blocks_read)?;
        self.counter("spilled_bytes", "Bytes of blocks written beside the checkpoint for want of memory", counts.spilled_bytes)
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
