//! The block: a short run of entries, packed; the unit of memory, of the checkpoint and of comparison.
//!
//! ```text
//! table   what is known of each entry beside its bytes: a tag (1, a hash of the key; a key that is there is found by one pass over a
//!         cache line or two, bisecting misses the cache twice a step), offset into bytes, version, content digest
//! bytes   the entries in key order without gaps:
//!         flags (1) | key length (varint) | key | kind (1, if flagged) | expiry (varint, if flagged) | inline: value length (varint) | value
//!                                                                                                    | else: index into large (4)
//! large   values of more than 256 bytes, shared between copies of the block
//! ```
//! An overwrite moves the bytes behind it: there is no garbage, and buffers grow by sizes of the allocator instead of doubling, because
//! memory beside key and value is what bounds how much state a node holds. A block has 64 entries on average, so little is moved.

mod build;
mod codec;
mod edit;
mod entry;
mod packed;
mod table;

use bytes::Bytes;
use limosa_core::{Digest, EntryRef, SpaceKeys, Version};
use std::cmp::Ordering;
use std::ops::Range;

pub(crate) use codec::BlockName;
use entry::Head;
use packed::Packed;
use table::Table;

use crate::memory::allocated;
use crate::summary::{Summary, earlier};

/// Longest value that lies among the entries' bytes.
pub(crate) const INLINE_VALUE_BYTES_MAX: usize = 256;

/// A packed run of entries with distinct ascending keys.
#[derive(Clone, Debug, Default)]
pub(crate) struct Block {
    table: Table,
    bytes: Packed,
    large: Vec<Option<Bytes>>,
    /// What the values in `large` take.
    large_bytes: usize,
}

impl Block {
    /// Number of entries.
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// Bytes that the block takes in memory, values out of line included, also where another version of the block shares them.
    pub(crate) fn footprint(&self) -> usize {
        let packed = allocated(self.table.bytes_held()) + self.bytes.footprint();
        let places = allocated(self.large.capacity() * size_of::<Option<Bytes>>());
        packed + places + self.large_bytes
    }

    /// Where `key` lies, if it is there.
    pub(crate) fn find(&self, key: &[u8]) -> Option<usize> {
        self.table.tagged(tag(key)).find(|&i| self.key(i) == key)
    }

    /// Where `key` lies, or where it would.
    pub(crate) fn search(&self, key: &[u8]) -> Result<usize, usize> {
        self.find(key).map_or_else(|| self.search_from(0, key), Ok)
    }

    /// [`Block::search`] among the entries from `start` on, by bisection.
    pub(crate) fn search_from(&self, start: usize, key: &[u8]) -> Result<usize, usize> {
        let (mut from, mut to) = (start, self.len());
        while from < to {
            let middle = from.midpoint(to);
            match self.key(middle).cmp(key) {
                Ordering::Less => from = middle + 1,
                Ordering::Equal => return Ok(middle),
                Ordering::Greater => to = middle,
            }
        }
        Err(from)
    }

    /// The first entry at or behind `key`.
    pub(crate) fn lower_bound(&self, key: &[u8]) -> usize {
        self.search_from(0, key).unwrap_or_else(|i| i)
    }

    /// Key of entry `i`.
    pub(crate) fn key(&self, i: usize) -> &[u8] {
        self.key_at_offset(self.table.offset(i))
    }

    fn key_at_offset(&self, offset: usize) -> &[u8] {
        let bytes = self.bytes.at(offset);
        let mut at = 1;
        let len = entry::length(bytes, &mut at);
        &bytes[at..at + len]
    }

    /// Version of entry `i`.
    pub(crate) fn version(&self, i: usize) -> Version {
        self.table.version(i)
    }

    /// The entries of `range` that are newer than `since`; all of them where that is `None`.
    pub(crate) fn newer(&self, range: Range<usize>, since: Option<Version>) -> impl Iterator<Item = usize> {
        let (all, newer) = match since {
            None => (range, None),
            Some(since) => (0..0, Some(self.table.newer(range, since))),
        };
        all.chain(newer.into_iter().flatten())
    }

    /// Content digest of entry `i`; zero for a tombstone.
    pub(crate) fn content(&self, i: usize) -> Digest {
        self.table.content(i)
    }

    /// Whether entry `i` has a value.
    pub(crate) fn is_live(&self, i: usize) -> bool {
        self.bytes.at(self.table.offset(i))[0] & entry::LIVE != 0
    }

    /// Entry `i`.
    pub(crate) fn entry(&self, i: usize) -> EntryRef<'_> {
        let head = self.head(i);
        EntryRef { key: head.key, version: self.version(i), live: head.live(&self.large) }
    }

    fn head(&self, i: usize) -> Head<'_> {
        Head::read(self.bytes.at(self.table.offset(i)))
    }

    /// Where the bytes of entry `i` end.
    fn end(&self, i: usize) -> usize {
        if i + 1 < self.len() { self.table.offset(i + 1) } else { self.bytes.len() }
    }

    /// What entry `i` adds to a state digest.
    pub(crate) fn state(&self, i: usize, keys: &SpaceKeys) -> Digest {
        if self.is_live(i) { keys.state(self.content(i), self.version(i)) } else { Digest::ZERO }
    }

    /// Sum of the state digests of entries `i..j`: one hash each.
    pub(crate) fn state_of(&self, i: usize, j: usize, keys: &SpaceKeys) -> Digest {
        (i..j).map(|i| self.state(i, keys)).sum()
    }

    /// Sums over entries `i..j`, the state digest aside (zero): no hash is computed.
    pub(crate) fn counts_of(&self, i: usize, j: usize) -> Summary {
        let mut sum = Summary::EMPTY;
        sum.set_first_live(i < j && self.is_live(i));
        for i in i..j {
            count_entry(&mut sum, &self.entry(i), self.content(i));
        }
        sum
    }

    /// The earliest deadline of all entries.
    pub(crate) fn min_expiry(&self) -> limosa_core::Expiry {
        (0..self.len()).fold(limosa_core::Expiry::NEVER, |min, i| self.head(i).expiry().map_or(min, |expiry| earlier(min, expiry)))
    }
}

/// Eight bits of a key. Not secret: at worst every key of a block is looked at, and which keys share a block is secret.
fn tag(key: &[u8]) -> u8 {
    const MIX: u64 = 0x9E37_79B9_7F4A_7C15;
    let (words, rest) = key.as_chunks::<8>();
    let mix = |hash: u64, word: u64| (hash.rotate_left(23) ^ word).wrapping_mul(MIX);
    let hash = words.iter().fold(key.len() as u64, |hash, word| mix(hash, u64::from_le_bytes(*word)));
    let last = rest.iter().fold(0, |word, &byte| word << 8 | u64::from(byte));
    mix(mix(hash, last), 0).to_be_bytes()[0]
}

/// Counts `entry` into `sum`, its state digest and whether it is the first one aside.
pub(crate) fn count_entry(sum: &mut Summary, entry: &EntryRef<'_>, content: Digest) {
    sum.raise(entry.version);
    match entry.live {
        None => sum.tombstones += 1,
        Some(live) => {
            sum.live += 1;
            sum.top_level += u64::from(live.kind.is_top_level());
            sum.live_bytes += entry.payload_bytes() as u64;
            sum.content += content;
            sum.min_expiry = earlier(sum.min_expiry, live.expiry);
        }
    }
}

/// Takes `entry` out of `sum` again; bound and earliest deadline stay.
pub(crate) fn uncount_entry(sum: &mut Summary, entry: &EntryRef<'_>, content: Digest) {
    match entry.live {
        None => sum.tombstones -= 1,
        Some(live) => {
            sum.live -= 1;
            sum.top_level -= u64::from(live.kind.is_top_level());
            sum.live_bytes -= entry.payload_bytes() as u64;
            sum.content -= content;
        }
    }
}

#[cfg(test)]
mod tests;
