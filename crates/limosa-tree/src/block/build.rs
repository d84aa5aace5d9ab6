//! Builds blocks front to back: appends single entries, and runs out of other blocks.
//!
//! One scratch block serves many: what is finished is copied out at its exact size.

use limosa_core::{Digest, EntryRef};

use super::edit::slot;
use super::entry::{Framing, LARGE, encoded_len, inline_value, large_value};
use super::{Block, tag};

impl Block {
    /// An empty block with exactly the room that `entries` need.
    pub(super) fn with_room(entries: &[(EntryRef<'_>, Digest)]) -> Self {
        let large = entries.iter().filter(|(entry, _)| large_value(entry).is_some()).count();
        Self {
            slots: Vec::with_capacity(entries.len()),
            tags: Vec::with_capacity(entries.len()),
            bytes: Vec::with_capacity(entries.iter().map(|(entry, _)| encoded_len(entry)).sum()),
            large: Vec::with_capacity(large),
        }
    }

    /// Appends `entry`, whose key is above all others.
    pub(crate) fn push(&mut self, entry: &EntryRef<'_>, content: Digest) {
        debug_assert!(self.slots.is_empty() || self.key(self.len() - 1) < entry.key);
        let offset = self.bytes.len();
        let large = large_value(entry).map(|value| self.hold_large(value));
        let framing = Framing::new(entry, large);
        for piece in [framing.before(), entry.key, framing.after(), inline_value(entry)] {
            self.bytes.extend_from_slice(piece);
        }
        self.slots.push(slot(entry, content, offset));
        self.tags.push(tag(entry.key));
    }

    /// Appends entries `i..j` of `other`, whose keys are above all others.
    pub(crate) fn push_run(&mut self, other: &Self, i: usize, j: usize) {
        if i == j {
            return;
        }
        self.tags.extend_from_slice(&other.tags[i..j]);
        let (start, end) = (other.slots[i].offset as usize, other.end(j - 1));
        let moved = self.bytes.len().wrapping_sub(start);
        self.bytes.extend_from_slice(&other.bytes[start..end]);
        for slot in &other.slots[i..j] {
            let offset = (slot.offset as usize).wrapping_add(moved);
            self.slots.push(super::Slot { offset: u32::try_from(offset).expect("blocks are far below 4 GiB"), ..*slot });
            if self.bytes[offset] & LARGE != 0 {
                self.adopt_large(other, slot.offset as usize, offset);
            }
        }
    }

    /// Shares the large value of the entry at `from` in `other` with its copy at `offset` here.
    fn adopt_large(&mut self, other: &Self, from: usize, offset: usize) {
        let index = super::Head::read(&other.bytes, from).large_index().expect("the entry is flagged as large");
        let value = other.large[index as usize].clone().expect("an entry's large value is held as long as the entry");
        let index = self.hold_shared(value);
        let i = self.slots.len() - 1;
        debug_assert_eq!(self.slots[i].offset as usize, offset);
        let end = self.entry_end(offset);
        self.bytes[end - 4..end].copy_from_slice(&index.to_le_bytes());
    }

    /// Where the entry at `offset` ends, which has its value out of line.
    fn entry_end(&self, offset: usize) -> usize {
        let flags = self.bytes[offset];
        let mut at = offset + 1;
        let key_len = super::entry::length(&self.bytes, &mut at);
        at += key_len;
        at += usize::from(flags & super::entry::KIND != 0);
        if flags & super::entry::EXPIRES != 0 {
            super::entry::varint(&self.bytes, &mut at);
        }
        at + 4
    }

    /// Takes the entries out, at exact size, and leaves the buffers for the next block.
    pub(crate) fn finish(&mut self) -> Self {
        let mut large = std::mem::take(&mut self.large);
        large.shrink_to_fit();
        let block = Self {
            slots: self.slots.as_slice().to_vec(),
            tags: self.tags.as_slice().to_vec(),
            bytes: self.bytes.as_slice().to_vec(),
            large,
        };
        self.slots.clear();
        self.tags.clear();
        self.bytes.clear();
        block
    }
}
