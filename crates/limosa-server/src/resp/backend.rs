//! The store as the front door's keyspace.

use std::borrow::Cow;
use std::ops::{ControlFlow, Range, RangeInclusive};

use bytes::Bytes;
use limosa_core::key::{self, slot_start};
use limosa_core::{Expiry, FragmentId, KeyRange, Version};
use limosa_store::{Cut, Join, Look, Reading, Store, StoreError, Txn};

use super::error::KeyspaceError;
use super::keyspace::{Backend, BackendFacts, Cold, Keyspace, Looked, Place, Published, ScannedKey, Stat, Stretch, Value, Visit};

impl From<StoreError> for KeyspaceError {
    fn from(error: StoreError) -> Self {
        Self { code: error.code(), message: error.to_string(), retry: error.retry() }
    }
}

impl Keyspace for Txn<'_> {
    fn get(&mut self, key: &[u8], now_ms: u64) -> Result<Option<Value<'_>>, KeyspaceError> {
        let value = Txn::get(self, key, now_ms)?;
        Ok(value.map(|value| Value { bytes: value.value, expiry: value.expiry }))
    }

    fn look(&mut self, key: &[u8], range: Range<u64>, now_ms: u64, whole_max: usize) -> Result<Option<Looked<'_>>, KeyspaceError> {
        let look = Txn::look(self, key, range, now_ms, whole_max)?;
        Ok(look.map(|look| match look {
            Look::Whole(value) => Looked::Whole(Value { bytes: value.value, expiry: value.expiry }),
            Look::Parts { reading, expiry } => Looked::Parts(Box::new(reading), expiry),
        }))
    }

    fn append(&mut self, key: &[u8], bytes: &[u8], now_ms: u64) -> Result<u64, KeyspaceError> {
        Ok(Txn::append(self, key, bytes, now_ms)?)
    }

    fn set_range(&mut self, key: &[u8], offset: u64, bytes: &[u8], now_ms: u64) -> Result<u64, KeyspaceError> {
        Ok(Txn::set_range(self, key, offset, bytes, now_ms)?)
    }

    fn upload_open(&mut self, key: &[u8]) -> Result<u64, KeyspaceError> {
        Ok(Txn::upload_open(self, key)?)
    }

    fn upload_push(&mut self, id: u64, bytes: &[u8], is_last: bool) -> Result<(), KeyspaceError> {
        Ok(Txn::upload_push(self, id, bytes, is_last)?)
    }

    fn upload_join(&mut self, key: &[u8], id: u64, join: Join, now_ms: u64) -> Result<bool, KeyspaceError> {
        Ok(Txn::upload_join(self, key, id, join, now_ms)?)
    }

    fn set_uploaded(&mut self, key: &[u8], id: u64, expiry: Expiry) -> Result<(), KeyspaceError> {
        Ok(Txn::set_uploaded(self, key, id, expiry)?)
    }

    fn set_joined(&mut self, key: &[u8], id: u64, now_ms: u64) -> Result<Option<u64>, KeyspaceError> {
        Ok(Txn::set_joined(self, key, id, now_ms)?)
    }

    fn upload_close(&mut self, id: u64) -> Result<(), KeyspaceError> {
        Ok(Txn::upload_close(self, id)?)
    }

    fn stat(&mut self, key: &[u8], now_ms: u64) -> Result<Option<Stat>, KeyspaceError> {
        let facts = self.facts(key, now_ms)?;
        Ok(facts.map(|facts| Stat { bytes: facts.bytes, expiry: facts.expiry }))
    }

    fn set(&mut self, key: &[u8], value: &[u8], expiry: Expiry) -> Result<(), KeyspaceError> {
        Ok(Txn::set(self, key, value, expiry)?)
    }

    fn set_expiry(&mut self, key: &[u8], expiry: Expiry, now_ms: u64) -> Result<bool, KeyspaceError> {
        Ok(Txn::set_expiry(self, key, expiry, now_ms)?)
    }

    fn delete(&mut self, key: &[u8], now_ms: u64) -> Result<bool, KeyspaceError> {
        Ok(Txn::delete(self, key, now_ms)?)
    }

    fn clear(&mut self) -> Result<(), KeyspaceError> {
        Ok(Txn::clear(self)?)
    }

    fn clear_slots(&mut self, slots: RangeInclusive<u16>) -> Result<(), KeyspaceError> {
        Ok(Txn::clear_slots(self, *slots.start(), *slots.end())?)
    }

    fn place(&mut self, key: &[u8]) -> Place {
        let limosa_store::Place { fragment, version, position } = Txn::place(self, key);
        Place { fragment, version, position: position.0 }
    }

    fn version_of(&mut self, fragment: FragmentId) -> Option<Version> {
        Txn::version_of(self, fragment)
    }

    fn follow(&mut self, follows: bool) {
        Txn::follow(self, follows);
    }

    fn commit(&mut self) {
        Txn::commit(self);
    }

    fn abort(&mut self) {
        Txn::abort(self);
    }

    fn seen(&self) -> u64 {
        Txn::seen(self).0
    }

    fn take_seen(&mut self) -> u64 {
        Txn::take_seen(self).0
    }

    fn note(&mut self, key: &[u8]) {
        self.note_cold(key);
    }

    fn into_cold(self) -> Cold {
        Txn::into_cold(self)
    }
}

impl Stretch for Reading {
    fn left(&self) -> u64 {
        Reading::left(self)
    }

    fn read(&mut self, out: &mut Vec<u8>, bytes: usize) -> Result<(), KeyspaceError> {
        Ok(Reading::read(self, out, bytes)?)
    }
}

impl Published for Cut {
    fn key_count(&self) -> u64 {
        self.top_level()
    }

    fn key_count_in(&self, slots: RangeInclusive<u16>) -> Result<u64, KeyspaceError> {
        let range = key_range(slots);
        let own = self.fragments().iter().filter_map(|view| Some((view, view.tree().range().intersect(&range)?)));
        Ok(own.map(|(view, own)| view.summary(&own).map(|summary| summary.top_level)).sum::<Result<u64, StoreError>>()?)
    }

    fn each_key(&self, slots: RangeInclusive<u16>, visit: &mut Visit<'_>) -> Result<(), KeyspaceError> {
        let range = key_range(slots);
        let _ = self.scan(&range, |entry| {
            let Some(live) = entry.live.filter(|live| live.kind.is_top_level()) else { return ControlFlow::Continue(()) };
            match (user_key(entry.key), key::slot(entry.key)) {
                (Some(key), Some(slot)) => visit(ScannedKey { key: &key, slot, expiry: live.expiry }),
                _ => ControlFlow::Continue(()), // no key of a hashed space: nothing that a client could name
            }
        })?;
        Ok(())
    }

    fn versions(&self) -> Vec<(FragmentId, Version)> {
        self.fragments().iter().map(|view| (view.id(), view.head())).collect()
    }

    fn random_key(&self, random: u64) -> Result<Option<(Vec<u8>, Expiry)>, KeyspaceError> {
        let Some(k) = random.checked_rem(self.top_level()) else { return Ok(None) };
        let Some(stored) = self.kth_live(k)? else { return Ok(None) };
        let mut expiry = Expiry::NEVER;
        for view in self.fragments().iter().filter(|view| view.tree().range().contains(&stored)) {
            expiry = view.get(&stored)?.and_then(|entry| entry.as_ref().live.map(|live| live.expiry)).unwrap_or(expiry);
        }
        Ok(user_key(&stored).map(|key| (key.into_owned(), expiry)))
    }
}

fn key_range(slots: RangeInclusive<u16>) -> KeyRange {
    let bound = |slot| Bytes::copy_from_slice(&slot_start(slot));
    KeyRange::new(bound(*slots.start()), Some(bound(slots.end() + 1)))
}

/// The user's key in a stored one; a copy only where bytes were escaped.
fn user_key(stored: &[u8]) -> Option<Cow<'_, [u8]>> {
    match stored.get(2..)?.strip_suffix(&[0, 0]) {
        Some(plain) if !plain.contains(&0) => Some(Cow::Borrowed(plain)),
        _ => key::parse(stored).map(|(key, _)| Cow::Owned(key)),
    }
}

impl Backend for Store {
    type Head<'a> = Txn<'a>;
    type Cut = Cut;

    fn begin(&self, waits: bool) -> Txn<'_> {
        if waits { Store::begin(self) } else { self.attempt() }
    }

    fn load(&self, cold: &Cold) -> Result<(), KeyspaceError> {
        Ok(Store::load(self, cold)?)
    }

    fn may_wait(&self) -> bool {
        self.is_paging()
    }

    fn now_ms(&self) -> u64 {
        Store::now_ms(self)
    }

    fn horizon(&self) -> u64 {
        Store::horizon(self).0
    }

    fn flush(&self) -> Result<u64, KeyspaceError> {
        Ok(Store::flush(self)?.0)
    }

    fn cut(&self) -> Cut {
        Store::cut(self)
    }

    fn facts(&self) -> BackendFacts {
        let stats = self.stats();
        BackendFacts {
            live_bytes: stats.live_bytes,
            memory_max: stats.memory_max,
            memory_bytes: stats.memory.total(),
            blocks_dropped: stats.blocks_dropped,
            blocks_read: stats.blocks_read,
            journal_bytes: stats.journal_bytes,
            checkpoints: stats.checkpoints,
            flushes: stats.flushes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::user_key;
    use limosa_core::key;

    #[test]
    fn a_user_key_comes_out_of_its_stored_form() {
        for key in [&b"plain"[..], b"", b"a\0b", b"\0", b"ends with \0", b"\0\xFF"] {
            assert_eq!(user_key(&key::stored(key)).as_deref(), Some(key));
        }
        assert_eq!(user_key(b"x"), None);
    }
}
