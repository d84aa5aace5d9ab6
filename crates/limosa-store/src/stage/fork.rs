//! What is staged: forks, interval maps, and the rules by which a frame is taken.
//!
//! # Invariants
//! - What a fork holds in a range is what the source had there at the range's version in the map.
//! - No two forks share a key or a name.

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;
use limosa_core::planted::{self, Bug};
use limosa_core::{FragmentId, Frame, History, IntervalMap, KeyRange, Mode, Scope, Version};
use limosa_tree::{Applied, Fragment, FrameError};

use super::{SealedFacts, StageStart, StageState, StagedFragment};
use crate::error::StoreError;
use crate::refusal::StageError;

/// One fragment's fork.
pub(crate) struct Fork {
    session: u64,
    fragment: Fragment,
    common: IntervalMap,
    map: IntervalMap,
    /// The fork as the session found it: what the short ids of its comparison speak of.
    compared: Fragment,
    /// Short id → key of `compared`, made when drops first need it.
    ids: Option<HashMap<u64, Bytes>>,
}

/// Every fork under the stages' lock: a session's forks are its stage.
#[derive(Default)]
pub(crate) struct Stages {
    forks: Vec<Fork>,
}

impl Stages {
    /// Forks of the fragments that `starts` names, made of what is published: `session`'s stage. Where a start is no published fragment, the
    /// source parts its keys in other ways: then the starts must hold every key of the fragments that they touch, which they replace.
    pub(crate) fn make(session: u64, starts: &[StageStart], published: &[Fragment]) -> Result<Vec<Fork>, StageError> {
        let wanted: Vec<(FragmentId, KeyRange)> = starts.iter().map(|start| (start.fragment, start.range.clone())).collect();
        let fragments = frame(&wanted, published)?;
        let fork = |(fragment, start): (Fragment, &StageStart)| {
            if *start.common.range() != start.range {
                return Err(StageError::Misplaced { fragment: start.fragment, range: start.range.clone() });
            }
            let (map, common) = (start.common.clone(), start.common.clone());
            Ok(Fork { session, compared: fragment.clone(), fragment, common, map, ids: None })
        };
        fragments.into_iter().zip(starts).map(fork).collect()
    }

    /// Takes new forks in.
    ///
    /// # Panics
    /// If they share a key with others.
    pub(crate) fn add(&mut self, forks: Vec<Fork>) {
        assert!(forks.iter().all(|fork| self.holder_of(fork.fragment.id(), fork.fragment.range()).is_none()), "forks are disjoint");
        self.forks.extend(forks);
    }

    /// The session that has staged something of `range`, or a fragment named `id`.
    pub(crate) fn holder_of(&self, id: FragmentId, range: &KeyRange) -> Option<u64> {
        let touches = |fork: &&Fork| fork.fragment.id() == id || fork.fragment.range().intersect(range).is_some();
        self.forks.iter().find(touches).map(|fork| fork.session)
    }

    /// The stage of `session` in other fragments, as `next`'s: the source split or merged some since it was opened. What was taken so far
    /// stays.
    pub(crate) fn reframed(&self, session: u64, next: u64, wanted: &[(FragmentId, KeyRange)]) -> Result<Vec<Fork>, StageError> {
        let (own, others): (Vec<&Fork>, Vec<&Fork>) = self.in_key_order().into_iter().partition(|fork| fork.session == session);
        let held: Vec<Fragment> = own.iter().map(|fork| fork.fragment.clone()).collect();
        let is_taken = |(id, _): &&(FragmentId, KeyRange)| others.iter().any(|fork| fork.fragment.id() == *id);
        if held.is_empty() || others.iter().any(|fork| fork.session == next) {
            return Err(StageError::NotOpen);
        }
        if let Some(taken) = wanted.iter().find(is_taken) {
            return Err(misplaced(taken));
        }
        let fragments = frame(wanted, &held)?;
        if !cover(wanted, &held) {
            return Err(misplaced(&wanted[0])); // something that was staged would have no place
        }
        let intervals = |of: fn(&Fork) -> &IntervalMap| -> Vec<_> { own.iter().flat_map(|fork| of(fork).iter()).collect() };
        let (maps, commons) = (intervals(|fork| &fork.map), intervals(|fork| &fork.common));
        let fork = |fragment: Fragment| {
            let range = fragment.range().clone();
            let (map, common) = (IntervalMap::of(range.clone(), maps.clone()), IntervalMap::of(range, commons.clone()));
            Fork { session: next, compared: fragment.clone(), fragment, common, map, ids: None }
        };
        Ok(fragments.into_iter().map(fork).collect())
    }

    /// Puts what [`Stages::reframed`] made in the place of `session`'s stage.
    pub(crate) fn replace(&mut self, session: u64, forks: Vec<Fork>) {
        self.forks.retain(|fork| fork.session != session);
        self.add(forks);
    }

    /// Makes the forks in `scope` those of `session`, which compares them as they are now.
    pub(crate) fn gather(&mut self, session: u64, scope: &Scope) {
        for fork in self.forks.iter_mut().filter(|fork| scope.has(fork.fragment.id())) {
            fork.session = session;
            fork.compared = fork.fragment.clone();
            fork.ids = None;
        }
    }

    /// Forgets the forks of these fragments.
    pub(crate) fn end(&mut self, gone: impl Fn(FragmentId) -> bool) {
        self.forks.retain(|fork| !gone(fork.fragment.id()));
    }

    /// The fragments that are staged, each with its session.
    pub(crate) fn names(&self) -> impl Iterator<Item = (FragmentId, u64)> {
        self.forks.iter().map(|fork| (fork.fragment.id(), fork.session))
    }

    fn in_key_order(&self) -> Vec<&Fork> {
        let mut forks: Vec<&Fork> = self.forks.iter().collect();
        forks.sort_by(|a, b| a.fragment.range().start.cmp(&b.fragment.range().start));
        forks
    }

    /// The stage of `session`, if it has one.
    pub(crate) fn state(&self, session: u64) -> Option<StageState> {
        let staged = |fork: &Fork| StagedFragment { id: fork.fragment.id(), common: fork.common.clone(), map: fork.map.clone() };
        let fragments: Vec<StagedFragment> = self.forks.iter().filter(|fork| fork.session == session).map(staged).collect();
        (!fragments.is_empty()).then_some(StageState { session, fragments })
    }

    /// The sessions that have a stage.
    pub(crate) fn sessions(&self) -> BTreeSet<u64> {
        self.forks.iter().map(|fork| fork.session).collect()
    }

    /// Every fork's fragment.
    pub(crate) fn fragments(&self) -> Vec<Fragment> {
        self.forks.iter().map(|fork| fork.fragment.clone()).collect()
    }

    /// The fragments of `session`'s forks.
    pub(crate) fn fragments_of(&self, session: u64) -> Vec<Fragment> {
        self.forks.iter().filter(|fork| fork.session == session).map(|fork| fork.fragment.clone()).collect()
    }

    /// Takes a frame into the fork that it is for: all of it, or nothing. `session`: whose fork it must be.
    pub(crate) fn apply(&mut self, session: Option<u64>, frame: &Frame, drops: &[u64]) -> Result<Applied, StageError> {
        let fragment = frame.fragment;
        let fork = self.forks.iter_mut().find(|fork| fork.fragment.id() == fragment);
        let fork = fork.filter(|fork| session.is_none_or(|session| fork.session == session));
        let fork = fork.ok_or(StageError::UnknownFragment { fragment })?;
        fork.check(frame)?;
        let drops = fork.resolve(&frame.range, drops, fork.session)?;
        let applied = fork.fragment.apply_frame(frame, &drops).map_err(|source| match source {
            FrameError::Tree(error) => StageError::Store(error.into()), // this node's own block, not the peer's frame
            source => StageError::Frame { fragment, source },
        })?;
        fork.map.set(&frame.range, frame.to);
        Ok(applied)
    }

    /// The roots of the forks that `is_own`, in key order, if every one is what the source sealed and may replace what is published.
    pub(crate) fn prepare(
        &self,
        is_own: impl Fn(&FragmentId, u64) -> bool,
        sealed: &[SealedFacts],
        published: &[Fragment],
    ) -> Result<Vec<Fragment>, StageError> {
        let mut roots: Vec<Fragment> = Vec::new();
        for fork in self.in_key_order().into_iter().filter(|fork| is_own(&fork.fragment.id(), fork.session)) {
            let facts = sealed.iter().find(|facts| facts.id == fork.fragment.id());
            let facts = facts.ok_or_else(|| fork.incomplete(Version::new(u32::MAX, u64::MAX)))?;
            for served in published {
                check_history(served, facts.id, fork.fragment.range(), &facts.epochs)?;
            }
            roots.push(fork.sealed(facts)?);
        }
        match sealed.iter().find(|facts| !roots.iter().any(|root| root.id() == facts.id)) {
            Some(facts) => Err(StageError::UnknownFragment { fragment: facts.id }),
            None => Ok(roots),
        }
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
        if got != facts.state && !planted::has(Bug::PublishUnverified) {
            return Err(StageError::Digest { fragment: facts.id, expected: facts.state, got });
        }
        let mut root = self.fragment.clone();
        let head = if planted::has(Bug::KeepOldHead) { root.head() } else { facts.head };
        root.adopt(head, facts.epochs.clone());
        root.raise_floor(facts.floor);
        Ok(root)
    }

    fn incomplete(&self, head: Version) -> StageError {
        let (range, at) = self.map.iter().find(|(_, at)| *at != head).expect("some range is not at the head");
        StageError::Incomplete { fragment: self.fragment.id(), range, at, head }
    }
}

/// A served history is replaced by one with a higher epoch, or by one that goes on from the same newest row, strand by strand; or by another
/// opening of the newest epoch, when nothing was written here under this one. Anything else could take back what was acknowledged, or give
/// a version a second value.
fn check_history(served: &Fragment, id: FragmentId, range: &KeyRange, sealed: &History) -> Result<(), StageError> {
    let Some(both) = served.range().intersect(range) else { return Ok(()) };
    for (part, ours) in served.epochs().within(&both) {
        let Some(held) = ours.epochs.rows().last() else { continue };
        let gave_nothing = served.head().epoch < held.epoch;
        let goes_on = |theirs: &limosa_core::Strand| {
            let epoch = theirs.epochs.epoch();
            epoch > held.epoch || (epoch == held.epoch && gave_nothing) || theirs.epochs.rows().contains(held)
        };
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
    if let Some(other) = wanted.iter().find(|wanted| same(wanted).is_none()) {
        let touched: Vec<Fragment> =
            held.iter().filter(|held| wanted.iter().any(|(_, range)| range.intersect(held.range()).is_some())).cloned().collect();
        if !cover(wanted, &touched) {
            let is_known = held.iter().any(|held| held.id() == other.0);
            return Err(if is_known { misplaced(other) } else { StageError::UnknownFragment { fragment: other.0 } });
        }
    }
    let one = |wanted: &(FragmentId, KeyRange)| match same(wanted) {
        Some(held) => Ok(held.clone()),
        None => Fragment::assemble(held, wanted.0, &wanted.1).map_err(StoreError::from)?.ok_or_else(|| misplaced(wanted)),
    };
    wanted.iter().map(one).collect()
}

/// Whether each key of the fragments in `held`, which are in key order, and no other has exactly one place in `wanted`, under distinct names.
fn cover(wanted: &[(FragmentId, KeyRange)], held: &[Fragment]) -> bool {
    let ids: BTreeSet<FragmentId> = wanted.iter().map(|(id, _)| *id).collect();
    ids.len() == wanted.len() && runs(wanted.iter().map(|(_, range)| range)) == runs(held.iter().map(Fragment::range))
}

/// The union of ranges as runs that do not touch; `None` when some overlap.
fn runs<'a>(ranges: impl Iterator<Item = &'a KeyRange>) -> Option<Vec<KeyRange>> {
    let mut ranges: Vec<&KeyRange> = ranges.collect();
    ranges.sort_by(|a, b| a.start.cmp(&b.start));
    let mut runs: Vec<KeyRange> = Vec::new();
    for range in ranges {
        match runs.last_mut() {
            Some(last) if last.end.as_ref() == Some(&range.start) => last.end.clone_from(&range.end),
            Some(last) if last.end.as_ref().is_none_or(|end| *end > range.start) => return None,
            _ => runs.push(range.clone()),
        }
    }
    Some(runs)
}

fn misplaced((fragment, range): &(FragmentId, KeyRange)) -> StageError {
    StageError::Misplaced { fragment: *fragment, range: range.clone() }
}
