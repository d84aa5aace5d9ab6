//! What a node and its client door counted since the node started.

use std::ops::{Index, IndexMut};

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

/// What the client door counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ClientCounts {
    /// Connections open now.
    pub connections: u64,
    /// Connections accepted.
    pub accepted: u64,
    /// Connections refused because there were too many.
    pub rejected: u64,
    /// Commands answered.
    pub commands: u64,
    /// Of those, answered with an error.
    pub errors: u64,
    /// Bytes received.
    pub received_bytes: u64,
    /// Bytes sent.
    pub sent_bytes: u64,
    /// Keys that reads found.
    pub hits: u64,
    /// Keys that reads did not find.
    pub misses: u64,
}

/// Everything that `/metrics` shows: sums since the start, and what holds now where a field says so.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// The client door's.
    pub clients: ClientCounts,
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
    /// Frames, seals and commits that a target refused: this node, or a standby of it.
    pub refusals: u64,
    /// Frames that came for what the journal had already.
    pub stale_frames: u64,
    /// Times that a live stream's digest did not match.
    pub drifts: u64,
    /// Damaged blocks that have not been fetched again yet.
    pub damaged_blocks: u64,
    /// Damaged blocks that were fetched again.
    pub repaired_blocks: u64,
    /// Key and value bytes of those.
    pub repaired_bytes: u64,
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
    /// Size of the checkpoint's file now.
    pub checkpoint_bytes: u64,
    /// Live entries.
    pub entries: u64,
    /// Bytes of their keys and values.
    pub live_bytes: u64,
    /// Deletions remembered.
    pub tombstones: u64,
    /// Standbys for which deletions are remembered.
    pub leases: u64,
    /// Most memory for state and caches, bytes.
    pub memory_max: u64,
    /// Memory by what it is for: blocks, places of blocks, pending, ring, cache; bytes.
    pub memory: [u64; 5],
    /// Bytes of blocks that no checkpoint has.
    pub memory_dirty: u64,
    /// Blocks in memory.
    pub blocks_resident: u64,
    /// Blocks dropped from memory.
    pub blocks_dropped: u64,
    /// Blocks read into memory.
    pub blocks_read: u64,
    /// Bytes of blocks spilled beside the checkpoint.
    pub spilled_bytes: u64,
    /// Fragments parted and put together, here or after an owner.
    pub reframes: [u64; 2],
    /// When the newest of those happened, seconds since the Unix epoch; 0: none since the start.
    pub reframed_s: u64,
    /// Files in the quarantine folder.
    pub quarantined: u64,
    /// Seconds until the node's certificate ends; 0 when it has ended.
    pub certificate_expiry_s: u64,
}
