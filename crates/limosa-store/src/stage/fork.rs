//! The open stage: forks, interval maps, and the rules by which a frame is taken.
//!
//! # Invariants
//! - What a fork holds in a range is what the source had there at the range's version in the map.

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;
use limosa_core::{FragmentId, Frame, History, IntervalMap, KeyRange, Mode, Version};
use limosa_tree::{Applied, Fragment, FrameError};

use super::{SealedFacts, StageStart, StageState, StagedFragment};
use crate::error::StoreError;
use crate::refusal::StageError;

/// One fragment's fork.
pub(crate) struct Fork {
    pub(crate) fragment: Fragment,
    common: IntervalMap,
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
    /// Forks of the fragments that `starts` names, made of what is published. Where a start is no published fragment, the source parts its
    /// keys in other ways: then the starts must hold every key, and become the fragments that are served.
    pub(crate) fn new(session: u64, starts: &[StageStart], published: &[Fragment]) -> Result<Self, StageError> {
        let wanted: Vec<(FragmentId, KeyRange)> = starts.iter().map(|start| (start.fragment, start.range.clone())).collect();
        let fragments = frame(&wanted, published)?;
        let fork = |(fragment, start): (Fragment, &StageStart)| {
            if *start.common.range() != start.range {
                return Err(StageError::Misplaced { fragment: start.fragment, range: start.range.clone() });
            }
            let (map, common) = (start.common.clone(), start.common.clone());
            Ok(Fork { compared: fragment.clone(), fragment, common, map, ids: None })
        };
        Ok(Self { session, forks: fragments.into_iter().zip(starts).map(fork).collect::<Result<_, _>>()? })
    }

    /// The same stage in other fragments: the source split or merged some since it was opened. What was taken so far stays.
    pub(crate) fn reframe(&mut self, session: u64, wanted: &[(FragmentId, KeyRange)]) -> Result<(), StageError> {
        let held: Vec<Fragment> = self.in_key_order().iter().map(|fork| fork.fragment.clone()).collect();
        let fragments = frame(wanted, &held)?;
        if !cover_all(wanted) {
            return Err(misplaced(&wanted[0])); // a stage of a part of the fragments has nothing to be parted
        }
        let intervals = |of: fn(&Fork) -> &IntervalMap| -> Vec<_> { self.forks.iter().flat_map(|fork| of(fork).iter()).collect() };
        let (maps, commons) = (intervals(|fork| &fork.map), intervals(|fork| &fork.common));
        let fork = |fragment: Fragment| {
            let range = fragment.range().clone();
            let (map, common) = (IntervalMap::of(range.clone(), maps.clone()), IntervalMap::of(range, commons.clone()));
            Fork { compared: fragment.clone(), fragment, common, map, ids: None }
        };
        self.forks = fragments.into_iter().map(fork).collect();
        self.session = session;
        Ok(())
    }

    fn in_key_order(&self) -> Vec<&Fork> {
        let mut forks: Vec<&Fork> = self.forks.iter().collect();
        forks.sort_by(|a, b| a.fragment.range().start.cmp(&b.fragment.range().start));
        forks
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
        let staged = |fork: &Fork| StagedFragment { id: fork.fragment.id(), common: fork.common.clone(), map: fork.map.clone() };
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

    /// The roots to serve from now on, in key order, if every fork is what the source sealed. Fragments that the stage does not have stay as
    /// published.
    pub(crate) fn prepare(&self, sealed: &[SealedFacts], published: &[Fragment]) -> Result<Vec<Fragment>, StageError> {
        let mut roots = Vec::new();
        for fork in self.in_key_order() {
            let facts = sealed.iter().find(|facts| facts.id == fork.fragment.id());
            let facts = facts.ok_or_else(|| fork.incomplete(Version::new(u32::MAX, u64::MAX)))?;
            for served in published {
                check_history(served, facts.id, fork.fragment.range(), &facts.epochs)?;
            }
            roots.push(fork.sealed(facts)?);
        }
        if let Some(facts) = sealed.iter().find(|facts| !self.forks.iter().any(|fork| fork.fragment.id() == facts.id)) {
            return Err(StageError::UnknownFragment { fragment: facts.id });
        }
        let apart = |served: &&Fragment| roots.iter().all(|root: &Fragment| root.range().intersect(served.range()).is_none());
        let others: Vec<Fragment> = published.iter().filter(apart).cloned().collect();
        roots.extend(others);
        roots.sort_by(|a, b| a.range().start.cmp(&b.range().start));
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
            let ids = self.compared.entry_ids(all, salt).map_err(StoreError::from)?;
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

/// A served history is replaced by one with a higher epoch, or by one that goes on from the same newest row, strand by strand.
/// Anything else could take back what was acknowledged, or give a version a second value.
fn check_history(served: &Fragment, id: FragmentId, range: &KeyRange, sealed: &History) -> Result<(), StageError> {
    let Some(both) = served.range().intersect(range) else { return Ok(()) };
    for (part, ours) in served.epochs().within(&both) {
        let Some(held) = ours.epochs.rows().last() else { continue };
        let goes_on = |theirs: &limosa_core::Strand| theirs.epochs.epoch() > held.epoch || theirs.epochs.rows().contains(held);
        if let Some((_, theirs)) = sealed.within(&part).find(|(_, theirs)| !goes_on(theirs)) {
            return Err(StageError::Epoch { fragment: id, held: held.epoch, sealed: theirs.epochs.epoch() });
        }
    }
    Ok(())
}

/// The fragments of `wanted`, out of those in `held`, which are in key order: as they are where one has that name and range, else put
/// together from parts.
fn frame(wanted: &[(FragmentId, KeyRange)], held: &[Fragment]) -> Result<Vec<Fragment>, StageError> {
    let same = |(id, range): &(FragmentId, KeyRange)| held.iter().find(|held| held.id() == *id && held.range() == range);
    if let Some(other) = wanted.iter().find(|wanted| same(wanted).is_none())
        && !cover_all(wanted)
    {
        let is_known = held.iter().any(|held| held.id() == other.0);
        return Err(if is_known { misplaced(other) } else { StageError::UnknownFragment { fragment: other.0 } });
    }
    let one = |wanted: &(FragmentId, KeyRange)| match same(wanted) {
        Some(held) => Ok(held.clone()),
        None => Fragment::assemble(held, wanted.0, &wanted.1).map_err(StoreError::from)?.ok_or_else(|| misplaced(wanted)),
    };
    wanted.iter().map(one).collect()
}

/// Whether each key has exactly one place in `wanted`, under distinct names.
fn cover_all(wanted: &[(FragmentId, KeyRange)]) -> bool {
    let mut ranges: Vec<&KeyRange> = wanted.iter().map(|(_, range)| range).collect();
    ranges.sort_by(|a, b| a.start.cmp(&b.start));
    let ids: BTreeSet<FragmentId> = wanted.iter().map(|(id, _)| *id).collect();
    ids.len() == wanted.len()
        && ranges.first().is_some_and(|first| first.start.is_empty())
        && ranges.last().is_some_and(|last| last.end.is_none())
        && ranges.windows(2).all(|pair| pair[0].end.as_ref() == Some(&pair[1].start))
}

fn misplaced((fragment, range): &(FragmentId, KeyRange)) -> StageError {
    StageError::Misplaced { fragment: *fragment, range: range.clone() }
}
