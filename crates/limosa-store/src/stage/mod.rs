//! The target's side of transfers: forks of published fragments onto which frames are applied, swapped in when they are complete.
//!
//! ```text
//! stage_open ──> stage_apply.. ──> stage_install       the served state stays readable, and promotable, until the swap
//!      │  └── stage_gather: a new session goes on, with what others staged of its fragments
//!      └──> stage_abort
//! ```
//! Each session has a stage of its own, of fragments that no other has.
//! Every step is a journal record, so a crash loses no frame that was acknowledged: the record holds the data and, by its place in the
//! order, the interval map that results. `docs/decisions/0003-stage-is-a-fork.md` says why a fork.
//!
//! # Not here
//! - Buffering of live commits that arrive meanwhile: the engine's.

mod apply;
mod calls;
mod fork;
mod record;

use limosa_core::{Digest, FragmentId, History, IntervalMap, KeyRange, Version};
use limosa_tree::Applied;

pub(crate) use apply::ForkFacts;
pub(crate) use fork::Stages;
pub(crate) use record::{StageRecord, decode_frame, sample_frame};

use crate::journal::Position;

/// Where one fragment of a stage begins.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StageStart {
    /// Which fragment.
    pub fragment: FragmentId,
    /// All of its keys.
    pub range: KeyRange,
    /// The newest version that both histories have of each part of it; [`Version::ZERO`] where none is known.
    pub common: IntervalMap,
}

impl StageStart {
    /// All of `range` starts at one version.
    pub fn at(fragment: FragmentId, range: KeyRange, common: Version) -> Self {
        Self { fragment, common: IntervalMap::new(range.clone(), common), range }
    }
}

/// What the source sealed, for one fragment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SealedFacts {
    /// Which fragment.
    pub id: FragmentId,
    /// Version at the cut.
    pub head: Version,
    /// State digest at the cut.
    pub state: Digest,
    /// The floor that the target must keep, at least.
    pub floor: Version,
    /// The history, the target's from here on.
    pub epochs: History,
}

/// An open stage, as a target tells it to a source.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StageState {
    /// The session that goes on with it; short ids are salted with it.
    pub session: u64,
    /// Each fragment of the stage.
    pub fragments: Vec<StagedFragment>,
}

/// One fragment of an open stage.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StagedFragment {
    /// Which fragment.
    pub id: FragmentId,
    /// What both histories had in common when the stage was opened.
    pub common: IntervalMap,
    /// What each range stands at.
    pub map: IntervalMap,
}

/// A frame was taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StageApplied {
    /// Durable, and to be acknowledged, once the horizon is here.
    pub position: Position,
    /// What it changed.
    pub applied: Applied,
}
