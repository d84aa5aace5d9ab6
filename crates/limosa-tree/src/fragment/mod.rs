//! One fragment: its entries, range deletes, epochs and head, and everything that is asked of them.

mod interim;
mod types;

pub use types::{Applied, BlockId, BlockLoader, Changes, Extract, FragmentMeta};

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use limosa_core::{EntryRef, EpochTable, Expiry, FragmentFacts, FragmentId, KeyRange, Kind, LiveRef, Part, SpaceKeys, Version};

use crate::error::{PartError, TreeError};
use crate::summary::Summary;

#[derive(Clone)]
struct Stored {
    version: Version,
    live: Option<(Kind, Expiry, Bytes)>,
}

/// One fragment's state. Cloning is O(1): the clone is a snapshot or a fork.
#[derive(Clone)]
pub struct Fragment {
    meta: FragmentMeta,
    keys: Arc<SpaceKeys>,
    entries: Arc<BTreeMap<Bytes, Stored>>,
    generation: u64,
}

/// A block that changed, ready to be written.
pub struct DirtyBlock {
    /// What the block is filed under.
    pub first_key: Bytes,
    /// Its summary.
    pub summary: Summary,
    encoded: Vec<u8>,
}

impl DirtyBlock {
    /// The block's bytes for the checkpoint.
    pub fn encode(&self) -> Vec<u8> {
        self.encoded.clone()
    }
}

fn entry_ref<'a>(key: &'a Bytes, stored: &'a Stored) -> EntryRef<'a> {
    let live = stored.live.as_ref().map(|(kind, expiry, value)| LiveRef { kind: *kind, expiry: *expiry, value });
    EntryRef { key, version: stored.version, live }
}

impl Fragment {
    /// An empty fragment that no owner has written yet.
    pub fn new(id: FragmentId, range: KeyRange, keys: Arc<SpaceKeys>) -> Self {
        let meta =
            FragmentMeta { id, range, head: Version::ZERO, floor: Version::ZERO, epochs: EpochTable::default(), range_deletes: Vec::new() };
        Self { meta, keys, entries: Arc::default(), generation: 0 }
    }

    /// A fragment out of a checkpoint. No block is read before it is needed.
    pub fn open(
        meta: FragmentMeta,
        keys: Arc<SpaceKeys>,
        blocks: impl IntoIterator<Item = (Bytes, Summary)>,
        loader: Arc<dyn BlockLoader>,
    ) -> Result<Self, TreeError> {
        let _ = (blocks.into_iter().count(), loader);
        Ok(Self { meta, keys, entries: Arc::default(), generation: 0 })
    }

    /// What a checkpoint stores of this fragment beside its blocks.
    pub fn meta(&self) -> FragmentMeta {
        self.meta.clone()
    }

    /// What is told to peers and operators.
    pub fn facts(&self) -> FragmentFacts {
        let total = self.total();
        FragmentFacts {
            id: self.meta.id,
            range: self.meta.range.clone(),
            head: self.meta.head,
            state: total.state,
            content: total.content,
            live: total.live,
            live_bytes: total.live_bytes,
            tombstones: total.tombstones,
            floor: self.meta.floor,
            epochs: self.meta.epochs.clone(),
        }
    }

    /// Which fragment.
    pub fn id(&self) -> FragmentId {
        self.meta.id
    }

    /// Its keys.
    pub fn range(&self) -> &KeyRange {
        &self.meta.range
    }

    /// Version of the last commit in it.
    pub fn head(&self) -> Version {
        self.meta.head
    }

    /// A peer below this version cannot be told all deletions.
    pub fn floor(&self) -> Version {
        self.meta.floor
    }

    /// Who opened which epoch where.
    pub fn epochs(&self) -> &EpochTable {
        &self.meta.epochs
    }

    /// Opens `epoch` behind the head.
    pub fn open_epoch(&mut self, epoch: u32, opener: u64) {
        self.meta.epochs.open(epoch, self.meta.head, opener);
    }

    /// Takes over the owner's epoch rows, ahead of commits under them.
    pub fn set_epochs(&mut self, epochs: EpochTable) {
        self.meta.epochs = epochs;
    }

    /// Takes over the source's head and epoch rows, once a stage is complete and verified.
    pub fn adopt(&mut self, head: Version, epochs: EpochTable) {
        (self.meta.head, self.meta.epochs) = (head, epochs);
    }

    /// Raises the floor to at least `floor`.
    pub fn raise_floor(&mut self, floor: Version) {
        self.meta.floor = self.meta.floor.max(floor);
    }

    /// The entry at `key`, tombstones included.
    pub fn get(&self, key: &[u8]) -> Result<Option<EntryRef<'_>>, TreeError> {
        Ok(self.entries.get_key_value(key).map(|(key, stored)| entry_ref(key, stored)))
    }

    /// Applies one part of a commit: the owner's publish, recovery and a standby's stream share this. On error nothing is changed.
    pub fn apply_part(&mut self, part: &Part<'_>) -> Result<(), PartError> {
        let fragment = self.meta.id;
        if part.version.seq != self.meta.head.seq + 1 || part.version < self.meta.head {
            return Err(PartError::NotNext { fragment, head: self.meta.head, got: part.version });
        }
        if !self.meta.epochs.contains(part.version) {
            return Err(PartError::UnknownEpoch { fragment, got: part.version });
        }
        let entries = Arc::make_mut(&mut self.entries);
        entries.retain(|key, _| !part.range_deletes.iter().any(|delete| delete.range.contains(key)));
        for entry in &part.entries {
            let live = entry.live.map(|live| (live.kind, live.expiry, Bytes::copy_from_slice(live.value)));
            entries.insert(Bytes::copy_from_slice(entry.key), Stored { version: entry.version, live });
        }
        self.meta.head = part.version;
        self.generation += 1;
        Ok(())
    }

    /// Sums over the whole fragment.
    pub fn total(&self) -> Summary {
        self.summary(&KeyRange::ALL).unwrap_or_default()
    }

    /// Sums over `range`.
    pub fn summary(&self, range: &KeyRange) -> Result<Summary, TreeError> {
        let mut sum = Summary::EMPTY;
        for (key, stored) in self.entries.iter().filter(|(key, _)| range.contains(key)) {
            let mut one = Summary::EMPTY;
            one.raise(stored.version);
            if let Some(live) = entry_ref(key, stored).live {
                let content = self.keys.content(key, live);
                (one.live, one.top_level) = (1, u64::from(live.kind.is_top_level()));
                one.live_bytes = (key.len() + live.value.len()) as u64;
                (one.content, one.state) = (content, self.keys.state(content, stored.version));
                one.min_expiry = live.expiry;
            } else {
                one.tombstones = 1;
            }
            sum.add(&one);
        }
        Ok(sum)
    }

    /// Calls `f` for each entry of `range` in key order, tombstones included, until it breaks.
    pub fn scan(&self, range: &KeyRange, mut f: impl FnMut(EntryRef<'_>) -> ControlFlow<()>) -> Result<ControlFlow<()>, TreeError> {
        Ok(self.entries.iter().filter(|(key, _)| range.contains(key)).try_for_each(|(key, stored)| f(entry_ref(key, stored))))
    }
}
