//! What a transaction does about blocks that are not in memory: loads them under the lock, or notes them for another try.

use limosa_tree::Unloaded;

use crate::error::StoreError;

/// See the module.
pub(super) struct Cold<'c> {
    /// Load under the lock.
    pub(super) waits: bool,
    /// Noted.
    pub(super) blocks: &'c mut Vec<Unloaded>,
}

impl Cold<'_> {
    /// Notes `blocks`, which a call needed.
    pub(super) fn note(&mut self, blocks: impl IntoIterator<Item = Unloaded>) -> StoreError {
        self.blocks.extend(blocks);
        StoreError::Cold { count: self.blocks.len() }
    }
}
