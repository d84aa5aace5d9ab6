//! A checkpoint under way.

use std::fmt;

use limosa_core::FragmentId;
use redb::{Database, Table, WriteTransaction};

use super::file::Checkpoint;
use super::value::{self, BLOCKS, Bytes, CHECK_BYTES, META, SUMMARIES};
use crate::error::StoreError;
use crate::journal::Point;

/// Bytes held back before redb gets them: enough that opening its tables costs nothing beside the work, and little beside its cache.
const BATCH_BYTES: usize = 1 << 20;

/// The next checkpoint, streamed into the file: seen by nobody before [`CheckpointWriter::commit`]; dropping it leaves no trace.
///
/// Memory: what redb's cache may hold and one batch, however much is written. redb spills pages of the open transaction.
pub struct CheckpointWriter<'a> {
    checkpoint: &'a Checkpoint,
    /// `None` after commit or failure.
    txn: Option<WriteTransaction>,
    batch: Vec<Change>,
    batch_bytes: usize,
}

/// One change, in the order in which it was asked for.
enum Change {
    Put { key: Vec<u8>, summary: Vec<u8>, block: Vec<u8> },
    Remove { key: Vec<u8> },
    Clear(FragmentId),
    PutMeta { key: String, value: Vec<u8> },
    RemoveMeta { key: String },
}

impl fmt::Debug for CheckpointWriter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckpointWriter").field("batch_bytes", &self.batch_bytes).finish_non_exhaustive()
    }
}

/// A transaction as every checkpoint uses it.
pub(super) fn begin(db: &Database) -> Result<WriteTransaction, redb::Error> {
    let mut txn = db.begin_write()?;
    // The allocator's state goes with each commit, and the commit in two phases: after a crash nothing of the file has to be walked.
    txn.set_quick_repair(true);
    Ok(txn)
}

/// Puts `value` behind its checksum.
pub(super) fn insert(table: &mut Table<'_, Bytes, Bytes>, key: &[u8], value: &[u8]) -> Result<(), redb::Error> {
    let mut slot = table.insert_reserve(key, value.len() + CHECK_BYTES)?;
    value::fill(slot.as_mut(), key, value);
    Ok(())
}

impl<'a> CheckpointWriter<'a> {
    pub(super) fn new(checkpoint: &'a Checkpoint, txn: WriteTransaction) -> Self {
        Self { checkpoint, txn: Some(txn), batch: Vec::new(), batch_bytes: 0 }
    }

    /// Puts a block and its summary, in place of those with the same first key.
    ///
    /// # Errors
    /// A full disk (the checkpoint before stays), a failing disk or a panic in redb (both poison). The writer is of no use afterwards.
    pub fn put_block(&mut self, fragment: FragmentId, first_key: &[u8], summary: &[u8], block: &[u8]) -> Result<(), StoreError> {
        let key = value::block_key(fragment, first_key)?;
        self.add(summary.len() + block.len(), Change::Put { key, summary: summary.to_vec(), block: block.to_vec() })
    }

    /// Removes a block and its summary; one that is not there is fine.
    ///
    /// # Errors
    /// As [`CheckpointWriter::put_block`].
    pub fn remove_block(&mut self, fragment: FragmentId, first_key: &[u8]) -> Result<(), StoreError> {
        let key = value::block_key(fragment, first_key)?;
        self.add(0, Change::Remove { key })
    }

    /// Removes every block and summary of a fragment: before an installed stage is written in full.
    ///
    /// # Errors
    /// As [`CheckpointWriter::put_block`].
    pub fn clear_fragment(&mut self, fragment: FragmentId) -> Result<(), StoreError> {
        self.add(0, Change::Clear(fragment))
    }

    /// Puts a named fact. Names that start with "limosa." are the checkpoint's own.
    ///
    /// # Errors
    /// As [`CheckpointWriter::put_block`]; a name of the checkpoint's own.
    pub fn put_meta(&mut self, key: &str, value: &[u8]) -> Result<(), StoreError> {
        not_own(key)?;
        self.add(value.len(), Change::PutMeta { key: key.to_owned(), value: value.to_vec() })
    }

    /// Removes a named fact.
    ///
    /// # Errors
    /// As [`CheckpointWriter::put_meta`].
    pub fn remove_meta(&mut self, key: &str) -> Result<(), StoreError> {
        not_own(key)?;
        self.add(0, Change::RemoveMeta { key: key.to_owned() })
    }

    /// Makes it the checkpoint, holding the journal up to `point`: all of it on the disk when this returns, and shown by
    /// [`Checkpoint::view`].
    ///
    /// # Errors
    /// As [`CheckpointWriter::put_block`].
    pub fn commit(mut self, point: Point) -> Result<(), StoreError> {
        self.spill()?;
        let txn = self.take_txn()?;
        let outcome = self.checkpoint.guard().call("commit", || {
            insert(&mut txn.open_table(META)?, value::POINT_KEY.as_bytes(), &value::point_value(point))?;
            txn.commit()?;
            Ok(())
        });
        self.after(outcome)?;
        self.checkpoint.turn_to_last_commit()
    }

    fn add(&mut self, bytes: usize, change: Change) -> Result<(), StoreError> {
        self.batch.push(change);
        self.batch_bytes += bytes + size_of::<Change>();
        if self.batch_bytes < BATCH_BYTES { Ok(()) } else { self.spill() }
    }

    /// Hands the batch to redb.
    fn spill(&mut self) -> Result<(), StoreError> {
        let batch = std::mem::take(&mut self.batch);
        self.batch_bytes = 0;
        let txn = self.take_txn()?;
        let outcome = self.checkpoint.guard().call("write", || {
            apply(&txn, batch)?;
            Ok(txn)
        });
        self.txn = Some(self.after(outcome)?);
        Ok(())
    }

    fn take_txn(&mut self) -> Result<WriteTransaction, StoreError> {
        self.txn.take().ok_or_else(|| StoreError::Invalid { what: "checkpoint", why: "it failed before".into() })
    }

    /// After a full disk the file has to be opened again; the failed transaction is gone by now.
    fn after<T>(&self, outcome: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(StoreError::DiskFull { .. }) = &outcome {
            self.checkpoint.reopen()?;
        }
        outcome
    }
}

fn apply(txn: &WriteTransaction, batch: Vec<Change>) -> Result<(), redb::Error> {
    let mut blocks = txn.open_table(BLOCKS)?;
    let mut summaries = txn.open_table(SUMMARIES)?;
    let mut meta = txn.open_table(META)?;
    for change in batch {
        match change {
            Change::Put { key, summary, block } => {
                insert(&mut blocks, &key, &block)?;
                insert(&mut summaries, &key, &summary)?;
            }
            Change::Remove { key } => {
                blocks.remove(&key[..])?;
                summaries.remove(&key[..])?;
            }
            Change::Clear(fragment) => {
                clear(&mut blocks, fragment)?;
                clear(&mut summaries, fragment)?;
            }
            Change::PutMeta { key, value } => insert(&mut meta, key.as_bytes(), &value)?,
            Change::RemoveMeta { key } => _ = meta.remove(key.as_bytes())?,
        }
    }
    Ok(())
}

fn clear(table: &mut Table<'_, Bytes, Bytes>, fragment: FragmentId) -> Result<(), redb::Error> {
    let (low, high) = value::fragment_bounds(fragment);
    match high {
        Some(high) => table.retain_in::<&[u8], _>(&low[..]..&high[..], |_, _| false)?,
        None => table.retain_in::<&[u8], _>(&low[..].., |_, _| false)?,
    }
    Ok(())
}

fn not_own(key: &str) -> Result<(), StoreError> {
    if key.starts_with(value::OWN_PREFIX) {
        return Err(StoreError::Invalid { what: "name of a fact", why: format!("{key:?} is the checkpoint's own") });
    }
    Ok(())
}

impl Drop for CheckpointWriter<'_> {
    fn drop(&mut self) {
        let txn = self.txn.take();
        self.checkpoint.guard().give_back(|| drop(txn));
    }
}
