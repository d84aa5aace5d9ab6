//! Falling in with a manifest: what others split and merged while this node was away, or did not look, is done here by name.
//!
//! A split is right wherever a copy stands, since a version is read by range. A merge takes a version of its own, so only a copy that has
//! exactly what was merged does the same; where there is no copy, frames are put together freely.
//!
//! # Invariants
//! - A copy that is needed is never dropped: what can't be put together stays as it is, and is named in the answer.
//! - Each step is one journal record, and the next call goes on from whatever was done before a crash.

use bytes::Bytes;
use limosa_core::{FragmentId, KeyRange, Scope, Version};
use limosa_tree::MergeEpoch;

use super::calls::is_boundary;
use super::{Reframe, ReframeError};
use crate::error::StoreError;
use crate::gates::FragmentGate;
use crate::state::State;
use crate::store::Store;

/// Ids from here on are given in passing, between two steps: they name nothing in a manifest, and may be used again.
pub(crate) const IN_PASSING: u32 = 0xFFFF_0000;

/// A fragment as the manifest has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Framed {
    /// Its id.
    pub id: FragmentId,
    /// Its keys.
    pub range: KeyRange,
    /// How it was put together, where a merge made it.
    pub seam: Option<Seam>,
    /// This node's copy counts: it is never dropped.
    pub is_needed: bool,
}

/// Where two halves became one, and at which versions.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Seam {
    /// The first key of the right half.
    pub at: Bytes,
    /// What the left half stood at.
    pub left: Version,
    /// What the right half stood at.
    pub right: Version,
    /// The epoch of the merge's own version.
    pub epoch: u32,
    /// Which merge it was.
    pub opener: u64,
}

/// The next thing to do.
enum Step {
    Reframe(Reframe),
    Drop(Vec<FragmentId>),
}

impl Store {
    /// Parts, joins and names this store's fragments until they are those of `frames`, which are all of the manifest's, in key order. No entry
    /// moves. Durable when it returns; commands on other fragments go on. Answers which of them could not be made: this node's copy of them is
    /// needed, and stands elsewhere than where the halves were put together.
    ///
    /// A copy that nobody needs and that stands elsewhere is dropped. What is staged of a fragment that changes is dropped, too.
    ///
    /// # Errors
    /// `frames` leave a gap or overlap, or part slots; a limit; as [`Store::flush`].
    pub fn align(&self, frames: &[Framed]) -> Result<Vec<FragmentId>, ReframeError> {
        check_whole(frames)?;
        self.flush()?;
        loop {
            let (step, unfit) = self.inner.state().next_step(frames);
            match step {
                None => return Ok(unfit),
                Some(Step::Drop(fragments)) => {
                    let gates: Vec<_> = fragments.iter().map(|id| (*id, FragmentGate::Closed)).collect();
                    self.set_gates(&gates);
                    self.drop_fragments(&fragments)?;
                }
                Some(Step::Reframe(reframe)) => self.carry_out(&reframe)?,
            }
        }
    }

    /// Whether [`Store::split`] would be done.
    ///
    /// # Errors
    /// As [`Store::split`].
    pub fn check_split(&self, fragment: FragmentId, at: &Bytes) -> Result<(), ReframeError> {
        if !is_boundary(at) {
            return Err(ReframeError::NotABoundary { at: at.clone() });
        }
        self.inner.state().plan_split(fragment, at).map(drop)
    }

    /// Whether [`Store::merge`] would be done.
    ///
    /// # Errors
    /// As [`Store::merge`].
    pub fn check_merge(&self, left: FragmentId, right: FragmentId) -> Result<(), ReframeError> {
        self.inner.state().plan_merge(left, right, 0).map(drop)
    }

    fn carry_out(&self, reframe: &Reframe) -> Result<(), ReframeError> {
        let parents = reframe.parents();
        self.unstage(&parents)?;
        let seam = match reframe {
            Reframe::Split { at, .. } => at.clone(),
            Reframe::Merge { right: (right, _), .. } | Reframe::Join { right, .. } => {
                self.cut().fragment(*right).map_or_else(Bytes::new, |view| view.tree().range().start.clone())
            }
            Reframe::Name { .. } => Bytes::new(),
        };
        let edges: Vec<(FragmentId, &Bytes)> = parents.iter().map(|id| (*id, &seam)).collect();
        self.reframe(&edges, |state| state.still(reframe)).map(drop)
    }

    fn unstage(&self, parents: &[FragmentId]) -> Result<(), StoreError> {
        let staged: Vec<FragmentId> = {
            let state = self.inner.state();
            let ranges: Vec<KeyRange> =
                parents.iter().filter_map(|id| state.head_routes.of_id(*id)).map(|index| state.head_routes.range(index)).collect();
            let touches = |range: &KeyRange| ranges.iter().any(|own| own.intersect(range).is_some());
            state.forks.iter().filter(|(_, fork)| touches(&fork.range)).map(|(id, _)| *id).collect()
        };
        if staged.is_empty() { Ok(()) } else { self.stage_abort_of(&Scope::only(staged)).and_then(|()| self.flush().map(drop)) }
    }
}

impl State {
    /// The same step, unless its fragments have changed since it was planned: then the error ends this attempt.
    fn still(&self, reframe: &Reframe) -> Result<Reframe, ReframeError> {
        for (fragment, head) in reframe.takes() {
            let index = self.head_routes.of_id(fragment).ok_or(ReframeError::Unknown { fragment })?;
            if self.heads[index].version != head {
                return Err(ReframeError::StageOpen); // it is being written or followed: later
            }
        }
        Ok(reframe.clone())
    }

    /// What brings the fragments nearer to `frames`; and those that nothing does.
    fn next_step(&self, frames: &[Framed]) -> (Option<Step>, Vec<FragmentId>) {
        for index in 0..self.head_routes.len() {
            let (id, range) = (self.head_routes.id(index), self.head_routes.range(index));
            let inside = &frames[within(frames, &range)];
            let Some(at) = inside.get(1).map(|second| second.range.start.clone()) else { continue };
            let (low, high) = range.split(&at);
            let left = self.name_of(inside, &low, 0);
            let right = self.name_of(inside, &high, 1);
            let head = self.heads[index].version;
            return (Some(Step::Reframe(Reframe::Split { fragment: id, at, head, left, right })), Vec::new());
        }
        let mut unfit = Vec::new();
        for frame in frames {
            match self.step_in(frame) {
                Ok(None) => {}
                Ok(Some(step)) => return (Some(step), Vec::new()),
                Err(()) => unfit.push(frame.id),
            }
        }
        (None, unfit)
    }

    /// Towards one frame, which no fragment reaches beyond. `Err`: what is there is needed, and does not fit.
    fn step_in(&self, frame: &Framed) -> Result<Option<Step>, ()> {
        let touched = self.head_routes.touched(&frame.range);
        let parts: Vec<(FragmentId, Version)> =
            touched.clone().map(|index| (self.head_routes.id(index), self.heads[index].version)).collect();
        match parts[..] {
            [(id, _)] if id == frame.id => return Ok(None),
            _ if self.head_routes.of_id(frame.id).is_some_and(|index| !touched.contains(&index)) => {
                let index = self.head_routes.of_id(frame.id).expect("just found");
                let name = self.passing(0); // something else is called so here: a folder that was split before it came to this manifest
                return Ok(Some(Step::Reframe(Reframe::Name { fragment: frame.id, head: self.heads[index].version, name })));
            }
            [(fragment, head)] => return Ok(Some(Step::Reframe(Reframe::Name { fragment, head, name: frame.id }))),
            [left, right] => {
                let at = self.head_routes.range(touched.start + 1).start;
                let is_same = |seam: &&Seam| seam.at == at && (seam.left, seam.right) == (left.1, right.1);
                if let Some(seam) = frame.seam.as_ref().filter(is_same) {
                    let epoch = MergeEpoch { epoch: seam.epoch, opener: seam.opener };
                    return Ok(Some(Step::Reframe(Reframe::Merge { left, right, merged: frame.id, epoch })));
                }
            }
            _ => {}
        }
        let copies: Vec<FragmentId> = parts.iter().filter(|(_, head)| !head.is_zero()).map(|(id, _)| *id).collect();
        if copies.is_empty() {
            let joined = if parts.len() == 2 { frame.id } else { self.passing(0) };
            return Ok(Some(Step::Reframe(Reframe::Join { left: parts[0].0, right: parts[1].0, joined })));
        }
        if frame.is_needed { Err(()) } else { Ok(Some(Step::Drop(copies))) }
    }

    fn name_of(&self, inside: &[Framed], range: &KeyRange, turn: usize) -> FragmentId {
        let same = inside.iter().find(|frame| frame.range == *range && self.head_routes.of_id(frame.id).is_none());
        same.map_or_else(|| self.passing(turn), |frame| frame.id)
    }

    /// An id that no fragment here has now.
    fn passing(&self, turn: usize) -> FragmentId {
        let free = (IN_PASSING..u32::MAX).map(FragmentId).filter(|id| self.head_routes.of_id(*id).is_none());
        free.into_iter().nth(turn).expect("there are more of them than there may be fragments")
    }
}

/// Which of `frames` touch `range`.
fn within(frames: &[Framed], range: &KeyRange) -> std::ops::Range<usize> {
    let first = frames.partition_point(|frame| frame.range.start <= range.start) - 1;
    let end = range.end.as_ref().map_or(frames.len(), |end| frames.partition_point(|frame| frame.range.start < *end));
    first..end
}

fn check_whole(frames: &[Framed]) -> Result<(), ReframeError> {
    let touch = frames.windows(2).all(|pair| pair[0].range.end.as_ref() == Some(&pair[1].range.start));
    let is_whole =
        frames.first().is_some_and(|first| first.range.start.is_empty()) && frames.last().is_some_and(|last| last.range.end.is_none());
    if !touch || !is_whole {
        return Err(StoreError::Invalid { what: "frames", why: "they do not cover every key once".to_owned() }.into());
    }
    match frames[1..].iter().find(|frame| !is_boundary(&frame.range.start)) {
        Some(frame) => Err(ReframeError::NotABoundary { at: frame.range.start.clone() }),
        None => Ok(()),
    }
}
