//! Carries out a target's jobs on a store, one after the other. Decides nothing.

use bytes::Bytes;
use limosa_core::{FragmentId, IntervalMap, KeyRange, Version};
use limosa_engine::target::{Event, Job, StageState};
use limosa_store::{Check, Extract, FragmentView, ReplicateError, SealedFacts, StageError, StageStart, Store, StoreError};
use limosa_wire::{Refusal, SealedFragment};

use crate::carry_source::{blocks, entries};

/// Bytes of keys and values looked at in one go.
const SCAN_BYTES: usize = 64 << 10;

/// What a target's jobs keep between them.
#[derive(Default)]
pub(crate) struct TargetCarrier {
    /// A frame was refused: those behind it belong to the same offer and are not looked at.
    refused: Option<(FragmentId, KeyRange)>,
}

impl TargetCarrier {
    /// The answer, if the job has one.
    pub(crate) fn carry_out(&mut self, store: &Store, job: Job) -> Result<Option<Event>, StoreError> {
        Ok(Some(match job {
            Job::State => {
                store.flush()?; // as the node does: what waits would make the answer a lie
                Event::State { facts: store.facts(), stage: store.stage().map(stage_state) }
            }
            Job::SetAsideTails { tails, write } => Event::TailsSetAside(set_aside_tails(store, &tails, write)?),
            Job::SetAsideKeys(keys) => {
                quarantine(store, "only here", &keys)?;
                Event::KeysSetAside
            }
            Job::OpenStage { session, starts } => self.open_stage(store, session, starts)?,
            Job::ReframeStage { session, fragments } => match store.stage_reframe(session, &fragments) {
                Ok(_) => Event::StageOpened,
                Err(StageError::Store(error)) => return Err(error),
                Err(error) => refused(fragments[0].0, fragments[0].1.clone(), Refusal::Mismatch, &error),
            },
            Job::AbortStage => {
                store.stage_abort()?;
                return Ok(None);
            }
            Job::Blocks { ranges, salt } => Event::Blocks(blocks(&store.stage_fragments(), &ranges, salt)?),
            Job::Entries { ranges, salt } => Event::Entries(entries(&store.stage_fragments(), &ranges, salt)?),
            Job::Apply(frame) => self.apply(store, &frame)?,
            Job::Install(sealed) => install(store, sealed)?,
            Job::Replicate { records, epochs, checks, floors, reframe } => {
                let checks: Vec<Check> = checks.into_iter().map(|(fragment, version, state)| Check { fragment, version, state }).collect();
                let followed =
                    if reframe.is_empty() { store.replicate(&records, &epochs, &checks) } else { store.replicate_reframe(&reframe) };
                match followed {
                    Ok(position) => {
                        store.adopt_floors(&floors)?;
                        Event::Replicated(position.0)
                    }
                    Err(ReplicateError::Store(error)) => return Err(error),
                    Err(error) => refused(FragmentId::default(), KeyRange::ALL, Refusal::Gap, &error),
                }
            }
        }))
    }

    fn open_stage(&mut self, store: &Store, session: u64, starts: Vec<(FragmentId, KeyRange, IntervalMap)>) -> Result<Event, StoreError> {
        self.refused = None;
        store.stage_abort()?;
        let start = |(fragment, range, common)| StageStart { fragment, range, common };
        let starts: Vec<StageStart> = starts.into_iter().map(start).collect();
        match store.stage_open(session, &starts) {
            Ok(()) => Ok(Event::StageOpened),
            Err(StageError::Store(error)) => Err(error),
            Err(error) => Ok(refused(starts[0].fragment, starts[0].range.clone(), Refusal::Mismatch, &error)),
        }
    }

    fn apply(&mut self, store: &Store, frame: &limosa_core::Frame) -> Result<Event, StoreError> {
        if let Some((fragment, range)) = &self.refused {
            let detail = "behind a frame that was refused".to_owned();
            return Ok(Event::Refused { fragment: *fragment, range: range.clone(), why: Refusal::Gap, detail });
        }
        match store.stage_apply(frame, &[]) {
            Ok(applied) => Ok(Event::Staged(applied.position.0)),
            Err(StageError::Store(error)) => Err(error),
            Err(error) => {
                self.refused = Some((frame.fragment, frame.range.clone()));
                let why = match error {
                    StageError::Stale { .. } => Refusal::Stale,
                    StageError::Gap { .. } | StageError::NotOpen => Refusal::Gap,
                    _ => Refusal::Mismatch,
                };
                Ok(refused(frame.fragment, frame.range.clone(), why, &error))
            }
        }
    }
}

fn install(store: &Store, sealed: Vec<SealedFragment>) -> Result<Event, StoreError> {
    let facts =
        |seal: SealedFragment| SealedFacts { id: seal.id, head: seal.head, state: seal.state, floor: seal.floor, epochs: seal.epochs };
    let sealed: Vec<SealedFacts> = sealed.into_iter().map(facts).collect();
    match store.stage_install(&sealed) {
        Ok(_) => Ok(Event::Installed),
        Err(StageError::Store(error)) => Err(error),
        Err(error) => {
            let unlike = match &error {
                StageError::Digest { fragment, .. } | StageError::Incomplete { fragment, .. } | StageError::Epoch { fragment, .. } => {
                    *fragment
                }
                _ => sealed[0].id,
            };
            Ok(refused(unlike, KeyRange::ALL, Refusal::Mismatch, &error))
        }
    }
}

fn set_aside_tails(
    store: &Store,
    tails: &[(FragmentId, KeyRange, Version)],
    write: bool,
) -> Result<Vec<(FragmentId, Vec<Bytes>)>, StoreError> {
    let cut = store.cut();
    let (mut out, mut all) = (Vec::new(), Vec::new());
    for (fragment, range, since) in tails {
        let Some(view) = cut.fragment(*fragment) else { continue };
        let keys = changed_keys(view, range, *since)?;
        all.extend(keys.iter().map(|key| (*fragment, key.clone())));
        out.push((*fragment, keys));
    }
    if write {
        quarantine(store, "diverged", &all)?;
    }
    Ok(out)
}

fn quarantine(store: &Store, promised: &str, keys: &[(FragmentId, Bytes)]) -> Result<(), StoreError> {
    let cut = store.cut();
    store.quarantine(promised, keys.iter().filter_map(|(_, key)| cut.holding(key).get(key).transpose())).map(drop)
}

fn changed_keys(view: &FragmentView, range: &KeyRange, since: Version) -> Result<Vec<Bytes>, StoreError> {
    let mut keys = Vec::new();
    let mut rest = Some(range.clone());
    while let Some(range) = rest {
        let (frame, next) = view.delta(&range, since, Extract::Changes, SCAN_BYTES)?;
        keys.extend(frame.entries.iter().map(|entry| Bytes::copy_from_slice(entry.key)));
        rest = next.map(|start| KeyRange { start, end: range.end });
    }
    Ok(keys)
}

fn stage_state(stage: limosa_store::StageState) -> StageState {
    StageState { fragments: stage.fragments.into_iter().map(|staged| (staged.id, staged.common, staged.map)).collect() }
}

fn refused(fragment: FragmentId, range: KeyRange, why: Refusal, error: &dyn std::error::Error) -> Event {
    Event::Refused { fragment, range, why, detail: error.to_string() }
}
