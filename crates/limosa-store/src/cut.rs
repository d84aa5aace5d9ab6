//! All fragments at one published position: a snapshot that commands do not move.

use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use limosa_core::{EntryRef, FragmentFacts, FragmentId, Frame, KeyRange, Scope, Version};
use limosa_tree::{BlockId, Changes, Entry, Extract, Fragment, Summary};

use crate::error::StoreError;
use crate::fragments::Routes;
use crate::journal::Position;
use crate::store::{Counters, Store};

/// A consistent view of every fragment. Cheap to make; hold it briefly, for memory that commands have replaced stays while it lives.
#[derive(Clone)]
pub struct Cut {
    position: Position,
    fragments: Vec<FragmentView>,
    routes: Arc<Routes>,
}

/// One fragment of a cut.
#[derive(Clone)]
pub struct FragmentView {
    fragment: Fragment,
    counters: Arc<Counters>,
}

impl Store {
    /// The published state, all of it at one position.
    pub fn cut(&self) -> Cut {
        let (position, fragments, routes) = {
            let state = self.inner.state();
            (state.horizon, state.fragments.clone(), state.routes.clone())
        };
        Cut { position, fragments: self.views(fragments), routes }
    }

    pub(crate) fn views(&self, fragments: Vec<Fragment>) -> Vec<FragmentView> {
        fragments.into_iter().map(|fragment| FragmentView { fragment, counters: self.inner.counters.clone() }).collect()
    }
}

impl Cut {
    /// Where in this node's commit order the cut was made.
    pub fn position(&self) -> Position {
        self.position
    }

    /// The cut's fragments that are in `scope`, and no others.
    #[must_use]
    pub fn within(mut self, scope: &Scope) -> Self {
        if !scope.is_all() {
            self.fragments.retain(|view| scope.has(view.id()));
        }
        self
    }

    /// Every fragment, in key order.
    pub fn fragments(&self) -> &[FragmentView] {
        &self.fragments
    }

    /// One fragment.
    pub fn fragment(&self, id: FragmentId) -> Option<&FragmentView> {
        if self.routes.len() == self.fragments.len() {
            return self.routes.of_id(id).map(|index| &self.fragments[index]);
        }
        self.fragments.iter().find(|view| view.id() == id)
    }

    /// The fragment that holds the stored key `key`.
    ///
    /// # Panics
    /// If the cut was brought down to a scope that does not have it.
    pub fn holding(&self, key: &[u8]) -> &FragmentView {
        self.fragment(self.routes.id(self.routes.of_key(key))).expect("the fragment is in the cut's scope")
    }

    /// Live keys that users see, deadlines not looked at.
    pub fn top_level(&self) -> u64 {
        self.fragments.iter().map(|view| view.fragment.top_level()).sum()
    }

    /// The `k`-th live key that users see, in stored form, counted from 0 over all fragments.
    ///
    /// # Errors
    /// A block can't be had.
    pub fn kth_live(&self, mut k: u64) -> Result<Option<Bytes>, StoreError> {
        for view in &self.fragments {
            let own = view.fragment.top_level();
            if k < own {
                return Ok(view.fragment.kth_live(k)?);
            }
            k -= own;
        }
        Ok(None)
    }

    /// Calls `f` for each entry of `range` over all fragments in key order, tombstones included, until it breaks.
    ///
    /// # Errors
    /// A block can't be had.
    pub fn scan(&self, range: &KeyRange, mut f: impl FnMut(EntryRef<'_>) -> ControlFlow<()>) -> Result<ControlFlow<()>, StoreError> {
        for view in &self.fragments {
            let Some(own) = view.fragment.range().intersect(range) else { continue };
            if view.scan(&own, &mut f)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

impl FragmentView {
    /// Which fragment.
    pub fn id(&self) -> FragmentId {
        self.fragment.id()
    }

    /// What is told to peers and operators.
    pub fn facts(&self) -> FragmentFacts {
        self.fragment.facts()
    }

    /// Version of the last commit in it.
    pub fn head(&self) -> Version {
        self.fragment.head()
    }

    /// The tree itself, for what has no call of its own here.
    pub fn tree(&self) -> &Fragment {
        &self.fragment
    }

    /// Calls `f` with the summary of every block, in key order; none is read.
    pub fn each_block(&self, f: impl FnMut(&Summary)) {
        self.fragment.each_block(f);
    }

    /// The entry at `key`, tombstones included.
    ///
    /// # Errors
    /// A block can't be had.
    pub fn get(&self, key: &[u8]) -> Result<Option<Entry<'_>>, StoreError> {
        self.counters.read_entries(1);
        Ok(self.fragment.get(key)?)
    }

    /// Brings the block that `key` belongs into into memory, to stay there for a while.
    ///
    /// # Errors
    /// It can't be had.
    pub fn warm(&self, key: &[u8]) -> Result<(), StoreError> {
        Ok(self.fragment.warm(key)?)
    }

    /// Sums over `range`.
    ///
    /// # Errors
    /// A block at an edge can't be had.
    pub fn summary(&self, range: &KeyRange) -> Result<Summary, StoreError> {
        Ok(self.fragment.summary(range)?)
    }

    /// Calls `f` for each entry of `range` in key order, tombstones included, until it breaks.
    ///
    /// # Errors
    /// A block can't be had.
    pub fn scan(&self, range: &KeyRange, mut f: impl FnMut(EntryRef<'_>) -> ControlFlow<()>) -> Result<ControlFlow<()>, StoreError> {
        let mut count = 0;
        let flow = self.fragment.scan(range, |entry| {
            count += 1;
            f(entry)
        });
        self.counters.read_entries(count);
        Ok(flow?)
    }

    /// How much of `range` changed since `since`, estimated from summaries.
    pub fn changed(&self, range: &KeyRange, since: Version) -> Changes {
        self.fragment.changed(range, since)
    }

    /// A frame that brings a peer's `range`, or a first part of it, from `since` to the cut; then where the next frame starts.
    ///
    /// # Errors
    /// A block can't be had.
    pub fn delta(
        &self,
        range: &KeyRange,
        since: Version,
        what: Extract<'_>,
        max_bytes: usize,
    ) -> Result<(Frame, Option<Bytes>), StoreError> {
        let (frame, next) = self.fragment.delta(range, since, what, max_bytes)?;
        self.counters.read_entries(frame.entries.len() as u64);
        Ok((frame, next))
    }

    /// The comparison blocks of `range`.
    ///
    /// # Errors
    /// A block at an edge can't be had.
    pub fn block_ids(&self, range: &KeyRange, salt: u64) -> Result<Vec<BlockId>, StoreError> {
        Ok(self.fragment.block_ids(range, salt)?)
    }

    /// A salted id for each live entry of `ranges`, with its key.
    ///
    /// # Errors
    /// A block can't be had.
    pub fn entry_ids(&self, ranges: &[KeyRange], salt: u64) -> Result<Vec<(u64, Bytes)>, StoreError> {
        let ids = self.fragment.entry_ids(ranges, salt)?;
        self.counters.read_entries(ids.len() as u64);
        Ok(ids)
    }
}
