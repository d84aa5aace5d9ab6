//! The store's calls on a stage: each changes the stage, and writes the record from which recovery does the same.

use std::sync::MutexGuard;

use limosa_core::{FragmentId, Frame, KeyRange, Scope};

use super::record::{FrameRecord, encode_install};
use super::{OpenRecord, SealedFacts, Stage, StageApplied, StageStart, StageState};
use crate::cut::FragmentView;
use crate::error::StoreError;
use crate::journal::{Position, RecordKind};
use crate::refusal::StageError;
use crate::store::Store;

impl Store {
    /// Every open stage: also behind a restart.
    pub fn stages(&self) -> Vec<StageState> {
        self.open_stage().as_ref().map(Stage::state).into_iter().collect()
    }

    /// The stage of `session`, if it is open.
    pub fn stage(&self, session: u64) -> Option<StageState> {
        self.stages().into_iter().find(|stage| stage.session == session)
    }

    /// The forks of `session`'s stage as they are now, for comparing; empty when it has none open.
    pub fn stage_fragments(&self, session: u64) -> Vec<FragmentView> {
        let stage = self.open_stage();
        let forks = stage.as_ref().filter(|stage| stage.session() == session).map(Stage::fragments).unwrap_or_default();
        self.views(forks)
    }

    /// Forks the published fragments that `starts` names. Durable when it returns. The rollback baseline of the last install is let go.
    ///
    /// # Errors
    /// A stage is open, a fragment is unknown or its range another, or the store fails.
    pub fn stage_open(&self, session: u64, starts: &[StageStart]) -> Result<(), StageError> {
        let mut slot = self.open_stage();
        if let Some(stage) = &*slot {
            return Err(StageError::AlreadyOpen { session: stage.session() });
        }
        if self.inner.state().is_reframing() {
            self.flush()?; // the stage is made of the fragments that there are behind it
        }
        // A stage of fragments that can't be made must not get into the journal: recovery could not follow.
        let published = self.inner.state().fragments.clone();
        drop(Stage::new(session, starts, &published)?);
        let record = OpenRecord::Open { session, starts: starts.to_vec() }.encode();
        let position = self.append(RecordKind::StageOpen, &record)?;
        self.settle(position)?;
        let fork = self.inner.state().fork.take().expect("publishing the record made the fork");
        *slot = Some(Stage::new(session, starts, &fork)?);
        Ok(())
    }

    /// Makes one stage, of `session`, out of all forks of fragments in `scope` that are staged, whichever session left them; what those
    /// sessions staged of other fragments stays theirs. `None` when nothing in `scope` is staged. Short ids are salted with `session` from
    /// here on, and speak of the forks as they are now.
    ///
    /// # Errors
    /// `session` has staged fragments outside of `scope`, or the store fails.
    pub fn stage_gather(&self, session: u64, _scope: &Scope) -> Result<Option<StageState>, StageError> {
        let mut slot = self.open_stage();
        let Some(stage) = slot.as_mut() else { return Ok(None) };
        if stage.session() != session {
            self.append(RecordKind::StageOpen, &OpenRecord::Resume { session }.encode())?;
            stage.resume(session);
        }
        Ok(Some(stage.state()))
    }

    /// `session` goes on as `next` with other fragments than its stage was opened for: forks and maps are parted and put together
    /// accordingly. What was taken so far stays.
    ///
    /// # Errors
    /// The stage is not open, `fragments` do not hold every key of it once, or the store fails. The stage is as it was.
    pub fn stage_reframe(&self, session: u64, next: u64, fragments: &[(FragmentId, KeyRange)]) -> Result<StageState, StageError> {
        let mut slot = self.inner.stage();
        let stage = slot.as_mut().filter(|stage| stage.session() == session).ok_or(StageError::NotOpen)?;
        self.inner.state().check()?;
        stage.reframe(next, fragments)?;
        self.append(RecordKind::StageOpen, &OpenRecord::Reframe { session: next, fragments: fragments.to_vec() }.encode())?;
        Ok(stage.state())
    }

    /// Takes a frame: checks it against the map, applies it to the fork, verifies its digest, and appends its record. Durable, and to be
    /// acknowledged, once the horizon has reached the position that it answers.
    ///
    /// # Errors
    /// Stale, gap, digest: nothing has changed. Or the store fails.
    pub fn stage_apply(&self, session: u64, frame: &Frame, drops: &[u64]) -> Result<StageApplied, StageError> {
        let mut slot = self.open_stage();
        let stage = slot.as_mut().filter(|stage| stage.session() == session).ok_or(StageError::NotOpen)?;
        // Before the fork changes: a fork that is ahead of the journal would be a promise that a crash breaks.
        self.inner.state().check()?;
        // Under the stage's own lock: reads of the served state go on. Records get into the journal in the order of the forks' changes.
        let applied = stage.apply(frame, drops)?;
        let record = FrameRecord::new(frame, drops);
        let position = self.append_pieces(RecordKind::StageFrame, &record.pieces())?;
        self.inner.relieve_stage(stage);
        Ok(StageApplied { position, applied })
    }

    /// Verifies every fragment of the stage against what the source sealed, and serves it from now on. Durable when it returns. What was
    /// served before is kept as the rollback baseline until the next stage opens.
    ///
    /// # Errors
    /// Something is incomplete, differs, or would replace a higher epoch: the stage stays as it is. Or the store fails.
    pub fn stage_install(&self, session: u64, sealed: &[SealedFacts]) -> Result<Position, StageError> {
        let mut slot = self.open_stage();
        let stage = slot.as_ref().filter(|stage| stage.session() == session).ok_or(StageError::NotOpen)?;
        let position = {
            let mut state = self.inner.state();
            state.check_poisoned()?;
            if state.incoming.is_some() {
                Position(state.next_position().0 - 1) // an earlier call's record waits for room on the disk: at or before this
            } else {
                let since = state.stage_since.expect("an open stage has its record published");
                let is_pending = state.heads.iter().zip(&state.fragments).any(|(head, f)| head.version != f.head());
                if state.changed > since || state.is_reframing() || is_pending {
                    return Err(StageError::Moved);
                }
                let roots = stage.prepare(sealed, &state.fragments)?;
                state.check()?;
                state.incoming = Some(roots);
                state.push(RecordKind::StageInstall, &encode_install(sealed))
            }
        };
        // The record is on the disk before anything of the stage is served; publishing it swaps the roots.
        self.settle(position)?;
        *slot = None;
        Ok(position)
    }

    /// Drops `session`'s stage; nothing happens when it has none open.
    ///
    /// # Errors
    /// The store fails.
    pub fn stage_abort(&self, session: u64) -> Result<(), StoreError> {
        if self.open_stage().as_ref().is_some_and(|stage| stage.session() == session) { self.stage_abort_of(&Scope::All) } else { Ok(()) }
    }

    /// Drops what is staged of the fragments in `scope`, whichever session's it is.
    ///
    /// # Errors
    /// The store fails.
    pub fn stage_abort_of(&self, _scope: &Scope) -> Result<(), StoreError> {
        let mut slot = self.open_stage();
        // Also one whose opening found the disk full, and was published after all: the journal is kept from its record on.
        if slot.is_some() || self.inner.state().stage_since.is_some() {
            self.append(RecordKind::StageAbort, &[])?;
            *slot = None;
        }
        Ok(())
    }

    /// The open stage. One whose install found the disk full, and was published when there was room again, is none any more: what it held
    /// is what readers see.
    fn open_stage(&self) -> MutexGuard<'_, Option<Stage>> {
        let mut slot = self.inner.stage();
        slot.take_if(|_| self.inner.state().stage_since.is_none());
        slot
    }

    fn append(&self, kind: RecordKind, body: &[u8]) -> Result<Position, StoreError> {
        self.append_pieces(kind, &[body])
    }

    fn append_pieces(&self, kind: RecordKind, body: &[&[u8]]) -> Result<Position, StoreError> {
        let mut state = self.inner.state();
        state.check()?;
        Ok(state.push_pieces(kind, body))
    }
}
