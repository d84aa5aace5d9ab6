//! Where the trees' cold blocks come from: the state of the checkpoint that their summaries speak of.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use limosa_core::FragmentId;
use limosa_tree::{BlockLoader, LoadError, StoredBlock, Summary, TreeError};

use crate::checkpoint::{Checkpoint, CheckpointView, StoredBytes};
use crate::error::StoreError;
use crate::store::Counters;

/// Reads one state of the checkpoint. Published trees move on to the next state with each checkpoint; clones that were made before keep
/// theirs, and so find what they were made of. redb keeps the pages of a state while somebody holds it, hence [`Loader::current`].
pub(crate) struct Loader {
    checkpoint: Arc<Checkpoint>,
    view: Option<Arc<CheckpointView>>,
    counters: Arc<Counters>,
}

impl Loader {
    /// Blocks as of the checkpoint's last commit, also when further ones follow.
    pub(crate) fn of_last_commit(checkpoint: &Arc<Checkpoint>, counters: &Arc<Counters>) -> Result<Arc<dyn BlockLoader>, StoreError> {
        let view = Some(checkpoint.view()?);
        Ok(Arc::new(Self { checkpoint: checkpoint.clone(), view, counters: counters.clone() }))
    }

    /// Blocks as they are whenever one is asked for: for trees that are kept long and must not keep redb's pages. The tree tells when a
    /// block is not the one that its summary speaks of.
    pub(crate) fn current(checkpoint: &Arc<Checkpoint>, counters: &Arc<Counters>) -> Arc<dyn BlockLoader> {
        Arc::new(Self { checkpoint: checkpoint.clone(), view: None, counters: counters.clone() })
    }

    fn read(&self, fragment: FragmentId, first_key: &[u8]) -> Result<StoredBytes, StoreError> {
        match self.view.as_ref().map(|view| view.load_block(fragment, first_key)) {
            Some(Ok(block)) => Ok(block),
            Some(Err(error @ StoreError::CorruptBlock { .. })) => Err(error),
            // The file was opened again, after a full disk: the last commit is the only state that can be read.
            Some(Err(_)) | None => self.checkpoint.load_block(fragment, first_key),
        }
    }
}

impl BlockLoader for Loader {
    fn load(&self, fragment: FragmentId, first_key: &[u8]) -> Result<StoredBlock, LoadError> {
        self.counters.blocks_read.fetch_add(1, Ordering::Relaxed);
        let stored = self.read(fragment, first_key).map_err(|error| match error {
            StoreError::CorruptBlock { why, .. } => LoadError::Damaged { why },
            error => LoadError::Failed { why: error.to_string() },
        })?;
        let summary = Summary::from_bytes(&stored.summary).map_err(|error| LoadError::Damaged { why: error.to_string() })?;
        Ok(StoredBlock { summary, whole: stored.whole, patches: stored.patches })
    }

    fn damaged(&self, fragment: FragmentId, first_key: &[u8], error: &TreeError) {
        self.counters.damage.note(fragment, first_key, error);
    }
}
