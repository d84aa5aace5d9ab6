//! Deadlines become tombstones at the owner; replicas follow its commits and never its clock.

use crate::error::StoreError;
use crate::gates::FragmentGate;
use crate::store::Store;
use crate::txn::Txn;
use bytes::Bytes;
use limosa_core::Scope;
use limosa_core::planted::{self, Bug};

/// Most keys that expire in one commit: each may need a block of its own in memory.
const COMMIT_KEYS_MAX: usize = 64;

impl Txn<'_> {
    /// Deletes those of the stored keys `due` whose deadline has passed, in one commit; answers how many.
    fn expire(&mut self, due: &[Bytes], now_ms: u64) -> Result<usize, StoreError> {
        let (mut deleted, mut cold) = (0, None);
        for stored in due {
            match self.remove_orphan(stored) {
                Ok(false) => {}
                Ok(true) | Err(StoreError::Parked { .. } | StoreError::NotServed { .. }) => continue,
                Err(error @ StoreError::Cold { .. }) => {
                    cold = Some(error);
                    continue;
                }
                Err(error) => return Err(error),
            }
            // Looked at again: a pending write may have given it another deadline.
            let is_past = match self.read(stored) {
                Err(error @ StoreError::Cold { .. }) => {
                    cold = Some(error); // on, to find out what else must be loaded
                    continue;
                }
                Err(StoreError::Parked { .. } | StoreError::NotServed { .. }) => continue, // its fragment moves
                found => found?.live().is_some_and(|live| live.expiry.is_past(now_ms)),
            };
            if is_past && cold.is_none() {
                self.delete_stored(stored)?;
                deleted += 1;
            }
        }
        cold.map_or(Ok(()), Err)?;
        self.commit();
        Ok(deleted)
    }
}

impl Store {
    /// Deletes up to `max` keys whose deadline has passed at `now_ms`, a few in each commit; answers how many. Only an owner does this:
    /// fragments that do not serve are passed over.
    ///
    /// # Errors
    /// As [`crate::Txn::write`].
    pub fn expire_due(&self, now_ms: u64, max: usize) -> Result<usize, StoreError> {
        let now_ms = if planted::has(Bug::ExpireEarly) { now_ms + 60_000 } else { now_ms };
        let serving = self.gates().into_iter().filter(|(_, gate)| *gate == FragmentGate::Serving).map(|(id, _)| id);
        let cut = self.cut().within(&Scope::only(serving));
        let mut due = Vec::new();
        let max = max + self.inner.state().uploads.len(); // places of values that arrive are among them
        for view in cut.fragments().iter().filter(|view| view.tree().earliest_expiry().is_some_and(|at| at <= now_ms)) {
            if due.len() >= max {
                break;
            }
            due.extend(view.tree().expired(now_ms, max - due.len())?);
        }
        drop(cut); // it would make the commits below copy what they change
        due.chunks(COMMIT_KEYS_MAX).map(|due| self.transact(|txn| txn.expire(due, now_ms))).sum()
    }

    /// The earliest deadline of all published keys in fragments that serve, milliseconds since the Unix epoch.
    pub fn earliest_expiry(&self) -> Option<u64> {
        let state = self.inner.state();
        let serves = |fragment: &&limosa_tree::Fragment| state.admit(&fragment.range().start).is_ok();
        state.fragments.iter().filter(serves).filter_map(limosa_tree::Fragment::earliest_expiry).min()
    }
}
