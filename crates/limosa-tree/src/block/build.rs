//! Builds blocks front to back: appends single entries, and runs out of other blocks.
//!
//! One scratch block serves many: what is finished is copied out at its exact size.

use limosa_core::{Digest, EntryRef};

use super::Block;
use super::edit::row;
use super::entry::{Framing, LARGE, encoded_len, inline_value, large_value};
use super::packed::Packed;
use super::table::Table;

impl Block {
    /// An empty block with exactly the room that `entries` need.
    pub(super) fn with_room(entries: &[(EntryRef<'_>, Digest)]) -> Self {
        let large = entries.iter().filter(|(entry, _)| large_value(entry).is_some()).count();
        Self {
            table: Table::with_room(entries.len()),
            bytes: Packed::with_room(entries.iter().map(|(entry, _)| encoded_len(entry))),
            large: Vec::with_capacity(large),
            large_bytes: 0,
        }
    }

    /// Appends `entry`, whose key is above all others.
    pub(crate) fn push(&mut self, entry: &EntryRef<'_>, content: Digest) {
        debug_assert!(self.len() == 0 || self.key(self.len() - 1) < entry.key);
        let offset = self.bytes.len();
        let large = large_value(entry).map(|value| self.hold_large(value));
        let framing = Framing::new(entry, large);
        self.bytes.push([framing.before(), entry.key, framing.after(), inline_value(entry)]);
        self.table.push(row(entry, content, offset));
    }

    /// Appends entries `i..j` of `other`, whose keys are above all others.
    pub(crate) fn push_run(&mut self, other: &Self, i: usize, j: usize) {
        if i == j {
            return;
        }
        let (start, end) = (other.table.offset(i), other.end(j - 1));
        let (first, to) = (self.len(), self.bytes.len());
        self.bytes.push_run(&other.bytes, start, end);
        self.table.push_run(&other.table, i..j, start, to);
        if other.large.is_empty() {
            return;
        }
        for (here, there) in (first..).zip(i..j) {
            let offset = self.table.offset(here);
            if self.bytes.at(offset)[0] & LARGE != 0 {
                self.adopt_large(other, other.table.offset(there), offset);
            }
        }
    }

    /// Shares the large value of the entry at `from` in `other` with its copy at `offset` here.
    fn adopt_large(&mut self, other: &Self, from: usize, offset: usize) {
        let index = super::Head::read(other.bytes.at(from)).large_index().expect("the entry is flagged as large");
        let value = other.large[index as usize].clone().expect("an entry's large value is held as long as the entry");
        let index = self.hold_shared(value);
        let entry = self.bytes.write_at(offset);
        let end = entry_end(entry);
        entry[end - 4..end].copy_from_slice(&index.to_le_bytes());
    }

    /// Takes the entries out, at exact size, and leaves the buffers for the next block.
    pub(crate) fn finish(&mut self) -> Self {
        let mut large = std::mem::take(&mut self.large);
        large.shrink_to_fit();
        let large_bytes = std::mem::take(&mut self.large_bytes);
        let block = Self { table: self.table.exact(), bytes: self.bytes.exact(|until| self.table.offset_until(until)), large, large_bytes };
        self.table.clear();
        self.bytes.clear();
        block
    }
}

/// Where an entry ends that has its value out of line and starts with `bytes`.
fn entry_end(bytes: &[u8]) -> usize {
    let flags = bytes[0];
    let mut at = 1;
    let key_len = super::entry::length(bytes, &mut at);
    at += key_len;
    at += usize::from(flags & super::entry::KIND != 0);
    if flags & super::entry::EXPIRES != 0 {
        super::entry::varint(bytes, &mut at);
    }
    at + 4
}
