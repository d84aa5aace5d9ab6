//! A node: a disk, and the store over it while the process lives.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use limosa_core::SpaceKeys;
use limosa_store::disk::{MemoryDisk, Survivors};
use limosa_store::{Durability, Identity, Options, Store, StoreError};

use crate::random::Random;

/// The cluster of every world.
pub(crate) const CLUSTER: [u8; 16] = [7; 16];
/// Fragments of a space: few, so that each has something in it.
const FRAGMENTS: u16 = 4;

/// Milliseconds of the world's clock.
pub(crate) type Now = Arc<AtomicU64>;

pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) disk: MemoryDisk,
    pub(crate) store: Option<Store>,
    /// Until then a start would fail for want of room.
    pub(crate) full_until_ms: u64,
    /// When whoever looks after the node starts it again.
    pub(crate) back_at_ms: u64,
    /// Last seed of its ids.
    entropy: Arc<Mutex<Random>>,
    now: Now,
    habits: Habits,
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
    pub(crate) fn new(name: &str, now: Now, habits: Habits, seed: u64) -> Self {
        let entropy = Arc::new(Mutex::new(Random::new(seed)));
        Self { name: name.to_owned(), disk: MemoryDisk::new(), store: None, full_until_ms: 0, back_at_ms: 0, entropy, now, habits }
    }

    pub(crate) fn keys() -> SpaceKeys {
        SpaceKeys::derive(&[9; 32], "default")
    }

    /// Starts the process: opens what the disk holds.
    pub(crate) fn start(&mut self) -> Result<(), StoreError> {
        assert!(self.store.is_none(), "{} runs", self.name);
        let identity = Identity { cluster: CLUSTER, node: self.name.clone() };
        let mut options = Options::new(format!("/{}", self.name), identity, Self::keys());
        options.disk = Arc::new(self.disk.clone());
        options.fragments = FRAGMENTS;
        options.durability = self.habits.durability;
        options.memory_max = self.habits.memory_max;
        // Small on purpose: every method and every hand-over between ring, journal and tree happens in a few hundred commits.
        options.ring_bytes = 4 << 10;
        options.tail_bytes = 16 << 10;
        options.segment_bytes = 16 << 10;
        let (now, entropy) = (Arc::clone(&self.now), Arc::clone(&self.entropy));
        options.clock = Arc::new(move || 1_000_000 + now.load(Ordering::Relaxed));
        options.entropy = Arc::new(move || Ok(entropy.lock().expect("nothing panics while it holds this lock").draw()));
        self.store = Some(Store::open(options)?);
        Ok(())
    }

    /// The process is gone, and of its files what `survivors` says.
    pub(crate) fn stop(&mut self, survivors: Survivors, back_at_ms: u64) {
        self.disk = self.disk.restart(survivors); // before the store goes: what it does on its way out does not count
        self.store = None;
        self.back_at_ms = back_at_ms;
    }

    /// The node comes back with another disk.
    pub(crate) fn lose_disk(&mut self, back_at_ms: u64) {
        self.store = None;
        self.disk = MemoryDisk::new();
        self.back_at_ms = back_at_ms;
    }
}
