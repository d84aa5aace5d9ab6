//! A transaction: reads and writes at the head, closed into atomic commits.
//!
//! It holds the store's lock, so that what it reads does not change before it writes. What it sees may not be durable yet:
//! [`Txn::seen`] names the newest such position, and an answer waits until the horizon has reached it.

mod batch;
mod scan;
mod strings;

use std::ops::ControlFlow;
use std::sync::MutexGuard;

use limosa_core::limits::{ENTRY_VALUE_BYTES_MAX, STORED_KEY_BYTES_MAX};
use limosa_core::{KeyRange, LiveRef};

pub(crate) use batch::Batch;
pub use strings::{StringFacts, StringValue};

use crate::error::StoreError;
use crate::journal::Position;
use crate::options::Clock;
use crate::state::State;
use crate::store::Store;

/// Reads and writes at the head. Dropping it takes back what was not committed.
pub struct Txn<'a> {
    state: MutexGuard<'a, State>,
    clock: &'a Clock,
    seen: Position,
}

impl Store {
    /// Starts a transaction; others wait until it is dropped.
    pub fn begin(&self) -> Txn<'_> {
        Txn { state: self.inner.state(), clock: &self.inner.options.clock, seen: Position::ZERO }
    }
}

impl Txn<'_> {
    /// The live value at the stored key `key`, deadlines not looked at.
    ///
    /// # Errors
    /// The store is poisoned, or a block can't be had.
    pub fn read(&mut self, key: &[u8]) -> Result<Option<LiveRef<'_>>, StoreError> {
        self.state.check_poisoned()?;
        let (position, live) = self.state.find(key)?;
        self.seen = self.seen.max(position);
        Ok(live)
    }

    /// Writes a live value; false when value, type and expiry are what is there already: no new version then.
    ///
    /// # Errors
    /// Key, value or commit beyond their limits, no epoch opened, the store must not write, a block can't be had.
    pub fn write(&mut self, key: &[u8], live: LiveRef<'_>) -> Result<bool, StoreError> {
        limit("bytes of a stored key", key.len(), STORED_KEY_BYTES_MAX)?;
        limit("bytes of an entry's value", live.value.len(), ENTRY_VALUE_BYTES_MAX)?;
        let fragment = self.writable(key)?;
        let (position, current) = self.state.find(key)?;
        if current == Some(live) {
            self.seen = self.seen.max(position);
            return Ok(false);
        }
        self.state.put(fragment, key, Some(live))?;
        Ok(true)
    }

    /// Writes a tombstone; false when nothing live is there.
    ///
    /// # Errors
    /// As [`Txn::write`].
    pub fn remove(&mut self, key: &[u8]) -> Result<bool, StoreError> {
        let fragment = self.writable(key)?;
        let (position, current) = self.state.find(key)?;
        if current.is_none() {
            self.seen = self.seen.max(position);
            return Ok(false);
        }
        self.state.put(fragment, key, None)?;
        Ok(true)
    }

    /// Deletes everything in `range`, with one range delete on each fragment that has something live there; false when none has.
    ///
    /// # Errors
    /// As [`Txn::write`].
    pub fn remove_range(&mut self, range: &KeyRange) -> Result<bool, StoreError> {
        let mut removed = false;
        for index in self.state.routes.touched(range) {
            let Some(own) = self.state.fragments[index].range().intersect(range) else { continue };
            if self.any_live(index, &own)? {
                self.writable(&own.start)?;
                self.state.put_range_delete(index, own)?;
                removed = true;
            }
        }
        Ok(removed)
    }

    /// Whether there is something live in `own`, a range of the fragment at `index`. Entries of a whole fragment are not looked at: its
    /// sums say it, and what is pending. They may be wrong by a range delete that was not needed.
    fn any_live(&mut self, index: usize, own: &KeyRange) -> Result<bool, StoreError> {
        let state = &*self.state;
        let fragment = &state.fragments[index];
        if fragment.range() == own {
            self.seen = self.seen.max(state.overlay.newest_delete(own).unwrap_or_default());
            let is_live = |key: &[u8]| state.pending(key).is_some_and(|(_, live)| live.is_some());
            let is_hidden = state.overlay.deletes_all(own) || state.batch.deletes_all(own);
            return Ok(fragment.total().live > 0 && !is_hidden || state.overlay.any_key(own, is_live));
        }
        let mut any = false;
        self.scan(own, |_, _| {
            any = true;
            ControlFlow::Break(())
        })?;
        Ok(any)
    }

    /// Calls `f` for each live entry of `range` at the head, in key order, until it breaks.
    ///
    /// # Errors
    /// The store is poisoned, or a block can't be had.
    pub fn scan(&mut self, range: &KeyRange, mut f: impl FnMut(&[u8], LiveRef<'_>) -> ControlFlow<()>) -> Result<(), StoreError> {
        self.state.check_poisoned()?;
        self.state.scan(range, &mut self.seen, &mut f)
    }

    /// Closes the batch: everything written since the last commit becomes one, atomic. `None` when nothing was.
    pub fn commit(&mut self) -> Option<Position> {
        let position = self.state.commit_batch((self.clock)())?;
        self.seen = self.seen.max(position);
        Some(position)
    }

    /// Takes back everything written since the last commit.
    pub fn abort(&mut self) {
        self.state.abort_batch();
    }

    /// The newest pending position whose effect this transaction has read or written: an answer waits until the horizon is there.
    pub fn seen(&self) -> Position {
        self.seen
    }

    /// The fragment of `key`, when it may be written.
    fn writable(&self, key: &[u8]) -> Result<usize, StoreError> {
        self.state.check()?;
        let index = self.state.routes.of_key(key);
        if self.state.heads[index].epoch == 0 {
            return Err(StoreError::Invalid { what: "a write", why: "no epoch is open: this node owns nothing".into() });
        }
        if self.state.replicated > self.state.horizon {
            return Err(StoreError::Invalid {
                what: "a write",
                why: "commits of an owner are pending: flush before this node becomes owner".into(),
            });
        }
        Ok(index)
    }
}

impl Drop for Txn<'_> {
    fn drop(&mut self) {
        if !self.state.batch.is_empty() {
            self.state.abort_batch();
        }
    }
}

fn limit(what: &'static str, value: usize, max: usize) -> Result<(), StoreError> {
    if value > max {
        return Err(StoreError::Limit { what, value: value as u64, max: max as u64 });
    }
    Ok(())
}
