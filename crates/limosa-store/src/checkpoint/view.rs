//! One state of the checkpoint, read.

use std::fmt;

use limosa_core::{FragmentId, KeyRange};
use redb::{Database, ReadOnlyTable, ReadableDatabase, ReadableTable, TableError};

use super::choice::ExtentFacts;
use super::extent::ReadFault;
use super::files::{FileSet, Files};
use super::guard::Guard;
use super::place::{Place, Row, Shape};
use super::value::{self, BLOCKS, Bytes, EXTENTS, META, SUMMARIES};
use crate::error::StoreError;
use crate::journal::{Point, Position};

type Table = ReadOnlyTable<Bytes, Bytes>;

/// The format since which blocks lie in extent files.
const FORMAT_WITH_EXTENTS: u32 = 2;

/// One consistent state of the checkpoint, unmoved by later commits. While it lives, the extent files that it names stay, and redb keeps the
/// pages that it sees, so the folder grows with every commit: hold it for as long as a transfer needs it.
pub struct CheckpointView {
    guard: Guard,
    point: Point,
    /// Of the file, as its last commit left it.
    format: u32,
    extents: Vec<ExtentFacts>,
    files: FileSet,
    tables: Option<Tables>,
}

/// A block as a row of the checkpoint names it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BlockRow {
    /// What the block is filed under.
    pub first_key: Vec<u8>,
    /// Its summary's bytes.
    pub summary: Vec<u8>,
    /// Where it lies: the whole block, then its patches. Empty for a block of format 1, which lies in redb.
    pub places: Vec<Place>,
}

/// A block's bytes, and the summary beside which they lie.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredBytes {
    /// The summary's bytes.
    pub summary: Vec<u8>,
    /// The whole block.
    pub whole: Vec<u8>,
    /// Its patches, oldest first.
    pub patches: Vec<Vec<u8>>,
}

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
    pub(super) fn new(guard: Guard, db: &Database, files: &Files) -> Result<Self, StoreError> {
        let (tables, extents) = guard.call("read", || {
            let txn = db.begin_read()?;
            let tables = Tables { blocks: txn.open_table(BLOCKS)?, summaries: txn.open_table(SUMMARIES)?, meta: txn.open_table(META)? };
            let extents = match txn.open_table(EXTENTS) {
                Ok(table) => read_extents(&table)?,
                Err(TableError::TableDoesNotExist(_)) => Some(Vec::new()), // a checkpoint of format 1
                Err(error) => return Err(error.into()),
            };
            Ok((tables, extents))
        })?;
        let point = match read(&guard, &tables.meta, value::POINT_KEY.as_bytes())? {
            Read::Value(bytes) => value::read_point(&bytes),
            Read::Absent | Read::Damaged => None,
        };
        let point = point.ok_or_else(|| guard.damaged("its point of the journal is missing or damaged"))?;
        let extents = extents.ok_or_else(|| guard.damaged("what it says of an extent file is damaged"))?;
        let mut view = Self { guard, point, format: 0, extents, files: FileSet::default(), tables: Some(tables) };
        view.format = view.meta(value::FORMAT_KEY)?.and_then(|bytes| value::read_format(&bytes).ok()).map_or(0, |(version, _)| version);
        if view.format >= FORMAT_WITH_EXTENTS && view.point.position > Position::ZERO {
            let named = view.meta(value::EXTENTS_KEY)?;
            if named.as_deref() != Some(&value::extents_check(&view.extents)[..]) {
                return Err(view.guard.damaged("what it says of its extent files is not what was written"));
            }
        }
        view.files = files.set_of(&view.extents);
        Ok(view)
    }

    /// Whether the state comes with totals of its summaries.
    pub fn has_totals(&self) -> bool {
        self.format >= FORMAT_WITH_EXTENTS
    }

    /// The point of the journal that this state holds.
    pub fn point(&self) -> Point {
        self.point
    }

    /// The extent files of this state, by number.
    pub fn extents(&self) -> &[ExtentFacts] {
        &self.extents
    }

    /// One block that a summary names. Its bytes are not judged but for their seal being the one that the summary's row names.
    ///
    /// # Errors
    /// [`StoreError::CorruptBlock`] when it is damaged or not there: a block that a summary names is never absent.
    pub fn load_block(&self, fragment: FragmentId, first_key: &[u8]) -> Result<StoredBytes, StoreError> {
        let row = self.row(fragment, first_key)?;
        let row = row.ok_or_else(|| corrupt(fragment, first_key, "no summary names it"))?;
        self.read_row(fragment, &BlockRow { first_key: first_key.to_vec(), summary: row.summary, places: row.places })
    }

    /// The bytes of a block of [`CheckpointView::blocks`].
    ///
    /// # Errors
    /// As [`CheckpointView::load_block`].
    pub fn read_row(&self, fragment: FragmentId, row: &BlockRow) -> Result<StoredBytes, StoreError> {
        let summary = row.summary.clone();
        let Some((whole, patches)) = row.places.split_first() else {
            return Ok(StoredBytes { summary, whole: self.block_in_redb(fragment, &row.first_key)?, patches: Vec::new() });
        };
        let whole = self.body(fragment, &row.first_key, whole)?;
        let patches = patches.iter().map(|place| self.body(fragment, &row.first_key, place)).collect::<Result<_, _>>()?;
        Ok(StoredBytes { summary, whole, patches })
    }

    /// Reads the record at a place of a block and judges it by the checksum before it: for a look at bytes that memory makes nobody read.
    ///
    /// # Errors
    /// As [`CheckpointView::load_block`].
    pub fn check_place(&self, fragment: FragmentId, first_key: &[u8], place: &Place) -> Result<(), StoreError> {
        self.record(fragment, first_key, place).map(drop)
    }

    /// What lies on the disk of one block; `None` when it is not there, or lies in redb.
    pub(super) fn shape(&self, fragment: FragmentId, first_key: &[u8]) -> Result<Option<Shape>, StoreError> {
        Ok(self.row(fragment, first_key)?.and_then(|row| row.shape()))
    }

    /// The body of a record, judged by the checksum before it.
    pub(super) fn record(&self, fragment: FragmentId, first_key: &[u8], place: &Place) -> Result<Vec<u8>, StoreError> {
        self.guard.check()?;
        let file = self.files.get(&place.file).ok_or_else(|| corrupt(fragment, first_key, "no commit names its file"))?;
        let body = file.checked(place.offset, place.bytes).map_err(|fault| read_failed(fragment, first_key, fault))?;
        if place.is_sealed_by(&body) { Ok(body) } else { Err(corrupt(fragment, first_key, "its place holds another block")) }
    }

    /// The index of an extent file.
    pub(super) fn index(&self, facts: &ExtentFacts) -> Result<Vec<u8>, ReadFault> {
        let file = self.files.get(&facts.number).ok_or_else(|| ReadFault::Damaged("no commit names the file".into()))?;
        file.index(facts.index_offset, facts.index_bytes)
    }

    /// A fragment's blocks in key order.
    ///
    /// # Errors
    /// A failing disk; each row can be damaged by itself.
    pub fn blocks(&self, fragment: FragmentId) -> Result<impl Iterator<Item = Result<BlockRow, StoreError>> + use<'_>, StoreError> {
        self.blocks_in(fragment, &KeyRange::ALL)
    }

    /// [`CheckpointView::blocks`] that are filed under a key of `range`.
    ///
    /// # Errors
    /// As there.
    pub fn blocks_in(
        &self,
        fragment: FragmentId,
        range: &KeyRange,
    ) -> Result<impl Iterator<Item = Result<BlockRow, StoreError>> + use<'_>, StoreError> {
        let (prefix, behind) = value::fragment_bounds(fragment);
        let low = [&prefix[..], &range.start].concat();
        let high = range.end.as_ref().map(|end| [&prefix[..], end].concat()).or(behind.map(Vec::from));
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
                Ok(row.map(|(key, stored)| {
                    let row = value::open(key.value(), stored.value()).and_then(Row::decode);
                    row.map(|row| BlockRow { first_key: key.value()[prefix.len()..].to_vec(), summary: row.summary, places: row.places })
                }))
            });
            is_done = !matches!(&row, Ok(Some(_))); // behind an error redb's iterator promises nothing
            let damaged = || self.guard.damaged(format!("a summary of {fragment} is damaged"));
            Some(row.transpose()?.and_then(|row| row.ok_or_else(damaged)))
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

    fn row(&self, fragment: FragmentId, first_key: &[u8]) -> Result<Option<Row>, StoreError> {
        let key = value::block_key(fragment, first_key)?;
        match read(&self.guard, &self.tables().summaries, &key)? {
            Read::Value(bytes) => Row::decode(&bytes).map(Some).ok_or_else(|| corrupt(fragment, first_key, "its row makes no sense")),
            Read::Absent => Ok(None),
            Read::Damaged => Err(corrupt(fragment, first_key, "the checksum of its row does not match")),
        }
    }

    fn body(&self, fragment: FragmentId, first_key: &[u8], place: &Place) -> Result<Vec<u8>, StoreError> {
        self.guard.check()?;
        let file = self.files.get(&place.file).ok_or_else(|| corrupt(fragment, first_key, "no commit names its file"))?;
        let body = file.body(place.offset, place.bytes).map_err(|fault| read_failed(fragment, first_key, fault))?;
        if place.is_sealed_by(&body) { Ok(body) } else { Err(corrupt(fragment, first_key, "its place holds other bytes")) }
    }

    fn block_in_redb(&self, fragment: FragmentId, first_key: &[u8]) -> Result<Vec<u8>, StoreError> {
        let key = value::block_key(fragment, first_key)?;
        match read(&self.guard, &self.tables().blocks, &key)? {
            Read::Value(bytes) => Ok(bytes),
            Read::Absent => Err(corrupt(fragment, first_key, "a summary names it, and it is not in the checkpoint")),
            Read::Damaged => Err(corrupt(fragment, first_key, "its checksum does not match")),
        }
    }

    fn tables(&self) -> &Tables {
        self.tables.as_ref().expect("taken only when the view goes")
    }
}

fn corrupt(fragment: FragmentId, first_key: &[u8], why: &str) -> StoreError {
    StoreError::CorruptBlock { fragment, first_key: first_key.to_vec(), why: why.to_owned() }
}

fn read_failed(fragment: FragmentId, first_key: &[u8], fault: ReadFault) -> StoreError {
    match fault {
        ReadFault::Damaged(why) => corrupt(fragment, first_key, &why),
        ReadFault::Store(error) => error,
    }
}

/// `None` when a row is damaged.
pub(super) fn read_extents(table: &impl ReadableTable<Bytes, Bytes>) -> Result<Option<Vec<ExtentFacts>>, redb::Error> {
    let mut out = Vec::new();
    for row in table.iter()? {
        let (key, stored) = row?;
        let Some(facts) = value::open(key.value(), stored.value()).and_then(|bytes| value::read_extent(key.value(), bytes)) else {
            return Ok(None);
        };
        out.push(facts);
    }
    Ok(Some(out))
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
