//! The checkpoint: blocks, their summaries and named facts at one point of the journal, in one redb file.

use std::path::Path;
use std::sync::Arc;

use limosa_core::FragmentId;

use crate::disk::Disk;
use crate::error::StoreError;
use crate::journal::{Owner, Point};

/// What may be chosen about a checkpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CheckpointOptions {
    /// Most bytes of redb's page cache, read and write together. Default 16 MiB.
    pub cache_bytes: usize,
}

impl Default for CheckpointOptions {
    fn default() -> Self {
        Self { cache_bytes: 16 << 20 }
    }
}

/// The file. Shared by reference; readers and the one writer do not wait for each other.
#[derive(Debug)]
pub struct Checkpoint {}

/// One consistent state of the checkpoint, unmoved by later commits. While it lives, redb keeps the pages that it sees.
#[derive(Debug)]
pub struct CheckpointView {}

/// A checkpoint under way: streams into the file, seen by nobody before [`CheckpointWriter::commit`]; dropping it leaves no trace.
#[derive(Debug)]
pub struct CheckpointWriter<'a> {
    checkpoint: &'a Checkpoint,
}

fn not_built() -> StoreError {
    StoreError::Poisoned { why: "the checkpoint is being built".into() }
}

impl Checkpoint {
    /// Opens or creates the checkpoint file at `path` for `owner`.
    ///
    /// # Errors
    /// Another node's file, a newer format, damage, a failing disk.
    pub fn open(disk: Arc<dyn Disk>, path: &Path, owner: Owner, options: CheckpointOptions) -> Result<Self, StoreError> {
        let _ = (disk, path, owner, options);
        Err(not_built())
    }

    /// The point of the journal that the last commit holds; [`Point::genesis`] when there was none.
    pub fn point(&self) -> Point {
        Point::genesis(&Owner { cluster: [0; 16], incarnation: 0 })
    }

    /// The state of the last commit.
    ///
    /// # Errors
    /// The checkpoint is poisoned, or the disk fails.
    pub fn view(&self) -> Result<CheckpointView, StoreError> {
        Err(not_built())
    }

    /// Bytes of one block, from the last commit. As [`CheckpointView::load_block`].
    ///
    /// # Errors
    /// See there.
    pub fn load_block(&self, fragment: FragmentId, first_key: &[u8]) -> Result<Vec<u8>, StoreError> {
        self.view()?.load_block(fragment, first_key)
    }

    /// Starts a checkpoint. One at a time: waits for the one before.
    ///
    /// # Errors
    /// The checkpoint is poisoned, or the disk fails.
    pub fn begin(&self) -> Result<CheckpointWriter<'_>, StoreError> {
        Ok(CheckpointWriter { checkpoint: self })
    }
}

impl CheckpointView {
    /// The point of the journal that this state holds.
    ///
    /// # Errors
    /// Damage, a failing disk.
    pub fn point(&self) -> Result<Point, StoreError> {
        Err(not_built())
    }

    /// Bytes of one block that a summary names.
    ///
    /// # Errors
    /// [`StoreError::CorruptBlock`] when it is damaged or not there: a block that a summary names is never absent.
    pub fn load_block(&self, fragment: FragmentId, first_key: &[u8]) -> Result<Vec<u8>, StoreError> {
        let _ = (fragment, first_key);
        Err(not_built())
    }

    /// (first key, summary bytes) of a fragment's blocks in key order.
    ///
    /// # Errors
    /// A failing disk; each row can be damaged by itself.
    pub fn summaries(&self, fragment: FragmentId) -> Result<impl Iterator<Item = Result<(Vec<u8>, Vec<u8>), StoreError>>, StoreError> {
        let _ = fragment;
        Err::<std::iter::Empty<_>, _>(not_built())
    }

    /// A named fact; `None` when it was never put.
    ///
    /// # Errors
    /// Damage, a failing disk.
    pub fn meta(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let _ = key;
        Err(not_built())
    }
}

impl CheckpointWriter<'_> {
    /// Puts a block and its summary, in place of those with the same first key.
    ///
    /// # Errors
    /// A full disk (the checkpoint before stays), a failing disk, a panic in redb (poisons).
    pub fn put_block(&mut self, fragment: FragmentId, first_key: &[u8], summary: &[u8], block: &[u8]) -> Result<(), StoreError> {
        let _ = (fragment, first_key, summary, block, self.checkpoint);
        Err(not_built())
    }

    /// Removes a block and its summary; one that is not there is fine.
    ///
    /// # Errors
    /// As [`CheckpointWriter::put_block`].
    pub fn remove_block(&mut self, fragment: FragmentId, first_key: &[u8]) -> Result<(), StoreError> {
        let _ = (fragment, first_key);
        Err(not_built())
    }

    /// Removes every block of a fragment, before an installed stage is written in full.
    ///
    /// # Errors
    /// As [`CheckpointWriter::put_block`].
    pub fn clear_fragment(&mut self, fragment: FragmentId) -> Result<(), StoreError> {
        let _ = fragment;
        Err(not_built())
    }

    /// Puts a named fact. Keys that start with "limosa." are the checkpoint's own.
    ///
    /// # Errors
    /// As [`CheckpointWriter::put_block`].
    pub fn put_meta(&mut self, key: &str, value: &[u8]) -> Result<(), StoreError> {
        let _ = (key, value);
        Err(not_built())
    }

    /// Removes a named fact.
    ///
    /// # Errors
    /// As [`CheckpointWriter::put_block`].
    pub fn remove_meta(&mut self, key: &str) -> Result<(), StoreError> {
        let _ = key;
        Err(not_built())
    }

    /// Makes it the checkpoint, holding the journal up to `point`: on the disk, all of it, when this returns.
    ///
    /// # Errors
    /// As [`CheckpointWriter::put_block`].
    pub fn commit(self, point: Point) -> Result<(), StoreError> {
        let _ = point;
        Err(not_built())
    }
}
