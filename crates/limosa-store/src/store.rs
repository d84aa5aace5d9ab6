//! The store: published fragments of one node, what is pending above them, and the files behind them.
//!
//! | Family | Calls |
//! |---|---|
//! | commands | [`Store::begin`], then [`crate::Txn`] |
//! | making it durable | [`Store::flush`], [`Store::sync`], [`Store::checkpoint`] |
//! | looking at one published version | [`Store::cut`], [`Store::facts`] |
//! | as an owner | [`Store::open_epoch`], [`Store::tail`], [`Store::expire_due`] |
//! | as a standby | [`Store::replicate`], [`Store::stage_open`] and its kin |
//! | damaged blocks | [`Store::damage`], [`Store::mend`] |
//!
//! # Locks, in the order in which they may be taken
//! checkpointing → stages → flusher → state → grave, leases; what keeps memory in bounds, see `memory::relief`. The state lock is never held over I/O, but
//! where a transaction asks for that ([`Store::begin`]).

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use limosa_core::FragmentFacts;

use crate::checkpoint::Checkpoint;
use crate::damage::Damage;
use crate::error::StoreError;
use crate::flush::Flusher;
use crate::folder::Folder;
use crate::journal::{JournalHandle, Point, Position, RecordKind};
use crate::leases::Leases;
use crate::memory::Relief;
use crate::options::Options;
use crate::reserve::Reserve;
use crate::schedule::{self, Due, Load};
use crate::stage::Stages;
use crate::state::{Drift, Fault, State};
use limosa_tree::Grave;

/// Counters that only grow; read by benchmarks and metrics.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) blocks_read: AtomicU64,
    pub(crate) entries_read: AtomicU64,
    pub(crate) checkpoints: AtomicU64,
    pub(crate) flushes: AtomicU64,
    /// Last position that is known to survive a power cut.
    pub(crate) flushed: AtomicU64,
    /// The newest stamp of a published commit, milliseconds.
    pub(crate) stamp_ms: AtomicU64,
    /// Record bytes of the journal that the last checkpoint holds.
    pub(crate) covered_bytes: AtomicU64,
    /// The last checkpoint found no room.
    pub(crate) tried_full: AtomicBool,
    /// Splits, made here or followed.
    pub(crate) splits: AtomicU64,
    /// Merges, made here or followed.
    pub(crate) merges: AtomicU64,
    /// When the newest of those was made or followed, milliseconds since the Unix epoch; 0: none since the start.
    pub(crate) reframed_ms: AtomicU64,
    /// Blocks that were found damaged.
    pub(crate) damage: Damage,
}

impl Counters {
    pub(crate) fn read_entries(&self, count: u64) {
        self.entries_read.fetch_add(count, Ordering::Relaxed);
    }
}

pub(crate) struct Inner {
    pub(crate) options: Options,
    pub(crate) folder: Folder,
    pub(crate) handle: JournalHandle,
    pub(crate) checkpoint_file: Arc<Checkpoint>,
    pub(crate) reserve: Reserve,
    pub(crate) counters: Arc<Counters>,
    pub(crate) relief: Relief,
    /// One checkpoint at a time.
    pub(crate) checkpointing: Mutex<()>,
    /// A checkpoint's snapshot shares the trees, so that writes cost more: a block and the nodes above it are copied.
    pub(crate) is_copying: AtomicBool,
    pub(crate) stages: Mutex<Stages>,
    pub(crate) flusher: Mutex<Flusher>,
    state: Mutex<State>,
    /// What was cut out of the trees and is still to be freed. Taken alone, or below every other lock.
    grave: Mutex<Grave>,
    /// Taken alone, or below the state's lock.
    leases: Mutex<Leases>,
}

/// A handle to one open store; clones share it. The folder is given back when the last one is dropped.
#[derive(Clone)]
pub struct Store {
    pub(crate) inner: Arc<Inner>,
}

const PANICKED: &str = "a panic while this lock was held leaves the store in an unknown state: stop";

impl Inner {
    #[expect(clippy::too_many_arguments, reason = "called once, by recovery, which has made each of them")]
    pub(crate) fn new(
        options: Options,
        folder: Folder,
        checkpoint_file: Arc<Checkpoint>,
        counters: Arc<Counters>,
        handle: JournalHandle,
        flusher: Flusher,
        mut state: State,
        stages: Stages,
        relief: Relief,
    ) -> Self {
        counters.flushed.store(state.horizon.0, Ordering::Relaxed);
        counters.stamp_ms.store(state.stamp_ms, Ordering::Relaxed);
        let (checkpointing, grave) = (Mutex::default(), Mutex::new(std::mem::take(&mut state.grave)));
        let leases = Mutex::new(std::mem::take(&mut state.recovered_leases));
        let (stages, flusher, state) = (Mutex::new(stages), Mutex::new(flusher), Mutex::new(state));
        let reserve = Reserve::new(options.disk.clone(), &options.dir, options.reserve_bytes);
        reserve.keep();
        let is_copying = AtomicBool::new(false);
        Self {
            options,
            folder,
            handle,
            checkpoint_file,
            reserve,
            counters,
            relief,
            checkpointing,
            is_copying,
            stages,
            flusher,
            state,
            grave,
            leases,
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect(PANICKED)
    }

    pub(crate) fn flusher(&self) -> MutexGuard<'_, Flusher> {
        self.flusher.lock().expect(PANICKED)
    }

    pub(crate) fn stages(&self) -> MutexGuard<'_, Stages> {
        self.stages.lock().expect(PANICKED)
    }

    pub(crate) fn grave(&self) -> MutexGuard<'_, Grave> {
        self.grave.lock().expect(PANICKED)
    }

    pub(crate) fn leases(&self) -> MutexGuard<'_, Leases> {
        self.leases.lock().expect(PANICKED)
    }

    pub(crate) fn checkpointing(&self) -> MutexGuard<'_, ()> {
        self.checkpointing.lock().expect(PANICKED)
    }
}

impl Store {
    /// Random, made with the data folder: tells a node that lost its disk from the one it was.
    pub fn incarnation(&self) -> u64 {
        self.inner.folder.owner().incarnation
    }

    /// Where the journal's hash chain stands: for whoever witnesses it.
    pub fn journal_end(&self) -> Point {
        self.inner.flusher().journal.end()
    }

    /// The last published position.
    pub fn horizon(&self) -> Position {
        self.inner.state().horizon
    }

    /// The time that deadlines are compared with, milliseconds since the Unix epoch: never before the stamp of a published commit, of this
    /// node or of the owner that it followed. What has ended for a client has ended here.
    pub fn now_ms(&self) -> u64 {
        (self.inner.options.clock)().max(self.inner.counters.stamp_ms.load(Ordering::Relaxed))
    }

    /// Whether something waits for [`Store::flush`]: also a group that found the disk full, which nobody else tries again.
    pub fn has_pending(&self) -> bool {
        let state = self.inner.state();
        state.has_pending() || !state.overlay.is_empty() || matches!(state.fault, Some(Fault::DiskFull { .. }))
    }

    /// Facts of every fragment at the horizon.
    pub fn facts(&self) -> Vec<FragmentFacts> {
        self.inner.state().facts()
    }

    /// What [`Store::set_role`] was given last and is durable; empty before the first.
    pub fn role(&self) -> Bytes {
        self.inner.state().role.clone()
    }

    /// Remembers the node's role: opaque bytes, durable when this returns.
    ///
    /// # Errors
    /// As [`Store::flush`].
    pub fn set_role(&self, role: &[u8]) -> Result<Position, StoreError> {
        let position = {
            let mut state = self.inner.state();
            state.check()?;
            state.push(RecordKind::Role, role)
        };
        self.settle(position)?;
        Ok(position)
    }

    /// The first fragment whose digest was not the owner's at a version that a live check named; `None` while all agree.
    /// An installed stage clears it.
    pub fn drift(&self) -> Option<Drift> {
        self.inner.state().drift
    }

    /// Why the store refuses all work until it is opened again; `None` while it does not.
    pub fn poison(&self) -> Option<StoreError> {
        let checkpoint = || self.inner.checkpoint_file.poison();
        self.inner.state().check_poisoned().err().or_else(checkpoint)
    }

    /// Bytes that the checkpoint takes on the disk, extent files included; 0 when they can't be told.
    pub fn checkpoint_file_bytes(&self) -> u64 {
        self.inner.checkpoint_file.file_bytes().unwrap_or(0)
    }

    /// Whether a checkpoint is due, and why.
    pub fn checkpoint_due(&self) -> Option<Due> {
        schedule::choose(self.due_figures(), self.inner.options.checkpoint_bytes)
    }

    /// Whether a checkpoint is due.
    pub fn wants_checkpoint(&self) -> bool {
        self.checkpoint_due().is_some()
    }

    /// Whether a checkpoint pays before the store is closed: the next start then has little to replay.
    pub fn wants_checkpoint_at_stop(&self) -> bool {
        schedule::choose_at_stop(self.due_figures()).is_some()
    }

    fn due_figures(&self) -> Load {
        let (bytes, is_full) = {
            let state = self.inner.state();
            (state.marks.bytes(), matches!(state.fault, Some(Fault::DiskFull { .. })))
        };
        let counters = &self.inner.counters;
        let tail_bytes = bytes - counters.covered_bytes.load(Ordering::Relaxed);
        Load {
            tail_bytes,
            is_full,
            tried_full: counters.tried_full.load(Ordering::Relaxed),
            is_memory_full: self.inner.relief.wants_checkpoint(),
        }
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Store({})", self.inner.options.dir.display())
    }
}
