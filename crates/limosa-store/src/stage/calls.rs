//! The store's calls on stages: each changes one, and writes the record from which recovery does the same.
//!
//! Several sessions stage disjoint fragments at once, while others are written here or replicated: what happens to one fragment says nothing
//! of the others.

use std::sync::MutexGuard;

use limosa_core::{FragmentId, Frame, KeyRange, Scope};

use super::record::FrameRecord;
use super::{SealedFacts, StageApplied, StageRecord, StageStart, StageState, Stages};
use crate::cut::FragmentView;
use crate::error::StoreError;
use crate::journal::{Position, RecordKind};
use crate::refusal::StageError;
use crate::state::State;
use crate::store::Store;

impl Store {
    /// Every open stage, in the order of their sessions: also behind a restart.
    pub fn stages(&self) -> Vec<StageState> {
        let stages = self.open_stages();
        stages.sessions().into_iter().filter_map(|session| stages.state(session)).collect()
    }

    /// The stage of `session`, if it is open.
    pub fn stage(&self, session: u64) -> Option<StageState> {
        self.open_stages().state(session)
    }

    /// The forks of `session`'s stage as they are now, for comparing; empty when it has none open.
    pub fn stage_fragments(&self, session: u64) -> Vec<FragmentView> {
        let forks = self.open_stages().fragments_of(session);
        self.views(forks)
    }

    /// Forks the published fragments that `starts` names. Durable when it returns. The rollback baseline of earlier installs is let go.
    ///
    /// # Errors
    /// `session` has a stage, something of the fragments is staged, a fragment is unknown or its range another, or the store fails.
    pub fn stage_open(&self, session: u64, starts: &[StageStart]) -> Result<(), StageError> {
        let mut stages = self.open_stages();
        if stages.sessions().contains(&session) {
            return Err(StageError::AlreadyOpen { session });
        }
        if let Some(session) = starts.iter().find_map(|start| stages.holder_of(start.fragment, &start.range)) {
            return Err(StageError::AlreadyOpen { session });
        }
        if self.inner.state().is_reframing() {
            self.flush()?; // the stage is made of the fragments that there are behind it
        }
        // A stage of fragments that can't be made must not get into the journal: recovery could not follow.
        let published = self.inner.state().fragments.clone();
        drop(Stages::make(session, starts, &published)?);
        drop(published);
        let position = {
            let mut state = self.inner.state();
            state.check()?;
            // One whose opening found the disk full, and was published after all.
            let left = state
                .forks
                .iter()
                .filter(|(id, fork)| starts.iter().any(|s| s.fragment == **id || s.range.intersect(&fork.range).is_some()));
            let left: Vec<FragmentId> = left.map(|(id, _)| *id).collect();
            if !left.is_empty() {
                state.push_stage(&StageRecord::End { scope: Scope::only(left) });
            }
            state.push_stage(&StageRecord::Open { session, starts: starts.to_vec() })
        };
        self.settle(position)?;
        let fork = self.inner.state().fork.take().expect("publishing the record made the fork");
        stages.add(Stages::make(session, starts, &fork)?);
        Ok(())
    }

    /// Makes one stage, of `session`, out of all that is staged of the fragments in `scope`, whichever session left it; what those sessions
    /// staged of other fragments stays theirs. `None` when nothing in `scope` is staged. Short ids are salted with `session` from here on,
    /// and speak of the forks as they are now.
    ///
    /// # Errors
    /// `session` has staged fragments outside of `scope`, or the store fails.
    pub fn stage_gather(&self, session: u64, scope: &Scope) -> Result<Option<StageState>, StageError> {
        let mut stages = self.open_stages();
        if stages.names().any(|(id, of)| of == session && !scope.has(id)) {
            return Err(StageError::AlreadyOpen { session });
        }
        let wanted: Vec<(FragmentId, u64)> = stages.names().filter(|(id, _)| scope.has(*id)).collect();
        if wanted.iter().any(|(_, of)| *of != session) {
            let scope = Scope::only(wanted.into_iter().map(|(id, _)| id));
            // On the disk, and so published, before the forks have another name: what is published decides which forks there are.
            let position = self.append_stage(&StageRecord::Gather { session, scope: scope.clone() })?;
            self.settle(position)?;
            stages.gather(session, &scope);
        }
        Ok(stages.state(session))
    }

    /// `session` goes on as `next` with other fragments than its stage was opened for: forks and maps are parted and put together
    /// accordingly. What was taken so far stays.
    ///
    /// # Errors
    /// The stage is not open, `fragments` do not hold every key of it once, `next` has another stage, or the store fails. The stage is as it
    /// was.
    pub fn stage_reframe(&self, session: u64, next: u64, fragments: &[(FragmentId, KeyRange)]) -> Result<StageState, StageError> {
        let mut stages = self.open_stages();
        let forks = stages.reframed(session, next, fragments)?;
        let position = self.append_stage(&StageRecord::Reframe { session: Some(session), next, fragments: fragments.to_vec() })?;
        self.settle(position)?;
        stages.replace(session, forks);
        stages.state(next).ok_or(StageError::NotOpen)
    }

    /// Takes a frame: checks it against the map, applies it to the fork, verifies its digest, and appends its record. Durable, and to be
    /// acknowledged, once the horizon has reached the position that it answers.
    ///
    /// # Errors
    /// Stale, gap, digest: nothing has changed. Or the store fails.
    pub fn stage_apply(&self, session: u64, frame: &Frame, drops: &[u64]) -> Result<StageApplied, StageError> {
        let mut stages = self.open_stages();
        if !stages.sessions().contains(&session) {
            return Err(StageError::NotOpen);
        }
        // Before the fork changes: a fork that is ahead of the journal would be a promise that a crash breaks.
        self.inner.state().check()?;
        // Under the stages' own lock: reads of the served state go on. Records get into the journal in the order of the forks' changes.
        let applied = stages.apply(Some(session), frame, drops)?;
        let record = FrameRecord::new(frame, drops);
        let position = {
            let mut state = self.inner.state();
            state.check()?;
            state.push_pieces(RecordKind::StageFrame, &record.pieces())
        };
        self.inner.relieve_stages(&stages);
        Ok(StageApplied { position, applied })
    }

    /// Verifies every fragment of the stage against what the source sealed, and serves it from now on. Durable when it returns. What was
    /// served before is kept as the rollback baseline until the next stage opens. Other fragments are written and replicated meanwhile.
    ///
    /// # Errors
    /// Something is incomplete, differs, or would replace a higher epoch; a fragment of the stage was changed since it was opened: the stage
    /// stays as it is. Or the store fails.
    pub fn stage_install(&self, session: u64, sealed: &[SealedFacts]) -> Result<Position, StageError> {
        let mut stages = self.open_stages();
        if !stages.sessions().contains(&session) {
            return Err(StageError::NotOpen);
        }
        if self.inner.state().is_reframing() {
            self.flush()?;
        }
        let position = {
            let mut state = self.inner.state();
            state.check_poisoned()?;
            let waits = |(_, roots): &(&Position, &Vec<limosa_tree::Fragment>)| sealed.iter().any(|facts| facts.id == roots[0].id());
            if state.incoming.iter().any(|incoming| waits(&incoming)) {
                Position(state.next_position().0 - 1) // an earlier call's record waits for room on the disk: at or before this
            } else {
                state.check_unmoved(&stages, session)?;
                let roots = stages.prepare(|_, of| of == session, sealed, &state.fragments)?;
                state.check()?;
                let position = state.push_stage(&StageRecord::Install { sealed: sealed.to_vec() });
                for index in (0..state.heads.len()).rev() {
                    let range = state.head_routes.range(index);
                    if roots.iter().any(|root| root.range().intersect(&range).is_some()) {
                        state.heads[index].replicated = position; // nothing is written below it
                    }
                }
                state.incoming.insert(position, roots);
                position
            }
        };
        // The record is on the disk before anything of the stage is served; publishing it swaps the roots.
        self.settle(position)?;
        stages.end(|id| sealed.iter().any(|facts| facts.id == id));
        Ok(position)
    }

    /// Drops `session`'s stage; nothing happens when it has none open.
    ///
    /// # Errors
    /// The store fails.
    pub fn stage_abort(&self, session: u64) -> Result<(), StoreError> {
        let mut stages = self.open_stages();
        let own: Vec<FragmentId> = stages.names().filter(|(_, of)| *of == session).map(|(id, _)| id).collect();
        self.end(&mut stages, own)
    }

    /// Drops what is staged of the fragments in `scope`, whichever session's it is. What its session staged of others stays.
    ///
    /// # Errors
    /// The store fails.
    pub fn stage_abort_of(&self, scope: &Scope) -> Result<(), StoreError> {
        let mut stages = self.open_stages();
        // Also one whose opening found the disk full, and was published after all: the journal is kept from its record on.
        let published: Vec<FragmentId> = self.inner.state().forks.keys().copied().collect();
        let all = stages.names().map(|(id, _)| id).chain(published).filter(|id| scope.has(*id)).collect();
        self.end(&mut stages, all)
    }

    fn end(&self, stages: &mut Stages, fragments: Vec<FragmentId>) -> Result<(), StoreError> {
        if !fragments.is_empty() {
            let scope = Scope::only(fragments);
            self.append_stage(&StageRecord::End { scope: scope.clone() })?;
            stages.end(|id| scope.has(id));
        }
        Ok(())
    }

    /// What is staged. A stage whose install found the disk full, and was published when there was room again, is none any more: what it
    /// held is what readers see.
    fn open_stages(&self) -> MutexGuard<'_, Stages> {
        let mut stages = self.inner.stages();
        {
            let state = self.inner.state();
            stages.end(|id| !state.forks.contains_key(&id));
            // A call that found the disk full, and was published after all.
            let renamed = |(id, of)| state.forks.get(&id).map(|fork| fork.session).filter(|session| *session != of).map(|to| (id, to));
            let renamed: Vec<_> = stages.names().filter_map(renamed).collect();
            for (id, session) in renamed {
                stages.gather(session, &Scope::only([id]));
            }
        }
        stages
    }

    fn append_stage(&self, record: &StageRecord) -> Result<Position, StoreError> {
        let mut state = self.inner.state();
        state.check()?;
        Ok(state.push_stage(record))
    }
}

impl State {
    fn push_stage(&mut self, record: &StageRecord) -> Position {
        self.push(RecordKind::Stage, &record.encode())
    }

    /// Refuses when something that `session` has staged was changed here since it was forked: its install would lose that.
    fn check_unmoved(&self, stages: &Stages, session: u64) -> Result<(), StageError> {
        if self.is_reframing() {
            return Err(StageError::Moved);
        }
        for (id, _) in stages.names().filter(|(_, of)| *of == session) {
            let fork = self.forks.get(&id).ok_or(StageError::NotOpen)?;
            for index in self.routes.touched(&fork.range) {
                let is_pending = self.heads[index].version != self.fragments[index].head() || self.heads[index].replicated > self.horizon;
                if is_pending || self.pasts[index].changed > fork.since {
                    return Err(StageError::Moved);
                }
            }
        }
        Ok(())
    }
}
