//! The node's background thread: flushes what nobody else did, syncs once a second, lets keys expire, checkpoints.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use limosa_core::{FragmentId, Version};
use limosa_store::{Durability, Store, StoreError};

use super::node::Shared;

/// How often the thread looks.
const BEAT: Duration = Duration::from_millis(100);
/// Wait after a checkpoint that failed, which costs as much as one that did not.
const AFTER_FAILURE: Duration = Duration::from_secs(1);
/// How often written but un-flushed commits are flushed to the disk, with interval durability: as Redis' `everysec`.
const SYNC_EVERY: Duration = Duration::from_secs(1);
/// Most keys that expire in one beat: writers wait for them.
const EXPIRE_MAX: usize = 500;

/// Runs until it is dropped.
pub(super) struct Pulse {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Drop for Pulse {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.thread().unpark();
            let _ = thread.join(); // a panic in it has been printed, and poisons the store's locks
        }
    }
}

/// Starts the threads: one for the beat, one for checkpoints, which take long, one that keeps house.
pub(super) fn spawn(shared: &Arc<Shared>) -> Pulse {
    let stop = Arc::new(AtomicBool::new(false));
    let start = |name: &str, run: fn(&Weak<Shared>, &AtomicBool)| {
        let (shared, stop) = (Arc::downgrade(shared), stop.clone());
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || run(&shared, &stop))
            .expect("the operating system gives a node its threads")
    };
    let threads = vec![start("limosa-pulse", beat), start("limosa-checkpoint", checkpoints), start("limosa-house", super::house::run)];
    Pulse { stop, threads }
}

fn beat(shared: &Weak<Shared>, stop: &AtomicBool) {
    let (mut synced, mut said) = (Instant::now(), None);
    while !stop.load(Ordering::Relaxed) {
        let Some(shared) = shared.upgrade() else { return };
        let failed = once(&shared, &mut synced).err();
        let code = failed.as_ref().map(StoreError::code);
        if let Some(error) = failed.filter(|_| said != code) {
            tracing::error!(code, "{error}"); // once for each kind, not ten times a second for as long as it lasts
        }
        said = code;
        drop(shared);
        thread::park_timeout(BEAT);
    }
}

fn once(shared: &Shared, synced: &mut Instant) -> Result<(), StoreError> {
    let store: &Store = &shared.store;
    // First: a full disk refuses everything else until this has gone through.
    if store.has_pending() {
        let position = store.flush()?;
        shared.published.send_if_modified(|known| {
            let is_new = position.0 > *known;
            *known = position.0.max(*known);
            is_new
        });
    }
    if let Some(bytes) = resident_bytes() {
        store.note_resident(bytes);
    }
    store.relieve();
    if shared.role.borrow().is_owner() {
        store.expire_due(store.now_ms(), EXPIRE_MAX)?; // published by the next beat, or by somebody before it
    }
    if shared.options.durability == Durability::Interval && synced.elapsed() >= SYNC_EVERY {
        *synced = Instant::now();
        shared.sync()?;
    }
    Ok(())
}

/// Memory of the process, as Linux tells it; elsewhere the store's own count has to do.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kib: u64 = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024)
}

/// Where each fragment stands.
pub(super) fn heads(store: &Store) -> BTreeMap<FragmentId, Version> {
    store.facts().into_iter().map(|facts| (facts.id, facts.head)).collect()
}

fn checkpoints(shared: &Weak<Shared>, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let Some(shared) = shared.upgrade() else { return };
        if shared.store.wants_checkpoint() {
            match shared.store.checkpoint() {
                Ok(_) => tracing::debug!("checkpoint written"),
                Err(error) => {
                    tracing::error!(code = error.code(), "no checkpoint: {error}");
                    thread::park_timeout(AFTER_FAILURE);
                }
            }
        }
        drop(shared);
        thread::park_timeout(BEAT);
    }
}
