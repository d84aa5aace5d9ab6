//! A keyspace in memory for tests: commands without a disk, with a horizon that moves only when it is flushed.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow, Range, RangeInclusive};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use limosa_core::slot::{SLOTS, slot_of};
use limosa_core::{Expiry, FragmentId, Retry, Version};
use limosa_store::{Join, ValueBytes};

use super::error::KeyspaceError;
use super::keyspace::{Backend, BackendFacts, Cold, Keyspace, Looked, Place, Published, ScannedKey, Stat, Stretch, Value, Visit};

type Map = BTreeMap<(u16, Vec<u8>), (Vec<u8>, Expiry)>;

#[derive(Default)]
pub(super) struct State {
    map: Map,
    published: Arc<Map>,
    head: u64,
    horizon: u64,
    is_dirty: bool,
    /// Values that are arriving in pieces.
    uploads: BTreeMap<u64, Vec<u8>>,
    /// Fragments that the keyspace pretends to have; a power of two.
    fragments: u32,
}

#[derive(Default)]
pub(super) struct Memory {
    state: Mutex<State>,
    /// While set, flushes find no room.
    pub(super) is_full: AtomicBool,
    /// While set, commands find the gates of all fragments shut.
    pub(super) is_shut: AtomicBool,
}

pub(super) struct Head<'a> {
    state: MutexGuard<'a, State>,
    seen: u64,
    follows: bool,
    is_shut: bool,
}

impl State {
    fn slots_each(&self) -> u32 {
        u32::from(SLOTS) / self.fragments.max(1)
    }
}

impl Head<'_> {
    /// As the store: refuses while the gate is shut, but for a standby's read.
    fn check(&self) -> Result<(), KeyspaceError> {
        match self.is_shut && !self.follows {
            true => Err(KeyspaceError { code: "store.parked", message: "the gate is shut".to_owned(), retry: Retry::Later }),
            false => Ok(()),
        }
    }
}

fn stored(key: &[u8]) -> (u16, Vec<u8>) {
    (slot_of(key), key.to_vec())
}

impl Keyspace for Head<'_> {
    fn get(&mut self, key: &[u8], now_ms: u64) -> Result<Option<Value<'_>>, KeyspaceError> {
        self.check()?;
        let found = self.state.map.get(&stored(key)).filter(|(_, expiry)| !expiry.is_past(now_ms));
        Ok(found.map(|(bytes, expiry)| Value { bytes: ValueBytes::Borrowed(bytes), expiry: *expiry }))
    }

    fn stat(&mut self, key: &[u8], now_ms: u64) -> Result<Option<Stat>, KeyspaceError> {
        Ok(self.get(key, now_ms)?.map(|value| Stat { bytes: value.bytes.len() as u64, expiry: value.expiry }))
    }

    fn set(&mut self, key: &[u8], value: &[u8], expiry: Expiry) -> Result<(), KeyspaceError> {
        self.check()?;
        self.state.map.insert(stored(key), (value.to_vec(), expiry));
        self.state.is_dirty = true;
        Ok(())
    }

    fn look(&mut self, key: &[u8], range: Range<u64>, now_ms: u64, whole_max: usize) -> Result<Option<Looked<'_>>, KeyspaceError> {
        let Some(value) = self.get(key, now_ms)? else { return Ok(None) };
        let index = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(value.bytes.len());
        let (bytes, expiry) = (value.bytes[index(range.start)..index(range.end)].to_vec(), value.expiry);
        Ok(Some(if bytes.len() > whole_max {
            Looked::Parts(Box::new(Rest(bytes)), expiry)
        } else {
            Looked::Whole(Value { bytes: ValueBytes::Joined(bytes), expiry })
        }))
    }

    fn append(&mut self, key: &[u8], bytes: &[u8], now_ms: u64) -> Result<u64, KeyspaceError> {
        let old = self.stat(key, now_ms)?.map_or(0, |stat| stat.bytes);
        self.set_range(key, old, bytes, now_ms)
    }

    fn set_range(&mut self, key: &[u8], offset: u64, bytes: &[u8], now_ms: u64) -> Result<u64, KeyspaceError> {
        let old = self.get(key, now_ms)?.map(|value| (value.bytes.into_owned(), value.expiry));
        let (mut value, expiry) = old.unwrap_or_default();
        let offset = usize::try_from(offset).expect("small in tests");
        value.resize(value.len().max(offset + bytes.len()), 0);
        value[offset..offset + bytes.len()].copy_from_slice(bytes);
        self.set(key, &value, expiry)?;
        Ok(value.len() as u64)
    }

    fn upload_open(&mut self, _: &[u8]) -> Result<u64, KeyspaceError> {
        self.check()?;
        let id = self.state.uploads.last_key_value().map_or(1, |(id, _)| id + 1);
        self.state.uploads.insert(id, Vec::new());
        Ok(id)
    }

    fn upload_push(&mut self, id: u64, bytes: &[u8], _: bool) -> Result<(), KeyspaceError> {
        self.check()?;
        self.state.uploads.get_mut(&id).expect("open").extend_from_slice(bytes);
        Ok(())
    }

    fn upload_join(&mut self, key: &[u8], id: u64, join: Join, now_ms: u64) -> Result<bool, KeyspaceError> {
        let old = self.get(key, now_ms)?.map_or(Vec::new(), |value| value.bytes.into_owned());
        let piece = self.state.uploads.remove(&id).expect("open");
        let offset = match join {
            Join::Append => old.len(),
            Join::At(offset) => usize::try_from(offset).expect("small in tests"),
        };
        let mut joined = old;
        joined.resize(joined.len().max(offset + piece.len()), 0);
        joined[offset..offset + piece.len()].copy_from_slice(&piece);
        self.state.uploads.insert(id, joined);
        Ok(true)
    }

    fn set_uploaded(&mut self, key: &[u8], id: u64, expiry: Expiry) -> Result<(), KeyspaceError> {
        let value = self.state.uploads[&id].clone();
        self.set(key, &value, expiry)
    }

    fn set_joined(&mut self, key: &[u8], id: u64, now_ms: u64) -> Result<Option<u64>, KeyspaceError> {
        let expiry = self.stat(key, now_ms)?.map_or(Expiry::NEVER, |stat| stat.expiry);
        self.set_uploaded(key, id, expiry)?;
        Ok(Some(self.state.uploads[&id].len() as u64))
    }

    fn upload_close(&mut self, id: u64) -> Result<(), KeyspaceError> {
        self.state.uploads.remove(&id);
        Ok(())
    }

    fn set_expiry(&mut self, key: &[u8], expiry: Expiry, now_ms: u64) -> Result<bool, KeyspaceError> {
        let value = self.get(key, now_ms)?.map(|value| value.bytes.into_owned());
        match value {
            Some(value) => self.set(key, &value, expiry).map(|()| true),
            None => Ok(false),
        }
    }

    fn delete(&mut self, key: &[u8], now_ms: u64) -> Result<bool, KeyspaceError> {
        let was_there = self.get(key, now_ms)?.is_some();
        self.state.map.remove(&stored(key));
        self.state.is_dirty |= was_there;
        Ok(was_there)
    }

    fn clear(&mut self) -> Result<(), KeyspaceError> {
        self.state.map.clear();
        self.state.is_dirty = true;
        Ok(())
    }

    fn clear_slots(&mut self, slots: RangeInclusive<u16>) -> Result<(), KeyspaceError> {
        self.state.map.retain(|(slot, _), _| !slots.contains(slot));
        self.state.is_dirty = true;
        Ok(())
    }

    fn place(&mut self, key: &[u8]) -> Place {
        let fragment = FragmentId(u32::from(slot_of(key)) / self.state.slots_each());
        Place { fragment, version: Version::new(1, self.state.head), position: self.state.head }
    }

    fn version_of(&mut self, fragment: FragmentId) -> Option<Version> {
        (fragment.0 < self.state.fragments.max(1)).then(|| Version::new(1, self.state.head))
    }

    fn follow(&mut self, follows: bool) {
        self.follows = follows;
    }

    fn commit(&mut self) {
        if std::mem::take(&mut self.state.is_dirty) {
            self.state.head += 1;
            self.seen = self.state.head;
        }
    }

    fn abort(&mut self) {
        assert!(!self.state.is_dirty, "a command of these tests fails before it writes");
    }

    fn seen(&self) -> u64 {
        self.seen
    }

    fn take_seen(&mut self) -> u64 {
        std::mem::take(&mut self.seen)
    }

    fn note(&mut self, _: &[u8]) {}

    fn into_cold(self) -> Cold {
        Cold::new()
    }
}

struct Rest(Vec<u8>);

impl Stretch for Rest {
    fn left(&self) -> u64 {
        self.0.len() as u64
    }

    fn read(&mut self, out: &mut Vec<u8>, bytes: usize) -> Result<(), KeyspaceError> {
        out.extend(self.0.drain(..bytes.min(self.0.len())));
        Ok(())
    }
}

pub(super) struct Cut(Arc<Map>, u64);

impl Published for Cut {
    fn key_count(&self) -> u64 {
        self.0.len() as u64
    }

    fn key_count_in(&self, slots: RangeInclusive<u16>) -> Result<u64, KeyspaceError> {
        Ok(self.0.keys().filter(|(slot, _)| slots.contains(slot)).count() as u64)
    }

    fn versions(&self) -> Vec<(FragmentId, Version)> {
        vec![(FragmentId(0), Version::new(1, self.1))]
    }

    fn each_key(&self, slots: RangeInclusive<u16>, visit: &mut Visit<'_>) -> Result<(), KeyspaceError> {
        let (first, after) = ((*slots.start(), vec![]), (slots.end() + 1, vec![]));
        for ((slot, key), (_, expiry)) in self.0.range((Bound::Included(first), Bound::Excluded(after))) {
            if let ControlFlow::Break(()) = visit(ScannedKey { key, slot: *slot, expiry: *expiry }) {
                break;
            }
        }
        Ok(())
    }

    fn random_key(&self, random: u64) -> Result<Option<(Vec<u8>, Expiry)>, KeyspaceError> {
        let index = random.checked_rem(self.0.len() as u64).unwrap_or(0);
        let index = usize::try_from(index).expect("below a length");
        Ok(self.0.iter().nth(index).map(|((_, key), (_, expiry))| (key.clone(), *expiry)))
    }
}

impl Memory {
    /// Values that are arriving in pieces.
    pub(super) fn arriving(&self) -> BTreeMap<u64, Vec<u8>> {
        self.state().uploads.clone()
    }

    /// From now on keys lie in so many fragments, a power of two.
    pub(super) fn set_fragments(&self, fragments: u32) {
        self.state().fragments = fragments;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panics under this lock")
    }
}

impl Backend for Memory {
    type Head<'a> = Head<'a>;
    type Cut = Cut;

    fn begin(&self, _: bool) -> Head<'_> {
        let state = self.state();
        let seen = state.head; // coarser than the store, which looks at the keys that were read
        Head { state, seen, follows: false, is_shut: self.is_shut.load(Ordering::SeqCst) }
    }

    fn load(&self, _: &Cold) -> Result<(), KeyspaceError> {
        Ok(())
    }

    fn may_wait(&self) -> bool {
        false
    }

    fn now_ms(&self) -> u64 {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    fn horizon(&self) -> u64 {
        self.state().horizon
    }

    fn flush(&self) -> Result<u64, KeyspaceError> {
        if self.is_full.load(Ordering::SeqCst) {
            return Err(KeyspaceError { code: "store.disk_full", message: "no room".to_owned(), retry: Retry::Later });
        }
        let mut state = self.state();
        state.published = Arc::new(state.map.clone());
        state.horizon = state.head;
        Ok(state.horizon)
    }

    fn cut(&self) -> Cut {
        let state = self.state();
        Cut(state.published.clone(), state.horizon)
    }

    fn facts(&self) -> BackendFacts {
        BackendFacts::default()
    }
}
