//! What lies in a data folder that no node uses: figures, and the entries themselves as JSON Lines.

use std::io;
use std::ops::ControlFlow;
use std::path::Path;

use limosa_core::{EntryRef, FragmentId, key};
use limosa_store::{FragmentView, put_line};
use serde::Serialize;

use super::error::ServerError;
use super::offline::Offline;

/// Live bytes of a block below which it counts into each class; the last class has no end.
pub const BLOCK_BYTES: [u64; 6] = [1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20];

/// Figures of a folder.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct FolderStats {
    /// Commits that it holds.
    pub position: u64,
    /// The newest epoch of any fragment.
    pub epoch: u32,
    /// Fragments.
    pub fragments: u64,
    /// Epoch rows of all fragments.
    pub epoch_rows: u64,
    /// Live entries, elements and parts of large values included.
    pub entries: u64,
    /// Keys that users see.
    pub keys: u64,
    /// Bytes of live keys and values.
    pub live_bytes: u64,
    /// Deletions of single keys that are remembered.
    pub tombstones: u64,
    /// Deletions of ranges that are remembered.
    pub range_deletes: u64,
    /// Standbys for which deletions are kept.
    pub leases: u64,
    /// Blocks.
    pub blocks: u64,
    /// Blocks by live bytes: below each of [`BLOCK_BYTES`], and the rest.
    pub blocks_by_size: [u64; BLOCK_BYTES.len() + 1],
    /// Bytes of the checkpoint's files.
    pub checkpoint_bytes: u64,
    /// Bytes of the journal's files.
    pub journal_bytes: u64,
    /// Bytes of the checkpoint for each live byte; none while nothing is live.
    pub space_amplification: Option<f64>,
}

/// Which entries are wanted.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Filter {
    /// Only of this fragment.
    pub fragment: Option<FragmentId>,
    /// Only user keys from this one on.
    pub from_key: Option<Vec<u8>>,
    /// Only user keys below this one.
    pub to_key: Option<Vec<u8>>,
    /// At most so many.
    pub limit: Option<u64>,
    /// Deletions too.
    pub tombstones: bool,
}

impl Filter {
    fn takes(&self, entry: &EntryRef<'_>) -> bool {
        let parsed = key::parse(entry.key);
        let user = parsed.as_ref().map_or(entry.key, |(user, _)| user);
        (self.tombstones || entry.live.is_some())
            && self.from_key.as_ref().is_none_or(|from| user >= &from[..])
            && self.to_key.as_ref().is_none_or(|to| user < &to[..])
    }
}

impl Offline {
    /// Figures of the folder `data`, which this value holds. No block is read.
    ///
    /// # Errors
    /// The folder can't be listed.
    pub fn stats(&self, data: &Path) -> Result<FolderStats, ServerError> {
        let (store, cut) = (self.store(), self.store().cut());
        let sums = store.stats();
        let mut stats = FolderStats {
            position: sums.horizon.0,
            entries: sums.live,
            keys: sums.top_level,
            live_bytes: sums.live_bytes,
            tombstones: sums.tombstones,
            leases: store.leases().len() as u64,
            ..FolderStats::default()
        };
        for view in cut.fragments() {
            count_fragment(view, &mut stats);
        }
        let failed = |source| ServerError::Resources { source };
        stats.journal_bytes = bytes_below(&data.join("journal")).map_err(failed)?;
        stats.checkpoint_bytes = checkpoint_bytes(data).map_err(failed)?;
        stats.space_amplification = (stats.live_bytes > 0).then(|| stats.checkpoint_bytes as f64 / stats.live_bytes as f64);
        Ok(stats)
    }

    /// Calls `line` with each entry that `filter` takes, as one line of JSON, in the order of fragments and stored keys, until it breaks.
    /// Answers how many there were.
    ///
    /// # Errors
    /// A block can't be read or is damaged.
    pub fn dump(&self, filter: &Filter, mut line: impl FnMut(&str) -> ControlFlow<()>) -> Result<u64, ServerError> {
        let (mut count, mut text) = (0, String::new());
        for view in self.store().cut().fragments() {
            if filter.fragment.is_some_and(|id| id != view.id()) {
                continue;
            }
            let flow = view.scan(&view.facts().range, |entry| {
                if filter.limit.is_some_and(|limit| count >= limit) {
                    return ControlFlow::Break(());
                }
                if !filter.takes(&entry) {
                    return ControlFlow::Continue(());
                }
                count += 1;
                text.clear();
                put_line(&mut text, &entry, None, None);
                line(&text)
            })?;
            if flow.is_break() {
                break;
            }
        }
        Ok(count)
    }
}

fn count_fragment(view: &FragmentView, stats: &mut FolderStats) {
    let facts = view.facts();
    stats.fragments += 1;
    stats.epoch = stats.epoch.max(facts.epochs.epoch());
    stats.epoch_rows += facts.epochs.rows().len() as u64;
    stats.range_deletes += view.tree().meta().range_deletes.len() as u64;
    view.each_block(|block| {
        stats.blocks += 1;
        stats.blocks_by_size[BLOCK_BYTES.partition_point(|bound| *bound <= block.live_bytes)] += 1;
    });
}

/// Everything whose name begins with the checkpoint's, and the folder of its extent files.
fn checkpoint_bytes(data: &Path) -> io::Result<u64> {
    let mut sum = 0;
    for entry in std::fs::read_dir(data)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == "extents" || name.to_string_lossy().starts_with("checkpoint") {
            sum += bytes_below(&entry.path())?;
        }
    }
    Ok(sum)
}

fn bytes_below(path: &Path) -> io::Result<u64> {
    let facts = std::fs::metadata(path)?;
    if !facts.is_dir() {
        return Ok(facts.len());
    }
    std::fs::read_dir(path)?.map(|entry| bytes_below(&entry?.path())).sum()
}
