//! Carries out a target's jobs: the stage, the quarantine, commits.

use std::path::Path;

use bytes::Bytes;
use limosa_core::{Digest, EpochTable, FragmentFacts, FragmentId, Frame, IntervalMap, KeyRange, Scope, Version};
use limosa_engine::target::{Event, Job, StageState};
use limosa_store::{Check, FragmentView, ReplicateError, SealedFacts, StageError, StageStart, Store, StoreError};
use limosa_wire::{Refusal, SealedFragment};

use crate::compare::{blocks, entries};
use crate::narrow::{self, Foreign};
use crate::setting_aside::{quarantine, tails};

/// What a driver of a target wants to do beside the jobs.
pub trait TargetHooks {
    /// What readers see has changed, up to this position of this node's journal.
    fn published(&mut self, position: u64) {
        let _ = position;
    }

    /// So many entries that the owner does not have lie in this file now.
    fn set_aside(&mut self, path: &Path, entries: usize) {
        let _ = (path, entries);
    }

    /// A frame is about to be applied to this fork.
    fn applying(&mut self, fork: &FragmentView, frame: &Frame) -> Result<(), StoreError> {
        let _ = (fork, frame);
        Ok(())
    }
}

impl TargetHooks for () {}

/// What a target's jobs keep between them.
#[derive(Default)]
pub struct TargetCarrier {
    /// The open stage's forks as they were: clones share what is loaded from disk.
    forks: Vec<FragmentView>,
    /// Names this session's stage.
    stage: u64,
    /// A frame was refused: those behind it belong to the same offer and are not looked at.
    refused: Option<(FragmentId, KeyRange)>,
}

impl TargetCarrier {
    /// The answer, if the job has one. A job that fails has changed nothing. Behind an answer that [`crate::wants_flush`], call
    /// [`crate::flush`] some time.
    pub fn carry_out(&mut self, store: &Store, job: &Job, hooks: &mut impl TargetHooks) -> Result<Option<Event>, StoreError> {
        Ok(Some(match job {
            Job::State { stage, scope } => self.state(store, *stage, scope)?,
            Job::SetAsideTails { tails: behind, write } => {
                let found = tails(store, behind, *write)?;
                found.file.iter().for_each(|(path, entries)| hooks.set_aside(path, *entries));
                Event::TailsSetAside(found.keys)
            }
            Job::SetAsideKeys(keys) => {
                let (path, entries) = quarantine(store, &store.cut(), "only here", keys.iter().map(|(_, key)| (key, None)))?;
                hooks.set_aside(&path, entries);
                Event::KeysSetAside
            }
            Job::OpenStage { session, starts } => self.open_stage(store, *session, starts)?,
            Job::ReframeStage { session, fragments } => self.reframe_stage(store, *session, fragments)?,
            Job::AbortStage(scope) => {
                store.stage_abort_of(scope)?;
                self.forks.retain(|fork| !scope.has(fork.id()));
                return Ok(None);
            }
            Job::Blocks { ranges, salt } => Event::Blocks(blocks(&self.forks, ranges, *salt)?),
            Job::Entries { ranges, salt } => Event::Entries(entries(&self.forks, ranges, *salt)?),
            Job::Apply(frame) => self.apply(store, frame, hooks)?,
            Job::Pass => Event::Staged(0), // durable since ever
            Job::Install(sealed) => self.install(store, sealed, hooks)?,
            Job::Replicate { reframe, .. } if !reframe.is_empty() => follow(store, reframe)?,
            Job::Replicate { records, epochs, checks, floors, scope, left, .. } => match narrow::records(records, scope, left) {
                Ok(records) => replicate(store, &records, epochs, checks, floors)?,
                Err(foreign) => refused_foreign(foreign),
            },
        }))
    }

    /// Called when `job` failed for good: a fork that can't be mended would be in the way of every session to come.
    pub fn give_up(&mut self, store: &Store, job: &Job, error: &StoreError) -> Result<(), StoreError> {
        if matches!((error, job), (StoreError::CorruptBlock { .. }, Job::Apply(_))) {
            self.forks.clear();
            store.stage_abort(self.stage)?;
        }
        Ok(())
    }

    fn state(&mut self, store: &Store, stage: u64, scope: &Scope) -> Result<Event, StoreError> {
        // What an earlier session appended, or this node wrote as an owner, comes first: published behind this answer, it would make the
        // answer a lie.
        store.flush()?;
        (self.stage, self.refused) = (stage, None);
        let facts = store.facts();
        let staged = match store.stage_gather(stage, &with_staged_names(store, scope, &facts)) {
            Ok(staged) => staged.filter(|staged| !staged.fragments.is_empty()),
            Err(StageError::Store(error)) => return Err(error),
            Err(error) => unreachable!("no other session has this random name for its stage: {error}"),
        };
        self.forks = store.stage_fragments(stage);
        Ok(Event::State { facts, stage: staged.map(stage_state) })
    }

    fn open_stage(&mut self, store: &Store, session: u64, starts: &[(FragmentId, KeyRange, IntervalMap)]) -> Result<Event, StoreError> {
        self.refused = None;
        let new = Scope::only(starts.iter().map(|(id, ..)| *id));
        store.stage_abort_of(&new)?;
        let start = |(fragment, range, common): &(FragmentId, KeyRange, IntervalMap)| StageStart {
            fragment: *fragment,
            range: range.clone(),
            common: common.clone(),
        };
        let starts: Vec<StageStart> = starts.iter().map(start).collect();
        let opened = match store.stage(session) {
            None => store.stage_open(session, &starts),
            // Beside what is staged already: on its own first, then put together.
            Some(staged) => {
                let all = staged.fragments.iter().map(|staged| staged.id).chain(starts.iter().map(|start| start.fragment));
                let beside = store.stage_open(session.wrapping_add(1), &starts);
                beside.and_then(|()| store.stage_gather(session, &Scope::only(all)).map(drop))
            }
        };
        self.opened(store, session, opened, &starts[0].range, starts[0].fragment)
    }

    fn reframe_stage(&mut self, store: &Store, session: u64, fragments: &[(FragmentId, KeyRange)]) -> Result<Event, StoreError> {
        let reframed = store.stage_reframe(self.stage, session, fragments).map(drop);
        self.opened(store, session, reframed, &fragments[0].1, fragments[0].0)
    }

    fn opened(
        &mut self,
        store: &Store,
        session: u64,
        outcome: Result<(), StageError>,
        range: &KeyRange,
        fragment: FragmentId,
    ) -> Result<Event, StoreError> {
        match outcome {
            Ok(()) => {
                self.stage = session;
                self.forks = store.stage_fragments(session);
                Ok(Event::StageOpened)
            }
            Err(StageError::Store(error)) => Err(error),
            Err(error) => Ok(refused(fragment, range.clone(), &error)),
        }
    }

    fn apply(&mut self, store: &Store, frame: &Frame, hooks: &mut impl TargetHooks) -> Result<Event, StoreError> {
        if let Some((fragment, range)) = &self.refused {
            let detail = "behind a frame that was refused".to_owned();
            return Ok(Event::Refused { fragment: *fragment, range: range.clone(), why: Refusal::Gap, detail });
        }
        if let Some(fork) = self.forks.iter().find(|fork| fork.id() == frame.fragment) {
            hooks.applying(fork, frame)?;
        }
        match store.stage_apply(self.stage, frame, &[]) {
            Ok(applied) => Ok(Event::Staged(applied.position.0)),
            Err(StageError::Store(error)) => Err(error),
            Err(error) => {
                self.refused = Some((frame.fragment, frame.range.clone()));
                Ok(refused(frame.fragment, frame.range.clone(), &error))
            }
        }
    }

    fn install(&mut self, store: &Store, sealed: &[SealedFragment], hooks: &mut impl TargetHooks) -> Result<Event, StoreError> {
        let facts = |seal: &SealedFragment| SealedFacts {
            id: seal.id,
            head: seal.head,
            state: seal.state,
            floor: seal.floor,
            epochs: seal.epochs.clone(),
        };
        let facts: Vec<SealedFacts> = sealed.iter().map(facts).collect();
        match store.stage_install(self.stage, &facts) {
            Ok(position) => {
                self.forks.clear();
                hooks.published(position.0);
                Ok(Event::Installed)
            }
            Err(StageError::Store(error)) => Err(error),
            Err(error) => {
                let first = facts.first().map(|facts| facts.id).unwrap_or_default();
                Ok(refused(unlike(&error).unwrap_or(first), KeyRange::ALL, &error))
            }
        }
    }
}

fn replicate(
    store: &Store,
    records: &Bytes,
    epochs: &[(FragmentId, EpochTable)],
    checks: &[(FragmentId, Version, Digest)],
    floors: &[(FragmentId, Version)],
) -> Result<Event, StoreError> {
    let check = |&(fragment, version, state): &(FragmentId, Version, Digest)| Check { fragment, version, state };
    let checks: Vec<Check> = checks.iter().map(check).collect();
    let outcome = store.replicate(records, epochs, &checks);
    if outcome.is_ok() {
        store.adopt_floors(floors)?;
    }
    replicated(outcome.map(|at| at.0))
}

/// The scope, and what is staged where its fragments lie: a source that has split or merged them calls them by other names.
fn with_staged_names(store: &Store, scope: &Scope, facts: &[FragmentFacts]) -> Scope {
    let mut named = scope.clone();
    let places: Vec<&KeyRange> = facts.iter().filter(|facts| scope.has(facts.id)).map(|facts| &facts.range).collect();
    for staged in store.stages().iter().flat_map(|stage| &stage.fragments) {
        if places.iter().any(|place| place.intersect(staged.map.range()).is_some()) {
            named.add(&[staged.id]);
        }
    }
    named
}

/// A split or merge, and what fragments there are behind it: published, so flushed.
fn follow(store: &Store, reframe: &Bytes) -> Result<Event, StoreError> {
    Ok(match replicated(store.replicate_reframe(reframe).map(|at| at.0))? {
        Event::Replicated(position) => {
            store.flush()?;
            Event::Reframed { position, facts: store.facts() }
        }
        refused => refused,
    })
}

fn replicated(outcome: Result<u64, ReplicateError>) -> Result<Event, StoreError> {
    match outcome {
        Ok(position) => Ok(Event::Replicated(position)),
        Err(ReplicateError::Store(error)) => Err(error),
        Err(error) => Ok(refused_commits(&error)),
    }
}

fn stage_state(stage: limosa_store::StageState) -> StageState {
    StageState { fragments: stage.fragments.into_iter().map(|staged| (staged.id, staged.common, staged.map)).collect() }
}

fn refused(fragment: FragmentId, range: KeyRange, error: &StageError) -> Event {
    let why = match error {
        StageError::Stale { .. } => Refusal::Stale,
        StageError::Gap { .. } | StageError::NotOpen => Refusal::Gap,
        _ => Refusal::Mismatch,
    };
    Event::Refused { fragment, range, why, detail: error.to_string() }
}

/// The fragment that a refused seal is about.
fn unlike(error: &StageError) -> Option<FragmentId> {
    match error {
        StageError::Digest { fragment, .. } | StageError::Incomplete { fragment, .. } | StageError::Epoch { fragment, .. } => {
            Some(*fragment)
        }
        _ => None,
    }
}

fn refused_foreign(foreign: Foreign) -> Event {
    let (fragment, detail) = match foreign {
        Foreign::Malformed(error) => (FragmentId::default(), error.to_string()),
        Foreign::Fragment(fragment) => (fragment, format!("a commit on {fragment}, which was not asked for")),
    };
    Event::Refused { fragment, range: KeyRange::ALL, why: Refusal::Gap, detail }
}

fn refused_commits(error: &ReplicateError) -> Event {
    let fragment = match error {
        ReplicateError::UnknownFragment { fragment } | ReplicateError::Gap { fragment, .. } | ReplicateError::Diverged { fragment, .. } => {
            *fragment
        }
        ReplicateError::Record(_) | ReplicateError::Store(_) => FragmentId::default(),
    };
    Event::Refused { fragment, range: KeyRange::ALL, why: Refusal::Gap, detail: error.to_string() }
}
