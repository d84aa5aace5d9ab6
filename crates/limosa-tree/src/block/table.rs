//! What a block knows of its entries beside their bytes, column by column in one piece of memory.
//!
//! ```text
//! tags (1 each) | offsets (4) | seqs (8) | content digests (16) | epochs (4, only where they differ)
//! ```
//! A look-up reads tags and one offset, which lie side by side; what changed since a version is found in the seqs alone; digests are
//! touched by changes only. One allocation instead of five saves memory, and misses of the processor's address cache.
//!
//! # Invariants
//! - Each column has room for as many rows as the piece holds at the current width; rows are at the front of each column.

use std::ops::Range;

use limosa_core::{Digest, Version};

/// Rows by which a table grows. Pieces of few different sizes let the allocator use again what grown blocks leave behind.
const GROW_ROWS: usize = 4;

/// Where each column starts, in bytes a row of capacity.
const OFFSETS: usize = 1;
const SEQS: usize = OFFSETS + 4;
const CONTENTS: usize = SEQS + 8;
const EPOCHS: usize = CONTENTS + 16;
/// Bytes of a row without and with an epoch of its own.
const WIDTH: usize = EPOCHS;
const WIDTH_MIXED: usize = EPOCHS + 4;

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
    is_mixed: bool,
}

impl Table {
    pub(super) fn with_room(rows: usize) -> Self {
        Self::default().resized(rows, false)
    }

    pub(super) fn len(&self) -> usize {
        self.len as usize
    }

    /// Bytes that the table takes, beside itself.
    pub(super) fn bytes_held(&self) -> usize {
        self.cells.capacity()
    }

    pub(super) fn offset(&self, i: usize) -> usize {
        u32::from_le_bytes(self.cell(OFFSETS, i)) as usize
    }

    pub(super) fn version(&self, i: usize) -> Version {
        let epoch = if self.is_mixed { u32::from_le_bytes(self.cell(EPOCHS, i)) } else { self.epoch };
        Version::new(epoch, self.seq(i))
    }

    pub(super) fn content(&self, i: usize) -> Digest {
        Digest::from_bytes(self.cell(CONTENTS, i))
    }

    /// The rows of `range` that are newer than `since`.
    pub(super) fn newer(&self, range: Range<usize>, since: Version) -> impl Iterator<Item = usize> {
        // where all epochs are one, it says of most blocks that the seqs alone decide
        let by_seq = !self.is_mixed && self.epoch == since.epoch;
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
        self.make_room(1, self.capacity() + GROW_ROWS); // a scratch table: doubled, and never kept
        self.insert(self.len(), row);
    }

    /// Puts `row` in front of row `i`.
    pub(super) fn insert(&mut self, i: usize, row: Row) {
        self.make_room(1, GROW_ROWS);
        self.admit(row.version.epoch);
        self.open_gap::<1>(0, i);
        self.open_gap::<4>(OFFSETS, i);
        self.open_gap::<8>(SEQS, i);
        self.open_gap::<16>(CONTENTS, i);
        if self.is_mixed {
            self.open_gap::<4>(EPOCHS, i);
        }
        self.len += 1;
        self.set(i, row);
    }

    /// Puts `row` in the place of row `i`.
    pub(super) fn set(&mut self, i: usize, row: Row) {
        self.admit(row.version.epoch);
        self.put(0, i, [row.tag]);
        self.put(OFFSETS, i, row.offset.to_le_bytes());
        self.put(SEQS, i, row.version.seq.to_le_bytes());
        self.put(CONTENTS, i, row.content.to_bytes());
        if self.is_mixed {
            self.put(EPOCHS, i, row.version.epoch.to_le_bytes());
        }
    }

    /// Moves the offsets of rows `from..` by `new - old`.
    pub(super) fn shift_offsets(&mut self, from: usize, old: usize, new: usize) {
        for i in from..self.len() {
            self.put(OFFSETS, i, to_u32(self.offset(i) + new - old).to_le_bytes());
        }
    }

    /// Appends rows `range` of `other`, whose entries' bytes went from `start` there to `to` here.
    pub(super) fn push_run(&mut self, other: &Self, range: Range<usize>, start: usize, to: usize) {
        let (at, count) = (self.len(), range.len());
        self.make_room(count, self.capacity() + count);
        let mut epochs = range.clone().map(|i| other.version(i).epoch);
        match epochs.next() {
            Some(first) if !other.is_mixed || epochs.all(|epoch| epoch == first) => self.admit(first),
            Some(_) => self.mix(),
            None => return,
        }
        self.copy_column::<1>(0, other, range.clone());
        self.copy_column::<8>(SEQS, other, range.clone());
        self.copy_column::<16>(CONTENTS, other, range.clone());
        self.len += to_u32(count);
        for (here, there) in (at..).zip(range) {
            self.put(OFFSETS, here, to_u32(other.offset(there) - start + to).to_le_bytes());
            if self.is_mixed {
                self.put(EPOCHS, here, other.version(there).epoch.to_le_bytes());
            }
        }
    }

    /// A copy of exactly the size that the rows need.
    pub(super) fn exact(&self) -> Self {
        self.resized(self.len(), self.is_mixed)
    }

    /// Forgets the rows and keeps the memory.
    pub(super) fn clear(&mut self) {
        self.len = 0;
        self.is_mixed = false;
        self.cells.truncate(self.capacity() * WIDTH);
    }

    fn seq(&self, i: usize) -> u64 {
        u64::from_le_bytes(self.cell(SEQS, i))
    }

    fn capacity(&self) -> usize {
        self.capacity as usize
    }

    fn make_room(&mut self, count: usize, grow: usize) {
        if self.len() + count > self.capacity() {
            *self = self.resized(self.len() + grow.max(count), self.is_mixed);
        }
    }

    /// Makes room for epochs of their own if `epoch` is another one than all rows have.
    fn admit(&mut self, epoch: u32) {
        if self.len == 0 && !self.is_mixed {
            self.epoch = epoch;
        } else if !self.is_mixed && self.epoch != epoch {
            self.mix();
        }
    }

    /// Gives each row an epoch of its own.
    fn mix(&mut self) {
        if !self.is_mixed {
            *self = self.resized(self.capacity(), true);
        }
    }

    fn resized(&self, capacity: usize, is_mixed: bool) -> Self {
        let width = if is_mixed { WIDTH_MIXED } else { WIDTH };
        let rows = to_u32(capacity);
        let mut out = Self { cells: vec![0; capacity * width], len: 0, capacity: rows, epoch: self.epoch, is_mixed };
        out.copy_column::<1>(0, self, 0..self.len());
        out.copy_column::<4>(OFFSETS, self, 0..self.len());
        out.copy_column::<8>(SEQS, self, 0..self.len());
        out.copy_column::<16>(CONTENTS, self, 0..self.len());
        if self.is_mixed {
            out.copy_column::<4>(EPOCHS, self, 0..self.len());
        } else if is_mixed {
            (0..self.len()).for_each(|i| out.put(EPOCHS, i, self.epoch.to_le_bytes()));
        }
        out.len = self.len;
        out
    }

    /// Copies the cells of rows `range` of `other` behind the rows here; `N` bytes each.
    fn copy_column<const N: usize>(&mut self, column: usize, other: &Self, range: Range<usize>) {
        let (here, there) = (column * self.capacity() + self.len() * N, column * other.capacity());
        let cells = &other.cells[there + range.start * N..there + range.end * N];
        self.cells[here..here + cells.len()].copy_from_slice(cells);
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
