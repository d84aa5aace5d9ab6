//! Carries out a target's jobs: the stage, the quarantine, commits; and flushes behind them on a thread of its own.

use std::sync::{Arc, mpsc as sync};
use std::thread;

use bytes::Bytes;
use limosa_core::{Digest, FragmentId, Frame, IntervalMap, KeyRange, Version};
use limosa_engine::target::{Event, Job, StageState};
use limosa_store::{Check, Cut, Extract, FragmentView, Position, ReplicateError, SealedFacts, StageError, StageStart, Store, StoreError};
use limosa_wire::{Refusal, SealedFragment};
use tokio::sync::{mpsc, watch};

use super::patience::patiently;
use super::source_jobs::{blocks, entries};
use super::warm;
use crate::transport::{Counters, Stage};

/// What a job or a flush gave.
pub(super) enum Answer {
    /// For the machine.
    Event(Box<Event>),
    /// For the machine: a frame that the stage had already.
    Stale(Box<Event>),
    /// This node's store failed.
    Failed(StoreError),
}

type Answers = mpsc::UnboundedSender<Answer>;

/// What a target's jobs keep between them.
pub(super) struct TargetJobs {
    store: Store,
    flusher: Option<sync::Sender<()>>,
    published: watch::Sender<u64>,
    counters: Arc<Counters>,
    /// The open stage's forks as they were: clones share what is loaded from disk.
    forks: Vec<FragmentView>,
    /// A frame was refused: those behind it belong to the same offer and are not looked at.
    refused: Option<(FragmentId, KeyRange)>,
}

impl TargetJobs {
    pub(super) fn new(store: Store, published: watch::Sender<u64>, counters: Arc<Counters>) -> Self {
        Self { store, flusher: None, published, counters, forks: Vec::new(), refused: None }
    }

    pub(super) fn carry_out(&mut self, job: &Job, answers: &Answers) {
        let store = self.store.clone();
        let mut done = patiently(&store, || answers.is_closed(), || self.try_carry_out(job, answers));
        if let (Err(StoreError::CorruptBlock { .. }), Job::Apply(_)) = (&done, job)
            && let Err(error) = self.store.stage_abort()
        {
            done = Err(error); // a fork that can't be mended would be in the way of every session to come
        }
        let answer = match done {
            Ok(Some(Event::Refused { fragment, range, why: Refusal::Stale, detail })) => {
                Answer::Stale(Box::new(Event::Refused { fragment, range, why: Refusal::Stale, detail }))
            }
            Ok(Some(event)) => Answer::Event(Box::new(event)),
            Ok(None) => return,
            Err(error) => Answer::Failed(error),
        };
        let _ = answers.send(answer); // the session has ended
    }

    fn try_carry_out(&mut self, job: &Job, answers: &Answers) -> Result<Option<Event>, StoreError> {
        Ok(Some(match job {
            Job::State => {
                // What an earlier session appended, or this node wrote as an owner, comes first: published behind this answer, it would
                // make the answer a lie.
                self.store.flush()?;
                self.forks = self.store.stage_fragments();
                Event::State { facts: self.store.facts(), stage: self.store.stage().map(stage_state) }
            }
            Job::SetAsideTails { tails, write } => Event::TailsSetAside(self.set_aside_tails(tails, *write)?),
            Job::SetAsideKeys(keys) => {
                self.set_aside_keys(keys)?;
                Event::KeysSetAside
            }
            Job::OpenStage { session, starts } => return self.open_stage(*session, starts.clone()).map(Some),
            Job::ReframeStage { session, fragments } => return self.reframe_stage(*session, fragments).map(Some),
            Job::AbortStage => {
                self.store.stage_abort()?;
                return Ok(None);
            }
            Job::Blocks { ranges, salt } => Event::Blocks(blocks(&self.forks, ranges, *salt)?),
            Job::Entries { ranges, salt } => Event::Entries(entries(&self.forks, ranges, *salt)?),
            Job::Apply(frame) => return self.apply(frame, answers).map(Some),
            Job::Install(sealed) => return self.install(sealed.clone()).map(Some),
            Job::Replicate { reframe, .. } if !reframe.is_empty() => return self.follow(reframe, answers).map(Some),
            Job::Replicate { records, epochs, checks, floors, .. } => {
                let check = |&(fragment, version, state): &(FragmentId, Version, Digest)| Check { fragment, version, state };
                let checks: Vec<Check> = checks.iter().map(check).collect();
                return match self.store.replicate(records, epochs, &checks) {
                    Ok(position) => {
                        self.store.adopt_floors(floors)?;
                        self.flush_behind(answers);
                        Ok(Some(Event::Replicated(position.0)))
                    }
                    Err(ReplicateError::Store(error)) => Err(error),
                    Err(error) => Ok(Some(refused_commits(&error))),
                };
            }
        }))
    }

    /// Everything that this node wrote behind the given versions goes into a readable file before anybody may replace it.
    fn set_aside_tails(&self, tails: &[(FragmentId, KeyRange, Version)], write: bool) -> Result<Vec<(FragmentId, Vec<Bytes>)>, StoreError> {
        let cut = self.store.cut();
        let mut out = Vec::new();
        let mut all = Vec::new();
        for (fragment, range, since) in tails {
            let Some(view) = cut.fragment(*fragment) else { continue };
            let keys = changed_keys(view, range, *since)?;
            all.extend(keys.iter().map(|key| (*fragment, key.clone())));
            out.push((*fragment, keys));
        }
        if write {
            self.quarantine(&cut, "diverged", &all)?;
        }
        Ok(out)
    }

    fn set_aside_keys(&self, keys: &[(FragmentId, Bytes)]) -> Result<(), StoreError> {
        self.quarantine(&self.store.cut(), "only here", keys)
    }

    fn quarantine(&self, cut: &Cut, promised: &str, keys: &[(FragmentId, Bytes)]) -> Result<(), StoreError> {
        // By its place: the owner may call the fragment another name.
        let entries = keys.iter().filter_map(|(_, key)| cut.holding(key).get(key).transpose());
        let path = self.store.quarantine(promised, entries)?;
        tracing::warn!(path = %path.display(), entries = keys.len(), "entries that the owner does not have were set aside");
        Ok(())
    }

    fn open_stage(&mut self, session: u64, starts: Vec<(FragmentId, KeyRange, IntervalMap)>) -> Result<Event, StoreError> {
        self.refused = None;
        self.store.stage_abort()?;
        let starts: Vec<StageStart> = starts.into_iter().map(|(fragment, range, common)| StageStart { fragment, range, common }).collect();
        match self.store.stage_open(session, &starts) {
            Ok(()) => {
                self.forks = self.store.stage_fragments();
                Ok(Event::StageOpened)
            }
            Err(StageError::Store(error)) => Err(error),
            Err(error) => Ok(refused(starts[0].fragment, starts[0].range.clone(), &error)),
        }
    }

    fn reframe_stage(&mut self, session: u64, fragments: &[(FragmentId, KeyRange)]) -> Result<Event, StoreError> {
        match self.store.stage_reframe(session, fragments) {
            Ok(_) => {
                self.forks = self.store.stage_fragments();
                Ok(Event::StageOpened)
            }
            Err(StageError::Store(error)) => Err(error),
            Err(error) => Ok(refused(fragments[0].0, fragments[0].1.clone(), &error)),
        }
    }

    fn follow(&mut self, reframe: &[u8], answers: &Answers) -> Result<Event, StoreError> {
        match self.store.replicate_reframe(reframe) {
            Ok(position) => {
                self.flush_behind(answers);
                Ok(Event::Replicated(position.0))
            }
            Err(ReplicateError::Store(error)) => Err(error),
            Err(error) => Ok(refused_commits(&error)),
        }
    }

    fn apply(&mut self, frame: &Frame, answers: &Answers) -> Result<Event, StoreError> {
        if let Some((fragment, range)) = &self.refused {
            let detail = "behind a frame that was refused".to_owned();
            return Ok(Event::Refused { fragment: *fragment, range: range.clone(), why: Refusal::Gap, detail });
        }
        if let Some(fork) = self.forks.iter().find(|fork| fork.id() == frame.fragment) {
            warm::blocks(fork, frame)?;
        }
        match self.store.stage_apply(frame, &[]) {
            Ok(applied) => {
                self.flush_behind(answers);
                Ok(Event::Staged(applied.position.0))
            }
            Err(StageError::Store(error)) => Err(error),
            Err(error) => {
                self.refused = Some((frame.fragment, frame.range.clone()));
                Ok(refused(frame.fragment, frame.range.clone(), &error))
            }
        }
    }

    fn install(&mut self, sealed: Vec<SealedFragment>) -> Result<Event, StoreError> {
        let facts: Vec<SealedFacts> = sealed
            .into_iter()
            .map(|seal| SealedFacts { id: seal.id, head: seal.head, state: seal.state, floor: seal.floor, epochs: seal.epochs })
            .collect();
        match self.store.stage_install(&facts) {
            Ok(position) => {
                self.forks.clear();
                self.published.send_replace(position.0);
                Ok(Event::Installed)
            }
            Err(StageError::Store(error)) => Err(error),
            Err(error) => Ok(refused(unlike(&error).unwrap_or(facts[0].id), KeyRange::ALL, &error)),
        }
    }

    /// Wakes the thread that flushes: applying goes on while the disk works, and one flush serves all that was appended meanwhile.
    fn flush_behind(&mut self, answers: &Answers) {
        let flusher = self
            .flusher
            .get_or_insert_with(|| spawn_flusher(self.store.clone(), self.published.clone(), self.counters.clone(), answers.clone()));
        let _ = flusher.send(()); // it ended with a failed flush, which it has answered
    }
}

fn spawn_flusher(store: Store, published: watch::Sender<u64>, counters: Arc<Counters>, answers: Answers) -> sync::Sender<()> {
    let (wake, woken) = sync::channel::<()>();
    let run = move || {
        while woken.recv().is_ok() {
            while woken.try_recv().is_ok() {}
            // A commit onto a damaged block waits, with all behind it, until that is mended.
            let flush = || counters.cpu().measure(Stage::Journal, || store.flush());
            let answer = match patiently(&store, || answers.is_closed(), flush) {
                Ok(Position(position)) => {
                    published.send_replace(position);
                    let _ = answers.send(Answer::Event(Box::new(Event::Durable(position))));
                    store.drift().map(|drift| Answer::Event(Box::new(drifted(&store, drift))))
                }
                Err(error) => Some(Answer::Failed(error)),
            };
            if let Some(answer) = answer {
                let _ = answers.send(answer); // the session has ended
            }
        }
    };
    thread::Builder::new()
        .name("limosa-flush".to_owned())
        .spawn(run)
        .expect("the operating system gives a thread for each of a bounded number of peers");
    wake
}

/// Bytes of keys and values looked at in one go.
const SCAN_BYTES: usize = 1 << 20;

/// The keys changed behind `since`, ascending, deletions included.
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

fn drifted(store: &Store, drift: limosa_store::Drift) -> Event {
    let range = store.facts().into_iter().find(|facts| facts.id == drift.fragment).map_or(KeyRange::ALL, |facts| facts.range);
    let detail = format!("at {} the state digest is {}, the owner's {}", drift.version, drift.ours, drift.owners);
    Event::Drifted { fragment: drift.fragment, range, detail }
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

fn refused_commits(error: &ReplicateError) -> Event {
    let fragment = match error {
        ReplicateError::UnknownFragment { fragment } | ReplicateError::Gap { fragment, .. } | ReplicateError::Diverged { fragment, .. } => {
            *fragment
        }
        ReplicateError::Record(_) | ReplicateError::Store(_) => FragmentId::default(),
    };
    Event::Refused { fragment, range: KeyRange::ALL, why: Refusal::Gap, detail: error.to_string() }
}
