//! What a store needs to know before it opens, and what it may be told.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use limosa_core::limits::RING_BYTES;
use limosa_core::{FragmentId, KeyRange, SpaceKeys};

use crate::disk::{Disk, RealDisk};
use crate::folder::Identity;
use crate::leases::LeaseBounds;

/// When a commit counts as published.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Durability {
    /// When the journal was flushed to the disk: survives a power cut.
    #[default]
    Commit,
    /// When the operating system has it; [`crate::Store::sync`] flushes it, once a second. A power cut loses up to that second.
    Interval,
}

/// Milliseconds since the Unix epoch. Injected, so that a simulated world has its own.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Random numbers that nobody can guess: ids of folders and epochs. Injected, so that a simulated world has its own.
pub type Entropy = Arc<dyn Fn() -> io::Result<u64> + Send + Sync>;

/// How a store is opened: the decisions that must be made are arguments of [`Options::new`], the others have defaults.
#[derive(Clone)]
pub struct Options {
    /// The data folder.
    pub dir: PathBuf,
    /// Whose data it is; a folder of another node is refused.
    pub identity: Identity,
    /// The space's secret keys; a folder of another space key is refused.
    pub keys: SpaceKeys,
    /// When a commit counts as published. Default: [`Durability::Commit`].
    pub durability: Durability,
    /// Number of fragments of a new folder; an existing folder keeps its own. Default: 64.
    pub fragments: u16,
    /// The fragments of a new folder, covering every key once in key order, where they are given by somebody else than `fragments`. Must be
    /// given until the first checkpoint. Default: none.
    pub frames: Vec<(FragmentId, KeyRange)>,
    /// What the store may hold in memory, bytes: blocks, summaries, pending and recent commits, the checkpoint's cache. Blocks beyond it
    /// are dropped and read again when they are needed. Default: no bound; a server sets one.
    pub memory_max: u64,
    /// Journal bytes since the last checkpoint at which [`crate::Store::wants_checkpoint`] says yes: what a start has to replay at most, at
    /// 200 MB/s. More lets a checkpoint write more changes of a block together (`docs/format.md`). Default: 256 MiB.
    pub checkpoint_bytes: u64,
    /// Bytes kept on the disk that are given up when it is full, so that it can be got out of. Default: 0, none.
    pub reserve_bytes: u64,
    /// Bytes of recent commits kept in memory for tails (tier 1). Default: [`RING_BYTES`].
    pub ring_bytes: usize,
    /// Journal bytes kept behind a checkpoint for tails (tier 2). Default: 64 MiB.
    pub tail_bytes: u64,
    /// A journal segment that has reached this many bytes is followed by a new one; segments are what is released. Default: 64 MiB.
    pub segment_bytes: u64,
    /// How long, and at what cost, deletions are remembered for a standby that is away.
    pub leases: LeaseBounds,
    /// Stamps commits, and what deadlines are compared with. Decides no write's safety. Default: the machine's, which may be bent but
    /// never jumps.
    pub clock: Clock,
    /// Draws ids. Default: the operating system's randomness.
    pub entropy: Entropy,
    /// Where files lie. Default: the real disk.
    pub disk: Arc<dyn Disk>,
}

impl Options {
    /// Options with defaults for all but what must be decided.
    pub fn new(dir: impl Into<PathBuf>, identity: Identity, keys: SpaceKeys) -> Self {
        Self {
            dir: dir.into(),
            identity,
            keys,
            durability: Durability::default(),
            fragments: 64,
            frames: Vec::new(),
            memory_max: u64::MAX,
            checkpoint_bytes: 256 << 20,
            reserve_bytes: 0,
            ring_bytes: RING_BYTES,
            tail_bytes: 64 << 20,
            segment_bytes: 64 << 20,
            leases: LeaseBounds::default(),
            clock: crate::clock::system(),
            entropy: Arc::new(|| getrandom::u64().map_err(io::Error::other)),
            disk: Arc::new(RealDisk),
        }
    }
}
