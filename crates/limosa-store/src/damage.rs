//! Blocks on the disk that are not what was written: noted wherever one is met, listed until another node's copy has taken its place.
//!
//! Whoever needs a cold block (a read, a delta, a transfer, a scrub, the publishing of a commit) finds the damage and gets
//! `store.corrupt_block`; everything else goes on. The driver asks for the list and fetches each block from a peer.
//!
//! # Crash arguments
//! A mended block holds the live entries that its summary speaks of, so nothing that the journal or the checkpoint says has changed, and
//! no record is written. It is in memory and dirty: the next checkpoint writes it, with the fragment's floor, in the transaction of all that
//! changed. A crash before that finds the damaged block again, and it is mended again.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use limosa_core::{Digest, EntryRef, FragmentId, KeyRange, Version};
use limosa_tree::{MendError, Mended, TreeError};

use crate::error::StoreError;
use crate::store::Store;

/// Most damaged blocks that are listed: with more of them the disk is no place for state.
pub const DAMAGED_MAX: usize = 4096;

/// A block that another node must send again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DamagedBlock {
    /// Which fragment.
    pub fragment: FragmentId,
    /// All keys that can lie in it; it is filed under the first.
    pub range: KeyRange,
    /// State digest of its live entries.
    pub state: Digest,
    /// How many live entries it has.
    pub live: u64,
    /// Bytes of their keys and values.
    pub live_bytes: u64,
    /// What is wrong with it.
    pub why: String,
}

/// What was found, by fragment and first key.
#[derive(Debug, Default)]
pub(crate) struct Damage {
    found: Mutex<BTreeMap<(FragmentId, Vec<u8>), String>>,
    count: AtomicUsize,
    mended: AtomicU64,
}

impl Damage {
    pub(crate) fn note(&self, fragment: FragmentId, first_key: &[u8], error: &TreeError) {
        let mut found = self.lock();
        let key = (fragment, first_key.to_vec());
        if found.len() < DAMAGED_MAX && !found.contains_key(&key) {
            tracing::error!(code = "store.corrupt_block", %error, "a block on the disk is damaged");
            found.insert(key, error.to_string());
        }
        self.count.store(found.len(), Ordering::Relaxed);
    }

    fn retain(&self, keep: impl FnMut(&(FragmentId, Vec<u8>), &mut String) -> bool) {
        let mut found = self.lock();
        found.retain(keep);
        self.count.store(found.len(), Ordering::Relaxed);
    }

    /// Whether an error is of a block that is listed: it passes when the block is mended.
    pub(crate) fn explains(&self, error: &StoreError) -> bool {
        let StoreError::CorruptBlock { fragment, first_key, .. } = error else { return false };
        self.lock().contains_key(&(*fragment, first_key.clone()))
    }

    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed) as u64
    }

    pub(crate) fn mended(&self) -> u64 {
        self.mended.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(FragmentId, Vec<u8>), String>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner) // a list: whole after every statement
    }
}

impl Store {
    /// Damaged blocks of the published state that nobody has mended, in the order of fragments and keys. Costs nothing while there are none.
    pub fn damage(&self) -> Vec<DamagedBlock> {
        let damage = &self.inner.counters.damage;
        if damage.count() == 0 {
            return Vec::new();
        }
        let state = self.inner.state();
        let mut out = Vec::new();
        damage.retain(|(fragment, first_key), why| {
            // Loaded after all, replaced or deleted meanwhile: no damage that anybody can meet.
            let cold = state.routes.of_id(*fragment).and_then(|index| state.fragments[index].cold_block(first_key));
            out.extend(cold.as_ref().map(|cold| DamagedBlock {
                fragment: *fragment,
                range: cold.range.clone(),
                state: cold.summary.state,
                live: cold.summary.live,
                live_bytes: cold.summary.live_bytes,
                why: why.clone(),
            }));
            cold.is_some()
        });
        out
    }

    /// Puts what another node has in a damaged block's range, tombstones included and in key order, in the block's place. `floor` is the
    /// other node's floor of the fragment. The next checkpoint writes the block.
    ///
    /// # Errors
    /// The live entries are not those that the block had: nothing was changed. Or the store is poisoned.
    pub fn mend<'a>(
        &self,
        fragment: FragmentId,
        first_key: &[u8],
        entries: impl IntoIterator<Item = EntryRef<'a>>,
        floor: Version,
    ) -> Result<Mended, StoreError> {
        let mut state = self.inner.state();
        state.check_poisoned()?;
        let index = state.index_of(fragment)?;
        let mended = state.fragments[index].mend(first_key, entries, floor).map_err(refused)?;
        drop(state);
        let damage = &self.inner.counters.damage;
        damage.retain(|(id, key), _| *id != fragment || key[..] != *first_key);
        if mended == Mended::Yes {
            damage.mended.fetch_add(1, Ordering::Relaxed);
        }
        Ok(mended)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "handed to map_err")]
fn refused(error: MendError) -> StoreError {
    StoreError::Invalid { what: "a block from another node", why: error.to_string() }
}
