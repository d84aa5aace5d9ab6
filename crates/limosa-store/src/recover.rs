//! Opening: the checkpoint's summaries, then the journal's tail, through the same calls that made them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use limosa_core::{FragmentId, KeyRange};
use limosa_tree::{BlockLoader, Fragment, Grave};

use crate::apply::{Checks, Slice};
use crate::bulk::Bulk;
use crate::checkpoint::{Checkpoint, CheckpointOptions};
use crate::error::StoreError;
use crate::flush::Flusher;
use crate::folder::Folder;
use crate::fragments::Routes;
use crate::journal::{Group, Journal, JournalOptions, Position, Record, RecordKind};
use crate::leases::Leases;
use crate::loader::Loader;
use crate::memory::{Covers, Relief};
use crate::notes::Notes;
use crate::options::Options;
use crate::overlay::Overlay;
use crate::refusal::StageError;
use crate::saved::Saved;
use crate::stage::{StageRecord, Stages, decode_frame};
use crate::state::State;
use crate::store::{Counters, Inner, Store};
use crate::tail::Ring;
use crate::txn::Batch;
use crate::uploads::Uploads;

impl Store {
    /// Opens the store in a folder, or makes a new one. Everything that was published with [`crate::Durability::Commit`] is there again,
    /// an open stage with its map included. Reads the summaries and the journal's tail, no block.
    ///
    /// # Errors
    /// The folder is in use, of another node, cluster or space key, of a newer format, damaged, or the disk fails.
    pub fn open(options: Options) -> Result<Self, StoreError> {
        let disk = options.disk.clone();
        let folder = Folder::open(&*disk, &options.dir, &options.identity, options.keys.id(), &options.entropy)?;
        let (owner, counters) = (folder.owner(), Arc::new(Counters::default()));
        let checkpoint_options = CheckpointOptions { cache_bytes: cache_bytes(options.memory_max), ..CheckpointOptions::default() };
        let relief = Relief::new(&options, checkpoint_options.cache_bytes)?;
        let checkpoint = Arc::new(Checkpoint::open(disk.clone(), &folder.checkpoint(), owner, checkpoint_options)?);
        let loader = Loader::of_last_commit(&checkpoint, &counters)?;
        let saved = Saved::load(&checkpoint, &options, &loader, &relief.ledger)?;
        let covers = Covers::new(&loader, saved.fragments.iter().map(Fragment::generation).min().unwrap_or(0));
        drop(loader); // alive for as long as a fragment reads with it
        let journal_options = JournalOptions { segment_bytes: options.segment_bytes };
        let (journal, recovered) = Journal::open(disk, &folder.journal(), owner, journal_options, saved.point)?;
        if let Some(torn) = &recovered.torn {
            tracing::warn!(path = %torn.path.display(), offset = torn.offset, bytes = torn.bytes, why = %torn.why, "cut a torn write off the journal");
        }
        let handle = journal.handle();
        counters.covered_bytes.store(saved.marks.bytes(), std::sync::atomic::Ordering::Relaxed);
        let replay = Replay::new(saved, options.ring_bytes, Loader::current(&checkpoint, &counters), covers, relief);
        let (state, stages, relief) = replay.run(&journal)?;
        assert_eq!(state.horizon, recovered.end.position, "every record that the journal has was replayed");
        let inner = Inner::new(options, folder, checkpoint, counters, handle, Flusher::new(journal), state, stages, relief);
        Ok(Self { inner: Arc::new(inner) })
    }
}

/// Record bytes that are applied at once where memory does not hold all of the state: each record may need a block of its own.
const BULK_BYTES_SCARCE: usize = 64 << 10;

/// The state while the journal's tail is applied to it.
struct Replay {
    state: State,
    stages: Stages,
    /// The first record that an open stage needs.
    staged_since: Option<Position>,
    /// The checkpoint holds what is up to here: of older records only those of stages are looked at.
    base: Position,
    slice: Slice,
    bulk: Bulk,
    /// What is not more than this is published record by record, so that tails find it in the ring.
    ring_bytes: usize,
    relief: Relief,
    /// Memory does not hold all of it: bulks are short.
    is_scarce: bool,
}

impl Replay {
    fn new(saved: Saved, ring_bytes: usize, unpinned: Arc<dyn BlockLoader>, covers: Covers, relief: Relief) -> Self {
        let (base, staged_since) = (saved.point.position, saved.node.stage_since);
        let state = initial_state(saved, ring_bytes, unpinned, covers);
        let slice = Slice::new(base, state.routes.len());
        let is_scarce = !relief.holds_all(&state);
        Self { state, stages: Stages::default(), staged_since, base, slice, bulk: Bulk::default(), ring_bytes, relief, is_scarce }
    }

    fn run(mut self, journal: &Journal) -> Result<(State, Stages, Relief), StoreError> {
        let from = self.staged_since.unwrap_or(Position(u64::MAX)).min(self.base.next());
        if journal.end().position >= from {
            let mut reader = journal.handle().reader(from)?;
            while let Some(group) = reader.next_group()? {
                for (position, record) in group.records().filter(|(position, _)| *position >= from) {
                    self.gather(position, record)?;
                }
                self.is_scarce = self.is_scarce || !self.relief.holds_all(&self.state);
                if !self.is_scarce {
                    continue;
                }
                self.end_bulk()?;
                self.relief.alone(&mut self.state, &self.stages)?;
            }
        }
        self.end_bulk()?;
        self.end_slice();
        self.state.meet();
        self.state.pending_notes = self.state.notes.clone();
        self.state.group = Group::new(self.state.horizon.next());
        Ok((self.state, self.stages, self.relief))
    }

    /// Commits wait for others; everything else stands where it stands between them.
    fn gather(&mut self, position: Position, record: Record<'_>) -> Result<(), StoreError> {
        if position <= self.base || record.kind != RecordKind::Commit {
            self.end_bulk()?;
            return self.record(position, record);
        }
        self.bulk.push(position, record.body);
        if self.is_scarce && self.bulk.bytes() > BULK_BYTES_SCARCE {
            self.end_bulk()?;
            return self.relief.alone(&mut self.state, &self.stages);
        }
        if self.bulk.is_full() { self.end_bulk() } else { Ok(()) }
    }

    fn end_bulk(&mut self) -> Result<(), StoreError> {
        let mut bulk = std::mem::take(&mut self.bulk);
        if bulk.bytes() > self.ring_bytes {
            self.end_slice();
            bulk.apply(&mut self.state)?;
            self.slice = Slice::new(self.state.horizon, self.state.routes.len());
        } else {
            for (position, body) in bulk.records() {
                self.record(position, Record { kind: RecordKind::Commit, body })?;
            }
        }
        bulk.clear();
        self.bulk = bulk;
        Ok(())
    }

    fn record(&mut self, position: Position, record: Record<'_>) -> Result<(), StoreError> {
        let is_stage = matches!(record.kind, RecordKind::StageOpen | RecordKind::StageInstall | RecordKind::StageAbort | RecordKind::Stage);
        let stage = is_stage.then(|| StageRecord::decode(&record)).transpose()?;
        if position > self.base {
            if !self.slice.takes(&record) {
                self.end_slice();
            }
            if let Some(StageRecord::Install { sealed }) = &stage {
                let is_own = |id: &FragmentId, _| sealed.iter().any(|facts| facts.id == *id);
                let roots = self.stages.prepare(is_own, sealed, &self.state.fragments).map_err(refused)?;
                self.state.incoming.insert(position, roots);
            }
            if record.kind == RecordKind::Leases {
                self.state.recovered_leases = Leases::decode(record.body)?;
            }
            self.state.apply(position, record, &mut self.slice)?;
        } else if let Some(stage) = &stage {
            self.state.note_stage(position, stage);
        }
        match stage {
            Some(stage) => self.stage_record(stage),
            None if record.kind == RecordKind::StageFrame => self.frame(record.body),
            None => Ok(()),
        }
    }

    /// What a record does to the stages, behind what it does to the published state.
    fn stage_record(&mut self, record: StageRecord) -> Result<(), StoreError> {
        match record {
            StageRecord::Open { session, starts } => {
                self.state.fork = None;
                // Who was there and was given up: see `Replay::frame`.
                let is_gone =
                    |id: FragmentId, range: &KeyRange| starts.iter().any(|s| s.fragment == id || s.range.intersect(range).is_some());
                let forks = self.stages.fragments();
                self.stages.end(|id| forks.iter().any(|fork| fork.id() == id && is_gone(id, fork.range())));
                match Stages::make(session, &starts, &self.state.fragments) {
                    Ok(forks) => self.stages.add(forks),
                    Err(error) => self.give_up(starts.iter().map(|start| start.fragment), error)?,
                }
            }
            StageRecord::Gather { session, scope } => self.stages.gather(session, &scope),
            StageRecord::Reframe { session, next, fragments } => {
                let session = session.or_else(|| self.stages.sessions().first().copied()).unwrap_or_default();
                match self.stages.reframed(session, next, &fragments) {
                    Ok(forks) => self.stages.replace(session, forks),
                    Err(error) => {
                        let own = self.stages.fragments_of(session);
                        self.stages.end(|id| own.iter().any(|fork| fork.id() == id));
                        self.give_up(fragments.into_iter().map(|(id, _)| id), error)?;
                    }
                }
            }
            StageRecord::Install { sealed } => self.stages.end(|id| sealed.iter().any(|facts| facts.id == id)),
            StageRecord::End { scope } => self.stages.end(|id| scope.has(id)),
        }
        Ok(())
    }

    /// The checkpoint has no stage: frames from before it are applied onto the published state as the checkpoint has it. That is what was
    /// forked, unless the fragment has changed since: then the stage can't be installed, or it is none any more. Such a fork is given up.
    fn frame(&mut self, body: &[u8]) -> Result<(), StoreError> {
        let (frame, drops) = decode_frame(body)?;
        match self.stages.apply(None, &frame, &drops) {
            Ok(_) => Ok(()),
            Err(error) => self.give_up([frame.fragment].into_iter(), error),
        }
    }

    fn give_up(&mut self, fragments: impl Iterator<Item = FragmentId>, error: StageError) -> Result<(), StoreError> {
        if self.staged_since.is_none_or(|since| since > self.base) || matches!(error, StageError::Store(_)) {
            return Err(refused(error)); // everything was forked here: one of journal and checkpoint is damaged
        }
        for id in fragments {
            self.state.forks.remove(&id);
            self.stages.end(|other| other == id);
        }
        Ok(())
    }

    fn end_slice(&mut self) {
        let next = Slice::new(self.state.horizon, self.state.routes.len());
        let slice = std::mem::replace(&mut self.slice, next);
        if slice.last > slice.before {
            self.state.publish(slice);
        }
    }
}

fn initial_state(saved: Saved, ring_bytes: usize, unpinned: Arc<dyn BlockLoader>, covers: Covers) -> State {
    let horizon = saved.point.position;
    let installed = saved.pasts.iter().map(|past| past.installed).max().unwrap_or_default();
    let ranges: Vec<_> = saved.fragments.iter().map(|fragment| (fragment.id(), fragment.range().clone())).collect();
    let heads: Vec<_> = saved.fragments.iter().map(Fragment::head).collect();
    // A crash may have stopped a sweep: where nothing lies below the floor, the look costs a walk over summaries and blocks with tombstones.
    let swept = |fragment: &Fragment| fragment.floor().is_zero() || fragment.total().tombstones == 0;
    let unswept = saved.fragments.iter().filter(|fragment| !swept(fragment));
    let to_sweep = unswept.map(|fragment| (fragment.id(), bytes::Bytes::new())).collect();
    State {
        head_routes: Routes::new(&ranges),
        routes: Arc::new(Routes::new(&ranges)),
        next_fragment: saved.next_fragment,
        fragments: saved.fragments,
        pasts: saved.pasts,
        horizon,
        heads: Vec::new(),
        all_serve: true,
        epochs: Vec::new(),
        overlay: Overlay::default(),
        groups: VecDeque::new(),
        group: Group::new(horizon.next()),
        batch: Batch::default(),
        uploads: Uploads::default(),
        stamp_ms: saved.node.stamp_ms,
        role: saved.node.role,
        pending_notes: Notes::default(),
        notes: saved.notes,
        ring: Ring::new(ring_bytes, horizon, heads),
        marks: saved.marks,
        checks: Checks::default(),
        drift: None,
        installed,
        forks: BTreeMap::new(),
        fork: None,
        incoming: BTreeMap::new(),
        baseline: Vec::new(),
        unpinned,
        covers,
        fault: None,
        grave: Grave::default(),
        to_sweep,
        recovered_leases: saved.leases,
    }
}

/// The checkpoint's page cache: its default, and a 32nd of what there is where that is little.
fn cache_bytes(memory_max: u64) -> usize {
    let default = CheckpointOptions::default().cache_bytes;
    usize::try_from(memory_max / 32).unwrap_or(default).clamp(1 << 20, default)
}

/// A record that this node wrote when it had taken it, and that it now refuses: one of journal and checkpoint is damaged.
fn refused(error: StageError) -> StoreError {
    match error {
        StageError::Store(error) => error,
        other => StoreError::Invalid { what: "a stage record of the journal", why: other.to_string() },
    }
}
