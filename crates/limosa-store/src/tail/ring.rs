//! Tier 1: the last commits in memory, bounded in bytes.

use std::collections::VecDeque;

use bytes::Bytes;
use limosa_core::{EpochTable, FragmentId, Scope, Version};

use super::{COMMIT_BYTES_LIVE_MAX, narrow};
use crate::apply::Slice;
use crate::fragments::Routes;
use crate::journal::Position;
use crate::state::Check;

/// What a piece costs beside its records, about.
const PIECE_BYTES: usize = 160;

/// A slice of published records.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    pub(crate) last: Position,
    /// Commits, each behind its varint length.
    pub(crate) commits: Bytes,
    /// Told before the commits of the pieces behind; a piece has rows or commits, not both.
    pub(crate) epochs: Vec<(FragmentId, EpochTable)>,
    /// Each touched fragment behind the piece.
    pub(crate) checks: Vec<Check>,
}

impl Piece {
    /// The commits as `scope` sees them: shared where that is all of them.
    pub(crate) fn commits_in(&self, scope: &Scope) -> Bytes {
        match self.checks.iter().filter(|check| scope.has(check.fragment)).count() {
            0 => Bytes::new(),
            count if count == self.checks.len() => self.commits.clone(),
            _ => narrow::commits(&self.commits, scope),
        }
    }

    /// The rows in `scope`.
    pub(crate) fn epochs_in(&self, scope: &Scope) -> Vec<(FragmentId, EpochTable)> {
        self.epochs.iter().filter(|(id, _)| scope.has(*id)).cloned().collect()
    }

    fn cost(&self) -> usize {
        PIECE_BYTES + self.commits.len() + (self.epochs.len() + self.checks.len()) * size_of::<Check>()
    }
}

/// # Invariants
/// - The pieces hold every record in `start..` up to the last piece's end, without a gap.
/// - `base` are the heads at `start`.
#[derive(Debug)]
pub(crate) struct Ring {
    pieces: VecDeque<Piece>,
    bytes: usize,
    bytes_max: usize,
    start: Position,
    base: Vec<Version>,
}

impl Ring {
    pub(crate) fn new(bytes_max: usize, start: Position, base: Vec<Version>) -> Self {
        Self { pieces: VecDeque::new(), bytes: 0, bytes_max, start, base }
    }

    /// Forgets everything up to `start`: what follows is another history, or something before it can't be told.
    pub(crate) fn reset(&mut self, start: Position, base: Vec<Version>) {
        *self = Self::new(self.bytes_max, start, base);
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Last position that the ring does not hold.
    pub(crate) fn start(&self) -> Position {
        self.start
    }

    /// `began`: position from which on the fragment at an index has its history.
    pub(crate) fn push(&mut self, slice: Slice, checks: Vec<Check>, routes: &Routes, began: impl Fn(usize) -> Position) {
        let piece = Piece { last: slice.last, commits: slice.commits.into(), epochs: slice.epochs, checks };
        self.bytes += piece.cost();
        let too_long = piece.commits.len() > COMMIT_BYTES_LIVE_MAX;
        self.pieces.push_back(piece);
        while self.bytes > self.bytes_max || (too_long && !self.pieces.is_empty()) {
            self.pop(routes, &began);
        }
    }

    fn pop(&mut self, routes: &Routes, began: impl Fn(usize) -> Position) {
        let piece = self.pieces.pop_front().expect("bytes are held, so a piece is");
        self.bytes -= piece.cost();
        self.start = piece.last;
        for check in &piece.checks {
            // What an install or drop has replaced meanwhile is of another history.
            if let Some(index) = routes.of_id(check.fragment).filter(|index| piece.last > began(*index)) {
                self.base[index] = check.version;
            }
        }
    }

    /// Behind which position everything newer than `since` lies; `None` when some of it is no longer here.
    pub(crate) fn find(&self, since: &[(usize, Version)], routes: &Routes) -> Option<Position> {
        if since.iter().any(|&(index, version)| self.base[index] > version) {
            return None;
        }
        let mut known = vec![None; self.base.len()];
        for &(index, version) in since {
            known[index] = Some(version);
        }
        let newer = |check: &Check| {
            let index = routes.of_id(check.fragment);
            index.and_then(|index| known[index]).is_some_and(|version| check.version > version)
        };
        // linear: versions grow piece by piece, but not every piece touches every fragment
        let first_new = self.pieces.iter().position(|piece| piece.checks.iter().any(newer)).unwrap_or(self.pieces.len());
        Some(first_new.checked_sub(1).map_or(self.start, |i| self.pieces[i].last))
    }

    /// The fragment at `index` has another history from here on, which begins at `head`.
    pub(crate) fn rebase(&mut self, index: usize, head: Version) {
        self.base[index] = head;
    }

    /// Other fragments stand where the fragments were: for each its index before, or the head that it begins at.
    pub(crate) fn reorder(&mut self, from: &[Result<usize, Version>]) {
        self.base = from.iter().map(|from| from.map_or_else(|head| head, |index| self.base[index])).collect();
    }

    /// The pieces behind `position`. The first may begin before it.
    pub(crate) fn behind(&self, position: Position) -> impl Iterator<Item = &Piece> {
        let first = self.pieces.partition_point(|piece| piece.last <= position);
        self.pieces.range(first..)
    }
}
