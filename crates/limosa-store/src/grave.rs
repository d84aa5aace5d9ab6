//! Frees what range deletes and replaced histories left behind, in small steps and outside every lock that a command takes.

use limosa_tree::Grave;

use crate::store::Store;

impl Store {
    /// Whether nodes that were cut out of the trees wait to be freed.
    pub fn has_graves(&self) -> bool {
        !self.inner.grave().is_empty()
    }

    /// Frees about `blocks` blocks of 64 entries that a range delete or an install took out; answers whether more is left. The caller's
    /// thread does the work; commands go on meanwhile.
    pub fn free_some(&self, blocks: usize) -> bool {
        let mut own: Grave = std::mem::take(&mut *self.inner.grave());
        own.free_some(blocks);
        let mut grave = self.inner.grave();
        grave.append(&mut own);
        !grave.is_empty()
    }
}
