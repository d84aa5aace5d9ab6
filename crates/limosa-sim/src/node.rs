//! A node: a disk, a clock, and the store over them while the process lives.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use limosa_core::SpaceKeys;
use limosa_store::disk::{Disk, MemoryDisk, Survivors};
use limosa_store::{Durability, Identity, LeaseBounds, Options, Store, StoreError};

use crate::clock::{Clock, Now};
use crate::oracle::Oracle;
use crate::random::Random;

/// The cluster of every world.
pub(crate) const CLUSTER: [u8; 16] = [7; 16];
/// Fragments of a space: few, so that each has something in it.
const FRAGMENTS: u16 = 4;

pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) disk: MemoryDisk,
    pub(crate) clock: Clock,
    pub(crate) store: Option<Store>,
    /// When whoever looks after the node starts it again, microseconds.
    pub(crate) back_at_us: u64,
    /// It does nothing before that (SIGSTOP), microseconds.
    pub(crate) paused_until_us: u64,
    /// Its disk takes long until then, microseconds.
    pub(crate) slow_until_us: u64,
    /// It showed all of some version once, and has had that disk since: it may be promoted.
    pub(crate) is_whole: bool,
    /// Bytes on its disk were damaged, and not every block was seen to be sound since.
    pub(crate) may_rot: bool,
    /// An older copy of the disk; and, of an owner, what it must show then.
    pub(crate) copy: Option<Copied>,
    /// Last seed of its ids.
    entropy: Arc<Mutex<Random>>,
    habits: Habits,
}

/// The copy of a disk.
pub(crate) struct Copied {
    pub(crate) disk: MemoryDisk,
    pub(crate) oracle: Oracle,
    /// Which owner it was then.
    pub(crate) tenure: u64,
    pub(crate) is_whole: bool,
}

/// How the stores of a world are set up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Habits {
    /// When a commit counts as published.
    pub(crate) durability: Durability,
    /// Bytes of memory, so few in some worlds that blocks are dropped and read again all the time.
    pub(crate) memory_max: u64,
}

impl Node {
    pub(crate) fn new(name: &str, now: &Now, habits: Habits, seed: u64) -> Self {
        Self {
            name: name.to_owned(),
            disk: MemoryDisk::new(),
            clock: Clock::new(now.clone()),
            store: None,
            back_at_us: 0,
            paused_until_us: 0,
            slow_until_us: 0,
            is_whole: false,
            may_rot: false,
            copy: None,
            entropy: Arc::new(Mutex::new(Random::new(seed))),
            habits,
        }
    }

    pub(crate) fn keys() -> SpaceKeys {
        SpaceKeys::derive(&[9; 32], "default")
    }

    /// Starts the process: opens what the disk holds.
    pub(crate) fn start(&mut self) -> Result<(), StoreError> {
        assert!(self.store.is_none(), "{} runs", self.name);
        self.clock.start();
        let identity = Identity { cluster: CLUSTER, node: self.name.clone() };
        let mut options = Options::new(self.folder(), identity, Self::keys());
        options.disk = Arc::new(self.disk.clone());
        options.fragments = FRAGMENTS;
        options.durability = self.habits.durability;
        options.memory_max = self.habits.memory_max;
        // Small on purpose: every method and every hand-over between ring, journal and tree happens in a few hundred commits.
        options.ring_bytes = 4 << 10;
        options.tail_bytes = 16 << 10;
        options.segment_bytes = 16 << 10;
        options.leases = LeaseBounds { age_ms: 60_000, percent: 20, bytes_min: 8 << 10 };
        let (clock, entropy) = (self.clock.clone(), Arc::clone(&self.entropy));
        options.clock = Arc::new(move || clock.ms());
        options.entropy = Arc::new(move || Ok(entropy.lock().expect("nothing panics while it holds this lock").draw()));
        self.store = Some(Store::open(options)?);
        Ok(())
    }

    /// The process is gone, and of its files what `survivors` says.
    pub(crate) fn stop(&mut self, survivors: Survivors, back_at_us: u64) {
        self.disk = self.disk.restart(survivors); // before the store goes: what it does on its way out does not count
        self.store = None;
        self.back_at_us = back_at_us;
    }

    /// The node comes back with another disk.
    pub(crate) fn change_disk(&mut self, disk: MemoryDisk, is_whole: bool, back_at_us: u64) {
        self.store = None;
        self.disk = disk;
        self.is_whole = is_whole;
        self.may_rot = false;
        self.back_at_us = back_at_us;
    }

    /// Files with the blocks of checkpoints.
    pub(crate) fn extents(&self) -> Vec<PathBuf> {
        let folder = self.folder().join("extents");
        let mut extents: Vec<PathBuf> = self.disk.list(&folder).unwrap_or_default().iter().map(|name| folder.join(name)).collect();
        extents.sort();
        extents
    }

    fn folder(&self) -> PathBuf {
        Path::new("/").join(&self.name)
    }
}
