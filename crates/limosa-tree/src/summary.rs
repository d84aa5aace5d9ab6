//! What a run of entries adds up to: the label of every node of the tree.
//!
//! # Invariants
//! - Counts, bytes and digests are exact sums. [`Summary::max_version`] is an upper bound that never falls while the run exists,
//!   so that "nothing here is newer than v" can be trusted and "something here is newer" may be a false alarm.

use limosa_core::varint::Reader;
use limosa_core::{DecodeError, Digest, Expiry, Version};

/// Bytes of an encoded summary.
pub const SUMMARY_BYTES: usize = 93;

/// Sums over a run of entries.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Summary {
    /// Live entries, elements included.
    pub live: u64,
    /// Live entries that are keys which users see.
    pub top_level: u64,
    /// Key and value bytes of the live entries.
    pub live_bytes: u64,
    /// Tombstones held.
    pub tombstones: u64,
    /// Sum of the live entries' content digests.
    pub content: Digest,
    /// Sum of the live entries' state digests.
    pub state: Digest,
    /// The earliest deadline among the live entries; never when none has one.
    pub min_expiry: Expiry,
    /// This node's generation at the last change. Local: neither stored nor compared.
    pub modified: u64,
    // epoch, flag and seq lie side by side instead of in a `Version`, whose padding would cost 16 bytes a block
    max_epoch: u32,
    first_live: bool,
    max_seq: u64,
}

impl Summary {
    /// The summary of nothing.
    pub const EMPTY: Self = Self {
        live: 0,
        top_level: 0,
        live_bytes: 0,
        tombstones: 0,
        content: Digest::ZERO,
        state: Digest::ZERO,
        min_expiry: Expiry::NEVER,
        modified: 0,
        max_epoch: 0,
        first_live: false,
        max_seq: 0,
    };

    /// No entry of the run is newer than this.
    pub fn max_version(&self) -> Version {
        Version::new(self.max_epoch, self.max_seq)
    }

    /// Raises the bound to at least `version`.
    pub fn raise(&mut self, version: Version) {
        let max = self.max_version().max(version);
        (self.max_epoch, self.max_seq) = (max.epoch, max.seq);
    }

    /// Whether the first entry of the run is live.
    pub fn first_live(&self) -> bool {
        self.first_live
    }

    pub(crate) fn set_first_live(&mut self, first_live: bool) {
        self.first_live = first_live;
    }

    /// Entries, tombstones included.
    pub fn entries(&self) -> u64 {
        self.live + self.tombstones
    }

    /// Appends the run that follows this one in key order.
    pub fn add(&mut self, next: &Self) {
        if self.entries() == 0 {
            self.first_live = next.first_live;
        }
        self.live += next.live;
        self.top_level += next.top_level;
        self.live_bytes += next.live_bytes;
        self.tombstones += next.tombstones;
        self.content += next.content;
        self.state += next.state;
        self.min_expiry = earlier(self.min_expiry, next.min_expiry);
        self.modified = self.modified.max(next.modified);
        self.raise(next.max_version());
    }

    /// Counts one of the summarised runs as `new` where it was `old`. Returns whether the earliest deadline must be looked for again.
    pub(crate) fn exchange(&mut self, old: &Self, new: &Self) -> bool {
        self.live = self.live - old.live + new.live;
        self.top_level = self.top_level - old.top_level + new.top_level;
        self.live_bytes = self.live_bytes - old.live_bytes + new.live_bytes;
        self.tombstones = self.tombstones - old.tombstones + new.tombstones;
        self.content = self.content - old.content + new.content;
        self.state = self.state - old.state + new.state;
        self.modified = self.modified.max(new.modified);
        self.raise(new.max_version());
        let was_earliest = old.min_expiry != Expiry::NEVER && old.min_expiry == self.min_expiry;
        self.min_expiry = earlier(self.min_expiry, new.min_expiry);
        was_earliest && new.min_expiry != self.min_expiry
    }

    /// Whether both summarise the same entries, as far as sums tell; bound and generation aside.
    pub fn same_entries(&self, other: &Self) -> bool {
        let sums = |s: &Self| (s.live, s.top_level, s.live_bytes, s.tombstones, s.content, s.state, s.min_expiry, s.first_live);
        sums(self) == sums(other)
    }

    /// Fixed-size bytes for the checkpoint: numbers little-endian in the order of the fields, version as 12 bytes, first-live flag last.
    pub fn to_bytes(&self) -> [u8; SUMMARY_BYTES] {
        let mut out = Vec::with_capacity(SUMMARY_BYTES);
        for number in [self.live, self.top_level, self.live_bytes, self.tombstones, self.min_expiry.millis()] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&self.content.to_bytes());
        out.extend_from_slice(&self.state.to_bytes());
        out.extend_from_slice(&self.max_version().to_bytes());
        out.extend_from_slice(&[0; 8]); // room for last access
        out.push(u8::from(self.first_live));
        out.try_into().expect("the fields above have 93 bytes")
    }

    /// The inverse of [`Summary::to_bytes`]; `modified` is 0: what was read is not dirty.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let mut number = || reader.array::<8>("summary.numbers").map(u64::from_le_bytes);
        let (live, top_level, live_bytes, tombstones) = (number()?, number()?, number()?, number()?);
        let min_expiry = Expiry::from_millis(number()?);
        let content = Digest::from_bytes(reader.array("summary.content")?);
        let state = Digest::from_bytes(reader.array("summary.state")?);
        let max_epoch = u32::from_be_bytes(reader.array("summary.epoch")?);
        let max_seq = u64::from_be_bytes(reader.array("summary.seq")?);
        reader.array::<8>("summary.access")?;
        let first_live = match reader.u8("summary.first_live")? {
            flag @ (0 | 1) => flag == 1,
            _ => return Err(DecodeError::Invalid { field: "summary.first_live", why: "neither 0 nor 1" }),
        };
        if !reader.is_empty() || live.checked_add(tombstones).is_none_or(|n| n == 0) || top_level > live {
            return Err(DecodeError::Invalid { field: "summary", why: "its counts or its length make no sense" });
        }
        Ok(Self { live, top_level, live_bytes, tombstones, content, state, min_expiry, modified: 0, max_epoch, first_live, max_seq })
    }
}

/// The earlier of two deadlines.
pub(crate) fn earlier(a: Expiry, b: Expiry) -> Expiry {
    match (a.deadline(), b.deadline()) {
        (None, _) => b,
        (_, None) => a,
        (Some(x), Some(y)) => Expiry::at(x.min(y)),
    }
}
