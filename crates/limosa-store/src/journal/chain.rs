//! The hash chain over a journal: one value names the whole history before it.

use std::fmt;

use super::{Owner, Position};

/// BLAKE3 over the previous value and a group's body, first 16 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Chain(pub [u8; 16]);

impl Chain {
    /// The value before the first record of `owner`'s journal: no two journals share a history by accident.
    pub fn genesis(owner: &Owner) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("limosa 2026 journal chain genesis");
        hasher.update(&owner.cluster).update(&owner.incarnation.to_le_bytes());
        Self::truncated(hasher.finalize())
    }

    /// The value behind a group with this body. An empty body is a mark, not history: it changes nothing.
    #[must_use]
    pub fn extended(self, body: &[u8]) -> Self {
        if body.is_empty() {
            return self;
        }
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.0).update(body);
        Self::truncated(hasher.finalize())
    }

    fn truncated(hash: blake3::Hash) -> Self {
        Self(*hash.as_bytes().first_chunk().expect("a hash has 32 bytes"))
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A place in a journal's history: behind the record at `position`, where a group ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Point {
    /// The last record before it.
    pub position: Position,
    /// The chain there.
    pub chain: Chain,
}

impl Point {
    /// Before the first record of `owner`'s journal.
    pub fn genesis(owner: &Owner) -> Self {
        Self { position: Position::ZERO, chain: Chain::genesis(owner) }
    }
}
