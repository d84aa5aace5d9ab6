//! Changes a block in place: one entry written or overwritten, the bytes behind it moved.

use bytes::Bytes;
use limosa_core::{Digest, EntryRef};

use super::entry::{Framing, encoded_len, inline_value, large_value};
use super::table::{Row, to_u32};
use super::{Block, tag};
use crate::memory::allocated;

impl Block {
    /// Puts `entry` in front of entry `i`, where its key belongs.
    pub(crate) fn insert(&mut self, i: usize, entry: &EntryRef<'_>, content: Digest) {
        let offset = if i < self.len() { self.table.offset(i) } else { self.bytes.len() };
        let len = encoded_len(entry);
        let large = large_value(entry).map(|value| self.hold_large(value));
        self.open_gap(offset, 0, len);
        self.fill(offset, entry, large);
        self.table.insert(i, row(entry, content, offset));
        self.table.shift_offsets(i + 1, 0, len);
        self.even_out();
    }

    /// Puts `entry` in the place of entry `i`, which has the same key.
    pub(crate) fn replace(&mut self, i: usize, entry: &EntryRef<'_>, content: Digest) {
        debug_assert_eq!(self.key(i), entry.key);
        let (offset, end) = (self.table.offset(i), self.end(i));
        let len = encoded_len(entry);
        if let Some(index) = self.head(i).large_index() {
            let old = self.large[index as usize].take().expect("an entry's large value is held as long as the entry");
            self.large_bytes -= allocated(old.len());
        }
        let large = large_value(entry).map(|value| self.hold_large(value));
        self.open_gap(offset, end - offset, len);
        self.fill(offset, entry, large);
        self.table.set(i, row(entry, content, offset));
        if len != end - offset {
            self.table.shift_offsets(i + 1, end - offset, len);
            self.even_out();
        }
    }

    /// Makes `new` bytes at `offset` out of `old`.
    fn open_gap(&mut self, offset: usize, old: usize, new: usize) {
        let Self { table, bytes, .. } = self;
        bytes.reshape(offset, old, new, |until| table.offset_until(until));
    }

    fn fill(&mut self, at: usize, entry: &EntryRef<'_>, large: Option<u32>) {
        let framing = Framing::new(entry, large);
        let mut to = self.bytes.write_at(at);
        for piece in [framing.before(), entry.key, framing.after(), inline_value(entry)] {
            let (here, behind) = to.split_at_mut(piece.len());
            here.copy_from_slice(piece);
            to = behind;
        }
    }

    /// Gives room back, or makes better use of it, behind a change.
    fn even_out(&mut self) {
        let Self { table, bytes, .. } = self;
        bytes.even_out(|until| table.offset_until(until));
    }

    pub(super) fn hold_large(&mut self, value: &[u8]) -> u32 {
        self.hold_shared(Bytes::copy_from_slice(value))
    }

    pub(super) fn hold_shared(&mut self, value: Bytes) -> u32 {
        self.large_bytes += allocated(value.len());
        let hole = if self.large.len() < self.large.capacity() { None } else { self.large.iter().position(Option::is_none) };
        if let Some(hole) = hole {
            self.large[hole] = Some(value);
            return to_u32(hole);
        }
        if self.large.len() == self.large.capacity() {
            self.large.reserve_exact(1 + self.large.len() / 16);
        }
        self.large.push(Some(value));
        to_u32(self.large.len() - 1)
    }
}

pub(super) fn row(entry: &EntryRef<'_>, content: Digest, offset: usize) -> Row {
    Row { tag: tag(entry.key), offset: to_u32(offset), version: entry.version, content }
}
