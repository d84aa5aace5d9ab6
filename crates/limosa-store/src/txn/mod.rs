//! A transaction: reads and writes at the head, closed into atomic commits.
//!
//! It holds the store's lock, so that what it reads does not change before it writes. What it sees may not be durable yet:
//! [`Txn::seen`] names the newest such position, and an answer waits until the horizon has reached it.

mod batch;
mod cold;
mod joining;
mod place;
mod ranges;
mod reapply;
mod scan;
mod strings;
mod uploads;

use std::ops::ControlFlow;
use std::sync::{Arc, MutexGuard};

use limosa_core::limits::{ENTRY_VALUE_BYTES_MAX, STORED_KEY_BYTES_MAX};
use limosa_core::{FragmentId, KeyRange, LiveRef};
use limosa_tree::Unloaded;

pub(crate) use batch::Batch;
use cold::Cold;
pub use place::Place;
pub use reapply::{LostEntry, NotReapplied, Reapplied};
pub use strings::{Look, StringFacts, StringValue, ValueBytes};

use crate::error::StoreError;
use crate::gates::FragmentGate;
use crate::journal::Position;
use crate::options::Clock;
use crate::state::{Found, State};
use crate::store::{Counters, Store};

/// So often a transaction is evaluated again because blocks were not in memory, before it waits for them under the lock.
const TRIES_MAX: usize = 32;

/// Reads and writes at the head. Dropping it takes back what was not committed.
pub struct Txn<'a> {
    state: MutexGuard<'a, State>,
    clock: &'a Clock,
    counters: &'a Arc<Counters>,
    seen: Position,
    /// Reads are those of a standby: gates do not matter to them.
    follows: bool,
    /// Blocks are loaded under the lock.
    waits: bool,
    /// Blocks that must be loaded before another try.
    cold: Vec<Unloaded>,
}

impl Store {
    /// Starts a transaction; others wait until it is dropped, also while it loads a block that is not in memory. Where that matters,
    /// use [`Store::attempt`] or [`Store::transact`].
    pub fn begin(&self) -> Txn<'_> {
        self.txn(true)
    }

    /// Starts a transaction that never waits for the disk: where a block is not in memory, its calls fail with [`StoreError::Cold`], and
    /// [`Txn::into_cold`] answers what to [`Store::load`] before another try.
    pub fn attempt(&self) -> Txn<'_> {
        self.txn(false)
    }

    fn txn(&self, waits: bool) -> Txn<'_> {
        let (clock, counters) = (&self.inner.options.clock, &self.inner.counters);
        Txn { state: self.inner.state(), clock, counters, seen: Position::ZERO, follows: false, waits, cold: Vec::new() }
    }

    /// Brings blocks into memory, for whoever comes next: of many only the first ones, which fit beside what is there; the rest is met again.
    /// Waits for the disk, and holds no lock meanwhile.
    ///
    /// # Errors
    /// A block can't be had.
    pub fn load(&self, cold: &[Unloaded]) -> Result<(), StoreError> {
        cold.iter().take(self.inner.relief.loads_at_once()).try_for_each(Unloaded::load)?;
        self.inner.relieve();
        Ok(())
    }

    /// Evaluates `f` in a transaction, and again whenever a block had to be loaded first: others do not wait for the disk. What `f` does
    /// beside the transaction is done each time; what it wrote before it failed is taken back.
    ///
    /// # Errors
    /// As `f`; a block can't be had.
    pub fn transact<R>(&self, mut f: impl FnMut(&mut Txn<'_>) -> Result<R, StoreError>) -> Result<R, StoreError> {
        for _ in 0..TRIES_MAX {
            let mut txn = self.attempt();
            let outcome = f(&mut txn);
            if !matches!(outcome, Err(StoreError::Cold { .. })) {
                return outcome;
            }
            self.load(&txn.into_cold())?;
        }
        f(&mut self.begin()) // needs more blocks at once than memory keeps: it gets them one by one
    }
}

impl Txn<'_> {
    /// The live value at the stored key `key`, deadlines not looked at.
    ///
    /// # Errors
    /// The store is poisoned, or a block can't be had.
    #[inline]
    pub fn read(&mut self, key: &[u8]) -> Result<Found<'_>, StoreError> {
        self.state.check_poisoned()?;
        self.admit(key)?;
        let Self { state, seen, cold, waits, .. } = self;
        let (position, found) = find(state, key, *waits, cold)?;
        *seen = (*seen).max(position);
        Ok(found)
    }

    /// What must be loaded before another try, after a call has failed with [`StoreError::Cold`]; writes are taken back.
    pub fn into_cold(mut self) -> Vec<Unloaded> {
        std::mem::take(&mut self.cold)
    }

    /// Notes the block of a user's key among what is to be loaded, if it is cold: for one who knows which keys it will look at.
    pub fn note_cold(&mut self, user_key: &[u8]) {
        if let Err(block) = self.state.find(&limosa_core::key::stored(user_key)) {
            self.cold.push(*block);
        }
    }

    /// Writes a live value; false when value, type and expiry are what is there already: no new version then.
    ///
    /// # Errors
    /// Key, value or commit beyond their limits, no epoch opened, the store must not write, a block can't be had.
    pub fn write(&mut self, key: &[u8], live: LiveRef<'_>) -> Result<bool, StoreError> {
        limit("bytes of a stored key", key.len(), STORED_KEY_BYTES_MAX)?;
        limit("bytes of an entry's value", live.value.len(), ENTRY_VALUE_BYTES_MAX)?;
        let fragment = self.writable(key)?;
        let (position, current) = find(&self.state, key, self.waits, &mut self.cold)?;
        let is_same = current.live() == Some(live);
        drop(current);
        if is_same {
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
        let (position, current) = find(&self.state, key, self.waits, &mut self.cold)?;
        let is_absent = current.live().is_none();
        drop(current);
        if is_absent {
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
        for index in self.state.head_routes.touched(range) {
            self.state.admit_at(index)?;
            let Some(own) = self.state.head_routes.range(index).intersect(range) else { continue };
            if self.any_live(&own)? {
                self.writable(&own.start)?;
                self.state.put_range_delete(index, own)?;
                removed = true;
            }
        }
        Ok(removed)
    }

    /// Whether there is something live in `own`. Entries of a whole published fragment are not looked at: its sums say it, and what is pending. They may be wrong by a range delete that was not needed.
    fn any_live(&mut self, own: &KeyRange) -> Result<bool, StoreError> {
        let state = &*self.state;
        let fragment = &state.fragments[state.routes.of_key(&own.start)];
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
        if !self.follows {
            self.state.admit_range(range)?;
        }
        let Self { state, seen, cold, waits, .. } = self;
        state.scan(range, seen, &mut Cold { waits: *waits, blocks: cold }, &mut f)
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

    /// The fragment that holds `user_key`.
    pub fn fragment_of(&self, user_key: &[u8]) -> FragmentId {
        self.state.head_routes.id(self.state.head_routes.of_key(&limosa_core::key::stored(user_key)))
    }

    /// Position of `fragment`'s newest published commit, as [`Store::last_commit`]; what is newer and was looked at is in [`Txn::seen`].
    pub fn last_commit(&self, fragment: FragmentId) -> Option<Position> {
        self.state.last_commit(fragment)
    }

    /// The newest pending position whose effect this transaction has read or written: an answer waits until the horizon is there.
    pub fn seen(&self) -> Position {
        self.seen
    }

    /// The fragment of `key`, when it may be written.
    fn writable(&self, key: &[u8]) -> Result<usize, StoreError> {
        self.state.check()?;
        let index = self.state.head_routes.of_key(key);
        let head = &self.state.heads[index];
        if head.gate != FragmentGate::Serving {
            return self.state.admit_at(index).map(|()| index);
        }
        if head.epoch == 0 {
            return Err(StoreError::Invalid { what: "a write", why: "no epoch is open: this node owns nothing".into() });
        }
        if head.replicated > self.state.horizon {
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

/// What lies at `key`. A block that is cold is loaded under the lock, or noted for another try.
#[inline]
fn find<'s>(state: &'s State, key: &[u8], waits: bool, cold: &mut Vec<Unloaded>) -> Result<(Position, Found<'s>), StoreError> {
    loop {
        match state.find(key) {
            Ok(found) => return Ok(found),
            Err(block) if waits => block.load()?,
            Err(block) => {
                cold.push(*block);
                return Err(StoreError::Cold { count: cold.len() });
            }
        }
    }
}

fn limit(what: &'static str, value: usize, max: usize) -> Result<(), StoreError> {
    if value > max {
        return Err(StoreError::Limit { what, value: value as u64, max: max as u64 });
    }
    Ok(())
}
