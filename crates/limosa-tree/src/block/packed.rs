//! The bytes of a block's entries, in two pieces of memory that fit the allocator's sizes.
//!
//! ```text
//! offset   0 ............................ front.len() ................ len()
//!          front: an allocation of a whole size, | back: the rest
//!          as full as whole entries make it      |
//! ```
//! An allocator has four sizes for each doubling, so one piece of 8 to 10 KB wastes a tenth on average: some 15 bytes an entry of 100. The
//! front wastes half an entry, and what the small back wastes is small. Offsets run on over both pieces; no entry lies in both.
//!
//! # Invariants
//! - Where `front` ends an entry ends. Who knows where entries start says where it may be cut: [`Packed::reshape`], [`Packed::even_out`].

use crate::memory::{allocated, allocated_within};

/// Below this, everything lies in the back.
const FRONT_BYTES_MIN: usize = 4096;
/// Room that may stay empty in either piece beside a small part of it.
const SLACK_BYTES_MAX: usize = 256;

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Packed {
    front: Vec<u8>,
    back: Vec<u8>,
}

impl Packed {
    /// With exactly the room that entries of these lengths need.
    pub(super) fn with_room(lengths: impl Iterator<Item = usize> + Clone) -> Self {
        let total = lengths.clone().sum();
        let room = front_bytes(total);
        let in_front = lengths.scan(0, |end, len| Some(*end + len).inspect(|next| *end = *next)).take_while(|end| *end <= room).last();
        Self { front: Vec::with_capacity(room), back: Vec::with_capacity(total - in_front.unwrap_or(0)) }
    }

    pub(super) fn len(&self) -> usize {
        self.front.len() + self.back.len()
    }

    /// What the allocator takes for both pieces.
    pub(super) fn footprint(&self) -> usize {
        allocated(self.front.capacity()) + allocated(self.back.capacity())
    }

    /// The bytes from `offset` to the end of the piece that it lies in: the entry that starts there is whole in it.
    #[inline]
    pub(super) fn at(&self, offset: usize) -> &[u8] {
        match self.front.get(offset..) {
            Some(bytes) if !bytes.is_empty() => bytes,
            _ => &self.back[offset - self.front.len()..],
        }
    }

    /// [`Packed::at`], to be written to.
    pub(super) fn write_at(&mut self, offset: usize) -> &mut [u8] {
        let front = self.front.len();
        if offset < front { &mut self.front[offset..] } else { &mut self.back[offset - front..] }
    }

    /// Appends an entry.
    pub(super) fn push(&mut self, pieces: [&[u8]; 4]) {
        let len: usize = pieces.iter().map(|piece| piece.len()).sum();
        let fits = self.back.is_empty() && self.front.len() + len <= self.front.capacity();
        let bytes = if fits { &mut self.front } else { &mut self.back };
        for piece in pieces {
            bytes.extend_from_slice(piece);
        }
    }

    /// Appends the bytes `start..end` of `other`: whole entries.
    pub(super) fn push_run(&mut self, other: &Self, start: usize, end: usize) {
        let front = other.front.len();
        self.back.extend_from_slice(&other.front[start.min(front)..end.min(front)]);
        self.back.extend_from_slice(&other.back[start.max(front) - front..end.max(front) - front]);
    }

    /// Makes `new` bytes at `offset` out of the `old` ones of an entry, or out of none. `start_until` answers the last start of an entry at
    /// or below an offset, all as it is before.
    pub(super) fn reshape(&mut self, offset: usize, old: usize, new: usize, start_until: impl FnOnce(usize) -> usize) {
        let in_front = offset < self.front.len();
        if in_front && self.front.len() + new > self.front.capacity() + old {
            // What would not fit any more moves into the back; where that is the entry itself, from there on.
            let fits_until = (self.front.capacity() + old).saturating_sub(new);
            let cut = if fits_until > offset { start_until(fits_until).max(offset) } else { offset };
            self.hand_over(cut);
        }
        let front = self.front.len();
        if offset < front {
            open_gap(&mut self.front, offset, old, new);
        } else {
            open_gap(&mut self.back, offset - front, old, new);
        }
    }

    /// Lays the bytes out anew where the pieces have come to be of other sizes than they want: the front could be larger, or much is empty.
    /// `start_until` answers the last start of an entry at or below an offset.
    pub(super) fn even_out(&mut self, start_until: impl FnOnce(usize) -> usize) {
        let (held, room, best) = (self.front.len(), self.front.capacity(), front_bytes(self.len()));
        let back_is_empty = self.back.capacity() - self.back.len() > SLACK_BYTES_MAX + self.back.len() / 4;
        if best <= room && room - held <= SLACK_BYTES_MAX + room / 16 && !back_is_empty {
            return;
        }
        let cut = self.cut_until(best, start_until);
        if cut != held || best < room || back_is_empty {
            *self = self.laid_out(cut);
        }
    }

    /// A copy with the right sizes; `start_until` as in [`Packed::even_out`].
    pub(super) fn exact(&self, start_until: impl FnOnce(usize) -> usize) -> Self {
        self.laid_out(self.cut_until(front_bytes(self.len()), start_until))
    }

    /// The last offset at or below `until` at which the front may end.
    fn cut_until(&self, until: usize, start_until: impl FnOnce(usize) -> usize) -> usize {
        if self.len() <= until { self.len() } else { start_until(until) }
    }

    /// A copy whose front ends at `cut`, where an entry starts.
    fn laid_out(&self, cut: usize) -> Self {
        let (room, split, len) = (front_bytes(self.len()), self.front.len(), self.len());
        assert!(cut <= room, "the front ends within its room");
        let mut out = Self { front: Vec::with_capacity(if cut == 0 { 0 } else { room }), back: Vec::with_capacity(len - cut) };
        out.front.extend_from_slice(&self.front[..cut.min(split)]);
        out.front.extend_from_slice(&self.back[..cut.max(split) - split]);
        out.back.extend_from_slice(&self.front[cut.min(split)..]);
        out.back.extend_from_slice(&self.back[cut.max(split) - split..]);
        out
    }

    /// Forgets the bytes and keeps the memory.
    pub(super) fn clear(&mut self) {
        self.front.clear();
        self.back.clear();
    }

    /// Moves the front's bytes from `cut` on to the start of the back.
    fn hand_over(&mut self, cut: usize) {
        let moved = self.front.len() - cut;
        open_gap(&mut self.back, 0, 0, moved);
        self.back[..moved].copy_from_slice(&self.front[cut..]);
        self.front.truncate(cut);
    }
}

/// The largest size of the allocator that `bytes` fill.
fn front_bytes(bytes: usize) -> usize {
    if bytes < FRONT_BYTES_MIN { 0 } else { allocated_within(bytes) }
}

/// Makes `new` bytes at `offset` out of `old`.
fn open_gap(bytes: &mut Vec<u8>, offset: usize, old: usize, new: usize) {
    let len = bytes.len();
    if new > old {
        let needed = len + new - old;
        if needed > bytes.capacity() {
            bytes.reserve_exact(allocated(needed) - len);
        }
        bytes.resize(needed, 0);
    }
    if new != old {
        bytes.copy_within(offset + old..len, offset + new);
        bytes.truncate(len + new - old);
    }
}
