//! Keeping house: deletions that no peer needs any more are forgotten, in an order that a crash can't turn around.
//!
//! ```text
//! raise_floors (owner)  or  adopt_floors (standby)      a record: floors, and the range deletes below them go with it
//!        └──> sweep_some, again and again               the tombstones below a floor go, a few blocks at a time
//! ```
//! The record comes first. A floor is a promise about what a peer may be told; once it is in the journal, tombstones below it are waste,
//! wherever they lie and whenever they go: digests do not count them, and a start goes on sweeping where a crash stopped it.

use bytes::Bytes;
use limosa_core::{FragmentId, Scope, Version};
use limosa_tree::Fragment;

use crate::error::StoreError;
use crate::journal::RecordKind;
use crate::leases::{DELETION_BYTES, LeaseFacts, put_floors};
use crate::state::State;
use crate::store::Store;

/// What [`Store::raise_floors`] did.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Raised {
    /// Fragments whose floor will rise with the next flush.
    pub floors: usize,
    /// Peers whose lease ended: they will compare by content.
    pub ended: Vec<String>,
}

impl Store {
    /// A standby has told that it has these versions durably: deletions behind them are kept for it.
    pub fn renew_lease(&self, peer: &str, incarnation: u64, held: &[(FragmentId, Version)]) {
        let now_ms = (self.inner.options.clock)();
        let floors: Vec<Version> = {
            let state = self.inner.state();
            let floor = |id: FragmentId| state.routes.of_id(id).map(|index| state.fragments[index].floor());
            held.iter().map(|(id, _)| floor(*id).unwrap_or_default()).collect()
        };
        let floor = |id| held.iter().zip(&floors).find(|((other, _), _)| *other == id).map_or(Version::ZERO, |(_, floor)| *floor);
        self.inner.leases().renew(peer, incarnation, now_ms, held.iter().copied(), floor);
    }

    /// A standby is connected, whether or not it has anything new to tell.
    pub fn touch_lease(&self, peer: &str) {
        let now_ms = (self.inner.options.clock)();
        self.inner.leases().touch(peer, now_ms);
    }

    /// `peer` needs deletions of the fragments in `scope` no longer: it follows others, or another owner.
    pub fn end_lease(&self, peer: &str, scope: &Scope) {
        self.inner.leases().end(peer, scope);
    }

    /// Every lease, by the peer's name.
    pub fn leases(&self) -> Vec<LeaseFacts> {
        self.inner.leases().facts(self.inner.options.leases)
    }

    /// As the owner of the fragments in `owned`: ends leases that are too old or too dear, and raises the floor of each that remembers
    /// deletions to the lowest lease, or to its head when nobody needs them. Pends until the next flush.
    ///
    /// # Errors
    /// The store must not write.
    pub fn raise_floors(&self, owned: &Scope) -> Result<Raised, StoreError> {
        let (now_ms, bounds) = ((self.inner.options.clock)(), self.inner.options.leases);
        let mut state = self.inner.state();
        state.check()?;
        let mut leases = self.inner.leases();
        let mut ended = leases.end_old(now_ms, bounds);
        let (live_bytes, tombstones) = state
            .fragments
            .iter()
            .filter(|fragment| owned.has(fragment.id()))
            .map(Fragment::total)
            .fold((0, 0), |(bytes, count), total| (bytes + total.live_bytes, count + total.tombstones));
        if tombstones.saturating_mul(DELETION_BYTES) > bounds.bytes(live_bytes) {
            let own = state.fragments.iter().filter(|fragment| owned.has(fragment.id()));
            let heads: Vec<_> = own.map(|fragment| (fragment.id(), fragment.head())).collect();
            ended.extend(leases.end_dearest(&heads)); // one at a time: the next look may find that it was enough
        }
        let mut floors = Vec::new();
        // A fragment whose split or merge pends has no floors of its own any more.
        let is_there = |fragment: &&Fragment| {
            let is_own = owned.has(fragment.id()) && state.head_routes.of_id(fragment.id()).is_some();
            is_own && !state.is_staged(fragment.range()) // a fork builds on what a floor would forget
        };
        for fragment in state.fragments.iter().filter(|fragment| fragment.has_deletions()).filter(is_there) {
            let reach = leases.lowest(fragment.id()).unwrap_or(fragment.head()).min(fragment.head());
            if reach > fragment.floor() {
                floors.push((fragment.id(), reach));
            }
        }
        // A lease on the disk may be older than it is: then a restart keeps a little more.
        if leases.is_unsaved() || !floors.is_empty() {
            let body = leases.save();
            state.push(RecordKind::Leases, &body);
        }
        state.push_floors(&floors);
        Ok(Raised { floors: floors.len(), ended })
    }

    /// As a standby: takes over the floors of the owner, as far as this node has come. Pends until the next flush. Of what is
    /// staged nothing is taken: its seal brings the floors.
    ///
    /// # Errors
    /// The store must not write.
    pub fn adopt_floors(&self, floors: &[(FragmentId, Version)]) -> Result<(), StoreError> {
        if floors.is_empty() {
            return Ok(()); // as with most batches of a stream: frames of other sessions are not waited for
        }
        let _stages = self.inner.stages(); // held, so that none opens meanwhile
        let mut state = self.inner.state();
        state.check()?;
        let own = |&(id, floor): &(FragmentId, Version)| {
            let index = state.routes.of_id(id).filter(|index| !state.is_staged(state.fragments[*index].range()))?;
            let floor = floor.min(state.heads[state.head_routes.of_id(id)?].version);
            (floor > state.fragments[index].floor()).then_some((id, floor))
        };
        let floors: Vec<_> = floors.iter().filter_map(own).collect();
        state.push_floors(&floors);
        Ok(())
    }

    /// The floor of every fragment, as readers see it.
    pub fn floors(&self) -> Vec<(FragmentId, Version)> {
        self.inner.state().fragments.iter().map(|fragment| (fragment.id(), fragment.floor())).collect()
    }

    /// Drops tombstones below the floors: those of about `blocks` blocks. Cold blocks are read outside the lock. Answers how many went;
    /// `None` when there is nothing to sweep but what is staged, whose forks still build on them.
    ///
    /// # Errors
    /// A block can't be had.
    pub fn sweep_some(&self, blocks: usize) -> Result<Option<u64>, StoreError> {
        let stages = self.inner.stages(); // held, so that none opens meanwhile
        let found = {
            let state = self.inner.state();
            let place = |(&id, from): (&FragmentId, &Bytes)| {
                let fragment = &state.fragments[state.routes.of_id(id)?];
                (!state.is_staged(fragment.range())).then(|| (id, from.clone(), fragment.clone()))
            };
            state.to_sweep.iter().find_map(place)
        };
        let Some((id, from, snapshot)) = found else { return Ok(None) };
        snapshot.warm_sweep(&from, blocks)?;
        drop(snapshot); // it would make the sweep copy what it changes
        let mut state = self.inner.state();
        let Some(index) = state.routes.of_id(id) else { return Ok(Some(0)) }; // split or merged meanwhile
        let (collected, next) = state.fragments[index].sweep(&from, blocks)?;
        // A floor that rose meanwhile has put the place back to the beginning: then the sweep starts again.
        if state.to_sweep.get(&id) == Some(&from) {
            match next {
                Some(next) => state.to_sweep.insert(id, next),
                None => state.to_sweep.remove(&id),
            };
        }
        drop(state);
        drop(stages);
        Ok(Some(collected))
    }
}

impl State {
    fn push_floors(&mut self, floors: &[(FragmentId, Version)]) {
        if !floors.is_empty() {
            let mut body = Vec::new();
            put_floors(&mut body, floors);
            self.push(RecordKind::Floors, &body);
        }
    }

    /// Raises floors, from a record.
    pub(crate) fn apply_floors(&mut self, floors: &[(FragmentId, Version)]) -> Result<(), StoreError> {
        for &(id, floor) in floors {
            let index = self.index_of(id)?;
            let fragment = &mut self.fragments[index];
            fragment.forget_below(floor.min(fragment.head()));
            if fragment.total().tombstones > 0 {
                self.to_sweep.insert(id, Bytes::new());
            }
        }
        Ok(())
    }
}
