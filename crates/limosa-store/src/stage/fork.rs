//! The open stage: forks, interval maps, and the rules by which a frame is taken.
//!
//! # Invariants
//! - What a fork holds in a range is what the source had there at the range's version in the map.

use std::collections::HashMap;

use bytes::Bytes;
use limosa_core::{EpochTable, FragmentId, Frame, IntervalMap, KeyRange, Mode, Version};
use limosa_tree::{Applied, Fragment, FrameError};

use super::{SealedFacts, StageStart, StageState, StagedFragment};
use crate::refusal::StageError;

/// One fragment's fork.
pub(crate) struct Fork {
    pub(crate) fragment: Fragment,
    common: Version,
    map: IntervalMap,
    /// The fork as the session found it: what the short ids of its comparison speak of.
    compared: Fragment,
    /// Short id → key of `compared`, made when drops first need it.
    ids: Option<HashMap<u64, Bytes>>,
}

/// The stage under the stage lock.
pub(crate) struct Stage {
    session: u64,
    forks: Vec<Fork>,
}

impl Stage {
    /// Forks of those published fragments that `starts` names.
    pub(crate) fn new(session: u64, starts: &[StageStart], published: &[Fragment]) -> Result<Self, StageError> {
        let fork = |start: &StageStart| {
            let fragment = published.iter().find(|fragment| fragment.id() == start.fragment);
            let fragment = fragment.ok_or(StageError::UnknownFragment { fragment: start.fragment })?.clone();
            if *fragment.range() != start.range {
                return Err(StageError::Misplaced { fragment: start.fragment, range: start.range.clone() });
            }
            let map = IntervalMap::new(start.range.clone(), start.common);
            Ok(Fork { compared: fragment.clone(), fragment, common: start.common, map, ids: None })
        };
        Ok(Self { session, forks: starts.iter().map(fork).collect::<Result<_, _>>()? })
    }

    pub(crate) fn session(&self) -> u64 {
        self.session
    }

    /// A new session goes on: its comparison finds the forks as they are now.
    pub(crate) fn resume(&mut self, session: u64) {
        self.session = session;
        for fork in &mut self.forks {
            fork.compared = fork.fragment.clone();
            fork.ids = None;
        }
    }

    pub(crate) fn state(&self) -> StageState {
        let staged = |fork: &Fork| StagedFragment { id: fork.fragment.id(), common: fork.common, map: fork.map.clone() };
        StageState { session: self.session, fragments: self.forks.iter().map(staged).collect() }
    }

    pub(crate) fn fragments(&self) -> Vec<Fragment> {
        self.forks.iter().map(|fork| fork.fragment.clone()).collect()
    }

    /// Takes a frame into its fork: all of it, or nothing.
    pub(crate) fn apply(&mut self, frame: &Frame, drops: &[u64]) -> Result<Applied, StageError> {
        let session = self.session;
        let fork = self.fork(frame.fragment)?;
        fork.check(frame)?;
        let drops = fork.resolve(&frame.range, drops, session)?;
        let fragment = frame.fragment;
        let applied = fork.fragment.apply_frame(frame, &drops).map_err(|source| match source {
            FrameError::Tree(error) => StageError::Store(error.into()), // this node's own block, not the peer's frame
            source => StageError::Frame { fragment, source },
        })?;
        fork.map.set(&frame.range, frame.to);
        Ok(applied)
    }

    /// The roots to serve from now on, if every fork is what the source sealed. Fragments that the stage does not have stay as published.
    pub(crate) fn prepare(&self, sealed: &[SealedFacts], published: &[Fragment]) -> Result<Vec<Fragment>, StageError> {
        let mut roots = published.to_vec();
        for facts in sealed {
            let fork = self.forks.iter().find(|fork| fork.fragment.id() == facts.id);
            let fork = fork.ok_or(StageError::UnknownFragment { fragment: facts.id })?;
            let root = roots.iter_mut().find(|root| root.id() == facts.id).expect("the stage was forked from the published fragments");
            check_history(root, &facts.epochs)?;
            *root = fork.sealed(facts)?;
        }
        if let Some(fork) = self.forks.iter().find(|fork| !sealed.iter().any(|facts| facts.id == fork.fragment.id())) {
            return Err(fork.incomplete(Version::new(u32::MAX, u64::MAX)));
        }
        Ok(roots)
    }

    fn fork(&mut self, id: FragmentId) -> Result<&mut Fork, StageError> {
        let fork = self.forks.iter_mut().find(|fork| fork.fragment.id() == id);
        fork.ok_or(StageError::UnknownFragment { fragment: id })
    }
}

impl Fork {
    /// *Advance* needs `from` ≤ map < `to` over the whole range; the replacing modes say what the range was compared at, so there the map
    /// must be exactly `from`.
    fn check(&self, frame: &Frame) -> Result<(), StageError> {
        let (fragment, range) = (frame.fragment, frame.range.clone());
        if !self.map.range().covers(&range) || range.is_empty() {
            return Err(StageError::Misplaced { fragment, range });
        }
        let (low, high) = self.map.bounds(&range);
        let (stale, gap) = match frame.mode {
            Mode::Advance => (high >= frame.to, low < frame.from),
            Mode::ReplaceKeys | Mode::ReplaceRange => (high > frame.from, low < frame.from),
        };
        if stale {
            return Err(StageError::Stale { fragment, range, at: high, to: frame.to });
        }
        if gap {
            return Err(StageError::Gap { fragment, range, at: low, from: frame.from });
        }
        Ok(())
    }

    /// The keys that short ids name. An unknown id names nothing: the frame's digest tells whether that was right.
    fn resolve(&mut self, range: &KeyRange, drops: &[u64], salt: u64) -> Result<Vec<Bytes>, StageError> {
        if drops.is_empty() {
            return Ok(Vec::new());
        }
        if self.ids.is_none() {
            let all = std::slice::from_ref(self.compared.range());
            let ids = self.compared.entry_ids(all, salt).map_err(crate::error::StoreError::from)?;
            self.ids = Some(ids.into_iter().collect());
        }
        let ids = self.ids.as_ref().expect("made above");
        let mut keys: Vec<Bytes> = drops.iter().filter_map(|id| ids.get(id)).filter(|key| range.contains(key)).cloned().collect();
        keys.sort_unstable();
        keys.dedup();
        Ok(keys)
    }

    fn sealed(&self, facts: &SealedFacts) -> Result<Fragment, StageError> {
        if self.map.uniform() != Some(facts.head) {
            return Err(self.incomplete(facts.head));
        }
        let got = self.fragment.total().state;
        if got != facts.state {
            return Err(StageError::Digest { fragment: facts.id, expected: facts.state, got });
        }
        let mut root = self.fragment.clone();
        root.adopt(facts.head, facts.epochs.clone());
        root.raise_floor(facts.floor);
        Ok(root)
    }

    fn incomplete(&self, head: Version) -> StageError {
        let (range, at) = self.map.iter().find(|(_, at)| *at != head).expect("some range is not at the head");
        StageError::Incomplete { fragment: self.fragment.id(), range, at, head }
    }
}

/// A served history is replaced by one with a higher epoch, or by one that goes on from the same newest row.
/// Anything else could take back what was acknowledged, or give a version a second value.
fn check_history(served: &Fragment, sealed: &EpochTable) -> Result<(), StageError> {
    let Some(held) = served.epochs().rows().last() else { return Ok(()) };
    let same_row = || sealed.rows().iter().any(|row| row == held);
    if sealed.epoch() > held.epoch || same_row() {
        return Ok(());
    }
    Err(StageError::Epoch { fragment: served.id(), held: held.epoch, sealed: sealed.epoch() })
}
