//! How many members it takes: to acknowledge, to fence, and to lend a lease.
//!
//! Every two of these sets share a member, however they are chosen among the same n: what was acknowledged is found by whoever fenced
//! enough members, and whoever fenced enough has outlived every lease.

use super::FragmentCell;

impl FragmentCell {
    /// Members that must have flushed a write before it is acknowledged at level `standby`. More than there are: writes wait.
    pub fn flushes_needed(&self) -> usize {
        let needed = usize::from(self.flushed_min);
        if self.marks.shrunk { needed.min(self.sync_set.len()) } else { needed }
    }

    /// Members that must have made a fence durable before anybody is promoted (n − w + 1): among them is one that has each
    /// acknowledged write. Never more than there are: where nothing waits for a flush (w = 0), all of them.
    ///
    /// 0 only for an empty sync set: then nobody but the one that served holds what was acknowledged.
    pub fn fence_quorum(&self) -> usize {
        let members = self.sync_set.len();
        (members + 1).saturating_sub(self.flushes_needed()).clamp(members.min(1), members)
    }

    /// Members whose answer lends the owner a read lease: they and any [`FragmentCell::fence_quorum`] share one. 0: nobody can fence
    /// the owner, and it needs none.
    pub fn lease_quorum(&self) -> usize {
        let members = self.sync_set.len();
        if members == 0 { 0 } else { members - self.fence_quorum() + 1 }
    }
}
