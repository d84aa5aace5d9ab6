//! Changes a block in place: one entry written or overwritten, the bytes behind it moved.

use std::sync::Arc;

use limosa_core::{Digest, EntryRef};

use super::entry::{Framing, encoded_len, inline_value, large_value};
use super::{Block, Slot, tag};

/// Slots by which a block grows. Buffers of few different sizes let the allocator use again what grown blocks leave behind.
const GROW_SLOTS: usize = 4;
/// Bytes to whose multiples a block's bytes grow.
const GROW_BYTES: usize = 256;

impl Block {
    /// Puts `entry` in front of entry `i`, where its key belongs.
    pub(crate) fn insert(&mut self, i: usize, entry: &EntryRef<'_>, content: Digest) {
        let offset = self.slots.get(i).map_or(self.bytes.len(), |slot| slot.offset as usize);
        let len = encoded_len(entry);
        let large = large_value(entry).map(|value| self.hold_large(value));
        self.open_gap(offset, 0, len);
        self.fill(offset, entry, large);
        if self.slots.len() == self.slots.capacity() {
            self.slots.reserve_exact(GROW_SLOTS);
            self.tags.reserve_exact(GROW_SLOTS);
        }
        self.slots.insert(i, slot(entry, content, offset));
        self.tags.insert(i, tag(entry.key));
        self.shift_offsets(i + 1, 0, len);
    }

    /// Puts `entry` in the place of entry `i`, which has the same key.
    pub(crate) fn replace(&mut self, i: usize, entry: &EntryRef<'_>, content: Digest) {
        debug_assert_eq!(self.key(i), entry.key);
        let (offset, end) = (self.slots[i].offset as usize, self.end(i));
        let len = encoded_len(entry);
        if let Some(index) = self.head(i).large_index() {
            self.large[index as usize] = None;
        }
        let large = large_value(entry).map(|value| self.hold_large(value));
        self.open_gap(offset, end - offset, len);
        self.fill(offset, entry, large);
        self.slots[i] = slot(entry, content, offset);
        self.shift_offsets(i + 1, end - offset, len);
    }

    /// Makes `new` bytes at `offset` out of `old`.
    fn open_gap(&mut self, offset: usize, old: usize, new: usize) {
        let len = self.bytes.len();
        if new > old {
            grow_bytes(&mut self.bytes, new - old);
            self.bytes.resize(len + new - old, 0);
        }
        if new != old {
            self.bytes.copy_within(offset + old..len, offset + new);
            self.bytes.truncate(len + new - old);
            if self.bytes.capacity() - self.bytes.len() > GROW_BYTES + self.bytes.len() / 8 {
                self.bytes.shrink_to_fit(); // values that became shorter, or moved out of line, give their room back
            }
        }
    }

    fn fill(&mut self, mut at: usize, entry: &EntryRef<'_>, large: Option<u32>) {
        let framing = Framing::new(entry, large);
        for piece in [framing.before(), entry.key, framing.after(), inline_value(entry)] {
            self.bytes[at..at + piece.len()].copy_from_slice(piece);
            at += piece.len();
        }
    }

    fn shift_offsets(&mut self, from: usize, old: usize, new: usize) {
        if old != new {
            for slot in &mut self.slots[from..] {
                slot.offset = to_u32(slot.offset as usize + new - old);
            }
        }
    }

    pub(super) fn hold_large(&mut self, value: &[u8]) -> u32 {
        self.hold_shared(Arc::from(value))
    }

    pub(super) fn hold_shared(&mut self, value: Arc<[u8]>) -> u32 {
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

pub(super) fn slot(entry: &EntryRef<'_>, content: Digest, offset: usize) -> Slot {
    Slot { content, seq: entry.version.seq, epoch: entry.version.epoch, offset: to_u32(offset) }
}

fn to_u32(value: usize) -> u32 {
    u32::try_from(value).expect("a block is far below 4 GiB: its boundaries are drawn by a secret hash")
}

/// Room for `more` bytes.
fn grow_bytes(bytes: &mut Vec<u8>, more: usize) {
    if bytes.capacity() - bytes.len() < more {
        let len = bytes.len() + more;
        bytes.reserve_exact(len.next_multiple_of(GROW_BYTES) - bytes.len());
    }
}
