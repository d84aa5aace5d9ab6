//! What the store's lock protects: published trees, what is pending above them, and where the two meet.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use limosa_core::{Digest, FragmentFacts, FragmentId, History, LiveRef, Version};
use limosa_tree::{BlockLoader, Entry, Fragment, Grave, Peek, Unloaded};

use crate::apply::Checks;
use crate::error::StoreError;
use crate::fragments::Routes;
use crate::gates::FragmentGate;
use crate::journal::{Group, Position};
use crate::leases::Leases;
use crate::memory::Covers;
use crate::notes::Notes;
use crate::overlay::Overlay;
use crate::past::Past;
use crate::stage::ForkFacts;
use crate::tail::{Marks, Ring};
use crate::txn::Batch;
use crate::uploads::Uploads;

/// Where a fragment's history stands, pending commits included.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Head {
    /// Version given last.
    pub(crate) version: Version,
    /// The newest epoch opened; 0 before the first.
    pub(crate) epoch: u32,
    /// Whether commands are evaluated on it.
    pub(crate) gate: FragmentGate,
    /// Position of the last record of another owner: a local write must not be evaluated below it, for such records are in no overlay.
    pub(crate) replicated: Position,
}

impl Head {
    /// Where `fragment` stands when nothing is pending in it.
    pub(crate) fn of(fragment: &Fragment, gate: FragmentGate) -> Self {
        Self { version: fragment.head(), epoch: fragment.epochs().epoch(), gate, replicated: Position::ZERO }
    }

    /// The newest epoch that was opened or that a version here has.
    pub(crate) fn newest_epoch(self) -> u32 {
        self.epoch.max(self.version.epoch)
    }

    /// The version that the next commit gets.
    pub(crate) fn next(self) -> Version {
        Version::new(self.epoch, self.version.seq + 1)
    }
}

/// Why the store refuses to write.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// For good: what the disk holds is not known any more.
    Poisoned { why: String },
    /// Until the disk has room: a group waits to be written.
    DiskFull { op: &'static str, path: std::path::PathBuf },
}

impl Fault {
    pub(crate) fn error(&self) -> StoreError {
        match self.clone() {
            Self::Poisoned { why } => StoreError::Poisoned { why },
            Self::DiskFull { op, path } => StoreError::DiskFull { op, path },
        }
    }
}

/// A digest that this node's state should have had.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Drift {
    /// Which fragment.
    pub fragment: FragmentId,
    /// At which version.
    pub version: Version,
    /// This node's state digest there.
    pub ours: Digest,
    /// The owner's.
    pub owners: Digest,
}

/// A digest to compare with at a version, or one that was computed: (fragment, version, state digest).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Check {
    /// Which fragment.
    pub fragment: FragmentId,
    /// At which version.
    pub version: Version,
    /// State digest of the fragment's live entries there.
    pub state: Digest,
}

/// What was found at a key; its block stays in memory while this lives.
#[derive(Debug)]
pub enum Found<'a> {
    /// Said by a write that is not published yet.
    Pending(Option<LiveRef<'a>>),
    /// Said by the published tree.
    Held(Option<Entry<'a>>),
}

impl Found<'_> {
    /// The live value, if there is one; deadlines not looked at.
    #[inline]
    pub fn live(&self) -> Option<LiveRef<'_>> {
        match self {
            Self::Pending(live) => *live,
            Self::Held(entry) => entry.as_ref().and_then(|entry| entry.as_ref().live),
        }
    }
}

/// Everything under the lock.
///
/// # Invariants
/// - `fragments` hold exactly the records up to `horizon`.
/// - `heads` is at or above the published heads; the difference is in `groups`, `group` or in flight, and in `overlay`.
/// - `head_routes`, `heads` and `epochs` speak of the same fragments; `routes`, `fragments` and `pasts` do, which are others while a split
///   or merge is pending.
pub(crate) struct State {
    pub(crate) routes: Arc<Routes>,
    pub(crate) fragments: Vec<Fragment>,
    /// One for each of `fragments`.
    pub(crate) pasts: Vec<Past>,
    pub(crate) horizon: Position,
    /// Which fragments there are, pending splits and merges included.
    pub(crate) head_routes: Routes,
    pub(crate) heads: Vec<Head>,
    /// Every gate is [`FragmentGate::Serving`].
    pub(crate) all_serve: bool,
    /// Each fragment's rows, pending ones included.
    pub(crate) epochs: Vec<History>,
    /// Above every id that a fragment here ever had.
    pub(crate) next_fragment: u32,
    pub(crate) overlay: Overlay,
    /// Full groups that wait for the next flush, before `group`.
    pub(crate) groups: VecDeque<Group>,
    pub(crate) group: Group,
    pub(crate) batch: Batch,
    /// Large values that are arriving, as this process knows them.
    pub(crate) uploads: Uploads,
    /// The last commit's stamp: stamps never fall.
    pub(crate) stamp_ms: u64,
    pub(crate) role: Bytes,
    pub(crate) notes: Notes,
    /// `notes` with what pends.
    pub(crate) pending_notes: Notes,
    pub(crate) ring: Ring,
    pub(crate) marks: Marks,
    pub(crate) checks: Checks,
    pub(crate) drift: Option<Drift>,
    /// What is staged, fragment by fragment as the sources name them: as far as it is published. The journal is kept from the oldest on.
    pub(crate) forks: BTreeMap<FragmentId, ForkFacts>,
    /// What the last published opening of a stage forked, for whoever opened it.
    pub(crate) fork: Option<Vec<Fragment>>,
    /// Position of the last install or drop.
    pub(crate) installed: Position,
    /// Verified roots that a pending install will swap in, by its position.
    pub(crate) incoming: BTreeMap<Position, Vec<Fragment>>,
    /// What installs replaced: the rollback baseline, until the next stage opens.
    pub(crate) baseline: Vec<Fragment>,
    /// For the baseline's cold blocks.
    pub(crate) unpinned: Arc<dyn BlockLoader>,
    /// Checkpoints that somebody can still see.
    pub(crate) covers: Covers,
    pub(crate) fault: Option<Fault>,
    /// Cut out of the trees under this lock, to be freed outside it.
    pub(crate) grave: Grave,
    /// Fragments, by index, with tombstones below their floor, and from which key on they may still lie.
    pub(crate) to_sweep: BTreeMap<FragmentId, Bytes>,
    /// Of the checkpoint and the journal's tail; the running store keeps its own under a lock of their own.
    pub(crate) recovered_leases: Leases,
}

impl State {
    /// Refuses when the store must not write.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        self.fault.as_ref().map_or(Ok(()), |fault| Err(fault.error()))
    }

    /// Refuses when what the store holds in memory can't be trusted to be what the disk holds.
    pub(crate) fn check_poisoned(&self) -> Result<(), StoreError> {
        match &self.fault {
            Some(fault @ Fault::Poisoned { .. }) => Err(fault.error()),
            _ => Ok(()),
        }
    }

    /// The first reason stands.
    pub(crate) fn poison(&mut self, why: String) {
        if !matches!(self.fault, Some(Fault::Poisoned { .. })) {
            self.fault = Some(Fault::Poisoned { why });
        }
    }

    /// Whether commits of another owner wait for the journal, in a fragment at one of `indices` of the heads.
    pub(crate) fn is_replicating(&self, mut indices: impl Iterator<Item = usize>) -> bool {
        indices.any(|index| self.heads[index].replicated > self.horizon)
    }

    /// The version at `index` of the heads, where reads see all of it: what pends of another owner is in no overlay.
    pub(crate) fn visible(&self, index: usize) -> Option<Version> {
        let head = &self.heads[index];
        (head.replicated <= self.horizon).then_some(head.version)
    }

    /// Whether a split or merge waits for the journal.
    pub(crate) fn is_reframing(&self) -> bool {
        self.head_routes != *self.routes
    }

    /// Position that the next record gets.
    pub(crate) fn next_position(&self) -> Position {
        self.group.next()
    }

    /// Whether records wait for a flush. Those in flight do not count.
    pub(crate) fn has_pending(&self) -> bool {
        !self.groups.is_empty() || !self.group.is_empty()
    }

    /// What is visible of `key` at the head, with the pending position that says so; or the block that must be loaded first.
    #[inline]
    pub(crate) fn find(&self, key: &[u8]) -> Result<(Position, Found<'_>), Box<Unloaded>> {
        if let Some((position, live)) = self.pending(key) {
            return Ok((position, Found::Pending(live)));
        }
        match self.fragments[self.routes.of_key(key)].peek(key) {
            Peek::Known(entry) => Ok((Position::ZERO, Found::Held(entry))),
            Peek::Cold(block) => Err(Box::new(block)),
        }
    }

    /// The pending word on `key`, the open batch included.
    #[inline]
    pub(crate) fn pending(&self, key: &[u8]) -> Option<(Position, Option<LiveRef<'_>>)> {
        let found = self.overlay.find(key);
        if self.batch.deletes(key) && found.is_none_or(|found| found.position < self.next_position()) {
            return Some((self.next_position(), None));
        }
        found.map(|found| (found.position, found.live.map(crate::overlay::PendingLive::as_ref)))
    }

    /// Brings the fragments' generations onto one scale, so that one number says what a checkpoint or fork has of all of them, also when
    /// they are split and merged meanwhile. Answers that number; what is written from now on is above it.
    pub(crate) fn level_generations(&mut self) -> u64 {
        let level = self.fragments.iter().map(Fragment::generation).max().unwrap_or(0);
        self.fragments.iter_mut().for_each(|fragment| fragment.raise_generation(level));
        level
    }

    /// Facts of every published fragment.
    pub(crate) fn facts(&self) -> Vec<FragmentFacts> {
        self.fragments.iter().map(Fragment::facts).collect()
    }
}
