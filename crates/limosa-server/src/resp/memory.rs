//! A keyspace in memory for tests: commands without a disk, with a horizon that moves only when it is flushed.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use limosa_core::slot::slot_of;
use limosa_core::{Expiry, Retry};
use limosa_store::ValueBytes;

use super::error::KeyspaceError;
use super::keyspace::{Backend, BackendFacts, Cold, Keyspace, Published, ScannedKey, Stat, Value, Visit};

type Map = BTreeMap<(u16, Vec<u8>), (Vec<u8>, Expiry)>;

#[derive(Default)]
pub(super) struct State {
    map: Map,
    published: Arc<Map>,
    head: u64,
    horizon: u64,
    is_dirty: bool,
}

#[derive(Default)]
pub(super) struct Memory {
    state: Mutex<State>,
    /// While set, flushes find no room.
    pub(super) is_full: AtomicBool,
}

pub(super) struct Head<'a> {
    state: MutexGuard<'a, State>,
    seen: u64,
}

fn stored(key: &[u8]) -> (u16, Vec<u8>) {
    (slot_of(key), key.to_vec())
}

impl Keyspace for Head<'_> {
    fn get(&mut self, key: &[u8], now_ms: u64) -> Result<Option<Value<'_>>, KeyspaceError> {
        let found = self.state.map.get(&stored(key)).filter(|(_, expiry)| !expiry.is_past(now_ms));
        Ok(found.map(|(bytes, expiry)| Value { bytes: ValueBytes::Borrowed(bytes), expiry: *expiry }))
    }

    fn stat(&mut self, key: &[u8], now_ms: u64) -> Result<Option<Stat>, KeyspaceError> {
        Ok(self.get(key, now_ms)?.map(|value| Stat { bytes: value.bytes.len() as u64, expiry: value.expiry }))
    }

    fn set(&mut self, key: &[u8], value: &[u8], expiry: Expiry) -> Result<(), KeyspaceError> {
        self.state.map.insert(stored(key), (value.to_vec(), expiry));
        self.state.is_dirty = true;
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

    fn note(&mut self, _: &[u8]) {}

    fn into_cold(self) -> Cold {
        Cold::new()
    }
}

pub(super) struct Cut(Arc<Map>);

impl Published for Cut {
    fn key_count(&self) -> u64 {
        self.0.len() as u64
    }

    fn each_key(&self, first_slot: u16, visit: &mut Visit<'_>) -> Result<(), KeyspaceError> {
        for ((slot, key), (_, expiry)) in self.0.range((Bound::Included((first_slot, vec![])), Bound::Unbounded)) {
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
        Head { state, seen }
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
        Cut(self.state().published.clone())
    }

    fn facts(&self) -> BackendFacts {
        BackendFacts::default()
    }
}
