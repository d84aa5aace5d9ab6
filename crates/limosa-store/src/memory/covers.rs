//! Which blocks every snapshot can read again: those that the oldest checkpoint in use has.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use limosa_tree::BlockLoader;

/// One checkpoint that somebody reads, and the generation that it holds of every fragment: they count on one scale.
struct Cover {
    loader: Weak<dyn BlockLoader>,
    generation: u64,
}

/// Checkpoints in use, oldest first; the last is the newest one.
///
/// # Invariants
/// - Generations do not fall from one to the next, so the first says what all have.
/// - A snapshot holds the loader that its fragments had; when nobody does, nobody needs that checkpoint.
pub(crate) struct Covers {
    covers: VecDeque<Cover>,
}

impl Covers {
    pub(crate) fn new(loader: &Arc<dyn BlockLoader>, generation: u64) -> Self {
        Self { covers: VecDeque::from([Cover { loader: Arc::downgrade(loader), generation }]) }
    }

    /// A checkpoint was made that `loader` reads, and that the published fragments read from now on.
    pub(crate) fn push(&mut self, loader: &Arc<dyn BlockLoader>, generation: u64) {
        self.covers.push_back(Cover { loader: Arc::downgrade(loader), generation });
    }

    /// Generations start again from `forked`: what was written above them is of another history.
    pub(crate) fn fall_back(&mut self, forked: u64) {
        self.covers.iter_mut().for_each(|cover| cover.generation = cover.generation.min(forked));
    }

    /// Blocks that did not change after this generation can be read again by everyone.
    pub(crate) fn clean_to(&mut self) -> u64 {
        while self.covers.len() > 1 && self.covers[0].loader.strong_count() == 0 {
            self.covers.pop_front();
        }
        self.covers[0].generation
    }
}
