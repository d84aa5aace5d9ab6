//! One key's state: a typed value with an optional deadline, or the mark that it was deleted.

use crate::version::Version;

/// What a value is. An open set: an unknown code is carried, compared and moved, never interpreted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Kind(u8);

impl Kind {
    /// A string held whole.
    pub const STRING: Self = Self(0);
    /// The head of a large string whose bytes lie in [`Kind::PART`] entries under the same key.
    pub const PARTED: Self = Self(1);
    /// A part of a large string; an element, not a key that users see.
    pub const PART: Self = Self(2);

    /// The kind with this code.
    pub const fn from_code(code: u8) -> Self {
        Self(code)
    }

    /// The code, as stored and sent.
    pub const fn code(self) -> u8 {
        self.0
    }

    /// Whether the entry is a key that users see (counted by DBSIZE), not an element under one.
    pub const fn is_top_level(self) -> bool {
        self.0 != Self::PART.0
    }
}

/// A deadline in milliseconds since the Unix epoch, or never.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Expiry(u64);

impl Expiry {
    /// No deadline.
    pub const NEVER: Self = Self(0);

    /// Expires at `millis` since the Unix epoch; 0 is taken as 1, because 0 stands for never.
    pub const fn at(millis: u64) -> Self {
        Self(if millis == 0 { 1 } else { millis })
    }

    /// The deadline in milliseconds, 0 for never: as stored and sent.
    pub const fn millis(self) -> u64 {
        self.0
    }

    /// The inverse of [`Expiry::millis`].
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// The deadline, if there is one.
    pub const fn deadline(self) -> Option<u64> {
        if self.0 == 0 { None } else { Some(self.0) }
    }

    /// Whether the deadline has passed at `now_ms`.
    pub const fn is_past(self, now_ms: u64) -> bool {
        self.0 != 0 && self.0 <= now_ms
    }
}

/// A live value, borrowed from a block, a frame or a journal record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LiveRef<'a> {
    /// What the value is.
    pub kind: Kind,
    /// When it ends.
    pub expiry: Expiry,
    /// The value's bytes.
    pub value: &'a [u8],
}

/// One entry, borrowed. `live` is `None` for a tombstone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EntryRef<'a> {
    /// The stored key (see [`crate::key`]).
    pub key: &'a [u8],
    /// When it was written.
    pub version: Version,
    /// The value, or `None` for a tombstone.
    pub live: Option<LiveRef<'a>>,
}

impl EntryRef<'_> {
    /// Key and value bytes: what moving this entry costs at least.
    pub fn payload_bytes(&self) -> usize {
        self.key.len() + self.live.map_or(0, |live| live.value.len())
    }
}
