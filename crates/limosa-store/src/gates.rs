//! Which fragments commands are evaluated on: a gate for each, looked at under the store's lock.
//!
//! ```text
//! Serving ──> Parked ──> Closed        a move: nothing new, what pends is flushed, `sealed` says what the other side must have
//!    ^──────────┘                      the move is given up
//! ```
//! A command holds the lock from its first read to its last write, so one that was let in before a gate changed is in the pending group
//! when [`Store::set_gates`] returns, and every later one is refused.
//!
//! # Not here
//! - Who owns a fragment, and when a gate changes: whoever drives the store. Gates are not kept over a restart.

use limosa_core::{Digest, FragmentId, KeyRange, Version};

use crate::error::StoreError;
use crate::journal::Position;
use crate::state::State;
use crate::store::Store;

/// Whether commands are evaluated on a fragment.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum FragmentGate {
    /// They are: how every fragment of a store starts that was told nothing else.
    #[default]
    Serving,
    /// They wait: the fragment is about to move, or to be served again.
    Parked,
    /// They are refused: another node serves the fragment, or nobody does.
    Closed,
}

impl FragmentGate {
    /// Why a command on `fragment` is not evaluated.
    fn refusal(self, fragment: FragmentId) -> Option<StoreError> {
        match self {
            Self::Serving => None,
            Self::Parked => Some(StoreError::Parked { fragment }),
            Self::Closed => Some(StoreError::NotServed { fragment }),
        }
    }
}

impl Store {
    /// Sets the gates of these fragments, all at once. When it returns, no command is being evaluated on those that do not serve, and none
    /// will be. Large values that were arriving in a closed fragment are given up. Unknown fragments are passed over: one that was split or
    /// merged has left its gate to what it became.
    pub fn set_gates(&self, gates: &[(FragmentId, FragmentGate)]) {
        let mut state = self.inner.state();
        for &(id, gate) in gates {
            let Some(index) = state.head_routes.of_id(id) else { continue };
            state.heads[index].gate = gate;
            if gate == FragmentGate::Closed {
                let range = state.head_routes.range(index);
                state.uploads.close_in(&range);
            }
        }
        state.gates_changed();
    }

    /// Every fragment's gate, in key order.
    pub fn gates(&self) -> Vec<(FragmentId, FragmentGate)> {
        let state = self.inner.state();
        state.heads.iter().enumerate().map(|(index, head)| (state.head_routes.id(index), head.gate)).collect()
    }

    /// One fragment's gate; `None` when there is no such fragment.
    pub fn gate(&self, fragment: FragmentId) -> Option<FragmentGate> {
        let state = self.inner.state();
        state.head_routes.of_id(fragment).map(|index| state.heads[index].gate)
    }

    /// The last version that was given in a fragment whose gate is not [`FragmentGate::Serving`], and the state digest there: published,
    /// and on the disk whatever the durability. Nothing changes either until the gate opens or another owner's commits are taken.
    ///
    /// # Errors
    /// The fragment is unknown or still serves; as [`Store::flush`].
    pub fn sealed(&self, fragment: FragmentId) -> Result<(Version, Digest), StoreError> {
        let last = {
            let state = self.inner.state();
            let index = state.head_routes.of_id(fragment).ok_or_else(|| unknown(fragment))?;
            if state.heads[index].gate == FragmentGate::Serving {
                return Err(StoreError::Invalid { what: "a seal", why: format!("{fragment} is being written: park it first") });
            }
            Position(state.next_position().0 - 1)
        };
        self.settle(last)?;
        let state = self.inner.state();
        let index = state.index_of(fragment)?;
        Ok((state.fragments[index].head(), state.fragments[index].total().state))
    }
}

impl State {
    /// Counts anew what the fast path asks.
    pub(crate) fn gates_changed(&mut self) {
        self.all_serve = self.heads.iter().all(|head| head.gate == FragmentGate::Serving);
    }

    /// Refuses a command on the fragment that holds `key`, unless it serves.
    #[inline]
    pub(crate) fn admit(&self, key: &[u8]) -> Result<(), StoreError> {
        if self.all_serve { Ok(()) } else { self.admit_at(self.head_routes.of_key(key)) }
    }

    /// The same for every fragment that `range` touches.
    #[inline]
    pub(crate) fn admit_range(&self, range: &KeyRange) -> Result<(), StoreError> {
        if self.all_serve { Ok(()) } else { self.head_routes.touched(range).try_for_each(|index| self.admit_at(index)) }
    }

    /// The same for the fragment at `index` of the heads.
    #[inline]
    pub(crate) fn admit_at(&self, index: usize) -> Result<(), StoreError> {
        self.heads[index].gate.refusal(self.head_routes.id(index)).map_or(Ok(()), Err)
    }
}

pub(crate) fn unknown(fragment: FragmentId) -> StoreError {
    StoreError::Invalid { what: "a fragment", why: format!("this store has no {fragment}") }
}
