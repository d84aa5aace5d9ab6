//! Identity of content: keyed, additive digests of entries and sets of entries.
//!
//! Each live entry has a 16-byte content digest `c` = keyed BLAKE3(type, expiry, key, value). A set of entries has
//! *content digest* = Σ c and *state digest* = Σ mix(c, version), both modulo 2^128. Sums of keyed hashes can be updated
//! in O(1) and resist Wagner's generalised birthday attack as long as the key is secret; XOR or an unkeyed hash would not.
//!
//! # Not here
//! - Damage detection of records and frames: CRC-32 where they are read.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Sub, SubAssign};

use crate::entry::{EntryRef, LiveRef};
use crate::many::ManyHasher;
use crate::version::Version;

/// A sum of keyed hashes modulo 2^128. The digest of no entries is zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
pub struct Digest(pub u128);

impl Digest {
    /// The digest of the empty set.
    pub const ZERO: Self = Self(0);

    /// Little-endian bytes, as stored and sent.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_le_bytes()
    }

    /// The inverse of [`Digest::to_bytes`].
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_le_bytes(bytes))
    }
}

impl Add for Digest {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.wrapping_add(other.0))
    }
}

impl Sub for Digest {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.wrapping_sub(other.0))
    }
}

impl AddAssign for Digest {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl SubAssign for Digest {
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

impl Sum for Digest {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::ZERO, Add::add)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// The secret keys of one space: for digests, for their mix with versions, and for block boundaries.
///
/// Both ends of a transfer must hold the same keys; [`SpaceKeys::id`] names them in Hello and in files.
#[derive(Clone)]
pub struct SpaceKeys {
    id: u64,
    content: [u8; 32],
    mix: [u8; 32],
    boundary: [u8; 32],
    block: [u8; 32],
}

/// Bytes hashed in one batch: enough to fill the lanes with values of equal length, little enough to stay in the first caches.
const BATCH_BYTES: usize = 64 << 10;

/// One key in this many starts a block, on average.
pub const ENTRIES_PER_BLOCK: u64 = 64;

impl SpaceKeys {
    /// Derives the keys of the space called `name` from the cluster's secret.
    pub fn derive(cluster_secret: &[u8; 32], name: &str) -> Self {
        let key = |purpose: &str| {
            let mut hasher = blake3::Hasher::new_derive_key(&format!("limosa 2026-11 space {purpose}"));
            hasher.update(cluster_secret);
            hasher.update(name.as_bytes());
            *hasher.finalize().as_bytes()
        };
        Self { id: low_u64(&key("id")), content: key("content"), mix: key("mix"), boundary: key("boundary"), block: key("block") }
    }

    /// Names these keys without giving them away.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The content digest of one live entry: of its stored key, type, expiry and value.
    pub fn content(&self, key: &[u8], live: LiveRef<'_>) -> Digest {
        let head = content_head(key, live);
        let mut hasher = blake3::Hasher::new_keyed(&self.content);
        hasher.update(&head);
        hasher.update(key);
        hasher.update(live.value);
        low_u128(hasher.finalize().as_bytes())
    }

    /// The content digests of many entries, in order; zero for tombstones. A fraction of the cost of one by one.
    pub fn contents<'a>(&self, entries: impl Iterator<Item = EntryRef<'a>>) -> Vec<Digest> {
        let mut out = Vec::with_capacity(entries.size_hint().0);
        let mut hasher = ManyHasher::new(&self.content);
        let (mut waiting, mut done) = (Vec::new(), 0);
        let settle = |hasher: &mut ManyHasher, waiting: &mut Vec<usize>, out: &mut [Digest]| {
            let mut slots = waiting.drain(..);
            hasher.finish(|hash| out[slots.next().expect("a hash for each input")] = low_u128(hash));
        };
        for entry in entries {
            out.push(Digest::ZERO);
            if let Some(live) = entry.live {
                waiting.push(done);
                hasher.push(&[&content_head(entry.key, live), entry.key, live.value]);
            }
            done += 1;
            if hasher.bytes() >= BATCH_BYTES {
                settle(&mut hasher, &mut waiting, &mut out);
            }
        }
        settle(&mut hasher, &mut waiting, &mut out);
        out
    }

    /// What an entry with content digest `content` adds to a state digest at `version`.
    pub fn state(&self, content: Digest, version: Version) -> Digest {
        let mut input = [0u8; 28];
        input[..16].copy_from_slice(&content.to_bytes());
        input[16..].copy_from_slice(&version.to_bytes());
        low_u128(blake3::keyed_hash(&self.mix, &input).as_bytes())
    }

    /// The checksum that ends a block's stored bytes. Keyed, so that bytes which pass were written by someone who has the keys.
    pub fn block_check(&self, bytes: &[u8]) -> [u8; 16] {
        low_u128(blake3::keyed_hash(&self.block, bytes).as_bytes()).to_bytes()
    }

    /// Whether this stored key starts a block. Depends on the key alone, so that both ends have the same blocks.
    pub fn starts_block(&self, key: &[u8]) -> bool {
        low_u64(blake3::keyed_hash(&self.boundary, key).as_bytes()) < u64::MAX / ENTRIES_PER_BLOCK
    }
}

impl fmt::Debug for SpaceKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SpaceKeys({:016x})", self.id) // never the secrets: errors and logs print this
    }
}

/// What stands before key and value in the input of a content digest.
fn content_head(key: &[u8], live: LiveRef<'_>) -> [u8; 13] {
    let mut head = [0u8; 13];
    head[0] = live.kind.code();
    head[1..9].copy_from_slice(&live.expiry.millis().to_le_bytes());
    head[9..].copy_from_slice(&u32::try_from(key.len()).expect("keys are bounded by limits").to_le_bytes());
    head
}

fn low_u64(hash: &[u8; 32]) -> u64 {
    u64::from_le_bytes(hash[..8].try_into().expect("a hash has 32 bytes"))
}

fn low_u128(hash: &[u8; 32]) -> Digest {
    Digest(u128::from_le_bytes(hash[..16].try_into().expect("a hash has 32 bytes")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::{Expiry, Kind};

    fn keys() -> SpaceKeys {
        SpaceKeys::derive(&[7; 32], "default")
    }

    #[test]
    fn every_part_of_an_entry_is_in_its_digest() {
        let base = LiveRef { kind: Kind::STRING, expiry: Expiry::NEVER, value: b"v" };
        let digest = keys().content(b"k", base);
        assert_ne!(digest, keys().content(b"l", base));
        assert_ne!(digest, keys().content(b"k", LiveRef { value: b"w", ..base }));
        assert_ne!(digest, keys().content(b"k", LiveRef { kind: Kind::PART, ..base }));
        assert_ne!(digest, keys().content(b"k", LiveRef { expiry: Expiry::at(1), ..base }));
        assert_ne!(digest, SpaceKeys::derive(&[8; 32], "default").content(b"k", base));
        assert_ne!(keys().content(b"ab", LiveRef { value: b"c", ..base }), keys().content(b"a", LiveRef { value: b"bc", ..base }));
        assert_ne!(keys().state(digest, Version::new(1, 1)), keys().state(digest, Version::new(1, 2)));
    }

    #[test]
    fn many_digests_at_once_are_those_of_one_at_a_time() {
        let values: Vec<Vec<u8>> = (0..400u32).map(|i| vec![i.to_le_bytes()[0]; (i * 97 % 3000) as usize]).collect();
        let entries = || {
            values.iter().enumerate().map(|(i, value)| EntryRef {
                key: &value[..value.len().min(i % 40)],
                version: Version::ZERO,
                live: (i % 7 != 0).then_some(LiveRef { kind: Kind::STRING, expiry: Expiry::from_millis(i as u64), value }),
            })
        };
        let single = |entry: EntryRef<'_>| entry.live.map_or(Digest::ZERO, |live| keys().content(entry.key, live));
        assert_eq!(keys().contents(entries()), entries().map(single).collect::<Vec<_>>());
    }

    #[test]
    fn sums_wrap_and_undo() {
        let (a, b) = (Digest(u128::MAX), Digest(5));
        assert_eq!(a + b - a, b);
        assert_eq!([a, b].into_iter().sum::<Digest>(), Digest(4));
    }

    #[test]
    fn about_one_key_in_sixty_four_starts_a_block() {
        let starts = (0..64_000u32).filter(|i| keys().starts_block(&i.to_be_bytes())).count();
        assert!((800..1200).contains(&starts), "{starts}");
    }
}
