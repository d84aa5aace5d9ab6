//! What stage records do to the published state: they fork it, and put forks in its place.

use bytes::Bytes;
use limosa_core::{FragmentId, KeyRange, Version};
use limosa_tree::Fragment;

use super::{SealedFacts, StageRecord};
use crate::apply::Slice;
use crate::gates::FragmentGate;
use crate::journal::Position;
use crate::past::Past;
use crate::state::{Head, State};

/// Where a fork was made: what the published state knows of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ForkFacts {
    /// Whose it is.
    pub(crate) session: u64,
    /// Its keys.
    pub(crate) range: KeyRange,
    /// Position of the record that opened it.
    pub(crate) since: Position,
    /// The trees' generation there.
    pub(crate) generation: u64,
}

impl State {
    /// Whether something of `range` is staged.
    pub(crate) fn is_staged(&self, range: &KeyRange) -> bool {
        self.forks.values().any(|fork| fork.range.intersect(range).is_some())
    }

    /// Position of the first record of what is staged longest.
    pub(crate) fn staged_since(&self) -> Option<Position> {
        self.forks.values().map(|fork| fork.since).min()
    }

    /// A fork is made here, where the trees stand exactly at the record's position: live and in recovery alike.
    pub(crate) fn apply_stage(&mut self, position: Position, record: &StageRecord, slice: &mut Slice) {
        match record {
            StageRecord::Open { starts, .. } => {
                // Before the fork is made: what is written to it must be newer than every checkpoint of what is published from here on.
                self.level_generations();
                let touched = |fragment: &&Fragment| starts.iter().any(|start| start.range.intersect(fragment.range()).is_some());
                self.fork = Some(self.fragments.iter().filter(touched).cloned().collect());
                // Kept until the next stage opens, which is now.
                for fragment in std::mem::take(&mut self.baseline) {
                    self.grave.append(&mut fragment.into_grave());
                }
            }
            StageRecord::Install { sealed } => self.apply_install(position, sealed, slice),
            StageRecord::Gather { .. } | StageRecord::Reframe { .. } | StageRecord::End { .. } => {}
        }
        self.note_stage(position, record);
    }

    /// Takes note of what is staged behind `record`.
    pub(crate) fn note_stage(&mut self, position: Position, record: &StageRecord) {
        match record {
            StageRecord::Open { session, starts } => {
                let generation = self.level_generations();
                for start in starts {
                    let facts = ForkFacts { session: *session, range: start.range.clone(), since: position, generation };
                    self.forks.insert(start.fragment, facts);
                }
            }
            StageRecord::Gather { session, scope } => {
                self.forks.iter_mut().filter(|(id, _)| scope.has(**id)).for_each(|(_, fork)| fork.session = *session);
            }
            StageRecord::Reframe { session, next, fragments } => {
                let is_own = |fork: &ForkFacts| session.is_none_or(|session| fork.session == session);
                let own = || self.forks.values().filter(|fork| is_own(fork));
                let Some(since) = own().map(|fork| fork.since).min() else { return };
                let generation = own().map(|fork| fork.generation).min().unwrap_or(0);
                self.forks.retain(|_, fork| !is_own(fork));
                for (id, range) in fragments {
                    self.forks.insert(*id, ForkFacts { session: *next, range: range.clone(), since, generation });
                }
            }
            StageRecord::Install { sealed } => self.forks.retain(|id, _| sealed.iter().all(|facts| facts.id != *id)),
            StageRecord::End { scope } => self.forks.retain(|id, _| !scope.has(*id)),
        }
    }

    /// Swaps in the verified roots. Nothing reads half of it: the lock is held. Other fragments stay as they are, with what pends in them.
    fn apply_install(&mut self, position: Position, sealed: &[SealedFacts], slice: &mut Slice) {
        let roots = self.incoming.remove(&position).expect("whoever writes or replays an install record has verified roots at hand");
        let generation_of = |id: FragmentId| self.forks.get(&id).map_or(0, |fork| fork.generation);
        let forked = sealed.iter().map(|facts| generation_of(facts.id)).min().unwrap_or(0);
        self.covers.fall_back(forked);
        let ids: Vec<FragmentId> = roots.iter().map(Fragment::id).collect();
        for root in &roots {
            self.uploads.close_in(root.range()); // their owner was here, and is elsewhere
        }
        self.swap_heads(&roots, position);
        self.swap(roots, position, forked);
        self.published_anew();
        self.count_ids(&ids);
        for id in &ids {
            self.checks.forget(*id);
            self.drift.take_if(|drift| drift.fragment == *id);
            // Copying or comparing has raised the floor.
            let fragment = &self.fragments[self.routes.of_id(*id).expect("swapped in above")];
            if fragment.total().tombstones > 0 {
                self.to_sweep.insert(*id, Bytes::new());
            }
        }
        let routes = self.routes.clone();
        self.to_sweep.retain(|id, _| routes.of_id(*id).is_some());
        slice.is_alone = true;
        self.installed = position;
    }

    /// Puts `roots`, which are in key order, in the place of the published fragments that they touch.
    fn swap(&mut self, roots: Vec<Fragment>, position: Position, forked: u64) {
        let touches = |fragment: &Fragment, root: &Fragment| fragment.range().intersect(root.range()).is_some();
        let (fragments, pasts) = (std::mem::take(&mut self.fragments), std::mem::take(&mut self.pasts));
        let mut all = Vec::new();
        for root in roots {
            let replaced: Vec<Past> = fragments.iter().zip(&pasts).filter(|(old, _)| touches(old, &root)).map(|(_, past)| *past).collect();
            let past = Past::installed(&replaced, position, root.head(), forked);
            all.push((root, past, None));
        }
        let count = all.len();
        for (index, (mut fragment, past)) in fragments.into_iter().zip(pasts).enumerate() {
            if all[..count].iter().any(|(root, ..)| touches(&fragment, root)) {
                fragment.set_loader(self.unpinned.clone());
                self.baseline.push(fragment);
            } else {
                all.push((fragment, past, Some(index)));
            }
        }
        all.sort_by(|(a, ..), (b, ..)| a.range().start.cmp(&b.range().start));
        let from: Vec<Option<usize>> = all.iter().map(|(_, _, from)| *from).collect();
        let base: Vec<Result<usize, Version>> = all.iter().map(|(root, _, from)| from.ok_or(root.head())).collect();
        self.marks.reorder(&from);
        self.ring.reorder(&base);
        (self.fragments, self.pasts) = all.into_iter().map(|(fragment, past, _)| (fragment, past)).unzip();
    }

    /// The same for what commands see: heads, rows and routes of the fragments that `roots` touch.
    fn swap_heads(&mut self, roots: &[Fragment], position: Position) {
        if self.heads.is_empty() {
            return; // in recovery heads come last
        }
        let mut all: Vec<(FragmentId, KeyRange, Head, limosa_core::History)> = Vec::new();
        for root in roots {
            let touched = || (0..self.head_routes.len()).filter(|&index| self.head_routes.range(index).intersect(root.range()).is_some());
            let gate = touched().map(|index| self.heads[index].gate).max().unwrap_or(FragmentGate::Serving);
            let newer = touched().find(|&index| self.head_routes.id(index) == root.id() && self.heads[index].replicated > position);
            all.push(match newer {
                Some(index) => (root.id(), root.range().clone(), self.heads[index], self.epochs[index].clone()), // dropped again, and pending
                None => (root.id(), root.range().clone(), Head::of(root, gate), root.epochs().clone()),
            });
        }
        let count = all.len();
        for index in 0..self.head_routes.len() {
            let range = self.head_routes.range(index);
            if all[..count].iter().all(|(_, root, ..)| root.intersect(&range).is_none()) {
                all.push((self.head_routes.id(index), range, self.heads[index], self.epochs[index].clone()));
            }
        }
        all.sort_by(|(_, a, ..), (_, b, ..)| a.start.cmp(&b.start));
        let ranges: Vec<(FragmentId, KeyRange)> = all.iter().map(|(id, range, ..)| (*id, range.clone())).collect();
        self.head_routes = crate::fragments::Routes::new(&ranges);
        (self.heads, self.epochs) = all.into_iter().map(|(_, _, head, epochs)| (head, epochs)).unzip();
        self.gates_changed();
    }
}
