//! What a node's sessions did since it started: sums that only grow, kept apart from the list of the last transfers.

use limosa_wire::Method;

/// Transfers of one method.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MethodTotals {
    /// Transfers that ended with both ends agreeing.
    pub transfers: u64,
    /// Socket bytes of those, both directions, handshakes apart.
    pub bytes: u64,
    /// Entries of those, deletions included.
    pub entries: u64,
}

/// Sums over all sessions.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Totals {
    methods: [MethodTotals; METHODS],
    /// Transfers that ended before both ends agreed.
    pub transfers_cut: u64,
    /// Frames sent.
    pub frames_sent: u64,
    /// Frames received.
    pub frames_received: u64,
    /// Key and value bytes sent again (same key and version) that were on their way when a session or an offer ended.
    pub sent_again_bytes: u64,
    /// Frames, seals and commits that a target refused: this node, or a standby of it.
    pub refusals: u64,
    /// Frames that came for what the journal had already.
    pub stale_frames: u64,
    /// Damaged blocks of this node that were fetched again.
    pub repaired_blocks: u64,
    /// Key and value bytes of those.
    pub repaired_bytes: u64,
    /// Times that the digest of a live stream did not match.
    pub drifts: u64,
}

/// The last method's place, and one more.
const METHODS: usize = Method::Copy as usize + 1;

impl Totals {
    /// The sums of one method.
    pub fn of(&self, method: Method) -> MethodTotals {
        self.methods[method as usize]
    }

    pub(super) fn of_mut(&mut self, method: Method) -> &mut MethodTotals {
        &mut self.methods[method as usize]
    }
}
