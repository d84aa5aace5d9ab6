//! A checkpoint under way.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use limosa_core::{FragmentId, KeyRange};
use redb::{Database, ReadableTable, Table, WriteTransaction};

use super::choice::Writing;
use super::extent::{ExtentWriter, Finished};
use super::file::Checkpoint;
use super::place::{Place, Row};
use super::value::{self, BLOCKS, Bytes, CHECK_BYTES, EXTENTS, META, SUMMARIES};
use super::view::{CheckpointView, read_extents};
use crate::error::StoreError;
use crate::journal::Point;

/// Bytes held back before redb gets them: enough that opening its tables costs nothing beside the work, and little beside its cache.
const BATCH_BYTES: usize = 1 << 20;

/// What a checkpoint wrote.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Written {
    /// Bytes of whole blocks.
    pub whole_bytes: u64,
    /// Bytes of patches.
    pub patch_bytes: u64,
    /// Bytes of records that were moved out of files which are mostly not needed any more.
    pub moved_bytes: u64,
}

/// The next checkpoint, streamed into new extent files and redb: seen by nobody before [`CheckpointWriter::commit`]; dropping it leaves no
/// trace.
///
/// Memory: what redb's cache may hold and two batches, however much is written. redb spills pages of the open transaction.
pub struct CheckpointWriter<'a> {
    pub(super) checkpoint: &'a Checkpoint,
    /// The commit before.
    pub(super) view: Arc<CheckpointView>,
    /// `None` after commit or failure.
    txn: Option<WriteTransaction>,
    pub(super) extents: ExtentWriter,
    batch: Vec<Change>,
    batch_bytes: usize,
    freed: Freed,
    pub(super) written: Written,
    is_thrifty: bool,
}

/// Bytes of records in each file that are not needed any more.
type Freed = BTreeMap<u64, u64>;

/// One change, in the order in which it was asked for.
enum Change {
    Put { key: Vec<u8>, summary: Vec<u8>, place: Place, writing: Writing },
    Remove { key: Vec<u8> },
    RemoveRange { low: Vec<u8>, high: Option<Vec<u8>> },
    PutMeta { key: String, value: Vec<u8> },
    RemoveMeta { key: String },
}

impl fmt::Debug for CheckpointWriter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckpointWriter").field("written", &self.written).finish_non_exhaustive()
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
    pub(super) fn new(checkpoint: &'a Checkpoint, view: Arc<CheckpointView>, txn: WriteTransaction, extents: ExtentWriter) -> Self {
        let (batch, freed, written) = (Vec::new(), Freed::new(), Written::default());
        Self { checkpoint, view, txn: Some(txn), extents, batch, batch_bytes: 0, freed, written, is_thrifty: false }
    }

    /// Whether to do with as little room as can be: blocks are not folded, files not cleared.
    pub fn set_thrifty(&mut self, is_thrifty: bool) {
        self.is_thrifty = is_thrifty;
    }

    /// How a block is written of which `changed_bytes` changed since the commit before.
    ///
    /// # Errors
    /// The row of the block can't be read.
    pub fn choose(&self, fragment: FragmentId, first_key: &[u8], changed_bytes: u64) -> Result<Writing, StoreError> {
        match self.view.shape(fragment, first_key) {
            Ok(Some(_)) if self.is_thrifty => Ok(Writing::Patch),
            Ok(shape) => Ok(Writing::choose(shape, changed_bytes)),
            Err(StoreError::CorruptBlock { .. }) => Ok(Writing::Whole), // what is in memory mends it
            Err(error) => Err(error),
        }
    }

    /// Puts a whole block and its summary, in place of what was filed under the same first key.
    ///
    /// # Errors
    /// A full disk (the checkpoint before stays), a failing disk or a panic in redb (both poison). The writer is of no use afterwards.
    pub fn put_block(&mut self, fragment: FragmentId, first_key: &[u8], summary: &[u8], block: &[u8]) -> Result<(), StoreError> {
        self.written.whole_bytes += block.len() as u64;
        self.put(fragment, first_key, summary, block, Writing::Whole)
    }

    /// Puts what changed of a block that the commit before has, and the summary of the outcome. Once for a block, and not for one that was
    /// removed or put since.
    ///
    /// # Errors
    /// As [`CheckpointWriter::put_block`].
    pub fn put_patch(&mut self, fragment: FragmentId, first_key: &[u8], summary: &[u8], patch: &[u8]) -> Result<(), StoreError> {
        self.written.patch_bytes += patch.len() as u64;
        self.put(fragment, first_key, summary, patch, Writing::Patch)
    }

    fn put(&mut self, fragment: FragmentId, first_key: &[u8], summary: &[u8], body: &[u8], writing: Writing) -> Result<(), StoreError> {
        let key = value::block_key(fragment, first_key)?;
        let place = self.append(fragment, first_key, body)?;
        self.add(summary.len() + key.len(), Change::Put { key, summary: summary.to_vec(), place, writing })
    }

    pub(super) fn append(&mut self, fragment: FragmentId, first_key: &[u8], body: &[u8]) -> Result<Place, StoreError> {
        self.checkpoint.guard().check()?;
        self.extents.append(fragment, first_key, body).map_err(|failure| self.checkpoint.guard().failed(failure))
    }

    /// Removes a block and its summary; one that is not there is fine.
    ///
    /// # Errors
    /// As [`CheckpointWriter::put_block`].
    pub fn remove_block(&mut self, fragment: FragmentId, first_key: &[u8]) -> Result<(), StoreError> {
        let key = value::block_key(fragment, first_key)?;
        self.add(key.len(), Change::Remove { key })
    }

    /// Removes every block and summary that is filed under a key of `range`.
    ///
    /// # Errors
    /// As [`CheckpointWriter::put_block`].
    pub fn remove_range(&mut self, fragment: FragmentId, range: &KeyRange) -> Result<(), StoreError> {
        let low = value::block_key(fragment, &range.start)?;
        let high = range.end.as_ref().map(|end| value::block_key(fragment, end)).transpose()?;
        let high = high.or(value::fragment_bounds(fragment).1.map(|bound| bound.to_vec()));
        self.add(0, Change::RemoveRange { low, high })
    }

    /// Removes every block and summary of a fragment: before an installed stage is written in full.
    ///
    /// # Errors
    /// As [`CheckpointWriter::put_block`].
    pub fn clear_fragment(&mut self, fragment: FragmentId) -> Result<(), StoreError> {
        let (low, high) = value::fragment_bounds(fragment);
        self.add(0, Change::RemoveRange { low: low.to_vec(), high: high.map(|high| high.to_vec()) })
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
    pub fn commit(mut self, point: Point) -> Result<Written, StoreError> {
        self.spill()?;
        if !self.is_thrifty {
            self.clear_out()?;
        }
        let finished = self.extents.finish().map(<[_]>::to_vec);
        let finished = finished.map_err(|failure| self.checkpoint.guard().failed(failure))?;
        let txn = self.take_txn()?;
        let (freed, owner) = (std::mem::take(&mut self.freed), self.checkpoint.owner());
        let outcome = self.checkpoint.guard().call("commit", || {
            let named = settle_extents(&mut txn.open_table(EXTENTS)?, freed, &finished)?;
            let mut meta = txn.open_table(META)?;
            insert(&mut meta, value::EXTENTS_KEY.as_bytes(), &value::extents_check(&named))?;
            insert(&mut meta, value::FORMAT_KEY.as_bytes(), &value::format_value(owner))?;
            insert(&mut meta, value::POINT_KEY.as_bytes(), &value::point_value(point))?;
            drop(meta);
            txn.commit()?;
            Ok(())
        });
        // From here on redb may name the files, whatever it answered.
        self.checkpoint.files().adopt(self.extents.keep());
        self.after(outcome)?;
        self.checkpoint.turn_to_last_commit()?;
        Ok(self.written)
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
        let mut freed = std::mem::take(&mut self.freed);
        self.with_txn("write", |txn| apply(txn, batch, &mut freed))?;
        self.freed = freed;
        Ok(())
    }

    /// Runs `f` on the open transaction, which is lost when that fails.
    pub(super) fn with_txn<T>(
        &mut self,
        op: &'static str,
        f: impl FnOnce(&WriteTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        let txn = self.take_txn()?;
        let outcome = self.checkpoint.guard().call(op, || {
            let value = f(&txn)?;
            Ok((txn, value))
        });
        let (txn, value) = self.after(outcome)?;
        self.txn = Some(txn);
        Ok(value)
    }

    /// The extent files' facts as they would be after a commit now, the new ones aside.
    pub(super) fn extents_left(&self) -> Vec<super::ExtentFacts> {
        let freed = |number| self.freed.get(&number).copied().unwrap_or(0);
        let left = |facts: &super::ExtentFacts| super::ExtentFacts { live_bytes: facts.live_bytes - freed(facts.number), ..*facts };
        self.view.extents().iter().map(left).collect()
    }

    /// Takes note that a record was moved away.
    pub(super) fn free(&mut self, place: &Place) {
        *self.freed.entry(place.file).or_default() += place.record_bytes();
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

fn apply(txn: &WriteTransaction, batch: Vec<Change>, freed: &mut Freed) -> Result<(), redb::Error> {
    let mut blocks = txn.open_table(BLOCKS)?;
    let mut summaries = txn.open_table(SUMMARIES)?;
    let mut meta = txn.open_table(META)?;
    for change in batch {
        match change {
            Change::Put { key, summary, place, writing } => {
                let row = row_with(take_row(&mut summaries, &mut blocks, &key)?, summary, place, writing, freed);
                insert(&mut summaries, &key, &row.encode())?;
            }
            Change::Remove { key } => {
                let row = take_row(&mut summaries, &mut blocks, &key)?;
                free(&row.map(|row| row.places).unwrap_or_default(), freed);
                summaries.remove(&key[..])?;
            }
            Change::RemoveRange { low, high } => {
                let bounds = (&low[..], high.as_deref());
                clear(&mut blocks, bounds, |_, _| {})?;
                clear(&mut summaries, bounds, |key, stored| {
                    let row = value::open(key, stored).and_then(Row::decode);
                    free(&row.map(|row| row.places).unwrap_or_default(), freed);
                })?;
            }
            Change::PutMeta { key, value } => insert(&mut meta, key.as_bytes(), &value)?,
            Change::RemoveMeta { key } => _ = meta.remove(key.as_bytes())?,
        }
    }
    Ok(())
}

/// The row under `key`, whose block of format 1 goes. A damaged one is as good as none: what it named stays until its file goes.
fn take_row(summaries: &mut Table<'_, Bytes, Bytes>, blocks: &mut Table<'_, Bytes, Bytes>, key: &[u8]) -> Result<Option<Row>, redb::Error> {
    let row = row_at(summaries, key)?;
    if row.as_ref().is_some_and(|row| row.places.is_empty()) {
        blocks.remove(key)?;
    }
    Ok(row)
}

/// The row under `key`, if there is one and it is sound.
pub(super) fn row_at(summaries: &Table<'_, Bytes, Bytes>, key: &[u8]) -> Result<Option<Row>, redb::Error> {
    let stored = summaries.get(key)?;
    Ok(stored.and_then(|stored| value::open(key, stored.value()).and_then(Row::decode)))
}

fn row_with(old: Option<Row>, summary: Vec<u8>, place: Place, writing: Writing, freed: &mut Freed) -> Row {
    let mut places = old.map(|row| row.places).unwrap_or_default();
    match writing {
        Writing::Whole => {
            free(&places, freed);
            places.clear();
        }
        Writing::Patch => assert!(!places.is_empty(), "a patch is put on a block that the commit before has in an extent file"),
    }
    places.push(place);
    Row { summary, places }
}

fn free(places: &[Place], freed: &mut Freed) {
    for place in places {
        *freed.entry(place.file).or_default() += place.record_bytes();
    }
}

/// Brings the rows of the files up to date; the row of a file that nothing of is needed any more goes.
/// Answers the files that are named from now on.
fn settle_extents(
    table: &mut Table<'_, Bytes, Bytes>,
    mut freed: Freed,
    finished: &[Finished],
) -> Result<Vec<super::ExtentFacts>, redb::Error> {
    let mut named = Vec::new();
    let held = read_extents(table)?.unwrap_or_default();
    let new = finished.iter().map(|file| super::ExtentFacts {
        number: file.number,
        bytes: file.bytes,
        live_bytes: file.record_bytes,
        index_offset: file.index_offset,
        index_bytes: file.index_bytes,
    });
    for mut facts in held.into_iter().chain(new) {
        let is_new = finished.iter().any(|file| file.number == facts.number);
        let gone = freed.remove(&facts.number).unwrap_or(0);
        assert!(gone <= facts.live_bytes, "no more is freed of a file than was put into it");
        facts.live_bytes -= gone;
        if facts.live_bytes == 0 {
            table.remove(&value::extent_key(facts.number)[..])?;
            continue;
        }
        if is_new || gone > 0 {
            insert(table, &value::extent_key(facts.number), &value::extent_value(&facts))?;
        }
        named.push(facts);
    }
    Ok(named)
}

fn clear(
    table: &mut Table<'_, Bytes, Bytes>,
    (low, high): (&[u8], Option<&[u8]>),
    mut gone: impl FnMut(&[u8], &[u8]),
) -> Result<(), redb::Error> {
    let mut drop_all = |key: &[u8], stored: &[u8]| {
        gone(key, stored);
        false
    };
    match high {
        Some(high) => table.retain_in::<&[u8], _>(low..high, &mut drop_all)?,
        None => table.retain_in::<&[u8], _>(low.., &mut drop_all)?,
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
