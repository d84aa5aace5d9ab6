//! The values that go into and come out of a fragment.

use bytes::Bytes;
use limosa_core::{FragmentId, History, KeyRange, RangeDelete, Version};

use crate::error::{LoadError, TreeError};
use crate::summary::Summary;
use crate::tree::Shelves;

/// A block as a checkpoint has it: the whole block at some time, and what changed in it since.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredBlock {
    /// The summary beside which it is stored, of the block with all patches.
    pub summary: Summary,
    /// What [`DirtyBlock::whole`](crate::DirtyBlock::whole) gave.
    pub whole: Vec<u8>,
    /// What [`DirtyBlock::patch`](crate::DirtyBlock::patch) gave since then, oldest first.
    pub patches: Vec<Vec<u8>>,
}

/// Reads blocks of one checkpoint, and goes on reading that state when later checkpoints replace it (redb: one read transaction).
/// [`Fragment::set_loader`](crate::Fragment::set_loader) moves a fragment on to the next checkpoint; snapshots keep theirs.
pub trait BlockLoader: Send + Sync {
    /// The block on `shelf` ([`Fragment::shelf`](crate::Fragment::shelf)) whose summary is filed under `first_key`.
    fn load(&self, shelf: FragmentId, first_key: &[u8]) -> Result<StoredBlock, LoadError>;

    /// Told of each block that was not what its summary says, or not there: for whoever has it fetched again.
    fn damaged(&self, _fragment: FragmentId, _first_key: &[u8], _error: &TreeError) {}
}

/// What is known of a fragment beside its blocks: what a checkpoint stores of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FragmentMeta {
    /// Which fragment.
    pub id: FragmentId,
    /// Its keys.
    pub range: KeyRange,
    /// Version of the last commit in it.
    pub head: Version,
    /// A peer below this version cannot be told all deletions.
    pub floor: Version,
    /// Who opened which epoch where.
    pub epochs: History,
    /// Range deletes still held; disjoint, in key order.
    pub range_deletes: Vec<RangeDelete>,
    /// From which key on blocks are filed under which name; ascending, from the first key. Empty: all under `id`.
    pub shelves: Vec<(Bytes, FragmentId)>,
}

impl FragmentMeta {
    /// Every shelf that the fragment's blocks lie on, each with its part of the range, in key order.
    pub fn shelved(&self) -> Vec<(FragmentId, KeyRange)> {
        Shelves::from_rows(&self.shelves, self.id).map_or_else(Vec::new, |shelves| shelves.within(&self.range))
    }
}

/// What a delta is to contain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Extract<'a> {
    /// Everything newer than `since`: a frame in mode *advance*.
    Changes,
    /// Everything newer than `since`, and these keys whatever their version ("absent" included): a frame in mode *replace keys*.
    ReplaceKeys(&'a [Bytes]),
    /// Every entry of the range: a frame in mode *replace range*.
    WholeRange,
}

/// How much of a range changed since a version. Exact where blocks are in memory, an upper bound where they are cold.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Changes {
    /// Blocks that may hold changes.
    pub blocks: u64,
    /// Changed entries, tombstones included.
    pub entries: u64,
    /// Their key and value bytes.
    pub bytes: u64,
    /// Range deletes.
    pub range_deletes: u64,
}

/// One comparison block: the live entries from a live key that starts a block (or the range's start) up to the next such key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BlockId {
    /// Keyed hash of where the block starts, its live count and its state digest; equal on both ends iff they hold the same entries there.
    pub id: u64,
    /// Its keys, for [`Fragment::entry_ids`](crate::Fragment::entry_ids).
    pub range: KeyRange,
}

/// What applying a frame did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Applied {
    /// Entries written, tombstones included.
    pub written: u64,
    /// Entries that the frame carried and that changed nothing here: older than ours, equal, or below a range delete.
    pub ignored: u64,
    /// Entries taken away: dropped, absent at the source, range-deleted.
    pub removed: u64,
    /// Key and value bytes written.
    pub bytes: u64,
}
