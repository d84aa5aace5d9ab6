//! What a block knows of its entries beside their bytes, column by column in one piece of memory.
//!
//! ```text
//! narrow  tags (1 each) | offsets (2) | seqs above the base (4) | content digests (16) | epochs (4, only where they differ)
//! wide    tags (1 each) | offsets (4) | seqs (8)                | content digests (16) | epochs (4, only where they differ)
//! ```
//! Wide is what a block needs that has more than 64 KiB, or seqs further apart than about 2^31: rare, and six bytes an entry.
//! A look-up reads tags and one offset, which lie side by side; what changed since a version is found in the seqs alone; digests are
//! touched by changes only. One allocation instead of five saves memory, and misses of the processor's address cache.
//!
//! # Invariants
//! - Each column has room for as many rows as the piece holds at the current width; rows are at the front of each column.

use std::ops::Range;

use limosa_core::{Digest, Version};

use crate::memory::allocated;

/// What the columns are made of.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Shape {
    is_wide: bool,
    /// Rows have epochs of their own.
    is_mixed: bool,
}

/// Where the second column starts, in bytes a row of capacity, as all below.
const OFFSETS: usize = 1;

impl Shape {
    const fn seqs(self) -> usize {
        if self.is_wide { OFFSETS + 4 } else { OFFSETS + 2 }
    }
    const fn contents(self) -> usize {
        if self.is_wide { self.seqs() + 8 } else { self.seqs() + 4 }
    }
    const fn epochs(self) -> usize {
        self.contents() + 16
    }
    /// Bytes of a row.
    const fn width(self) -> usize {
        if self.is_mixed { self.epochs() + 4 } else { self.epochs() }
    }
}

/// One entry's row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Row {
    pub(super) tag: u8,
    pub(super) offset: u32,
    pub(super) version: Version,
    pub(super) content: Digest,
}

/// The rows of one block.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    cells: Vec<u8>,
    len: u32,
    /// Rows that each column has room for.
    capacity: u32,
    /// Of all rows, where they do not have epochs of their own.
    epoch: u32,
    /// What narrow seqs lie above.
    base: u64,
    shape: Shape,
}

impl Table {
    pub(super) fn with_room(rows: usize) -> Self {
        Self::default().resized(rows, Shape::default())
    }

    pub(super) fn len(&self) -> usize {
        self.len as usize
    }

    /// Bytes that the table takes, beside itself.
    pub(super) fn bytes_held(&self) -> usize {
        self.cells.capacity()
    }

    pub(super) fn offset(&self, i: usize) -> usize {
        if self.shape.is_wide {
            u32::from_le_bytes(self.cell(OFFSETS, i)) as usize
        } else {
            u16::from_le_bytes(self.cell(OFFSETS, i)).into()
        }
    }

    /// The last offset at or below `until`; 0 where there is none.
    pub(super) fn offset_until(&self, until: usize) -> usize {
        let (mut from, mut to) = (0, self.len());
        while from < to {
            let middle = from.midpoint(to);
            if self.offset(middle) <= until { from = middle + 1 } else { to = middle }
        }
        if from == 0 { 0 } else { self.offset(from - 1) }
    }

    pub(super) fn version(&self, i: usize) -> Version {
        let epoch = if self.shape.is_mixed { u32::from_le_bytes(self.cell(self.shape.epochs(), i)) } else { self.epoch };
        Version::new(epoch, self.seq(i))
    }

    pub(super) fn content(&self, i: usize) -> Digest {
        Digest::from_bytes(self.cell(self.shape.contents(), i))
    }

    /// The rows of `range` that are newer than `since`.
    pub(super) fn newer(&self, range: Range<usize>, since: Version) -> impl Iterator<Item = usize> {
        // where all epochs are one, it says of most blocks that the seqs alone decide
        let by_seq = !self.shape.is_mixed && self.epoch == since.epoch;
        range.filter(move |&i| if by_seq { self.seq(i) > since.seq } else { self.version(i) > since })
    }

    /// The rows tagged `tag`.
    pub(super) fn tagged(&self, tag: u8) -> impl Iterator<Item = usize> {
        let (words, rest) = self.cells[..self.len()].as_chunks::<8>();
        let mut last = [!tag; 8];
        last[..rest.len()].copy_from_slice(rest);
        let words = words.iter().copied().chain(std::iter::once(last)).map(u64::from_le_bytes);
        words.enumerate().flat_map(move |(at, word)| Equal(equal_bytes(word, tag)).map(move |byte| 8 * at + byte))
    }

    pub(super) fn push(&mut self, row: Row) {
        self.make_room(1, self.capacity() + 4); // a scratch table: doubled, and never kept
        self.insert(self.len(), row);
    }

    /// Puts `row` in front of row `i`.
    pub(super) fn insert(&mut self, i: usize, row: Row) {
        self.make_room(1, 1);
        self.admit(row.offset, row.version);
        let shape = self.shape;
        self.open_gap::<1>(0, i);
        if shape.is_wide {
            self.open_gap::<4>(OFFSETS, i);
            self.open_gap::<8>(shape.seqs(), i);
        } else {
            self.open_gap::<2>(OFFSETS, i);
            self.open_gap::<4>(shape.seqs(), i);
        }
        self.open_gap::<16>(shape.contents(), i);
        if shape.is_mixed {
            self.open_gap::<4>(shape.epochs(), i);
        }
        self.len += 1;
        self.put_row(i, row);
    }

    /// Puts `row` in the place of row `i`.
    pub(super) fn set(&mut self, i: usize, row: Row) {
        self.admit(row.offset, row.version);
        self.put_row(i, row);
    }

    /// Moves the offsets of rows `from..` by `new - old`.
    pub(super) fn shift_offsets(&mut self, from: usize, old: usize, new: usize) {
        if from < self.len() {
            self.admit_offset(to_u32(self.offset(self.len() - 1) + new - old));
        }
        for i in from..self.len() {
            self.put_offset(i, to_u32(self.offset(i) + new - old));
        }
    }

    /// Appends rows `range` of `other`, whose entries' bytes went from `start` there to `to` here.
    pub(super) fn push_run(&mut self, other: &Self, range: Range<usize>, start: usize, to: usize) {
        let count = range.len();
        self.make_room(count, self.capacity() + count);
        for there in range {
            let offset = to_u32(other.offset(there) - start + to);
            let row = Row { tag: other.cells[there], offset, version: other.version(there), content: other.content(there) };
            self.admit(offset, row.version);
            self.len += 1;
            self.put_row(self.len() - 1, row);
        }
    }

    /// A copy of exactly the size that the rows need, narrow where they are that near to each other.
    pub(super) fn exact(&self) -> Self {
        let is_mixed = self.shape.is_mixed;
        if self.shape.is_wide && self.len > 0 {
            let rows = 0..self.len();
            let (low, high) = rows.clone().fold((u64::MAX, 0), |(low, high), i| (low.min(self.seq(i)), high.max(self.seq(i))));
            if high - low < u64::from(u32::MAX) / 2 && rows.clone().all(|i| u16::try_from(self.offset(i)).is_ok()) {
                let base = base_for(low);
                let mut out = Self { base, epoch: self.epoch, ..Self::default() }.resized(self.len(), Shape { is_wide: false, is_mixed });
                out.len = self.len;
                rows.for_each(|i| out.put_row(i, self.row(i)));
                return out;
            }
        }
        self.resized(self.len(), self.shape)
    }

    /// Forgets the rows and keeps room for as many. Not for more, where they were wide: a scratch table would grow with every block.
    pub(super) fn clear(&mut self) {
        self.cells.truncate(self.capacity() * Shape::default().width());
        (self.len, self.shape) = (0, Shape::default());
    }

    fn seq(&self, i: usize) -> u64 {
        let column = self.shape.seqs();
        if self.shape.is_wide {
            u64::from_le_bytes(self.cell(column, i))
        } else {
            self.base + u64::from(u32::from_le_bytes(self.cell(column, i)))
        }
    }

    fn row(&self, i: usize) -> Row {
        Row { tag: self.cells[i], offset: to_u32(self.offset(i)), version: self.version(i), content: self.content(i) }
    }

    fn capacity(&self) -> usize {
        self.capacity as usize
    }

    fn make_room(&mut self, count: usize, grow: usize) {
        if self.len() + count > self.capacity() {
            let width = self.shape.width();
            let rows = allocated((self.len() + grow.max(count)) * width) / width; // as many as the allocator gives anyway
            *self = self.resized(rows, self.shape);
        }
    }

    /// Sees to it that a row with this offset and version fits: makes offsets and seqs wide, or gives rows epochs of their own.
    fn admit(&mut self, offset: u32, version: Version) {
        if self.len == 0 && self.shape == Shape::default() {
            (self.epoch, self.base) = (version.epoch, base_for(version.seq));
        }
        self.admit_offset(offset);
        let fits = self.shape.is_wide || version.seq.checked_sub(self.base).is_some_and(|above| u32::try_from(above).is_ok());
        let is_mixed = self.shape.is_mixed || version.epoch != self.epoch;
        if !fits || is_mixed != self.shape.is_mixed {
            *self = self.resized(self.capacity(), Shape { is_wide: self.shape.is_wide || !fits, is_mixed });
        }
    }

    fn admit_offset(&mut self, offset: u32) {
        if !self.shape.is_wide && offset > u32::from(u16::MAX) {
            *self = self.resized(self.capacity(), Shape { is_wide: true, ..self.shape });
        }
    }

    /// A copy with room for `capacity` rows, in this shape, which holds every row here.
    fn resized(&self, capacity: usize, shape: Shape) -> Self {
        let rows = to_u32(capacity);
        let mut out = Self { cells: vec![0; capacity * shape.width()], len: 0, capacity: rows, epoch: self.epoch, base: self.base, shape };
        if shape != self.shape {
            out.len = self.len;
            (0..self.len()).for_each(|i| out.put_row(i, self.row(i)));
            return out;
        }
        out.copy_column::<1>(0, self);
        if shape.is_wide {
            out.copy_column::<4>(OFFSETS, self);
            out.copy_column::<8>(shape.seqs(), self);
        } else {
            out.copy_column::<2>(OFFSETS, self);
            out.copy_column::<4>(shape.seqs(), self);
        }
        out.copy_column::<16>(shape.contents(), self);
        if shape.is_mixed {
            out.copy_column::<4>(shape.epochs(), self);
        }
        out.len = self.len;
        out
    }

    /// Copies a column of all rows of `other`, which has the same shape; `N` bytes each.
    fn copy_column<const N: usize>(&mut self, column: usize, other: &Self) {
        let (here, there) = (column * self.capacity(), column * other.capacity());
        self.cells[here..here + other.len() * N].copy_from_slice(&other.cells[there..there + other.len() * N]);
    }

    fn put_row(&mut self, i: usize, row: Row) {
        let shape = self.shape;
        self.put(0, i, [row.tag]);
        self.put_offset(i, row.offset);
        if shape.is_wide {
            self.put(shape.seqs(), i, row.version.seq.to_le_bytes());
        } else {
            let above = u32::try_from(row.version.seq - self.base).expect("a row is admitted before it is put");
            self.put(shape.seqs(), i, above.to_le_bytes());
        }
        self.put(shape.contents(), i, row.content.to_bytes());
        if shape.is_mixed {
            self.put(shape.epochs(), i, row.version.epoch.to_le_bytes());
        }
    }

    fn put_offset(&mut self, i: usize, offset: u32) {
        if self.shape.is_wide {
            self.put(OFFSETS, i, offset.to_le_bytes());
        } else {
            self.put(OFFSETS, i, u16::try_from(offset).expect("a row is admitted before it is put").to_le_bytes());
        }
    }

    fn open_gap<const N: usize>(&mut self, column: usize, i: usize) {
        let (start, len) = (column * self.capacity(), self.len());
        self.cells.copy_within(start + i * N..start + len * N, start + (i + 1) * N);
    }

    fn cell<const N: usize>(&self, column: usize, i: usize) -> [u8; N] {
        let at = column * self.capacity() + i * N;
        self.cells[at..at + N].try_into().expect("as many bytes as asked for")
    }

    fn put<const N: usize>(&mut self, column: usize, i: usize, bytes: [u8; N]) {
        let at = column * self.capacity() + i * N;
        self.cells[at..at + N].copy_from_slice(&bytes);
    }
}

/// What narrow seqs around `seq` are counted from: as much room below as above.
fn base_for(seq: u64) -> u64 {
    seq.saturating_sub(u64::from(u32::MAX / 2))
}

pub(super) fn to_u32(value: usize) -> u32 {
    u32::try_from(value).expect("a block is far below 4 GiB: its boundaries are drawn by a secret hash")
}

/// The top bit of each byte of `word` that equals `byte`.
fn equal_bytes(word: u64, byte: u8) -> u64 {
    const LOW_BITS: u64 = 0x7F7F_7F7F_7F7F_7F7F;
    let differ = word ^ u64::from_le_bytes([byte; 8]);
    !(((differ & LOW_BITS) + LOW_BITS) | differ | LOW_BITS)
}

/// Indices of the bytes whose top bit is set.
struct Equal(u64);

impl Iterator for Equal {
    type Item = usize;
    fn next(&mut self) -> Option<usize> {
        if self.0 == 0 {
            return None;
        }
        let byte = self.0.trailing_zeros() as usize / 8;
        self.0 &= self.0 - 1;
        Some(byte)
    }
}
