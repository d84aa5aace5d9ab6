//! What commands need from the state below them, so that they run against the store and, in tests, against a map in memory.
//!
//! A [`Keyspace`] is the head: it reads and writes under the store's lock. A [`Published`] is a snapshot that needs no lock. A
//! [`Backend`] hands out both and makes writes durable. Positions count commits; a reply may leave once [`Backend::horizon`]
//! has reached the position that its command saw.

use std::ops::{ControlFlow, Range, RangeInclusive};

use limosa_core::{Expiry, FragmentId, Version};
use limosa_store::{Join, ValueBytes};

use super::error::KeyspaceError;

/// A live string.
#[derive(Debug)]
pub struct Value<'a> {
    /// The bytes; in the store's memory unless they had to be put together.
    pub bytes: ValueBytes<'a>,
    /// When it ends.
    pub expiry: Expiry,
}

/// A stretch of a live string.
pub enum Looked<'a> {
    /// The bytes.
    Whole(Value<'a>),
    /// What reads them.
    Parts(Box<dyn Stretch>, Expiry),
}

/// Reads a stretch of a value piece by piece, from one version of it, without the lock.
pub trait Stretch: Send {
    /// Bytes that were not read yet.
    fn left(&self) -> u64;
    /// Appends about `bytes` bytes to `out`.
    fn read(&mut self, out: &mut Vec<u8>, bytes: usize) -> Result<(), KeyspaceError>;
}

/// What is known of a live string without its bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stat {
    /// Length of the value, bytes.
    pub bytes: u64,
    /// When it ends.
    pub expiry: Expiry,
}

/// Where a key lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// In which fragment.
    pub fragment: FragmentId,
    /// The fragment's version, pending commits included.
    pub version: Version,
    /// Position of its newest published commit; 0 when that is older than what positions count.
    pub position: u64,
}

/// Strings by user key, at the head. Keys whose deadline has passed at `now_ms` read as absent.
pub trait Keyspace {
    /// The value of `key`.
    fn get(&mut self, key: &[u8], now_ms: u64) -> Result<Option<Value<'_>>, KeyspaceError>;
    /// Length and deadline of `key`.
    fn stat(&mut self, key: &[u8], now_ms: u64) -> Result<Option<Stat>, KeyspaceError>;
    /// Bytes `range` of the value of `key`, as far as it reaches. More than `whole_max` of them may be left to be read in pieces.
    fn look(&mut self, key: &[u8], range: Range<u64>, now_ms: u64, whole_max: usize) -> Result<Option<Looked<'_>>, KeyspaceError>;
    /// Appends to the value of `key`, or makes it; answers its length.
    fn append(&mut self, key: &[u8], bytes: &[u8], now_ms: u64) -> Result<u64, KeyspaceError>;
    /// Overwrites the value of `key` from `offset` on, zeros before that where it is shorter; answers its length.
    fn set_range(&mut self, key: &[u8], offset: u64, bytes: &[u8], now_ms: u64) -> Result<u64, KeyspaceError>;
    /// Begins to take a value for `key` in pieces; answers what names it.
    fn upload_open(&mut self, key: &[u8]) -> Result<u64, KeyspaceError>;
    /// Takes the next piece, a few hundred KiB at most. To be committed.
    fn upload_push(&mut self, id: u64, bytes: &[u8], is_last: bool) -> Result<(), KeyspaceError>;
    /// One step of joining a complete value to that of `key`; true when only [`Keyspace::set_joined`] is left. To be committed.
    fn upload_join(&mut self, key: &[u8], id: u64, join: Join, now_ms: u64) -> Result<bool, KeyspaceError>;
    /// Makes a complete value that of `key`.
    fn set_uploaded(&mut self, key: &[u8], id: u64, expiry: Expiry) -> Result<(), KeyspaceError>;
    /// Makes a joined value that of `key` and answers its length; `None` when the old one has changed since.
    fn set_joined(&mut self, key: &[u8], id: u64, now_ms: u64) -> Result<Option<u64>, KeyspaceError>;
    /// Forgets a value that was taken in pieces, and deletes it unless it was set. To be committed.
    fn upload_close(&mut self, id: u64) -> Result<(), KeyspaceError>;
    /// Writes value and deadline.
    fn set(&mut self, key: &[u8], value: &[u8], expiry: Expiry) -> Result<(), KeyspaceError>;
    /// Changes the deadline of `key`; whether the key is there.
    fn set_expiry(&mut self, key: &[u8], expiry: Expiry, now_ms: u64) -> Result<bool, KeyspaceError>;
    /// Deletes `key`; whether it was there.
    fn delete(&mut self, key: &[u8], now_ms: u64) -> Result<bool, KeyspaceError>;
    /// Deletes every key.
    fn clear(&mut self) -> Result<(), KeyspaceError>;
    /// Deletes every key of these slots.
    fn clear_slots(&mut self, slots: RangeInclusive<u16>) -> Result<(), KeyspaceError>;
    /// Where `key` lies, and how new that is.
    fn place(&mut self, key: &[u8]) -> Place;
    /// Version of the newest commit in a fragment, pending ones included; `None` when there is no such fragment.
    fn version_of(&mut self, fragment: FragmentId) -> Option<Version>;
    /// From now on reads also see what this node does not serve but only follows, or no longer.
    fn follow(&mut self, follows: bool);
    /// Closes the batch: what was written since the last call becomes visible together.
    fn commit(&mut self);
    /// Takes back what was written since the last commit.
    fn abort(&mut self);
    /// The newest position whose effect was read or written so far.
    fn seen(&self) -> u64;
    /// As [`Keyspace::seen`], since the last call of this one.
    fn take_seen(&mut self) -> u64;
    /// Notes that `key` will be looked at, for [`Keyspace::into_cold`].
    fn note(&mut self, key: &[u8]);
    /// What must be brought into memory before another try, when a call has failed because something was not there.
    fn into_cold(self) -> Cold
    where
        Self: Sized;
}

/// A key as scans see it.
#[derive(Clone, Copy, Debug)]
pub struct ScannedKey<'a> {
    /// The user's key.
    pub key: &'a [u8],
    /// Its slot.
    pub slot: u16,
    /// When it ends.
    pub expiry: Expiry,
}

/// Called for each key of a scan.
pub type Visit<'v> = dyn FnMut(ScannedKey<'_>) -> ControlFlow<()> + 'v;

/// A snapshot of all published keys.
pub trait Published {
    /// Number of keys, those with a deadline in the past included as long as nobody removed them.
    fn key_count(&self) -> u64;
    /// The same for some slots.
    fn key_count_in(&self, slots: RangeInclusive<u16>) -> Result<u64, KeyspaceError>;
    /// Visits the live keys of `slots`, slot by slot, in a stable order within a slot.
    fn each_key(&self, slots: RangeInclusive<u16>, visit: &mut Visit<'_>) -> Result<(), KeyspaceError>;
    /// Every fragment and its version.
    fn versions(&self) -> Vec<(FragmentId, Version)>;
    /// A key chosen by `random`, uniform over 64 bits, if there is any; it may have ended.
    fn random_key(&self, random: u64) -> Result<Option<(Vec<u8>, Expiry)>, KeyspaceError>;
}

/// Figures for INFO.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct BackendFacts {
    /// Keys and values that live, bytes.
    pub live_bytes: u64,
    /// Most memory for state and caches, bytes.
    pub memory_max: u64,
    /// What of it is taken, as the store counts it.
    pub memory_bytes: u64,
    /// Blocks dropped from memory since the start.
    pub blocks_dropped: u64,
    /// Blocks read into memory since the start.
    pub blocks_read: u64,
    /// Bytes that the journal has taken since it was made.
    pub journal_bytes: u64,
    /// Checkpoints made since the start.
    pub checkpoints: u64,
    /// Group commits since the start.
    pub flushes: u64,
}

/// The code of an error that says: not in memory, load it and try again.
pub(crate) const COLD: &str = "store.cold";

/// What is not in memory.
pub type Cold = Vec<limosa_store::Unloaded>;

/// The state below the front door.
pub trait Backend: Send + Sync + 'static {
    /// The head under the lock: never held over an await.
    type Head<'a>: Keyspace
    where
        Self: 'a;
    /// A snapshot.
    type Cut: Published + Send;

    /// Takes the lock. Calls that would wait for the disk fail with the code `store.cold`; with `waits` they wait, under the lock.
    fn begin(&self, waits: bool) -> Self::Head<'_>;
    /// Brings what [`Keyspace::into_cold`] answered into memory. Blocks on the disk.
    fn load(&self, cold: &Cold) -> Result<(), KeyspaceError>;
    /// Whether [`Backend::flush`] may have to read from the disk first, or to make room in memory.
    fn may_wait(&self) -> bool;
    /// The time that deadlines are compared with, milliseconds since the Unix epoch.
    fn now_ms(&self) -> u64;
    /// The published position.
    fn horizon(&self) -> u64;
    /// Makes pending commits durable and publishes them; returns the new horizon. After an error the state below refuses writes.
    fn flush(&self) -> Result<u64, KeyspaceError>;
    /// A snapshot of what is published.
    fn cut(&self) -> Self::Cut;
    /// Figures for INFO. Does not wait for a flush that runs.
    fn facts(&self) -> BackendFacts;
}
