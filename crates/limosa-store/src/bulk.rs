//! Commits of the journal's tail, gathered and applied fragment by fragment by as many threads as the machine has cores.
//!
//! What comes out is what applying them one after another gives: fragments share nothing, and within one fragment writes of different
//! keys do not depend on each other's order.

use std::sync::{Mutex, PoisonError};

use limosa_core::varint::Reader;
use limosa_core::{Commit, Part, Version};
use limosa_tree::Fragment;

use crate::error::StoreError;
use crate::journal::Position;
use crate::refusal::part_refused;
use crate::state::State;

/// Record bytes that are gathered: the more, the more writes find their block at hand.
pub(crate) const BULK_BYTES: usize = 64 << 20;
/// Most threads: beyond, memory is the limit.
const THREADS_MAX: usize = 8;

/// Commits that wait to be applied, in the order of their positions, without a gap.
#[derive(Default)]
pub(crate) struct Bulk {
    bytes: Vec<u8>,
    /// Where each record ends in `bytes`.
    ends: Vec<(Position, usize)>,
}

impl Bulk {
    pub(crate) fn push(&mut self, position: Position, body: &[u8]) {
        self.bytes.extend_from_slice(body);
        self.ends.push((position, self.bytes.len()));
    }

    pub(crate) fn is_full(&self) -> bool {
        self.bytes.len() >= BULK_BYTES
    }

    /// Bytes gathered.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The records gathered.
    pub(crate) fn records(&self) -> impl Iterator<Item = (Position, &[u8])> {
        let starts = [0].into_iter().chain(self.ends.iter().map(|(_, end)| *end));
        self.ends.iter().zip(starts).map(|(&(position, end), start)| (position, &self.bytes[start..end]))
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// Applies what was gathered. Tails that want it find it in the journal: it is more than the ring holds.
    pub(crate) fn apply(&self, state: &mut State) -> Result<(), StoreError> {
        let mut heads: Vec<Version> = state.fragments.iter().map(Fragment::head).collect();
        let mut parts: Vec<Vec<Part<'_>>> = heads.iter().map(|_| Vec::new()).collect();
        for (position, body) in self.records() {
            assert_eq!(position, state.horizon.next(), "records are applied in order, none twice");
            let commit = Commit::decode(&mut Reader::new(body))?;
            for part in commit.parts {
                let index = state.index_of(part.fragment)?;
                heads[index] = part.version;
                parts[index].push(part);
                state.pasts[index].commit(position);
            }
            state.stamp_ms = state.stamp_ms.max(commit.stamp_ms);
            state.marks.advance_at(position, body.len() as u64, || heads.clone());
            state.horizon = position;
        }
        apply_all(&mut state.fragments, parts)?;
        let graves = state.fragments.iter_mut().map(Fragment::take_grave);
        graves.for_each(|mut grave| state.grave.append(&mut grave));
        state.ring.reset(state.horizon, heads);
        Ok(())
    }
}

fn apply_all(fragments: &mut [Fragment], parts: Vec<Vec<Part<'_>>>) -> Result<(), StoreError> {
    let jobs = Mutex::new(fragments.iter_mut().zip(parts).filter(|(_, parts)| !parts.is_empty()));
    let next = || jobs.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || -> Result<(), StoreError> {
        while let Some((fragment, parts)) = next() {
            fragment.apply_parts(&parts).map_err(part_refused)?;
        }
        Ok(())
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let own = work();
        let outcomes = others.into_iter().map(|other| other.join().expect("a broken invariant ended the other thread"));
        outcomes.fold(own, Result::and)
    })
}
