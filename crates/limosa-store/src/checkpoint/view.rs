//! One state of the checkpoint, read.

use std::fmt;

use limosa_core::FragmentId;
use redb::{Database, ReadOnlyTable, ReadableDatabase};

use super::guard::Guard;
use super::value::{self, BLOCKS, Bytes, META, SUMMARIES};
use crate::error::StoreError;
use crate::journal::Point;

type Table = ReadOnlyTable<Bytes, Bytes>;

/// One consistent state of the checkpoint, unmoved by later commits. While it lives, redb keeps the pages that it sees, so the file
/// grows with every commit: hold it for as long as a transfer needs it.
pub struct CheckpointView {
    guard: Guard,
    point: Point,
    tables: Option<Tables>,
}

/// First key of a block, and its summary's bytes.
pub type SummaryRow = (Vec<u8>, Vec<u8>);

struct Tables {
    blocks: Table,
    summaries: Table,
    meta: Table,
}

impl fmt::Debug for CheckpointView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckpointView").field("point", &self.point).finish_non_exhaustive()
    }
}

impl CheckpointView {
    /// The state of the last commit of `db`, which has its tables.
    pub(super) fn new(guard: Guard, db: &Database) -> Result<Self, StoreError> {
        let tables = guard.call("read", || {
            let txn = db.begin_read()?;
            Ok(Tables { blocks: txn.open_table(BLOCKS)?, summaries: txn.open_table(SUMMARIES)?, meta: txn.open_table(META)? })
        })?;
        let point = match read(&guard, &tables.meta, value::POINT_KEY.as_bytes())? {
            Read::Value(bytes) => value::read_point(&bytes),
            Read::Absent | Read::Damaged => None,
        };
        let point = point.ok_or_else(|| guard.damaged("its point of the journal is missing or damaged"))?;
        Ok(Self { guard, point, tables: Some(tables) })
    }

    /// The point of the journal that this state holds.
    pub fn point(&self) -> Point {
        self.point
    }

    /// Bytes of one block that a summary names.
    ///
    /// # Errors
    /// [`StoreError::CorruptBlock`] when it is damaged or not there: a block that a summary names is never absent.
    pub fn load_block(&self, fragment: FragmentId, first_key: &[u8]) -> Result<Vec<u8>, StoreError> {
        let key = value::block_key(fragment, first_key)?;
        let corrupt = |why: &str| StoreError::CorruptBlock { fragment, first_key: first_key.to_vec(), why: why.to_owned() };
        match read(&self.guard, &self.tables().blocks, &key)? {
            Read::Value(bytes) => Ok(bytes),
            Read::Absent => Err(corrupt("a summary names it, and it is not in the checkpoint")),
            Read::Damaged => Err(corrupt("its checksum does not match")),
        }
    }

    /// (first key, summary bytes) of a fragment's blocks in key order.
    ///
    /// # Errors
    /// A failing disk; each row can be damaged by itself.
    pub fn summaries(&self, fragment: FragmentId) -> Result<impl Iterator<Item = Result<SummaryRow, StoreError>> + use<'_>, StoreError> {
        let (low, high) = value::fragment_bounds(fragment);
        let table = &self.tables().summaries;
        let mut rows = self.guard.call("read", || match &high {
            Some(high) => Ok(table.range::<&[u8]>(&low[..]..&high[..])?),
            None => Ok(table.range::<&[u8]>(&low[..]..)?),
        })?;
        let mut is_done = false;
        let next = move || {
            if is_done {
                return None;
            }
            let row = self.guard.call("read", || {
                let row = rows.next().transpose()?;
                Ok(row.map(|(key, stored)| (key.value().to_vec(), value::open(key.value(), stored.value()).map(<[u8]>::to_vec))))
            });
            is_done = !matches!(&row, Ok(Some(_))); // behind an error redb's iterator promises nothing
            Some(row.transpose()?.and_then(|(key, summary)| {
                let summary =
                    summary.ok_or_else(|| self.guard.damaged(format!("the checksum of a summary of {fragment} does not match")))?;
                Ok((key[low.len()..].to_vec(), summary))
            }))
        };
        Ok(std::iter::from_fn(next))
    }

    /// A named fact; `None` when it was never put.
    ///
    /// # Errors
    /// Damage, a failing disk.
    pub fn meta(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        match read(&self.guard, &self.tables().meta, key.as_bytes())? {
            Read::Value(bytes) => Ok(Some(bytes)),
            Read::Absent => Ok(None),
            Read::Damaged => Err(self.guard.damaged(format!("the checksum of {key:?} does not match"))),
        }
    }

    fn tables(&self) -> &Tables {
        self.tables.as_ref().expect("taken only when the view goes")
    }
}

enum Read {
    Value(Vec<u8>),
    Absent,
    Damaged,
}

fn read(guard: &Guard, table: &Table, key: &[u8]) -> Result<Read, StoreError> {
    guard.call("read", || {
        let stored = table.get(key)?;
        Ok(stored
            .map_or(Read::Absent, |stored| value::open(key, stored.value()).map_or(Read::Damaged, |value| Read::Value(value.to_vec()))))
    })
}

impl Drop for CheckpointView {
    fn drop(&mut self) {
        let tables = self.tables.take();
        self.guard.give_back(|| drop(tables));
    }
}
